"""What the core requests of the znodes of its group: one request at a time, each answered once.

The answers are in `group_events`.  Any of these requests can be answered by GroupRequestFailed.
"""

from __future__ import annotations

from zkexec.core.actions import Action
from zkexec.core.policy import MaxUnavailable
from zkexec.core.turn import MemberStatus
from zkexec.frozen import frozen

TYPE_CHECKING = False  # without a group the record is never imported
if TYPE_CHECKING:
    from collections.abc import Mapping

    from zkexec.core.rollout.record import RolloutRecord


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
    """Make a queue node whose name begins with this ticket → QueueJoined.

    A `status` is published in the same request.
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
    """Read the record, and with `watch` which members in flight are alive → RecordRead.

    With `watch`, GroupTouched reports a later change of the record, or of a member in flight.
    `requested` is the max unavailable that this member is going to request, if it has joined.  If
    the group has the same, it does not matter whether the member that requested it is alive.
    """

    number: int
    watch: bool
    requested: MaxUnavailable | None = None


@frozen()
class CommitRecord(Action):
    """Write the record in one transaction → RecordCommitted or CommitRefused.

    It is written only if the record still has `znode_version`, each znode of `checks` has the
    version given there, and `queue_node`, if there is one, exists.  The queue node is deleted with
    it.  A `status` is published with it; if the status cannot be written, the record still is.
    """

    number: int
    record: RolloutRecord
    znode_version: int
    checks: Mapping[str, int] = {}
    queue_node: str = ""
    status: MemberStatus | None = None


QueueRequest = JoinQueue | ListQueue | WatchQueueNode | LeaveQueue


GroupRequest = Enrol | PublishStatus | QueueRequest | ReadRecord | CommitRecord
