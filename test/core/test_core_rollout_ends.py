"""The group's record: how turns end, what is proven or failed, and what a first start may run."""

import pytest

from core.records import FAILED, SCOPE, admitted, entry, known_good, target, unproven
from zkexec.core.rollout.first_start import basis_of
from zkexec.core.rollout.record import EntryPhase, InFlightEntry, RolloutRecord, VersionState
from zkexec.core.rollout.version import ConfigVersion
from zkexec.core.turn import StartBasis

B = target("b@2")


def test_a_release_ends_the_turn_and_proves_the_content() -> None:
    """The entry goes, and what the member runs counts as proven."""
    record = admitted(RolloutRecord(), "m1", "b@2")
    assert record.release("m1", B) == RolloutRecord(versions={"b": known_good(2)}, last_admitted=0)


def test_a_turn_is_given_back_without_a_proof() -> None:
    """Giving back proves nothing."""
    record = admitted(RolloutRecord(), "m1", "b@2")
    assert record.release("m1", None) == RolloutRecord(versions={"b": unproven(2)}, last_admitted=0)


@pytest.mark.parametrize("made_out", [None, B])
def test_a_release_that_changes_nothing_is_the_same_record(made_out: ConfigVersion | None) -> None:
    """Without an entry, and with a proof that is there already, nothing is to be written."""
    record = RolloutRecord(in_flight={"m2": entry("b@2")}, versions={"b": known_good(2)})
    assert record.release("m1", made_out) is record
    assert record.report_known_good("m1", B) is record


def test_a_proof_counts_without_an_entry() -> None:
    """A turn that was taken back meanwhile, or a first start, proves its content all the same."""
    assert RolloutRecord().release("m1", B).versions == {"b": known_good(2)}
    assert RolloutRecord().report_known_good("m1", B) == RolloutRecord(
        versions={"b": known_good(2)}
    )


def test_vouching_ends_no_turn() -> None:
    """The own entry, if there is one, stays."""
    record = admitted(RolloutRecord(), "m1", "b@2")
    vouched = record.report_known_good("m1", B)
    assert vouched.in_flight == record.in_flight
    assert vouched.versions == {"b": known_good(2)}


@pytest.mark.parametrize(
    ("known", "found"),
    [
        (unproven(2, "m1"), known_good(2)),
        (unproven(2, "m1", "m2"), known_good(2, "m2")),
        (unproven(2, "m2"), known_good(2, "m2")),
        (known_good(2, "m1"), known_good(2)),
        (known_good(2, "m2"), known_good(2, "m2")),
        (unproven(2, lost=1), known_good(2, lost=1)),
        (unproven(5), known_good(5)),
        (unproven(1), known_good(2)),
    ],
)
def test_a_proof_takes_back_the_own_failure_only(known: VersionState, found: VersionState) -> None:
    """Another member's success does not end a pause, one's own does."""
    assert RolloutRecord(versions={"b": known}).release("m1", B).versions == {"b": found}


def test_the_last_good_content_is_remembered() -> None:
    """Of older proofs the newest one is kept, other older verdicts of the same znodes go."""
    elsewhere = VersionState(1, "another", known_good=True)
    record = RolloutRecord(
        versions={
            "a": known_good(1),
            "z": known_good(0),
            "u": unproven(1, "m3"),
            "e": elsewhere,
            "c": unproven(3),
        }
    )
    assert record.release("m1", B).versions == {
        "a": known_good(1),
        "e": elsewhere,
        "c": unproven(3),
        "b": known_good(2),
    }


def test_what_others_are_in_flight_with_is_remembered() -> None:
    """A proof does not take away the verdict on what another member tries at the moment."""
    record = RolloutRecord(in_flight={"m2": entry("u@1")}, versions={"u": unproven(1, lost=1)})
    assert record.release("m1", B).versions == {"u": unproven(1, lost=1), "b": known_good(2)}


def test_a_failure_keeps_the_entry_and_blocks_the_content() -> None:
    """The entry stays, as failed; the verdict names the member and the reason."""
    record = admitted(RolloutRecord(), "m1", "b@2", under="t").fail("m1", "t", B, "exit status 1")
    assert record.in_flight == {"m1": entry("b@2", phase=FAILED)}
    assert record.versions == {
        "b": VersionState(2, SCOPE, failed_by=("m1",), reason="exit status 1")
    }
    assert record.blocking(B) == record.versions["b"]
    assert record.blocking(target("b@3")) is None


