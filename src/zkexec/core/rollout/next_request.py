"""The next request to the group: what follows from what a member knows and wants.

The order of the rules is the order of this file: know the record, be a member, settle what is in
the record or owed to it, then go through the queue, and leave it where nothing is wanted.
"""

from collections.abc import Sequence

from zkexec.core.actions import Action, Note
from zkexec.core.rollout.group_actions import CommitRecord, Enrol, ReadRecord
from zkexec.core.rollout.lease import Proposal
from zkexec.core.rollout.record import Refusal, RolloutRecord
from zkexec.core.rollout.situation import Situation
from zkexec.core.rollout.version import ConfigVersion, short
from zkexec.core.snapshot import Snapshot


def next_step(at: Situation, now: float) -> Sequence[Action]:
    """One request at most, and what is to be said beside it."""
    if not at.record_view.known:
        return _read(at, False, now)
    if not at.membership.enrolled:
        return _stand_aside(at, now) if at.membership.is_kept_out else _enrol(at, now)
    if at.is_unsurveyed:
        return []
    return _settle(at, now) if _has_business(at) else _want(at, now)


def _stand_aside(at: Situation, now: float) -> Sequence[Action]:
    """Who cannot be a member lets the others take their turns, and ends the one that it has."""
    if at.queue.may_be_in:
        return at.requests.send(at.queue.leave(), now)
    is_due = bool(at.outcomes) or at.lease.proposal is not None
    return _settle(at, now) if is_due and not at.is_unsurveyed else _enrol(at, now)


def _enrol(at: Situation, now: float) -> Sequence[Action]:
    if at.is_unread:
        # The card would tell others what this member wanted before.
        return []
    status = at.membership.status
    may_be_duplicate = at.membership.begin()
    return at.requests.send(lambda number: Enrol(number, status, may_be_duplicate), now)


def _want(at: Situation, now: float) -> Sequence[Action]:
    if at.wanted is not None and not at.knowledge.is_lost:
        return _queue_up(at, at.wanted, now)
    if at.queue.may_be_in:
        return at.requests.send(at.queue.leave(), now)
    return []


def _has_business(at: Situation) -> bool:
    """Whether the record has, may have, or should have something of this member."""
    owes = bool(at.outcomes) or at.vouched is not None or not at.settled
    return (
        owes
        or at.in_flight
        or at.has_stray
        or at.lease.held is not None
        or at.lease.proposal is not None
    )


def _settle(at: Situation, now: float) -> Sequence[Action]:
    record = at.record_view.record
    if at.lease.proposal or at.record_view.needs_reading(watch=at.lease.has_failed(record)):
        return _read(at, at.lease.has_failed(record), now)
    due = _with_what_is_owed(at, record)
    if due is not record:
        return _commit(at, Proposal(due, now), now)
    at.end_settling()
    return [*at.say_width(), *_go_on(at, now)]


def _go_on(at: Situation, now: float) -> Sequence[Action]:
    """Nothing is owed to the record: go on in the turn, or without one."""
    if not at.in_flight:
        at.lease.let_go()
    if not at.in_flight or not at.membership.enrolled:
        return next_step(at, now)
    if at.wanted is not None and not at.holds_wanted and not at.is_settling and at.may_go_in:
        return _readmit(at, at.wanted, now)
    if at.confirming:
        return _commit(at, Proposal(at.record_view.record, now), now)
    return []


def _with_what_is_owed(at: Situation, record: RolloutRecord) -> RolloutRecord:
    if at.has_stray:
        record = record.release(at.member, None)
    elif at.in_flight and at.lease.entry_in(record) is None:
        record = record.adopt(at.member, at.lease.token)
    if at.rejoins and at.failure is not None and at.failure.target is not None:
        record = record.rejoin(at.member, at.lease.token, at.failure.target)
    for outcome in at.outcomes:
        record = outcome.entered(record, at.member, at.lease.token)
    if at.vouched is not None:
        record = record.report_known_good(at.member, at.vouched)
    if at.good is not None and not record.has_known_good(at.scope):
        # It is a new one: the old went with its ensemble, or was deleted.
        record = record.report_known_good(at.member, at.good)
    return record if at.agreed and record.max_unavailable is not None else _agree(at, record)


