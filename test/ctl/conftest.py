"""Fixtures for zkexecctl against real servers and running members."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from kazoo.client import KazooClient

from support.fleet import Fleet, fleet_on
from support.group_samples import GroupZnodes
from support.sandbox import Sandbox
from support.zookeeper import Server


@pytest.fixture
def sandbox(tmp_path: Path, zookeeper: Server) -> Iterator[Sandbox]:
    """A sandbox on which everything connects to the shared server."""
    one = Sandbox(tmp_path, zookeeper.hosts)
    yield one
    one.close()


@pytest.fixture
def fleet(sandbox: Sandbox, client: KazooClient, zookeeper: Server) -> Iterator[Fleet]:
    """A fleet on the shared server, still without members."""
    with fleet_on(sandbox, client, zookeeper.port) as one:
        yield one


@pytest.fixture
def group(client: KazooClient, root: str) -> GroupZnodes:
    """A group on the shared server whose znodes are written by hand."""
    return GroupZnodes(client, f"group-{root[-12:]}", f"{root}/mirrored")
