"""The commands of steps that run, and whether a command is in traffic."""

import pytest

from zkexec.core.actions import KillStep, RunStep
from zkexec.core.attempt import Attempt
from zkexec.core.events import StepFinished
from zkexec.core.policy import Policy
from zkexec.core.snapshot import Snapshot
from zkexec.core.step import Step, StepOutcome
from zkexec.core.step_commands import StepCommands
from zkexec.core.traffic import Traffic
from zkexec.core.turn import FreeTurn

POLICY = Policy(step_limits={Step.CHECK: 2.0, Step.POST_HEALTHY: 3.0})
PASSED, FAILED = StepOutcome(True), StepOutcome(False, "exit status 1", printed="line 7")


def test_the_command_of_a_step_does_not_run_twice() -> None:
    """To start it beside itself is a mistake of the core, also while it is being killed."""
    steps = StepCommands(POLICY)
    assert [type(action) for action in steps.start(Step.CHECK, 0)[1:]] == [RunStep]
    assert steps.drop(Step.CHECK) == [KillStep(Step.CHECK)]
    assert steps.is_busy(Step.CHECK)
    with pytest.raises(RuntimeError, match="check runs already"):
        steps.start(Step.CHECK, 1)


def test_only_the_result_that_is_waited_for_counts() -> None:
    """A result with another number, or of a command that was dropped, is about nothing."""
    steps = StepCommands(POLICY)
    steps.start(Step.CHECK, 0)
    assert steps.finished(StepFinished(Step.CHECK, 7, PASSED)) is None
    assert steps.finished(StepFinished(Step.CHECK, 1, PASSED)) == PASSED
    steps.start(Step.CHECK, 0)
    steps.drop(Step.CHECK)
    assert steps.finished(StepFinished(Step.CHECK, 2, PASSED)) is None
    assert not steps.is_busy(Step.CHECK)


def test_a_command_that_is_late_has_failed_with_what_it_printed() -> None:
    """After its limit it is killed, and the reason is the limit, with the last lines."""
    steps = StepCommands(POLICY)
    steps.start(Step.CHECK, 0)
    assert steps.deadline == 2
    assert steps.expire(2)[-1] == KillStep(Step.CHECK)
    outcome = steps.finished(StepFinished(Step.CHECK, 1, FAILED))
    assert outcome is not None
    assert (outcome.passed, outcome.text) == (False, "no end within 2 s: line 7")


def test_no_post_healthy_begins_after_its_time() -> None:
    """A command that is healthy only when the time of its turn is over has not joined in time."""
    traffic = Traffic(POLICY, StepCommands(POLICY))
    traffic.started()
    traffic.limit(5)
    traffic.healthy(6)
    assert traffic.expire(6) == []
    assert traffic.take_missed(6).startswith("not back in traffic: no post-healthy")
    assert not traffic.has_joined


def test_only_a_failure_has_something_beside_it() -> None:
    """An attempt that has not failed cannot run beside a failure."""
    with pytest.raises(RuntimeError, match="no version has failed"):
        Attempt().running_beside(None)


def test_without_a_group_nothing_is_known_good() -> None:
    """No other member can have tried a version."""
    assert not FreeTurn().is_known_good(Snapshot({}))
