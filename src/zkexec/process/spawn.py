"""Start a process: the command, a health check or an alert.

The main thread forks, and the new process sets itself up as the `SpawnRequest` says and executes
the command.  A pipe that closes on exec shows when this has happened.  `spawn` returns only then,
so no signal can be passed on to a process that is not yet the command.  Signals stay blocked until
just before exec.  An error in the new process ends it: it never continues as a second zkexec.

Only the main thread may fork: the parent-death signal comes when the *thread* that forked ends.
The kernel drops this signal if a set-user-id program is executed, and it does not reach the
descendants of the new process.
"""

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
from zkexec.process.prctl import prctl

TYPE_CHECKING = False  # `typing` is large and slow to import
if TYPE_CHECKING:
    from typing import NoReturn

_CANNOT_RUN, _NOT_EXECUTABLE, _NOT_FOUND = 125, 126, 127
_SHELL = b"/bin/sh"
_FIRST_PASSED = 3
"""The first descriptor that a service manager passes on."""
_DEFAULT_PATH = b"/bin:/usr/bin"
_PR_SET_PDEATHSIG = 1
_MESSAGE_BYTES = 4096
"""At most what a pipe takes at once."""

_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR})
# After these errors execvp tries the next folder of the PATH, and so does zkexec.
_LOOK_FURTHER = _ABSENT | {errno.EACCES, errno.ESTALE, errno.ENODEV, errno.ETIMEDOUT}
_SHORTAGES = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE})

# From Python 3.12 on, a fork beside other threads warns, because Python may not work in the new
# process.  This one only executes the command.  Switching the warning off around each fork would
# take a tenth of the time of a start: the new process copies each page of memory that it touches.
warnings.simplefilter("ignore", DeprecationWarning)


class SpawnError(Exception):
    """Nothing was started, for this `reason`; `status` is 125, 126 or 127 as in a shell."""

    def __init__(self, reason: str, status: int) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status


@frozen(kw_only=True)
class SpawnRequest:
    """What a new process executes, and the state in which it begins.

    `mask` and `ignored` are signal numbers.  With `dies_with_parent` the kernel kills the process
    when zkexec ends in any way.  The variables `named_by_pid` get the pid of the new process,
    which enters the cgroup in the folder `cgroup` if there is one.  `closed` is how many
    descriptors are closed, from 3 on.
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


def spawn(request: SpawnRequest, missed: set[int] | None = None) -> int:
    """Start a process and return its pid, once it has executed the command.

    Signals that are pending for zkexec but came too early for the new process are added to
    `missed`: a signal to the group of both, such as Ctrl-C, has then reached zkexec alone.
    Raises SpawnError if nothing was started; no zombie is left then.
    """
    if get_native_id() != os.getpid():
        raise RuntimeError("only the main thread may start processes")
    name = _readable(request.argv[0])
    try:
        reading, writing = os.pipe()
    except OSError as error:
        raise SpawnError(f"cannot start {name}: {error.strerror}", _CANNOT_RUN) from error
    try:
        pid = _fork_into(request, writing)
    except OSError as error:
        os.close(reading)
        raise SpawnError(f"cannot start {name}: {error.strerror}", _CANNOT_RUN) from error
    finally:
        os.close(writing)
    waiting = signal.sigpending()
    with open(reading, "rb") as pipe:
        received, _, message = pipe.read().partition(b"\n")
    message = message.lstrip(b"\n")
    if missed is not None:
        missed |= waiting - set(map(int, received.split()))
    if message:
        os.waitpid(pid, 0)
        status, _, reason = message.partition(b" ")
        raise SpawnError(reason.decode("utf-8", "replace"), int(status))
    return pid


def _fork_into(request: SpawnRequest, pipe: int) -> int:
    zkexec = os.getpid()
    try:
        pid = os.fork()
        if not pid:
            _run_in_child(request, zkexec, pipe)
        return pid
    finally:
        if os.getpid() != zkexec:
            os._exit(_CANNOT_RUN)


def _run_in_child(request: SpawnRequest, zkexec: int, pipe: int) -> "NoReturn":
    """Set this new process up and execute the command; any way out of here ends the process."""
    try:
        gc.disable()  # no object of zkexec may be finalized a second time here
        _prepare(request, zkexec)
        _unblock_signals(request, pipe)
        status, reason = _execute(request.argv, _environment(request))
    except BaseException as error:  # noqa: BLE001 -- zkexec gets it through the pipe and raises it
        status, reason = _CANNOT_RUN, str(error)
    try:
        name = _readable(request.argv[0])
        message = f"\n{status} cannot execute {name}: {reason}"
        os.write(pipe, message.encode("utf-8", "replace")[:_MESSAGE_BYTES])
    finally:
        os._exit(_CANNOT_RUN)


def _prepare(request: SpawnRequest, zkexec: int) -> None:
    if request.own_session:
        os.setsid()
    if request.cgroup:
        enter(request.cgroup)
    if request.dies_with_parent:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != zkexec:
            os._exit(_CANNOT_RUN)  # zkexec ended before the prctl
    os.closerange(_FIRST_PASSED, _FIRST_PASSED + request.closed)
    if request.null_stdin:
        os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
    if request.stdout_to_stderr:
        os.dup2(2, 1)
    for one in IGNORED_BY_PYTHON:
        signal.signal(one, signal.SIG_DFL)
    for number in request.ignored:
        signal.signal(number, signal.SIG_IGN)


def _environment(request: SpawnRequest) -> Mapping[bytes, bytes]:
    own = b"%d" % os.getpid()
    return {**request.environment, **dict.fromkeys(request.named_by_pid, own)}


def _unblock_signals(request: SpawnRequest, pipe: int) -> None:
    """Report the signals that are pending since the fork, and set the caller's mask."""
    received = " ".join(str(int(number)) for number in signal.sigpending())
    os.write(pipe, f"{received}\n".encode())
    signal.pthread_sigmask(signal.SIG_SETMASK, request.mask)


def _execute(argv: Sequence[bytes], environment: Mapping[bytes, bytes]) -> tuple[int, str]:
    """Execute like execvp, with the PATH of the environment; return only if this failed."""
    failure = _NOT_FOUND, os.strerror(errno.ENOENT)
    for path in _candidates(argv[0], environment):
        try:
            _execute_at(path, argv, environment)
        except OSError as error:
            if failure[0] == _NOT_FOUND:
                failure = _explain(path, error)
            if error.errno not in _LOOK_FURTHER:
                return _explain(path, error)
    return failure


def _candidates(name: bytes, environment: Mapping[bytes, bytes]) -> Sequence[bytes]:
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
    # POSIX requires of execvp that the shell runs a script without `#!`.
    os.execve(_SHELL, [_SHELL, path, *argv[1:]], environment)


def _explain(path: bytes, error: OSError) -> tuple[int, str]:
    """Return the status and the reason of a failed exec, as a shell shows them."""
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
