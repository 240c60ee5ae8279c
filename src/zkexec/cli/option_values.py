"""Find the text of each option: on the command line, in the environment, or its default.

An `OptionReader` converts the texts and collects every mistake, under the name that the operator
used.
"""

from __future__ import annotations

from zkexec.cli import converters, shell_command
from zkexec.cli.options import BY_NAME, Option
from zkexec.cli.parser import ParsedArguments
from zkexec.command_line import CommandLine
from zkexec.frozen import frozen

TYPE_CHECKING = False  # `typing` is large and slow to import
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeVar

    Value = TypeVar("Value")


@frozen()
class OptionTexts:
    """The texts of an option, and the name by which messages call it."""

    label: str
    texts: tuple[str, ...]


def merge(
    written: ParsedArguments,
    environment: Mapping[str, str],
    options: Mapping[str, Option] = BY_NAME,
) -> dict[str, OptionTexts]:
    """Give each option the texts of its first source; an option without a text is left out."""
    merged = {}
    for option in options.values():
        from_environment = environment.get(option.variable, "") if option.variable else ""
        if option.name in written.values:
            texts = written.values[option.name]
            # The last one counts, so that a script can append to a command line.
            kept = tuple(texts if option.repeatable else texts[-1:])
            merged[option.name] = OptionTexts("--" + option.name, kept)
        elif from_environment and not _is_overruled(option.name, written):
            merged[option.name] = OptionTexts(option.variable, (from_environment,))
    return merged


def _is_overruled(name: str, written: ParsedArguments) -> bool:
    """Return whether another option on the command line overrules this variable."""
    if name == "exec":
        return written.command is not None
    return any(
        name in rivals and not written.values.keys().isdisjoint(rivals)
        for rivals in (("verbose", "silent"), ("reload", "reload-signal"))
    )


class OptionReader:
    """Converts texts to values, and collects the mistakes."""

    def __init__(
        self,
        merged: dict[str, OptionTexts],
        mistakes: list[str],
        options: Mapping[str, Option] = BY_NAME,
    ) -> None:
        self._merged = merged
        self._options = options
        self.mistakes = mistakes

    def label(self, name: str) -> str:
        """Name the option as the operator gave it, "" if it was not given."""
        return self._merged[name].label if name in self._merged else ""

    def texts(self, name: str) -> tuple[str, ...]:
        """Return the texts as they were written."""
        return self._merged[name].texts if name in self._merged else ()

    def words(self, name: str) -> tuple[str, ...]:
        """Return the texts of a repeatable option; its variable contains several in one text."""
        texts = self.texts(name)
        if not texts or self.is_typed(name):
            return texts
        return self.attempt(name, converters.shell_words, texts[0]) or ()

    def converted(self, name: str, parse: Callable[[str], Value]) -> tuple[Value, ...]:
        """Return the values of a repeatable option, without those that are wrong."""
        found = [self.attempt(name, parse, text) for text in self.words(name)]
        return tuple([value for value in found if value is not None])

    def without_effect(self, *names: str, reason: str) -> None:
        """Collect a mistake for each option that is typed; a variable can be that of a fleet."""
        self.mistakes.extend(
            f"--{name}: has no effect, as {reason}" for name in names if self.is_typed(name)
        )

    def is_typed(self, name: str) -> bool:
        """Return whether the option is on the command line."""
        return self.label(name) == "--" + name

    def attempt(
        self,
        name: str,
        parse: Callable[[str], Value],
        text: str,
        shown: Callable[[str], str] = converters.shown,
    ) -> Value | None:
        """Convert one text; if it is wrong, collect the mistake and return None."""
        try:
            return parse(text)
        except ValueError as mistake:
            self.mistakes.append(f"{self.label(name)}: {shown(text)} {mistake}")
            return None

    def value(
        self,
        name: str,
        parse: Callable[[str], Value],
        shown: Callable[[str], str] = converters.shown,
    ) -> Value:
        """Return the value of an option that has a default."""
        value = self.optional(name, parse, shown)
        return parse(self._options[name].default) if value is None else value

    def optional(
        self,
        name: str,
        parse: Callable[[str], Value],
        shown: Callable[[str], str] = converters.shown,
    ) -> Value | None:
        """Return the value of an option without a default, None if it was not given."""
        for text in self.texts(name):
            return self.attempt(name, parse, text, shown)
        return None

    def flag(self, name: str) -> bool:
        """Return whether a flag is set."""
        return any(self.attempt(name, converters.flag, text) for text in self.texts(name))

    def command(self, name: str) -> CommandLine | None:
        """Return the command of an option, None if it was not given."""
        return self.optional(name, shell_command.parse)


def is_given(name: str, written: ParsedArguments, reading: OptionReader) -> bool:
    """Return whether an option has a text, or is on the command line without its value."""
    return bool(reading.label(name)) or BY_NAME[name] in written.missing_values
