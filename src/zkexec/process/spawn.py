"""The one way in which zkexec starts a process, be it child, health check or alert.

The main thread forks, the new process makes itself what the `SpawnRequest` says and executes the
command; a pipe that closes on exec tells whether it got so far.  `spawn` returns only then, so
no signal can be passed on to something that is not yet the command.  Signals stay blocked until
just before exec.  Whatever goes wrong in the new process ends it: it never runs on as a second
zkexec.

Only the main thread may fork: the parent-death signal comes when the *thread* that forked ends.
The kernel drops that signal where a set-user-id program is executed, and it does not reach the
descendants of the new process.
"""

import ctypes
import errno
import gc
import os
import signal
import warnings
from _thread import get_native_id
from collections.abc import Mapping, Sequence

from zkexec.frozen import frozen
from zkexec.process.cgroup import enter
from zkexec.process.inheritance import IGNORED_BY_PYTHON

TYPE_CHECKING = False  # as in cli.py: `typing` is slow to import, and large
if TYPE_CHECKING:
    from typing import NoReturn

_CANNOT_RUN, _NOT_EXECUTABLE, _NOT_FOUND = 125, 126, 127
_SHELL = b"/bin/sh"
_FIRST_PASSED = 3
"""Where the descriptors begin that a service manager passes on."""
_DEFAULT_PATH = b"/bin:/usr/bin"
_PR_SET_PDEATHSIG = 1
_MESSAGE_BYTES = 4096
"""No longer than what a pipe takes at once."""

_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR})
# With these execvp goes on to the next folder of the PATH, and so do we.
_LOOK_FURTHER = _ABSENT | {errno.EACCES, errno.ESTALE, errno.ENODEV, errno.ETIMEDOUT}
_SHORTAGES = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE})

# From Python 3.12 on a fork beside other threads warns, for the sake of those who go on to use
# Python there.  The new process only executes the command.  To switch that off around each fork
# would be a tenth of a start: the new process copies every page of memory that it touches.
warnings.simplefilter("ignore", DeprecationWarning)

_libc = ctypes.CDLL(None, use_errno=True)
_libc.prctl.argtypes = (ctypes.c_int, *[ctypes.c_ulong] * 4)


class SpawnError(Exception):
    """Nothing was started: `reason` says why, `status` is 125, 126 or 127 as for a shell."""

    def __init__(self, reason: str, status: int) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status


@frozen(kw_only=True)
class SpawnRequest:
    """A process to be: what it executes and what it is born with.

    `mask` and `ignored` are signal numbers.  `dies_with_parent` has the kernel kill it when
    zkexec ends, however that comes.  The variables `named_by_pid` get the pid of the new process,
    which enters the folder `cgroup` if there is one.  So many descriptors from 3 on are `closed`.
    """

    argv: Sequence[bytes]
    environment: Mapping[bytes, bytes]
    mask: frozenset[int]
    ignored: frozenset[int]
    own_session: bool
    dies_with_parent: bool
    null_stdin: bool = False
    stdout_to_stderr: bool = False
    named_by_pid: frozenset[bytes] = frozenset()
    cgroup: str = ""
    closed: int = 0


