"""Change an attribute of this process.

It is apart from `spawn`, because it is needed before the rest of zkexec is imported.
"""

from __future__ import annotations

import ctypes
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


_LONG_BITS = 8 * ctypes.sizeof(ctypes.c_ulong)
_SIGSET_LONGS = 1024 // _LONG_BITS
"""The size of a `sigset_t`, which is the same in all C libraries of Linux."""

libc = ctypes.CDLL(None)
"""The C library, for calls between fork and exec that can take no time and need no errno."""
libc.prctl.argtypes = (ctypes.c_int, *[ctypes.c_ulong] * 4)
libc.signal.argtypes = (ctypes.c_int, ctypes.c_void_p)
libc.sigprocmask.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)

_libc = ctypes.CDLL(None, use_errno=True)
_libc.prctl.argtypes = libc.prctl.argtypes


def prctl(option: int, argument: int) -> None:
    """Change an attribute of this process, see `man 2 prctl`; raises OSError."""
    if _libc.prctl(option, argument, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def signal_set(numbers: Iterable[int]) -> ctypes.Array[ctypes.c_ulong]:
    """Return these signals as the C library takes them."""
    found = (ctypes.c_ulong * _SIGSET_LONGS)()
    for number in numbers:
        found[(number - 1) // _LONG_BITS] |= 1 << (number - 1) % _LONG_BITS
    return found
