"""Check what a member does that another one, the head of the queue, has admitted."""

import pytest

from core.records import limit
from core.turn_harness import (
    AGREED,
    POLICY,
    TurnHarness,
    entry_of,
    named,
    queued,
    snapshot,
    watch_of,
)
from zkexec.core import events
from zkexec.core.actions import Action
from zkexec.core.policy import MaxUnavailable
from zkexec.core.rollout.group_actions import (
    CommitRecord,
    Enrol,
    JoinQueue,
    LeaveQueue,
    ReadRecord,
    RenewQueueNode,
    Watch,
)
from zkexec.core.rollout.group_events import Conflict, GroupPart, QueueNodeRenewed
from zkexec.core.rollout.record import ActingHead, EntryPhase, RolloutRecord
from zkexec.core.rollout.version_state import VersionState
from zkexec.frozen import replace

GOOD = VersionState(2, named("b@2").scope, known_good=True, succeeded=100)
WIDE = replace(AGREED, max_unavailable=limit(20, "m2"), versions={named("b@2").digest: GOOD})
LED = replace(WIDE, head=ActingHead("m2", 2), last_admitted=-1, in_flight_count=3)


def admitted_to(word: str, under: str = "a") -> RolloutRecord:
    """Return the record after another member has admitted this one."""
    return replace(LED, in_flight={"m1": entry_of(word, under)}, in_flight_count=4)


def waiting() -> TurnHarness:
    """Return a member that waits in the queue for b@2."""
    harness = TurnHarness(replace(POLICY, max_unavailable=MaxUnavailable(20)))
    harness.begin(WIDE)
    harness.request("b@2")
    harness.queue_joined()
    harness.nodes_read()
    return harness


def admitted() -> TurnHarness:
    """Return a member whose own queue node was deleted together with its admission."""
    harness = waiting()
    assert watch_of(harness.touched(GroupPart.QUEUE_NODE)) is Watch.NOTHING
    harness.read(admitted_to("b@2"))
    return harness


def leave(harness: TurnHarness) -> Action | None:
    """Let the member want no turn any more, before it was admitted; return what it requests."""
    harness.withdraw()
    request = harness.advance()
    return harness.read(LED) if isinstance(request, ReadRecord) else request


def confirm(harness: TurnHarness) -> CommitRecord:
    """Let the member want to stop its command; return the confirmation that follows."""
    harness.confirm()
    request = harness.advance()
    assert isinstance(request, CommitRecord)
    return request


def test_the_own_token_in_the_record_is_the_turn() -> None:
    """It is granted at once, and proves nothing about the own session: nothing is stopped."""
    harness = admitted()
    assert harness.notes == ["admitted"]
    assert harness.turn.granted == snapshot("b@2")
    assert harness.turn.in_flight
    assert not harness.turn.inherited
    assert not harness.turn.may_stop(harness.now)


def test_a_failure_that_was_entered_is_no_admission() -> None:
    """A member enters its failure itself; the same bytes, pushed again, need an admission."""
    harness = waiting()
    harness.touched(GroupPart.QUEUE_NODE)
    failed = replace(entry_of("b@2", "a"), phase=EntryPhase.FAILED)
    harness.read(replace(LED, in_flight={"m1": failed}, in_flight_count=4))
    assert harness.turn.in_flight
    assert harness.turn.granted is None


def test_a_write_of_the_own_entry_confirms_the_turn() -> None:
    """The lease runs from the sending of this write, which changes nothing."""
    harness = admitted()
    harness.now = 30
    request = confirm(harness)
    assert (request.confirms, request.is_exclusive) == ("m1", False)
    assert request.before is request.after
    assert not harness.turn.may_stop(30)
    harness.now = 31
    harness.committed(4)
    assert harness.notes == ["turn-confirmed"]
    assert harness.turn.may_stop(31.9)
    assert not harness.turn.may_stop(32)


def test_a_turn_that_was_reclaimed_before_its_confirmation() -> None:
    """The confirmation is refused, and the record shows that there is no turn any more."""
    harness = admitted()
    confirm(harness)
    assert isinstance(harness.refused(Conflict.RECORD), ReadRecord)
    request = harness.read(LED)
    assert "turn-lost" in harness.notes
    assert harness.turn.granted is None
    assert request == JoinQueue(harness.number, queued("b@2", "b"))


def test_a_confirmation_whose_answer_was_lost_is_repeated() -> None:
    """Without an answer it cannot be read back whether it was written."""
    harness = admitted()
    confirm(harness)
    harness.failed()
    assert isinstance(harness.tick(1), Enrol)
    assert isinstance(harness.enrolled(), ReadRecord)
    request = harness.read(admitted_to("b@2"))
    assert isinstance(request, CommitRecord)
    assert request.confirms == "m1"
    assert not harness.turn.may_stop(harness.now)


