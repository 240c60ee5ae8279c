"""What an operator reads in the logs of members that wait, fail, are lost and recover."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from kazoo.client import KazooClient

from e2e.fleet_events import first_journaled
from support.fleet import SLOW_TO_FAIL, Fleet, FleetMember, fleet_on
from support.sandbox import Sandbox
from support.zookeeper import Server


@pytest.fixture
def fleet(sandbox: Sandbox, client: KazooClient, zookeeper: Server) -> Iterator[Fleet]:
    """A fleet on the shared server, still without members."""
    with fleet_on(sandbox, client, zookeeper.port) as one:
        yield one


def events(member: FleetMember, of: Sequence[str]) -> list[str]:
    """The events of the log that are among these, in their order."""
    return [line["event"] for line in member.log() if line["event"] in of]


def others(fleet: Fleet, member: FleetMember) -> list[FleetMember]:
    """The other members."""
    return [one for one in fleet.members if one is not member]


def of_group(fleet: Fleet, event: str) -> list[dict[str, Any]]:
    """What all logs tell of an event."""
    return [line for member in fleet.members for line in member.log(event)]


def test_the_log_of_a_turn(fleet: Fleet) -> None:
    """A restart is told from the new content to the turn given back, each step once."""
    steps = ("changed", "admitted", "restarting", "installed", "verifying", "known-good")
    fleet.launch(1)
    before = len(events(fleet[0], steps))

    fleet.push("good 1")
    fleet.at_rest("good 1")
    fleet[0].until_logged("turn-released")

    assert tuple(events(fleet[0], steps)[before:]) == steps


def test_the_lines_of_a_turn_have_its_version(fleet: Fleet) -> None:
    """In JSON each line from the admission to the release names the version of the turn."""
    fleet.launch(1)
    before = len(fleet[0].log())

    fleet.push("good 1")
    fleet.at_rest("good 1")
    fleet[0].until_logged("turn-released")

    lines = fleet[0].log()[before:]
    topics = [line["event"] for line in lines]
    first, last = topics.index("admitted"), topics.index("turn-released")
    assert "digest" not in lines[topics.index("changed")]
    assert {"restarting", "installed", "known-good"} <= set(topics[first:last])
    assert {line["digest"] for line in lines[first:last]} == {lines[first]["digest"]}


def test_the_log_of_a_member_that_waits(fleet: Fleet) -> None:
    """A member logs that it waits in the queue, and the next one how many are in flight."""
    fleet.options = SLOW_TO_FAIL
    fleet.launch(3)

    fleet.push("gated 1")
    first_journaled(fleet, "born", "gated 1")
    fleet.until(lambda: of_group(fleet, "turn-next"), "the next one logs it")
    fleet.until(lambda: of_group(fleet, "turn-awaited"), "the one behind it logs it")
    fleet.open_gate()
    fleet.at_rest("gated 1")

    following = {line["message"] for line in of_group(fleet, "turn-next")}
    assert following == {"next in the queue; members in flight: 1, unavailable: 0"}
    waiting = {line["message"] for line in of_group(fleet, "turn-awaited")}
    assert waiting == {"waiting for the turn in the queue"}


def test_the_log_of_a_failure(fleet: Fleet) -> None:
    """Who fails says why, and who waits says on whom it failed, and why."""
    fleet.launch(2)

    fleet.push("exit 1")
    failed = fleet.failing("exit 1")
    (other,) = others(fleet, failed)
    blocked = other.until_logged("turn-blocked")
    failure = failed.until_logged("restart-failed")
    fleet.push("good 2")
    fleet.at_rest("good 2")

    assert "exit status 3" in failure["message"]
    assert failed.name in blocked["message"]
    assert "exit status 3" in blocked["message"]
    failed.until_logged("turn-released")
    assert not other.log("restart-failed")
    assert not [line for member in fleet.members for line in member.log("command-failed")]


def test_the_log_of_a_health_failure(fleet: Fleet) -> None:
    """A server that is not healthy in time is told with the limit, and with what was wrong."""
    fleet.launch(2)

    fleet.push("unhealthy 1")
    failed = fleet.failing("unhealthy 1")
    failure = failed.until_logged("restart-failed")

    assert "not healthy within 2.5 s" in failure["message"]
    assert failed.is_running()


def test_the_log_of_a_loss(fleet: Fleet) -> None:
    """The next in the queue says who is missing, how long it waits, and when that is over."""
    fleet.launch(2, "linger 0")

    fleet.push("slow 1")
    holder = first_journaled(fleet, "asked")
    (other,) = others(fleet, holder)
    holder.kill()
    missing = other.until_logged("member-missing")
    reaped = other.until_logged("turn-reclaimed")
    fleet.at_rest("slow 1")

    assert holder.name in missing["message"]
    assert f"{missing['grace_s']:g} s" in missing["message"]
    assert holder.name in reaped["message"]


def test_the_log_of_a_start_that_has_to_wait(fleet: Fleet) -> None:
    """A member that may start on nothing says so, and starts once there is something good."""
    fleet.launch(2)
    fleet.push("exit 1")
    failed = fleet.failing("exit 1")

    failed.kill()
    failed.start()
    failed.until_logged("start-blocked")
    births = len(failed.entries("born"))
    fleet.push("good 2")
    fleet.at_rest("good 2")

    assert len(failed.entries("born")) == births + 1


def test_contents_are_in_no_log(fleet: Fleet) -> None:
    """Whatever happens, no log holds what stands in a znode."""
    fleet.launch(2)

    fleet.push("unhealthy 1 sesame")
    fleet.failing("unhealthy 1 sesame")
    fleet.push("good 2 sesame")
    fleet.at_rest("good 2 sesame")

    assert "sesame" not in "".join(line["message"] for m in fleet.members for line in m.log())
