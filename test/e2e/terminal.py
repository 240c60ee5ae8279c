"""A terminal for tests: a pty, a session on it, and fingers to type with.

The program that is started leads a session of its own and has the pty as its controlling
terminal, as a login shell has.  What comes out of the terminal is read whenever the test looks,
and is kept as one text; a program that writes more than a few kilobytes meanwhile has to wait.
"""

import fcntl
import os
import re
import struct
import subprocess
import termios
from collections.abc import Mapping
from pathlib import Path

from e2e.stage import PATIENCE_S, Word, until

PROMPT = "ready> "


class Terminal:
    """A pty and the program on it."""

    def __init__(self, *words: Word, environment: Mapping[str, str], folder: Path) -> None:
        """Start the program on a new terminal of 24 rows and 80 columns."""
        self._master, slave = os.openpty()
        self._closed = False
        self._text = ""
        self._seen = 0
        self.resize(24, 80)
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *words],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=folder,
            env={**environment, "TERM": "dumb", "PS1": PROMPT},
        )
        os.close(slave)
        os.set_blocking(self._master, False)

    def type(self, keys: str) -> None:
        """Press keys; control characters are keys too."""
        os.write(self._master, keys.encode("utf-8", "surrogateescape"))

    def enter(self, line: str) -> None:
        """Type a line and press return."""
        self.type(f"{line}\r")

    def expect(self, pattern: str) -> re.Match[str]:
        """Wait until the pattern comes, after what was expected before."""
        try:
            match = until(lambda: re.compile(pattern).search(self.text, self._seen), pattern)
        except TimeoutError:
            rest = self._text[self._seen :]
            raise AssertionError(f"in vain: {pattern!r} after {rest!r}") from None
        if match is None:
            raise TypeError("`until` answered without an answer")
        self._seen = match.end()
        return match

    @property
    def text(self) -> str:
        """All that has come out so far, as it came."""
        while True:
            try:
                piece = os.read(self._master, 65536)
            except OSError:
                return self._text  # nothing more now, or nobody has the terminal open any more
            self._text += piece.decode("utf-8", "surrogateescape")

    def prompt(self) -> None:
        """Wait for the next prompt of the shell, and until the shell has the terminal again."""
        self.expect(re.escape(PROMPT))
        until(lambda: self.foreground == self.process.pid, "the shell is in the foreground")

    def command(self, line: str) -> str:
        """Have a shell run a line to its end, and return what it printed."""
        start = self._seen
        self.enter(line)
        self.prompt()
        printed = self._text[start : self._seen].replace("\r\n", "\n")
        return printed.partition("\n")[2].removesuffix(PROMPT)

    @property
    def foreground(self) -> int:
        """The process group in the foreground."""
        return os.tcgetpgrp(self._master)

    @property
    def modes(self) -> object:
        """The modes of the terminal: input, output, control, local, speeds, characters."""
        return termios.tcgetattr(self._master)

    def resize(self, rows: int, columns: int) -> None:
        """Change the size of the window."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def hang_up(self) -> None:
        """Close the terminal, as a lost connection does."""
        if not self._closed:
            self._closed = True
            os.close(self._master)

    def close(self) -> None:
        """Hang up and kill the program."""
        self.process.kill()
        self.process.wait(timeout=PATIENCE_S)
        self.hang_up()


def shell(folder: Path, environment: Mapping[str, str]) -> Terminal:
    """An interactive bash with job control, at its first prompt."""
    words = ("bash", "--norc", "--noprofile", "--noediting", "-i")
    terminal = Terminal(*words, environment=environment, folder=folder)
    terminal.prompt()
    return terminal
