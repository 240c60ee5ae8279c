"""The phases of a member: a value for each, with what is true in it and what follows from a fact.

`on` is the only way from one phase to the next.  It is pure: `Member` carries out what a change of
phase means.  The table in `transitions` lists which event can lead where.
"""

from zkexec.core import facts
from zkexec.core.attempt import Attempt
from zkexec.core.events import ExitStatus
from zkexec.core.facts import Fact
from zkexec.core.policy import ChangeAction
from zkexec.core.snapshot import Snapshot
from zkexec.core.step import Step
from zkexec.core.turn import Keeping
from zkexec.enumeration import Enum
from zkexec.frozen import frozen, replace


class Phase(Enum):
    """What a member is doing now; the value is the word for people."""

    LOADING = "loading"
    """The first snapshot, its files, or the first command is not there yet."""
    RUNNING = "running"
    """The command runs on the wanted configuration."""
    WAITING = "waiting"
    """There is a change: the settle time runs, the turn is requested, or the files are staged.

    A first start that has to wait for its turn waits here, too, without a command.
    """
    CHECKING = "checking"
    """The staged files are examined; nothing is stopped yet."""
    DRAINING = "draining"
    """The command is taken out of traffic, before it is stopped."""
    RELOADING = "reloading"
    """The new files are installed beside the running command, which is to load them."""
    STOPPING = "stopping"
    """The old command is being stopped, or its process tree is not gone yet."""
    VERIFYING = "verifying"
    """The new command is being started; it has to run, and in a group to become healthy."""
    FAILED = "failed"
    """The new configuration failed, and the turn is kept; there may be no command."""
    BLOCKED = "blocked"
    """This host could not write the files.  It tries again, without a turn unless one has begun."""
    EXITING = "exiting"
    """zkexec is ending: nothing is started any more but a last alert."""
    DONE = "done"
    """zkexec has ended."""


IN_TURN = (
    Phase.WAITING,
    Phase.STOPPING,
    Phase.RELOADING,
    Phase.VERIFYING,
    Phase.FAILED,
    Phase.BLOCKED,
)
"""The phases in which something is wanted of the turn."""


class CurrentPhase:
    """A phase with the data that is true in it; `attempt` is what a turn was used for last."""

    phase = Phase.LOADING
    attempt = Attempt()
    takes_changes = False
    """Whether a change of the inputs is acted on in it."""
    keeps_turn = False
    """Whether something newer is tried in the turn that this member has already."""
    known_good: Snapshot | None = None
    """The version on which the command has become healthy, which ends a turn."""

    def on(self, fact: Fact) -> "CurrentPhase":  # noqa: ARG002 -- of the phases that can end
        """Return the phase that follows from this fact, the same value if none does."""
        return self

    @property
    def base(self) -> "CurrentPhase":
        """The phase that is gone on with after a check or a drain; it is in none: itself."""
        return self

    def with_attempt(self, attempt: Attempt) -> "CurrentPhase":
        """Return the same phase with this attempt, if it carries one."""
        return self if attempt is self.attempt else replace(self, attempt=attempt)

    def awaits_health(self, installed: Snapshot) -> bool:  # noqa: ARG002 -- of some phases
        """Whether a group waits for this command to become healthy, so that zkexec outlives it."""
        return False


@frozen()
class LoadingPhase(CurrentPhase):
    """The first start is prepared; `attempt` is empty unless files were installed for it."""

    phase = Phase.LOADING
    attempt: Attempt = Attempt()

    # One arm for each fact.
    def on(self, fact: Fact) -> CurrentPhase:  # noqa: PLR0911
        """Go on once a command runs, or once it is known that none may be started."""
        match fact:
            case facts.NewFilesInstalled(snapshot):
                return LoadingPhase(self.attempt.install(snapshot))
            case facts.CommandBegan(generation):
                return RunningPhase(generation)
            case facts.TurnUnfinished(generation):
                return VerifyingPhase(self.attempt, generation)
            case facts.StartBlocked():
                return WaitingPhase(self.attempt)
            case facts.CheckDue():
                return CheckingPhase(self)
            case facts.CheckFailed():
                return _refused(self, fact)
            case facts.EndBegan():
                return ExitingPhase(fact.keeping, fact.status, self.attempt)
        return self


