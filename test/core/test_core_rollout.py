"""The group's record: who is admitted, who is not and why, and what is forgotten on the way."""

import pytest

from core.records import FAILED, SCOPE, admitted, entry, known_good, target, unproven, width
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
    """Let m1 ask for its turn as the head of the queue, at place 7."""
    return record.admit("m1", entry(word), SCOPE, population, 7)


def test_the_first_member_is_admitted() -> None:
    """An empty group admits its head, enters what it tries, and notes the place it had."""
    assert admit(RolloutRecord(), "b@2") == RolloutRecord(
        in_flight={"m1": entry("b@2")}, versions={"b": unproven(2)}, last_admitted=7
    )


@pytest.mark.parametrize(
    ("record", "refusal"),
    [
        (RolloutRecord(paused=PAUSE), Refusal.PAUSED),
        (RolloutRecord(versions={"b": unproven(2, "m2")}), Refusal.FAILED),
        (RolloutRecord(versions={"b": known_good(2, "m2")}), Refusal.FAILED),
        (RolloutRecord(versions={"b": known_good(3, "m2")}), Refusal.FAILED),
        (RolloutRecord(in_flight={"m2": entry("b@2")}), Refusal.FULL),
        (RolloutRecord(in_flight={"m2": entry("a@1", phase=FAILED)}), Refusal.FULL),
    ],
)
def test_an_admission_is_refused_with_its_reason(record: RolloutRecord, refusal: Refusal) -> None:
    """A pause, a failure and a full group each keep the head waiting, and say so."""
    assert admit(record, "b@2") is refusal


@pytest.mark.parametrize(
    ("record", "refusal"),
    [
        (
            RolloutRecord(
                paused=PAUSE, versions={"b": unproven(2, "m2")}, in_flight={"m2": entry("b@2")}
            ),
            Refusal.PAUSED,
        ),
        (
            RolloutRecord(versions={"b": unproven(2, "m2")}, in_flight={"m2": entry("b@2")}),
            Refusal.FAILED,
        ),
    ],
)
def test_the_weightiest_reason_is_given(record: RolloutRecord, refusal: Refusal) -> None:
    """An operator's pause is named before a failure, and a failure before a full group."""
    assert admit(record, "b@2") is refusal


@pytest.mark.parametrize(
    ("others", "agreed", "population", "fits"),
    [
        (1, None, 10, False),
        (0, None, 10, True),
        (1, width(2), 10, True),
        (2, width(2), 10, False),
        (2, width(30, percent=True), 10, True),
        (3, width(30, percent=True), 10, False),
        (0, width(30, percent=True), 1, True),
        (1, width(30, percent=True), 1, False),
        (9, width(100, percent=True), 10, True),
    ],
)
def test_the_width_counts_for_what_is_proven(
    others: int, agreed: AgreedMaxUnavailable | None, population: int, fits: bool
) -> None:
    """As many members as the width says are in flight with a proven snapshot, and no more."""
    flying = {f"m{n}": entry("b@2") for n in range(2, 2 + others)}
    record = RolloutRecord(in_flight=flying, versions={"b": known_good(2)}, max_unavailable=agreed)
    found = admit(record, "b@2", population)
    assert (found is Refusal.FULL) is not fits
    assert isinstance(found, RolloutRecord) is fits


@pytest.mark.parametrize(
    "versions",
    [{}, {"b": unproven(2)}, {"b": unproven(1, "m3")}, {"b": known_good(1, "m3")}],
)
def test_what_is_unproven_is_tried_by_one_alone(versions: dict[str, VersionState]) -> None:
    """Whatever the width: not yet proven, or pushed again after a failure, is for one member."""
    record = RolloutRecord(versions=versions, max_unavailable=width(5))
    assert isinstance(admit(record, "b@2"), RolloutRecord)
    assert admit(replace(record, in_flight={"m2": entry("a@1")}), "b@2") is Refusal.FULL


def test_a_member_is_not_in_its_own_way() -> None:
    """A member that is in flight already does not count when it is admitted anew."""
    record = RolloutRecord(in_flight={"m1": entry("a@1", "old")}, versions={"a": unproven(1)})
    found = admit(record, "b@2")
    assert isinstance(found, RolloutRecord)
    assert found.in_flight == {"m1": entry("b@2")}


