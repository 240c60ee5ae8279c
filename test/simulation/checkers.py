"""The promises about files, the command, its health checks and the end; one small class each.

A checker gets each event together with the actions that answered it, before these are carried out.
It uses the bystander's view (`Bystander`) and the model world, and never the core.
"""

from collections.abc import Mapping
from typing import Protocol

from simulation.bystander import SIGKILL, SIGTERM, Bystander, CoreLost, HandledEvent, Violation
from zkexec.core import actions, events
from zkexec.core.actions import Action
from zkexec.core.events import ExitStatus
from zkexec.core.phases import Phase
from zkexec.core.policy import Notify
from zkexec.core.snapshot import Problem, Snapshot, plan
from zkexec.core.step import Step

UNNEEDED_WAIT_S = 0.5
LONGEST_DELAY_S = 10.0
ENDING = (1, 2, 3, SIGTERM)
"""The signals that end zkexec if there is no command."""

ANSWERED = (
    actions.StageFiles, actions.InstallFiles, actions.StartCommand, actions.InspectProcessTree,
    actions.LoadCachedFiles,
)  # fmt: skip
"""The actions that an event answers at once."""


class Checker(Protocol):
    """One promise."""

    def see(self, moment: HandledEvent, bystander: Bystander) -> None:
        """Raise Violation if the promise is broken."""


STEPS_BEFORE_A_STOP = (Step.CHECK, Step.PRE_STOP)


def may_stop_after(event: events.Event) -> bool:
    """Whether a stop may follow from this event: the last step before it is over."""
    if isinstance(event, events.StepFinished):
        return event.step in STEPS_BEFORE_A_STOP and event.outcome.passed
    return isinstance(event, events.FilesStaged)


def is_end_after_pre_stop(bystander: Bystander, action: Action) -> bool:
    """Whether this is the TERM that comes at the end of zkexec once the command is drained."""
    is_term = isinstance(action, actions.SignalProcessTree) and action.signal == SIGTERM
    return is_term and bystander.termed and bystander.policy.runs(Step.PRE_STOP)


def is_passed_on(moment: HandledEvent, action: Action) -> bool:
    """Whether this is a TERM on its way from zkexec to the whole process tree."""
    return (
        isinstance(action, actions.SignalProcessTree)
        and isinstance(moment.event, events.SignalReceived)
        and action.signal == moment.event.signal == SIGTERM
    )


class StopsOnlyForChange:
    """A command is stopped only if the staged files differ from the installed ones."""

    def see(self, moment: HandledEvent, bystander: Bystander) -> None:
        """Check each signal to the process tree."""
        since = bystander.stopping_since
        for action in moment.actions:
            if not isinstance(action, actions.SignalProcessTree):
                continue
            if action.signal == SIGKILL:
                if since is None or moment.now < since + bystander.policy.kill_timeout_s:
                    raise Violation("killed before the kill timeout")
                continue
            if is_passed_on(moment, action) or is_end_after_pre_stop(bystander, action):
                since = moment.now if since is None else since
                continue
            if since is not None:
                raise Violation("a command was stopped a second time")
            self._judge_stop(moment, bystander)
            since = moment.now

    def _judge_stop(self, moment: HandledEvent, bystander: Bystander) -> None:
        staged = bystander.host.staged
        if not may_stop_after(moment.event) and not bystander.drains.has_left:
            raise Violation(f"a stop on {type(moment.event).__name__}")
        if staged is None or not plan(bystander.host.files, staged):
            raise Violation("a stop without a difference")


class StagesWhatIsWanted:
    """The staged files are those of the last read.

    So no command is stopped for what it runs either, as the staged files differ from that.
    """

    def see(self, moment: HandledEvent, bystander: Bystander) -> None:
        """Compare staged files with the last read, if it was complete."""
        for action in moment.actions:
            if not isinstance(action, actions.StageFiles) or bystander.wanted is None:
                continue
            tree = bystander.host.tree
            old = (bystander.reloads.replaced.files, None if tree is None else tree.loaded.files)
            is_old = action.snapshot.files in old
            if bystander.reloads.failed and is_old:
                continue
            if dict(action.snapshot.files) != bystander.wanted:
                raise Violation("the staged files are not wanted any more")


