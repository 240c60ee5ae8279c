"""A push that is waited for and superseded meanwhile: its pipeline hears so, and never 0."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from signal import SIGCONT, SIGSTOP

import pytest
from kazoo.client import KazooClient

from support.fleet import Fleet
from support.group_samples import GroupZnodes
from support.processes import state
from support.sandbox import Sandbox
from support.waiting import DEADLINE_S, until
from support.zkexecctl import ZKEXECCTL, CompletedRun, Zkexecctl
from support.zookeeper import Server


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


def waiting_for(
    zkexecctl: Zkexecctl,
    client: KazooClient,
    path: str,
    lock: str,
    audit_entry: Callable[[], object],
) -> CompletedRun:
    """Push and wait, and do something once the push is written."""
    words = ["push", f"{path}={zkexecctl.file(b'ours', 'ours')}", "--yes", "--lock", lock, "--wait"]
    with ThreadPoolExecutor(1) as pool:
        push = pool.submit(zkexecctl, *words, "--timeout", "40")
        until(lambda: client.get(path)[0] == b"ours" or push.done(), "it is pushed")
        audit_entry()
        return push.result(DEADLINE_S)


def test_a_later_push_ends_the_wait(
    zkexecctl: Zkexecctl, group: GroupZnodes, client: KazooClient
) -> None:
    """1, with the revision and the author of the newer push."""

    def push() -> None:
        zkexecctl.push(group.path, b"theirs", "--by", "bob@desk")

    answer = waiting_for(zkexecctl, client, group.path, group.lock, push)

    assert answer.status == 1
    message = f"{group.lock}: superseded by {group.path}@3 (bob@desk)"
    assert answer.err == f"zkexecctl: {message}\n"


def test_what_is_complete_can_be_the_later_push(
    zkexecctl: Zkexecctl, group: GroupZnodes, client: KazooClient, sandbox: Sandbox
) -> None:
    """The wait ends with 1 even if all members run the later push already."""
    words = ("push", f"{group.path}={zkexecctl.file(b'ours', 'ours')}", "--yes", "--wait")
    push = sandbox.start(*ZKEXECCTL, *words, "--lock", group.lock)
    push.until("0 of 1", on=push.stdout)
    # The wait has read the member.  What it reads next is the group after the later push.
    push.signal(SIGSTOP)
    push.until(lambda: state(push.pid) == "T", "it is stopped")
    zkexecctl.push(group.path, b"theirs", "--by", "bob@desk")
    group.zxid = client.exists(group.path).mzxid
    group.show("m1")
    push.signal(SIGCONT)

    assert push.wait() == 1
    assert f"superseded by {group.path}@3 (bob@desk)" in push.stderr.text


def test_another_tool_ends_the_wait(
    zkexecctl: Zkexecctl, group: GroupZnodes, client: KazooClient
) -> None:
    """1 if another tool has written other content, and this is reported."""
    answer = waiting_for(
        zkexecctl, client, group.path, group.lock, lambda: client.set(group.path, b"theirs")
    )

    assert answer.status == 1
    assert f"superseded: {group.path} was written by another tool (6 bytes, sha256 " in answer.err


def test_a_deletion_ends_the_wait(
    zkexecctl: Zkexecctl, group: GroupZnodes, client: KazooClient
) -> None:
    """1 if the znode was deleted."""
    answer = waiting_for(
        zkexecctl, client, group.path, group.lock, lambda: client.delete(group.path)
    )

    assert answer.status == 1
    assert answer.err == f"zkexecctl: {group.lock}: superseded: {group.path} was deleted\n"


def test_the_same_bytes_supersede_nothing(
    zkexecctl: Zkexecctl, group: GroupZnodes, client: KazooClient
) -> None:
    """The wait goes on if the same content is written again, for the newest write."""

    def write() -> None:
        group.zxid = client.set(group.path, b"ours").mzxid
        group.show("m1")

    answer = waiting_for(zkexecctl, client, group.path, group.lock, write)

    assert answer.status == 0, answer


def test_a_rollout_that_is_overtaken(fleet: Fleet, zkexecctl: Zkexecctl) -> None:
    """Of two pushes in a row the first gets 1, the second 0 and the members."""
    fleet.launch(3)
    (conf,) = fleet.znodes
    first = ["push", f"{conf}={zkexecctl.file(b'slow 1', 'first')}", "--yes", "--lock", fleet.lock]

    with ThreadPoolExecutor(1) as pool:
        overtaken = pool.submit(zkexecctl, *first, "--wait")
        fleet.until(fleet.in_flight, "a member is in flight")
        second = zkexecctl.push(
            conf, b"good 2", "--lock", fleet.lock, "--wait", "--by", "bob", "--timeout", "60"
        )
        answer = overtaken.result(DEADLINE_S)

    assert (answer.status, second.status) == (1, 0)
    assert f"superseded by {conf}@3 (bob)" in answer.err
    fleet.at_rest("good 2")


@pytest.mark.parametrize("change", ["add", "change", "remove"])
def test_another_write_in_a_tree_ends_the_wait(
    zkexecctl: Zkexecctl, group: GroupZnodes, client: KazooClient, tmp_path: Path, change: str
) -> None:
    """1 if another tool writes anything in the tree, although no member has read that."""
    folder = tmp_path / "tree"
    folder.mkdir()
    for name in ("a", "b"):
        (folder / name).write_bytes(name.encode())
    tree = f"{group.path}/"
    group.show("m1", paths=(tree,))
    words = ("push", f"{tree}={folder}/", "--yes", "--lock", group.lock, "--wait")
    changes: dict[str, Callable[[], object]] = {
        "add": lambda: client.create(f"{tree}c", b"c"),
        "change": lambda: client.set(f"{tree}a", b"new"),
        "remove": lambda: client.delete(f"{tree}b"),
    }
    with ThreadPoolExecutor(1) as pool:
        push = pool.submit(zkexecctl, *words, "--timeout", "40")
        until(lambda: client.exists(f"{tree}b") or push.done(), "it is pushed")
        changes[change]()
        answer = push.result(DEADLINE_S)

    assert answer.status == 1
    assert f"superseded: {tree} was written by another tool" in answer.err


def test_an_ephemeral_znode_supersedes_nothing(
    zkexecctl: Zkexecctl, group: GroupZnodes, client: KazooClient, tmp_path: Path
) -> None:
    """The wait goes on if a tree has the same content after a write, for the newest write."""
    folder = tmp_path / "tree"
    folder.mkdir()
    (folder / "a").write_bytes(b"a")
    tree = f"{group.path}/"
    group.show("m1", paths=(tree,))
    words = ("push", f"{tree}={folder}/", "--yes", "--lock", group.lock, "--wait")
    with ThreadPoolExecutor(1) as pool:
        push = pool.submit(zkexecctl, *words, "--timeout", "40")
        until(lambda: client.exists(f"{tree}a") or push.done(), "it is pushed")
        client.create(f"{tree}here", b"", ephemeral=True)
        group.show("m1", paths=(tree,), zxid=client.exists(f"{tree}here").czxid)
        answer = push.result(DEADLINE_S)

    assert answer.status == 0, answer
