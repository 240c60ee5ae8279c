"""A member's turn: what it asks of the group, request by request, where all goes well."""

import pytest

from core.records import FAILED, width
from core.turn_harness import AGREED, OWN, PLACE, TERMS, TurnHarness, entry_of, named, snapshot
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
from zkexec.core.turn import MemberStatus, StartBasis
from zkexec.frozen import replace


def flying(word: str, member: str = "m2", under: str = "x") -> RolloutRecord:
    """The record of a group in which a member is in flight."""
    return replace(AGREED, in_flight={member: entry_of(word, under)})


def test_the_record_is_read_before_anything_is_asked() -> None:
    """First what the group has to say, then the own node; nothing without a session."""
    harness = TurnHarness()
    assert harness.advance() is None
    assert not harness.turn.known
    assert harness.connect() == ReadRecord(1, watch=False)
    assert harness.read() == Enrol(2, MemberStatus(""))
    assert harness.turn.known
    assert harness.enrolled() is None
    assert harness.turn.deadline is None


def test_a_group_without_a_record_is_read_again() -> None:
    """The first member makes it with its own node, and then says what width it asks for."""
    harness = TurnHarness()
    harness.connect()
    assert harness.read(RolloutRecord(), -1) == Enrol(2, MemberStatus(""))
    assert harness.enrolled() == ReadRecord(3, watch=False)
    assert harness.read(RolloutRecord(), 0) == CommitRecord(
        4, RolloutRecord(max_unavailable=width(1)), 0
    )
    assert harness.committed() is None


@pytest.mark.parametrize(
    ("known", "alive", "is_written"),
    [
        (width(1, "m2"), True, False),
        (width(5, "m2"), True, True),
        (width(1, "m9"), False, True),
        (width(1, "m1"), False, False),
    ],
)
def test_a_width_is_asked_for_once(
    known: AgreedMaxUnavailable, alive: bool, is_written: bool
) -> None:
    """A member writes its width where it counts: it is smaller, or the one who asked is gone."""
    harness = TurnHarness()
    harness.connect()
    harness.read(
        replace(AGREED, max_unavailable=known), alive=frozenset({"m2"}) if alive else frozenset()
    )
    assert isinstance(harness.enrolled(), CommitRecord) is is_written


def test_another_width_than_ones_own_is_told_once() -> None:
    """Where the group goes by another number, the operator hears of it, once for each."""
    harness = TurnHarness(replace(TERMS, max_unavailable=MaxUnavailable(3)))
    harness.connect()
    harness.read(replace(AGREED, max_unavailable=width(1, "m2")))
    harness.enrolled()
    assert harness.notes == ["max-unavailable-differs"]
    harness.handle(GroupTouched(GroupPart.RECORD))
    harness.be_head()
    harness.read(replace(AGREED, max_unavailable=width(1, "m2")))
    assert "max-unavailable-differs" not in harness.notes
    harness.refused(Conflict.RECORD)
    harness.read(replace(AGREED, max_unavailable=width(2, "m2")))
    assert harness.notes == ["max-unavailable-differs"]


def test_the_way_to_a_turn() -> None:
    """Join, list, read, and one commit: the entry in, the place out, the content unchanged."""
    harness = TurnHarness()
    harness.begin()
    assert harness.ask("b@2") == JoinQueue(3, "a")
    assert harness.queue_joined() == ListQueue(4)
    assert harness.listed(PLACE) == ReadRecord(5, watch=True, asks=OWN)
    request = harness.read()
    assert isinstance(request, CommitRecord)
    assert (request.version, request.checks, request.place) == (4, {"/z": 2}, PLACE)
    assert request.record.in_flight == {"m1": entry_of("b@2", "b")}
    assert request.record.last_admitted == 5
    assert harness.turn.granted is None
    assert harness.committed() is None
    assert harness.notes == ["admitted"]
    assert harness.turn.granted == snapshot("b@2")
    assert harness.turn.has_entry
    assert not harness.turn.inherited


