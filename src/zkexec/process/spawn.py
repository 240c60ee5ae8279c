"""Start a process: the command, a health check or an alert.

`spawn` returns only when the new process has executed its program, so no signal can be passed on to
a process that is not yet the command.  Signals stay blocked until just before exec.

There are three ways.  `spawn` takes the first that can do what the request needs:

- `posix_spawn`.  The new process borrows the memory of zkexec until exec.
- The compiled starter.  It does the same, and all that a `SpawnRequest` says.  It exists only if it
  could be built when zkexec was installed.
- A fork.  The new process sets itself up; a pipe that closes on exec shows that it has.  The kernel
  copies each page of memory that it touches, so it does only what it must.  An error in it ends it:
  it never continues as a second zkexec.

With a terminal the command is always forked.  Ctrl-Z must stop zkexec as well, and a process that
has lent its memory does not stop until it has it back.

Only the main thread may fork: the parent-death signal comes when the *thread* that forked ends.
The kernel drops this signal if a set-user-id program is executed, and it does not reach the
descendants of the new process.
"""

from __future__ import annotations

import gc
import os
from _thread import get_native_id

from zkexec.frozen import frozen
from zkexec.lean import signal
from zkexec.process.c_library import (
    prctl_in_child,
    signal_in_child,
    signal_set,
    sigprocmask_in_child,
)
from zkexec.process.cgroup import enter
from zkexec.process.compiled_starter import START
from zkexec.process.executable import CANNOT_RUN, NotExecutedError, candidates, execute
from zkexec.process.inheritance import IGNORED_BY_PYTHON

TYPE_CHECKING = False  # `typing` is large and slow to import
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import Any, NoReturn, TypeAlias

    from zkexec.process.compiled_starter import StartFunction

    Attempt: TypeAlias = Callable[[bytes, list[bytes]], int]
    Steps: TypeAlias = list[tuple[Callable[..., object], tuple[Any, ...]]]

