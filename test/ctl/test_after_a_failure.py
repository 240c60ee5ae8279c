"""What is refused after a failure, and what an undo would go back to."""

from pathlib import Path

import pytest
from kazoo.client import KazooClient

from support.group_samples import NEW, OLD, GroupZnodes, entry, failed_on
from support.zkexecctl import Zkexecctl
from support.zookeeper import Server
from zkexec.core.rollout.record import EntryPhase, RolloutRecord
from zkexec.core.rollout.version_state import VersionState


@pytest.fixture
def zkexecctl(zookeeper: Server, tmp_path: Path) -> Zkexecctl:
    """An operator at the shared server."""
    return Zkexecctl(zookeeper.hosts, tmp_path)


def test_a_failed_group_is_not_restarted(zkexecctl: Zkexecctl, group: GroupZnodes) -> None:
    """A restart does not end a failure: it is refused, with the commands that do."""
    zkexecctl.push(group.path, b"newest")
    group.zxid = group.client.exists(group.path).mzxid
    group.show("m1", wanted=NEW, phase="waiting")
    group.decide(RolloutRecord(versions=failed_on("m1", zxid=group.zxid)))
    before = group.client.get(f"{group.base}/restart")

    answer = zkexecctl("restart", group.lock)

    assert (answer.status, answer.out) == (1, "")
    assert "failed on m1" in answer.err
    assert "the command ended (exit status 3)" in answer.err
    assert f"zkexecctl retry {group.lock}; nothing was done\n" in answer.err
    assert f"zkexecctl undo {group.path} " in answer.err
    assert group.client.get(f"{group.base}/restart") == before


def test_commands_repeat_the_connection_options(
    zkexecctl: Zkexecctl, group: GroupZnodes, zookeeper: Server
) -> None:
    """What was typed to reach the cluster is in the commands that can be pasted."""
    zkexecctl.push(group.path, b"newest")
    group.zxid = group.client.exists(group.path).mzxid
    group.show("m1", wanted=NEW, phase="waiting")
    group.decide(RolloutRecord(versions=failed_on("m1", zxid=group.zxid)))
    cluster = f"--cluster {zookeeper.hosts}"

    shown = zkexecctl("status", group.lock, *cluster.split())
    refused = zkexecctl("restart", group.lock, *cluster.split())

    retry, undo = f"zkexecctl retry {group.lock}", f"zkexecctl undo {group.path}"
    for text in (shown.out, refused.err):
        assert f"{retry} {cluster}" in text
        assert f" --lock {group.lock} --wait {cluster}" in text
    plain = zkexecctl.does("status", group.lock).out
    assert f"{retry}\n" in plain
    assert undo in plain
    assert cluster not in plain


def test_a_failure_in_the_list_of_groups(zkexecctl: Zkexecctl, group: GroupZnodes) -> None:
    """The list does not read members: whether one that failed serves is a question mark there."""
    group.show("m1", wanted=NEW, phase="failed")
    entries = {"m1": entry(EntryPhase.FAILED)}
    group.decide(RolloutRecord(entries, versions=failed_on("m1", zxid=group.zxid)))

    title, *lines = zkexecctl.does("status").out.splitlines()
    (line,) = (line for line in lines if line.startswith(f"{group.lock} "))

    assert line[title.index("UNAVAILABLE")] == "?"


def test_a_tolerated_failure_is_no_obstacle(zkexecctl: Zkexecctl, group: GroupZnodes) -> None:
    """A failure of a version that no member wants any more does not prevent a restart."""
    group.show("m1")
    group.decide(RolloutRecord(versions=failed_on("m1", zxid=group.zxid)))

    zkexecctl.does("restart", group.lock)


def test_an_undo_to_what_has_failed(
    zkexecctl: Zkexecctl, group: GroupZnodes, client: KazooClient
) -> None:
    """An undo names where it goes to; if that failed as well, a warning names what was good."""
    zxids = []
    for content in (b"good", b"bad", b"worse"):
        zkexecctl.push(group.path, content, "--by=ada", "-m", content.decode())
        zxids.append(client.exists(group.path).mzxid)
    group.zxid = zxids[-1]
    group.show("m1", wanted=NEW, phase="waiting")
    good, bad, worse = zxids
    group.decide(
        RolloutRecord(
            versions={
                OLD: VersionState(good, "", known_good=True),
                "c" * 64: VersionState(bad, "", failed_by=("m1",)),
                NEW: VersionState(worse, "", failed_by=("m1",)),
            }
        )
    )

    for lock in ((), ("--lock", group.lock)):
        answer = zkexecctl.does("undo", group.path, "--dry-run", *lock)
        assert f"{group.path}: back from @4 to @3 (ada, " in answer.out
        assert answer.out.splitlines()[0].endswith(": bad)")
        assert answer.err.splitlines()[0] == (
            f"zkexecctl: warning: @3 of {group.path} has failed in {group.lock} as well; the last "
            f"known good is @2: zkexecctl undo {group.path} --to 2 --lock {group.lock}"
        )
    to_good = zkexecctl.does("undo", group.path, "--dry-run", "--to", "2")
    assert f"{group.path}: back from @4 to @2 (ada, " in to_good.out
    assert to_good.err == ""


def test_a_revision_behind_the_path(zkexecctl: Zkexecctl, group: GroupZnodes) -> None:
    """An undo of PATH@N, which names no znode, is shown with --to."""
    answer = zkexecctl("undo", f"{group.path}@2", "--yes")

    undo = f"zkexecctl undo {group.path} --to 2"
    line = f"{group.path}@2: there is no such znode; to go back to a revision: {undo}"
    assert (answer.status, answer.err) == (1, f"zkexecctl: {line}\n")


def test_a_hold_of_what_is_no_input(
    zkexecctl: Zkexecctl, group: GroupZnodes, client: KazooClient
) -> None:
    """A hold of paths that no member has is refused, and of some of several a warning."""
    group.show("m1")
    other = f"{group.path}-other"
    new = zkexecctl.file(b"new")
    words = ("--yes", "--lock", group.lock, "--hold")

    refused = zkexecctl("push", f"{other}={new}", *words)
    assert client.exists(other) is None
    both = zkexecctl.does("push", f"{other}={new}", f"{group.path}={new}", *words)

    warning = (
        f"zkexecctl: warning: the hold does not apply to {other}, which is not an input of any "
        f"living member of {group.lock}\n"
    )
    assert refused.status == 1
    assert refused.err == (
        f"{warning}zkexecctl: --hold: {group.lock} has none of these paths as an input: its "
        f"inputs are {group.path}; nothing was pushed\n"
    )
    assert both.err.startswith(warning)
