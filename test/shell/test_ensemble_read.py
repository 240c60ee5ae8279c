"""Watches and reads, on a real server, in both ways of reading: at once, and twice."""

import time

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import NoAuthError
from kazoo.security import make_acl, make_digest_acl

from news import Opener, ensemble_of
from proxy import EXISTS, MULTI_READ, READS_ONLY, SYNC, Fate, Proxy
from zkexec.core.events import ReadFailed, SessionConnected, SessionSuspended, ZnodeTouched
from zkexec.core.snapshot import Problem, Znode


def test_contents(opened: Opener, client: KazooClient, root: str) -> None:
    """Each znode comes with its bytes, the transaction that wrote them and its version."""
    client.create(f"{root}/a", b"\0binary\xff")
    client.create(f"{root}/empty", b"")
    stat = client.set(f"{root}/a", b"\0again\xff")
    with opened(f"{root}/a", f"{root}/empty") as (ensemble, news):
        found = news.read(ensemble)
        assert found[f"{root}/a"] == Znode(f"{root}/a", b"\0again\xff", stat.mzxid, version=1)
        assert found[f"{root}/empty"].content == b""
        assert (found[f"{root}/empty"].problem, found[f"{root}/empty"].version) == (None, 0)


def test_missing_and_forbidden(opened: Opener, client: KazooClient, root: str) -> None:
    """A znode that is not there, or that may not be read, is no failure of the read."""
    client.create(f"{root}/closed", b"x", acl=[make_digest_acl("some", "one", all=True)])
    client.create(f"{root}/open", b"y")
    paths = (f"{root}/closed", f"{root}/open", f"{root}/none/at/all")
    with opened(*paths) as (ensemble, news):
        found = news.read(ensemble)
        assert [found[path].problem for path in paths] == [
            Problem.FORBIDDEN,
            None,
            Problem.MISSING,
        ]
        assert found[f"{root}/open"].content == b"y"
        assert [found[path].version for path in paths] == [-1, 0, -1]


def test_chroot(opened: Opener, client: KazooClient, root: str) -> None:
    """Below a chroot, paths are told without it, also in what a watch tells."""
    client.create(f"{root}/a", b"1")
    with opened("/a", "/", chroot=f"{root}/") as (ensemble, news):
        assert news.contents(ensemble) == {"/a": b"1", "/": b""}
        client.set(root, b"2")
        assert news.next(ZnodeTouched).path == "/"
        client.set(f"{root}/a", b"3")
        assert news.next(ZnodeTouched).path == "/a"
        assert news.contents(ensemble) == {"/a": b"3", "/": b"2"}


def test_missing_chroot(opened: Opener, client: KazooClient, root: str) -> None:
    """Below a chroot that does not exist, every znode is missing, until it is there."""
    with opened("/a", chroot=f"{root}/later") as (ensemble, news):
        assert news.read(ensemble)["/a"].problem is Problem.MISSING
        client.create(f"{root}/later")
        client.create(f"{root}/later/a", b"now")
        news.next(ZnodeTouched, path="/a")
        assert news.contents(ensemble) == {"/a": b"now"}


def test_each_change_is_told(opened: Opener, client: KazooClient, root: str) -> None:
    """After each read, the next change is told, and the read after that shows it."""
    with opened(root) as (ensemble, news):
        news.read(ensemble)
        for number in range(20):
            stat = client.set(root, str(number).encode())
            news.next(ZnodeTouched, path=root)
            content = str(number).encode()
            znode = Znode(root, content, stat.mzxid, version=stat.version)
            assert news.read(ensemble) == {root: znode}


def test_created_deleted_and_created(opened: Opener, client: KazooClient, root: str) -> None:
    """A znode that comes, goes and comes back is told each time."""
    path = f"{root}/a"
    with opened(path) as (ensemble, news):
        assert news.read(ensemble)[path].problem is Problem.MISSING
        client.create(path, b"1")
        news.next(ZnodeTouched, path=path)
        assert news.contents(ensemble) == {path: b"1"}
        client.delete(path)
        news.next(ZnodeTouched, path=path)
        assert news.read(ensemble)[path].problem is Problem.MISSING
        client.create(path, b"2")
        news.next(ZnodeTouched, path=path)
        assert news.contents(ensemble) == {path: b"2"}


