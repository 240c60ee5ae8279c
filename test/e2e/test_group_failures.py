"""Configurations that break the server, in every way: only one member ever tries them.

Exits, hangs and bad health each stop the rollout at the first member.  What kills zkexec itself
leaves nobody to say so: by the protocol it takes a second loss to condemn it.
"""

import time
from collections.abc import Iterator
from functools import partial

import pytest
from kazoo.client import KazooClient

from support.fleet import FULL, Fleet, FleetMember, fleet_on
from support.processes import is_alive
from support.sandbox import Sandbox
from support.zookeeper import Server

ACCIDENTS_S = 120.0 if FULL else 10.0


@pytest.fixture
def fleet(sandbox: Sandbox, client: KazooClient, zookeeper: Server) -> Iterator[Fleet]:
    """A fleet on the shared server, still without members."""
    with fleet_on(sandbox, client, zookeeper.port) as one:
        yield one


def births(fleet: Fleet) -> dict[str, int]:
    """How often the server of each member was started."""
    return {member.name: len(member.entries("born")) for member in fleet.members}


def is_queued(fleet: Fleet, member: FleetMember) -> bool:
    """Whether a member waits for its turn."""
    return member.name in fleet.queued()


def has_started(member: FleetMember, before: int) -> bool:
    """Whether a member's zkexec was started more often than that."""
    return len(member.entries("started")) > before


def wait_for_reports(fleet: Fleet, failed: FleetMember) -> None:
    """Wait until the other members have all come to know that the rollout does not go on."""
    for member in fleet.members:
        if member is not failed:
            member.until(partial(is_queued, fleet, member), "waits in the queue")


@pytest.mark.parametrize(("asked", "width"), [("1", 1), ("3", 3), ("50%", 2)])
def test_bad_content_stops_at_the_first_member(fleet: Fleet, asked: str, width: int) -> None:
    """One member fails and says so, the others run on, and good content heals all of them."""
    fleet.options = (f"--max-unavailable={asked}",)
    fleet.launch(4)

    for number, mood in enumerate(("exit", "late", "hang", "unhealthy")):
        before = births(fleet)
        fleet.push(f"{mood} {number}")
        failed = fleet.failing(f"{mood} {number}")
        wait_for_reports(fleet, failed)
        assert births(fleet) == {**before, failed.name: before[failed.name] + 1}
        fleet.push(f"good {number + 1}")
        fleet.at_rest(f"good {number + 1}")
        assert fleet.ran(f"{mood} {number}") == {failed.name}

    assert len(fleet.living()) == 4
    fleet.keeps_max_unavailable(width)


@pytest.mark.parametrize("asked", ["1", "3"])
def test_content_that_kills_zkexec_is_condemned_at_the_second_loss(
    fleet: Fleet, asked: str
) -> None:
    """Where nobody starts the dead again, one more member is lost, and then the others are safe."""
    fleet.options = (f"--max-unavailable={asked}",)
    fleet.launch(4)

    fleet.push("murder 1")
    fleet.until(lambda: len(fleet.living()) == 2, "two are lost")
    fleet.until(lambda: not fleet.in_flight(), "both are taken out of the record")
    survivors = fleet.living()
    fleet.push("good 2")
    fleet.at_rest("good 2")

    assert fleet.living() == survivors
    assert len(fleet.ran("murder 1")) == 2
    fleet.keeps_max_unavailable({"1": 1, "3": 3}[asked])


@pytest.mark.parametrize("asked", ["1", "3"])
def test_content_that_kills_zkexec_stays_with_the_member_that_comes_back(
    fleet: Fleet, asked: str
) -> None:
    """Where an init system starts the dead again, the same member finds its turn, and fails it."""
    fleet.options = (f"--max-unavailable={asked}",)
    fleet.launch(3)
    fleet.keep(fleet.members)

    fleet.push("murder 1")
    fleet.until(lambda: fleet.journal.of_all("murdered"), "a victim")
    victim = next(entry.name for entry in fleet.journal.of_all("murdered"))
    fleet.until(fleet.has_failure, "the verdict")
    fleet.push("good 2")
    fleet.at_rest("good 2", fleet.members)

    assert fleet.ran("murder 1") == {victim}
    fleet.keeps_max_unavailable({"1": 1, "3": 3}[asked])


@pytest.mark.parametrize("mood", ["exit", "unhealthy"])
def test_an_init_system_that_starts_the_failing_member_again_and_again(
    fleet: Fleet, mood: str
) -> None:
    """However often the failing member is killed and started anew, nobody else tries the content.

    It is killed and started for 10 seconds; with ZKEXEC_FULL_FAULTS for two minutes.
    """
    fleet.launch(3)
    fleet.push(f"{mood} 1")
    failed = fleet.failing(f"{mood} 1")
    fleet.keep([failed])

    end = time.monotonic() + ACCIDENTS_S
    while time.monotonic() < end:
        starts, connections = len(failed.entries("started")), len(failed.log("connected"))
        failed.kill()
        failed.until(partial(has_started, failed, starts), "started again")
        failed.until_logged("connected", connections + 1)
        # As long as the session of the dead one lasts, and then as long as nobody is enrolled.
        fleet.until(lambda: failed.name in fleet.children("members"), "enrolled again")
    assert fleet.ran(f"{mood} 1") == {failed.name}
    assert all(is_alive(m.pid) for m in fleet.members if m is not failed)
    fleet.push("good 2")
    fleet.at_rest("good 2", fleet.members)

    assert fleet.ran(f"{mood} 1") == {failed.name}
    fleet.keeps_max_unavailable()


def test_the_same_bytes_pushed_again_are_a_retry(fleet: Fleet) -> None:
    """What failed is tried once more, by one member, when an operator pushes it once more."""
    fleet.launch(3)
    fleet.push("unhealthy 1")
    failed = fleet.failing("unhealthy 1")

    before = births(fleet)[failed.name]
    fleet.push("unhealthy 1")
    failed.until(lambda: births(fleet)[failed.name] > before, "tries again")
    assert fleet.failing("unhealthy 1") is failed
    fleet.push("good 2")
    fleet.at_rest("good 2")

    assert fleet.ran("unhealthy 1") == {failed.name}
    fleet.keeps_max_unavailable()


def test_the_old_content_ends_the_pause_as_well(fleet: Fleet) -> None:
    """Pushing back what ran before restarts the failed member, and nobody else."""
    fleet.launch(3)
    fleet.push("exit 1")
    failed = fleet.failing("exit 1")

    fleet.push("good 0")
    fleet.at_rest("good 0")

    others = {name: count for name, count in births(fleet).items() if name != failed.name}
    assert set(others.values()) == {1}
    fleet.keeps_max_unavailable()


def test_revert_runs_the_old_configuration_meanwhile(fleet: Fleet) -> None:
    """With --on-failure revert the last good files are back, while the rollout stays paused."""
    fleet.options = ("--on-failure=revert",)
    fleet.launch(3)

    fleet.push("exit 1")
    failed = fleet.failing("exit 1")
    failed.until(lambda: failed.is_healthy_on("good 0"), "runs the old configuration again")
    assert (failed.folder / "file0").read_text() == "good 0"
    assert fleet.phase_of(failed) == "failed"
    fleet.push("good 2")
    fleet.at_rest("good 2")

    assert fleet.ran("exit 1") == {failed.name}
    fleet.keeps_max_unavailable()