class InstallsHistory:
    """The installed files are one state of the ensemble, and never an older one than before.

    If a znode had no content in a state, nothing of this state is ever installed.  One that may not
    be read still has content, which can have been read just before.
    """

    def __init__(self) -> None:
        """Begin before the first state."""
        self._state = 0
        self._before = Snapshot({})

    def see(self, moment: HandledEvent, bystander: Bystander) -> None:
        """Search for the earliest state that the installed files can come from."""
        if isinstance(moment.event, events.CachedFilesFound):
            self._before = moment.event.snapshot
        if not isinstance(moment.event, events.FilesInstalled):
            return
        history, files = bystander.ensemble.history, bystander.host.files
        if bystander.reloads.puts_back:
            self._state = 0
        for number in range(self._state, len(history)):
            if self._fits(files, number, bystander):
                self._state = number
                return
        raise Violation(f"{dict(files.files)} was never a state of the ensemble")

    def _fits(self, files: Snapshot, number: int, bystander: Bystander) -> bool:
        if files == self._before:
            return True
        history = bystander.ensemble.history[: number + 1]
        for mirror in bystander.policy.inputs.mirrors:
            content, znode = files.files[mirror.local_path], history[-1][mirror.zk_path]
            if znode.problem is Problem.FORBIDDEN:
                possible = {state[mirror.zk_path].content for state in history}
            elif znode.problem is None and (znode.content or bystander.policy.allow_empty):
                possible = {znode.content}
            else:
                return False
            if content not in possible:
                return False
        return True


class InstallsPresentContent:
    """Content that was read to be in no znode is not installed: it may only stay in its file.

    After a read of another history of the servers, contents of the one before are in no znode.
    """

    def __init__(self) -> None:
        """Begin without any read."""
        self._number = 0
        self._history: int | None = None
        self._gone: set[str] = set()
        self._files: Mapping[str, bytes] = {}

    def see(self, moment: HandledEvent, bystander: Bystander) -> None:
        """Note what was read, and check each file that has changed."""
        event = moment.event
        if isinstance(event, events.ZnodesRead) and event.number == self._number:
            self._history = bystander.ensemble.reads[event.number]
            allow_empty = bystander.policy.allow_empty
            self._gone = {
                path
                for path, znode in event.znodes.items()
                if znode.problem is not None or not (znode.content or allow_empty)
            }
        if isinstance(event, events.SessionSuspended | events.SessionLost):
            # An answer that comes later does not count.
            self._number = 0
        for action in moment.actions:
            if isinstance(action, actions.ReadZnodes | actions.OpenSession):
                self._number = action.number if isinstance(action, actions.ReadZnodes) else 0
        if isinstance(event, events.FilesInstalled) and not bystander.reloads.puts_back:
            self._judge(bystander)
        self._files = bystander.host.files.files

    def _judge(self, bystander: Bystander) -> None:
        if self._history is None:
            return
        present = bystander.ensemble.history[self._history :]
        for mirror in bystander.policy.inputs.mirrors:
            content = bystander.host.files.files[mirror.local_path]
            if content == self._files.get(mirror.local_path):
                continue
            is_there = any(state[mirror.zk_path].content == content for state in present)
            if mirror.zk_path in self._gone or not is_there:
                raise Violation(f"{content!r} was installed, and is in no znode")


