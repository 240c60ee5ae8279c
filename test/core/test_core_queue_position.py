"""Check that a queue node is found again after lost replies, and when the queue is listed."""

import pytest

from core.records import entry
from zkexec.core.actions import Action
from zkexec.core.rollout.group_actions import (
    FindQueueNode,
    JoinQueue,
    LeaveQueue,
    ListQueue,
    RenewQueueNode,
    Watch,
    WatchQueueNodes,
)
from zkexec.core.rollout.queue_position import QueuePosition
from zkexec.core.rollout.queued_member import QueuedMember, queue_name, queue_number
from zkexec.core.rollout.record import ActingHead, RolloutRecord
from zkexec.frozen import replace

QUEUED = QueuedMember("m1", "a", "digest")
OTHER = replace(QUEUED, digest="another digest")
NEXT = QueuedMember("m1", "b", "digest")


def request(of: QueuePosition, queued: QueuedMember = QUEUED) -> Action | None:
    """Return the next request, with the number 1."""
    build = of.next_request(queued, lambda: None)
    return None if build is None else build(1)


def is_head(of: QueuePosition) -> bool:
    """Whether it is the head now."""
    return of.is_head


def is_waiting(of: QueuePosition) -> bool:
    """Whether another node is before it now."""
    return of.is_waiting


def before(of: QueuePosition) -> int | None:
    """Return the number of the node that it waits for now."""
    return of.before


def is_unexplained(of: QueuePosition) -> bool:
    """Whether a node is gone without an explanation."""
    return of.unexplained


def watch_of(of: QueuePosition) -> Watch:
    """Return what the read that explains a missing node is to watch."""
    return of.watch_to_explain


def nodes_read(
    of: QueuePosition, *, own: bool = True, there: bool = True, left_over: bool = False
) -> int | None:
    """Note which of the two nodes exist; return one that belongs to no session."""
    return of.nodes_read(is_own_there=own, is_before_there=there, is_left_over=left_over)


def record(
    last_admitted: int = -1, head: int | None = None, *, under: str | None = None
) -> RolloutRecord:
    """Return a record with a last admission, an acting head, or an entry of this member."""
    acting = None if head is None else ActingHead("m9", head)
    flying = {} if under is None else {"m1": entry("b@2", under)}
    return RolloutRecord(in_flight=flying, last_admitted=last_admitted, head=acting)


def waiting(number: int = 5) -> QueuePosition:
    """Return a queue position with a node, of which both watches are set."""
    own = QueuePosition()
    request(own)
    own.joined(number)
    request(own)
    nodes_read(own)
    return own


def test_the_name_of_a_queue_node() -> None:
    """The ensemble appends ten digits; any other name is of no member."""
    assert queue_name(42) == "q-0000000042"
    assert queue_number("q-0000000042") == 42


ARABIC_ZERO = "\u0660"


@pytest.mark.parametrize(
    "name",
    [
        "notes",
        "",
        "q-",
        "0000000001",
        "q-000000001",
        "q-00000000001",
        "x-0000000001",
        "q_0000000001",
        "q-0000000009 ",
        f"q-{9 * ARABIC_ZERO}1",
        "q-²²²²²²²²²²",
        "q--000000001",
        "q-+000000001",
    ],
)
def test_what_is_no_queue_node(name: str) -> None:
    """A name that no member can have made has no number."""
    assert queue_number(name) is None


def test_the_way_to_the_head_of_an_empty_queue() -> None:
    """The first number is 0: the member watches its own node only, and is the head."""
    own = QueuePosition()
    assert not is_head(own)
    assert request(own) == JoinQueue(1, QUEUED)
    own.joined(0)
    assert request(own) == WatchQueueNodes(1, 0, 0)
    nodes_read(own)
    assert own.is_head
    assert not own.is_waiting
    assert request(own) is None


