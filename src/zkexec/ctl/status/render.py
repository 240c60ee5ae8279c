"""One group, or the list of groups, in lines for a terminal, a pipe or a build log.

If the frame has a width, no line is wider.  If it has a height, there are no more lines, and the
members that need attention come first.  Without these nothing is left out, and only excessively
long texts are cut.
"""

from collections.abc import Callable, Iterable, Sequence

from zkexec.core.phases import Phase
from zkexec.core.rollout.record import EntryPhase
from zkexec.core.rollout.version import short
from zkexec.ctl.status import phrases
from zkexec.ctl.status.group_status import GroupState, GroupStatus
from zkexec.ctl.status.member_row import MISSING, UNREADABLE, MemberRow
from zkexec.ctl.status.progress import Progress
from zkexec.ctl.terminal.table import Cell, Column, Frame, table
from zkexec.ctl.terminal.text_width import lines_of

_STYLES = {
    GroupState.COMPLETE: "good",
    GroupState.ROLLING: "busy",
    GroupState.FAILED: "bad",
    GroupState.PAUSED: "busy",
    GroupState.EMPTY: "bad",
    GroupState.UNREADABLE: "bad",
    GroupState.GONE: "bad",
}
_BAD_PHASES = (Phase.FAILED.value, Phase.BLOCKED.value, MISSING, UNREADABLE)
_AUDIT_LINES = 3
_LEAST_ROWS = 3


def render_group(group: GroupStatus, now: float, frame: Frame) -> list[str]:
    """Render one group: how far it is, what needs attention, what operators did, its members."""
    head = [line for style, text in _head(group, now) for line in _painted(style, text, frame)]
    rows, more = group.rows, ""
    if frame.height is not None:
        room = max(_LEAST_ROWS, frame.height - len(head) - 2)
        if len(rows) > room:
            rows = tuple(sorted(rows, key=_urgency))[: room - 1]
            more = f"... and {len(group.rows) - len(rows)} more"
    if rows:
        head += ["", *table(_columns(rows, group, now), frame.width, frame.paint)]
    if more:
        head.append(frame.paint("faint", more))
    return head if frame.height is None else head[: frame.height]


def render_overview(groups: Sequence[GroupStatus], now: float, frame: Frame) -> list[str]:
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


def render_notice(text: str, frame: Frame) -> list[str]:
    """Render a warning about what is shown."""
    return _painted("bad", text, frame)


def _painted(style: str, text: str, frame: Frame) -> list[str]:
    lines = lines_of(text, frame.width)
    return [frame.paint(style, line) if style and line else line for line in lines]


def _head(group: GroupStatus, now: float) -> Iterable[tuple[str, str]]:
    state, progress = group.state, group.progress
    line = phrases.headline(group, now)
    if group.rows and state not in (GroupState.GONE, GroupState.UNREADABLE, GroupState.EMPTY):
        line += f"  {phrases.bar(group.up_to_date_count, len(group.rows))}"
    if len(progress) == 1 and state not in (GroupState.UNREADABLE, GroupState.EMPTY):
        line += (pace := phrases.pace(progress[0], now)) and f"  {pace}"
    yield _STYLES[state], line
    if len(progress) > 1:
        yield from (("", _progress_line(one, now)) for one in progress)
    if text := phrases.failure(group, now):
        yield "bad", text
    yield from (("bad", text) for text in phrases.member_failures(group, now))
    if text := phrases.pause(group, now):
        yield "busy", text
    yield from (("", text) for text in phrases.advice(group))
    if text := phrases.record_advice(group):
        yield "faint", text
    yield from (("bad", text) for text in phrases.absent_inputs(group))
    yield from (("bad", text) for text in phrases.oversized_inputs(group))
    if text := phrases.partly_hidden_inputs(group):
        yield "faint", text
    yield from (("bad", phrases.missing_member(group, row, now)) for row in group.missing)
    yield from (("bad", phrases.duplicate_member(group, row)) for row in group.duplicates)
    yield from (("bad", text) for text in phrases.intruders(group))
    yield from (("busy", text) for text in phrases.ignored_znodes(group))
    if state is GroupState.ROLLING:
        yield "", f"waits for: {phrases.waits_for(group, with_steps=True)}"
    if text := _max_unavailable(group):
        yield "faint", text
    yield from (("faint", text) for text in _audit(group, now))


def _progress_line(progress: Progress, now: float) -> str:
    pace = phrases.pace(progress, now)
    inputs = phrases.names(progress.inputs) or "no input"
    line = f"  {progress.up_to_date_count} of {progress.total} {phrases.goal(progress, now)}"
    return f"{line}  {pace and f'{pace}  '}({inputs})"


def _max_unavailable(group: GroupStatus) -> str:
    agreed = group.record.max_unavailable
    if agreed is None:
        return ""
    allowed = group.record.allowed(len(group.members))
    shown = f"{agreed.limit}, that is {allowed}" if agreed.limit.percent else str(agreed.limit)
    untried = any(not one.is_known_good and not one.is_complete for one in group.progress)
    alone = "; 1 while the new version is untried" if untried and allowed > 1 else ""
    return f"max unavailable: {shown}, set by {agreed.by}{alone}"


