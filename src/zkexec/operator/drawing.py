"""The picture of a group, and the list of groups: lines for a terminal, a pipe or a build log.

The rules of this file:

- Where there is a width no line is wider, and where there is a height there are no more lines; of
  the members those are shown then that something is to be said of.
- Where there is none, nothing is left out, and nothing is cut but what is longer than anybody
  reads.
"""

from collections.abc import Callable, Iterable, Sequence

from zkexec.core.phases import Phase
from zkexec.core.rollout.record import EntryPhase
from zkexec.core.rollout.version import short
from zkexec.frozen import frozen
from zkexec.operator import sentences
from zkexec.operator.aims import MISSING, TURN, UNREADABLE, Aim, Row
from zkexec.operator.console import clean
from zkexec.operator.sight import Sight, State
from zkexec.operator.table import Cell, Column, Paint, table, wrap
from zkexec.text import LONGEST_LINE, cut

_STYLES = {
    State.DONE: "good",
    State.ROLLING: "busy",
    State.FAILED: "bad",
    State.PAUSED: "busy",
    State.EMPTY: "bad",
    State.UNREADABLE: "bad",
    State.GONE: "bad",
}
_BAD_PHASES = (Phase.FAILED.value, MISSING, UNREADABLE)
_DEEDS = 3
_LEAST_ROWS = 3


@frozen()
class Frame:
    """What a picture has to keep to; None stands for as much as it takes."""

    paint: Paint
    width: int | None = None
    height: int | None = None


def picture(sight: Sight, now: float, frame: Frame) -> list[str]:
    """One group: how far it is, what is in its way, what operators did, and its members."""
    lines = [_painted(style, text, frame) for style, text in _head(sight, now)]
    head = [line for several in lines for line in several]
    rows, more = sight.rows, ""
    if frame.height is not None:
        room = max(_LEAST_ROWS, frame.height - len(head) - 2)
        if len(rows) > room:
            rows = tuple(sorted(rows, key=_urgency))[: room - 1]
            more = f"... and {len(sight.rows) - len(rows)} more"
    if rows:
        head += ["", *table(_columns(rows, sight, now), frame.width, frame.paint)]
    if more:
        head.append(frame.paint("faint", more))
    return head if frame.height is None else head[: frame.height]


def overview(sights: Sequence[Sight], now: float, frame: Frame) -> list[str]:
    """All groups, one line for each."""
    if not sights:
        return ["There is no group below /zkexec."]
    more = ""
    if frame.height is not None and len(sights) > frame.height - 1:
        kept = sorted(sights, key=lambda sight: sight.state is State.DONE)
        kept = kept[: max(1, frame.height - 2)]
        more = f"... and {len(sights) - len(kept)} more"
        sights = kept
    lines = table(_group_columns(sights, now), frame.width, frame.paint)
    return [*lines, frame.paint("faint", more)] if more else lines


def notice(text: str, frame: Frame) -> list[str]:
    """Something that is wrong with the picture itself."""
    return _painted("bad", text, frame)


def _painted(style: str, text: str, frame: Frame) -> list[str]:
    text = clean(cut(text, LONGEST_LINE))
    lines = [text] if frame.width is None else wrap(text, frame.width)
    return [frame.paint(style, line) if style and line else line for line in lines]


def _head(sight: Sight, now: float) -> Iterable[tuple[str, str]]:
    state, aims = sight.state, sight.aims
    line = sentences.standing(sight, now)
    if sight.rows and state not in (State.GONE, State.UNREADABLE, State.EMPTY):
        line += f"  {sentences.bar(sight.done, len(sight.rows))}"
    if len(aims) == 1 and state not in (State.UNREADABLE, State.EMPTY):
        line += (told := sentences.pace(aims[0], now)) and f"  {told}"
    yield _STYLES[state], line
    if len(aims) > 1:
        yield from (("", _aim_line(aim, now)) for aim in aims)
    if told := sentences.failure(sight, now):
        yield "bad", told
        yield "faint", sentences.way_back(sight)
    if told := sentences.pause(sight, now):
        yield "busy", told
        yield "faint", sentences.way_on(sight)
    if told := sentences.way_out(sight):
        yield "faint", told
    yield from (("bad", text) for text in sentences.absent(sight))
    yield from (("bad", sentences.missing(sight, row, now)) for row in sight.missing)
    yield from (("bad", sentences.duplicate(sight, row)) for row in sight.duplicates)

    yield from (("bad", text) for text in sentences.intruders(sight))
    yield from (("busy", text) for text in sentences.strays(sight))
    if state is State.ROLLING:
        yield "", f"waits for: {sentences.awaited(sight)}"
    if sight.record.max_unavailable is not None:
        yield "faint", _width(sight)
    for audit_entry in sight.record.audit[-_DEEDS:]:
        about = f" {audit_entry.member}" if audit_entry.member else ""
        why = f": {audit_entry.reason}" if audit_entry.reason else ""
        when = sentences.moment(audit_entry.at, now)
        yield "faint", f"{when} {audit_entry.by}: {audit_entry.operation}{about}{why}"


def _aim_line(aim: Aim, now: float) -> str:
    told = sentences.pace(aim, now)
    paths = sentences.names(aim.paths) or "no znode"
    line = f"  {aim.done} of {aim.total} on {sentences.goal(aim, now)}"
    return f"{line}  {told and f'{told}  '}({paths})"


