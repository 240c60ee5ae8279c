"""When a waiting member queues, and since when it waits for what."""

from __future__ import annotations

from zkexec.core.rollout.spread import Spread
from zkexec.core.rollout.takeover import Takeover


class QueueTimes:
    """The times of one member, on its own clock in seconds."""

    def __init__(self, member: str) -> None:
        self.spread = Spread(member)
        self.takeover = Takeover()
        self.population = 0
        """How many members were alive when this one enrolled."""
        self.join_from: float | None = None
        """This member does not queue before this time."""
        self.room_since: float | None = None
        """Since when this member is next to be admitted, and finds no room."""
        self._position_since = 0.0

    def go_on(self, now: float) -> None:
        """End the wait before the member queues, if it is over."""
        if self.join_from is not None and now >= self.join_from:
            self.join_from = None

    def spread_join(self, now: float) -> None:
        """Let this member queue a little later than others."""
        delay_s = self.spread.join_s(self.population)
        self.join_from = now + delay_s if delay_s else None

    def moved(self, now: float) -> None:
        """Note that the position in the queue has changed."""
        self._position_since = now

    def takeover_at(self, session_timeout_s: float) -> float | None:
        """Return when it is to be found out whether the head before this member hangs."""
        if self.takeover.acts:
            return None
        return self.takeover.due(session_timeout_s, self._position_since)

    def wait_for_room(self, now: float | None) -> None:
        """Note since when this member waits for room; None if it waits for something else."""
        if now is None:
            self.room_since = None
        elif self.room_since is None:
            self.room_since = now
