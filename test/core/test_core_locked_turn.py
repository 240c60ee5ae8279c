"""A member's turn: what it asks of the group, request by request, where all goes well."""

import pytest

from core.records import FAILED, width
from core.talk import AGREED, OWN, PLACE, TERMS, Talk, entry_of, named, snapshot
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


def is_known(talk: Talk) -> bool:
    """Whether the record was read, at this moment."""
    return talk.turn.known


def test_the_record_is_read_before_anything_is_asked() -> None:
    """First what the group has to say, then the own node; nothing without a session."""
    talk = Talk()
    assert talk.advance() is None
    assert not is_known(talk)
    assert talk.connect() == ReadRecord(1, watch=False)
    assert talk.read() == Enrol(2, MemberStatus(""))
    assert is_known(talk)
    assert talk.enrolled() is None
    assert talk.turn.deadline is None


def test_a_group_without_a_record_is_read_again() -> None:
    """The first member makes it with its own node, and then says what width it asks for."""
    talk = Talk()
    talk.connect()
    assert talk.read(RolloutRecord(), -1) == Enrol(2, MemberStatus(""))
    assert talk.enrolled() == ReadRecord(3, watch=False)
    agreed = RolloutRecord(max_unavailable=width(1))
    assert talk.read(RolloutRecord(), 0) == CommitRecord(4, agreed, 0)
    assert talk.committed() is None


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
    talk = Talk()
    talk.connect()
    talk.read(
        replace(AGREED, max_unavailable=known), alive=frozenset({"m2"}) if alive else frozenset()
    )
    assert isinstance(talk.enrolled(), CommitRecord) is is_written


def test_another_width_than_ones_own_is_told_once() -> None:
    """Where the group goes by another number, the operator hears of it, once for each."""
    talk = Talk(replace(TERMS, max_unavailable=MaxUnavailable(3)))
    talk.connect()
    talk.read(replace(AGREED, max_unavailable=width(1, "m2")))
    talk.enrolled()
    assert talk.notes == ["group-width"]
    talk.tell(GroupTouched(GroupPart.RECORD))
    talk.be_head()
    talk.read(replace(AGREED, max_unavailable=width(1, "m2")))
    assert "group-width" not in talk.notes
    talk.refused(Conflict.RECORD)
    talk.read(replace(AGREED, max_unavailable=width(2, "m2")))
    assert talk.notes == ["group-width"]


def test_the_way_to_a_turn() -> None:
    """Join, list, read, and one commit: the entry in, the place out, the content unchanged."""
    talk = Talk()
    talk.begin()
    assert talk.ask("b@2") == JoinQueue(3, "a")
    assert talk.queue_joined() == ListQueue(4)
    assert talk.listed(PLACE) == ReadRecord(5, watch=True, asks=OWN)
    request = talk.read()
    assert isinstance(request, CommitRecord)
    assert (request.version, request.checks, request.place) == (4, {"/z": 2}, PLACE)
    assert request.record.in_flight == {"m1": entry_of("b@2", "b")}
    assert request.record.last_admitted == 5
    assert talk.turn.granted is None
    assert talk.committed() is None
    assert talk.notes == ["turn-taken"]
    assert talk.turn.granted == snapshot("b@2")
    assert talk.turn.has_entry
    assert not talk.turn.inherited


def test_the_lease_runs_from_the_sending_of_the_commit() -> None:
    """A sixth of the session timeout after the commit was decided on nobody is stopped."""
    talk = Talk()
    talk.begin()
    talk.be_head()
    talk.now = 10
    talk.read()
    talk.now = 11
    talk.committed()
    assert talk.turn.may_stop(11.9)
    assert not talk.turn.may_stop(12)
    talk.turn.confirm()
    talk.now = 20
    request = talk.advance()
    assert isinstance(request, CommitRecord)
    assert request.place == ""
    talk.committed()
    assert talk.notes == ["turn-confirmed"]
    assert talk.turn.may_stop(21.9)


def test_behind_another() -> None:
    """The one before is watched; when it was admitted, this member reads and is the head."""
    talk = Talk()
    talk.begin()
    talk.ask("b@2")
    talk.queue_joined()
    assert talk.listed("x-0000000003", PLACE) == WatchQueueNode(5, "x-0000000003")
    assert talk.tell(QueueNodeRead(5, "m2")) is None
    assert talk.notes == ["turn-awaited"]
    assert talk.tell(GroupTouched(GroupPart.PREDECESSOR)) == ReadRecord(6, watch=True, asks=OWN)
    record = replace(flying("b@2"), last_admitted=3)
    assert talk.read(record) is None
    assert talk.notes == ["turn-next"]
    assert talk.tell(GroupTouched(GroupPart.RECORD)) == ReadRecord(7, watch=True, asks=OWN)
    assert isinstance(talk.read(replace(AGREED, last_admitted=3)), CommitRecord)


