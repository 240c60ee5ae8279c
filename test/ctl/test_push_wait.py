"""Pushes for a group: its state is shown first, and the rollout is followed to its end."""

from pathlib import Path

import pytest
from kazoo.client import KazooClient

from support.fleet import Fleet
from support.group_samples import GroupZnodes, failed_on, paused
from support.zkexecctl import Zkexecctl, entries
from support.zookeeper import Server
from zkexec.core.rollout.record import RolloutRecord


@pytest.fixture
def zkexecctl(zookeeper: Server, tmp_path: Path) -> Zkexecctl:
    """An operator at the shared server."""
    return Zkexecctl(zookeeper.hosts, tmp_path)


@pytest.fixture
def group(client: KazooClient, root: str) -> GroupZnodes:
    """A group with a member that is up to date."""
    group = GroupZnodes(client, root.strip("/"), f"{root}/conf")
    group.show("m1")
    return group


def line_of(answer: str, lock: str) -> str:
    """The line about the group."""
    (line,) = (line for line in answer.splitlines() if line.startswith(f"{lock}: "))
    return line


def test_the_group_is_shown(zkexecctl: Zkexecctl, group: GroupZnodes) -> None:
    """Before the question, the group is shown: living members, who has paused it, and why."""
    group.show("m2")
    group.decide(RolloutRecord(paused=paused()))

    line = line_of(zkexecctl.push(group.path, b"new", "--lock", group.lock).out, group.lock)

    assert "2 of 2 updated to " in line
    assert "; 2 alive; paused by anna since " in line
    assert line.endswith(": the night is for sleeping; no member is admitted")


def test_what_has_failed(zkexecctl: Zkexecctl, group: GroupZnodes) -> None:
    """Before the question, a failure in the group is shown."""
    group.show("m1", wanted="b" * 64, phase="waiting")
    group.decide(RolloutRecord(versions=failed_on("m1", zxid=group.zxid)))

    line = line_of(zkexecctl.push(group.path, b"new", "--lock", group.lock).out, group.lock)

    assert "failed on m1 (" in line
    assert line.endswith("the command ended (exit status 3)")


def test_no_such_group(zkexecctl: Zkexecctl, client: KazooClient, root: str) -> None:
    """A push for a group that does not exist reports this, and is no failure without --wait."""
    answer = zkexecctl.push(f"{root}/conf", b"new", "--lock", root.strip("/"))

    assert f"{root.strip('/')}: no such group" in answer.out
    assert client.get(f"{root}/conf")[0] == b"new"


@pytest.mark.parametrize("has_members", [True, False])
def test_a_path_that_is_no_input(
    zkexecctl: Zkexecctl, group: GroupZnodes, client: KazooClient, root: str, has_members: bool
) -> None:
    """If no member has the path as an input, --wait is refused before the push."""
    if not has_members:
        client.delete(f"{group.base}/members/m1")

    answer = zkexecctl.refused(f"{root}/other", b"new", "--lock", group.lock, "--wait")

    assert answer.status == 1
    hint = f"their inputs are {group.path}" if has_members else "no inputs are known"
    assert answer.err == (
        f"zkexecctl: --wait: {root}/other is not an input of any living member of {group.lock} "
        f"({hint}); nothing was pushed\n"
    )
    assert client.exists(f"{root}/other") is None


def test_empty_content(zkexecctl: Zkexecctl, group: GroupZnodes) -> None:
    """A push of empty content warns that members refuse it by default."""
    answer = zkexecctl.push(group.path, b"")

    line = f"{group.path}: empty content, which members take only with --allow-empty"
    assert answer.err == f"zkexecctl: {line}\n"


def test_followed_to_the_end(fleet: Fleet, zkexecctl: Zkexecctl) -> None:
    """A push with --wait ends when all members run the new content, not before."""
    fleet.launch(2)
    (conf,) = fleet.znodes

    answer = zkexecctl.push(conf, b"good 1", "--lock", fleet.lock, "--wait")

    assert f"{conf}: pushed as @2 " in answer.out
    assert "2 of 2 updated to " in answer.out.splitlines()[-1]
    fleet.at_rest("good 1")
    for member in fleet.members:
        newest = member.newest()
        assert newest is not None
        assert newest.content == "good 1"


def test_bad_content_and_the_way_back(fleet: Fleet, zkexecctl: Zkexecctl) -> None:
    """A push with --wait fails if the rollout does, and an undo brings all members back."""
    fleet.launch(2)
    (conf,) = fleet.znodes
    zkexecctl.push(conf, b"good 1", "--lock", fleet.lock, "--wait")

    failed = zkexecctl.refused(conf, b"exit 1", "--lock", fleet.lock, "--wait")
    undone = zkexecctl.does("undo", conf, "--yes", "--lock", fleet.lock, "--wait")

    assert failed.status == 1
    assert "failed on" in failed.err
    assert "failed on" in line_of(undone.out[: undone.out.index("pushed as")], fleet.lock)
    fleet.all_run("good 1", fleet.living())
    assert [entry["message"] for entry in entries(fleet.client, conf)][-1] == "undo to @2"


def test_nothing_to_push_and_wait(fleet: Fleet, zkexecctl: Zkexecctl) -> None:
    """If nothing changes, --wait still waits until the content is everywhere."""
    fleet.launch(2)
    (conf,) = fleet.znodes
    fleet.push("good 1")

    answer = zkexecctl.push(conf, b"good 1", "--lock", fleet.lock, "--wait")

    assert "nothing to push" in answer.out
    fleet.at_rest("good 1")


def test_time_is_over(fleet: Fleet, zkexecctl: Zkexecctl) -> None:
    """If waiting takes too long, the push is kept, and the status shows the timeout."""
    fleet.launch(1)
    (conf,) = fleet.znodes
    fleet[0].freeze()

    answer = zkexecctl.refused(conf, b"good 1", "--lock", fleet.lock, "--wait", "--timeout", "1")

    assert answer.status == 3
    assert fleet.client.get(conf)[0] == b"good 1"
    fleet[0].thaw()
