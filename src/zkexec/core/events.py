"""What happened outside the core, in the past tense.

An event is a frozen value.  The shells make events, and only `Member.handle` reads them.  An event
about a command has the command's generation, and the answer to a read has the number of the read.
So an event that comes too late is recognized.
"""

from __future__ import annotations

from zkexec.core.snapshot import UNLIMITED, Snapshot, Tree, Znode
from zkexec.core.step import Step, StepOutcome
from zkexec.frozen import frozen
from zkexec.signal_names import SIGNAL_NAMES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from zkexec.core.rendering_result import RenderResult


@frozen()
class ExitStatus:
    """How a process ended: with an exit code, or by a signal (then `signal` is not 0)."""

    code: int = 0
    signal: int = 0

    def __post_init__(self) -> None:
        if self.code and self.signal:
            raise ValueError(f"a process ends by a code or by a signal, not by both: {self}")

    @property
    def failed(self) -> bool:
        """Whether it was anything but exit code 0."""
        return bool(self.code or self.signal)

    @property
    def shell_status(self) -> int:
        """The exit status in a POSIX shell: the code, or 128 + signal."""
        return 128 + self.signal if self.signal else self.code

    def __str__(self) -> str:
        if self.signal:
            return f"killed by {signal_name(self.signal)}"
        return f"exit status {self.code}"


def signal_name(number: int) -> str:
    """Name a signal as people write it: SIGTERM, or "signal 40" if it has no name."""
    return SIGNAL_NAMES.get(number) or f"signal {number}"


def with_last_line(reason: str, last_line: str) -> str:
    """Add what a command that goes on running wrote last, marked as the line of the command."""
    return f'{reason}; the command wrote last: "{last_line}"' if last_line else reason


class Event:
    """Something that happened outside the core."""

    __slots__ = ()


@frozen()
class Started(Event):
    """The process is set up and the loop begins; always the first event, and only once."""


@frozen()
class Tick(Event):
    """Time has passed; the deadline may be due.  A tick too many has no effect.

    `last_line` is as in HealthCheckFinished.
    """

    last_line: str = ""


@frozen()
class SessionConnected(Event):
    """The ensemble answers; every watch is gone, and everything has to be read again.

    `session` is the same number as before if the session has survived a lost connection.
    `session_timeout_s` is what the ensemble has granted.
    """

    session: int
    session_timeout_s: float


@frozen()
class SessionSuspended(Event):
    """The connection is lost; the session may or may not live on.

    `zxid` is the newest transaction that the servers have reported on it, 0 for none.
    """

    reason: str
    zxid: int = 0


@frozen()
class SessionLost(Event):
    """The session has expired; the client opens a new one by itself."""

    reason: str
    zxid: int = 0


@frozen()
class ConnectFailed(Event):
    """One attempt to connect to one server failed; the client tries again.

    `is_last` is true if every server was tried in this round: of a name with several addresses,
    each of them.
    """

    reason: str
    is_last: bool = False


@frozen()
class ZnodeTouched(Event):
    """A watch fired: the content of this znode may have changed.  A hint, never a fact."""

    path: str


@frozen()
class ZnodesRead(Event):
    """All inputs as they were at one moment of the ensemble, with watches set.

    `zxid` is the newest transaction that the server had then.  The server has everything that was
    committed before this connection, and nothing newer than `zxid`.  `trees` are by their roots.
    """

    number: int
    znodes: Mapping[str, Znode]
    zxid: int = UNLIMITED
    trees: Mapping[str, Tree] = {}


@frozen()
class ReadFailed(Event):
    """A read of the inputs got no answer."""

    number: int
    reason: str


@frozen()
class CachedFilesFound(Event):
    """The contents of all targets: each file exists and can be read.

    With a state file, the snapshot is the one that it describes, with its digest and variables, and
    all files on disk are as they were installed.  `was_healthy` is true if the command of this host
    was healthy on it, and `zxid` that of the version.
    """

    snapshot: Snapshot
    was_healthy: bool = False
    zxid: int = 0


@frozen()
class CachedFilesMissing(Event):
    """At least one target has no file that could be used."""

    reason: str


@frozen()
class FilesStaged(Event):
    """The wanted files are on disk, complete and synced, but not installed yet."""


@frozen()
class FilesInstalled(Event):
    """The staged files are at their targets; `written` are those that have changed or are gone."""

    written: tuple[str, ...]


@frozen()
class FilesFailed(Event):
    """Staging or installing failed; the targets are as they were before."""

    reason: str


@frozen()
class CommandStarted(Event):
    """The exec of this generation is known to have happened."""

    generation: int
    pid: int


@frozen()
class StartFailed(Event):
    """The command was not started; `status` is the exit status of zkexec (125, 126, 127)."""

    generation: int
    reason: str
    status: int


@frozen()
class CommandExited(Event):
    """The command has ended; other processes of its process tree may live on.

    `last_line` is the last that it wrote to stderr, "" if that is not known.
    """

    generation: int
    ending: ExitStatus
    last_line: str = ""

    @property
    def reason(self) -> str:
        """How it ended, in words, and the last line that it wrote."""
        return f'{self.ending}: "{self.last_line}"' if self.last_line else str(self.ending)


@frozen()
class ProcessTreeInspected(Event):
    """How many processes of this process tree are left, with the command itself."""

    generation: int
    remaining: int


@frozen()
class HealthCheckFinished(Event):
    """A health check ended; `reason` describes how, in words.

    `last_line` is the last that the present command wrote to stderr since its start, or since
    other files were installed for it to load; "" if that is not known.
    """

    generation: int
    passed: bool
    reason: str
    last_line: str = ""


@frozen()
class StepFinished(Event):
    """The command of a step ended, or could not be started; `number` is that of its RunStep."""

    step: Step
    number: int
    outcome: StepOutcome


@frozen()
class AlertFinished(Event):
    """The alert ended or could not be started; `reason` is empty if it succeeded."""

    reason: str


@frozen()
class SignalReceived(Event):
    """zkexec received a signal; a signal from the terminal has reached the command as well."""

    signal: int
    from_terminal: bool


@frozen()
class RenderFinished(Event):
    """The rendering with this number has ended, or could not be started."""

    number: int
    result: RenderResult
