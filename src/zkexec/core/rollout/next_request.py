"""Decide which request a member sends to its group next, from what it knows and wants.

The order of the rules is the order of this file: know the record, be a member, bring into the
record what is missing there, then go through the queue, or leave it if nothing is wanted.
"""

from __future__ import annotations

from zkexec.core.actions import Action, Note
from zkexec.core.rollout.group_actions import CommitRecord, Enrol, ReadRecord
from zkexec.core.rollout.lease import Proposal
from zkexec.core.rollout.record import Refusal, RolloutRecord
from zkexec.core.rollout.situation import Situation
from zkexec.core.rollout.version import ConfigVersion, short
from zkexec.core.snapshot import Snapshot
from zkexec.core.step import Step, failed_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def next_request(at: Situation, now: float) -> Sequence[Action]:
    """Return one request at most, and what is to be logged with it."""
    if not at.record_view.known:
        return _read(at, False)
    if not at.membership.enrolled:
        return _make_way(at, now) if at.membership.is_kept_out else _enrol(at)
    if at.awaits_history:
        return []
    return _update_record(at, now) if _concerns_record(at) else _queue_or_leave(at, now)


def _make_way(at: Situation, now: float) -> Sequence[Action]:
    """Leave the queue and end the own turn, if the member cannot enrol: the others go on."""
    if at.queue.may_be_queued:
        return at.requests.send(at.queue.leave())
    is_due = bool(at.outcomes) or at.lease.proposal is not None
    return _update_record(at, now) if is_due and not at.awaits_history else _enrol(at)


def _enrol(at: Situation) -> Sequence[Action]:
    if at.awaits_read:
        # The status would show what this member wanted before.
        return []
    status = at.membership.status
    may_be_duplicate = at.membership.begin()
    return at.requests.send(lambda number: Enrol(number, status, may_be_duplicate))


def _queue_or_leave(at: Situation, now: float) -> Sequence[Action]:
    if at.wanted is not None and not at.input_state.is_lost:
        return _queue(at, at.wanted, now)
    if at.queue.may_be_queued:
        return at.requests.send(at.queue.leave())
    return []


def _concerns_record(at: Situation) -> bool:
    """Whether the record has, may have, or should have anything of this member."""
    is_missing = bool(at.outcomes) or at.unrecorded_good is not None or not at.is_recorded
    return (
        is_missing
        or at.in_flight
        or at.has_restored_entry
        or at.lease.admitted is not None
        or at.lease.proposal is not None
    )


def _update_record(at: Situation, now: float) -> Sequence[Action]:
    record = at.record_view.record
    if at.lease.proposal or at.record_view.needs_reading(watch=at.lease.has_failed(record)):
        return _read(at, at.lease.has_failed(record))
    complete = _completed(at, record)
    if complete is not record:
        return _commit(at, Proposal(complete, now))
    at.recorded()
    return [*at.note_max_unavailable(), *_continue(at, now)]


def _continue(at: Situation, now: float) -> Sequence[Action]:
    """Continue in the turn, or without one: the record is complete."""
    if not at.in_flight:
        at.lease.end()
    if not at.in_flight or not at.membership.enrolled:
        return next_request(at, now)
    is_free = not at.is_debouncing and at.may_be_admitted
    if at.wanted is not None and not at.is_admitted_to_wanted and is_free:
        return _readmit(at, at.wanted, now)
    if at.confirming:
        return _commit(at, Proposal(at.record_view.record, now))
    return []


def _completed(at: Situation, record: RolloutRecord) -> RolloutRecord:
    """Return the record with everything that it should have of this member."""
    if at.has_restored_entry:
        record = record.release(at.member, None)
    elif at.in_flight and at.lease.entry_in(record) is None:
        record = record.adopt(at.member, at.lease.token)
    if at.must_reenter and at.failure is not None and at.failure.version is not None:
        record = record.enter_failed(at.member, at.lease.token, at.failure.version)
    for outcome in at.outcomes:
        record = outcome.entered_in(record, at.member, at.lease.token)
    if at.unrecorded_good is not None:
        record = record.mark_known_good(at.member, at.unrecorded_good)
    if at.last_good is not None and not record.has_known_good(at.scope):
        # The record is a new one: the old one was deleted, or lost with its ensemble.
        record = record.mark_known_good(at.member, at.last_good)
    if at.has_requested_max_unavailable and record.max_unavailable is not None:
        return record
    return _with_max_unavailable(at, record)


