"""The promises to a group about the steps of a change: check, pre-stop, reload, post-healthy."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from simulation.group.checker import Checker, RecordChange, Violation
from simulation.group.command_model import CommandModel, least_healthy_s
from simulation.group.host import Host
from simulation.group.member_checkers import is_restart
from simulation.group.process import Process
from simulation.step_commands import strongest_action
from zkexec.core import actions, events
from zkexec.core.actions import Action
from zkexec.core.caretaker import Caretaker
from zkexec.core.events import Event
from zkexec.core.member import Member
from zkexec.core.phases import Phase
from zkexec.core.policy import ChangeAction
from zkexec.core.rollout.version import version_of
from zkexec.core.snapshot import Snapshot
from zkexec.core.step import Step

if TYPE_CHECKING:
    from simulation.group.world import World

SIGTERM = 15
SLACK_S = 1.0


def changed_files(before: Snapshot, after: Snapshot) -> list[str]:
    """Return the paths whose content differs."""
    paths = sorted(before.files.keys() | after.files.keys())
    return [path for path in paths if before.files.get(path) != after.files.get(path)]


def installs(todo: Sequence[Action]) -> bool:
    """Whether the staged files are to be moved to their targets."""
    return any(isinstance(action, actions.InstallFiles) for action in todo)


def stops(process: Process, todo: Sequence[Action]) -> bool:
    """Whether the command is stopped for a change."""
    return any(is_restart(process, action) for action in todo)


def living_command(process: Process) -> CommandModel | None:
    """Return the command that runs, None if none does."""
    command = process.commands.present
    return command if command is not None and command.alive else None


class AppliesOnlyWhatPassed(Checker):
    """Nothing is stopped and nothing installed for files whose last check there did not pass.

    What the command runs may be put back, and what was known good on this host.
    """

    def __init__(self, world: "World") -> None:
        """Begin without any check."""
        super().__init__(world)
        self._running: dict[tuple[Process, int], Snapshot] = {}
        self._killed: dict[Process, bool] = {}
        self._passed: dict[tuple[Host, Snapshot], bool] = {}
        self._good: dict[Host, list[Snapshot]] = {}

    def known_good(self, process: Process, command: CommandModel) -> None:
        """Note what may be put back after a failure."""
        self._good.setdefault(process.host, []).append(command.files)

    def decided(self, process: Process, event: Event, todo: Sequence[Action]) -> None:
        """Note the results of checks, and examine each stop and each installation."""
        if isinstance(event, events.StepFinished) and event.step is Step.CHECK:
            snapshot = self._running.pop((process, event.number), None)
            if snapshot is not None:
                passed = event.outcome.passed and not self._killed[process]
                self._passed[process.host, Snapshot(snapshot.files)] = passed
        if process.policy.runs(Step.CHECK):
            self._judge(process, todo)
        for action in todo:
            if action == actions.KillStep(Step.CHECK):
                self._killed[process] = True
            if isinstance(action, actions.RunStep) and action.step is Step.CHECK:
                assert action.snapshot is not None, "a check of nothing"
                self._killed[process] = False
                self._running[process, action.number] = action.snapshot

    def _judge(self, process: Process, todo: Sequence[Action]) -> None:
        host = process.host
        is_change = installs(todo) or stops(process, todo)
        if not is_change or host.staged is None or not changed_files(host.files, host.staged):
            return
        command = living_command(process)
        kept = [*self._good.get(host, ()), *([command.files] if command is not None else [])]
        if any(host.staged.files == files.files for files in kept):
            return
        passed = self._passed.get((host, Snapshot(host.staged.files)))
        if not passed:
            what = "had no check" if passed is None else "failed in the check"
            raise Violation(f"{process.name} applies what {what}: {host.staged.files}")


class RunsStepsOneAtATime(Checker):
    """The command of a step never runs twice at once, and needs a command if it is no check."""

    def __init__(self, world: "World") -> None:
        """Begin without any."""
        super().__init__(world)
        self._running: dict[Process, dict[Step, int]] = {}
        self._living: dict[Process, bool] = {}

    def decided(self, process: Process, event: Event, todo: Sequence[Action]) -> None:
        """Follow the starts and the ends of steps, and of the command as zkexec knows it."""
        running = self._running.setdefault(process, {})
        match event:
            case events.Started():
                running.clear()
                self._living[process] = living_command(process) is not None
            case events.CommandStarted():
                self._living[process] = True
            case events.CommandExited():
                command = process.commands.present
                is_present = command is None or command.generation == event.generation
                self._living[process] = self._living[process] and not is_present
            case events.StepFinished(step, number) if running.get(step) == number:
                del running[step]
        if not isinstance(process.core, Member):
            running.clear()
        for action in todo:
            self._judge(process, action, running)

    def _judge(self, process: Process, action: Action, running: dict[Step, int]) -> None:
        match action:
            case actions.RunStep(step=step, number=number):
                if step in running:
                    raise Violation(f"{process.name} runs {step.value} twice at once")
                running[step] = number
                if step is not Step.CHECK and not self._living[process]:
                    raise Violation(f"{process.name} runs {step.value} without a command")
            case actions.SignalCommand() if not self._living[process]:
                raise Violation(f"{process.name} signals a command that does not run")


class LimitsSteps(Checker):
    """The command of a step is killed once its limit is over."""

    def __init__(self, world: "World") -> None:
        """Begin without any."""
        super().__init__(world)
        self._since: dict[Process, dict[Step, float]] = {}

    def decided(self, process: Process, event: Event, todo: Sequence[Action]) -> None:
        """Compare the steps that run with their limits, after what is overdue was done."""
        since, now = self._since.setdefault(process, {}), self.world.clock.now
        if isinstance(event, events.Started) or not isinstance(process.core, Member):
            since.clear()
        if isinstance(event, events.StepFinished):
            since.pop(event.step, None)
        for action in todo:
            match action:
                case actions.RunStep(step=step):
                    since[step] = now
                case actions.KillStep(step):
                    since.pop(step, None)
        if isinstance(event, events.FilesStaged | events.FilesFailed):
            # After a slow disk, what has happened meanwhile comes before what is due.
            return
        for step, began in since.items():
            is_over = isinstance(process.core, Member) and process.core.phase is Phase.DONE
            if now > began + process.policy.step_limits[step] + SLACK_S and not is_over:
                raise Violation(f"{process.name} lets {step.value} run past its limit")


class AppliesByTheStrongestAction(Checker):
    """A change for which a reload is enough stops nothing, and each other one restarts.

    A change after a failure may restart: the command may be none that could still reload.
    """

    def __init__(self, world: "World") -> None:
        """Begin without any failure."""
        super().__init__(world)
        self._doubtful: dict[Process, CommandModel] = {}

    def decided(self, process: Process, event: Event, todo: Sequence[Action]) -> None:
        """Note doubts about the command, and judge each stop and each reload."""
        command, host = living_command(process), process.host
        if command is None:
            return
        notes = {action.topic for action in todo if isinstance(action, actions.Note)}
        is_sick = isinstance(event, events.HealthCheckFinished) and not event.passed
        if is_sick or isinstance(event, events.Started) or "restart-failed" in notes:
            self._doubtful[process] = command
        if host.staged is None:
            return
        changed = changed_files(command.files, host.staged)
        action = strongest_action(process.policy, changed)
        is_requested = host.staged.restart not in ("", command.files.restart)
        is_requested |= host.staged.variables != command.files.variables
        restarts = action is ChangeAction.RESTART or is_requested
        is_doubtful = self._doubtful.get(process) is command or self._is_new(process, command)
        if stops(process, todo) and not restarts and not is_doubtful:
            raise Violation(f"{process.name} stops its command for what {action.value} applies")
        is_beside = installs(todo) and not process.is_stopping
        if is_beside and changed and restarts:
            raise Violation(f"{process.name} reloads what needs a restart")

    def _is_new(self, process: Process, command: CommandModel) -> bool:
        """Whether zkexec may not know yet that the command is well."""
        policy = process.policy
        is_warm = command.warmed or not policy.runs(Step.POST_HEALTHY)
        known_after_s = least_healthy_s(policy) + policy.session_timeout_s
        is_known = self.world.clock.now > command.applied_at + known_after_s
        return not (command.was_known_good and is_warm and is_known)


class AppliesWithinTheLease(Checker):
    """I2 for a drain and a reload: each follows a recent commit with the member's token.

    A check does not have to be as recent, but needs an entry as well, unless nothing runs yet.
    What the command runs may be put back at any time.
    """

    def __init__(self, world: "World") -> None:
        """Begin without commits."""
        super().__init__(world)
        self._confirmed: dict[str, tuple[str, float]] = {}
        self._is_forced: dict[str, bool] = {}
        self._admitted: dict[str, str] = {}
        """The tokens of members that another one has admitted."""

    def record(self, change: RecordChange) -> None:
        """Note when an entry was last written by its owner."""
        if change.has_own_entry:
            entry = change.after.in_flight[change.author]
            self._confirmed[change.author] = (entry.token, change.decided_at)
            self._is_forced.pop(change.author, None)
        for name, entry in change.newly_admitted:
            self._admitted[name] = entry.token
        for name, _ in change.left:
            if change.audit_entry is not None:
                self._is_forced[name] = True

    def decided(self, process: Process, event: Event, todo: Sequence[Action]) -> None:
        """Check each drain, each reload and each check when it is decided on."""
        command, name = living_command(process), process.host.name
        if command is None or self._is_forced.get(name) or isinstance(event, events.Started):
            return
        for action in todo:
            if isinstance(action, actions.RunStep) and action.step is Step.CHECK:
                self._judge_check(process)
            is_drain = isinstance(action, actions.RunStep) and action.event == "restart"
            if is_drain and command.was_known_good:
                self._judge(process, "drains", process.policy.session_timeout_s / 6)
        staged = process.host.staged
        is_beside = installs(todo) and not process.is_stopping and staged is not None
        is_reload = is_beside and staged is not None and changed_files(command.files, staged)
        if is_reload and command.was_known_good:
            self._judge(process, "reloads", process.policy.session_timeout_s / 6)

    def _judge_check(self, process: Process) -> None:
        name, mark = process.host.name, process.name + "-"
        confirmed, _ = self._confirmed.get(name, ("", 0.0))
        if not any(token.startswith(mark) for token in (confirmed, self._admitted.get(name, ""))):
            raise Violation(f"{process.name} checks without an entry of its own")

    def _judge(self, process: Process, what: str, limit_s: float) -> None:
        token, decided_at = self._confirmed.get(process.host.name, ("", 0.0))
        if not token.startswith(process.name + "-"):
            raise Violation(f"{process.name} {what} without an entry of its own")
        age_s = self.world.clock.now - decided_at
        if age_s >= limit_s:
            raise Violation(f"{process.name} {what} {age_s:.2f} s after its last commit")


class TriesNoFailedVersion(Checker):
    """No member examines a version for which another one has recorded a config failure.

    A member that was in flight already goes on.
    """

    def __init__(self, world: "World") -> None:
        """Begin without failures."""
        super().__init__(world)
        self._goes_on: dict[tuple[str, str], int] = {}
        """The zxid with which a member was in flight when a version failed."""

    def record(self, change: RecordChange) -> None:
        """Note which members are in flight with a version when it fails."""
        for digest, state in change.after.versions.items():
            before = change.before.versions.get(digest)
            if state.failed_by and (before is None or before.failed_by != state.failed_by):
                for name, entry in change.after.in_flight.items():
                    self._goes_on[name, digest] = entry.zxid

    def decided(self, process: Process, event: Event, todo: Sequence[Action]) -> None:
        """Compare each check of a member that has a command with the record."""
        del event
        record, name = self.world.truth, process.host.name
        for action in todo:
            if not isinstance(action, actions.RunStep) or action.snapshot is None:
                continue
            digest = version_of(action.snapshot, process.policy.inputs).digest
            entry, state = record.in_flight.get(name), record.versions.get(digest)
            if entry is None or entry.digest != digest or state is None:
                continue
            is_failed = bool(state.failed_by) and name not in state.failed_by
            goes_on = self._goes_on.get((name, digest)) == entry.zxid
            if is_failed and not goes_on and state.zxid >= entry.zxid:
                others = ", ".join(state.failed_by)
                raise Violation(f"{process.name} examines what failed on {others}")


class FailsByCheck(Checker):
    """A version that a check refuses in a turn is a config failure, and nothing else."""

    def __init__(self, world: "World") -> None:
        """Begin without any check."""
        super().__init__(world)
        self._running: dict[Process, int] = {}

    def decided(self, process: Process, event: Event, todo: Sequence[Action]) -> None:
        """Check the phase after a refusal, unless the check was dropped for other content."""
        notes = [action.topic for action in todo if isinstance(action, actions.Note)]
        for action in todo:
            if isinstance(action, actions.RunStep) and action.step is Step.CHECK:
                self._running[process] = action.number
            if action == actions.KillStep(Step.CHECK) and "step-killed" not in notes:
                self._running.pop(process, None)
        is_check = isinstance(event, events.StepFinished) and event.step is Step.CHECK
        if not is_check or living_command(process) is None or process.termed:
            return
        assert isinstance(event, events.StepFinished), "it is a check"
        core, outcome = process.core, event.outcome
        if self._running.get(process) != event.number or not isinstance(core, Member):
            return
        if not outcome.passed and not outcome.is_of_host and core.phase is not Phase.FAILED:
            raise Violation(f"{process.name} is {core.phase.value} after its check has failed")


class LeavesNothingDrained(Checker):
    """A command whose pre-stop began is stopped in time, or its post-healthy command runs."""

    def __init__(self, world: "World") -> None:
        """Begin with all commands in traffic."""
        super().__init__(world)
        self._due: dict[Process, tuple[CommandModel, float]] = {}

    def decided(self, process: Process, event: Event, todo: Sequence[Action]) -> None:
        """Follow the steps of a drained command, whose zkexec may be frozen for a while."""
        policy, now, command = process.policy, self.world.clock.now, living_command(process)
        if command is None or process.termed or not policy.runs(Step.POST_HEALTHY):
            self._due.pop(process, None)
            return
        if stops(process, todo) or process.is_stopping:
            self._due.pop(process, None)
        # It may wait for the group to confirm the turn after the drain.
        wait_s = policy.session_timeout_s + 15.0
        for action in todo:
            if isinstance(action, actions.RunStep) and action.event == "restart":
                self._due[process] = (command, now + policy.step_limits[Step.PRE_STOP] + wait_s)
        if not command.drained:
            self._due.pop(process, None)
        known = self._due.get(process)
        is_step = isinstance(event, events.StepFinished) and event.step is not Step.CHECK
        if known is not None and (is_step or process.late_s > SLACK_S):
            self._due[process] = (command, max(known[1], now + wait_s))
        elif known is not None and known[0] is command and now > known[1]:
            raise Violation(f"{process.name} leaves its command drained")


class SucceedsOnlyWarm(Checker):
    """A turn succeeds only once the post-healthy command of the started command has succeeded."""

    def record(self, change: RecordChange) -> None:
        """Check the command of a member that reports success."""
        if change.by is None or change.process.termed:
            return
        process, command = change.process, living_command(change.process)
        if command is None or not process.policy.runs(Step.POST_HEALTHY):
            return
        for digest, state in change.after.versions.items():
            before = change.before.versions.get(digest)
            is_new = state.known_good and (before is None or not before.known_good)
            is_older = command.started_at < change.decided_at
            if is_new and is_older and not command.warmed:
                raise Violation(f"{process.name} succeeds without a post-healthy command")


class OutlivesTheReload(Checker):
    """A command that exits before its reload has succeeded does not end zkexec."""

    def __init__(self, world: "World") -> None:
        """Begin without any reload."""
        super().__init__(world)
        self._reloaded: dict[Process, CommandModel] = {}

    def reloaded(self, process: Process, command: CommandModel) -> None:
        """Note the command that is to load other files."""
        if process.host.name in self.world.truth.in_flight:
            self._reloaded[process] = command

    def known_good(self, process: Process, command: CommandModel) -> None:
        """From now on zkexec ends with the command."""
        del command
        self._reloaded.pop(process, None)

    def record(self, change: RecordChange) -> None:
        """Forget the members whose turn is over."""
        gone = [name for name, _ in change.left]
        for process in [known for known in self._reloaded if known.host.name in gone]:
            del self._reloaded[process]

    def history_began(self) -> None:
        """Forget the turns: they are over."""
        self._reloaded.clear()

    def decided(self, process: Process, event: Event, todo: Sequence[Action]) -> None:
        """Check what zkexec does when its command exits."""
        notes = {action.topic for action in todo if isinstance(action, actions.Note)}
        topics = {"restart-failed", "reverted", "files-put-back", "change-undone", "change-refused"}
        core = process.core
        if isinstance(event, events.Started) or notes & topics:
            self._reloaded.pop(process, None)
        if not isinstance(event, events.CommandExited) or process.termed:
            return
        command = self._reloaded.get(process)
        is_it = command is not None and command.generation == event.generation
        if is_it and isinstance(core, Member) and core.phase in (Phase.EXITING, Phase.DONE):
            raise Violation(f"{process.name} ends with the command that was to reload")


class RunsWhatIsOnDisk(Checker):
    """After a refused `--reload` the old files are back soon, if the disk and zkexec work."""

    def __init__(self, world: "World") -> None:
        """Begin without any reload."""
        super().__init__(world)
        self._due: dict[Process, float] = {}

    def decided(self, process: Process, event: Event, todo: Sequence[Action]) -> None:
        """Begin with a refused reload, and end with what the command runs."""
        now, command = self.world.clock.now, living_command(process)
        is_over = command is None or process.termed or process.is_stopping
        # A caretaker changes no files, and the core after it begins anew.
        is_over |= isinstance(process.core, Caretaker)
        if is_over or isinstance(event, events.Started) or stops(process, todo):
            self._due.pop(process, None)
            return
        assert command is not None, "it is not over"
        if isinstance(event, events.StepFinished) and event.step is Step.RELOAD:
            self._due.pop(process, None)
            if not event.outcome.passed:
                self._due[process] = now + process.policy.session_timeout_s + SLACK_S
        if isinstance(event, events.FilesFailed) and process in self._due:
            self._due[process] = now + 12.0 + process.policy.session_timeout_s
        is_same = not changed_files(command.files, process.host.files)
        if is_same or installs(todo):
            self._due.pop(process, None)
        if now > self._due.get(process, now) and process.late_s <= SLACK_S:
            raise Violation(f"{process.name} has files on disk that its command refused")


class EndsGently(Checker):
    """After TERM the command is drained at most once, and gets its TERM in time."""

    def __init__(self, world: "World") -> None:
        """Begin before any end."""
        super().__init__(world)
        self._drains: dict[Process, int] = {}
        self._due: dict[Process, float] = {}
        self._terms: dict[Process, None] = {}
        """The processes that have received a TERM while a command ran."""

    def decided(self, process: Process, event: Event, todo: Sequence[Action]) -> None:
        """Follow what happens between TERM and the stop."""
        limit_s = process.policy.step_limits.get(Step.PRE_STOP)
        if limit_s is None or not process.termed:
            return
        now, command = self.world.clock.now, living_command(process)
        is_term = isinstance(event, events.SignalReceived) and event.signal == SIGTERM
        if is_term and command is not None:
            first = now + limit_s + SLACK_S
            is_second = process in self._terms
            self._terms[process] = None
            self._due[process] = min(now + SLACK_S, first) if is_second else first
        for action in todo:
            if isinstance(action, actions.RunStep) and action.event == "end":
                self._drains[process] = self._drains.get(process, 0) + 1
                if self._drains[process] > 1:
                    raise Violation(f"{process.name} drains its command twice at the end")
        if command is None or any(isinstance(a, actions.SignalProcessTree) for a in todo):
            self._due[process] = float("inf")
        is_slow = isinstance(event, events.FilesStaged | events.FilesFailed)
        if now > self._due.get(process, now) and not is_slow and process.late_s <= SLACK_S:
            raise Violation(f"{process.name} does not end its command")


class QuotesThePresentCommand(Checker):
    """A reason contains no line that was written before the start or the reload of the command."""

    def decided(self, process: Process, event: Event, todo: Sequence[Action]) -> None:
        """Compare the line in the reason of a failure with what the command writes."""
        del event
        for action in todo:
            if isinstance(action, actions.Note) and action.topic == "restart-failed":
                _, is_quoted, line = str(action.fields["reason"]).partition("wrote last: ")
                if is_quoted and line != f'"{process.written.last_line}"':
                    raise Violation(f"{process.name} quotes an earlier command: {line}")


CHANGE_CHECKERS: tuple[type[Checker], ...] = (
    AppliesOnlyWhatPassed, RunsStepsOneAtATime, LimitsSteps, AppliesByTheStrongestAction,
    AppliesWithinTheLease, TriesNoFailedVersion, FailsByCheck, LeavesNothingDrained,
    SucceedsOnlyWarm,
    OutlivesTheReload, RunsWhatIsOnDisk, EndsGently, QuotesThePresentCommand,
)  # fmt: skip