def test_replaced_in_one_instant(opened: Opener, client: KazooClient, root: str) -> None:
    """A znode deleted and created in one transaction is told, and its mzxid has grown."""
    path = f"{root}/a"
    client.create(path, b"same")
    with opened(path) as (ensemble, news):
        before = news.read(ensemble)[path]
        transaction = client.transaction()
        transaction.delete(path)
        transaction.create(path, b"same")
        transaction.commit()
        news.next(ZnodeTouched, path=path)
        after = news.read(ensemble)[path]
        assert (after.content, before.content) == (b"same", b"same")
        assert after.mzxid > before.mzxid


def test_thousand_znodes(opened: Opener, client: KazooClient, root: str) -> None:
    """A thousand znodes are read together, and a change of any one of them is told."""
    paths = [f"{root}/{number:04}" for number in range(1000)]
    for start in range(0, 1000, 100):
        transaction = client.transaction()
        for path in paths[start : start + 100]:
            transaction.create(path, path.encode() * 50)
        transaction.commit()
    with opened(*paths) as (ensemble, news):
        assert news.contents(ensemble) == {path: path.encode() * 50 for path in paths}
        for path in (paths[0], paths[500], paths[999]):
            client.set(path, b"new")
            news.next(ZnodeTouched, path=path)
        found = news.contents(ensemble)
        assert [path for path in paths if found[path] == b"new"] == [
            paths[0],
            paths[500],
            paths[999],
        ]


def test_nothing_is_written(opened: Opener, proxy: Proxy, client: KazooClient, root: str) -> None:
    """A client that may only read reads everything, and sends nothing that could write."""
    path = f"{root}/a"
    client.create(path, b"1", acl=[make_acl("world", "anyone", read=True)])
    with pytest.raises(NoAuthError):
        client.set(path, b"2")
    with opened(path, f"{root}/missing") as (ensemble, news):
        assert news.contents(ensemble) == {path: b"1", f"{root}/missing": b""}
        client.create(f"{root}/missing")
        news.next(ZnodeTouched)
        news.read(ensemble)
    assert proxy.opcodes
    assert set(proxy.opcodes) <= READS_ONLY


def test_first_read_syncs(proxy: Proxy, client: KazooClient, root: str) -> None:
    """The first read on each connection sends sync, then the watches, then the read; then no more.

    Before that, the server is asked once whether it knows the multi-read.
    """
    client.set(root, b"1")
    with ensemble_of(proxy.hosts, paths=(root,)) as (ensemble, news):
        for _connection in range(2):
            news.next(SessionConnected)
            proxy.opcodes.clear()
            news.read(ensemble)
            assert proxy.opcodes == [MULTI_READ, SYNC, EXISTS, MULTI_READ]
            news.read(ensemble)
            assert proxy.opcodes[4:] == [MULTI_READ]
            proxy.cut()
            news.next(SessionSuspended)


def test_watches_are_not_armed_twice(proxy: Proxy, client: KazooClient, root: str) -> None:
    """Only the watch that fired is armed again."""
    client.create(f"{root}/a")
    client.create(f"{root}/b")
    with ensemble_of(proxy.hosts, paths=(f"{root}/a", f"{root}/b")) as (ensemble, news):
        news.next(SessionConnected)
        news.read(ensemble)
        proxy.opcodes.clear()
        client.set(f"{root}/a", b"x")
        news.next(ZnodeTouched, path=f"{root}/a")
        news.read(ensemble)
        assert proxy.opcodes == [EXISTS, MULTI_READ]


def test_several_reads_on_their_way(opened: Opener, client: KazooClient, root: str) -> None:
    """Reads that are asked for before an earlier one is answered are answered each."""
    client.set(root, b"1")
    with opened(root) as (ensemble, news):
        for number in range(100, 150):
            ensemble.read(number)
        assert news.contents(ensemble) == {root: b"1"}
        answers = [getattr(event, "number", 0) for event in news.events]
        assert [number for number in answers if number >= 100] == list(range(100, 150))


def test_lost_reply(proxy: Proxy, root: str) -> None:
    """A read whose answer is lost is answered with a failure once the connection is gone."""
    with ensemble_of(proxy.hosts, paths=(root,)) as (ensemble, news):
        news.next(SessionConnected)
        news.read(ensemble)
        proxy.on_request = lambda request: (
            Fate.LOSE_REPLY if request.opcode == MULTI_READ else Fate.PASS_ON
        )
        ensemble.read(500)
        deadline = time.monotonic() + 30.0
        while proxy.opcodes.count(MULTI_READ) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        proxy.cut()
        assert news.next(ReadFailed, number=500).reason == "the connection was lost"
        news.next(SessionConnected)
        assert not news.since_mark(ReadFailed)
