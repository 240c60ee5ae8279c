"""Members that are unavailable: they take up a place of the limit, and may take their own turn."""

from collections.abc import Iterator

import pytest
from kazoo.client import KazooClient

from support.fleet import SLOW_TO_FAIL, Fleet, FleetMember, fleet_on
from support.sandbox import Sandbox
from support.zookeeper import Server

NEVER_CHANGES = ("--settle=600",)
"""A member with this does not queue for a change while a test lasts."""


@pytest.fixture
def fleet(sandbox: Sandbox, client: KazooClient, zookeeper: Server) -> Iterator[Fleet]:
    """A fleet on the shared server, still without members."""
    with fleet_on(sandbox, client, zookeeper.port) as one:
        yield one


def is_marked(fleet: Fleet, member: FleetMember) -> bool:
    """Whether the group knows that a member is unavailable."""
    return member.name in fleet.children("unavailable")


def fall_ill(fleet: Fleet, member: FleetMember) -> None:
    """Let the health checks of a member fail, and wait until the group knows it."""
    member.become_ill()
    fleet.until(lambda: is_marked(fleet, member), f"{member.name} is unavailable")


def test_an_unavailable_member_takes_up_a_place(fleet: Fleet) -> None:
    """With a limit of two and one unavailable member, the others take turns one by one."""
    fleet.options = (*SLOW_TO_FAIL, "--max-unavailable=2")
    fleet.launch_each([NEVER_CHANGES, (), (), ()])
    ill, *others = fleet.members
    fleet.open_gate()
    for content in ("gated 1", "good 0"):
        fleet.push(content)
        fleet.at_rest(content, others)
    fall_ill(fleet, ill)
    fleet.close_gate()
    before = len(fleet.unavailable_at_once())

    fleet.push("gated 1")
    fleet.until(fleet.in_flight, "one is in flight")
    fleet.until(lambda: len(fleet.queued()) == 2, "two wait")
    fleet.until(lambda: any(m.log("turn-next") for m in others), "one is next")
    assert len(fleet.in_flight()) == 1
    fleet.open_gate()
    fleet.at_rest("gated 1", others)

    assert max(map(len, fleet.unavailable_at_once()[before:])) == 1
    assert not is_marked(fleet, others[0])


def test_an_unavailable_member_takes_its_own_turn(fleet: Fleet) -> None:
    """With a limit of one, the unavailable member has its turn before any healthy one."""
    fleet.options = ("--kill-timeout=5",)
    fleet.launch(3)
    ill = fleet[2]
    fall_ill(fleet, ill)

    fleet.push("good 1")
    fleet.at_rest("good 1")

    born = [one.name for one in fleet.journal.of_all("born") if one.content == "good 1"]
    assert born[0] == ill.name
    assert len(born) == 3
    fleet.until(lambda: fleet.children("unavailable") == [], "no member is unavailable")
    fleet.keeps_max_unavailable()


def test_healthy_members_wait_for_the_recovery(fleet: Fleet) -> None:
    """With a limit of one, no healthy member is stopped until the unavailable one has recovered."""
    fleet.launch_each([NEVER_CHANGES, (), ()])
    ill, *others = fleet.members
    fall_ill(fleet, ill)

    fleet.push("good 1")
    fleet.until(lambda: len(fleet.queued()) == 2, "both wait")
    fleet.until(lambda: any(m.log("turn-next") for m in others), "one is next")
    (line,) = [line for member in others for line in member.log("turn-next")]
    assert line["message"] == "next in the queue; members in flight: 0, unavailable: 1"
    assert fleet.ran("good 1") == set()
    ill.recover()
    fleet.at_rest("good 1", others)

    fleet.keeps_max_unavailable()


def test_an_unavailable_member_that_is_gone_takes_up_no_place(fleet: Fleet) -> None:
    """The mark of an unavailable member ends with its session, and the others go on."""
    fleet.launch_each([NEVER_CHANGES, (), ()])
    ill, *others = fleet.members
    fall_ill(fleet, ill)
    fleet.push("good 1")
    fleet.until(lambda: any(m.log("turn-next") for m in others), "one is next")
    assert fleet.ran("good 1") == set()

    ill.kill()
    fleet.at_rest("good 1", others)
    fleet.keeps_max_unavailable()


def test_an_unavailable_member_that_comes_back_is_marked_again(fleet: Fleet) -> None:
    """The mark is of the session: a member that has lost its session makes another one."""
    fleet.launch_each([NEVER_CHANGES, ()])
    ill, other = fleet.members
    fall_ill(fleet, ill)

    ill.link.refuse()
    fleet.until(lambda: not is_marked(fleet, ill), "its session ends")
    ill.link.heal()
    fleet.until(lambda: is_marked(fleet, ill), "is marked again")
    fleet.push("good 1")
    other.until_logged("turn-next")
    assert fleet.ran("good 1") == set()
    ill.recover()
    fleet.at_rest("good 1", [other])
