"""Mistakes that the core could make with the steps of a change, on purpose."""

from simulation.mutants import PROGRESS, Anything, Mutant, do_nothing
from zkexec.core import facts
from zkexec.core.actions import Action, KillStep, Note, RunStep
from zkexec.core.command_health import CommandHealth
from zkexec.core.events import StepFinished
from zkexec.core.facts import Found
from zkexec.core.health import HealthCheck
from zkexec.core.member import Member
from zkexec.core.phases import CurrentPhase
from zkexec.core.policy import ChangeAction, Policy
from zkexec.core.restart import Restart
from zkexec.core.snapshot import Snapshot
from zkexec.core.step import Step, StepOutcome
from zkexec.core.step_commands import StepCommands
from zkexec.core.step_results import StepResults
from zkexec.core.traffic import Place, Traffic

ENDLESS_S = 1e9

original_start = StepCommands.start
original_step = StepResults.step
original_joined = Traffic.joined


def pass_any_check(
    self: Anything, phase: CurrentPhase, step: Step, outcome: StepOutcome, now: float
) -> Found:  # fmt: skip
    """Take each result of a check for a success."""
    passed = StepOutcome(True) if step is Step.CHECK else outcome
    return original_step(self, phase, step, passed, now)


def count_any_end(self: Anything, event: StepFinished) -> StepOutcome | None:
    """Count how a command has ended, whether it was killed or not."""
    run = self._runs.get(event.step)
    if run is None or run.number != event.number:
        return None
    del self._runs[event.step]
    return event.outcome


def drop_at_once(self: Anything, *steps: Step) -> list[Action]:
    """Assume that what is killed is gone."""
    running = [step for step in steps if step in self._runs]
    for step in running:
        del self._runs[step]
    return [KillStep(step) for step in running]


def start_without_limit(
    self: Anything, step: Step, now: float, *, snapshot: Snapshot | None = None, event: str = ""
) -> list[Action]:
    """Wait for ever."""
    return original_start(self, step, now + ENDLESS_S, snapshot=snapshot, event=event)


def keep_refused_files(self: Anything, reason: str) -> facts.ReloadRefused:
    """Leave the files on the disk that the command has refused."""
    return facts.ReloadRefused(reason, self.installed, self.installed)


def rejoin_by_name(self: Anything, _: float) -> list[Action]:
    """Take a drained command for one in traffic."""
    self.ended()
    self._place = Place.IN
    return [Note("undrained")]


def join_once(self: Anything, outcome: StepOutcome, now: float) -> None:
    """Do not repeat a post-healthy that has failed."""
    original_joined(self, outcome, now)
    if not outcome.passed:
        self._join_at, self._place = None, Place.LEFT


def drain_anew(self: Anything) -> bool:
    """Forget that a TERM waits already."""
    if self.command.stopping:
        return False
    found: bool = self._traffic.needs_drain or self._steps.is_busy(Step.PRE_STOP)
    return found


def drain_what_is_stopped(self: Anything) -> bool:
    """Drain a command that is being stopped."""
    found: bool = self._term is None and self._policy.runs(Step.PRE_STOP)
    return found and not self._steps.is_busy(Step.PRE_STOP)


def check_at_the_end(self: Anything, now: float) -> list[Action]:
    """Run a hook once more when the command has got its TERM."""
    found: list[Action] = original_pass_on(self, now)
    again = [RunStep(step=Step.POST_HEALTHY, number=0)] if found else []
    return [*found, *again]


def count_what_is_killed(self: Anything) -> list[Action]:
    """Forget that the health check began before a reload."""
    killed = original_close(self)
    self._is_void = False
    return killed


original_close = HealthCheck.close
original_pass_on = getattr(Member, "_pass_on_term")  # noqa: B009 -- it is private


STEP_MUTANTS = (
    Mutant("files are not examined", Restart, "_needs_check", lambda *_: False,
           "AppliesOnlyWhatPassed"),
    Mutant("a refused check passes", StepResults, "step", pass_any_check, "AppliesOnlyWhatPassed"),
    Mutant("the result of a killed step counts", StepCommands, "finished", count_any_end,
           "AppliesOnlyWhatPassed"),
    Mutant("a step is started while it is killed", StepCommands, "drop", drop_at_once,
           "RunsStepsOneAtATime"),
    Mutant("a step has no limit", StepCommands, "start", start_without_limit, "LimitsSteps"),
    Mutant("a reload restarts", Member, "_must_restart", True, "AppliesByTheStrongestAction"),
    Mutant("a sick command is reloaded again", Member, "_must_restart", False,
           "AppliesByTheStrongestAction"),
    Mutant("a restart is a reload", Policy, "action_for", lambda *_: ChangeAction.RELOAD,
           "AppliesByTheStrongestAction"),
    Mutant("refused files stay on the disk", Restart, "reload_refused", keep_refused_files,
           "RunsWhatIsOnDisk"),
    Mutant("a drained command is forgotten", Traffic, "rejoin", rejoin_by_name,
           "LeavesNothingDrained"),
    Mutant("post-healthy is not repeated", Traffic, "joined", join_once, PROGRESS),
    Mutant("an unhealthy command is warmed", CommandHealth, "is_healthy_enough", lambda *_: True,
           "WarmsOnlyTheHealthy"),
    Mutant("a health check from before a reload counts", HealthCheck, "close", count_what_is_killed,
           "ChecksTheRunningCommand"),
    Mutant("a drain at the end swallows TERM", Member, "_pass_on_term", do_nothing, "EndsGently"),
    Mutant("a second TERM waits", Member, "_drains_at_end", property(drain_anew), "EndsGently"),
    Mutant("a command is drained while it stops", Member, "_drains_at_end",
           property(drain_what_is_stopped), "TouchesOnlyACommand"),
    Mutant("a hook runs after the end", Member, "_pass_on_term", check_at_the_end,
           "StartsNothingAtTheEnd"),
)  # fmt: skip
