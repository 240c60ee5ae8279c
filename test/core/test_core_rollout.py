"""The group's record: who is admitted, who is not and why, and what is forgotten on the way."""

import pytest

from core.records import FAILED, SCOPE, admitted, entry, proven, target, unproven, width
from zkexec.core.max_unavailable import GroupWidth, Width
from zkexec.core.rollout.record import Pause, Refusal, Rollout, Verdict
from zkexec.frozen import replace

PAUSE = Pause("operator", "maintenance")


def admit(record: Rollout, word: str, population: int = 10) -> Rollout | Refusal:
    """Let m1 ask for its turn as the head of the queue, at place 7."""
    return record.admit("m1", entry(word), SCOPE, population, 7)


def test_the_first_member_is_admitted() -> None:
    """An empty group admits its head, enters what it tries, and notes the place it had."""
    assert admit(Rollout(), "b@2") == Rollout(
        inflight={"m1": entry("b@2")}, verdicts={"b": unproven(2)}, served=7
    )


@pytest.mark.parametrize(
    ("record", "refusal"),
    [
        (Rollout(paused=PAUSE), Refusal.PAUSED),
        (Rollout(verdicts={"b": unproven(2, "m2")}), Refusal.FAILED),
        (Rollout(verdicts={"b": proven(2, "m2")}), Refusal.FAILED),
        (Rollout(verdicts={"b": proven(3, "m2")}), Refusal.FAILED),
        (Rollout(inflight={"m2": entry("b@2")}), Refusal.FULL),
        (Rollout(inflight={"m2": entry("a@1", phase=FAILED)}), Refusal.FULL),
    ],
)
def test_an_admission_is_refused_with_its_reason(record: Rollout, refusal: Refusal) -> None:
    """A pause, a failure and a full group each keep the head waiting, and say so."""
    assert admit(record, "b@2") is refusal


@pytest.mark.parametrize(
    ("record", "refusal"),
    [
        (
            Rollout(paused=PAUSE, verdicts={"b": unproven(2, "m2")}, inflight={"m2": entry("b@2")}),
            Refusal.PAUSED,
        ),
        (
            Rollout(verdicts={"b": unproven(2, "m2")}, inflight={"m2": entry("b@2")}),
            Refusal.FAILED,
        ),
    ],
)
def test_the_weightiest_reason_is_given(record: Rollout, refusal: Refusal) -> None:
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
    others: int, agreed: GroupWidth | None, population: int, fits: bool
) -> None:
    """As many members as the width says are in flight with a proven snapshot, and no more."""
    flying = {f"m{n}": entry("b@2") for n in range(2, 2 + others)}
    record = Rollout(inflight=flying, verdicts={"b": proven(2)}, width=agreed)
    found = admit(record, "b@2", population)
    assert (found is Refusal.FULL) is not fits
    assert isinstance(found, Rollout) is fits


@pytest.mark.parametrize(
    "verdicts",
    [{}, {"b": unproven(2)}, {"b": unproven(1, "m3")}, {"b": proven(1, "m3")}],
)
def test_what_is_unproven_is_tried_by_one_alone(verdicts: dict[str, Verdict]) -> None:
    """Whatever the width: not yet proven, or pushed again after a failure, is for one member."""
    record = Rollout(verdicts=verdicts, width=width(5))
    assert isinstance(admit(record, "b@2"), Rollout)
    assert admit(replace(record, inflight={"m2": entry("a@1")}), "b@2") is Refusal.FULL


def test_a_member_is_not_in_its_own_way() -> None:
    """A member that is in flight already does not count when it is admitted anew."""
    record = Rollout(inflight={"m1": entry("a@1", "old")}, verdicts={"a": unproven(1)})
    found = admit(record, "b@2")
    assert isinstance(found, Rollout)
    assert found.inflight == {"m1": entry("b@2")}


