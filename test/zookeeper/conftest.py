"""Fixtures around a network in memory."""

from collections.abc import Callable, Iterator

import pytest

from zookeeper.simulated_network import SimulatedNetwork


@pytest.fixture
def simulated() -> Iterator[Callable[..., SimulatedNetwork]]:
    """Makes networks: `simulated("10.0.0.1", ...)`."""
    made: list[SimulatedNetwork] = []

    def make(*hosts: str, seed: int = 1) -> SimulatedNetwork:
        made.append(SimulatedNetwork(*hosts, seed=seed))
        return made[-1]

    yield make
    for one in made:
        one.close()
