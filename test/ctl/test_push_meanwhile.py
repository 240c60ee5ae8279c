"""Pushes while others write: nothing is overwritten that was not shown."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from kazoo.client import KazooClient

from support.proxy import TRANSACTION, Proxy, Request, Treatment
from support.waiting import DEADLINE_S, until
from support.zkexecctl import CompletedRun, Zkexecctl, entries, index_of, is_whole, kept
from support.zookeeper import Server

AuditEntry = Callable[[KazooClient, str], object]


@pytest.fixture
def zkexecctl(zookeeper: Server, tmp_path: Path) -> Zkexecctl:
    """An operator at the shared server."""
    return Zkexecctl(zookeeper.hosts, tmp_path)


def meanwhile(
    zkexecctl: Zkexecctl, words: Sequence[str], audit_entry: Callable[[], object]
) -> CompletedRun:
    """Run a push, and do something after its difference was shown and before it writes."""
    started, go = zkexecctl.folder / "started", zkexecctl.folder / "go"
    check = f"touch {started}; until [ -e {go} ]; do sleep 0.01; done"
    with ThreadPoolExecutor(1) as pool:
        push = pool.submit(zkexecctl, *words, "--yes", "--check", check)
        try:
            until(lambda: started.exists() or push.done(), "the check runs")
            audit_entry()
        finally:
            go.touch()
        return push.result(DEADLINE_S)


def anew(client: KazooClient, path: str) -> None:
    """Delete the znode and create it with other content: its version is the same."""
    client.delete(path)
    client.create(path, b"anew")


CHANGES: list[tuple[AuditEntry, str]] = [
    (
        lambda client, path: client.set(path, b"theirs"),
        "was changed since the diff was shown (version 0, now 1)",
    ),
    (
        lambda client, path: client.set(path, b"old"),
        "was changed since the diff was shown (version 0, now 1)",
    ),
    (lambda client, path: client.delete(path), "was deleted since the diff was shown"),
    (anew, "was deleted and created again since the diff was shown"),
]


@pytest.mark.parametrize("change", CHANGES, ids=["set", "touched", "deleted", "anew"])
@pytest.mark.parametrize("is_unchanged", [False, True], ids=["written", "unchanged"])
def test_changed_by_another_tool(
    zkexecctl: Zkexecctl,
    client: KazooClient,
    root: str,
    change: tuple[AuditEntry, str],
    is_unchanged: bool,
) -> None:
    """What another tool has done since the diff was shown is kept, and reported."""
    audit_entry, message = change
    conf, other = f"{root}/conf", f"{root}/other"
    client.create(conf, b"old")
    content = b"old" if is_unchanged else b"new"
    words = ["push", f"{other}={zkexecctl.file(b'x', 'x')}", f"{conf}={zkexecctl.file(content)}"]

    answer = meanwhile(zkexecctl, words, lambda: audit_entry(client, conf))

    assert answer.status == 1
    assert answer.err == f"zkexecctl: {conf} {message}; nothing was pushed\n"
    assert client.exists(other) is None
    assert client.exists(conf) is None or client.get(conf)[0] != b"new"


def test_created_by_another_tool(zkexecctl: Zkexecctl, client: KazooClient, root: str) -> None:
    """A znode that was created meanwhile is not overwritten."""
    conf = f"{root}/conf"
    words = ["push", f"{conf}={zkexecctl.file(b'new')}"]

    answer = meanwhile(zkexecctl, words, lambda: client.create(conf, b"theirs"))

    assert answer.err == (
        f"zkexecctl: {conf} was created since the diff was shown; nothing was pushed\n"
    )
    assert client.get(conf)[0] == b"theirs"


def test_parents_made_by_others(zkexecctl: Zkexecctl, client: KazooClient, root: str) -> None:
    """A parent that was created meanwhile is no obstacle."""
    conf = f"{root}/a/b/conf"
    words = ["push", f"{conf}={zkexecctl.file(b'new')}"]

    answer = meanwhile(zkexecctl, words, lambda: client.create(f"{root}/a", b"theirs"))

    assert answer.status == 0
    assert [client.get(path)[0] for path in (conf, f"{root}/a")] == [b"new", b"theirs"]


def test_a_history_that_a_killed_push_has_begun(
    zkexecctl: Zkexecctl, client: KazooClient, root: str
) -> None:
    """A history without entries, which a push that died has left, is no obstacle."""
    conf = f"{root}/conf"
    words = ["push", f"{conf}={zkexecctl.file(b'new')}"]

    answer = meanwhile(
        zkexecctl,
        words,
        lambda: client.create(index_of(conf), b'{"format":1,"entries":[]}', makepath=True),
    )

    assert answer.status == 0
    assert is_whole(client, conf)


def test_a_history_that_was_deleted(zkexecctl: Zkexecctl, client: KazooClient, root: str) -> None:
    """If the history was deleted meanwhile, the push does not continue without it."""
    conf = f"{root}/conf"
    zkexecctl.push(conf, b"old")
    words = ["push", f"{conf}={zkexecctl.file(b'new')}"]

    answer = meanwhile(zkexecctl, words, lambda: client.delete(index_of(conf), recursive=True))

    assert answer.err == (
        f"zkexecctl: {conf}: its history was changed since the diff was shown; nothing was pushed\n"
    )
    zkexecctl.push(conf, b"new")
    assert is_whole(client, conf)


LAST_CHANGES: list[Callable[[KazooClient, str], object]] = [
    lambda client, root: client.set(f"{root}/conf", b"theirs"),
    lambda client, root: client.delete(f"{root}/conf"),
    lambda client, root: client.set(f"{root}/same", b"theirs"),
    lambda client, root: client.create(f"{root}/other", b"theirs"),
    lambda client, root: client.set(index_of(f"{root}/conf"), b'{"format":1,"entries":[]}'),
]


@pytest.mark.parametrize(
    "audit_entry", LAST_CHANGES, ids=["set", "delete", "check", "create", "index"]
)
def test_at_the_last_moment(
    zkexecctl: Zkexecctl, proxy: Proxy, client: KazooClient, root: str, audit_entry: AuditEntry
) -> None:
    """What others do while the transaction is on its way stops all of it."""
    behind = Zkexecctl(proxy.hosts, zkexecctl.folder)
    zkexecctl.push(f"{root}/conf", b"old")
    zkexecctl.push(f"{root}/same", b"same")
    done: list[object] = []

    def look(request: Request) -> Treatment:
        if request.opcode == TRANSACTION and not done:
            done.append(audit_entry(client, root))
        return Treatment.PASS_ON

    proxy.on_request = look
    new, same = zkexecctl.file(b"new"), zkexecctl.file(b"same", "same")
    pairs = [f"{root}/conf={new}", f"{root}/other={new}", f"{root}/same={same}"]

    answer = behind("push", *pairs, "--yes")

    assert done
    assert answer.status == 1
    assert answer.err.endswith("since the diff was shown; nothing was pushed\n") or (
        "(version 0, now 1); nothing was pushed\n" in answer.err
    )
    for name in ("conf", "other", "same"):
        assert client.exists(f"{root}/{name}") is None or client.get(f"{root}/{name}")[0] != b"new"


def test_two_at_once(zkexecctl: Zkexecctl, client: KazooClient, root: str) -> None:
    """Of two operators with the same diff one wins, and the other's error names the first."""
    paths = [f"{root}/a", f"{root}/b"]
    for number in range(25):
        here = [zkexecctl.folder / f"{who}{number}" for who in ("ada", "bob")]

        def push(mine: Path, other: Path) -> CompletedRun:
            check = f"touch {mine}; until [ -e {other} ]; do sleep 0.01; done"
            file = zkexecctl.file(mine.name.encode(), f"{mine.name}.new")
            pairs = [f"{path}={file}" for path in paths]
            return zkexecctl("push", *pairs, "--yes", "--by", mine.name[:3], "--check", check)

        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(push, here, reversed(here)))
        assert sorted(answer.status for answer in answers) == [0, 1], answers
        winner = here[0 if answers[0].status == 0 else 1].name
        loser = next(answer for answer in answers if answer.status)
        assert "since the diff was shown" in loser.err
        assert f"by {winner[:3]}" in loser.err
        assert [client.get(path)[0] for path in paths] == [winner.encode()] * 2
    for path in paths:
        assert [entry["revision"] for entry in entries(client, path)] == list(range(16, 26))
        assert is_whole(client, path)


def test_many_one_after_the_other(zkexecctl: Zkexecctl, client: KazooClient, root: str) -> None:
    """However many push at the same time, what is done is in the history, in the order of doing."""
    conf = f"{root}/conf"

    def push(who: int) -> int:
        done = 0
        for number in range(15):
            name = zkexecctl.file(b"%d %d" % (who, number), f"{who}")
            answer = zkexecctl("push", f"{conf}={name}", "--yes")
            assert answer.status == 0 or "since the diff was shown" in answer.err, answer
            done += answer.status == 0
        return done

    with ThreadPoolExecutor(4) as pool:
        done = sum(pool.map(push, range(4)))

    found = entries(client, conf)
    assert found[-1]["revision"] == done
    assert len(found) == 10
    assert is_whole(client, conf)
    zkexecctl.push(conf, b"last")
    assert kept(client, conf) == {entry["digest"] for entry in entries(client, conf)}
