"""What has changed between two statuses of a group, one line for each change.

For a pipe or a log, in which a table cannot be drawn again in its place.  The lines are cut and
made printable.
"""

from collections.abc import Sequence

from zkexec.ctl.status import phrases
from zkexec.ctl.status.group_status import GroupState, GroupStatus
from zkexec.ctl.status.group_summary import GroupSummary
from zkexec.ctl.status.hold_phrases import group_hold
from zkexec.ctl.status.member_row import UNKNOWN, MemberRow
from zkexec.ctl.status.render import summary_reason
from zkexec.ctl.status.version_writes import VersionWrites
from zkexec.ctl.status.write_phrases import version_name
from zkexec.text import LONGEST_LINE, cut, printable


def group_changes(before: GroupStatus, after: GroupStatus, now: float) -> list[str]:
    """Write what has changed in one group: of the group as a whole, then of each member."""
    known = set(_group_lines(before, now))
    lines = [line for line in _group_lines(after, now) if line not in known]
    old = {row.name: _member(row, before.versions) for row in before.rows}
    lines += [
        f"{row.name}: {line}"
        for row in after.rows
        if old.pop(row.name, "") != (line := _member(row, after.versions))
    ]
    return [_shown(line) for line in [*lines, *(f"{name}: gone" for name in old)]]


def summary_changes(
    before: Sequence[GroupSummary], after: Sequence[GroupSummary], now: float
) -> list[str]:
    """Write what has changed in the list of groups: a line for each that differs."""
    old = {group.name: _summary(group, now) for group in before}
    lines = [
        f"{group.name}: {line}"
        for group in after
        if old.pop(group.name, "") != (line := _summary(group, now))
    ]
    return [_shown(line) for line in [*lines, *(f"{name}: gone" for name in old)]]


def _shown(line: str) -> str:
    return printable(cut(line, LONGEST_LINE))


def _group_lines(group: GroupStatus, now: float) -> list[str]:
    """Write what is true of the group as a whole, most important first."""
    lines = [phrases.headline(group, now)]
    if group.state in (GroupState.GONE, GroupState.UNREADABLE):
        return lines
    return [
        *lines,
        *filter(None, (phrases.failure(group, now), phrases.others_serve(group))),
        *filter(None, (phrases.pause(group, now),)),
        *filter(None, (group_hold(group),)),
        *phrases.member_failures(group, now),
        *phrases.tolerated_failures(group),
        *phrases.advice(group),
        *phrases.absent_inputs(group),
        *phrases.oversized_inputs(group),
        *phrases.missing_members(group, now),
        *phrases.duplicate_members(group),
        *phrases.intruders(group),
        *phrases.ignored_znodes(group),
    ]


def _member(row: MemberRow, versions: VersionWrites) -> str:
    """Write what a member does, without its place in the queue, which each admission changes."""
    status = row.status
    wants = row.wanted if row.wanted != status.running and not row.inputs_behind else ""
    parts = (
        f"{row.phase} ({row.step})" if row.step else row.phase,
        f"runs {version_name(versions.running(row), status.running)}" if status.running else "",
        f"wants {version_name(versions.wanted(row), wants)}" if wants else "",
        "has not read the newest write" if row.inputs_behind else "",
        status.health if row.znode.status and status.health != UNKNOWN else "",
        "in flight" if row.is_in_flight else "",
        row.reason,
    )
    return ", ".join(part for part in parts if part)


def _summary(group: GroupSummary, now: float) -> str:
    counts = (
        (group.alive, "alive"),
        (group.in_flight, "in flight"),
        (group.waiting, "waiting"),
        (group.unavailable, "unavailable"),
    )
    numbers = [f"{count} {what}" for count, what in counts if count]
    text = ", ".join([group.state.value, *numbers])
    reason = summary_reason(group, now)
    return f"{text}; {reason}" if reason else text
