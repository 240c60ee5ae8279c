"""The next change: what is installed, what is wanted instead, and how far its files are.

The goal is the snapshot to be installed next: what the turn was granted for, or after a failure
with `--on-failure revert` the last good one.  It is staged while the old command runs.
"""

from __future__ import annotations

from zkexec.core import facts
from zkexec.core.actions import (
    Action,
    DiscardFiles,
    InstallFiles,
    Note,
    RememberState,
    StageFiles,
    notes_on_files,
)
from zkexec.core.attempt import Attempt
from zkexec.core.command import Command
from zkexec.core.facts import Found
from zkexec.core.inputs import Inputs
from zkexec.core.phases import CurrentPhase, Phase
from zkexec.core.policy import ChangeAction, Policy
from zkexec.core.snapshot import UNLIMITED, Plan, Snapshot, plan
from zkexec.core.step import Step
from zkexec.core.step_commands import StepCommands
from zkexec.core.traffic import Traffic
from zkexec.core.turn import Keeping, Turn
from zkexec.frozen import replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


STREAM_LIMIT = 10


class Debounce:
    """The quiet that has to follow a change before it is acted on."""

    def __init__(self, settle_s: float) -> None:
        self._settle_s = settle_s
        self._latest: float | None = None
        self.deadline: float | None = None

    def changed(self, now: float) -> None:
        """Something newer came: wait for quiet again, but not past the stream's limit."""
        if self._latest is None:
            self._latest = now + STREAM_LIMIT * self._settle_s
        self.deadline = min(now + self._settle_s, self._latest)

    def try_again(self, pause_s: float, now: float) -> None:
        """The attempt failed; unless something newer comes, the next is after this pause."""
        self._latest = None
        self.deadline = now + pause_s

    def end(self) -> None:
        """No attempt is due: it is being made, or there is nothing to change."""
        self._latest = self.deadline = None


NOTHING_INSTALLED = Snapshot({})
"""What is installed before anything was found or installed."""

RETRY_FILES_S = 10.0
"""Pause before files that could not be written are tried again."""


