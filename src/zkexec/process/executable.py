"""Find the program of a command as execvp does, and explain why it cannot be executed."""

from __future__ import annotations

import errno
import os

TYPE_CHECKING = False  # `typing` is large and slow to import
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import TypeVar

    _T = TypeVar("_T")

CANNOT_RUN, _NOT_EXECUTABLE, _NOT_FOUND = 125, 126, 127
_SHELL = b"/bin/sh"
_DEFAULT_PATH = b"/bin:/usr/bin"

_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR})
# After these errors execvp tries the next folder of the PATH, and so does zkexec.
_LOOK_FURTHER = _ABSENT | {errno.EACCES, errno.ESTALE, errno.ENODEV, errno.ETIMEDOUT}
_SHORTAGES = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE})


class NotExecutedError(Exception):
    """No program was executed, for this `reason`; `status` is 125, 126 or 127 as in a shell."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


def candidates(name: bytes, environment: Mapping[bytes, bytes]) -> Iterator[bytes]:
    """Yield the files that can be the program, in the order in which they are tried."""
    if b"/" in name:
        yield name
    elif name:
        for folder in environment.get(b"PATH", _DEFAULT_PATH).split(b":"):
            # An empty folder in the PATH is the working directory.
            path = folder + b"/" + name if folder else name
            if _may_exist(path):
                yield path


def is_missing(name: bytes, environment: Mapping[bytes, bytes]) -> bool:
    """Return whether there is certainly no file that can be the program."""
    return not any(map(_may_exist, candidates(name, environment)))


def execute(
    paths: Iterable[bytes], argv: Sequence[bytes], attempt: Callable[[bytes, list[bytes]], _T]
) -> _T:
    """Try to execute these files, one after the other; raise NotExecutedError if all fail.

    `attempt` gets a file and its arguments, and raises OSError if the kernel refuses.
    """
    failure = NotExecutedError(_NOT_FOUND, os.strerror(errno.ENOENT))
    for path in paths:
        try:
            return _execute_at(path, argv, attempt)
        except OSError as error:
            explained = _explain(path, error)
            if failure.status == _NOT_FOUND:
                failure = explained
            if error.errno not in _LOOK_FURTHER:
                raise explained from error
    raise failure


def _execute_at(
    path: bytes, argv: Sequence[bytes], attempt: Callable[[bytes, list[bytes]], _T]
) -> _T:
    try:
        return attempt(path, list(argv))
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            raise
    # POSIX requires of execvp that the shell runs a script without `#!`.
    return attempt(_SHELL, [_SHELL, path, *argv[1:]])


def _explain(path: bytes, error: OSError) -> NotExecutedError:
    """Return the status and the reason of a failed exec, as a shell shows them."""
    if error.errno == errno.ENOENT and os.path.exists(path):
        reason = "the interpreter in its first line does not exist"
        return NotExecutedError(_NOT_EXECUTABLE, reason)
    if error.errno == errno.EACCES and os.path.isdir(path):
        return NotExecutedError(_NOT_EXECUTABLE, os.strerror(errno.EISDIR))
    reason = os.strerror(error.errno or 0)
    if error.errno in _ABSENT:
        return NotExecutedError(_NOT_FOUND, reason)
    return NotExecutedError(CANNOT_RUN if error.errno in _SHORTAGES else _NOT_EXECUTABLE, reason)


def _may_exist(path: bytes) -> bool:
    """Return False if there is certainly no such file; trying it would take a new process."""
    try:
        os.stat(path)
    except OSError as error:
        return error.errno not in _ABSENT
    return True
