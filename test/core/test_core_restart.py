"""What a command runs on that was started or reloaded after something had failed."""

import pytest

from core.tree_member import TreeMember
from zkexec.core import events
from zkexec.core.actions import RememberState, SignalProcessTree, StartCommand
from zkexec.core.events import ExitStatus
from zkexec.core.input_options import InputOptions, Mirror
from zkexec.core.phases import Phase
from zkexec.core.policy import ActionRule, ChangeAction, Policy
from zkexec.core.rollout.version import version_of
from zkexec.core.snapshot import Snapshot
from zkexec.core.step import Step

RELOADED = Policy(
    inputs=InputOptions(mirrors=(Mirror("/f", "/z"),)),
    in_group=True,
    on_change=(ActionRule("", ChangeAction.RELOAD),),
    step_limits={Step.RELOAD: 30.0},
)
TREE = InputOptions(mirrors=(Mirror("/f", "/z"), Mirror("/d/", "/t/")))


def lost_in_a_reload(policy: Policy, tree: dict[str, bytes]) -> TreeMember:
    """Return a member whose command has exited as it loaded 2; it cannot write what is newer."""
    member = TreeMember(policy)
    trees = {"/t": tree} if policy.inputs.trees else {}
    member.start()
    member.read(trees, {"/z": b"1"})
    member.wait(2)
    member.push(trees, {"/z": b"2"})
    member.wait(0.2)
    assert member.is_in(Phase.RELOADING)
    member.happen(events.CommandExited(1, ExitStatus(code=1)))
    assert member.is_in(Phase.FAILED)
    member.refuses_staging = True
    member.push(trees, {"/z": b"3"})
    member.wait(0.2)
    assert member.is_in(Phase.BLOCKED)
    assert member.member.applied.files["/f"] == b"1"
    return member


def test_a_command_that_is_started_runs_what_is_installed() -> None:
    """What was installed for a reload that the command did not survive counts as running then."""
    member = lost_in_a_reload(RELOADED, {})
    member.push({}, {"/z": b"2"})
    assert member.requests(StartCommand)
    assert member.member.applied == Snapshot({"/f": b"2"})
    running = version_of(member.member.applied, RELOADED.inputs).digest
    member.wait(5)
    assert member.is_in(Phase.RUNNING)
    assert member.record.versions[running].known_good


def test_a_command_that_is_started_runs_the_version_that_is_wanted() -> None:
    """The same is true if nothing differs in the wanted version but its inputs."""
    policy = Policy(
        inputs=TREE,
        in_group=True,
        on_change=RELOADED.on_change,
        step_limits=RELOADED.step_limits,
    )
    member = lost_in_a_reload(policy, {"a": b"1"})
    member.push({"/t": {"a": b"1", "b": b""}}, {"/z": b"2"})
    assert member.requests(StartCommand)
    assert "nothing-differs" in member.topics
    assert not member.one(RememberState).was_healthy
    assert member.member.applied == member.member.inputs.wanted


@pytest.mark.parametrize("is_affected", [False, True])
def test_a_requested_restart_proves_what_its_version_does(is_affected: bool) -> None:
    """A restart without a change proves nothing of a version in which nothing has differed."""
    member = TreeMember(Policy(inputs=TREE, in_group=True, restart_path="/r"))
    member.start()
    tree = {"a": b"1"}
    member.read({"/t": tree}, {"/z": b"1", "/r": b"-"})
    member.wait(2)
    tree = {"a": b"2" if is_affected else b"1", "b": b""}
    member.push({"/t": tree}, {"/z": b"1", "/r": b"-"})
    member.wait(5)
    member.push({"/t": tree}, {"/z": b"1", "/r": b"x1 token"})
    assert "restart-requested" in member.topics
    member.wait(5)
    assert member.requests(SignalProcessTree)
    assert member.is_in(Phase.RUNNING)
    wanted = version_of(member.member.applied, TREE)
    assert wanted.digest.endswith(".x1")
    assert member.record.is_known_good(wanted) is is_affected
