"""The promises about the steps of a change: check, pre-stop, reload and post-healthy.

Each class is one promise, as in `checkers`.
"""

from collections.abc import Iterator

from simulation.bystander import SIGKILL, SIGTERM, Bystander, CoreLost, HandledEvent, Violation
from simulation.checkers import Checker
from simulation.step_commands import strongest_action
from zkexec.core import actions, events
from zkexec.core.actions import Action
from zkexec.core.phases import Phase
from zkexec.core.policy import ChangeAction
from zkexec.core.snapshot import Snapshot, plan
from zkexec.core.step import Step

SLACK_S = 4.0
"""How late zkexec may be: a slow disk, or a process that sleeps for a while."""
RETRY_S = 10.0


def stops_for_change(moment: HandledEvent, bystander: Bystander) -> Iterator[Action]:
    """Yield each stop of the command that is neither its end, nor passed on, nor repeated."""
    for action in moment.actions:
        is_stop = isinstance(action, actions.SignalProcessTree) and action.signal != SIGKILL
        if is_stop and not bystander.termed and bystander.stopping_since is None:
            yield action


def changed_files(before: Snapshot, after: Snapshot) -> list[str]:
    """Return the paths whose content differs."""
    paths = sorted(before.files.keys() | after.files.keys())
    return [path for path in paths if before.files.get(path) != after.files.get(path)]


class AppliesOnlyWhatPassed:
    """Nothing is stopped and nothing installed for files whose last check did not pass."""

    def __init__(self) -> None:
        """Begin without any check."""
        self._examined: dict[int, Snapshot] = {}
        self._killed = False
        self._last: list[tuple[Snapshot, bool]] = []

    def see(self, moment: HandledEvent, bystander: Bystander) -> None:
        """Note the results of checks, and examine each stop and each installation."""
        event = moment.event
        if isinstance(event, CoreLost):
            self._examined.clear()
        if isinstance(event, events.StepFinished) and event.number in self._examined:
            snapshot = self._examined.pop(event.number)
            self._last = [known for known in self._last if known[0].files != snapshot.files]
            # What has passed just before it was killed has not passed in time.
            self._last.append((snapshot, event.outcome.passed and not self._killed))
        if bystander.policy.runs(Step.CHECK):
            self._judge(moment, bystander)
        for action in moment.actions:
            self._killed = self._killed or action == actions.KillStep(Step.CHECK)
            if isinstance(action, actions.RunStep) and action.step is Step.CHECK:
                if action.snapshot is None:
                    raise Violation("a check of nothing")
                self._killed = False
                self._examined[action.number] = action.snapshot

    def _judge(self, moment: HandledEvent, bystander: Bystander) -> None:
        staged, installed = bystander.host.staged, bystander.host.files
        installs = any(isinstance(action, actions.InstallFiles) for action in moment.actions)
        stops = any(stops_for_change(moment, bystander))
        if not (installs or stops) or staged is None or not changed_files(installed, staged):
            return
        is_old = bystander.reloads.failed and staged.files == bystander.reloads.replaced.files
        passed = [result for snapshot, result in self._last if snapshot.files == staged.files]
        if passed != [True] and not is_old:
            what = "a stop" if stops else "an installation"
            raise Violation(f"{what} for files that {'failed' if passed else 'had no check'}")


class RunsStepsOneAtATime:
    """The command of a step never runs twice at once, and is killed only while it runs."""

    def __init__(self) -> None:
        """Begin without any."""
        self._running: dict[Step, int] = {}

    def see(self, moment: HandledEvent, _: Bystander) -> None:
        """Follow the starts and the ends of steps."""
        event = moment.event
        if isinstance(event, CoreLost):
            self._running.clear()
        if isinstance(event, events.StepFinished) and self._running.get(event.step) == event.number:
            del self._running[event.step]
        for action in moment.actions:
            match action:
                case actions.RunStep(step=step, number=number):
                    if step in self._running:
                        raise Violation(f"{step.value} was started while it runs")
                    self._running[step] = number
                case actions.KillStep(step) if step not in self._running:
                    raise Violation(f"{step.value} was killed, and does not run")


class TouchesOnlyACommand:
    """Only a running command gets a signal to reload, a pre-stop, a reload or a post-healthy."""

    def see(self, moment: HandledEvent, bystander: Bystander) -> None:
        """Check each step that needs a command, and which event a pre-stop gets."""
        for action in moment.actions:
            if isinstance(action, actions.SignalCommand) and not bystander.generation:
                raise Violation("a signal to a command that does not run")
            if not isinstance(action, actions.RunStep) or action.step is Step.CHECK:
                continue
            if not bystander.generation:
                raise Violation(f"{action.step.value} without a command")
            if action.step is Step.PRE_STOP:
                wanted = "end" if bystander.termed else "restart"
                if action.event != wanted:
                    raise Violation(f"a pre-stop for {action.event!r}, and not for {wanted}")
            stopping = bystander.stopping_since is not None
            if stopping:
                raise Violation(f"{action.step.value} while the command is being stopped")


