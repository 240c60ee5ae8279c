"""Rolling restarts as they should go: one after the other, or as many at once as may be.

The fleets of this file meet no fault of the network and no bad configuration.
"""

import signal
from collections.abc import Iterator

import pytest
from kazoo.client import KazooClient

from support.fleet import Fleet, fleet_on
from support.journal import unavailable_at_once
from support.sandbox import Sandbox
from support.zookeeper import Server


@pytest.fixture
def fleet(sandbox: Sandbox, client: KazooClient, zookeeper: Server) -> Iterator[Fleet]:
    """A fleet on the shared server, still without members."""
    with fleet_on(sandbox, client, zookeeper.port) as one:
        yield one


@pytest.mark.parametrize(
    ("asked", "members", "width"), [("1", 3, 1), ("3", 5, 3), ("50%", 4, 2), ("25%", 3, 1)]
)
def test_no_more_members_are_down_than_may_be(
    fleet: Fleet, asked: str, members: int, width: int
) -> None:
    """Everybody is restarted for new content, and never more at a time than the width allows."""
    fleet.options = (f"--max-unavailable={asked}",)
    fleet.launch(members)

    for content in ("linger 1", "slow 2"):
        fleet.push(content)
        fleet.at_rest(content)

    fleet.keeps_max_unavailable(width)
    assert all(len(member.entries("born")) == 3 for member in fleet.members)


def test_a_limit_of_several_is_made_use_of(fleet: Fleet) -> None:
    """A version that several members have succeeded on is taken by as many at once as may be."""
    fleet.options = ("--max-unavailable=3",)
    # The first one tries it alone, then at most twice as many as have succeeded.
    fleet.launch(7)

    fleet.push("slow 1")
    fleet.until(lambda: len(fleet.in_flight()) == 3, "three at a time")
    fleet.at_rest("slow 1")

    fleet.keeps_max_unavailable(3)


def test_at_most_twice_as_many_at_once_as_have_succeeded(fleet: Fleet) -> None:
    """A new version begins with one member, and then never goes faster than it proves itself."""
    fleet.options = ("--max-unavailable=6",)
    fleet.launch(9)

    fleet.push("slow 1")
    fleet.at_rest("slow 1")

    healthy: set[int] = set()
    new = {one.pid for one in fleet.journal.of_all("born") if one.content == "slow 1"}
    entries = fleet.journal.entries()
    down_at = unavailable_at_once(entries, fleet.reclaimed())
    for one, down in zip(entries, down_at, strict=True):
        healthy |= {one.pid} & new if one.word == "healthy" else set()
        assert len(down) <= max(1, 2 * len(healthy)), fleet.story()
    assert max(map(len, down_at)) > 2
    fleet.keeps_max_unavailable(6)


def test_nobody_is_restarted_for_what_runs_already(fleet: Fleet) -> None:
    """The same bytes pushed again, or content that was taken back in time, restart nobody."""
    fleet.options = ("--settle=10",)
    fleet.launch(2)

    fleet.push("good 0")
    fleet.push("good 1")
    for member in fleet.members:
        member.until_logged("changed")
    fleet.push("good 0")
    for member in fleet.members:
        member.until_logged("change-undone")
    fleet.at_rest("good 0")

    assert [len(member.entries("born")) for member in fleet.members] == [1, 1]


def test_whoever_waits_takes_only_the_newest(fleet: Fleet) -> None:
    """Content that is replaced while others wait for their turns is never run by those."""
    fleet.launch(3)

    fleet.push("unhealthy 1")
    fleet.until(lambda: len(fleet.ran("unhealthy 1")) == 1, "the first one takes it")
    fleet.push("slow 2")
    fleet.at_rest("slow 2")

    assert len(fleet.ran("unhealthy 1")) == 1
    fleet.keeps_max_unavailable()


def test_waiting_members_leave_the_queue_for_what_they_run(fleet: Fleet) -> None:
    """When the old content is back, who waited goes home, and who was restarted comes back."""
    fleet.launch(3)

    fleet.push("unhealthy 1")
    fleet.until(lambda: len(fleet.ran("unhealthy 1")) == 1, "the first one takes it")
    fleet.push("good 0")
    fleet.at_rest("good 0")

    (first,) = fleet.ran("unhealthy 1")
    starts = {member.name: len(member.entries("born")) for member in fleet.members}
    assert starts == {member.name: 3 if member.name == first else 1 for member in fleet.members}
    fleet.keeps_max_unavailable()


def test_a_member_that_ends_gives_its_turn_to_the_next(fleet: Fleet) -> None:
    """An end that was asked for in the middle of a turn, or of the wait for it, stops nobody."""
    fleet.launch(4)

    fleet.push("slow 1")
    fleet.until(fleet.in_flight, "somebody in flight")
    (holder,) = fleet.in_flight()
    fleet.until(lambda: len(fleet.queued()) == 3, "the others wait")
    waiting = next(member for member in fleet.members if member.name != holder)
    # A server that has not come to hear its signals yet dies of them, and zkexec ends as it did;
    # whoever waited may have been given the turn by now.
    assert fleet.named(holder).end() in (0, -signal.SIGTERM)
    assert waiting.end() in (0, -signal.SIGTERM)
    fleet.at_rest("slow 1")

    fleet.keeps_max_unavailable()
    assert set(fleet.children("members")) == {member.name for member in fleet.living()}


def test_a_member_that_comes_in_the_middle(fleet: Fleet) -> None:
    """A first start takes no turn, and does not begin on what nobody has proven yet."""
    fleet.launch(2)
    late = fleet.add()
    late.start()
    fleet.at_rest("good 0")
    late.end()

    fleet.push("unhealthy 1")
    fleet.failing("unhealthy 1")
    late.start()
    late.until(lambda: late.is_healthy_on("good 0"), "started on the old files")
    fleet.push("good 2")
    fleet.at_rest("good 2")

    assert late.name not in fleet.ran("unhealthy 1")
    fleet.keeps_max_unavailable()


def test_signals_to_members_change_nothing(fleet: Fleet) -> None:
    """A signal that is the business of the command costs no turn."""
    fleet.launch(2)

    fleet.push("slow 1")
    fleet.until(lambda: len(fleet.ran("slow 1")) == 1, "the first one takes it")
    for member in fleet.members:
        member.signal(signal.SIGWINCH)
    fleet.at_rest("slow 1")

    fleet.keeps_max_unavailable()


def test_nothing_is_left_when_all_have_ended(fleet: Fleet) -> None:
    """Members that end give up their nodes at once; the record stays."""
    fleet.launch(3)

    assert [member.end() for member in fleet.members] == [0, 0, 0]

    assert fleet.children("members") == []
    assert fleet.children("queue") == []
    assert fleet.in_flight() == {}
    assert fleet.record()
