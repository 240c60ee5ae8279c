"""Wait for signals, and find out whether the terminal sent them.

`signal.sigtimedwait` of CPython must not get a time to wait.  If the process is stopped and
continued (SIGSTOP, or Ctrl-Z and `fg`) and the time has run out meanwhile, it returns memory that
was never written: any number, perhaps that of a signal that came long ago.  So zkexec waits in
`poll`, on a descriptor that becomes readable when a signal is pending, and takes the signal by a
call that does not wait and so cannot be interrupted.

What the terminal sends goes to a whole process group at once, to zkexec and to the command, so
zkexec must not pass it on.  Only the siginfo distinguishes it from a `kill`.
"""

from __future__ import annotations

import os
import select
import time

from zkexec.lean import signal
from zkexec.process.c_library import signalfd

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


KEYS = frozenset({signal.SIGINT, signal.SIGQUIT, signal.SIGWINCH})
"""What the terminal sends to its foreground group; WINCH comes with a change of its size."""
_SI_KERNEL = 0x80
_SFD_CLOEXEC = os.O_CLOEXEC
_LONGEST_POLL_S = 86400.0
"""`poll` counts milliseconds in an int, so a longer wait wakes once a day."""
_WITHOUT_POLL_S = 0.1
"""How late a signal is noticed while this host is short of descriptors or memory."""


class PendingSignals:
    """Signals that are blocked in the calling thread and taken one by one."""

    def __init__(self, awaited: Iterable[int]) -> None:
        self._awaited = frozenset(awaited)
        self._poll = select.poll()
        self._poll.register(signalfd(self._awaited, _SFD_CLOEXEC), select.POLLIN)
        self._also: dict[int, int] = {}

    def wait(
        self, timeout_s: float | None, also: Sequence[tuple[int, int]] = ()
    ) -> signal.struct_siginfo | None:
        """Take the next signal; None if there is none in this time, which can end early.

        It ends as well when a descriptor in `also` is ready for what `select.poll` calls the number
        behind it.
        """
        if timeout_s is None and not also:
            return signal.sigwaitinfo(self._awaited)
        if timeout_s is None or timeout_s > 0:
            timeout_s = _LONGEST_POLL_S if timeout_s is None else min(timeout_s, _LONGEST_POLL_S)
            self._poll_also(also)
            try:
                self._poll.poll(1000 * timeout_s)
            except OSError:
                # The limit of descriptors was lowered below one, or memory is short.
                time.sleep(min(timeout_s, _WITHOUT_POLL_S))
        return signal.sigtimedwait(self._awaited, 0)

    def _poll_also(self, also: Sequence[tuple[int, int]]) -> None:
        wanted = dict(also)
        if wanted == self._also:
            return
        for descriptor in self._also.keys() - wanted.keys():
            self._poll.unregister(descriptor)
        for descriptor, events in wanted.items():
            self._poll.register(descriptor, events)
        self._also = wanted


def is_key(info: signal.struct_siginfo) -> bool:
    """Return whether a terminal sent this signal."""
    return info.si_signo in KEYS and info.si_code == _SI_KERNEL


def is_job_control_shell(pid: int) -> bool:
    """Return whether this is a shell that moves process groups between fore- and background."""
    if pid <= 0 or pid not in (os.getppid(), os.getsid(0)):
        return False
    try:
        return os.getsid(pid) == os.getsid(0) and os.getpgid(pid) != os.getpgrp()
    except ProcessLookupError:
        return False
