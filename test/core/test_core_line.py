"""A member's place in the queue: found again after lost replies, and handed over without a list."""

from collections.abc import Iterator
from string import ascii_lowercase

import pytest

from zkexec.core.actions import Action
from zkexec.core.rollout.group_actions import JoinQueue, LeaveQueue, ListQueue, WatchQueueNode
from zkexec.core.rollout.queue_position import QueuePosition, sequence_of


def node(ticket: str, sequence: int) -> str:
    """The name of a queue node."""
    return f"{ticket}-{sequence:010d}"


def line() -> QueuePosition:
    """A line whose tickets are the letters."""
    letters: Iterator[str] = iter(ascii_lowercase)
    return QueuePosition(lambda: next(letters))


def request(of: QueuePosition) -> Action | None:
    """What is asked next, under the number 1."""
    build = of.next_request(lambda: None)
    return None if build is None else build(1)


def waiting(sequence: int = 5, *before: str) -> QueuePosition:
    """A line with a node, behind these others."""
    own = line()
    request(own)
    own.joined(node("a", sequence))
    own.listed((node("a", sequence), *before))
    return own


def test_the_number_of_a_queue_node() -> None:
    """The last ten digits count, whatever is before them."""
    assert sequence_of("3f0c-1-0000000042") == 42


def test_the_way_to_the_head_of_an_empty_queue() -> None:
    """Join, list, and be the head."""
    own = line()
    assert not own.is_head
    assert request(own) == JoinQueue(1, "a")
    own.joined(node("a", 0))
    assert request(own) == ListQueue(1)
    own.listed((node("a", 0),))
    assert own.is_head
    assert own.sequence == 0
    assert request(own) is None


def test_only_the_one_before_is_watched() -> None:
    """Of those with smaller numbers the greatest is looked at; those behind do not matter."""
    own = waiting(5, node("x", 3), node("y", 1), node("z", 9))
    assert not own.is_head
    assert own.ahead == 2
    assert request(own) == WatchQueueNode(1, node("x", 3))
    own.seen("m2")
    assert request(own) is None


def test_the_predecessor_was_admitted() -> None:
    """It was the head, so this member is the head now, without another list."""
    own = waiting(5, node("x", 3))
    own.seen("m2")
    own.touched()
    assert own.unexplained
    assert request(own) is None
    own.explain(last_admitted=3)
    assert own.is_head
    assert own.ahead == 0


def test_the_predecessor_went_away_otherwise() -> None:
    """Somebody may have been before it, so the queue is listed again."""
    own = waiting(5, node("x", 3), node("y", 1))
    own.seen(None)
    own.explain(last_admitted=2)
    assert not own.is_head
    assert request(own) == ListQueue(1)
    own.listed((node("a", 5), node("y", 1)))
    assert request(own) == WatchQueueNode(1, node("y", 1))


def test_what_needs_no_explanation() -> None:
    """The record's last admission means nothing while the predecessor is there."""
    own = waiting(5, node("x", 3))
    own.seen("m2")
    own.explain(last_admitted=3)
    assert not own.is_head
    head = waiting(5)
    head.touched()
    assert not head.unexplained
    assert head.is_head


def test_a_join_whose_answer_was_lost_is_found_again() -> None:
    """The node is recognized by its ticket."""
    own = line()
    request(own)
    own.lost()
    assert own.may_be_in
    assert request(own) == ListQueue(1)
    own.listed((node("x", 3), node("a", 5)))
    assert own.name == node("a", 5)
    assert request(own) == WatchQueueNode(1, node("x", 3))


def test_a_join_that_was_never_made_is_repeated() -> None:
    """Where the ticket is not found, a node is made with the same ticket."""
    own = line()
    request(own)
    own.lost()
    own.listed((node("x", 3),))
    assert not own.may_be_in
    assert request(own) == JoinQueue(1, "a")


def test_a_node_that_somebody_took_away() -> None:
    """A place that is gone is joined anew, at the tail."""
    own = waiting(5)
    own.lost()
    own.listed(())
    assert own.name == ""
    assert request(own) == JoinQueue(1, "a")


def test_leaving() -> None:
    """The node is deleted by its name, which may have to be found first."""
    own = waiting(5)
    assert own.leave()(1) == LeaveQueue(1, node("a", 5))
    own.lost()
    assert own.leave()(1) == ListQueue(1)
    own.listed((node("a", 5),))
    assert own.leave()(1) == LeaveQueue(1, node("a", 5))
    own.gone()
    assert not own.may_be_in
    assert not own.is_head


def test_a_new_session_begins_at_the_tail() -> None:
    """The old node went with the old session, and the ticket is another one."""
    own = waiting(5)
    own.begin_session()
    assert not own.may_be_in
    assert request(own) == JoinQueue(1, "b")
    own.lost()
    own.listed((node("a", 5),))
    assert request(own) == JoinQueue(1, "b")


def test_a_new_connection_looks_again() -> None:
    """The session lives on and the place with it, but its watch has to be set anew."""
    own = waiting(5, node("x", 3))
    own.seen("m2")
    own.reconnected()
    assert request(own) == WatchQueueNode(1, node("x", 3))
    head = waiting(5)
    head.reconnected()
    assert head.is_head
    assert request(head) is None


def test_a_queue_of_strangers_is_not_ones_own() -> None:
    """Without a ticket no node is taken for the own one."""
    own = line()
    own.lost()
    own.listed((node("x", 3),))
    assert not own.may_be_in


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
    """A name that no member can have made is ignored, and returned once, so that it is told."""
    own = line()
    request(own)
    own.joined(node("a", 5))
    assert own.listed((node("a", 5), name)) == [name]
    assert own.is_head
    assert own.listed((name, node("a", 5), node("x", 3))) == []
    assert request(own) == WatchQueueNode(1, node("x", 3))
    assert own.ahead == 1


def test_strays_that_come_and_go_are_new_again() -> None:
    """Who takes them away and puts them back is told of them again."""
    own = waiting(5)
    assert own.listed((node("a", 5), "y", "x")) == ["x", "y"]
    assert own.listed((node("a", 5), "x", "z")) == ["z"]
    assert own.listed((node("a", 5), "y", "x")) == ["y"]


def test_a_node_that_lasts_is_passed_over() -> None:
    """It belongs to nobody and never goes, so the one before it is waited for, without a list."""
    own = waiting(5, node("x", 3), node("y", 1), node("z", 2))
    assert own.ignore(node("x", 3))
    assert request(own) == WatchQueueNode(1, node("z", 2))
    assert own.ahead == 2
    own.seen("m2")
    own.touched()
    own.explain(last_admitted=0)
    assert own.listed((node("x", 3), node("a", 5), node("y", 1))) == []
    assert request(own) == WatchQueueNode(1, node("y", 1))
    assert own.ignore(node("y", 1))
    assert own.is_head


def test_a_node_that_lasts_is_looked_at_again_in_a_new_session() -> None:
    """It is told only once all the same."""
    own = waiting(5, node("x", 3))
    assert own.ignore(node("x", 3))
    own.begin_session()
    request(own)
    own.joined(node("b", 7))
    own.listed((node("b", 7), node("x", 3)))
    assert request(own) == WatchQueueNode(1, node("x", 3))
    assert not own.ignore(node("x", 3))
    assert own.is_head


def test_only_a_whole_ticket_is_ones_own() -> None:
    """A ticket that begins like the own one is another's."""
    own = line()
    request(own)
    own.lost()
    own.listed((node("ab", 5),))
    assert not own.may_be_in
