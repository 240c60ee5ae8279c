"""The health of the present command: its checks, and whether it is known good.

Only a member of a group has a health deadline.  Without a group a command is successful as soon as
it has started, and zkexec ends with it.
"""

from zkexec.core.actions import Action
from zkexec.core.command import AdoptedCommand
from zkexec.core.events import HealthCheckFinished, with_last_line
from zkexec.core.health import CheckResult, HealthCheck
from zkexec.core.policy import Notify, Policy
from zkexec.core.step import Step


class HealthDeadline:
    """By when one generation of the command has to be known good.

    With a health check the command has the health delay to become healthy, and has to stay healthy
    for `--min-healthy`.  Without one it has to live for that long.  A command that has missed the
    deadline is still watched: if it becomes healthy after all, it is known good, too.
    """

    def __init__(
        self, policy: Policy, now: float, *, limited: bool, success_s: float | None = None
    ) -> None:
        """Begin with a command that was started now; only a limited deadline can be missed.

        `success_s` is how long it has to be healthy, by default as long as after a start.
        """
        self._policy = policy
        self._success_s = policy.success_s if success_s is None else success_s
        self._lost_at = now + policy.health_delay_s if limited and policy.checks_health else None
        self._proven_at = None if policy.checks_health else now + self._success_s
        self._trouble = "no health check has ended"
        self._is_held = False

    @property
    def deadline(self) -> float | None:
        """When it is decided, one way or the other, if nothing happens before."""
        if self._is_held:
            return None
        return self._lost_at if self._proven_at is None else self._proven_at

    def hold(self) -> None:
        """Wait for post-healthy: the command was healthy for long enough."""
        self._is_held = True

    def prolong(self, more_s: float) -> None:
        """Give the command more time to become healthy."""
        if self._lost_at is not None:
            self._lost_at += more_s

    def checked(self, healthy: bool, reason: str, now: float) -> None:
        """Take in a result of the health check."""
        if not healthy:
            self._proven_at = None
            self._is_held = False
            self._trouble = reason
        elif self._proven_at is None:
            self._proven_at = now + self._success_s

    def is_known_good(self, now: float) -> bool:
        """Whether the command was healthy for long enough."""
        return self._proven_at is not None and now >= self._proven_at

    def is_lost(self, now: float) -> bool:
        """Whether the time is over and the last health check did not succeed."""
        return self._proven_at is None and self._lost_at is not None and now >= self._lost_at

    def lose(self) -> str:
        """Set no limit any more; return in words why the deadline was missed."""
        self._lost_at = None
        return f"not healthy within {self._policy.health_delay_s:g} s: {self._trouble}"


