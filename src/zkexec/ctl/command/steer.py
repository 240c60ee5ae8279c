"""`zkexecctl pause`, `resume`, `approve`, `retry`, `restart` and `forget`: operations on a record.

They share everything but the rule that decides, so they share a file.  The rules of this file:

- An operation has a random token.  It is looked up before anything is written, so that an
  operation whose reply was lost is not done twice, and is reported as done.
- Members write the record all the time, which is no reason to give up.  Another operator's
  operation is one: what it leaves behind is read again, and decides.
- Of two restarts, or two retries, the second is refused while the first is not finished.  It is
  finished if it is not the latest operation of all, or the restarts have another content; so a
  pause and its end make room.
- If the status of a member cannot be read, nothing follows from it: the operation is done.
"""

import os
from collections.abc import Callable, Mapping
from functools import partial

from zkexec.core.inputs import restart_name
from zkexec.core.policy import MaxUnavailable
from zkexec.core.rollout import operations
from zkexec.core.rollout.operations import Objection
from zkexec.core.rollout.record import AuditEntry, RolloutRecord
from zkexec.core.rollout.version import is_same_contents
from zkexec.core.rollout.version_state import VersionState
from zkexec.ctl.arguments import Invocation
from zkexec.ctl.cluster_connection import ClusterConnection, connect
from zkexec.ctl.command import steer_messages
from zkexec.ctl.exit_status import DONE, SubcommandError
from zkexec.ctl.operation_store import OperationBasis, OperationStore
from zkexec.ctl.printed_command import printed_command
from zkexec.ctl.record_mark import record_mark
from zkexec.ctl.status.group_status import GroupStatus
from zkexec.ctl.status.member_row import MemberRow
from zkexec.ctl.terminal.console import Console
from zkexec.frozen import frozen, replace
from zkexec.group.paths import Paths
from zkexec.znode_paths import group_path
from zkexec.zookeeper.errors import RefusedError
from zkexec.zookeeper.requests import Dialogue

_TRIES = 1000

Rule = Callable[[OperationBasis, AuditEntry], RolloutRecord | Objection]


@frozen()
class _Done:
    """What the operation was decided on, the record after it, and which members are in flight.

    The last is only known if the operation is about it.
    """

    basis: OperationBasis
    after: RolloutRecord
    in_flight: tuple[str, ...] = ()


def run(invocation: Invocation, console: Console) -> int:
    """Do the operation, and print what was done."""
    with connect(invocation.connection, console) as cluster:
        message = operate(invocation, cluster)
    console.paragraph(f"{invocation.lock}: {message}")
    return DONE


def operate(invocation: Invocation, cluster: ClusterConnection, mark: str = "") -> str:
    """Do the operation, and return what was done.

    With a `mark` of the record, it is refused if the record has another one now.
    """
    audit_entry = AuditEntry(
        operation=invocation.subcommand,
        by=invocation.by,
        reason=invocation.reason,
        token=os.urandom(8).hex(),
        member=invocation.member,
    )
    rule = _rule(invocation)
    lock = invocation.lock
    paths = Paths(cluster.chroot, group_path(lock))
    store = OperationStore(lock, paths, audit_entry, lambda: cluster.lacks_multi_read)
    operation = _Operation(lock, store, audit_entry, rule, invocation.connection.words, mark)
    try:
        done: _Done = cluster.run(operation.steps)
    except SubcommandError as error:
        if operation.tried is None:
            raise
        check = printed_command(invocation.connection.words, "status", lock)
        doubt = f"it may have been done: check with {check}"
        raise SubcommandError(f"{error}; {doubt}", error.status) from None
    before, alive = done.basis.record, done.basis.alive
    return steer_messages.done(audit_entry, before, done.after, alive, done.in_flight)


