"""The promise about alerts: each is owed to something that happened, and what is owed is told."""

from dataclasses import dataclass

from simulation.bystander import Bystander, CoreLost, HandledEvent, Violation
from zkexec.core import actions, events
from zkexec.core.actions import AlertEvent
from zkexec.core.phases import Phase


@dataclass(frozen=True, slots=True)
class Cause:
    """Something that an alert is owed to."""

    event: AlertEvent
    status: int | None = None


class AlertsAsOwed:
    """Alerts run for failures of the command, of a check, of a restart, and for nothing else."""

    def __init__(self) -> None:
        """Begin with nothing owed."""
        self._owed: list[Cause] = []
        self._told_at_start = ""
        """Why files could not be written, if that is to be told once the old child is started."""
        self._telling = False
        self._unhealthy = False
        self._silent_until = 0.0
        self._restart_trouble = ""
        self._is_followed = True

    def see(self, moment: HandledEvent, bystander: Bystander) -> None:
        """Compare what is owed with what is told."""
        told = [action for action in moment.actions if isinstance(action, actions.RunAlert)]
        if not bystander.policy.raises_alerts:
            if told:
                raise Violation("an alert without --alert")
            return
        if isinstance(moment.event, events.AlertFinished):
            self._telling = False
        if isinstance(moment.event, events.CommandStarted):
            if self._told_at_start not in ("", self._restart_trouble):
                self._owed.append(Cause(AlertEvent.RESTART_FAILED))
            self._restart_trouble = self._told_at_start or self._restart_trouble
            self._told_at_start = ""
        fresh = self._causes(moment, bystander)
        self._owed += fresh
        for alert in told:
            self._strike_out(Cause(alert.event, alert.exit_status))
        urgent = [cause for cause in fresh if cause.event is not AlertEvent.RECOVERED]
        if urgent and not told and not self._telling:
            raise Violation(f"no alert for {urgent[-1].event.value}")
        self._telling = self._telling or bool(told)
        untold = any(cause.event is AlertEvent.COMMAND_FAILED for cause in self._owed)
        if moment.phase is Phase.DONE and untold and not bystander.termed:
            raise Violation("the end without an alert for the command's failure")

    def _strike_out(self, cause: Cause) -> None:
        if cause not in self._owed:
            raise Violation(f"an alert for nothing: {cause}")
        # The newest alone is told after a wait; what was owed before it is not any more.
        newest = len(self._owed) - 1 - self._owed[::-1].index(cause)
        del self._owed[: newest + 1]

    def _causes(self, moment: HandledEvent, bystander: Bystander) -> list[Cause]:
        event = moment.event
        if isinstance(event, CoreLost):
            # What waited to be told is lost with the core, and so is what was told before.
            self._owed.clear()
            self._unhealthy, self._silent_until = False, 0.0
            self._restart_trouble = ""
            self._is_followed = False
            return [Cause(AlertEvent.ZKEXEC_FAILED)]
        if isinstance(event, events.Started):
            # A fresh core, which knows nothing of what the caretaker has told.
            self._unhealthy, self._silent_until = False, 0.0
        awaited = events.ZnodesRead if bystander.policy.mirrors else events.SessionConnected
        is_read = isinstance(event, awaited) and not bystander.is_kept
        if is_read and not self._is_followed and moment.phase is not Phase.EXITING:
            self._is_followed = True
            return [Cause(AlertEvent.RECOVERED)] if bystander.policy.alert_recovery else []
        if bystander.check_counts:
            return self._causes_of_check(moment.now, bystander)
        if bystander.failure is not None:
            if isinstance(bystander.failure, events.StartFailed):
                return [Cause(AlertEvent.COMMAND_FAILED, bystander.failure.status)]
            return [Cause(AlertEvent.COMMAND_FAILED, bystander.failure.ending.shell_status)]
        if bystander.delayed and isinstance(event, events.StartFailed):
            fresh, self._restart_trouble = event.reason != self._restart_trouble, event.reason
            return [Cause(AlertEvent.RESTART_FAILED)] if fresh else []
        if isinstance(event, events.FilesFailed) and bystander.host.tree is not None:
            if bystander.stopping_since is not None and not bystander.delayed:
                # After a stop, the old child is started again before anything is told.
                self._told_at_start = event.reason
                return []
            fresh, self._restart_trouble = event.reason != self._restart_trouble, event.reason
            return [Cause(AlertEvent.RESTART_FAILED)] if fresh else []
        return self._causes_of_settling(moment, bystander)

    def _causes_of_check(self, now: float, bystander: Bystander) -> list[Cause]:
        was_unhealthy, self._unhealthy = self._unhealthy, not bystander.check_passed
        if bystander.check_passed:
            self._silent_until = 0.0
            recovered = was_unhealthy and bystander.policy.alert_recovery
            return [Cause(AlertEvent.RECOVERED)] if recovered else []
        if now < self._silent_until:
            return []
        self._silent_until = now + bystander.policy.alert_interval_s
        return [Cause(AlertEvent.HEALTH_FAILED)]

    def _causes_of_settling(self, moment: HandledEvent, bystander: Bystander) -> list[Cause]:
        """A restart that had failed is settled once the child runs on what is wanted."""
        if not self._restart_trouble or moment.phase is not Phase.RUNNING:
            return []
        self._restart_trouble = ""
        return [Cause(AlertEvent.RECOVERED)] if bystander.policy.alert_recovery else []
