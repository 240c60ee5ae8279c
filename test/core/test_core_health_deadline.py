"""By when a new command has to be known good."""

import pytest

from zkexec.core.command_health import CommandHealth, HealthDeadline
from zkexec.core.events import HealthCheckFinished
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


def verified() -> CommandHealth:
    """The health of a command that was started at 0 s, with a health check under way."""
    health = CommandHealth(Policy(checks_health=True, in_group=True, health_delay_s=10))
    health.begin(1, 0)
    health.verify(0)
    health.expire(0)
    return health


def test_the_time_in_which_zkexec_was_stopped_does_not_count() -> None:
    """After a stop the check that comes late decides, and not the one from before."""
    health = verified()
    health.finished(HealthCheckFinished(1, False, "exit status 1"), 0.5)
    due = health.check_due
    assert due is not None
    late = due + 20
    assert health.expire(late)
    assert health.take_missed(late) == ""
    health.finished(HealthCheckFinished(1, True, ""), late)
    assert health.is_healthy_enough(late)


def test_a_command_that_is_unhealthy_after_a_stop_is_lost_later() -> None:
    """It has as much time as without the stop, and no more."""
    health = verified()
    health.finished(HealthCheckFinished(1, False, "exit status 1"), 0.5)
    due = health.check_due or 0.0
    health.expire(due + 20)
    health.finished(HealthCheckFinished(1, False, "exit status 2"), due + 20)
    assert health.take_missed(29.9) == ""
    assert health.take_missed(30) == "not healthy within 10 s: exit status 2"


def test_the_reason_contains_what_the_command_wrote_last() -> None:
    """The newest known line counts, also if no health check has ended."""
    missed = "not healthy within 10 s: "
    hanging = verified()
    hanging.take_line("connecting")
    hanging.take_line("waiting")
    hanging.take_line("")
    checked = verified()
    checked.take_line("starting")
    checked.finished(HealthCheckFinished(1, False, "exit status 1", "no port"), 9)

    assert hanging.take_missed(9) == ""
    wrote = '; the command wrote last: "waiting"'
    assert hanging.take_missed(10) == f"{missed}no health check has ended{wrote}"
    wrote = '; the command wrote last: "no port"'
    assert checked.take_missed(10) == f"{missed}exit status 1{wrote}"


def test_a_line_from_before_is_not_of_this_command() -> None:
    """After the end of a command, and after a reload, what was written before does not count."""
    reason = "not healthy within 10 s: no health check has ended"
    ended = verified()
    ended.take_line("of the first")
    ended.finished(HealthCheckFinished(1, True, "", "of the first, too"), 1)
    ended.end()
    ended.take_line("late")
    reloaded = verified()
    reloaded.take_line("before the reload")
    for health, generation in ((ended, 2), (reloaded, 1)):
        health.begin(generation, 5)
        health.verify(5)
        assert health.finished(HealthCheckFinished(7, False, "", "of another"), 6) is None
        assert health.take_missed(15) == reason


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
