"""A member's turn: lost replies, conflicts, lost sessions, and the end of zkexec."""

import pytest

from core.records import FAILED
from core.talk import AGREED, OWN, PLACE, Talk, entry_of, named, snapshot
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


def in_turn() -> Talk:
    """A member that holds its turn for b@2."""
    talk = Talk()
    talk.begin()
    talk.take()
    return talk


def after_a_pause(talk: Talk) -> list[type[Action]]:
    """Let a second pass, and answer as if nothing had changed; return what is asked then."""
    talk.now += 1
    found: list[type[Action]] = []
    request = talk.tell(events.Tick())
    while isinstance(request, Enrol | ReadRecord):
        found.append(type(request))
        request = talk.enrolled() if isinstance(request, Enrol) else talk.read()
    return found if request is None else [*found, type(request)]


def test_what_is_no_answer_is_not_taken_for_one() -> None:
    """News of the configuration, answers to old requests and second answers change nothing."""
    talk = Talk()
    talk.begin()
    talk.ask("b@2")
    assert talk.tell(events.ZnodesRead(talk.number, {})) is None
    assert talk.tell(QueueLeft(talk.number - 1)) is None
    assert talk.queue_joined() == ListQueue(4)
    assert talk.tell(RecordCommitted(3)) is None


def test_a_record_that_has_changed_is_read_again() -> None:
    """The turn is asked for on the record as it is now."""
    talk = Talk()
    talk.begin()
    talk.be_head()
    talk.read()
    assert talk.refused(Conflict.RECORD) == ReadRecord(7, watch=True, asks=OWN)
    assert talk.read(THEIRS, 5) is None
    assert talk.turn.granted is None


def test_a_place_that_is_gone_is_looked_for() -> None:
    """And joined again where it is not there."""
    talk = Talk()
    talk.begin()
    talk.be_head()
    talk.read()
    assert talk.refused(Conflict.PLACE) == ListQueue(7)
    assert talk.listed("x-0000000003") == JoinQueue(8, "a")


def test_content_that_has_changed_is_waited_for() -> None:
    """A newer reading is on its way; until then nothing is asked for a second."""
    talk = Talk()
    talk.begin()
    talk.be_head()
    talk.read()
    assert talk.refused(Conflict.CONFIGURATION) is None
    assert talk.turn.deadline == 1
    assert talk.ask("c@3") == ReadRecord(7, watch=True, asks=OWN)
    request = talk.read()
    assert isinstance(request, CommitRecord)
    assert request.checks == {"/z": 3}


def test_content_that_had_changed_is_not_waited_for() -> None:
    """Where the newer reading is there already, it is asked for at once."""
    talk = Talk()
    talk.begin()
    talk.be_head()
    talk.read()
    talk.turn.ask(snapshot("c@3"))
    assert talk.refused(Conflict.CONFIGURATION) == ReadRecord(7, watch=True, asks=OWN)


def test_what_is_outdated_for_sure_is_not_tried() -> None:
    """Where the group knows something newer of the same znodes, one waits for it."""
    newer = VersionState(9, named("c@3").scope, known_good=True)
    record = replace(OURS, versions={"newer": newer})
    talk = in_turn()
    talk.tell(GroupTouched(GroupPart.RECORD))
    talk.read(record)
    talk.turn.ask(snapshot("c@3"))
    assert isinstance(talk.advance(), ReadRecord)
    assert talk.read(record) is None
    assert talk.notes == ["turn-outdated"]
    talk.turn.ask(snapshot("c@10"))
    assert isinstance(talk.advance(), CommitRecord)


def test_a_later_reading_of_the_same_bytes_is_taken_over() -> None:
    """The place is kept, the admission is checked against what was read last."""
    talk = Talk()
    talk.begin()
    talk.be_head()
    talk.read(THEIRS)
    talk.sees("b@7")
    talk.tell(GroupTouched(GroupPart.RECORD))
    request = talk.read()
    assert isinstance(request, CommitRecord)
    assert (request.checks, request.place) == ({"/z": 7}, PLACE)


def test_nothing_is_admitted_while_newer_content_settles() -> None:
    """The place is kept; what was asked for is out of date, and the newer is not asked for yet."""
    talk = Talk()
    talk.begin()
    talk.be_head()
    talk.read(THEIRS)
    talk.sees("c@8")
    talk.tell(GroupTouched(GroupPart.RECORD))
    assert talk.advance() is None
    request = talk.ask("c@8")
    assert isinstance(request, ReadRecord)
    request = talk.read()
    assert isinstance(request, CommitRecord)
    assert (request.checks, request.place) == ({"/z": 8}, PLACE)


