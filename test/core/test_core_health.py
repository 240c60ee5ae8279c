"""The health gate: when a check is due, and what its result means."""

import pytest

from zkexec.core.actions import KillHealthCheck, Note, RunHealthCheck
from zkexec.core.events import HealthCheckFinished
from zkexec.core.health import CheckResult, HealthCheck
from zkexec.core.policy import Policy


def gate(timeout_s: float | None = None) -> HealthCheck:
    """A gate with a delay of 10 s and an interval of 5 s, open for generation 1 since 0 s."""
    opened = HealthCheck(
        Policy(
            checks_health=True, health_delay_s=10, health_interval_s=5, health_timeout_s=timeout_s
        )
    )
    opened.open(1, now=0)
    return opened


def test_without_a_command_nothing_is_ever_due() -> None:
    """No --health: the gate is idle."""
    idle = HealthCheck(Policy())
    idle.open(1, now=0)
    assert idle.deadline is None
    assert idle.expire(1e9) == []


def test_the_first_check_waits_for_the_delay() -> None:
    """A tick too early does nothing; on time the check is run, once."""
    opened = gate()
    assert opened.deadline == 10
    assert opened.expire(9.9) == []
    assert opened.expire(10) == [Note("health-check-started"), RunHealthCheck(1)]
    assert opened.deadline is None
    assert opened.expire(1e9) == []


def test_the_next_check_follows_the_end_of_the_last() -> None:
    """The interval begins when a check has ended."""
    opened = gate()
    opened.expire(10)
    check_result = opened.finished(HealthCheckFinished(1, True, "exit status 0"), now=12)
    assert check_result == CheckResult(True, "exit status 0", is_change=True)
    assert opened.deadline == 17


def test_a_slow_check_has_failed() -> None:
    """What a check says after its timeout does not count."""
    opened = gate(timeout_s=2)
    opened.expire(10)
    assert opened.deadline == 12
    assert opened.expire(12) == [KillHealthCheck()]
    assert opened.deadline is None
    check_result = opened.finished(HealthCheckFinished(1, True, ""), now=12.1)
    assert check_result == CheckResult(False, "no answer within 2 s", is_change=True)


def test_a_result_that_nobody_waits_for_means_nothing() -> None:
    """A result without a check under way, or of another one, is ignored."""
    opened = gate()
    assert opened.finished(HealthCheckFinished(1, False, ""), now=1) is None
    opened.expire(10)
    assert opened.finished(HealthCheckFinished(7, False, ""), now=11) is None
    assert opened.finished(HealthCheckFinished(1, True, ""), now=11) == CheckResult(
        True, "", is_change=True
    )


def test_an_alert_names_the_line_of_the_command() -> None:
    """What the command wrote last is marked in the reason of an alert, not in that of the check."""
    opened = gate()
    opened.expire(10)
    check_result = opened.finished(HealthCheckFinished(1, False, "exit status 1", "no port"), 12)
    assert check_result is not None
    assert check_result.whole_reason == 'exit status 1; the command wrote last: "no port"'
    assert check_result.note.fields["reason"] == "exit status 1"
    assert CheckResult(False, "exit status 1").whole_reason == "exit status 1"


def test_a_change_of_health_is_marked() -> None:
    """A result is a change if it is the first of this command, or not that of the check before."""
    opened, at = gate(), 10.0
    changes = []
    for passed in (True, True, False, False, True):
        opened.expire(at)
        check_result = opened.finished(HealthCheckFinished(1, passed, ""), at)
        assert check_result
        changes.append(check_result.is_change)
        at += 10
    assert changes == [True, False, True, False, True]

    opened.open(2, at)
    opened.expire(at + 10)
    check_result = opened.finished(HealthCheckFinished(2, True, ""), at + 10)
    assert check_result == CheckResult(True, "", is_change=True)


@pytest.mark.parametrize("timeout_s", [None, 50])
def test_a_closed_gate_checks_nothing(timeout_s: float | None) -> None:
    """Closing kills the check under way, and its result says nothing about the next child."""
    opened = gate(timeout_s)
    assert opened.close() == []
    opened.open(1, now=0)
    opened.expire(10)
    assert opened.close() == [KillHealthCheck()]
    assert opened.deadline is None
    opened.open(2, now=11)
    assert opened.deadline is None
    assert opened.finished(HealthCheckFinished(1, False, "signal 9"), now=12) is None
    assert opened.deadline == 21


def test_a_child_that_a_group_waits_for_is_checked_at_once_and_often() -> None:
    """Eager checks begin with the child and follow each other after a second at most."""
    opened = HealthCheck(Policy(checks_health=True, health_delay_s=10, health_interval_s=5))
    opened.open(1, now=0, eager=True)
    assert opened.deadline == 0
    opened.expire(0)
    opened.finished(HealthCheckFinished(1, False, "exit status 1"), now=0.5)
    assert opened.deadline == 1.5
    often = HealthCheck(Policy(checks_health=True, health_interval_s=0.25))
    often.open(1, now=0, eager=True)
    often.expire(0)
    often.finished(HealthCheckFinished(1, False, "exit status 1"), now=0.5)
    assert often.deadline == 0.75


def test_a_child_that_nobody_waits_for_any_more_is_checked_as_usual() -> None:
    """Going over to the usual interval moves the next check, and never makes one of its own."""
    opened = HealthCheck(Policy(checks_health=True, health_interval_s=5))
    opened.open(1, now=0, eager=True)
    opened.relax(3)
    assert opened.deadline == 8
    opened.relax(4)
    assert opened.deadline == 8
    opened.expire(8)
    opened.relax(9)
    assert opened.deadline is None
    opened.finished(HealthCheckFinished(1, True, ""), now=10)
    assert opened.deadline == 15
    running = gate()
    running.close()
    running.open(2, now=0, eager=True)
    running.expire(0)
    running.relax(1)
    assert running.deadline is None


def test_a_child_that_is_waited_for_after_all_is_checked_at_once() -> None:
    """The next check is due now and often, unless one is under way or there are none."""
    opened = gate()
    opened.check_often(3)
    assert opened.deadline == 3
    opened.expire(3)
    opened.check_often(4)
    opened.finished(HealthCheckFinished(1, True, ""), now=5)
    assert opened.deadline == 6
    idle = HealthCheck(Policy())
    idle.open(1, now=0)
    idle.check_often(3)
    assert idle.deadline is None
