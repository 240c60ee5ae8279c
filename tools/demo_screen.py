"""What the demo shows: headings, prose, typed lines, and what zkexec and its command say.

The rules of this file: 80 columns; ASCII only; colours on a terminal only, and not where
NO_COLOR asks for none; every line is shown at once.  A picture that changes is redrawn in place
on a terminal that can do so; elsewhere each line of it that is new is shown below the others.
"""

import os
import shutil
import sys
import textwrap
from typing import NamedTuple

_WIDTH = 80
_REMARK_COLUMN = 45
_PLAIN = "\033[0m"
_BOLD = "\033[1m"
_DIM = "\033[2m"
_WIPE = "\033[K"


class NobodyWatchesError(Exception):
    """Whoever read standard output is gone."""


class Row(NamedTuple):
    """A line of a picture that changes."""

    text: str
    stands_out: bool


class Screen:
    """Standard output, for people who watch; every method may raise NobodyWatchesError."""

    def __init__(self) -> None:
        plain = "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb"
        self._has_colours = sys.stdout.isatty() and not plain
        self._is_in_block = False
        self._picture: list[Row] = []

    def heading(self, text: str) -> None:
        """Begin a scene."""
        self._paragraph(self._painted(_BOLD, text))

    def prose(self, text: str) -> None:
        """Tell something, wrapped to the width."""
        self._paragraph(textwrap.fill(" ".join(text.split()), _WIDTH, break_long_words=False))

    def shell(self, command: str) -> None:
        """Show what one would type at a shell's prompt."""
        self._show(f"  $ {self._painted(_BOLD, command)}")

    def typed(self, line: str) -> None:
        """Show a line that is typed into the command."""
        self._show(f"  {self._painted(_BOLD, line):<{self._column()}}# typed into stdin")

    def output(self, line: str) -> None:
        """Show a line of the command, or of the alert."""
        self._show(f"  {line:<{_REMARK_COLUMN}}# stdout")

    def answer(self, line: str) -> None:
        """Show what the shell answers."""
        self._show(f"  {line}")

    def log(self, line: str) -> None:
        """Show a line of zkexec itself."""
        wrapped = textwrap.wrap(
            line,
            _WIDTH,
            initial_indent="  ",
            subsequent_indent=" " * 30,
            break_long_words=False,
            break_on_hyphens=False,
        )
        for piece in wrapped:
            self._show(self._painted(_DIM, piece))

    def picture(self, rows: list[Row]) -> None:
        """Show a picture, or, right after it was shown, what has changed in it."""
        shown = self._picture
        if rows == shown:
            return
        if shown and self._can_redraw(len(rows)):
            self._write(f"\033[{len(shown)}A")
            new = rows
        else:
            new = [row for row in rows if row not in shown]
        for row in new:
            self._show(self._drawn(row))
        self._picture = rows

    def _can_redraw(self, rows: int) -> bool:
        size = shutil.get_terminal_size()
        return self._has_colours and size.columns >= _WIDTH and size.lines > rows

    def _drawn(self, row: Row) -> str:
        text = f"  {row.text}"[:_WIDTH]
        # What an earlier row has left on the line is wiped off.
        end = _WIPE if self._has_colours else ""
        return (self._painted(_BOLD, text) if row.stands_out else text) + end

    def _paragraph(self, text: str) -> None:
        """Show a text between empty lines; one is enough between two texts."""
        if self._is_in_block:
            self._show("")
        self._show(text + "\n")
        self._is_in_block = False

    def _column(self) -> int:
        return _REMARK_COLUMN + (len(_BOLD + _PLAIN) if self._has_colours else 0)

    def _painted(self, colour: str, text: str) -> str:
        return f"{colour}{text}{_PLAIN}" if self._has_colours else text

    def _show(self, text: str) -> None:
        self._is_in_block = True
        self._picture = []
        self._write(text + "\n")

    def _write(self, text: str) -> None:
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except BrokenPipeError:
            raise NobodyWatchesError from None
