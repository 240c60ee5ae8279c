"""Check what a member requests of its group, one request after the other, if all goes well."""

import pytest

from core.records import FAILED, limit
from core.turn_harness import (
    AGREED,
    OWN,
    POLICY,
    QUEUE_NODE,
    TurnHarness,
    entry_of,
    named,
    snapshot,
)
from zkexec.core import events
from zkexec.core.policy import MaxUnavailable
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
    EnrolmentOccupied,
    GroupPart,
    GroupTouched,
    QueueNodeRead,
)
from zkexec.core.rollout.group_requests import RETRY_S
from zkexec.core.rollout.record import AgreedMaxUnavailable, Pause, RolloutRecord, VersionState
from zkexec.core.rollout.version import short
from zkexec.core.step import Step
from zkexec.core.turn import MemberStatus, StartBasis
from zkexec.frozen import replace


def in_flight(word: str, member: str = "m2", under: str = "x") -> RolloutRecord:
    """Return the record of a group in which a member is in flight."""
    return replace(AGREED, in_flight={member: entry_of(word, under)})


def is_ready(harness: TurnHarness) -> bool:
    """Whether the record was read."""
    return harness.turn.is_ready


def test_the_record_is_read_before_any_other_request() -> None:
    """The record is read first, then the own node is made; nothing is sent without a session."""
    harness = TurnHarness()
    assert harness.advance() is None
    assert not is_ready(harness)
    assert harness.connect() == ReadRecord(1, watch=False)
    assert harness.read() == Enrol(2, MemberStatus(""))
    assert is_ready(harness)
    assert harness.enrolled() is None
    assert harness.turn.deadline is None


def test_a_group_without_a_record_is_read_again() -> None:
    """The first member makes the record with its own node, and then requests max unavailable."""
    harness = TurnHarness()
    harness.connect()
    assert harness.read(RolloutRecord(), -1) == Enrol(2, MemberStatus(""))
    assert harness.enrolled() == ReadRecord(3, watch=False)
    agreed = RolloutRecord(max_unavailable=limit(1))
    assert harness.read(RolloutRecord(), 0) == CommitRecord(4, agreed, 0)
    assert harness.committed() is None


@pytest.mark.parametrize(
    ("known", "alive", "is_written"),
    [
        (limit(1, "m2"), True, False),
        (limit(5, "m2"), True, True),
        (limit(1, "m9"), False, True),
        (limit(1, "m1"), False, False),
    ],
)
def test_max_unavailable_is_requested_once(
    known: AgreedMaxUnavailable, alive: bool, is_written: bool
) -> None:
    """A member writes its max unavailable if it is smaller, or the requester is missing."""
    harness = TurnHarness()
    harness.connect()
    harness.read(
        replace(AGREED, max_unavailable=known), alive=frozenset({"m2"}) if alive else frozenset()
    )
    assert isinstance(harness.enrolled(), CommitRecord) is is_written


def test_another_max_unavailable_is_logged_once() -> None:
    """If the group uses another max unavailable, each one is logged once."""
    harness = TurnHarness(replace(POLICY, max_unavailable=MaxUnavailable(3)))
    harness.connect()
    harness.read(replace(AGREED, max_unavailable=limit(1, "m2")))
    harness.enrolled()
    assert harness.notes == ["max-unavailable-differs"]
    harness.happen(GroupTouched(GroupPart.RECORD))
    harness.be_head()
    harness.read(replace(AGREED, max_unavailable=limit(1, "m2")))
    assert "max-unavailable-differs" not in harness.notes
    harness.refused(Conflict.RECORD)
    harness.read(replace(AGREED, max_unavailable=limit(2, "m2")))
    assert harness.notes == ["max-unavailable-differs"]


def test_the_way_to_a_turn() -> None:
    """A member joins, lists and reads, and one commit enters it and deletes its queue node."""
    harness = TurnHarness()
    harness.begin()
    assert harness.request("b@2") == JoinQueue(3, "a")
    assert harness.queue_joined() == ListQueue(4)
    assert harness.listed(QUEUE_NODE) == ReadRecord(5, watch=True, requested=OWN)
    request = harness.read()
    assert isinstance(request, CommitRecord)
    assert (request.znode_version, request.checks, request.queue_node) == (4, {"/z": 2}, QUEUE_NODE)
    assert request.record.in_flight == {"m1": entry_of("b@2", "b")}
    assert request.record.last_admitted == 5
    assert harness.turn.granted is None
    assert harness.committed() is None
    assert harness.notes == ["admitted"]
    assert harness.turn.granted == snapshot("b@2")
    assert harness.turn.in_flight
    assert not harness.turn.inherited


