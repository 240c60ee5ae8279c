"""What is reckoned from measured values; pure.

A ratio of two candidates is the median of the ratios round by round: both values of a round were
measured within moments of each other, so what slows the machine for a while cancels out.
"""

import math
import random
from collections.abc import Iterator, Sequence
from statistics import median
from typing import TypeVar

Item = TypeVar("Item")


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that is not exceeded by that many percent; ValueError without values."""
    if not values:
        raise ValueError("expected at least one value, got none")
    rank = math.ceil(len(values) * percent / 100)
    return sorted(values)[max(rank, 1) - 1]


def fewest_for(percent: float) -> int:
    """How many values it takes until this percentile is another one than the largest."""
    return math.ceil(100 / (100 - percent))


def ratio(values: Sequence[float], reference: Sequence[float]) -> float:
    """The median of the ratios round by round; of the medians where the rounds do not match."""
    if len(values) != len(reference):
        return median(values) / median(reference)
    return median(one / other for one, other in zip(values, reference, strict=True))


def interleaved(candidates: Sequence[Item], rounds: int, seed: int = 1) -> Iterator[list[Item]]:
    """Each round's order of all candidates: shuffled anew, the same in each run."""
    order = random.Random(seed)
    for _ in range(rounds):
        yield order.sample(candidates, len(candidates))
