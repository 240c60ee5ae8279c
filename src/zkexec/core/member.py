"""One wrapped process: events in, actions out, one deadline.

`Member` couples the mirrored znodes (`Source`), the turn, the child, its health and the alerts.
It is in one phase at a time; `transitions.TABLE` says which event may lead where, and `_enter`
is the only place that changes it.  Whatever is due by `now` is done after every event,
whichever it was, so that a busy inbox cannot starve a deadline.
"""

from zkexec.core import events
from zkexec.core.actions import (
    Action,
    DiscardFiles,
    EndProcess,
    InstallFiles,
    Note,
    StageFiles,
    notes_on_files,
)
from zkexec.core.alarm import Alarm
from zkexec.core.child import ENDING_SIGNALS, SIGINT, SIGQUIT, SIGTERM, Child
from zkexec.core.events import Ending, Event, SignalReceived
from zkexec.core.health import HealthGate
from zkexec.core.launch import CannotStartError, Launch
from zkexec.core.settling import Settling
from zkexec.core.snapshot import Snapshot, plan
from zkexec.core.source import Source
from zkexec.core.terms import Terms
from zkexec.core.transitions import Phase, check_transition
from zkexec.core.turn import Turn

CANNOT_WORK = 125
RETRY_FILES_S = 10.0
"""Pause before files that could not be written are tried again."""