@frozen()
class RunningPhase(CurrentPhase):
    """The command of this generation runs on what was wanted last.

    `known_good` is the version on which it has become healthy in a turn, which ends this turn.
    `attempt` is empty unless files of a newer version could not be written meanwhile.
    """

    phase = Phase.RUNNING
    generation: int
    known_good: Snapshot | None = None
    attempt: Attempt = Attempt()
    takes_changes = True

    def __post_init__(self) -> None:
        """Refuse to run without a command: nothing would start one, and no signal would end it."""
        if self.generation < 1:
            raise ImpossibleTransitionError("running without a command")

    def on(self, fact: Fact) -> CurrentPhase:
        """Leave only for a change, for a turn of an earlier core, or for the end."""
        match fact:
            case facts.ChangeFound():
                return WaitingPhase(self.attempt)
            case facts.TurnUnfinished(generation, installed):
                return VerifyingPhase(Attempt(installed), generation)
            case facts.EndBegan():
                return ExitingPhase(fact.keeping, fact.status, self.attempt)
        return self


@frozen()
class WaitingPhase(CurrentPhase):
    """A change is to be applied; `attempt` is empty unless an earlier one met trouble."""

    phase = Phase.WAITING
    attempt: Attempt = Attempt()
    takes_changes = True

    def on(self, fact: Fact) -> CurrentPhase:
        """Go on with the change, or back if it was undone or cannot be applied."""
        match fact:
            case facts.HostTrouble(reason, step=step):
                return BlockedPhase(replace(self.attempt, tried=None).hindered(reason, step))
        return _while_old_runs(self, fact)


class Interlude(CurrentPhase):
    """What is done for a change before anything is stopped; nothing else follows another rule."""

    resumes: CurrentPhase

    @property
    def base(self) -> CurrentPhase:
        """The phase in which it began."""
        return self.resumes

    @property
    def attempt(self) -> Attempt:  # type: ignore[override]
        """What a turn was used for last."""
        return self.resumes.attempt

    @property
    def takes_changes(self) -> bool:  # type: ignore[override]
        """Whether a change of the inputs is acted on in it."""
        return self.resumes.takes_changes

    @property
    def keeps_turn(self) -> bool:  # type: ignore[override]
        """Whether something newer is tried in the turn that this member has already."""
        return self.resumes.keeps_turn

    def with_attempt(self, attempt: Attempt) -> CurrentPhase:
        """Return the same phase with this attempt."""
        resumes = self.resumes.with_attempt(attempt)
        return self if resumes is self.resumes else replace(self, resumes=resumes)

    def awaits_health(self, installed: Snapshot) -> bool:
        """Whether a group waits for this command to become healthy."""
        return self.resumes.awaits_health(installed)

    def _otherwise(self, fact: Fact) -> CurrentPhase:
        """Let the phase in which it began decide, and leave it for another phase."""
        resumes = self.resumes.on(fact)
        if resumes.phase is not self.resumes.phase:
            return resumes
        return self if resumes is self.resumes else replace(self, resumes=resumes)


@frozen()
class CheckingPhase(Interlude):
    """The staged files are examined by `--check`."""

    phase = Phase.CHECKING
    resumes: CurrentPhase

    def on(self, fact: Fact) -> CurrentPhase:
        """Go on if it passed or is not wanted any more; a refusal is a failure that stops none."""
        match fact:
            case facts.CheckPassed() | facts.CheckDropped():
                return self.resumes
            case facts.CheckFailed():
                return _refused(self, fact)
            case facts.HostTrouble():
                return self.resumes.on(fact)
        return self._otherwise(fact)


@frozen()
class DrainingPhase(Interlude):
    """The command is taken out of traffic by `--pre-stop`."""

    phase = Phase.DRAINING
    resumes: CurrentPhase

    def on(self, fact: Fact) -> CurrentPhase:
        """Go on once it is out, or if that fails; a command that is gone needs none."""
        match fact:
            case facts.DrainEnded():
                return self.resumes
            case facts.HostTrouble() | facts.CommandLost():
                return self.resumes.on(fact)
        return self._otherwise(fact)


