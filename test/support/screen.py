"""What a terminal shows of a program that draws on it: an emulator behind its pty."""

import re

import pyte

from support.program import Program


class Screen:
    """The screen that a program draws on."""

    def __init__(self, program: Program) -> None:
        """Show what this program has written and will write."""
        self.program = program
        self._shown = 0
        self._clear()

    def _clear(self) -> None:
        terminal = self.program.terminal
        self._screen = pyte.Screen(terminal.columns, terminal.rows)
        self._stream = pyte.ByteStream(self._screen)

    def _draw(self) -> None:
        written = self.program.stdout.raw
        self._stream.feed(written[self._shown :])
        self._shown = len(written)

    @property
    def lines(self) -> list[str]:
        """What it shows now, without blanks at the ends and empty lines below."""
        self._draw()
        found = [line.rstrip() for line in self._screen.display]
        while found and not found[-1]:
            found.pop()
        return found

    @property
    def cursor_is_shown(self) -> bool:
        """Whether the cursor is to be seen."""
        self._draw()
        return not self._screen.cursor.hidden

    def shows(self, pattern: str) -> str:
        """Wait until this is on a line of the screen, and return what was found."""
        return self.program.until(lambda: self._found(pattern), f"{pattern!r} on the screen")

    def _found(self, pattern: str) -> str:
        found = (re.search(pattern, line) for line in self.lines)
        return next((match[0] for match in found if match), "")

    def resize(self, rows: int, columns: int) -> None:
        """Give the terminal another size; what it showed is gone."""
        self._draw()
        self.program.terminal.resize(rows, columns)
        self._clear()
