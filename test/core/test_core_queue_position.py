"""Check that a queue node is found again after lost replies, and when the queue is listed."""

from collections.abc import Iterator
from string import ascii_lowercase

import pytest

from zkexec.core.actions import Action
from zkexec.core.rollout.group_actions import JoinQueue, LeaveQueue, ListQueue, WatchQueueNode
from zkexec.core.rollout.queue_position import QueuePosition, sequence_of


def node(ticket: str, sequence: int) -> str:
    """Return the name of a queue node."""
    return f"{ticket}-{sequence:010d}"


def queue_position() -> QueuePosition:
    """Return a queue position whose tickets are the letters."""
    letters: Iterator[str] = iter(ascii_lowercase)
    return QueuePosition(lambda: next(letters))


def request(of: QueuePosition) -> Action | None:
    """Return the next request, with the number 1."""
    build = of.next_request(lambda: None)
    return None if build is None else build(1)


def is_head(of: QueuePosition) -> bool:
    """Whether it is the head now."""
    return of.is_head


def waiting(sequence: int = 5, *before: str) -> QueuePosition:
    """Return a queue position with a node, behind these others."""
    own = queue_position()
    request(own)
    own.joined(node("a", sequence))
    own.listed((node("a", sequence), *before))
    return own


def test_the_number_of_a_queue_node() -> None:
    """The last ten digits count, whatever is before them."""
    assert sequence_of("3f0c-1-0000000042") == 42


def test_the_way_to_the_head_of_an_empty_queue() -> None:
    """A member joins, lists the queue, and is the head."""
    own = queue_position()
    assert not is_head(own)
    assert request(own) == JoinQueue(1, "a")
    own.joined(node("a", 0))
    assert request(own) == ListQueue(1)
    own.listed((node("a", 0),))
    assert own.is_head
    assert own.sequence == 0
    assert request(own) is None


def test_only_the_one_before_is_watched() -> None:
    """Of the nodes with smaller numbers only the greatest is watched."""
    own = waiting(5, node("x", 3), node("y", 1), node("z", 9))
    assert not own.is_head
    assert own.ahead == 2
    assert request(own) == WatchQueueNode(1, node("x", 3))
    own.predecessor_read("m2")
    assert request(own) is None


def test_the_predecessor_was_admitted() -> None:
    """If the predecessor was admitted, this member is the head, without another list."""
    own = waiting(5, node("x", 3))
    own.predecessor_read("m2")
    own.touched()
    assert own.unexplained
    assert request(own) is None
    own.explain(last_admitted=3)
    assert own.is_head
    assert own.ahead == 0


def test_the_predecessor_went_away_otherwise() -> None:
    """If the predecessor was not admitted, the queue is listed again."""
    own = waiting(5, node("x", 3), node("y", 1))
    own.predecessor_read(None)
    own.explain(last_admitted=2)
    assert not own.is_head
    assert request(own) == ListQueue(1)
    own.listed((node("a", 5), node("y", 1)))
    assert request(own) == WatchQueueNode(1, node("y", 1))


def test_what_needs_no_explanation() -> None:
    """The last admission has no effect while the predecessor exists."""
    own = waiting(5, node("x", 3))
    own.predecessor_read("m2")
    own.explain(last_admitted=3)
    assert not own.is_head
    head = waiting(5)
    head.touched()
    assert not head.unexplained
    assert head.is_head


def test_a_join_whose_answer_was_lost_is_found_again() -> None:
    """The node is recognized by its ticket."""
    own = queue_position()
    request(own)
    own.doubt()
    assert own.may_be_queued
    assert request(own) == ListQueue(1)
    own.listed((node("x", 3), node("a", 5)))
    assert own.name == node("a", 5)
    assert request(own) == WatchQueueNode(1, node("x", 3))


def test_a_join_that_was_never_made_is_repeated() -> None:
    """If the ticket is not found, a node is made with the same ticket."""
    own = queue_position()
    request(own)
    own.doubt()
    own.listed((node("x", 3),))
    assert not own.may_be_queued
    assert request(own) == JoinQueue(1, "a")


