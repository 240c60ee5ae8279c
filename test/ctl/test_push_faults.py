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

from support.posted_events import connected_client
from support.proxy import (
    CHILDREN2,
    CREATE,
    EXISTS,
    GET,
    SET,
    SYNC,
    TRANSACTION,
    Proxy,
    Request,
    Treatment,
    Way,
    pass_all,
)
from support.sandbox import Sandbox
from support.waiting import DEADLINE_S, until
from support.zkexecctl import ZKEXECCTL, CompletedRun, Zkexecctl, entries, index_of, is_whole, kept
from support.zookeeper import Server

GET_ACL = 6


@dataclass(frozen=True)
class Behind:
    """An operator behind a proxy, who pushes while the test does something else."""

    proxy: Proxy
    zkexecctl: Zkexecctl
    pool: ThreadPoolExecutor

    def once(self, opcode: int, audit_entry: Callable[[], None]) -> threading.Event:
        """Do something when the first request of this kind comes, before it is passed on."""
        done = threading.Event()

        def look(request: Request) -> Treatment:
            if request.opcode == opcode and not done.is_set():
                audit_entry()
                done.set()
            return Treatment.PASS_ON

        self.proxy.on_request = look
        return done

    def heal(self) -> None:
        """Let a new connection find all as it should be."""
        self.proxy.on_request = pass_all
        self.proxy.heal()

    def pushes(self, path: str, content: bytes) -> Future[CompletedRun]:
        """Begin a push that has to succeed."""
        return self.pool.submit(self.zkexecctl.push, path, content)


@pytest.fixture
def zkexecctl(zookeeper: Server, tmp_path: Path) -> Zkexecctl:
    """An operator at the shared server."""
    return Zkexecctl(zookeeper.hosts, tmp_path)


@pytest.fixture
def behind(proxy: Proxy, tmp_path: Path) -> Iterator["Behind"]:
    """An operator behind the proxy."""
    with ThreadPoolExecutor(1) as pool:
        yield Behind(proxy, Zkexecctl(proxy.hosts, tmp_path), pool)


@pytest.fixture
def conf(root: str, client: KazooClient) -> str:
    """The path of a znode that another tool has made."""
    client.create(f"{root}/conf", b"theirs")
    return f"{root}/conf"


@pytest.mark.parametrize("way", list(Way), ids=lambda way: way.name)
@pytest.mark.parametrize(
    "opcode", [SYNC, GET, GET_ACL, CHILDREN2, EXISTS, SET, CREATE, TRANSACTION]
)
def test_lost_on_the_way(
    behind: Behind, client: KazooClient, conf: str, opcode: int, way: Way
) -> None:
    """Whatever request or reply is lost with its connection, the push is done, and done once."""
    lost = behind.once(opcode, lambda: behind.proxy.black_hole(way))
    push = behind.pushes(conf, b"new")
    assert lost.wait(DEADLINE_S)
    if opcode == TRANSACTION and way is Way.TO_CLIENT:
        until(lambda: client.get(conf)[0] == b"new", "it was done")
    behind.heal()

    answer = push.result(DEADLINE_S)

    assert answer.out.splitlines()[-1].startswith(f"{conf}: pushed as @2 ")
    assert client.get(conf)[0] == b"new"
    assert client.exists(conf).version == 1
    assert [entry["set_by_other_tool"] for entry in entries(client, conf)] == [True, False]
    assert is_whole(client, conf)


def test_pushed_over_before_the_answer(
    behind: Behind, zkexecctl: Zkexecctl, client: KazooClient, conf: str
) -> None:
    """A push whose reply was lost is reported as done, even if it was pushed over since."""
    behind.once(TRANSACTION, lambda: behind.proxy.black_hole(Way.TO_CLIENT))
    push = behind.pushes(conf, b"first")
    until(lambda: client.get(conf)[0] == b"first", "it was done")
    zkexecctl.push(conf, b"second")
    behind.heal()

    assert push.result(DEADLINE_S).out.splitlines()[-1].startswith(f"{conf}: pushed as @2 ")
    assert client.get(conf)[0] == b"second"
    assert [entry["revision"] for entry in entries(client, conf)] == [1, 2, 3]


