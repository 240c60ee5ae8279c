"""An ensemble of three: servers are killed, the quorum goes and comes back, the command runs on."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from support.mirrored_host import MirroredHost
from support.posted_events import connected_client
from support.program import Program
from support.sandbox import Sandbox
from support.waiting import until
from support.zookeeper import Ensemble, Server

LEFT_ALONE = "the command keeps running"


@pytest.fixture(scope="module")
def three() -> Iterator[Ensemble]:
    """One ensemble for all tests of this file."""
    ensemble = Ensemble(3)
    try:
        ensemble.start()
        yield ensemble
    finally:
        ensemble.close()


@pytest.fixture
def quorum(
    three: Ensemble, sandbox: Sandbox, request: pytest.FixtureRequest
) -> Iterator[MirroredHost]:
    """A host on the ensemble; whatever servers the test stops are started again."""
    with connected_client(three.hosts) as client:
        root = f"/{request.node.name}"
        client.create(root)
        yield MirroredHost(sandbox, client, root, three.hosts)
        for server in three.servers:
            revive(server)


def revive(server: Server) -> None:
    """Start a server that is stopped."""
    try:
        running = bool(server.pid)
    except RuntimeError:
        running = False
    if not running:
        server.start()


def served_by(three: Ensemble, pid: int) -> Server:
    """The server that this process is connected to."""
    by_port = {server.port: server for server in three.servers}

    def port() -> int:
        for socket in established(pid):
            if socket in by_port:
                return socket
        return 0

    until(port, "a connection of zkexec")
    return by_port[port()]


def established(pid: int) -> list[int]:
    """The remote ports of a process's TCP connections, as /proc tells them."""
    inodes = set()
    with open(f"/proc/{pid}/net/tcp") as table:
        rows = [line.split() for line in table.readlines()[1:]]
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            inodes.add(os.readlink(entry))
    return [
        int(row[2].split(":")[1], 16)
        for row in rows
        if row[3] == "01" and f"socket:[{row[9]}]" in inodes
    ]


def changes_arrive(quorum: MirroredHost, run: Program) -> None:
    """Make a change, and demand the one restart for it."""
    before = len(quorum.births())
    with connected_client(quorum.hosts) as quorum.client:
        quorum.set(a=f"change {before}".encode())
    assert quorum.born(before + 1).files == {"a": f"change {before}"}
    assert run.is_running()


def test_the_server_that_serves_us_is_killed(quorum: MirroredHost, three: Ensemble) -> None:
    """zkexec goes on with another server, and the session lives on."""
    quorum.create(a=b"one")
    run = quorum.wrap()
    first = quorum.born()

    served_by(three, run.pid).stop(suddenly=True)
    run.until(LEFT_ALONE)
    run.until("connected$", count=2)
    quorum.only(first)
    changes_arrive(quorum, run)

    assert run.end() == 0


def test_the_leader_is_killed(quorum: MirroredHost, three: Ensemble) -> None:
    """A new leader is elected; the command runs on, and the next change arrives."""
    quorum.create(a=b"one")
    run = quorum.wrap()
    first = quorum.born()

    three.leader().stop(suddenly=True)
    run.until(LEFT_ALONE)
    run.until("connected$", count=2)
    quorum.only(first)
    changes_arrive(quorum, run)

    assert run.end() == 0


def test_the_quorum_is_lost_and_comes_back(quorum: MirroredHost, three: Ensemble) -> None:
    """Without a quorum nobody is touched; once it is there again, changes arrive."""
    quorum.create(a=b"one")
    run = quorum.wrap("--session-timeout=2")
    first = quorum.born()

    for server in three.servers[:2]:
        server.stop(suddenly=True)
    run.until(LEFT_ALONE)
    run.until("cannot connect")
    quorum.only(first)
    for server in three.servers[:2]:
        server.launch()
    for server in three.servers:
        server.wait_until_serving()
    run.until("connected$", count=2)
    quorum.only(first)
    changes_arrive(quorum, run)

    assert run.end() == 0
    assert len(quorum.births()) == 2
