"""Check what is kept of a record, and of a member's memory, after the ensemble began again."""

from core.records import FAILED, entry, known_good, not_good, version
from core.turn_harness import AGREED, TurnHarness, entry_of, named
from core.turn_harness import snapshot as snapshot_of
from zkexec.core.events import SessionLost
from zkexec.core.rollout.group_actions import CommitRecord, ReadRecord
from zkexec.core.rollout.lease import TurnOutcome, TurnResult
from zkexec.core.rollout.record import RolloutRecord
from zkexec.core.rollout.version_state import VersionState
from zkexec.frozen import replace


def test_a_record_is_not_newer_than_its_transaction() -> None:
    """A zxid above the transaction that wrote the record is lowered to it."""
    record = RolloutRecord(versions={"b": not_good(900, "m1"), "a": known_good(90)})

    believed = record.clamped_to(150)

    assert believed.versions["b"] == VersionState(150, "", failed_by=("m1",))
    assert believed.versions["a"] is record.versions["a"]
    assert record.clamped_to(900) is record


def test_a_state_of_another_history_makes_nothing_outdated() -> None:
    """Content from before the copy of the record is admitted, unless it failed."""
    record = RolloutRecord(versions={"b": not_good(900, "m1"), "a": known_good(800)}).clamped_to(
        150
    )

    assert not record.knows_newer(version("c@140"))
    assert record.failure_of(version("b@140")) is not None
    assert record.failure_of(version("b@160")) is None
    assert record.is_known_good(version("a@140"))


def test_a_state_of_another_history_is_dropped_by_an_admission() -> None:
    """A version that no member can want any more does not stay in the record for ever."""
    record = RolloutRecord(versions={"b": not_good(900, "m1")}).clamped_to(150)

    admitted = record.admit("m2", entry("c@160"), "scope")

    assert isinstance(admitted, RolloutRecord)
    assert set(admitted.versions) == {"c"}


def test_a_failed_member_is_entered_in_a_new_record() -> None:
    """A failed member enters a new record with its turn, but only once."""
    rejoined = RolloutRecord().enter_failed("m1", "t", version("b@5"))

    assert rejoined.in_flight == {"m1": entry("b@5", phase=FAILED)}
    assert rejoined.enter_failed("m1", "another", version("b@5")) is rejoined


def test_a_failed_member_that_rejoins_opens_its_zone() -> None:
    """So no member of another zone is admitted beside it; beside others it opens none."""
    earlier = RolloutRecord(zone="east")
    alone = earlier.enter_failed("m1", "t", version("b@5"), "west")
    assert alone.zone == "west"
    assert alone.enter_failed("m2", "t", version("b@5"), "east").zone == "west"


def test_nothing_is_written_before_the_inputs_were_read_in_a_session() -> None:
    """Neither a result nor a status is written while it may be of another history."""
    harness = TurnHarness()
    harness.begin()
    harness.take("b@50")
    harness.succeed(snapshot_of("b@50"))
    harness.advance()
    harness.happen(SessionLost("expired"))
    harness.inputs("b@50", is_answered=False, is_current=False, is_whole=False)
    assert harness.connect(session=2) is None
    harness.inputs("b@50", is_current=False, is_whole=False)
    assert harness.advance() is not None, "the own node"
    assert harness.enrolled() is None
    harness.inputs("b@5", newest=5, history=1)
    assert isinstance(harness.advance(), ReadRecord)


def test_a_known_good_version_gets_the_present_zxid() -> None:
    """A new record gets a known good version with the zxid that it has there."""
    harness = TurnHarness()
    harness.begin()
    harness.report_known_good(snapshot_of("a@50"))
    harness.inputs("a@5", newest=5, history=1)

    assert isinstance(harness.advance(), CommitRecord | ReadRecord)
    request = (
        harness.last if isinstance(harness.last, CommitRecord) else harness.read(RolloutRecord())
    )

    assert isinstance(request, CommitRecord)
    assert request.after.versions[named("a@5").digest].zxid == 5


def test_a_known_good_version_of_another_history_makes_nothing_outdated() -> None:
    """A known good version stays without a scope if the znode of restarts lowers its zxid."""
    success = TurnOutcome(TurnResult.KNOWN_GOOD, version("a@900")).renumbered(19, 19)

    record = success.entered_in(RolloutRecord(), "m1", "t")

    assert record.is_known_good(version("a@19"))
    assert not record.knows_newer(version("b@18"))


def test_a_known_good_version_of_another_history_is_recorded_once() -> None:
    """A record with a known good version of the same znodes gets no other one."""
    harness = TurnHarness()
    harness.begin()
    harness.report_known_good(snapshot_of("a@50"))
    harness.happen(SessionLost("expired"))
    harness.inputs("a@5", newest=5, history=1)
    harness.connect(session=2)
    harness.enrolled()
    assert isinstance(harness.last, ReadRecord)
    request = harness.read(RolloutRecord())
    assert isinstance(request, CommitRecord), "a new record gets it"
    harness.committed()
    harness.happen(SessionLost("expired"))
    harness.connect(session=3)
    harness.enrolled()
    scope = named("a@5").scope
    others = replace(AGREED, versions={"other": VersionState(6, scope, known_good=True)})

    assert harness.read(others) is None


def test_a_version_that_failed_since_is_not_known_good() -> None:
    """A version on which the command failed later is not reported as known good."""
    harness = TurnHarness()
    harness.begin()
    harness.take("a@50")
    harness.succeed(snapshot_of("a@50"))
    harness.fail(snapshot_of("a@60"), "exit status 1")
    harness.happen(SessionLost("expired"))
    harness.connect(session=2)
    harness.enrolled()

    request = harness.read(RolloutRecord())

    assert isinstance(request, CommitRecord)
    (version_state,) = request.after.versions.values()
    assert version_state.failed_by == ("m1",)
    assert not version_state.known_good


def test_an_entry_from_a_dump_is_released() -> None:
    """An own entry that appears after the first read of the record is not a lost turn."""
    harness = TurnHarness()
    harness.begin()
    harness.happen(SessionLost("expired"))
    harness.connect(session=2)
    harness.enrolled()
    restored = replace(AGREED, in_flight={"m1": entry_of("b@2", "older")})

    request = harness.read(restored)

    assert isinstance(request, CommitRecord)
    assert not request.after.in_flight
    assert not request.after.versions
    assert not harness.turn.in_flight
    assert not harness.turn.inherited


def test_a_new_record_gets_the_limits() -> None:
    """Members request max unavailable and max failed again in a new record."""
    harness = TurnHarness()
    harness.begin()
    harness.happen(SessionLost("expired"))
    harness.connect(session=2)
    harness.enrolled()

    request = harness.read(RolloutRecord())

    assert isinstance(request, CommitRecord)
    assert request.after.max_unavailable == AGREED.max_unavailable
    assert request.after.max_failed == AGREED.max_failed


def test_an_outcome_without_a_version_has_no_zxid() -> None:
    """A plain release is the same in every history."""
    outcome = TurnOutcome(TurnResult.RELEASED)

    assert outcome.renumbered(5, 5) is outcome
    assert outcome.of_other_history() is outcome
