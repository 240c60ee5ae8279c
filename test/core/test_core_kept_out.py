"""A member whose own node, or whose place in the queue, is refused to it takes no turn."""

from core.records import width
from core.turn_harness import PLACE, TurnHarness, entry_of, snapshot
from zkexec.core.rollout.group_actions import (
    CommitRecord,
    Enrol,
    JoinQueue,
    LeaveQueue,
    ListQueue,
    ReadRecord,
)
from zkexec.core.rollout.group_events import GroupPart, GroupTouched
from zkexec.core.rollout.record import RolloutRecord


def _keep_out(harness: TurnHarness) -> None:
    """The own node is refused, twice in a row."""
    assert isinstance(harness.handle(GroupTouched(GroupPart.OWN_NODE)), Enrol)
    assert harness.forbidden() is None
    assert isinstance(harness.tick(1), Enrol)
    assert harness.forbidden() is None
    assert harness.notes == ["group-trouble"]


def test_who_is_refused_its_own_node_leaves_the_queue() -> None:
    """It stands in nobody's way, tries again every ten seconds, and queues when it may."""
    harness = TurnHarness()
    harness.begin()
    harness.ask("b@2")
    harness.queue_joined()
    harness.listed("x-0000000004", PLACE)
    harness.seen("m2")
    _keep_out(harness)
    assert harness.tick(1) == LeaveQueue(harness.number, PLACE)
    assert isinstance(harness.queue_left(), Enrol)
    assert harness.forbidden() is None
    assert harness.turn.deadline == harness.now + 10
    assert isinstance(harness.tick(10), Enrol)
    assert harness.forbidden() is None
    assert harness.notes == []
    assert isinstance(harness.tick(10), Enrol)
    assert isinstance(harness.enrolled(), ReadRecord)
    assert isinstance(harness.read(), JoinQueue)


def test_one_refusal_costs_no_place() -> None:
    """What does not last, as where others change the node all the time, is tried again soon."""
    harness = TurnHarness()
    harness.begin()
    harness.ask("b@2")
    harness.queue_joined()
    harness.listed("x-0000000004", PLACE)
    harness.seen("m2")
    assert isinstance(harness.handle(GroupTouched(GroupPart.OWN_NODE)), Enrol)
    harness.forbidden()
    assert isinstance(harness.tick(1), Enrol)
    assert isinstance(harness.enrolled(), ReadRecord)
    assert harness.read() is None


def test_who_is_refused_a_place_in_the_queue_tries_again_later() -> None:
    """The permission may be given at any time, and nothing tells of it."""
    harness = TurnHarness()
    harness.begin()
    assert isinstance(harness.ask("b@2"), JoinQueue)
    harness.forbidden("/queue: no permission")
    assert isinstance(harness.tick(1), Enrol)
    assert isinstance(harness.enrolled(), ListQueue)
    assert isinstance(harness.listed(), JoinQueue)
    harness.forbidden("/queue: no permission")
    assert harness.notes == ["group-trouble"]
    assert harness.turn.deadline == harness.now + 10


def test_who_is_refused_its_own_node_in_its_turn_ends_it() -> None:
    """What is proven is told all the same, and the turn given on."""
    harness = TurnHarness()
    harness.begin()
    harness.take()
    _keep_out(harness)
    harness.turn.prove(snapshot("b@2"))
    commit = harness.tick(10)
    if isinstance(commit, ReadRecord):
        commit = harness.read(
            RolloutRecord({"m1": entry_of("b@2", "b")}, max_unavailable=width(1)), 5
        )
    assert isinstance(commit, CommitRecord)
    assert commit.record.in_flight == {}
    assert isinstance(harness.committed(), Enrol)