class Member:
    """The way of one wrapped process from its first snapshot to its end."""

    def __init__(self, terms: Terms, turn: Turn) -> None:
        self.phase = Phase.LOADING
        self.applied = Snapshot({})
        self.source = Source(terms)
        self.child = Child(terms)
        self._terms = terms
        self._turn = turn
        self._launch = Launch(terms, self.source)
        self._gate = HealthGate(terms)
        self._alarm = Alarm(terms)
        self._settling = Settling(terms.settle_s)
        self._seen: Snapshot | None = None
        self._staged: Snapshot | None = None
        self._trouble = ""
        self._verdict: Ending | None = None

    @property
    def deadline(self) -> float | None:
        """The absolute time of the next Tick that is needed; None: only events help."""
        due = (
            self.source.deadline,
            self.child.deadline,
            self._launch.deadline,
            self._gate.deadline,
            self._alarm.deadline,
            self._settling.deadline,
        )
        return min((at for at in due if at is not None), default=None)

    def handle(self, event: Event, now: float) -> list[Action]:
        """Say what to do about this event, and about everything that is due by `now`."""
        actions = self._step(event, now)
        while self.deadline is not None and self.deadline <= now and self.phase is not Phase.DONE:
            actions += self._step(events.Tick(), now)
        return actions

    def _step(self, event: Event, now: float) -> list[Action]:
        before = self.phase
        try:
            actions = self._react(event, now)
        except CannotStartError as refusal:
            actions = self._give_up(refusal.note, CANNOT_WORK, now)
        check_transition(before, event, self.phase)
        return actions

    def _enter(self, phase: Phase) -> list[Action]:
        left, self.phase = self.phase, phase
        return [] if left is phase else [Note("phase", {"left": left.value, "phase": phase.value})]

    # One arm for each event: a table would say the same in two places.
    def _react(self, event: Event, now: float) -> list[Action]:  # noqa: C901, PLR0911, PLR0912
        match event:
            case events.Started():
                return self._launch.begin(now)
            case events.Tick():
                return self._on_tick(now)
            case events.CachedFilesFound(snapshot):
                return self._on_cached(snapshot)
            case events.CachedFilesMissing(reason):
                raise CannotStartError(Note("cached-files-missing", {"reason": reason}))
            case events.FilesStaged():
                return self._on_staged(now)
            case events.FilesInstalled(written):
                return self._on_installed(written)
            case events.FilesFailed(reason):
                return self._on_files_failed(reason, now)
            case events.ChildStarted():
                return self._on_child_started(event, now)
            case events.StartFailed(reason=reason, status=status):
                return self._on_start_failed(reason, status, now)
            case events.ChildExited():
                return self._on_child_exited(event, now)
            case events.TreeInspected():
                self.child.inspected(event)
                return self._on_tree_inspected(now)
            case events.CheckFinished():
                return self._on_check_finished(event, now)
            case events.AlertFinished(reason):
                return self._alarm.finished(reason, now) + self._finish(now)
            case SignalReceived():
                return self._on_signal(event, now)
        return self.source.handle(event, now) + self._consider(now)

    def _on_tick(self, now: float) -> list[Action]:
        actions = self._launch.expire(now) + self._consider(now)
        actions += self.source.expire(now) + self.child.expire(now)
        actions += self._gate.expire(now) + self._alarm.expire(now)
        if self._settling.deadline is not None and now >= self._settling.deadline:
            self._settling.end()
            actions += self._enter(Phase.WAITING) + self._take_turn()
        return actions

    def _consider(self, now: float) -> list[Action]:
        """Compare what is wanted with what runs, and begin what follows from it."""
        if self.phase is Phase.LOADING:
            return self._consider_launch()
        wanted = self.source.wanted
        if wanted is None or wanted == self._seen:
            return []
        if self.phase not in (Phase.RUNNING, Phase.WAITING, Phase.PAUSED):
            return []
        self._seen = wanted
        changes = plan(self.applied, wanted)
        if changes:
            self._settling.changed(now)
            return notes_on_files("changed", changes.changed, wanted) + self._enter(Phase.WAITING)
        self._settling.end()
        self._turn.release()
        return [Note("change-undone"), *self._enter(Phase.RUNNING), *self._settled(now)]

    def _consider_launch(self) -> list[Action]:
        actions = self._launch.consider()
        if not self._launch.ready:
            return actions
        self._launch.end()
        if self.source.wanted is None:
            return actions + self.child.start()
        return actions + self._stage(self.source.wanted)

    def _take_turn(self) -> list[Action]:
        wanted = self._wanted_now()
        self._turn.ask(wanted)
        return self._stage(wanted) if self._turn.held else []

    def _wanted_now(self) -> Snapshot:
        return self.applied if self.source.wanted is None else self.source.wanted

    def _stage(self, snapshot: Snapshot) -> list[Action]:
        self._staged = snapshot
        return [StageFiles(snapshot)]

    def _on_cached(self, snapshot: Snapshot) -> list[Action]:
        self._launch.end()
        self.applied = self._seen = snapshot
        self.source.assume(snapshot)
        return [Note("cached-files-used"), *self.child.start()]

    def _on_staged(self, now: float) -> list[Action]:
        if self.phase is not Phase.WAITING:
            return [InstallFiles()]
        actions: list[Action] = [Note("restarting"), *self._enter(Phase.STOPPING)]
        return actions + self._gate.close() + self.child.stop(self._terms.kill_signal, now)

    def _on_installed(self, written: tuple[str, ...]) -> list[Action]:
        self.applied, self._staged = self._staged or self.applied, None
        self._seen = self.applied
        self._trouble = ""
        return notes_on_files("installed", written, self.applied) + self._start_again()

    def _on_files_failed(self, reason: str, now: float) -> list[Action]:
        self._staged = None
        if self.phase is Phase.LOADING:
            raise CannotStartError(Note("files-unwritable", {"reason": reason}))
        self._trouble = reason
        self._seen = self._wanted_now()
        note = Note("files-failed", {"reason": reason, "retry_s": RETRY_FILES_S})
        if self.phase is Phase.WAITING:
            return [note, *self._pause(now)]
        return [note, *self._start_again()]

    def _pause(self, now: float) -> list[Action]:
        self._turn.release()
        self._settling.try_again(RETRY_FILES_S, now)
        return self._enter(Phase.PAUSED) + self._alarm.restart_failed(self._trouble, now)

    def _start_again(self) -> list[Action]:
        """Start the next child; the first start of all stays in its phase until then."""
        entered = [] if self.phase is Phase.LOADING else self._enter(Phase.PROVING)
        return entered + self.child.start()

    def _on_child_started(self, event: events.ChildStarted, now: float) -> list[Action]:
        actions = self.child.started(event)
        self._gate.open(event.generation, now)
        if self._trouble:
            return actions + self._pause(now)
        self._turn.release()
        return actions + self._enter(Phase.RUNNING) + self._settled(now)

    def _settled(self, now: float) -> list[Action]:
        self._trouble = ""
        return self._alarm.restart_settled(now)

    def _on_tree_inspected(self, now: float) -> list[Action]:
        if not self.child.tree_gone or self.phase is not Phase.STOPPING:
            return self._finish(now)
        wanted = self._wanted_now()
        if not plan(self.applied, wanted):
            self._staged = None
            self._seen = self.applied
            self._trouble = ""
            return [DiscardFiles(), Note("change-undone"), *self._start_again()]
        return [InstallFiles()] if wanted == self._staged else self._stage(wanted)

    def _on_start_failed(self, reason: str, status: int, now: float) -> list[Action]:
        alert = self._alarm.command_failed(reason, status, now)
        return alert + self._give_up(Note("start-failed", {"reason": reason}), status, now)

    def _on_child_exited(self, event: events.ChildExited, now: float) -> list[Action]:
        if event.generation != self.child.generation:
            return []
        actions = self.child.exited(event, now)
        if self.child.stopping:
            return actions
        if event.ending.failed and not self.child.was_asked_to_end(event.ending, now):
            status = event.ending.shell_status
            actions += [Note("command-failed", {"exit_status": status})]
            actions += self._alarm.command_failed(str(event.ending), status, now)
        return actions + self._exit(now)

    def _on_check_finished(self, event: events.CheckFinished, now: float) -> list[Action]:
        verdict = self._gate.finished(event, now)
        if verdict is None:
            return []
        if verdict.healthy:
            return [Note("check-passed"), *self._alarm.health_passed(now)]
        failed = Note("check-failed", {"reason": verdict.reason})
        return [failed, *self._alarm.health_failed(verdict.reason, now)]

    def _on_signal(self, event: SignalReceived, now: float) -> list[Action]:
        if not self.child.present:
            return self._on_signal_alone(event.signal, now)
        actions = self.child.pass_on(event, now)
        restarting = self.phase is Phase.STOPPING
        if event.signal == SIGTERM or (restarting and event.signal in (SIGINT, SIGQUIT)):
            self.child.expect_end(now)
            self._alarm.drop_waiting()
            actions += self._exit(now)
        return actions

    def _on_signal_alone(self, signal: int, now: float) -> list[Action]:
        """No child to pass it on to: what would end the command ends zkexec."""
        if signal == SIGTERM:
            self._alarm.drop_waiting()
        if self.phase is not Phase.LOADING or signal not in ENDING_SIGNALS:
            return []
        self._verdict = Ending(signal=signal)
        return self._exit(now)

    def _give_up(self, note: Note, status: int, now: float) -> list[Action]:
        self._verdict = Ending(code=status)
        return [note, *self._exit(now)]

    def _exit(self, now: float) -> list[Action]:
        """Begin the end: nothing is started any more but what alerts are owed."""
        self._launch.end()
        self._settling.end()
        self._turn.release()
        return self._enter(Phase.EXITING) + self._gate.close() + self._finish(now)

    def _finish(self, now: float) -> list[Action]:
        """End zkexec as soon as nothing is left to wait for."""
        if self.phase is not Phase.EXITING or self.child.present:
            return []
        if self._alarm.busy:
            self._alarm.limit(now)
            return []
        ending = self._verdict or self.child.ending or Ending()
        return [*self._enter(Phase.DONE), EndProcess(ending)]