class _Operation:
    """One operation under way.

    `tried` is what the last write was decided on, while it is not known what became of this write.
    """

    def __init__(
        self,
        lock: str,
        store: OperationStore,
        audit_entry: AuditEntry,
        rule: Rule,
        connection_words: tuple[str, ...],
        mark: str,
    ) -> None:
        """`connection_words` are the options that commands repeat.

        `mark` is that of the record that the operator has seen, "" if it does not matter.
        """
        self.tried: OperationBasis | None = None
        self._lock = lock
        self._store = store
        self._audit_entry = audit_entry
        self._rule = rule
        self._connection_words = connection_words
        self._mark = mark
        self._first: OperationBasis | None = None
        self._checked: object = None
        """What the operation makes sense with, as far as members change it."""

    def steps(self) -> Dialogue:
        """Do the operation → _Done."""
        basis, after = yield from self._write()
        is_pause = self._audit_entry.operation == "pause"
        in_flight = (yield from self._store.read_in_flight()) if is_pause else ()
        return _Done(basis, after, in_flight)

    def _write(self) -> Dialogue:
        """Do the operation → what it was decided on, and the record after it."""
        for _ in range(_TRIES):
            basis: OperationBasis = yield from self._store.read()
            if operations.is_done(basis.record, self._audit_entry):
                return self.tried or basis, basis.record
            self.tried = None
            after = yield from self._decide(basis)
            transaction = yield from self._store.write_steps(basis, after)
            self.tried = basis
            outcome = yield from self._store.send(transaction)
            if outcome is True:
                return basis, after
            self.tried = None
            if isinstance(outcome, RefusedError):
                raise outcome
        raise RefusedError(f"{self._store.shown}: others keep changing it")

    def _decide(self, basis: OperationBasis) -> Dialogue:
        """Apply the rule → RolloutRecord; raise SubcommandError if the operation is refused."""
        self._first = self._first or basis
        if self._mark and record_mark(basis.record, self._audit_entry.member) != self._mark:
            message = "the record has changed since the form was shown; nothing was done"
            raise SubcommandError(f"{self._lock}: {message}")
        if basis.restart_version not in (self._first.restart_version, -1):
            message = steer_messages.overtaken(basis.record)
            raise SubcommandError(f"{self._lock}: {message}; nothing was done")
        after = self._rule(basis, self._audit_entry)
        if isinstance(after, Objection):
            why = yield from self._objection(basis, after)
        else:
            why = yield from self._first_obstacle(basis)
        if why:
            raise SubcommandError(f"{self._lock}: {why}")
        return after

    def _first_obstacle(self, basis: OperationBasis) -> Dialogue:
        """Write why the operation makes no sense; do not examine the same twice.

        The members are read for it, and meanwhile others may have written the record.
        """
        examined = (basis.record.audit, basis.restart, operations.failures(basis.record))
        if examined == self._checked:
            return ""
        why = yield from self._obstacle(basis)
        self._checked = examined
        return why

    def _read_group(self) -> Dialogue:
        """Read the group with its members; its commands repeat the connection options."""
        group: GroupStatus = yield from self._store.read_group()
        return replace(group, connection_words=self._connection_words)

    def _objection(self, basis: OperationBasis, objection: Objection) -> Dialogue:
        """Write why the record does not allow it."""
        if objection is Objection.ALIVE:
            member = self._audit_entry.member
            group = yield from self._read_group()
            if does_not_know_its_turn(group, member):
                return steer_messages.unknown_turn(group, member)
        in_flight: tuple[str, ...] = ()
        if objection is Objection.NOT_IN_FLIGHT:
            in_flight = yield from self._store.read_in_flight()
        return steer_messages.objected(objection, basis.record, self._audit_entry, in_flight)

    def _obstacle(self, basis: OperationBasis) -> Dialogue:
        """Write why the operation makes no sense with what the members do; "" if it does."""
        operation = self._audit_entry.operation
        first = last_request(basis.record, operation, basis.restart)
        if operation == "retry":
            failed = operations.failures(basis.record)
            if first and is_untried(failed, basis.restart_zxid):
                return steer_messages.already_requested(first, [])
            group: GroupStatus = yield from self._read_group()
            return steer_messages.unwanted(group) if is_unwanted(group, failed) else ""
        if operation == "restart" and operations.failures(basis.record):
            group = yield from self._read_group()
            if group.failure is not None:
                return steer_messages.failed_restart(group)
        if first is None:
            return ""
        left = not_restarted((yield from self._store.read_group()), basis.restart)
        return steer_messages.already_requested(first, left) if left else ""


def last_request(record: RolloutRecord, operation: str, restart: bytes) -> AuditEntry | None:
    """Return the latest operation of all, if it is such a request and wrote these restarts."""
    entry = record.audit[-1] if record.audit else None
    if entry is None or entry.operation != operation:
        return None
    return entry if restart.split()[1:] == [entry.token.encode(errors="backslashreplace")] else None


def is_untried(failed: Mapping[str, VersionState], zxid: int) -> bool:
    """Return whether nothing has failed since a retry was written in this transaction."""
    return all(version_state.zxid < zxid for version_state in failed.values())


def not_restarted(group: GroupStatus, restart: bytes) -> list[str]:
    """Name the members that have yet to restart; none if the restart has failed."""
    if group.failure is not None:
        return []
    name = restart_name(restart) or ""
    return [row.name for row in group.rows if _has_to_restart(row, name)]


def _has_to_restart(row: MemberRow, name: str) -> bool:
    if row.znode.status is None or row.duplicate_of:
        return False
    running = row.status.running
    # A member that runs nothing and has no turn is about to start for the first time.
    return running.partition(".")[2] != name and (bool(running) or row.is_in_flight)


def is_unwanted(group: GroupStatus, failed: Mapping[str, VersionState]) -> bool:
    """Return whether no living member wants what has failed, as far as all have published it."""
    alive = [row for row in group.rows if row.is_alive and not row.duplicate_of]
    if any(row.znode.status is None or row.inputs_behind for row in alive):
        return False
    wanted = {row.status.wanted for row in alive}
    return bool(alive) and not any(
        is_same_contents(one, digest) for one in wanted for digest in failed
    )


def does_not_know_its_turn(group: GroupStatus, member: str) -> bool:
    """Return whether a living member runs what it wants, as a member without a turn does."""
    return any(
        row.name == member and row.runs_wanted and not row.inputs_behind for row in group.rows
    )


def _rule(invocation: Invocation) -> Rule:
    """Choose the rule that decides, and give it its options."""
    match invocation.subcommand:
        case "approve":
            return partial(_approve, raised=invocation.hold)
        case "forget":
            return partial(_forget, is_forced=invocation.force)
    return _RULES[invocation.subcommand]


def _approve(
    basis: OperationBasis, audit_entry: AuditEntry, *, raised: MaxUnavailable | None
) -> RolloutRecord | Objection:
    return operations.approve(basis.record, audit_entry, raised)


def _forget(
    basis: OperationBasis, audit_entry: AuditEntry, *, is_forced: bool
) -> RolloutRecord | Objection:
    is_alive = basis.is_member_alive
    return operations.forget(basis.record, audit_entry, is_alive=is_alive, is_forced=is_forced)


_RULES: dict[str, Rule] = {
    "pause": lambda basis, audit_entry: operations.pause(basis.record, audit_entry),
    "resume": lambda basis, audit_entry: operations.resume(basis.record, audit_entry),
    "retry": lambda basis, audit_entry: operations.retry(basis.record, audit_entry),
    "restart": lambda basis, audit_entry: operations.restart(basis.record, audit_entry),
}
