"""A member's turn: lost replies, conflicts, lost sessions, and the end of zkexec."""

import pytest

from core.records import FAILED
from core.turn_harness import AGREED, OWN, PLACE, TurnHarness, entry_of, named, snapshot
from zkexec.core import events
from zkexec.core.actions import Action
from zkexec.core.rollout.group_actions import (
    CommitRecord,
    Enrol,
    JoinQueue,
    LeaveQueue,
    ListQueue,
    ReadRecord,
    WatchQueueNode,
)
from zkexec.core.rollout.group_events import (
    Conflict,
    GroupPart,
    GroupTouched,
    QueueLeft,
    RecordCommitted,
)
from zkexec.core.rollout.record import RolloutRecord, VersionState
from zkexec.frozen import replace

OURS = replace(AGREED, in_flight={"m1": entry_of("b@2", "b")})
THEIRS = replace(AGREED, in_flight={"m2": entry_of("b@2", "x")})


def in_turn() -> TurnHarness:
    """A member that holds its turn for b@2."""
    harness = TurnHarness()
    harness.begin()
    harness.take()
    return harness


def after_a_pause(harness: TurnHarness) -> list[type[Action]]:
    """Let a second pass, and answer as if nothing had changed; return what is asked then."""
    harness.now += 1
    found: list[type[Action]] = []
    request = harness.handle(events.Tick())
    while isinstance(request, Enrol | ReadRecord):
        found.append(type(request))
        request = harness.enrolled() if isinstance(request, Enrol) else harness.read()
    return found if request is None else [*found, type(request)]


def test_what_is_no_answer_is_not_taken_for_one() -> None:
    """News of the configuration, answers to old requests and second answers change nothing."""
    harness = TurnHarness()
    harness.begin()
    harness.ask("b@2")
    assert harness.handle(events.ZnodesRead(harness.number, {})) is None
    assert harness.handle(QueueLeft(harness.number - 1)) is None
    assert harness.queue_joined() == ListQueue(4)
    assert harness.handle(RecordCommitted(3)) is None


def test_a_record_that_has_changed_is_read_again() -> None:
    """The turn is asked for on the record as it is now."""
    harness = TurnHarness()
    harness.begin()
    harness.be_head()
    harness.read()
    assert harness.refused(Conflict.RECORD) == ReadRecord(7, watch=True, asks=OWN)
    assert harness.read(THEIRS, 5) is None
    assert harness.turn.granted is None


def test_a_place_that_is_gone_is_looked_for() -> None:
    """And joined again where it is not there."""
    harness = TurnHarness()
    harness.begin()
    harness.be_head()
    harness.read()
    assert harness.refused(Conflict.PLACE) == ListQueue(7)
    assert harness.listed("x-0000000003") == JoinQueue(8, "a")


def test_content_that_has_changed_is_waited_for() -> None:
    """A newer reading is on its way; until then nothing is asked for a second."""
    harness = TurnHarness()
    harness.begin()
    harness.be_head()
    harness.read()
    assert harness.refused(Conflict.CONFIGURATION) is None
    assert harness.turn.deadline == 1
    assert harness.ask("c@3") == ReadRecord(7, watch=True, asks=OWN)
    request = harness.read()
    assert isinstance(request, CommitRecord)
    assert request.checks == {"/z": 3}


def test_content_that_had_changed_is_not_waited_for() -> None:
    """Where the newer reading is there already, it is asked for at once."""
    harness = TurnHarness()
    harness.begin()
    harness.be_head()
    harness.read()
    harness.turn.ask(snapshot("c@3"))
    assert harness.refused(Conflict.CONFIGURATION) == ReadRecord(7, watch=True, asks=OWN)


def test_what_is_outdated_for_sure_is_not_tried() -> None:
    """Where the group knows something newer of the same znodes, one waits for it."""
    newer = VersionState(9, named("c@3").scope, known_good=True)
    record = replace(OURS, versions={"newer": newer})
    harness = in_turn()
    harness.handle(GroupTouched(GroupPart.RECORD))
    harness.read(record)
    harness.turn.ask(snapshot("c@3"))
    assert isinstance(harness.advance(), ReadRecord)
    assert harness.read(record) is None
    assert harness.notes == ["turn-outdated"]
    harness.turn.ask(snapshot("c@10"))
    assert isinstance(harness.advance(), CommitRecord)


def test_a_later_reading_of_the_same_bytes_is_taken_over() -> None:
    """The place is kept, the admission is checked against what was read last."""
    harness = TurnHarness()
    harness.begin()
    harness.be_head()
    harness.read(THEIRS)
    harness.sees("b@7")
    harness.handle(GroupTouched(GroupPart.RECORD))
    request = harness.read()
    assert isinstance(request, CommitRecord)
    assert (request.checks, request.place) == ({"/z": 7}, PLACE)


