"""Templates that cannot be rendered: a failed step, this host's trouble, or a missing value."""

import pytest

from core.tree_member import TreeMember
from zkexec.core import events
from zkexec.core.actions import (
    AlertEvent,
    DiscardFiles,
    EndProcess,
    InstallFiles,
    RenderTemplates,
    RunAlert,
    RunStep,
    SignalProcessTree,
    StageFiles,
    StartCommand,
)
from zkexec.core.events import CachedFilesFound, ExitStatus
from zkexec.core.input_options import InputOptions, Template
from zkexec.core.phases import Phase
from zkexec.core.policy import Policy, StartPolicy
from zkexec.core.rendering_result import NotRendered, Rendered, RenderFailed, ValueMissing
from zkexec.core.snapshot import Snapshot
from zkexec.core.step import Step, StepOutcome
from zkexec.frozen import replace

TEMPLATE = InputOptions(templates=(Template("/x", file="x.j2", text=b"text"),), values=("/v",))
ALONE = Policy(inputs=TEMPLATE, raises_alerts=True)
GROUP = replace(ALONE, in_group=True)
CHECKED = replace(ALONE, step_limits={Step.CHECK: 30.0})
REASON = "x.j2: line 1: error"
FAILED = RenderFailed(REASON)


def rendered(content: bytes) -> Rendered:
    """Return a result of the one template."""
    return Rendered({"/x": content})


def started(policy: Policy, *, left: CachedFilesFound | None = None) -> TreeMember:
    """Return a member that has read its first values, which are being rendered."""
    member = TreeMember(policy, left=left)
    member.start()
    member.read({"/v": {"a": b"1"}})
    return member


def running(policy: Policy) -> TreeMember:
    """Return a member whose command runs on what was rendered of the value 1."""
    member = started(policy)
    member.render(rendered(b"r1"))
    if policy.runs(Step.CHECK):
        member.end_step(Step.CHECK, StepOutcome(True))
    member.wait(2)
    assert member.is_in(Phase.RUNNING)
    return member


def push(member: TreeMember, value: bytes, *, zxid: int = 0) -> None:
    """Write another value, so that templates are rendered."""
    member.push({"/v": {"a": value}}, zxid=zxid)
    assert member.requests(RenderTemplates)


@pytest.mark.parametrize("policy", [ALONE, GROUP])
def test_a_template_with_an_error_stops_nothing(policy: Policy) -> None:
    """The step `render` has failed: one alert, and the command runs on with its files."""
    member = running(policy)
    push(member, b"2")
    member.render(FAILED)
    actions = list(member.done)
    member.wait(60)
    actions += member.done
    (alert,) = (action for action in actions if isinstance(action, RunAlert))
    assert alert == RunAlert(AlertEvent.RESTART_FAILED, REASON, step=Step.RENDER)
    assert not [each for each in actions if isinstance(each, StageFiles | SignalProcessTree)]
    assert member.is_in(Phase.FAILED)
    assert member.runs == {"/x": b"r1"}


def test_a_template_with_an_error_is_a_config_failure_of_a_group() -> None:
    """The record has the version, the step and the reason; newer values are tried at once."""
    member = running(GROUP)
    push(member, b"2")
    member.render(FAILED)
    member.wait(0.2)
    (state,) = (state for state in member.record.versions.values() if state.failed_by)
    assert (state.failed_by, state.step, state.reason) == (("m1",), "render", REASON)
    assert member.record.in_flight
    push(member, b"3")
    member.render(rendered(b"r3"))
    member.wait(5)
    assert (member.phase, member.runs) == (Phase.RUNNING, {"/x": b"r3"})
    assert not member.record.in_flight


def test_another_error_is_another_failure() -> None:
    """Newer values whose rendering fails as well raise the alert again."""
    member = running(ALONE)
    push(member, b"2")
    member.render(FAILED)
    member.wait(1)
    assert member.requests(RunAlert)
    member.happen(events.AlertFinished(""))
    push(member, b"3")
    member.render(RenderFailed("x.j2: line 2: error"))
    member.wait(1)
    assert [alert.reason for alert in member.requests(RunAlert)] == ["x.j2: line 2: error"]


