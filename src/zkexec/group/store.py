"""The requests of one member on its group's znodes, as dialogues on one connection.

- The record is changed only by transactions, and everything that a decision rests on is checked in
  the same one.
- Errors name the path as the operator knows it, without the chroot.
"""

from __future__ import annotations

from zkexec.core.rollout.group_actions import CommitRecord, QueueRequest, ReadRecord
from zkexec.core.rollout.group_events import (
    CommitRefused,
    Conflict,
    GroupPart,
    RecordCommitted,
)
from zkexec.group.bulk_read import BulkRead
from zkexec.group.lasting_znodes import LastingZnodes
from zkexec.group.member_profile import MemberProfile, this_process
from zkexec.group.paths import LARGEST_COMMIT, Paths
from zkexec.group.queue_store import QueueStore
from zkexec.group.record_changes import RecordChanges
from zkexec.group.record_reader import RecordReader
from zkexec.zookeeper.errors import NoNodeError, RefusedError
from zkexec.zookeeper.requests import Create, Dialogue, Transaction, first_error, size_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from zkexec.group.queue_store import Write


class GroupStore:
    """The queue and the record as one connection sees them.

    Its watches are set with the `GroupPart` that they are about.
    """

    def __init__(
        self, profile: MemberProfile, paths: Paths, lacks_multi_read: Callable[[], bool]
    ) -> None:
        """`lacks_multi_read` is called at each read: whether the servers are older than 3.6."""
        self.profile = profile
        self.paths = paths
        self.writer = profile.writer or this_process()
        self.lasting = LastingZnodes(paths, profile.acl, self.writer.clock)
        self.acl = self.lasting.acl
        bulk_read = BulkRead(paths, lacks_multi_read)
        self._reader = RecordReader(paths, profile.member_id, bulk_read)
        self._queue = QueueStore(paths, self.lasting, bulk_read)

    def fired(self, part: GroupPart, path: str) -> None:
        """Take note that a watch has fired."""
        if part in (GroupPart.RECORD, GroupPart.IN_FLIGHT):
            self._reader.fired(path)

    def queue(self, request: QueueRequest, write: Write) -> Dialogue:
        """Answer one request that concerns the queue; what is written is done by `write`."""
        return self._queue.answer(request, write)

    def clear_queue(self) -> Dialogue:
        """Delete what an earlier process of this member has left in the queue."""
        return self._queue.clear(self.profile.member_id)

    def read(self, request: ReadRecord) -> Dialogue:
        """Read the record, and which of the members that matter with it are alive."""
        return self._reader.read(request)

    def commit(self, request: CommitRecord, write: Write) -> Dialogue:
        """Write what differs by `write`, unless something is not as it was read."""
        if not request.basis.exists:
            raise RefusedError("there is no record yet: the member has to enrol first")
        made = RecordChanges(request, self.paths, self.acl, self.writer.clock())
        operations = made.operations
        if (size := size_of(Transaction(operations))) > LARGEST_COMMIT:
            raise RefusedError(
                f"the record would take {size} bytes with what is checked, "
                f"more than the {LARGEST_COMMIT} that a server takes for sure"
            )
        self._reader.expect(request.after.versions)
        answer = RecordCommitted(request.number, made.basis)
        if not operations and request.status is None:
            return answer
        results = yield from write(operations, request.status)
        refused = first_error(self.paths.demand(self.paths.state, results))
        if refused is None:
            return answer
        change, error = made.changes[refused[0]], refused[1]
        if isinstance(error, change.errors):
            return CommitRefused(request.number, change.conflict, change.queue_number)
        if isinstance(error, NoNodeError) and isinstance(change.operation, Create):
            # An operator has deleted a znode of the group that lasts.
            yield from self.lasting.make()
            return CommitRefused(request.number, Conflict.RECORD)
        raise self.paths.refusal(change.operation.path, error)