def test_nothing_is_admitted_while_newer_content_settles() -> None:
    """The place is kept; what was asked for is out of date, and the newer is not asked for yet."""
    harness = TurnHarness()
    harness.begin()
    harness.be_head()
    harness.read(THEIRS)
    harness.sees("c@8")
    harness.handle(GroupTouched(GroupPart.RECORD))
    assert harness.advance() is None
    request = harness.ask("c@8")
    assert isinstance(request, ReadRecord)
    request = harness.read()
    assert isinstance(request, CommitRecord)
    assert (request.checks, request.place) == ({"/z": 8}, PLACE)


def test_what_is_held_needs_no_later_reading() -> None:
    """A turn that was given for these bytes is not asked for again."""
    harness = in_turn()
    harness.sees("b@2")
    assert harness.advance() is None
    assert harness.ask("b@2") is None


@pytest.mark.parametrize(
    ("steps", "then"),
    [(0, [Enrol, ListQueue]), (1, [Enrol, ListQueue]), (2, [Enrol, ReadRecord, CommitRecord])],
    ids=["join", "list", "read"],
)
def test_a_request_that_fails_is_repeated_after_a_pause(
    steps: int, then: list[type[Action]]
) -> None:
    """The own node is looked after first, and then what is not known."""
    harness = TurnHarness()
    harness.begin()
    harness.ask("b@2")
    if steps > 0:
        harness.queue_joined()
    if steps > 1:
        harness.listed(PLACE)
    assert harness.failed() is None
    assert harness.turn.deadline == 1
    assert after_a_pause(harness) == then


def test_trouble_that_lasts_is_told() -> None:
    """One failure is nothing to speak of, the same once more is."""
    harness = TurnHarness()
    harness.connect()
    harness.failed("not authorized")
    assert harness.notes == []
    harness.now = 1
    harness.handle(events.Tick())
    harness.failed("not authorized")
    assert harness.notes == ["group-trouble"]
    harness.now = 2
    harness.handle(events.Tick())
    harness.failed("not authorized")
    assert harness.notes == []


def test_an_admission_whose_answer_was_lost_is_read_back() -> None:
    """The own token in the record is the turn; the place is looked for when it is over."""
    harness = TurnHarness()
    harness.begin()
    harness.be_head()
    harness.read()
    harness.failed()
    harness.now = 1
    harness.handle(events.Tick())
    assert isinstance(harness.enrolled(), ReadRecord)
    assert harness.read(OURS, 5) is None
    assert harness.turn.granted == snapshot("b@2")
    assert harness.turn.may_stop(1.9)
    assert not harness.turn.may_stop(2)
    harness.turn.prove(snapshot("b@2"))
    harness.advance()
    assert isinstance(harness.committed(), ListQueue)
    assert harness.listed() is None


def test_a_release_whose_answer_was_lost_is_read_back() -> None:
    """It is neither repeated nor taken for a loss."""
    harness = in_turn()
    harness.turn.prove(snapshot("b@2"))
    harness.advance()
    harness.failed()
    harness.now = 1
    harness.handle(events.Tick())
    harness.enrolled()
    proved = replace(AGREED, versions={}).release("m1", named("b@2"))
    assert harness.read(proved, 6) is None
    assert "turn-lost" not in harness.notes
    assert harness.turn.granted is None


def test_a_release_is_repeated_until_it_is_read_back() -> None:
    """What was not written is written, on the record as it is then."""
    harness = in_turn()
    harness.turn.prove(snapshot("b@2"))
    harness.advance()
    harness.failed()
    harness.now = 1
    harness.handle(events.Tick())
    harness.enrolled()
    request = harness.read(OURS, 9)
    assert isinstance(request, CommitRecord)
    assert request.version == 9
    assert request.record.in_flight == {}


def test_a_lost_connection_is_worth_nothing() -> None:
    """No answer of it counts any more, and on the next everything is looked after again."""
    harness = TurnHarness()
    harness.begin()
    harness.be_head()
    harness.read(THEIRS)
    harness.handle(GroupTouched(GroupPart.RECORD))
    assert harness.handle(events.SessionSuspended("gone")) is None
    assert harness.turn.deadline is None
    assert harness.read(AGREED) is None
    assert isinstance(harness.connect(), Enrol)
    assert harness.enrolled() == ReadRecord(8, watch=True, asks=OWN)


def test_a_place_lives_as_long_as_its_session() -> None:
    """The same session looks at the one before again, a new one joins at the tail."""
    harness = TurnHarness()
    harness.begin()
    harness.ask("b@2")
    harness.queue_joined()
    harness.listed("x-0000000003", PLACE)
    harness.connect(session=1)
    assert isinstance(harness.enrolled(), WatchQueueNode)
    harness.handle(events.SessionLost("expired"))
    harness.connect(session=2)
    assert isinstance(harness.enrolled(), ReadRecord)
    assert harness.read() == JoinQueue(harness.number, "b", None)


