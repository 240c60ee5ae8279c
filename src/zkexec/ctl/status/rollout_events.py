"""What happened in the present rollout of a group, oldest first: what its znodes still show.

The znodes keep no log.  What each member did last is in its status, why it failed is in the record,
and what operators did is in the audit entries and in the histories.  Of what a member did before
its last turn nothing is left.
"""

from collections.abc import Iterable, Sequence

from zkexec.core.rollout.record import EntryPhase
from zkexec.core.rollout.version import short
from zkexec.ctl.status.group_status import GroupStatus
from zkexec.ctl.status.member_row import MemberRow
from zkexec.ctl.status.progress import Progress
from zkexec.frozen import frozen
from zkexec.group.member_profile import LastTurn

CLOCKS_DIFFER_S = 2.0
"""What is this much older than a write can have come after it, by another clock."""


@frozen(kw_only=True)
class RolloutEvent:
    """One thing that happened; `at` is in seconds of the epoch, 0 if it is not known.

    `event` is `pushed` or `written` for the inputs, `admitted`, `began`, `succeeded`, `failed`,
    `blocked`, `ended`, `lost` or a phase for a member, or the operation of an operator.  `revision`
    is what was pushed, or what the member applies, "" if it is not known; `action` is how.
    """

    at: float
    event: str
    member: str = ""
    by: str = ""
    revision: str = ""
    step: str = ""
    action: str = ""
    reason: str = ""


def rollout_events(group: GroupStatus) -> Sequence[RolloutEvent]:
    """Return the events of the present rollout, the oldest first; what has no time comes last."""
    found = [event for one in group.progress for event in _of_progress(group, one)]
    starts = [start for one in group.progress if (start := _start(one))]
    found += _of_operators(group, min(starts, default=0.0))
    return in_order(found)


def in_order(events: Iterable[RolloutEvent]) -> list[RolloutEvent]:
    """Sort events by their times; what has no time comes last."""
    return sorted(events, key=lambda one: (not one.at, one.at, one.member, one.event))


def is_of_rollout(turn: LastTurn, progress: Progress) -> bool:
    """Whether a turn is of this rollout: of its version, and not of an earlier one of it."""
    is_late = turn.began >= _start(progress) - CLOCKS_DIFFER_S
    return is_late and turn.digest == short(progress.digest)


def _start(progress: Progress) -> float:
    """Return when the rollout has begun: a restart is a rollout of its own, a retry is not."""
    request, write = progress.request, progress.write
    if request is not None and request.operation == "restart":
        return request.at
    return write.at if write is not None and write.at else progress.written_at


def _of_progress(group: GroupStatus, progress: Progress) -> Iterable[RolloutEvent]:
    write = progress.write
    if write is not None:
        yield RolloutEvent(
            at=write.at,
            event="pushed" if write.revision and not write.set_by_other_tool else "written",
            by=write.by,
            revision=write.label or write.path,
            reason=write.message,
        )
    for row in progress.rows:
        yield from _of_member(group, progress, row)
    state = group.record.versions.get(progress.digest)
    if state is not None and state.lost_turns:
        # The record has their number, and neither their times nor the members.
        lost = str(state.lost_turns)
        yield RolloutEvent(at=0.0, event="lost", revision=_label(progress), reason=lost)


def _label(progress: Progress) -> str:
    return (progress.write.label if progress.write else "") or short(progress.digest)


def _of_member(group: GroupStatus, progress: Progress, row: MemberRow) -> Iterable[RolloutEvent]:
    entry = group.record.in_flight.get(row.name)
    if entry is not None and entry.phase is EntryPhase.RESTARTING and entry.since:
        yield RolloutEvent(at=entry.since, event="admitted", member=row.name)
    turn = row.znode.facts.turn if row.znode.facts else None
    if turn is not None and is_of_rollout(turn, progress):
        yield from _of_turn(turn, progress, row)
    failure = progress.failures.get(row.name)
    if failure is not None:
        yield RolloutEvent(
            at=failure.at,
            event="failed",
            member=row.name,
            revision=_label(progress),
            step=failure.step,
            reason=failure.reason,
        )
    if not row.is_alive:
        yield RolloutEvent(at=0.0, event="missing", member=row.name, reason=row.reason)
    elif row.turn_phase is EntryPhase.RESTARTING and row.step:
        yield RolloutEvent(at=row.since, event=row.phase, member=row.name, step=row.step)


def _of_turn(turn: LastTurn, progress: Progress, row: MemberRow) -> Iterable[RolloutEvent]:
    """What a member did in its turn; its failure is in the record, with the reason."""
    label = _label(progress)
    yield RolloutEvent(
        at=turn.began, event="began", member=row.name, revision=label, action=turn.action
    )
    is_recorded = turn.result == "failed" and row.name in progress.failures
    if turn.ended and not is_recorded:
        yield RolloutEvent(
            at=turn.ended,
            event=turn.result or "ended",
            member=row.name,
            revision=label,
            step=row.step if turn.result in ("failed", "blocked") else "",
            reason=row.reason if turn.result in ("failed", "blocked") else "",
        )


def _of_operators(group: GroupStatus, start: float) -> Iterable[RolloutEvent]:
    for entry in group.record.audit:
        if entry.at >= start - CLOCKS_DIFFER_S:
            yield RolloutEvent(
                at=entry.at,
                event=entry.operation,
                member=entry.member,
                by=entry.by,
                reason=entry.reason,
            )
    requests = dict.fromkeys(one.request for one in group.progress if one.request is not None)
    known = {(entry.operation, entry.by) for entry in group.record.audit}
    for request in requests:
        # The record keeps few audit entries, but the request itself is still there.
        if (request.operation, request.by) not in known:
            yield RolloutEvent(at=request.at, event=request.operation, by=request.by)