def test_behind_another_that_has_gone_already() -> None:
    """Where the one before is gone at the first look, the record says whether it was admitted."""
    talk = Talk()
    talk.begin()
    talk.ask("b@2")
    talk.queue_joined()
    talk.listed("x-0000000003", PLACE)
    assert talk.tell(QueueNodeRead(5, None)) == ReadRecord(6, watch=True, asks=OWN)
    assert talk.read(replace(AGREED, last_admitted=2)) == ListQueue(7)


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
    talk = Talk()
    talk.begin()
    talk.be_head()
    assert talk.read(record) is None
    assert talk.notes == [topic]
    talk.tell(GroupTouched(GroupPart.RECORD))
    assert talk.read(record) is None
    assert talk.notes == []


def test_a_pause_ends_also_where_there_is_nothing_to_ask() -> None:
    """While newer content settles the head asks for nothing; it must not stay overdue either."""
    talk = Talk()
    talk.begin()
    talk.be_head()
    talk.read()
    talk.refused(Conflict.CONFIGURATION)
    assert talk.turn.deadline == talk.now + RETRY_S
    talk.sees("c@3")
    talk.now += RETRY_S
    assert talk.tell(events.Tick()) is None
    assert talk.turn.deadline is None


def test_the_head_takes_back_the_turn_of_one_that_is_gone() -> None:
    """After the grace period it looks once more, and then reaps."""
    talk = Talk()
    talk.begin()
    talk.be_head()
    talk.now = 100
    talk.read(flying("b@2"), alive=frozenset())
    assert talk.notes == ["member-missing", "turn-next"]
    assert talk.turn.deadline == 110
    talk.now = 110
    assert isinstance(talk.tell(events.Tick()), ReadRecord)
    request = talk.read(flying("b@2"), alive=frozenset())
    assert isinstance(request, CommitRecord)
    assert request.record.in_flight == {}
    assert talk.notes == ["member-reaped"]


def test_who_is_not_the_head_misses_nobody() -> None:
    """Only who decides looks after those in flight."""
    talk = Talk()
    talk.connect()
    talk.read(flying("b@2"), alive=frozenset())
    assert "member-missing" not in talk.notes
    talk.enrolled()
    assert talk.turn.deadline is None


def test_a_proof_ends_the_turn() -> None:
    """The entry goes with the proof, and nothing is granted any more from the proof on."""
    talk = Talk()
    talk.begin()
    taken = talk.take()
    talk.turn.prove(snapshot("b@2"))
    assert talk.turn.granted is None
    request = talk.advance()
    assert isinstance(request, CommitRecord)
    assert request.version == taken.version + 1
    assert request.record.in_flight == {}
    assert request.record.is_known_good(named("b@2"))
    assert talk.committed() is None
    assert talk.notes == ["turn-released"]
    assert not talk.turn.has_entry


def test_a_failure_keeps_the_turn() -> None:
    """The entry stays as a failed one, and from then on the record is watched."""
    talk = Talk()
    talk.begin()
    talk.take()
    talk.turn.fail(snapshot("b@2"), "exit status 1")
    request = talk.advance()
    assert isinstance(request, CommitRecord)
    assert request.record.in_flight["m1"].phase is FAILED
    assert talk.committed() == ReadRecord(8, watch=True, asks=OWN)
    assert talk.read(request.record, 6) is None
    assert talk.turn.granted == snapshot("b@2")
    assert talk.turn.has_entry


def test_something_newer_in_the_same_turn() -> None:
    """The own entry is changed in one commit, with the content unchanged since it was read."""
    talk = Talk()
    talk.begin()
    talk.take()
    request = talk.ask("c@3")
    assert isinstance(request, CommitRecord)
    assert request.record.in_flight == {"m1": entry_of("c@3", "b")}
    assert (request.checks, request.place) == ({"/z": 3}, "")
    talk.committed()
    assert talk.turn.granted == snapshot("c@3")


def test_something_newer_that_another_tries() -> None:
    """Going on is refused like an admission, and watched like one."""
    talk = Talk()
    talk.begin()
    talk.take()
    talk.tell(GroupTouched(GroupPart.RECORD))
    both = {"m1": entry_of("b@2", "b"), "m2": entry_of("c@3", "x")}
    talk.read(replace(AGREED, in_flight=both))
    assert talk.ask("c@3") == ReadRecord(8, watch=True, asks=OWN)
    assert talk.read(replace(AGREED, in_flight=both)) is None
    assert talk.notes == ["turn-next"]
    assert talk.turn.granted == snapshot("b@2")


def test_a_change_that_is_undone_leaves_the_queue() -> None:
    """A place that is not wanted any more is given up."""
    talk = Talk()
    talk.begin()
    talk.be_head()
    talk.read(flying("b@2"))
    talk.turn.withdraw()
    assert talk.advance() == LeaveQueue(6, PLACE)
    assert talk.queue_left() is None


def test_a_turn_that_is_not_needed_is_given_back() -> None:
    """Nothing is proven by it."""
    talk = Talk()
    talk.begin()
    talk.take()
    talk.turn.withdraw()
    talk.turn.withdraw()
    request = talk.advance()
    assert isinstance(request, CommitRecord)
    assert request.record.in_flight == {}
    assert not request.record.is_known_good(named("b@2"))


