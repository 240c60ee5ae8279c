"""How wide a text is on a terminal: count its columns, cut it, or break it into lines."""

import re
import unicodedata

from zkexec.text import LONGEST_LINE, cut, printable

_PAINT = re.compile(r"\x1b\[[0-9;]*m")
# Vowels and final consonants of Hangul, which are drawn into the syllable before them.
_JOINING_HANGUL = (0x1160, 0x11FF)


def cells(text: str) -> int:
    """Count the columns that a text takes on a terminal; its colours take none."""
    return len(text) if text.isascii() and "\x1b" not in text else _cells(text)


def _cells(text: str) -> int:
    return sum(map(cells_of, _PAINT.sub("", text)))


def cells_of(letter: str) -> int:
    """Count the columns that a letter takes on a terminal."""
    if letter.isascii():
        return 1
    low, high = _JOINING_HANGUL
    if unicodedata.category(letter) in ("Mn", "Me", "Cf") or low <= ord(letter) <= high:
        return 0
    return 2 if unicodedata.east_asian_width(letter) in ("W", "F") else 1


def fit(text: str, width: int) -> str:
    """Cut a text without colours to the columns of a terminal."""
    if cells(text) <= width:
        return text
    dots = "..."[: max(0, width)]
    return text[: _within(text, width - len(dots))] + dots


def _within(text: str, width: int) -> int:
    """Count the letters of a text without colours that fit."""
    taken = 0
    for count, letter in enumerate(text):
        taken += cells_of(letter)
        if taken > width:
            return count
    return len(text)


def wrap(text: str, width: int) -> list[str]:
    """Break a text into lines, at blanks if there are some."""
    lines: list[str] = []
    line: list[str] = []
    room = width
    for word in text.split(" "):
        if not line and not word:
            continue
        taken = cells(word)
        if line and taken + 1 > room:
            lines.append(" ".join(line))
            line, room = [], width
        room -= taken + bool(line)
        if taken > width > 2:
            *pieces, word = _pieces(word, width)  # noqa: PLW2901 -- what is left of it
            lines += pieces
            room = width - cells(word)
        line.append(word)
    return [*lines, " ".join(line)]


def lines_of(text: str, width: int | None) -> list[str]:
    """Make a text printable, cut it to what is shown, and break it into lines of this width.

    If the text is indented, all lines are.
    """
    text = printable(cut(text, LONGEST_LINE))
    if width is None:
        return [text]
    indent = text[: len(text) - len(text.lstrip(" "))]
    if len(indent) > width // 2:
        indent = ""
    return [indent + line for line in wrap(text, width - len(indent))]


def _pieces(word: str, width: int) -> list[str]:
    """Break a word that is wider than the terminal into pieces that are not."""
    pieces = []
    start = taken = 0
    for position, letter in enumerate(word):
        wide = cells_of(letter)
        if taken + wide > width:
            pieces.append(word[start:position])
            start, taken = position, 0
        taken += wide
    return [*pieces, word[start:]]
