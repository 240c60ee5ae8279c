"""Trees among the inputs of a group: when they were written last, and what cannot be known."""

import subprocess
from collections import Counter
from collections.abc import Callable

import pytest
from kazoo.client import KazooClient
from kazoo.security import OPEN_ACL_UNSAFE, make_digest_acl

from support.group_samples import NEW, START, GroupZnodes, call, facts, group_status, on, parsed
from support.posted_events import connected_client
from support.proxy import CHILDREN2, EXISTS, GET, PING, Proxy
from support.sandbox import Sandbox
from support.waiting import until
from support.zkexecctl import ZKEXECCTL
from support.zookeeper import Server
from zkexec.core.snapshot import MOST_ZNODES, Problem
from zkexec.ctl.cluster_connection import ClusterConnection
from zkexec.ctl.status import phrases
from zkexec.ctl.status.group_reader import GroupReader
from zkexec.ctl.status.group_status import GroupState, GroupStatus
from zkexec.ctl.status.member_row import LastWrite
from zkexec.ctl.status.render import render_group
from zkexec.ctl.status.status_json import status_json
from zkexec.ctl.terminal.table import Frame
from zkexec.frozen import replace

OPEN_SESSION = 0
TREE = "/app/tree/"
PLAIN = Frame(lambda _style, text: text)


class TreeGroup:
    """A group with one member, whose input is a tree: /, /a, /sub and /sub/x."""

    def __init__(self, group: GroupZnodes) -> None:
        self.group = group
        self.client: KazooClient = group.client
        self.root = f"{group.path}-tree"
        self.path = f"{self.root}/"
        for name in ("", "/a", "/sub", "/sub/x"):
            self.client.create(self.root + name, name.encode())

    @property
    def newest(self) -> int:
        """The newest transaction in the tree."""
        found, paths = 0, [self.root]
        for path in paths:
            stat = self.client.exists(path)
            paths += [f"{path}/{name}" for name in self.client.get_children(path)]
            found = max(found, stat.mzxid, stat.pzxid)
        return found

    def show(self) -> None:
        """Let the member show that it runs the newest."""
        self.group.show("m1", paths=(self.path,), zxid=self.newest)


@pytest.fixture
def trees(group: GroupZnodes) -> TreeGroup:
    """A group whose member has the newest write of its tree."""
    one = TreeGroup(group)
    one.show()
    return one


def read(reader: GroupReader) -> GroupStatus:
    """The one group."""
    (status,) = reader.read()
    return status


def requests(proxy: Proxy) -> Counter[int]:
    """The requests since the last time, without those that only keep the session."""
    opcodes, proxy.opcodes = proxy.opcodes, []
    return Counter(code for code in opcodes if code not in (PING, OPEN_SESSION))


def test_every_change_in_a_tree_is_its_newest_write(
    trees: TreeGroup, cluster: ClusterConnection
) -> None:
    """A member has to know what was added, changed and removed anywhere in the tree.

    Both a reader that watches and one that reads once notice it.
    """
    client, root = trees.client, trees.root
    reader = GroupReader(cluster, trees.group.lock, live=True)
    assert read(reader).state is GroupState.COMPLETE
    changes: list[Callable[[], object]] = [
        lambda: client.set(f"{root}/sub/x", b"new"),
        lambda: client.create(f"{root}/a/first", b"new"),
        lambda: client.set(f"{root}/a/first", b"newer"),
        lambda: client.create(f"{root}/a/first/deep", b""),
        lambda: client.delete(f"{root}/sub/x"),
        lambda: client.delete(f"{root}/a", recursive=True),
        lambda: client.set(root, b"new"),
    ]
    for change in changes:
        change()

        def is_behind() -> bool:
            reader.forget(cluster.changed(0.1))
            return read(reader).rows[0].inputs_behind == (trees.path,)

        until(is_behind, "the member is behind")
        once = read(GroupReader(cluster, trees.group.lock, live=False))
        assert once.rows[0].inputs_behind == (trees.path,)
        assert once.znodes[trees.path].zxid == trees.newest
        trees.show()

        def is_complete() -> bool:
            reader.forget(cluster.changed(0.1))
            return read(reader).state is GroupState.COMPLETE

        until(is_complete, "the member is up to date")