class CommandRuns:
    """Once started, the command runs, unless it is being stopped or the end has begun."""

    def see(self, moment: HandledEvent, bystander: Bystander) -> None:
        """Check the host whenever no answer is on its way."""
        tree = bystander.host.tree
        if tree is None or moment.answers_due or bystander.over or bystander.termed:
            return
        if bystander.drains.has_left:
            # The change for which it was drained goes on, and starts it.
            return
        starts = any(
            isinstance(a, actions.StartCommand | actions.StageFiles | actions.InstallFiles)
            for a in moment.actions
        )
        if bystander.delayed:
            # This host may have a free process again soon.
            latest = moment.now + LONGEST_DELAY_S
            starts = starts or (moment.deadline is not None and moment.deadline <= latest)
            starts = starts or moment.phase in (Phase.EXITING, Phase.DONE)
        stops = bystander.stopping_since is not None and tree.remaining
        inspects = any(isinstance(action, actions.InspectProcessTree) for action in moment.actions)
        # If the process tree has just ended, the next inspection has to be due.
        inspects = inspects or (
            moment.deadline is not None and moment.deadline <= moment.now + 0.06
        )
        if bystander.generation != tree.generation and not (starts or stops or inspects):
            raise Violation("no command runs, and none is being started")


class RunningHasACommand:
    """In the phase running a command runs."""

    def see(self, moment: HandledEvent, bystander: Bystander) -> None:
        """Compare the phase with the command that is known to run."""
        if moment.phase is Phase.RUNNING and not bystander.generation:
            raise Violation("the phase is running, and nothing runs")


class AlwaysHasADeadline:
    """A phase that must not last has a deadline, or waits for an event that is certain.

    The phase running waits for a change or the end of the command, the phase loading for znodes or
    an answer, the phase failed for other content.
    """

    LASTING = (Phase.RUNNING, Phase.LOADING, Phase.FAILED, Phase.DONE)

    def __init__(self) -> None:
        """Begin without any step."""
        self._steps: set[int] = set()

    def see(self, moment: HandledEvent, bystander: Bystander) -> None:
        """Check the deadline of a phase that must not last."""
        if isinstance(moment.event, events.StepFinished):
            self._steps.discard(moment.event.number)
        steps = {action.number for action in moment.actions if isinstance(action, actions.RunStep)}
        self._steps |= steps
        if moment.phase in self.LASTING or moment.answers_due or moment.deadline is not None:
            return
        is_owed = bystander.stopping_since is not None or bystander.host.alerting or self._steps
        starts = any(isinstance(action, ANSWERED) for action in moment.actions)
        if not is_owed and not starts:
            raise Violation(f"{moment.phase.value} without a deadline")


class OneAtATime:
    """There are never two commands, two health checks, two alerts, or two unanswered stagings."""

    def __init__(self) -> None:
        """Begin without any staging."""
        self._staging = False

    def see(self, moment: HandledEvent, bystander: Bystander) -> None:
        """Check what is there when something is started."""
        host = bystander.host
        if isinstance(moment.event, events.FilesStaged | events.FilesFailed):
            self._staging = False
        for action in moment.actions:
            match action:
                case actions.StageFiles() if self._staging:
                    raise Violation("a staging before the last one was answered")
                case actions.StageFiles():
                    self._staging = True
                case actions.StartCommand() if host.tree is not None and host.tree.remaining:
                    raise Violation("a start before the old tree was gone")
                case actions.RunHealthCheck() if host.check is not None:
                    raise Violation("two checks at once")
                case actions.RunAlert() if host.alerting:
                    raise Violation("two alerts at once")


