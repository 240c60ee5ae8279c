"""Verify a started command: its health deadline, what follows a failure, and its later health.

Only a member of a group can *fail* here.  Without a group a command is successful as soon as it has
started, and zkexec ends with it.
"""

from zkexec.core.actions import Action, Note
from zkexec.core.alerts import Alerts
from zkexec.core.attempt import Attempt
from zkexec.core.command import AdoptedCommand, Command
from zkexec.core.events import CommandStarted, HealthCheckFinished
from zkexec.core.health import HealthCheck
from zkexec.core.phases import CurrentPhase, Phase
from zkexec.core.policy import OnFailure, Policy
from zkexec.core.snapshot import plan
from zkexec.core.turn import Turn


class HealthDeadline:
    """By when one generation of the command has to be known good.

    With a health check the command has the health delay to become healthy, and has to stay healthy
    for `--min-healthy`.  Without one it has to live for that long.  A command that has missed the
    deadline is still watched: if it becomes healthy after all, it is known good, too.
    """

    def __init__(self, policy: Policy, now: float, *, limited: bool) -> None:
        """Begin with a command that was started now; only a limited deadline can be missed."""
        self._policy = policy
        self._lost_at = now + policy.health_delay_s if limited and policy.checks_health else None
        self._proven_at = None if policy.checks_health else now + policy.success_s
        self._trouble = "no health check has ended"

    @property
    def deadline(self) -> float | None:
        """When it is decided, one way or the other, if nothing happens before."""
        return self._lost_at if self._proven_at is None else self._proven_at

    def checked(self, healthy: bool, reason: str, now: float) -> None:
        """Take in a result of the health check."""
        if not healthy:
            self._proven_at = None
            self._trouble = reason
        elif self._proven_at is None:
            self._proven_at = now + self._policy.success_s

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