class AppliesByTheStrongestAction:
    """A change for which a reload is enough stops nothing, and each other one restarts.

    The change after a reload that made the command unhealthy restarts in any case.
    """

    def __init__(self) -> None:
        """Begin with a healthy command."""
        self._sick_since: float | None = None
        """Since when a health check has failed, of a command that was reloaded before."""
        self._is_adopted = False
        """Whether a fresh core has adopted the command, and does not know of a reload before."""
        self._was_unhealthy = False
        self._staged_at = 0.0

    def see(self, moment: HandledEvent, bystander: Bystander) -> None:
        """Follow the health of the command, and judge each stop and each reload."""
        if isinstance(moment.event, events.CommandStarted | CoreLost):
            self._sick_since = None
            self._is_adopted = self._was_unhealthy = isinstance(moment.event, CoreLost)
        if any(isinstance(action, actions.StageFiles) for action in moment.actions):
            self._staged_at = moment.now
        self._judge(moment, bystander)
        notes = {action.topic for action in moment.actions if isinstance(action, actions.Note)}
        if bystander.check_counts and bystander.check_passed:
            self._sick_since = None
        elif bystander.check_counts and "health-check-failed" in notes:
            self._was_unhealthy = True
            is_reloaded = bystander.reloads.at > bystander.started_at and not self._is_adopted
            if is_reloaded and self._sick_since is None:
                self._sick_since = moment.now

    def _judge(self, moment: HandledEvent, bystander: Bystander) -> None:
        staged, installed = bystander.host.staged, bystander.host.files
        if staged is None or not bystander.generation:
            return
        changed = changed_files(installed, staged)
        action = strongest_action(bystander.policy, changed)
        restarts = action is ChangeAction.RESTART or staged.restart != installed.restart
        restarts |= bool(plan(installed, staged).variables)
        stops = any(stops_for_change(moment, bystander))
        installs = any(isinstance(todo, actions.InstallFiles) for todo in moment.actions)
        if stops and not restarts and not self._was_unhealthy:
            raise Violation(f"a stop for a change that is applied by {action.value}")
        is_running = bystander.stopping_since is None and not bystander.over
        if not (installs and is_running and changed) or bystander.reloads.failed:
            return
        if restarts:
            raise Violation("files that need a restart were installed beside the running command")
        if self._sick_since is not None and self._sick_since < self._staged_at:
            raise Violation("another reload of a command that the last one made unhealthy")


class RunsWhatIsOnDisk:
    """After a refused reload the old files are back soon, unless the disk fails.

    zkexec cannot know whether a signal was ignored, so only `--reload` is judged.
    """

    def __init__(self) -> None:
        """Begin without a reload."""
        self._due: float | None = None

    def see(self, moment: HandledEvent, bystander: Bystander) -> None:
        """Begin with a refused reload, and end with what the command runs."""
        event, tree = moment.event, bystander.host.tree
        is_refused = isinstance(event, events.StepFinished) and event.step is Step.RELOAD
        is_over = bystander.over or bystander.termed or isinstance(event, CoreLost)
        is_over = is_over or bystander.stopping_since is not None or tree is None
        if is_over or (tree is not None and tree.loaded.files == bystander.host.files.files):
            self._due = None
            return
        if is_refused and bystander.reloads.failed:
            self._due = moment.now + SLACK_S
        if isinstance(event, events.FilesFailed) and self._due is not None:
            self._due = moment.now + RETRY_S + SLACK_S
        if self._due is not None and moment.now > self._due:
            raise Violation("the files on disk are not what the command runs")


class LeavesNothingDrained:
    """A command whose pre-stop began is soon stopped, or its post-healthy command runs.

    A post-healthy command that fails runs again after a second.
    """

    AGAIN_S = 1.0

    def __init__(self) -> None:
        """Begin with a command in traffic."""
        self._due: float | None = None
        self._runs: dict[Step, int] = {}

    def see(self, moment: HandledEvent, bystander: Bystander) -> None:
        """Follow the steps of a drained command."""
        event, policy = moment.event, bystander.policy
        if isinstance(event, CoreLost):
            self._runs.clear()
            self._due = None if self._due is None else self._due + 60.0
        if isinstance(event, events.StepFinished) and self._runs.get(event.step) == event.number:
            self._see_end(event, moment.now)
        for action in moment.actions:
            if isinstance(action, actions.RunStep):
                self._runs[action.step] = action.number
                if action.step is Step.PRE_STOP:
                    self._due = moment.now + policy.step_limits[Step.PRE_STOP] + SLACK_S
                elif action.step is Step.POST_HEALTHY and self._due is not None:
                    self._due = moment.now + policy.step_limits[Step.POST_HEALTHY] + SLACK_S
        is_stopped = bystander.stopping_since is not None or not bystander.generation
        if is_stopped or bystander.termed or any(stops_for_change(moment, bystander)):
            self._due = None
        if not policy.runs(Step.POST_HEALTHY):
            return
        if self._due is not None and moment.now > self._due:
            raise Violation("the command is left drained")

    def _see_end(self, event: events.StepFinished, now: float) -> None:
        if self._due is None:
            return
        if event.step is Step.POST_HEALTHY and event.outcome.passed:
            self._due = None
        elif event.step is Step.POST_HEALTHY:
            # It may have been killed for another pre-stop, which has its own time.
            self._due = max(self._due, now + self.AGAIN_S + SLACK_S)
        elif event.step is Step.PRE_STOP:
            self._due = now + SLACK_S


