"""What an operator may do to a group's record: each a new record with the deed in it, or a no.

A retry and a restart change nothing here but the list of deeds: what makes the members act is the
group's znode of restarts, which is written in the same transaction.
"""

from enum import Enum

from zkexec.core.rollout.record import (
    MOST_AUDIT_ENTRIES,
    AuditEntry,
    Pause,
    RolloutRecord,
    VersionState,
)
from zkexec.frozen import replace


class Objection(Enum):
    """Why a deed makes no sense now."""

    PAUSED = "paused"
    """An operator has paused the group."""
    NOT_PAUSED = "not paused"
    """No operator has."""
    NOTHING_FAILED = "nothing failed"
    """There is nothing that could be tried once more."""
    NOT_IN_FLIGHT = "not in flight"
    """The record has no entry of this member."""
    ALIVE = "alive"
    """The member is there, and will end its entry itself."""


def is_done(record: RolloutRecord, audit_entry: AuditEntry) -> bool:
    """Whether the record has this very deed."""
    return any(known.token == audit_entry.token for known in record.audit)


def pause(record: RolloutRecord, audit_entry: AuditEntry) -> RolloutRecord | Objection:
    """Let nobody be admitted; who is in flight goes on."""
    if record.paused is not None:
        return Objection.PAUSED
    return replace(_with(record, audit_entry), paused=Pause(audit_entry.by, audit_entry.reason))


def resume(record: RolloutRecord, audit_entry: AuditEntry) -> RolloutRecord | Objection:
    """Take back an operator's pause; what has failed still stands."""
    if record.paused is None:
        return Objection.NOT_PAUSED
    return replace(_with(record, audit_entry), paused=None)


def retry(record: RolloutRecord, audit_entry: AuditEntry) -> RolloutRecord | Objection:
    """Have what failed be tried once more, by one member."""
    if record.paused is not None:
        return Objection.PAUSED
    if not failures(record):
        return Objection.NOTHING_FAILED
    return _with(record, audit_entry)


def restart(record: RolloutRecord, audit_entry: AuditEntry) -> RolloutRecord | Objection:
    """Have all members restart their commands in turns, whatever they run."""
    return Objection.PAUSED if record.paused is not None else _with(record, audit_entry)


def forget(
    record: RolloutRecord, audit_entry: AuditEntry, *, is_alive: bool, is_forced: bool
) -> RolloutRecord | Objection:
    """Take back the turn of a member that will not come back, as the head of the queue would.

    So its loss counts against what it was restarting to.
    """
    entry = record.in_flight.get(audit_entry.member)
    if entry is None:
        return Objection.NOT_IN_FLIGHT
    if is_alive and not is_forced:
        return Objection.ALIVE
    return _with(record.reclaim(audit_entry.member, entry.token), audit_entry)


def failures(record: RolloutRecord) -> dict[str, VersionState]:
    """What has failed and was not replaced by anything newer since, by digest."""
    newest: dict[str, int] = {}
    for version_state in record.versions.values():
        newest[version_state.scope] = max(version_state.zxid, newest.get(version_state.scope, 0))
    return {
        digest: version_state
        for digest, version_state in record.versions.items()
        if version_state.failed_by and version_state.zxid == newest[version_state.scope]
    }


def _with(record: RolloutRecord, audit_entry: AuditEntry) -> RolloutRecord:
    return replace(record, audit=(*record.audit, audit_entry)[-MOST_AUDIT_ENTRIES:])
