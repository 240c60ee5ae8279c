"""The checkers of groups see: a core with a mistake in it does not get through.

`ZKEXEC_RARE_MUTANTS=1` also searches for the mistakes that show in few worlds, for minutes each.
"""

import os

import pytest

from simulation.group.change_mutants import CHANGE_MUTANTS
from simulation.group.checker import Violation
from simulation.group.input_mutants import INPUT_MUTANTS
from simulation.group.mutants import MUTANTS, RARE, Mutant
from simulation.group.seeded_group_run import SeededGroupRun
from simulation.group.wide_mutants import WIDE_MUTANTS

ENOUGH_SEEDS = 3000
ALL_MUTANTS = [*MUTANTS, *CHANGE_MUTANTS, *INPUT_MUTANTS, *WIDE_MUTANTS]
KNOWN = [mutant for mutant in ALL_MUTANTS if mutant.mistake not in RARE]


@pytest.mark.parametrize(
    "mutant",
    ALL_MUTANTS if os.environ.get("ZKEXEC_RARE_MUTANTS") else KNOWN,
    ids=lambda mutant: mutant.mistake.replace(" ", "-"),
)
def test_a_mistake_in_taking_turns_is_noticed(
    mutant: Mutant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checker whose promise a mutant breaks is among those that notice it."""
    monkeypatch.setattr(mutant.owner, mutant.name, mutant.replacement)
    noticed = set()
    for seed in range(mutant.seed, mutant.seed + ENOUGH_SEEDS):
        try:
            SeededGroupRun(seed).run()
        except Violation as violation:
            noticed.add(str(violation).split(":")[0])
            if mutant.noticed_as in noticed:
                return
        except Exception as crash:  # noqa: BLE001 -- a mutant may crash as it likes
            noticed.add(type(crash).__name__)
    pytest.fail(f"{mutant.mistake}: not noticed by {mutant.noticed_as}, but by {noticed or None}")
