"""One wrapped process: events in, actions out, one deadline.

`Member` connects the inputs, the turn, the command, its health and the alerts.  It is in one phase
at a time: `phases.TABLE` lists which event can lead from which phase to which.  Everything that is
due by `now` is done after each event, so that many events cannot delay a deadline.
"""

from zkexec.core import events
from zkexec.core.actions import Action, EndProcess, Note
from zkexec.core.command import (
    CANNOT_WORK,
    ENDING_SIGNALS,
    SIGINT,
    SIGQUIT,
    SIGTERM,
    AdoptedCommand,
    Command,
    signal_note,
)
from zkexec.core.events import Event, ExitStatus, SignalReceived
from zkexec.core.inputs import Inputs
from zkexec.core.phases import CurrentPhase, Phase, check_transition
from zkexec.core.policy import Policy
from zkexec.core.restart import Restart
from zkexec.core.snapshot import Snapshot
from zkexec.core.startup import CannotStartError, Startup
from zkexec.core.turn import MemberStatus, StartBasis, Turn
from zkexec.core.verifying import Verification
from zkexec.frozen import replace

NOT_STARTED = "not started: the wanted configuration has failed in the group"
"""The reason in the status of a member whose first start waits for another version."""
MOST_TICKS = 100
"""Far more than can be due at once.  A mistake in the core raises instead of looping for ever."""
DISK_WAS_BUSY = (events.FilesStaged, events.FilesFailed)
"""The answers to actions that can last long.  The loop takes in no other event meanwhile."""


