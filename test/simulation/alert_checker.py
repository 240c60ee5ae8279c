"""The promise about alerts: each one has a cause, and each cause gets its alert."""

from dataclasses import dataclass
from typing import TypeGuard

from simulation.bystander import Bystander, CoreLost, HandledEvent, Violation
from zkexec.core import actions, events
from zkexec.core.actions import AlertEvent
from zkexec.core.phases import Phase
from zkexec.core.step import Step


def is_phase_note(action: actions.Action) -> TypeGuard[actions.Note]:
    """Whether this is a line of the log about a change of the phase."""
    return isinstance(action, actions.Note) and action.topic == "phase"


@dataclass(frozen=True, slots=True)
class Cause:
    """A reason for an alert."""

    event: AlertEvent
    status: int | None = None


class AlertsAsRequired:
    """Alerts run for a failed command, health check or restart, and for nothing else."""

    def __init__(self) -> None:
        """Begin without any cause."""
        self._due: list[Cause] = []
        self._failed_before_start = ""
        """Why files could not be written, if the alert is due once the old command is started."""
        self._alerting = False
        self._unhealthy = False
        self._silent_until = 0.0
        self._lost_at = 0.0
        """When the core was lost that knew when the command was started or reloaded."""
        self._restart_trouble = ""
        self._is_followed = True
        self._optional: list[Cause] = []
        """Causes that may have an alert: an attempt that fails again need not raise another."""
        self._ended_by_core: set[Step] = set()
        """The steps whose command was killed, perhaps for newer content."""

    def see(self, moment: HandledEvent, bystander: Bystander) -> None:
        """Compare the causes with the alerts."""
        alerts = [action for action in moment.actions if isinstance(action, actions.RunAlert)]
        if not bystander.policy.raises_alerts:
            if alerts:
                raise Violation("an alert without --alert")
            return
        if isinstance(moment.event, events.AlertFinished):
            self._alerting = False
        if isinstance(moment.event, events.CommandStarted):
            if self._failed_before_start not in ("", self._restart_trouble):
                self._due.append(Cause(AlertEvent.RESTART_FAILED))
            self._restart_trouble = self._failed_before_start or self._restart_trouble
            self._failed_before_start = ""
        new = self._causes(moment, bystander)
        self._optional += self._causes_of_templates(bystander)
        if bystander.policy.step_limits or bystander.policy.on_change:
            new = self._with_steps(new, moment, bystander)
        self._due += new
        for alert in alerts:
            self._strike_out(Cause(alert.event, alert.exit_status))
        urgent = [cause for cause in new if cause.event is not AlertEvent.RECOVERED]
        if urgent and not alerts and not self._alerting:
            raise Violation(f"no alert for {urgent[-1].event.value}")
        self._alerting = self._alerting or bool(alerts)
        is_missing = any(cause.event is AlertEvent.COMMAND_FAILED for cause in self._due)
        if moment.phase is Phase.DONE and is_missing and not bystander.termed:
            raise Violation("the end without an alert for the command's failure")

    @staticmethod
    def _causes_of_templates(bystander: Bystander) -> list[Cause]:
        """An error of a template counts as soon as an attempt is due, which is not seen here."""
        if not bystander.policy.inputs.templates:
            return []
        return [Cause(AlertEvent.RESTART_FAILED), Cause(AlertEvent.RECOVERED)]

    def _strike_out(self, cause: Cause) -> None:
        if cause not in self._due and cause in self._optional:
            return
        if cause not in self._due:
            raise Violation(f"an alert for nothing: {cause}")
        # After a wait only the newest alert runs; the causes before it are dropped.
        newest = len(self._due) - 1 - self._due[::-1].index(cause)
        del self._due[: newest + 1]

    def _with_steps(
        self, causes: list[Cause], moment: HandledEvent, bystander: Bystander
    ) -> list[Cause]:
        """Return the causes that need an alert if a change has steps that can fail."""
        notes = {action.topic for action in moment.actions if isinstance(action, actions.Note)}
        counted = "health-check-failed" in notes
        due = []
        for cause in causes:
            if cause.event is AlertEvent.RESTART_FAILED:
                # Whether the reason is a new one depends on the steps, too.
                self._optional.append(cause)
            elif cause.event is not AlertEvent.HEALTH_FAILED or counted:
                due.append(cause)
        failed = [*self._failed_steps(moment, bystander)]
        self._optional += failed
        is_refusal = isinstance(moment.event, events.StepFinished) and (
            moment.event.step in (Step.CHECK, Step.RELOAD) and not moment.event.outcome.is_of_host
        )
        for action in moment.actions:
            if isinstance(action, actions.KillStep):
                self._ended_by_core.add(action.step)
        return due + (failed if is_refusal else [])

    def _failed_steps(self, moment: HandledEvent, bystander: Bystander) -> list[Cause]:
        event = moment.event
        if isinstance(event, CoreLost):
            self._ended_by_core.clear()
        if not isinstance(event, events.StepFinished):
            return []
        if event.step is Step.POST_HEALTHY and bystander.policy.alert_recovery:
            # That the command was not back in traffic is an alert of its own.
            self._optional.append(Cause(AlertEvent.RECOVERED))
        is_killed = event.step in self._ended_by_core
        self._ended_by_core.discard(event.step)
        is_ending = bystander.termed or bystander.over or bystander.host.tree is None
        if (event.outcome.passed and not is_killed) or is_ending:
            return []
        self._restart_trouble = self._restart_trouble or event.outcome.reason or "too late"
        cause = Cause(AlertEvent.RESTART_FAILED)
        if is_killed:
            self._optional.append(cause)
            return []
        return [cause]

    def _causes(self, moment: HandledEvent, bystander: Bystander) -> list[Cause]:
        event = moment.event
        if isinstance(event, CoreLost):
            self._lost_at = moment.now
            # Waiting alerts are lost with the core, and so is the memory of earlier ones.
            self._due.clear()
            self._unhealthy, self._silent_until = False, 0.0
            self._restart_trouble = ""
            self._is_followed = False
            return [Cause(AlertEvent.ZKEXEC_FAILED)]
        if isinstance(event, events.Started):
            # A new core, which does not know the alerts of the caretaker.
            self._unhealthy, self._silent_until = False, 0.0
        awaited = events.ZnodesRead if bystander.policy.inputs.paths else events.SessionConnected
        is_read = isinstance(event, awaited) and not bystander.is_kept
        if is_read and not self._is_followed and moment.phase is not Phase.EXITING:
            self._is_followed = True
            return [Cause(AlertEvent.RECOVERED)] if bystander.policy.alert_recovery else []
        if bystander.check_counts:
            is_certain = not bystander.policy.on_change or self._is_noted(moment)
            return self._causes_of_check(moment.now, bystander) if is_certain else []
        if bystander.failure is not None:
            if isinstance(bystander.failure, events.StartFailed):
                return [Cause(AlertEvent.COMMAND_FAILED, bystander.failure.status)]
            return [Cause(AlertEvent.COMMAND_FAILED, bystander.failure.ending.shell_status)]
        if bystander.delayed and isinstance(event, events.StartFailed):
            new, self._restart_trouble = event.reason != self._restart_trouble, event.reason
            return [Cause(AlertEvent.RESTART_FAILED)] if new else []
        if isinstance(event, events.FilesFailed) and bystander.host.tree is not None:
            if bystander.stopping_since is not None and not bystander.delayed:
                # After a stop, the old command is started again before the alert.
                self._failed_before_start = event.reason
                return []
            # A newer failure replaces one whose alert waits for the start of the old command.
            self._failed_before_start = ""
            new, self._restart_trouble = event.reason != self._restart_trouble, event.reason
            return [Cause(AlertEvent.RESTART_FAILED)] if new else []
        return self._causes_of_recovery(moment, bystander)

    @staticmethod
    def _is_noted(moment: HandledEvent) -> bool:
        """Whether a health check counts that was killed for a reload which did not come."""
        notes = {action.topic for action in moment.actions if isinstance(action, actions.Note)}
        return bool(notes & {"health-check-passed", "health-check-failed"})

    def _causes_of_check(self, now: float, bystander: Bystander) -> list[Cause]:
        begun_at = max(bystander.started_at, bystander.reloads.at)
        is_early = now < begun_at + bystander.policy.health_delay_s
        if is_early and begun_at > self._lost_at and not bystander.check_passed:
            return []  # the command may still become healthy
        was_unhealthy, self._unhealthy = self._unhealthy, not bystander.check_passed
        if bystander.check_passed:
            self._silent_until = 0.0
            recovered = was_unhealthy and bystander.policy.alert_recovery
            return [Cause(AlertEvent.RECOVERED)] if recovered else []
        if now < self._silent_until:
            return []
        self._silent_until = now + bystander.policy.alert_interval_s
        return [Cause(AlertEvent.HEALTH_FAILED)]

    def _causes_of_recovery(self, moment: HandledEvent, bystander: Bystander) -> list[Cause]:
        """Return the recovery of a failed restart, once the command runs on the wanted files."""
        passed = [action.fields.get("phase") for action in moment.actions if is_phase_note(action)]
        is_running = moment.phase is Phase.RUNNING or Phase.RUNNING.value in passed
        if not self._restart_trouble or not is_running:
            return []
        self._restart_trouble = ""
        return [Cause(AlertEvent.RECOVERED)] if bystander.policy.alert_recovery else []
