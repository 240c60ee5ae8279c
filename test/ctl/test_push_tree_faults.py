"""Pushes of trees while others write, and while requests and replies are lost."""

import signal
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from kazoo.client import KazooClient

from support.group_samples import GroupZnodes
from support.proxy import (
    CHILDREN2,
    CREATE,
    EXISTS,
    GET,
    TRANSACTION,
    Proxy,
    Request,
    Treatment,
    Way,
    pass_all,
)
from support.sandbox import Sandbox
from support.waiting import DEADLINE_S, until
from support.zkexecctl import ZKEXECCTL, CompletedRun, Zkexecctl, entries, index_of, kept
from support.znode_trees import write_files, write_znodes, znodes_below
from support.zookeeper import Server

GET_ACL = 6
OLD = {"a": b"1", "b/c": b"2", "b/d": b"3", "same": b"4"}
NEW = {"a": b"0", "b/c": b"2", "e": b"5", "same": b"4"}
PUSHED = {"": b"", "a": b"0", "b": b"", "b/c": b"2", "e": b"5", "same": b"4"}

Change = Callable[[KazooClient, str], object]


@pytest.fixture
def zkexecctl(zookeeper: Server, tmp_path: Path) -> Zkexecctl:
    """An operator at the shared server."""
    return Zkexecctl(zookeeper.hosts, tmp_path)


@pytest.fixture
def conf(root: str, client: KazooClient) -> str:
    """The path of a tree that another tool has made."""
    write_znodes(client, f"{root}/conf", OLD)
    return f"{root}/conf/"


def words(folder: Path, path: str) -> list[str]:
    """The words of a push of the new tree."""
    return ["push", f"{path}={write_files(folder / 'new-tree', NEW)}", "--yes"]


def anew(client: KazooClient, path: str) -> None:
    """Delete a znode and create it with the same content: its version is the same."""
    content, _ = client.get(path)
    client.delete(path)
    client.create(path, content)


CHANGES: dict[str, tuple[Change, str]] = {
    "added": (lambda client, conf: client.create(f"{conf}b/x"), "b/x was created"),
    "added at the root": (lambda client, conf: client.create(f"{conf}x"), "x was created"),
    "removed": (lambda client, conf: client.delete(f"{conf}b/d"), "b/d was deleted"),
    "changed": (lambda client, conf: client.set(f"{conf}same", b"x"), "same was changed"),
    "touched": (lambda client, conf: client.set(f"{conf}b/c", b"2"), "b/c was changed"),
    "anew": (lambda client, conf: anew(client, f"{conf}same"), "same was changed"),
    "root": (lambda client, conf: client.set(conf[:-1], b"x"), " was changed"),
    "deleted": (lambda client, conf: client.delete(conf[:-1], recursive=True), " was deleted"),
}


@pytest.mark.parametrize(("change", "message"), CHANGES.values(), ids=CHANGES.keys())
def test_changed_since_it_was_shown(
    zkexecctl: Zkexecctl, client: KazooClient, conf: str, change: Change, message: str
) -> None:
    """Whatever others do anywhere in the tree is kept, and the push is refused with its path."""
    started, go = zkexecctl.folder / "started", zkexecctl.folder / "go"
    check = f"touch {started}; until [ -e {go} ]; do sleep 0.01; done"
    with ThreadPoolExecutor(1) as pool:
        push = pool.submit(zkexecctl, *words(zkexecctl.folder, conf), "--check", check)
        try:
            until(lambda: started.exists() or push.done(), "the check runs")
            change(client, conf)
        finally:
            go.touch()
        answer = push.result(DEADLINE_S)

    assert answer.status == 1
    assert answer.err.startswith(f"zkexecctl: {conf}{message} since the diff was shown")
    assert answer.err.endswith("; nothing was pushed\n")
    assert "e" not in znodes_below(client, conf[:-1])
    assert entries(client, conf) == []