class WarmsOnlyTheHealthy:
    """A started command gets its post-healthy command when it is healthy, and not before."""

    ALIVE_S = 1.0

    def __init__(self) -> None:
        """Begin without a command."""
        self._is_healthy = False
        self._is_drained = False

    def see(self, moment: HandledEvent, bystander: Bystander) -> None:
        """Note health and drains, and check each post-healthy command."""
        policy = bystander.policy
        if isinstance(moment.event, events.CommandStarted):
            self._is_healthy = self._is_drained = False
        if isinstance(moment.event, CoreLost):
            # A fresh core may warm what it has adopted.
            self._is_drained = True
        if bystander.check_counts and bystander.check_passed:
            # Further attempts follow each other, whatever the health checks find meanwhile.
            self._is_healthy = True
        if not policy.checks_health:
            lived = self.ALIVE_S if policy.min_healthy_s is None else policy.min_healthy_s
            self._is_healthy = moment.now >= bystander.started_at + lived - 1e-6
        for action in moment.actions:
            if not isinstance(action, actions.RunStep):
                continue
            self._is_drained = self._is_drained or action.step is Step.PRE_STOP
            if action.step is Step.POST_HEALTHY and not (self._is_healthy or self._is_drained):
                raise Violation("a post-healthy command before the command is healthy")


class LimitsSteps:
    """The command of a step is killed at its limit, and not long after."""

    def __init__(self) -> None:
        """Begin without any."""
        self._since: dict[Step, float] = {}
        self._late: dict[Step, float] = {}

    def see(self, moment: HandledEvent, bystander: Bystander) -> None:
        """Compare the steps that run with their limits."""
        if isinstance(moment.event, CoreLost):
            self._since.clear()
        if isinstance(moment.event, events.StepFinished):
            self._since.pop(moment.event.step, None)
        for action in moment.actions:
            match action:
                case actions.RunStep(step=step):
                    self._since[step] = moment.now
                case actions.KillStep(step):
                    self._since.pop(step, None)
        for step, since in self._since.items():
            if moment.phase is Phase.DONE:
                continue
            if moment.now > since + bystander.policy.step_limits[step] + SLACK_S:
                raise Violation(f"{step.value} runs past its limit")


class EndsGently:
    """After TERM the command is drained at most once, and gets its TERM in any case.

    A second TERM cuts the pre-stop command short.
    """

    def __init__(self) -> None:
        """Begin before the end."""
        self._due: float | None = None
        self._terms = 0
        self._drains = 0
        self._is_draining = False

    def see(self, moment: HandledEvent, bystander: Bystander) -> None:
        """Follow what happens between TERM and the stop."""
        event, limits = moment.event, bystander.policy.step_limits
        if not limits.get(Step.PRE_STOP):
            return
        if isinstance(event, events.StepFinished) and event.step is Step.PRE_STOP:
            self._is_draining = False
        if isinstance(event, events.SignalReceived) and event.signal == SIGTERM:
            self._terms += 1
            if self._terms == 1 and bystander.generation and bystander.stopping_since is None:
                self._due = moment.now + limits[Step.PRE_STOP] + SLACK_S
            elif self._terms > 1 and self._due is not None:
                self._due = moment.now + SLACK_S
                self._judge_cut(moment)
        self._follow(moment)
        if not bystander.generation or moment.phase is Phase.DONE:
            self._due = None
        if self._due is not None and moment.now > self._due:
            raise Violation("the command did not get its TERM")

    def _follow(self, moment: HandledEvent) -> None:
        for action in moment.actions:
            match action:
                case actions.SignalProcessTree(signal) if signal == SIGTERM:
                    self._due = None
                case actions.KillStep(Step.PRE_STOP):
                    self._is_draining = False
                case actions.RunStep(step=Step.PRE_STOP, event="end"):
                    self._is_draining = True
                    self._drains += 1
                    if self._drains > 1:
                        raise Violation("a second pre-stop at the end")

    def _judge_cut(self, moment: HandledEvent) -> None:
        cuts = any(isinstance(action, actions.KillStep) for action in moment.actions)
        stops = any(isinstance(action, actions.SignalProcessTree) for action in moment.actions)
        if self._is_draining and not (cuts or stops):
            raise Violation("a second TERM does not cut the pre-stop short")


def step_checkers() -> list[Checker]:
    """One of each kind."""
    return [
        AppliesOnlyWhatPassed(), RunsStepsOneAtATime(), TouchesOnlyACommand(),
        AppliesByTheStrongestAction(), RunsWhatIsOnDisk(), LeavesNothingDrained(),
        WarmsOnlyTheHealthy(), LimitsSteps(), EndsGently(),
    ]  # fmt: skip