def test_a_failure_is_told_once() -> None:
    """What the record says already is not written again."""
    record = admitted(RolloutRecord(), "m1", "b@2", under="t").fail("m1", "t", B, "exit status 1")
    assert record.fail("m1", "t", B, "exit status 1") is record
    gone = record.release("m1", None)
    assert gone.fail("m1", "t", B, "exit status 1") is gone


@pytest.mark.parametrize("flying", [{}, {"m1": entry("b@2", "another")}])
def test_a_failure_counts_without_an_entry(flying: dict[str, InFlightEntry]) -> None:
    """A turn that was taken back, or belongs to another incarnation, stays as it is."""
    record = RolloutRecord(in_flight=flying).fail("m1", "t", B, "exit status 1")
    assert record.in_flight == flying
    assert record.versions["b"].failed_by == ("m1",)


def test_a_turn_that_has_gone_over_to_something_newer_has_not_failed() -> None:
    """The verdict is on what failed; the entry is for something else by now, and stays open."""
    record = RolloutRecord(in_flight={"m1": entry("c@3")}).fail("m1", "t", B, "exit status 1")
    assert record.in_flight == {"m1": entry("c@3")}
    assert record.blocking(B)
    assert record.fail("m1", "t", B, "exit status 1") is record


def test_an_entry_whose_failure_was_told_by_others_becomes_failed() -> None:
    """A verdict that names the member already does not make its entry a failed one by itself."""
    record = RolloutRecord(in_flight={"m1": entry("b@2")}, versions={"b": unproven(2, "m1")})
    assert record.fail("m1", "t", B, "again").in_flight["m1"].phase is FAILED


def test_a_failed_retry_blocks_what_was_pushed_again() -> None:
    """The verdict goes up to the newest revision that failed, and names each member once."""
    record = RolloutRecord(versions={"b": unproven(2, "m1", "m2")})
    failed = record.fail("m1", "t", target("b@5"), "exit status 1")
    assert (failed.versions["b"].zxid, failed.versions["b"].failed_by) == (5, ("m1", "m2"))
    assert failed.blocking(target("b@5"))


def test_what_is_proven_may_fail_elsewhere() -> None:
    """A failure does not undo a proof, but it blocks."""
    record = RolloutRecord(versions={"b": known_good(2)}).fail("m1", "t", B, "exit status 1")
    assert record.is_known_good(B)
    assert record.blocking(B)
    assert not record.is_known_good(target("b@3"))


def test_an_earlier_run_is_adopted() -> None:
    """The entry goes over to the new token as it was; its loss is counted."""
    record = admitted(RolloutRecord(), "m1", "b@2").adopt("m1", "new")
    assert record.in_flight == {"m1": entry("b@2", "new")}
    assert record.versions == {"b": unproven(2, lost=1)}
    assert record.adopt("m1", "new") is record


def test_there_may_be_nothing_to_adopt() -> None:
    """Without an entry nothing changes."""
    record = admitted(RolloutRecord(), "m2", "b@2")
    assert record.adopt("m1", "new") is record


def test_a_failed_entry_stays_failed_when_it_is_adopted() -> None:
    """A member that failed and was restarted is no second failure, and no fresh start either."""
    record = admitted(RolloutRecord(), "m1", "b@2", under="t").fail("m1", "t", B, "exit status 1")
    adopted = record.adopt("m1", "new")
    assert adopted.in_flight == {"m1": entry("b@2", "new", FAILED)}
    assert adopted.versions == record.versions


def lose(record: RolloutRecord, member: str, how: str) -> RolloutRecord:
    """Lose a member in the middle of its restart, in one of the two ways that count."""
    return (
        record.reclaim(member, f"{member}-turn")
        if how == "reclaim"
        else record.adopt(member, "new")
    )


@pytest.mark.parametrize("first", ["reclaim", "adopt"])
@pytest.mark.parametrize("second", ["reclaim", "adopt"])
def test_the_second_loss_condemns(first: str, second: str) -> None:
    """A content with which two members were lost in flight is failed, whoever they were."""
    record = lose(admitted(RolloutRecord(), "m1", "b@2"), "m1", first).release("m1", None)
    assert record.blocking(B) is None
    record = lose(admitted(record, "m2", "b@2"), "m2", second)
    version_state = record.blocking(B)
    assert version_state is not None
    assert (version_state.lost_turns, version_state.failed_by) == (2, ("m2",))
    assert version_state.reason == "lost 2 times in the middle of a restart, the last time m2"


