"""Check which members the record admits, why it refuses others, and what it drops on the way."""

import pytest

from core.records import FAILED, SCOPE, admitted, entry, known_good, limit, not_good, version
from zkexec.core.policy import MaxUnavailable
from zkexec.core.rollout.record import (
    AgreedMaxUnavailable,
    Pause,
    Refusal,
    RolloutRecord,
    VersionState,
)
from zkexec.frozen import replace

PAUSE = Pause("operator", "maintenance")


def admit(record: RolloutRecord, word: str, population: int = 10) -> RolloutRecord | Refusal:
    """Let m1 request admission as the head of the queue, with sequence number 7."""
    return record.admit("m1", entry(word), SCOPE, population, 7)


def test_the_first_member_is_admitted() -> None:
    """An empty group admits its head, enters its version, and keeps its sequence number."""
    assert admit(RolloutRecord(), "b@2") == RolloutRecord(
        in_flight={"m1": entry("b@2")}, versions={"b": not_good(2)}, last_admitted=7
    )


@pytest.mark.parametrize(
    ("record", "refusal"),
    [
        (RolloutRecord(paused=PAUSE), Refusal.PAUSED),
        (RolloutRecord(versions={"b": not_good(2, "m2")}), Refusal.FAILED),
        (RolloutRecord(versions={"b": known_good(2, "m2")}), Refusal.FAILED),
        (RolloutRecord(versions={"b": known_good(3, "m2")}), Refusal.FAILED),
        (RolloutRecord(in_flight={"m2": entry("b@2")}), Refusal.FULL),
        (RolloutRecord(in_flight={"m2": entry("a@1", phase=FAILED)}), Refusal.FULL),
    ],
)
def test_an_admission_is_refused_with_its_reason(record: RolloutRecord, refusal: Refusal) -> None:
    """A pause, a failed version and a full group each refuse the head, with their reason."""
    assert admit(record, "b@2") is refusal


@pytest.mark.parametrize(
    ("record", "refusal"),
    [
        (
            RolloutRecord(
                paused=PAUSE, versions={"b": not_good(2, "m2")}, in_flight={"m2": entry("b@2")}
            ),
            Refusal.PAUSED,
        ),
        (
            RolloutRecord(versions={"b": not_good(2, "m2")}, in_flight={"m2": entry("b@2")}),
            Refusal.FAILED,
        ),
    ],
)
def test_the_first_reason_is_given(record: RolloutRecord, refusal: Refusal) -> None:
    """A pause is named before a failed version, and a failed version before a full group."""
    assert admit(record, "b@2") is refusal


@pytest.mark.parametrize(
    ("others", "agreed", "population", "fits"),
    [
        (1, None, 10, False),
        (0, None, 10, True),
        (1, limit(2), 10, True),
        (2, limit(2), 10, False),
        (2, limit(30, percent=True), 10, True),
        (3, limit(30, percent=True), 10, False),
        (0, limit(30, percent=True), 1, True),
        (1, limit(30, percent=True), 1, False),
        (9, limit(100, percent=True), 10, True),
    ],
)
def test_max_unavailable_limits_a_known_good_version(
    others: int, agreed: AgreedMaxUnavailable | None, population: int, fits: bool
) -> None:
    """With a known good version, at most max unavailable members are in flight."""
    flying = {f"m{n}": entry("b@2") for n in range(2, 2 + others)}
    record = RolloutRecord(in_flight=flying, versions={"b": known_good(2)}, max_unavailable=agreed)
    found = admit(record, "b@2", population)
    assert (found is Refusal.FULL) is not fits
    assert isinstance(found, RolloutRecord) is fits


@pytest.mark.parametrize(
    "versions",
    [{}, {"b": not_good(2)}, {"b": not_good(1, "m3")}, {"b": known_good(1, "m3")}],
)
def test_one_member_tries_an_untried_version(versions: dict[str, VersionState]) -> None:
    """Only one member tries a version that is untried, or written again after a failure."""
    record = RolloutRecord(versions=versions, max_unavailable=limit(5))
    assert isinstance(admit(record, "b@2"), RolloutRecord)
    assert admit(replace(record, in_flight={"m2": entry("a@1")}), "b@2") is Refusal.FULL


def test_a_member_does_not_count_for_itself() -> None:
    """A member that is in flight already does not count when it is admitted again."""
    record = RolloutRecord(in_flight={"m1": entry("a@1", "old")}, versions={"a": not_good(1)})
    found = admit(record, "b@2")
    assert isinstance(found, RolloutRecord)
    assert found.in_flight == {"m1": entry("b@2")}


