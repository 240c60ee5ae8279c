"""Watches and reads, on a real server, in both ways of reading: at once, and twice."""

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import NoAuthError
from kazoo.security import make_acl, make_digest_acl

from support.posted_events import Opener, drive_until, ensemble_of
from support.proxy import (
    GET,
    MULTI_READ,
    READS_ONLY,
    SET_WATCHES,
    SYNC,
    Proxy,
    Request,
    Treatment,
    pass_all,
)
from support.zookeeper import demand_reading_at_once
from zkexec.core.events import ReadFailed, SessionConnected, SessionSuspended, ZnodeTouched
from zkexec.core.snapshot import Problem, Znode


def test_contents(opened: Opener, client: KazooClient, root: str) -> None:
    """Each znode comes with its bytes, the transaction that wrote them and its version."""
    client.create(f"{root}/a", b"\0binary\xff")
    client.create(f"{root}/empty", b"")
    stat = client.set(f"{root}/a", b"\0again\xff")
    with opened(f"{root}/a", f"{root}/empty") as (ensemble, posted):
        found = posted.read(ensemble)
        expected = Znode(f"{root}/a", b"\0again\xff", stat.mzxid, version=1, czxid=stat.czxid)
        assert found[f"{root}/a"] == expected
        assert found[f"{root}/empty"].content == b""
        assert (found[f"{root}/empty"].problem, found[f"{root}/empty"].version) == (None, 0)


@pytest.mark.parametrize("others", [0, 50])
def test_missing_and_forbidden(opened: Opener, client: KazooClient, root: str, others: int) -> None:
    """A znode that is not there, or that may not be read, is no failure of the read."""
    client.create(f"{root}/closed", b"x", acl=[make_digest_acl("some", "one", all=True)])
    client.create(f"{root}/open", b"y")
    paths = (f"{root}/closed", f"{root}/open", f"{root}/none/at/all")
    with opened(*paths, *some(client, root, others)) as (ensemble, posted):
        found = posted.read(ensemble)
        assert [found[path].problem for path in paths] == [
            Problem.FORBIDDEN,
            None,
            Problem.MISSING,
        ]
        assert found[f"{root}/open"].content == b"y"
        assert [found[path].version for path in paths] == [-1, 0, -1]
        client.set(f"{root}/open", b"z")
        posted.next(ZnodeTouched, path=f"{root}/open")
        client.create(f"{root}/none/at/all", b"now", makepath=True)
        posted.next(ZnodeTouched, path=f"{root}/none/at/all")
        found = posted.read(ensemble)
        assert [found[path].content for path in paths] == [b"", b"z", b"now"]
        assert found[paths[0]].problem is Problem.FORBIDDEN


def test_chroot(opened: Opener, client: KazooClient, root: str) -> None:
    """Below a chroot, paths are told without it, also in what a watch tells."""
    client.create(f"{root}/a", b"1")
    with opened("/a", "/", chroot=f"{root}/") as (ensemble, posted):
        assert posted.contents(ensemble) == {"/a": b"1", "/": b""}
        client.set(root, b"2")
        assert posted.next(ZnodeTouched).path == "/"
        client.set(f"{root}/a", b"3")
        assert posted.next(ZnodeTouched).path == "/a"
        assert posted.contents(ensemble) == {"/a": b"3", "/": b"2"}


def test_missing_chroot(opened: Opener, client: KazooClient, root: str) -> None:
    """Below a chroot that does not exist, every znode is missing, as is told, until it is there."""
    with opened("/a", chroot=f"{root}/later") as (ensemble, posted):
        assert posted.read(ensemble)["/a"].problem is Problem.NO_CHROOT
        client.create(f"{root}/later")
        client.create(f"{root}/later/a", b"now")
        posted.next(ZnodeTouched, path="/a")
        assert posted.contents(ensemble) == {"/a": b"now"}


def test_a_znode_that_is_missing_below_its_chroot(opened: Opener, root: str) -> None:
    """Where the chroot is there, it is not blamed."""
    with opened("/a", "/", chroot=root) as (ensemble, posted):
        assert posted.read(ensemble)["/a"].problem is Problem.MISSING
        assert posted.read(ensemble)["/"].problem is None


def test_each_change_is_told(opened: Opener, client: KazooClient, root: str) -> None:
    """After each read, the next change is told, and the read after that shows it."""
    with opened(root) as (ensemble, posted):
        posted.read(ensemble)
        for number in range(20):
            stat = client.set(root, str(number).encode())
            posted.next(ZnodeTouched, path=root)
            content = str(number).encode()
            znode = Znode(root, content, stat.mzxid, version=stat.version, czxid=stat.czxid)
            assert posted.read(ensemble) == {root: znode}


def test_created_deleted_and_created(opened: Opener, client: KazooClient, root: str) -> None:
    """A znode that comes, goes and comes back is told each time."""
    path = f"{root}/a"
    with opened(path) as (ensemble, posted):
        assert posted.read(ensemble)[path].problem is Problem.MISSING
        client.create(path, b"1")
        posted.next(ZnodeTouched, path=path)
        assert posted.contents(ensemble) == {path: b"1"}
        client.delete(path)
        posted.next(ZnodeTouched, path=path)
        assert posted.read(ensemble)[path].problem is Problem.MISSING
        client.create(path, b"2")
        posted.next(ZnodeTouched, path=path)
        assert posted.contents(ensemble) == {path: b"2"}