def test_the_lease_runs_from_the_sending_of_the_commit() -> None:
    """After a sixth of the session timeout since the commit was decided, nothing is stopped."""
    harness = TurnHarness()
    harness.begin()
    harness.be_head()
    harness.now = 10
    harness.read()
    harness.now = 11
    harness.committed()
    assert harness.turn.may_stop(11.9)
    assert not harness.turn.may_stop(12)
    harness.now = 20
    harness.confirm()
    request = harness.advance()
    assert isinstance(request, CommitRecord)
    assert request.queue_node == ""
    harness.committed()
    assert harness.notes == ["turn-confirmed"]
    assert harness.turn.may_stop(21.9)


def test_behind_another() -> None:
    """The predecessor is watched; once it was admitted, this member reads and is the head."""
    harness = TurnHarness()
    harness.begin()
    harness.request("b@2")
    harness.queue_joined()
    assert harness.listed("x-0000000003", QUEUE_NODE) == WatchQueueNode(5, "x-0000000003")
    assert harness.happen(QueueNodeRead(5, "m2")) is None
    assert harness.notes == ["turn-awaited"]
    assert harness.happen(GroupTouched(GroupPart.PREDECESSOR)) == ReadRecord(
        6, watch=True, requested=OWN
    )
    record = replace(in_flight("b@2"), last_admitted=3)
    assert harness.read(record) is None
    assert harness.notes == ["turn-next"]
    assert harness.happen(GroupTouched(GroupPart.RECORD)) == ReadRecord(
        7, watch=True, requested=OWN
    )
    assert isinstance(harness.read(replace(AGREED, last_admitted=3)), CommitRecord)


def test_behind_another_that_has_gone_already() -> None:
    """If the predecessor is gone already, the record shows whether it was admitted."""
    harness = TurnHarness()
    harness.begin()
    harness.request("b@2")
    harness.queue_joined()
    harness.listed("x-0000000003", QUEUE_NODE)
    assert harness.happen(QueueNodeRead(5, None)) == ReadRecord(6, watch=True, requested=OWN)
    assert harness.read(replace(AGREED, last_admitted=2)) == ListQueue(7)


@pytest.mark.parametrize(
    ("record", "topic"),
    [
        (replace(AGREED, paused=Pause("operator", "maintenance")), "turn-paused"),
        (
            replace(AGREED, versions={named("b@2").digest: VersionState(2, "", failed_by=("m2",))}),
            "turn-blocked",
        ),
        (in_flight("b@2"), "turn-next"),
    ],
)
def test_the_head_logs_once_what_it_waits_for(record: RolloutRecord, topic: str) -> None:
    """A refusal is logged with its reason, and not at each read."""
    harness = TurnHarness()
    harness.begin()
    harness.be_head()
    assert harness.read(record) is None
    assert harness.notes == [topic]
    harness.happen(GroupTouched(GroupPart.RECORD))
    assert harness.read(record) is None
    assert harness.notes == []


def test_a_pause_ends_even_without_a_request() -> None:
    """During the settle time the head requests nothing, and no deadline stays overdue."""
    harness = TurnHarness()
    harness.begin()
    harness.be_head()
    harness.read()
    harness.refused(Conflict.CONFIGURATION)
    assert harness.turn.deadline == harness.now + RETRY_S
    harness.inputs("c@3")
    harness.now += RETRY_S
    assert harness.happen(events.Tick()) is None
    assert harness.turn.deadline is None


def test_the_head_reclaims_the_turn_of_a_missing_member() -> None:
    """After the grace period the head reads once more, and then reclaims the turn."""
    harness = TurnHarness()
    harness.begin()
    harness.be_head()
    harness.now = 100
    harness.read(in_flight("b@2"), alive=frozenset())
    assert harness.notes == ["member-missing", "turn-next"]
    assert harness.turn.deadline == 110
    harness.now = 110
    assert isinstance(harness.happen(events.Tick()), ReadRecord)
    request = harness.read(in_flight("b@2"), alive=frozenset())
    assert isinstance(request, CommitRecord)
    assert request.record.in_flight == {}
    assert harness.notes == ["turn-reclaimed"]


def test_only_the_head_watches_for_missing_members() -> None:
    """A member that is not the head logs no missing member."""
    harness = TurnHarness()
    harness.connect()
    harness.read(in_flight("b@2"), alive=frozenset())
    assert "member-missing" not in harness.notes
    harness.enrolled()
    assert harness.turn.deadline is None


