"""Fixtures for zkexecctl against real servers and running members."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from kazoo.client import KazooClient

from support.fleet import Fleet, fleet_on
from support.group_samples import GroupZnodes, call
from support.proxy import Proxy
from support.sandbox import Sandbox
from support.zookeeper import Server, can_read_at_once
from zkexec.ctl.cluster_connection import ClusterConnection
from zkexec.zookeeper.requests import Dialogue, MultiRead


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


@pytest.fixture
def cluster(proxy: Proxy) -> Iterator[ClusterConnection]:
    """A connection through a proxy that counts.

    It knows already if its servers cannot read at once, which costs a connection.
    """
    with ClusterConnection(call(proxy.hosts).connection, lambda _: None) as one:

        def find_out() -> Dialogue:
            if not one.lacks_multi_read:
                yield [MultiRead(("/",))]

        if not can_read_at_once():
            one.run(find_out)
            one.changed(0.0)
            proxy.opcodes.clear()
        yield one
