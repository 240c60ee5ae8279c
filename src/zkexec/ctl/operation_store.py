"""Read and write what an operation of an operator changes: a group's record and its restarts.

The record is read and written as a member does it: only the difference is written, and only if
the znodes are as they were read.  The znode of restarts, by which an operator requests something
of the members, is written in the same transaction.
"""

import time
from collections.abc import Callable, Sequence

from zkexec.core.inputs import NO_RESTART, restart_name
from zkexec.core.rollout.group_actions import CommitRecord, ReadRecord
from zkexec.core.rollout.group_events import RecordRead
from zkexec.core.rollout.record import AuditEntry, RolloutRecord
from zkexec.core.rollout.record_basis import RecordBasis
from zkexec.ctl.exit_status import SubcommandError
from zkexec.ctl.status.group_reader import GroupRead
from zkexec.frozen import frozen
from zkexec.group.bulk_read import BulkRead
from zkexec.group.paths import LARGEST_COMMIT, Paths, is_left_over
from zkexec.group.record_changes import RecordChanges
from zkexec.group.record_reader import RecordReader
from zkexec.zookeeper.errors import (
    BadVersionError,
    NodeExistsError,
    NoNodeError,
    RefusedError,
)
from zkexec.zookeeper.requests import (
    Children,
    Create,
    Dialogue,
    Exists,
    Get,
    GetAcl,
    Operation,
    SetContent,
    Transaction,
    first_error,
    size_of,
)
from zkexec.zookeeper.values import READ, Acl

REQUESTS = ("retry", "restart")
"""The operations that request something of the members."""

_HAS_CHANGED = (BadVersionError, NodeExistsError, NoNodeError)
# A server shows this instead of the key of a digest, if the admin permission is missing.
_HIDDEN = ":x"
_FOR_ALL = (Acl(READ, "world", "anyone"),)


@frozen()
class OperationBasis:
    """What an operation is decided on.

    `basis` are the znodes that the record was read from.  `restart`, `restart_version` and
    `restart_zxid` are content, version and newest transaction of the znode of restarts.  The
    version is -1 if it does not exist, or is not needed.
    """

    record: RolloutRecord
    basis: RecordBasis
    restart: bytes = b""
    restart_version: int = -1
    restart_zxid: int = 0
    alive: int = 0
    is_member_alive: bool = False


