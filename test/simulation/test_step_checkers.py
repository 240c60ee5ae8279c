"""The checkers of steps notice what they are for, in a few events that are made by hand."""

from random import Random

import pytest

from simulation.bystander import Bystander, HandledEvent, Violation
from simulation.checkers import Checker, StartsNothingAtTheEnd
from simulation.step_checkers import (
    AppliesByTheStrongestAction,
    AppliesOnlyWhatPassed,
    EndsGently,
    LeavesNothingDrained,
    LimitsSteps,
    RunsStepsOneAtATime,
    RunsWhatIsOnDisk,
    TouchesOnlyACommand,
    WarmsOnlyTheHealthy,
)
from simulation.world import World
from zkexec.core.actions import (
    Action,
    InstallFiles,
    KillStep,
    Note,
    RunHealthCheck,
    RunStep,
    SignalCommand,
    SignalProcessTree,
    StageFiles,
)
from zkexec.core.events import (
    CommandExited,
    CommandStarted,
    Event,
    ExitStatus,
    FilesInstalled,
    FilesStaged,
    HealthCheckFinished,
    SignalReceived,
    StepFinished,
    Tick,
)
from zkexec.core.input_options import InputOptions, Mirror
from zkexec.core.phases import Phase
from zkexec.core.policy import ActionRule, ChangeAction, Policy
from zkexec.core.snapshot import Snapshot
from zkexec.core.step import STEP_COMMANDS, Step, StepOutcome

OLD, NEW = Snapshot({"/f": b"old"}), Snapshot({"/f": b"new"})
PASSED, FAILED = StepOutcome(True), StepOutcome(False, "exit status 1")
STOP = SignalProcessTree(15)
RELOADS = (ActionRule("", ChangeAction.RELOAD),)


class Course:
    """What a checker observes: a command that runs on the old files, and events made by hand."""

    def __init__(self, checker: Checker, rules: tuple[ActionRule, ...] = ()) -> None:
        """Start the command."""
        limits = dict.fromkeys(STEP_COMMANDS, 2.0)
        mirrors = (Mirror("/f", "/z"),)
        policy = Policy(
            inputs=InputOptions(mirrors=mirrors),
            checks_health=True,
            on_change=rules,
            step_limits=limits,
        )
        world = World(policy, Random(1))
        self.host = world.host
        self.host.faults = False
        self.host.files = OLD
        self.host.start_command(1, {})
        self._bystander = Bystander(policy, world.ensemble, world.host)
        self._checker = checker
        self.at(0, CommandStarted(1, 101))

    def at(self, now: float, event: Event, *actions: Action) -> None:
        """Let the checker see an event and what is done about it."""
        moment = HandledEvent(now, event, actions, Phase.WAITING, None, False)
        self._bystander.see_event(moment)
        self._checker.see(moment, self._bystander)
        self._bystander.see_actions(moment)

    def stage(self, snapshot: Snapshot = NEW) -> None:
        """Have the new files staged, at 1 s."""
        self.at(1, Tick(), StageFiles(snapshot))
        self.host.stage(snapshot)

    def install(self, now: float) -> None:
        """Install the staged files beside the running command."""
        self.host.install()
        self.at(now, FilesInstalled(("/f",)))


def test_a_stop_needs_a_check_that_has_passed() -> None:
    """A stop without a check, or after one that failed, is noticed; after one that passed not."""
    course = Course(AppliesOnlyWhatPassed())
    course.stage()
    check = RunStep(step=Step.CHECK, number=1, snapshot=NEW)
    with pytest.raises(Violation, match="a stop for files that had no check"):
        course.at(2, FilesStaged(), STOP)
    course.at(2, FilesStaged(), check)
    course.at(3, StepFinished(Step.CHECK, 1, PASSED), RunStep(step=Step.PRE_STOP, number=2))
    course.at(4, Tick(), RunStep(step=Step.CHECK, number=3, snapshot=NEW))
    with pytest.raises(Violation, match="a stop for files that failed"):
        course.at(5, StepFinished(Step.CHECK, 3, FAILED), STOP)