@pytest.mark.parametrize("known", [not_good(2, "m2"), known_good(2, "m2", "m3"), not_good(2, "m1")])
def test_the_same_bytes_pushed_again_are_a_retry(known: VersionState) -> None:
    """A greater zxid ends the failure of a version, and begins a new state without any."""
    record = RolloutRecord(versions={"b": known})
    assert admit(record, "b@2") is Refusal.FAILED
    found = admit(record, "b@3")
    assert isinstance(found, RolloutRecord)
    assert found.versions == {"b": not_good(3)}


def test_a_known_good_version_written_again_stays_good() -> None:
    """A known good version that is written again stays known good, with the newer zxid."""
    found = admit(RolloutRecord(versions={"b": known_good(2, lost=1)}), "b@5")
    assert isinstance(found, RolloutRecord)
    assert found.versions == {"b": known_good(5, lost=1)}
    older = admit(found.release("m1", None), "b@3")
    assert isinstance(older, RolloutRecord)
    assert older.versions == found.versions


@pytest.mark.parametrize(
    ("version_state", "is_kept"),
    [
        (not_good(1), False),
        (not_good(1, "m3"), False),
        (known_good(1), True),
        (not_good(2), True),
        (not_good(9, "m3"), True),
        (VersionState(1, "another"), True),
    ],
)
def test_an_admission_drops_older_versions(version_state: VersionState, is_kept: bool) -> None:
    """An admission drops older versions of the same znodes, unless they are known good."""
    found = admit(RolloutRecord(versions={"old": version_state}), "b@2")
    assert isinstance(found, RolloutRecord)
    assert ("old" in found.versions) is is_kept


@pytest.mark.parametrize(
    ("versions", "is_blocked"),
    [
        ({"b": not_good(2, "m2"), "b.x": not_good(5)}, True),
        ({"b.x": not_good(5, "m2")}, True),
        ({"b.x": not_good(2, "m2")}, True),
        ({"b.x": not_good(1, "m2")}, False),
        ({"a": not_good(5, "m2")}, False),
        ({"b": not_good(2, "m2"), "b.x": known_good(5)}, False),
        ({"b.x": not_good(5, "m2"), "b.y": known_good(6)}, False),
        ({"b.x": known_good(5), "b.y": known_good(6, "m2")}, True),
        ({"b.x": known_good(5), "b.y": not_good(5, "m2")}, True),
        ({"b": known_good(2), "b.x": not_good(5, "m2")}, False),
    ],
)
def test_the_latest_trial_of_the_same_contents_counts(
    versions: dict[str, VersionState], is_blocked: bool
) -> None:
    """A failure after a restart also blocks a member that has not read of the restart."""
    blocking = RolloutRecord(versions=versions).failure_of(version("b@2"))
    assert (blocking is not None) is is_blocked
    if blocking is not None:
        assert blocking.failed_by == ("m2",)


def test_the_failure_before_a_restart_is_kept_until_that_succeeds() -> None:
    """If the znode of restarts is deleted during a restart, the failure before it applies."""
    record = RolloutRecord(versions={"b": not_good(1, "m2"), "b.x": not_good(2, "m3")})
    found = admit(record, "b.y@5")
    assert isinstance(found, RolloutRecord)
    assert found.versions == {"b.x": not_good(2, "m3"), "b.y": not_good(5)}
    assert found.failure_of(version("b@1")) == not_good(2, "m3")
    restarted = found.release("m1", version("b.y@5"))
    assert restarted.versions == {"b.y": known_good(5)}
    assert restarted.failure_of(version("b@1")) is None


def test_a_version_in_flight_is_kept() -> None:
    """A version is kept while a member is in flight with it."""
    flying = {"m2": entry("old@1")}
    versions = {"old": not_good(1), "b": known_good(2)}
    record = RolloutRecord(in_flight=flying, versions=versions, max_unavailable=limit(2))
    found = admit(record, "b@2")
    assert isinstance(found, RolloutRecord)
    assert found.versions == record.versions


def readmit(record: RolloutRecord, word: str, under: str = "t") -> RolloutRecord | Refusal:
    """Readmit m1, in flight with the token t, to another version."""
    return record.readmit("m1", entry(word, under), SCOPE)


FLYING = {"m1": entry("b@2", phase=FAILED)}


