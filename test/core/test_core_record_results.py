"""Check how turns end, which versions are known good or failed, and what a first start may run."""

import pytest

from core.records import (
    FAILED,
    SCOPE,
    admitted,
    entry,
    failures,
    known_good,
    limit,
    not_good,
    version,
)
from zkexec.core.rollout.first_start import basis_of
from zkexec.core.rollout.record import EntryPhase, InFlightEntry, RolloutRecord
from zkexec.core.rollout.version import ConfigVersion
from zkexec.core.rollout.version_state import FEW_SUCCEEDED, VersionState
from zkexec.core.turn import StartBasis
from zkexec.frozen import replace

B = version("b@2")


def test_a_release_ends_the_turn_and_marks_the_version() -> None:
    """A release removes the entry, and marks the running version as known good."""
    record = admitted(RolloutRecord(), "m1", "b@2")
    released = replace(record, in_flight={}, versions={"b": known_good(2, succeeded=1)})
    assert record.release("m1", B) == released


def test_a_turn_is_released_without_a_version() -> None:
    """A release without a version marks none as known good."""
    record = admitted(RolloutRecord(), "m1", "b@2")
    assert record.release("m1", None) == replace(record, in_flight={}, versions={"b": not_good(2)})


def test_a_success_in_a_turn_is_counted() -> None:
    """A turn that ends well is counted on its version, also if that was known good before."""
    record = RolloutRecord(versions={"b": known_good(2, succeeded=1)}, max_unavailable=limit(5))
    record = admitted(record, "m1", "b@2")
    assert record.release("m1", B).versions == {"b": known_good(2, succeeded=2)}
    assert record.release("m9", B) is record, "a first start takes no turn"


def test_a_turn_that_was_not_used_is_no_success() -> None:
    """The change was undone before its restart: no member has tried either version."""
    record = admitted(RolloutRecord(versions={"a": known_good(1)}), "m1", "b@2")
    assert record.release("m1", version("a@1")).versions["a"] == known_good(1)


def test_the_number_in_flight_follows_the_entries() -> None:
    """Of the others in flight only the number is known, and the own entry is counted once."""
    record = RolloutRecord(
        in_flight_count=3, max_unavailable=limit(5), versions={"b": known_good(2, succeeded=9)}
    )
    assert record.others_in_flight("m1") == 3
    entered = admitted(record, "m1", "b@2")
    assert (entered.in_flight_count, entered.others_in_flight("m1")) == (4, 3)
    assert entered.others_in_flight("m2") == 4
    assert entered.release("m1", B).in_flight_count == 3


@pytest.mark.parametrize("made_out", [None, B])
def test_a_release_that_changes_nothing_is_the_same_record(made_out: ConfigVersion | None) -> None:
    """A release without an entry, of a version that is known good already, writes nothing."""
    record = RolloutRecord(in_flight={"m2": entry("b@2")}, versions={"b": known_good(2)})
    assert record.release("m1", made_out) is record
    assert record.mark_known_good("m1", B) is record


def test_a_version_is_marked_without_an_entry() -> None:
    """A reclaimed turn, or a first start, marks its version as known good all the same."""
    assert RolloutRecord().release("m1", B).versions == {"b": known_good(2)}
    assert RolloutRecord().mark_known_good("m1", B) == RolloutRecord(versions={"b": known_good(2)})


def test_marking_a_version_ends_no_turn() -> None:
    """The own entry, if there is one, stays."""
    record = admitted(RolloutRecord(), "m1", "b@2")
    marked = record.mark_known_good("m1", B)
    assert marked.in_flight == record.in_flight
    assert marked.versions == {"b": known_good(2)}


@pytest.mark.parametrize(
    ("known", "found"),
    [
        (not_good(2, "m1"), known_good(2)),
        (not_good(2, "m1", "m2"), known_good(2, "m2")),
        (not_good(2, "m2"), known_good(2, "m2")),
        (known_good(2, "m1"), known_good(2)),
        (known_good(2, "m2"), known_good(2, "m2")),
        (not_good(2, lost=1), known_good(2, lost=1)),
        (not_good(5), known_good(5)),
        (not_good(1), known_good(2)),
    ],
)
def test_a_success_ends_the_own_failure_only(known: VersionState, found: VersionState) -> None:
    """A member's own success ends its failure, another member's does not."""
    assert RolloutRecord(versions={"b": known}).release("m1", B).versions == {"b": found}


def test_the_last_known_good_version_is_kept() -> None:
    """Of older versions of the same znodes only the newest known good one is kept."""
    elsewhere = VersionState(1, "another", known_good=True)
    record = RolloutRecord(
        versions={
            "a": known_good(1),
            "z": known_good(0),
            "u": not_good(1, "m3"),
            "e": elsewhere,
            "c": not_good(3),
        }
    )
    assert record.release("m1", B).versions == {
        "a": known_good(1),
        "e": elsewhere,
        "c": not_good(3),
        "b": known_good(2),
    }