def test_never_known(behind: Behind, client: KazooClient, conf: str) -> None:
    """Without an answer in time, the error leaves open what became of the push."""
    behind.once(TRANSACTION, lambda: behind.proxy.black_hole(Way.TO_CLIENT))

    answer = behind.zkexecctl.refused(conf, b"new", "--connect-timeout=2")

    assert answer.status == 125
    assert answer.err.splitlines()[-1].endswith(
        "; it may have been pushed: check with zkexecctl history"
    )
    until(lambda: client.get(conf)[0] == b"new", "it was done")


def test_never_sent(behind: Behind, client: KazooClient, conf: str) -> None:
    """If nothing was sent that could have written the znode, the error leaves nothing open."""
    behind.once(CREATE, behind.proxy.black_hole)

    answer = behind.zkexecctl.refused(conf, b"new", "--connect-timeout=2")

    assert answer.status == 125
    assert answer.err.splitlines()[-1].startswith("zkexecctl: --cluster: ")
    assert "may have been" not in answer.err
    assert client.get(conf)[0] == b"theirs"


def killed_at(sandbox: Sandbox, proxy: Proxy, path: str, name: str, count: int) -> bool:
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
    status = process.wait()
    assert status in (0, -signal.SIGKILL)
    return seen >= count


def test_killed_at_any_moment(
    sandbox: Sandbox, proxy: Proxy, zkexecctl: Zkexecctl, client: KazooClient, root: str
) -> None:
    """A push that is killed has done all or nothing, and the next one clears up behind it."""
    path, count = f"{root}/conf", 1
    file = sandbox.folder / "content"

    def write(number: int) -> None:
        file.write_bytes(b"%d " % number * 20_000)

    write(0)
    while killed_at(sandbox, proxy, path, "content", count):
        both = [client.get(each)[0] if client.exists(each) else None for each in (path, f"{path}2")]
        assert both[0] == both[1]
        assert both[0] in (None, *(b"%d " % number * 20_000 for number in range(count)))
        if both[0] is not None:
            assert is_whole(client, path)
            assert is_whole(client, f"{path}2")
        write(count)
        count += 1
    assert count > 10

    zkexecctl.push(path, b"last")

    assert kept(client, path) == {entry["digest"] for entry in entries(client, path)}


def test_what_killed_pushes_leave_is_removed(
    zkexecctl: Zkexecctl, client: KazooClient, conf: str
) -> None:
    """Contents that no entry refers to are removed by the next push, whatever their origin."""
    zkexecctl.push(conf, b"one")
    left = f"{index_of(conf)}/{'0' * 64}"
    client.create(left, b"left behind")

    zkexecctl.push(conf, b"two")

    assert client.exists(left) is None
    assert is_whole(client, conf)


def test_the_server_goes_and_comes_back(own_zookeeper: Server, tmp_path: Path) -> None:
    """A push waits for a server that was restarted between the dialogue and the writing."""
    zkexecctl = Zkexecctl(own_zookeeper.hosts, tmp_path)
    started, go = tmp_path / "started", tmp_path / "go"
    check = f"touch {started}; until [ -e {go} ]; do sleep 0.01; done"
    push = ThreadPoolExecutor(1).submit(zkexecctl.push, "/conf", b"new", "--check", check)
    until(started.exists, "the check runs")
    own_zookeeper.stop()
    go.touch()
    own_zookeeper.start()

    answer = push.result(DEADLINE_S)

    assert "/conf: pushed as @1 " in answer.out
    with connected_client(own_zookeeper.hosts) as client:
        assert client.get("/conf")[0] == b"new"
        assert is_whole(client, "/conf")


def test_the_server_goes_for_good(own_zookeeper: Server, tmp_path: Path) -> None:
    """A push gives up on a server that does not come back, with the reason."""
    zkexecctl = Zkexecctl(own_zookeeper.hosts, tmp_path)
    started, go = tmp_path / "started", tmp_path / "go"
    check = f"touch {started}; until [ -e {go} ]; do sleep 0.01; done"
    options = ("--check", check, "--connect-timeout=2")
    push = ThreadPoolExecutor(1).submit(zkexecctl.refused, "/conf", b"new", *options)
    until(started.exists, "the check runs")
    own_zookeeper.stop()
    go.touch()

    answer = push.result(DEADLINE_S)

    assert answer.status == 125
    assert f"--cluster: cannot connect to {own_zookeeper.hosts}" in answer.err.splitlines()[-1]