def test_a_condemned_entry_is_adopted_as_failed() -> None:
    """The member whose loss condemned the content does not try it once more."""
    record = RolloutRecord(in_flight={"m1": entry("b@2")}, versions={"b": unproven(2, lost=1)})
    assert record.adopt("m1", "new").in_flight["m1"].phase is FAILED


def test_a_loss_without_a_verdict_begins_one() -> None:
    """Also where an operator has taken the verdicts away, losses are counted."""
    record = RolloutRecord(in_flight={"m1": entry("b@2")})
    assert record.reclaim("m1", "t").versions == {"b": VersionState(2, "", lost_turns=1)}


def test_a_failed_entry_without_a_verdict_is_adopted() -> None:
    """Whatever a record lacks, the member goes on with what it has: that it has failed."""
    record = RolloutRecord(in_flight={"m1": entry("b@2", phase=FAILED)})
    assert record.adopt("m1", "new") == RolloutRecord(in_flight={"m1": entry("b@2", "new", FAILED)})


def test_a_verdict_on_nobody_knows_what_goes_with_the_next_admission() -> None:
    """Of what a verdict was may be unknown; newer content of any znodes makes it out of date."""
    record = RolloutRecord(versions={"b": VersionState(2, "", failed_by=("m1",))})
    assert set(admitted(record, "m2", "c@3").versions) == {"c"}
    assert set(admitted(record, "m2", "a@1").versions) == {"a", "b"}


@pytest.mark.parametrize(("phase", "lost"), [(EntryPhase.RESTARTING, 1), (EntryPhase.FAILED, 0)])
def test_the_turn_of_a_member_that_is_gone_is_taken_back(phase: EntryPhase, lost: int) -> None:
    """The entry goes; a loss counts, but not that of a member that had failed already."""
    record = RolloutRecord(in_flight={"m1": entry("b@2", phase=phase)}, versions={"b": unproven(2)})
    assert record.reclaim("m1", "t") == RolloutRecord(versions={"b": unproven(2, lost=lost)})


def test_only_the_turn_that_was_meant_is_taken_back() -> None:
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
        ("b@2", "a@1", {"a": known_good(1), "b": unproven(2)}, StartBasis.ON_DISK),
        ("b@2", "a@1", {"a": known_good(1), "b": known_good(2)}, StartBasis.WANTED),
        ("b@2", "a@1", {"a": known_good(1), "b": unproven(2, "m2")}, StartBasis.ON_DISK),
        ("b@2", "a@1", {"a": known_good(1), "b": known_good(2, "m2")}, StartBasis.ON_DISK),
        ("b@2", "a@1", {"a": known_good(1, "m1"), "b": unproven(2)}, StartBasis.WANTED),
        ("b@2", "a@1", {"a": known_good(1, "m2"), "b": unproven(2)}, StartBasis.ON_DISK),
        ("b@2", "a@1", {"a": unproven(1), "b": unproven(2, "m2")}, StartBasis.NOTHING),
        ("b@2", None, {"b": unproven(2, "m2")}, StartBasis.NOTHING),
        ("b@2", None, {"b": known_good(2, "m2")}, StartBasis.WANTED),
        ("b@2", None, {"b": known_good(2, "m1")}, StartBasis.NOTHING),
        ("b@2", "b@2", {"b": known_good(2, "m2")}, StartBasis.ON_DISK),
        ("b@2", "b@2", {"b": unproven(2)}, StartBasis.WANTED),
        ("b@3", None, {"b": unproven(2, "m2")}, StartBasis.WANTED),
        ("b@3", "a@1", {"b": known_good(2, "m2"), "a": known_good(1)}, StartBasis.ON_DISK),
    ],
)
def test_what_a_first_start_may_run(
    wanted: str, on_disk: str | None, versions: dict[str, VersionState], basis: StartBasis
) -> None:
    """Proven before unproven, nothing that failed, and what failed elsewhere as a last resort."""
    disk = None if on_disk is None else target(on_disk)
    assert basis_of(RolloutRecord(versions=versions), "m1", target(wanted), disk) is basis