class Member:
    """Everything that zkexec decides about one command, from its first snapshot to its end."""

    def __init__(
        self, policy: Policy, turn: Turn, adopted: AdoptedCommand | None = None, trouble: str = ""
    ) -> None:
        """`adopted` is a command that runs, `trouble` the reason why another core failed."""
        self.inputs = Inputs(policy)
        self.command = Command(policy)
        self._policy = policy
        self._turn = turn
        self._phase = CurrentPhase(self.command)
        self._startup = Startup(policy, self.inputs, turn)
        self._verification = Verification(policy, turn, self._phase, self.command)
        self._restart = Restart(policy, turn, self._phase, self.inputs, self._verification)
        self._alerts = self._verification.alerts
        self._zkexec_status: ExitStatus | None = None
        self._adopted = adopted
        self._trouble = trouble

    @property
    def phase(self) -> Phase:
        """The present phase."""
        return self._phase.phase

    @property
    def applied(self) -> Snapshot:
        """The content of the installed files."""
        return self._verification.attempt.applied

    def adopted(self, *, check: int | None, alerting: bool) -> AdoptedCommand:
        """The command for another core; `check` and `alerting` are what runs beside it."""
        return self._verification.adopted(check=check, alerting=alerting)

    @property
    def deadline(self) -> float | None:
        """The absolute time of the next Tick that is needed; None: only events help."""
        due = (
            self.inputs.deadline,
            self.command.deadline,
            self._startup.deadline,
            self._verification.deadline,
            self._restart.deadline,
            self._turn.deadline,
        )
        return min((at for at in due if at is not None), default=None)

    def handle(self, event: Event, now: float) -> list[Action]:
        """Decide what to do about this event, and about everything that is due by `now`."""
        actions = self._step(event, now)
        if isinstance(event, DISK_WAS_BUSY) and self._verification.is_open:
            # The command may have exited meanwhile.  The events that wait are handled before the
            # next Tick judges its time.
            return actions
        for _ in range(MOST_TICKS):
            if self.deadline is None or self.deadline > now or self.phase is Phase.DONE:
                return actions
            actions += self._step(events.Tick(), now)
        raise RuntimeError(f"a deadline of phase {self.phase.value} does not move on")

    def _step(self, event: Event, now: float) -> list[Action]:
        before = self.phase
        try:
            actions = self._turn.handle(event, now) + self._react(event, now)
        except CannotStartError as refusal:
            actions = self._give_up(refusal.note, CANNOT_WORK)
        actions += self._go_on(now)
        check_transition(before, event, self.phase)
        return actions

    def _go_on(self, now: float) -> list[Action]:
        """Do what follows from everything that is known by now."""
        self._turn.refresh(self.inputs.wanted, self.inputs.state, now)
        actions = self._restart.consider(now)
        is_current = self.inputs.has_read and self.inputs.wanted == self.applied
        if self._verification.has_to_verify and is_current:
            actions += self._verification.verify(now)
        if (
            self._verification.is_steady
            and self._turn.in_flight
            and self.inputs.wanted == self.applied
        ):
            self._turn.succeed(self.applied)
        actions += self._restart.proceed(now)
        if self.phase is Phase.DONE:
            return actions
        reason = self._verification.attempt.reason or self.command.delayed
        if self.phase is Phase.WAITING and not self.command.generation:
            reason = reason or NOT_STARTED
        status = MemberStatus(self.phase.value, "", "", self._verification.health, reason)
        runs = self.command.present or self.phase is Phase.VERIFYING
        self._turn.publish(status, self.applied if runs else None, self.inputs.wanted)
        return actions + self._turn.advance(now) + self._finish(now)

    # One arm for each event: a table would say the same in two places.
    def _react(self, event: Event, now: float) -> list[Action]:  # noqa: C901, PLR0911, PLR0912
        match event:
            case events.Started():
                return self._begin(now)
            case events.Tick():
                return self._on_tick(now)
            case events.CachedFilesFound(snapshot):
                return self._on_cached(snapshot)
            case events.CachedFilesMissing(reason):
                return self._on_nothing_cached(reason)
            case events.FilesStaged():
                return self._restart.staged()
            case events.FilesInstalled(written):
                return self._restart.installed(written)
            case events.FilesFailed(reason):
                return self._on_files_failed(reason, now)
            case events.CommandStarted():
                return self._verification.started(event, now) + self._restart.started(now)
            case events.StartFailed():
                return self._on_start_failed(event, now)
            case events.CommandExited():
                return self._on_command_exited(event, now)
            case events.ProcessTreeInspected():
                self.command.inspected(event)
                is_stopped = self.command.tree_gone and self.phase is Phase.STOPPING
                return self._restart.tree_gone() if is_stopped else []
            case events.HealthCheckFinished():
                return self._verification.checked(event, now) + self._judge(now)
            case events.AlertFinished(reason):
                return self._alerts.finished(reason, now)
            case SignalReceived():
                return self._on_signal(event, now)
        self.inputs.in_place = self.applied
        taken = self.inputs.handle(event, now)
        followed = self._follow_again(event, now) if self._trouble else []
        return taken + followed + self._consider_start()

    def _follow_again(self, event: Event, now: float) -> list[Action]:
        """See whether what the failed core has followed is followed again."""
        awaited = events.ZnodesRead if self.inputs.paths else events.SessionConnected
        if not isinstance(event, awaited) or self._phase.is_in(Phase.EXITING):
            return []
        self._trouble = ""
        return self._alerts.restart_settled(now)

    def _begin(self, now: float) -> list[Action]:
        """Make the first start, or go on with a command that runs on the files that are there."""
        if self._adopted is None:
            return self._startup.begin(now)
        self._startup.end()
        self.inputs.assume(self._adopted.applied)
        taken = self._verification.take_over(self._adopted, now, self._trouble)
        return [Note("started-over"), *taken, *self.inputs.open()]

    def _on_tick(self, now: float) -> list[Action]:
        actions = self._startup.expire(now) + self._consider_start()
        actions += self.inputs.expire(now) + self.command.expire(now)
        actions += self._verification.expire(now) + self._restart.expire(now)
        return actions + self._judge(now)

    def _judge(self, now: float) -> list[Action]:
        """Check whether the command is known good by now, or has missed its health deadline."""
        judged = self._verification.judge(now)
        return judged + (self._restart.pause(now) if self._verification.is_back_in_trouble else [])

    def _consider_start(self) -> list[Action]:
        """Make the first start, as soon as all is there that it waits for."""
        if self.phase is not Phase.LOADING:
            return []
        actions = self._startup.consider()
        if not self._startup.ready:
            return actions
        actions += self._startup.read_disk()
        return actions if self._startup.is_reading_disk else actions + self._start_first()

    def _start_first(self) -> list[Action]:
        self._startup.end()
        wanted, on_disk = self.inputs.wanted, self._startup.on_disk
        if wanted is None:
            return self.command.start()
        if on_disk is not None:
            # A command that is started now needs no restart that was requested before.
            on_disk = replace(on_disk, restart=wanted.restart)
        basis = self._turn.basis(wanted, on_disk)
        if basis is StartBasis.NOTHING:
            return self._restart.begin_waiting(wanted)
        if basis is StartBasis.ON_DISK and on_disk is not None and on_disk != wanted:
            return [Note("known-good-files-used"), *self._restart.begin_on(on_disk)]
        return self._restart.begin(wanted)

    def _on_cached(self, snapshot: Snapshot) -> list[Action]:
        if self._startup.is_reading_disk:
            self._startup.disk_read(snapshot)
            return self._consider_start()
        self._startup.end()
        wanted = self.inputs.wanted
        if wanted is None:
            self.inputs.assume(snapshot)
        else:
            # Only the record is missing.  This start also counts as the restart requested last.
            snapshot = replace(snapshot, restart=wanted.restart)
        return [Note("cached-files-used"), *self._restart.begin_on(snapshot)]

    def _on_nothing_cached(self, reason: str) -> list[Action]:
        if self._startup.is_reading_disk:
            self._startup.disk_read(None)
            return self._consider_start()
        raise CannotStartError(Note("cached-files-missing", {"reason": reason}))

    def _on_files_failed(self, reason: str, now: float) -> list[Action]:
        if self.phase is Phase.LOADING:
            raise CannotStartError(Note("files-unwritable", {"reason": reason}))
        return self._restart.files_failed(reason, now)

    def _on_start_failed(self, event: events.StartFailed, now: float) -> list[Action]:
        if event.status == CANNOT_WORK and self.phase is Phase.VERIFYING:
            return self._start_later(event.reason, now)
        if self._verification.survives_exit:
            return self._survive_exit(event.reason, now)
        alert = self._alerts.command_failed(event.reason, event.status, now)
        note = Note("start-failed", {"reason": event.reason})
        return alert + self._give_up(note, event.status)

    def _start_later(self, reason: str, now: float) -> list[Action]:
        """Wait until this host has a process to spare: neither command nor configuration is bad.

        To end instead would leave a service down whose command was stopped for a change.
        """
        retry_s = self.command.start_later(reason, now)
        note = Note("start-delayed", {"reason": reason, "retry_s": retry_s})
        return [note, *self._alerts.restart_failed(reason, now)]

    def _on_command_exited(self, event: events.CommandExited, now: float) -> list[Action]:
        if event.generation != self.command.generation:
            return []
        actions = self.command.exited(event, now)
        if self.command.stopping:
            return actions
        was_asked = self.command.was_asked_to_end(event.ending, now)
        if self._verification.survives_exit and not was_asked:
            return actions + self._survive_exit(str(event.ending), now)
        if event.ending.failed and not was_asked:
            status = event.ending.shell_status
            actions += [Note("command-failed", {"ending": event.ending, "exit_status": status})]
            actions += self._alerts.command_failed(str(event.ending), status, now)
        return actions + self._exit(asked=was_asked)

    def _survive_exit(self, reason: str, now: float) -> list[Action]:
        exited = self._verification.exited(reason, now)
        return exited + (self._restart.pause(now) if self._verification.is_troubled else [])

    def _on_signal(self, event: SignalReceived, now: float) -> list[Action]:
        if not self.command.present:
            return [signal_note(event), *self._on_signal_alone(event.signal)]
        actions = self.command.pass_on(event, now)
        restarting = self.phase is Phase.STOPPING
        if event.signal == SIGTERM or (restarting and event.signal in (SIGINT, SIGQUIT)):
            self.command.expect_end(now)
            self._alerts.drop_waiting()
            actions += self._exit(asked=True)
        return actions

    def _on_signal_alone(self, signal: int) -> list[Action]:
        """No command to pass it on to: what would end the command ends zkexec."""
        is_idle = self._phase.is_in(Phase.LOADING, Phase.WAITING, Phase.FAILED)
        is_idle |= bool(self.command.delayed)
        is_end = is_idle and signal in ENDING_SIGNALS
        if is_end or signal == SIGTERM:
            self._alerts.drop_waiting()
        if not is_end:
            return []
        self._zkexec_status = ExitStatus(signal=signal)
        return self._exit(asked=True)

    def _give_up(self, note: Note, status: int) -> list[Action]:
        self._zkexec_status = ExitStatus(code=status)
        return [note, *self._exit(asked=False)]

    def _exit(self, *, asked: bool) -> list[Action]:
        """Begin the end: nothing is started any more but what alerts are owed."""
        self._startup.end()
        self.command.give_up_start()
        self._restart.end()
        self._turn.stop_taking_turns(keeps_entry=self._verification.is_in_turn and not asked)
        return self._phase.enter(Phase.EXITING) + self._verification.stop()

    def _finish(self, now: float) -> list[Action]:
        """End zkexec as soon as nothing is left to wait for."""
        if self.phase is not Phase.EXITING or self.command.present:
            return []
        closing = [] if self._turn.close(now) else self._turn.advance(now)
        if self._alerts.busy:
            self._alerts.limit(now)
            return closing
        if not self._turn.close(now):
            return closing
        ending = self._zkexec_status or self.command.ending or ExitStatus()
        return [*closing, *self._phase.enter(Phase.DONE), EndProcess(ending)]
