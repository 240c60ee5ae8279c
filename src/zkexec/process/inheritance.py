"""Set this process up for zkexec, and end it.

`inherit` runs before anything else: before a large import, so that an early Ctrl-C prints no
traceback, and before any thread, so that all threads have its signal mask.  It notes what the
caller handed down, for `spawn` to hand on.  So this file imports almost nothing: `dataclasses`
alone takes longer than all that is done here.

Closed descriptors among 0 to 2 are opened for zkexec only, and closed on exec: the command finds
them closed, as it would without zkexec.
"""

import os

from zkexec.lean import signal

TYPE_CHECKING = False  # the import of `typing` takes longer than `inherit`
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from typing import NoReturn

    from zkexec.core.events import ExitStatus

_PASSED_ON = frozenset(
    {
        signal.SIGTERM,
        signal.SIGINT,
        signal.SIGQUIT,
        signal.SIGHUP,
        signal.SIGUSR1,
        signal.SIGUSR2,
        signal.SIGALRM,
        signal.SIGWINCH,
        signal.SIGCONT,
    }
)
IGNORED_BY_PYTHON = frozenset({signal.SIGPIPE, signal.SIGXFSZ})
"""What CPython itself ignores; whether the caller did so, too, can no longer be known."""
_PR_SET_DUMPABLE = 4
_SECRET = b"ZKEXEC_AUTH"


class Inheritance:
    """What the caller handed down; it is never changed.

    `mask` and `ignored` are signal numbers.  `environment` is what the caller passed, byte for
    byte, without zkexec's own secret.  `has_terminal` is true if there is a controlling terminal.
    `handled` are the signals that are blocked now and taken by the loop.
    """

    __slots__ = ("environment", "handled", "has_terminal", "ignored", "is_pid1", "mask")

    def __init__(
        self,
        *,
        mask: "frozenset[int]",
        ignored: "frozenset[int]",
        environment: "Mapping[bytes, bytes]",
        has_terminal: bool,
        is_pid1: bool,
    ) -> None:
        self.mask = mask
        self.ignored = ignored
        self.environment = environment
        self.has_terminal = has_terminal
        self.is_pid1 = is_pid1
        self.handled = self.forwarded | {signal.SIGCHLD}

    @property
    def forwarded(self) -> "frozenset[int]":
        """The signals that are passed on to the command: those that the caller did not ignore."""
        return _PASSED_ON - self.ignored

    def without(self, names: "Collection[bytes]") -> "Inheritance":
        """Return the same without these variables."""
        kept = {name: text for name, text in self.environment.items() if name not in names}
        return Inheritance(
            mask=self.mask,
            ignored=self.ignored,
            environment=kept,
            has_terminal=self.has_terminal,
            is_pid1=self.is_pid1,
        )


def inherit() -> Inheritance:
    """Note what the caller handed down, and set this process up; call it once, and first."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    mask = frozenset(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
    ignored = frozenset(
        number
        for number in signal.valid_signals() - IGNORED_BY_PYTHON
        if signal.getsignal(number) is signal.SIG_IGN
    )
    # The kernel reaps the children of a process that ignores SIGCHLD: no status would be left.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    # An ignored signal is not blocked: the kernel would keep it instead of dropping it.
    waiting = (_PASSED_ON - ignored) | {signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, waiting)
    _fill_missing_streams()
    return Inheritance(
        mask=mask,
        ignored=ignored,
        environment=_environment(),
        has_terminal=_has_terminal(),
        is_pid1=os.getpid() == 1,
    )


def end_as(ending: "ExitStatus") -> "NoReturn":
    """End this process as `ending` says: by the signal that ended the command, or with its code.

    A shell and systemd distinguish the two.  No core file is written: it would be one of zkexec,
    and the command has written its own.
    """
    if ending.signal:
        _end_by(ending.signal)
    os._exit(ending.shell_status & 0xFF)


def _end_by(number: int) -> None:
    from zkexec.process.c_library import prctl  # noqa: PLC0415 -- too large for `inherit`

    # RLIMIT_CORE is not enough: the kernel ignores it if cores go into a pipe.
    prctl(_PR_SET_DUMPABLE, 0)
    if number not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    # Only PID 1 comes to this line: no signal of its own can end it.


def _fill_missing_streams() -> None:
    for descriptor, mode in ((0, os.O_RDONLY), (1, os.O_WRONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            # The kernel takes the lowest free number, and all lower ones are in use by now.
            os.open("/dev/null", mode)


def _environment() -> "Mapping[bytes, bytes]":
    """Read the environment as it was at exec: under the C locale CPython adds LC_CTYPE to its own.

    An entry without a name or without a `=` cannot be handed on and is dropped.  Of two entries
    with the same name the first counts, as for getenv.  zkexec's own secret is dropped.
    """
    environment: dict[bytes, bytes] = {}
    try:
        with open("/proc/self/environ", "rb") as file:
            entries = file.read().split(b"\0")
    except OSError:
        environment.update(os.environb)
        entries = []
    for entry in entries:
        end = entry.find(b"=", 1)
        if end > 0:
            environment.setdefault(entry[:end], entry[end + 1 :])
    environment.pop(_SECRET, None)
    return environment


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True
