"""Read what the command of a step prints: pass it on at once, and keep its last lines.

The command prints into a pipe.  The pipe slows down a command that prints more than is read, and a
daemon that inherited it keeps nobody waiting: it is closed when the command has ended.
"""

from __future__ import annotations

import os
import select

from zkexec.process.last_lines import LastLines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_PIECE_BYTES = 4096
_PIPE_BYTES = 1 << 16
"""What was printed before the end of the command is in the pipe; usually it takes no more."""
_LINES = 3
"""Programs print what is wrong, and after that, in one or two lines, that something was wrong."""


class StepOutput:
    """The pipe that is stdout and stderr of one command; `finish` must be called at every end."""

    def __init__(self, relay: Callable[[bytes], None]) -> None:
        """`relay` gets each piece that is read.  Raises OSError."""
        self._reader, self.writer = os.pipe()
        os.set_blocking(self._reader, False)
        self._relay = relay
        self._lines = LastLines(_LINES)
        self._ends_line = True

    @property
    def deadline(self) -> None:
        """Only the descriptor matters."""

    @property
    def descriptor(self) -> tuple[int, int] | None:
        """What to poll; None if no process has the other end of the pipe any more."""
        return (self._reader, select.POLLIN) if self._reader >= 0 else None

    def advance(self) -> None:
        """Read a piece of what is there."""
        self._read(_PIECE_BYTES)

    def close_writer(self) -> None:
        """Close zkexec's own copy of the end that the command has got.  Idempotent."""
        writer, self.writer = self.writer, -1
        if writer >= 0:
            os.close(writer)

    def finish(self) -> None:
        """Read what is there, without waiting for more, and close the pipe.  Idempotent."""
        self.close_writer()
        self._read(_PIPE_BYTES)
        self._close()
        if not self._ends_line:
            self._ends_line = True
            self._relay(b"\n")

    @property
    def last_lines(self) -> list[str]:
        """The last lines that are not empty; a very long one is cut."""
        return self._lines.texts

    def _read(self, most_bytes: int) -> None:
        if self._reader < 0:
            return
        try:
            piece = os.read(self._reader, most_bytes)
        except BlockingIOError:
            return
        if not piece:
            self._close()
            return
        self._ends_line = piece.endswith(b"\n")
        self._lines.add(piece)
        self._relay(piece)

    def _close(self) -> None:
        reader, self._reader = self._reader, -1
        if reader >= 0:
            os.close(reader)
