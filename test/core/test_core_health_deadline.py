"""By when a new command has to be known good."""

import pytest

from zkexec.core.command_health import HealthDeadline
from zkexec.core.policy import Policy


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