def test_only_the_node_before_is_watched() -> None:
    """The node before is the one with the number before, which no listing has to show."""
    own = QueuePosition()
    request(own)
    own.joined(5)
    assert request(own) == WatchQueueNodes(1, 5, 4)
    nodes_read(own)
    assert not is_head(own)
    assert own.is_waiting
    assert own.before == 4
    assert request(own) is None


def test_the_predecessor_was_admitted() -> None:
    """If the predecessor was admitted as the head, this member is the head, without a listing."""
    own = waiting()
    own.touched(is_own=False)
    assert is_unexplained(own)
    assert not own.is_head
    assert not own.is_waiting
    assert own.watch_to_explain is Watch.ROOM
    assert request(own) is None
    own.explain(record(last_admitted=4))
    assert is_head(own)
    assert not is_unexplained(own)


def test_a_head_admits_the_others() -> None:
    """If the predecessor was admitted by a head that stays, this member waits for that head."""
    own = waiting()
    own.touched(is_own=False)
    own.explain(record(head=2))
    assert not own.is_head
    assert own.waits_for_acting_head
    assert request(own) == WatchQueueNodes(1, 5, 2, is_own_watched=True)
    nodes_read(own)
    assert own.is_waiting
    own.touched(is_own=False)
    assert own.watch_to_explain is Watch.NOTHING
    own.explain(record(last_admitted=2))
    assert request(own) == ListQueue(1)


def test_an_acting_head_goes_away() -> None:
    """The members that waited for it list the queue, unless another head acts before them."""
    own = waiting()
    own.touched(is_own=False)
    own.explain(record(head=2))
    nodes_read(own)
    own.touched(is_own=False)
    own.explain(record(head=3))
    assert request(own) == WatchQueueNodes(1, 5, 3, is_own_watched=True)
    nodes_read(own, there=False)
    own.explain(record(head=3))
    assert request(own) == ListQueue(1)
    own.listed((5, 6), ())
    assert own.is_head
    assert not own.waits_for_acting_head


@pytest.mark.parametrize("found", [record(2), record(), record(2, head=4), record(2, head=8)])
def test_the_predecessor_went_away_otherwise(found: RolloutRecord) -> None:
    """If nothing explains it, the queue is listed: not a head that is gone itself, or is behind."""
    own = waiting()
    request(own)
    nodes_read(own, there=False)
    own.touched(is_own=False)
    own.explain(found)
    assert not own.is_head
    assert request(own) == ListQueue(1)
    own.listed((5, 1, 9), ())
    assert request(own) == WatchQueueNodes(1, 5, 1, is_own_watched=True)


def test_the_predecessor_is_gone_before_it_is_watched() -> None:
    """The record explains it, as if its watch had fired."""
    own = QueuePosition()
    request(own)
    own.joined(5)
    request(own)
    nodes_read(own, there=False)
    assert own.unexplained
    assert own.watch_to_explain is Watch.ROOM
    own.explain(record(last_admitted=4))
    assert own.is_head


def test_a_watch_that_fires_before_its_answer() -> None:
    """The predecessor existed when it was read, and is gone by now."""
    own = QueuePosition()
    request(own)
    own.joined(5)
    request(own)
    own.touched(is_own=False)
    nodes_read(own)
    assert own.unexplained
    own.explain(record(last_admitted=4))
    assert own.is_head


def test_the_own_node_is_gone_with_an_admission() -> None:
    """The record has the token of the node, so there is nothing to search for."""
    own = waiting()
    own.touched(is_own=True)
    assert own.unexplained
    assert watch_of(own) is Watch.NOTHING
    assert not own.is_waiting
    own.explain(record(last_admitted=4, under="a"))
    assert not is_unexplained(own)
    assert not own.may_be_queued
    assert request(own, NEXT) == JoinQueue(1, NEXT)


