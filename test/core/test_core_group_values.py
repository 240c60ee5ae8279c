"""Check the small values of a group: versions and outcomes."""

import pytest

from core.records import entry, known_good, not_good, version
from zkexec.core.input_options import InputOptions, Mirror
from zkexec.core.policy import Policy
from zkexec.core.rollout.lease import TurnOutcome, TurnResult
from zkexec.core.rollout.record import EntryPhase, RolloutRecord
from zkexec.core.rollout.version import ConfigVersion, version_of
from zkexec.core.snapshot import Snapshot

HERE = InputOptions(mirrors=(Mirror("/here/f", "/z"), Mirror("/here/g", "/y")))
THERE = InputOptions(mirrors=(Mirror("/there/g", "/y"), Mirror("/there/f", "/z")))
ONE = InputOptions(mirrors=HERE.mirrors[:1])
TWICE = InputOptions(mirrors=(*ONE.mirrors, Mirror("/here/f", "/z")))


def test_a_version_is_of_znodes_and_contents() -> None:
    """The folder and the order of a host's files make no difference to their version."""
    here = version_of(Snapshot({"/here/f": b"1", "/here/g": b"2"}, 7), HERE)
    there = version_of(Snapshot({"/there/f": b"1", "/there/g": b"2"}, 7), THERE)
    assert here == there
    assert here.zxid == 7


@pytest.mark.parametrize(
    "files",
    [
        {"/here/f": b"2", "/here/g": b"1"},
        {"/here/f": b"12", "/here/g": b""},
        {"/here/f": b"1", "/here/g": b"2 "},
        {},
    ],
)
def test_another_content_is_another_version(files: dict[str, bytes]) -> None:
    """Contents that move between znodes, grow or are missing are another version."""
    one = version_of(Snapshot({"/here/f": b"1", "/here/g": b"2"}), HERE)
    other = version_of(Snapshot(files), HERE)
    assert one.digest != other.digest
    assert one.scope == other.scope


def test_a_digest_is_the_same_in_every_release() -> None:
    """Members of two releases share a record with digests, so digests never change."""
    snapshot = Snapshot({"/here/f": b"1"}, 7, restart="again")
    assert version_of(snapshot, ONE) == ConfigVersion(
        "61ae71aef632df75f68c1ff5886a61b7496c2499ad365c96fd53fbe8ed4a8b8c.again", 7, "6f3fe2b779f6"
    )


def test_a_scope_is_a_set_of_znodes() -> None:
    """Other znodes are another scope; an input that is given twice makes no difference."""
    snapshot = Snapshot({"/here/f": b"1"})
    one = version_of(snapshot, ONE)
    twice = version_of(snapshot, TWICE)
    assert one == twice
    assert one.scope != version_of(snapshot, HERE).scope
    assert version_of(Snapshot({}), InputOptions()).scope != one.scope


RECORD = RolloutRecord(in_flight={"m1": entry("b@2")}, versions={"b": not_good(2)})


@pytest.mark.parametrize(
    ("outcome", "flying", "version_state"),
    [
        (TurnOutcome(TurnResult.KNOWN_GOOD, version("b@2")), None, known_good(2, succeeded=1)),
        (TurnOutcome(TurnResult.RELEASED), None, not_good(2)),
        (TurnOutcome(TurnResult.RELEASED, version("b@2")), None, not_good(2)),
    ],
)
def test_an_outcome_is_entered_once(
    outcome: TurnOutcome, flying: EntryPhase | None, version_state: object
) -> None:
    """The outcome of a turn removes the entry, and entering it again writes nothing."""
    entered = outcome.entered_in(RECORD, "m1", "t")
    assert ("m1" in entered.in_flight) is (flying is not None)
    assert entered.versions == {"b": version_state}
    assert outcome.entered_in(entered, "m1", "t") is entered


def test_a_failure_is_entered_once() -> None:
    """The entry stays as a failed one, under its own token."""
    outcome = TurnOutcome(TurnResult.FAILED, version("b@2"), "exit status 1", "check")
    entered = outcome.entered_in(RECORD, "m1", "t")
    assert entered.in_flight["m1"].phase is EntryPhase.FAILED
    assert entered.versions["b"].reason == "exit status 1"
    assert entered.versions["b"].step == "check"
    assert outcome.entered_in(entered, "m1", "t") is entered


@pytest.mark.parametrize(
    ("checks_health", "min_healthy_s", "success_s"),
    [(True, None, 0), (False, None, 1), (True, 5.0, 5), (False, 5.0, 5), (False, 0.0, 0)],
)
def test_the_time_to_success(
    checks_health: bool, min_healthy_s: float | None, success_s: float
) -> None:
    """Success takes one health check, or one second of running, or what the option says."""
    policy = Policy(checks_health=checks_health, min_healthy_s=min_healthy_s)
    assert policy.success_s == success_s
    assert policy.grace_s == policy.kill_timeout_s + policy.health_delay_s + success_s
