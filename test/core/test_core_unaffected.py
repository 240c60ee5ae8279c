"""A member on whose host nothing differs, and one whose templates cannot be rendered."""

import pytest

from core.tree_member import TreeMember
from zkexec.core import events
from zkexec.core.actions import (
    EndProcess,
    LoadCachedFiles,
    Note,
    RememberState,
    RenderTemplates,
    SignalProcessTree,
    StageFiles,
    StartCommand,
)
from zkexec.core.events import CachedFilesFound
from zkexec.core.input_options import InputOptions, Mirror, Template, Variable, VariableTree
from zkexec.core.phases import Phase
from zkexec.core.policy import ActionRule, ChangeAction, Policy, StartPolicy
from zkexec.core.rendering_result import Rendered, RenderFailed
from zkexec.core.rollout.group_actions import JoinQueue, PublishStatus
from zkexec.core.rollout.version import version_of
from zkexec.core.snapshot import Snapshot
from zkexec.frozen import replace

TEMPLATE = InputOptions(templates=(Template("/x", file="x.j2", text=b"text"),), values=("/v",))
ALONE = Policy(inputs=TEMPLATE, raises_alerts=True)
GROUP = replace(ALONE, in_group=True)
TREE = InputOptions(mirrors=(Mirror("/d/", "/t/"),))
FAILED = RenderFailed("x.j2: line 1: error")


def rendered(content: bytes) -> Rendered:
    """Return a result of the one template."""
    return Rendered({"/x": content})


def running(policy: Policy, *, left: CachedFilesFound | None = None) -> TreeMember:
    """Return a member whose command runs on what was rendered of the value 1, and is healthy."""
    member = TreeMember(policy, left=left)
    member.start()
    member.read({"/v": {"a": b"1"}})
    member.render(rendered(b"r1"))
    member.wait(2)
    assert member.is_in(Phase.RUNNING)
    return member


def is_known_good(member: TreeMember) -> bool:
    """Whether the record contains that the version which is wanted now is known good."""
    wanted = member.member.inputs.wanted
    assert wanted is not None
    return member.record.is_known_good(version_of(wanted, member.policy.inputs))


# Nothing differs.


@pytest.mark.parametrize("policy", [ALONE, GROUP])
def test_a_member_for_which_nothing_differs_does_nothing(policy: Policy) -> None:
    """Other values that render the same stage nothing, stop nothing and take no turn."""
    member = running(policy)
    member.push({"/v": {"a": b"2"}})
    assert member.requests(RenderTemplates)
    member.render(rendered(b"r1"))
    actions = list(member.done)
    member.wait(5)
    actions += member.done
    for kind in (StageFiles, SignalProcessTree, JoinQueue, StartCommand):
        assert not [action for action in actions if isinstance(action, kind)]
    assert member.is_in(Phase.RUNNING)
    # What differs is acted on, and shows that the same was possible before.
    member.push({"/v": {"a": b"3"}})
    member.render(rendered(b"r3"))
    joined = bool(member.requests(JoinQueue))
    member.wait(0.2)
    joined |= bool(member.requests(JoinQueue))
    assert member.requests(SignalProcessTree)
    assert joined is policy.in_group


def test_a_member_for_which_nothing_differs_is_up_to_date() -> None:
    """Its status and its state file have the new version, and it is logged."""
    member = running(GROUP)
    before = member.member.applied
    member.push({"/v": {"a": b"2"}})
    member.render(rendered(b"r1"))
    assert "nothing-differs" in member.topics
    assert "change-undone" not in member.topics
    applied = member.member.applied
    assert applied.digest != before.digest
    assert applied == member.member.inputs.wanted
    (remembered,) = member.requests(RememberState)
    assert (remembered.snapshot, remembered.was_healthy) == (applied, True)
    wanted = version_of(applied, TEMPLATE).digest
    assert member.requests(PublishStatus)[-1].status.running == wanted


def test_a_member_for_which_nothing_differs_makes_no_version_known_good() -> None:
    """Its healthy command shows nothing about inputs that did not change anything here."""
    member = running(GROUP)
    assert is_known_good(member)
    member.push({"/v": {"a": b"2"}})
    member.render(rendered(b"r1"))
    member.wait(60)
    assert not is_known_good(member)
    member.push({"/v": {"a": b"3"}})
    member.render(rendered(b"r3"))
    member.wait(10)
    assert is_known_good(member), "a version that changes something here is known good"


