"""Check which members the record admits, why it refuses others, and what it drops on the way."""

import pytest

from core.records import (
    FAILED,
    SCOPE,
    admitted,
    entry,
    known_good,
    limit,
    not_good,
    population,
    version,
)
from zkexec.core.policy import MaxUnavailable
from zkexec.core.rollout.limits import AgreedMaxUnavailable
from zkexec.core.rollout.record import ActingHead, Hold, Pause, Refusal, RolloutRecord
from zkexec.core.rollout.version_state import VersionState
from zkexec.frozen import replace

PAUSE = Pause("operator", "maintenance")


def admit(record: RolloutRecord, word: str, *, zone: str = "") -> RolloutRecord | Refusal:
    """Let m1 request admission as the head of the queue, with the queue node 7."""
    return record.admit("m1", entry(word, zone=zone), SCOPE, 7)


def test_the_first_member_is_admitted() -> None:
    """An empty group admits its head, enters its version, and keeps the number of its node."""
    assert admit(RolloutRecord(), "b@2") == RolloutRecord(
        in_flight={"m1": entry("b@2", admission=1)},
        versions={"b": not_good(2)},
        last_admitted=7,
        admissions=1,
    )


def test_admissions_are_counted() -> None:
    """Each entry has the number of its admission, and no head acts after an admission."""
    record = RolloutRecord(admissions=4, head=ActingHead("m9", 3), zone="east")
    found = record.admit("m1", entry("b@2", zone="west"), SCOPE)
    assert isinstance(found, RolloutRecord)
    assert (found.admissions, found.in_flight["m1"].admission) == (5, 5)
    assert (found.head, found.last_admitted, found.zone) == (None, -1, "west")


@pytest.mark.parametrize(
    ("record", "refusal"),
    [
        (RolloutRecord(paused=PAUSE), Refusal.PAUSED),
        (RolloutRecord(versions={"b": not_good(2, "m2")}), Refusal.FAILED),
        (RolloutRecord(versions={"b": known_good(2, "m2")}), Refusal.FAILED),
        (RolloutRecord(versions={"b": known_good(3, "m2")}), Refusal.FAILED),
        (RolloutRecord(hold=Hold(MaxUnavailable(0), "operator", "")), Refusal.HELD),
        (RolloutRecord(in_flight={"m2": entry("b@2")}), Refusal.FULL),
        (RolloutRecord(in_flight={"m2": entry("a@1", phase=FAILED)}), Refusal.FULL),
        (RolloutRecord(in_flight_count=1), Refusal.FULL),
        (RolloutRecord(in_flight_count=1, zone="east"), Refusal.ZONE),
        (RolloutRecord(unavailable=frozenset({"m2"})), Refusal.FULL),
    ],
)
def test_an_admission_is_refused_with_its_reason(record: RolloutRecord, refusal: Refusal) -> None:
    """A pause, a failed version, a hold, another zone and a full group each refuse the head."""
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
    ("others", "agreed", "members", "fits"),
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
    others: int, agreed: AgreedMaxUnavailable | None, members: int, fits: bool
) -> None:
    """With a known good version that many run, at most max unavailable members are in flight."""
    record = RolloutRecord(
        versions={"b": known_good(2, succeeded=50)},
        max_unavailable=agreed,
        in_flight_count=others,
        population=population(members),
    )
    found = admit(record, "b@2")
    assert (found is Refusal.FULL) is not fits
    assert isinstance(found, RolloutRecord) is fits


@pytest.mark.parametrize(
    ("succeeded", "allowed"), [(0, 1), (1, 2), (2, 4), (7, 14), (10, 20), (11, 20), (500, 20)]
)
def test_twice_as_many_as_have_succeeded_are_in_flight(succeeded: int, allowed: int) -> None:
    """The number of members in flight doubles as members succeed, up to max unavailable."""
    record = RolloutRecord(
        versions={"b": known_good(2, succeeded=succeeded)}, max_unavailable=limit(20)
    )
    assert record.allowed(version("b@2")) == allowed
    assert isinstance(admit(replace(record, in_flight_count=allowed - 1), "b@2"), RolloutRecord)
    assert admit(replace(record, in_flight_count=allowed), "b@2") is Refusal.FULL