def test_a_tree_costs_what_has_changed(
    trees: TreeGroup, cluster: ClusterConnection, proxy: Proxy
) -> None:
    """No content of a tree is read, and while it is watched only what has changed is read again."""
    read(GroupReader(cluster, trees.group.lock, live=False))
    found = requests(proxy)
    # Beside the tree: one for the restart znode that may be missing, and four lists of names.
    assert (found[EXISTS], found[CHILDREN2]) == (4, 2 + 4)

    reader = GroupReader(cluster, trees.group.lock, live=True)
    read(reader)
    requests(proxy)
    read(reader)
    assert requests(proxy) == {}
    trees.client.set(f"{trees.root}/sub/x", b"new")
    reader.forget(cluster.changed(30))
    read(reader)
    # A push writes a history as well, so all are read again: here of three paths, without any.
    histories = 3
    assert requests(proxy) == {EXISTS: 1 + histories, GET: histories}
    trees.client.create(f"{trees.root}/a/new", b"new")
    reader.forget(cluster.changed(30))
    read(reader)
    # The history of the new znode, where its push would be, takes the place of the other's.
    assert requests(proxy) == {CHILDREN2: 2, EXISTS: 1 + histories, GET: histories}


def test_the_newest_write_of_a_tree(trees: TreeGroup, cluster: ClusterConnection) -> None:
    """It has the time of the znode that was written; of a removal the time is not known."""
    stat = trees.client.set(f"{trees.root}/a", b"abc")
    write = read(GroupReader(cluster, trees.group.lock, live=False)).znodes[trees.path]
    size = len("" + "abc" + "/sub" + "/sub/x")
    assert write == LastWrite(stat.mzxid, stat.mtime / 1000, size)
    trees.client.delete(f"{trees.root}/a")
    write = read(GroupReader(cluster, trees.group.lock, live=False)).znodes[trees.path]
    assert write == LastWrite(trees.newest, 0.0, size - 3)


def test_a_tree_that_is_deleted_and_created(trees: TreeGroup, cluster: ClusterConnection) -> None:
    """A tree without a root is missing, until it is created again."""
    reader = GroupReader(cluster, trees.group.lock, live=True)
    read(reader)
    trees.client.delete(trees.root, recursive=True)

    def is_absent() -> bool:
        reader.forget(cluster.changed(0.1))
        return read(reader).absent == (trees.path,)

    until(is_absent, "the tree is missing")
    (text,) = phrases.absent_inputs(read(reader))
    assert text.endswith(f"to create it: zkexecctl push {trees.path}=DIR/")
    trees.client.create(trees.root, b"anew")
    reader.forget(cluster.changed(30))
    found = read(reader)
    assert (found.absent, found.rows[0].inputs_behind) == ((), (trees.path,))


@pytest.mark.parametrize("live", [False, True])
def test_a_part_that_may_not_be_read(
    trees: TreeGroup, cluster: ClusterConnection, live: bool
) -> None:
    """A part that may not be read is named, and stops nothing."""
    trees.client.set_acls(f"{trees.root}/sub", [make_digest_acl("anna", "secret", all=True)])
    found = read(GroupReader(cluster, trees.group.lock, live=live))
    assert found.partly_hidden == (trees.path,)
    assert found.state is GroupState.COMPLETE
    trees.client.add_auth("digest", "anna:secret")
    trees.client.set_acls(f"{trees.root}/sub", OPEN_ACL_UNSAFE)
    assert read(GroupReader(cluster, trees.group.lock, live=live)).partly_hidden == ()


def test_a_tree_with_too_many_znodes(trees: TreeGroup, cluster: ClusterConnection) -> None:
    """A tree that no member can read leaves all of them behind, until it is small enough."""
    reader = GroupReader(cluster, trees.group.lock, live=True)
    read(reader)
    for start in range(0, MOST_ZNODES, 500):
        transaction = trees.client.transaction()
        for number in range(start, start + 500):
            transaction.create(f"{trees.root}/sub/x/{number}", b"")
        transaction.commit()
    trees.show()
    found = read(GroupReader(cluster, trees.group.lock, live=False))
    assert (found.oversized, found.rows[0].inputs_behind) == ((trees.path,), (trees.path,))
    assert found.state is GroupState.ROLLING

    def is_oversized() -> bool:
        reader.forget(cluster.changed(0.1))
        return bool(read(reader).oversized)

    until(is_oversized, "the tree is too large")
    for start in range(0, MOST_ZNODES, 500):
        transaction = trees.client.transaction()
        for number in range(start, start + 500):
            transaction.delete(f"{trees.root}/sub/x/{number}")
        transaction.commit()
    trees.show()
    until(lambda: not is_oversized(), "the tree can be read")
    until(lambda: not is_oversized() and read(reader).is_complete, "all are up to date")