@pytest.mark.parametrize(
    ("digest", "content", "was_healthy", "is_good"),
    [
        ("earlier", b"r1", True, False),
        ("earlier", b"r1", False, True),
        ("earlier", b"r0", True, True),
        ("", b"r1", False, True),
    ],
)
def test_the_first_start_after_nothing_has_changed(
    digest: str, content: bytes, was_healthy: bool, is_good: bool
) -> None:
    """If the state file shows that nothing differs from what was healthy, it proves nothing."""
    left = CachedFilesFound(Snapshot({"/x": content}, digest=digest), was_healthy)
    member = TreeMember(GROUP, left=left)
    member.start()
    # Any files on disk that may be relied on are started first, unless the wanted version is good.
    member.group.happen(["has", "m2"])
    member.read({"/v": {"a": b"1"}})
    member.render(rendered(b"r1"))
    member.wait(60)
    assert member.is_in(Phase.RUNNING)
    assert member.runs == {"/x": b"r1"}
    assert is_known_good(member) is is_good


@pytest.mark.parametrize("proves_nothing", [False, True])
def test_the_first_start_of_a_version_that_was_healthy(proves_nothing: bool) -> None:
    """A member that is started again on what it ran knows whether that has shown anything."""
    earlier = replace(running(ALONE).member.applied, proves_nothing=proves_nothing)
    for policy in (GROUP, ALONE):
        member = running(policy, left=CachedFilesFound(earlier, was_healthy=True, zxid=1))
        assert member.member.applied == earlier
        assert member.member.applied.proves_nothing is proves_nothing
        is_proof = policy is GROUP and not proves_nothing
        assert bool(member.record.versions) is is_proof


def test_an_adopted_turn_of_what_was_healthy() -> None:
    """If the success of a turn was not recorded, the next process of the member records it."""
    member = running(GROUP)
    member.push({"/v": {"a": b"2"}})
    member.render(rendered(b"r2"))
    member.wait(0.5)
    member.group.prepare_mishap("commit", "not-done")
    member.wait(0.7)
    assert member.one(RememberState).was_healthy
    member.group.end_session()
    left = CachedFilesFound(member.member.applied, was_healthy=True, zxid=2)
    again = TreeMember(GROUP, left=left, group=member.group)
    again.start()
    again.read({"/v": {"a": b"2"}}, zxid=2)
    again.render(rendered(b"r2"))
    assert again.is_in(Phase.VERIFYING)
    again.wait(5)
    assert is_known_good(again)


def test_the_disk_is_read_first_if_there_is_a_state() -> None:
    """What an earlier zkexec has installed is known before anything is read."""
    member = TreeMember(ALONE)
    member.happen(events.Started())
    assert member.requests(LoadCachedFiles)
    plain = TreeMember(Policy(inputs=InputOptions(mirrors=(Mirror("/f", "/z"),))))
    plain.happen(events.Started())
    assert not plain.requests(LoadCachedFiles)


def test_an_emptied_file_of_an_earlier_run_is_not_removed() -> None:
    """The znode of a file that an earlier zkexec has installed became empty meanwhile."""
    left = CachedFilesFound(Snapshot({"/d/a": b"1", "/d/b": b"2"}), zxid=5)
    for policy, is_over in ((StartPolicy.FRESH, True), (StartPolicy.WAIT, False)):
        member = TreeMember(Policy(inputs=TREE, start=policy), left=left)
        member.start()
        member.read({"/t": {"a": b"1", "b": b""}}, zxid=6)
        assert not member.requests(StageFiles)
        assert bool(member.requests(EndProcess)) is is_over
        assert ("znodes-unusable" if is_over else "waiting-for-znodes") in member.topics
    member.push({"/t": {"a": b"1", "b": b"3"}})
    assert member.runs == {"/d/a": b"1", "/d/b": b"3"}


