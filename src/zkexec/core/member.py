"""One wrapped process: events in, actions out, one deadline.

`Member` connects the inputs, the turn, the command, its health and the alerts.  The parts say what
an event means, the phase decides what follows, and `_entered` does what a change of phase means.
Everything that is due by `now` is done after each event, so that many events delay no deadline.
"""

from zkexec.core import events, facts
from zkexec.core.actions import (
    Action,
    EndProcess,
    InstallFiles,
    Note,
    StageFiles,
)
from zkexec.core.alerts import Alerts
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
from zkexec.core.command_health import CommandHealth
from zkexec.core.events import Event, ExitStatus, SignalReceived
from zkexec.core.facts import BecameKnownGood, Fact, Found, HealthDeadlineMissed, TurnUnfinished
from zkexec.core.inputs import Inputs
from zkexec.core.parts import Parts
from zkexec.core.phase_changes import PhaseChanges
from zkexec.core.phases import (
    IN_TURN,
    BlockedPhase,
    CurrentPhase,
    ExitingPhase,
    LoadingPhase,
    Phase,
    VerifyingPhase,
)
from zkexec.core.policy import ChangeAction, OnFailure, Policy
from zkexec.core.restart import NOTHING_INSTALLED, Restart
from zkexec.core.snapshot import Snapshot
from zkexec.core.startup import CannotStartError, FirstStart, Startup
from zkexec.core.step import Step
from zkexec.core.step_commands import StepCommands
from zkexec.core.step_results import StepResults, step_note
from zkexec.core.traffic import Traffic
from zkexec.core.transitions import check_transition
from zkexec.core.turn import Intent, Keeping, MemberStatus, Turn