def test_what_is_held_needs_no_later_reading() -> None:
    """A turn that was given for these bytes is not asked for again."""
    talk = in_turn()
    talk.sees("b@2")
    assert talk.advance() is None
    assert talk.ask("b@2") is None


@pytest.mark.parametrize(
    ("steps", "then"),
    [(0, [Enrol, ListQueue]), (1, [Enrol, ListQueue]), (2, [Enrol, ReadRecord, CommitRecord])],
    ids=["join", "list", "read"],
)
def test_a_request_that_fails_is_repeated_after_a_pause(
    steps: int, then: list[type[Action]]
) -> None:
    """The own node is looked after first, and then what is not known."""
    talk = Talk()
    talk.begin()
    talk.ask("b@2")
    if steps > 0:
        talk.queue_joined()
    if steps > 1:
        talk.listed(PLACE)
    assert talk.failed() is None
    assert talk.turn.deadline == 1
    assert after_a_pause(talk) == then


def test_trouble_that_lasts_is_told() -> None:
    """One failure is nothing to speak of, the same once more is."""
    talk = Talk()
    talk.connect()
    talk.failed("not authorized")
    assert talk.notes == []
    talk.now = 1
    talk.tell(events.Tick())
    talk.failed("not authorized")
    assert talk.notes == ["group-trouble"]
    talk.now = 2
    talk.tell(events.Tick())
    talk.failed("not authorized")
    assert talk.notes == []


def test_an_admission_whose_answer_was_lost_is_read_back() -> None:
    """The own token in the record is the turn; the place is looked for when it is over."""
    talk = Talk()
    talk.begin()
    talk.be_head()
    talk.read()
    talk.failed()
    talk.now = 1
    talk.tell(events.Tick())
    assert isinstance(talk.enrolled(), ReadRecord)
    assert talk.read(OURS, 5) is None
    assert talk.turn.granted == snapshot("b@2")
    assert talk.turn.may_stop(1.9)
    assert not talk.turn.may_stop(2)
    talk.turn.prove(snapshot("b@2"))
    talk.advance()
    assert isinstance(talk.committed(), ListQueue)
    assert talk.listed() is None


def test_a_release_whose_answer_was_lost_is_read_back() -> None:
    """It is neither repeated nor taken for a loss."""
    talk = in_turn()
    talk.turn.prove(snapshot("b@2"))
    talk.advance()
    talk.failed()
    talk.now = 1
    talk.tell(events.Tick())
    talk.enrolled()
    proved = replace(AGREED, versions={}).release("m1", named("b@2"))
    assert talk.read(proved, 6) is None
    assert "turn-lost" not in talk.notes
    assert talk.turn.granted is None


def test_a_release_is_repeated_until_it_is_read_back() -> None:
    """What was not written is written, on the record as it is then."""
    talk = in_turn()
    talk.turn.prove(snapshot("b@2"))
    talk.advance()
    talk.failed()
    talk.now = 1
    talk.tell(events.Tick())
    talk.enrolled()
    request = talk.read(OURS, 9)
    assert isinstance(request, CommitRecord)
    assert request.version == 9
    assert request.record.in_flight == {}


def test_a_lost_connection_is_worth_nothing() -> None:
    """No answer of it counts any more, and on the next everything is looked after again."""
    talk = Talk()
    talk.begin()
    talk.be_head()
    talk.read(THEIRS)
    talk.tell(GroupTouched(GroupPart.RECORD))
    assert talk.tell(events.SessionSuspended("gone")) is None
    assert talk.turn.deadline is None
    assert talk.read(AGREED) is None
    assert isinstance(talk.connect(), Enrol)
    assert talk.enrolled() == ReadRecord(8, watch=True, asks=OWN)


def test_a_place_lives_as_long_as_its_session() -> None:
    """The same session looks at the one before again, a new one joins at the tail."""
    talk = Talk()
    talk.begin()
    talk.ask("b@2")
    talk.queue_joined()
    talk.listed("x-0000000003", PLACE)
    talk.connect(session=1)
    assert isinstance(talk.enrolled(), WatchQueueNode)
    talk.tell(events.SessionLost("expired"))
    talk.connect(session=2)
    assert isinstance(talk.enrolled(), ReadRecord)
    assert talk.read() == JoinQueue(talk.number, "b", None)


def test_a_turn_outlives_its_session() -> None:
    """The own token in the record is still the turn, but it has to be confirmed before a kill."""
    talk = in_turn()
    talk.now = 30
    talk.tell(events.SessionClosed("gone"))
    assert talk.turn.granted == snapshot("b@2")
    talk.connect(session=2)
    talk.enrolled()
    assert talk.read(OURS, 5) is None
    assert talk.turn.granted == snapshot("b@2")
    assert not talk.turn.may_stop(30)