@pytest.mark.parametrize("known", [unproven(2, "m2"), proven(2, "m2", "m3"), unproven(2, "m1")])
def test_the_same_bytes_pushed_again_are_a_retry(known: Verdict) -> None:
    """A greater revision lifts the verdict, and begins a new one with nothing held against it."""
    record = Rollout(verdicts={"b": known})
    assert admit(record, "b@2") is Refusal.FAILED
    found = admit(record, "b@3")
    assert isinstance(found, Rollout)
    assert found.verdicts == {"b": unproven(3)}


def test_a_new_revision_of_what_is_good_stays_good() -> None:
    """The same bytes pushed again without a failure keep their proof, and count as newer."""
    found = admit(Rollout(verdicts={"b": proven(2, lost=1)}), "b@5")
    assert isinstance(found, Rollout)
    assert found.verdicts == {"b": proven(5, lost=1)}
    older = admit(found.release("m1", None), "b@3")
    assert isinstance(older, Rollout)
    assert older.verdicts == found.verdicts


@pytest.mark.parametrize(
    ("verdict", "is_kept"),
    [
        (unproven(1), False),
        (unproven(1, "m3"), False),
        (proven(1), True),
        (unproven(2), True),
        (unproven(9, "m3"), True),
        (Verdict(1, "another"), True),
    ],
)
def test_what_nobody_can_want_any_more_is_forgotten(verdict: Verdict, is_kept: bool) -> None:
    """An admission drops older verdicts of the same znodes, except proofs."""
    found = admit(Rollout(verdicts={"old": verdict}), "b@2")
    assert isinstance(found, Rollout)
    assert ("old" in found.verdicts) is is_kept


@pytest.mark.parametrize(
    ("verdicts", "is_blocked"),
    [
        ({"b": unproven(2, "m2"), "b.x": unproven(5)}, True),
        ({"b.x": unproven(5, "m2")}, True),
        ({"b.x": unproven(2, "m2")}, True),
        ({"b.x": unproven(1, "m2")}, False),
        ({"a": unproven(5, "m2")}, False),
        ({"b": unproven(2, "m2"), "b.x": proven(5)}, False),
        ({"b.x": unproven(5, "m2"), "b.y": proven(6)}, False),
        ({"b.x": proven(5), "b.y": proven(6, "m2")}, True),
        ({"b.x": proven(5), "b.y": unproven(5, "m2")}, True),
        ({"b": proven(2), "b.x": unproven(5, "m2")}, False),
    ],
)
def test_the_latest_trial_of_the_same_contents_counts(
    verdicts: dict[str, Verdict], is_blocked: bool
) -> None:
    """Who does not know of a restart does not try what failed after it, unless that is proven."""
    blocking = Rollout(verdicts=verdicts).blocking(target("b@2"))
    assert (blocking is not None) is is_blocked
    if blocking is not None:
        assert blocking.failed_by == ("m2",)


def test_the_failure_before_a_restart_is_kept_until_that_succeeds() -> None:
    """If the znode of restarts is deleted during the restart, the failure before it still holds."""
    record = Rollout(verdicts={"b": unproven(1, "m2"), "b.x": unproven(2, "m3")})
    found = admit(record, "b.y@5")
    assert isinstance(found, Rollout)
    assert found.verdicts == {"b.x": unproven(2, "m3"), "b.y": unproven(5)}
    assert found.blocking(target("b@1")) == unproven(2, "m3")
    restarted = found.release("m1", target("b.y@5"))
    assert restarted.verdicts == {"b.y": proven(5)}
    assert restarted.blocking(target("b@1")) is None


def test_what_is_in_flight_is_not_forgotten() -> None:
    """A verdict is kept as long as a member is in flight with its content."""
    flying = {"m2": entry("old@1")}
    record = Rollout(inflight=flying, verdicts={"old": unproven(1), "b": proven(2)}, width=width(2))
    found = admit(record, "b@2")
    assert isinstance(found, Rollout)
    assert found.verdicts == record.verdicts


def readmit(record: Rollout, word: str, under: str = "t") -> Rollout | Refusal:
    """Let m1, in flight with the token t, go on to something else."""
    return record.readmit("m1", entry(word, under), SCOPE)


FLYING = {"m1": entry("b@2", phase=FAILED)}


