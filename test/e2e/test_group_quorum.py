"""An ensemble that breaks in a rollout: leader, quorum, and a follower left behind."""

from collections.abc import Iterator
from contextlib import suppress

import pytest

from e2e.cuttable_ensemble import CuttableEnsemble
from e2e.fleet_events import first_journaled
from support.fleet import Fleet, FleetMember, fleet_on
from support.link import is_admission
from support.posted_events import connected_client
from support.processes import is_alive
from support.sandbox import Sandbox
from support.zookeeper import Server


@pytest.fixture(scope="module")
def three() -> Iterator[CuttableEnsemble]:
    """One ensemble for all tests of this file."""
    ensemble = CuttableEnsemble()
    try:
        ensemble.start()
        yield ensemble
    finally:
        ensemble.close()


@pytest.fixture
def follower(three: CuttableEnsemble) -> int:
    """The number of a server that follows, and that a test may cut off."""
    return three.followers()[0]


@pytest.fixture
def fleet(sandbox: Sandbox, three: CuttableEnsemble, follower: int) -> Iterator[Fleet]:
    """A fleet that knows all servers; its operator does not use the one that may be cut off."""
    others = [server for number, server in enumerate(three.servers) if number != follower]
    with connected_client(",".join(server.hosts for server in others)) as client:
        ports = [server.port for server in three.servers]
        with fleet_on(sandbox, client, *ports) as one:
            yield one
            revive(three)


def revive(three: CuttableEnsemble) -> None:
    """Start what is stopped, mend what is cut, and wait until all serve."""
    three.heal()
    for server in three.servers:
        if not is_running(server):
            server.launch()
    for server in three.servers:
        server.wait_until_serving()


def is_running(server: Server) -> bool:
    """Whether the server's process was started and not stopped."""
    with suppress(RuntimeError):
        return bool(server.pid)
    return False


def launch_beside(fleet: Fleet, three: CuttableEnsemble, follower: int) -> FleetMember:
    """Start two members on the other servers, and one, which is returned, on the follower."""
    others = [server.port for n, server in enumerate(three.servers) if n != follower]
    fleet.push("linger 0")
    alone = fleet.add([three.servers[follower].port])
    alone.start()
    for _ in range(2):
        fleet.add(others).start()
    fleet.at_rest("linger 0")
    return alone


def test_a_member_on_a_follower_that_was_left_behind(
    fleet: Fleet, three: CuttableEnsemble, follower: int
) -> None:
    """Whoever sees only the past runs on with it, and the others do not wait for it."""
    alone = launch_beside(fleet, three, follower)

    three.cut_off(follower)
    fleet.push("good 1")
    fleet.all_run("good 1", fleet.members[1:])
    assert alone.is_healthy_on("linger 0")
    three.heal()
    fleet.at_rest("good 1")

    fleet.keeps_max_unavailable()


def test_the_follower_is_left_behind_at_the_admission(
    fleet: Fleet, three: CuttableEnsemble, follower: int
) -> None:
    """An admission that never reached the leader stops nobody's server."""
    alone = launch_beside(fleet, three, follower)

    cut_off = alone.link.on(is_admission, lambda: three.cut_off(follower))
    fleet.push("good 1")
    alone.until(cut_off.is_set, "asks for its turn")
    fleet.all_run("good 1", fleet.members[1:])
    assert len(alone.entries("born")) == 1
    assert is_alive(alone.entries("born")[0].pid)
    three.heal()
    fleet.at_rest("good 1")

    fleet.keeps_max_unavailable()


def test_the_follower_is_left_behind_after_the_kill(
    fleet: Fleet, three: CuttableEnsemble, follower: int
) -> None:
    """A restart that has begun is finished on what is installed, and its end is told later."""
    alone = launch_beside(fleet, three, follower)

    fleet.push("good 1")
    alone.until(lambda: alone.entries("asked"), "is in its turn")
    three.cut_off(follower)
    fleet.all_run("good 1", fleet.members)
    three.heal()
    fleet.at_rest("good 1")

    fleet.keeps_max_unavailable()
    assert len(alone.entries("born")) == 2


@pytest.mark.parametrize("word", ["asked", "born"])
def test_the_leader_is_killed_in_a_rollout(
    fleet: Fleet, three: CuttableEnsemble, word: str
) -> None:
    """Another leader takes over, and the rollout goes on where it was."""
    fleet.launch(3, "linger 0")

    fleet.push("slow 1")
    first_journaled(fleet, word, "slow 1" if word == "born" else "linger 0")
    three.leader().stop(suddenly=True)
    fleet.at_rest("slow 1")

    fleet.keeps_max_unavailable()
    assert [len(member.entries("born")) for member in fleet.members] == [2, 2, 2]


@pytest.mark.parametrize("word", ["asked", "born"])
def test_the_quorum_is_lost_in_a_rollout(fleet: Fleet, three: CuttableEnsemble, word: str) -> None:
    """Without a quorum the one restart that was begun is finished, and no other is begun."""
    fleet.launch(3, "linger 0")

    fleet.push("slow 1")
    holder = first_journaled(fleet, word, "slow 1" if word == "born" else "linger 0")
    for server in three.servers[:2]:
        server.stop(suddenly=True)
    holder.until(lambda: holder.is_healthy_on("slow 1"), "is healthy all the same")
    for member in fleet.members:
        member.until_logged("disconnected")
    assert fleet.ran("slow 1") == {holder.name}
    revive(three)
    fleet.at_rest("slow 1")

    fleet.keeps_max_unavailable()
    assert [len(member.entries("born")) for member in fleet.members] == [2, 2, 2]
