"""One group, or the list of groups, in lines for a terminal, a pipe or a build log.

If the frame has a width, no line is wider.  If it has a height, there are no more lines, and the
members that need attention come first.  Of a large group only these are shown, unless all are
requested.  Only excessively long texts are cut.
"""

from collections.abc import Callable, Iterable, Sequence

from zkexec.core.phases import Phase
from zkexec.core.rollout.record import EntryPhase
from zkexec.core.rollout.version import is_same_contents, short
from zkexec.ctl.status import phrases
from zkexec.ctl.status.group_status import GroupState, GroupStatus, counting_order
from zkexec.ctl.status.group_summary import GroupSummary
from zkexec.ctl.status.hold_phrases import group_hold, hold_advice, summary_hold
from zkexec.ctl.status.member_row import MISSING, UNKNOWN, UNREADABLE, MemberRow
from zkexec.ctl.status.progress import ZoneProgress
from zkexec.ctl.status.time_phrases import age, moment, span
from zkexec.ctl.status.write_phrases import push_line
from zkexec.ctl.terminal.table import Cell, Column, Frame, table
from zkexec.ctl.terminal.text_width import lines_of

_STYLES = {
    GroupState.COMPLETE: "good",
    GroupState.ROLLING: "busy",
    GroupState.FAILED: "bad",
    GroupState.PAUSED: "busy",
    GroupState.HELD: "busy",
    GroupState.EMPTY: "bad",
    GroupState.UNREADABLE: "bad",
    GroupState.GONE: "bad",
}
_BAD_PHASES = (Phase.FAILED.value, Phase.BLOCKED.value, MISSING, UNREADABLE)
_AUDIT_LINES = 3
_LEAST_ROWS = 3
_MOST_ROWS = 50
"""Of a group with more members only those are shown that need attention, and as many of them."""


def render_group(
    group: GroupStatus, now: float, frame: Frame, *, shows_all: bool = False
) -> list[str]:
    """Render one group: how far it is, what needs attention, what operators did, its members."""
    head = [line for style, text in _head(group, now) for line in _painted(style, text, frame)]
    rows = _by_zone(group)
    if not shows_all and frame.height is None and len(rows) > _MOST_ROWS:
        attention = [row for row in rows if row.needs_attention]
        rows = sorted(attention, key=_urgency)[:_MOST_ROWS]
    if frame.height is not None:
        room = max(_LEAST_ROWS, frame.height - len(head) - 2)
        if len(rows) > room or (rows and len(rows) == room < len(group.rows)):
            rows = sorted(rows, key=_urgency)[: room - 1]
    if rows:
        head += ["", *table(_columns(rows, group, now), frame.width, frame.paint)]
    if more := len(group.rows) - len(rows):
        hint = "" if frame.height is not None else "; --all shows all members"
        head.append(frame.paint("faint", f"... and {more} more{hint}"))
    return head if frame.height is None else head[: frame.height]


def render_overview(groups: Sequence[GroupSummary], now: float, frame: Frame) -> list[str]:
    """Render all groups, one line for each."""
    if not groups:
        return ["There is no group below /zkexec."]
    more = ""
    if frame.height is not None and len(groups) > frame.height - 1:
        kept = sorted(groups, key=lambda group: group.state is GroupState.COMPLETE)
        kept = kept[: max(1, frame.height - 2)]
        more = f"... and {len(groups) - len(kept)} more"
        groups = kept
    lines = table(_group_columns(groups, now), frame.width, frame.paint)
    return [*lines, frame.paint("faint", more)] if more else lines


def summary_reason(group: GroupSummary, now: float) -> str:
    """Write why a group in the list of all groups needs attention; "" if it does not."""
    record = group.record
    failed = ""
    if group.failure:
        digest, state = group.failure
        failed = phrases.version_failure(short(digest), state, now)
    paused = phrases.record_pause(record, now)
    return "; ".join(filter(None, (group.error, failed, paused, summary_hold(group))))


def render_notice(text: str, frame: Frame) -> list[str]:
    """Render a warning about what is shown."""
    return _painted("bad", text, frame)


