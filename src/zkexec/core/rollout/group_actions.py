"""What the core requests of the znodes of its group: one request at a time, each answered once.

The answers are in `group_events`.  Any of these requests can be answered by GroupRequestFailed.
"""

from __future__ import annotations

from zkexec.core.actions import Action
from zkexec.core.turn import MemberStatus
from zkexec.enumeration import Enum
from zkexec.frozen import frozen

TYPE_CHECKING = False  # without a group the record is never imported
if TYPE_CHECKING:
    from collections.abc import Mapping

    from zkexec.core.rollout.queued_member import QueuedMember, QueueNode
    from zkexec.core.rollout.record import RolloutRecord
    from zkexec.core.rollout.record_basis import RecordBasis


class Watch(Enum):
    """What a read of the record watches: a later change is reported by GroupTouched."""

    NOTHING = "nothing"
    ROOM = "room"
    """The members in flight: one is admitted, fails, or ends its turn.  Also the unavailable ones,
    if there are any."""
    DECISIONS = "decisions"
    """The decisions."""
    BOTH = "both"


@frozen()
class Enrol(Action):
    """Make the znodes of the group, and this member's node → Enrolled or EnrolmentOccupied.

    A node that an earlier session or process of this member left behind is replaced.  If another
    process has the ID, this one gets a node of another name, which marks it as a duplicate.  With
    `may_be_duplicate` such a node may exist; it is deleted once the member has its own.
    """

    number: int
    status: MemberStatus
    may_be_duplicate: bool = False


@frozen()
class PublishStatus(Action):
    """Write the status into this member's node; it has no answer, and the newest counts."""

    status: MemberStatus


@frozen()
class JoinQueue(Action):
    """Make a queue node with this content → QueueJoined.

    A `status` is published in the same request.
    """

    number: int
    queued: QueuedMember
    status: MemberStatus | None = None


@frozen()
class RenewQueueNode(Action):
    """Write another content into the own queue node, which keeps its place → QueueNodeRenewed."""

    number: int
    queue_number: int
    queued: QueuedMember


@frozen()
class FindQueueNode(Action):
    """Find the own queue node, if it exists, by the token in it → QueueNodeFound."""

    number: int
    token: str


@frozen()
class WatchQueueNodes(Action):
    """Watch the own queue node, and the one before it → QueueNodesRead, later GroupTouched.

    `is_own_watched` if the watch on the own one is set already.
    """

    number: int
    queue_number: int
    before: int
    is_own_watched: bool = False


@frozen()
class ListQueue(Action):
    """Read the numbers of the queue nodes → QueueListed."""

    number: int


@frozen()
class ReadQueue(Action):
    """Read all queue nodes but the known ones → QueueRead."""

    number: int
    known: frozenset[int] = frozenset()


@frozen()
class LeaveQueue(Action):
    """Delete the own queue node → QueueLeft."""

    number: int
    queue_number: int


@frozen()
class ReadRecord(Action):
    """Read the record at one moment, as far as it matters to this member → RecordRead.

    `digests` are the versions of which all is to be known, beside those in the decisions; `zones`
    those whose living members are counted.  A `survey` reads the entries of all members in flight,
    and which of them are alive.  With `limits` the members that requested the present limits are
    read as well.
    """

    number: int
    watch: Watch = Watch.NOTHING
    digests: frozenset[str] = frozenset()
    zones: frozenset[str] = frozenset()
    survey: bool = False
    limits: bool = False


@frozen()
class CommitRecord(Action):
    """Write what differs between two records, in one transaction → RecordCommitted, CommitRefused.

    It is written only if every znode that it changes is as in `basis`, each znode of `checks` has
    the version given there, and no failure of `tried` has been added.  The znodes of `admitted`
    are deleted with it.  An `is_exclusive` commit also writes the decisions if they do not change,
    so that no other member decides at the same time; `confirms` writes the own entry likewise.  A
    `status` is published with it; if the status cannot be written, the rest still is.
    """

    number: int
    before: RolloutRecord
    after: RolloutRecord
    basis: RecordBasis
    checks: Mapping[str, int] = {}
    tried: str = ""
    admitted: tuple[QueueNode, ...] = ()
    is_exclusive: bool = False
    confirms: str = ""
    status: MemberStatus | None = None


QueueRequest = (
    JoinQueue
    | RenewQueueNode
    | FindQueueNode
    | WatchQueueNodes
    | ListQueue
    | ReadQueue
    | LeaveQueue
)


GroupRequest = Enrol | PublishStatus | QueueRequest | ReadRecord | CommitRecord