@frozen()
class ReloadingPhase(CurrentPhase):
    """The new files are installed beside the running command, which is to load them.

    `resumes` is the phase in which it began, and `loaded` what the command runs on before.
    """

    phase = Phase.RELOADING
    attempt: Attempt
    action: ChangeAction
    resumes: CurrentPhase
    loaded: Snapshot
    keeps_turn = True

    # One arm for each fact.
    def on(self, fact: Fact) -> CurrentPhase:  # noqa: PLR0911
        """Decide what the reload has come to; the old command runs in any case."""
        attempt = self.attempt
        match fact:
            case facts.FilesReplaced(snapshot):
                return self.with_attempt(attempt.install(snapshot))
            case facts.TurnUnfinished(generation):
                return VerifyingPhase(attempt, generation)
            case facts.CommandBegan(generation):
                return RunningPhase(generation)
            case facts.ReloadRefused(reason, installed, loaded):
                failed = attempt.fail(reason, installed, loaded, Step.RELOAD)
                is_unproven = self.resumes.awaits_health(self.loaded)
                return FailedPhase(failed.running_beside(self.loaded if is_unproven else None))
            case facts.HostTrouble():
                return self.resumes.on(fact)
            case facts.CommandLost(reason, installed, good, step):
                return FailedPhase(attempt.fail(_ended(reason), installed, good, step))
            case facts.EndBegan():
                return ExitingPhase(fact.keeping, fact.status, attempt)
        return self

    def awaits_health(self, installed: Snapshot) -> bool:  # noqa: ARG002 -- of some phases
        """Its exit is a config failure, too."""
        return True


@frozen()
class StoppingPhase(CurrentPhase):
    """The command is being stopped; `attempt` is the last one, before what it is stopped for."""

    phase = Phase.STOPPING
    attempt: Attempt = Attempt()

    def on(self, fact: Fact) -> CurrentPhase:
        """Start a command in any case: on the new files, or if need be on the old ones."""
        match fact:
            case facts.NewFilesInstalled(snapshot):
                return VerifyingPhase(self.attempt.install(snapshot))
            case facts.OldFilesKept(installed):
                return VerifyingPhase(Attempt(installed))
            case facts.HostTrouble(reason, staged, installed):
                return VerifyingPhase(self.attempt.refuse(staged, installed, reason))
            case facts.EndBegan():
                return ExitingPhase(fact.keeping, fact.status, self.attempt)
        return self


