"""What the demo shows: headings, prose, typed lines, and what zkexec and its command say.

The rules of this file: 80 columns; ASCII only; colours on a terminal only, and not where
NO_COLOR asks for none; every line is shown at once.
"""

import os
import sys
import textwrap

_WIDTH = 80
_REMARK_COLUMN = 45
_PLAIN = "\033[0m"
_BOLD = "\033[1m"
_DIM = "\033[2m"


class NobodyWatchesError(Exception):
    """Whoever read standard output is gone."""


class Screen:
    """Standard output, for people who watch; every method may raise NobodyWatchesError."""

    def __init__(self) -> None:
        plain = "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb"
        self._has_colours = sys.stdout.isatty() and not plain
        self._is_in_block = False

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
        try:
            sys.stdout.write(text + "\n")
            sys.stdout.flush()
        except BrokenPipeError:
            raise NobodyWatchesError from None
