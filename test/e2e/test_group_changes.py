"""New content at each point of a turn, and two znodes that change together all the time."""

import random
import threading
from collections.abc import Iterator
from functools import partial

import pytest
from kazoo.client import KazooClient

from e2e.fleet_events import FirstRequest
from support.fleet import FULL, Fleet, FleetMember, fleet_on
from support.link import is_admission, is_join, is_later_commit
from support.sandbox import Sandbox
from support.zookeeper import Server

TRANSACTIONS = 1000 if FULL else 250


@pytest.fixture
def fleet(sandbox: Sandbox, client: KazooClient, zookeeper: Server) -> Iterator[Fleet]:
    """A fleet on the shared server, still without members."""
    with fleet_on(sandbox, client, zookeeper.port) as one:
        yield one


def push_until(fleet: Fleet, content: str, word: str) -> None:
    """Push content, and wait until the journal tells this of one more server."""

    def told() -> set[int]:
        return {entry.pid for entry in fleet.journal.of_all(word)}

    before = told()
    fleet.push(content)
    fleet.until(lambda: told() - before, f"a server {word}")


def push(fleet: Fleet, content: str, _member: FleetMember) -> None:
    """Push content in the moment in which a member sends something."""
    fleet.push(content)


def heal(fleet: Fleet, newest: str, number: int) -> None:
    """Wait until all run what is newest, or until it has failed and all run what then is pushed."""
    if not newest.startswith("exit"):
        fleet.at_rest(newest)
        return
    fleet.failing(newest)
    fleet.push(f"good {number} healed")
    fleet.at_rest(f"good {number} healed")
    assert len(fleet.ran(newest)) == 1


@pytest.mark.parametrize("mood", ["good", "exit"])
def test_new_content_while_a_request_is_on_its_way(fleet: Fleet, mood: str) -> None:
    """Content that changes while a member queues, is admitted or is done goes its own way."""
    fleet.launch(3)

    for number, kind in enumerate((is_join, is_admission, is_later_commit)):
        newest = f"{mood} {number} newest"
        first = FirstRequest(fleet, kind, partial(push, fleet, newest))
        fleet.push(f"slow {number}")
        first.member()
        heal(fleet, newest, number)
        assert len(fleet.ran(f"slow {number}")) <= 1

    fleet.keeps_max_unavailable()


@pytest.mark.parametrize("mood", ["linger", "exit"])
def test_new_content_while_a_server_is_restarted(fleet: Fleet, mood: str) -> None:
    """Content that changes while the old server stops, or the new one starts, is run in the end.

    Where the newest is bad, one member alone has tried it.
    """
    fleet.launch(3, "linger 0")

    moments = (("slow", "asked"), ("slow", "born"), ("good", "healthy"), ("late", "born"))
    for number, (before, word) in enumerate(moments):
        push_until(fleet, f"{before} {number}", word)
        fleet.push(f"{mood} {number} newest")
        heal(fleet, f"{mood} {number} newest", number)
        assert before != "late" or len(fleet.ran(f"{before} {number}")) <= 1

    fleet.keeps_max_unavailable()


def test_the_old_content_is_back_while_a_server_is_restarted(fleet: Fleet) -> None:
    """Content that is taken back while one member is restarted to it costs nobody else anything."""
    fleet.launch(3, "linger 0")

    for number, (before, word) in enumerate((("slow", "asked"), ("late", "born"))):
        push_until(fleet, f"{before} {number}", word)
        fleet.push("linger 0")
        fleet.at_rest("linger 0")

    starts = sorted(len(member.entries("born")) for member in fleet.members)
    assert starts[:1] == [1]
    fleet.keeps_max_unavailable()


def test_new_content_ends_each_of_several_failures(fleet: Fleet) -> None:
    """The member that failed tries what is new at once, over and over, and alone."""
    fleet.launch(3)

    for number, mood in enumerate(("exit", "unhealthy", "late", "hang")):
        fleet.push(f"{mood} {number}")
        fleet.failing(f"{mood} {number}")
    fleet.push("good 5")
    fleet.at_rest("good 5")

    tried = [entry.name for entry in fleet.journal.of_all("born") if "good" not in entry.content]
    assert len(tried) == 4
    assert len(set(tried)) == 1
    fleet.keeps_max_unavailable()


def test_two_znodes_change_together_all_the_time(fleet: Fleet) -> None:
    """No server ever sees one of the znodes without the other, whenever it is started.

    250 transactions by default, 1000 with ZKEXEC_FULL_FAULTS.  Now and then a zkexec is killed,
    so that there are first starts among the starts.
    """
    fleet.mirror(2)
    fleet.options = ("--settle=0", "--max-unavailable=2", "--health-interval=0.1")
    fleet.launch(3)
    fleet.keep(fleet.members)
    dice = random.Random(3)

    for number in range(1, TRANSACTIONS + 1):
        fleet.push(f"good {number}")
        threading.Event().wait(dice.expovariate(1 / 0.03))  # so that there are turns between
        if number % 100 == 0:
            dice.choice(fleet.members).kill()
    fleet.at_rest(f"good {TRANSACTIONS}", fleet.members)

    seen = [entry.content.split("|") for entry in fleet.journal.of_all("born")]
    assert [pair for pair in seen if pair[0] != pair[1]] == []
    assert len(seen) > 2 * len(fleet.members)
