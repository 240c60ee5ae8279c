"""Fixtures for the tests of the whole program; whatever a test starts is gone when it is over."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from kazoo.client import KazooClient

from e2e.scene import Scene
from e2e.stage import Mirror, Stage
from e2e.terminal import Terminal, shell
from e2e.twice import Session, write_programs
from zookeeper import Server


@pytest.fixture
def stage(tmp_path: Path, zookeeper: Server) -> Iterator[Stage]:
    """A stage on which zkexec connects to the shared server."""
    one = Stage(tmp_path, zookeeper.hosts)
    yield one
    one.close()


@pytest.fixture
def mirror(client: KazooClient, root: str, tmp_path: Path) -> Mirror:
    """A znode of this test, mirrored to a file in its folder."""
    return Mirror(client, f"{root}/mirrored", tmp_path / "mirrored")


@pytest.fixture
def scene(stage: Stage, client: KazooClient, root: str, zookeeper: Server) -> Scene:
    """A scene on the shared server, below a root of its own."""
    return Scene(stage, client, root, zookeeper.hosts)


@pytest.fixture
def session(stage: Stage) -> Iterator[Session]:
    """Opens terminals with an interactive bash, which finds `zkexec` and `witness`."""
    opened: list[Terminal] = []
    path = write_programs(stage)

    def start() -> Terminal:
        opened.append(shell(stage.folder, stage.environment(PATH=path)))
        return opened[-1]

    yield start
    for terminal in opened:
        terminal.close()