def test_a_first_start_is_vouched_for() -> None:
    """What runs healthy without a turn counts as proven, once."""
    talk = Talk()
    talk.begin()
    talk.turn.report_known_good(snapshot("a@1"))
    request = talk.advance()
    assert isinstance(request, CommitRecord)
    assert request.record.is_known_good(named("a@1"))
    talk.committed()
    talk.turn.report_known_good(snapshot("a@1"))
    assert talk.advance() is None


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
    talk = Talk()
    talk.connect()
    request = talk.read(record)
    assert talk.turn.basis(snapshot("b@2"), None) is basis
    request = talk.enrolled()
    while isinstance(request, CommitRecord):
        request = talk.committed()
    assert talk.turn.basis(snapshot("b@2"), snapshot("a@1")) is basis


def test_an_earlier_run_is_adopted() -> None:
    """Its entry goes over to a new token at once, and is told as inherited until it ends."""
    talk = Talk()
    request = talk.begin(flying("b@2", "m1", "earlier"))
    assert isinstance(request, CommitRecord)
    assert request.record.in_flight == {"m1": entry_of("b@2", "a")}
    assert talk.turn.inherited
    talk.committed()
    assert talk.notes == ["adopted"]
    assert talk.turn.inherited
    assert talk.turn.granted is None
    talk.turn.prove(snapshot("b@2"))
    talk.advance()
    talk.committed()
    assert not talk.turn.inherited


def test_the_turn_after_an_adopted_one_is_not_inherited() -> None:
    """The end of an adopted turn counts also where its answer was lost, and it is only read."""
    talk = Talk()
    talk.begin(flying("b@2", "m1", "earlier"))
    talk.committed()
    assert talk.turn.inherited
    talk.turn.prove(snapshot("b@2"))
    assert isinstance(talk.advance(), CommitRecord)
    talk.failed()
    talk.now += RETRY_S
    assert isinstance(talk.advance(), Enrol)
    talk.enrolled()
    talk.read(AGREED, 6)
    assert talk.notes == ["turn-released"]
    talk.committed()
    joining = talk.ask("c@3")
    assert isinstance(joining, JoinQueue)
    name = f"{joining.ticket}-0000000005"
    talk.queue_joined(name)
    talk.listed(name)
    talk.read()
    talk.committed()
    assert talk.turn.has_entry
    assert not talk.turn.inherited


def test_a_new_connection_looks_after_the_node_again() -> None:
    """The own node is made sure of on each connection, also if no loss of the last was told."""
    talk = Talk()
    talk.begin()
    assert isinstance(talk.connect(), Enrol)


def test_the_member_id_is_taken() -> None:
    """It is told once, and tried again each second."""
    talk = Talk()
    talk.connect()
    talk.read()
    assert talk.tell(EnrolmentOccupied(2, "host-b")) is None
    assert talk.notes == ["member-id-taken"]
    assert talk.turn.deadline == 1
    talk.now = 1
    assert isinstance(talk.tell(events.Tick()), Enrol)
    talk.tell(EnrolmentOccupied(3, "host-b"))
    assert talk.notes == []


def test_a_duplicate_gets_the_id() -> None:
    """Its other node is to go, and what the first one left in the record is its own then."""
    talk = Talk()
    talk.connect()
    assert talk.read() == Enrol(2, MemberStatus(""), may_be_duplicate=False)
    talk.tell(EnrolmentOccupied(2, "host-b"))
    talk.now = 1
    assert talk.tell(events.Tick()) == Enrol(3, MemberStatus(""), may_be_duplicate=True)
    assert isinstance(talk.enrolled(), ReadRecord)
    request = talk.read(flying("b@2", "m1", "of the first"))
    assert isinstance(request, CommitRecord)
    assert request.record.in_flight == {"m1": entry_of("b@2", "a")}


@pytest.mark.parametrize("is_answered", [True, False])
def test_an_answer_that_was_lost_may_have_told_of_a_duplicate(is_answered: bool) -> None:
    """Only who was told that the own node stands has certainly no other one."""
    talk = Talk()
    talk.connect()
    talk.read()
    if is_answered:
        talk.enrolled()
    request = talk.connect()
    assert isinstance(request, Enrol)
    assert request.may_be_duplicate is not is_answered


def test_a_new_session_reads_what_was_done_under_the_own_id() -> None:
    """While it was away, another process may have had the ID, and a turn."""
    talk = Talk()
    talk.begin()
    talk.tell(events.SessionLost("expired"))
    talk.connect(session=2)
    assert isinstance(talk.enrolled(), ReadRecord)
    assert isinstance(talk.read(flying("b@2", "m1", "of another")), CommitRecord)


def test_the_own_node_was_touched() -> None:
    """It is looked after before anything else."""
    talk = Talk()
    talk.begin()
    assert isinstance(talk.tell(GroupTouched(GroupPart.OWN_NODE)), Enrol)
