"""What the core requests of the znodes of its group: one request at a time, each answered once.

The answers are in `group_events`.  Any of these requests can be answered by GroupRequestFailed.
"""

from collections.abc import Mapping

from zkexec.core.actions import Action
from zkexec.core.policy import MaxUnavailable
from zkexec.core.rollout.record import RolloutRecord
from zkexec.core.turn import MemberStatus
from zkexec.frozen import frozen


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


QueueRequest = JoinQueue | ListQueue | WatchQueueNode | LeaveQueue


GroupRequest = Enrol | PublishStatus | QueueRequest | ReadRecord | CommitRecord