def test_replaced_in_one_instant(opened: Opener, client: KazooClient, root: str) -> None:
    """A znode deleted and created in one transaction is told, and its mzxid has grown."""
    path = f"{root}/a"
    client.create(path, b"same")
    with opened(path) as (ensemble, posted):
        before = posted.read(ensemble)[path]
        transaction = client.transaction()
        transaction.delete(path)
        transaction.create(path, b"same")
        transaction.commit()
        posted.next(ZnodeTouched, path=path)
        after = posted.read(ensemble)[path]
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
    with opened(*paths) as (ensemble, posted):
        assert posted.contents(ensemble) == {path: path.encode() * 50 for path in paths}
        for path in (paths[0], paths[500], paths[999]):
            client.set(path, b"new")
            posted.next(ZnodeTouched, path=path)
        found = posted.contents(ensemble)
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
    with opened(path, f"{root}/missing") as (ensemble, posted):
        assert posted.contents(ensemble) == {path: b"1", f"{root}/missing": b""}
        client.create(f"{root}/missing")
        posted.next(ZnodeTouched)
        posted.read(ensemble)
    assert proxy.opcodes
    assert set(proxy.opcodes) <= READS_ONLY


_REQUESTS = {
    1: ([SYNC, GET], [GET]),
    2: ([SYNC, MULTI_READ, GET, GET], [MULTI_READ]),
    50: ([SYNC, MULTI_READ, MULTI_READ, SET_WATCHES], [MULTI_READ]),
}


@pytest.mark.parametrize("count", _REQUESTS)
def test_first_read_syncs(proxy: Proxy, client: KazooClient, root: str, count: int) -> None:
    """Each connection sends sync first; then few requests read all, and arm all watches.

    If there are several znodes, an empty multi-read follows sync: an old server refuses it.
    """
    if count > 1:
        demand_reading_at_once()
    first, second = _REQUESTS[count]
    with ensemble_of(proxy.hosts, paths=some(client, root, count)) as (ensemble, posted):
        for _connection in range(2):
            posted.next(SessionConnected)
            posted.read(ensemble)
            assert proxy.opcodes == first
            posted.read(ensemble)
            assert proxy.opcodes[len(first) :] == second
            proxy.cut()
            proxy.opcodes.clear()
            posted.next(SessionSuspended)


def some(client: KazooClient, root: str, count: int) -> tuple[str, ...]:
    """Make so many znodes."""
    transaction = client.transaction()
    paths = tuple(f"{root}/{number:03}" for number in range(count))
    for path in paths:
        transaction.create(path, b"0")
    transaction.commit()
    return paths


@pytest.mark.parametrize("count", [1, 2, 50])
def test_only_what_was_touched_is_read(
    proxy: Proxy, client: KazooClient, root: str, count: int
) -> None:
    """Only the watch that fired is armed again, by the request that reads its znode.

    Whether all others still are what they were is looked at afterwards.
    """
    if count > 1:
        demand_reading_at_once()
    paths = some(client, root, count)
    requests = [GET] if count == 1 else [GET, MULTI_READ]
    with ensemble_of(proxy.hosts, paths=paths) as (ensemble, posted):
        posted.next(SessionConnected)
        posted.read(ensemble)
        for content in (b"x", b"y"):
            proxy.opcodes.clear()
            client.set(paths[-1], content)
            posted.next(ZnodeTouched, path=paths[-1])
            found = posted.contents(ensemble)
            assert found == dict.fromkeys(paths, b"0") | {paths[-1]: content}
            drive_until(lambda: proxy.opcodes == requests, f"{requests}")


def test_many_that_were_touched(proxy: Proxy, client: KazooClient, root: str) -> None:
    """Where many have changed, all are read by one request, and all watches armed by one more."""
    demand_reading_at_once()
    paths = some(client, root, 50)
    with ensemble_of(proxy.hosts, paths=paths) as (ensemble, posted):
        posted.next(SessionConnected)
        posted.read(ensemble)
        for content in (b"x", b"y"):
            proxy.opcodes.clear()
            transaction = client.transaction()
            for path in paths[:30]:
                transaction.set_data(path, content)
            transaction.delete(paths[30])
            transaction.create(paths[30], content)
            transaction.commit()
            for path in paths[:31]:
                posted.next(ZnodeTouched, path=path)
            found = posted.contents(ensemble)
            assert found == dict.fromkeys(paths, b"0") | dict.fromkeys(paths[:31], content)
            assert proxy.opcodes == [MULTI_READ, SET_WATCHES]


