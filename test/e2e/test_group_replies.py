"""Replies that are lost, once at every step: what was done is found out, never assumed.

Each case runs on a server alone and on an ensemble of three.  A lost reply is followed by the
loss of the connection, as it is in life; the cases called silent leave the connection open.
"""

from collections.abc import Iterator

import pytest
from kazoo.client import KazooClient

from support.fleet import Fleet, FleetMember, fleet_on
from support.link import Kind, is_admission, is_delete, is_join, is_later_commit, is_write
from support.posted_events import connected_client
from support.sandbox import Sandbox
from support.zookeeper import Ensemble, Server

STEPS = 4
"""So many members are enrolled, of which the first makes the znodes of the group."""
TURN = (is_join, is_admission, is_later_commit)
"""The writes of a turn; a step that is short is not published."""


@pytest.fixture(scope="module")
def three() -> Iterator[Ensemble]:
    """One ensemble for all tests of this file."""
    ensemble = Ensemble(3)
    try:
        ensemble.start()
        yield ensemble
    finally:
        ensemble.close()


@pytest.fixture(params=["alone", "three"])
def fleet(request: pytest.FixtureRequest, sandbox: Sandbox) -> Iterator[Fleet]:
    """A fleet on a server alone, or on an ensemble."""
    name = "three" if request.param == "three" else "zookeeper"
    servers: Ensemble | Server = request.getfixturevalue(name)
    each = servers.servers if isinstance(servers, Ensemble) else [servers]
    with connected_client(servers.hosts) as client:
        assert isinstance(client, KazooClient)
        with fleet_on(sandbox, client, *(server.port for server in each)) as one:
            yield one


def lose(fleet: Fleet, member: FleetMember, kind: Kind, *, skip: int = 0, cut: bool = True) -> None:
    """Push new content, lose one reply to this member on the way, and see everybody restarted."""
    content = f"good {len(fleet.journal.of_all('born'))}"
    lost = member.link.lose_reply(kind, skip=skip, cut=cut)
    fleet.push(content)
    fleet.at_rest(content)
    assert lost.is_set(), f"no such request of {member.name}\n{fleet.story()}"


def test_any_reply_of_a_turn_is_lost(fleet: Fleet) -> None:
    """Whichever reply of its turn a member misses, the turn is taken once and given back."""
    fleet.launch(3)

    for skip in range(len(TURN)):
        lose(fleet, fleet[skip], is_write, skip=skip)

    fleet.keeps_max_unavailable()
    assert [len(member.entries("born")) for member in fleet.members] == [1 + len(TURN)] * 3


def test_a_reply_is_lost_silently(fleet: Fleet) -> None:
    """A reply that never comes on a connection that goes on is given up as well."""
    fleet.launch(3)

    for member, kind in zip(fleet.members, TURN, strict=True):
        lose(fleet, member, kind, cut=False)

    fleet.keeps_max_unavailable()


def test_the_reply_to_leaving_the_queue_is_lost(fleet: Fleet) -> None:
    """A queue node whose deletion was not confirmed holds up nobody afterwards."""
    fleet.launch(3)

    fleet.push("unhealthy 1")
    fleet.failing("unhealthy 1")
    fleet.until(lambda: len(fleet.queued()) == 2, "the others wait")
    waiting = [member for member in fleet.members if member.name in fleet.queued()]
    lost = [member.link.lose_reply(is_delete) for member in waiting]
    fleet.push("good 0")
    fleet.at_rest("good 0")
    assert all(each.is_set() for each in lost)
    fleet.push("good 2")
    fleet.at_rest("good 2")

    fleet.keeps_max_unavailable()


def test_a_reply_of_the_enrolment_is_lost(fleet: Fleet) -> None:
    """Whichever reply is lost while the group and its members' nodes are made, all start."""
    fleet.push("good 0")
    for step in range(STEPS):
        member = fleet.add()
        lost = member.link.lose_reply(is_write, skip=step if step < 2 else 0, cut=step < 3)
        member.start()
        member.until(lost.is_set, "a reply is lost")
        fleet.at_rest("good 0")
    fleet.push("good 1")
    fleet.at_rest("good 1")

    fleet.keeps_max_unavailable()


def test_every_connection_breaks_at_every_admission(fleet: Fleet) -> None:
    """Lost replies of all members in the same rollout change nothing for the group."""
    fleet.launch(3)

    for number in (1, 2):
        lost = [member.link.lose_reply(is_admission) for member in fleet.members]
        fleet.push(f"good {number}")
        fleet.at_rest(f"good {number}")
        assert all(each.is_set() for each in lost)

    fleet.keeps_max_unavailable()