def _width(sight: Sight) -> str:
    width = sight.record.max_unavailable
    if width is None:
        return ""
    allowed = sight.record.allowed(len(sight.members))
    shown = f"{width.limit}, that is {allowed}," if width.limit.percent else str(width.limit)
    untried = any(not aim.is_known_good and not aim.is_through for aim in sight.aims)
    alone = "; only one before the new configuration is proven" if untried and allowed > 1 else ""
    return f"at most {shown} at a time, asked for by {width.by}{alone}"


def _urgency(row: Row) -> tuple[int, int]:
    """Those come first that hold up the others, and last those of whom nothing is to be said."""
    order = [
        row.entry is EntryPhase.FAILED,
        not row.is_alive,
        row.place == TURN,
        row.phase == UNREADABLE,
        bool(row.place),
        not row.is_through,
    ]
    return (order.index(True) if True in order else len(order)), row.place or 0


def _columns(rows: Sequence[Row], sight: Sight, now: float) -> list[Column]:
    def column(title: str, cell: Callable[[Row], Cell], rank: int = 0) -> Column:
        return Column(title, tuple(cell(row) for row in rows), rank)

    def moment(at: float) -> Cell:
        return Cell(sentences.moment(at, now), "faint")

    return [
        column("MEMBER", lambda row: Cell(row.name)),
        column("HOST", lambda row: Cell(row.seen.facts.host if row.seen.facts else ""), 4),
        column("PID", lambda row: Cell(str(row.seen.facts.pid) if row.seen.facts else ""), 6),
        column("PHASE", _phase),
        column("RUNS", lambda row: Cell(short(row.status.running))),
        column("WRITTEN", lambda row: moment(row.status.running_at), 5),
        column("WANTS", _wanted),
        column("WRITTEN", lambda row: moment(row.status.wanted_at if _differs(row) else 0), 7),
        column("HEALTH", _health, 2),
        column("SINCE", lambda row: Cell(sentences.age(row.since, now)), 3),
        column("TURN", lambda row: Cell(_place(row), "busy" if row.place == TURN else "")),
        column("REASON", lambda row: Cell(_reason(row, sight))),
    ]


def _phase(row: Row) -> Cell:
    if row.phase in _BAD_PHASES:
        return Cell(row.phase, "bad")
    return Cell(row.phase, "good" if row.is_through else "busy")


def _health(row: Row) -> Cell:
    health = row.status.health if row.seen.status else ""
    return Cell(health, {"healthy": "good", "unhealthy": "bad"}.get(health, ""))


def _differs(row: Row) -> bool:
    return row.wanted != row.status.running and not row.untaken


def _wanted(row: Row) -> Cell:
    """What it does not run yet; who has not seen the newest cannot tell what that is."""
    if row.untaken:
        return Cell("not seen yet", "busy")
    return Cell(short(row.wanted) if _differs(row) else "", "busy")


def _place(row: Row) -> str:
    if row.place is None:
        return ""
    if row.place == TURN:
        return "turn"
    return sentences.ordinal(row.place)


def _reason(row: Row, sight: Sight) -> str:
    told = [f"duplicate of {row.duplicate_of}"] if row.duplicate_of else []
    path = next(iter(row.untaken), "")
    written = sight.znodes.get(path)
    if written is not None and not written.size:
        told.append(f"{path} is empty")
    if row.absent:
        told.append(f"{sentences.names(row.absent)} missing")
    if row.others_want:
        told.append(f"others want {short(row.others_want)} of the same znodes")
    return "; ".join(text for text in (*told, row.reason, sentences.sharing(row)) if text)


def _group_columns(sights: Sequence[Sight], now: float) -> list[Column]:
    def column(title: str, cell: Callable[[Sight], Cell], rank: int = 0) -> Column:
        return Column(title, tuple(cell(sight) for sight in sights), rank)

    def aims(text: Callable[[Aim], str]) -> Callable[[Sight], Cell]:
        return lambda sight: Cell(sentences.names([text(aim) for aim in sight.aims]))

    return [
        column("GROUP", lambda sight: Cell(sight.name, "strong")),
        column("STATE", lambda sight: Cell(sight.state.value, _STYLES[sight.state])),
        column("ALIVE", lambda sight: Cell(str(len(sight.members))), 2),
        column("THROUGH", _through),
        column("SNAPSHOT", aims(lambda aim: short(aim.digest) or "not seen yet")),
        column("WRITTEN", aims(lambda aim: sentences.moment(aim.at, now)), 3),
        column("IN FLIGHT", lambda s: Cell(sentences.names([r.name for r in s.in_flight]), "busy")),
        column("WAITING", lambda s: Cell(str(len(s.waiting)) if s.waiting else ""), 1),
        column("WHY", lambda sight: Cell(_why(sight, now))),
    ]


def _through(sight: Sight) -> Cell:
    return Cell(f"{sight.done}/{len(sight.rows)}" if sight.rows else "")


def _why(sight: Sight, now: float) -> str:
    count = len(sight.strays)
    strays = f"{count} znode{'' if count == 1 else 's'} ignored" if count else ""
    absent = f"missing: {sentences.names(sight.absent)}" if sight.absent else ""
    count = len(sight.intruders)
    intruders = f"{count} in the queue {'is' if count == 1 else 'are'} no member" if count else ""
    failure, pause = sentences.failure(sight, now), sentences.pause(sight, now)
    told = (sight.trouble, failure, pause, absent, intruders, strays)
    return "; ".join(text for text in told if text)
