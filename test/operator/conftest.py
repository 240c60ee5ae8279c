"""Fixtures for zkexecctl against real servers and running members."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from kazoo.client import KazooClient

from boards import Board
from e2e.fleet import Fleet, fleet_on
from e2e.stage import Stage
from zookeeper import Server


@pytest.fixture
def stage(tmp_path: Path, zookeeper: Server) -> Iterator[Stage]:
    """A stage on which everything connects to the shared server."""
    one = Stage(tmp_path, zookeeper.hosts)
    yield one
    one.close()


@pytest.fixture
def fleet(stage: Stage, client: KazooClient, zookeeper: Server) -> Iterator[Fleet]:
    """A fleet on the shared server, still without members."""
    with fleet_on(stage, client, zookeeper.port) as one:
        yield one


@pytest.fixture
def board(client: KazooClient, root: str) -> Board:
    """A group on the shared server whose znodes are written by hand."""
    return Board(client, f"board-{root[-12:]}", f"{root}/mirrored")
