"""A failed seed as a transcript that people can read."""

import pytest

from simulation.group.seeded_group_run import SeededGroupRun

LAST_LINES = 1500


def transcript(seed: int) -> str:
    """Run this seed once more, and tell all that happened in it."""
    lines: list[str] = []
    run = SeededGroupRun(seed, lines)
    try:
        run.run()
    except Exception as error:  # noqa: BLE001 -- it ends the transcript
        lines.append(f"!!! {type(error).__name__}: {error}")
    again = f"ZKEXEC_GROUP_SEED={seed} pytest test/simulation/group/test_group_simulation.py"
    head = [f"seed {seed}; to run it alone: {again}", *dict.fromkeys(map(str, run.plot.policy))]
    return "\n".join([*head, *lines[-LAST_LINES:]])


def fail_with_transcript(seeds: range) -> None:
    """Run these seeds; fail the test at the first one that breaks a promise."""
    for seed in seeds:
        try:
            SeededGroupRun(seed).run()
        except Exception:  # noqa: BLE001 -- a crash is a finding like any other
            pytest.fail(transcript(seed), pytrace=False)
