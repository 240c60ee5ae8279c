"""Groups in which many may be in flight: the head of the queue admits others, in batches.

A content that all have run before is known good with many successes.  So a rollout that brings it
back is as wide as it may be from the start.  While the gate is closed, no member ends its turn.
"""

import json
from collections.abc import Callable, Iterator

import pytest
from kazoo.client import KazooClient

from e2e.fleet_events import FirstRequest
from support.fleet import SLOW_TO_FAIL, Fleet, FleetMember, fleet_on
from support.link import is_admission
from support.proxy import Request
from support.sandbox import Sandbox
from support.zookeeper import Server

WIDTH = 17
"""The smallest limit with which a member admits others."""
MEMBERS = 20
# Many members start slowly on few processors, and must not lose their sessions for that.
PATIENT = (
    *SLOW_TO_FAIL,
    "--session-timeout=6",
    "--health-interval=3",
    "--kill-timeout=5",
    f"--max-unavailable={WIDTH}",
)


@pytest.fixture
def fleet(sandbox: Sandbox, client: KazooClient, zookeeper: Server) -> Iterator[Fleet]:
    """A fleet at rest that has run `gated 1` before, with the gate closed."""
    with fleet_on(sandbox, client, zookeeper.port) as one:
        one.options = PATIENT
        one.launch(MEMBERS)
        one.open_gate()
        for content in ("gated 1", "good 0"):
            one.push(content)
            one.at_rest(content)
        one.close_gate()
        yield one
        one.keeps_max_unavailable(WIDTH)


def admitted(fleet: Fleet) -> int:
    """How many members were admitted by others so far."""
    lines = [line for member in fleet.members for line in member.log("members-admitted")]
    return sum(line["members"] for line in lines)


def until_full(fleet: Fleet) -> None:
    """Wait until as many members are in flight as may be."""
    fleet.until(lambda: len(fleet.in_flight()) == WIDTH, "as many as may be are in flight")


def test_a_member_that_is_admitted_by_another(fleet: Fleet) -> None:
    """It takes up its turn, and confirms it before it stops its command."""
    before = {member.name: len(member.log("turn-confirmed")) for member in fleet.members}

    fleet.push("gated 1")
    until_full(fleet)
    fleet.open_gate()
    fleet.at_rest("gated 1")

    assert admitted(fleet)
    confirmed = [m for m in fleet.members if len(m.log("turn-confirmed")) > before[m.name]]
    assert confirmed
    events = ("admitted", "turn-confirmed", "restarting", "turn-released")
    for member in confirmed:
        order = [line["event"] for line in member.log() if line["event"] in events]
        assert order[-4:] == list(events), member.name
    assert {len(member.entries("born")) for member in fleet.members} == {4}


def test_queue_nodes_that_no_member_can_have_made(fleet: Fleet) -> None:
    """What others have put into the queue is left out of a batch, and holds no member up."""
    hostile = {
        "garbage": b"\x00\xff",
        "a path": queued(member="../m9"),
        "no token": queued(token=""),
        "deep": b"[" * 100_000,
        "an earlier format": b"m3",
    }
    fleet.push("gated 1")
    until_full(fleet)
    fleet.until(lambda: len(fleet.children("queue")) == MEMBERS - WIDTH, "the others wait")
    made = [
        fleet.client.create(
            f"/zkexec/{fleet.lock}/queue/q-", content, ephemeral=True, sequence=True
        )
        for content in hostile.values()
    ]
    fleet.open_gate()
    fleet.all_run("gated 1", fleet.members)
    fleet.push("good 2")
    fleet.until(lambda: len(fleet.queued()) > MEMBERS - WIDTH, "members wait behind them")
    for path in made:
        fleet.client.delete(path)
    fleet.at_rest("good 2")

    assert len(fleet.living()) == MEMBERS


def queued(**changes: object) -> bytes:
    """The content of a queue node."""
    usual = {"format": 2, "member": "m9", "token": "t", "digest": "d"}
    return json.dumps({**usual, **changes}).encode()


def is_batch(request: Request) -> bool:
    """Whether a request admits several members."""
    return is_admission(request) and request.body.count(b"/queue/q-") > 1


def kill(member: FleetMember) -> None:
    """Kill the head."""
    member.kill()


def freeze(member: FleetMember) -> None:
    """Stop the head as by Ctrl-Z."""
    member.freeze()


def cut_off(member: FleetMember) -> None:
    """Let nothing through between the head and its server."""
    member.link.black_hole()


def come_back(fleet: Fleet, head: FleetMember) -> None:
    """Let the head go on, whatever was done to it."""
    if not head.is_running():
        head.start()
    head.thaw()
    head.link.heal()
    fleet.at_rest("gated 1")


@pytest.mark.parametrize("act", [kill, freeze, cut_off])
def test_the_head_is_lost_when_it_admits_others(
    fleet: Fleet, act: Callable[[FleetMember], None]
) -> None:
    """The next in the queue goes on, no turn is lost for good, and the head joins in again."""
    first = FirstRequest(fleet, is_batch, act)
    fleet.push("gated 1")
    head = first.member()
    others = [member for member in fleet.members if member is not head]
    fleet.until(lambda: head.name not in fleet.children("members"), "its session ends")
    fleet.open_gate()
    fleet.all_run("gated 1", others)
    fleet.until(lambda: not set(fleet.in_flight()) - {head.name}, "the others are done")

    come_back(fleet, head)
    assert not fleet.has_failure()


@pytest.mark.parametrize("act", [kill, freeze, cut_off])
def test_the_head_is_lost_while_others_wait_for_room(
    fleet: Fleet, act: Callable[[FleetMember], None]
) -> None:
    """If the head of a full group is lost, the next one admits the others when there is room."""
    fleet.push("gated 1")
    until_full(fleet)
    fleet.until(lambda: len(fleet.children("queue")) == MEMBERS - WIDTH, "the others wait")
    head = fleet.named(min(fleet.stored.queued().items(), key=lambda item: item[1])[0])
    act(head)
    others = [member for member in fleet.members if member is not head]
    fleet.until(lambda: head.name not in fleet.children("members"), "its session ends")
    fleet.open_gate()
    fleet.all_run("gated 1", others)

    come_back(fleet, head)
    assert not fleet.has_failure()
