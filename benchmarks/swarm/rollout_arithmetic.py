"""What is reckoned of a rollout: how long it takes at best, and whether it kept the limits; pure.

A command is down from its stop until it is healthy again.
"""

import heapq
from collections.abc import Sequence

Down = tuple[float, float]
"""From when to when one command was down, in seconds."""


def allowed(width: int, succeeded: int) -> int:
    """How many members may be in flight after this many turns that ended well."""
    return min(width, max(1, 2 * succeeded))


def ideal_s(turns: Sequence[float], width: int) -> float:
    """Compute how long a rollout takes if each member is admitted as soon as it may be.

    `turns` are the times of the turns, in the order of the admissions.
    """
    ends: list[float] = []
    now, succeeded = 0.0, 0
    for turn_s in turns:
        while len(ends) >= allowed(width, succeeded):
            now = heapq.heappop(ends)
            succeeded += 1
        heapq.heappush(ends, now + turn_s)
    return max(ends, default=0.0)


def most_at_once(downs: Sequence[Down]) -> int:
    """Return how many commands were down at once at most; one that ends as another begins is up."""
    changes = sorted([(start, 1) for start, _ in downs] + [(end, -1) for _, end in downs])
    most = present = 0
    for _, change in changes:
        present += change
        most = max(most, present)
    return most


def beyond_ramp(downs: Sequence[Down], width: int) -> int:
    """Count the stops by which more commands were down than the ramp allowed then."""
    changes = sorted([(start, 1) for start, _ in downs] + [(end, -1) for _, end in downs])
    present = succeeded = found = 0
    for _, change in changes:
        present += change
        succeeded += change < 0
        found += change > 0 and present > allowed(width, succeeded)
    return found
