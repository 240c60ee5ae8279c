"""Links that break a hundred times, and crowds of which many are killed or cut off.

Every member is a whole zkexec, 25 MB and four processes each with its server, so that a crowd
has 12 members by default; with ZKEXEC_FULL_FAULTS it has 200, of which 50 are killed and the
sessions of 20 expire.
"""

import os
import random
from collections.abc import Iterator
from functools import partial

import pytest
from kazoo.client import KazooClient

from support.fleet import FULL, Fleet, FleetMember, fleet_on
from support.sandbox import Sandbox
from support.zookeeper import Server

FLAPS = 100
AT_ONCE = 30
CROWD, KILLED, EXPIRED = (200, 50, 20) if FULL else (12, 3, 2)
# A crowd starts slowly on few processors, and must not lose its sessions for that.
PATIENT = ("--session-timeout=10", "--health-interval=5", "--health-delay=5")


@pytest.fixture
def fleet(sandbox: Sandbox, client: KazooClient, zookeeper: Server) -> Iterator[Fleet]:
    """A fleet on the shared server, still without members."""
    with fleet_on(sandbox, client, zookeeper.port) as one:
        yield one


def holdings(member: FleetMember) -> tuple[int, int]:
    """How many threads zkexec has, and how many descriptors."""
    return len(os.listdir(f"/proc/{member.pid}/task")), len(os.listdir(f"/proc/{member.pid}/fd"))


def is_gone(fleet: Fleet, member: FleetMember) -> bool:
    """Whether the group does not know the member to be alive."""
    return member.name not in fleet.children("members")


def flap(fleet: Fleet, times: int) -> None:
    """Break the connections of all members so often, each time after all are back."""
    for _ in range(times):
        before = [len(member.log("connected")) for member in fleet.members]
        for member in fleet.members:
            member.link.cut()
        for member, count in zip(fleet.members, before, strict=True):
            member.until_logged("connected", count + 1)


def test_a_link_that_breaks_a_hundred_times(fleet: Fleet) -> None:
    """Neither threads nor descriptors grow, watches are there again, and the group still works."""
    fleet.launch(2)
    flap(fleet, 5)
    fleet.at_rest("good 0")
    before = [holdings(member) for member in fleet.members]

    flap(fleet, FLAPS)
    fleet.push("good 1")
    fleet.at_rest("good 1")

    fleet.until(
        lambda: [holdings(member) for member in fleet.members] <= before,
        f"as many threads and descriptors as before, {before}",
    )
    assert [len(member.entries("born")) for member in fleet.members] == [2, 2]
    fleet.keeps_max_unavailable()


def test_members_that_start_and_queue_at_once(fleet: Fleet) -> None:
    """A group that is started at once is restarted at once, and each member only once."""
    fleet.options = (*PATIENT, "--max-unavailable=20")
    fleet.push("good 0")
    members = [fleet.add() for _ in range(AT_ONCE)]
    for member in members:
        member.start()
    fleet.at_rest("good 0", members)
    assert {len(member.entries("born")) for member in members} == {1}

    fleet.push("good 1")
    fleet.at_rest("good 1", members)

    assert {len(member.entries("born")) for member in members} == {2}
    fleet.keeps_max_unavailable(20)


def launch_crowd(fleet: Fleet) -> None:
    """Start the crowd in groups, as many at a time as the machine starts well."""
    fleet.push("good 0")
    for begun in range(0, CROWD, 8):
        some = [fleet.add() for _ in range(min(8, CROWD - begun))]
        for member in some:
            member.start()
        fleet.at_rest("good 0", some)


def test_a_crowd_of_which_many_are_killed_while_they_wait(fleet: Fleet) -> None:
    """A member that is killed in the queue, or loses its session there, holds no other up."""
    fleet.options = (*PATIENT, "--max-unavailable=3")
    launch_crowd(fleet)
    dice = random.Random(1)

    fleet.push("slow 1")
    fleet.until(lambda: len(fleet.children("queue")) >= CROWD - 4, "the crowd waits")
    waiting = sorted(fleet.queued())
    chosen = [fleet.named(name) for name in dice.sample(waiting, KILLED + EXPIRED)]
    for member in chosen[:KILLED]:
        member.kill()
    for member in chosen[KILLED:]:
        member.link.refuse()
    for member in chosen[KILLED:]:
        fleet.until(partial(is_gone, fleet, member), f"the session of {member.name} expires")
        member.link.heal()
    fleet.at_rest("slow 1")

    assert len(fleet.living()) == CROWD - KILLED
    assert {len(member.entries("born")) for member in fleet.living()} == {2}
    fleet.keeps_max_unavailable(3)
