"""What `wait` writes while it follows a rollout: one line for each change.

Members that do the same at the same time share a line, so that a rollout to thousands stays
readable.  The reason of a failure is whole, as an operator acts on it.
"""

from collections.abc import Mapping

from zkexec.core.phases import Phase
from zkexec.core.rollout.record import EntryPhase
from zkexec.core.step import failed_in
from zkexec.ctl.status import phrases
from zkexec.ctl.status.group_status import GroupState, GroupStatus
from zkexec.ctl.status.hold_phrases import group_hold
from zkexec.ctl.status.member_row import MemberRow
from zkexec.ctl.status.progress import Progress
from zkexec.ctl.status.rollout_events import is_of_rollout

_MOST_REASONS = 3
_UPDATED, _DONE = "updated", {"restart": "restarted", "reload": "reloaded"}
_HEALTHY = "healthy"
_NO_ROLLOUT = (GroupState.GONE, GroupState.UNREADABLE, GroupState.EMPTY)


def rollout_start(group: GroupStatus, now: float) -> list[str]:
    """Write how far the rollout is when `wait` begins, and what it waits for."""
    return [_progress(group, now), *_advice(group, now), *_stopped(group, None)]


def rollout_changes(before: GroupStatus, after: GroupStatus, now: float) -> list[str]:
    """Write what has changed between two statuses."""
    if after.state in _NO_ROLLOUT:
        return []
    rows = {row.name: row for row in before.rows}
    known = {*_advice(before, now), *_facts(before, now)}
    is_newer = _newest(after) > _newest(before)
    return [
        *([_progress(after, now)] if is_newer and not _is_stalled(after) else []),
        *_facts_ended(before, after),
        *(line for line in _facts(after, now) if line not in known),
        *_came_and_went(before, after),
        *_advanced(rows, after),
        *_stopped(after, before),
        *(line for line in _advice(after, now) if line not in known),
        *_stall(before, after, now),
    ]


def unavailable_text(group: GroupStatus) -> str:
    """Write which members do not serve although the rollout is complete; "" if all do."""
    rows = group.unavailable
    if not rows:
        return ""
    reason = rows[0].reason if len(rows) == 1 and rows[0].reason else ""
    names = phrases.names([row.name for row in rows])
    return f"but unavailable: {names}" + (f" ({reason})" if reason else "")


def _progress(group: GroupStatus, now: float) -> str:
    waits_for = phrases.waits_for(group) if group.rows else ""
    is_shown = bool(waits_for) and not group.is_complete
    return phrases.headline(group, now) + (f", {waits_for}" if is_shown else "")


def _stall(before: GroupStatus, after: GroupStatus, now: float) -> list[str]:
    """Write what the rollout waits for if this is no turn, and has changed."""
    if not _is_stalled(after):
        return []
    was = phrases.waits_for(before) if _is_stalled(before) else ""
    is_same = phrases.waits_for(after) == was and _newest(after) == _newest(before)
    return [] if is_same else [_progress(after, now)]


def _is_stalled(group: GroupStatus) -> bool:
    """Return whether no member has a turn or waits for one, although not all are up to date."""
    is_going_on = any(
        row.is_in_flight or row.queue_position or row.phase == Phase.WAITING.value
        for row in group.rows
    )
    return bool(group.rows) and not (is_going_on or group.is_complete)


def _newest(group: GroupStatus) -> int:
    return max((one.zxid for one in group.progress), default=0)


def _facts(group: GroupStatus, now: float) -> list[str]:
    """Write what is true of the group as a whole, apart from how far it is."""
    return [
        *filter(None, (phrases.pause(group, now), group_hold(group))),
        *phrases.tolerated_failures(group),
        *phrases.absent_inputs(group),
        *phrases.oversized_inputs(group),
    ]


def _facts_ended(before: GroupStatus, after: GroupStatus) -> list[str]:
    ended = (
        (before.record.paused, after.record.paused, "no longer paused"),
        (before.record.hold, after.record.hold, "the hold has ended: all members follow"),
        (before.failure, after.failure, "the failure has ended: the rollout continues"),
    )
    return [text for was, is_now, text in ended if was is not None and is_now is None]


def _advice(group: GroupStatus, now: float) -> list[str]:
    return phrases.missing_members(group, now) + phrases.duplicate_members(group)


def _came_and_went(before: GroupStatus, after: GroupStatus) -> list[str]:
    """Write which members have started, and which are gone without a turn."""
    old = {row.name for row in before.rows if row.is_alive}
    new = {row.name for row in after.rows}
    alive = {row.name for row in after.rows if row.is_alive}
    started = [row.name for row in after.rows if row.name in alive - old]
    gone = [row.name for row in before.rows if row.name in old - new]
    return [
        f"{phrases.names(names)} {'has' if len(names) == 1 else 'have'} {what}"
        for names, what in ((started, "started"), (gone, "ended"))
        if names
    ]


def _advanced(before: Mapping[str, MemberRow], after: GroupStatus) -> list[str]:
    """Write which members are up to date now, and which were admitted after that."""
    admitted: list[str] = []
    updated: dict[str, list[str]] = {}
    rollouts = {row.name: progress for progress in after.progress for row in progress.rows}
    for row in after.rows:
        old = before.get(row.name)
        if row.is_up_to_date and old is not None and not old.is_up_to_date:
            updated.setdefault(_how_updated(row, rollouts.get(row.name)), []).append(row.name)
        elif _is_restarting(row) and not (old is not None and _is_restarting(old)):
            admitted.append(row.name)
    count = f"{after.up_to_date_count} of {len(after.rows)}"
    lines = [f"{phrases.names(names)} {how}: {count}" for how, names in updated.items()]
    return [*lines, f"{phrases.names(admitted)} admitted"] if admitted else lines


def _how_updated(row: MemberRow, rollout: Progress | None) -> str:
    """Write how a member came to what it runs, and whether it is healthy.

    After an undo the member may have done nothing; its last turn is of an earlier rollout then.
    """
    turn = row.znode.facts.turn if row.znode.facts else None
    how = _UPDATED
    if turn is not None and rollout is not None and is_of_rollout(turn, rollout):
        how = _DONE.get(turn.action, _UPDATED)
    if not row.is_serving:
        return f"{how}, but unavailable"
    return f"{how}, healthy" if row.status.health == _HEALTHY else how


def _is_restarting(row: MemberRow) -> bool:
    return row.is_alive and row.turn_phase is EntryPhase.RESTARTING


def _stopped(after: GroupStatus, before: GroupStatus | None) -> list[str]:
    """Write which members have failed or are blocked now, and why; the first few."""
    known = {} if before is None else _stops(before)
    lines = [text for name, text in _stops(after).items() if known.get(name) != text]
    more = len(lines) - _MOST_REASONS
    if more > 0:
        lines[_MOST_REASONS:] = [f"{more} more members failed or are blocked"]
    return lines


def _stops(group: GroupStatus) -> dict[tuple[str, str], str]:
    """Write what stops members on the newest version, by member and version.

    A member that has failed shows for a moment what it wants next, and it can fail on a version
    that it tries again.  Only the record has on which version it has failed.
    """
    found = {
        (row.name, row.status.wanted): f"{row.name} is blocked, {failed_in(row.step)}: "
        f"{row.reason}; it tries again every ten seconds"
        for row in group.rows
        if row.phase == Phase.BLOCKED.value and not row.inputs_behind
    }
    for progress in group.progress:
        for name, one in progress.failures.items():
            if one.zxid >= progress.zxid:
                found[name, progress.digest] = f"{name} {failed_in(one.step)}: {one.reason}"
    return found