def _agree(at: Situation, record: RolloutRecord) -> RolloutRecord:
    """Ask for the own width.  Who asks for the same as another may take its place: see `_read`."""
    max_unavailable, asker = (
        at.policy.max_unavailable,
        record.max_unavailable.by if record.max_unavailable else at.member,
    )
    asker_lives = asker == at.member or at.record_view.lives(asker)
    return record.agree(at.member, max_unavailable, at.record_view.population, asker_lives)


def _readmit(at: Situation, wanted: Snapshot, now: float) -> Sequence[Action]:
    target = at.target(wanted)
    found = at.record_view.record.readmit(at.member, at.lease.entry_for(target), target.scope)
    return _go_in(at, found, wanted, now)


def _queue_up(at: Situation, wanted: Snapshot, now: float) -> Sequence[Action]:
    if at.queue.unexplained:
        return _read(at, True, now)
    request = at.queue.next_request(at.membership.news)
    if request is not None:
        return at.requests.send(request, now)
    if not at.queue.is_head or at.is_settling or not at.may_go_in:
        return []
    if at.record_view.needs_reading(watch=True):
        return _read(at, True, now)
    return _admit(at, wanted, now)


def _admit(at: Situation, wanted: Snapshot, now: float) -> Sequence[Action]:
    target, record = at.target(wanted), _agree(at, at.record_view.record)
    population, place = at.record_view.population, at.queue.sequence
    entry = at.lease.entry_for(target)
    found = record.admit(at.member, entry, target.scope, population, place)
    return _go_in(at, found, wanted, now, at.queue.name)


def _go_in(
    at: Situation, found: RolloutRecord | Refusal, wanted: Snapshot, now: float, place: str = ""
) -> Sequence[Action]:
    """Commit the record with the own entry in it, unless something speaks against it."""
    target = at.target(wanted)
    if isinstance(found, RolloutRecord) and at.is_outdated(wanted):
        found = Refusal.OUTDATED
    if isinstance(found, Refusal):
        return _wait(at, found, target, now)
    return _commit(at, Proposal(found, now, wanted, target), now, place)


def _wait(at: Situation, refusal: Refusal, target: ConfigVersion, now: float) -> Sequence[Action]:
    if at.record_view.needs_reading(watch=True) or at.record_view.needs_last_look(now):
        return _read(at, True, now)
    overdue = at.record_view.overdue()
    if overdue is not None:
        member, token = overdue
        reaped = _commit(at, Proposal(at.record_view.record.reclaim(member, token), now), now)
        return [Note("turn-reclaimed", {"member": member}), *reaped]
    return _say_why(at, refusal, target)


def _say_why(at: Situation, refusal: Refusal, target: ConfigVersion) -> Sequence[Action]:
    record = at.record_view.record
    version_state = record.blocking(target)
    if refusal is Refusal.OUTDATED:
        return at.say("turn-outdated", digest=short(target.digest))
    if refusal is Refusal.PAUSED and record.paused is not None:
        paused = record.paused
        return at.say("turn-paused", by=paused.by, reason=paused.reason, since=paused.at)
    if version_state is not None:
        return at.say(
            "turn-blocked",
            digest=short(target.digest),
            failed_by=", ".join(version_state.failed_by),
            reason=version_state.reason,
            since=version_state.at,
        )
    others = [name for name in record.in_flight if name != at.member]
    return at.say("turn-next", members=", ".join(sorted(others)))


def _read(at: Situation, watch: bool, now: float) -> Sequence[Action]:
    at.record_view.begin()
    asks = at.policy.max_unavailable if at.agreed else None
    return at.requests.send(lambda number: ReadRecord(number, watch, asks), now)


def _commit(at: Situation, proposal: Proposal, now: float, place: str = "") -> Sequence[Action]:
    at.lease.proposal = proposal
    at.record_view.begin()
    checks = proposal.admits.versions if proposal.admits else {}
    record, version, status = proposal.record, at.record_view.version, at.membership.news()
    return at.requests.send(
        lambda number: CommitRecord(number, record, version, checks, place, status), now
    )