class Restart:
    """The installed files, the staged ones, and what was compared with them.

    `good` is the last snapshot on which this process has seen its command healthy.
    """

    def __init__(
        self,
        policy: Policy,
        inputs: Inputs,
        turn: Turn,
        command: Command,
        steps: StepCommands,
        traffic: Traffic,
    ) -> None:
        self._policy = policy
        self._steps = steps
        self._traffic = traffic
        self._inputs = inputs
        self._turn = turn
        self._command = command
        self._debounce = Debounce(policy.settle_s)
        self._granted: Snapshot | None = None
        """What the turn was granted for last, and the last read that was sent before that."""
        self._granted_after = 0
        self.was_healthy = False
        """Whether the command was healthy on what is installed, in this run or an earlier one."""
        self.installed = self.loaded = NOTHING_INSTALLED
        """What the running command was started on, or has reloaded."""
        self.begun: ChangeAction | None = None
        """What was done to the command for a change, unless it was known good since."""
        self.good: Snapshot | None = None
        self.requested: Snapshot | None = None
        """The version that a turn is wanted for."""
        self._staged: Snapshot | None = None
        self._is_on_disk = False
        """Whether the staged files are complete on the disk."""
        self._checked: Snapshot | None = None
        """The last snapshot that has passed the check."""
        self._seen: Snapshot | None = None
        """The last snapshot that was compared with what is installed."""
        self._history = 0

    @property
    def deadline(self) -> float | None:
        """When the next attempt is due, or the start that this host had no process for."""
        due = (self._debounce.deadline, self._start_at)
        return min((at for at in due if at is not None), default=None)

    @property
    def _start_at(self) -> float | None:
        # If files are on their way to their targets, the start comes after them.
        return self._command.start_at if self._staged is None else None

    @property
    def wanted(self) -> Snapshot:
        """The newest snapshot; before there is any, what is installed."""
        return self.installed if self._inputs.wanted is None else self._inputs.wanted

    def settle_on(self, snapshot: Snapshot) -> None:
        """Take this for compared: only what differs from it is a change from now on."""
        self._seen = snapshot

    def stop_settling(self) -> None:
        """Make no attempt before something newer comes."""
        self._debounce.end()

    def try_again(self, now: float) -> None:
        """Make the next attempt after a pause, unless something newer comes."""
        self._debounce.try_again(RETRY_FILES_S, now)

    def begin_on(self, on_disk: Snapshot, *, was_healthy: bool = False) -> None:
        """Begin with the files that are there."""
        self._is_installed(on_disk)
        self.loaded = self._seen = on_disk
        self.was_healthy = was_healthy

    def _is_installed(self, snapshot: Snapshot) -> None:
        self.installed = snapshot
        self._command.variables = snapshot.variables

    def date(self, attempt: Attempt) -> Attempt:
        """Return the attempt with zxids of the present history of the servers.

        What was seen or staged in another history counts as old, too.
        """
        known = self._inputs.state
        if known.is_current and known.history != self._history:
            self._history = known.history
            attempt = attempt.of_other_history()
            self._seen = self._seen and replace(self._seen, zxid=UNLIMITED)
            self._staged = self._staged and replace(self._staged, zxid=UNLIMITED)
        if known.is_whole:
            newest = self.wanted.zxid
            attempt = attempt.dated(newest)
            if self._seen is not None and self._seen.zxid > newest:
                self._seen = replace(self._seen, zxid=newest)
        return attempt

    def consider(self, phase: CurrentPhase, is_unverified: bool, now: float) -> Found:
        """Compare what is wanted with what is installed; return what follows from it."""
        if self._inputs.wanted is None:
            return []
        attempt = phase.attempt
        is_examined = self._policy.runs(Step.CHECK) or bool(self.wanted.unrendered)
        if phase.phase is Phase.STOPPING and not is_examined:
            self.requested = self.wanted
        if self._is_back_at_failure(phase):
            self._seen = attempt.tried
            self._debounce.end()
            return [Note("newer-gone"), *self.discard()]
        if self._is_undone(phase):
            return self._undo(phase, is_unverified)
        is_compared = phase.takes_changes and self._is_new(attempt)
        return self._compare(phase, is_unverified, now) if is_compared else []

    def _compare(self, phase: CurrentPhase, is_unverified: bool, now: float) -> Found:
        """Decide whether the wanted version, which was not compared yet, is a change here."""
        attempt, changes = phase.attempt, plan(self.installed, self.wanted)
        if changes or attempt.is_trial(self.installed, self.wanted):
            self._seen = self.wanted
            self._debounce.changed(now)
            return [*self._notes_on(changes), facts.ChangeFound()]
        is_other = self.installed != self.wanted
        if is_other and phase.base.phase is Phase.VERIFYING and not attempt.reason:
            # The version that is being verified is another one, and counts first.
            return []
        return self._undo(phase, is_unverified)

    def _notes_on(self, changes: Plan) -> list[Action]:
        """Say what has changed, without any content."""
        notes = notes_on_files("changed", changes.changed, self.wanted)
        if changes.variables:
            notes.append(Note("variables-changed", {"names": ", ".join(changes.variables)}))
        if notes or changes.is_unrendered:
            return notes
        return [Note("restart-requested" if changes.restarts else "pushed-again")]

    def _is_new(self, attempt: Attempt) -> bool:
        """Whether this was not compared yet; the same bytes are new if they failed before."""
        if self._seen is None or self.wanted != self._seen:
            return True
        return attempt.failure is not None and self.wanted.last_written > self._seen.zxid

    def _is_undone(self, phase: CurrentPhase) -> bool:
        """Whether an attempt at something else is under way that is none any more.

        This is derived from what is installed and not from what is new.  So an undo counts whenever
        it comes, and no command is ever stopped for the version that it runs.
        """
        base = phase.base.phase
        is_trying = base in (Phase.WAITING, Phase.FAILED, Phase.BLOCKED)
        if base is Phase.VERIFYING:
            is_trying = bool(phase.attempt.reason)
        # A first start that waits has installed nothing yet, even if there is nothing to mirror.
        has_run = self._command.generation > 0
        return is_trying and has_run and phase.attempt.is_in_place(self.installed, self.wanted)

    def _is_back_at_failure(self, phase: CurrentPhase) -> bool:
        """Whether what failed here is all that is left to want, and was not written since.

        Something newer was wanted meanwhile, and is gone with its znode or with its history.
        """
        if phase.base.phase is not Phase.FAILED or self.wanted == self._seen:
            return False
        is_tried = self.wanted == phase.attempt.tried and not plan(self.installed, self.wanted)
        return is_tried and not phase.attempt.is_retry(self.wanted)

    def _undo(self, phase: CurrentPhase, is_unverified: bool) -> Found:
        """Go on with what is installed, in the turn if it is not known good yet."""
        is_verified = phase.base.phase is Phase.VERIFYING
        is_unaffected = phase.phase is Phase.RUNNING and self.installed != self.wanted
        self._seen = self.wanted
        self._debounce.end()
        topic = "change-dropped" if self._inputs.problems else "change-undone"
        undone: list[Action] = [] if is_unaffected else [Note(topic)]
        undone += [*self._take_version(), *self.discard()]
        wanted = self.wanted
        if self.installed.proves_nothing:
            wanted = replace(wanted, proves_nothing=True)
        generation = self._command.generation if self._command.present else 0
        is_unfinished = bool(generation) and self._turn.in_flight and is_unverified
        if is_verified or not generation or is_unfinished:
            self.requested = wanted if self._turn.in_flight or not self._policy.in_group else None
        if is_unfinished and not is_verified:
            return [*undone, facts.TurnUnfinished(generation, wanted)]
        started = [] if is_verified or generation else self._start()
        return [*undone, facts.ChangeUndone(generation, wanted), *started]

    def _take_version(self) -> list[Action]:
        """Count what is installed as the wanted version, if nothing on this host differs in it."""
        if self.installed == self.wanted:
            return []
        self.loaded = same = replace(self.wanted, proves_nothing=True)
        self._is_installed(same)
        return [Note("nothing-differs"), RememberState(same, self.was_healthy)]

    def became_good(self, applied: Snapshot) -> list[Action]:
        """Remember that the command was healthy on this: it is put back after a failure."""
        self.good = applied
        if applied != self.installed or not self._policy.inputs.needs_state:
            return []
        self.was_healthy = True
        return [RememberState(applied, True)]

    def expire(self, phase: CurrentPhase, now: float) -> Found:
        """Make the attempt, or the start, that is due."""
        starts = self._start_at is not None and now >= self._start_at
        started = self._start() if starts else []
        if self._debounce.deadline is None or now < self._debounce.deadline:
            return started
        self._debounce.end()
        if phase.phase is Phase.RUNNING:
            # What had failed was pushed again, and became healthy before it could be tried again.
            return started
        self.requested = self.wanted
        return [*started, facts.AttemptDue()]

    def proceed(self, phase: CurrentPhase, now: float, *, must_restart: bool) -> Found:
        """Go one step on towards the goal, or away from one that is none any more.

        `must_restart`: the present command is in no state to reload anything.
        """
        if phase.phase is Phase.LOADING:
            return self._proceed_first()
        is_being_started = self._command.start_at is None and not self._command.present
        if phase.base.phase is Phase.VERIFYING and is_being_started:
            # The result of the start comes before anything else is staged.
            return []
        if self._turn.granted is not self._granted:
            self._granted, (_, self._granted_after) = self._turn.granted, self._inputs.numbers
        goal = self.goal(phase.attempt)
        is_granted = goal is not None and goal == self._turn.granted
        if is_granted and (goal != self.wanted or self._inputs.is_gone(self.wanted)):
            # The granted snapshot is out of date: the turn is requested for the wanted one.
            goal = self._refused_beside(phase.attempt)
        if goal is None or self._is_being_verified(phase, goal):
            return [*self._drop_check(phase), *self.discard()]
        if self._staged is None or goal != self._staged:
            return [*self._drop_check(phase), *self._prepare(goal)]
        self._staged = goal
        if not self._is_on_disk or phase.phase in (Phase.CHECKING, Phase.DRAINING):
            return []
        return self._apply(phase.attempt, goal, now, must_restart=must_restart)

    def _is_being_verified(self, phase: CurrentPhase, goal: Snapshot) -> bool:
        """Whether the command was just started on exactly what this version produces here.

        The version that was tried counts first.  The newer one is taken afterwards.
        """
        is_verifying = phase.base.phase is Phase.VERIFYING and not phase.attempt.reason
        return is_verifying and goal != self.installed and not plan(self.installed, goal)

    def _prepare(self, goal: Snapshot) -> Found:
        """Stage the goal; if a template of it has an error, it has failed already."""
        if not goal.unrendered:
            return self.stage(goal)
        self._seen = self.wanted
        failed = facts.CheckFailed(goal.unrendered, goal, self.installed, Step.RENDER)
        return [*self.discard(), failed]

    def _proceed_first(self) -> Found:
        """Install the files of the first start, once they are examined."""
        if self._staged is None or not self._is_on_disk:
            return []
        if self._needs_check(self._staged):
            return [] if self._steps.is_busy(Step.CHECK) else [facts.CheckDue()]
        self._is_on_disk = False
        return [InstallFiles()]

    @staticmethod
    def _drop_check(phase: CurrentPhase) -> Found:
        return [facts.CheckDropped()] if phase.phase is Phase.CHECKING else []

    def _needs_check(self, goal: Snapshot) -> bool:
        return self._policy.runs(Step.CHECK) and goal != self._checked

    def _apply(self, attempt: Attempt, goal: Snapshot, now: float, *, must_restart: bool) -> Found:
        """Take the next step with staged files: check, drain, and then reload or stop."""
        present = self._command.present
        if goal == attempt.revert_to:
            if self._is_put_back(attempt):
                self._is_on_disk = False
                return [InstallFiles()]
            return self._take_down(now)
        if self._needs_check(goal):
            return [] if self._steps.is_busy(Step.CHECK) else [facts.CheckDue()]
        action = self._policy.action_for(plan(self.loaded, goal))
        if not present or must_restart or action is ChangeAction.RESTART:
            return self._take_down(now)
        if self._steps.is_busy(Step.RELOAD) or not self._may_act(now):
            return []
        return [facts.ReloadPermitted(action, self.loaded)]

    def _may_act(self, now: float) -> bool:
        """Whether the command may be stopped, or reloaded, for what the turn was granted for.

        An admission does not check all of a tree.  So either no watch of it has fired, or it was
        read once more since.
        """
        counted, _ = self._inputs.numbers
        is_certain = not self._inputs.is_doubtful or counted > self._granted_after
        return (is_certain or not self._policy.in_group) and self._turn.may_stop(now)

    def _is_put_back(self, attempt: Attempt) -> bool:
        """Whether the goal is what the command runs on, so that it needs no restart."""
        is_refused = attempt.step is Step.RELOAD
        return is_refused and self._command.present and self.loaded == attempt.revert_to

    def checked(self) -> Found:
        """The staged files have passed the check."""
        self._checked = self._staged
        return [facts.CheckPassed()]

    def refused_by_check(self, reason: str) -> Found:
        """The check has refused the staged files; the same are not tried again by themselves."""
        staged, self._seen = self._staged or self.wanted, self.wanted
        return [*self.discard(), facts.CheckFailed(reason, staged, self.installed)]

    def _refused_beside(self, attempt: Attempt) -> Snapshot | None:
        """Return what the command runs on if other files are in place, which it has refused."""
        is_in_place = self.installed == attempt.revert_to
        return attempt.revert_to if self._is_put_back(attempt) and not is_in_place else None

    def keeping(self, phase: CurrentPhase, is_in_turn: bool) -> Keeping:
        """Return what is wanted of the turn in the phases that can have one."""
        is_given_back = phase.attempt.tried is None and self.requested is None
        if phase.phase in (Phase.FAILED, Phase.BLOCKED) and is_given_back:
            return Keeping.NOTHING
        goal = self.goal(phase.attempt) if phase.takes_changes and not is_in_turn else None
        is_granted = goal is not None and goal == self._turn.granted == self.wanted
        # Do not hold the others up for what is in no znode: a turn comes when it is there again.
        return Keeping.PLACE if is_granted and self._inputs.is_gone(self.wanted) else Keeping.TURN

    def is_ready(self, phase: CurrentPhase) -> bool:
        """Whether only the permission to drain or stop the command, or to reload, is missing."""
        staged = self._staged
        if staged is None or not self._is_on_disk or not self._command.present:
            return False
        if phase.phase in (Phase.CHECKING, Phase.DRAINING):
            return False
        return staged == phase.attempt.revert_to or not self._needs_check(staged)

    def drop_unchecked(self) -> list[Action]:
        """Remove what is staged if a check has yet to examine it."""
        return self.discard() if self._needs_check(self._staged or self.wanted) else []

    @property
    def staged(self) -> Snapshot | None:
        """What is staged now, None for nothing."""
        return self._staged

    def _take_down(self, now: float) -> Found:
        if not self._command.present:
            self._is_on_disk = False
            return [InstallFiles()]
        if not self._may_act(now):
            return []
        if not self._traffic.needs_drain:
            return [facts.StopPermitted()]
        return [] if self._steps.is_busy(Step.PRE_STOP) else [facts.DrainPermitted()]

    def goal(self, attempt: Attempt) -> Snapshot | None:
        """Return the snapshot to be installed next; None for nothing."""
        if attempt.trouble and self._debounce.deadline is not None:
            return None
        granted = self._turn.granted
        if granted is not None and not attempt.was_tried(granted):
            return granted
        return attempt.revert_to if self.installed != attempt.revert_to else None

    def due(self, attempt: Attempt) -> Snapshot | None:
        """Return the wanted snapshot if it is to be applied now, None if nothing is."""
        granted = self._turn.granted
        is_granted = granted is not None and not attempt.was_tried(granted)
        is_due = self._debounce.deadline is not None or is_granted
        return self.wanted if is_due and plan(self.installed, self.wanted) else None

    def _is_outdated(self, goal: Snapshot) -> bool:
        """Whether the stop came too late for this: it is gone, or the turn for it is lost.

        A lost turn can mean that the ensemble was wiped meanwhile, and zxids of two histories do
        not always show that.
        """
        is_lost = self._turn.granted is None and self._inputs.state.is_current
        return self._inputs.is_gone(goal) or (is_lost and goal != self._inputs.wanted)

    def stage(self, snapshot: Snapshot) -> list[Action]:
        """Write these files where no reader sees them."""
        self._staged = snapshot
        self._checked = None
        self._is_on_disk = False
        return [StageFiles(snapshot)]

    def on_disk(self, phase: CurrentPhase) -> list[Action]:
        """The staged files are complete; install them if no command is to be stopped first."""
        if phase.phase is Phase.STOPPING:
            return [InstallFiles()]
        self._is_on_disk = True
        return []

    def discard(self) -> list[Action]:
        """Remove what is staged, if anything is."""
        if self._staged is None:
            return []
        self._staged = None
        return [DiscardFiles()]

    def replace(self, attempt: Attempt) -> Found:
        """Nothing of the old command is left: install the goal, which may be a newer one by now."""
        goal = self.goal(attempt) or self._staged
        if self._policy.runs(Step.CHECK) and goal != attempt.revert_to:
            # What is newer was not checked yet.
            goal = self._staged if self._staged == self._checked else None
        if goal is not None and attempt.revert_to is None and self._is_outdated(goal):
            goal = None
        if goal is not None and not attempt.is_in_place(self.installed, goal):
            return [InstallFiles()] if goal == self._staged else self.stage(goal)
        self._staged = None
        self._seen = self.installed
        kept = facts.OldFilesKept(self.installed)
        return [DiscardFiles(), Note("change-undone"), kept, *self._start()]

    def install(self, phase: CurrentPhase, written: Sequence[str]) -> Found:
        """The staged files are installed: start the command on them, or let it load them."""
        staged, self._staged = self._staged, None
        if staged is None:
            raise RuntimeError("files were installed that were not staged")
        staged, remembered = self._after(staged)
        self._is_installed(staged)
        attempt = phase.attempt
        if staged != attempt.revert_to:
            self._seen = staged
        notes = [*notes_on_files("installed", written, staged), *remembered]
        if phase.phase is Phase.RELOADING:
            return [*notes, facts.FilesReplaced(staged)]
        if self._is_put_back(attempt):
            return [Note("files-put-back"), *notes, facts.FilesPutBack()]
        return [*notes, facts.NewFilesInstalled(staged), *self._start()]

    def _after(self, staged: Snapshot) -> tuple[Snapshot, list[Action]]:
        """Return what is installed now, with what its health would show about its version.

        If nothing differs from what this command was healthy on before, it shows nothing.
        """
        is_same = not plan(replace(self.installed, restart=staged.restart), staged)
        is_same &= self.installed is not NOTHING_INSTALLED
        if not (is_same or staged.proves_nothing):
            self.was_healthy = False
            return staged, []
        if self.installed.proves_nothing:
            staged = replace(staged, proves_nothing=True)
        self.was_healthy |= staged.proves_nothing
        return staged, [RememberState(staged, True)] if self.was_healthy else []

    def _start(self) -> list[Action]:
        """Start the command, which loads what is installed."""
        self.loaded = self.installed
        return self._command.start()

    def reloaded(self) -> None:
        """The running command has loaded the installed files, as far as anybody knows."""
        self.loaded = self.installed

    def reload_refused(self, reason: str) -> facts.ReloadRefused:
        """The running command has refused the installed files, and runs on the old ones."""
        return facts.ReloadRefused(reason, self.installed, self.loaded)

    def refuse(self, reason: str, step: Step) -> facts.HostTrouble:
        """Give up what is staged, as this host could not do a step for it."""
        staged, self._staged = self._staged, None
        self._seen = self.wanted
        return facts.HostTrouble(reason, staged, self.installed, step)
