"""Check how fresh a member's view of the record is, and which members in flight are missing."""

import pytest

from core.records import basis_of_record, entry, population
from zkexec.core.rollout.group_actions import ReadRecord, Watch
from zkexec.core.rollout.group_events import GroupPart, RecordRead
from zkexec.core.rollout.record import RolloutRecord
from zkexec.core.rollout.record_view import LONGEST_SURVEY_S, SHORTEST_SURVEY_S, RecordView
from zkexec.frozen import replace

FLYING = RolloutRecord(
    in_flight={"m2": entry("b@2", "t2"), "m3": entry("b@2", "t3")}, population=population(7)
)
ALL = frozenset({"m2", "m3"})


def record_view() -> RecordView:
    """Return the record view of m1, with a grace period of ten seconds."""
    return RecordView("m1", 10.0)


def read(
    of: RecordView,
    record: RolloutRecord = FLYING,
    *,
    watch: Watch = Watch.BOTH,
    alive: frozenset[str] | None = None,
    at: float = 0,
) -> list[str]:
    """Read the record; with `alive` it is a survey.  Return the newly missing members."""
    of.begin()
    event = RecordRead(1, record, basis_of_record(record), ALL if alive is None else alive)
    return of.read(event, ReadRecord(1, watch, survey=alive is not None), at)


def survey(of: RecordView, *alive: str, at: float = 0, record: RolloutRecord = FLYING) -> list[str]:
    """Read who is in flight and alive; return the newly missing members."""
    return read(of, record, watch=Watch.NOTHING, alive=frozenset(alive), at=at)


def is_known(of: RecordView) -> bool:
    """Whether the record was ever read."""
    return of.known


def is_fresh(of: RecordView, watch: Watch = Watch.NOTHING) -> bool:
    """Whether the next decision needs no read before it, with this watch."""
    return not of.needs_reading(watch)


def test_nothing_is_known_before_the_first_read() -> None:
    """A record view begins without a record, and requires a read."""
    own = record_view()
    assert not own.known
    assert not is_fresh(own)
    read(own)
    assert is_known(own)
    assert (own.record, own.basis) == (FLYING, basis_of_record(FLYING))
    assert own.alive == ALL


@pytest.mark.parametrize(
    ("watch", "enough_for"),
    [
        (Watch.NOTHING, [Watch.NOTHING]),
        (Watch.ROOM, [Watch.NOTHING, Watch.ROOM]),
        (Watch.DECISIONS, [Watch.NOTHING, Watch.DECISIONS]),
        (Watch.BOTH, list(Watch)),
    ],
)
def test_a_decision_may_need_watches(watch: Watch, enough_for: list[Watch]) -> None:
    """A decision that needs a watch which is not set needs another read."""
    own = record_view()
    read(own, watch=watch)
    assert [each for each in Watch if is_fresh(own, each)] == enough_for


def test_watches_are_kept() -> None:
    """A later read without a watch leaves those that were set before."""
    own = record_view()
    read(own, watch=Watch.ROOM)
    read(own, watch=Watch.DECISIONS)
    read(own, watch=Watch.NOTHING)
    assert is_fresh(own, Watch.BOTH)


@pytest.mark.parametrize(
    ("part", "left"),
    [(GroupPart.RECORD, Watch.ROOM), (GroupPart.IN_FLIGHT, Watch.DECISIONS)],
)
def test_a_touch_makes_it_stale(part: GroupPart, left: Watch) -> None:
    """A change of the decisions, or of those in flight, requires a read, and its watch is gone."""
    own = record_view()
    read(own)
    assert is_fresh(own, Watch.BOTH)
    own.touched(part)
    assert not is_fresh(own)
    read(own, watch=Watch.NOTHING)
    assert [each for each in (Watch.ROOM, Watch.DECISIONS) if is_fresh(own, each)] == [left]