def _painted(style: str, text: str, frame: Frame) -> list[str]:
    lines = lines_of(text, frame.width)
    return [frame.paint(style, line) if style and line else line for line in lines]


def _by_zone(group: GroupStatus) -> Sequence[MemberRow]:
    """Give the members, those of the open zone first, then zone by zone."""
    if not group.has_zones:
        return group.rows
    return sorted(
        group.rows, key=lambda row: (row.zone != group.open_zone, counting_order(row.zone))
    )


def _head(group: GroupStatus, now: float) -> Iterable[tuple[str, str]]:
    yield _STYLES[group.state], _first_line(group, now)
    for one in group.progress:
        if len(group.progress) > 1:
            yield "", f"  {phrases.progress_line(one, now)}"
        elif text := push_line(one, now):
            yield "faint", text
        yield from (("", _zone_line(zone, group)) for zone in one.zones)
    yield from _stops(group, now)
    yield from (("", text) for text in (*phrases.advice(group), *hold_advice(group)))
    yield from _oddities(group, now)
    if group.state is GroupState.ROLLING:
        yield "", f"waits for: {phrases.waits_for(group, with_steps=True)}"
    yield from (("faint", text) for text in (phrases.max_unavailable(group),) if text)
    yield from (("faint", text) for text in _audit(group, now))


def _first_line(group: GroupStatus, now: float) -> str:
    state = group.state
    line = phrases.headline(group, now)
    if group.rows and state not in (GroupState.GONE, GroupState.UNREADABLE, GroupState.EMPTY):
        line += f"  {phrases.bar(group.up_to_date_count, len(group.rows))}"
    if len(group.progress) == 1 and state not in (GroupState.UNREADABLE, GroupState.EMPTY):
        line += (pace := phrases.pace(group.progress[0], now)) and f"  {pace}"
    return line


def _stops(group: GroupStatus, now: float) -> Iterable[tuple[str, str]]:
    """Write what stops the rollout, or would if it was not tolerated."""
    if text := phrases.failure(group, now):
        yield "bad", text
        yield "bad", phrases.others_serve(group)
    yield from (("bad", text) for text in phrases.member_failures(group, now))
    yield from (("busy", text) for text in phrases.tolerated_failures(group))
    for text in (phrases.pause(group, now), group_hold(group)):
        if text:
            yield "busy", text


def _oddities(group: GroupStatus, now: float) -> Iterable[tuple[str, str]]:
    """Write what else needs attention."""
    if text := phrases.record_advice(group):
        yield "faint", text
    yield from (("bad", text) for text in phrases.absent_inputs(group))
    yield from (("bad", text) for text in phrases.oversized_inputs(group))
    if text := phrases.partly_hidden_inputs(group):
        yield "faint", text
    yield from (("bad", text) for text in phrases.missing_members(group, now))
    yield from (("bad", text) for text in phrases.duplicate_members(group))
    yield from (("bad", text) for text in phrases.intruders(group))
    yield from (("busy", text) for text in phrases.ignored_znodes(group))


def _zone_line(zone: ZoneProgress, group: GroupStatus) -> str:
    name = f"zone {zone.zone}" if zone.zone else "without a zone"
    is_open = ", open" if zone.zone == group.open_zone else ""
    return f"  {name}: {zone.up_to_date_count} of {zone.total} up to date{is_open}"


def _audit(group: GroupStatus, now: float) -> Iterable[str]:
    for entry in group.record.audit[-_AUDIT_LINES:]:
        member = f" {entry.member}" if entry.member else ""
        reason = f": {entry.reason}" if entry.reason else ""
        yield f"{moment(entry.at, now)} {entry.by}: {entry.operation}{member}{reason}"


def _urgency(row: MemberRow) -> tuple[int, int]:
    """Order the members: those that delay the others first, those that are up to date last."""
    order = [
        row.turn_phase is EntryPhase.FAILED,
        not row.is_alive,
        row.is_in_flight,
        row.phase == Phase.BLOCKED.value,
        row.phase == UNREADABLE,
        row.queue_position is not None,
        not row.is_up_to_date,
    ]
    return (order.index(True) if True in order else len(order)), row.queue_position or 0


