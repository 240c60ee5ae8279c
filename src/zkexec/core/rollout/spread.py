"""Spread over time what many members would do at once.

Each member has its own moment, which depends on its ID and on how often it did this before.  So
members need no source of randomness, and a simulation can be repeated.
"""

from zkexec.digest import sha256

LONGEST_JOIN_S = 2.0
"""Members queue within this time at most after a change that concerns all of them."""
_JOINS_A_SECOND = 2000
FEW = 50
"""So many members do it at once."""
LONGEST_RETRY_S = 1.0
_RETRIES_A_SECOND = 250
FEW_IN_FLIGHT = 16
"""So many members in flight do not get in each other's way."""
_ALL = 2**32


class Spread:
    """The moments of one member."""

    def __init__(self, member: str) -> None:
        self._member = member
        self._drawn = 0

    def join_s(self, population: int) -> float:
        """Return how long to wait before this member queues, in a group of this size."""
        if population <= FEW:
            return 0.0
        return min(LONGEST_JOIN_S, population / _JOINS_A_SECOND) * self._fraction()

    def retry_s(self, in_flight: int) -> float:
        """Return how long to wait after a conflict, with this many members in flight."""
        if in_flight <= FEW_IN_FLIGHT:
            return 0.0
        return min(LONGEST_RETRY_S, in_flight / _RETRIES_A_SECOND) * self._fraction()

    def _fraction(self) -> float:
        self._drawn += 1
        drawn = sha256(f"{self._member}/{self._drawn}".encode()).digest()
        return int.from_bytes(drawn[:4], "big") / _ALL
