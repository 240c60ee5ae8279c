"""When a rollout that somebody waits for is at its end, and which one that is.

The rules of this file:

- Who goes away while one waits is waited for: a server that was down takes sessions with it, and
  an init system takes its time.  After that the rollout is counted without that member.
- A failure, or a pause that holds somebody up, is an end at once.
- A duplicate is never through.  So it is an end as well, but not at once.
"""

from zkexec.frozen import frozen
from zkexec.operator import sentences
from zkexec.operator.outcome import CANNOT_WORK, DONE, NO
from zkexec.operator.sight import Sight, State

RETURN_S = 10.0
"""So long is waited for a member that goes away."""
DUPLICATE_S = 30.0
"""`wait` waits this long for a duplicate to get the ID, if all others are through.

What an earlier process of the ID has left behind is gone when its session has expired.
"""


@frozen()
class End:
    """How it ended: the exit status of the command, and why in words."""

    status: int
    text: str


class Ending:
    """Looks out for the end of a rollout."""

    def __init__(self, at_least: int = 0) -> None:
        """`at_least` is the revision that somebody's znodes must have, 0 for any."""
        self._at_least = at_least
        self._met: set[str] = set()
        self._away: dict[str, float] = {}
        self._is_first = True
        self._doubled_until: float | None = None

    @property
    def away(self) -> tuple[str, ...]:
        """Those that are waited for although they are not there."""
        return tuple(sorted(self._away))

    def deadline(self) -> float | None:
        """When something changes that no znode tells, on the clock of `judge`."""
        due = [*self._away.values()]
        if self._doubled_until is not None:
            due.append(self._doubled_until)
        return min(due, default=None)

    def judge(self, sight: Sight, now: float, clock: float) -> End | None:
        """The end, if this is it; `now` in seconds of the epoch, `clock` in monotonic ones."""
        self._look_for_lost(sight, clock)
        is_first, self._is_first = self._is_first, False
        if sight.state in (State.GONE, State.UNREADABLE):
            status = CANNOT_WORK if sight.state is State.UNREADABLE else NO
            return End(status, sentences.standing(sight, now))
        if is_first and self._at_least and all(a.zxid < self._at_least for a in sight.aims):
            return End(NO, f"{sight.name}: no member alive mirrors what was pushed")
        if sight.is_stopped:
            why = sentences.failure(sight, now) or sentences.pause(sight, now)
            return End(NO, f"{sight.name}: {why}")
        return None if self._away else self._judge_members(sight, now, clock)

    def _judge_members(self, sight: Sight, now: float, clock: float) -> End | None:
        if sight.state is State.EMPTY:
            return End(NO, sentences.standing(sight, now))
        if self._is_doubled_for_long(sight, clock):
            told = "; ".join(sentences.duplicate(sight, row) for row in sight.duplicates)
            return End(NO, f"{sight.name}: {told}")
        return End(DONE, sentences.standing(sight, now)) if sight.is_through else None

    def _is_doubled_for_long(self, sight: Sight, clock: float) -> bool:
        """Whether only duplicates have been left for a while."""
        left = [row for row in sight.rows if not row.is_through]
        if not left or not all(row.duplicate_of for row in left):
            self._doubled_until = None
            return False
        if self._doubled_until is None:
            self._doubled_until = clock + DUPLICATE_S
        return clock >= self._doubled_until

    def _look_for_lost(self, sight: Sight, clock: float) -> None:
        # A duplicate comes back under another name, or not at all.
        names = {row.name for row in sight.rows if not row.duplicate_of}
        for name in self._met - names:
            self._away.setdefault(name, clock + RETURN_S)
        for name in names:
            self._away.pop(name, None)
        given_up = {name for name, until in self._away.items() if until <= clock}
        self._away = {name: until for name, until in self._away.items() if name not in given_up}
        self._met = (self._met | names) - given_up