def test_a_turn_outlives_its_session() -> None:
    """The own token in the record is still the turn, but it has to be confirmed before a kill."""
    harness = in_turn()
    harness.now = 30
    harness.handle(events.SessionClosed("gone"))
    assert harness.turn.granted == snapshot("b@2")
    harness.connect(session=2)
    harness.enrolled()
    assert harness.read(OURS, 5) is None
    assert harness.turn.granted == snapshot("b@2")
    assert not harness.turn.may_stop(30)


@pytest.mark.parametrize("found", [AGREED, replace(AGREED, in_flight={"m1": entry_of("b@2", "?")})])
def test_a_turn_that_was_taken_back_is_told(found: RolloutRecord) -> None:
    """Without the own token there is no turn, and another one has to be asked for."""
    harness = in_turn()
    harness.turn.confirm()
    harness.advance()
    harness.refused(Conflict.RECORD)
    request = harness.read(found, 9)
    assert harness.notes[0] == "turn-lost"
    assert harness.turn.granted is None
    assert isinstance(request, JoinQueue | CommitRecord)


def test_a_connection_without_answers_is_given_up() -> None:
    """After two session timeouts it is mute, and forgotten with all that was asked."""
    harness = TurnHarness()
    harness.connect()
    assert harness.turn.deadline == 24
    assert not harness.turn.is_mute(23)
    assert harness.turn.is_mute(24)
    harness.turn.disconnect()
    assert not harness.turn.is_mute(24)
    assert harness.advance() is None


def test_the_end_of_a_member_without_a_turn() -> None:
    """There is nothing to wait for; the place is given up if there is time."""
    harness = TurnHarness()
    harness.begin()
    harness.be_head()
    harness.read(THEIRS)
    harness.turn.stand_down(keeps_entry=False)
    assert harness.advance() == LeaveQueue(6, PLACE)
    assert harness.turn.close(0)
    harness.turn.ask(snapshot("c@3"))
    assert harness.queue_left() is None


def test_the_end_gives_the_turn_back() -> None:
    """It is waited for, for two seconds at most."""
    harness = in_turn()
    harness.turn.stand_down(keeps_entry=False)
    assert not harness.turn.close(10)
    assert harness.turn.deadline == 12
    request = harness.advance()
    assert isinstance(request, CommitRecord)
    assert request.record.in_flight == {}
    assert not harness.turn.close(11.9)
    harness.committed()
    assert harness.turn.close(11.95)
    assert harness.turn.close(50)


def test_the_end_does_not_wait_for_ever() -> None:
    """After two seconds the turn is left to those who find this member gone."""
    harness = in_turn()
    harness.turn.stand_down(keeps_entry=False)
    assert not harness.turn.close(10)
    assert harness.turn.close(12)


def test_the_end_does_not_wait_without_a_session() -> None:
    """Nobody can be told."""
    harness = in_turn()
    harness.handle(events.SessionSuspended("gone"))
    harness.turn.stand_down(keeps_entry=False)
    assert harness.turn.close(10)


def test_the_end_keeps_a_failed_turn() -> None:
    """What failed may not walk on because its member was ended."""
    harness = in_turn()
    harness.turn.fail(snapshot("b@2"), "exit status 1")
    request = harness.advance()
    assert isinstance(request, CommitRecord)
    harness.committed()
    harness.read(request.record, 6)
    harness.turn.stand_down(keeps_entry=False)
    assert harness.turn.close(10)


def test_the_end_tells_of_a_failure_first() -> None:
    """A failure that the record does not show yet is written before the end."""
    harness = in_turn()
    harness.turn.fail(snapshot("b@2"), "exit status 1")
    harness.turn.stand_down(keeps_entry=False)
    assert not harness.turn.close(10)
    request = harness.advance()
    assert isinstance(request, CommitRecord)
    assert request.record.in_flight["m1"].phase is FAILED
    harness.committed()
    harness.read(request.record, 6)
    assert harness.turn.close(10)


def test_the_end_waits_for_an_admission_that_is_in_doubt() -> None:
    """A turn that may have been given is given back."""
    harness = TurnHarness()
    harness.begin()
    harness.be_head()
    harness.read()
    harness.turn.stand_down(keeps_entry=False)
    assert not harness.turn.close(0)
    request = harness.committed()
    assert isinstance(request, CommitRecord)
    assert request.record.in_flight == {}
    harness.committed()
    assert harness.turn.close(1)


@pytest.mark.parametrize("asked", [True, False])
def test_an_inherited_turn_stays_where_nobody_asked_for_the_end(asked: bool) -> None:
    """A member that fails again after its earlier run was lost is down, and nobody meant it."""
    harness = TurnHarness()
    harness.begin(replace(AGREED, in_flight={"m1": entry_of("b@2", "earlier")}))
    harness.committed()
    harness.turn.stand_down(keeps_entry=not asked)
    assert harness.turn.close(0) is not asked
    assert isinstance(harness.advance(), CommitRecord) is asked
