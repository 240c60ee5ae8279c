"""What an operator may do to a group's record: each operation is a new record or an Objection.

A retry and a restart change nothing here but the audit entries.  The members act because the
group's znode of restarts is written in the same transaction.
"""

from zkexec.core.rollout.record import (
    MOST_AUDIT_ENTRIES,
    AuditEntry,
    Pause,
    RolloutRecord,
    VersionState,
)
from zkexec.enumeration import Enum
from zkexec.frozen import replace


class Objection(Enum):
    """Why an operation makes no sense now."""

    PAUSED = "paused"
    """An operator has paused the group."""
    NOT_PAUSED = "not paused"
    """No operator has paused the group."""
    NOTHING_FAILED = "nothing failed"
    """No version has failed that could be tried once more."""
    NOT_IN_FLIGHT = "not in flight"
    """The record has no entry of this member."""
    ALIVE = "alive"
    """The member is alive, and will end its turn itself."""


def is_done(record: RolloutRecord, audit_entry: AuditEntry) -> bool:
    """Whether the record has this very audit entry."""
    return any(known.token == audit_entry.token for known in record.audit)


def pause(record: RolloutRecord, audit_entry: AuditEntry) -> RolloutRecord | Objection:
    """Admit no member from now on; members in flight finish."""
    if record.paused is not None:
        return Objection.PAUSED
    return replace(_with(record, audit_entry), paused=Pause(audit_entry.by, audit_entry.reason))


def resume(record: RolloutRecord, audit_entry: AuditEntry) -> RolloutRecord | Objection:
    """End an operator's pause; a failed version stays failed."""
    if record.paused is None:
        return Objection.NOT_PAUSED
    return replace(_with(record, audit_entry), paused=None)


def retry(record: RolloutRecord, audit_entry: AuditEntry) -> RolloutRecord | Objection:
    """Let one member try the failed version once more."""
    if record.paused is not None:
        return Objection.PAUSED
    if not failures(record):
        return Objection.NOTHING_FAILED
    return _with(record, audit_entry)


def restart(record: RolloutRecord, audit_entry: AuditEntry) -> RolloutRecord | Objection:
    """Let all members restart their commands in turns, whatever they run."""
    return Objection.PAUSED if record.paused is not None else _with(record, audit_entry)


def forget(
    record: RolloutRecord, audit_entry: AuditEntry, *, is_alive: bool, is_forced: bool
) -> RolloutRecord | Objection:
    """Reclaim the turn of a member that will not come back, as the head of the queue would.

    So the lost turn counts against its version.
    """
    entry = record.in_flight.get(audit_entry.member)
    if entry is None:
        return Objection.NOT_IN_FLIGHT
    if is_alive and not is_forced:
        return Objection.ALIVE
    return _with(record.reclaim(audit_entry.member, entry.token), audit_entry)


def failures(record: RolloutRecord) -> dict[str, VersionState]:
    """Return, by digest, the failed versions that no newer version has replaced."""
    newest: dict[str, int] = {}
    for state in record.versions.values():
        newest[state.scope] = max(state.zxid, newest.get(state.scope, 0))
    return {
        digest: state
        for digest, state in record.versions.items()
        if state.failed_by and state.zxid == newest[state.scope]
    }


def _with(record: RolloutRecord, audit_entry: AuditEntry) -> RolloutRecord:
    return replace(record, audit=(*record.audit, audit_entry)[-MOST_AUDIT_ENTRIES:])