def _with_max_unavailable(at: Situation, record: RolloutRecord) -> RolloutRecord:
    """Request the own max unavailable.  If another member requested the same, see `_read`."""
    requester = record.max_unavailable.by if record.max_unavailable else at.member
    is_requester_alive = requester == at.member or at.record_view.is_alive(requester)
    own, population = at.policy.max_unavailable, at.record_view.population
    return record.with_max_unavailable(at.member, own, population, is_requester_alive)


def _readmit(at: Situation, wanted: Snapshot, now: float) -> Sequence[Action]:
    version = at.version_of(wanted)
    found = at.record_view.record.readmit(at.member, at.lease.entry_for(version), version.scope)
    return _commit_admission(at, found, wanted, now)


def _queue(at: Situation, wanted: Snapshot, now: float) -> Sequence[Action]:
    if at.queue.unexplained:
        return _read(at, True)
    request = at.queue.next_request(at.membership.take_unpublished)
    if request is not None:
        return at.requests.send(request)
    if not at.queue.is_head or at.is_debouncing or not at.may_be_admitted:
        return []
    if at.record_view.needs_reading(watch=True):
        return _read(at, True)
    return _admit(at, wanted, now)


def _admit(at: Situation, wanted: Snapshot, now: float) -> Sequence[Action]:
    version, record = at.version_of(wanted), _with_max_unavailable(at, at.record_view.record)
    population, sequence = at.record_view.population, at.queue.sequence
    entry = at.lease.entry_for(version)
    found = record.admit(at.member, entry, version.scope, population, sequence)
    return _commit_admission(at, found, wanted, now, at.queue.name)


def _commit_admission(
    at: Situation,
    found: RolloutRecord | Refusal,
    wanted: Snapshot,
    now: float,
    queue_node: str = "",
) -> Sequence[Action]:
    """Commit the record with the own entry in it, unless the admission is refused."""
    version = at.version_of(wanted)
    if isinstance(found, RolloutRecord) and at.is_outdated(wanted):
        found = Refusal.OUTDATED
    if isinstance(found, Refusal):
        return _wait(at, found, version, now)
    return _commit(at, Proposal(found, now, wanted, version), queue_node)


def _wait(at: Situation, refusal: Refusal, version: ConfigVersion, now: float) -> Sequence[Action]:
    """Watch the record, and reclaim the turn of a missing member after its grace period."""
    if at.record_view.needs_reading(watch=True) or at.record_view.needs_final_read(now):
        return _read(at, True)
    overdue = at.record_view.overdue()
    if overdue is not None:
        member, token = overdue
        commit = _commit(at, Proposal(at.record_view.record.reclaim(member, token), now))
        return [Note("turn-reclaimed", {"member": member}), *commit]
    return _note_reason(at, refusal, version)


_NOT_OF_HEALTH = (
    *(Step.RENDER.value, Step.CHECK.value),
    *(Step.RELOAD.value, Step.POST_HEALTHY.value),
)
"""The steps whose failure a healthy command does not end."""


def _note_reason(at: Situation, refusal: Refusal, version: ConfigVersion) -> Sequence[Action]:
    """Log why this member is not admitted."""
    record = at.record_view.record
    failure = record.failure_of(version)
    if refusal is Refusal.OUTDATED:
        return at.note_once("turn-outdated", digest=short(version.digest))
    if refusal is Refusal.PAUSED and record.paused is not None:
        paused = record.paused
        return at.note_once("turn-paused", by=paused.by, reason=paused.reason, since=paused.at)
    if failure is not None:
        failed_by = ", ".join(failure.failed_by)
        or_else = f"; it also continues if the command on {failed_by} becomes healthy"
        return at.note_once(
            "turn-blocked",
            digest=short(version.digest),
            failed=failed_in(failure.step),
            failed_by=failed_by,
            step=failure.step,
            reason=failure.reason,
            or_else="" if failure.step in _NOT_OF_HEALTH else or_else,
            since=failure.at,
        )
    others = [name for name in record.in_flight if name != at.member]
    return at.note_once("turn-next", members=", ".join(sorted(others)))


def _read(at: Situation, watch: bool) -> Sequence[Action]:
    at.record_view.begin()
    requested = at.policy.max_unavailable if at.has_requested_max_unavailable else None
    return at.requests.send(lambda number: ReadRecord(number, watch, requested))


def _commit(at: Situation, proposal: Proposal, queue_node: str = "") -> Sequence[Action]:
    at.lease.proposal = proposal
    at.record_view.begin()
    checks = proposal.admits.znode_versions if proposal.admits else {}
    record, znode_version = proposal.record, at.record_view.znode_version
    status = at.membership.take_unpublished()
    return at.requests.send(
        lambda number: CommitRecord(number, record, znode_version, checks, queue_node, status)
    )