def _audit(group: GroupStatus, now: float) -> Iterable[str]:
    for entry in group.record.audit[-_AUDIT_LINES:]:
        member = f" {entry.member}" if entry.member else ""
        reason = f": {entry.reason}" if entry.reason else ""
        yield f"{phrases.moment(entry.at, now)} {entry.by}: {entry.operation}{member}{reason}"


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

    def moment(at: float) -> Cell:
        return Cell(phrases.moment(at, now), "faint")

    return [
        column("MEMBER", lambda row: Cell(row.name)),
        column("HOST", lambda row: Cell(row.znode.facts.host if row.znode.facts else ""), 4),
        column("PID", lambda row: Cell(str(row.znode.facts.pid) if row.znode.facts else ""), 6),
        column("PHASE", _phase),
        column("STEP", lambda row: Cell(row.step), 1),
        column("RUNS", lambda row: Cell(short(row.status.running))),
        column("WRITTEN", lambda row: moment(row.status.running_at), 5),
        column("WANTS", _wanted),
        column("WRITTEN", lambda row: moment(row.status.wanted_at if _differs(row) else 0), 7),
        column("HEALTH", _health, 2),
        column("SINCE", lambda row: Cell(phrases.age(row.since, now)), 3),
        column("TURN", _turn),
        column("REASON", lambda row: Cell(_reason(row, group))),
    ]


def _phase(row: MemberRow) -> Cell:
    if row.phase in _BAD_PHASES:
        return Cell(row.phase, "bad")
    return Cell(row.phase, "good" if row.is_up_to_date else "busy")


def _health(row: MemberRow) -> Cell:
    health = row.status.health if row.znode.status else ""
    return Cell(health, {"healthy": "good", "unhealthy": "bad"}.get(health, ""))


def _differs(row: MemberRow) -> bool:
    return row.wanted != row.status.running and not row.inputs_behind


def _wanted(row: MemberRow) -> Cell:
    """The version that it does not run yet; not known if it has not read the newest write."""
    if row.inputs_behind:
        return Cell("not read yet", "busy")
    return Cell(short(row.wanted) if _differs(row) else "", "busy")


def _turn(row: MemberRow) -> Cell:
    if row.is_in_flight:
        return Cell("turn", "busy")
    return Cell("" if row.queue_position is None else phrases.ordinal(row.queue_position))


def _reason(row: MemberRow, group: GroupStatus) -> str:
    parts = [f"duplicate of {row.duplicate_of}"] if row.duplicate_of else []
    path = next(iter(row.inputs_behind), "")
    write = group.znodes.get(path)
    if write is not None and (write.excess or not write.size):
        parts.append(f"{path} {write.excess or 'is empty'}")
    if row.absent:
        parts.append(f"{phrases.names(row.absent)} missing")
    if row.others_want:
        parts.append(f"others want {short(row.others_want)} of the same inputs")
    return "; ".join(text for text in (*parts, row.reason, phrases.shared_files(row)) if text)


def _group_columns(groups: Sequence[GroupStatus], now: float) -> list[Column]:
    def column(title: str, cell: Callable[[GroupStatus], Cell], rank: int = 0) -> Column:
        return Column(title, tuple(cell(group) for group in groups), rank)

    def each(text: Callable[[Progress], str]) -> Callable[[GroupStatus], Cell]:
        return lambda group: Cell(phrases.names([text(one) for one in group.progress]))

    return [
        column("GROUP", lambda group: Cell(group.name, "strong")),
        column("STATE", lambda group: Cell(group.state.value, _STYLES[group.state])),
        column("ALIVE", lambda group: Cell(str(len(group.members))), 2),
        column("UP TO DATE", _up_to_date),
        column("VERSION", each(lambda one: short(one.digest) or "not read yet")),
        column("WRITTEN", each(lambda one: phrases.moment(one.written_at, now)), 3),
        column("IN FLIGHT", _in_flight),
        column("WAITING", lambda group: Cell(str(len(group.waiting) or "")), 1),
        column("REASON", lambda group: Cell(_group_reason(group, now))),
    ]


def _up_to_date(group: GroupStatus) -> Cell:
    return Cell(f"{group.up_to_date_count}/{len(group.rows)}" if group.rows else "")


def _in_flight(group: GroupStatus) -> Cell:
    return Cell(phrases.names([row.name for row in group.in_flight]), "busy")


def _group_reason(group: GroupStatus, now: float) -> str:
    count = len(group.ignored)
    ignored = f"{count} znode{'' if count == 1 else 's'} ignored" if count else ""
    absent = f"missing: {phrases.names(group.absent)}" if group.absent else ""
    count = len(group.intruders)
    noun = "a member" if count == 1 else "members"
    intruders = f"{count} in the queue {'is' if count == 1 else 'are'} not {noun}" if count else ""
    failure, pause = phrases.failure(group, now), phrases.pause(group, now)
    oversized = f"too much: {phrases.names(group.oversized)}" if group.oversized else ""
    parts = (group.error, failure, pause, absent, oversized, intruders, ignored)
    return "; ".join(text for text in parts if text)
