"""Check lost replies, conflicts, lost sessions, and the end of zkexec."""

import pytest

from core.turn_harness import (
    AGREED,
    QUEUE_NUMBER,
    TurnHarness,
    entry_of,
    named,
    numbers_of,
    queued,
    snapshot,
    watch_of,
)
from zkexec.core import events
from zkexec.core.actions import Action
from zkexec.core.rollout.group_actions import (
    CommitRecord,
    Enrol,
    FindQueueNode,
    JoinQueue,
    ReadRecord,
    RenewQueueNode,
    Watch,
    WatchQueueNodes,
)
from zkexec.core.rollout.group_events import (
    Conflict,
    GroupPart,
    GroupTouched,
    QueueLeft,
    QueueNodeRenewed,
    RecordCommitted,
)
from zkexec.core.rollout.record import RolloutRecord
from zkexec.core.rollout.record_basis import RecordBasis
from zkexec.core.rollout.version_state import VersionState
from zkexec.frozen import replace

OURS = replace(AGREED, in_flight={"m1": entry_of("b@2", "a")}, in_flight_count=1)
THEIRS = replace(AGREED, in_flight_count=1)


def in_turn() -> TurnHarness:
    """Return a member in its turn for b@2."""
    harness = TurnHarness()
    harness.begin()
    harness.take()
    return harness


def after_a_pause(harness: TurnHarness) -> list[type[Action]]:
    """Let a second pass, and answer as if nothing had changed; return the next request."""
    harness.now += 1
    found: list[type[Action]] = []
    request = harness.happen(events.Tick())
    while isinstance(request, Enrol | ReadRecord):
        found.append(type(request))
        request = harness.enrolled() if isinstance(request, Enrol) else harness.read()
    return found if request is None else [*found, type(request)]


def test_what_is_no_answer_is_not_taken_for_one() -> None:
    """Events of the inputs, answers to old requests and second answers change nothing."""
    harness = TurnHarness()
    harness.begin()
    harness.request("b@2")
    assert harness.happen(events.ZnodesRead(harness.number, {})) is None
    assert harness.happen(QueueLeft(harness.number - 1)) is None
    assert harness.queue_joined() == WatchQueueNodes(4, QUEUE_NUMBER, 4)
    assert harness.happen(RecordCommitted(3, RecordBasis())) is None


def test_a_record_that_has_changed_is_read_again() -> None:
    """The turn is requested on the record as it is now."""
    harness = TurnHarness()
    harness.begin()
    harness.be_head()
    harness.read()
    assert isinstance(harness.refused(Conflict.RECORD), ReadRecord)
    assert harness.read(THEIRS, 5) is None
    assert harness.turn.granted is None


def test_a_missing_queue_node_is_searched_for() -> None:
    """The member joins the queue again, unless the record shows that it was admitted."""
    harness = TurnHarness()
    harness.begin()
    harness.be_head()
    harness.read()
    assert harness.refused(Conflict.QUEUE_NODE, QUEUE_NUMBER) == FindQueueNode(7, "a")
    assert isinstance(harness.found(None), ReadRecord)
    assert harness.read() == JoinQueue(9, queued("b@2", "a"))


def test_content_that_has_changed_is_waited_for() -> None:
    """A newer read is on its way; until then nothing is requested for a second."""
    harness = TurnHarness()
    harness.begin()
    harness.be_head()
    harness.read()
    assert harness.refused(Conflict.CONFIGURATION) is None
    assert harness.turn.deadline == 1
    node = RenewQueueNode(7, QUEUE_NUMBER, queued("c@3", "a"))
    assert harness.request("c@3") == node
    assert isinstance(harness.happen(QueueNodeRenewed(7)), ReadRecord)
    request = harness.read()
    assert isinstance(request, CommitRecord)
    assert request.checks == {"/z": 3}


