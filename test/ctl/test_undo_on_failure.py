"""`--undo-on-failure` beside real fleets: what is pushed again, what is left, and what is reported.

The operator's previous content is compared with the znodes, never with what zkexecctl prints.
"""

import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from support.fleet import Fleet
from support.sandbox import Sandbox
from support.waiting import DEADLINE_S, until
from support.zkexecctl import CompletedRun, Zkexecctl, entries, is_whole
from support.zookeeper import Server


@pytest.fixture
def zkexecctl(zookeeper: Server, tmp_path: Path) -> Zkexecctl:
    """An operator at the shared server."""
    return Zkexecctl(zookeeper.hosts, tmp_path)


def options(fleet: Fleet, *more: str) -> list[str]:
    """The options of a push that is undone on failure."""
    return ["--yes", "--lock", fleet.lock, "--wait", "--timeout=60", "--undo-on-failure", *more]


def meanwhile(
    zkexecctl: Zkexecctl, fleet: Fleet, content: bytes, act: Callable[[], object]
) -> CompletedRun:
    """Push content on which a member does not become healthy, and act before it has failed."""
    (conf,) = fleet.znodes
    with ThreadPoolExecutor(1) as pool:
        file = zkexecctl.file(content, "unhealthy")
        push = pool.submit(zkexecctl, "push", f"{conf}={file}", *options(fleet))
        until(lambda: fleet.ran(content.decode()) or push.done(), "a member tries it")
        act()
        return push.result(DEADLINE_S)


def test_several_paths_and_trees_are_undone(fleet: Fleet, zkexecctl: Zkexecctl) -> None:
    """Files and trees have their previous contents again; what the push created is left."""
    tree, (conf,) = f"{fleet.root}/site/", fleet.znodes
    for name in ("a", "b"):
        fleet.client.create(f"{tree}{name}", b"old", makepath=True)
    fleet.client.create(f"{fleet.root}/parts/one", b"old", makepath=True)
    folder = zkexecctl.folder / "mirrored"
    fleet.options = tuple(
        f"--mirror={folder}/{name}/={fleet.root}/{name}/" for name in ("site", "parts")
    )
    fleet.launch(1)
    site = zkexecctl.folder / "site"
    site.mkdir()
    (site / "b").write_text("new")
    (site / "c").write_text("new")
    bad, new = zkexecctl.file(b"exit 1", "bad"), zkexecctl.file(b"new")
    pairs = [f"{conf}={bad}", f"{tree}={site}/", f"{fleet.root}/parts/two={new}"]

    answer = zkexecctl("push", *pairs, *options(fleet))

    assert answer.status == 1
    fleet.at_rest("good 0")
    client = fleet.client
    assert sorted(client.get_children(tree.rstrip("/"))) == ["a", "b"]
    assert [client.get(f"{tree}{name}")[0] for name in ("a", "b")] == [b"old", b"old"]
    assert client.get(f"{fleet.root}/parts/two")[0] == b"new"
    lines = answer.err.splitlines()
    assert "failed on m0 (" in lines[0]
    assert (
        f"the push is undone: {conf} has the content of @1, {tree} has the content of @1 again"
        in lines[1]
    )
    (left,) = lines[2:]
    assert left == (
        "zkexecctl: created by the push, and left as an undo deletes nothing: "
        f"{fleet.root}/parts/two"
    )
    tokens = {entries(client, path)[-1]["token"] for path in (conf, tree)}
    assert len(tokens) == 1
    assert is_whole(client, conf)


def test_the_hold_of_a_failed_push_ends(fleet: Fleet, zkexecctl: Zkexecctl) -> None:
    """If the first member under a hold fails, the hold ends in the transaction of the undo."""
    fleet.launch(2)
    (conf,) = fleet.znodes
    pair = f"{conf}={zkexecctl.file(b'exit 1')}"

    answer = zkexecctl("push", pair, *options(fleet, "--hold"))

    assert answer.status == 1
    assert [line.partition("; ")[0] for line in answer.err.splitlines()[1:]] == [
        f"zkexecctl: the push is undone: {conf} has the content of @1 again"
    ]
    assert f"{fleet.lock}: the hold of the push has ended; it was held after 1 member" in answer.out
    fleet.at_rest("good 0")
    record = fleet.record()
    assert record["hold"] is None
    assert [one["operation"] for one in record["audit"]] == ["hold", "undo"]
    zkexecctl.push(conf, b"good 1", "--lock", fleet.lock, "--wait", "--timeout=60")
    fleet.at_rest("good 1")


