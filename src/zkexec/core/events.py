"""What happened, in the past tense: everything that the core is ever told.

An event is a frozen value.  The shells make them; `Member.handle` is the only one who reads
them.  What concerns a child carries the child's generation, what concerns a read of the
ensemble carries the number of that read, so that news which outlived its scope can be told
from fresh news.
"""

from collections.abc import Mapping

from zkexec.core.input_state import UNLIMITED
from zkexec.core.snapshot import Snapshot, Znode
from zkexec.frozen import value


@value()
class Ending:
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
        return f"signal {self.signal}" if self.signal else f"exit status {self.code}"


class Event:
    """Something that happened outside the core."""

    __slots__ = ()


@value()
class Started(Event):
    """The process is set up and the loop begins; always the first event, never seen again."""


@value()
class Tick(Event):
    """Time has passed; the deadline that was asked for may be due.  One too many does nothing."""


@value()
class SessionConnected(Event):
    """The ensemble answers; every watch is gone, everything has to be read again.

    `session` is the same number as before where the session has outlived a lost connection;
    `session_timeout_s` is what the ensemble has granted.
    """

    session: int
    session_timeout_s: float


@value()
class SessionSuspended(Event):
    """The connection is lost; the session may or may not live on.

    `zxid` is the newest transaction that the servers have told of on it, 0 for none.
    """

    reason: str
    zxid: int = 0


@value()
class SessionLost(Event):
    """The session has expired; the client goes on to open a new one by itself."""

    reason: str
    zxid: int = 0


@value()
class SessionClosed(Event):
    """The client has given up for good; only a new one will ever connect again."""

    reason: str
    zxid: int = 0


@value()
class ConnectFailed(Event):
    """One attempt to connect to one server failed; the client goes on trying.

    `is_last` is true if no server is left that was not tried in this round: of a name with several
    addresses, none.
    """

    reason: str
    is_last: bool = False


@value()
class ZnodeTouched(Event):
    """A watch fired: this znode may hold something else now.  A hint, never a fact."""

    path: str


@value()
class ZnodesRead(Event):
    """All mirrored znodes as they were at one point of the ensemble's history, watches set.

    `zxid` is the newest transaction that the server had by then: it has everything that was
    committed before this connection, and nothing that it has is newer.
    """

    number: int
    znodes: Mapping[str, Znode]
    zxid: int = UNLIMITED


@value()
class ReadFailed(Event):
    """A read of the mirrored znodes got no answer."""

    number: int
    reason: str


@value()
class CachedFilesFound(Event):
    """The files that stand at the targets now, all there and readable."""

    snapshot: Snapshot


@value()
class CachedFilesMissing(Event):
    """Not every target holds a file that could be used."""

    reason: str


@value()
class FilesStaged(Event):
    """The wanted files are on disk, complete and synced, but not yet in their places."""


@value()
class FilesInstalled(Event):
    """The staged files are in their places; `written` are those whose content changed."""

    written: tuple[str, ...]


@value()
class FilesFailed(Event):
    """Staging or installing failed; the files in their places are what they were before."""

    reason: str


@value()
class ChildStarted(Event):
    """The exec of this generation is known to have happened."""

    generation: int
    pid: int


@value()
class StartFailed(Event):
    """The generation was never born; `status` is what zkexec ends with (125, 126, 127)."""

    generation: int
    reason: str
    status: int


@value()
class ChildExited(Event):
    """The child itself was reaped; others of its tree may live on."""

    generation: int
    ending: Ending


@value()
class TreeInspected(Event):
    """How many processes of this generation's tree are still there, the child included."""

    generation: int
    remaining: int


@value()
class CheckFinished(Event):
    """A health check ended; `reason` says how, in words."""

    generation: int
    passed: bool
    reason: str


@value()
class AlertFinished(Event):
    """The alert command ended or could not be started; `reason` is empty where all went well."""

    reason: str


@value()
class SignalReceived(Event):
    """A signal reached zkexec; one from the terminal's keys has reached the child as well."""

    signal: int
    from_terminal: bool
