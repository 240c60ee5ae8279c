"""What follows when a step of a change has ended: files written or not, a command of a step."""

from __future__ import annotations

from zkexec.core import facts
from zkexec.core.actions import DiscardFiles, Note, SignalCommand
from zkexec.core.facts import Found
from zkexec.core.parts import Parts
from zkexec.core.phases import CurrentPhase, LoadingPhase, Phase, ReloadingPhase
from zkexec.core.policy import ChangeAction
from zkexec.core.restart import RETRY_FILES_S
from zkexec.core.startup import CannotStartError, FirstStart
from zkexec.core.step import Step, StepOutcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


class StepResults:
    """Takes in the results, and returns the actions and facts that follow."""

    def __init__(self, parts: Parts, first: FirstStart) -> None:
        self._parts = parts
        self._first = first

    def installed(self, phase: CurrentPhase, written: Sequence[str], now: float) -> Found:
        """The files are at their targets: a command is started on them, or loads them."""
        policy, restart = self._parts.policy, self._parts.restart
        found = restart.install(phase, written)
        if not isinstance(phase, ReloadingPhase):
            return found
        restart.begun = phase.action
        if phase.action is ChangeAction.NONE:
            return [*found, self._reloaded()]
        if policy.runs(Step.RELOAD):
            return [*found, *self._parts.steps.start(Step.RELOAD, now)]
        number = policy.reload_signal
        signalled = [Note("reload-signalled", {"signal": number}), SignalCommand(number)]
        return [*found, *signalled, self._reloaded()]

    def _reloaded(self) -> facts.Fact:
        """The command has loaded the files, as far as it says: in a group it is verified."""
        restart, generation = self._parts.restart, self._parts.command.generation
        restart.reloaded()
        if self._parts.policy.in_group:
            return facts.TurnUnfinished(generation, restart.installed)
        return facts.CommandBegan(generation)

    def files_failed(self, phase: CurrentPhase, reason: str, now: float) -> Found:
        """Files could not be written; the installed ones are unchanged."""
        restart = self._parts.restart
        if isinstance(phase, LoadingPhase):
            raise CannotStartError(Note("files-unwritable", {"reason": reason}))
        is_at_targets = phase.phase in (Phase.STOPPING, Phase.RELOADING)
        refused = restart.refuse(reason, Step.INSTALL if is_at_targets else Step.STAGE)
        attempt = phase.on(refused).attempt
        is_put_back = phase.attempt.step is Step.RELOAD and phase.attempt.revert_to is not None
        topic = "put-back-failed" if is_put_back else "files-failed"
        note = Note(topic, {"reason": reason, "retry_s": RETRY_FILES_S})
        found: Found = [note, refused]
        if phase.keeps_turn or attempt.revert_to is not None:
            restart.try_again(now)
            alerted = self._parts.alerts.restart_failed(reason, now, step=refused.step)
            found = [note, *alerted, refused]
        if phase.phase is not Phase.STOPPING:
            return found
        if not attempt.reason and refused.staged is not None:
            # What failed was to be tried again, and is installed.
            restart.settle_on(refused.staged)
        return [*found, *self._parts.command.start()]

    def step(self, phase: CurrentPhase, step: Step, outcome: StepOutcome, now: float) -> Found:
        """Take in how the command of a step has ended."""
        match step:
            case Step.POST_HEALTHY:
                self._parts.traffic.joined(outcome, now)
                return self._parts.alerts.joined(now) if outcome.passed else []
            case Step.PRE_STOP:
                return self._drained(phase, outcome, now)
            case Step.RELOAD if outcome.passed:
                return [self._reloaded()]
            case Step.RELOAD:
                return [self._parts.restart.reload_refused(f"the reload failed: {outcome.text}")]
        return self._checked(phase, outcome, now)

    def _drained(self, phase: CurrentPhase, outcome: StepOutcome, now: float) -> Found:
        """The command is out of traffic, and may be stopped."""
        self._parts.traffic.drained(now)
        if not self._parts.command.present:
            # It has ended the command, so this is the stop already.
            unchecked = self._parts.restart.drop_unchecked()
            return [*unchecked, facts.DrainEnded(), facts.StopPermitted()]
        if outcome.passed:
            return [facts.DrainEnded()]
        return self._hindered(phase, f"the pre-stop failed: {outcome.text}", Step.PRE_STOP, now)

    def _checked(self, phase: CurrentPhase, outcome: StepOutcome, now: float) -> Found:
        if outcome.passed:
            return self._parts.restart.checked()
        verb = "could not run" if outcome.is_of_host else "failed"
        reason = f"the check {verb}: {outcome.text}"
        if outcome.is_of_host:
            return self._hindered(phase, reason, Step.CHECK, now)
        if phase.base.phase is Phase.LOADING and not self._parts.turn.in_flight:
            return self._first.refused_by_check(reason)
        return self._parts.restart.refused_by_check(reason)

    def _hindered(self, phase: CurrentPhase, reason: str, step: Step, now: float) -> Found:
        """A step could not be done on this host: nothing is stopped, and it is tried again."""
        if phase.base.phase is Phase.LOADING:
            raise CannotStartError(Note("start-refused-by-check", {"reason": reason}))
        self._parts.restart.try_again(now)
        note = Note("step-impossible", {"reason": reason, "retry_s": RETRY_FILES_S})
        alerted = self._parts.alerts.restart_failed(reason, now, step=step)
        return [note, DiscardFiles(), *alerted, self._parts.restart.refuse(reason, step)]


def step_note(step: Step, outcome: StepOutcome) -> Note:
    """Return the line of the log about the end of a step's command."""
    if outcome.passed:
        return Note("step-passed", {"step": step.value})
    return Note("step-failed", {"step": step.value, "reason": outcome.text})
