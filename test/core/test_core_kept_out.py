"""A member whose own node, or whose place in the queue, is refused to it takes no turn."""

from core.records import width
from core.talk import PLACE, Talk, entry_of, snapshot
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


def _keep_out(talk: Talk) -> None:
    """The own node is refused, twice in a row."""
    assert isinstance(talk.tell(GroupTouched(GroupPart.OWN_NODE)), Enrol)
    assert talk.forbidden() is None
    assert isinstance(talk.tick(1), Enrol)
    assert talk.forbidden() is None
    assert talk.notes == ["group-trouble"]


def test_who_is_refused_its_own_node_leaves_the_queue() -> None:
    """It stands in nobody's way, tries again every ten seconds, and queues when it may."""
    talk = Talk()
    talk.begin()
    talk.ask("b@2")
    talk.queue_joined()
    talk.listed("x-0000000004", PLACE)
    talk.seen("m2")
    _keep_out(talk)
    assert talk.tick(1) == LeaveQueue(talk.number, PLACE)
    assert isinstance(talk.queue_left(), Enrol)
    assert talk.forbidden() is None
    assert talk.turn.deadline == talk.now + 10
    assert isinstance(talk.tick(10), Enrol)
    assert talk.forbidden() is None
    assert talk.notes == []
    assert isinstance(talk.tick(10), Enrol)
    assert isinstance(talk.enrolled(), ReadRecord)
    assert isinstance(talk.read(), JoinQueue)


def test_one_refusal_costs_no_place() -> None:
    """What does not last, as where others change the node all the time, is tried again soon."""
    talk = Talk()
    talk.begin()
    talk.ask("b@2")
    talk.queue_joined()
    talk.listed("x-0000000004", PLACE)
    talk.seen("m2")
    assert isinstance(talk.tell(GroupTouched(GroupPart.OWN_NODE)), Enrol)
    talk.forbidden()
    assert isinstance(talk.tick(1), Enrol)
    assert isinstance(talk.enrolled(), ReadRecord)
    assert talk.read() is None


def test_who_is_refused_a_place_in_the_queue_tries_again_later() -> None:
    """The permission may be given at any time, and nothing tells of it."""
    talk = Talk()
    talk.begin()
    assert isinstance(talk.ask("b@2"), JoinQueue)
    talk.forbidden("/queue: no permission")
    assert isinstance(talk.tick(1), Enrol)
    assert isinstance(talk.enrolled(), ListQueue)
    assert isinstance(talk.listed(), JoinQueue)
    talk.forbidden("/queue: no permission")
    assert talk.notes == ["group-trouble"]
    assert talk.turn.deadline == talk.now + 10


def test_who_is_refused_its_own_node_in_its_turn_ends_it() -> None:
    """What is proven is told all the same, and the turn given on."""
    talk = Talk()
    talk.begin()
    talk.take()
    _keep_out(talk)
    talk.turn.prove(snapshot("b@2"))
    commit = talk.tick(10)
    if isinstance(commit, ReadRecord):
        commit = talk.read(RolloutRecord({"m1": entry_of("b@2", "b")}, max_unavailable=width(1)), 5)
    assert isinstance(commit, CommitRecord)
    assert commit.record.in_flight == {}
    assert isinstance(talk.committed(), Enrol)