def _columns(rows: Sequence[MemberRow], group: GroupStatus, now: float) -> list[Column]:
    def column(title: str, cell: Callable[[MemberRow], Cell], rank: int = 0) -> Column:
        return Column(title, tuple(cell(row) for row in rows), rank)

    return [
        column("MEMBER", lambda row: Cell(row.name)),
        *([column("ZONE", lambda row: _zone(row, group), 2)] if group.has_zones else []),
        column("HOST", lambda row: Cell(row.znode.facts.host if row.znode.facts else ""), 4),
        column("PID", lambda row: Cell(str(row.znode.facts.pid) if row.znode.facts else ""), 6),
        column("PHASE", _phase),
        column("STEP", lambda row: Cell(row.step), 1),
        column("RUNS", lambda row: Cell(_named(group.versions.running(row), row.status.running))),
        column(
            "WRITTEN", lambda row: Cell(moment(group.versions.running_at(row), now), "faint"), 5
        ),
        column("WANTS", lambda row: _wanted(row, group)),
        column("HEALTH", lambda row: _health(row, now), 2),
        column("SINCE", lambda row: Cell(age(row.since, now)), 3),
        column("TURN", _turn),
        column("REASON", lambda row: Cell(phrases.member_reason(row, group))),
    ]


def _zone(row: MemberRow, group: GroupStatus) -> Cell:
    return Cell(row.zone, "busy" if row.zone == group.open_zone else "")


def _phase(row: MemberRow) -> Cell:
    if row.phase in _BAD_PHASES:
        return Cell(row.phase, "bad")
    return Cell(row.phase, "good" if row.is_up_to_date else "busy")


def _health(row: MemberRow, now: float) -> Cell:
    words = row.health_words
    if row.status.health == UNKNOWN:
        left_s = row.first_check_at - now
        return Cell(f"check in {span(left_s + 0.5)}" if left_s > 0 else words, "faint")
    return Cell(words, {"healthy": "good", "unhealthy": "bad"}.get(words, ""))


def _named(label: str, digest: str) -> str:
    """Write a revision without its path, and the digest as its second name."""
    _, at, revision = label.rpartition("@")
    return f"{at}{revision} {short(digest)}".strip()


def _differs(row: MemberRow) -> bool:
    return row.wanted != row.status.running and not row.inputs_behind


def _wanted(row: MemberRow, group: GroupStatus) -> Cell:
    """The version that it does not run yet; not known if it has not read the newest write."""
    if row.inputs_behind:
        return Cell("not read yet", "busy")
    if not _differs(row):
        return Cell("")
    if is_same_contents(row.wanted, row.status.running):
        return Cell(f"restart {short(row.wanted).partition('.')[2]}".strip(), "busy")
    return Cell(_named(group.versions.wanted(row), row.wanted), "busy")


def _turn(row: MemberRow) -> Cell:
    if row.is_in_flight:
        return Cell("turn", "busy")
    return Cell("" if row.queue_position is None else phrases.ordinal(row.queue_position))


def _unavailable(group: GroupSummary) -> Cell:
    """The number of unavailable members; a question mark if failed ones are not counted in it."""
    number = str(group.unavailable or "")
    return Cell(f"{number}{'?' * group.has_unknown_service}", "bad")


def _group_columns(groups: Sequence[GroupSummary], now: float) -> list[Column]:
    def column(title: str, cell: Callable[[GroupSummary], Cell], rank: int = 0) -> Column:
        return Column(title, tuple(cell(group) for group in groups), rank, is_fixed=True)

    def count(number: int) -> Cell:
        return Cell(str(number or ""))

    return [
        column("GROUP", lambda group: Cell(group.name, "strong")),
        column("STATE", lambda group: Cell(group.state.value, _STYLES[group.state])),
        column("ALIVE", lambda group: Cell(str(group.alive)), 2),
        column("IN FLIGHT", lambda group: Cell(count(group.in_flight).text, "busy")),
        column("WAITING", lambda group: count(group.waiting), 1),
        column("UNAVAILABLE", _unavailable),
        column("TRIED", lambda group: Cell(short(group.newest[0]) if group.newest else ""), 3),
        column("REASON", lambda group: Cell(summary_reason(group, now))),
    ]