@pytest.mark.parametrize(
    ("wanted", "is_newer"),
    [("a@4", True), ("b@4", False), ("b.x@4", False), ("b.y@4", False), ("a@5", False)],
)
def test_a_restart_of_the_same_contents_is_not_newer(wanted: str, is_newer: bool) -> None:
    """A restart of the same contents does not make a version out of date."""
    record = RolloutRecord(versions={"b.x": known_good(5)})
    assert record.knows_newer(version(wanted)) is is_newer


@pytest.mark.parametrize(
    ("record", "refusal"),
    [
        (RolloutRecord(), Refusal.GONE),
        (RolloutRecord(in_flight={"m1": entry("b@2", "another")}), Refusal.GONE),
        (RolloutRecord(in_flight=FLYING, paused=PAUSE), Refusal.PAUSED),
        (RolloutRecord(in_flight=FLYING, versions={"c": not_good(3, "m2")}), Refusal.FAILED),
        (RolloutRecord(in_flight={**FLYING, "m2": entry("c@3", "t2")}), Refusal.FULL),
    ],
)
def test_a_readmission_is_refused_with_its_reason(record: RolloutRecord, refusal: Refusal) -> None:
    """A lost entry, a pause, a failed version and another trial each refuse a readmission."""
    assert readmit(record, "c@3") is refusal


@pytest.mark.parametrize(
    "record",
    [
        RolloutRecord(in_flight=FLYING),
        RolloutRecord(in_flight={**FLYING, "m2": entry("b@2", "t2")}),
        RolloutRecord(
            in_flight={**FLYING, "m2": entry("c@3", "t2")}, versions={"c": known_good(3)}
        ),
        RolloutRecord(in_flight=FLYING, versions={"c": not_good(2, "m1")}),
        RolloutRecord(
            in_flight={**FLYING, "m2": entry("c@2", "t2", FAILED)},
            versions={"c": known_good(2, "m1", "m2")},
        ),
    ],
)
def test_a_member_is_readmitted_in_its_turn(record: RolloutRecord) -> None:
    """Others in flight do not prevent a readmission, unless they try the same untried version."""
    found = readmit(record, "c@3")
    assert isinstance(found, RolloutRecord)
    assert found.in_flight["m1"] == entry("c@3")
    assert found.last_admitted == record.last_admitted


def test_a_readmission_keeps_the_last_admission() -> None:
    """A readmission does not change which queue node was admitted last."""
    record = admitted(RolloutRecord(), "m1", "b@2", under="t")
    found = readmit(replace(record, last_admitted=4), "c@3")
    assert isinstance(found, RolloutRecord)
    assert found.last_admitted == 4


@pytest.mark.parametrize(
    ("agreed", "population", "count"),
    [(None, 50, 1), (limit(3), 1, 3), (limit(25, percent=True), 50, 12)],
)
def test_max_unavailable_in_numbers(
    agreed: AgreedMaxUnavailable | None, population: int, count: int
) -> None:
    """A group without a max unavailable allows one member; a percentage is rounded down."""
    assert RolloutRecord(max_unavailable=agreed).allowed(population) == count


@pytest.mark.parametrize(
    ("agreed", "asked", "asker_lives", "found"),
    [
        (None, MaxUnavailable(3), False, limit(3)),
        (limit(1, "m2"), MaxUnavailable(3), True, limit(1, "m2")),
        (limit(1, "m2"), MaxUnavailable(3), False, limit(3)),
        (limit(3, "m2"), MaxUnavailable(1), True, limit(1)),
        (limit(2, "m2"), MaxUnavailable(2), True, limit(2, "m2")),
        (limit(1, "m1"), MaxUnavailable(3), True, limit(3)),
        (limit(3, "m2"), MaxUnavailable(20, percent=True), True, limit(20, percent=True)),
        (limit(50, "m2", percent=True), MaxUnavailable(6), True, limit(50, "m2", percent=True)),
    ],
)
def test_of_living_requests_the_smallest_counts(
    agreed: AgreedMaxUnavailable | None,
    asked: MaxUnavailable,
    asker_lives: bool,
    found: AgreedMaxUnavailable,
) -> None:
    """A member may lower max unavailable, or replace its own request or a missing member's."""
    record = RolloutRecord(max_unavailable=agreed)
    assert record.with_max_unavailable("m1", asked, 10, asker_lives).max_unavailable == found


def test_an_agreed_max_unavailable_is_not_written_again() -> None:
    """A member that requests nothing new changes nothing."""
    record = RolloutRecord(max_unavailable=limit(2))
    assert record.with_max_unavailable("m1", MaxUnavailable(2), 10, True) is record
    assert record.with_max_unavailable("m2", MaxUnavailable(3), 10, True) is record
