"""Pushes while something goes wrong: lost requests and replies, kills, servers that go away."""

import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from kazoo.client import KazooClient

from e2e.stage import Stage
from news import operator
from proxy import (
    CHILDREN,
    CREATE,
    EXISTS,
    GET,
    SET,
    SYNC,
    TRANSACTION,
    Fate,
    Proxy,
    Request,
    Way,
    pass_all,
)
from pushing import ZKEXECCTL, Answer, Hand, entries, index_of, is_whole, kept
from zookeeper import Server, wait_until

PATIENCE_S = 60.0
GET_ACL = 6


@dataclass(frozen=True)
class Behind:
    """An operator behind a proxy, who pushes while the test does something else."""

    proxy: Proxy
    hand: Hand
    pool: ThreadPoolExecutor

    def once(self, opcode: int, audit_entry: Callable[[], None]) -> threading.Event:
        """Do something when the first request of this kind comes, before it is passed on."""
        done = threading.Event()

        def look(request: Request) -> Fate:
            if request.opcode == opcode and not done.is_set():
                audit_entry()
                done.set()
            return Fate.PASS_ON

        self.proxy.on_request = look
        return done

    def heal(self) -> None:
        """Let a new connection find all as it should be."""
        self.proxy.on_request = pass_all
        self.proxy.heal()

    def pushes(self, path: str, content: bytes) -> Future[Answer]:
        """Begin a push that has to succeed."""
        return self.pool.submit(self.hand.push, path, content)


@pytest.fixture
def hand(zookeeper: Server, tmp_path: Path) -> Hand:
    """An operator at the shared server."""
    return Hand(zookeeper.hosts, tmp_path)


@pytest.fixture
def behind(proxy: Proxy, tmp_path: Path) -> Iterator["Behind"]:
    """An operator behind the proxy."""
    with ThreadPoolExecutor(1) as pool:
        yield Behind(proxy, Hand(proxy.hosts, tmp_path), pool)


@pytest.fixture
def conf(root: str, client: KazooClient) -> str:
    """The path of a znode that another tool has made."""
    client.create(f"{root}/conf", b"theirs")
    return f"{root}/conf"


@pytest.mark.parametrize("way", list(Way), ids=lambda way: way.name)
@pytest.mark.parametrize("opcode", [SYNC, GET, GET_ACL, CHILDREN, EXISTS, SET, CREATE, TRANSACTION])
def test_lost_on_the_way(
    behind: Behind, client: KazooClient, conf: str, opcode: int, way: Way
) -> None:
    """Whatever request or reply is lost with its connection, the push is done, and done once."""
    lost = behind.once(opcode, lambda: behind.proxy.black_hole(way))
    push = behind.pushes(conf, b"new")
    assert lost.wait(PATIENCE_S)
    if opcode == TRANSACTION and way is Way.TO_CLIENT:
        wait_until(lambda: client.get(conf)[0] == b"new", "it was done")
    behind.heal()

    answer = push.result(PATIENCE_S)

    assert answer.out.splitlines()[-1].startswith(f"{conf}: pushed as @2 ")
    assert client.get(conf)[0] == b"new"
    assert client.exists(conf).version == 1
    assert [entry["foreign"] for entry in entries(client, conf)] == [True, False]
    assert is_whole(client, conf)


def test_pushed_over_before_it_is_known(
    behind: Behind, hand: Hand, client: KazooClient, conf: str
) -> None:
    """A push whose reply was lost is known as done also where somebody has pushed over it."""
    behind.once(TRANSACTION, lambda: behind.proxy.black_hole(Way.TO_CLIENT))
    push = behind.pushes(conf, b"first")
    wait_until(lambda: client.get(conf)[0] == b"first", "it was done")
    hand.push(conf, b"second")
    behind.heal()

    assert push.result(PATIENCE_S).out.splitlines()[-1].startswith(f"{conf}: pushed as @2 ")
    assert client.get(conf)[0] == b"second"
    assert [entry["number"] for entry in entries(client, conf)] == [1, 2, 3]


def test_never_known(behind: Behind, client: KazooClient, conf: str) -> None:
    """Where no answer comes in time, nobody claims to know what became of the push."""
    behind.once(TRANSACTION, lambda: behind.proxy.black_hole(Way.TO_CLIENT))

    answer = behind.hand.refused(conf, b"new", "--connect-timeout=2")

    assert answer.status == 125
    assert answer.err.splitlines()[-1].endswith(
        "; whether it was pushed is not known, see zkexecctl history"
    )
    wait_until(lambda: client.get(conf)[0] == b"new", "it was done")


