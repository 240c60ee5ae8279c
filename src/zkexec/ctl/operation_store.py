"""Read and write what an operation of an operator changes: a group's record and its restarts.

The record is changed by compare-and-set only.  The znode of restarts, by which an operator
requests something of the members, is written in the same transaction.
"""

import time

from zkexec.core.inputs import NO_RESTART, restart_name
from zkexec.core.rollout.record import AuditEntry, RolloutRecord
from zkexec.ctl.exit_status import SubcommandError
from zkexec.ctl.status.group_reader import GroupRead
from zkexec.frozen import frozen, replace
from zkexec.group.record_codec import decode, encode
from zkexec.group.store import LARGEST_COMMIT, Paths, is_left_over
from zkexec.zookeeper.errors import (
    BadVersionError,
    NodeExistsError,
    NoNodeError,
    RefusedError,
)
from zkexec.zookeeper.requests import (
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
from zkexec.zookeeper.values import Stat

REQUESTS = ("retry", "restart")
"""The operations that request something of the members."""

_HAS_CHANGED = (BadVersionError, NodeExistsError, NoNodeError)
# A server shows this instead of the key of a digest, if the admin permission is missing.
_HIDDEN = ":x"


@frozen()
class OperationBasis:
    """What an operation is decided on.

    `restart`, `restart_version` and `restart_zxid` are content, version and newest transaction of
    the znode of restarts.  The version is -1 if it does not exist, or is not needed.
    """

    record: RolloutRecord
    version: int
    restart: bytes = b""
    restart_version: int = -1
    restart_zxid: int = 0
    alive: int = 0
    is_member_alive: bool = False


class OperationStore:
    """The znodes of one group, for one operation."""

    def __init__(self, lock: str, paths: Paths, audit_entry: AuditEntry) -> None:
        self._lock = lock
        self._paths = paths
        self._audit_entry = audit_entry
        self._is_request = audit_entry.operation in REQUESTS

    @property
    def shown(self) -> str:
        """The path of the record, as the operator knows it."""
        return self._paths.shown(self._paths.state)

    def read(self) -> Dialogue:
        """Read what the operation is decided on → OperationBasis.

        What it does not need is not read: a pause also works if the restarts may not be read.
        """
        paths = self._paths
        name = self._audit_entry.member
        path = paths.member(name) if name else paths.members
        found, members, member, *restarts = yield [
            Get(paths.state),
            Exists(paths.members),
            Exists(path),
            *([Get(paths.restart)] if self._is_request else []),
        ]
        if isinstance(found, NoNodeError):
            raise SubcommandError(f"there is no group {self._lock}: {self.shown} is missing")
        content, stat = paths.demand(paths.state, found)
        try:
            record = decode(content).clamped_to(stat.mzxid)
        except ValueError as error:
            raise RefusedError(f"{self.shown}: {error}") from None
        alive = paths.demand(paths.members, members)
        basis = OperationBasis(
            record=record,
            version=stat.version,
            alive=alive.num_children if alive else 0,
            is_member_alive=_is_alive(paths.demand(path, member)),
        )
        for outcome in restarts:
            if not isinstance(outcome, NoNodeError):
                content, stat = paths.demand(paths.restart, outcome)
                basis = replace(
                    basis,
                    restart=content,
                    restart_version=stat.version,
                    restart_zxid=stat.mzxid,
                )
        return basis

    def read_group(self) -> Dialogue:
        """Read the whole group → GroupStatus."""
        read = GroupRead(self._paths.chroot, {}, watching=False)
        yield from read.members([self._paths.base])
        return read.status(self._paths.base, self._lock)

    def write_steps(self, basis: OperationBasis, after: RolloutRecord) -> Dialogue:
        """Make the transaction that writes the record, and for a request the restarts.

        It is a step of its own, since making it can fail, and after this nothing was sent yet.
        """
        paths = self._paths
        operations: list[Operation] = [
            SetContent(paths.state, encode(after, time.time()), basis.version)
        ]
        if self._is_request:
            operations.append((yield from self._restart(basis)))
        transaction = Transaction(operations)
        if (size := size_of(transaction)) > LARGEST_COMMIT:
            raise RefusedError(
                f"{self.shown}: would take {size} bytes, "
                f"more than the {LARGEST_COMMIT} that a server takes for sure"
            )
        return transaction

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
        (found,) = yield [GetAcl(paths.state)]
        entries, _ = paths.demand(paths.state, found)
        for one in entries:
            if one.scheme == "digest" and one.identity.endswith(_HIDDEN):
                raise RefusedError(
                    f"{paths.shown(paths.restart)}: is missing, and needs the ACL of {self.shown}, "
                    "but there is no permission to see the keys in it (a)"
                )
        return Create(paths.restart, content, entries)


def _is_alive(node: Stat | None) -> bool:
    return node is not None and not is_left_over(node)
