"""Check that a member takes no turn if its own node or its queue node is refused."""

from core.records import limit
from core.turn_harness import QUEUE_NUMBER, TurnHarness, entry_of, snapshot
from zkexec.core.rollout.group_actions import (
    CommitRecord,
    Enrol,
    FindQueueNode,
    JoinQueue,
    LeaveQueue,
    ReadRecord,
)
from zkexec.core.rollout.group_events import GroupPart, GroupTouched
from zkexec.core.rollout.record import RolloutRecord


def _keep_out(harness: TurnHarness) -> None:
    """Refuse the own node twice in a row."""
    assert isinstance(harness.happen(GroupTouched(GroupPart.OWN_NODE)), Enrol)
    assert harness.forbidden() is None
    assert isinstance(harness.tick(1), Enrol)
    assert harness.forbidden() is None
    assert harness.notes == ["group-trouble"]


def test_a_member_without_its_own_node_leaves_the_queue() -> None:
    """It delays no other member, tries again every ten seconds, and queues once it may."""
    harness = TurnHarness()
    harness.begin()
    harness.request("b@2")
    harness.queue_joined()
    harness.nodes_read()
    _keep_out(harness)
    assert harness.tick(1) == LeaveQueue(harness.number, QUEUE_NUMBER)
    assert isinstance(harness.queue_left(), Enrol)
    assert harness.forbidden() is None
    assert harness.turn.deadline == harness.now + 10
    assert isinstance(harness.tick(10), Enrol)
    assert harness.forbidden() is None
    assert harness.notes == []
    assert isinstance(harness.tick(10), Enrol)
    assert isinstance(harness.enrolled(), ReadRecord)
    assert isinstance(harness.read(), JoinQueue)


def test_one_refusal_keeps_the_queue_node() -> None:
    """A refusal that does not last is repeated soon, and the member stays in the queue."""
    harness = TurnHarness()
    harness.begin()
    harness.request("b@2")
    harness.queue_joined()
    harness.nodes_read()
    assert isinstance(harness.happen(GroupTouched(GroupPart.OWN_NODE)), Enrol)
    harness.forbidden()
    assert isinstance(harness.tick(1), Enrol)
    assert isinstance(harness.enrolled(), ReadRecord)
    assert harness.read() is None


def test_a_refused_queue_node_is_tried_again_later() -> None:
    """The permission may be given at any time, and no watch reports it."""
    harness = TurnHarness()
    harness.begin()
    assert isinstance(harness.request("b@2"), JoinQueue)
    harness.forbidden("/queue: no permission")
    assert isinstance(harness.tick(1), Enrol)
    assert isinstance(harness.enrolled(), FindQueueNode)
    assert isinstance(harness.found(None), ReadRecord)
    assert isinstance(harness.read(), JoinQueue)
    harness.forbidden("/queue: no permission")
    assert harness.notes == ["group-trouble"]
    assert harness.turn.deadline == harness.now + 10


def test_a_member_without_its_own_node_ends_its_turn() -> None:
    """Its success is recorded all the same, and the turn is released."""
    harness = TurnHarness()
    harness.begin()
    harness.take()
    _keep_out(harness)
    harness.succeed(snapshot("b@2"))
    commit = harness.tick(10)
    if isinstance(commit, ReadRecord):
        commit = harness.read(
            RolloutRecord({"m1": entry_of("b@2", "a")}, max_unavailable=limit(1)), 5
        )
    assert isinstance(commit, CommitRecord)
    assert commit.after.in_flight == {}
    assert isinstance(harness.committed(), Enrol)
