"""Pass on what the command writes to stderr, and remember its last line: `--keep-stderr`.

All generations of the command write into one pipe, whose both ends zkexec keeps open.  So a start
needs no further descriptor, the pipe never ends, and a process that outlives its command can go on
writing.

- What is read is passed on before more is read.  If zkexec's own stderr is slow, the pipe fills,
  and the command waits, as it would for any pipe.
- If zkexec's stderr has no reader any more, the output is dropped: that ends no command.
- What a command has written before it ended is in the pipe when it is reaped.  This is read at
  once, and nothing is waited for, so a daemon that keeps the pipe open delays nothing.
- The last line is that of the present command.  What is in the pipe when it begins, or begins
  anew with other files, is passed on, but is not from it.
"""

from __future__ import annotations

import fcntl
import os
import select
import struct
import termios
import time

from zkexec.lean import suppress
from zkexec.process.last_lines import LastLines
from zkexec.text import cut, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    PassOn = Callable[[bytes], bytes]

_PIECE_BYTES = 1 << 16
_PIPE_BYTES = 1 << 20
"""The size of the pipe, if the kernel grants it: room for what is written while zkexec is busy."""
_MOST_WAITING_BYTES = 4 * _PIPE_BYTES
"""How much waits for a stderr that takes nothing, while one command after the other ends."""
_LONGEST_LINE = 200
"""At most this many characters of the last line are kept."""
_PATIENCE_S = 1.0
_LONGEST_END_S = 10.0
"""At the end of zkexec, what is left is passed on as long as the reader takes something within this
time, and no longer than that."""


class CommandStderr:
    """The pipe that is the stderr of the command; a source of the inbox."""

    def __init__(self, pass_on: PassOn, stderr: int) -> None:
        """`pass_on` writes what there is room for in `stderr`, and returns the rest.

        Raises OSError.
        """
        self._reader, self.writer = os.pipe()
        os.set_blocking(self._reader, False)
        # A user has a limit for all pipes together.
        with suppress(OSError):
            fcntl.fcntl(self._reader, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self._room = fcntl.fcntl(self._reader, fcntl.F_GETPIPE_SZ)
        self._pass_on = pass_on
        self._stderr = stderr
        self._waiting = b""
        self._lines = LastLines(1)
        self._earlier_bytes = 0
        """How much in the pipe was written before the present command, or its reload."""

    @property
    def deadline(self) -> None:
        """Only the descriptors matter."""

    @property
    def descriptor(self) -> tuple[int, int]:
        """What to poll: stderr while something waits for room in it, otherwise the pipe."""
        if self._waiting:
            return self._stderr, select.POLLOUT
        return self._reader, select.POLLIN

    @property
    def last_line(self) -> str:
        """The last line of the present command that is not empty, for use between quotes.

        It is in printable characters, and a quote in it has a backslash before it.
        """
        lines = [cut(printable(line), _LONGEST_LINE) for line in self._lines.texts]
        return "".join(lines).replace('"', r"\"")

    def advance(self) -> None:
        """Pass on what waits; if nothing does, read a piece of what is there."""
        if not self._waiting:
            self._waiting = self._read(_PIECE_BYTES)
        if self._waiting:
            self._waiting = self._pass_on(self._waiting)

    def begin(self) -> None:
        """Begin with another command, or with one that loads other files."""
        counted = fcntl.ioctl(self._reader, termios.FIONREAD, struct.pack("i", 0))
        (self._earlier_bytes,) = struct.unpack("i", counted)
        self._lines.clear()

    def catch_up(self) -> None:
        """Read what the pipe contains now, as far as the reader of zkexec's stderr takes it."""
        left = self._room
        while left > 0 and not self._waiting and (piece := self._read(min(left, _PIECE_BYTES))):
            left -= len(piece)
            self._waiting = self._pass_on(piece)

    def drain(self) -> None:
        """Read what the pipe contains now, and pass on what there is room for."""
        left = self._room
        while left > 0 and (piece := self._read(min(left, _PIECE_BYTES))):
            left -= len(piece)
            if len(self._waiting) < _MOST_WAITING_BYTES:
                self._waiting += piece
        if self._waiting:
            self._waiting = self._pass_on(self._waiting)

    def close(self) -> None:
        """Pass on what is left, in bounded time."""
        self.drain()
        until = time.monotonic() + _LONGEST_END_S
        poll = select.poll()
        poll.register(self._stderr, select.POLLOUT)
        while self._waiting and time.monotonic() < until:
            before = len(self._waiting)
            poll.poll(1000 * _PATIENCE_S)
            self._waiting = self._pass_on(self._waiting)
            if len(self._waiting) == before:
                return

    def _read(self, most_bytes: int) -> bytes:
        try:
            piece = os.read(self._reader, most_bytes)
        except BlockingIOError:
            return b""
        self._lines.add(piece[self._earlier_bytes :])
        self._earlier_bytes = max(0, self._earlier_bytes - len(piece))
        return piece
