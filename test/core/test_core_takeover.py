"""Check when a member acts in place of a head that hangs, and when members act at once."""

import pytest

from zkexec.core.rollout.record import RolloutRecord
from zkexec.core.rollout.record_basis import RecordBasis
from zkexec.core.rollout.spread import FEW, LONGEST_JOIN_S, LONGEST_RETRY_S, Spread
from zkexec.core.rollout.takeover import Takeover

TIMEOUT_S = 10.0


def read(
    of: Takeover, at: float, state: int = 4, in_flight: int = 3, *, has_room: bool = True
) -> bool:
    """Read the record; return whether the member acts from now on."""
    record = RolloutRecord(in_flight_count=in_flight)
    of.read(record, RecordBasis(state), at, TIMEOUT_S, has_room=has_room)
    return of.acts


def acts(of: Takeover) -> bool:
    """Whether the member acts in place of the head."""
    return of.acts


def test_a_head_that_decides_nothing_hangs() -> None:
    """The same decisions and the same room at two reads show it; one read does not."""
    own = Takeover()
    assert own.due(TIMEOUT_S, 100) == 120
    assert not read(own, 120)
    assert own.due(TIMEOUT_S, 100) == 140
    assert read(own, 140)


@pytest.mark.parametrize(
    ("state", "in_flight", "has_room"), [(5, 3, True), (4, 2, True), (4, 4, True), (4, 3, False)]
)
def test_a_head_that_acts_is_trusted(state: int, in_flight: int, has_room: bool) -> None:
    """Other decisions, another number in flight or no room begin the observation anew."""
    own = Takeover()
    read(own, 120)
    assert not read(own, 140, state, in_flight, has_room=has_room)
    assert read(own, 160, state, in_flight) is has_room
    assert read(own, 180, state, in_flight)


def test_two_reads_one_after_the_other_show_nothing() -> None:
    """The head has two session timeouts to decide something."""
    own = Takeover()
    read(own, 120)
    assert not read(own, 120.1)
    assert not read(own, 139.9)
    assert read(own, 140)


def test_without_room_no_head_hangs() -> None:
    """It has nothing to do."""
    own = Takeover()
    for at in (120, 140, 160):
        assert not read(own, at, has_room=False)
        assert own.due(TIMEOUT_S, 100) == at + 20


def test_the_observation_begins_with_the_wait() -> None:
    """A read from before this member waited for the head is no part of it."""
    own = Takeover()
    read(own, 120)
    assert own.due(TIMEOUT_S, 130) == 150


def test_something_has_happened() -> None:
    """After an admission the next head is trusted from the start."""
    own = Takeover()
    read(own, 120)
    read(own, 140)
    assert acts(own)
    own.forget()
    assert not acts(own)
    assert not read(own, 160)


def joins(population: int, members: int = 50) -> list[float]:
    """Return how long each of some members waits before it queues."""
    return [Spread(f"m{number}").join_s(population) for number in range(members)]


def test_few_members_queue_at_once() -> None:
    """A group that the servers do not notice needs no spreading."""
    assert set(joins(FEW)) == {0.0}


@pytest.mark.parametrize(("population", "longest"), [(200, 0.1), (10_000, LONGEST_JOIN_S)])
def test_many_members_are_spread(population: int, longest: float) -> None:
    """They use all of the time, which grows with the group up to its limit."""
    found = joins(population)
    assert 0 <= min(found) < longest / 4
    assert longest * 3 / 4 < max(found) <= longest


def test_each_moment_of_a_member_is_another() -> None:
    """A member does not always wait the longest, and the same run is repeated exactly."""
    own, again = Spread("m1"), Spread("m1")
    found = [own.join_s(10_000) for _ in range(5)]
    assert len(set(found)) == 5
    assert [again.join_s(10_000) for _ in range(5)] == found


@pytest.mark.parametrize(
    ("in_flight", "longest"), [(0, 0.0), (16, 0.0), (100, 0.4), (5000, LONGEST_RETRY_S)]
)
def test_retries_after_a_conflict_are_spread(in_flight: int, longest: float) -> None:
    """With few members in flight the next attempt follows at once."""
    found = [Spread(f"m{number}").retry_s(in_flight) for number in range(50)]
    assert 0 <= max(found) <= longest
    assert max(found) >= longest * 3 / 4