@pytest.mark.parametrize(
    "name", ["added", "removed", "changed", "touched", "anew", "root", "deleted"]
)
def test_at_the_last_moment(
    zkexecctl: Zkexecctl, proxy: Proxy, client: KazooClient, conf: str, name: str
) -> None:
    """What others do while the transaction is on its way stops all of it.

    A child that is added in this moment below a folder that stays is the one exception.
    """
    behind = Zkexecctl(proxy.hosts, zkexecctl.folder)
    change = CHANGES[name][0] if name != "added" else below_what_is_deleted
    done: list[object] = []

    def look(request: Request) -> Treatment:
        if request.opcode == TRANSACTION and not done:
            done.append(change(client, conf))
        return Treatment.PASS_ON

    proxy.on_request = look

    answer = behind(*words(zkexecctl.folder, conf))

    assert done
    assert answer.status == 1
    assert "since the diff was shown" in answer.err
    assert "e" not in znodes_below(client, conf[:-1])


def below_what_is_deleted(client: KazooClient, conf: str) -> None:
    """Create a child of a znode that the push deletes."""
    client.create(f"{conf}b/d/x")


def test_an_ephemeral_znode_at_the_last_moment(
    zkexecctl: Zkexecctl, proxy: Proxy, client: KazooClient, conf: str
) -> None:
    """An ephemeral znode below one that is to be deleted stops the push, and is named."""
    behind = Zkexecctl(proxy.hosts, zkexecctl.folder)
    done: list[object] = []

    def look(request: Request) -> Treatment:
        if request.opcode == TRANSACTION and not done:
            done.append(client.create(f"{conf}b/d/live", ephemeral=True))
        return Treatment.PASS_ON

    proxy.on_request = look

    answer = behind(*words(zkexecctl.folder, conf))

    assert done
    assert answer.status == 1
    assert f"there is an ephemeral znode below it: {conf}b/d/live" in answer.err
    assert client.exists(f"{conf}b/d/live") is not None
    assert "e" not in znodes_below(client, conf[:-1])


def test_ephemeral_znodes_come_and_go(zkexecctl: Zkexecctl, client: KazooClient, conf: str) -> None:
    """An ephemeral znode that appears meanwhile, in the way of nothing, is no conflict."""
    check = zkexecctl.folder / "go"
    started = zkexecctl.folder / "started"
    script = f"touch {started}; until [ -e {check} ]; do sleep 0.01; done"
    with ThreadPoolExecutor(1) as pool:
        push = pool.submit(zkexecctl, *words(zkexecctl.folder, conf), "--check", script)
        until(lambda: started.exists() or push.done(), "the check runs")
        client.create(f"{conf}b/live", ephemeral=True)
        check.touch()
        answer = push.result(DEADLINE_S)

    assert answer.status == 0, answer
    assert znodes_below(client, conf[:-1]) == {**PUSHED, "b/live": b""}


@pytest.mark.parametrize("way", list(Way), ids=lambda way: way.name)
@pytest.mark.parametrize("opcode", [GET, GET_ACL, CHILDREN2, EXISTS, CREATE, TRANSACTION])
def test_lost_on_the_way(
    proxy: Proxy, zkexecctl: Zkexecctl, client: KazooClient, conf: str, opcode: int, way: Way
) -> None:
    """Whatever request or reply is lost with its connection, the push is done, and done once."""
    behind = Zkexecctl(proxy.hosts, zkexecctl.folder)
    lost = threading.Event()

    def look(request: Request) -> Treatment:
        if request.opcode == opcode and not lost.is_set():
            proxy.black_hole(way)
            lost.set()
        return Treatment.PASS_ON

    proxy.on_request = look
    with ThreadPoolExecutor(1) as pool:
        push = pool.submit(behind, *words(zkexecctl.folder, conf))
        assert lost.wait(DEADLINE_S)
        if opcode == TRANSACTION and way is Way.TO_CLIENT:
            until(lambda: client.exists(f"{conf}e") is not None, "it was done")
        proxy.on_request = pass_all
        proxy.heal()
        answer = push.result(DEADLINE_S)

    assert answer.out.splitlines()[-1].startswith(f"{conf}: pushed as @2 ")
    assert znodes_below(client, conf[:-1]) == PUSHED
    assert client.exists(conf[:-1]).version == 1
    assert client.exists(f"{conf}a").version == 2
    found = entries(client, conf)
    assert [entry["set_by_other_tool"] for entry in found] == [True, False]
    assert kept(client, conf) == {entry["digest"] for entry in found}