def test_the_lease_runs_from_the_sending_of_the_commit() -> None:
    """A sixth of the session timeout after the commit was decided on nobody is stopped."""
    harness = TurnHarness()
    harness.begin()
    harness.be_head()
    harness.now = 10
    harness.read()
    harness.now = 11
    harness.committed()
    assert harness.turn.may_stop(11.9)
    assert not harness.turn.may_stop(12)
    harness.turn.confirm()
    harness.now = 20
    request = harness.advance()
    assert isinstance(request, CommitRecord)
    assert request.place == ""
    harness.committed()
    assert harness.notes == ["turn-confirmed"]
    assert harness.turn.may_stop(21.9)


def test_behind_another() -> None:
    """The one before is watched; when it was admitted, this member reads and is the head."""
    harness = TurnHarness()
    harness.begin()
    harness.ask("b@2")
    harness.queue_joined()
    assert harness.listed("x-0000000003", PLACE) == WatchQueueNode(5, "x-0000000003")
    assert harness.handle(QueueNodeRead(5, "m2")) is None
    assert harness.notes == ["turn-awaited"]
    assert harness.handle(GroupTouched(GroupPart.PREDECESSOR)) == ReadRecord(
        6, watch=True, asks=OWN
    )
    record = replace(flying("b@2"), last_admitted=3)
    assert harness.read(record) is None
    assert harness.notes == ["turn-next"]
    assert harness.handle(GroupTouched(GroupPart.RECORD)) == ReadRecord(7, watch=True, asks=OWN)
    assert isinstance(harness.read(replace(AGREED, last_admitted=3)), CommitRecord)


def test_behind_another_that_has_gone_already() -> None:
    """Where the one before is gone at the first look, the record says whether it was admitted."""
    harness = TurnHarness()
    harness.begin()
    harness.ask("b@2")
    harness.queue_joined()
    harness.listed("x-0000000003", PLACE)
    assert harness.handle(QueueNodeRead(5, None)) == ReadRecord(6, watch=True, asks=OWN)
    assert harness.read(replace(AGREED, last_admitted=2)) == ListQueue(7)


@pytest.mark.parametrize(
    ("record", "topic"),
    [
        (replace(AGREED, paused=Pause("operator", "maintenance")), "turn-paused"),
        (
            replace(AGREED, versions={named("b@2").digest: VersionState(2, "", failed_by=("m2",))}),
            "turn-blocked",
        ),
        (flying("b@2"), "turn-next"),
    ],
)
def test_the_head_says_once_what_it_waits_for(record: RolloutRecord, topic: str) -> None:
    """A refusal is told with its reason, and not at each look."""
    harness = TurnHarness()
    harness.begin()
    harness.be_head()
    assert harness.read(record) is None
    assert harness.notes == [topic]
    harness.handle(GroupTouched(GroupPart.RECORD))
    assert harness.read(record) is None
    assert harness.notes == []


def test_a_pause_ends_also_where_there_is_nothing_to_ask() -> None:
    """While newer content settles the head asks for nothing; it must not stay overdue either."""
    harness = TurnHarness()
    harness.begin()
    harness.be_head()
    harness.read()
    harness.refused(Conflict.CONFIGURATION)
    assert harness.turn.deadline == harness.now + RETRY_S
    harness.sees("c@3")
    harness.now += RETRY_S
    assert harness.handle(events.Tick()) is None
    assert harness.turn.deadline is None


def test_the_head_takes_back_the_turn_of_one_that_is_gone() -> None:
    """After the grace period it looks once more, and then reaps."""
    harness = TurnHarness()
    harness.begin()
    harness.be_head()
    harness.now = 100
    harness.read(flying("b@2"), alive=frozenset())
    assert harness.notes == ["member-missing", "turn-next"]
    assert harness.turn.deadline == 110
    harness.now = 110
    assert isinstance(harness.handle(events.Tick()), ReadRecord)
    request = harness.read(flying("b@2"), alive=frozenset())
    assert isinstance(request, CommitRecord)
    assert request.record.in_flight == {}
    assert harness.notes == ["turn-reclaimed"]


def test_who_is_not_the_head_misses_nobody() -> None:
    """Only who decides looks after those in flight."""
    harness = TurnHarness()
    harness.connect()
    harness.read(flying("b@2"), alive=frozenset())
    assert "member-missing" not in harness.notes
    harness.enrolled()
    assert harness.turn.deadline is None