def test_a_hold_that_replaced_another_stays_after_an_undo(
    fleet: Fleet, zkexecctl: Zkexecctl
) -> None:
    """What the earlier hold was about is not approved by the undo, and the report names the way."""
    fleet.launch(2)
    (conf,) = fleet.znodes
    zkexecctl.push(conf, b"good 1", "--lock", fleet.lock, "--hold", "--wait", "--timeout=60")
    pair = f"{conf}={zkexecctl.file(b'exit 1')}"

    answer = zkexecctl("push", pair, *options(fleet, "--hold=2"))

    assert answer.status == 1
    assert answer.err.splitlines()[-1] == (
        "zkexecctl: the hold of the push is still there; to remove it: "
        f"zkexecctl approve {fleet.lock}"
    )
    assert fleet.record()["hold"]["after"] == "2"
    assert fleet.client.get(conf)[0] == b"good 1"


def test_an_undo_is_undone(fleet: Fleet, zkexecctl: Zkexecctl) -> None:
    """If the content that an undo brings back fails, the content before the undo is pushed."""
    (conf,) = fleet.znodes
    zkexecctl.push(conf, b"exit 1")
    zkexecctl.push(conf, b"good 1")
    for _ in range(2):
        fleet.add().start()
    fleet.at_rest("good 1")

    answer = zkexecctl("undo", conf, *options(fleet))

    assert answer.status == 1
    assert f"the push is undone: {conf} has the content of @2 again" in answer.err
    fleet.at_rest("good 1")
    assert entries(fleet.client, conf)[-1]["restored_revision"] == 2


@pytest.mark.parametrize("theirs", ["good 2", "unhealthy 1"], ids=["other", "same"])
def test_what_was_written_meanwhile_is_kept(
    fleet: Fleet, zkexecctl: Zkexecctl, theirs: str
) -> None:
    """If the path was written since the push, also with the same bytes, nothing is undone."""
    fleet.launch(2)
    (conf,) = fleet.znodes

    answer = meanwhile(zkexecctl, fleet, b"unhealthy 1", lambda: fleet.push(theirs))

    assert answer.status == 1
    assert fleet.client.get(conf)[0] == theirs.encode()
    last = answer.err.splitlines()[-1]
    if theirs == "unhealthy 1":
        assert last == (
            f"zkexecctl: the push is not undone: {conf} was written by another tool since"
        )
        fleet.push("good 2")
    else:
        assert "superseded: " in last
    fleet.at_rest("good 2")


def test_only_a_failure_is_undone(fleet: Fleet, zkexecctl: Zkexecctl) -> None:
    """A pause and the end of the time undo nothing: the content stays as it was pushed."""
    fleet.launch(2)
    (conf,) = fleet.znodes
    zkexecctl.does("pause", fleet.lock, "--reason=lunch")
    pair = f"{conf}={zkexecctl.file(b'good 1')}"

    paused = zkexecctl("push", pair, *options(fleet))
    zkexecctl.does("resume", fleet.lock)
    fleet.at_rest("good 1")
    pair = f"{conf}={zkexecctl.file(b'hang 2')}"
    late = zkexecctl("push", pair, *options(fleet, "--timeout=0.5"))

    assert (paused.status, late.status) == (1, 3)
    assert "undone" not in paused.err + late.err
    assert fleet.client.get(conf)[0] == b"hang 2"
    fleet.push("good 3")
    fleet.at_rest("good 3")


def test_a_push_that_has_changed_nothing_is_not_undone(fleet: Fleet, zkexecctl: Zkexecctl) -> None:
    """If the contents were there already, their failure is reported, and they stay."""
    fleet.launch(2)
    (conf,) = fleet.znodes
    fleet.push("exit 1")
    assert zkexecctl("wait", fleet.lock, "--timeout=60").status == 1

    answer = zkexecctl("push", f"{conf}={zkexecctl.file(b'exit 1')}", *options(fleet))

    assert answer.status == 1
    assert answer.err.splitlines()[-1] == (
        "zkexecctl: the push is not undone: it has changed nothing"
    )
    assert fleet.client.get(conf)[0] == b"exit 1"
    fleet.push("good 2")
    fleet.at_rest("good 2")


def test_an_interrupted_push_says_what_goes_on(
    fleet: Fleet, zkexecctl: Zkexecctl, sandbox: Sandbox, zookeeper: Server
) -> None:
    """After Ctrl-C nothing watches the rollout any more, so nothing undoes it."""
    (conf,) = fleet.znodes
    fleet.launch(1)
    file = zkexecctl.file(b"unhealthy 1")
    words = (f"--cluster={zookeeper.hosts}", "push", f"{conf}={file}", *options(fleet))
    push = sandbox.start(sys.executable, "-m", "zkexec.ctl", *words)
    push.until("0 of 1 updated", on=push.stdout)
    fleet.until(lambda: fleet.ran("unhealthy 1"), "the member tries it")

    push.signal(signal.SIGINT)

    assert push.wait() == -signal.SIGINT
    assert push.stderr.lines[-1] == (
        "zkexecctl: interrupted: the rollout goes on, and is not undone if it fails"
    )
    assert fleet.client.get(conf)[0] == b"unhealthy 1"