def test_successes_before_a_retry_do_not_count() -> None:
    """A version that is written again after a failure is tried by one member alone."""
    record = RolloutRecord(
        versions={"b": known_good(2, "m9", succeeded=50)}, max_unavailable=limit(20)
    )
    assert record.allowed(version("b@3")) == 1
    assert admitted(record, "m1", "b@3").versions["b"].succeeded == 0


@pytest.mark.parametrize(
    ("ill", "in_flight", "fits"),
    [
        ((), 2, True),
        (("m2",), 2, False),
        (("m2",), 1, True),
        (("m1",), 2, True),
        (("m1", "m2", "m3", "m4"), 2, True),
        (("m1", "m2", "m3", "m4"), 3, False),
    ],
)
def test_unavailable_members_take_room(ill: tuple[str, ...], in_flight: int, fits: bool) -> None:
    """A member that is unavailable counts as one in flight, except for its own turn."""
    record = RolloutRecord(
        versions={"b": known_good(2, succeeded=50)},
        max_unavailable=limit(3),
        in_flight_count=in_flight,
        unavailable=frozenset(ill),
    )
    assert isinstance(admit(record, "b@2"), RolloutRecord) is fits


def test_unavailable_members_do_not_slow_the_ramp() -> None:
    """They count against max unavailable, not against twice the number that have succeeded."""
    record = RolloutRecord(
        versions={"b": known_good(2, succeeded=1)},
        max_unavailable=limit(9),
        in_flight_count=1,
        unavailable=frozenset({"m2", "m3"}),
    )
    assert isinstance(admit(record, "b@2"), RolloutRecord)


@pytest.mark.parametrize(
    ("in_flight", "zone", "refusal"),
    [(0, "west", None), (1, "west", Refusal.ZONE), (1, "east", None), (1, "", Refusal.ZONE)],
)
def test_one_zone_is_in_flight(in_flight: int, zone: str, refusal: Refusal | None) -> None:
    """While members of a zone are in flight, none of another one, or without one, is admitted."""
    record = RolloutRecord(
        versions={"b": known_good(2, succeeded=50)},
        max_unavailable=limit(9),
        in_flight_count=in_flight,
        zone="east",
    )
    found = admit(record, "b@2", zone=zone)
    if refusal is None:
        assert isinstance(found, RolloutRecord)
        assert found.zone == zone
    else:
        assert found is refusal


def test_max_unavailable_may_be_a_share_of_the_zone() -> None:
    """The living members of the zone that is open are counted."""
    record = RolloutRecord(
        versions={"b": known_good(2, succeeded=50)},
        max_unavailable=limit(50, percent=True, per_zone=True),
        population=population(12, east=8, west=4),
        zone="east",
    )
    assert record.allowed(version("b@2"), "east") == 4
    assert record.allowed(version("b@2"), "west") == 2
    assert admit(replace(record, in_flight_count=4), "b@2", zone="east") is Refusal.FULL


def held(after: MaxUnavailable, *known: str, **of: int) -> RolloutRecord:
    """Return a record in which the version b is held."""
    return RolloutRecord(
        versions={"b": known_good(2, succeeded=of.get("succeeded", 0))},
        max_unavailable=limit(9),
        hold=Hold(after, "operator", "one first", known),
        in_flight_count=of.get("in_flight", 0),
        population=population(10),
    )


@pytest.mark.parametrize(
    ("succeeded", "in_flight", "is_held"),
    [(0, 0, False), (2, 0, False), (3, 0, True), (2, 1, True), (0, 3, True), (1, 1, False)],
)
def test_a_hold_limits_how_many_have_the_version(
    succeeded: int, in_flight: int, is_held: bool
) -> None:
    """Members that succeeded and those in flight count, as long as no operator approves."""
    record = held(MaxUnavailable(3), succeeded=succeeded, in_flight=in_flight)
    assert record.is_held(version("b@2"), "m1") is is_held
    approved = replace(record, hold=None)
    assert not approved.is_held(version("b@2"), "m1")


def test_a_hold_may_be_a_percentage() -> None:
    """It is taken of the living members."""
    record = held(MaxUnavailable(30, percent=True), succeeded=2)
    assert admit(record, "b@2") is not Refusal.HELD
    assert admit(held(MaxUnavailable(30, percent=True), succeeded=3), "b@2") is Refusal.HELD


def test_a_hold_is_not_about_what_was_known_good() -> None:
    """An undo is not held; any other version that is pushed meanwhile is."""
    record = held(MaxUnavailable(0), "a", succeeded=0)
    assert isinstance(admit(record, "a@5"), RolloutRecord)
    assert admit(record, "c@5") is Refusal.HELD