@pytest.mark.parametrize("known", [unproven(2, "m2"), known_good(2, "m2", "m3"), unproven(2, "m1")])
def test_the_same_bytes_pushed_again_are_a_retry(known: VersionState) -> None:
    """A greater revision lifts the verdict, and begins a new one with nothing held against it."""
    record = RolloutRecord(versions={"b": known})
    assert admit(record, "b@2") is Refusal.FAILED
    found = admit(record, "b@3")
    assert isinstance(found, RolloutRecord)
    assert found.versions == {"b": unproven(3)}


def test_a_new_revision_of_what_is_good_stays_good() -> None:
    """The same bytes pushed again without a failure keep their proof, and count as newer."""
    found = admit(RolloutRecord(versions={"b": known_good(2, lost=1)}), "b@5")
    assert isinstance(found, RolloutRecord)
    assert found.versions == {"b": known_good(5, lost=1)}
    older = admit(found.release("m1", None), "b@3")
    assert isinstance(older, RolloutRecord)
    assert older.versions == found.versions


@pytest.mark.parametrize(
    ("version_state", "is_kept"),
    [
        (unproven(1), False),
        (unproven(1, "m3"), False),
        (known_good(1), True),
        (unproven(2), True),
        (unproven(9, "m3"), True),
        (VersionState(1, "another"), True),
    ],
)
def test_what_nobody_can_want_any_more_is_forgotten(
    version_state: VersionState, is_kept: bool
) -> None:
    """An admission drops older verdicts of the same znodes, except proofs."""
    found = admit(RolloutRecord(versions={"old": version_state}), "b@2")
    assert isinstance(found, RolloutRecord)
    assert ("old" in found.versions) is is_kept


@pytest.mark.parametrize(
    ("versions", "is_blocked"),
    [
        ({"b": unproven(2, "m2"), "b.x": unproven(5)}, True),
        ({"b.x": unproven(5, "m2")}, True),
        ({"b.x": unproven(2, "m2")}, True),
        ({"b.x": unproven(1, "m2")}, False),
        ({"a": unproven(5, "m2")}, False),
        ({"b": unproven(2, "m2"), "b.x": known_good(5)}, False),
        ({"b.x": unproven(5, "m2"), "b.y": known_good(6)}, False),
        ({"b.x": known_good(5), "b.y": known_good(6, "m2")}, True),
        ({"b.x": known_good(5), "b.y": unproven(5, "m2")}, True),
        ({"b": known_good(2), "b.x": unproven(5, "m2")}, False),
    ],
)
def test_the_latest_trial_of_the_same_contents_counts(
    versions: dict[str, VersionState], is_blocked: bool
) -> None:
    """Who does not know of a restart does not try what failed after it, unless that is proven."""
    blocking = RolloutRecord(versions=versions).blocking(target("b@2"))
    assert (blocking is not None) is is_blocked
    if blocking is not None:
        assert blocking.failed_by == ("m2",)


def test_the_failure_before_a_restart_is_kept_until_that_succeeds() -> None:
    """If the znode of restarts is deleted during the restart, the failure before it still holds."""
    record = RolloutRecord(versions={"b": unproven(1, "m2"), "b.x": unproven(2, "m3")})
    found = admit(record, "b.y@5")
    assert isinstance(found, RolloutRecord)
    assert found.versions == {"b.x": unproven(2, "m3"), "b.y": unproven(5)}
    assert found.blocking(target("b@1")) == unproven(2, "m3")
    restarted = found.release("m1", target("b.y@5"))
    assert restarted.versions == {"b.y": known_good(5)}
    assert restarted.blocking(target("b@1")) is None


def test_what_is_in_flight_is_not_forgotten() -> None:
    """A verdict is kept as long as a member is in flight with its content."""
    flying = {"m2": entry("old@1")}
    versions = {"old": unproven(1), "b": known_good(2)}
    record = RolloutRecord(in_flight=flying, versions=versions, max_unavailable=width(2))
    found = admit(record, "b@2")
    assert isinstance(found, RolloutRecord)
    assert found.versions == record.versions


def readmit(record: RolloutRecord, word: str, under: str = "t") -> RolloutRecord | Refusal:
    """Let m1, in flight with the token t, go on to something else."""
    return record.readmit("m1", entry(word, under), SCOPE)


FLYING = {"m1": entry("b@2", phase=FAILED)}


