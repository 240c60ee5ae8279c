"""Change an attribute of this process.

It is apart from `spawn`, because it is needed before the rest of zkexec is imported.
"""

import ctypes
import os

_libc = ctypes.CDLL(None, use_errno=True)
_libc.prctl.argtypes = (ctypes.c_int, *[ctypes.c_ulong] * 4)


def prctl(option: int, argument: int) -> None:
    """Change an attribute of this process, see `man 2 prctl`; raises OSError."""
    if _libc.prctl(option, argument, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
