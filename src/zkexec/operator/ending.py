"""When a rollout that somebody waits for is at its end, and which one that is.

The rules of this file:

- Who goes away while one waits is waited for: a server that was down takes sessions with it, and
  an init system takes its time.  After that the rollout is counted without that member.
- A failure, or a pause that holds somebody up, is an end at once.
"""

from zkexec.core.value import value
from zkexec.operator import sentences
from zkexec.operator.outcome import CANNOT_WORK, DONE, NO
from zkexec.operator.sight import Sight, State

RETURN_S = 10.0
"""So long is waited for a member that goes away."""


@value()
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

    @property
    def away(self) -> tuple[str, ...]:
        """Those that are waited for although they are not there."""
        return tuple(sorted(self._away))

    def deadline(self) -> float | None:
        """When something changes that no znode tells, on the clock of `judge`."""
        return min(self._away.values(), default=None)

    def judge(self, sight: Sight, now: float, clock: float) -> End | None:
        """The end, if this is it; `now` in seconds of the epoch, `clock` in monotonic ones."""
        self._look_for_lost(sight, clock)
        is_first, self._is_first = self._is_first, False
        if sight.state in (State.GONE, State.UNREADABLE):
            status = CANNOT_WORK if sight.state is State.UNREADABLE else NO
            return End(status, sentences.standing(sight, now))
        if is_first and self._at_least and all(a.revision < self._at_least for a in sight.aims):
            return End(NO, f"{sight.name}: no member alive mirrors what was pushed")
        if sight.is_stopped:
            why = sentences.failure(sight, now) or sentences.pause(sight, now)
            return End(NO, f"{sight.name}: {why}")
        if self._away:
            return None
        if sight.state is State.EMPTY:
            return End(NO, sentences.standing(sight, now))
        return End(DONE, sentences.standing(sight, now)) if sight.is_through else None

    def _look_for_lost(self, sight: Sight, clock: float) -> None:
        names = {row.name for row in sight.rows}
        for name in self._met - names:
            self._away.setdefault(name, clock + RETURN_S)
        for name in names:
            self._away.pop(name, None)
        given_up = {name for name, until in self._away.items() if until <= clock}
        self._away = {name: until for name, until in self._away.items() if name not in given_up}
        self._met = (self._met | names) - given_up