def test_a_version_in_which_nothing_differs_waits_for_the_one_in_its_turn() -> None:
    """While a version is verified, another one that renders the same comes afterwards."""
    member = running(GROUP)
    member.push({"/v": {"a": b"2"}})
    member.render(rendered(b"r2"))
    member.wait(0.2)
    assert member.is_in(Phase.VERIFYING)
    second = member.member.inputs.wanted
    assert second is not None
    member.push({"/v": {"a": b"3"}})
    member.render(rendered(b"r2"))
    assert member.is_in(Phase.VERIFYING)
    assert "nothing-differs" not in member.topics
    member.wait(5)
    assert member.is_in(Phase.RUNNING)
    assert "nothing-differs" in member.topics
    assert member.record.is_known_good(version_of(second, TEMPLATE))
    assert not is_known_good(member)


def test_a_version_that_comes_back_after_one_in_which_nothing_differs() -> None:
    """A change is undone by a version with other inputs if its files are those installed."""
    member = running(replace(ALONE, settle_s=5.0))
    member.push({"/v": {"a": b"2"}})
    member.render(rendered(b"r2"))
    assert member.is_in(Phase.WAITING)
    member.push({"/v": {"a": b"3"}})
    member.render(rendered(b"r1"))
    assert member.is_in(Phase.RUNNING)
    assert {"change-undone", "nothing-differs"} <= set(member.topics)
    member.wait(60)
    assert not member.requests(SignalProcessTree)


def test_what_failed_here_is_tried_as_part_of_another_version() -> None:
    """After a failure, another version that renders the same files is another attempt."""
    member = running(replace(GROUP, checks_health=True, health_delay_s=5.0))
    member.push({"/v": {"a": b"2"}})
    member.render(rendered(b"r2"))
    member.wait(0.2)
    member.check(passed=False)
    member.wait(10)
    assert member.is_in(Phase.FAILED)
    member.push({"/v": {"a": b"3"}})
    member.render(rendered(b"r2"))
    member.wait(1)
    assert member.requests(SignalProcessTree), "the command is restarted on the same files"
    assert member.is_in(Phase.VERIFYING)
    member.check(passed=True)
    member.wait(5)
    assert member.is_in(Phase.RUNNING)
    assert is_known_good(member), "the same files had failed, so their health shows something"


# Variables.


ENVIRONMENT = InputOptions(
    variables=(Variable("A", "/a"),), variable_trees=(VariableTree("/e", "e_"),)
)


def test_a_command_gets_the_variables_of_its_version() -> None:
    """A change of a variable restarts the command, whatever the action for files is."""
    policy = Policy(inputs=ENVIRONMENT, on_change=(ActionRule("", ChangeAction.NONE),))
    member = TreeMember(policy)
    member.start()
    member.read({"/e": {"x": b"1"}}, {"/a": b"2\n"})
    assert member.one(StartCommand).variables == {"A": b"2", "E_X": b"1"}
    assert "b'2'" not in repr(member.one(StartCommand))
    member.push({"/e": {"x": b"1", "y": b"3"}}, {"/a": b"2"})
    (changed,) = (note for note in member.requests(Note) if note.topic == "variables-changed")
    assert changed.fields == {"names": "E_Y"}
    member.wait(1)
    assert member.requests(SignalProcessTree)
    assert member.one(StartCommand).variables == {"A": b"2", "E_X": b"1", "E_Y": b"3"}


def test_a_line_end_in_a_variable_is_no_change() -> None:
    """The value is the same without it, so that nothing differs on this host."""
    member = TreeMember(Policy(inputs=ENVIRONMENT))
    member.start()
    member.read({"/e": {}}, {"/a": b"2"})
    member.push({"/e": {"x": b""}}, {"/a": b"2\n"})
    assert member.topics == ["nothing-differs"]
    member.wait(5)
    assert not member.requests(SignalProcessTree)


def test_variables_of_files_that_were_not_changed() -> None:
    """The files of an earlier run are started with the variables from its state file."""
    left = CachedFilesFound(Snapshot({}, variables={"A": b"1"}, digest="earlier"), True)
    policy = Policy(inputs=ENVIRONMENT, start=StartPolicy.CACHED)
    member = TreeMember(policy, left=left)
    member.happen(events.Started())
    member.wait(30)
    assert member.one(StartCommand).variables == {"A": b"1"}
    member.connect()
    member.read({"/e": {}}, {"/a": b"1"})
    assert "nothing-differs" in member.topics
    member.push({"/e": {}}, {"/a": b"2"})
    member.wait(1)
    assert member.one(StartCommand).variables == {"A": b"2"}