def test_content_that_had_changed_is_not_waited_for() -> None:
    """If the newer content was read already, it is requested at once."""
    harness = TurnHarness()
    harness.begin()
    harness.be_head()
    harness.read()
    harness.want(snapshot("c@3"))
    assert isinstance(harness.refused(Conflict.CONFIGURATION), RenewQueueNode)


def test_an_outdated_version_is_not_tried() -> None:
    """If the group has a newer version of the same znodes, the member waits for it."""
    newer = VersionState(9, named("c@3").scope, known_good=True)
    record = replace(OURS, versions={"newer": newer})
    harness = in_turn()
    harness.happen(GroupTouched(GroupPart.RECORD))
    harness.read(record)
    harness.want(snapshot("c@3"))
    assert isinstance(harness.advance(), ReadRecord)
    assert watch_of(harness.read(record)) is Watch.DECISIONS
    assert harness.read(record) is None
    assert harness.notes == ["turn-outdated"]
    harness.want(snapshot("c@10"))
    assert isinstance(harness.advance(), CommitRecord)


def test_a_later_read_of_the_same_bytes_is_taken_over() -> None:
    """The member stays in the queue, and its admission is checked against the last read."""
    harness = TurnHarness()
    harness.begin()
    harness.be_head()
    harness.read(THEIRS)
    harness.inputs("b@7")
    harness.touched(GroupPart.IN_FLIGHT)
    request = harness.read()
    assert isinstance(request, CommitRecord)
    assert (request.checks, numbers_of(request)) == ({"/z": 7}, [QUEUE_NUMBER])


def test_nothing_is_admitted_while_newer_content_settles() -> None:
    """The member stays in the queue, but requests nothing during the settle time."""
    harness = TurnHarness()
    harness.begin()
    harness.be_head()
    harness.read(THEIRS)
    harness.inputs("c@8")
    harness.touched(GroupPart.IN_FLIGHT)
    assert harness.advance() is None
    assert isinstance(harness.request("c@8"), RenewQueueNode)
    request = harness.happen(QueueNodeRenewed(harness.number))
    assert isinstance(request, ReadRecord)
    request = harness.read()
    assert isinstance(request, CommitRecord)
    assert (request.checks, numbers_of(request)) == ({"/z": 8}, [QUEUE_NUMBER])


def test_a_turn_needs_no_later_read() -> None:
    """A turn for these bytes is not requested again."""
    harness = in_turn()
    harness.inputs("b@2")
    assert harness.advance() is None
    assert harness.request("b@2") is None


@pytest.mark.parametrize(
    ("steps", "then"),
    [
        (0, [Enrol, FindQueueNode]),
        (1, [Enrol, WatchQueueNodes]),
        (2, [Enrol, ReadRecord, CommitRecord]),
    ],
    ids=["join", "watch", "read"],
)
def test_a_request_that_fails_is_repeated_after_a_pause(
    steps: int, then: list[type[Action]]
) -> None:
    """The own node is checked first, and then what is unknown."""
    harness = TurnHarness()
    harness.begin()
    harness.request("b@2")
    if steps > 0:
        harness.queue_joined()
    if steps > 1:
        harness.nodes_read(before=False)
    assert harness.failed() is None
    assert harness.turn.deadline == 1
    assert after_a_pause(harness) == then


def test_a_lasting_failure_is_logged() -> None:
    """One failure is not logged, the same failure once more is."""
    harness = TurnHarness()
    harness.connect()
    harness.failed("not authorized")
    assert harness.notes == []
    harness.now = 1
    harness.happen(events.Tick())
    harness.failed("not authorized")
    assert harness.notes == ["group-trouble"]
    harness.now = 2
    harness.happen(events.Tick())
    harness.failed("not authorized")
    assert harness.notes == []


