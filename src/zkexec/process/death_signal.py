"""Have the kernel kill a process group when zkexec ends in any way, also by SIGKILL.

A parent-death signal must be set by the new process itself, before it executes its program.  This
one is set from outside, on a process that runs.  The kernel can signal the owner of a file when the
file becomes ready.  zkexec alone has the two ends of a pipe.  When it ends, the kernel closes one
of them first, and then the other one is ready.
"""

import fcntl
import os
import signal
from contextlib import suppress


class DeathSignal:
    """A SIGKILL for one process group at a time."""

    def __init__(self) -> None:
        self._ends: tuple[int, ...] = ()

    def aim(self, group: int) -> None:
        """Have this group killed, and no other one any more; it must exist.

        If this host has no descriptor to spare, no group is killed.
        """
        with suppress(OSError):
            if not self._ends:
                self._ends = _armed_pipe()
            for end in self._ends:
                fcntl.fcntl(end, fcntl.F_SETOWN, -group)


def _armed_pipe() -> tuple[int, int]:
    ends = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    for end in ends:
        fcntl.fcntl(end, fcntl.F_SETSIG, signal.SIGKILL)
        # The kernel does not define which end it closes first, so both are armed.
        flags = fcntl.fcntl(end, fcntl.F_GETFL)
        fcntl.fcntl(end, fcntl.F_SETFL, flags | os.O_ASYNC)
    return ends
