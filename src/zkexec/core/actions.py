"""What to do, in the imperative: everything that the core ever asks for.

The order of actions in a list is binding.  An action that can fail is answered by an event
of its own, and the core asks for what depends on it only after that answer; so no list ever
goes on past a failure.  A request to the group may be answered by GroupRequestFailed instead.
The answers to an action are handled before anything else that has happened meanwhile.
"""

from collections.abc import Iterable, Mapping
from enum import Enum

from zkexec.core.events import ExitStatus
from zkexec.core.max_unavailable import MaxUnavailable
from zkexec.core.rollout.record import RolloutRecord
from zkexec.core.snapshot import Snapshot, short_digest
from zkexec.frozen import frozen


class Action:
    """Something to be done outside the core."""

    __slots__ = ()


class AlertEvent(Enum):
    """The value of ZKEXEC_EVENT in an alert's environment."""

    ZKEXEC_FAILED = "zkexec-failed"
    COMMAND_FAILED = "command-failed"
    HEALTH_FAILED = "health-failed"
    RESTART_FAILED = "restart-failed"
    RECOVERED = "recovered"


@frozen()
class Note(Action):
    """Say something to the operator; the narrator has the words for each topic."""

    topic: str
    fields: Mapping[str, object] = {}


@frozen()
class OpenSession(Action):
    """Connect with a new client; an earlier one is dropped and never heard of again."""


@frozen()
class ReadZnodes(Action):
    """Set the missing watches and read all mirrored znodes → ZnodesRead or ReadFailed."""

    number: int


@frozen()
class RearmWatches(Action):
    """Arm all watches again, also those of the group: a server may have dropped one silently.

    Nothing answers it.  What was missed is touched: ZnodeTouched, GroupTouched.
    """


@frozen()
class MemberStatus:
    """What a member's node tells a status view, beside host, pid, version and time.

    `running` and `wanted` are digests as the group's record knows them, or "" for none; with them
    stand the times at which their newest znode was written, in seconds of the epoch as the
    ensemble tells it, 0 where it is not known.  `zxid` is that of what is wanted.
    """

    phase: str
    running: str = ""
    wanted: str = ""
    health: str = "unknown"
    reason: str = ""
    zxid: int = 0
    running_at: float = 0.0
    wanted_at: float = 0.0


@frozen()
class Enrol(Action):
    """Make what the group needs, and this member's node → Enrolled or EnrolmentOccupied.

    A node that this member's own earlier session or incarnation left behind is replaced.  If
    another process has the ID, this one gets a node of another name, which marks it as a duplicate;
    with `may_be_duplicate` there may be one, and it goes once the member has its own.
    """

    number: int
    status: MemberStatus
    may_be_duplicate: bool = False


@frozen()
class PublishStatus(Action):
    """Write the card into this member's node; nobody waits for it, and the newest counts."""

    status: MemberStatus


@frozen()
class JoinQueue(Action):
    """Make a queue node whose name begins with this ticket → QueueJoined.

    A `status` is shown with it, in the same request.
    """

    number: int
    ticket: str
    status: MemberStatus | None = None


@frozen()
class ListQueue(Action):
    """Read the names of the queue nodes → QueueListed."""

    number: int


@frozen()
class WatchQueueNode(Action):
    """Read a queue node and watch it → QueueNodeRead, later GroupTouched."""

    number: int
    name: str


@frozen()
class LeaveQueue(Action):
    """Delete the own queue node → QueueLeft."""

    number: int
    name: str


@frozen()
class ReadRecord(Action):
    """Read the record, and with `watch` who of those in flight is alive → RecordRead.

    A change of the record, or of a member in flight, is then told by GroupTouched.
    `asks` is the width that this member is going to ask for, if it has joined: where the group
    has the same, nothing depends on whether somebody else lives who has asked for it.
    """

    number: int
    watch: bool
    asks: MaxUnavailable | None = None


@frozen()
class CommitRecord(Action):
    """Write the record in one transaction → RecordCommitted or CommitRefused.

    Nothing is written unless the record still has `version`, each znode of `checks` the version
    given there, and the queue node `place`, if one is named, still exists; it is deleted with it.
    A `status` is shown with it; what stands in its way does not stand in that of the record.
    """

    number: int
    record: RolloutRecord
    version: int
    checks: Mapping[str, int] = {}
    place: str = ""
    status: MemberStatus | None = None


@frozen()
class LoadCachedFiles(Action):
    """Read the files at the targets → CachedFilesFound or CachedFilesMissing."""


@frozen()
class StageFiles(Action):
    """Write and sync what differs, out of everyone's sight → FilesStaged or FilesFailed."""

    snapshot: Snapshot


@frozen()
class InstallFiles(Action):
    """Put what is staged in its places → FilesInstalled or FilesFailed."""


@frozen()
class DiscardFiles(Action):
    """Forget what is staged; nothing of it stays on disk."""


@frozen()
class StartCommand(Action):
    """Start the command → CommandStarted or StartFailed, and later CommandExited."""

    generation: int


@frozen()
class SignalProcessGroup(Action):
    """Pass a signal on, once, to the processes that share the child's process group."""

    signal: int


@frozen()
class SignalProcessTree(Action):
    """Signal every process that descends from the child or lives in its session.

    What is stopped is woken, as it could not answer otherwise.
    """

    signal: int


@frozen()
class InspectProcessTree(Action):
    """Count what is left of the child's tree → ProcessTreeInspected."""

    generation: int


@frozen()
class RunHealthCheck(Action):
    """Start the health check → HealthCheckFinished, always, also where it cannot be started."""

    generation: int


@frozen()
class KillHealthCheck(Action):
    """End the running health check with everything it started → HealthCheckFinished."""


@frozen()
class RunAlert(Action):
    """Start the alert command → AlertFinished, always."""

    event: AlertEvent
    reason: str
    exit_status: int | None = None


@frozen()
class KillAlert(Action):
    """End the running alert with everything it started → AlertFinished."""


@frozen()
class EndProcess(Action):
    """End zkexec: with this exit status, or by this signal.  Always the last action."""

    ending: ExitStatus


QueueRequest = JoinQueue | ListQueue | WatchQueueNode | LeaveQueue
GroupRequest = Enrol | PublishStatus | QueueRequest | ReadRecord | CommitRecord


def notes_on_files(topic: str, paths: Iterable[str], snapshot: Snapshot) -> list[Action]:
    """Name each file with its size in bytes and a short digest, and never with its content."""
    contents = {path: snapshot.files[path] for path in paths}
    return [
        Note(topic, {"path": path, "size": len(content), "sha256": short_digest(content)})
        for path, content in contents.items()
    ]