def test_an_admission_whose_answer_was_lost_is_read_back() -> None:
    """The own token in the record is the turn; the queue node is searched for after it."""
    harness = TurnHarness()
    harness.begin()
    harness.be_head()
    harness.read()
    harness.failed()
    harness.now = 1
    harness.happen(events.Tick())
    assert isinstance(harness.enrolled(), ReadRecord)
    assert isinstance(harness.read(OURS, 5), FindQueueNode)
    assert harness.turn.granted == snapshot("b@2")
    assert harness.turn.may_stop(1.9)
    assert not harness.turn.may_stop(2)
    assert harness.last == FindQueueNode(9, "a")
    assert isinstance(harness.found(None), ReadRecord)
    assert harness.read(OURS, 5) is None


def test_a_release_whose_answer_was_lost_is_read_back() -> None:
    """It is neither repeated nor taken for a lost turn."""
    harness = in_turn()
    harness.succeed(snapshot("b@2"))
    harness.advance()
    harness.failed()
    harness.now = 1
    harness.happen(events.Tick())
    harness.enrolled()
    released = replace(AGREED, versions={}).release("m1", named("b@2"))
    assert harness.read(released, 6) is None
    assert "turn-lost" not in harness.notes
    assert harness.turn.granted is None


def test_a_release_is_repeated_until_it_is_read_back() -> None:
    """A release that was not written is written, on the record as it is then."""
    harness = in_turn()
    harness.succeed(snapshot("b@2"))
    harness.advance()
    harness.failed()
    harness.now = 1
    harness.happen(events.Tick())
    harness.enrolled()
    request = harness.read(OURS, 9)
    assert isinstance(request, CommitRecord)
    assert request.basis.state == 9
    assert request.after.in_flight == {}


def test_a_lost_connection_is_worth_nothing() -> None:
    """Its answers do not count any more, and on the next one everything is checked again."""
    harness = TurnHarness()
    harness.begin()
    harness.be_head()
    harness.read(THEIRS)
    harness.touched(GroupPart.IN_FLIGHT)
    assert harness.happen(events.SessionSuspended("gone")) is None
    assert harness.turn.deadline is None
    assert harness.read(AGREED) is None
    assert isinstance(harness.connect(), Enrol)
    assert harness.enrolled() == WatchQueueNodes(8, QUEUE_NUMBER, QUEUE_NUMBER)
    assert isinstance(harness.nodes_read(), ReadRecord)


def test_a_queue_node_lives_as_long_as_its_session() -> None:
    """The same session watches the predecessor again, a new one joins at the end."""
    harness = TurnHarness()
    harness.begin()
    harness.request("b@2")
    harness.queue_joined()
    harness.nodes_read()
    harness.connect(session=1)
    assert harness.enrolled() == WatchQueueNodes(harness.number, QUEUE_NUMBER, 4)
    harness.happen(events.SessionLost("expired"))
    harness.connect(session=2)
    assert isinstance(harness.enrolled(), ReadRecord)
    assert harness.read() == JoinQueue(harness.number, queued("b@2", "a"))


def test_a_turn_outlives_its_session() -> None:
    """The own token in the record is the turn, but it must be confirmed before a stop."""
    harness = in_turn()
    harness.now = 30
    harness.happen(events.SessionLost("gone"))
    assert harness.turn.granted == snapshot("b@2")
    harness.connect(session=2)
    harness.enrolled()
    assert harness.read(OURS, 5) is None
    assert harness.turn.granted == snapshot("b@2")
    assert not harness.turn.may_stop(30)


@pytest.mark.parametrize("found", [AGREED, replace(AGREED, in_flight={"m1": entry_of("b@2", "?")})])
def test_a_reclaimed_turn_is_logged(found: RolloutRecord) -> None:
    """Without the own token there is no turn, and another one has to be requested."""
    harness = in_turn()
    harness.now += 2
    harness.confirm()
    harness.advance()
    harness.refused(Conflict.RECORD)
    request = harness.read(found, 9)
    assert harness.notes[0] == "turn-lost"
    assert harness.turn.granted is None
    assert isinstance(request, JoinQueue | CommitRecord)
