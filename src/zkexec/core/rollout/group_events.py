"""What happened to the group: the answers to a member's requests, and its watches.

Each answer has the number of its request.
"""

from zkexec.core.events import Event
from zkexec.enumeration import Enum
from zkexec.frozen import frozen

TYPE_CHECKING = False  # without a group the record is never imported
if TYPE_CHECKING:
    from zkexec.core.rollout.queued_member import QueueNode
    from zkexec.core.rollout.record import RolloutRecord
    from zkexec.core.rollout.record_basis import RecordBasis


class GroupPart(Enum):
    """The part of the group on which a watch was set."""

    RECORD = "record"
    """The decisions."""
    IN_FLIGHT = "in flight"
    """The members in flight, or the unavailable ones."""
    PREDECESSOR = "predecessor"
    """The queue node before the own one."""
    QUEUE_NODE = "queue node"
    """The own queue node: this member was admitted, or left the queue."""
    OWN_NODE = "own node"
    """This member's own node, which only another process would delete."""


class Conflict(Enum):
    """Why a commit was refused: something is not as it was read."""

    RECORD = "record"
    """A znode of the record has another version."""
    CONFIGURATION = "configuration"
    """A znode of an input has another znode version."""
    QUEUE_NODE = "queue node"
    """A queue node is gone or was written, or its member is in flight already."""


@frozen()
class GroupTouched(Event):
    """A watch of the group fired, and is gone.  A hint, never a fact."""

    part: GroupPart


@frozen()
class Enrolled(Event):
    """The ephemeral node of this member exists, made by this session.

    `population` is how many members are alive.  If it `has_replaced` the node of an earlier
    process or session, that one may have been admitted since the record was read.
    """

    number: int
    population: int = 0
    has_replaced: bool = False


@frozen()
class EnrolmentOccupied(Event):
    """Another process has the node of this member ID; `holder` describes it in words.

    Until that process is gone, this one has a node of another name, as a duplicate.
    """

    number: int
    holder: str


@frozen()
class QueueJoined(Event):
    """The queue node was made, with this number."""

    number: int
    queue_number: int


@frozen()
class QueueNodeRenewed(Event):
    """The own queue node has the new content, or is gone."""

    number: int


@frozen()
class QueueNodeFound(Event):
    """The number of the own queue node; None if there is none."""

    number: int
    queue_number: int | None


@frozen()
class QueueNodesRead(Event):
    """Whether the own queue node and the one before it exist; both are watched if they do.

    A node before it that `is_left_over` is not ephemeral: it belongs to no session, so no member
    deletes it.
    """

    number: int
    is_own_there: bool
    is_before_there: bool
    is_left_over: bool = False


@frozen()
class QueueListed(Event):
    """The numbers of all queue nodes, in no order, and the names that no member can have made."""

    number: int
    numbers: tuple[int, ...]
    unknown: tuple[str, ...] = ()


@frozen()
class QueueRead(Event):
    """The numbers of all queue nodes, and the content of those that were not known.

    A node without a readable content, or without a session, is not among the `nodes`.
    """

    number: int
    numbers: frozenset[int]
    nodes: tuple["QueueNode", ...]


@frozen()
class QueueLeft(Event):
    """The queue node is gone: it `was_there`, or another client has deleted it before."""

    number: int
    was_there: bool = True


@frozen()
class RecordRead(Event):
    """The group's record, and the znodes that it was read from.

    `alive` contains, of the members with a node, those in flight after a survey, and those that
    requested the limits if these were read.
    """

    number: int
    record: "RolloutRecord"
    basis: "RecordBasis"
    alive: frozenset[str] = frozenset()


@frozen()
class RecordCommitted(Event):
    """The record was written, and all that was checked with it was as expected."""

    number: int
    basis: "RecordBasis"


@frozen()
class CommitRefused(Event):
    """The record was certainly not written, because of this conflict.

    `queue_number` is that of the queue node, if the conflict is about one.
    """

    number: int
    conflict: Conflict
    queue_number: int | None = None


@frozen()
class GroupRequestFailed(Event):
    """A request to the group got no answer, or an error; it may have been carried out.

    `is_refused` means that the ensemble answered and did not carry it out.  It may refuse it again.
    """

    number: int
    reason: str
    is_refused: bool = False


@frozen()
class GroupRequestForbidden(Event):
    """A request to the group was refused, as the ensemble gives no permission for it."""

    number: int
    reason: str
    is_refused = True


ANSWERS = (
    Enrolled,
    EnrolmentOccupied,
    QueueJoined,
    QueueNodeRenewed,
    QueueNodeFound,
    QueueNodesRead,
    QueueListed,
    QueueRead,
    QueueLeft,
    RecordRead,
    RecordCommitted,
    CommitRefused,
    GroupRequestFailed,
    GroupRequestForbidden,
)
"""The answers to requests to the group.  Reads of inputs are numbered separately."""
