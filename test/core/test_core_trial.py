"""A new child on trial, and what is known of the last attempt."""

import pytest

from zkexec.core.attempt import Attempt
from zkexec.core.policy import Policy
from zkexec.core.snapshot import Snapshot
from zkexec.core.verifying import HealthDeadline

A, B, C = (Snapshot({"/f": letter}, number) for number, letter in enumerate((b"a", b"b", b"c"), 1))
B_AGAIN = Snapshot({"/f": b"b"}, 9)


def health_deadline(
    min_healthy_s: float | None = None, *, checks_health: bool = True, limited: bool = True
) -> HealthDeadline:
    """A trial of a child that was started at 0 s and has ten seconds to become healthy."""
    policy = Policy(checks_health=checks_health, health_delay_s=10, min_healthy_s=min_healthy_s)
    return HealthDeadline(policy, 0, limited=limited)


def test_one_success_is_a_proof() -> None:
    """Without --min-healthy the first success proves the child."""
    own = health_deadline()
    assert own.deadline == 10
    assert not own.is_known_good(5)
    own.checked(True, "", 5)
    assert own.is_known_good(5)
    assert not own.is_lost(50)


def test_it_has_to_stay_healthy() -> None:
    """A failure in between begins the time anew, and a second success does not."""
    own = health_deadline(3)
    own.checked(True, "", 1)
    assert own.deadline == 4
    own.checked(True, "", 2)
    assert own.deadline == 4
    own.checked(False, "exit status 1", 3)
    assert own.deadline == 10
    assert not own.is_known_good(9)
    own.checked(True, "", 9)
    assert not own.is_lost(11)
    assert not own.is_known_good(11.9)
    assert own.is_known_good(12)


def test_the_time_is_over() -> None:
    """A child that is not healthy by then has lost, for the reason of the last check."""
    own = health_deadline()
    own.checked(False, "exit status 2", 9)
    assert not own.is_lost(9.9)
    assert own.is_lost(10)
    assert own.lose() == "not healthy within 10 s: exit status 2"
    assert own.deadline is None
    assert not own.is_lost(11)
    own.checked(True, "", 12)
    assert own.is_known_good(12)


def test_a_check_that_hangs_is_no_excuse() -> None:
    """Where no check has ended, this is the reason."""
    own = health_deadline()
    assert own.is_lost(10)
    assert own.lose() == "not healthy within 10 s: no health check has ended"


def test_nobody_waits_for_it() -> None:
    """A child that nobody waits for cannot lose, but prove itself."""
    own = health_deadline(limited=False)
    assert own.deadline is None
    own.checked(False, "exit status 1", 9)
    assert not own.is_lost(1e9)
    own.checked(True, "", 1e9)
    assert own.is_known_good(1e9)


@pytest.mark.parametrize(("min_healthy_s", "proven_at"), [(None, 1), (0, 0), (7.5, 7.5)])
def test_without_checks_it_has_to_live(min_healthy_s: float | None, proven_at: float) -> None:
    """One second of life is a proof, unless it was said how long."""
    own = health_deadline(min_healthy_s, checks_health=False)
    assert own.deadline == proven_at
    assert not own.is_known_good(proven_at - 0.01)
    assert own.is_known_good(proven_at)
    assert not own.is_lost(1e9)


def test_what_is_news() -> None:
    """New bytes are news, the same bytes are none, also when they are written again."""
    attempt = Attempt()
    assert attempt.is_new(A)
    attempt.install(B)
    assert not attempt.is_new(B)
    assert not attempt.is_new(B_AGAIN)
    assert attempt.is_new(A)


def test_what_failed_may_be_pushed_again() -> None:
    """After a failure the same bytes of a greater revision are news, and a retry."""
    attempt = Attempt()
    attempt.install(B)
    attempt.fail("exit status 1")
    assert attempt.is_new(B_AGAIN)
    assert attempt.is_retry(B_AGAIN)
    assert not attempt.is_new(B)
    assert not attempt.is_retry(B)
    assert not attempt.is_retry(A)
    assert attempt.was_tried(B)
    assert not attempt.was_tried(B_AGAIN)
    assert not attempt.was_tried(A)


def test_without_an_attempt_nothing_was_tried() -> None:
    """A member that was just started has used its turn for nothing yet."""
    attempt = Attempt()
    assert not attempt.was_tried(A)
    attempt.fail("exit status 1")
    assert not attempt.is_retry(A)


def test_what_is_in_place_after_a_revert() -> None:
    """The good content in the place of one that failed is told from a new attempt."""
    attempt = Attempt()
    attempt.install(A)
    attempt.good = A
    attempt.install(B)
    attempt.fail("exit status 1")
    assert not attempt.reverted
    attempt.reverting = True
    attempt.install(A)
    assert attempt.reverted
    assert (attempt.tried, attempt.reason) == (B, "exit status 1")
    attempt.install(C)
    assert not attempt.reverted
    assert (attempt.tried, attempt.reason, attempt.reverting) == (C, "", False)


def test_what_is_in_place_and_nothing_held_against_it() -> None:
    """What runs is not stopped for what it runs, unless that has failed there."""
    attempt = Attempt()
    attempt.install(A)
    assert attempt.is_in_place(A)
    assert not attempt.is_in_place(B)
    attempt.good = A
    attempt.install(B)
    attempt.fail("exit status 1")
    assert not attempt.is_in_place(B)
    attempt.reverting = True
    attempt.install(A)
    assert attempt.is_in_place(A)


def test_what_failed_is_remembered_while_something_newer_cannot_be_written() -> None:
    """What runs is the content that failed, also once the turn was used for something else."""
    attempt = Attempt()
    attempt.install(B)
    attempt.fail("exit status 1")
    attempt.tried = C
    assert not attempt.reverted
    attempt.tried = None
    assert not attempt.reverted
    assert attempt.is_retry(B_AGAIN)


def test_a_recovery_ends_the_attempt_to_revert() -> None:
    """Nothing stands in the way of a revert that nobody needs any more."""
    attempt = Attempt()
    attempt.install(B)
    attempt.fail("exit status 1")
    attempt.trouble = "disk full"
    attempt.recover()
    assert attempt.reason == "disk full"
    attempt.fail("exit status 1")
    attempt.reverting = True
    attempt.recover()
    assert (attempt.reason, attempt.reverting) == ("", False)


def test_what_stands_in_the_way_is_told() -> None:
    """A failure is named before files that could not be written."""
    attempt = Attempt()
    attempt.trouble = "disk full"
    assert attempt.reason == "disk full"
    attempt.fail("exit status 1")
    assert attempt.reason == "exit status 1"
    attempt.start_over(B)
    assert attempt.reason == ""