def test_an_installation_needs_a_check_that_has_passed() -> None:
    """Files of which another version was checked are not installed; what a check passed is."""
    course = Course(AppliesOnlyWhatPassed())
    course.stage()
    course.at(2, FilesStaged(), RunStep(step=Step.CHECK, number=1, snapshot=OLD))
    with pytest.raises(Violation, match="an installation for files that had no check"):
        course.at(3, StepFinished(Step.CHECK, 1, PASSED), InstallFiles())
    course.at(3, FilesStaged(), RunStep(step=Step.CHECK, number=2, snapshot=NEW))
    course.at(4, StepFinished(Step.CHECK, 2, PASSED), InstallFiles())


def test_the_old_files_are_put_back_without_a_check() -> None:
    """After a refused reload, the files before it may be installed as they are."""
    course = Course(AppliesOnlyWhatPassed(), RELOADS)
    course.stage()
    course.at(2, FilesStaged(), RunStep(step=Step.CHECK, number=1, snapshot=NEW))
    course.at(3, StepFinished(Step.CHECK, 1, PASSED), InstallFiles())
    course.install(3)
    course.at(3, Tick(), RunStep(step=Step.RELOAD, number=2))
    course.host.stage(OLD)
    with pytest.raises(Violation):
        course.at(4, Tick(), InstallFiles())
    course.at(4, StepFinished(Step.RELOAD, 2, FAILED), InstallFiles())


def test_a_step_runs_once_at_a_time() -> None:
    """A second start before the end of the first is noticed, and a kill of nothing."""
    course = Course(RunsStepsOneAtATime())
    first, second = (RunStep(step=Step.POST_HEALTHY, number=number) for number in (1, 2))
    with pytest.raises(Violation, match="does not run"):
        course.at(1, Tick(), KillStep(Step.POST_HEALTHY))
    course.at(1, Tick(), first, RunStep(step=Step.CHECK, number=7, snapshot=NEW))
    course.at(2, Tick(), KillStep(Step.POST_HEALTHY))
    with pytest.raises(Violation, match="while it runs"):
        course.at(2, Tick(), second)
    course.at(3, StepFinished(Step.POST_HEALTHY, 1, FAILED), second)


def test_only_a_command_is_drained_or_reloaded() -> None:
    """Without a running command neither a signal nor a hook is right."""
    course = Course(TouchesOnlyACommand())
    course.at(1, Tick(), SignalCommand(1), RunStep(step=Step.PRE_STOP, number=1, event="restart"))
    with pytest.raises(Violation, match="a pre-stop for ''"):
        course.at(2, Tick(), RunStep(step=Step.PRE_STOP, number=2))
    course.at(3, CommandExited(1, ExitStatus(code=1)))
    for action in (SignalCommand(1), RunStep(step=Step.POST_HEALTHY, number=3)):
        with pytest.raises(Violation):
            course.at(4, Tick(), action)


def test_a_reload_is_no_stop() -> None:
    """A stop for a change that is only to be reloaded is noticed."""
    course = Course(AppliesByTheStrongestAction(), RELOADS)
    course.stage()
    course.at(2, FilesStaged(), InstallFiles())
    with pytest.raises(Violation, match="applied by reload"):
        course.at(2, FilesStaged(), STOP)


def test_a_restart_is_no_reload() -> None:
    """Files that need a restart are not installed beside the running command."""
    course = Course(AppliesByTheStrongestAction())
    course.stage()
    course.at(2, FilesStaged(), STOP)
    course = Course(AppliesByTheStrongestAction())
    course.stage()
    with pytest.raises(Violation, match="beside the running command"):
        course.at(2, FilesStaged(), InstallFiles())


def test_a_command_that_a_reload_made_sick_is_restarted() -> None:
    """The change after a reload that made the command unhealthy is no other reload."""
    course = Course(AppliesByTheStrongestAction(), RELOADS)
    course.stage()
    course.at(2, FilesStaged(), InstallFiles())
    course.install(2)
    course.at(2, Tick(), SignalCommand(1), RunHealthCheck(1))
    course.at(2.5, HealthCheckFinished(1, False, "exit status 1"), Note("health-check-failed"))
    course.at(3, Tick(), StageFiles(OLD))
    course.host.stage(OLD)
    with pytest.raises(Violation, match="made unhealthy"):
        course.at(4, FilesStaged(), InstallFiles())
    course.at(4, FilesStaged(), STOP)


