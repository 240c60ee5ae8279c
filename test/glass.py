"""What a terminal shows of a program that draws on it: an emulator behind a real pty."""

import fcntl
import os
import re
import signal
import struct
import subprocess
import termios
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import pyte

from zookeeper import wait_until

PATIENCE_S = 60.0


class Glass:
    """What a terminal of this size shows of what was written to it."""

    def __init__(self, rows: int, columns: int) -> None:
        self.resize(rows, columns)

    def resize(self, rows: int, columns: int) -> None:
        """Begin with an empty screen of that size."""
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)

    def feed(self, text: bytes) -> None:
        """Show what a program has written."""
        self._stream.feed(text)

    @property
    def cursor_is_seen(self) -> bool:
        """Whether the cursor is to be seen."""
        return not self._screen.cursor.hidden

    @property
    def lines(self) -> list[str]:
        """What it shows, without blanks at the ends and empty lines below."""
        found = [line.rstrip() for line in self._screen.display]
        while found and not found[-1]:
            found.pop()
        return found


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
        with suppress(OSError):  # Nothing more now, or nobody has the terminal open any more.
            while piece := os.read(self._master, 65536):
                self.written += piece.decode("utf-8", "replace")
                self.glass.feed(piece)
        return self.glass.lines

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
