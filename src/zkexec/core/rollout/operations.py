"""What an operator may do to a group's record: each operation is a new record or an Objection.

A retry and a restart change nothing here but the audit entries.  The members act because the
group's znode of restarts is written in the same transaction.
"""

from collections.abc import Mapping

from zkexec.core.policy import MaxUnavailable
from zkexec.core.rollout.record import (
    MOST_AUDIT_ENTRIES,
    AuditEntry,
    HeldAgain,
    Hold,
    Pause,
    RolloutRecord,
)
from zkexec.core.rollout.version import contents_of
from zkexec.core.rollout.version_state import VersionState
from zkexec.enumeration import Enum
from zkexec.frozen import replace


class Objection(Enum):
    """Why an operation makes no sense now."""

    PAUSED = "paused"
    """An operator has paused the group."""
    NOT_PAUSED = "not paused"
    """No operator has paused the group."""
    NOT_HELD = "not held"
    """There is no hold that could be approved."""
    SMALLER = "smaller"
    """The hold that is requested is smaller than the present one."""
    SAME = "same"
    """The hold that is requested is the present one."""
    NOTHING_FAILED = "nothing failed"
    """No version has failed that could be tried once more."""
    NOT_IN_FLIGHT = "not in flight"
    """The record has no entry of this member."""
    ALIVE = "alive"
    """The member is alive, and ends its turn itself: now, or if it has failed, with a new try."""


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


def hold(
    record: RolloutRecord,
    audit_entry: AuditEntry,
    after: MaxUnavailable,
    again: Mapping[str, int] = {},
) -> RolloutRecord:
    """Let no more than `after` members have what is pushed now before an approval.

    `again` are the known good versions that the push makes once more, with how many turns with
    them had ended well.

    If there is a hold already, the new one replaces it, and is also about all versions that the old
    one was about: what was not approved does not become approved by another push.  So the undo of
    this push does not end the hold, either.
    """
    token = audit_entry.token if record.hold is None else ""
    known_good = {digest for digest, state in record.versions.items() if state.known_good}
    if record.hold is not None:
        known_good.intersection_update(record.hold.known_good)
    pushed = {contents_of(digest): count for digest, count in again.items()}
    free = sorted(digest for digest in known_good if contents_of(digest) not in pushed)
    known = set(map(contents_of, record.versions))
    kept = () if record.hold is None else record.hold.again
    new = Hold(
        after,
        audit_entry.by,
        audit_entry.reason,
        tuple(free),
        token=token,
        again=(
            *(one for one in kept if one.digest in known.difference(pushed)),
            *(HeldAgain(*one) for one in sorted(pushed.items())),
        ),
    )
    return replace(_with(record, audit_entry), hold=new)


def end_hold(record: RolloutRecord, audit_entry: AuditEntry, token: str) -> RolloutRecord | None:
    """End the hold of the push with this token, which is undone; None if there is no such hold."""
    if record.hold is None or not token or record.hold.token != token:
        return None
    return replace(_with(record, audit_entry), hold=None)


def approve(
    record: RolloutRecord, audit_entry: AuditEntry, raised: MaxUnavailable | None
) -> RolloutRecord | Objection:
    """End a hold, or raise it to another number of members; it can never be lowered."""
    hold, members = record.hold, record.population.members
    if hold is None:
        return Objection.NOT_HELD
    if raised is None:
        return replace(_with(record, audit_entry), hold=None)
    if raised == hold.after:
        return Objection.SAME
    # Of two percentages that are the same number of members now, one can be smaller later.
    is_less = raised.percent and hold.after.percent and raised.amount < hold.after.amount
    if is_less or raised.of(members) < hold.after.of(members):
        return Objection.SMALLER
    return replace(_with(record, audit_entry), hold=replace(hold, after=raised))


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