def test_success_ends_the_turn() -> None:
    """The entry is removed with the success, and nothing is granted from then on."""
    harness = TurnHarness()
    harness.begin()
    taken = harness.take()
    harness.succeed(snapshot("b@2"))
    assert harness.turn.granted is None
    request = harness.advance()
    assert isinstance(request, CommitRecord)
    assert request.znode_version == taken.znode_version + 1
    assert request.record.in_flight == {}
    assert request.record.is_known_good(named("b@2"))
    assert harness.committed() is None
    assert harness.notes == ["turn-released"]
    assert not harness.turn.in_flight


def test_a_failure_keeps_the_turn() -> None:
    """The entry stays as a failed one, and from then on the record is watched."""
    harness = TurnHarness()
    harness.begin()
    harness.take()
    harness.fail(snapshot("b@2"), "exit status 1", Step.CHECK)
    request = harness.advance()
    assert isinstance(request, CommitRecord)
    assert request.record.in_flight["m1"].phase is FAILED
    version_state = request.record.versions[named("b@2").digest]
    assert (version_state.reason, version_state.step) == ("exit status 1", "check")
    assert harness.committed() == ReadRecord(8, watch=True, requested=OWN)
    assert harness.read(request.record, 6) is None
    assert harness.turn.granted == snapshot("b@2")
    assert harness.turn.in_flight


def test_the_log_names_the_version_and_the_step_in_a_turn() -> None:
    """Each line in a turn names the version of the turn and the step; other lines name none."""
    harness = TurnHarness()
    harness.begin()
    harness.publish(MemberStatus("waiting", step="stage"), None, None)
    assert harness.turn.log_fields == {}
    harness.take()
    digest = short(named("b@2").digest)
    assert harness.turn.log_fields == {"digest": digest, "step": "stage"}
    harness.publish(MemberStatus("running"), None, None)
    assert harness.turn.log_fields == {"digest": digest}
    harness.succeed(snapshot("b@2"))
    harness.advance()
    harness.committed()
    assert harness.turn.log_fields == {}


def test_something_newer_in_the_same_turn() -> None:
    """One commit changes the own entry, if the content is unchanged since it was read."""
    harness = TurnHarness()
    harness.begin()
    harness.take()
    request = harness.request("c@3")
    assert isinstance(request, CommitRecord)
    assert request.record.in_flight == {"m1": entry_of("c@3", "b")}
    assert (request.checks, request.queue_node) == ({"/z": 3}, "")
    harness.committed()
    assert harness.turn.granted == snapshot("c@3")


def test_something_newer_that_another_tries() -> None:
    """A readmission is refused like an admission, and then the record is watched."""
    harness = TurnHarness()
    harness.begin()
    harness.take()
    harness.happen(GroupTouched(GroupPart.RECORD))
    both = {"m1": entry_of("b@2", "b"), "m2": entry_of("c@3", "x")}
    harness.read(replace(AGREED, in_flight=both))
    assert harness.request("c@3") == ReadRecord(8, watch=True, requested=OWN)
    assert harness.read(replace(AGREED, in_flight=both)) is None
    assert harness.notes == ["turn-next"]
    assert harness.turn.granted == snapshot("b@2")


def test_a_change_that_is_undone_leaves_the_queue() -> None:
    """A member that wants no turn any more leaves the queue."""
    harness = TurnHarness()
    harness.begin()
    harness.be_head()
    harness.read(in_flight("b@2"))
    harness.withdraw()
    assert harness.advance() == LeaveQueue(6, QUEUE_NODE)
    assert harness.queue_left() is None


def test_a_turn_that_is_not_needed_is_released() -> None:
    """Its release marks no version as known good."""
    harness = TurnHarness()
    harness.begin()
    harness.take()
    harness.withdraw()
    harness.withdraw()
    request = harness.advance()
    assert isinstance(request, CommitRecord)
    assert request.record.in_flight == {}
    assert not request.record.is_known_good(named("b@2"))


def test_a_first_start_reports_a_known_good_version() -> None:
    """A version that is healthy without a turn is recorded as known good, once."""
    harness = TurnHarness()
    harness.begin()
    harness.report_known_good(snapshot("a@1"))
    request = harness.advance()
    assert isinstance(request, CommitRecord)
    assert request.record.is_known_good(named("a@1"))
    harness.committed()
    harness.report_known_good(snapshot("a@1"))
    assert harness.advance() is None


