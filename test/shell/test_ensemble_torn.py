"""No read shows a state that never was, however the writes fall between its requests."""

import sys
import time

import pytest
from kazoo.client import KazooClient

from support.posted_events import Opener, ensemble_of
from support.program import Program
from support.proxy import EXISTS, GET, MULTI_READ, Proxy, Request, Treatment, like_an_old_server
from support.waiting import DEADLINE_S
from support.zookeeper import Server, demand_reading_at_once
from zkexec.core.events import ReadFailed, SessionConnected, SessionSuspended, ZnodesRead
from zkexec.core.snapshot import Problem
from zkexec.zookeeper.snapshot_reader import FEW

_WRITER = """
import sys
import time
from itertools import count
from kazoo.client import KazooClient

hosts, root, pause_s = sys.argv[1:]
client = KazooClient(hosts=hosts)
client.start()
for number in count(1):
    content = str(number).encode()
    transaction = client.transaction()
    transaction.set_data(root + "/a", content)
    transaction.set_data(root + "/b", content)
    if number % 2:
        transaction.create(root + "/odd", content)
    else:
        transaction.delete(root + "/odd")
    transaction.commit()
    time.sleep(float(pause_s))
"""


def test_no_torn_read(
    request: pytest.FixtureRequest,
    opened: Opener,
    zookeeper: Server,
    client: KazooClient,
    root: str,
) -> None:
    """What changes in one transaction is never seen in half: contents, or a znode that comes."""
    paths = (f"{root}/a", f"{root}/b", f"{root}/odd")
    client.create(paths[0], b"0")
    client.create(paths[1], b"0")
    # In a process of its own, so that it writes as fast as it can while this one reads.
    # One that hardly rests would let no second look find what the first one saw, which takes long
    # on a busy host.
    pause_s = "0.02" if request.node.callspec.params["opened"] == "twice" else "0"
    writer = Program(sys.executable, "-c", _WRITER, zookeeper.hosts, root, pause_s)
    seen = set()
    with writer:
        with opened(*paths) as (ensemble, posted):
            end = time.monotonic() + 10.0
            for _read in range(4000):
                found = posted.read(ensemble)
                content, same, odd = (found[path] for path in paths)
                assert content.content == same.content
                assert odd.content == (content.content if int(content.content) % 2 else b"")
                seen.add(content.content)
                # On a busy host the second looks take long.
                if time.monotonic() > end + (0.0 if len(seen) > 20 else DEADLINE_S):
                    break
        assert writer.is_running()
    # A writer that stands still, or reads that all fail, would prove nothing.
    assert len(seen) > 20


def _path(request: Request) -> str:
    size = int.from_bytes(request.body[:4], "big")
    return request.body[4 : 4 + size].decode()


def test_change_between_two_contents(
    proxy: Proxy, client: KazooClient, root: str, opened_as_old: Opener
) -> None:
    """Read twice, contents of before and after a transaction are never put together."""
    a, b = f"{root}/a", f"{root}/b"
    client.create(a, b"0")
    client.create(b, b"0")
    changes: list[str] = []

    def change_before_b(request: Request) -> Treatment:
        if request.opcode == GET and _path(request) == b and len(changes) < 3:
            changes.append(b)
            transaction = client.transaction()
            transaction.set_data(a, str(len(changes)).encode())
            transaction.set_data(b, str(len(changes)).encode())
            transaction.commit()
        return like_an_old_server(request)

    with opened_as_old(a, b) as (ensemble, posted):
        proxy.on_request, proxy.one_by_one = change_before_b, True
        found = posted.contents(ensemble)
        assert len(changes) == 3
        assert found == {a: b"3", b: b"3"}


def test_znode_that_was_there_for_a_moment(
    proxy: Proxy, client: KazooClient, root: str, opened_as_old: Opener
) -> None:
    """Read twice, a znode missing both times but not between them is no proof of a quiet time."""
    z, a, b = f"{root}/z", f"{root}/a", f"{root}/b"
    client.create(z, b"0")
    client.create(b, b"0")
    steps: list[str] = []

    def change(request: Request) -> Treatment:
        transaction = client.transaction()
        watches = request.body[-1:] == b"\1"
        if not steps and request.opcode == GET and _path(request) == b:
            steps.append("a comes, b changes")
            transaction.create(a, b"")
            transaction.set_data(b, b"1")
            transaction.commit()
        elif len(steps) == 1 and request.opcode == EXISTS and _path(request) == a and not watches:
            steps.append("a goes, z changes")
            transaction.delete(a)
            transaction.set_data(z, b"1")
            transaction.commit()
        return like_an_old_server(request)

    with opened_as_old(z, a, b) as (ensemble, posted):
        proxy.on_request, proxy.one_by_one = change, True
        found = posted.read(ensemble)
        assert len(steps) == 2
        assert found[a].problem is Problem.MISSING
        assert (found[z].content, found[b].content) == (b"1", b"1")


def test_znodes_that_never_rest(
    proxy: Proxy, client: KazooClient, root: str, opened_as_old: Opener
) -> None:
    """Read twice, znodes that change at every look make the read fail, in words, and not hang."""

    def change(request: Request) -> Treatment:
        if request.opcode == GET:
            client.set(root, b"x")
        if request.opcode == EXISTS:
            client.set(root, b"y")
        return like_an_old_server(request)

    with opened_as_old(root, f"{root}/missing") as (ensemble, posted):
        proxy.on_request, proxy.one_by_one = change, True
        failed = posted.answer(ensemble)
        assert isinstance(failed, ReadFailed)
        assert failed.reason == "the znodes changed during each of 50 attempts to read them"
        proxy.on_request = like_an_old_server
        assert posted.contents(ensemble)[root] == b"y"


def test_old_server_is_known_before_the_first_read(proxy: Proxy, root: str) -> None:
    """An old server refuses one multi-read, before the connection is reported; nothing fails."""
    proxy.on_request = like_an_old_server
    paths = (root, *(f"{root}/missing-{number}" for number in range(FEW)))
    with ensemble_of(proxy.hosts, paths=paths) as (ensemble, posted):
        for _session in range(2):
            posted.next(SessionConnected)
            assert posted.contents(ensemble)[root] == b""
            ensemble.open()
        posted.next(SessionConnected)
        assert {type(event) for event in posted.events} == {SessionConnected, ZnodesRead}
    assert proxy.opcodes.count(MULTI_READ) == 1
    assert proxy.accepted == 4


def test_older_server_is_remembered(proxy: Proxy, root: str) -> None:
    """If a server has become older, its refusal has words, and no multi-read is sent again."""
    paths = (root, *(f"{root}/missing-{number}" for number in range(FEW)))
    demand_reading_at_once()
    with ensemble_of(proxy.hosts, paths=paths) as (ensemble, posted):
        posted.next(SessionConnected)
        proxy.opcodes.clear()
        proxy.on_request = like_an_old_server
        refused = posted.answer(ensemble)
        assert isinstance(refused, ReadFailed)
        assert refused.reason == "this server, older than 3.6, cannot read znodes at once"
        posted.next(SessionSuspended)
        posted.next(SessionConnected)
        assert posted.contents(ensemble)[root] == b""
        ensemble.open()
        posted.next(SessionConnected)
        assert posted.contents(ensemble)[root] == b""
    assert proxy.opcodes.count(MULTI_READ) == 1