@frozen()
class VerifyingPhase(CurrentPhase):
    """A command is started, and in a group verified; `generation` is 0 before it has started."""

    phase = Phase.VERIFYING
    attempt: Attempt
    generation: int = 0
    takes_changes = keeps_turn = True

    # One arm for each fact.
    def on(self, fact: Fact) -> CurrentPhase:  # noqa: PLR0911
        """Decide whether the attempt has succeeded, has failed, or could not be made."""
        attempt = self.attempt
        match fact:
            case facts.CommandBegan() | facts.TurnUnfinished():
                return self._on_started(fact)
            case facts.BecameKnownGood(generation, installed):
                if not self.is_in_trouble(installed):
                    return _known_good(generation, installed, attempt)
                # What had failed before may be healthy after all.
                if installed == attempt.failing:
                    return BlockedPhase(replace(attempt.recover(), tried=None), installed)
                return _give_way(attempt)
            case facts.HealthDeadlineMissed(reason):
                return self._fail(fact, reason, of_old=reason)
            case facts.CommandLost(reason):
                of_old = f"the old command does not run: {reason}"
                return self._fail(fact, _ended(reason), of_old)
            case facts.HostTrouble(reason, step=step):
                return self.with_attempt(attempt.hindered(reason, step))
            case facts.ChangeUndone(_, wanted):
                return self.with_attempt(Attempt(wanted))
            case facts.NewFilesInstalled(snapshot):
                return VerifyingPhase(attempt.install(snapshot))
        return _before_the_stop(self, fact)

    def _on_started(self, began: facts.CommandBegan | facts.TurnUnfinished) -> CurrentPhase:
        """Verify it in a turn of a group, unless it is a revert; else a start is all it takes."""
        attempt = self.attempt
        if isinstance(began, facts.TurnUnfinished):
            if attempt.revert_to is None:
                return VerifyingPhase(attempt, began.generation)
            is_done = began.installed == attempt.revert_to
            return FailedPhase(replace(attempt, revert_to=None) if is_done else attempt)
        if attempt.trouble:
            return _give_way(attempt)
        if began.due is not None:
            # Something newer came between the files and the start: another restart follows.
            return WaitingPhase(attempt)
        return RunningPhase(began.generation)

    def _fail(
        self, bad: facts.HealthDeadlineMissed | facts.CommandLost, reason: str, of_old: str
    ) -> CurrentPhase:
        """Fail for this reason, unless it is the old version, as the new one was never started."""
        if self.is_in_trouble(bad.installed):
            return _give_way(_in_more_trouble(self.attempt, of_old))
        return FailedPhase(self.attempt.fail(reason, bad.installed, bad.good, bad.step))

    def is_in_trouble(self, installed: Snapshot) -> bool:
        """Whether the old configuration was started again, as the new could not be written."""
        return bool(self.attempt.trouble) and installed != self.attempt.tried

    def awaits_health(self, installed: Snapshot) -> bool:  # noqa: ARG002 -- of some phases
        """Its exit is a config failure, too."""
        return True


@frozen()
class FailedPhase(CurrentPhase):
    """A config failure: the turn is kept for something newer, or until the command recovers."""

    phase = Phase.FAILED
    attempt: Attempt
    takes_changes = keeps_turn = True

    # One arm for each fact.
    def on(self, fact: Fact) -> CurrentPhase:  # noqa: PLR0911
        """Leave it for a newer change, for what is installed, or if it was no failure after all."""
        attempt = self.attempt
        match fact:
            case facts.BecameKnownGood(generation, installed):
                if self._is_beside(installed):
                    return FailedPhase(attempt.running_beside(None))
                if attempt.is_reverted(installed):
                    return self
                return _known_good(generation, installed, attempt)
            case facts.HealthDeadlineMissed() | facts.CommandLost():
                if self._is_beside(fact.installed):
                    return self.with_attempt(attempt.reverting(fact.installed, fact.good))
                return self
            case facts.HostTrouble(reason, staged, step=step):
                if self._is_untouched and staged is not None and staged != attempt.failing:
                    # Nothing was stopped for what has failed, and another version is wanted.
                    untried = replace(attempt, tried=None, failure=None, revert_to=None)
                    return BlockedPhase(untried.hindered(reason, step))
                return self.with_attempt(attempt.hindered(reason, step))
            case facts.FilesPutBack():
                return FailedPhase(replace(attempt, revert_to=None, trouble="", troubled=None))
            case facts.AttemptDue():
                return self
        return _while_old_runs(self, fact)

    @property
    def _is_untouched(self) -> bool:
        """Whether the command runs as before the failure, on what it is known good on."""
        failure = self.attempt.failure
        if failure is None or failure.beside is not None or self.attempt.revert_to is not None:
            return False
        return failure.step in (Step.RENDER, Step.CHECK, Step.RELOAD)

    def _is_beside(self, installed: Snapshot) -> bool:
        failure = self.attempt.failure
        return failure is not None and failure.beside is not None and failure.beside == installed

    def awaits_health(self, installed: Snapshot) -> bool:
        """Wait for something newer without it, unless it is a good one that was put back."""
        return not self.attempt.is_reverted(installed)


