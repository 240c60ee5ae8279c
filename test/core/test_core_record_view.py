"""Check how fresh a member's view of the record is, and which members in flight are missing."""

import pytest

from core.records import entry
from zkexec.core.rollout.group_events import RecordRead
from zkexec.core.rollout.record import RolloutRecord
from zkexec.core.rollout.record_view import RecordView

FLYING = RolloutRecord(in_flight={"m2": entry("b@2", "t2"), "m3": entry("b@2", "t3")})
ALL = frozenset({"m2", "m3"})


def record_view() -> RecordView:
    """Return the record view of m1, with a grace period of ten seconds."""
    return RecordView("m1", 10.0)


def read(
    of: RecordView, record: RolloutRecord = FLYING, alive: frozenset[str] = ALL, at: float = 0
) -> list[str]:
    """Read the record with watches; return the newly missing members."""
    of.begin()
    return of.read(RecordRead(1, record, 4, alive, 7), True, at)


def is_known(of: RecordView) -> bool:
    """Whether the record was ever read."""
    return of.known


def is_fresh(of: RecordView) -> bool:
    """Whether the next decision needs no read before it."""
    return not of.needs_reading(watch=True)


def due(of: RecordView) -> float | None:
    """Return when a turn may be reclaimed."""
    return of.reclaim_at


def test_nothing_is_known_before_the_first_read() -> None:
    """A record view begins without a record, and requires a read."""
    own = record_view()
    assert not own.known
    assert own.needs_reading(watch=False)
    read(own)
    assert is_known(own)
    assert (own.record, own.znode_version, own.population) == (FLYING, 4, 7)
    assert own.is_alive("m2")
    assert not own.is_alive("m9")


def test_a_read_without_watches_is_enough_for_a_commit() -> None:
    """A decision that needs watches needs another read, a plain commit does not."""
    own = record_view()
    own.begin()
    own.read(RecordRead(1, FLYING, 4, ALL, 7), False, 0)
    assert not own.needs_reading(watch=False)
    assert own.needs_reading(watch=True)


@pytest.mark.parametrize("of_record", [True, False])
def test_a_touch_makes_it_stale(of_record: bool) -> None:
    """A change of the record, or of the living members, requires another read."""
    own = record_view()
    read(own)
    assert is_fresh(own)
    own.touched(of_record=of_record)
    assert not is_fresh(own)
    read(own)
    assert is_fresh(own)


@pytest.mark.parametrize("of_record", [True, False])
def test_a_touch_during_a_read_counts(of_record: bool) -> None:
    """A change that is reported during a read may have happened after it."""
    own = record_view()
    own.begin()
    own.touched(of_record=of_record)
    own.read(RecordRead(1, FLYING, 4, ALL, 7), True, 0)
    assert own.needs_reading(watch=False)


@pytest.mark.parametrize(("of_record", "fresh"), [(True, True), (False, False)])
def test_a_touch_during_a_commit(of_record: bool, fresh: bool) -> None:
    """A successful commit explains a touched record, but no touched member."""
    own = record_view()
    read(own)
    own.begin()
    own.touched(of_record=of_record)
    own.committed(RolloutRecord())
    assert (own.record, own.znode_version) == (RolloutRecord(), 5)
    assert own.needs_reading(watch=False) is not fresh
    assert own.needs_reading(watch=True)


def test_a_lost_connection_makes_it_stale() -> None:
    """The watches are gone, and no member counts as missing any more."""
    own = record_view()
    read(own, alive=frozenset())
    own.disconnected()
    assert own.needs_reading(watch=False)
    assert own.reclaim_at is None


def test_a_missing_member_has_the_grace_period() -> None:
    """The grace period begins with the first read without the member, which is reported once."""
    own = record_view()
    assert read(own, alive=frozenset({"m3"}), at=100) == ["m2"]
    assert own.reclaim_at == 110
    assert read(own, alive=frozenset({"m3"}), at=105) == []
    assert own.reclaim_at == 110
    assert own.overdue() is None
    assert not own.needs_final_read(109)
    assert own.needs_final_read(110)
    assert read(own, alive=frozenset({"m3"}), at=110) == []
    assert not own.needs_final_read(110)
    assert own.overdue() == ("m2", "t2")


def test_a_member_that_returns_is_not_missing() -> None:
    """After a member was read again, a later absence begins a new grace period."""
    own = record_view()
    read(own, alive=frozenset({"m3"}), at=100)
    assert read(own, at=105) == []
    assert own.reclaim_at is None
    assert read(own, alive=frozenset({"m3"}), at=108) == ["m2"]
    assert own.reclaim_at == 118


def test_another_turn_of_a_missing_member_has_its_own_grace() -> None:
    """A member that returned and went missing in another turn has a new grace period."""
    own = record_view()
    read(own, alive=frozenset({"m3"}), at=100)
    again = RolloutRecord(in_flight={"m2": entry("b@2", "new")})
    assert read(own, again, frozenset(), at=105) == ["m2"]
    assert own.reclaim_at == 115


def test_a_member_does_not_miss_itself() -> None:
    """A member never reclaims its own turn: its node may be created again at any time."""
    own = record_view()
    assert read(own, RolloutRecord(in_flight={"m1": entry("b@2")}), frozenset()) == []
    assert own.reclaim_at is None


def test_a_reclaimed_member_is_not_missing() -> None:
    """After a commit without its entry a member is not missing any more; others are."""
    own = record_view()
    read(own, alive=frozenset(), at=100)
    own.committed(FLYING.reclaim("m2", "t2"))
    assert own.reclaim_at == 110
    own.committed(own.record.reclaim("m3", "t3"))
    assert own.reclaim_at is None
    assert own.overdue() is None