@pytest.mark.parametrize(
    ("wanted", "is_newer"),
    [("a@4", True), ("b@4", False), ("b.x@4", False), ("b.y@4", False), ("a@5", False)],
)
def test_a_restart_of_the_same_contents_is_nothing_newer(wanted: str, is_newer: bool) -> None:
    """Who lost sight of the znode of restarts still follows what it saw there."""
    record = Rollout(verdicts={"b.x": proven(5)})
    assert record.knows_newer(target(wanted)) is is_newer


@pytest.mark.parametrize(
    ("record", "refusal"),
    [
        (Rollout(), Refusal.GONE),
        (Rollout(inflight={"m1": entry("b@2", "another")}), Refusal.GONE),
        (Rollout(inflight=FLYING, paused=PAUSE), Refusal.PAUSED),
        (Rollout(inflight=FLYING, verdicts={"c": unproven(3, "m2")}), Refusal.FAILED),
        (Rollout(inflight={**FLYING, "m2": entry("c@3", "t2")}), Refusal.FULL),
    ],
)
def test_going_on_is_refused_with_its_reason(record: Rollout, refusal: Refusal) -> None:
    """The entry has to be there, nobody has paused, it has not failed, nobody else tries it."""
    assert readmit(record, "c@3") is refusal


@pytest.mark.parametrize(
    "record",
    [
        Rollout(inflight=FLYING),
        Rollout(inflight={**FLYING, "m2": entry("b@2", "t2")}),
        Rollout(inflight={**FLYING, "m2": entry("c@3", "t2")}, verdicts={"c": proven(3)}),
        Rollout(inflight=FLYING, verdicts={"c": unproven(2, "m1")}),
        Rollout(
            inflight={**FLYING, "m2": entry("c@2", "t2", FAILED)},
            verdicts={"c": proven(2, "m1", "m2")},
        ),
    ],
)
def test_a_member_goes_on_in_its_turn(record: Rollout) -> None:
    """Others in flight do not matter, unless they are just trying the same unproven content."""
    found = readmit(record, "c@3")
    assert isinstance(found, Rollout)
    assert found.inflight["m1"] == entry("c@3")
    assert found.served == record.served


def test_going_on_keeps_the_place_of_others() -> None:
    """Who was admitted last is the business of admissions alone."""
    record = admitted(Rollout(), "m1", "b@2", under="t")
    found = readmit(replace(record, served=4), "c@3")
    assert isinstance(found, Rollout)
    assert found.served == 4


@pytest.mark.parametrize(
    ("agreed", "population", "count"),
    [(None, 50, 1), (width(3), 1, 3), (width(25, percent=True), 50, 12)],
)
def test_the_width_in_numbers(agreed: GroupWidth | None, population: int, count: int) -> None:
    """A group that nobody has told its width goes one by one; a percentage is rounded down."""
    assert Rollout(width=agreed).allowed(population) == count


@pytest.mark.parametrize(
    ("agreed", "asked", "asker_lives", "found"),
    [
        (None, Width(3), False, width(3)),
        (width(1, "m2"), Width(3), True, width(1, "m2")),
        (width(1, "m2"), Width(3), False, width(3)),
        (width(3, "m2"), Width(1), True, width(1)),
        (width(2, "m2"), Width(2), True, width(2, "m2")),
        (width(1, "m1"), Width(3), True, width(3)),
        (width(3, "m2"), Width(20, percent=True), True, width(20, percent=True)),
        (width(50, "m2", percent=True), Width(6), True, width(50, "m2", percent=True)),
    ],
)
def test_of_what_the_living_ask_for_the_smallest_counts(
    agreed: GroupWidth | None, asked: Width, asker_lives: bool, found: GroupWidth
) -> None:
    """A member may lower the width, or change its own word, or that of one that is gone."""
    assert Rollout(width=agreed).agree("m1", asked, 10, asker_lives).width == found


def test_an_agreed_width_is_not_written_again() -> None:
    """A member that asks for nothing new changes nothing."""
    record = Rollout(width=width(2))
    assert record.agree("m1", Width(2), 10, True) is record
    assert record.agree("m2", Width(3), 10, True) is record