@pytest.mark.parametrize("found", [record(last_admitted=4), record(under="another")])
def test_the_own_node_seems_to_be_gone(found: RolloutRecord) -> None:
    """A watch is a hint: without a turn the node is searched for, and a second one is not made."""
    own = waiting()
    own.touched(is_own=True)
    own.explain(found)
    assert own.may_be_queued
    assert request(own) == FindQueueNode(1, "a")
    own.found(5)
    assert request(own) == WatchQueueNodes(1, 5, 4)
    own.touched(is_own=True)
    own.explain(found)
    own.found(None)
    assert request(own) == JoinQueue(1, QUEUED)


def test_the_own_node_is_gone_before_it_is_watched() -> None:
    """The same if a read of the nodes or a listing shows it."""
    own = QueuePosition()
    request(own)
    own.joined(5)
    request(own)
    nodes_read(own, own=False)
    own.explain(record(under="a"))
    assert own.number is None
    listed = waiting()
    listed.touched(is_own=False)
    listed.explain(record())
    listed.listed((3, 7), ())
    assert listed.unexplained
    listed.explain(record())
    assert request(listed) == FindQueueNode(1, "a")


def test_a_late_watch_of_a_node_that_is_gone() -> None:
    """After the member has left the queue no watch has an effect."""
    own = waiting()
    own.left()
    own.touched(is_own=True)
    own.touched(is_own=False)
    own.explain(record())
    assert not own.unexplained
    assert request(own) == JoinQueue(1, QUEUED)


def test_what_needs_no_explanation() -> None:
    """The last admission has no effect while the predecessor exists."""
    own = waiting()
    own.explain(record(last_admitted=4))
    assert not own.is_head


def test_another_wanted_version_renews_the_node() -> None:
    """The node keeps its place, and shows from then on what another member admits this one to."""
    own = waiting()
    assert request(own, OTHER) == RenewQueueNode(1, 5, OTHER)
    assert request(own, OTHER) is None
    assert own.is_waiting
    assert request(own) == RenewQueueNode(1, 5, QUEUED)


def test_a_node_that_may_not_be_renewed_is_renewed_again() -> None:
    """The answer was lost, so the node may still show the former version."""
    own = waiting()
    assert request(own, OTHER) == RenewQueueNode(1, 5, OTHER)
    own.doubt_content()
    assert request(own, OTHER) == FindQueueNode(1, "a")
    own.found(5)
    assert request(own, OTHER) == RenewQueueNode(1, 5, OTHER)
    assert request(own, OTHER) is None
    assert own.is_waiting


def test_a_join_whose_answer_was_lost_is_found_again() -> None:
    """The node is recognized by the token in it."""
    own = QueuePosition()
    request(own)
    own.doubt()
    assert own.may_be_queued
    assert request(own) == FindQueueNode(1, "a")
    own.found(5)
    assert own.number == 5
    assert request(own) == WatchQueueNodes(1, 5, 4)


def test_a_join_that_was_never_made_is_repeated() -> None:
    """If no node has the token, one is made."""
    own = QueuePosition()
    request(own)
    own.doubt()
    own.found(None)
    assert not own.may_be_queued
    assert request(own) == JoinQueue(1, QUEUED)


def test_a_node_that_is_found_where_it_was_is_as_before() -> None:
    """Its watches are still set, and its place in the queue is known."""
    own = waiting()
    own.doubt()
    assert not own.is_waiting
    assert request(own) == FindQueueNode(1, "a")
    own.found(5)
    assert own.is_waiting
    assert request(own) is None


def test_a_doubt_about_a_node_of_an_earlier_turn() -> None:
    """The search is for the newest token that a node of this member may have."""
    own = QueuePosition()
    request(own)
    own.doubt()
    own.doubt()
    assert request(own, NEXT) == FindQueueNode(1, "a")
    own.found(None)
    assert request(own, NEXT) == JoinQueue(1, NEXT)
    own.doubt()
    assert request(own, NEXT) == FindQueueNode(1, "b")