@frozen()
class BlockedPhase(CurrentPhase):
    """Files could not be written on this host; the next attempt comes after a pause.

    `known_good` is a version that had failed, and is healthy after all, which ends its turn.
    """

    phase = Phase.BLOCKED
    attempt: Attempt
    known_good: Snapshot | None = None
    takes_changes = True

    def on(self, fact: Fact) -> CurrentPhase:
        """Leave it for the next attempt, or once what is installed is wanted again."""
        match fact:
            case facts.ChangeFound() | facts.AttemptDue():
                return WaitingPhase(self.attempt)
            case facts.StopPermitted() | facts.CheckDue():
                # Nothing is staged before the next attempt is due.
                return self
            case facts.DrainPermitted() | facts.ReloadPermitted() | facts.CheckFailed():
                return self
        return _while_old_runs(self, fact)


@frozen()
class ExitingPhase(CurrentPhase):
    """zkexec ends; `status` is how, None if as the command ended, `keeping` what of the turn."""

    phase = Phase.EXITING
    keeping: Keeping
    status: ExitStatus | None = None
    attempt: Attempt = Attempt()

    def on(self, fact: Fact) -> CurrentPhase:
        """Leave it only for the end itself."""
        match fact:
            case facts.EndBegan(keeping, status):
                return ExitingPhase(keeping, status or self.status, self.attempt)
            case facts.EndReached():
                return DonePhase()
        return self


@frozen()
class DonePhase(CurrentPhase):
    """Nothing leads out of it."""

    phase = Phase.DONE


class ImpossibleTransitionError(RuntimeError):
    """A transition that is not in the table: a mistake in the core, never of a user."""


# One arm for each fact.
def _while_old_runs(phase: CurrentPhase, fact: Fact) -> CurrentPhase:
    """Return what follows while a change waits, has failed or is blocked, whichever it is."""
    attempt = phase.attempt
    match fact:
        case facts.NewFilesInstalled(snapshot):
            return VerifyingPhase(attempt.install(snapshot))
        case facts.ChangeUndone(generation, wanted):
            return RunningPhase(generation) if generation else VerifyingPhase(Attempt(wanted))
        case facts.TurnUnfinished(generation, installed):
            return VerifyingPhase(Attempt(installed), generation)
        case facts.CommandLost(reason):
            return phase.with_attempt(_without_command(attempt, reason))
    return _before_the_stop(phase, fact)


# One arm for each fact.
def _before_the_stop(phase: CurrentPhase, fact: Fact) -> CurrentPhase:  # noqa: PLR0911
    """Return what follows from what is done for a staged change, and from the end of zkexec."""
    match fact:
        case facts.CheckDue():
            return CheckingPhase(phase)
        case facts.DrainPermitted():
            return DrainingPhase(phase)
        case facts.ReloadPermitted(action, loaded):
            return ReloadingPhase(phase.attempt, action, phase, loaded)
        case facts.StopPermitted():
            return StoppingPhase(phase.attempt)
        case facts.CheckFailed():
            return _refused(phase, fact)
        case facts.EndBegan():
            return ExitingPhase(fact.keeping, fact.status, phase.attempt)
    return phase


def _refused(phase: CurrentPhase, failed: facts.CheckFailed) -> CurrentPhase:
    """Return the phase of a version that was refused before anything was stopped for it."""
    installed = failed.installed
    beside = installed if phase.awaits_health(installed) else None
    refused = phase.attempt.refused_by_check(failed.staged, failed.reason, beside, failed.step)
    return FailedPhase(refused)


def _ended(reason: str) -> str:
    return f"the command ended ({reason})"


def _known_good(generation: int, installed: Snapshot, attempt: Attempt) -> CurrentPhase:
    """Return the phase of a command that has become healthy in its turn, for whatever reason."""
    return RunningPhase(generation, installed, replace(attempt.recover(), tried=None))


def _give_way(attempt: Attempt) -> CurrentPhase:
    """Return the phase of an attempt that this host could not make: it is made again later."""
    attempt = replace(attempt, tried=None)
    return BlockedPhase(attempt) if attempt.failure is None else FailedPhase(attempt)


def _in_more_trouble(attempt: Attempt, reason: str) -> Attempt:
    return replace(attempt, trouble=f"{attempt.trouble}; {reason}")


def _without_command(attempt: Attempt, reason: str) -> Attempt:
    return _in_more_trouble(attempt, f"the old command does not run: {reason}")
