"""A seeded simulation of whole groups: hundreds of them in virtual time, each judged.

Every eighth of them has the product's client, byte for byte.
`ZKEXEC_GROUP_SEEDS=5000` runs more of them than usual, `ZKEXEC_GROUP_SEED=17` runs just this one;
`make simulate` runs as many as one likes.
"""

import os

import pytest

from simulation.group.failure_transcript import fail_with_transcript, transcript
from simulation.group.seeded_group_run import LARGE

SEEDS = int(os.environ.get("ZKEXEC_GROUP_SEEDS", "300"))
ONLY_SEED = os.environ.get("ZKEXEC_GROUP_SEED")
CHUNK = 50


def chunks() -> list[range]:
    """The seeds of this run, in parts that each make one test."""
    if ONLY_SEED is not None:
        return [range(int(ONLY_SEED), int(ONLY_SEED) + 1)]
    large = range(LARGE, LARGE + max(1, SEEDS // 100))
    small = [range(start, min(start + CHUNK, SEEDS)) for start in range(0, SEEDS, CHUNK)]
    return [*small, large]


@pytest.mark.parametrize("seeds", chunks(), ids=lambda seeds: f"{seeds[0]}-{seeds[-1]}")
def test_a_group_keeps_its_promises(seeds: range) -> None:
    """No order of pushes and faults breaks a promise, and after them all run what is wanted."""
    fail_with_transcript(seeds)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_seed_gives_the_same_group(seed: int) -> None:
    """A seed draws the same once more, with the model of the client and with the client."""
    first = transcript(seed)
    assert first.count("\n") > 200
    assert transcript(seed) == first
