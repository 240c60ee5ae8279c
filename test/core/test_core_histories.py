"""What is believed of a record, and of what is remembered, after the ensemble has begun anew."""

from core.records import FAILED, entry, known_good, target, unproven
from core.turn_harness import AGREED, TurnHarness, entry_of, named
from core.turn_harness import snapshot as snapshot_of
from zkexec.core.events import SessionLost
from zkexec.core.rollout.group_actions import CommitRecord, ReadRecord
from zkexec.core.rollout.lease import TurnOutcome, TurnResult
from zkexec.core.rollout.record import RolloutRecord, VersionState
from zkexec.frozen import replace


def test_a_record_is_not_newer_than_what_has_written_it() -> None:
    """Revisions above the transaction of the record count as written with it."""
    record = RolloutRecord(
        in_flight={"m1": entry("b@900", phase=FAILED), "m2": entry("a@90")},
        versions={"b": unproven(900, "m1"), "a": known_good(90)},
    )

    believed = record.believed(150)

    assert believed.in_flight["m1"].zxid == 150
    assert believed.in_flight["m2"] is record.in_flight["m2"]
    assert believed.versions["b"] == VersionState(150, "", failed_by=("m1",))
    assert believed.versions["a"] is record.versions["a"]
    assert record.believed(900) is record


def test_nothing_is_out_of_date_by_a_verdict_of_another_history() -> None:
    """What was there before the record was copied is admitted, but for what has failed."""
    record = RolloutRecord(versions={"b": unproven(900, "m1"), "a": known_good(800)}).believed(150)

    assert not record.knows_newer(target("c@140"))
    assert record.blocking(target("b@140")) is not None
    assert record.blocking(target("b@160")) is None
    assert record.is_known_good(target("a@140"))


def test_a_verdict_of_another_history_goes_with_the_next_admission() -> None:
    """What nobody can ask for any more does not stay in the record for ever."""
    record = RolloutRecord(versions={"b": unproven(900, "m1")}).believed(150)

    admitted = record.admit("m2", entry("c@160"), "scope", 3, 0)

    assert isinstance(admitted, RolloutRecord)
    assert set(admitted.versions) == {"c"}


def test_who_is_down_after_a_failure_counts_in_a_new_record() -> None:
    """It comes back with the turn that it had, and no second time where the record has one."""
    rejoined = RolloutRecord().rejoin("m1", "t", target("b@5"))

    assert rejoined.in_flight == {"m1": entry("b@5", phase=FAILED)}
    assert rejoined.rejoin("m1", "another", target("b@5")) is rejoined


def test_nothing_is_written_before_the_znodes_were_read_in_a_session() -> None:
    """What is owed may belong to another history; so may what the card says."""
    harness = TurnHarness()
    harness.begin()
    harness.take("b@50")
    harness.turn.prove(snapshot_of("b@50"))
    harness.advance()
    harness.handle(SessionLost("expired"))
    harness.sees("b@50", is_answered=False, is_current=False, is_whole=False)
    assert harness.connect(session=2) is None
    harness.sees("b@50", is_current=False, is_whole=False)
    assert harness.advance() is not None, "the own node"
    assert harness.enrolled() is None
    harness.sees("b@5", newest=5, history=1)
    assert isinstance(harness.advance(), ReadRecord)


def test_a_proof_is_as_old_as_what_is_there() -> None:
    """What a command was healthy on is told a new record at the revision that it has there."""
    harness = TurnHarness()
    harness.begin()
    harness.turn.report_known_good(snapshot_of("a@50"))
    harness.sees("a@5", newest=5, history=1)

    assert isinstance(harness.advance(), CommitRecord | ReadRecord)
    request = (
        harness.last if isinstance(harness.last, CommitRecord) else harness.read(RolloutRecord())
    )

    assert isinstance(request, CommitRecord)
    assert request.record.versions[named("a@5").digest].zxid == 5


def test_nothing_is_out_of_date_by_a_proof_of_another_history() -> None:
    """The znode of restarts may go afterwards, and take its revision from what is wanted."""
    proof = TurnOutcome(TurnResult.KNOWN_GOOD, target("a@900")).dated(19, 19)

    record = proof.entered(RolloutRecord(), "m1", "t")

    assert record.is_known_good(target("a@19"))
    assert not record.knows_newer(target("b@18"))


def test_a_proof_of_another_history_is_told_once() -> None:
    """A record in which other contents of the same znodes are proven needs no more."""
    harness = TurnHarness()
    harness.begin()
    harness.turn.report_known_good(snapshot_of("a@50"))
    harness.handle(SessionLost("expired"))
    harness.sees("a@5", newest=5, history=1)
    harness.connect(session=2)
    harness.enrolled()
    assert isinstance(harness.last, ReadRecord)
    request = harness.read(RolloutRecord())
    assert isinstance(request, CommitRecord), "it is told a new record"
    harness.committed()
    harness.handle(SessionLost("expired"))
    harness.connect(session=3)
    harness.enrolled()
    scope = named("a@5").scope
    others = replace(AGREED, versions={"other": VersionState(6, scope, known_good=True)})

    assert harness.read(others) is None


def test_what_has_failed_since_is_not_told_for_good() -> None:
    """A command that was healthy on something and then failed on it vouches for nothing."""
    harness = TurnHarness()
    harness.begin()
    harness.take("a@50")
    harness.turn.prove(snapshot_of("a@50"))
    harness.turn.fail(snapshot_of("a@60"), "exit status 1")
    harness.handle(SessionLost("expired"))
    harness.connect(session=2)
    harness.enrolled()

    request = harness.read(RolloutRecord())

    assert isinstance(request, CommitRecord)
    (version_state,) = request.record.versions.values()
    assert version_state.failed_by == ("m1",)
    assert not version_state.known_good


def test_an_entry_from_a_dump_is_taken_away() -> None:
    """An own entry that appears after the first look at the record was never lost in a turn."""
    harness = TurnHarness()
    harness.begin()
    harness.handle(SessionLost("expired"))
    harness.connect(session=2)
    harness.enrolled()
    restored = replace(AGREED, in_flight={"m1": entry_of("b@2", "older")})

    request = harness.read(restored)

    assert isinstance(request, CommitRecord)
    assert not request.record.in_flight
    assert not request.record.versions
    assert not harness.turn.has_entry
    assert not harness.turn.inherited


def test_a_new_record_is_told_the_width() -> None:
    """Members agree anew where nothing is agreed."""
    harness = TurnHarness()
    harness.begin()
    harness.handle(SessionLost("expired"))
    harness.connect(session=2)
    harness.enrolled()

    request = harness.read(RolloutRecord())

    assert isinstance(request, CommitRecord)
    assert request.record.max_unavailable == AGREED.max_unavailable


def test_an_outcome_without_a_target_has_no_date() -> None:
    """What gives a turn back is the same in every history."""
    outcome = TurnOutcome(TurnResult.GIVEN_BACK)

    assert outcome.dated(5, 5) is outcome
    assert outcome.disowned() is outcome