class OperationStore:
    """The znodes of one group, for one operation."""

    def __init__(
        self,
        lock: str,
        paths: Paths,
        audit_entry: AuditEntry,
        lacks_multi_read: Callable[[], bool],
    ) -> None:
        """`lacks_multi_read` is called at each read: whether the servers are older than 3.6."""
        self._lock = lock
        self._paths = paths
        self._audit_entry = audit_entry
        self._lacks_multi_read = lacks_multi_read
        bulk_read = BulkRead(paths, lacks_multi_read)
        self._reader = RecordReader(paths, audit_entry.member, bulk_read)
        self._is_request = audit_entry.operation in REQUESTS

    @property
    def shown(self) -> str:
        """The path of the record, as the operator knows it."""
        return self._paths.shown(self._paths.state)

    def read(self) -> Dialogue:
        """Read what the operation is decided on → OperationBasis.

        What it does not need is not read: a pause also works if the restarts may not be read.
        Of the entries of members in flight only that of the operation's member is read.
        """
        read: RecordRead = yield from self._reader.read(ReadRecord(0))
        if not read.basis.exists:
            raise SubcommandError(f"there is no group {self._lock}: {self.shown} is missing")
        restart, stat = (yield from self._read_restart()) if self._is_request else (b"", None)
        return OperationBasis(
            record=read.record,
            basis=read.basis,
            restart=restart,
            restart_version=-1 if stat is None else stat.version,
            restart_zxid=0 if stat is None else stat.mzxid,
            alive=read.record.population.members,
            is_member_alive=(yield from self._read_is_alive()),
        )

    def _read_restart(self) -> Dialogue:
        path = self._paths.restart
        (found,) = yield [Get(path)]
        return (b"", None) if isinstance(found, NoNodeError) else self._paths.demand(path, found)

    def _read_is_alive(self) -> Dialogue:
        """Read whether the member that the operation is about is alive."""
        if not self._audit_entry.member:
            return False
        path = self._paths.member(self._audit_entry.member)
        (found,) = yield [Exists(path)]
        node = self._paths.demand(path, found)
        return node is not None and not is_left_over(node)

    def read_in_flight(self) -> Dialogue:
        """Read the names of the members in flight → sorted."""
        path = self._paths.in_flight
        (found,) = yield [Children(path)]
        names = () if isinstance(found, NoNodeError) else self._paths.demand(path, found)[0]
        return tuple(sorted(names))

    def read_group(self) -> Dialogue:
        """Read the whole group → GroupStatus."""
        read = GroupRead(self._paths.chroot, {}, self._lacks_multi_read, watching=False)
        yield from read.members([self._paths.base])
        return read.status(self._paths.base, self._lock)

    def write_steps(self, basis: OperationBasis, after: RolloutRecord) -> Dialogue:
        """Make the transaction that writes the record, and for a request the restarts.

        It is a step of its own, since making it can fail, and after this nothing was sent yet.
        """
        commit = CommitRecord(0, basis.record, after, basis.basis)
        changes = yield from self._changes(commit)
        operations: list[Operation] = changes.operations
        if self._is_request:
            operations.append((yield from self._restart(basis)))
        transaction = Transaction(operations)
        if (size := size_of(transaction)) > LARGEST_COMMIT:
            raise RefusedError(
                f"{self.shown}: would take {size} bytes, "
                f"more than the {LARGEST_COMMIT} that a server takes for sure"
            )
        return transaction

    def _changes(self, commit: CommitRecord) -> Dialogue:
        """Find what has to be written → RecordChanges."""
        paths = self._paths
        changes = RecordChanges(commit, paths, _FOR_ALL, time.time())
        created = [one.path for one in changes.operations if isinstance(one, Create)]
        if not created:
            return changes
        acl, is_known = yield from self._acl()
        if is_known:
            return RecordChanges(commit, paths, acl, time.time())
        # Members delete and count what is below a version, and write only into the others.
        written = [path for path in created if path.rpartition("/")[0] == paths.versions]
        if written:
            raise self._without_acl(written[0])
        return changes

    def send(self, transaction: Transaction) -> Dialogue:
        """Write → True, False if something has changed meanwhile, or why it was refused."""
        paths = self._paths
        (outcome,) = yield [transaction]
        refused = first_error(paths.demand(paths.state, outcome))
        if refused is None:
            return True
        index, error = refused
        if isinstance(error, _HAS_CHANGED):
            return False
        return paths.refusal(transaction.operations[index].path, error)

    def _restart(self, basis: OperationBasis) -> Dialogue:
        """Make the write of the restarts: a restart has a name of its own, a retry keeps the old.

        As all znodes of a group, a new one gets the ACL of the record.
        """
        paths, token = self._paths, self._audit_entry.token.encode()
        is_restart = self._audit_entry.operation == "restart"
        old_name = (restart_name(basis.restart) or "").encode() or NO_RESTART
        content = b"%s %s" % (token[:8] if is_restart else old_name, token)
        if basis.restart_version >= 0:
            return SetContent(paths.restart, content, basis.restart_version)
        acl, is_known = yield from self._acl()
        if not is_known:
            raise self._without_acl(paths.restart)
        return Create(paths.restart, content, acl)

    def _acl(self) -> Dialogue:
        """Read the ACL of the record, and whether it is whole; new znodes get the same."""
        path = self._paths.state
        (found,) = yield [GetAcl(path)]
        entries: Sequence[Acl] = self._paths.demand(path, found)[0]
        is_known = not any(
            one.scheme == "digest" and one.identity.endswith(_HIDDEN) for one in entries
        )
        return entries, is_known

    def _without_acl(self, path: str) -> RefusedError:
        return RefusedError(
            f"{self._paths.shown(path)}: is missing, and needs the ACL of {self.shown}, "
            "but there is no permission to see the keys in it (a)"
        )