class ChecksTheRunningCommand:
    """A health check runs on the running command, after the delay, and only this counts."""

    def __init__(self) -> None:
        """Begin before the first healthy command, for which a service manager may wait."""
        self._is_start_awaited = True
        self._is_eager = False
        """Whether the present command was started while a service manager waited for it."""
        self._is_check_running = False

    def see(self, moment: HandledEvent, bystander: Bystander) -> None:
        """Check each health check that starts and each result that is logged."""
        self._see_start(moment, bystander)
        for action in moment.actions:
            match action:
                case actions.RunHealthCheck(generation):
                    self._is_check_running = True
                    if generation != bystander.generation or bystander.stopping_since is not None:
                        raise Violation(f"a check of generation {generation}, which is not there")
                    # Post-healthy waits for a healthy command, so checks begin at once.
                    comes_later = not (bystander.policy.runs(Step.POST_HEALTHY) or self._is_eager)
                    checks_from = bystander.started_at + bystander.policy.health_delay_s
                    if comes_later and moment.now < checks_from:
                        raise Violation("a check within the health delay")
                case actions.Note("health-check-passed" | "health-check-failed" as topic):
                    if not bystander.check_counts:
                        raise Violation("a result counted that is not about this command")
                    if bystander.check_passed != (topic == "health-check-passed"):
                        raise Violation("a result was turned into its opposite")
        if isinstance(moment.event, CoreLost):
            self._is_start_awaited = True
        elif bystander.check_counts and bystander.check_passed and not bystander.is_kept:
            self._is_start_awaited = False

    def _see_start(self, moment: HandledEvent, bystander: Bystander) -> None:
        if isinstance(moment.event, events.HealthCheckFinished | events.Started):
            self._is_check_running = False
        if not isinstance(moment.event, events.CommandStarted):
            return
        self._is_eager = self._is_start_awaited and bystander.policy.notify is Notify.ZKEXEC
        begins = any(isinstance(action, actions.RunHealthCheck) for action in moment.actions)
        # That of an earlier command may not have ended yet, and two never run at once.
        is_possible = bystander.policy.checks_health and not self._is_check_running
        if self._is_eager and is_possible and not begins:
            raise Violation("no check at once at the start")


class DeadlinesMoveOn:
    """Each deadline is in the future, and ticks without any effect are rare."""

    def __init__(self) -> None:
        """Begin without any tick."""
        self._idle_ticks = 0

    def see(self, moment: HandledEvent, bystander: Bystander) -> None:
        """Check the deadline after each event, and count ticks without effect."""
        deadline = None if moment.phase is Phase.DONE else moment.deadline
        # After a slow disk, what has happened meanwhile comes before what is due.
        is_late = isinstance(moment.event, events.FilesStaged | events.FilesFailed)
        is_awaited = bystander.policy.notify is Notify.ZKEXEC
        is_late = is_late and (bystander.policy.runs(Step.POST_HEALTHY) or is_awaited)
        # So does the answer to an action on files.
        last = moment.actions[-1] if moment.actions else None
        is_late |= isinstance(last, actions.StageFiles | actions.InstallFiles)
        if deadline is not None and deadline <= moment.now and not is_late:
            raise Violation(f"the deadline {deadline} is over at {moment.now}")
        idle = isinstance(moment.event, events.Tick) and not moment.actions
        self._idle_ticks = self._idle_ticks + 1 if idle else 0
        if self._idle_ticks > 2:
            raise Violation("ticks that nothing follows from")


class StartsNothingAtTheEnd:
    """After TERM nothing is started; after the end of the command nothing but alerts is."""

    STARTS = (
        actions.StartCommand, actions.RunHealthCheck, actions.StageFiles, actions.InstallFiles,
        actions.LoadCachedFiles, actions.SignalCommand,
    )  # fmt: skip

    def see(self, moment: HandledEvent, bystander: Bystander) -> None:
        """Check everything that is started."""
        for action in moment.actions:
            is_drain = isinstance(action, actions.RunStep) and action.event == "end"
            is_start = isinstance(action, (*self.STARTS, actions.RunStep)) and not is_drain
            if is_start and (bystander.termed or bystander.over):
                raise Violation(f"{type(action).__name__} after the end has begun")
            if isinstance(action, actions.RunAlert) and bystander.termed:
                raise Violation("an alert was started after TERM")