def test_change_before_the_watches_are_armed(proxy: Proxy, client: KazooClient, root: str) -> None:
    """What changes between a reading and the arming of its watches is told."""
    demand_reading_at_once()
    paths = (*some(client, root, 20), f"{root}/missing")

    def change(request: Request) -> Treatment:
        if request.opcode == SET_WATCHES and proxy.opcodes.count(SET_WATCHES) == 1:
            transaction = client.transaction()
            transaction.set_data(paths[3], b"new")
            transaction.delete(paths[4])
            transaction.create(paths[-1], b"new")
            transaction.commit()
        return Treatment.PASS_ON

    with ensemble_of(proxy.hosts, paths=paths) as (ensemble, posted):
        posted.next(SessionConnected)
        proxy.on_request, proxy.one_by_one = change, True
        assert set(posted.contents(ensemble).values()) == {b"0", b""}
        assert {e.path for e in posted.events if isinstance(e, ZnodeTouched)} == {
            paths[3],
            paths[4],
            paths[-1],
        }
        found = posted.read(ensemble)
        assert (found[paths[3]].content, found[paths[-1]].content) == (b"new", b"new")
        assert found[paths[4]].problem is Problem.MISSING


def test_others_change_while_one_is_read(proxy: Proxy, client: KazooClient, root: str) -> None:
    """Where another znode changes before the one that is read, all of them are read."""
    demand_reading_at_once()
    paths = some(client, root, 20)

    def change(request: Request) -> Treatment:
        if request.opcode == GET:
            transaction = client.transaction()
            transaction.set_data(paths[7], b"2")
            transaction.set_data(paths[8], b"2")
            transaction.commit()
        return Treatment.PASS_ON

    with ensemble_of(proxy.hosts, paths=paths) as (ensemble, posted):
        posted.next(SessionConnected)
        posted.read(ensemble)
        client.set(paths[7], b"1")
        posted.next(ZnodeTouched, path=paths[7])
        proxy.opcodes.clear()
        proxy.on_request, proxy.one_by_one = change, True
        found = posted.contents(ensemble)
        assert (found[paths[7]], found[paths[8]]) == (b"2", b"2")
        assert proxy.opcodes == [GET, MULTI_READ, SET_WATCHES]
        proxy.on_request = pass_all
        for path in paths[6:9]:
            client.set(path, b"3")
            posted.next(ZnodeTouched, path=path)


def test_permission_that_is_withdrawn(proxy: Proxy, client: KazooClient, root: str) -> None:
    """A znode that may not be read any more is told once another one has been read."""
    demand_reading_at_once()
    paths = some(client, root, 20)
    with ensemble_of(proxy.hosts, paths=paths) as (ensemble, posted):
        posted.next(SessionConnected)
        posted.read(ensemble)
        client.set_acls(paths[3], [make_digest_acl("some", "one", all=True)])
        client.set(paths[7], b"1")
        posted.next(ZnodeTouched, path=paths[7])
        assert posted.contents(ensemble)[paths[7]] == b"1"
        posted.next(ZnodeTouched, path=paths[3])
        found = posted.read(ensemble)
        assert [path for path in paths if found[path].problem] == [paths[3]]
        assert found[paths[3]].problem is Problem.FORBIDDEN


def test_watches_that_cannot_be_armed(proxy: Proxy, client: KazooClient, root: str) -> None:
    """A reading without watches is none: it fails, and the next one arms all of them."""
    demand_reading_at_once()
    paths = some(client, root, 20)
    proxy.on_request = lambda request: (
        Treatment.REFUSE_AND_HANG_UP if request.opcode == SET_WATCHES else Treatment.PASS_ON
    )
    with ensemble_of(proxy.hosts, paths=paths) as (ensemble, posted):
        posted.next(SessionConnected)
        assert isinstance(posted.answer(ensemble), ReadFailed)
        proxy.on_request = pass_all
        posted.next(SessionConnected)
        posted.read(ensemble)
        for path in paths:
            client.set(path, b"1")
            posted.next(ZnodeTouched, path=path)


def test_several_reads_on_their_way(opened: Opener, client: KazooClient, root: str) -> None:
    """Reads that are asked for before an earlier one is answered are answered each."""
    client.set(root, b"1")
    with opened(root) as (ensemble, posted):
        for number in range(100, 150):
            ensemble.read(number)
        assert posted.contents(ensemble) == {root: b"1"}
        answers = [getattr(event, "number", 0) for event in posted.events]
        assert [number for number in answers if number >= 100] == list(range(100, 150))


def test_lost_reply(proxy: Proxy, root: str) -> None:
    """A read whose answer is lost is answered with a failure once the connection is gone."""
    with ensemble_of(proxy.hosts, paths=(root,)) as (ensemble, posted):
        posted.next(SessionConnected)
        posted.read(ensemble)
        proxy.on_request = lambda request: (
            Treatment.LOSE_REPLY if request.opcode == GET else Treatment.PASS_ON
        )
        ensemble.read(500)
        drive_until(lambda: proxy.opcodes.count(GET) == 2, "the read is on its way")
        proxy.cut()
        reason = posted.next(ReadFailed, number=500).reason
        assert f"instead of answering get {root} of " in reason
        posted.next(SessionConnected)
        assert not posted.since_mark(ReadFailed)
