"""The simulations see: a client with a mistake in it does not get through them."""

import pytest

from simulation import bystander
from simulation.group import checker
from simulation.group.seeded_group_run import WIRED_EVERY as WIRED_GROUPS_EVERY
from simulation.group.seeded_group_run import SeededGroupRun
from simulation.seeded_run import WIRED_EVERY, SeededRun
from simulation.wire.client_mutants import CLIENT_MUTANTS, ClientMutant
from simulation.wire.session_contract import ContractViolation

ENOUGH_SEEDS = 1000


def run_wired(number: int, mutant: ClientMutant) -> None:
    """Run one of the seeds that have the client in them."""
    if mutant.in_group:
        SeededGroupRun(number * WIRED_GROUPS_EVERY).run()
    else:
        SeededRun(number * WIRED_EVERY).run()


@pytest.mark.parametrize(
    "mutant", CLIENT_MUTANTS, ids=lambda mutant: mutant.mistake.replace(" ", "-")
)
def test_a_mistake_in_the_client_is_noticed(
    mutant: ClientMutant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rule that a mutant breaks is among those that notice it."""
    for one in mutant.replacements:
        monkeypatch.setattr(one.owner, one.name, one.replacement)
    noticed = set()
    for number in range(ENOUGH_SEEDS):
        try:
            run_wired(number, mutant)
        except (ContractViolation, bystander.Violation, checker.Violation) as violation:
            noticed.add(str(violation).split(":")[0])
            if mutant.noticed_as in noticed:
                return
        except Exception as crash:  # noqa: BLE001 -- a mutant may crash as it likes
            noticed.add(type(crash).__name__)
    pytest.fail(f"{mutant.mistake}: not noticed by {mutant.noticed_as}, but by {noticed or None}")