class PassesSignalsOn:
    """A signal is passed on once, and not at all if the terminal sent it."""

    def see(self, moment: HandledEvent, bystander: Bystander) -> None:
        """Count what is sent to the process group, or for a TERM to the process tree."""
        sent = [a.signal for a in moment.actions if isinstance(a, actions.SignalProcessGroup)]
        sent += [SIGTERM for action in moment.actions if is_passed_on(moment, action)]
        event = moment.event
        if not isinstance(event, events.SignalReceived):
            if sent:
                raise Violation("the group was signalled without being asked")
            return
        if bystander.generation:
            by_terminal = event.from_terminal and event.signal != 1
            if event.signal == SIGTERM and bystander.policy.runs(Step.PRE_STOP) and not sent:
                # It comes after the pre-stop command.
                return
            if sent.count(event.signal) != (0 if by_terminal else 1):
                raise Violation(f"signal {event.signal} was passed on as {sent}")


class StartsWithoutCluster:
    """A command that needs nothing of the cluster starts within half a second.

    It starts earlier if every server has refused.
    """

    def __init__(self) -> None:
        """Begin before the first event."""
        self._began_at: float | None = None

    def see(self, moment: HandledEvent, bystander: Bystander) -> None:
        """Check everything that happens before the first start."""
        if self._began_at is None:
            self._began_at = moment.now
        starts = any(isinstance(action, actions.StartCommand) for action in moment.actions)
        if bystander.policy.inputs.paths or moment.phase is not Phase.LOADING or starts:
            return
        if isinstance(moment.event, events.ConnectFailed) and moment.event.is_last:
            raise Violation("every server has refused, and the command waits")
        if moment.deadline is None or moment.deadline > self._began_at + UNNEEDED_WAIT_S:
            raise Violation("the command waits for a cluster that it does not need")


class EndsOnce:
    """zkexec ends once, in time, as the command ended, and leaves nothing behind."""

    def __init__(self) -> None:
        """Begin before the end."""
        self._ended = False
        self._due: float | None = None
        self._signal_alone: ExitStatus | None = None
        """The last signal that ends zkexec, as there is no command to pass it on to."""

    def see(self, moment: HandledEvent, bystander: Bystander) -> None:
        """Check the end, and how long it takes."""
        if self._ended:
            raise Violation("something happened after the end")
        is_alone = bystander.host.tree is None or bystander.delayed
        event = moment.event
        if isinstance(event, events.SignalReceived) and is_alone and event.signal in ENDING:
            self._signal_alone = ExitStatus(signal=event.signal)
        ends = [i for i, a in enumerate(moment.actions) if isinstance(a, actions.EndProcess)]
        if ends:
            self._ended = True
            if ends != [len(moment.actions) - 1] or moment.phase is not Phase.DONE:
                raise Violation("the end is not the last action")
            self._judge_ending(moment, bystander)
        self._judge_time(moment, bystander)

    def _judge_ending(self, moment: HandledEvent, bystander: Bystander) -> None:
        end = moment.actions[-1]
        assert isinstance(end, actions.EndProcess)
        tree = bystander.host.tree
        # A command that exited by itself may leave processes running.
        stopped = bystander.stopping_since is not None
        if tree is not None and (tree.alive or (stopped and tree.remaining)):
            raise Violation("the command outlives zkexec")
        if bystander.host.alerting:
            raise Violation("an alert outlives zkexec")
        if tree is None:
            allowed = [ExitStatus(code=125), ExitStatus(code=127), self._signal_alone]
        elif bystander.over and end.ending == ExitStatus(code=127):
            allowed = [ExitStatus(code=127)]
        else:
            allowed = [self._signal_alone if bystander.delayed else bystander.ending]
        if end.ending not in allowed:
            raise Violation(f"ended with {end.ending}, the command with {bystander.ending}")

    def _judge_time(self, moment: HandledEvent, bystander: Bystander) -> None:
        if self._due is None and (bystander.termed or bystander.over):
            # The time for the command, for two alerts, and some more.
            drain_s = bystander.policy.step_limits.get(Step.PRE_STOP, 0.0)
            self._due = moment.now + drain_s + 3 * bystander.policy.kill_timeout_s + 25
        if self._due is not None and moment.now > self._due and not self._ended:
            raise Violation("the end does not come")
