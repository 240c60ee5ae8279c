"""The group's small values: targets, widths, outcomes, and the terms of a proof."""

import pytest

from core.records import entry, proven, target, unproven
from zkexec.core.max_unavailable import GroupWidth, Width, agreed
from zkexec.core.policy import Terms
from zkexec.core.rollout.record import EntryPhase, Rollout
from zkexec.core.rollout.turn_outcome import Outcome, Result
from zkexec.core.rollout.version import Target, target_of
from zkexec.core.snapshot import Mirror, Snapshot

HERE = (Mirror("/here/f", "/z"), Mirror("/here/g", "/y"))
THERE = (Mirror("/there/g", "/y"), Mirror("/there/f", "/z"))


def test_a_target_is_of_znodes_and_contents() -> None:
    """Where a host keeps its files, and in which order it names them, makes no difference."""
    here = target_of(Snapshot({"/here/f": b"1", "/here/g": b"2"}, 7), HERE)
    there = target_of(Snapshot({"/there/f": b"1", "/there/g": b"2"}, 7), THERE)
    assert here == there
    assert here.revision == 7


@pytest.mark.parametrize(
    "files",
    [
        {"/here/f": b"2", "/here/g": b"1"},
        {"/here/f": b"12", "/here/g": b""},
        {"/here/f": b"1", "/here/g": b"2 "},
        {},
    ],
)
def test_another_content_is_another_target(files: dict[str, bytes]) -> None:
    """Contents that wander between znodes, grow or are missing are told apart."""
    one = target_of(Snapshot({"/here/f": b"1", "/here/g": b"2"}), HERE)
    other = target_of(Snapshot(files), HERE)
    assert one.digest != other.digest
    assert one.scope == other.scope


def test_a_target_is_named_the_same_in_every_release() -> None:
    """Members of two releases share a record that contains the names, so they never change."""
    snapshot = Snapshot({"/here/f": b"1"}, 7, restart="again")
    assert target_of(snapshot, HERE[:1]) == Target(
        "61ae71aef632df75f68c1ff5886a61b7496c2499ad365c96fd53fbe8ed4a8b8c.again", 7, "6f3fe2b779f6"
    )


def test_a_scope_is_a_set_of_znodes() -> None:
    """Other znodes are another scope; a znode that is mirrored twice is no other."""
    snapshot = Snapshot({"/here/f": b"1"})
    one = target_of(snapshot, HERE[:1])
    twice = target_of(snapshot, (*HERE[:1], Mirror("/here/f", "/z")))
    assert one == twice
    assert one.scope != target_of(snapshot, HERE).scope
    assert target_of(Snapshot({}), ()).scope != one.scope


@pytest.mark.parametrize(
    ("asked", "population", "count", "words"),
    [
        (Width(), 100, 1, "1"),
        (Width(3), 1, 3, "3"),
        (Width(10, percent=True), 9, 1, "10%"),
        (Width(10, percent=True), 20, 2, "10%"),
        (Width(10, percent=True), 29, 2, "10%"),
        (Width(100, percent=True), 7, 7, "100%"),
        (Width(50, percent=True), 0, 1, "50%"),
    ],
)
def test_a_width_is_a_number_of_members(
    asked: Width, population: int, count: int, words: str
) -> None:
    """A percentage is of those alive, rounded down, but never less than one."""
    assert asked.of(population) == count
    assert str(asked) == words


def test_the_one_who_asked_may_change_its_word() -> None:
    """A member may widen again what it has narrowed itself."""
    known = GroupWidth(Width(1), "m1")
    assert agreed(known, GroupWidth(Width(5), "m1"), 10, True).width == Width(5)


RECORD = Rollout(inflight={"m1": entry("b@2")}, verdicts={"b": unproven(2)})


@pytest.mark.parametrize(
    ("outcome", "flying", "verdict"),
    [
        (Outcome(Result.PROVEN, target("b@2")), None, proven(2)),
        (Outcome(Result.GIVEN_BACK), None, unproven(2)),
        (Outcome(Result.GIVEN_BACK, target("b@2")), None, unproven(2)),
    ],
)
def test_an_outcome_is_entered_once(
    outcome: Outcome, flying: EntryPhase | None, verdict: object
) -> None:
    """A turn that is over leaves the record, and a second time there is nothing to write."""
    entered = outcome.entered(RECORD, "m1", "t")
    assert ("m1" in entered.inflight) is (flying is not None)
    assert entered.verdicts == {"b": verdict}
    assert outcome.entered(entered, "m1", "t") is entered


def test_a_failure_is_entered_once() -> None:
    """The entry stays as a failed one, under the token that it has."""
    outcome = Outcome(Result.FAILED, target("b@2"), "exit status 1")
    entered = outcome.entered(RECORD, "m1", "t")
    assert entered.inflight["m1"].phase is EntryPhase.FAILED
    assert entered.verdicts["b"].reason == "exit status 1"
    assert outcome.entered(entered, "m1", "t") is entered


@pytest.mark.parametrize(
    ("checks_health", "min_healthy_s", "proof_s"),
    [(True, None, 0), (False, None, 1), (True, 5.0, 5), (False, 5.0, 5), (False, 0.0, 0)],
)
def test_how_long_a_proof_takes(
    checks_health: bool, min_healthy_s: float | None, proof_s: float
) -> None:
    """One success, or one second of life, unless it was said how long."""
    terms = Terms(checks_health=checks_health, min_healthy_s=min_healthy_s)
    assert terms.proof_s == proof_s
    assert terms.grace_s == terms.kill_timeout_s + terms.health_delay_s + proof_s
