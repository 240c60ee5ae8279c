"""The checkers see: a core with a mistake in it does not get through the simulation."""

import pytest

from simulation.bystander import Violation
from simulation.input_mutants import INPUT_MUTANTS
from simulation.mutants import MUTANTS, Mutant
from simulation.seeded_run import SeededRun
from simulation.step_mutants import STEP_MUTANTS

ENOUGH_SEEDS = 4000


@pytest.mark.parametrize(
    "mutant",
    [*MUTANTS, *STEP_MUTANTS, *INPUT_MUTANTS],
    ids=lambda mutant: mutant.mistake.replace(" ", "-"),
)
def test_a_mistake_in_the_core_is_noticed(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    """The checker whose promise a mutant breaks is among those that notice it."""
    monkeypatch.setattr(mutant.owner, mutant.name, mutant.replacement)
    noticed = set()
    for seed in range(ENOUGH_SEEDS):
        try:
            SeededRun(seed).run()
        except Violation as violation:
            noticed.add(str(violation).split(":")[0])
            if mutant.noticed_as in noticed:
                return
        except Exception as crash:  # noqa: BLE001 -- a mutant may crash as it likes
            noticed.add(type(crash).__name__)
    pytest.fail(f"{mutant.mistake}: not noticed by {mutant.noticed_as}, but by {noticed or None}")
