"""The events of a rollout that is watched: each one once, and in the order in which they happened.

What happened comes from several znodes, and a member can publish a second later than another one
what it did before.  So an event is held back for a moment.  A member publishes its times as ages,
so that the time of one event varies a little from publication to publication.
"""

import math
from collections.abc import Iterable

from zkexec.ctl.status.rollout_events import RolloutEvent, in_order

HELD_BACK_S = 2.0
"""An event is held back for this long: what happened before it can become known later."""

_SAME_S = 1.0
"""Two events that are alike, and less than this apart, are one."""


_Key = tuple[str, str, str, str, str]


class NewEvents:
    """The events that are held back, and when those were that are known."""

    def __init__(self) -> None:
        self._known: dict[_Key, list[float]] = {}
        """When events of each kind happened, as it was published first."""
        self._waiting: dict[tuple[_Key, float], tuple[float, RolloutEvent]] = {}
        """Those that are held back, each with the time from which on it can be taken."""

    @property
    def has_waiting(self) -> bool:
        """Whether events are held back."""
        return bool(self._waiting)

    def add(self, events: Iterable[RolloutEvent], now: float) -> None:
        """Add those that are not known yet; `now` is in seconds of the epoch.

        Of an event that is still held back, the newest form replaces the one before.
        """
        is_first = not self._known
        for event in events:
            key = (event.event, event.member, event.by, event.revision, event.step)
            times = self._known.setdefault(key, [])
            at = next((time for time in times if abs(time - event.at) < _SAME_S), None)
            if at is None:
                times.append(event.at)
                # What had happened long before the first reading is known as a whole.
                is_old = is_first and event.at + HELD_BACK_S <= now
                due_at = now if is_old else now + HELD_BACK_S
                self._waiting[key, event.at] = (due_at, event)
            elif (key, at) in self._waiting:
                self._waiting[key, at] = (self._waiting[key, at][0], event)

    def take(self, now: float) -> list[RolloutEvent]:
        """Return the events that are held back no longer, and those before them; oldest first."""
        due = [event for due_at, event in self._waiting.values() if due_at <= now]
        last_at = max((event.at for event in due), default=0.0)
        return self._take(now, last_at)

    def take_all(self) -> list[RolloutEvent]:
        """Return all events that were not taken yet, the oldest first."""
        return self._take(math.inf, math.inf)

    def _take(self, now: float, last_at: float) -> list[RolloutEvent]:
        """Return those that are due, and with a time those until the last one; forget them."""
        taken = {
            key: event
            for key, (due_at, event) in self._waiting.items()
            if due_at <= now or 0 < event.at <= last_at
        }
        self._waiting = {key: one for key, one in self._waiting.items() if key not in taken}
        return in_order(taken.values())
