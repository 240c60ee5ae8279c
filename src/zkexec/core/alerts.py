"""When the alert command runs, and when it does not.

Only one alert command runs at a time.  Of the alerts that come meanwhile, the newest waits.  A
running alert has no time limit until another alert or the end of zkexec waits for it; then it gets
the kill timeout, so that one that hangs does not suppress the others.  While the command stays
unhealthy, alerts are at least `--alert-interval` apart.
"""

from zkexec.core.actions import Action, AlertEvent, KillAlert, Note, RunAlert
from zkexec.core.command import AdoptedCommand
from zkexec.core.policy import Policy
from zkexec.core.step import Step

AT_LEAST_S = 5.0
"""A shorter kill timeout, even 0, is meant for the command; an alert gets at least this."""


class Alerts:
    """The alert command, and the alerts that it got or will get."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._unhealthy = False
        self._silent_until: float | None = None
        self._restart_trouble = ""
        self._join_trouble = ""
        self._waiting: RunAlert | None = None
        self._running = False
        self._kill_at: float | None = None

    @property
    def busy(self) -> bool:
        """Whether an alert runs."""
        return self._running

    @property
    def deadline(self) -> float | None:
        """When a running alert with a time limit is killed."""
        return self._kill_at

    def health_failed(self, reason: str, now: float) -> list[Action]:
        """A health check failed, outside of a turn."""
        self._unhealthy = True
        if self._silent_until is not None and now < self._silent_until:
            return []
        self._silent_until = now + self._policy.alert_interval_s
        return self._raise(RunAlert(AlertEvent.HEALTH_FAILED, reason), now)

    def health_passed(self, now: float) -> list[Action]:
        """A health check succeeded."""
        was_unhealthy, self._unhealthy = self._unhealthy, False
        self._silent_until = None
        if was_unhealthy and self._policy.alert_recovery:
            return self._raise(
                RunAlert(AlertEvent.RECOVERED, "the health check succeeds again"), now
            )
        return []

    def restart_failed(
        self, reason: str, now: float, *, again: bool = False, step: Step | None = None
    ) -> list[Action]:
        """A change could not be applied; raised once for each reason, or for each attempt."""
        if reason == self._restart_trouble and not again:
            return []
        self._restart_trouble = reason
        return self._raise(RunAlert(AlertEvent.RESTART_FAILED, reason, step=step), now)

    def restart_settled(self, now: float) -> list[Action]:
        """The wanted version runs, or nothing prevents it any more."""
        trouble, self._restart_trouble = self._restart_trouble, ""
        if trouble and self._policy.alert_recovery:
            return self._raise(_recovered_from(trouble), now)
        return []

    def join_failed(self, reason: str, now: float) -> list[Action]:
        """The command has not come back into traffic for long."""
        self._join_trouble = reason
        return self._raise(RunAlert(AlertEvent.RESTART_FAILED, reason, step=Step.POST_HEALTHY), now)

    def joined(self, now: float) -> list[Action]:
        """The command is in traffic."""
        trouble, self._join_trouble = self._join_trouble, ""
        if trouble and self._policy.alert_recovery:
            return self._raise(_recovered_from(trouble), now)
        return []

    def command_failed(self, reason: str, exit_status: int, now: float) -> list[Action]:
        """The command failed: the last alert of this run."""
        return self._raise(RunAlert(AlertEvent.COMMAND_FAILED, reason, exit_status), now)

    def zkexec_failed(self, reason: str, now: float) -> list[Action]:
        """An error inside zkexec: the command runs on, and its configuration is not followed."""
        return self._raise(RunAlert(AlertEvent.ZKEXEC_FAILED, reason), now)

    def take_over(self, adopted: AdoptedCommand, trouble: str = "") -> None:
        """Wait for the alert that runs; `trouble` is over when `restart_settled` says so."""
        self._running = adopted.alerting
        self._restart_trouble = trouble

    def drop_waiting(self) -> None:
        """Raise no alert that waits."""
        self._waiting = None

    def finished(self, reason: str, now: float) -> list[Action]:
        """The alert under way has ended; `reason` is why it went wrong, or empty."""
        self._running = False
        self._kill_at = None
        actions: list[Action] = [Note("alert-failed", {"reason": reason})] if reason else []
        waiting, self._waiting = self._waiting, None
        return actions + (self._raise(waiting, now) if waiting else [])

    def limit(self, now: float) -> None:
        """Limit the running alert to the kill timeout from now on."""
        if self._running and self._kill_at is None:
            self._kill_at = now + max(self._policy.kill_timeout_s, AT_LEAST_S)

    def expire(self, now: float) -> list[Action]:
        """End an alert that has used up its time."""
        if self._kill_at is None or now < self._kill_at:
            return []
        self._kill_at = None
        return [Note("alert-killed"), KillAlert()]

    def _raise(self, alert: RunAlert, now: float) -> list[Action]:
        if not self._policy.raises_alerts:
            return []
        if self._running:
            self._waiting = alert
            self.limit(now)
            return []
        self._running = True
        return [Note("alerting", {"alert": alert.event.value, "reason": alert.reason}), alert]


def _recovered_from(trouble: str) -> RunAlert:
    return RunAlert(AlertEvent.RECOVERED, f"the failure is over: {trouble}")
