"""Decide which request a member sends to its group next, from what it knows and wants.

The order of the rules is the order of this file: know the record, be a member, bring into the
record what is missing there, then go through the queue, or leave it if nothing is wanted.  What
the head of the queue does is in `leading`.
"""

from __future__ import annotations

from zkexec.core.actions import Action
from zkexec.core.rollout.group_actions import Enrol, Watch
from zkexec.core.rollout.leading import commit, commit_admission, lead, read, wait, with_limits
from zkexec.core.rollout.lease import Proposal
from zkexec.core.rollout.record import Refusal, RolloutRecord
from zkexec.core.rollout.situation import Situation
from zkexec.core.rollout.spread import FEW_IN_FLIGHT
from zkexec.core.snapshot import Snapshot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def next_request(at: Situation, now: float) -> Sequence[Action]:
    """Return one request at most, and what is to be logged with it."""
    if not at.record_view.known:
        return read(at)
    if not at.membership.enrolled:
        return _make_way(at, now) if at.membership.is_kept_out else _enrol(at)
    if at.awaits_history:
        return []
    if at.queue.unexplained or at.doubts_turn:
        return read(at, at.queue.watch_to_explain)
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
    status = at.membership.shown
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
    if at.lease.proposal or at.record_view.needs_reading():
        return read(at)
    complete = _completed(at, record)
    if complete is not record:
        return commit(at, Proposal(record, complete, now))
    at.recorded()
    return [*at.note_max_unavailable(), *_continue(at, now)]


def _continue(at: Situation, now: float) -> Sequence[Action]:
    """Continue in the turn, or without one: the record is complete."""
    if not at.in_flight or not at.membership.enrolled:
        return next_request(at, now)
    if at.queue.may_be_queued:
        return at.requests.send(at.queue.leave())
    is_free = not at.is_debouncing and at.may_be_admitted
    if at.wanted is not None and not at.is_admitted_to_wanted and is_free:
        return _readmit(at, at.wanted, now)
    if at.confirming:
        record = at.record_view.record
        return commit(at, Proposal(record, record, now))
    return []


def _completed(at: Situation, record: RolloutRecord) -> RolloutRecord:
    """Return the record with everything that it should have of this member."""
    if at.has_restored_entry or at.has_unwanted_turn:
        record = record.release(at.member, None)
    elif at.in_flight and at.lease.entry_in(record) is None:
        record = record.adopt(at.member, at.lease.token)
    if at.must_reenter and at.failure is not None and at.failure.version is not None:
        zone = at.policy.zone
        record = record.enter_failed(at.member, at.lease.token, at.failure.version, zone)
    for outcome in at.outcomes:
        record = outcome.entered_in(record, at.member, at.lease.token)
    if at.unrecorded_good is not None:
        record = record.mark_known_good(at.member, at.unrecorded_good)
    if at.last_good is not None and not record.has_known_good(at.scope):
        # The record is a new one: the old one was deleted, or lost with its ensemble.
        record = record.mark_known_good(at.member, at.last_good)
    return with_limits(at, record)


def _readmit(at: Situation, wanted: Snapshot, now: float) -> Sequence[Action]:
    version, view = at.version_of(wanted), at.record_view
    if not view.record.needs_survey(version):
        found = view.record.readmit(at.member, at.lease.entry_for(version), version.scope)
        return commit_admission(at, found, wanted, now, is_exclusive=False)
    if (pause_s := at.readmission_pause_s(version)) > 0:
        at.record_view.doubt()
        at.requests.pause(now, pause_s)
        return []
    if not view.is_surveyed:
        # Of many in flight one tries an untried version.  The others need not look at all entries.
        is_many = view.record.others_in_flight(at.member) > FEW_IN_FLIGHT
        if is_many and version.digest in view.record.versions:
            return wait(at, Refusal.FULL, version, now)
        return read(at, survey=True)
    found = view.record.readmit(at.member, at.lease.entry_for(version), version.scope)
    return commit_admission(at, found, wanted, now)


def _queue(at: Situation, wanted: Snapshot, now: float) -> Sequence[Action]:
    if at.times.join_from is not None and not at.queue.may_be_queued:
        return []
    request = at.queue.next_request(at.queued, at.membership.take_unpublished)
    if request is not None:
        return at.requests.send(request)
    if at.is_takeover_due(now):
        return read(at, Watch.NOTHING)
    if not at.is_head:
        at.admissions.forget()
        return []
    if at.is_debouncing or not at.may_be_admitted:
        return []
    return lead(at, wanted, now)