def test_a_proof_ends_the_turn() -> None:
    """The entry goes with the proof, and nothing is granted any more from the proof on."""
    harness = TurnHarness()
    harness.begin()
    taken = harness.take()
    harness.turn.prove(snapshot("b@2"))
    assert harness.turn.granted is None
    request = harness.advance()
    assert isinstance(request, CommitRecord)
    assert request.version == taken.version + 1
    assert request.record.in_flight == {}
    assert request.record.is_known_good(named("b@2"))
    assert harness.committed() is None
    assert harness.notes == ["turn-released"]
    assert not harness.turn.has_entry


def test_a_failure_keeps_the_turn() -> None:
    """The entry stays as a failed one, and from then on the record is watched."""
    harness = TurnHarness()
    harness.begin()
    harness.take()
    harness.turn.fail(snapshot("b@2"), "exit status 1")
    request = harness.advance()
    assert isinstance(request, CommitRecord)
    assert request.record.in_flight["m1"].phase is FAILED
    assert harness.committed() == ReadRecord(8, watch=True, asks=OWN)
    assert harness.read(request.record, 6) is None
    assert harness.turn.granted == snapshot("b@2")
    assert harness.turn.has_entry


def test_something_newer_in_the_same_turn() -> None:
    """The own entry is changed in one commit, with the content unchanged since it was read."""
    harness = TurnHarness()
    harness.begin()
    harness.take()
    request = harness.ask("c@3")
    assert isinstance(request, CommitRecord)
    assert request.record.in_flight == {"m1": entry_of("c@3", "b")}
    assert (request.checks, request.place) == ({"/z": 3}, "")
    harness.committed()
    assert harness.turn.granted == snapshot("c@3")


def test_something_newer_that_another_tries() -> None:
    """Going on is refused like an admission, and watched like one."""
    harness = TurnHarness()
    harness.begin()
    harness.take()
    harness.handle(GroupTouched(GroupPart.RECORD))
    both = {"m1": entry_of("b@2", "b"), "m2": entry_of("c@3", "x")}
    harness.read(replace(AGREED, in_flight=both))
    assert harness.ask("c@3") == ReadRecord(8, watch=True, asks=OWN)
    assert harness.read(replace(AGREED, in_flight=both)) is None
    assert harness.notes == ["turn-next"]
    assert harness.turn.granted == snapshot("b@2")


def test_a_change_that_is_undone_leaves_the_queue() -> None:
    """A place that is not wanted any more is given up."""
    harness = TurnHarness()
    harness.begin()
    harness.be_head()
    harness.read(flying("b@2"))
    harness.turn.withdraw()
    assert harness.advance() == LeaveQueue(6, PLACE)
    assert harness.queue_left() is None


def test_a_turn_that_is_not_needed_is_given_back() -> None:
    """Nothing is proven by it."""
    harness = TurnHarness()
    harness.begin()
    harness.take()
    harness.turn.withdraw()
    harness.turn.withdraw()
    request = harness.advance()
    assert isinstance(request, CommitRecord)
    assert request.record.in_flight == {}
    assert not request.record.is_known_good(named("b@2"))


def test_a_first_start_is_vouched_for() -> None:
    """What runs healthy without a turn counts as proven, once."""
    harness = TurnHarness()
    harness.begin()
    harness.turn.report_known_good(snapshot("a@1"))
    request = harness.advance()
    assert isinstance(request, CommitRecord)
    assert request.record.is_known_good(named("a@1"))
    harness.committed()
    harness.turn.report_known_good(snapshot("a@1"))
    assert harness.advance() is None


@pytest.mark.parametrize(
    ("record", "basis"),
    [
        (RolloutRecord(), StartBasis.WANTED),
        (flying("b@2", "m1", "earlier"), StartBasis.WANTED),
        (
            replace(
                flying("b@2", "m1", "earlier"),
                versions={named("b@2").digest: VersionState(2, "", lost_turns=1)},
            ),
            StartBasis.NOTHING,
        ),
    ],
)
def test_a_first_start_counts_the_loss_of_an_earlier_run(
    record: RolloutRecord, basis: StartBasis
) -> None:
    """Once, whether its turn was taken over already or not yet."""
    harness = TurnHarness()
    harness.connect()
    request = harness.read(record)
    assert harness.turn.basis(snapshot("b@2"), None) is basis
    request = harness.enrolled()
    while isinstance(request, CommitRecord):
        request = harness.committed()
    assert harness.turn.basis(snapshot("b@2"), snapshot("a@1")) is basis