@pytest.mark.parametrize("part", [GroupPart.RECORD, GroupPart.IN_FLIGHT])
def test_a_touch_during_a_read_counts(part: GroupPart) -> None:
    """A change that is reported during a read may have happened after it."""
    own = record_view()
    own.begin()
    own.touched(part)
    event = RecordRead(1, FLYING, basis_of_record(FLYING), ALL)
    own.read(event, ReadRecord(1, Watch.BOTH), 0)
    assert not is_fresh(own)


def test_a_commit_is_taken_over() -> None:
    """Nothing that it rests on has changed, so no read is needed."""
    own = record_view()
    read(own)
    own.begin()
    basis = replace(basis_of_record(FLYING), state=9)
    own.committed(FLYING, basis)
    assert (own.record, own.basis) == (FLYING, basis)
    assert is_fresh(own, Watch.BOTH)


@pytest.mark.parametrize("part", [GroupPart.RECORD, GroupPart.IN_FLIGHT])
def test_a_commit_of_decisions_explains_a_touch(part: GroupPart) -> None:
    """No other member can have been admitted meanwhile; but the watch is gone."""
    own = record_view()
    read(own)
    own.begin()
    own.touched(part)
    own.committed(FLYING, basis_of_record(FLYING, state=5))
    assert is_fresh(own)
    assert not is_fresh(own, Watch.BOTH)


@pytest.mark.parametrize("part", [GroupPart.RECORD, GroupPart.IN_FLIGHT])
def test_a_commit_of_the_own_entry_explains_no_touch(part: GroupPart) -> None:
    """Another member may have decided something meanwhile, so the record is read again."""
    own = record_view()
    read(own)
    own.begin()
    own.touched(part)
    own.committed(FLYING, basis_of_record(FLYING))
    assert not is_fresh(own)


def test_a_lost_connection_makes_it_stale() -> None:
    """The watches are gone, and no member counts as missing any more."""
    own = record_view()
    read(own)
    survey(own)
    own.disconnected()
    assert not is_fresh(own)
    assert own.reclaim_at is None
    read(own, watch=Watch.NOTHING)
    assert not is_fresh(own, Watch.ROOM)
    assert not is_fresh(own, Watch.DECISIONS)


def test_a_record_that_may_be_of_another_process_is_read_first() -> None:
    """Another process may have written with the same member ID."""
    own = record_view()
    read(own)
    own.forget()
    assert not is_known(own)
    assert not is_fresh(own)


def test_a_missing_member_has_the_grace_period() -> None:
    """The grace period begins with the first survey without the member, which is reported once."""
    own = record_view()
    assert survey(own, "m3", at=100) == ["m2"]
    assert own.reclaim_at == 110
    assert survey(own, "m3", at=105) == []
    assert own.reclaim_at == 110
    assert own.overdue() == []
    assert survey(own, "m3", at=110) == []
    assert own.overdue() == [("m2", "t2")]


def test_several_members_are_overdue_at_once() -> None:
    """Each has its own grace period, and those that are over end together."""
    own = record_view()
    survey(own, "m3", at=100)
    assert survey(own, at=103) == ["m3"]
    survey(own, at=112)
    assert own.overdue() == [("m2", "t2")]
    survey(own, at=113)
    assert own.overdue() == [("m2", "t2"), ("m3", "t3")]


def test_only_a_survey_shows_who_is_missing() -> None:
    """A read of the own entry alone says nothing about other members."""
    own = record_view()
    assert read(own, watch=Watch.NOTHING) == []
    assert not own.is_surveyed
    assert own.reclaim_at is None
    assert own.overdue() == []
    survey(own, "m2", "m3")
    assert own.is_surveyed


def test_a_member_that_returns_is_not_missing() -> None:
    """After a member was read again, a later absence begins a new grace period."""
    own = record_view()
    survey(own, "m3", at=100)
    assert survey(own, "m2", "m3", at=105) == []
    assert own.reclaim_at is None
    assert survey(own, "m3", at=108) == ["m2"]
    assert own.reclaim_at == 118


def test_another_turn_of_a_missing_member_has_its_own_grace() -> None:
    """A member that returned and went missing in another turn has a new grace period."""
    own = record_view()
    survey(own, "m3", at=100)
    again = RolloutRecord(in_flight={"m2": entry("b@2", "new")})
    assert survey(own, at=105, record=again) == ["m2"]
    assert own.reclaim_at == 115