def test_a_success_keeps_versions_in_flight() -> None:
    """A success does not drop a version that another member is in flight with."""
    record = RolloutRecord(in_flight={"m2": entry("u@1")}, versions={"u": not_good(1, lost=1)})
    assert record.release("m1", B).versions == {"u": not_good(1, lost=1), "b": known_good(2)}


def test_a_failure_keeps_the_entry_and_blocks_the_version() -> None:
    """The entry stays, as failed; the version's state names the member and the reason."""
    record = admitted(RolloutRecord(), "m1", "b@2", under="t").fail("m1", "t", B, "exit status 1")
    assert record.in_flight == {"m1": entry("b@2", phase=FAILED, admission=1)}
    assert record.versions == {
        "b": VersionState(2, SCOPE, failed_by=("m1",), reason="exit status 1")
    }
    assert record.failure_of(B) == record.versions["b"]
    assert record.failure_of(version("b@3")) is None


def test_a_failure_names_its_step() -> None:
    """The step is that of the last failure; lost turns fail in none."""
    record = admitted(RolloutRecord(), "m1", "b@2", under="t")
    failed = record.fail("m1", "t", B, "exit status 1", "check")
    assert failed.versions["b"].step == "check"
    later = failed.fail("m2", "u", B, "not healthy", "health")
    assert (later.versions["b"].reason, later.versions["b"].step) == ("not healthy", "health")
    lost = replace(later, in_flight={"m3": entry("b@2")})
    lost = replace(lost, versions={"b": replace(later.versions["b"], lost_turns=1)})
    assert lost.reclaim("m3", "t").versions["b"].step == ""


def test_a_failure_is_recorded_once() -> None:
    """A failure that the record contains already is not written again."""
    record = admitted(RolloutRecord(), "m1", "b@2", under="t").fail("m1", "t", B, "exit status 1")
    assert record.fail("m1", "t", B, "exit status 1") is record
    gone = record.release("m1", None)
    assert gone.fail("m1", "t", B, "exit status 1") is gone


@pytest.mark.parametrize("flying", [{}, {"m1": entry("b@2", "another")}])
def test_a_failure_counts_without_an_entry(flying: dict[str, InFlightEntry]) -> None:
    """An entry under another token stays as it is, and the failure counts."""
    record = RolloutRecord(in_flight=flying).fail("m1", "t", B, "exit status 1")
    assert record.in_flight == flying
    assert record.versions["b"].failed_by == ("m1",)


def test_a_failure_before_a_readmission_keeps_the_turn_open() -> None:
    """The earlier version failed; the entry is for a newer one by now, and stays open."""
    record = RolloutRecord(in_flight={"m1": entry("c@3")}).fail("m1", "t", B, "exit status 1")
    assert record.in_flight == {"m1": entry("c@3")}
    assert record.failure_of(B)
    assert record.fail("m1", "t", B, "exit status 1") is record


def test_an_entry_becomes_failed_by_its_own_failure() -> None:
    """That a version's state names the member already does not make its entry a failed one."""
    record = RolloutRecord(in_flight={"m1": entry("b@2")}, versions={"b": not_good(2, "m1")})
    assert record.fail("m1", "t", B, "again").in_flight["m1"].phase is FAILED


def test_a_failed_retry_blocks_the_version_again() -> None:
    """A failed retry blocks the version up to the newer zxid, and names each member once."""
    record = RolloutRecord(versions={"b": not_good(2, "m1", "m2")})
    failed = record.fail("m1", "t", version("b@5"), "exit status 1")
    assert (failed.versions["b"].zxid, failed.versions["b"].failed_by) == (5, ("m1", "m2"))
    assert failed.failure_of(version("b@5"))


def test_a_known_good_version_may_fail_elsewhere() -> None:
    """A known good version that fails on another member stays known good, and is blocked."""
    record = RolloutRecord(versions={"b": known_good(2)}).fail("m1", "t", B, "exit status 1")
    assert record.is_known_good(B)
    assert record.failure_of(B)
    assert not record.is_known_good(version("b@3"))


def test_an_earlier_run_is_adopted() -> None:
    """The entry gets the new token, is otherwise as before, and its lost turn is counted."""
    record = admitted(RolloutRecord(), "m1", "b@2").adopt("m1", "new")
    assert record.in_flight == {"m1": entry("b@2", "new", admission=1)}
    assert record.versions == {"b": not_good(2, lost=1, lost_until=1)}
    assert record.adopt("m1", "new") is record


