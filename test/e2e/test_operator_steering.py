"""Pauses and lost members in groups of real members; frozen members, and servers that restart."""

from collections.abc import Iterator

import pytest
from kazoo.client import KazooClient

from support.fleet import PATIENCE_S, SLOW_TO_FAIL, Fleet, FleetMember, fleet_on
from support.posted_events import connected_client
from support.sandbox import Sandbox
from support.zkexecctl import ZKEXECCTL
from support.zookeeper import Server

# By far longer than a test waits: only an operator lets the group go on.
NO_GRACE = ("--kill-timeout=900",)


@pytest.fixture
def fleet(sandbox: Sandbox, client: KazooClient, zookeeper: Server) -> Iterator[Fleet]:
    """A fleet on the shared server, still without members."""
    with fleet_on(sandbox, client, zookeeper.port) as one:
        yield one


def zkexecctl(fleet: Fleet, verb: str, *words: str, status: int = 0) -> str:
    """Run a verb on the fleet's group, which has to end like this; what it said."""
    ended, out, err = fleet.sandbox.run(*ZKEXECCTL, verb, fleet.lock, *words, "--by=ann")
    assert ended == status, (out, err, fleet.story())
    return (err if status else out).decode()


def births(fleet: Fleet) -> list[int]:
    """How often the server of each member was started."""
    return [len(member.entries("born")) for member in fleet.members]


def first_in_flight(fleet: Fleet) -> FleetMember:
    """Wait until a member is in flight and has started its server anew, and return it."""
    fleet.until(lambda: 2 in births(fleet), "a server is started anew")
    return fleet.members[births(fleet).index(2)]


def is_enrolled(fleet: Fleet, member: FleetMember) -> bool:
    """Whether the session of a member lives, as far as the cluster knows."""
    return member.name in fleet.children("members")


def test_a_pause_in_the_middle_of_a_rollout(fleet: Fleet) -> None:
    """The member in flight finishes, no other begins before the resume, and then all go on."""
    fleet.options = SLOW_TO_FAIL
    fleet.launch(3)
    fleet.push("gated 1")
    first = first_in_flight(fleet)
    said = zkexecctl(fleet, "pause", "--reason=the database moves")
    assert said.endswith(f"; in flight, and finishing: {first.name}\n")
    fleet.open_gate()
    fleet.all_run("gated 1", [first])
    fleet.until(lambda: not fleet.in_flight(), "the turn is over")
    others = [member for member in fleet.members if member is not first]
    fleet.until(lambda: any(m.log("turn-paused") for m in others), "the next one says why it waits")
    fleet.push("good 2")
    fleet.until(lambda: len(fleet.queued()) == 3, "all wait")
    assert sorted(births(fleet)) == [1, 1, 2]
    told = next(line for member in others for line in member.log("turn-paused"))
    assert (told["by"], told["reason"]) == ("ann", "the database moves")

    assert ": the database moves" in zkexecctl(fleet, "resume")
    fleet.at_rest("good 2")
    assert [audit_entry["operation"] for audit_entry in fleet.record()["audit"]] == [
        "pause",
        "resume",
    ]
    assert sorted(births(fleet)) == [2, 2, 3]
    fleet.keeps_max_unavailable()


def test_a_lost_member_is_forgotten(fleet: Fleet) -> None:
    """A member that was killed in flight is not waited for any longer, once it is forgotten."""
    fleet.options = (*SLOW_TO_FAIL, *NO_GRACE)
    fleet.launch(3)
    fleet.push("gated 1")
    lost = first_in_flight(fleet)
    fleet.until(lambda: len(fleet.queued()) == 2, "the others wait")
    said = zkexecctl(fleet, "forget", lost.name, status=1)
    assert "is alive and will end its turn itself: add --force" in said
    lost.kill()
    fleet.until(lambda: not is_enrolled(fleet, lost), "its session has ended")
    fleet.until(lambda: any(m.log("member-missing") for m in fleet.living()), "it is missed")
    assert sorted(births(fleet)) == [1, 1, 2]

    fleet.push("good 2")
    assert f"the turn of {lost.name} is reclaimed (restarting for " in zkexecctl(
        fleet, "forget", lost.name
    )
    fleet.at_rest("good 2")
    said = zkexecctl(fleet, "forget", lost.name, status=1)
    assert f"{lost.name} has no turn; ann (" in said
    assert not [line for member in fleet.members for line in member.log("turn-reclaimed")]
    lost.start()
    fleet.at_rest("good 2", fleet.members)


def test_a_frozen_member(fleet: Fleet) -> None:
    """No verb waits for a frozen member; one that was forgotten by force takes its turn again."""
    fleet.options = NO_GRACE
    fleet.launch(3)
    fleet.push("slow 1")
    frozen = first_in_flight(fleet)
    frozen.freeze()
    zkexecctl(fleet, "pause", "--reason=lunch")
    zkexecctl(fleet, "resume")
    zkexecctl(fleet, "restart")
    assert f"the turn of {frozen.name} is reclaimed (" in zkexecctl(
        fleet, "forget", "--force", frozen.name
    )
    others = [member for member in fleet.members if member is not frozen]
    fleet.until(lambda: all(is_twice_born(member) for member in others), "the others go on")
    fleet.until(lambda: not fleet.in_flight(), "nobody in flight")

    frozen.thaw()
    fleet.until(lambda: len(frozen.entries("born")) == 3, "it restarts as it was asked to")
    fleet.at_rest("slow 1")
    assert [audit_entry["operation"] for audit_entry in fleet.record()["audit"]] == [
        "pause",
        "resume",
        "restart",
        "forget",
    ]


def is_twice_born(member: FleetMember) -> bool:
    """Whether a member was restarted once."""
    return len(member.entries("born")) == 2


def test_while_the_server_restarts(sandbox: Sandbox, own_zookeeper: Server) -> None:
    """A verb that finds the server away does its deed when it is back, and the group follows."""
    with (
        connected_client(own_zookeeper.hosts) as client,
        fleet_on(sandbox, client, own_zookeeper.port) as fleet,
    ):
        fleet.launch(2)
        own_zookeeper.stop(suddenly=True)
        words = (fleet.lock, f"--cluster={own_zookeeper.hosts}", "--connect-timeout=60")
        process = sandbox.start(*ZKEXECCTL, "restart", *words)
        process.until("cannot connect to")
        own_zookeeper.start()
        assert process.wait(deadline_s=PATIENCE_S) == 0
        fleet.until(lambda: births(fleet) == [2, 2], "all are restarted")
        fleet.at_rest("good 0")
        fleet.keeps_max_unavailable()