def test_an_earlier_run_is_adopted() -> None:
    """Its entry goes over to a new token at once, and is told as inherited until it ends."""
    harness = TurnHarness()
    request = harness.begin(flying("b@2", "m1", "earlier"))
    assert isinstance(request, CommitRecord)
    assert request.record.in_flight == {"m1": entry_of("b@2", "a")}
    assert harness.turn.inherited
    harness.committed()
    assert harness.notes == ["adopted"]
    assert harness.turn.inherited
    assert harness.turn.granted is None
    harness.turn.prove(snapshot("b@2"))
    harness.advance()
    harness.committed()
    assert not harness.turn.inherited


def test_the_turn_after_an_adopted_one_is_not_inherited() -> None:
    """The end of an adopted turn counts also where its answer was lost, and it is only read."""
    harness = TurnHarness()
    harness.begin(flying("b@2", "m1", "earlier"))
    harness.committed()
    assert harness.turn.inherited
    harness.turn.prove(snapshot("b@2"))
    assert isinstance(harness.advance(), CommitRecord)
    harness.failed()
    harness.now += RETRY_S
    assert isinstance(harness.advance(), Enrol)
    harness.enrolled()
    harness.read(AGREED, 6)
    assert harness.notes == ["turn-released"]
    harness.committed()
    joining = harness.ask("c@3")
    assert isinstance(joining, JoinQueue)
    name = f"{joining.ticket}-0000000005"
    harness.queue_joined(name)
    harness.listed(name)
    harness.read()
    harness.committed()
    assert harness.turn.has_entry
    assert not harness.turn.inherited


def test_a_new_connection_looks_after_the_node_again() -> None:
    """The own node is made sure of on each connection, also if no loss of the last was told."""
    harness = TurnHarness()
    harness.begin()
    assert isinstance(harness.connect(), Enrol)


def test_the_member_id_is_taken() -> None:
    """It is told once, and tried again each second."""
    harness = TurnHarness()
    harness.connect()
    harness.read()
    assert harness.handle(EnrolmentOccupied(2, "host-b")) is None
    assert harness.notes == ["member-id-taken"]
    assert harness.turn.deadline == 1
    harness.now = 1
    assert isinstance(harness.handle(events.Tick()), Enrol)
    harness.handle(EnrolmentOccupied(3, "host-b"))
    assert harness.notes == []


def test_a_duplicate_gets_the_id() -> None:
    """Its other node is to go, and what the first one left in the record is its own then."""
    harness = TurnHarness()
    harness.connect()
    assert harness.read() == Enrol(2, MemberStatus(""), may_be_duplicate=False)
    harness.handle(EnrolmentOccupied(2, "host-b"))
    harness.now = 1
    assert harness.handle(events.Tick()) == Enrol(3, MemberStatus(""), may_be_duplicate=True)
    assert isinstance(harness.enrolled(), ReadRecord)
    request = harness.read(flying("b@2", "m1", "of the first"))
    assert isinstance(request, CommitRecord)
    assert request.record.in_flight == {"m1": entry_of("b@2", "a")}


@pytest.mark.parametrize("is_answered", [True, False])
def test_an_answer_that_was_lost_may_have_told_of_a_duplicate(is_answered: bool) -> None:
    """Only who was told that the own node stands has certainly no other one."""
    harness = TurnHarness()
    harness.connect()
    harness.read()
    if is_answered:
        harness.enrolled()
    request = harness.connect()
    assert isinstance(request, Enrol)
    assert request.may_be_duplicate is not is_answered


def test_a_new_session_reads_what_was_done_under_the_own_id() -> None:
    """While it was away, another process may have had the ID, and a turn."""
    harness = TurnHarness()
    harness.begin()
    harness.handle(events.SessionLost("expired"))
    harness.connect(session=2)
    assert isinstance(harness.enrolled(), ReadRecord)
    assert isinstance(harness.read(flying("b@2", "m1", "of another")), CommitRecord)


def test_the_own_node_was_touched() -> None:
    """It is looked after before anything else."""
    harness = TurnHarness()
    harness.begin()
    assert isinstance(harness.handle(GroupTouched(GroupPart.OWN_NODE)), Enrol)