def test_trees_below_a_chroot(zookeeper: Server, client: KazooClient, root: str) -> None:
    """The paths of trees are those without the chroot."""
    client.create(f"{root}/chroot")
    with connected_client(f"{zookeeper.hosts}{root}/chroot") as below:
        group = TreeGroup(GroupZnodes(below, "web", "/mirrored"))
        group.show()
        options = replace(call(zookeeper.hosts).connection, chroot=f"{root}/chroot")
        with ClusterConnection(options, lambda _: None) as cluster:
            reader = GroupReader(cluster, "web", live=True)
            assert read(reader).state is GroupState.COMPLETE
            below.create(f"{group.root}/sub/y", b"")
            reader.forget(cluster.changed(30))
            assert read(reader).rows[0].inputs_behind == (group.path,)


@pytest.mark.parametrize("path", ["//", "/a//", "/a/../", "a/"])
def test_a_tree_that_is_none(group: GroupZnodes, cluster: ClusterConnection, path: str) -> None:
    """The paths of trees that a member shows are checked like others."""
    group.show("m1", paths=(path,))
    assert read(GroupReader(cluster, group.lock, live=False)).rows[0].phase == "unreadable"


def test_wait_waits_for_the_newest_write_in_a_tree(trees: TreeGroup, sandbox: Sandbox) -> None:
    """`wait` ends when the member has what was added last, and not before."""
    trees.client.create(f"{trees.root}/sub/new", b"new")
    words = (*ZKEXECCTL, "wait", trees.group.lock)
    waiting = sandbox.start(*words, stderr=subprocess.STDOUT)
    until(lambda: waiting.stdout.lines, "the first line")
    assert f"m1 without the newest {trees.path}" in waiting.stdout.lines[0]
    trees.client.delete(f"{trees.root}/sub/new")
    trees.client.create(f"{trees.root}/sub/newer", b"new")
    behind = trees.client.exists(f"{trees.root}/sub/newer").mzxid - 1
    trees.group.show("m1", paths=(trees.path,), zxid=behind, reason="one behind")
    assert waiting.is_running()
    trees.show()
    assert waiting.wait() == 0
    assert ": 1 of 1 " in waiting.stdout.lines[-1]


# What is shown of it.


def of_tree(**changes: object) -> GroupStatus:
    """A group of one member whose tree was last written like this."""
    member = replace(on(NEW, 20), facts=facts(paths=(TREE,)))
    write = LastWrite(20, START + 20)
    return group_status({"m1": member}, znodes={TREE: replace(write, **changes)})


def test_a_tree_that_is_too_much_is_shown() -> None:
    """Status shows which tree no member can read, and what it waits for."""
    group = of_tree(excess=Problem.TOO_MANY.value)
    text = "\n".join(render_group(group, START + 30, PLAIN))
    assert f"{TREE} makes more than 5,000 znodes in all; until it is less, the members keep" in text
    assert f"m1 without the newest {TREE}, which makes more than 5,000 znodes in all" in text
    found = parsed(status_json([group], START + 30))["groups"][0]["progress"][0]
    assert (found["oversized"], found["partly_hidden"]) == ([TREE], [])


def test_a_tree_that_is_partly_hidden_is_shown() -> None:
    """Status shows of which trees it cannot know all writes."""
    group = of_tree(is_partly_hidden=True)
    text = "\n".join(render_group(group, START + 30, PLAIN))
    assert f"may not be read here as a whole: {TREE}; a newer write may be there" in text
    found = parsed(status_json([group], START + 30))["groups"][0]["progress"][0]
    assert (found["oversized"], found["partly_hidden"]) == ([], [TREE])
