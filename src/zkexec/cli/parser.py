"""The command line as it was written: which option got which text, and what made no sense.

Long options take `--name value` or `--name=value`, short ones `-n value` or `-nvalue`; flags of
one letter may be put together.  Names are never abbreviated: what works today must not become
ambiguous with the options of tomorrow.  A value that begins with two dashes has to be attached
with `=`, so that a forgotten value does not swallow the option behind it.
"""

from collections import deque
from collections.abc import Iterable, Sequence

from zkexec.cli.options import OPTIONS, Option
from zkexec.frozen import frozen


@frozen()
class OptionNames:
    """The options that a command line may hold, by their names and by their letters."""

    by_name: dict[str, Option]
    by_short: dict[str, Option]

    @classmethod
    def of(cls, options: Iterable[Option]) -> "OptionNames":
        """Make it from a table; of two options with one name the first counts."""
        by_name: dict[str, Option] = {}
        for option in options:
            by_name.setdefault(option.name, option)
        return cls(by_name, {option.short: option for option in by_name.values() if option.short})


VOCABULARY = OptionNames.of(OPTIONS)
"""What zkexec understands."""


class ParsedArguments:
    """What the words of a command line say, before anything is believed.

    `values` holds the texts by option name, in order; a flag that was given holds "yes".
    `command` is what stands behind `--`; None where there is no `--`.
    """

    def __init__(self) -> None:
        self.values: dict[str, list[str]] = {}
        self.command: tuple[str, ...] | None = None
        self.missing_values: list[Option] = []
        self.unwanted_values: list[tuple[Option, str]] = []
        self.unknown_options: list[str] = []
        self.stray_words: list[str] = []

    def add(self, option: Option, value: str) -> None:
        """Note one more text of an option."""
        self.values.setdefault(option.name, []).append(value)

    def misspellings(self, asking_for_help: str) -> list[str]:
        """Say what is wrong with the options as such; of stray words the caller knows more."""
        from zkexec.cli.converters import shown  # noqa: PLC0415 - `--help` does without it

        return [
            *(
                f"expected an option that {asking_for_help} lists, got {shown(name)}"
                for name in self.unknown_options
            ),
            *(
                f"--{option.name}: expected a value ({option.metavar}), got none"
                for option in self.missing_values
            ),
            *(
                f"--{option.name}: expected no value, got {shown(text)}"
                for option, text in self.unwanted_values
            ),
        ]


def read(words: Sequence[str], vocabulary: OptionNames = VOCABULARY) -> ParsedArguments:
    """Read the words of a command line (without the program's own name)."""
    return _Reader(words, vocabulary).read()


class _Reader:
    """Takes the words one after the other."""

    def __init__(self, words: Sequence[str], vocabulary: OptionNames) -> None:
        self._rest = deque(words)
        self._vocabulary = vocabulary
        self._written = ParsedArguments()

    def read(self) -> ParsedArguments:
        while self._rest:
            word = self._rest.popleft()
            if word == "--":
                self._written.command = tuple(self._rest)
                break
            if word.startswith("--"):
                self._read_long(word)
            elif word.startswith("-") and word != "-":
                self._read_short(word)
            else:
                self._written.stray_words.append(word)
        return self._written

    def _read_long(self, word: str) -> None:
        name, equals, value = word[2:].partition("=")
        option = self._vocabulary.by_name.get(name)
        if option is None:
            self._written.unknown_options.append("--" + name)
        elif option.is_flag and equals:
            self._written.unwanted_values.append((option, value))
        elif option.is_flag:
            self._written.add(option, "yes")
        elif equals:
            self._written.add(option, value)
        else:
            self._take_value(option)

    def _read_short(self, word: str) -> None:
        for at, letter in enumerate(word[1:], start=2):
            option = self._vocabulary.by_short.get(letter)
            if option is None:
                self._written.unknown_options.append("-" + letter)
                return
            if option.is_flag:
                self._written.add(option, "yes")
            elif word[at:]:
                self._written.add(option, word[at:])
                return
            else:
                self._take_value(option)

    def _take_value(self, option: Option) -> None:
        if self._rest and not self._rest[0].startswith("--"):
            self._written.add(option, self._rest.popleft())
        else:
            self._written.missing_values.append(option)