@pytest.mark.parametrize(
    ("wanted", "is_newer"),
    [("a@4", True), ("b@4", False), ("b.x@4", False), ("b.y@4", False), ("a@5", False)],
)
def test_a_restart_of_the_same_contents_is_nothing_newer(wanted: str, is_newer: bool) -> None:
    """Who lost sight of the znode of restarts still follows what it saw there."""
    record = RolloutRecord(versions={"b.x": known_good(5)})
    assert record.knows_newer(target(wanted)) is is_newer


@pytest.mark.parametrize(
    ("record", "refusal"),
    [
        (RolloutRecord(), Refusal.GONE),
        (RolloutRecord(in_flight={"m1": entry("b@2", "another")}), Refusal.GONE),
        (RolloutRecord(in_flight=FLYING, paused=PAUSE), Refusal.PAUSED),
        (RolloutRecord(in_flight=FLYING, versions={"c": unproven(3, "m2")}), Refusal.FAILED),
        (RolloutRecord(in_flight={**FLYING, "m2": entry("c@3", "t2")}), Refusal.FULL),
    ],
)
def test_going_on_is_refused_with_its_reason(record: RolloutRecord, refusal: Refusal) -> None:
    """The entry has to be there, nobody has paused, it has not failed, nobody else tries it."""
    assert readmit(record, "c@3") is refusal


@pytest.mark.parametrize(
    "record",
    [
        RolloutRecord(in_flight=FLYING),
        RolloutRecord(in_flight={**FLYING, "m2": entry("b@2", "t2")}),
        RolloutRecord(
            in_flight={**FLYING, "m2": entry("c@3", "t2")}, versions={"c": known_good(3)}
        ),
        RolloutRecord(in_flight=FLYING, versions={"c": unproven(2, "m1")}),
        RolloutRecord(
            in_flight={**FLYING, "m2": entry("c@2", "t2", FAILED)},
            versions={"c": known_good(2, "m1", "m2")},
        ),
    ],
)
def test_a_member_goes_on_in_its_turn(record: RolloutRecord) -> None:
    """Others in flight do not matter, unless they are just trying the same unproven content."""
    found = readmit(record, "c@3")
    assert isinstance(found, RolloutRecord)
    assert found.in_flight["m1"] == entry("c@3")
    assert found.last_admitted == record.last_admitted


def test_going_on_keeps_the_place_of_others() -> None:
    """Who was admitted last is the business of admissions alone."""
    record = admitted(RolloutRecord(), "m1", "b@2", under="t")
    found = readmit(replace(record, last_admitted=4), "c@3")
    assert isinstance(found, RolloutRecord)
    assert found.last_admitted == 4


@pytest.mark.parametrize(
    ("agreed", "population", "count"),
    [(None, 50, 1), (width(3), 1, 3), (width(25, percent=True), 50, 12)],
)
def test_the_width_in_numbers(
    agreed: AgreedMaxUnavailable | None, population: int, count: int
) -> None:
    """A group that nobody has told its width goes one by one; a percentage is rounded down."""
    assert RolloutRecord(max_unavailable=agreed).allowed(population) == count


@pytest.mark.parametrize(
    ("agreed", "asked", "asker_lives", "found"),
    [
        (None, MaxUnavailable(3), False, width(3)),
        (width(1, "m2"), MaxUnavailable(3), True, width(1, "m2")),
        (width(1, "m2"), MaxUnavailable(3), False, width(3)),
        (width(3, "m2"), MaxUnavailable(1), True, width(1)),
        (width(2, "m2"), MaxUnavailable(2), True, width(2, "m2")),
        (width(1, "m1"), MaxUnavailable(3), True, width(3)),
        (width(3, "m2"), MaxUnavailable(20, percent=True), True, width(20, percent=True)),
        (width(50, "m2", percent=True), MaxUnavailable(6), True, width(50, "m2", percent=True)),
    ],
)
def test_of_what_the_living_ask_for_the_smallest_counts(
    agreed: AgreedMaxUnavailable | None,
    asked: MaxUnavailable,
    asker_lives: bool,
    found: AgreedMaxUnavailable,
) -> None:
    """A member may lower the width, or change its own word, or that of one that is gone."""
    record = RolloutRecord(max_unavailable=agreed)
    assert record.agree("m1", asked, 10, asker_lives).max_unavailable == found


def test_an_agreed_width_is_not_written_again() -> None:
    """A member that asks for nothing new changes nothing."""
    record = RolloutRecord(max_unavailable=width(2))
    assert record.agree("m1", MaxUnavailable(2), 10, True) is record
    assert record.agree("m2", MaxUnavailable(3), 10, True) is record
