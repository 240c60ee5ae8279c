"""A seeded simulation of the core: thousands of short lives in virtual time, each judged.

Every fourth of them has the product's session with the cluster, byte for byte.
`ZKEXEC_SEEDS=50000` runs more of them than usual, `ZKEXEC_SEED=17` runs just this one.
"""

import os

import pytest

from simulation.bystander import HandledEvent
from simulation.seeded_run import SeededRun
from simulation.transcript import describe, seconds

SEEDS = int(os.environ.get("ZKEXEC_SEEDS", "4000"))
ONLY_SEED = os.environ.get("ZKEXEC_SEED")
CHUNK = 500
LAST_LINES = 400


def chunks() -> list[range]:
    """The seeds of this run, in parts that each make one test."""
    if ONLY_SEED is not None:
        return [range(int(ONLY_SEED), int(ONLY_SEED) + 1)]
    return [range(start, min(start + CHUNK, SEEDS)) for start in range(0, SEEDS, CHUNK)]


def transcript(seed: int) -> str:
    """Run this seed once more, and tell all that happened in it."""
    lines: list[str] = []

    def record(moment: HandledEvent) -> None:
        lines.append(f"{seconds(moment.now - 1000)} {describe(moment.event)}")
        lines.extend(f"    {describe(action)}" for action in moment.actions)
        due = "none" if moment.deadline is None else seconds(moment.deadline - 1000)
        lines.append(f"    = {moment.phase.value}, deadline {due}")

    run = SeededRun(seed, record)
    try:
        run.run()
    except Exception as error:  # noqa: BLE001 -- it ends the transcript
        lines.append(f"!!! {type(error).__name__}: {error}")
    again = f"ZKEXEC_SEED={seed} pytest test/simulation/test_simulation.py"
    head = [f"seed {seed}; to run it alone: {again}", str(run.policy)]
    return "\n".join([*head, *lines[-LAST_LINES:]])


@pytest.mark.parametrize("seeds", chunks(), ids=lambda seeds: f"{seeds[0]}-{seeds[-1]}")
def test_every_promise_holds_whatever_happens(seeds: range) -> None:
    """No order of changes, faults and signals breaks a promise, and after them comes progress."""
    for seed in seeds:
        try:
            SeededRun(seed).run()
        except Exception:  # noqa: BLE001 -- a crash is a finding like any other
            pytest.fail(transcript(seed), pytrace=False)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_seed_gives_the_same_run(seed: int) -> None:
    """A seed draws the same once more, with the model of a session and with the session."""
    first = transcript(seed)
    assert first.count("\n") > 20
    assert transcript(seed) == first