def test_there_is_nothing_to_doubt_before_the_first_node() -> None:
    """A member that has never sent a request for a node has none."""
    own = QueuePosition()
    own.doubt()
    assert not own.may_be_queued


def test_leaving() -> None:
    """The node is deleted by its number, after it was found."""
    own = waiting()
    assert own.leave()(1) == LeaveQueue(1, 5)
    own.doubt()
    assert own.leave()(1) == FindQueueNode(1, "a")
    own.found(5)
    assert own.leave()(1) == LeaveQueue(1, 5)
    own.left()
    assert not own.may_be_queued
    assert not is_head(own)
    assert not is_waiting(own)


def test_a_new_session_begins_at_the_end() -> None:
    """The old node ended with the old session."""
    own = waiting()
    own.doubt()
    own.begin_session()
    assert not own.may_be_queued
    assert request(own) == JoinQueue(1, QUEUED)


def test_a_new_connection_watches_again() -> None:
    """The queue node exists in the same session, but both watches have to be set again."""
    own = waiting()
    own.reconnected()
    assert request(own) == WatchQueueNodes(1, 5, 4)
    head = waiting(0)
    head.reconnected()
    assert request(head) == WatchQueueNodes(1, 0, 0)


def test_unknown_names_are_new_once() -> None:
    """A name that no member has made is returned once, and again after it was deleted."""
    own = waiting()
    assert own.listed((5,), ("y", "x")) == ["x", "y"]
    assert own.listed((5,), ("x", "z")) == ["z"]
    assert own.listed((5,), ("y", "x")) == ["y"]


def test_a_node_without_a_session_is_skipped() -> None:
    """It is reported once, and the node before it is watched instead."""
    own = QueuePosition()
    request(own)
    own.joined(5)
    request(own)
    assert nodes_read(own, left_over=True) == 4
    assert not own.is_waiting
    assert request(own) == ListQueue(1)
    own.listed((5, 4, 1), ())
    assert request(own) == WatchQueueNodes(1, 5, 1, is_own_watched=True)
    assert nodes_read(own, left_over=True) == 1
    own.listed((5, 4, 1), ())
    assert is_head(own)


def test_a_node_without_a_session_that_was_deleted() -> None:
    """A node with the same number, as after a restore from a dump, is read again."""
    own = waiting()
    own.touched(is_own=False)
    own.explain(record())
    own.listed((5, 3), ())
    assert nodes_read(own, left_over=True) == 3
    own.listed((5,), ())
    assert is_head(own)
    own.listed((5, 3), ())
    assert before(own) == 3
    assert nodes_read(own, left_over=True) == 3


def test_a_node_without_a_session_is_read_again_in_a_new_session() -> None:
    """The history may be another one."""
    own = waiting()
    assert nodes_read(own, left_over=True) == 4
    own.begin_session()
    request(own)
    own.joined(5)
    assert nodes_read(own, left_over=True) == 4


def test_a_head_behind_this_member_acts() -> None:
    """A member that comes first waits for an acting head behind it, until its node is gone."""
    own = waiting(0)
    defer = own.defer_to(3)
    assert defer is not None
    assert defer(1) == WatchQueueNodes(1, 0, 3, is_own_watched=True)
    nodes_read(own)
    assert not own.is_head
    assert own.is_waiting
    assert own.waits_for_acting_head
    own.touched(is_own=False)
    own.explain(record())
    assert request(own) == ListQueue(1)
    own.listed((0,), ())
    assert own.is_head


def test_a_head_behind_this_member_that_is_gone() -> None:
    """It is not waited for twice; nor is one before this member, which a listing would show."""
    own = waiting(5)
    assert own.defer_to(3) is None
    assert own.defer_to(5) is None
    assert own.defer_to(8) is not None
    nodes_read(own, there=False)
    own.explain(record(head=8))
    own.listed((5,), ())
    assert own.is_head
    assert own.defer_to(8) is None
    assert QueuePosition().defer_to(8) is None
