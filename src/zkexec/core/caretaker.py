"""Keeps a running command after an error inside zkexec, until a fresh core takes it over.

The caretaker follows no configuration and knows no cluster and no group.  It passes signals on,
goes on with health checks and alerts, and ends zkexec as the command ends.  A command that was
being stopped when the error came is waited for, and so is the alert if no command runs at all.
"""

from zkexec.core import events
from zkexec.core.actions import Action, EndProcess, Note
from zkexec.core.alerts import Alerts
from zkexec.core.command import CANNOT_WORK, SIGTERM, AdoptedCommand, Command, signal_note
from zkexec.core.events import Event, ExitStatus, SignalReceived
from zkexec.core.health import HealthCheck
from zkexec.core.policy import Policy


class Caretaker:
    """Decides about a running command between two cores."""

    def __init__(
        self, policy: Policy, adopted: AdoptedCommand, retry_at: float, now: float
    ) -> None:
        """Take over a command; `retry_at` is when a fresh core may begin."""
        self._policy = policy
        self._retry_at = retry_at
        self._applied = adopted.applied
        self._zkexec_status = adopted.zkexec_status
        self._has_to_join, self._owes_term = adopted.has_to_join, adopted.owes_term
        self._command = Command(policy)
        self._command.take_over(adopted, now)
        self._health_check = HealthCheck(policy)
        self._alerts = Alerts(policy)
        self._alerts.take_over(adopted)
        self._ends = adopted.stopping or not self._command.present
        if not self._ends:
            self._health_check.take_over(adopted, now)

    @property
    def deadline(self) -> float | None:
        """The absolute time of the next Tick that is needed."""
        retry_at = None if self._ends else self._retry_at
        due = (self._command.deadline, self._health_check.deadline, self._alerts.deadline, retry_at)
        return min((at for at in due if at is not None), default=None)

    @property
    def is_ending(self) -> bool:
        """Whether zkexec ends as soon as no command and no alert runs."""
        return self._ends

    def is_over(self, now: float) -> bool:
        """Whether it is time for a fresh core, which only a command that goes on running gets."""
        return not self._ends and now >= self._retry_at

    def adopted(self, *, check: int | None, alerting: bool) -> AdoptedCommand:
        """The command for the next core; `check` and `alerting` are what runs beside it."""
        asked_until, passed_on = self._command.asked
        return AdoptedCommand(
            generation=self._command.generation,
            applied=self._applied,
            check=check,
            check_due=self._health_check.due,
            check_is_late=self._health_check.is_late,
            check_is_void=self._health_check.is_void,
            alerting=alerting,
            asked_until=asked_until,
            passed_on=passed_on,
            has_to_join=self._has_to_join,
        )

    def begin(self, reason: str, now: float) -> list[Action]:
        """Raise the alert, and stop the command if that has only waited for a pre-stop."""
        term = SignalReceived(SIGTERM, from_terminal=False)
        stopped = self._on_signal(term, now) if self._owes_term else []
        return self._alerts.zkexec_failed(reason, now) + stopped + self._finish(now)

    def handle(self, event: Event, now: float) -> list[Action]:
        """Decide what to do about this event, and about everything that is due by `now`."""
        actions = self._react(event, now) + self._command.expire(now) + self._alerts.expire(now)
        # A health check with a timeout of 0 is over as soon as it has begun.
        actions += self._health_check.expire(now) + self._health_check.expire(now)
        return actions + self._finish(now)

    def _finish(self, now: float) -> list[Action]:
        """End zkexec as soon as nothing is left to wait for."""
        if not self._ends or self._command.present:
            return []
        if self._alerts.busy:
            self._alerts.limit(now)
            return []
        return [
            EndProcess(self._zkexec_status or self._command.ending or ExitStatus(code=CANNOT_WORK))
        ]

    def _react(self, event: Event, now: float) -> list[Action]:
        match event:
            case SignalReceived():
                return self._on_signal(event, now)
            case events.CommandExited(generation) if generation == self._command.generation:
                return self._on_exited(event, now)
            case events.ProcessTreeInspected():
                self._command.inspected(event)
            case events.HealthCheckFinished():
                return self._on_checked(event, now)
            case events.AlertFinished(reason):
                return self._alerts.finished(reason, now)
        return []

    def _on_signal(self, event: SignalReceived, now: float) -> list[Action]:
        if event.signal == SIGTERM:
            self._alerts.drop_waiting()
        if not self._command.present:
            return [signal_note(event)]
        passed_on = self._command.pass_on(event, now)
        if event.signal == SIGTERM:
            self._zkexec_status = None
            self._command.expect_end(now)
            passed_on += self._end()
        return passed_on

    def _on_exited(self, event: events.CommandExited, now: float) -> list[Action]:
        is_stopped = self._command.stopping
        actions = self._command.exited(event, now) + self._end()
        ending = event.ending
        if is_stopped or not ending.failed or self._command.was_asked_to_end(ending, now):
            return actions
        status = ending.shell_status
        actions.append(Note("command-failed", {"reason": event.reason, "exit_status": status}))
        return actions + self._alerts.command_failed(event.reason, status, now)

    def _end(self) -> list[Action]:
        self._ends = True
        return self._health_check.close()

    def _on_checked(self, event: events.HealthCheckFinished, now: float) -> list[Action]:
        check_result = self._health_check.finished(event, now)
        if check_result is None:
            return []
        if check_result.healthy:
            return [check_result.note, *self._alerts.health_passed(now)]
        return [check_result.note, *self._alerts.health_failed(check_result.whole_reason, now)]
