"""What happened to the group: the answers to a member's requests, and its watches.

Each answer has the number of its request.
"""

from zkexec.core.events import Event
from zkexec.enumeration import Enum
from zkexec.frozen import frozen

TYPE_CHECKING = False  # without a group the record is never imported
if TYPE_CHECKING:
    from zkexec.core.rollout.record import RolloutRecord


class GroupPart(Enum):
    """The part of the group on which a watch was set."""

    RECORD = "record"
    """The record itself."""
    IN_FLIGHT = "in flight"
    """The node of a member in flight."""
    PREDECESSOR = "predecessor"
    """The queue node before the own one."""
    OWN_NODE = "own node"
    """This member's own node, which only another process would delete."""


class Conflict(Enum):
    """Why a commit was refused: something is not as it was read."""

    RECORD = "record"
    """The record has another znode version."""
    CONFIGURATION = "configuration"
    """A znode of an input has another znode version."""
    QUEUE_NODE = "queue node"
    """The own queue node is gone."""


@frozen()
class GroupTouched(Event):
    """A watch of the group fired, and is gone.  A hint, never a fact."""

    part: GroupPart


@frozen()
class Enrolled(Event):
    """The ephemeral node of this member exists, made by this session."""

    number: int


@frozen()
class EnrolmentOccupied(Event):
    """Another process has the node of this member ID; `holder` describes it in words.

    Until that process is gone, this one has a node of another name, as a duplicate.
    """

    number: int
    holder: str


@frozen()
class QueueJoined(Event):
    """The queue node was made; its name ends with ten digits, its sequence number."""

    number: int
    name: str


@frozen()
class QueueListed(Event):
    """The names of all queue nodes, in no order."""

    number: int
    names: tuple[str, ...]


@frozen()
class QueueNodeRead(Event):
    """The member whose queue node it is, with a watch set on it; None if the node is gone.

    A node that `is_left_over` is not ephemeral: it belongs to no session, so no member deletes it.
    """

    number: int
    member: str | None
    is_left_over: bool = False


@frozen()
class QueueLeft(Event):
    """The queue node is gone, whether this request deleted it or another client."""

    number: int


@frozen()
class RecordRead(Event):
    """The group's record, and which of the members that it names are alive.

    `znode_version` is -1 if the znode does not exist yet.  `alive` contains, of the members with a
    node, those in flight if they are watched, and the one that requested max unavailable if that
    matters.  `population` is the number of members if a percentage is taken of it.
    """

    number: int
    record: "RolloutRecord"
    znode_version: int
    alive: frozenset[str]
    population: int


@frozen()
class RecordCommitted(Event):
    """The record was written, and all that was checked with it was as expected."""

    number: int


@frozen()
class CommitRefused(Event):
    """The record was certainly not written, because of this conflict."""

    number: int
    conflict: Conflict


@frozen()
class GroupRequestFailed(Event):
    """A request to the group got no answer, or an error; it may have been carried out.

    `is_refused` means that the ensemble answered and did not carry it out.  It may refuse it again.
    """

    number: int
    reason: str
    is_refused: bool = False


ANSWERS = (
    Enrolled,
    EnrolmentOccupied,
    QueueJoined,
    QueueListed,
    QueueNodeRead,
    QueueLeft,
    RecordRead,
    RecordCommitted,
    CommitRefused,
    GroupRequestFailed,
)
"""The answers to requests to the group.  Reads of inputs are numbered separately."""