def prctl(option: int, argument: int) -> None:
    """Change an attribute of this process, see `man 2 prctl`; raises OSError."""
    if _libc.prctl(option, argument, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def spawn(launch: SpawnRequest, unheard: set[int] | None = None) -> int:
    """Start a process and return its pid, once it has executed the command.

    Into `unheard` come the signals that wait for zkexec but came too early for the new process:
    one that was sent to the group of both, such as Ctrl-C, has reached zkexec alone.
    Raises SpawnError where nothing was started; then no zombie is left either.
    """
    if get_native_id() != os.getpid():
        raise RuntimeError("only the main thread may start processes")
    name = _readable(launch.argv[0])
    try:
        reading, writing = os.pipe()
    except OSError as error:
        raise SpawnError(f"cannot start {name}: {error.strerror}", _CANNOT_RUN) from error
    try:
        pid = _fork_into(launch, writing)
    except OSError as error:
        os.close(reading)
        raise SpawnError(f"cannot start {name}: {error.strerror}", _CANNOT_RUN) from error
    finally:
        os.close(writing)
    waiting = signal.sigpending()
    with open(reading, "rb") as pipe:
        heard, _, message = pipe.read().partition(b"\n")
    message = message.lstrip(b"\n")
    if unheard is not None:
        unheard |= waiting - set(map(int, heard.split()))
    if message:
        os.waitpid(pid, 0)
        status, _, reason = message.partition(b" ")
        raise SpawnError(reason.decode("utf-8", "replace"), int(status))
    return pid


def _fork_into(launch: SpawnRequest, pipe: int) -> int:
    zkexec = os.getpid()
    try:
        pid = os.fork()
        if not pid:
            _become(launch, zkexec, pipe)
        return pid
    finally:
        if os.getpid() != zkexec:
            os._exit(_CANNOT_RUN)


def _become(launch: SpawnRequest, zkexec: int, pipe: int) -> "NoReturn":
    """Turn this new process into what the launch says; every way out of here ends it."""
    try:
        gc.disable()  # nothing of zkexec's may be finalized a second time in here
        _prepare(launch, zkexec)
        _let_signals_in(launch, pipe)
        status, reason = _execute(launch.argv, _environment(launch))
    except BaseException as error:  # noqa: BLE001 -- it is told to zkexec, which raises it
        status, reason = _CANNOT_RUN, str(error)
    try:
        name = _readable(launch.argv[0])
        message = f"\n{status} cannot execute {name}: {reason}"
        os.write(pipe, message.encode("utf-8", "replace")[:_MESSAGE_BYTES])
    finally:
        os._exit(_CANNOT_RUN)


def _prepare(launch: SpawnRequest, zkexec: int) -> None:
    if launch.own_session:
        os.setsid()
    if launch.cgroup:
        enter(launch.cgroup)
    if launch.dies_with_parent:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != zkexec:
            os._exit(_CANNOT_RUN)  # zkexec ended before its death could be heard of
    os.closerange(_FIRST_PASSED, _FIRST_PASSED + launch.closed)
    if launch.null_stdin:
        os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
    if launch.stdout_to_stderr:
        os.dup2(2, 1)
    for unasked in IGNORED_BY_PYTHON:
        signal.signal(unasked, signal.SIG_DFL)
    for number in launch.ignored:
        signal.signal(number, signal.SIG_IGN)


def _environment(launch: SpawnRequest) -> Mapping[bytes, bytes]:
    own = b"%d" % os.getpid()
    return {**launch.environment, **dict.fromkeys(launch.named_by_pid, own)}


def _let_signals_in(launch: SpawnRequest, pipe: int) -> None:
    """Tell zkexec what has been kept waiting since the fork, and take the caller's mask."""
    heard = " ".join(str(int(number)) for number in signal.sigpending())
    os.write(pipe, f"{heard}\n".encode())
    signal.pthread_sigmask(signal.SIG_SETMASK, launch.mask)


def _execute(argv: Sequence[bytes], environment: Mapping[bytes, bytes]) -> tuple[int, str]:
    """Do as execvp does, with the PATH of the environment; return only if that failed."""
    failure = _NOT_FOUND, os.strerror(errno.ENOENT)
    for path in _places(argv[0], environment):
        try:
            _execute_at(path, argv, environment)
        except OSError as error:
            if failure[0] == _NOT_FOUND:
                failure = _explain(path, error)
            if error.errno not in _LOOK_FURTHER:
                return _explain(path, error)
    return failure


def _places(name: bytes, environment: Mapping[bytes, bytes]) -> Sequence[bytes]:
    if not name:
        return ()
    if b"/" in name:
        return (name,)
    # An empty folder in the PATH is the working directory.
    folders = environment.get(b"PATH", _DEFAULT_PATH).split(b":")
    return [folder + b"/" + name if folder else name for folder in folders]


def _execute_at(path: bytes, argv: Sequence[bytes], environment: Mapping[bytes, bytes]) -> None:
    try:
        os.execve(path, list(argv), environment)
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            raise
    # A script without `#!` runs by the shell, as POSIX wants it from execvp.
    os.execve(_SHELL, [_SHELL, path, *argv[1:]], environment)


def _explain(path: bytes, error: OSError) -> tuple[int, str]:
    """Tell the status and the reason of a failed exec, in the words and numbers of a shell."""
    if error.errno == errno.ENOENT and os.path.exists(path):
        return _NOT_EXECUTABLE, "the interpreter in its first line does not exist"
    if error.errno == errno.EACCES and os.path.isdir(path):
        return _NOT_EXECUTABLE, os.strerror(errno.EISDIR)
    reason = os.strerror(error.errno or 0)
    if error.errno in _ABSENT:
        return _NOT_FOUND, reason
    return _CANNOT_RUN if error.errno in _SHORTAGES else _NOT_EXECUTABLE, reason


def _readable(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")