def test_a_turn_that_is_not_wanted_any_more_is_released() -> None:
    """The change was undone while the member was admitted: its entry is removed."""
    harness = waiting()
    assert isinstance(leave(harness), LeaveQueue)
    assert isinstance(harness.queue_left(was_there=False), ReadRecord)
    request = harness.read(admitted_to("b@2"))
    assert isinstance(request, CommitRecord)
    assert request.after.in_flight == {}
    assert request.after.versions == request.before.versions
    assert harness.committed(4) is None
    assert harness.turn.granted is None
    assert not harness.turn.in_flight


def test_a_member_that_left_the_queue_itself_reads_nothing() -> None:
    """Its own node was there, so no other member has admitted it."""
    harness = waiting()
    assert isinstance(leave(harness), LeaveQueue)
    assert harness.queue_left() is None


def test_a_turn_for_an_earlier_version_is_not_taken_up() -> None:
    """The member wants a newer version: it is admitted to that one in the same turn."""
    harness = waiting()
    harness.want(snapshot("c@3"))
    assert watch_of(harness.touched(GroupPart.QUEUE_NODE)) is Watch.NOTHING
    request = harness.read(admitted_to("b@2"))
    assert harness.turn.granted is None
    assert isinstance(request, ReadRecord)
    assert request.survey
    request = harness.read(admitted_to("b@2"))
    assert isinstance(request, CommitRecord)
    assert request.after.in_flight == {"m1": entry_of("c@3", "a")}
    harness.committed()
    assert harness.turn.granted == snapshot("c@3")
    assert harness.turn.may_stop(harness.now)


def test_the_node_is_renewed_while_the_member_is_admitted() -> None:
    """The node was gone already, so the member reads the record."""
    harness = waiting()
    assert isinstance(harness.request("c@3"), RenewQueueNode)
    harness.touched(GroupPart.QUEUE_NODE)
    request = harness.happen(QueueNodeRenewed(harness.number))
    assert watch_of(request) is Watch.NOTHING
    harness.read(admitted_to("b@2"))
    assert harness.turn.in_flight


def test_an_entry_with_another_token_is_no_admission() -> None:
    """It comes from a record that was restored from a dump, and is removed."""
    harness = waiting()
    harness.touched(GroupPart.QUEUE_NODE)
    request = harness.read(admitted_to("b@2", "older"))
    assert harness.turn.granted is None
    assert isinstance(request, CommitRecord)
    assert request.after.in_flight == {}


def test_an_admission_that_is_found_after_a_reconnect() -> None:
    """The watch was gone with the connection, so the nodes are read, and then the record."""
    harness = waiting()
    harness.happen(events.SessionSuspended("gone"))
    assert isinstance(harness.connect(), Enrol)
    harness.enrolled()
    assert isinstance(harness.nodes_read(own=False), ReadRecord)
    harness.read(admitted_to("b@2"))
    assert harness.turn.granted == snapshot("b@2")
    assert not harness.turn.may_stop(harness.now)


@pytest.mark.parametrize("is_admitted", [True, False])
def test_an_admission_during_a_lost_session(is_admitted: bool) -> None:
    """The token in the record decides, as the queue node ended with the session."""
    harness = waiting()
    harness.happen(events.SessionLost("expired"))
    harness.connect(session=2)
    assert isinstance(harness.enrolled(), ReadRecord)
    request = harness.read(admitted_to("b@2") if is_admitted else LED)
    if is_admitted:
        assert harness.turn.granted == snapshot("b@2")
    else:
        assert request == JoinQueue(harness.number, queued("b@2", "a"))
        assert harness.turn.granted is None


def test_an_admission_while_the_node_was_being_made() -> None:
    """The answer to the join was lost, and the head was faster than the search for the node."""
    harness = TurnHarness(replace(POLICY, max_unavailable=MaxUnavailable(20)))
    harness.begin(WIDE)
    harness.request("b@2")
    harness.failed()
    assert isinstance(harness.tick(1), Enrol)
    harness.enrolled()
    assert isinstance(harness.found(None), ReadRecord)
    assert harness.read(admitted_to("b@2")) is None
    assert harness.turn.granted == snapshot("b@2")


def test_the_next_turn_has_another_token() -> None:
    """Its admission is not mistaken for the one before."""
    harness = admitted()
    confirm(harness)
    harness.committed(4)
    harness.succeed(snapshot("b@2"))
    harness.advance()
    harness.committed(4)
    assert harness.notes == ["turn-released"]
    assert harness.request("c@3") == JoinQueue(harness.number, queued("c@3", "b"))