class Verification:
    """The health of the present command, and what follows from it for the turn."""

    def __init__(
        self, policy: Policy, turn: Turn, current_phase: CurrentPhase, command: Command
    ) -> None:
        self.attempt = Attempt()
        self.alerts = Alerts(policy)
        self.command = command
        self.health = "unknown"
        self._health_check = HealthCheck(policy)
        self._policy = policy
        self._turn = turn
        self._phase = current_phase
        self._health_deadline: HealthDeadline | None = None

    @property
    def deadline(self) -> float | None:
        """When a health check, an alert or the health deadline is due."""
        trial_at = self._health_deadline.deadline if self._health_deadline else None
        due = (self._health_check.deadline, self.alerts.deadline, trial_at)
        return min((at for at in due if at is not None), default=None)

    @property
    def has_failed(self) -> bool:
        """Whether the turn is kept because what was tried has failed."""
        return self._phase.is_in(Phase.FAILED) and self.attempt.failing is not None

    @property
    def survives_exit(self) -> bool:
        """Whether a command that ends by itself now does not end zkexec with it.

        Its exit is a config failure of the group; or it is the old command, started again and not
        healthy yet, in a turn that continues as soon as files can be written.
        """
        is_open = self._health_deadline is not None and self.attempt.failing is None
        is_trying_again = is_open and self._phase.is_in(Phase.WAITING, Phase.FAILED)
        return self._is_awaited or (is_trying_again and self.is_in_turn and self.attempt.stopped)

    @property
    def _is_awaited(self) -> bool:
        """Whether the group waits for this command to become healthy."""
        if not self._turn.in_group:
            return False
        is_failing = self.has_failed and not self.attempt.reverted
        return self._phase.is_in(Phase.VERIFYING) or is_failing

    def started(self, event: CommandStarted, now: float) -> list[Action]:
        """The command has started: check its health, and in a turn set its health deadline."""
        actions = self.command.started(event)
        is_first = self._phase.is_in(Phase.LOADING)
        adopted = is_first and self._turn.in_flight and self.attempt.tried is not None
        awaited = self._turn.in_group and not self.attempt.reverting
        awaited = awaited and (adopted or self._phase.is_in(Phase.VERIFYING))
        self.health = "unknown"
        self._health_check.open(event.generation, now, eager=awaited)
        self._health_deadline = (
            HealthDeadline(self._policy, now, limited=awaited) if self._turn.in_group else None
        )
        if awaited:
            return [*actions, Note("verifying"), *self._phase.enter(Phase.VERIFYING)]
        if self.attempt.reverting:
            return actions + self._revert()
        if is_first:
            self.attempt.tried = None
            return [*actions, *self._phase.enter(Phase.RUNNING)]
        return actions

    def take_over(self, adopted: AdoptedCommand, now: float, trouble: str) -> list[Action]:
        """Go on with a command that an earlier core has started; `trouble` is why there is another.

        In a group it has to be verified again.
        """
        self.attempt.applied = self.attempt.seen = adopted.applied
        self.command.take_over(adopted, now)
        self.alerts.take_over(adopted, trouble)
        self._health_check.take_over(adopted, now)
        self._health_deadline = (
            HealthDeadline(self._policy, now, limited=False) if self._turn.in_group else None
        )
        return self._phase.enter(Phase.RUNNING)

    def _revert(self) -> list[Action]:
        """Wait on the good content, or on what failed if the good one could not be installed."""
        is_done = self.attempt.applied == self.attempt.good
        self.attempt.reverting = not is_done
        return [*([Note("reverted")] if is_done else []), *self._phase.enter(Phase.FAILED)]

    def stop(self) -> list[Action]:
        """The command is going: nothing more is to be learnt from it."""
        self._health_deadline = None
        self.health = "unknown"
        return self._health_check.close()

    def expire(self, now: float) -> list[Action]:
        """Start or end the checks and alerts that are due."""
        return self._health_check.expire(now) + self.alerts.expire(now)

    def checked(self, event: HealthCheckFinished, now: float) -> list[Action]:
        """Take in the result of a check."""
        check_result = self._health_check.finished(event, now)
        if check_result is None:
            return []
        self.health = "healthy" if check_result.healthy else "unhealthy"
        if self._health_deadline is not None:
            self._health_deadline.checked(check_result.healthy, check_result.reason, now)
        if check_result.healthy:
            return [check_result.note, *self.alerts.health_passed(now)]
        # A command that is being verified has until the health deadline, and then one alert.
        if self._is_awaited:
            return [check_result.note]
        return [check_result.note, *self.alerts.health_failed(check_result.reason, now)]

    def judge(self, now: float) -> list[Action]:
        """Check whether the command is known good by now, or has missed its deadline."""
        if self._health_deadline is None or not self.command.present:
            return []
        if self._health_deadline.is_known_good(now):
            self._health_deadline = None
            self._health_check.relax(now)
            return self._known_good(now)
        if not self._health_deadline.is_lost(now):
            return []
        reason = self._health_deadline.lose()
        if self.is_troubled:
            # The old version is not healthy: the new one was never started.
            self.attempt.trouble = f"{self.attempt.trouble}; {reason}"
            return []
        return self.fail(reason, now)

    @property
    def is_open(self) -> bool:
        """Whether the command runs, and is not known good yet."""
        return self._health_deadline is not None and self.command.present

    @property
    def has_to_verify(self) -> bool:
        """Whether the turn of an earlier core waits for a running command to be known good."""
        return self.is_open and self._phase.is_in(Phase.RUNNING) and self._turn.in_flight

    def adopted(self, *, check: int | None, alerting: bool) -> AdoptedCommand:
        """The command for another core; `check` and `alerting` are what runs beside it."""
        asked_until, passed_on = self.command.asked
        return AdoptedCommand(
            generation=self.command.generation,
            applied=self.attempt.applied,
            check=check,
            check_due=self._health_check.due,
            check_is_late=self._health_check.is_late,
            alerting=alerting,
            asked_until=asked_until,
            passed_on=passed_on,
        )

    @property
    def is_in_turn(self) -> bool:
        """Whether a command was stopped in this turn, and none has been healthy since."""
        was_stopped = self.attempt.stopped or self._turn.inherited
        is_known_good = self._health_deadline is None and self.command.present
        return self._turn.in_flight and was_stopped and not is_known_good

    def verify(self, now: float) -> list[Action]:
        """Give the present command a health deadline: the turn ends when it is known good."""
        self._health_check.check_often(now)
        self._health_deadline = HealthDeadline(self._policy, now, limited=True)
        return [Note("verifying"), *self._phase.enter(Phase.VERIFYING)]

    @property
    def is_back_in_trouble(self) -> bool:
        """Whether the old configuration is healthy again, after the new could not be written.

        If it is not within its time, there is nothing to wait for either.
        """
        is_decided = self._health_deadline is None or self._health_deadline.deadline is None
        return self.is_troubled and is_decided and self.command.present and self._turn.in_group

    @property
    def is_steady(self) -> bool:
        """Whether the command runs and is known good, and no turn is needed."""
        is_known_good = self._health_deadline is None and self.command.present
        return is_known_good and self._phase.is_in(Phase.RUNNING)

    @property
    def is_troubled(self) -> bool:
        """Whether the old configuration was started again, as the new could not be written."""
        attempt = self.attempt
        is_old = bool(attempt.trouble) and attempt.applied != attempt.tried
        return is_old and self._phase.is_in(Phase.VERIFYING)

    def _known_good(self, now: float) -> list[Action]:
        attempt = self.attempt
        attempt.stopped = False
        if self.is_troubled:
            if attempt.applied == attempt.failing:
                # What had failed before is healthy after all.
                attempt.recover()
                self._turn.succeed(attempt.applied)
            return []
        if not attempt.reverted:
            attempt.good = attempt.applied
        if self._is_awaited:
            self._turn.succeed(attempt.applied)
            attempt.recover()
            attempt.tried = None
            # What was refused in this turn is requested again, in a turn of its own.
            attempt.seen = attempt.applied
            entered = self._phase.enter(Phase.RUNNING)
            return [Note("known-good"), *entered, *self.alerts.restart_settled(now)]
        if self._phase.is_in(Phase.FAILED) and attempt.failing is None:
            self._turn.withdraw()
        if self._policy.mirrors and not attempt.reverted:
            self._turn.report_known_good(attempt.applied)
        return []

    def fail(self, reason: str, now: float) -> list[Action]:
        """What was tried has failed: keep the turn, record the failure, wait for something new."""
        attempt = self.attempt
        self._health_check.relax(now)
        self._turn.fail(attempt.fail(reason), reason)
        can_revert = attempt.good is not None and bool(plan(attempt.applied, attempt.good))
        attempt.reverting = self._policy.on_failure is OnFailure.REVERT and can_revert
        # A command that has ended will not recover.
        or_else = ", or until the command becomes healthy" if self.command.present else ""
        note = Note("restart-failed", {"reason": reason, "or_else": or_else})
        entered = self._phase.enter(Phase.FAILED)
        return [note, *entered, *self.alerts.restart_failed(reason, now, again=True)]

    def exited(self, reason: str, now: float) -> list[Action]:
        """The command exited by itself: a config failure if it ran what was being verified."""
        attempt, closed = self.attempt, self.stop()
        if not self.is_troubled:
            if self._phase.is_in(Phase.VERIFYING):
                return closed + self.fail(f"the command ended ({reason})", now)
            if attempt.failing is not None:
                return closed
        attempt.trouble = f"{attempt.trouble}; the old command does not run: {reason}"
        ended = Note("old-command-ended", {"reason": reason})
        return [*closed, ended, *self.alerts.restart_failed(attempt.trouble, now)]
