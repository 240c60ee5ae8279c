"""The moments that children tell: lines in a FIFO, one for each child that entered main."""

import os
import select
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

PATIENCE_S = 60.0


class Stamp(NamedTuple):
    """A child entered main at that time of the monotonic clock, and its file began with the tag."""

    entered_ns: int
    pid: int
    tag: str


class Stamps:
    """A FIFO that children write to."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = str(path)
        # Open for both, so that it never ends where there is no child for a while.
        self._descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._rest = b""

    def next(self, timeout_s: float = PATIENCE_S) -> Stamp:
        """Wait for the next one; TimeoutError if it does not come."""
        give_up_at = time.monotonic() + timeout_s
        while b"\n" not in self._rest:
            left_s = max(0.0, give_up_at - time.monotonic())
            if not select.select([self._descriptor], [], [], left_s)[0]:
                raise TimeoutError(f"{self.path}: no child in main within {timeout_s} s")
            self._rest += os.read(self._descriptor, 65536)
        line, _, self._rest = self._rest.partition(b"\n")
        entered_ns, pid, tag = line.decode().split(" ", 2)
        return Stamp(int(entered_ns), int(pid), tag)

    def drain(self) -> list[Stamp]:
        """Take all that are there, without waiting."""
        seen: list[Stamp] = []
        with suppress(TimeoutError):
            while True:
                seen.append(self.next(0.0))
        return seen

    def until(self, tag: str, timeout_s: float = PATIENCE_S) -> list[Stamp]:
        """All stamps up to the first with this tag; TimeoutError if one of them does not come."""
        seen = [self.next(timeout_s)]
        while seen[-1].tag != tag:
            seen.append(self.next(timeout_s))
        return seen

    def close(self) -> None:
        """Close the FIFO."""
        os.close(self._descriptor)