def killed_at(sandbox: Sandbox, proxy: Proxy, pair: str, count: int) -> bool:
    """Push in a process that is killed at its nth request; False if it had fewer."""
    started = threading.Event()
    seen = 0

    def look(_: Request) -> Treatment:
        nonlocal seen
        seen += 1
        if seen == count:
            assert started.wait(DEADLINE_S)
            process.signal(signal.SIGKILL)
        return Treatment.PASS_ON

    proxy.on_request = look
    process = sandbox.start(
        *(*ZKEXECCTL, "push", pair, "--yes", f"--cluster={proxy.hosts}"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    started.set()
    status = process.wait()
    assert status in (0, -signal.SIGKILL)
    return seen >= count


def test_killed_at_any_moment(
    sandbox: Sandbox, proxy: Proxy, zkexecctl: Zkexecctl, client: KazooClient, conf: str
) -> None:
    """A push that is killed has done all or nothing, and the next one clears up behind it."""
    folder = zkexecctl.folder / "tree"
    count = 12
    while killed_at(sandbox, proxy, f"{conf}={write_files(folder, numbered(count))}", count):
        found = znodes_below(client, conf[:-1])
        assert len({found.get(name) for name in ("a", "b/c", "x")}) == 1 or "x" not in found
        count += 3
    assert count > 15

    zkexecctl.does("push", f"{conf}={write_files(folder, numbered(0))}", "--yes")

    assert kept(client, conf) == {entry["digest"] for entry in entries(client, conf)}


def numbered(count: int) -> dict[str, bytes]:
    """A tree whose files all have the same content."""
    return dict.fromkeys(("a", "b/c", "x"), b"%d" % count)


def test_two_at_once(zkexecctl: Zkexecctl, client: KazooClient, conf: str) -> None:
    """Of two operators with the same diff one wins, and the other's error names the first."""
    for number in range(8):
        here = [zkexecctl.folder / f"{who}{number}" for who in ("ada", "bob")]

        def push(mine: Path, other: Path) -> CompletedRun:
            check = f"touch {mine}; until [ -e {other} ]; do sleep 0.01; done"
            # They write different files: only the root shows each the other's push.
            tree = {**OLD, mine.name[:3]: mine.name.encode()}
            folder = write_files(zkexecctl.folder / f"{mine.name}.tree", tree)
            pair = f"{conf}={folder}"
            return zkexecctl("push", pair, "--yes", "--by", mine.name[:3], "--check", check)

        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(push, here, reversed(here)))
        assert sorted(answer.status for answer in answers) == [0, 1], answers
        winner = here[0 if answers[0].status == 0 else 1].name
        loser = next(answer for answer in answers if answer.status)
        assert "since the diff was shown" in loser.err
        assert f"by {winner[:3]}" in loser.err
        assert client.get(f"{conf}{winner[:3]}")[0] == winner.encode()
    assert kept(client, conf) >= {entry["digest"] for entry in entries(client, conf)}


def test_a_hostile_history(zkexecctl: Zkexecctl, client: KazooClient, conf: str) -> None:
    """A history that cannot be read is named and left alone, and so is its tree."""
    client.create(index_of(conf), b"no JSON", makepath=True)

    answer = zkexecctl(*words(zkexecctl.folder, conf))

    assert answer.status == 125
    assert answer.err.startswith(f"zkexecctl: {index_of(conf)}: the history is no valid JSON; ")
    assert "e" not in znodes_below(client, conf[:-1])


@pytest.fixture
def group(client: KazooClient, root: str) -> GroupZnodes:
    """A group with a member whose input is a tree, and that is up to date."""
    group = GroupZnodes(client, root.strip("/"), f"{root}/tree")
    for name, content in OLD.items():
        client.create(f"{root}/tree/{name}", content, makepath=True)
    group.path += "/"
    group.show("m1")
    return group


def waiting_for(
    zkexecctl: Zkexecctl, client: KazooClient, group: GroupZnodes, change: Callable[[], object]
) -> CompletedRun:
    """Push the tree and wait, and do something once it is written."""
    line = [*words(zkexecctl.folder, group.path), "--lock", group.lock, "--wait", "--timeout", "40"]
    with ThreadPoolExecutor(1) as pool:
        push = pool.submit(zkexecctl, *line)
        until(lambda: client.exists(f"{group.path}e") is not None or push.done(), "it is pushed")
        change()
        return push.result(DEADLINE_S)


def root_zxid(group: GroupZnodes) -> int:
    """The newest write of the root."""
    zxid: int = group.client.exists(group.path[:-1]).mzxid
    return zxid


def test_a_tree_that_arrives(zkexecctl: Zkexecctl, client: KazooClient, group: GroupZnodes) -> None:
    """A push with --wait ends with 0 when the members whose input is the tree have it."""

    def arrive() -> None:
        group.zxid = root_zxid(group)
        group.show("m1")

    assert waiting_for(zkexecctl, client, group, arrive).status == 0


def test_a_later_push_supersedes(
    zkexecctl: Zkexecctl, client: KazooClient, group: GroupZnodes
) -> None:
    """1 if a later push, also of a single file, has changed the tree."""

    def push() -> None:
        zkexecctl.push(f"{group.path}a", b"theirs", "--by", "bob@desk")

    answer = waiting_for(zkexecctl, client, group, push)

    assert answer.status == 1
    assert answer.err.endswith(f"{group.lock}: superseded by {group.path}@3 (bob@desk)\n")


def test_another_tool_supersedes(
    zkexecctl: Zkexecctl, client: KazooClient, group: GroupZnodes
) -> None:
    """1 if another tool has written below the root, as soon as a member has read it."""

    def write() -> None:
        group.zxid = client.set(f"{group.path}b/c", b"theirs").mzxid
        group.show("m1")

    answer = waiting_for(zkexecctl, client, group, write)

    assert answer.status == 1
    message = f"superseded: {group.path} was written by another tool (4 files, 9 bytes)"
    assert answer.err.endswith(f"{group.lock}: {message}\n")


def test_the_same_bytes_supersede_nothing(
    zkexecctl: Zkexecctl, client: KazooClient, group: GroupZnodes
) -> None:
    """The wait goes on if the same content is written again."""

    def write() -> None:
        group.zxid = client.set(f"{group.path}b/c", b"2").mzxid
        group.show("m1")

    assert waiting_for(zkexecctl, client, group, write).status == 0


def test_a_file_of_an_input(zkexecctl: Zkexecctl, client: KazooClient, group: GroupZnodes) -> None:
    """A push to one file of a tree that is an input writes the root, so that all notice it."""
    before = root_zxid(group)

    answer = zkexecctl.refused(
        f"{group.path}a", b"new", "--lock", group.lock, "--wait", "--timeout", "1"
    )

    assert answer.status == 3
    assert before < root_zxid(group) == client.exists(f"{group.path}a").mzxid
    assert client.get(group.path[:-1])[0] == b"again"


def test_a_tree_that_is_no_input(
    zkexecctl: Zkexecctl, client: KazooClient, group: GroupZnodes, root: str
) -> None:
    """If no member has the tree as an input, --wait is refused before the push."""
    line = words(zkexecctl.folder, f"{root}/other/")

    answer = zkexecctl(*line, "--lock", group.lock, "--wait")

    assert answer.status == 1
    assert f"{root}/other/ is not an input of any living member" in answer.err
    assert client.exists(f"{root}/other") is None