def test_never_sent(behind: Behind, client: KazooClient, conf: str) -> None:
    """Where nothing was sent that could have written the znode, nothing is said to be unknown."""
    behind.once(CREATE, behind.proxy.black_hole)

    answer = behind.hand.refused(conf, b"new", "--connect-timeout=2")

    assert answer.status == 125
    assert answer.err.splitlines()[-1].startswith("zkexecctl: --cluster: ")
    assert "not known" not in answer.err
    assert client.get(conf)[0] == b"theirs"


def killed_at(stage: Stage, proxy: Proxy, path: str, name: str, count: int) -> bool:
    """Push in a process that is killed at its so-manieth request; False where it had fewer."""
    started = threading.Event()
    seen = 0

    def look(_: Request) -> Fate:
        nonlocal seen
        seen += 1
        if seen == count:
            assert started.wait(PATIENCE_S)
            process.send_signal(signal.SIGKILL)
        return Fate.PASS_ON

    proxy.on_request = look
    process = stage.start(
        *ZKEXECCTL,
        "push",
        f"{path}={name}",
        f"{path}2={name}",
        "--yes",
        f"--cluster={proxy.hosts}",
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    started.set()
    status = process.wait(timeout=PATIENCE_S)
    assert status in (0, -signal.SIGKILL)
    return seen >= count


def test_killed_at_any_moment(
    stage: Stage, proxy: Proxy, hand: Hand, client: KazooClient, root: str
) -> None:
    """A push that is killed has done all or nothing, and the next one clears up behind it."""
    path, count = f"{root}/conf", 1
    file = stage.folder / "content"

    def write(number: int) -> None:
        file.write_bytes(b"%d " % number * 20_000)

    write(0)
    while killed_at(stage, proxy, path, "content", count):
        both = [client.get(each)[0] if client.exists(each) else None for each in (path, f"{path}2")]
        assert both[0] == both[1]
        assert both[0] in (None, *(b"%d " % number * 20_000 for number in range(count)))
        if both[0] is not None:
            assert is_whole(client, path)
            assert is_whole(client, f"{path}2")
        write(count)
        count += 1
    assert count > 10

    hand.push(path, b"last")

    assert kept(client, path) == {entry["digest"] for entry in entries(client, path)}


def test_what_dead_pushes_leave_is_cleared(hand: Hand, client: KazooClient, conf: str) -> None:
    """Contents that no entry refers to go with the next push, also those of nobody known."""
    hand.push(conf, b"one")
    left = f"{index_of(conf)}/{'0' * 64}"
    client.create(left, b"left behind")

    hand.push(conf, b"two")

    assert client.exists(left) is None
    assert is_whole(client, conf)


def test_the_server_goes_and_comes_back(own_zookeeper: Server, tmp_path: Path) -> None:
    """A push waits for a server that was restarted between the question and the writing."""
    hand = Hand(own_zookeeper.hosts, tmp_path)
    started, go = tmp_path / "started", tmp_path / "go"
    check = f"touch {started}; until [ -e {go} ]; do sleep 0.01; done"
    push = ThreadPoolExecutor(1).submit(hand.push, "/conf", b"new", "--check", check)
    wait_until(started.exists, "the check runs")
    own_zookeeper.stop()
    go.touch()
    own_zookeeper.start()

    answer = push.result(PATIENCE_S)

    assert "/conf: pushed as @1 " in answer.out
    with operator(own_zookeeper.hosts) as client:
        assert client.get("/conf")[0] == b"new"
        assert is_whole(client, "/conf")


def test_the_server_goes_for_good(own_zookeeper: Server, tmp_path: Path) -> None:
    """A push gives up on a server that does not come back, and says what is the matter."""
    hand = Hand(own_zookeeper.hosts, tmp_path)
    started, go = tmp_path / "started", tmp_path / "go"
    check = f"touch {started}; until [ -e {go} ]; do sleep 0.01; done"
    options = ("--check", check, "--connect-timeout=2")
    push = ThreadPoolExecutor(1).submit(hand.refused, "/conf", b"new", *options)
    wait_until(started.exists, "the check runs")
    own_zookeeper.stop()
    go.touch()

    answer = push.result(PATIENCE_S)

    assert answer.status == 125
    assert f"--cluster: cannot connect to {own_zookeeper.hosts}" in answer.err.splitlines()[-1]
