"""The record as a member knows it: how fresh it is, and who of those in flight is missing."""

import pytest

from core.records import entry
from zkexec.core.rollout.group_events import RecordRead
from zkexec.core.rollout.record import RolloutRecord
from zkexec.core.rollout.record_view import RecordView

FLYING = RolloutRecord(in_flight={"m2": entry("b@2", "t2"), "m3": entry("b@2", "t3")})
ALL = frozenset({"m2", "m3"})


def record_view() -> RecordView:
    """The ledger of m1, with a grace period of ten seconds."""
    return RecordView("m1", 10.0)


def read(
    of: RecordView, record: RolloutRecord = FLYING, alive: frozenset[str] = ALL, at: float = 0
) -> list[str]:
    """Let it read the record, with watches; return who is newly missing."""
    of.begin()
    return of.read(RecordRead(1, record, 4, alive, 7), True, at)


def is_fresh(of: RecordView) -> bool:
    """Whether the next decision needs no read before it."""
    return not of.needs_reading(watch=True)


def test_nothing_is_known_before_the_first_read() -> None:
    """A ledger begins without a record, and has to read."""
    own = record_view()
    assert not own.known
    assert own.needs_reading(watch=False)
    read(own)
    assert own.known
    assert (own.record, own.version, own.population) == (FLYING, 4, 7)
    assert own.lives("m2")
    assert not own.lives("m9")


def test_a_read_without_watches_is_enough_for_some() -> None:
    """Who has to be told of changes needs another read, who only wants to commit does not."""
    own = record_view()
    own.begin()
    own.read(RecordRead(1, FLYING, 4, ALL, 7), False, 0)
    assert not own.needs_reading(watch=False)
    assert own.needs_reading(watch=True)


@pytest.mark.parametrize("of_record", [True, False])
def test_a_touch_makes_it_stale(of_record: bool) -> None:
    """A change of the record, or of who is alive, asks for another read."""
    own = record_view()
    read(own)
    assert is_fresh(own)
    own.touched(of_record=of_record)
    assert not is_fresh(own)
    read(own)
    assert is_fresh(own)


@pytest.mark.parametrize("of_record", [True, False])
def test_a_touch_during_a_read_counts(of_record: bool) -> None:
    """What is told between a read and its answer may have happened after the read."""
    own = record_view()
    own.begin()
    own.touched(of_record=of_record)
    own.read(RecordRead(1, FLYING, 4, ALL, 7), True, 0)
    assert own.needs_reading(watch=False)


@pytest.mark.parametrize(("of_record", "fresh"), [(True, True), (False, False)])
def test_a_touch_during_a_commit(of_record: bool, fresh: bool) -> None:
    """A commit that succeeds explains a touched record, and nothing else."""
    own = record_view()
    read(own)
    own.begin()
    own.touched(of_record=of_record)
    own.committed(RolloutRecord())
    assert (own.record, own.version) == (RolloutRecord(), 5)
    assert own.needs_reading(watch=False) is not fresh
    assert own.needs_reading(watch=True)


def test_a_lost_connection_makes_it_stale() -> None:
    """Watches went with it, and nobody is missing any more for all one knows."""
    own = record_view()
    read(own, alive=frozenset())
    own.disconnected()
    assert own.needs_reading(watch=False)
    assert own.reclaim_at is None


def test_a_missing_member_has_the_grace_period() -> None:
    """It counts from the first read without it, and is told once."""
    own = record_view()
    assert read(own, alive=frozenset({"m3"}), at=100) == ["m2"]
    assert own.reclaim_at == 110
    assert read(own, alive=frozenset({"m3"}), at=105) == []
    assert own.reclaim_at == 110
    assert own.overdue() is None
    assert not own.needs_last_look(109)
    assert own.needs_last_look(110)
    assert read(own, alive=frozenset({"m3"}), at=110) == []
    assert not own.needs_last_look(110)
    assert own.overdue() == ("m2", "t2")


def test_a_member_that_returns_is_not_missed() -> None:
    """Once it was seen again, a later absence begins anew."""
    own = record_view()
    read(own, alive=frozenset({"m3"}), at=100)
    assert read(own, at=105) == []
    assert own.reclaim_at is None
    assert read(own, alive=frozenset({"m3"}), at=108) == ["m2"]
    assert own.reclaim_at == 118


def test_another_turn_of_a_missing_member_has_its_own_grace() -> None:
    """A member that came, took another turn and went is missing since then."""
    own = record_view()
    read(own, alive=frozenset({"m3"}), at=100)
    again = RolloutRecord(in_flight={"m2": entry("b@2", "new")})
    assert read(own, again, frozenset(), at=105) == ["m2"]
    assert own.reclaim_at == 115


def test_a_member_does_not_miss_itself() -> None:
    """One's own node may be made anew at any time, nobody reaps itself."""
    own = record_view()
    assert read(own, RolloutRecord(in_flight={"m1": entry("b@2")}), frozenset()) == []
    assert own.reclaim_at is None


def test_who_was_taken_out_is_missed_no_more() -> None:
    """After a commit without its entry nothing is due for a member; others stay missing."""
    own = record_view()
    read(own, alive=frozenset(), at=100)
    own.committed(FLYING.reclaim("m2", "t2"))
    assert own.reclaim_at == 110
    own.committed(own.record.reclaim("m3", "t3"))
    assert own.reclaim_at is None
    assert own.overdue() is None
