"""The command line as it was written: which option got which text, and what made no sense.

Long options take `--name value` or `--name=value`, short ones `-n value` or `-nvalue`; flags of
one letter may be put together.  Names are never abbreviated: what works today must not become
ambiguous with the options of tomorrow.  A value that begins with two dashes has to be attached
with `=`, so that a forgotten value does not swallow the option behind it.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from zkexec.options import BY_NAME, BY_SHORT, Option


@dataclass(slots=True)
class Written:
    """What the words of a command line say, before anything is believed.

    `values` holds the texts by option name, in order; a flag that was given holds "yes".
    `command` is what stands behind `--`; None where there is no `--`.
    """

    values: dict[str, list[str]] = field(default_factory=dict)
    command: tuple[str, ...] | None = None
    missing_values: list[Option] = field(default_factory=list)
    unwanted_values: list[tuple[Option, str]] = field(default_factory=list)
    unknown_options: list[str] = field(default_factory=list)
    stray_words: list[str] = field(default_factory=list)


def read(words: Sequence[str]) -> Written:
    """Read the words of a command line (without the program's own name)."""
    written = Written()
    rest = deque(words)
    while rest:
        word = rest.popleft()
        if word == "--":
            written.command = tuple(rest)
            break
        if word.startswith("--"):
            _read_long(word, rest, written)
        elif word.startswith("-") and word != "-":
            _read_short(word, rest, written)
        else:
            written.stray_words.append(word)
    return written


def _read_long(word: str, rest: deque[str], written: Written) -> None:
    name, equals, value = word[2:].partition("=")
    option = BY_NAME.get(name)
    if option is None:
        written.unknown_options.append("--" + name)
    elif option.is_flag and equals:
        written.unwanted_values.append((option, value))
    elif option.is_flag:
        _add(written, option, "yes")
    elif equals:
        _add(written, option, value)
    else:
        _take_value(option, rest, written)


def _read_short(word: str, rest: deque[str], written: Written) -> None:
    for at, letter in enumerate(word[1:], start=2):
        option = BY_SHORT.get(letter)
        if option is None:
            written.unknown_options.append("-" + letter)
            return
        if option.is_flag:
            _add(written, option, "yes")
        elif word[at:]:
            _add(written, option, word[at:])
            return
        else:
            _take_value(option, rest, written)


def _take_value(option: Option, rest: deque[str], written: Written) -> None:
    if rest and not rest[0].startswith("--"):
        _add(written, option, rest.popleft())
    else:
        written.missing_values.append(option)


def _add(written: Written, option: Option, value: str) -> None:
    written.values.setdefault(option.name, []).append(value)
