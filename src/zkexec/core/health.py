"""When the next health check is due, and what its result means.

A health check belongs to one generation of the command: a result from before a restart does not
count after it.  Two never run at once.  A command in a turn is checked at once and often, any other
first after the health delay, then once each interval.
"""

from zkexec.core.actions import Action, KillHealthCheck, Note, RunHealthCheck
from zkexec.core.command import AdoptedCommand
from zkexec.core.events import HealthCheckFinished, with_last_line
from zkexec.core.policy import Policy
from zkexec.frozen import frozen

EAGER_S = 1.0
"""Pause at most between two health checks of a command that a group waits for."""


@frozen()
class CheckResult:
    """The result of a health check of the present command, and the last line of its stderr."""

    healthy: bool
    reason: str
    is_change: bool = False
    last_line: str = ""

    @property
    def whole_reason(self) -> str:
        """The reason with what the command wrote last, for an alert."""
        return with_last_line(self.reason, self.last_line)

    @property
    def note(self) -> Note:
        """The line of the log; `is_change` is true if the check before had the other result."""
        if self.healthy:
            return Note("health-check-passed", {"is_change": self.is_change})
        return Note("health-check-failed", {"reason": self.reason, "is_change": self.is_change})


class HealthCheck:
    """The health checks of the running command; idle if none runs."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._generation: int | None = None
        self._running: int | None = None
        self._due: float | None = None
        self._timeout_at: float | None = None
        self._timed_out = False
        self._is_void = False
        """Whether the check that runs began before the command was stopped or reloaded."""
        self._eager = False
        self._was_healthy: bool | None = None

    @property
    def deadline(self) -> float | None:
        """When `expire` has something to do: the next check, or the end of a slow one."""
        return self._due if self._running is None else self._timeout_at

    def open(self, generation: int, now: float, *, eager: bool = False) -> None:
        """Begin with a started command: check it at once, or after the health delay."""
        self._generation = generation
        self._eager = eager
        self._was_healthy = None
        delay_s = 0.0 if eager else self._policy.health_delay_s
        self._due = now + delay_s if self._policy.checks_health else None

    def take_over(self, adopted: AdoptedCommand, now: float) -> None:
        """Go on with the checks of a running command, and with the one that is under way."""
        self._generation = adopted.generation
        if not self._policy.checks_health:
            return
        timeout_s = self._policy.health_timeout_s
        self._running = adopted.check
        self._timed_out, self._is_void = adopted.check_is_late, adopted.check_is_void
        if adopted.check is not None and timeout_s is not None:
            self._timeout_at = now + timeout_s
        known = adopted.check_due
        self._due = now + self._policy.health_interval_s if known is None else known

    @property
    def is_late(self) -> bool:
        """Whether a health check runs past its timeout, so that its result does not count."""
        return self._running is not None and self._timed_out

    @property
    def is_void(self) -> bool:
        """Whether a health check runs that began before the command was stopped or reloaded."""
        return self._running is not None and self._is_void

    @property
    def due(self) -> float | None:
        """When the next check is due; while one runs, when that was; None without checks."""
        return self._due

    def check_often(self, now: float) -> None:
        """Check at once and often: the group waits for this command."""
        self._eager = True
        if self._due is not None:
            self._due = now

    def relax(self, now: float) -> None:
        """Go back to the usual interval: the group no longer waits for this command."""
        if self._eager and self._due is not None:
            self._due = now + self._policy.health_interval_s
        self._eager = False

    def close(self) -> list[Action]:
        """End the health checks: the command is being stopped."""
        self._generation = self._due = None
        if self._running is None:
            return []
        self._timeout_at = None
        self._is_void = True
        return [KillHealthCheck()]

    def late_s(self, now: float) -> float:
        """Return for how long the next check has been due; 0 if it is not, or one runs."""
        if self._generation is None or self._running is not None or self._due is None:
            return 0.0
        return max(0.0, now - self._due)

    def expire(self, now: float) -> list[Action]:
        """Start the health check that is due, or kill the one that takes too long."""
        deadline = self.deadline
        if self._generation is None or deadline is None or now < deadline:
            return []
        if self._running is not None:
            self._timeout_at = None
            self._timed_out = True
            return [KillHealthCheck()]
        self._running = self._generation
        self._timed_out = self._is_void = False
        timeout_s = self._policy.health_timeout_s
        self._timeout_at = None if timeout_s is None else now + timeout_s
        return [Note("health-check-started"), RunHealthCheck(self._generation)]

    def finished(self, event: HealthCheckFinished, now: float) -> CheckResult | None:
        """Take in a result; return None if it is about an earlier command."""
        if event.generation != self._running:
            return None
        self._running = self._timeout_at = None
        if self._is_void or event.generation != self._generation:
            return None
        interval_s = self._policy.health_interval_s
        self._due = now + (min(interval_s, EAGER_S) if self._eager else interval_s)
        healthy, reason = event.passed, event.reason
        if self._timed_out:
            healthy, reason = False, f"no answer within {self._policy.health_timeout_s:g} s"
        is_change, self._was_healthy = healthy is not self._was_healthy, healthy
        return CheckResult(healthy, reason, is_change, event.last_line)