def test_there_may_be_nothing_to_adopt() -> None:
    """Without an entry nothing changes."""
    record = admitted(RolloutRecord(), "m2", "b@2")
    assert record.adopt("m1", "new") is record


def test_a_failed_entry_stays_failed_when_it_is_adopted() -> None:
    """An adopted failed entry stays failed, and is counted neither as a failure nor as lost."""
    record = admitted(RolloutRecord(), "m1", "b@2", under="t").fail("m1", "t", B, "exit status 1")
    adopted = record.adopt("m1", "new")
    assert adopted.in_flight == {"m1": entry("b@2", "new", FAILED, admission=1)}
    assert adopted.versions == record.versions


def lose(record: RolloutRecord, member: str, how: str) -> RolloutRecord:
    """Lose a member in flight, in one of the two ways that count."""
    return (
        record.reclaim(member, f"{member}-turn")
        if how == "reclaim"
        else record.adopt(member, "new")
    )


@pytest.mark.parametrize("first", ["reclaim", "adopt"])
@pytest.mark.parametrize("second", ["reclaim", "adopt"])
def test_the_second_lost_turn_fails_the_version(first: str, second: str) -> None:
    """A version with which two turns were lost is failed, whichever members lost them."""
    record = lose(admitted(RolloutRecord(), "m1", "b@2"), "m1", first).release("m1", None)
    assert record.failure_of(B) is None
    record = lose(admitted(record, "m2", "b@2"), "m2", second)
    version_state = record.failure_of(B)
    assert version_state is not None
    assert (version_state.lost_turns, version_state.failed_by) == (2, ("m2",))
    assert version_state.reason == "2 turns with this version were lost, the last one by m2"


def test_members_of_a_zone_that_are_lost_together_count_once() -> None:
    """A zone that loses its power has lost one turn, and the next loss after it another one."""
    members = {f"m{n}": entry("b@2", f"m{n}-turn", zone="east", admission=n) for n in range(1, 5)}
    record = RolloutRecord(in_flight=members, versions={"b": not_good(2)}, admissions=4)
    for member in ("m1", "m2", "m3"):
        record = record.reclaim(member, f"{member}-turn")
    assert record.in_flight.keys() == {"m4"}
    assert record.versions["b"].lost_turns == 1
    assert record.failure_of(B) is None
    later = admitted(record.release("m4", None), "m5", "b@2", zone="east")
    assert later.reclaim("m5", "m5-turn").failure_of(B) is not None


def test_a_tolerated_failure_blocks_no_member() -> None:
    """After ten successes a version may fail on as many members as max failed allows."""
    record = RolloutRecord(
        versions={"b": known_good(2, succeeded=FEW_SUCCEEDED)}, max_failed=failures(1)
    )
    once = record.fail("m1", "t", B, "exit status 1")
    assert once.failure_of(B) is None
    assert once.versions["b"].failed_by == ("m1",)
    twice = once.fail("m2", "t", B, "exit status 1")
    assert twice.failure_of(B) == twice.versions["b"]
    assert twice.release("m1", B).failure_of(B) is None


def test_an_untried_version_with_other_failures_is_not_tolerated() -> None:
    """Successes before a retry do not count for the retry."""
    record = RolloutRecord(
        versions={"b": known_good(2, "m1", "m3", succeeded=50)}, max_failed=failures(1)
    )
    retried = admitted(record, "m2", "b@3")
    failed = retried.fail("m2", "m2-turn", version("b@3"), "exit status 1")
    assert failed.failure_of(version("b@3")) is not None


def test_a_retry_of_what_is_tolerated_stays_tolerated() -> None:
    """Only the members that had failed try again; the rollout and its width are as before."""
    record = RolloutRecord(
        versions={"b": known_good(2, "m1", "m3", succeeded=50)},
        max_failed=failures(5),
        max_unavailable=limit(20),
    )
    assert record.is_known_good(version("b@3"))
    assert record.allowed(version("b@3")) == 20
    retried = admitted(record, "m1", "b@3")
    state = retried.versions["b"]
    assert (state.zxid, state.failed_by, state.succeeded) == (3, ("m3",), 50)
    failed = retried.fail("m1", "m1-turn", version("b@3"), "exit status 1")
    assert failed.versions["b"].failed_by == ("m3", "m1")
    assert failed.failure_of(version("b@3")) is None
    # A zxid can grow without a write, as of a tree in which another znode was removed.
    unwritten = record.admit("m1", replace(entry("b@3"), written=2), SCOPE)
    assert isinstance(unwritten, RolloutRecord)
    assert unwritten.versions["b"].failed_by == ("m1", "m3")
    last = admitted(replace(failed, in_flight={}, in_flight_count=0), "m3", "b@4")
    last = last.release("m3", version("b@4"))
    assert last.versions["b"].failed_by == ("m1",)


