"""The wait for a signal, with its siginfo and at most until a deadline.

`signal.sigtimedwait` of CPython must not be given a time to wait.  If the process is stopped and
continued (SIGSTOP, or Ctrl-Z and `fg`) and the time has run out meanwhile, it returns memory that
nobody has written to: any number, perhaps one of a signal that came long ago.  So the time is
waited in `poll`, on a descriptor that becomes readable when a signal is pending, and the signal is
taken by a call that does not wait and so cannot be interrupted.
"""

import ctypes
import os
import select
import signal
import time
from collections.abc import Iterable

_SFD_CLOEXEC = os.O_CLOEXEC
_LONG_BITS = 8 * ctypes.sizeof(ctypes.c_ulong)
_SIGSET_LONGS = 1024 // _LONG_BITS
"""The size of a `sigset_t`, which is the same in all C libraries of Linux."""
_LONGEST_POLL_S = 86400.0
"""`poll` counts milliseconds in an int.  Who waits longer is woken once a day, for nothing."""
_WITHOUT_POLL_S = 0.1
"""How late a signal may be noticed while this host has nothing to spare."""

_libc = ctypes.CDLL(None, use_errno=True)


class PendingSignals:
    """Signals that are blocked in the calling thread and taken one by one."""

    def __init__(self, awaited: Iterable[int]) -> None:
        self._awaited = frozenset(awaited)
        self._poll = select.poll()
        self._poll.register(_signalfd(self._awaited), select.POLLIN)

    def wait(self, timeout_s: float | None) -> signal.struct_siginfo | None:
        """Take the next signal; None if there is none in this time, which may end early."""
        if timeout_s is None:
            return signal.sigwaitinfo(self._awaited)
        if timeout_s > 0:
            try:
                self._poll.poll(1000 * min(timeout_s, _LONGEST_POLL_S))
            except OSError:
                # Where the limit of descriptors was lowered below one, or memory is short.
                time.sleep(min(timeout_s, _WITHOUT_POLL_S))
        return signal.sigtimedwait(self._awaited, 0)


def _signalfd(numbers: Iterable[int]) -> int:
    mask = (ctypes.c_ulong * _SIGSET_LONGS)()
    for number in numbers:
        mask[(number - 1) // _LONG_BITS] |= 1 << (number - 1) % _LONG_BITS
    descriptor: int = _libc.signalfd(-1, mask, _SFD_CLOEXEC)
    if descriptor < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return descriptor
