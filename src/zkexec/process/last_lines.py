"""Keep the last lines of an output, for the reason of a failure.

Programs print why they end just before they do.
"""

from __future__ import annotations

from zkexec.lean import deque

_LONGEST_LINE_BYTES = 4096


class LastLines:
    """The last lines of an output that are not empty; a very long one is cut."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._ended: deque[bytes] = deque(maxlen=count)
        self._begun = b""

    def add(self, piece: bytes) -> None:
        """Take in the next piece of the output."""
        # A carriage return begins the line of a terminal anew, as a progress bar does.
        *ended, begun = (self._begun + piece).replace(b"\r", b"\n").split(b"\n")
        self._ended.extend(line[:_LONGEST_LINE_BYTES] for line in ended if line.strip())
        self._begun = begun[:_LONGEST_LINE_BYTES]

    def clear(self) -> None:
        """Forget all lines."""
        self._ended.clear()
        self._begun = b""

    @property
    def texts(self) -> list[str]:
        """The lines, without blanks at their ends."""
        lines = [line.strip() for line in (*self._ended, self._begun)]
        return [line.decode("utf-8", "backslashreplace") for line in lines if line][-self._count :]
