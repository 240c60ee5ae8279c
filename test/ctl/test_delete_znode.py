"""`zkexecctl delete ZK_PATH`: a znode or tree goes with its history, and not against a member."""

import os
import sys
from pathlib import Path

import pytest
from kazoo.client import KazooClient
from kazoo.security import make_acl

from support.group_samples import GroupZnodes
from support.program import Program
from support.sandbox import Sandbox
from support.terminal import Terminal
from support.zkexecctl import Zkexecctl, entries, index_of
from support.znode_trees import write_files
from support.zookeeper import Server

ZKEXECCTL = (sys.executable, "-m", "zkexec.ctl")


@pytest.fixture
def zkexecctl(zookeeper: Server, tmp_path: Path) -> Zkexecctl:
    """An operator at the shared server."""
    return Zkexecctl(zookeeper.hosts, tmp_path)


def push_tree(zkexecctl: Zkexecctl, path: str, files: dict[str, bytes]) -> None:
    """Push a folder with just these files."""
    folder = write_files(zkexecctl.folder / f"tree-{os.urandom(4).hex()}", files)
    zkexecctl.does("push", f"{path}={folder}", "--yes")


def test_a_znode_and_its_history(zkexecctl: Zkexecctl, client: KazooClient, root: str) -> None:
    """What goes is shown, and then the znode and its history are gone."""
    path = f"{root}/conf"
    zkexecctl.push(path, b"one")
    zkexecctl.push(path, b"secret", "--by=ada", "-m", "two")

    shown = zkexecctl.does("delete", path, "--dry-run")
    assert client.exists(path)
    done = zkexecctl.does("delete", path, "--yes", "--by=ann", "-m", "not needed")

    for answer in (shown, done):
        assert f"{path}: 6 bytes, sha256 " in answer.out
        assert ", pushed as @2 by ada: two\n" in answer.out
        assert f"history of {path}: 2 contents\n" in answer.out
        assert "secret" not in answer.out
    assert done.out.endswith(f"{path}: deleted by ann: not needed (1 history)\n")
    assert client.exists(path) is None
    assert client.exists(index_of(path)) is None
    assert zkexecctl("delete", path, "--yes").err == f"zkexecctl: {path}: there is no such znode\n"


def test_a_tree_and_all_histories_in_it(
    zkexecctl: Zkexecctl, client: KazooClient, root: str
) -> None:
    """A tree goes with the histories of what is in it; a znode alone has no children."""
    tree = f"{root}/conf/"
    push_tree(zkexecctl, tree, {"a/b": b"1", "c": b"2"})
    zkexecctl.push(f"{tree}c", b"3")
    alone = zkexecctl("delete", tree[:-1], "--yes")

    done = zkexecctl.does("delete", tree, "--yes")

    assert alone.status == 1
    assert f"there are znodes below it (a, c): to delete the whole tree, write {tree}" in alone.err
    assert f"{tree}: 2 files, 2 bytes, pushed as @2 by " in done.out
    assert "\n  a/b (1 byte)\n  c (1 byte)\n" in done.out
    assert done.out.endswith("(2 histories)\n")
    assert [client.exists(path) for path in (tree[:-1], index_of(tree), index_of(f"{tree}c"))] == (
        [None] * 3
    )


def test_a_file_of_a_tree_with_a_history(
    zkexecctl: Zkexecctl, client: KazooClient, root: str
) -> None:
    """The deletion of a file is an entry of the tree around it, which an undo brings back."""
    tree = f"{root}/conf/"
    push_tree(zkexecctl, tree, {"a/b": b"1", "c": b"2"})
    version = client.exists(tree[:-1]).version

    done = zkexecctl.does("delete", f"{tree}a/b", "--yes", "--by=ann")

    assert f"{tree}: has an entry for this in its history\n" in done.out
    assert client.get_children(tree[:-1]) == ["c"]
    assert client.exists(tree[:-1]).version == version + 1
    newest = zkexecctl.contents(tree)[0]
    assert (newest["by"], newest["message"]) == ("ann", f"deletion of {tree}a/b")
    assert newest["set_by_other_tool"] is False
    zkexecctl.does("undo", tree, "--yes")
    assert client.get(f"{tree}a/b")[0] == b"1"


@pytest.mark.parametrize("as_tree", [False, True])
def test_living_members_keep_their_inputs(
    zkexecctl: Zkexecctl, group: GroupZnodes, client: KazooClient, as_tree: bool
) -> None:
    """A znode that a living member has as an input is refused without --force, and why is shown."""
    path = f"{group.path}-of-it"
    client.create(f"{path}/a" if as_tree else path, b"1", makepath=True)
    named = f"{path}/" if as_tree else path
    group.show("m1", paths=(named,))
    group.show("m2")

    shown = zkexecctl("delete", named, "--dry-run")
    refused = zkexecctl("delete", named, "--yes")
    assert client.exists(path)
    done = zkexecctl.does("delete", named, "--yes", "--force")

    line = f"{group.lock}: an input of m1, whose snapshot becomes unusable"
    assert (shown.status, refused.status) == (1, 1)
    assert (shown.out, shown.err) == (refused.out, refused.err)
    assert line in refused.out
    assert "add --force to delete it anyway" in refused.err
    assert line in done.out
    assert client.exists(path) is None


