"""What happened, in the past tense: everything that the core is ever told.

An event is a frozen value.  The shells make them; `Member.handle` is the only one who reads
them.  What concerns a child carries the child's generation, what concerns a read of the
ensemble carries the number of that read, so that news which outlived its scope can be told
from fresh news.
"""

from collections.abc import Mapping
from signal import Signals

from zkexec.core.snapshot import UNLIMITED, Snapshot, Znode
from zkexec.frozen import frozen


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
        """Whether anything but exit code 0 was seen."""
        return bool(self.code or self.signal)

    @property
    def shell_status(self) -> int:
        """The one number by which a POSIX shell would tell it: the code, or 128 + signal."""
        return 128 + self.signal if self.signal else self.code

    def __str__(self) -> str:
        if self.signal:
            return f"killed by {signal_name(self.signal)}"
        return f"exit status {self.code}"


def signal_name(number: int) -> str:
    """Name a signal as people write it: SIGTERM, or "signal 40" if it has no name."""
    try:
        return Signals(number).name
    except ValueError:
        return f"signal {number}"


class Event:
    """Something that happened outside the core."""

    __slots__ = ()


@frozen()
class Started(Event):
    """The process is set up and the loop begins; always the first event, never seen again."""


@frozen()
class Tick(Event):
    """Time has passed; the deadline that was asked for may be due.  One too many does nothing."""


@frozen()
class SessionConnected(Event):
    """The ensemble answers; every watch is gone, everything has to be read again.

    `session` is the same number as before where the session has outlived a lost connection;
    `session_timeout_s` is what the ensemble has granted.
    """

    session: int
    session_timeout_s: float


@frozen()
class SessionSuspended(Event):
    """The connection is lost; the session may or may not live on.

    `zxid` is the newest transaction that the servers have told of on it, 0 for none.
    """

    reason: str
    zxid: int = 0


@frozen()
class SessionLost(Event):
    """The session has expired; the client goes on to open a new one by itself."""

    reason: str
    zxid: int = 0


@frozen()
class SessionClosed(Event):
    """The client has given up for good; only a new one will ever connect again."""

    reason: str
    zxid: int = 0


@frozen()
class ConnectFailed(Event):
    """One attempt to connect to one server failed; the client goes on trying.

    `is_last` is true if no server is left that was not tried in this round: of a name with several
    addresses, none.
    """

    reason: str
    is_last: bool = False


@frozen()
class ZnodeTouched(Event):
    """A watch fired: this znode may hold something else now.  A hint, never a fact."""

    path: str


@frozen()
class ZnodesRead(Event):
    """All mirrored znodes as they were at one point of the ensemble's history, watches set.

    `zxid` is the newest transaction that the server had by then: it has everything that was
    committed before this connection, and nothing that it has is newer.
    """

    number: int
    znodes: Mapping[str, Znode]
    zxid: int = UNLIMITED


@frozen()
class ReadFailed(Event):
    """A read of the mirrored znodes got no answer."""

    number: int
    reason: str


@frozen()
class CachedFilesFound(Event):
    """The files that stand at the targets now, all there and readable."""

    snapshot: Snapshot


@frozen()
class CachedFilesMissing(Event):
    """Not every target holds a file that could be used."""

    reason: str


@frozen()
class FilesStaged(Event):
    """The wanted files are on disk, complete and synced, but not yet in their places."""


@frozen()
class FilesInstalled(Event):
    """The staged files are in their places; `written` are those whose content changed."""

    written: tuple[str, ...]


@frozen()
class FilesFailed(Event):
    """Staging or installing failed; the files in their places are what they were before."""

    reason: str


@frozen()
class CommandStarted(Event):
    """The exec of this generation is known to have happened."""

    generation: int
    pid: int


@frozen()
class StartFailed(Event):
    """The generation was never born; `status` is what zkexec ends with (125, 126, 127)."""

    generation: int
    reason: str
    status: int


@frozen()
class CommandExited(Event):
    """The child itself was reaped; others of its tree may live on."""

    generation: int
    ending: ExitStatus


@frozen()
class ProcessTreeInspected(Event):
    """How many processes of this generation's tree are still there, the child included."""

    generation: int
    remaining: int


@frozen()
class HealthCheckFinished(Event):
    """A health check ended; `reason` says how, in words."""

    generation: int
    passed: bool
    reason: str


@frozen()
class AlertFinished(Event):
    """The alert command ended or could not be started; `reason` is empty where all went well."""

    reason: str


@frozen()
class SignalReceived(Event):
    """A signal reached zkexec; one from the terminal's keys has reached the child as well."""

    signal: int
    from_terminal: bool