def test_an_entry_is_adopted_as_failed_after_two_lost_turns() -> None:
    """The member whose lost turn made the version failed does not try it again."""
    record = RolloutRecord(in_flight={"m1": entry("b@2")}, versions={"b": not_good(2, lost=1)})
    assert record.adopt("m1", "new").in_flight["m1"].phase is FAILED


def test_a_lost_turn_without_a_state_begins_one() -> None:
    """Lost turns are counted even if the version was dropped from the record."""
    record = RolloutRecord(in_flight={"m1": entry("b@2")})
    assert record.reclaim("m1", "t").versions == {
        "b": VersionState(2, "", lost_turns=1, lost_until=0)
    }


def test_a_failed_entry_without_a_state_is_adopted() -> None:
    """A failed entry is adopted even if its version was dropped from the record."""
    record = RolloutRecord(in_flight={"m1": entry("b@2", phase=FAILED)})
    assert record.adopt("m1", "new") == RolloutRecord(in_flight={"m1": entry("b@2", "new", FAILED)})


def test_a_state_without_a_scope_is_dropped_by_an_admission() -> None:
    """The admission of newer content of any znodes drops a version whose scope is unknown."""
    record = RolloutRecord(versions={"b": VersionState(2, "", failed_by=("m1",))})
    assert set(admitted(record, "m2", "c@3").versions) == {"c"}
    assert set(admitted(record, "m2", "a@1").versions) == {"a", "b"}


@pytest.mark.parametrize(("phase", "lost"), [(EntryPhase.RESTARTING, 1), (EntryPhase.FAILED, 0)])
def test_the_turn_of_a_missing_member_is_reclaimed(phase: EntryPhase, lost: int) -> None:
    """A reclaim removes the entry, and counts a lost turn unless the member had failed."""
    record = RolloutRecord(in_flight={"m1": entry("b@2", phase=phase)}, versions={"b": not_good(2)})
    state = not_good(2, lost=lost, lost_until=0 if lost else -1)
    assert record.reclaim("m1", "t") == RolloutRecord(versions={"b": state})


def test_only_the_turn_with_this_token_is_reclaimed() -> None:
    """A member that has another token by now, or no entry, is left alone."""
    record = RolloutRecord(in_flight={"m1": entry("b@2", "new")})
    assert record.reclaim("m1", "t") is record
    assert record.reclaim("m2", "t") is record


NOTHING: dict[str, VersionState] = {}


@pytest.mark.parametrize(
    ("wanted", "on_disk", "versions", "basis"),
    [
        ("b@2", None, NOTHING, StartBasis.WANTED),
        ("b@2", "a@1", NOTHING, StartBasis.WANTED),
        ("b@2", None, {"b": known_good(2)}, StartBasis.WANTED),
        ("b@2", "a@1", {"a": known_good(1)}, StartBasis.ON_DISK),
        ("b@2", "a@1", {"a": known_good(1), "b": not_good(2)}, StartBasis.ON_DISK),
        ("b@2", "a@1", {"a": known_good(1), "b": known_good(2)}, StartBasis.WANTED),
        ("b@2", "a@1", {"a": known_good(1), "b": not_good(2, "m2")}, StartBasis.ON_DISK),
        ("b@2", "a@1", {"a": known_good(1), "b": known_good(2, "m2")}, StartBasis.ON_DISK),
        ("b@2", "a@1", {"a": known_good(1, "m1"), "b": not_good(2)}, StartBasis.WANTED),
        ("b@2", "a@1", {"a": known_good(1, "m2"), "b": not_good(2)}, StartBasis.ON_DISK),
        ("b@2", "a@1", {"a": not_good(1), "b": not_good(2, "m2")}, StartBasis.NOTHING),
        ("b@2", None, {"b": not_good(2, "m2")}, StartBasis.NOTHING),
        ("b@2", None, {"b": known_good(2, "m2")}, StartBasis.WANTED),
        ("b@2", None, {"b": known_good(2, "m1")}, StartBasis.NOTHING),
        ("b@2", "b@2", {"b": known_good(2, "m2")}, StartBasis.ON_DISK),
        ("b@2", "b@2", {"b": not_good(2)}, StartBasis.WANTED),
        ("b@3", None, {"b": not_good(2, "m2")}, StartBasis.WANTED),
        ("b@3", "a@1", {"b": known_good(2, "m2"), "a": known_good(1)}, StartBasis.ON_DISK),
    ],
)
def test_what_a_first_start_may_run(
    wanted: str, on_disk: str | None, versions: dict[str, VersionState], basis: StartBasis
) -> None:
    """A first start prefers known good to untried, and runs what failed elsewhere only last."""
    disk = None if on_disk is None else version(on_disk)
    assert basis_of(RolloutRecord(versions=versions), "m1", version(wanted), disk) is basis
