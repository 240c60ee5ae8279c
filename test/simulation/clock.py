"""Virtual time: what is going to happen stands in an agenda, and nobody ever waits."""

import heapq
from collections.abc import Callable


class Clock:
    """The present moment, in seconds, and the agenda of the model world."""

    def __init__(self) -> None:
        """Start at a time that is not zero, as a real clock would."""
        self.now = 1000.0
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._entries = 0

    def after(self, delay_s: float, do: Callable[[], None]) -> None:
        """Enter something that happens by itself, `delay_s` seconds from now."""
        self._entries += 1
        heapq.heappush(self._agenda, (self.now + delay_s, self._entries, do))

    @property
    def next_entry(self) -> float | None:
        """The time of the next entry; it lies in the past where time was spent meanwhile."""
        return self._agenda[0][0] if self._agenda else None

    def run_entry(self) -> None:
        """Go on to the next entry and let it happen."""
        time, _, do = heapq.heappop(self._agenda)
        self.advance(time)
        do()

    def advance(self, time: float) -> None:
        """Go on to this time, if it is not past already."""
        self.now = max(self.now, time)

    def spend(self, seconds: float) -> None:
        """Let time pass while something is being done; what falls due meanwhile comes late."""
        self.now += seconds