NOT_STARTED = "not started: the wanted configuration has failed in the group"
"""The reason in the status of a member whose first start waits for another version."""
MOST_TICKS = 100
"""Far more than can be due at once.  A mistake in the core raises instead of looping for ever."""
DISK_WAS_BUSY = (events.FilesStaged, events.FilesFailed)
"""The answers to actions that can last long.  The loop takes in no other event meanwhile."""
ANSWERED_NEXT = (StageFiles, InstallFiles)
"""The actions whose answer is the next event, so that what is overdue can wait for it."""


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
        self._phase: CurrentPhase = LoadingPhase()
        self._startup = Startup(policy, self.inputs, turn)
        self._health = CommandHealth(policy)
        self._alerts = Alerts(policy)
        self._steps = StepCommands(policy)
        self._traffic = Traffic(policy, self._steps)
        self._restart = Restart(policy, self.inputs, turn, self.command, self._steps, self._traffic)
        self._first = FirstStart(self._startup, self.inputs, turn, self.command, self._restart)
        self.parts = parts = Parts(
            policy,
            turn,
            self.inputs,
            self.command,
            self._health,
            self._alerts,
            self._steps,
            self._traffic,
            self._restart,
        )
        self._changes = PhaseChanges(parts)
        self._results = StepResults(parts, self._first)
        self._adopted = adopted
        self._trouble = trouble
        self._term: SignalReceived | None = None
        """A TERM that the command gets as soon as it is out of traffic."""

    @property
    def phase(self) -> Phase:
        """The present phase, in a word."""
        return self._phase.phase

    @property
    def applied(self) -> Snapshot:
        """What the command was started on, or has reloaded."""
        return self._restart.loaded

    @property
    def _installed(self) -> Snapshot:
        """The content of the installed files."""
        return self._restart.installed

    def adopted(self, *, check: int | None, alerting: bool) -> AdoptedCommand:
        """The command for another core; `check` and `alerting` are what runs beside it."""
        asked_until, passed_on = self.command.asked
        return AdoptedCommand(
            generation=self.command.generation,
            applied=self.applied,
            check=check,
            check_due=self._health.check_due,
            check_is_late=self._health.check_is_late,
            check_is_void=self._health.check_is_void,
            alerting=alerting,
            asked_until=asked_until,
            passed_on=passed_on,
            owes_term=self._term is not None,
            has_to_join=self._traffic.is_drained or not self._traffic.has_joined,
            was_healthy=self._restart.was_healthy,
        )

    @property
    def deadline(self) -> float | None:
        """The absolute time of the next Tick that is needed; None: only events help."""
        due = (
            self.inputs.deadline,
            self.command.deadline,
            self._startup.deadline,
            self._health.deadline,
            self._alerts.deadline,
            self._restart.deadline,
            self._turn.deadline,
            self._steps.deadline,
            self._traffic.deadline,
        )
        return min((at for at in due if at is not None), default=None)

    @property
    def _is_unverified(self) -> bool:
        """Whether the command runs, and is not known good yet."""
        return self._health.is_open and self.command.present

    @property
    def _is_in_turn(self) -> bool:
        """Whether a change was begun in this turn, and no command has been healthy since."""
        was_begun = self._restart.begun is not None or self._turn.inherited
        is_known_good = self.command.present and not self._health.is_open
        return self._turn.in_flight and was_begun and not is_known_good

    def handle(self, event: Event, now: float) -> list[Action]:
        """Decide what to do about this event, and about everything that is due by `now`."""
        actions = self._step(event, now)
        if isinstance(event, DISK_WAS_BUSY) and self._is_unverified:
            # The command may have exited meanwhile.  The events that wait are handled before the
            # next Tick judges its time.
            return actions
        for _ in range(MOST_TICKS):
            if self.deadline is None or self.deadline > now or self.phase is Phase.DONE:
                return actions
            if actions and isinstance(actions[-1], ANSWERED_NEXT):
                return actions
            actions += self._step(events.Tick(), now)
        raise RuntimeError(f"a deadline of phase {self.phase.value} does not move on")

    def _step(self, event: Event, now: float) -> list[Action]:
        before, base = self.phase, self._phase.base.phase
        try:
            actions = self._turn.handle(event, now) + self._react(event, now)
        except CannotStartError as refusal:
            actions = self._give_up(refusal.note, CANNOT_WORK, now)
        actions += self._go_on(now)
        check_transition(before, event, self.phase, base)
        return actions

    def _carry(self, found: Found, now: float) -> list[Action]:
        """Return the actions of a part, with what follows from its facts in their place."""
        return [
            action
            for one in found
            for action in (self._change(one, now) if isinstance(one, Fact) else [one])
        ]

    def _change(self, fact: Fact, now: float) -> list[Action]:
        """Let the phase decide what follows from this fact, and do what the change means."""
        before, self._phase = self._phase, self._phase.on(fact)
        if self._phase is before:
            return []
        actions = self._changes.left(before, self._phase, now)
        actions += self._changes.entered(before, self._phase, now, is_in_turn=self._is_in_turn)
        self._turn.reconcile(self._intent(), now)
        return actions

    def _go_on(self, now: float) -> list[Action]:
        """Do what follows from everything that is known by now."""
        self._phase = self._phase.with_attempt(self._restart.date(self._phase.attempt))
        actions = self._carry(self._restart.consider(self._phase, self._is_unverified, now), now)
        if self.phase is Phase.RUNNING and self._turn.in_flight and self._is_unverified:
            # The turn of an earlier core waits for this command to be known good.
            is_current = self.inputs.has_read and self.inputs.wanted == self._installed
            unfinished = TurnUnfinished(self.command.generation, self._installed)
            actions += self._change(unfinished, now) if is_current else []
        actions += self._rejoin(now)
        is_first = self.phase is Phase.LOADING
        if is_first or (self._phase.takes_changes and self.phase is not Phase.RUNNING):
            # What the turn allows follows from what is wanted now.
            self._turn.reconcile(self._intent(), now)
            proceeded = self._restart.proceed(self._phase, now, must_restart=self._must_restart)
            actions += self._carry(proceeded, now)
        if self.phase is Phase.DONE:
            return actions
        self._turn.reconcile(self._intent(self.status), now)
        return actions + self._turn.advance(now) + self._finish(now)

    @property
    def _must_restart(self) -> bool:
        """Whether a reload would not do: the command has failed on what it has loaded."""
        if self._phase.attempt.failing == self.applied:
            return True
        is_reloaded = self._restart.begun in (ChangeAction.RELOAD, ChangeAction.NONE)
        return is_reloaded and self._health.known == "unhealthy"

    def _rejoin(self, now: float) -> list[Action]:
        """Put a command in again that was taken out of traffic and is not stopped after all."""
        is_kept = self.command.present and not self.command.stopping
        is_at_work = self.phase in (Phase.DRAINING, Phase.EXITING)
        if is_at_work or not (is_kept and self._traffic.is_drained):
            return []
        goal = self._restart.goal(self._phase.attempt)
        is_near = goal is not None and self._turn.granted is not None
        if is_near and not self._traffic.is_stop_late(now):
            return []
        return self._traffic.rejoin(now)

    def _intent(self, status: MemberStatus | None = None) -> Intent:
        """Return what this member wants of its group; without a status, the event is under way."""
        phase, restart = self._phase, self._restart
        keeping, succeeded = Keeping.NOTHING, phase.base.known_good
        if isinstance(phase, ExitingPhase):
            keeping = phase.keeping
        elif phase.base.phase in IN_TURN:
            keeping = restart.keeping(phase, self._is_in_turn)
        elif phase.phase is Phase.RUNNING and self._turn.in_flight and not self._is_unverified:
            is_steady = self.inputs.wanted == self._installed
            is_shown = succeeded is not None and self._installed.proves_nothing
            succeeded = self._installed if is_steady and not is_shown else succeeded
        is_complete = keeping is Keeping.TURN and status is not None
        if is_complete and phase.takes_changes and restart.is_ready(phase):
            keeping = Keeping.STOP
        runs = self.command.present or phase.phase is Phase.VERIFYING
        return Intent(
            keeping,
            restart.requested,
            succeeded,
            phase.attempt.failure,
            restart.good if self._policy.inputs.paths else None,
            self.inputs.wanted,
            self.inputs.state,
            status,
            restart.loaded if runs else None,
        )

    @property
    def status(self) -> MemberStatus:
        """What it publishes of itself, without the versions."""
        reason = self._phase.attempt.reason or self.command.delayed or self._traffic.trouble
        reason = reason or self.inputs.inner_problem
        if self.phase is Phase.WAITING and not self.command.generation:
            reason = reason or NOT_STARTED
        step = self._changes.step_of(self._phase)
        return MemberStatus(
            self.phase.value,
            health=self._health.known,
            reason=reason,
            step="" if step is None else step.value,
        )

    # One arm for each event: a table would say the same in two places.
    def _react(self, event: Event, now: float) -> list[Action]:  # noqa: C901, PLR0911, PLR0912
        match event:
            case events.Started():
                return self._begin(now)
            case events.Tick(last_line):
                self._health.take_line(last_line)
                return self._on_tick(now)
            case events.CachedFilesFound():
                return self._carry(self._first.cached(event, now), now)
            case events.CachedFilesMissing(reason):
                return self._carry(self._first.nothing_cached(reason, now), now)
            case events.FilesStaged():
                return self._restart.on_disk(self._phase)
            case events.FilesInstalled(written):
                return self._carry(self._results.installed(self._phase, written, now), now)
            case events.FilesFailed(reason):
                return self._carry(self._results.files_failed(self._phase, reason, now), now)
            case events.StepFinished():
                return self._on_step_finished(event, now) + self._judge(now)
            case events.CommandStarted():
                return self._on_started(event, now)
            case events.StartFailed():
                return self._on_start_failed(event, now)
            case events.CommandExited():
                return self._on_command_exited(event, now)
            case events.ProcessTreeInspected():
                self.command.inspected(event)
                is_stopped = self.command.tree_gone and self.phase is Phase.STOPPING
                attempt = self._phase.attempt
                return self._carry(self._restart.replace(attempt) if is_stopped else [], now)
            case events.HealthCheckFinished():
                return self._on_checked(event, now) + self._judge(now)
            case events.AlertFinished(reason):
                return self._alerts.finished(reason, now)
            case SignalReceived():
                return self._on_signal(event, now)
        is_there = self._installed is not NOTHING_INSTALLED
        self.inputs.in_place = self._installed if is_there else None
        taken = self.inputs.handle(event, now)
        followed = self._follow_again(event, now) if self._trouble else []
        return taken + followed + self._consider_start(now)

    def _follow_again(self, event: Event, now: float) -> list[Action]:
        """See whether what the failed core has followed is followed again."""
        is_connected = isinstance(event, events.SessionConnected)
        is_followed = self.inputs.has_read if self.inputs.follows_any else is_connected
        if not is_followed or self.phase is Phase.EXITING:
            return []
        self._trouble = ""
        return self._alerts.restart_settled(now)

    def _begin(self, now: float) -> list[Action]:
        """Make the first start, or go on with a command that runs on the files that are there."""
        adopted = self._adopted
        if adopted is None:
            return self._startup.begin(now)
        self._startup.end()
        self.inputs.assume(adopted.applied)
        self._restart.begin_on(adopted.applied, was_healthy=adopted.was_healthy)
        self.command.take_over(adopted, now)
        self._alerts.take_over(adopted, self._trouble)
        self._health.take_over(adopted, now)
        self._traffic.take_over(adopted)
        changed = self._change(facts.CommandBegan(adopted.generation), now)
        return [Note("started-over"), *changed, *self.inputs.open()]

    def _on_tick(self, now: float) -> list[Action]:
        actions = self._startup.expire(now) + self._consider_start(now)
        actions += self.inputs.expire(now) + self.command.expire(now)
        actions += self._health.expire(now) + self._alerts.expire(now)
        actions += self._steps.expire(now) + self._traffic.expire(now)
        actions += self._carry(self._restart.expire(self._phase, now), now)
        return actions + self._judge(now)

    def _judge(self, now: float) -> list[Action]:
        """Check whether the command is known good by now, or has missed its health deadline."""
        if not self.command.present:
            return []
        actions: list[Action] = []
        if self._health.is_healthy_enough(now):
            self._traffic.healthy(now)
            actions += self._traffic.expire(now)
        late = self._traffic.take_alert(now)
        if late:
            actions += self._alerts.join_failed(late, now)
        if self._health.take_known_good(now, has_joined=self._traffic.has_joined):
            return actions + (self._on_known_good(now) if self._policy.in_group else [])
        missed, step = self._health.take_missed(now), Step.HEALTH
        if not missed:
            missed, step = self._traffic.take_missed(now), Step.POST_HEALTHY
        if not missed:
            return actions
        fact = HealthDeadlineMissed(missed, self.applied, self._revert_to, step)
        return actions + self._change(fact, now)

    @property
    def _revert_to(self) -> Snapshot | None:
        """What is put back after a config failure, if anything is."""
        return self._restart.good if self._policy.on_failure is OnFailure.REVERT else None

    def _on_known_good(self, now: float) -> list[Action]:
        before, applied = self._phase, self.applied
        is_old = isinstance(before, VerifyingPhase) and before.is_in_trouble(applied)
        is_new = not (is_old or before.attempt.is_reverted(applied))
        remembered = self._restart.became_good(applied) if is_new else []
        self._restart.begun = None
        if isinstance(before, BlockedPhase):
            self._restart.requested = None
        return remembered + self._change(BecameKnownGood(self.command.generation, applied), now)

    def _consider_start(self, now: float) -> list[Action]:
        """Make the first start, as soon as all is there that it waits for."""
        is_first = self._phase.base.phase is Phase.LOADING
        dropped = self._carry(self._first.reconsider(), now) if is_first else []
        if self.phase is not Phase.LOADING:
            return dropped
        return dropped + self._carry(self._first.consider(now), now)

    def _on_step_finished(self, event: events.StepFinished, now: float) -> list[Action]:
        """The command of a step has ended; after a pre-stop, a TERM that waits for it goes on."""
        outcome = self._steps.finished(event)
        if outcome is None:
            return []
        ended = step_note(event.step, outcome)
        if event.step is Step.PRE_STOP and self._term is not None:
            return [ended, *self._pass_on_term(now)]
        # The line about what follows from a failure contains the reason.
        is_new = event.step is Step.POST_HEALTHY and outcome.text != self._traffic.reason
        is_noted = outcome.passed or is_new
        noted: list[Action] = [ended] if is_noted else []
        return noted + self._carry(self._results.step(self._phase, event.step, outcome, now), now)

    def _on_started(self, event: events.CommandStarted, now: float) -> list[Action]:
        """The command has started: in a turn of a group it has to be verified."""
        phase, generation = self._phase, event.generation
        noted = self.command.started(event)
        self._health.begin(generation, now)
        self._traffic.started()
        is_in_turn = self.phase is Phase.VERIFYING
        if isinstance(phase, LoadingPhase):
            is_in_turn = self._turn.in_flight and phase.attempt.tried is not None
        if self._policy.in_group and is_in_turn:
            return noted + self._change(TurnUnfinished(generation, self._installed), now)
        due = self._restart.due(phase.attempt)
        return noted + self._change(facts.CommandBegan(generation, due), now)

    def _on_start_failed(self, event: events.StartFailed, now: float) -> list[Action]:
        if event.status == CANNOT_WORK and self.phase is Phase.VERIFYING:
            return self._start_later(event.reason, now)
        if self._survives_exit:
            return self._survive_exit(event.reason, now)
        alert = self._alerts.command_failed(event.reason, event.status, now)
        note = Note("start-failed", {"reason": event.reason})
        return alert + self._give_up(note, event.status, now)

    def _start_later(self, reason: str, now: float) -> list[Action]:
        """Wait until this host has a process to spare: neither command nor configuration is bad.

        To end instead would leave a service down whose command was stopped for a change.
        """
        retry_s = self.command.start_later(reason, now)
        note = Note("start-delayed", {"reason": reason, "retry_s": retry_s})
        return [note, *self._alerts.restart_failed(reason, now, step=Step.START)]

    @property
    def _awaits_health(self) -> bool:
        """Whether the group waits for this command to become healthy."""
        return self._policy.in_group and self._phase.awaits_health(self.applied)

    @property
    def _survives_exit(self) -> bool:
        """Whether a command that ends by itself now does not end zkexec with it.

        Its exit is a config failure of the group; or it is the old command, started again and not
        healthy yet, in a turn that continues as soon as files can be written.
        """
        base = self._phase.base.phase
        is_trying_again = base in (Phase.WAITING, Phase.BLOCKED) and self._health.is_open
        is_stopped = self._restart.begun is not None
        return self._awaits_health or (is_trying_again and self._is_in_turn and is_stopped)

    def _on_command_exited(self, event: events.CommandExited, now: float) -> list[Action]:
        if event.generation != self.command.generation:
            return []
        actions = self.command.exited(event, now)
        self._traffic.ended()
        self._term = None
        was_asked = self.command.was_asked_to_end(event.ending, now)
        if self.phase is Phase.DRAINING and not was_asked:
            # Pre-stop may do that itself, and go on.
            return actions + self._health.end()
        actions += self._steps.drop(Step.PRE_STOP, Step.RELOAD, Step.POST_HEALTHY)
        if self.command.stopping:
            return actions
        if self._survives_exit and not was_asked:
            return actions + self._survive_exit(event.reason, now)
        if event.ending.failed and not was_asked:
            status = event.ending.shell_status
            actions += [Note("command-failed", {"reason": event.reason, "exit_status": status})]
            actions += self._alerts.command_failed(event.reason, status, now)
        return actions + self._exit(None, now, asked=was_asked)

    def _survive_exit(self, reason: str, now: float) -> list[Action]:
        """Go on without the command: a config failure, or more of the trouble that there is."""
        closed, before = self._health.end(), self._phase
        is_reload = self.phase is Phase.RELOADING
        step = Step.RELOAD if is_reload else Step.START
        lost = facts.CommandLost(reason, self.applied, self._revert_to, step)
        trouble = before.on(lost).attempt.trouble
        if trouble != before.attempt.trouble:
            closed += [Note("old-command-ended", {"reason": reason})]
            closed += self._alerts.restart_failed(trouble, now, step=Step.START)
        return closed + self._change(lost, now)

    def _on_checked(self, event: events.HealthCheckFinished, now: float) -> list[Action]:
        """Take in the result of a check, and raise an alert if it failed outside of a turn."""
        result = self._health.finished(event, now)
        if result is None:
            return []
        if result.healthy:
            self._traffic.healthy(now)
            joining = self._traffic.expire(now)
            return [result.note, *self._alerts.health_passed(now), *joining]
        # A command that is being verified has until the health deadline, and then one alert.
        if self._awaits_health or self._health.is_early(now):
            return [result.note]
        return [result.note, *self._alerts.health_failed(result.whole_reason, now)]

    def _on_signal(self, event: SignalReceived, now: float) -> list[Action]:
        if not self.command.present:
            return [signal_note(event), *self._on_signal_alone(event.signal, now)]
        if event.signal == SIGTERM and self._drains_at_end:
            return self._drain_at_end(event, now)
        dropped = self._steps.drop(Step.PRE_STOP) if event.signal == SIGTERM else []
        self._term = None if event.signal == SIGTERM else self._term
        actions = dropped + self.command.pass_on(event, now)
        restarting = self.phase is Phase.STOPPING
        if event.signal == SIGTERM or (restarting and event.signal in (SIGINT, SIGQUIT)):
            self.command.expect_end(now)
            self._alerts.drop_waiting()
            actions += self._exit(None, now, asked=True)
        return actions

    @property
    def _drains_at_end(self) -> bool:
        """Whether a TERM has to wait for pre-stop: a second one does not."""
        if self._term is not None or self.command.stopping:
            return False
        return self._traffic.needs_drain or self._steps.is_busy(Step.PRE_STOP)

    def _drain_at_end(self, event: SignalReceived, now: float) -> list[Action]:
        """Take the command out of traffic, and pass the TERM on afterwards."""
        self._term = event
        self.command.will_be_asked(now)
        self._alerts.drop_waiting()
        draining = [] if self._steps.is_busy(Step.PRE_STOP) else self._traffic.drain(now, "end")
        return [signal_note(event), *draining, *self._exit(None, now, asked=True)]

    def _pass_on_term(self, now: float) -> list[Action]:
        event, self._term = self._term, None
        self.command.expect_end(now)
        return [] if event is None else self.command.pass_on(event, now)[1:]

    def _on_signal_alone(self, signal: int, now: float) -> list[Action]:
        """No command to pass it on to: what would end the command ends zkexec."""
        is_idle = self._phase.base.phase in (
            Phase.LOADING,
            Phase.WAITING,
            Phase.FAILED,
            Phase.BLOCKED,
        )
        # In a drain the command can have ended, and what follows may take long.
        is_idle |= bool(self.command.delayed) or self.phase is Phase.DRAINING
        is_end = is_idle and signal in ENDING_SIGNALS
        if is_end or signal == SIGTERM:
            self._alerts.drop_waiting()
        if not is_end:
            return []
        return self._exit(ExitStatus(signal=signal), now, asked=True)

    def _give_up(self, note: Note, status: int, now: float) -> list[Action]:
        return [note, *self._exit(ExitStatus(code=status), now, asked=False)]

    def _exit(self, status: ExitStatus | None, now: float, *, asked: bool) -> list[Action]:
        """Begin the end: nothing is started any more but what alerts are owed."""
        self._startup.end()
        self.command.give_up_start()
        self._restart.stop_settling()
        self._traffic.ended()
        dropped = self._steps.drop(Step.CHECK, Step.RELOAD, Step.POST_HEALTHY)
        keeping = Keeping.ENTRY if self._is_in_turn and not asked else Keeping.LEAVING
        return dropped + self._change(facts.EndBegan(keeping, status), now)

    def _finish(self, now: float) -> list[Action]:
        """End zkexec as soon as nothing is left to wait for."""
        if not isinstance(self._phase, ExitingPhase) or self.command.present:
            return []
        closing = [] if self._turn.close(now) else self._turn.advance(now)
        if self._alerts.busy:
            self._alerts.limit(now)
            return closing
        if not self._turn.close(now):
            return closing
        ending = self._phase.status or self.command.ending or ExitStatus()
        return [*closing, *self._change(facts.EndReached(), now), EndProcess(ending)]