def test_the_same_values_written_again_are_tried_again() -> None:
    """What failed is rendered once more if it is written again, and applied if that succeeds."""
    member = running(ALONE)
    push(member, b"2", zxid=5)
    member.render(FAILED)
    member.wait(1)
    member.push({"/v": {"a": b"2"}}, zxid=5)
    assert not member.requests(RenderTemplates)
    push(member, b"2", zxid=6)
    member.render(rendered(b"r2"))
    member.wait(1)
    assert member.runs == {"/x": b"r2"}


def test_an_error_that_is_undone() -> None:
    """If the values are as they were, the command runs on, and nothing is restarted."""
    member = running(ALONE)
    push(member, b"2")
    member.render(FAILED)
    member.wait(1)
    assert member.is_in(Phase.FAILED)
    push(member, b"1")
    member.render(rendered(b"r1"))
    assert member.is_in(Phase.RUNNING)
    assert "change-undone" in member.topics
    member.wait(10)
    assert not member.requests(SignalProcessTree)


@pytest.mark.parametrize("policy", [ALONE, GROUP])
def test_a_first_start_with_an_error_ends(policy: Policy) -> None:
    """Without files that are known good, zkexec exits with 125 and writes nothing."""
    member = started(policy)
    member.render(FAILED)
    assert "start-refused-by-check" in member.topics
    assert not member.requests(StageFiles)
    member.wait(10)
    assert member.is_in(Phase.DONE)


def test_a_first_start_with_an_error_runs_on_known_good_files() -> None:
    """In a group, files on which the command of this host was healthy are started instead."""
    left = CachedFilesFound(Snapshot({"/x": b"r0"}, digest="earlier"), was_healthy=True)
    member = started(GROUP, left=left)
    member.render(FAILED)
    assert member.requests(StartCommand)
    assert member.runs == {"/x": b"r0"}
    alone = started(ALONE, left=left)
    alone.render(FAILED)
    assert alone.requests(EndProcess), "without a group nothing is known good"


def test_an_adopted_turn_with_an_error_is_a_config_failure() -> None:
    """The turn of an earlier process is kept, and no command is started."""
    member = TreeMember(GROUP)
    member.group.happen(["has", "m1"])
    member.group.happen(["m1", "admitted", "nothing@1"])
    member.start()
    member.read({"/v": {"a": b"1"}})
    member.render(FAILED)
    assert member.is_in(Phase.FAILED)
    assert not member.requests(StartCommand)
    assert [alert.step for alert in member.requests(RunAlert)] == [Step.RENDER]
    push(member, b"2")
    member.render(rendered(b"r2"))
    member.wait(2)
    assert (member.phase, member.runs) == (Phase.RUNNING, {"/x": b"r2"})


@pytest.mark.parametrize("start", list(StartPolicy))
def test_a_first_start_on_a_host_that_cannot_render_ends(start: StartPolicy) -> None:
    """It is no fault of the inputs, so waiting for other ones would not help."""
    member = started(replace(ALONE, start=start))
    member.render(NotRendered("no process"))
    assert "start-not-rendered" in member.topics
    assert member.one(EndProcess).ending == ExitStatus(code=125)


def test_a_first_start_waits_for_a_rendering() -> None:
    """The ensemble has answered within the connect timeout; the rendering has its own limit."""
    member = started(ALONE)
    member.wait(100)
    assert member.is_in(Phase.LOADING)
    member.render(rendered(b"r1"))
    assert member.is_in(Phase.RUNNING)
    silent = TreeMember(ALONE)
    silent.start()
    silent.wait(100)
    assert silent.is_in(Phase.DONE)


def test_a_running_member_on_a_host_that_cannot_render_tries_again() -> None:
    """The command runs on, without an alert or a failure, until the next attempt."""
    member = running(GROUP)
    push(member, b"2")
    member.render(NotRendered("no process"))
    assert member.topics == ["render-impossible"]
    member.wait(9)
    assert (member.phase, member.requests(RunAlert)) == (Phase.RUNNING, [])
    member.wait(1)
    assert member.requests(RenderTemplates)
    member.render(rendered(b"r2"))
    member.wait(5)
    assert member.runs == {"/x": b"r2"}


