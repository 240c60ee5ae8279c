"""The calls of the C library that Python does not offer.

They are made with what `ctypes` is made of.  `ctypes` itself makes a class for each type of C and
imports more modules, which takes longer than all that is called here.
"""

from __future__ import annotations

import os
import sys
from _ctypes import (
    FUNCFLAG_CDECL,
    FUNCFLAG_USE_ERRNO,
    CFuncPtr,
    _SimpleCData,
    addressof,
    dlopen,
    get_errno,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    _Value = _SimpleCData[int]
else:
    _Value = _SimpleCData

_PR_GET_CHILD_SUBREAPER = 37
_WORD_BYTES = 4 if sys.maxsize < 1 << 32 else 8
_SIGSET_BYTES = 1024 // 8
"""The size of a `sigset_t`, which is the same in all C libraries of Linux."""


class _Int(_Value):
    _type_ = "i"


class _Long(_Value):
    _type_ = "L"


class _Address(_Value):
    _type_ = "P"


class _Function(CFuncPtr):
    """A function that returns an int."""

    _flags_ = FUNCFLAG_CDECL
    _restype_ = _Int


class _FunctionWithErrno(CFuncPtr):
    """A function that returns an int, and whose `errno` is kept for `get_errno`."""

    _flags_ = FUNCFLAG_CDECL | FUNCFLAG_USE_ERRNO
    _restype_ = _Int


class _Loaded:
    """The libraries that this process has loaded, as a function expects them."""

    _handle = dlopen(None, 0)  # type: ignore[arg-type]  # typeshed lacks None


_LIBRARY: Any = _Loaded()


def _typed(function: CFuncPtr, *types: type) -> CFuncPtr:
    function.argtypes = types
    return function


_PRCTL = (_Int, _Long, _Long, _Long, _Long)

# Between fork and exec these take no time, and need no errno.
prctl_in_child = _typed(_Function(("prctl", _LIBRARY)), *_PRCTL)
signal_in_child = _typed(_Function(("signal", _LIBRARY)), _Int, _Address)
sigprocmask_in_child = _typed(_Function(("sigprocmask", _LIBRARY)), _Int, _Address, _Address)

_prctl = _typed(_FunctionWithErrno(("prctl", _LIBRARY)), *_PRCTL)
_signalfd = _typed(_FunctionWithErrno(("signalfd", _LIBRARY)), _Int, _Address, _Int)


def prctl(option: int, argument: int) -> None:
    """Change an attribute of this process, see `man 2 prctl`; raises OSError."""
    _checked(_prctl(option, argument, 0, 0, 0))


def is_subreaper() -> bool:
    """Return whether this process adopts the orphans among its descendants."""
    answer = _Int()
    prctl(_PR_GET_CHILD_SUBREAPER, addressof(answer))
    return bool(answer.value)


def signalfd(numbers: Iterable[int], flags: int) -> int:
    """Open a descriptor that can be read if one of these signals is pending; raises OSError."""
    return _checked(_signalfd(-1, signal_set(numbers), flags))


def signal_set(numbers: Iterable[int]) -> bytes:
    """Return these signals as the C library takes them: the bits of words of its own size."""
    words = [0] * (_SIGSET_BYTES // _WORD_BYTES)
    for number in numbers:
        words[(number - 1) // (8 * _WORD_BYTES)] |= 1 << (number - 1) % (8 * _WORD_BYTES)
    return b"".join([word.to_bytes(_WORD_BYTES, sys.byteorder) for word in words])


def _checked(result: int) -> int:
    if result < 0:
        number = get_errno()
        raise OSError(number, os.strerror(number))
    return result
