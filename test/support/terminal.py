"""A terminal for a program: a pty of which the test has the other end."""

import fcntl
import os
import struct
import subprocess
import termios
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


class Terminal:
    """A pty of a size; `kind` is the TERM of the one program that is started on it."""

    def __init__(self, rows: int = 24, columns: int = 80, kind: str = "dumb") -> None:
        """Open it."""
        self.rows = rows
        self.columns = columns
        self.kind = kind
        self.master, self._slave = os.openpty()
        self.resize(rows, columns)

    def start(
        self, words: Sequence[str | bytes | Path], options: Mapping[str, Any]
    ) -> subprocess.Popen[bytes]:
        """Start a program that leads a session on this terminal, as a login shell does."""
        environment = options.get("env", os.environ)
        process = subprocess.Popen(
            ["setsid", "--ctty", *words],
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            **{**options, "env": {**environment, "TERM": self.kind}},
        )
        os.close(self._slave)
        return process

    def forget(self) -> None:
        """Know that the test's end is closed; its number may soon be another file's."""
        self.master = -1

    @property
    def foreground(self) -> int:
        """The process group in the foreground."""
        return os.tcgetpgrp(self.master)

    @property
    def modes(self) -> object:
        """The modes of the terminal: input, output, control, local, speeds, characters."""
        return termios.tcgetattr(self.master)

    def resize(self, rows: int, columns: int) -> None:
        """Change the size of the window."""
        self.rows, self.columns = rows, columns
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