def test_after_a_refused_reload_the_old_files_come_back() -> None:
    """New files that stay on the disk after their reload was refused are noticed."""
    course = Course(RunsWhatIsOnDisk(), RELOADS)
    course.stage()
    course.install(2)
    course.at(2, Tick(), RunStep(step=Step.RELOAD, number=1))
    course.at(3, StepFinished(Step.RELOAD, 1, FAILED))
    course.at(5, Tick())
    with pytest.raises(Violation, match="not what the command runs"):
        course.at(9, Tick())
    course.host.stage(OLD)
    course.install(9.5)
    course.at(60, Tick())


def test_a_drained_command_is_warmed_or_stopped() -> None:
    """A drained command for which nothing happens is noticed, also after a failed drain."""
    drain = RunStep(step=Step.PRE_STOP, number=1, event="restart")
    warm = RunStep(step=Step.POST_HEALTHY, number=2)
    course = Course(LeavesNothingDrained())
    course.at(1, Tick(), drain)
    course.at(2, StepFinished(Step.PRE_STOP, 1, FAILED), warm)
    course.at(3, StepFinished(Step.POST_HEALTHY, 2, PASSED))
    course.at(60, Tick(), drain)
    course.at(61, StepFinished(Step.PRE_STOP, 1, PASSED), STOP)
    course.at(90, CommandStarted(2, 102))
    course.at(100, Tick(), drain)
    course.at(101, StepFinished(Step.PRE_STOP, 1, FAILED))
    with pytest.raises(Violation, match="left drained"):
        course.at(120, Tick())


def test_a_command_is_warmed_once_it_is_healthy() -> None:
    """A post-healthy command before the first health check has passed is noticed."""
    warm = RunStep(step=Step.POST_HEALTHY, number=1)
    course = Course(WarmsOnlyTheHealthy())
    with pytest.raises(Violation, match="before the command is healthy"):
        course.at(1, Tick(), warm)
    course.at(31, Tick(), RunHealthCheck(1))
    course.at(32, HealthCheckFinished(1, True, ""), warm)


def test_a_step_has_a_limit() -> None:
    """A step that is not killed at its limit is noticed."""
    course = Course(LimitsSteps())
    course.at(1, Tick(), RunStep(step=Step.CHECK, number=1, snapshot=NEW))
    course.at(3, Tick(), KillStep(Step.CHECK))
    course.at(30, StepFinished(Step.CHECK, 1, FAILED))
    course.at(31, Tick(), RunStep(step=Step.CHECK, number=2, snapshot=NEW))
    with pytest.raises(Violation, match="past its limit"):
        course.at(60, Tick())


def test_at_the_end_a_command_is_drained_once_and_stopped() -> None:
    """A second drain, a TERM that never comes, and a second TERM without effect are noticed."""
    term = SignalReceived(15, from_terminal=False)
    first, second = (RunStep(step=Step.PRE_STOP, number=n, event="end") for n in (1, 2))
    course = Course(EndsGently())
    course.at(1, term, first)
    with pytest.raises(Violation, match="a second pre-stop"):
        course.at(2, StepFinished(Step.PRE_STOP, 1, FAILED), second)
    course = Course(EndsGently())
    course.at(1, term, first)
    with pytest.raises(Violation, match="did not get its TERM"):
        course.at(20, StepFinished(Step.PRE_STOP, 1, FAILED))
    course = Course(EndsGently())
    course.at(1, term, first)
    with pytest.raises(Violation, match="cut the pre-stop short"):
        course.at(2, term)
    course.at(3, StepFinished(Step.PRE_STOP, 1, FAILED), STOP)
    course.at(40, Tick())


def test_at_the_end_no_step_begins_but_the_drain() -> None:
    """After TERM a check is noticed, and the pre-stop of the end is not."""
    course = Course(StartsNothingAtTheEnd())
    course.at(1, SignalReceived(15, False), RunStep(step=Step.PRE_STOP, number=1, event="end"))
    with pytest.raises(Violation, match="RunStep after the end has begun"):
        course.at(2, Tick(), RunStep(step=Step.CHECK, number=2, snapshot=NEW))