# Trees.


TREE_GROUP = Policy(inputs=TREE, in_group=True)


def tree_running() -> TreeMember:
    """Return a member of a group whose command runs on a tree of two files."""
    member = TreeMember(TREE_GROUP)
    member.start()
    member.read({"/t": {"a": b"1", "b": b"1"}})
    member.wait(2)
    assert member.is_in(Phase.RUNNING)
    return member


def test_a_file_that_is_removed_is_a_change() -> None:
    """It is logged as one that goes, and the command is restarted without it."""
    member = tree_running()
    member.push({"/t": {"a": b"1"}})
    removal = Note("changed-removal", {"path": "/d/b"})
    assert removal in member.requests(Note)
    member.wait(5)
    assert Note("installed-removal", {"path": "/d/b"}) in member.requests(Note)
    assert member.runs == {"/d/a": b"1"}


def test_no_command_is_stopped_while_a_tree_is_in_doubt() -> None:
    """If a watch fires before the stop, the tree is read first, and its newest content counts."""
    member = tree_running()
    member.push({"/t": {"a": b"2", "b": b"1"}})
    member.happen(events.ZnodeTouched("/t/a"))
    member.wait(1)
    assert member.record.in_flight, "the member was admitted"
    assert not member.requests(SignalProcessTree)
    member.read({"/t": {"a": b"3", "b": b"1"}})
    stopped = member.requests(SignalProcessTree)
    member.wait(5)
    stopped += member.requests(SignalProcessTree)
    assert len(stopped) == 1
    assert member.runs == {"/d/a": b"3", "/d/b": b"1"}


def test_a_member_without_a_group_does_not_wait_for_a_read() -> None:
    """What it has read was all at one moment, and what is newer follows."""
    member = TreeMember(replace(TREE_GROUP, in_group=False))
    member.start()
    member.read({"/t": {"a": b"1"}})
    member.push({"/t": {"a": b"2"}})
    member.happen(events.ZnodeTouched("/t/a"))
    member.wait(1)
    assert member.runs == {"/d/a": b"2"}


@pytest.mark.parametrize("folder", ["/d/n/", "/d/n"])
def test_a_changed_tree_is_reloaded_if_all_its_changes_are(folder: str) -> None:
    """The path below the folder decides about each file, and the strongest action counts."""
    rules = (ActionRule("/d/", ChangeAction.RESTART), ActionRule(folder, ChangeAction.NONE))
    member = TreeMember(replace(TREE_GROUP, in_group=False, on_change=rules))
    member.start()
    member.read({"/t": {"a": b"1", "n/b": b"1"}})
    member.push({"/t": {"a": b"1", "n/c": b"1"}})
    member.wait(1)
    assert member.runs == {"/d/a": b"1", "/d/n/c": b"1"}
    assert not member.requests(SignalProcessTree)
    member.push({"/t": {"n/c": b"1"}})
    member.wait(1)
    assert member.requests(SignalProcessTree)


def test_what_was_healthy_is_remembered() -> None:
    """In a group, the state file knows once the command was healthy on what is installed."""
    member = TreeMember(TREE_GROUP)
    member.start()
    member.read({"/t": {"a": b"1"}})
    assert not member.requests(RememberState)
    member.wait(2)
    assert member.one(RememberState).was_healthy
    member.push({"/t": {"a": b"2"}})
    member.wait(0.5)
    assert member.is_in(Phase.VERIFYING)
    assert not member.requests(RememberState)
    member.wait(2)
    assert member.one(RememberState) == RememberState(member.member.applied, True)


def test_plain_mirrors_remember_nothing() -> None:
    """They have no state file that could know anything."""
    member = TreeMember(Policy(inputs=InputOptions(mirrors=(Mirror("/f", "/z"),)), in_group=True))
    member.start()
    member.read({}, {"/z": b"1"})
    member.wait(10)
    assert is_known_good(member)
    assert not member.requests(RememberState)