def test_a_file_of_a_tree_that_is_an_input(
    zkexecctl: Zkexecctl, group: GroupZnodes, client: KazooClient
) -> None:
    """One file of several is a change for members; the last one is refused."""
    tree = f"{group.path}-tree/"
    for name in ("a", "b"):
        client.create(f"{tree}{name}", b"1", makepath=True)
    group.show("m1", paths=(tree,))

    one = zkexecctl.does("delete", f"{tree}a", "--yes")
    last = zkexecctl("delete", f"{tree}b", "--yes")

    assert f"{group.lock}: part of an input of m1, to whom it is a change\n" in one.out
    assert (last.status, client.get_children(tree[:-1])) == (1, ["b"])
    assert "an input of m1, whose snapshot becomes unusable" in last.out


def test_what_is_left_of_a_history(zkexecctl: Zkexecctl, client: KazooClient, root: str) -> None:
    """If another tool has deleted the znode, its history can be deleted as well."""
    zkexecctl.push(f"{root}/conf", b"one")
    client.delete(f"{root}/conf")

    done = zkexecctl.does("delete", f"{root}/conf", "--yes")

    assert "there is no such znode, only what is left of its history" in done.out
    assert entries(client, f"{root}/conf") == []


def test_a_history_that_may_not_be_deleted(
    zookeeper: Server, client: KazooClient, root: str, tmp_path: Path
) -> None:
    """It is an error with what is gone, what is left, and what to type; then that works."""
    zkexecctl = Zkexecctl(f"{zookeeper.hosts}{root}", tmp_path)
    zkexecctl.push("/conf", b"one")
    histories = f"{root}/zkexec/.history"
    client.set_acls(histories, [make_acl("world", "anyone", read=True, create=True, admin=True)])

    refused = zkexecctl("delete", "/conf", "--yes", "--by=ann")
    again = zkexecctl("delete", "/conf", "--yes", "--by=ann")
    left = client.get_children(histories)
    client.set_acls(histories, [make_acl("world", "anyone", all=True)])
    done = zkexecctl.does("delete", "/conf", "--yes", "--by=ann")

    error = "/zkexec/.history: no permission to delete /zkexec/.history/%2Fconf (d)"
    assert (refused.status, client.exists(f"{root}/conf"), left) == (125, None, ["%2Fconf"])
    assert refused.err == (
        "zkexecctl: /conf: deleted by ann (0 histories), but its history is left (/conf): "
        f"{error}; once this is mended: zkexecctl delete /conf\n"
    )
    assert (again.status, again.err) == (125, f"zkexecctl: {error}\n")
    assert done.out.endswith("/conf: deleted by ann (1 history)\n")
    assert client.get_children(histories) == []


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("/", "NAME|ZK_PATH: '/' is the root of all znodes: write a path below it"),
        ("/zkexec/", "NAME|ZK_PATH: '/zkexec/' contains znodes of zkexec itself: "),
        ("/zkexec/.history/x", "NAME|ZK_PATH: '/zkexec/.history/x' contains znodes of zkexec itse"),
        ("/zkexec/no/state", "/zkexec/no/state: is a znode of zkexec itself: delete a group by"),
        ("/no/such/", "/no/such/: there is no such znode"),
    ],
)
def test_what_is_no_path_to_delete(zkexecctl: Zkexecctl, path: str, line: str) -> None:
    """Znodes of zkexec itself, and the root, are refused with what to write instead."""
    answer = zkexecctl("delete", path, "--yes")

    assert answer.status in (1, 2)
    assert answer.err.startswith(f"zkexecctl: {line}")


def test_an_ephemeral_znode_in_a_tree(zkexecctl: Zkexecctl, client: KazooClient, root: str) -> None:
    """A tree in which a session has an ephemeral znode stays as it is."""
    client.create(f"{root}/conf/a", b"1", makepath=True)
    client.create(f"{root}/conf/b/session", b"", ephemeral=True, makepath=True)

    answer = zkexecctl("delete", f"{root}/conf/", "--yes")

    assert (answer.status, client.exists(f"{root}/conf/a") is None) == (1, False)
    assert f"{root}/conf/b/session: is an ephemeral znode" in answer.err


def test_the_question(sandbox: Sandbox, client: KazooClient, root: str) -> None:
    """Without --yes it is asked on a terminal, and a pipe is refused."""
    client.create(f"{root}/conf", b"1", makepath=True)
    piped = sandbox.run(*ZKEXECCTL, "delete", f"{root}/conf")
    asked: Program = sandbox.start(*ZKEXECCTL, "delete", f"{root}/conf", terminal=Terminal(24, 100))
    asked.expect(r"Delete this znode and its history\? \[y/N\]")
    asked.send("n\r")

    assert asked.wait() == 1
    assert (piped[0], piped[2]) == (
        2,
        b"zkexecctl: stdin is not a terminal: add --yes to delete without confirmation\n",
    )
    assert client.exists(f"{root}/conf")
