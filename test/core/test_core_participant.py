"""Check what a member requests of its group, one request after the other, if all goes well."""

import pytest

from core.records import FAILED, failures, limit
from core.turn_harness import (
    AGREED,
    GRACE_S,
    POLICY,
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
from zkexec.core.policy import MaxUnavailable
from zkexec.core.rollout.group_actions import (
    CommitRecord,
    Enrol,
    JoinQueue,
    LeaveQueue,
    ListQueue,
    ReadRecord,
    Watch,
    WatchQueueNodes,
)
from zkexec.core.rollout.group_events import (
    Conflict,
    Enrolled,
    EnrolmentOccupied,
    GroupPart,
    GroupTouched,
)
from zkexec.core.rollout.group_requests import RETRY_S
from zkexec.core.rollout.limits import AgreedMaxUnavailable
from zkexec.core.rollout.record import Hold, Pause, RolloutRecord
from zkexec.core.rollout.version import short
from zkexec.core.rollout.version_state import VersionState
from zkexec.core.step import Step
from zkexec.core.turn import MemberStatus, StartBasis
from zkexec.frozen import replace


def in_flight(word: str, member: str = "m2", under: str = "x") -> RolloutRecord:
    """Return the record of a group in which a member is in flight."""
    return replace(AGREED, in_flight={member: entry_of(word, under)}, in_flight_count=1)


def is_ready(harness: TurnHarness) -> bool:
    """Whether the record was read."""
    return harness.turn.is_ready


def test_the_record_is_read_before_any_other_request() -> None:
    """The record is read first, then the own node is made; nothing is sent without a session."""
    harness = TurnHarness()
    assert harness.advance() is None
    assert not is_ready(harness)
    assert harness.connect() == ReadRecord(1, Watch.NOTHING, limits=True)
    assert harness.read() == Enrol(2, MemberStatus(""))
    assert is_ready(harness)
    assert harness.enrolled() is None
    assert harness.turn.deadline is None


def test_a_group_without_a_record_is_read_again() -> None:
    """The first member makes the record with its own node, and then requests its limits."""
    harness = TurnHarness()
    harness.connect()
    assert harness.read(RolloutRecord(), -1) == Enrol(2, MemberStatus(""))
    assert watch_of(harness.enrolled()) is Watch.NOTHING
    request = harness.read(RolloutRecord(), 0)
    assert isinstance(request, CommitRecord)
    assert request.after == RolloutRecord(max_unavailable=limit(1), max_failed=failures(0))
    assert request.basis.state == 0
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
    """A member joins, watches and reads, and one commit enters it and deletes its queue node."""
    harness = TurnHarness()
    harness.begin()
    assert harness.request("b@2") == JoinQueue(3, queued("b@2", "a"))
    assert harness.queue_joined() == WatchQueueNodes(4, QUEUE_NUMBER, 4)
    assert watch_of(harness.nodes_read(before=False)) is Watch.ROOM
    request = harness.read()
    assert isinstance(request, CommitRecord)
    assert (request.basis.state, request.checks) == (4, {"/z": 2})
    assert request.tried == named("b@2").digest
    assert (numbers_of(request), request.is_exclusive) == ([QUEUE_NUMBER], True)
    assert request.before == AGREED
    assert request.after.in_flight == {"m1": entry_of("b@2", "a", admission=1)}
    assert request.after.last_admitted == QUEUE_NUMBER
    assert harness.turn.granted is None
    assert harness.committed() is None
    assert harness.notes == ["admitted"]
    assert harness.turn.granted == snapshot("b@2")
    assert harness.turn.in_flight
    assert not harness.turn.inherited


def test_the_first_of_all_queue_nodes_is_the_head() -> None:
    """Numbers begin at 0: no node is before this one, and the record is read all the same."""
    harness = TurnHarness()
    harness.begin()
    harness.request("b@2")
    assert harness.queue_joined(0) == WatchQueueNodes(4, 0, 0)
    assert isinstance(harness.nodes_read(), ReadRecord)
    request = harness.read()
    assert isinstance(request, CommitRecord)
    assert numbers_of(request) == [0]


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
    assert (request.confirms, numbers_of(request), request.is_exclusive) == ("m1", [], False)
    assert request.before is request.after
    harness.committed()
    assert harness.notes == ["turn-confirmed"]
    assert harness.turn.may_stop(21.9)


def test_behind_another() -> None:
    """The predecessor is watched; once it was admitted, this member reads and is the head."""
    harness = TurnHarness()
    harness.begin()
    harness.request("b@2")
    assert harness.queue_joined() == WatchQueueNodes(4, QUEUE_NUMBER, 4)
    assert harness.nodes_read() is None
    assert harness.notes == ["turn-awaited"]
    assert watch_of(harness.touched(GroupPart.PREDECESSOR)) is Watch.ROOM
    assert harness.read(in_flight("b@2")) is None
    assert harness.notes == ["turn-next"]
    assert isinstance(harness.touched(GroupPart.IN_FLIGHT), ReadRecord)
    assert isinstance(harness.read(), CommitRecord)


def test_behind_another_that_has_gone_already() -> None:
    """If the predecessor is gone already, the record shows whether it was admitted."""
    harness = TurnHarness()
    harness.begin()
    harness.request("b@2")
    harness.queue_joined()
    assert watch_of(harness.nodes_read(before=False)) is Watch.ROOM
    assert harness.read(replace(AGREED, last_admitted=2)) == ListQueue(6)


@pytest.mark.parametrize(
    ("record", "topic"),
    [
        (replace(AGREED, paused=Pause("operator", "maintenance")), "turn-paused"),
        (
            replace(AGREED, versions={named("b@2").digest: VersionState(2, "", failed_by=("m2",))}),
            "turn-blocked",
        ),
        (replace(AGREED, hold=Hold(MaxUnavailable(0), "operator", "one first")), "turn-held"),
        (in_flight("b@2"), "turn-next"),
    ],
)
def test_the_head_logs_once_what_it_waits_for(record: RolloutRecord, topic: str) -> None:
    """A refusal is logged with its reason, and not at each read."""
    harness = TurnHarness()
    harness.begin()
    harness.be_head()
    request = harness.read(record)
    if isinstance(request, ReadRecord):
        assert request.watch in (Watch.DECISIONS, Watch.BOTH)
        assert harness.read(record) is None
    assert harness.notes == [topic]
    assert isinstance(harness.touched(GroupPart.RECORD), ReadRecord)
    if isinstance(harness.read(record), ReadRecord):
        assert harness.read(record) is None
    assert harness.notes == []


@pytest.mark.parametrize(
    ("record", "watch"),
    [
        (replace(AGREED, paused=Pause("operator", "maintenance")), Watch.DECISIONS),
        (
            replace(AGREED, versions={named("b@2").digest: VersionState(2, "", failed_by=("m2",))}),
            Watch.BOTH,
        ),
        (replace(AGREED, hold=Hold(MaxUnavailable(0), "operator", "one first")), Watch.BOTH),
    ],
)
def test_the_head_watches_what_may_end_its_wait(record: RolloutRecord, watch: Watch) -> None:
    """An operator ends a pause; a failure or a hold also ends if a member in flight succeeds."""
    harness = TurnHarness()
    harness.begin()
    harness.be_head()
    assert watch_of(harness.read(record)) is watch


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
    """A survey shows that a member is missing, and one after the grace period ends its turn."""
    harness = TurnHarness()
    harness.begin()
    harness.be_head()
    harness.now = 100
    assert harness.read(in_flight("b@2")) is None
    assert harness.notes == ["turn-next"]
    assert harness.turn.deadline == 100 + GRACE_S / 3
    request = harness.tick(4)
    assert isinstance(request, ReadRecord)
    assert request.survey
    harness.read(in_flight("b@2"), alive=frozenset())
    assert harness.notes == ["member-missing"]
    assert harness.turn.deadline == 104 + GRACE_S / 3
    while harness.now < 104 + GRACE_S:
        assert isinstance(harness.tick(5), ReadRecord)
        request = harness.read(in_flight("b@2"), alive=frozenset())
    assert isinstance(request, CommitRecord)
    assert request.after.in_flight == {}
    assert harness.notes == ["turn-reclaimed"]


def test_the_head_reclaims_several_turns_in_one_commit() -> None:
    """All turns that are overdue end together, and each counts as lost."""
    harness = TurnHarness()
    harness.begin()
    harness.be_head()
    both = replace(
        AGREED,
        in_flight={"m2": entry_of("b@2", "x"), "m3": entry_of("b@2", "y")},
        versions={named("b@2").digest: VersionState(2, named("b@2").scope)},
        in_flight_count=2,
    )
    harness.read(both)
    harness.tick(4)
    harness.read(both, alive=frozenset())
    assert harness.notes == ["member-missing", "member-missing"]
    assert isinstance(harness.tick(GRACE_S), ReadRecord)
    request = harness.read(both, alive=frozenset())
    assert isinstance(request, CommitRecord)
    assert request.after.in_flight == {}
    assert request.after.versions[named("b@2").digest].lost_turns == 2
    assert harness.notes == ["turn-reclaimed", "turn-reclaimed"]


def test_only_the_head_watches_for_missing_members() -> None:
    """A member that is not the head logs no missing member, and surveys none."""
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
    assert request.basis.state == taken.basis.state + 1
    assert request.after.in_flight == {}
    assert request.after.is_known_good(named("b@2"))
    assert harness.committed() is None
    assert harness.notes == ["turn-released"]
    assert not harness.turn.in_flight


def test_a_failure_keeps_the_turn() -> None:
    """The entry stays as a failed one, and the decisions are not written."""
    harness = TurnHarness()
    harness.begin()
    harness.take()
    harness.fail(snapshot("b@2"), "exit status 1", Step.CHECK)
    request = harness.advance()
    assert isinstance(request, CommitRecord)
    assert request.after.in_flight["m1"].phase is FAILED
    version_state = request.after.versions[named("b@2").digest]
    assert (version_state.reason, version_state.step) == ("exit status 1", "check")
    assert not request.is_exclusive, "others that fail at the same time do not conflict"
    assert harness.committed(5) is None
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
    assert isinstance(request, ReadRecord)
    assert request.survey, "no other member may try it at the same time"
    request = harness.read(in_flight("b@2", "m1", "a"))
    assert isinstance(request, CommitRecord)
    assert request.after.in_flight == {"m1": entry_of("c@3", "a")}
    assert (request.checks, numbers_of(request)) == ({"/z": 3}, [])
    assert request.is_exclusive
    harness.committed()
    assert harness.turn.granted == snapshot("c@3")


def test_something_newer_that_is_known_good_needs_no_survey() -> None:
    """All members may try it, so only the own entry is written."""
    harness = TurnHarness()
    harness.begin()
    harness.take()
    assert isinstance(harness.touched(GroupPart.RECORD), ReadRecord)
    state = VersionState(3, named("c@3").scope, known_good=True)
    own = replace(in_flight("b@2", "m1", "a"), versions={named("c@3").digest: state})
    harness.read(own)
    request = harness.request("c@3")
    assert isinstance(request, CommitRecord)
    assert not request.is_exclusive
    assert request.after.in_flight == {"m1": entry_of("c@3", "a")}


def test_something_newer_that_another_tries() -> None:
    """A readmission is refused like an admission, and then the decisions are watched."""
    harness = TurnHarness()
    harness.begin()
    harness.take()
    harness.touched(GroupPart.RECORD)
    both = {"m1": entry_of("b@2", "a"), "m2": entry_of("c@3", "x")}
    harness.read(in_flight("b@2", "m1", "a"))
    assert isinstance(harness.request("c@3"), ReadRecord)
    assert watch_of(harness.read(replace(AGREED, in_flight=both))) is Watch.DECISIONS
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
    assert harness.advance() == LeaveQueue(6, QUEUE_NUMBER)
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
    assert request.after.in_flight == {}
    assert not request.after.is_known_good(named("b@2"))


def test_a_first_start_reports_a_known_good_version() -> None:
    """A version that is healthy without a turn is recorded as known good, once."""
    harness = TurnHarness()
    harness.begin()
    harness.report_known_good(snapshot("a@1"))
    request = harness.advance()
    assert isinstance(request, CommitRecord)
    assert request.after.is_known_good(named("a@1"))
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
    assert request.after.in_flight == {"m1": entry_of("b@2", "a")}
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
    assert isinstance(harness.be_head("c@3"), ReadRecord)
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
    assert request.after.in_flight == {"m1": entry_of("b@2", "a")}


def test_an_earlier_process_may_have_been_admitted_meanwhile() -> None:
    """If its node was replaced, the record is read again: it could queue until then."""
    harness = TurnHarness()
    harness.connect()
    harness.read()
    request = harness.happen(Enrolled(harness.number, 3, has_replaced=True))
    assert isinstance(request, ReadRecord)
    adoption = harness.read(in_flight("b@2", "m1", "of the earlier one"))
    assert isinstance(adoption, CommitRecord)
    assert adoption.after.in_flight == {"m1": entry_of("b@2", "a")}


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
