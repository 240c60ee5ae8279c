"""The restart: from a change of the inputs to a command that is started on the new files.

A restart has a goal, the snapshot to be installed next: what the turn was granted for, or after a
failure with `--on-failure revert` the last good one.  The goal is staged while the old command
runs.  The command is stopped if the turn allows it at that moment, and the files are installed
once no process of its tree is left.
"""

from zkexec.core.actions import Action, DiscardFiles, InstallFiles, Note, StageFiles, notes_on_files
from zkexec.core.inputs import Inputs
from zkexec.core.phases import CurrentPhase, Phase
from zkexec.core.policy import Policy
from zkexec.core.snapshot import UNLIMITED, InputState, Snapshot, plan
from zkexec.core.turn import Turn
from zkexec.core.verifying import Verification
from zkexec.frozen import replace

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


RETRY_FILES_S = 10.0
"""Pause before files that could not be written are tried again."""


class Restart:
    """The snapshot to be installed, and how far that is."""

    def __init__(
        self,
        policy: Policy,
        turn: Turn,
        current_phase: CurrentPhase,
        inputs: Inputs,
        verification: Verification,
    ) -> None:
        self._policy = policy
        self._turn = turn
        self._phase = current_phase
        self._inputs = inputs
        self._verification = verification
        self._command = verification.command
        self._attempt = verification.attempt
        self._debounce = Debounce(policy.settle_s)
        self._staged: Snapshot | None = None
        self._is_staged = False
        self._history = 0

    @property
    def deadline(self) -> float | None:
        """When the next attempt is due, or the start that this host had no process for."""
        due = (self._debounce.deadline, self._start_at)
        return min((at for at in due if at is not None), default=None)

    @property
    def _start_at(self) -> float | None:
        # Where files are on their way to their places, the start comes after them.
        return self._command.start_at if self._staged is None else None

    def begin(self, snapshot: Snapshot) -> list[Action]:
        """Make the first start: install these files, then start."""
        return self._stage(snapshot)

    def begin_on(self, on_disk: Snapshot) -> list[Action]:
        """Make the first start on the files that are there."""
        self._attempt.applied = self._attempt.seen = on_disk
        return self._command.start()

    def begin_waiting(self, wanted: Snapshot) -> list[Action]:
        """Start nothing yet: what is wanted has failed in the group, and nothing else is there."""
        self._attempt.seen = wanted
        self._turn.request(wanted)
        return [Note("start-blocked"), *self._phase.enter(Phase.WAITING)]

    def end(self) -> None:
        """Attempt nothing more."""
        self._debounce.end()

    def consider(self, now: float) -> list[Action]:
        """Compare what is wanted with what runs, and begin what follows from it."""
        wanted = self._inputs.wanted
        if wanted is None:
            return []
        self._consider_history(self._inputs.state, wanted)
        if self._phase.is_in(Phase.STOPPING):
            self._turn.request(wanted)
        if self._is_back_at_failure(wanted):
            return self._forget_newer()
        if self._is_undone(wanted):
            return self._undo(wanted, now)
        if not self._attempt.is_new(wanted) or not self._phase.is_in(
            Phase.RUNNING, Phase.WAITING, Phase.VERIFYING, Phase.FAILED
        ):
            return []
        self._attempt.seen = wanted
        changes = plan(self._attempt.applied, wanted)
        if not changes and not self._attempt.is_retry(wanted):
            return self._undo(wanted, now)
        self._debounce.changed(now)
        notes = notes_on_files("changed", changes.changed, wanted)
        if not notes:
            notes = [Note("restart-requested" if changes.restarts else "pushed-again")]
        return notes if self._keeps_turn else notes + self._phase.enter(Phase.WAITING)

    def _is_undone(self, wanted: Snapshot) -> bool:
        """Whether an attempt at something else is under way that is none any more.

        This is derived from what is installed and not from what is new.  So an undo counts whenever
        it comes, and no command is ever stopped for the version that it runs.
        """
        is_trying = self._phase.is_in(Phase.WAITING, Phase.FAILED)
        if self._phase.is_in(Phase.VERIFYING):
            is_trying = bool(self._attempt.reason)
        # A first start that waits has installed nothing yet, even if there is nothing to mirror.
        has_run = self._command.generation > 0
        return is_trying and has_run and self._attempt.is_in_place(wanted)

    def _consider_history(self, known: InputState, wanted: Snapshot) -> None:
        if known.is_current and known.history != self._history:
            self._history = known.history
            self._attempt.disown()
            if self._staged is not None:
                self._staged = replace(self._staged, zxid=UNLIMITED)
        if known.is_whole:
            self._attempt.date(wanted.zxid)

    def _is_back_at_failure(self, wanted: Snapshot) -> bool:
        """Whether what failed here is all that is left to want, and was not written since.

        Something newer was wanted meanwhile, and is gone with its znode or with its history.
        """
        attempt = self._attempt
        if not self._verification.has_failed or wanted == attempt.seen:
            return False
        is_tried = wanted == attempt.tried and not plan(attempt.applied, wanted)
        return is_tried and not attempt.is_retry(wanted)

    def _forget_newer(self) -> list[Action]:
        self._attempt.seen = self._attempt.tried
        self._debounce.end()
        return [Note("newer-gone"), *self._discard()]

    @property
    def _keeps_turn(self) -> bool:
        """Whether something new is tried in the turn that is held already."""
        return self._phase.is_in(Phase.VERIFYING) or self._verification.has_failed

    def _undo(self, wanted: Snapshot, now: float) -> list[Action]:
        """Go on with what is installed, in the turn if it is not known good yet."""
        self._debounce.end()
        undone = [Note("change-undone"), *self._discard()]
        if self._phase.is_in(Phase.VERIFYING):
            self._go_on_with(wanted)
            return undone
        if not self._command.present:
            self._go_on_with(wanted)
            return undone + self._start_again()
        if self._turn.in_flight and self._verification.is_open:
            self._go_on_with(wanted)
            return undone + self._verification.verify(now)
        self._turn.withdraw()
        self._attempt.start_over(wanted)
        self._attempt.tried = None
        settled = self._verification.alerts.restart_settled(now)
        return undone + self._phase.enter(Phase.RUNNING) + settled

    def _go_on_with(self, wanted: Snapshot) -> None:
        """Make what is installed the version of the turn, if there is a turn."""
        self._attempt.start_over(wanted)
        if self._turn.in_flight or not self._turn.in_group:
            self._turn.request(wanted)
        else:
            self._turn.withdraw()

    def expire(self, now: float) -> list[Action]:
        """Make the attempt that is due."""
        starts = self._start_at is not None and now >= self._start_at
        started = self._command.start() if starts else []
        return started + self._attempt_again(now)

    def _attempt_again(self, now: float) -> list[Action]:
        if self._debounce.deadline is None or now < self._debounce.deadline:
            return []
        self._debounce.end()
        if self._phase.is_in(Phase.RUNNING):
            # What had failed was pushed again, and became healthy before it could be tried again.
            return []
        self._turn.request(self._wanted_now())
        return [] if self._keeps_turn else self._phase.enter(Phase.WAITING)

    def _wanted_now(self) -> Snapshot:
        return self._attempt.applied if self._inputs.wanted is None else self._inputs.wanted

    def proceed(self, now: float) -> list[Action]:
        """Go one step on towards the goal, or away from one that is none any more."""
        if not self._phase.is_in(Phase.WAITING, Phase.VERIFYING, Phase.FAILED):
            return []
        is_being_started = self._command.start_at is None and not self._command.present
        if self._phase.is_in(Phase.VERIFYING) and is_being_started:
            # The result of the start comes before anything else is staged.
            return []
        goal = self._goal()
        is_granted = goal is not None and goal == self._turn.granted
        if goal is None or (is_granted and goal != self._wanted_now()):
            # The granted snapshot is out of date: the turn is requested for the wanted one.
            return self._discard()
        if is_granted and self._inputs.is_gone(goal):
            return self._await_content(goal)
        if self._staged is None or goal != self._staged:
            return self._stage(goal)
        self._staged = goal
        return self._take_down(now) if self._is_staged else []

    def _await_content(self, gone: Snapshot) -> list[Action]:
        """Do not hold the others up for what is in no znode: ask once more when it is there."""
        if not self._verification.is_in_turn:
            self._turn.withdraw()
            self._turn.request(gone)
        return self._discard()

    def _discard(self) -> list[Action]:
        if self._staged is None:
            return []
        self._staged = None
        return [DiscardFiles()]

    def _goal(self) -> Snapshot | None:
        """The snapshot to be installed next."""
        if self._attempt.trouble and self._debounce.deadline is not None:
            return None
        granted = self._turn.granted
        if granted is not None and not self._attempt.was_tried(granted):
            return granted
        is_to_revert = self._attempt.reverting and self._attempt.applied != self._attempt.good
        return self._attempt.good if is_to_revert else None

    def _take_down(self, now: float) -> list[Action]:
        if not self._command.present:
            self._is_staged = False
            return [InstallFiles()]
        if not self._turn.may_stop(now):
            self._turn.confirm()
            return []
        # From now on the newest that is wanted counts, and none of it has to settle.
        self._debounce.end()
        self._attempt.stopped = True
        actions: list[Action] = [Note("restarting"), *self._phase.enter(Phase.STOPPING)]
        return (
            actions + self._verification.stop() + self._command.stop(self._policy.kill_signal, now)
        )

    def _stage(self, snapshot: Snapshot) -> list[Action]:
        self._staged = snapshot
        self._is_staged = False
        return [StageFiles(snapshot)]

    def staged(self) -> list[Action]:
        """The goal is on disk, but not installed."""
        if self._phase.is_in(Phase.LOADING, Phase.STOPPING):
            return [InstallFiles()]
        self._is_staged = True
        return []

    def tree_gone(self) -> list[Action]:
        """Nothing of the old command is left: install the goal, which may be a newer one by now."""
        goal = self._goal() or self._staged
        if goal is not None and not self._attempt.reverting and self._is_outdated(goal):
            goal = None
        if goal is not None and not self._attempt.is_in_place(goal):
            return [InstallFiles()] if goal == self._staged else self._stage(goal)
        self._staged = None
        self._attempt.start_over(self._attempt.applied)
        return [DiscardFiles(), Note("change-undone"), *self._start_again()]

    def _is_outdated(self, goal: Snapshot) -> bool:
        """Whether the stop came too late for this: it is gone, or the turn for it is lost.

        A lost turn can mean that the ensemble was wiped meanwhile, and zxids of two histories do
        not always show that.
        """
        is_lost = self._turn.granted is None and self._inputs.state.is_current
        return self._inputs.is_gone(goal) or (is_lost and goal != self._inputs.wanted)

    def installed(self, written: tuple[str, ...]) -> list[Action]:
        """The files are installed: start the command on them."""
        if self._staged is None:
            raise RuntimeError("files were installed that nobody has staged")
        self._attempt.install(self._staged)
        self._staged = None
        return notes_on_files("installed", written, self._attempt.applied) + self._start_again()

    def _start_again(self) -> list[Action]:
        """Start the next command; the first start of all stays in its phase until then."""
        is_first = self._phase.is_in(Phase.LOADING)
        entered = [] if is_first else self._phase.enter(Phase.VERIFYING)
        return entered + self._command.start()

    def started(self, now: float) -> list[Action]:
        """The command has started.  Without a group this ends the restart."""
        if self._attempt.trouble:
            return [] if self._turn.in_group else self.pause(now)
        if self._turn.in_group:
            return []
        if self._is_to_go_on:
            # Something newer came between the files and the start: another restart follows.
            return self._phase.enter(Phase.WAITING)
        self._debounce.end()
        self._turn.withdraw()
        self._attempt.tried = None
        # What came since the files were installed has not been acted on.
        self._attempt.seen = self._attempt.applied
        return self._phase.enter(Phase.RUNNING) + self._verification.alerts.restart_settled(now)

    @property
    def _is_to_go_on(self) -> bool:
        """Whether the wanted version is not the installed one, and an attempt at it is due."""
        granted = self._turn.granted
        is_granted = granted is not None and not self._attempt.was_tried(granted)
        is_due = self._debounce.deadline is not None or is_granted
        return is_due and bool(plan(self._attempt.applied, self._wanted_now()))

    def files_failed(self, reason: str, now: float) -> list[Action]:
        """Files could not be written; the installed ones are unchanged."""
        staged, self._staged = self._staged, None
        self._attempt.trouble = reason
        self._attempt.seen = self._wanted_now()
        note = Note("files-failed", {"reason": reason, "retry_s": RETRY_FILES_S})
        if self._phase.is_in(Phase.STOPPING):
            return [note, *self._not_installed(staged, reason, now), *self._start_again()]
        if self._keeps_turn:
            self._debounce.try_again(RETRY_FILES_S, now)
            return [note, *self._verification.alerts.restart_failed(reason, now)]
        return [note, *self.pause(now)]

    def _not_installed(self, staged: Snapshot | None, reason: str, now: float) -> list[Action]:
        """The new files could not be installed after the stop; the old ones are still there."""
        if self._attempt.reverting and staged == self._attempt.good:
            self._debounce.try_again(RETRY_FILES_S, now)
            return self._verification.alerts.restart_failed(reason, now)
        if staged is not None and not plan(self._attempt.applied, staged):
            # What failed was to be tried again.  It is installed, so that is possible.
            self._attempt.start_over(staged)
            return []
        self._attempt.tried, self._attempt.reverting = staged, False
        return []

    def pause(self, now: float) -> list[Action]:
        """Give the turn back, and try again later: it is this host that is in trouble.

        A turn in which a command was stopped is kept until the present command is known good.
        """
        if not self._verification.is_in_turn:
            self._turn.withdraw()
        self._attempt.tried = None
        self._debounce.try_again(RETRY_FILES_S, now)
        entered = self._phase.enter(Phase.FAILED)
        return entered + self._verification.alerts.restart_failed(self._attempt.trouble, now)