def test_a_member_does_not_miss_itself() -> None:
    """A member never reclaims its own turn: its node may be created again at any time."""
    own = record_view()
    assert survey(own, record=RolloutRecord(in_flight={"m1": entry("b@2")})) == []
    assert own.reclaim_at is None


def test_a_reclaimed_member_is_not_missing() -> None:
    """After a commit without its entry a member is not missing any more; others are."""
    own = record_view()
    survey(own, at=100)
    survey(own, at=110)
    one = FLYING.reclaim("m2", "t2")
    own.committed(one, basis_of_record(one))
    assert own.reclaim_at == 110
    assert own.overdue() == [("m3", "t3")]
    none = one.reclaim("m3", "t3")
    own.committed(none, basis_of_record(none))
    assert own.reclaim_at is None
    assert own.overdue() == []


@pytest.mark.parametrize(
    ("grace_s", "survey_s"), [(1, SHORTEST_SURVEY_S), (12, 4), (600, LONGEST_SURVEY_S)]
)
def test_the_first_survey_comes_within_the_grace_period(grace_s: float, survey_s: float) -> None:
    """It comes after a third of it, at least a second and at most twenty seconds."""
    own = RecordView("m1", grace_s)
    assert own.survey_at(50) == 50 + survey_s


def test_when_the_next_survey_is_due() -> None:
    """It follows the last one, or the begin of the wait, and the end of a grace period."""
    own = RecordView("m1", 12.0)
    assert own.survey_at(50) == 54
    survey(own, "m3", at=54)
    assert own.survey_at(50) == 58
    assert own.survey_at(60) == 64
    survey(own, "m3", at=64)
    assert own.survey_at(50) == 66, "the grace period of m2 is over"
    survey(own, "m3", at=67)
    assert own.survey_at(50) == 67, "and its turn is to be reclaimed"


@pytest.mark.parametrize(
    ("grace_s", "between_s"),
    [(0.5, [1, 1, 1]), (1.5, [1, 1.5, 1.5]), (12, [4, 8, 12, 12]), (90, [20, 40, 80, 90, 90])],
)
def test_surveys_that_find_no_member_missing_become_rare(
    grace_s: float, between_s: list[float]
) -> None:
    """The time doubles with each, but does not exceed the grace period, or a second."""
    own = RecordView("m1", grace_s)
    now = 50.0
    for seconds in between_s:
        assert own.survey_at(50) == now + seconds
        now += seconds
        survey(own, "m2", "m3", at=now)


def rarely_surveyed() -> RecordView:
    """Return the record view of a head that surveys every twelve seconds by now."""
    own = RecordView("m1", 12.0)
    for _ in range(2):
        survey(own, "m2", "m3", at=50)
    assert own.survey_at(50) == 62
    return own


def test_a_missing_member_makes_surveys_frequent_again() -> None:
    """They stay so until a survey finds all members again, and become rare from there."""
    own = rarely_surveyed()
    for now in (60, 63):
        survey(own, "m3", at=now)
        assert own.survey_at(50) == now + 4
    survey(own, "m2", "m3", at=65)
    assert own.survey_at(50) == 65 + 8


def test_a_commit_makes_surveys_frequent_again() -> None:
    """The head that has admitted members, or reclaimed a turn, waits for others from then on."""
    own = rarely_surveyed()
    own.committed(FLYING, basis_of_record(FLYING, state=5))
    assert own.survey_at(60) == 64


def test_a_lost_connection_makes_surveys_frequent_again() -> None:
    """Nothing was observed while it was lost, so the wait begins anew."""
    own = rarely_surveyed()
    own.disconnected()
    assert own.survey_at(60) == 64


def test_a_read_leaves_the_time_between_surveys() -> None:
    """A member that releases its turn does not make the head survey all others earlier."""
    own = rarely_surveyed()
    own.touched(GroupPart.IN_FLIGHT)
    read(own, at=55)
    assert own.survey_at(50) == 62
