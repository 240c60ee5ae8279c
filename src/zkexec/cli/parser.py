"""Parse the command line: which option has which text, and which words cannot be understood.

Long options take `--name value` or `--name=value`, short ones `-n value` or `-nvalue`; flags of
one letter can be joined.  Names are never abbreviated: a command line that works today must not
become ambiguous when options are added.  A value that begins with two dashes must be attached
with `=`, so that the option after a forgotten value is not taken for the value.  If a value can be
left out, it must be attached too.
"""

from __future__ import annotations

from zkexec.cli.options import OPTIONS, Option
from zkexec.frozen import frozen
from zkexec.lean import deque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


_LONGEST_WORD = 100


@frozen()
class OptionNames:
    """The options that a command line can contain, by their names and by their letters."""

    by_name: dict[str, Option]
    by_short: dict[str, Option]

    @classmethod
    def of(cls, options: Iterable[Option]) -> OptionNames:
        """Build it from a table; if two options have one name, the first counts."""
        by_name: dict[str, Option] = {}
        for option in options:
            by_name.setdefault(option.name, option)
        return cls(by_name, {option.short: option for option in by_name.values() if option.short})


VOCABULARY = OptionNames.of(OPTIONS)
"""The options of zkexec."""


class ParsedArguments:
    """The words of a command line, assigned to options; no value is checked yet.

    `values` contains the texts by option name, in order; the text of a flag is "yes".  `order`
    has the name of each option that has a text, in the order in which they are written.
    `without_value` are the options whose value was left out, as it is implied.
    `command` is what follows `--`, None if there is no `--`.
    """

    def __init__(self, vocabulary: OptionNames) -> None:
        self._vocabulary = vocabulary
        self.values: dict[str, list[str]] = {}
        self.order: list[str] = []
        self.command: tuple[str, ...] | None = None
        self.without_value: list[Option] = []
        self.missing_values: list[Option] = []
        self.unwanted_values: list[tuple[Option, str]] = []
        self.unknown_options: list[str] = []
        self.stray_words: list[str] = []

    def add(self, option: Option, value: str) -> None:
        """Add one more text of an option."""
        self.values.setdefault(option.name, []).append(value)
        self.order.append(option.name)

    def misspellings(self, help_command: str) -> list[str]:
        """Describe what is wrong with the names of options, and with values as such."""
        from zkexec.cli.converters import shown  # noqa: PLC0415 - `--help` does without it

        known = self._vocabulary.by_name
        return [
            *(
                f"unknown option {as_word(name)} {suggestion(name, '--', known, help_command)}"
                for name in self.unknown_options
            ),
            *(
                f"--{option.name}: the value is missing: write {option.spelling}"
                for option in self.missing_values
            ),
            *(
                f"--{option.name}: takes no value: remove {shown(text)}"
                for option, text in self.unwanted_values
            ),
        ]


def as_word(text: str) -> str:
    """Show a word of the command line as it was written, quoted if it would be unclear."""
    from zkexec.cli.converters import shown  # noqa: PLC0415 - `--help` does without it

    is_clear = text.isprintable() and " " not in text and len(text) <= _LONGEST_WORD
    return text if is_clear else shown(text)


def suggestion(word: str, prefix: str, known: Iterable[str], help_command: str) -> str:
    """Suggest the known name that is nearest to a wrong word, or if none is near, the help.

    `prefix` is what all words have before the name.
    """
    wrong = word.removeprefix(prefix)[:_LONGEST_WORD]
    names = list(known)
    # zkexecctl knows options that only other subcommands have.
    nearest = [] if wrong in names else _nearest(wrong, names)
    return f"(did you mean {prefix}{nearest[0]}?)" if nearest else f"({help_command} lists all)"


def _nearest(wrong: str, known: Iterable[str]) -> list[str]:
    """Return the known name that is nearest to a wrong one, or nothing."""
    from difflib import get_close_matches  # noqa: PLC0415 - only mistakes need it

    return get_close_matches(wrong[:_LONGEST_WORD], list(known), n=1)


def read(words: Sequence[str], vocabulary: OptionNames = VOCABULARY) -> ParsedArguments:
    """Read the words of a command line (without the program's own name)."""
    return _Reader(words, vocabulary).read()


class _Reader:
    """Takes one word after the other."""

    def __init__(self, words: Sequence[str], vocabulary: OptionNames) -> None:
        self._rest = deque(words)
        self._vocabulary = vocabulary
        self._written = ParsedArguments(vocabulary)

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
            if not equals:
                self._drop_value_of(name)
        elif option.is_flag and equals:
            self._written.unwanted_values.append((option, value))
        elif option.is_flag:
            self._written.add(option, "yes")
        elif equals:
            self._written.add(option, value)
        elif option.implied:
            self._written.add(option, option.implied)
            self._written.without_value.append(option)
        elif option.is_attached:
            self._written.missing_values.append(option)
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

    def _drop_value_of(self, misspelt: str) -> None:
        """Drop the value of an option that was probably meant: it is no mistake of its own."""
        known = self._vocabulary.by_name
        takes_word = any(known[name].takes_word for name in _nearest(misspelt, known))
        if takes_word and self._rest and (self._rest[0] == "-" or self._rest[0][:1] != "-"):
            self._rest.popleft()

    def _take_value(self, option: Option) -> None:
        if self._rest and not self._rest[0].startswith("--"):
            self._written.add(option, self._rest.popleft())
        else:
            self._written.missing_values.append(option)