def test_a_deleted_node_is_made_again() -> None:
    """A member whose node was deleted joins again at the end."""
    own = waiting(5)
    own.doubt()
    own.listed(())
    assert own.name == ""
    assert request(own) == JoinQueue(1, "a")


def test_leaving() -> None:
    """The node is deleted by its name, after it was found."""
    own = waiting(5)
    assert own.leave()(1) == LeaveQueue(1, node("a", 5))
    own.doubt()
    assert own.leave()(1) == ListQueue(1)
    own.listed((node("a", 5),))
    assert own.leave()(1) == LeaveQueue(1, node("a", 5))
    own.left()
    assert not own.may_be_queued
    assert not is_head(own)


def test_a_new_session_begins_at_the_end() -> None:
    """The old node ended with the old session, and the ticket is another one."""
    own = waiting(5)
    own.begin_session()
    assert not own.may_be_queued
    assert request(own) == JoinQueue(1, "b")
    own.doubt()
    own.listed((node("a", 5),))
    assert request(own) == JoinQueue(1, "b")


def test_a_new_connection_watches_again() -> None:
    """The queue node exists in the same session, but its watch has to be set again."""
    own = waiting(5, node("x", 3))
    own.predecessor_read("m2")
    own.reconnected()
    assert request(own) == WatchQueueNode(1, node("x", 3))
    head = waiting(5)
    head.reconnected()
    assert head.is_head
    assert request(head) is None


def test_no_node_is_the_own_one_without_a_ticket() -> None:
    """Without a ticket no node is taken for the own one."""
    own = queue_position()
    own.doubt()
    own.listed((node("x", 3),))
    assert not own.may_be_queued


ARABIC_ZERO = "\u0660"


@pytest.mark.parametrize(
    "name",
    [
        "notes",
        "",
        "-0000000001",
        "0000000001",
        "x-000000001",
        "x-00000000001",
        "x--000000001",
        "x_0000000001",
        f"x-{9 * ARABIC_ZERO}1",
        "x-²²²²²²²²²²",
        "a-0000000009 ",
    ],
)
def test_what_is_no_queue_node(name: str) -> None:
    """A name that no member can have made is ignored, and returned once."""
    own = queue_position()
    request(own)
    own.joined(node("a", 5))
    assert own.listed((node("a", 5), name)) == [name]
    assert own.is_head
    assert own.listed((name, node("a", 5), node("x", 3))) == []
    assert request(own) == WatchQueueNode(1, node("x", 3))
    assert own.ahead == 1


def test_an_unknown_node_that_returns_is_new_again() -> None:
    """An unknown node that was deleted and created again is returned again."""
    own = waiting(5)
    assert own.listed((node("a", 5), "y", "x")) == ["x", "y"]
    assert own.listed((node("a", 5), "x", "z")) == ["z"]
    assert own.listed((node("a", 5), "y", "x")) == ["y"]


def test_a_node_without_a_session_is_skipped() -> None:
    """The node before it is watched instead, without another list."""
    own = waiting(5, node("x", 3), node("y", 1), node("z", 2))
    assert own.ignore(node("x", 3))
    assert request(own) == WatchQueueNode(1, node("z", 2))
    assert own.ahead == 2
    own.predecessor_read("m2")
    own.touched()
    own.explain(last_admitted=0)
    assert own.listed((node("x", 3), node("a", 5), node("y", 1))) == []
    assert request(own) == WatchQueueNode(1, node("y", 1))
    assert own.ignore(node("y", 1))
    assert own.is_head


def test_a_node_without_a_session_is_read_again_in_a_new_session() -> None:
    """It is reported only once all the same."""
    own = waiting(5, node("x", 3))
    assert own.ignore(node("x", 3))
    own.begin_session()
    request(own)
    own.joined(node("b", 7))
    own.listed((node("b", 7), node("x", 3)))
    assert request(own) == WatchQueueNode(1, node("x", 3))
    assert not own.ignore(node("x", 3))
    assert own.is_head


def test_only_a_whole_ticket_is_the_own_one() -> None:
    """A ticket that begins like the own one is another member's."""
    own = queue_position()
    request(own)
    own.doubt()
    own.listed((node("ab", 5),))
    assert not own.may_be_queued
