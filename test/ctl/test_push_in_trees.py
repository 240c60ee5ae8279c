"""Pushes inside of trees that have a history: they are entries of these trees as well."""

import os
from pathlib import Path

import pytest
from kazoo.client import KazooClient
from kazoo.security import ACL, Id

from support.zkexecctl import CompletedRun, Zkexecctl, entries, index_of
from support.znode_trees import read_files, write_files, write_znodes, znodes_below
from support.zookeeper import Server

Files = dict[str, bytes]


@pytest.fixture
def zkexecctl(zookeeper: Server, tmp_path: Path) -> Zkexecctl:
    """An operator at the shared server."""
    return Zkexecctl(zookeeper.hosts, tmp_path)


@pytest.fixture
def conf(root: str) -> str:
    """The path of a tree that is not there yet."""
    return f"{root}/conf/"


def pushed(zkexecctl: Zkexecctl, path: str, files: Files) -> CompletedRun:
    """Push a folder with just these files, which has to succeed."""
    folder = write_files(zkexecctl.folder / f"tree-{os.urandom(4).hex()}", files)
    return zkexecctl.does("push", f"{path}={folder}", "--yes")


def pulled(zkexecctl: Zkexecctl, path: str) -> Files:
    """The files of a pull."""
    folder = zkexecctl.folder / f"pulled-{os.urandom(4).hex()}"
    zkexecctl.does("pull", f"{path}={folder}/")
    return read_files(folder)


def test_one_file_of_a_tree(zkexecctl: Zkexecctl, client: KazooClient, conf: str) -> None:
    """A push to one file writes the root as well, and is an entry of the tree's history."""
    pushed(zkexecctl, conf, {"a/b": b"1", "c": b"2", "zknode.data": b"top"})
    before = client.exists(conf[:-1])

    zkexecctl.push(f"{conf}a/b", b"new", "--by", "ada", "-m", "only this")
    zkexecctl.push(f"{conf}d", b"added")

    root = client.exists(conf[:-1])
    assert root.version == before.version + 2
    assert root.mzxid == client.exists(f"{conf}d").mzxid == client.exists(index_of(conf)).mzxid
    assert client.get(conf[:-1])[0] == b"top"
    contents = zkexecctl.contents(conf)
    assert [one["set_by_other_tool"] for one in contents] == [False] * 3
    assert contents[0]["message"] == f"push to {conf}d"
    assert (contents[1]["by"], contents[1]["message"]) == ("ada", "only this")
    zkexecctl.does("undo", conf, "--yes", "--to", "1")
    assert pulled(zkexecctl, conf) == {"a/b": b"1", "c": b"2", "zknode.data": b"top"}


def test_the_root_of_a_tree_as_a_file(zkexecctl: Zkexecctl, client: KazooClient, conf: str) -> None:
    """A push to the root's own content is an entry of the tree as well."""
    pushed(zkexecctl, conf, {"a": b"1"})

    zkexecctl.push(conf[:-1], b"top")

    assert pulled(zkexecctl, conf) == {"a": b"1", "zknode.data": b"top"}
    assert [one["set_by_other_tool"] for one in zkexecctl.contents(conf)] == [False, False]
    assert client.exists(conf[:-1]).version == 1


def test_a_tree_in_a_tree(zkexecctl: Zkexecctl, client: KazooClient, root: str) -> None:
    """A push to a tree inside another one is an entry of both."""
    pushed(zkexecctl, f"{root}/", {"in/a": b"1", "in/b": b"2", "out": b"3"})

    pushed(zkexecctl, f"{root}/in/", {"a": b"0", "c": b"4"})

    assert pulled(zkexecctl, f"{root}/") == {"in/a": b"0", "in/c": b"4", "out": b"3"}
    assert [one["present"] for one in zkexecctl.contents(f"{root}/")] == [True, False, False]
    assert len(entries(client, f"{root}/in/")) == 2


def test_a_tree_without_a_history_is_left_alone(
    zkexecctl: Zkexecctl, client: KazooClient, conf: str
) -> None:
    """A push to one file writes no root of a tree that was never pushed."""
    write_znodes(client, conf[:-1], {"a": b"1"})
    before = client.exists(conf[:-1])

    zkexecctl.push(f"{conf}a", b"2")

    assert client.exists(conf[:-1]).version == before.version


def test_a_tree_that_has_grown_too_large(
    zkexecctl: Zkexecctl, client: KazooClient, conf: str
) -> None:
    """If a tree cannot be kept, a push to one file still works; the tree shows another tool."""
    pushed(zkexecctl, conf, {"a": b"1"})
    for number in range(3):
        client.create(f"{conf}{number}", b"x" * 500_000)

    zkexecctl.push(f"{conf}a", b"2")

    assert client.exists(conf[:-1]).mzxid == client.exists(f"{conf}a").mzxid
    assert [one["set_by_other_tool"] for one in zkexecctl.contents(conf)] == [True, False]
    answer = pushed(zkexecctl, conf, {"a": b"3"})
    assert "the content set by another tool is too large to be kept" in answer.err
    assert znodes_below(client, conf[:-1]) == {"": b"", "a": b"3"}


def test_a_tree_that_cannot_be_read(zkexecctl: Zkexecctl, client: KazooClient, conf: str) -> None:
    """A tree with a broken history does not stop a push to one file, and its root is written."""
    pushed(zkexecctl, conf, {"a": b"1"})
    client.set(index_of(conf), b"no JSON")

    zkexecctl.push(f"{conf}a", b"2")

    assert client.exists(conf[:-1]).mzxid == client.exists(f"{conf}a").mzxid
    assert client.get(index_of(conf))[0] == b"no JSON"


def test_a_secret_file_in_an_open_tree(
    zkexecctl: Zkexecctl, client: KazooClient, conf: str
) -> None:
    """The content of a znode that fewer may read than the root is not copied to its history."""
    pushed(zkexecctl, conf, {"a": b"1"})
    client.create(f"{conf}secret", b"2", acl=[ACL(31, Id("ip", "127.0.0.1"))])

    zkexecctl.push(f"{conf}secret", b"the secret")
    zkexecctl.push(f"{conf}new", b"the other one", "--acl", "ip:127.0.0.1:cdrwa")

    kept = (
        client.get(f"{index_of(conf)}/{name}")[0] for name in client.get_children(index_of(conf))
    )
    assert not [content for content in kept if b"the " in content]
    assert len(entries(client, conf)) == 1
    assert client.exists(conf[:-1]).mzxid == client.exists(f"{conf}new").mzxid


def test_the_last_file_of_a_folder(zkexecctl: Zkexecctl, client: KazooClient, conf: str) -> None:
    """A tree from which another tool deletes a file goes back to it by an undo."""
    pushed(zkexecctl, conf, {"a/b": b"1"})
    client.delete(f"{conf}a/b")

    assert pulled(zkexecctl, conf) == {"a": b""}
    zkexecctl.does("undo", conf, "--yes")

    assert pulled(zkexecctl, conf) == {"a/b": b"1"}
