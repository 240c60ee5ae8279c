"""What a terminal shows: a small emulator of just what zkexecctl asks of one, on a real pty.

The rules of this file:

- A sequence that it does not know is an error: the program may ask for nothing else.
- A line that is too wide wraps, and what is too high scrolls, as on any terminal.
"""

import fcntl
import os
import re
import signal
import struct
import subprocess
import termios
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from zookeeper import wait_until

PATIENCE_S = 60.0
_TOKEN = re.compile(r"\x1b\[(\??[0-9;]*)([A-Za-z])|([\r\n\b\a])|([^\x00-\x1f\x7f])|(.)", re.DOTALL)


class Glass:
    """The cells of a screen, its cursor, and whether that is seen."""

    def __init__(self, rows: int, columns: int) -> None:
        self.cursor_is_seen = True
        self.resize(rows, columns)

    def resize(self, rows: int, columns: int) -> None:
        """Begin with an empty screen of that size."""
        self.rows, self.columns = rows, columns
        self._cells = [[" "] * columns for _ in range(rows)]
        self._row = self._column = 0

    @property
    def lines(self) -> list[str]:
        """What it shows, without blanks at the ends and empty lines below."""
        found = ["".join(row).rstrip() for row in self._cells]
        while found and not found[-1]:
            found.pop()
        return found

    def feed(self, text: str) -> None:
        """Show what a program has written."""
        for match in _TOKEN.finditer(text):
            numbers, command, control, letter, strange = match.groups()
            if command:
                self._obey(numbers, command)
            elif control:
                self._move(control)
            elif letter:
                self._write(letter)
            else:
                raise ValueError(f"a terminal was sent {strange!r}")

    def _obey(self, numbers: str, command: str) -> None:
        match numbers, command:
            case _, "m":
                return
            case "?25", "h" | "l":
                self.cursor_is_seen = command == "h"
            case _, "A" if numbers.isdecimal():
                self._row = max(0, self._row - int(numbers))
            case "", "H":
                self._row = self._column = 0
            case "", "K":
                self._clear_line(self._row, min(self._column, self.columns - 1))
            case "", "J":
                self._clear_line(self._row, min(self._column, self.columns - 1))
                for row in range(self._row + 1, self.rows):
                    self._clear_line(row, 0)
            case _:
                raise ValueError(f"a terminal was asked for {numbers}{command}")

    def _clear_line(self, row: int, column: int) -> None:
        self._cells[row][column:] = [" "] * (self.columns - column)

    def _move(self, control: str) -> None:
        match control:
            case "\r":
                self._column = 0
            case "\n":
                self._feed_line()
            case "\b":
                self._column = max(0, self._column - 1)

    def _feed_line(self) -> None:
        if self._row < self.rows - 1:
            self._row += 1
        else:
            self._cells = [*self._cells[1:], [" "] * self.columns]

    def _write(self, letter: str) -> None:
        if self._column == self.columns:
            self._column = 0
            self._feed_line()
        self._cells[self._row][self._column] = letter
        self._column += 1


class Watched:
    """A program on a pty, and the screen that it draws on."""

    def __init__(self, words: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
        """Start it on a screen of 24 rows and 100 columns."""
        self._master, slave = os.openpty()
        self.glass = Glass(24, 100)
        self.written = ""
        self._set_size(24, 100)
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *words],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=folder,
            env={**environment, "TERM": "xterm-256color"},
        )
        os.close(slave)
        os.set_blocking(self._master, False)

    @property
    def lines(self) -> list[str]:
        """What is on the screen now."""
        while piece := self._read():
            self.written += piece
            self.glass.feed(piece)
        return self.glass.lines

    def _read(self) -> str:
        text = b""
        try:
            text = os.read(self._master, 65536)
            # A sequence may be torn: what is drawn ends with a line.
            while text and not text.endswith(b"\n") and self.process.poll() is None:
                text += self._more()
        except OSError:
            pass
        return text.decode("utf-8", "replace")

    def _more(self) -> bytes:
        try:
            return os.read(self._master, 65536)
        except BlockingIOError:
            return b""

    def shows(self, pattern: str) -> str:
        """Wait until this is seen on a line of the screen, and return what was found."""
        return self.until(lambda: self._found(pattern), pattern)

    def _found(self, pattern: str) -> str:
        found = (re.search(pattern, line) for line in self.lines)
        return next((match[0] for match in found if match), "")

    def until(self, get: Callable[[], str], what: str) -> str:
        """Poll until there is an answer; AssertionError with the screen where it is in vain."""
        answers = [""]

        def answered() -> str:
            answers[0] = get()
            return answers[0]

        try:
            wait_until(answered, what, PATIENCE_S)
        except TimeoutError:
            shown = "\n".join(self.lines)
            raise AssertionError(f"in vain: {what!r} on\n{shown}") from None
        return answers[0]

    def resize(self, rows: int, columns: int) -> None:
        """Give the terminal another size; what it showed is gone."""
        _ = self.lines
        self.glass.resize(rows, columns)
        self._set_size(rows, columns)

    def _set_size(self, rows: int, columns: int) -> None:
        size = struct.pack("HHHH", rows, columns, 0, 0)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, size)

    def interrupt(self) -> int:
        """Press Ctrl-C, and wait for the end; the status as Popen tells it."""
        os.write(self._master, b"\x03")
        return self.ends()

    def ends(self) -> int:
        """Wait for the end; what is on the screen stays."""
        status = self.process.wait(timeout=PATIENCE_S)
        _ = self.lines
        return status

    def close(self) -> None:
        """Hang up and kill the program."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(timeout=PATIENCE_S)
        os.close(self._master)