_STDOUT, _STDERR = 1, 2
_FIRST_PASSED = 3
"""The first descriptor that a service manager passes on."""
_PR_SET_PDEATHSIG = 1
_SIG_SETMASK = 2
_SIG_DFL, _SIG_IGN = 0, 1
_FAILED = "\n"
"""In the pipe, comes between the signals that the new process has received and its error."""
_ROOM_FOR_PID = bytes(32)
_MESSAGE_BYTES = 4096
"""At most what a pipe takes at once."""


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
    when zkexec ends in any way.  The descriptor `output` becomes stdout and stderr, and `stderr`
    only stderr; what gets none stays as it is.  The variables `named_by_pid` get the pid of the
    new process, which enters the cgroup in the folder `cgroup` if there is one.  `closed` is how
    many descriptors are closed, from 3 on.  The program is found by the PATH in `searched`, by
    default that in `environment`.
    """

    argv: Sequence[bytes]
    environment: Mapping[bytes, bytes]
    mask: frozenset[int]
    ignored: frozenset[int]
    own_session: bool
    dies_with_parent: bool
    null_stdin: bool = False
    output: int | None = None
    stderr: int | None = None
    named_by_pid: frozenset[bytes] = frozenset()
    cgroup: str = ""
    closed: int = 0
    searched: Mapping[bytes, bytes] | None = None

    @property
    def candidates(self) -> Iterator[bytes]:
        """The files that can be the program, in the order in which they are tried."""
        searched = self.environment if self.searched is None else self.searched
        return candidates(self.argv[0], searched)


def spawn(request: SpawnRequest, missed: set[int] | None = None) -> int:
    """Start a process and return its pid, once it has executed the command.

    Signals that are pending for zkexec but came too early for the new process are added to
    `missed`: a signal to the group of both, such as Ctrl-C, has then reached zkexec alone.
    Raises SpawnError if nothing was started; no zombie is left then.
    """
    if get_native_id() != os.getpid():
        raise RuntimeError("only the main thread may start processes")
    if missed is None and not _needs_setup(request):
        return _execute(request, _by_posix_spawn(request))
    if missed is None and START is not None:
        return _execute(request, _by_starter(request, START))
    return _Fork(request, missed).run()


def _needs_setup(request: SpawnRequest) -> bool:
    """Decide whether the new process has to do what `posix_spawn` cannot."""
    return bool(
        request.dies_with_parent
        or request.named_by_pid
        or request.cgroup
        or request.closed
        # zkexec must not ignore its own SIGCHLD, so the new process would not ignore it either.
        or signal.SIGCHLD in request.ignored
    )


def _copied(request: SpawnRequest) -> list[tuple[int, int]]:
    """List which descriptors become stdout and stderr of the new process."""
    copied = []
    if request.output is not None:
        copied += [(request.output, _STDOUT), (request.output, _STDERR)]
    if request.stderr is not None:
        copied.append((request.stderr, _STDERR))
    return copied


def _execute(request: SpawnRequest, attempt: Attempt) -> int:
    """Find the program and start it; each attempt is a new process."""
    try:
        return execute(request.candidates, request.argv, attempt)
    except NotExecutedError as error:
        raise _error(request, error.status, error.reason) from error


def _by_posix_spawn(request: SpawnRequest) -> Attempt:
    actions: list[Any] = []
    if request.null_stdin:
        actions.append((os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0))
    actions += [(os.POSIX_SPAWN_DUP2, *copied) for copied in _copied(request)]

    def attempt(path: bytes, argv: list[bytes]) -> int:
        return os.posix_spawn(
            path,
            argv,
            request.environment,
            file_actions=actions,
            setsid=request.own_session,
            setsigmask=request.mask,
            setsigdef=IGNORED_BY_PYTHON,
        )

    return attempt


def _by_starter(request: SpawnRequest, start: StartFunction) -> Attempt:
    environment: list[bytes | bytearray] = [
        bytearray(name + b"=" + _ROOM_FOR_PID)
        if name in request.named_by_pid
        else name + b"=" + value
        for name, value in request.environment.items()
    ]

    def attempt(path: bytes, argv: list[bytes]) -> int:
        try:
            return start(path, argv, environment, request)
        except OSError as error:
            if error.filename is None:
                raise
            reason = os.strerror(error.errno or 0)
        except ValueError as error:
            reason = str(error)
        raise NotExecutedError(CANNOT_RUN, reason)

    return attempt


class _Fork:
    """One fork, with all prepared that the new process needs."""

    def __init__(self, request: SpawnRequest, missed: set[int] | None) -> None:
        self._request = request
        self._missed = missed
        self._zkexec = os.getpid()
        self._argv = list(request.argv)
        self._environment = dict(request.environment)
        self._first = next(request.candidates, b"")

    def run(self) -> int:
        """Fork, and wait for the exec."""
        try:
            reading, writing = os.pipe()
        except OSError as error:
            raise _error(self._request, CANNOT_RUN, os.strerror(error.errno or 0)) from error
        try:
            pid = self._fork(writing, self._steps(writing))
        except OSError as error:
            os.close(reading)
            raise _error(self._request, CANNOT_RUN, os.strerror(error.errno or 0)) from error
        finally:
            os.close(writing)
        waiting = signal.sigpending() if self._missed is not None else ()
        received, _, message = _read_all(reading).partition(_FAILED.encode())
        if self._missed is not None:
            self._missed.update(set(waiting) - set(map(int, received.split())))
        if message:
            os.waitpid(pid, 0)
            status, _, reason = message.partition(b" ")
            raise _error(self._request, int(status), reason.decode("utf-8", "replace"))
        return pid

    def _fork(self, pipe: int, steps: Steps) -> int:
        collects = gc.isenabled()
        gc.disable()  # no object of zkexec may be finalized a second time in the new process
        try:
            pid = os.fork()
            if not pid:
                self._run_in_child(pipe, steps)
            return pid
        finally:
            if os.getpid() != self._zkexec:
                os._exit(CANNOT_RUN)
            if collects:
                gc.enable()

    def _run_in_child(self, pipe: int, steps: Steps) -> NoReturn:
        """Set this new process up and execute the command; any way out of here ends the process."""
        try:
            for do, arguments in steps:
                do(*arguments)
            if self._first:
                try:  # noqa: SIM105 -- what is not needed for the first file stays untouched
                    os.execve(self._first, self._argv, self._environment)
                except OSError:
                    pass
            execute(self._request.candidates, self._argv, self._attempt)
        except NotExecutedError as error:
            status, reason = error.status, error.reason
        except OSError as error:
            status, reason = CANNOT_RUN, os.strerror(error.errno or 0)
        except BaseException as error:  # noqa: BLE001 -- zkexec gets it through the pipe and raises it
            status, reason = CANNOT_RUN, str(error)
        try:
            message = f"{_FAILED}{status} {reason}"
            os.write(pipe, message.encode("utf-8", "replace")[:_MESSAGE_BYTES])
        finally:
            os._exit(CANNOT_RUN)

    def _attempt(self, path: bytes, argv: list[bytes]) -> NoReturn:
        os.execve(path, argv, self._environment)

    def _steps(self, pipe: int) -> Steps:
        """List the calls by which the new process sets itself up; most of them run no Python."""
        request = self._request
        steps: Steps = []
        if request.own_session:
            steps.append((os.setsid, ()))
        if request.cgroup:
            steps.append((enter, (request.cgroup,)))
        if request.dies_with_parent:
            steps.append((prctl_in_child, (_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)))
            steps.append((_end_without, (self._zkexec,)))
        # Before others are closed: of those that a service manager claims to pass, it can be one.
        steps += [(os.dup2, copied) for copied in _copied(request)]
        if request.closed:
            steps.append((os.closerange, (_FIRST_PASSED, _FIRST_PASSED + request.closed)))
        if request.null_stdin:
            steps.append((_take_stdin_away, ()))
        if request.named_by_pid:
            steps.append((_name_by_pid, (self._environment, request.named_by_pid)))
        steps += [(signal_in_child, (int(number), _SIG_DFL)) for number in IGNORED_BY_PYTHON]
        steps += [(signal_in_child, (int(number), _SIG_IGN)) for number in request.ignored]
        if self._missed is not None:
            steps.append((_report_pending, (pipe,)))
        steps.append((sigprocmask_in_child, (_SIG_SETMASK, signal_set(request.mask), None)))
        return steps


def _end_without(parent: int) -> None:
    if os.getppid() != parent:
        os._exit(CANNOT_RUN)  # zkexec ended before the prctl


def _take_stdin_away() -> None:
    os.dup2(os.open("/dev/null", os.O_RDONLY), 0)


def _name_by_pid(environment: dict[bytes, bytes], names: Iterable[bytes]) -> None:
    environment.update(dict.fromkeys(names, b"%d" % os.getpid()))


def _report_pending(pipe: int) -> None:
    os.write(pipe, b" ".join(b"%d" % number for number in signal.sigpending()))


def _read_all(pipe: int) -> bytes:
    """Read a pipe to its end, and close it."""
    content = b""
    try:
        while piece := os.read(pipe, _MESSAGE_BYTES):
            content += piece
    finally:
        os.close(pipe)
    return content


def _error(request: SpawnRequest, status: int, reason: str) -> SpawnError:
    verb = "start" if status == CANNOT_RUN else "execute"
    return SpawnError(f"cannot {verb} {_readable(request.argv[0])}: {reason}", status)


def _readable(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")