@pytest.mark.parametrize("found", [AGREED, replace(AGREED, in_flight={"m1": entry_of("b@2", "?")})])
def test_a_turn_that_was_taken_back_is_told(found: RolloutRecord) -> None:
    """Without the own token there is no turn, and another one has to be asked for."""
    talk = in_turn()
    talk.turn.confirm()
    talk.advance()
    talk.refused(Conflict.RECORD)
    request = talk.read(found, 9)
    assert talk.notes[0] == "turn-lost"
    assert talk.turn.granted is None
    assert isinstance(request, JoinQueue | CommitRecord)


def test_a_connection_without_answers_is_given_up() -> None:
    """After two session timeouts it is mute, and forgotten with all that was asked."""
    talk = Talk()
    talk.connect()
    assert talk.turn.deadline == 24
    assert not talk.turn.is_mute(23)
    assert talk.turn.is_mute(24)
    talk.turn.disconnect()
    assert not talk.turn.is_mute(24)
    assert talk.advance() is None


def test_the_end_of_a_member_without_a_turn() -> None:
    """There is nothing to wait for; the place is given up if there is time."""
    talk = Talk()
    talk.begin()
    talk.be_head()
    talk.read(THEIRS)
    talk.turn.stand_down(keeps_entry=False)
    assert talk.advance() == LeaveQueue(6, PLACE)
    assert talk.turn.close(0)
    talk.turn.ask(snapshot("c@3"))
    assert talk.queue_left() is None


def test_the_end_gives_the_turn_back() -> None:
    """It is waited for, for two seconds at most."""
    talk = in_turn()
    talk.turn.stand_down(keeps_entry=False)
    assert not talk.turn.close(10)
    assert talk.turn.deadline == 12
    request = talk.advance()
    assert isinstance(request, CommitRecord)
    assert request.record.in_flight == {}
    assert not talk.turn.close(11.9)
    talk.committed()
    assert talk.turn.close(11.95)
    assert talk.turn.close(50)


def test_the_end_does_not_wait_for_ever() -> None:
    """After two seconds the turn is left to those who find this member gone."""
    talk = in_turn()
    talk.turn.stand_down(keeps_entry=False)
    assert not talk.turn.close(10)
    assert talk.turn.close(12)


def test_the_end_does_not_wait_without_a_session() -> None:
    """Nobody can be told."""
    talk = in_turn()
    talk.tell(events.SessionSuspended("gone"))
    talk.turn.stand_down(keeps_entry=False)
    assert talk.turn.close(10)


def test_the_end_keeps_a_failed_turn() -> None:
    """What failed may not walk on because its member was ended."""
    talk = in_turn()
    talk.turn.fail(snapshot("b@2"), "exit status 1")
    request = talk.advance()
    assert isinstance(request, CommitRecord)
    talk.committed()
    talk.read(request.record, 6)
    talk.turn.stand_down(keeps_entry=False)
    assert talk.turn.close(10)


def test_the_end_tells_of_a_failure_first() -> None:
    """A failure that the record does not show yet is written before the end."""
    talk = in_turn()
    talk.turn.fail(snapshot("b@2"), "exit status 1")
    talk.turn.stand_down(keeps_entry=False)
    assert not talk.turn.close(10)
    request = talk.advance()
    assert isinstance(request, CommitRecord)
    assert request.record.in_flight["m1"].phase is FAILED
    talk.committed()
    talk.read(request.record, 6)
    assert talk.turn.close(10)


def test_the_end_waits_for_an_admission_that_is_in_doubt() -> None:
    """A turn that may have been given is given back."""
    talk = Talk()
    talk.begin()
    talk.be_head()
    talk.read()
    talk.turn.stand_down(keeps_entry=False)
    assert not talk.turn.close(0)
    request = talk.committed()
    assert isinstance(request, CommitRecord)
    assert request.record.in_flight == {}
    talk.committed()
    assert talk.turn.close(1)


@pytest.mark.parametrize("asked", [True, False])
def test_an_inherited_turn_stays_where_nobody_asked_for_the_end(asked: bool) -> None:
    """A member that fails again after its earlier run was lost is down, and nobody meant it."""
    talk = Talk()
    talk.begin(replace(AGREED, in_flight={"m1": entry_of("b@2", "earlier")}))
    talk.committed()
    talk.turn.stand_down(keeps_entry=not asked)
    assert talk.turn.close(0) is not asked
    assert isinstance(talk.advance(), CommitRecord) is asked
