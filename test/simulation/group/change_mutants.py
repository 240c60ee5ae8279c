"""Mistakes that a member could make with the steps of a change in its turn, on purpose."""

from simulation.group.mutants import PROGRESS, Anything, Mutant, private
from simulation.step_mutants import (
    drop_at_once,
    join_once,
    keep_refused_files,
    pass_any_check,
    rejoin_by_name,
    start_without_limit,
)
from zkexec.core import facts
from zkexec.core.actions import Action
from zkexec.core.command_health import CommandHealth
from zkexec.core.events import CommandExited
from zkexec.core.facts import Found
from zkexec.core.member import Member
from zkexec.core.phases import CurrentPhase
from zkexec.core.policy import ChangeAction, Policy
from zkexec.core.restart import Restart
from zkexec.core.rollout.lease import Lease
from zkexec.core.step import Step, StepOutcome
from zkexec.core.step_commands import StepCommands
from zkexec.core.step_results import StepResults
from zkexec.core.traffic import Traffic
from zkexec.frozen import replace

original_exited = private(Member, "_on_command_exited")
original_step = private(StepResults, "step")


def stop_once_drained(self: Anything, now: float) -> Found:
    """Stop what is drained, whether the turn is still there or not."""
    if self._command.present and self._policy.runs(Step.PRE_STOP) and self._traffic.is_drained:
        return [facts.StopPermitted()]
    return original_take_down(self, now)  # type: ignore[no-any-return]


original_take_down = private(Restart, "_take_down")


def blame_the_host(
    self: Anything, phase: CurrentPhase, step: Step, outcome: StepOutcome, now: float
) -> Found:  # fmt: skip
    """Release the turn after a refusal, so that another member tries the same."""
    if step is Step.CHECK and not outcome.passed:
        outcome = replace(outcome, is_of_host=True)
    return original_step(self, phase, step, outcome, now)  # type: ignore[no-any-return]


def exit_after_a_reload(self: Anything, event: CommandExited, now: float) -> list[Action]:
    """End with a command that was only reloaded."""
    began, reloads = self._restart.begun, (ChangeAction.RELOAD, ChangeAction.NONE)
    if event.generation == self.command.generation and began in reloads:
        ended: list[Action] = self.command.exited(event, now)
        return [*ended, *self._exit(None, now, asked=False)]
    found: list[Action] = original_exited(self, event, now)
    return found


def keep_first_line(self: Anything, last_line: str) -> None:
    """Quote the first line of all commands, also after a start or a reload."""
    self.first_line = getattr(self, "first_line", "") or last_line
    self._last_line = self.first_line


def drain_what_is_gone(self: Anything, _: float) -> Found:
    """Drain also if no command runs."""
    return [facts.DrainPermitted()] if self._traffic.needs_drain else [facts.StopPermitted()]


CHANGE_MUTANTS = (
    Mutant("files are not examined", Restart, "_needs_check", lambda *_: False,
           "AppliesOnlyWhatPassed", seed=3),
    Mutant("a refused check passes", StepResults, "step", pass_any_check,
           "AppliesOnlyWhatPassed", seed=5),
    Mutant("a refused check is trouble of the host", StepResults, "step", blame_the_host,
           "FailsByCheck", seed=5),
    Mutant("a step is started while it is killed", StepCommands, "drop", drop_at_once,
           "RunsStepsOneAtATime", seed=20),
    Mutant("a command that is gone is drained", Restart, "_take_down", drain_what_is_gone,
           "RunsStepsOneAtATime", seed=5),
    Mutant("a step has no limit", StepCommands, "start", start_without_limit,
           "LimitsSteps", seed=25),
    Mutant("a reload restarts", Member, "_must_restart", True,
           "AppliesByTheStrongestAction", seed=5),
    Mutant("a restart is a reload", Policy, "action_for", lambda *_: ChangeAction.RELOAD,
           "AppliesByTheStrongestAction"),
    Mutant("a drain and a reload need no lease", Lease, "may_stop",
           lambda self, *_: bool(self.admitted), "AppliesWithinTheLease", seed=43),
    Mutant("a drain renews the lease", Restart, "_take_down", stop_once_drained,
           "StopsWithinTheLease"),
    Mutant("success does not wait for post-healthy", Traffic, "has_joined", True,
           "SucceedsOnlyWarm", seed=4),
    Mutant("zkexec ends with a reloaded command", Member, "_on_command_exited",
           exit_after_a_reload, "OutlivesTheReload", seed=66),
    Mutant("refused files stay on the disk", Restart, "reload_refused", keep_refused_files,
           "RunsWhatIsOnDisk", seed=172),
    Mutant("a drained command is forgotten", Traffic, "rejoin", rejoin_by_name,
           PROGRESS, seed=228),
    Mutant("post-healthy is not repeated", Traffic, "joined", join_once, PROGRESS, seed=303),
    Mutant("a drain at the end swallows TERM", Member, "_pass_on_term", lambda *_: [],
           "EndsGently", seed=22),
    Mutant("a line of an earlier command is quoted", CommandHealth, "take_line", keep_first_line,
           "QuotesThePresentCommand"),
)  # fmt: skip
