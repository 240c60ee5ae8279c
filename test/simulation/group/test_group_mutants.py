"""The checkers of groups see: a core with a mistake in it does not get through."""

import pytest

from simulation.group.change_mutants import CHANGE_MUTANTS
from simulation.group.checker import Violation
from simulation.group.input_mutants import INPUT_MUTANTS
from simulation.group.mutants import MUTANTS, Mutant
from simulation.group.seeded_group_run import SeededGroupRun

ENOUGH_SEEDS = 3000


@pytest.mark.parametrize(
    "mutant",
    [*MUTANTS, *CHANGE_MUTANTS, *INPUT_MUTANTS],
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