class CommandHealth:
    """What is known of the health of the present command; nothing while none runs."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._checks = HealthCheck(policy)
        self._deadline: HealthDeadline | None = None
        self._quiet_until = 0.0
        self._first_healthy_at: float | None = None
        """When a command of this core was known good for the first time."""
        self.known = "unknown"
        """The result of the last check, in a word for people."""
        self._last_line = ""
        """What the command wrote last since its start or its reload, "" if that is not known."""

    @property
    def deadline(self) -> float | None:
        """When a health check or the health deadline is due."""
        judged_at = self._deadline.deadline if self._deadline else None
        due = (self._checks.deadline, judged_at)
        return min((at for at in due if at is not None), default=None)

    @property
    def is_open(self) -> bool:
        """Whether it is not decided yet if the command is known good."""
        return self._deadline is not None

    @property
    def check_due(self) -> float | None:
        """When the next check is due; while one runs, when that was; None without checks."""
        return self._checks.due

    @property
    def check_is_late(self) -> bool:
        """Whether a health check runs past its timeout, so that its result does not count."""
        return self._checks.is_late

    @property
    def check_is_void(self) -> bool:
        """Whether a health check runs that began before the command was reloaded."""
        return self._checks.is_void

    def begin(self, generation: int, now: float) -> None:
        """Begin with a command that was started or reloaded, which no member waits for yet.

        It is checked after the health delay, or at once if post-healthy or, at the start, the
        service manager waits for that.
        """
        self._quiet_until = now + self._policy.health_delay_s
        self.resume(generation, now)

    def resume(self, generation: int, now: float) -> None:
        """Begin anew with a command for whose reload the files could not be installed."""
        self.known, self._last_line = "unknown", ""
        eager = self._policy.runs(Step.POST_HEALTHY) or self._is_start_awaited
        self._checks.open(generation, now, eager=eager)
        self._set_deadline(now)

    @property
    def _is_start_awaited(self) -> bool:
        """Whether the service manager waits for the first healthy command."""
        is_reported = self._policy.notify is Notify.ZKEXEC and self._policy.checks_health
        return is_reported and self._first_healthy_at is None

    def is_early(self, now: float) -> bool:
        """Whether the command may still become healthy before anybody is alerted."""
        return now < self._quiet_until

    def take_over(self, adopted: AdoptedCommand, now: float) -> None:
        """Begin with a command of an earlier core: in a group it has to be verified again."""
        self._checks.take_over(adopted, now)
        self._set_deadline(now)

    def verify(self, now: float, success_s: float | None = None) -> None:
        """Check at once and often: the turn lasts until the command is known good, or is not.

        `success_s` is how long it has to be healthy, by default as long as after a start.
        """
        self._checks.check_often(now)
        self._deadline = HealthDeadline(self._policy, now, limited=True, success_s=success_s)

    def _set_deadline(self, now: float) -> None:
        # Without a group, only post-healthy and the service manager wait for a healthy command.
        is_needed = self._policy.in_group or self._policy.runs(Step.POST_HEALTHY)
        is_needed = is_needed or self._is_start_awaited
        self._deadline = HealthDeadline(self._policy, now, limited=False) if is_needed else None

    def relax(self, now: float) -> None:
        """Go back to the usual interval: the group no longer waits for this command."""
        self._checks.relax(now)

    def end(self) -> list[Action]:
        """The command is going: nothing more can be learnt from it."""
        self._deadline = None
        self.known, self._last_line = "unknown", ""
        return self._checks.close()

    def take_line(self, last_line: str) -> None:
        """Take in what the command wrote last; "" adds nothing to what is known."""
        self._last_line = last_line or self._last_line

    def expire(self, now: float) -> list[Action]:
        """Start the check that is due, or end the one that takes too long.

        If zkexec was stopped, the check comes late, and the command gets this time in addition.
        """
        if self._deadline is not None:
            self._deadline.prolong(self._checks.late_s(now))
        return self._checks.expire(now)

    def finished(self, event: HealthCheckFinished, now: float) -> CheckResult | None:
        """Take in a result; return None if it is about an earlier command."""
        result = self._checks.finished(event, now)
        if result is None:
            return None
        self.take_line(result.last_line)
        self.known = "healthy" if result.healthy else "unhealthy"
        if self._is_start_late(result, now):
            self._checks.relax(now)
        if self._deadline is not None:
            self._deadline.checked(result.healthy, result.reason, now)
        return result

    def _is_start_late(self, result: CheckResult, now: float) -> bool:
        """Whether only the service manager waits, for a command that had all of its time."""
        is_late = not result.healthy and not self.is_early(now)
        return is_late and self._is_start_awaited and not self._policy.runs(Step.POST_HEALTHY)

    def is_healthy_enough(self, now: float) -> bool:
        """Whether the command was healthy for long enough, and nothing was made of it yet."""
        return self._deadline is not None and self._deadline.is_known_good(now)

    def take_known_good(self, now: float, *, has_joined: bool) -> bool:
        """Return true once, when the command was healthy for long enough and is in traffic."""
        if self._deadline is None or not self._deadline.is_known_good(now):
            return False
        if not has_joined:
            self._deadline.hold()
            return False
        self._first_healthy_at = self._first_healthy_at or now
        self._deadline = None
        self._checks.relax(now)
        return True

    def take_missed(self, now: float) -> str:
        """Return once why the health deadline was missed; "" if it was not."""
        if self._deadline is None or not self._deadline.is_lost(now):
            return ""
        return with_last_line(self._deadline.lose(), self._last_line)