def test_a_missing_value_at_the_first_start() -> None:
    """It ends a start as any missing znode does, or with --start wait is waited for."""
    member = started(ALONE)
    member.render(ValueMissing("/v/b"))
    assert member.topics[0] == "znodes-unusable"
    waiting = started(replace(ALONE, start=StartPolicy.WAIT))
    waiting.render(ValueMissing("/v/b"))
    assert waiting.topics == ["waiting-for-znodes"]
    waiting.push({"/v": {"a": b"1", "b": b"2"}})
    waiting.render(rendered(b"r1"))
    assert waiting.runs == {"/x": b"r1"}


def test_an_error_ends_a_check_of_what_is_not_wanted_any_more() -> None:
    """What is being checked at a first start is dropped if newer values cannot be rendered."""
    member = started(CHECKED)
    member.render(rendered(b"r1"))
    assert member.is_in(Phase.CHECKING)
    push(member, b"2")
    member.render(FAILED)
    assert "start-refused-by-check" in member.topics
    assert not member.requests(StartCommand)


def test_an_error_while_the_command_is_stopped() -> None:
    """What was staged before is installed, and the error is a failure of its own afterwards."""
    member = running(replace(ALONE, kill_timeout_s=30))
    push(member, b"2")
    member.render(rendered(b"r2"))
    member.obeys = False
    member.wait(1)
    assert member.is_in(Phase.STOPPING)
    push(member, b"3")
    member.render(FAILED)
    member.happen(events.CommandExited(1, ExitStatus(signal=15)))
    assert member.runs == {"/x": b"r2"}
    member.wait(10)
    assert (member.phase, member.runs) == (Phase.FAILED, {"/x": b"r2"})


def test_a_file_whose_template_has_an_error_is_never_removed() -> None:
    """Its target is what it was, so that no plan contains it."""
    member = running(ALONE)
    push(member, b"2")
    member.render(FAILED)
    wanted = member.member.inputs.wanted
    assert wanted is not None
    assert wanted.files == {"/x": b"r1"}


def test_a_check_that_runs_for_something_older_is_dropped() -> None:
    """Newer values that cannot be rendered end the check, and are the failure."""
    member = running(CHECKED)
    push(member, b"2")
    member.render(rendered(b"r2"))
    member.wait(1)
    assert member.is_in(Phase.CHECKING)
    push(member, b"3")
    member.render(FAILED)
    actions = list(member.done)
    member.end_step(Step.CHECK, StepOutcome(False, "killed"))
    actions += member.done
    member.wait(1)
    actions += member.done
    assert [each for each in actions if isinstance(each, DiscardFiles)]
    assert not [each for each in actions if isinstance(each, InstallFiles)]
    assert member.is_in(Phase.FAILED)
    assert [each.reason for each in actions if isinstance(each, RunAlert)] == [REASON]


def test_nothing_is_checked_that_cannot_be_rendered() -> None:
    """The check command gets no files of which one is missing."""
    member = running(CHECKED)
    push(member, b"2")
    member.render(FAILED)
    actions = list(member.done)
    member.wait(60)
    actions += member.done
    assert not [each for each in actions if isinstance(each, RunStep)]
    assert member.is_in(Phase.FAILED)


def test_an_error_is_recorded_even_if_the_record_is_read_late() -> None:
    """A member that waits for another one records its error once it is admitted."""
    member = TreeMember(GROUP)
    member.group.happen(["has", "m2"])
    member.start()
    member.read({"/v": {"a": b"1"}})
    member.render(rendered(b"r1"))
    member.wait(2)
    member.group.happen(["m2", "admitted", "nothing@2"])
    push(member, b"2", zxid=60)
    member.render(FAILED)
    member.wait(1)
    assert member.is_in(Phase.WAITING)
    for event in member.group.happen(["m2", "releases"]):
        member.happen(event)
    assert member.is_in(Phase.FAILED)
    (state,) = (state for state in member.record.versions.values() if state.failed_by)
    assert (state.failed_by, state.step) == (("m1",), "render")
