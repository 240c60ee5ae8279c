"""What a change of a member's phase means: the one place where it becomes actions."""

from zkexec.core.actions import Action, InstallFiles, Note
from zkexec.core.attempt import LocalFailure
from zkexec.core.parts import Parts
from zkexec.core.phases import (
    BlockedPhase,
    CheckingPhase,
    CurrentPhase,
    DrainingPhase,
    ExitingPhase,
    FailedPhase,
    LoadingPhase,
    ReloadingPhase,
    RunningPhase,
    StoppingPhase,
    VerifyingPhase,
)
from zkexec.core.policy import ChangeAction
from zkexec.core.step import Step


class PhaseChanges:
    """Carries out changes of the phase."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    # One arm for each phase.
    def entered(  # noqa: PLR0911
        self, before: CurrentPhase, phase: CurrentPhase, now: float, *, is_in_turn: bool
    ) -> list[Action]:
        """Do what it means that a phase, or its data, is another one: the only place that does.

        `is_in_turn`: a change was begun in this turn, and no command has been healthy since.  Call
        it after `left`.
        """
        note: list[Action] = []
        if phase.phase is not before.phase:
            note = [Note("phase", {"left": before.phase.value, "phase": phase.phase.value})]
        match phase:
            case RunningPhase():
                return self._entered_running(before, phase, note, now)
            case StoppingPhase():
                return self._entered_stopping(note, now)
            case VerifyingPhase(_, generation) if generation and phase != before:
                return self._entered_verifying(before, phase, note, now)
            case FailedPhase() | BlockedPhase() if self._is_new_failure(before, phase):
                return self._entered_failed(before, phase, note, now, is_in_turn=is_in_turn)
            case CheckingPhase() if note:
                return note + self._parts.steps.start(
                    Step.CHECK, now, snapshot=self._parts.restart.staged
                )
            case DrainingPhase() if note:
                return note + self._parts.traffic.drain(now, "restart")
            case ReloadingPhase() if note:
                is_noticed = phase.action is ChangeAction.NONE
                topic = "only-installing" if is_noticed else "reloading"
                return [Note(topic), *note, *self._parts.health.end(), InstallFiles()]
            case ExitingPhase():
                return note + self._parts.health.end()
        return note

    def _is_new_failure(self, before: CurrentPhase, phase: CurrentPhase) -> bool:
        """Whether a failure, or trouble of this host, is new."""
        failure, earlier = phase.attempt.failure, before.attempt.failure
        if phase.phase is not before.phase:
            return not self._is_resumed(before, phase)
        if failure is None or failure.step is not Step.RENDER:
            return False
        return earlier is None or failure.version is not earlier.version

    @staticmethod
    def _is_resumed(before: CurrentPhase, phase: CurrentPhase) -> bool:
        """Whether this is the phase in which a check or a drain began, with nothing new in it."""
        is_same_failure = phase.attempt.failure is before.attempt.failure
        return phase.phase is before.base.phase and is_same_failure

    def left(self, before: CurrentPhase, phase: CurrentPhase, now: float) -> list[Action]:
        """Do what it means that a phase is over, whatever follows it."""
        if phase.phase is before.phase:
            return []
        match before:
            case CheckingPhase():
                return self._parts.steps.drop(Step.CHECK)
            case DrainingPhase() if not isinstance(phase, ExitingPhase):
                return self._parts.steps.drop(Step.PRE_STOP)
            case ReloadingPhase():
                if self._parts.command.present and not isinstance(phase, ExitingPhase):
                    health, generation = self._parts.health, self._parts.command.generation
                    was_tried = not phase.attempt.trouble
                    (health.begin if was_tried else health.resume)(generation, now)
                return self._parts.steps.drop(Step.RELOAD)
        return []

    def _entered_running(
        self, before: CurrentPhase, running: RunningPhase, note: list[Action], now: float
    ) -> list[Action]:
        """A turn, if there was one, is over: the command runs on what is wanted."""
        if isinstance(before, LoadingPhase):
            return note
        self._parts.restart.requested = None
        if running.known_good is not None:
            self._parts.restart.settle_on(running.known_good)
            note.insert(0, Note("known-good"))
        elif isinstance(before, VerifyingPhase):
            # What came since the files were installed has not been acted on.
            self._parts.restart.stop_settling()
            self._parts.restart.settle_on(self._parts.restart.installed)
        return note + self._parts.alerts.restart_settled(now)

    def _entered_stopping(self, note: list[Action], now: float) -> list[Action]:
        """From now on the newest that is wanted counts, and none of it has to settle."""
        self._parts.restart.stop_settling()
        self._parts.restart.begun = ChangeAction.RESTART
        self._parts.traffic.ended()
        dropped = self._parts.steps.drop(Step.POST_HEALTHY, Step.PRE_STOP)
        stopped = (
            dropped
            + self._parts.health.end()
            + self._parts.command.stop(self._parts.policy.kill_signal, now)
        )
        return [Note("restarting"), *note, *stopped]

    def _entered_verifying(
        self, before: CurrentPhase, phase: VerifyingPhase, note: list[Action], now: float
    ) -> list[Action]:
        """The health deadline begins when the command has started, and not anew for newer files."""
        earlier = before.base
        if isinstance(earlier, VerifyingPhase) and earlier.generation == phase.generation:
            return note
        policy = self._parts.policy
        is_reload = isinstance(before, ReloadingPhase)
        success_s = policy.reload_success_s if is_reload else policy.success_s
        self._parts.health.verify(now, success_s)
        self._parts.traffic.limit(now + policy.health_delay_s + success_s)
        return [Note("verifying"), *note]

    def _entered_failed(
        self,
        before: CurrentPhase,
        phase: CurrentPhase,
        note: list[Action],
        now: float,
        *,
        is_in_turn: bool,
    ) -> list[Action]:
        """Keep the turn after a config failure; after this host's trouble release it, and retry.

        A turn in which a command was stopped is kept until the present command is known good.
        """
        attempt, earlier = phase.attempt, before.attempt
        if attempt.failure is not None and attempt.failure is not earlier.failure:
            return self._entered_failure(attempt.failure, note, now)
        if earlier.revert_to is not None and earlier.trouble == attempt.trouble:
            return [*([] if attempt.revert_to else [Note("reverted")]), *note]
        if not is_in_turn:
            self._parts.restart.requested = None
        self._parts.restart.try_again(now)
        return note + self._parts.alerts.restart_failed(attempt.trouble, now, step=attempt.step)

    def _entered_failure(
        self, failure: LocalFailure, note: list[Action], now: float
    ) -> list[Action]:
        self._parts.health.relax(now)
        alerted = self._parts.alerts.restart_failed(
            failure.reason, now, again=True, step=failure.step
        )
        if not self._parts.policy.in_group:
            return [Note("change-refused", {"reason": failure.reason}), *note, *alerted]
        is_tolerable = self._parts.policy.max_failed.amount > 0
        consequence = "no other member tries this version"
        if is_tolerable:
            consequence = "the rollout goes on if it tolerates this failure"
        known = {"reason": failure.reason, "consequence": consequence}
        if failure.step in (Step.RENDER, Step.CHECK, Step.RELOAD):
            return [Note("change-failed", known), *note, *alerted]
        # A command that has ended will not recover.
        can_recover = self._parts.command.present and failure.step is Step.HEALTH
        or_else = ", or until the command becomes healthy" if can_recover else ""
        return [Note("restart-failed", known | {"or_else": or_else}), *note, *alerted]

    # One arm for each phase.
    def step_of(self, phase: CurrentPhase) -> Step | None:  # noqa: PLR0911
        """The step of a change that this member is in, or in which it has failed."""
        match phase:
            case CheckingPhase():
                return Step.CHECK
            case DrainingPhase():
                return Step.PRE_STOP
            case StoppingPhase():
                return Step.STOP
            case ReloadingPhase():
                return Step.RELOAD
            case VerifyingPhase() if not self._parts.command.present:
                return Step.START
            case VerifyingPhase():
                is_healthy = (
                    self._parts.health.known == "healthy" and not self._parts.traffic.has_joined
                )
                return Step.POST_HEALTHY if is_healthy else Step.HEALTH
        if phase.attempt.step is None and self._parts.traffic.trouble:
            return Step.POST_HEALTHY
        return phase.attempt.step
