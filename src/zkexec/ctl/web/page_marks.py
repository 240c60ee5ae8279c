"""How members and groups are drawn on the pages of `zkexecctl web`.

A mark is the letter of a member's square in the grid.  The letter is also the class of the square,
so the style sheet gives each mark a colour and a shape, and a word for screen readers.
"""

from zkexec.core.phases import Phase
from zkexec.core.rollout.record import EntryPhase
from zkexec.ctl.status.group_status import GroupState
from zkexec.ctl.status.member_row import UNREADABLE, MemberRow
from zkexec.enumeration import Enum
from zkexec.frozen import frozen


class Mark(Enum):
    """How a member is drawn: the most urgent of what is true of it."""

    UP_TO_DATE = "u"
    IN_ITS_TURN = "t"
    WAITING = "w"
    BEHIND = "o"
    """It is not up to date, and neither has a turn nor waits for one."""
    UNAVAILABLE = "n"
    FAILED = "f"
    BLOCKED = "b"
    MISSING = "m"
    DUPLICATE = "d"
    UNREADABLE = "x"


MARK_WORDS = {
    Mark.UP_TO_DATE: "up to date",
    Mark.IN_ITS_TURN: "in its turn",
    Mark.WAITING: "waiting",
    Mark.BEHIND: "not up to date",
    Mark.UNAVAILABLE: "unavailable",
    Mark.FAILED: "failed",
    Mark.BLOCKED: "blocked",
    Mark.MISSING: "missing",
    Mark.DUPLICATE: "duplicate",
    Mark.UNREADABLE: "unreadable",
}
"""The word of each mark, in the order of the legend."""

_ORDER = {mark: index for index, mark in enumerate(MARK_WORDS)}

TONES = {
    GroupState.COMPLETE: "good",
    GroupState.ROLLING: "busy",
    GroupState.FAILED: "bad",
    GroupState.PAUSED: "warn",
    GroupState.HELD: "warn",
    GroupState.EMPTY: "idle",
    GroupState.UNREADABLE: "bad",
    GroupState.GONE: "idle",
}
"""The class of a group's state in the style sheet."""

_STARTING_PHASES = (Phase.LOADING.value, Phase.WAITING.value)


@frozen()
class MarkCount:
    """How many members have a mark."""

    mark: Mark
    count: int

    @property
    def word(self) -> str:
        """The word of the mark."""
        return MARK_WORDS[self.mark]


@frozen()
class MeterPart:
    """A part of a bar that shows how many members have which mark, in percent of its width."""

    letter: str
    start: float
    width: float


def meter(counts: tuple[MarkCount, ...]) -> tuple[MeterPart, ...]:
    """Return the parts of the bar in the order of the legend, for all pages the same."""
    total = sum(one.count for one in counts)
    parts, start = [], 0.0
    for one in sorted(counts, key=lambda count: _ORDER[count.mark]):
        width = 100.0 * one.count / total
        parts.append(MeterPart(one.mark.value, round(start, 2), round(width, 2)))
        start += width
    return tuple(parts)


def mark_of(row: MemberRow) -> Mark:
    """Return how a member is drawn: the first that applies."""
    marks = (
        (not row.is_alive, Mark.MISSING),
        (row.phase == UNREADABLE, Mark.UNREADABLE),
        (bool(row.duplicate_of), Mark.DUPLICATE),
        (_has_failed(row), Mark.FAILED),
        (row.phase == Phase.BLOCKED.value, Mark.BLOCKED),
        (row.is_in_flight, Mark.IN_ITS_TURN),
        (_is_starting(row), Mark.WAITING),
        (not row.is_serving, Mark.UNAVAILABLE),
        (row.is_up_to_date, Mark.UP_TO_DATE),
        (row.queue_position is not None, Mark.WAITING),
    )
    return next((mark for applies, mark in marks if applies), Mark.BEHIND)


def _has_failed(row: MemberRow) -> bool:
    return row.turn_phase is EntryPhase.FAILED or row.phase == Phase.FAILED.value


def _is_starting(row: MemberRow) -> bool:
    """Whether its first command is not started yet, which is no reason to worry."""
    return row.phase in _STARTING_PHASES and not row.status.running
