"""Check the limits of a group: how many members may be in flight, and on how many it may fail."""

import pytest

from core.records import failures, limit, population
from zkexec.core.policy import MaxFailed, MaxUnavailable
from zkexec.core.rollout.limits import (
    AgreedMaxFailed,
    AgreedMaxUnavailable,
    agreed_max_failed,
    agreed_max_unavailable,
)
from zkexec.core.rollout.record import RolloutRecord

TEN = population(10)


@pytest.mark.parametrize(
    ("requested", "members", "count", "words"),
    [
        (MaxUnavailable(), 100, 1, "1"),
        (MaxUnavailable(3), 1, 3, "3"),
        (MaxUnavailable(10, percent=True), 9, 1, "10%"),
        (MaxUnavailable(10, percent=True), 20, 2, "10%"),
        (MaxUnavailable(10, percent=True), 29, 2, "10%"),
        (MaxUnavailable(100, percent=True), 7, 7, "100%"),
        (MaxUnavailable(50, percent=True), 0, 1, "50%"),
    ],
)
def test_max_unavailable_is_a_number_of_members(
    requested: MaxUnavailable, members: int, count: int, words: str
) -> None:
    """A percentage is taken of the living members, rounded down, and at least one."""
    assert requested.of(members) == count
    assert str(requested) == words


@pytest.mark.parametrize(("zone", "count"), [("east", 4), ("west", 1), ("unknown", 1)])
def test_a_percentage_of_a_zone(zone: str, count: int) -> None:
    """It is taken of the living members of the zone that is open, and at least one."""
    requested = MaxUnavailable(50, percent=True, per_zone=True)
    assert population(10, east=8, west=2).allowed_by(requested, zone) == count
    assert str(requested) == "50%/zone"


@pytest.mark.parametrize(
    ("requested", "members", "count", "words"),
    [
        (MaxFailed(), 100, 0, "0"),
        (MaxFailed(3), 1, 3, "3"),
        (MaxFailed(5, percent=True), 100, 5, "5%"),
        (MaxFailed(5, percent=True), 19, 0, "5%"),
    ],
)
def test_max_failed_is_a_number_of_members(
    requested: MaxFailed, members: int, count: int, words: str
) -> None:
    """A percentage is taken of the living members, and may be none at all."""
    assert requested.of(members) == count
    assert str(requested) == words


@pytest.mark.parametrize(
    ("known", "requested", "is_alive", "found"),
    [
        (None, limit(3), False, limit(3)),
        (limit(1, "m2"), limit(3), True, limit(1, "m2")),
        (limit(1, "m2"), limit(3), False, limit(3)),
        (limit(3, "m2"), limit(1), True, limit(1)),
        (limit(2, "m2"), limit(2), True, limit(2, "m2")),
        (limit(1, "m1"), limit(3), True, limit(3)),
        (limit(3, "m2"), limit(20, percent=True), True, limit(20, percent=True)),
        (limit(50, "m2", percent=True), limit(6), True, limit(50, "m2", percent=True)),
    ],
)
def test_of_living_requests_the_smallest_max_unavailable_counts(
    known: AgreedMaxUnavailable | None,
    requested: AgreedMaxUnavailable,
    is_alive: bool,
    found: AgreedMaxUnavailable,
) -> None:
    """A member may lower max unavailable, or replace its own request or a missing member's."""
    agreed = agreed_max_unavailable(known, requested, TEN, "", is_requester_alive=is_alive)
    assert agreed == found


def test_requests_for_a_share_of_a_zone_are_compared_in_the_own_zone() -> None:
    """Half of a zone of two is less than two members, and half of a zone of eight is not."""
    half, two = limit(50, "m2", percent=True, per_zone=True), limit(2)
    zones = population(10, east=8, west=2)
    assert agreed_max_unavailable(half, two, zones, "east", is_requester_alive=True) == two
    assert agreed_max_unavailable(half, two, zones, "west", is_requester_alive=True) == half


@pytest.mark.parametrize(
    ("known", "requested", "is_alive", "found"),
    [
        (None, failures(3), False, failures(3)),
        (failures(1, "m2"), failures(3), True, failures(1, "m2")),
        (failures(1, "m2"), failures(3), False, failures(3)),
        (failures(3, "m2"), failures(0), True, failures(0)),
        (failures(2, "m2"), failures(2), True, failures(2, "m2")),
        (failures(1, "m1"), failures(3), True, failures(3)),
        (failures(3, "m2"), failures(20, percent=True), True, failures(20, percent=True)),
    ],
)
def test_of_living_requests_the_smallest_max_failed_counts(
    known: AgreedMaxFailed | None,
    requested: AgreedMaxFailed,
    is_alive: bool,
    found: AgreedMaxFailed,
) -> None:
    """The same rule as for max unavailable."""
    assert agreed_max_failed(known, requested, TEN, is_requester_alive=is_alive) == found


def request(
    record: RolloutRecord, member: str, amount: int, failed: int, *alive: str
) -> RolloutRecord:
    """Let a member request its limits, while these members are alive."""
    return record.with_limits(
        member, "", MaxUnavailable(amount), MaxFailed(failed), alive=frozenset(alive)
    )


def test_each_limit_has_its_own_requester() -> None:
    """A member may be the one that lowers one limit, and another member the other."""
    record = request(RolloutRecord(), "m2", 3, 0)
    record = request(record, "m1", 1, 5, "m2")
    assert (record.max_unavailable, record.max_failed) == (limit(1), failures(0, "m2"))
    record = request(record, "m3", 2, 5, "m1")
    assert (record.max_unavailable, record.max_failed) == (limit(1), failures(5, "m3"))


def test_an_agreed_limit_is_not_written_again() -> None:
    """A member that requests nothing new changes nothing."""
    record = RolloutRecord(max_unavailable=limit(2), max_failed=failures(0))
    assert request(record, "m1", 2, 0, "m1") is record
    assert request(record, "m2", 3, 0, "m1") is record


@pytest.mark.parametrize(
    ("agreed", "members", "count"),
    [(None, 50, 1), (limit(3), 1, 3), (limit(25, percent=True), 50, 12)],
)
def test_max_unavailable_in_numbers(
    agreed: AgreedMaxUnavailable | None, members: int, count: int
) -> None:
    """A group without a max unavailable allows one member; a percentage is rounded down."""
    record = RolloutRecord(max_unavailable=agreed, population=population(members))
    assert record.max_in_flight("") == count


@pytest.mark.parametrize(
    ("agreed", "count"), [(None, 0), (failures(3), 3), (failures(10, percent=True), 2)]
)
def test_max_failed_in_numbers(agreed: AgreedMaxFailed | None, count: int) -> None:
    """A group without a max failed tolerates no failure; a percentage is rounded down."""
    assert RolloutRecord(max_failed=agreed, population=population(29)).tolerated == count
