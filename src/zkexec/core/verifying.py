"""The new child: whether it proves itself, what follows if it does not, and its health ever after.

What this file says of a *failure* holds for members of a group only.  Without a group a child
that has come to life has proven all it has to, and one that ends takes zkexec with it.
"""

from zkexec.core.actions import Action, Note
from zkexec.core.adoption import Adopted
from zkexec.core.alerts import Alarm
from zkexec.core.attempt import Attempt
from zkexec.core.command import Child
from zkexec.core.current_phase import Course
from zkexec.core.events import CheckFinished, ChildStarted
from zkexec.core.health import HealthGate
from zkexec.core.health_deadline import Trial
from zkexec.core.phases import Phase
from zkexec.core.policy import OnFailure, Terms
from zkexec.core.snapshot import plan
from zkexec.core.turn import Turn


class Proving:
    """The health of the present child, and what it proves."""

    def __init__(self, terms: Terms, turn: Turn, course: Course, child: Child) -> None:
        self.attempt = Attempt()
        self.alarm = Alarm(terms)
        self.child = child
        self.health = "unknown"
        self._gate = HealthGate(terms)
        self._terms = terms
        self._turn = turn
        self._course = course
        self._trial: Trial | None = None

    @property
    def deadline(self) -> float | None:
        """When a check, an alert or the trial has something due."""
        trial_at = self._trial.deadline if self._trial else None
        due = (self._gate.deadline, self.alarm.deadline, trial_at)
        return min((at for at in due if at is not None), default=None)

    @property
    def is_paused_by_failure(self) -> bool:
        """Whether the turn is kept because what was tried has failed."""
        return self._course.is_in(Phase.PAUSED) and self.attempt.failing is not None

    @property
    def survives_exit(self) -> bool:
        """Whether a child that ends by itself now does not end zkexec with it.

        It fails its group; or it is the old child, started again and not proven yet, in a turn
        that goes on as soon as files can be written.
        """
        is_open = self._trial is not None and self.attempt.failing is None
        is_trying_again = is_open and self._course.is_in(Phase.WAITING, Phase.PAUSED)
        return self._is_watched or (is_trying_again and self.owes_proof and self.attempt.stopped)

    @property
    def _is_watched(self) -> bool:
        """Whether the group waits for this child to become healthy."""
        if not self._turn.in_group:
            return False
        is_failing = self.is_paused_by_failure and not self.attempt.reverted
        return self._course.is_in(Phase.PROVING) or is_failing

    def started(self, event: ChildStarted, now: float) -> list[Action]:
        """The child is born: check it, and in a group put it to the proof."""
        actions = self.child.started(event)
        is_first = self._course.is_in(Phase.LOADING)
        adopted = is_first and self._turn.has_entry and self.attempt.tried is not None
        awaited = self._turn.in_group and not self.attempt.reverting
        awaited = awaited and (adopted or self._course.is_in(Phase.PROVING))
        self.health = "unknown"
        self._gate.open(event.generation, now, eager=awaited)
        self._trial = Trial(self._terms, now, limited=awaited) if self._turn.in_group else None
        if awaited:
            return [*actions, Note("proving"), *self._course.enter(Phase.PROVING)]
        if self.attempt.reverting:
            return actions + self._revert()
        if is_first:
            self.attempt.tried = None
            return [*actions, *self._course.enter(Phase.RUNNING)]
        return actions

    def take_over(self, adopted: Adopted, now: float, trouble: str) -> list[Action]:
        """Go on with a child that an earlier core has started; `trouble` is why there is another.

        In a group nothing is known any more of what it has proven.
        """
        self.attempt.applied = self.attempt.seen = adopted.applied
        self.child.take_over(adopted, now)
        self.alarm.take_over(adopted, trouble)
        self._gate.take_over(adopted, now)
        self._trial = Trial(self._terms, now, limited=False) if self._turn.in_group else None
        return self._course.enter(Phase.RUNNING)

    def _revert(self) -> list[Action]:
        """Wait on the good content; or on what failed, where the good could not be put in place."""
        is_done = self.attempt.applied == self.attempt.good
        self.attempt.reverting = not is_done
        return [*([Note("reverted")] if is_done else []), *self._course.enter(Phase.PAUSED)]

    def stop(self) -> list[Action]:
        """The child is going: nothing more is to be learnt from it."""
        self._trial = None
        self.health = "unknown"
        return self._gate.close()

    def expire(self, now: float) -> list[Action]:
        """Start or end the checks and alerts that are due."""
        return self._gate.expire(now) + self.alarm.expire(now)

    def checked(self, event: CheckFinished, now: float) -> list[Action]:
        """Take in the result of a check."""
        verdict = self._gate.finished(event, now)
        if verdict is None:
            return []
        self.health = "healthy" if verdict.healthy else "unhealthy"
        if self._trial is not None:
            self._trial.checked(verdict.healthy, verdict.reason, now)
        if verdict.healthy:
            return [Note("check-passed"), *self.alarm.health_passed(now)]
        failed = Note("check-failed", {"reason": verdict.reason})
        # A child that is still to become healthy has the health delay for it, and then one alert.
        return (
            [failed]
            if self._is_watched
            else [failed, *self.alarm.health_failed(verdict.reason, now)]
        )

    def judge(self, now: float) -> list[Action]:
        """See whether the trial is over by now."""
        if self._trial is None or not self.child.present:
            return []
        if self._trial.is_proven(now):
            self._trial = None
            self._gate.relax(now)
            return self._proven(now)
        if not self._trial.is_lost(now):
            return []
        reason = self._trial.lose()
        if self.is_troubled:
            # It is not the new configuration that is not healthy: that was never started.
            self.attempt.trouble = f"{self.attempt.trouble}; {reason}"
            return []
        return self.fail(reason, now)

    @property
    def is_open(self) -> bool:
        """Whether the child lives, and has not proven itself yet."""
        return self._trial is not None and self.child.present

    @property
    def is_untold(self) -> bool:
        """Whether the turn of an earlier core waits for the proof of a child that just runs on."""
        return self.is_open and self._course.is_in(Phase.RUNNING) and self._turn.has_entry

    def adopted(self, *, check: int | None, alerting: bool) -> Adopted:
        """The child for another core; `check` and `alerting` are what runs beside it."""
        asked_until, passed_on = self.child.asked
        return Adopted(
            generation=self.child.generation,
            applied=self.attempt.applied,
            check=check,
            check_due=self._gate.due,
            check_is_late=self._gate.is_late,
            alerting=alerting,
            asked_until=asked_until,
            passed_on=passed_on,
        )

    @property
    def owes_proof(self) -> bool:
        """Whether a child was stopped in this turn, and none has proven itself since."""
        was_stopped = self.attempt.stopped or self._turn.inherited
        is_proven = self._trial is None and self.child.present
        return self._turn.has_entry and was_stopped and not is_proven

    def put_to_proof(self, now: float) -> list[Action]:
        """Give the present child a time limit: the turn ends with its proof."""
        self._gate.press(now)
        self._trial = Trial(self._terms, now, limited=True)
        return [Note("proving"), *self._course.enter(Phase.PROVING)]

    @property
    def is_back_in_trouble(self) -> bool:
        """Whether the old configuration is healthy again, after the new could not be written.

        If it is not within its time, there is nothing to wait for either.
        """
        is_decided = self._trial is None or self._trial.deadline is None
        return self.is_troubled and is_decided and self.child.present and self._turn.in_group

    @property
    def is_steady(self) -> bool:
        """Whether the child runs, healthy as far as that was asked for, and no turn is needed."""
        is_proven = self._trial is None and self.child.present
        return is_proven and self._course.is_in(Phase.RUNNING)

    @property
    def is_troubled(self) -> bool:
        """Whether the old configuration was started again, as the new could not be written."""
        attempt = self.attempt
        is_old = bool(attempt.trouble) and attempt.applied != attempt.tried
        return is_old and self._course.is_in(Phase.PROVING)

    def _proven(self, now: float) -> list[Action]:
        attempt = self.attempt
        attempt.stopped = False
        if self.is_troubled:
            if attempt.applied == attempt.failing:
                # What had failed before is healthy after all.
                attempt.recover()
                self._turn.prove(attempt.applied)
            return []
        if not attempt.reverted:
            attempt.good = attempt.applied
        if self._is_watched:
            self._turn.prove(attempt.applied)
            attempt.recover()
            attempt.tried = None
            # What was refused in this turn is asked for anew, in a turn of its own.
            attempt.seen = attempt.applied
            entered = self._course.enter(Phase.RUNNING)
            return [Note("proven"), *entered, *self.alarm.restart_settled(now)]
        if self._course.is_in(Phase.PAUSED) and attempt.failing is None:
            self._turn.withdraw()
        if self._terms.mirrors and not attempt.reverted:
            self._turn.vouch(attempt.applied)
        return []

    def fail(self, reason: str, now: float) -> list[Action]:
        """What was tried has failed: keep the turn, tell everyone, and wait for something new."""
        attempt = self.attempt
        self._gate.relax(now)
        self._turn.fail(attempt.fail(reason), reason)
        can_revert = attempt.good is not None and bool(plan(attempt.applied, attempt.good))
        attempt.reverting = self._terms.on_failure is OnFailure.REVERT and can_revert
        # A command that has ended will not recover.
        or_else = ", or until the command becomes healthy" if self.child.present else ""
        note = Note("restart-failed", {"reason": reason, "or_else": or_else})
        entered = self._course.enter(Phase.PAUSED)
        return [note, *entered, *self.alarm.restart_failed(reason, now, again=True)]

    def exited(self, reason: str, now: float) -> list[Action]:
        """The child ended by itself, which fails its group, if it was on what is to be proven."""
        attempt, closed = self.attempt, self.stop()
        if not self.is_troubled:
            if self._course.is_in(Phase.PROVING):
                return closed + self.fail(f"the command ended ({reason})", now)
            if attempt.failing is not None:
                return closed
        attempt.trouble = f"{attempt.trouble}; the old command does not run: {reason}"
        ended = Note("old-command-ended", {"reason": reason})
        return [*closed, ended, *self.alarm.restart_failed(attempt.trouble, now)]
