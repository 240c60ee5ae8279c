"""What happened to the group that takes turns: the answers to its requests, and its watches.

Each answer carries the number of its request.
"""

from enum import Enum

from zkexec.core.events import Event
from zkexec.core.rollout.record import RolloutRecord
from zkexec.frozen import frozen


class GroupPart(Enum):
    """What of the group a watch was set on."""

    RECORD = "record"
    """The record itself."""
    IN_FLIGHT = "in flight"
    """The node of a member in flight."""
    PREDECESSOR = "predecessor"
    """The queue node before one's own."""
    OWN_NODE = "own node"
    """This member's own node, which only another process would take away."""


class Conflict(Enum):
    """Why a commit was refused: something is not as it was read."""

    RECORD = "record"
    """The record has another version."""
    CONFIGURATION = "configuration"
    """A mirrored znode has another version."""
    PLACE = "place"
    """The own queue node is gone."""


@frozen()
class GroupTouched(Event):
    """A watch of the group fired, and is gone.  A hint, never a fact."""

    part: GroupPart


@frozen()
class Enrolled(Event):
    """The ephemeral node of this member stands, made by this session."""

    number: int


@frozen()
class EnrolmentOccupied(Event):
    """Another process has a node under this member's name; `holder` says who, in words.

    Until that is gone, this one is shown by a node of another name, as a duplicate.
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
    """Whose queue node that is, a watch set on its end; None where it is gone.

    A node that `is_left_over` lasts: it belongs to no session, so nobody will take it away.
    """

    number: int
    member: str | None
    is_left_over: bool = False


@frozen()
class QueueLeft(Event):
    """The queue node is gone, whoever took it away."""

    number: int


@frozen()
class RecordRead(Event):
    """The group's record, and who of those whom it names is alive.

    `version` is that of the znode, -1 where there is none yet.  `alive` are, of those that have a
    node, the members in flight if they are watched, and the member that asked for the width if
    that matters; `population` is their number, where a percentage is taken of it.
    """

    number: int
    record: RolloutRecord
    version: int
    alive: frozenset[str]
    population: int


@frozen()
class RecordCommitted(Event):
    """The record was written, everything that was checked with it held."""

    number: int


@frozen()
class CommitRefused(Event):
    """The record was certainly not written, because of this conflict."""

    number: int
    conflict: Conflict


@frozen()
class GroupRequestFailed(Event):
    """A request to the group got no answer, or an error; what it asked for may have been done.

    It `is_refused` where the ensemble was there and did not do it: so it may be the next time.
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
"""What answers a request to the group.  Reads of the znodes have numbers of another count."""