def test_a_restart_of_what_was_known_good_is_not_held() -> None:
    """A rolling restart gives the same contents another digest."""
    record = held(MaxUnavailable(0), "a")
    assert isinstance(admit(record, "a.x@5"), RolloutRecord)
    assert admit(record, "b.x@5") is Refusal.HELD


def test_a_retry_makes_no_place_in_a_hold() -> None:
    """Members that had succeeded before the retry have the version as before."""
    failed = known_good(2, "m9", succeeded=2)
    record = replace(held(MaxUnavailable(3)), versions={"b": failed})
    retried = admitted(record, "m9", "b@3")
    assert retried.allowed(version("b@3")) == 1
    assert retried.is_held(version("b@3"), "m1")
    again = admitted(
        replace(retried, versions={"b": replace(retried.versions["b"], failed_by=("m9",))}),
        "m9",
        "b@4",
    )
    assert again.ended_well(version("b@4")) == 2


def test_the_own_entry_does_not_count_in_a_hold() -> None:
    """A member in flight that is admitted again needs no further place."""
    record = replace(held(MaxUnavailable(1), in_flight=1), in_flight={"m1": entry("a@1")})
    assert not record.is_held(version("b@2"), "m1")
    assert record.is_held(version("b@2"), "m2")


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
    assert found.in_flight == {"m1": entry("b@2", admission=1)}


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
    assert restarted.versions == {"b.y": known_good(5, succeeded=1)}
    assert restarted.failure_of(version("b@1")) is None


def test_a_version_in_flight_is_kept() -> None:
    """A version is kept while a member is in flight with it."""
    flying = {"m2": entry("old@1")}
    versions = {"old": not_good(1), "b": known_good(2, succeeded=1)}
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
        (
            RolloutRecord(in_flight=FLYING, hold=Hold(MaxUnavailable(0), "operator", "")),
            Refusal.HELD,
        ),
        (RolloutRecord(in_flight={**FLYING, "m2": entry("c@3", "t2")}), Refusal.FULL),
    ],
)
def test_a_readmission_is_refused_with_its_reason(record: RolloutRecord, refusal: Refusal) -> None:
    """A lost entry, a pause, a failure, a hold and another trial each refuse a readmission."""
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


def test_a_readmission_keeps_the_zone_and_the_admission() -> None:
    """It is the same turn, so a lost zone is recognized by it."""
    own = entry("b@2", zone="east", admission=3)
    found = readmit(RolloutRecord(in_flight={"m1": own}, admissions=5), "c@3")
    assert isinstance(found, RolloutRecord)
    assert found.in_flight["m1"] == entry("c@3", zone="east", admission=3)
    assert found.admissions == 5


@pytest.mark.parametrize(("others", "is_held"), [(0, False), (1, False), (2, True)])
def test_a_readmission_to_a_held_version(others: int, is_held: bool) -> None:
    """Of those in flight only the ones with the held version count: the entries are known."""
    tried = {f"m{number}": entry("c@3", f"t{number}") for number in range(2, 2 + others)}
    record = RolloutRecord(
        in_flight={**FLYING, **tried, "m9": entry("b@2", "t9")},
        in_flight_count=2 + others,
        versions={"c": known_good(3, succeeded=1)},
        hold=Hold(MaxUnavailable(3), "operator", "three first"),
    )
    assert (readmit(record, "c@3") is Refusal.HELD) is is_held


@pytest.mark.parametrize(
    ("record", "needs_survey"),
    [
        (RolloutRecord(), True),
        (RolloutRecord(versions={"c": not_good(3)}), True),
        (RolloutRecord(versions={"c": known_good(3)}), False),
        (RolloutRecord(versions={"c": known_good(2, "m9")}), True),
        (
            RolloutRecord(
                versions={"c": known_good(3)}, hold=Hold(MaxUnavailable(3), "operator", "")
            ),
            True,
        ),
        (
            RolloutRecord(
                versions={"c": known_good(3)},
                hold=Hold(MaxUnavailable(3), "operator", "", known_good=("c",)),
            ),
            False,
        ),
    ],
)
def test_a_readmission_may_need_the_entries_of_the_others(
    record: RolloutRecord, needs_survey: bool
) -> None:
    """It does if one member alone may try the version, or if a hold counts the members."""
    assert record.needs_survey(version("c@3")) is needs_survey