@pytest.mark.parametrize(
    ("record", "basis"),
    [
        (RolloutRecord(), StartBasis.WANTED),
        (in_flight("b@2", "m1", "earlier"), StartBasis.WANTED),
        (
            replace(
                in_flight("b@2", "m1", "earlier"),
                versions={named("b@2").digest: VersionState(2, "", lost_turns=1)},
            ),
            StartBasis.NOTHING,
        ),
    ],
)
def test_a_first_start_counts_the_lost_turn_of_an_earlier_run(
    record: RolloutRecord, basis: StartBasis
) -> None:
    """The lost turn is counted once, whether it was adopted already or not."""
    harness = TurnHarness()
    harness.connect()
    request = harness.read(record)
    assert harness.turn.basis(snapshot("b@2"), None) is basis
    request = harness.enrolled()
    while isinstance(request, CommitRecord):
        request = harness.committed()
    assert harness.turn.basis(snapshot("b@2"), snapshot("a@1")) is basis


def test_an_earlier_run_is_adopted() -> None:
    """Its entry gets a new token at once, and the turn is inherited until it ends."""
    harness = TurnHarness()
    request = harness.begin(in_flight("b@2", "m1", "earlier"))
    assert isinstance(request, CommitRecord)
    assert request.record.in_flight == {"m1": entry_of("b@2", "a")}
    assert harness.turn.inherited
    harness.committed()
    assert harness.notes == ["adopted"]
    assert harness.turn.inherited
    assert harness.turn.granted is None
    harness.succeed(snapshot("b@2"))
    harness.advance()
    harness.committed()
    assert not harness.turn.inherited


def test_the_turn_after_an_adopted_one_is_not_inherited() -> None:
    """An adopted turn ends even if the answer to its release was lost, and the record is read."""
    harness = TurnHarness()
    harness.begin(in_flight("b@2", "m1", "earlier"))
    harness.committed()
    assert harness.turn.inherited
    harness.succeed(snapshot("b@2"))
    assert isinstance(harness.advance(), CommitRecord)
    harness.failed()
    harness.now += RETRY_S
    assert isinstance(harness.advance(), Enrol)
    harness.enrolled()
    harness.read(AGREED, 6)
    assert harness.notes == ["turn-released"]
    harness.committed()
    joining = harness.request("c@3")
    assert isinstance(joining, JoinQueue)
    name = f"{joining.ticket}-0000000005"
    harness.queue_joined(name)
    harness.listed(name)
    harness.read()
    harness.committed()
    assert harness.turn.in_flight
    assert not harness.turn.inherited


def test_a_new_connection_checks_the_node_again() -> None:
    """The own node is checked on each connection, even if no loss was reported."""
    harness = TurnHarness()
    harness.begin()
    assert isinstance(harness.connect(), Enrol)


def test_the_member_id_is_taken() -> None:
    """It is logged once, and tried again each second."""
    harness = TurnHarness()
    harness.connect()
    harness.read()
    assert harness.happen(EnrolmentOccupied(2, "host-b")) is None
    assert harness.notes == ["member-id-taken"]
    assert harness.turn.deadline == 1
    harness.now = 1
    assert isinstance(harness.happen(events.Tick()), Enrol)
    harness.happen(EnrolmentOccupied(3, "host-b"))
    assert harness.notes == []


def test_a_duplicate_gets_the_id() -> None:
    """Its other node is deleted, and the first process's entry in the record is its own then."""
    harness = TurnHarness()
    harness.connect()
    assert harness.read() == Enrol(2, MemberStatus(""), may_be_duplicate=False)
    harness.happen(EnrolmentOccupied(2, "host-b"))
    harness.now = 1
    assert harness.happen(events.Tick()) == Enrol(3, MemberStatus(""), may_be_duplicate=True)
    assert isinstance(harness.enrolled(), ReadRecord)
    request = harness.read(in_flight("b@2", "m1", "of the first"))
    assert isinstance(request, CommitRecord)
    assert request.record.in_flight == {"m1": entry_of("b@2", "a")}


@pytest.mark.parametrize("is_answered", [True, False])
def test_a_lost_answer_may_have_made_a_duplicate(is_answered: bool) -> None:
    """Only an answer that the own node exists rules out a node of another name."""
    harness = TurnHarness()
    harness.connect()
    harness.read()
    if is_answered:
        harness.enrolled()
    request = harness.connect()
    assert isinstance(request, Enrol)
    assert request.may_be_duplicate is not is_answered


def test_a_new_session_reads_what_was_done_under_the_own_id() -> None:
    """Meanwhile another process may have had the ID, and a turn."""
    harness = TurnHarness()
    harness.begin()
    harness.happen(events.SessionLost("expired"))
    harness.connect(session=2)
    assert isinstance(harness.enrolled(), ReadRecord)
    assert isinstance(harness.read(in_flight("b@2", "m1", "of another")), CommitRecord)


def test_the_own_node_was_touched() -> None:
    """It is checked before any other request."""
    harness = TurnHarness()
    harness.begin()
    assert isinstance(harness.happen(GroupTouched(GroupPart.OWN_NODE)), Enrol)
