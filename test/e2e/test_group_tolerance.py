"""Failures that are tolerated with --max-failed once ten members have succeeded."""

from collections.abc import Iterator, Sequence

import pytest
from kazoo.client import KazooClient

from support.fleet import Fleet, FleetMember, fleet_on
from support.sandbox import Sandbox
from support.zookeeper import Server

ENOUGH = 10
"""From this many successes on, failures are tolerated."""
REFUSES = ('--check=! grep -q "good 1" "$1"',)
"""A member with this refuses one content, and runs any other."""


@pytest.fixture
def fleet(sandbox: Sandbox, client: KazooClient, zookeeper: Server) -> Iterator[Fleet]:
    """A fleet on the shared server, still without members."""
    with fleet_on(sandbox, client, zookeeper.port) as one:
        yield one


def follow(fleet: Fleet, members: Sequence[FleetMember]) -> None:
    """Let frozen members go on, and wait until they run the content."""
    for member in members:
        member.thaw()
    fleet.all_run("good 1", members)


def test_failures_up_to_the_limit_do_not_pause(fleet: Fleet) -> None:
    """Ten succeed, one fails, and the rollout goes on; a second failure pauses it."""
    fleet.options = (
        "--max-failed=1",
        "--max-unavailable=3",
        "--session-timeout=30",
        "--health-interval=2",
    )
    fleet.launch_each([()] * (ENOUGH + 2) + [REFUSES] * 2)
    early, late, refusing = fleet.members[:ENOUGH], fleet.members[ENOUGH:-2], fleet.members[-2:]
    for member in (*late, *refusing):
        member.freeze()

    fleet.push("good 1")
    fleet.all_run("good 1", early)
    fleet.until(lambda: not fleet.in_flight(), "all ten have succeeded")
    first, second = refusing
    first.thaw()
    fleet.until(lambda: fleet.phase_of(first) == "failed", "one fails")
    follow(fleet, late[:1])
    fleet.until(lambda: set(fleet.in_flight()) == {first.name}, "the other one has succeeded")
    second.thaw()
    fleet.until(lambda: fleet.phase_of(second) == "failed", "another one fails")
    late[1].thaw()
    blocked = late[1].until_logged("turn-blocked")

    assert {member for _, member in fleet.stored.failures()} == {first.name, second.name}
    assert first.name in blocked["message"]
    assert late[1].name not in fleet.ran("good 1")
    fleet.push("good 2")
    fleet.at_rest("good 2")
    fleet.keeps_max_unavailable(3)


def test_the_first_failure_pauses_before_enough_have_succeeded(fleet: Fleet) -> None:
    """Until ten have succeeded, one failure pauses the rollout, whatever --max-failed allows."""
    fleet.options = ("--max-failed=50%", "--session-timeout=30")
    fleet.launch_each([(), REFUSES, ()])
    early, refusing, late = fleet.members
    refusing.freeze()
    late.freeze()

    fleet.push("good 1")
    fleet.all_run("good 1", [early])
    refusing.thaw()
    fleet.until(lambda: fleet.phase_of(refusing) == "failed", "one fails")
    late.thaw()
    late.until_logged("turn-blocked")

    assert late.name not in fleet.ran("good 1")
    fleet.push("good 2")
    fleet.at_rest("good 2")
    fleet.keeps_max_unavailable()


def test_a_failed_member_takes_up_a_place(fleet: Fleet) -> None:
    """A failure that is tolerated counts toward the limit until it is over."""
    fleet.options = ("--max-failed=1", "--max-unavailable=1", "--session-timeout=30")
    fleet.launch_each([()] * (ENOUGH + 1) + [REFUSES])
    late, refusing = fleet.members[-2:]
    late.freeze()
    refusing.freeze()
    fleet.push("good 1")
    fleet.all_run("good 1", fleet.members[:ENOUGH])
    refusing.thaw()
    fleet.until(lambda: fleet.phase_of(refusing) == "failed", "one fails")

    late.thaw()
    line = late.until_logged("turn-next")
    assert line["message"] == "next in the queue; members in flight: 1, unavailable: 0"
    assert late.name not in fleet.ran("good 1")
    fleet.push("good 2")
    fleet.at_rest("good 2")
    fleet.keeps_max_unavailable()
