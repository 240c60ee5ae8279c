"""What happened to the group that takes turns: the answers to its requests, and its watches.

Each answer carries the number of its request.
"""

from dataclasses import dataclass
from enum import Enum

from zkexec.core.events import Event
from zkexec.core.rollout import Rollout


class GroupPart(Enum):
    """What of the group a watch was set on."""

    RECORD = "record"
    """The record itself."""
    IN_FLIGHT = "in flight"
    """The node of a member in flight."""
    PREDECESSOR = "predecessor"
    """The queue node before one's own."""
    OWN_NODE = "own node"
    """This member's own node, which only another process would touch."""


class Conflict(Enum):
    """Why a commit was refused: something is not as it was read."""

    RECORD = "record"
    """The record has another version."""
    CONFIGURATION = "configuration"
    """A mirrored znode has another version."""
    PLACE = "place"
    """The own queue node is gone."""


@dataclass(frozen=True, slots=True)
class GroupTouched(Event):
    """A watch of the group fired, and is gone.  A hint, never a fact."""

    part: GroupPart


@dataclass(frozen=True, slots=True)
class Enrolled(Event):
    """The ephemeral node of this member stands, made by this session."""

    number: int


@dataclass(frozen=True, slots=True)
class EnrolmentOccupied(Event):
    """Another process has a node under this member's name; `holder` says who, in words."""

    number: int
    holder: str


@dataclass(frozen=True, slots=True)
class QueueJoined(Event):
    """The queue node was made; its name ends with ten digits, its sequence number."""

    number: int
    name: str


@dataclass(frozen=True, slots=True)
class QueueListed(Event):
    """The names of all queue nodes, in no order."""

    number: int
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class QueueNodeSeen(Event):
    """Whose queue node that is, a watch set on its end; None where it is gone."""

    number: int
    member: str | None


@dataclass(frozen=True, slots=True)
class QueueLeft(Event):
    """The queue node is gone, whoever took it away."""

    number: int


@dataclass(frozen=True, slots=True)
class RecordRead(Event):
    """The group's record, and who of those whom it names is alive.

    `version` is that of the znode, -1 where there is none yet.  `alive` are those of the members
    in flight, and of the member that asked for the width, that have a node; `population` is the
    number of all members that have one.
    """

    number: int
    record: Rollout
    version: int
    alive: frozenset[str]
    population: int


@dataclass(frozen=True, slots=True)
class RecordCommitted(Event):
    """The record was written, everything that was checked with it held."""

    number: int


@dataclass(frozen=True, slots=True)
class CommitRefused(Event):
    """The record was certainly not written, because of this conflict."""

    number: int
    conflict: Conflict


@dataclass(frozen=True, slots=True)
class GroupRequestFailed(Event):
    """A request to the group got no answer, or an error; what it asked for may have been done."""

    number: int
    reason: str


ANSWERS = (
    Enrolled,
    EnrolmentOccupied,
    QueueJoined,
    QueueListed,
    QueueNodeSeen,
    QueueLeft,
    RecordRead,
    RecordCommitted,
    CommitRefused,
    GroupRequestFailed,
)
"""What answers a request to the group.  Reads of the znodes have numbers of another count."""
