"""Connecting, failing to connect, giving up and closing, against real servers."""

import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress

import pytest
from kazoo.client import KazooClient
from zkexec.zookeeper.connecting import Sockets

from support.posted_events import PostedEvents, connected_client, ensemble_of
from support.proxy import SYNC, Proxy, Treatment, pass_all
from support.waiting import until
from support.zookeeper import Port, Server
from zkexec.cli.cluster_access import client_settings
from zkexec.cli.security import Access
from zkexec.core.events import (
    ConnectFailed,
    ReadFailed,
    SessionClosed,
    SessionConnected,
    SessionSuspended,
)
from zkexec.runtime.cluster_session import ClusterSession


def kazoo_threads() -> list[threading.Thread]:
    """The threads of all clients that are not over yet."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("zkexec-kazoo")]


def sockets() -> int:
    """How many sockets this process has open.

    Descriptors of other kinds come and go: a thread that waits may hold one just now.
    """
    found = 0
    for number in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            found += os.readlink(f"/proc/self/fd/{number}").startswith("socket:")
    return found


def test_connects(zookeeper: Server) -> None:
    """A server that answers is told as a session, with no failed attempt before it."""
    with ensemble_of(zookeeper.hosts) as (_, posted):
        assert posted.events == [posted.next(SessionConnected)]


def test_nothing_to_mirror(zookeeper: Server) -> None:
    """A read of no znodes at all succeeds."""
    with ensemble_of(zookeeper.hosts) as (ensemble, posted):
        posted.next(SessionConnected)
        assert posted.read(ensemble) == {}


def test_refused() -> None:
    """A port on which nobody listens is named, again and again, until someone does."""
    free = Port()
    hosts = f"127.0.0.1:{free.number}"
    with ensemble_of(hosts) as (_, posted):
        for _again in range(3):
            assert posted.next(ConnectFailed).reason == f"{hosts}: Connection refused"
        assert not posted.since_mark(SessionConnected)
    free.release()


def test_the_last_of_a_round_is_marked() -> None:
    """Of several servers that refuse, only the last in each round is told as the last."""
    ports = [Port() for _ in range(3)]
    with ensemble_of(*(f"127.0.0.1:{port.number}" for port in ports)) as (_, posted):
        attempts = [posted.next(ConnectFailed).is_last for _ in range(6)]
    for port in ports:
        port.release()

    assert attempts == [False, False, True] * 2


def test_names_without_an_address_are_a_round() -> None:
    """If no name can be resolved, the last of them is the last of the round."""
    with ensemble_of("no-such-host.invalid:1", "neither.invalid:2") as (_, posted):
        attempts = [posted.next(ConnectFailed).is_last for _ in range(4)]

    assert attempts == [False, True] * 2


class Attempts:
    """Takes note of what is told of attempts."""

    def __init__(self) -> None:
        self.told: list[bool] = []

    def connect_failed(self, _reason: str, is_last: bool) -> None:
        """One attempt failed."""
        self.told.append(is_last)

    def thread_ended(self, _reason: str) -> None:
        """Nobody ends here."""


def test_a_name_has_refused_if_all_its_addresses_have() -> None:
    """Of a name with two addresses, as localhost often is, both are tried before it has refused."""
    free, attempts = Port(), Attempts()
    sockets_of_a_client = Sockets(1.0, attempts, None)
    sockets_of_a_client.round_begins(2)
    for address in ("::1", "127.0.0.1"):
        with suppress(OSError):
            sockets_of_a_client.create_connection(
                (address, free.number), hostname=b"localhost", use_ssl=False
            )
    free.release()

    assert attempts.told == [False, True]


def test_unresolvable(zookeeper: Server) -> None:
    """A name that cannot be resolved is named, and the other servers are used."""
    with ensemble_of("No-Such-Host.invalid:2181", zookeeper.hosts) as (_, posted):
        reason = posted.next(ConnectFailed).reason
        assert reason.startswith("No-Such-Host.invalid:2181: cannot be resolved (")
        posted.next(SessionConnected)


def test_mute_hosts_among_good_ones(zookeeper: Server) -> None:
    """A host that accepts connections and never answers costs a part of the session timeout."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        hosts = f"127.0.0.1:{mute.getsockname()[1]}"
        for _attempt in range(30):
            with ensemble_of(hosts, zookeeper.hosts, session_timeout_s=1.5) as (_, posted):
                posted.next(SessionConnected)
                if failures := [e for e in posted.events if isinstance(e, ConnectFailed)]:
                    assert [e.reason for e in failures] == [f"{hosts}: no answer within 0.5 s"]
                    return
    pytest.fail("the order of hosts was never such that the mute one came first")


def test_mute_host_with_a_long_session_timeout() -> None:
    """No attempt takes longer than a few seconds, however long the session may be silent."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        hosts = f"127.0.0.1:{mute.getsockname()[1]}"
        with ensemble_of(hosts, session_timeout_s=600.0) as (_, posted):
            assert posted.next(ConnectFailed).reason == f"{hosts}: no answer within 3 s"


def test_not_zookeeper() -> None:
    """A server that answers with something else is told as that, and no password with it."""
    lines: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        posted = PostedEvents()
        settings = client_settings([listener.getsockname()], Access(), 10.0)
        ensemble = ClusterSession(settings, [], "", posted.post, log=lines.append)
        ensemble.open()
        connection, _address = listener.accept()
        connection.recv(4096)
        connection.sendall(b"\0\0\0\4what")
        reason = posted.next(ConnectFailed).reason
        assert reason.endswith(": this does not answer like ZooKeeper")
        ensemble.close(1.0)
        connection.close()
    assert any("deserialization" in line for line in lines)
    assert not any("passwd" in line for line in lines)


def test_server_that_hangs_up() -> None:
    """A server that hangs up without an answer is told as that."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        hosts = f"127.0.0.1:{listener.getsockname()[1]}"
        with ensemble_of(hosts) as (_, posted):
            connection, _address = listener.accept()
            connection.recv(4096)
            connection.close()
            reason = posted.next(ConnectFailed).reason
            assert reason == f"{hosts}: the server closed the connection"


def test_read_without_connection() -> None:
    """A read without a session or a connection is answered, with a failure."""
    posted = PostedEvents()
    settings = client_settings([("127.0.0.1", 1)], Access(), 10.0)
    ensemble = ClusterSession(settings, ["/a"], "", posted.post)
    assert isinstance(posted.answer(ensemble), ReadFailed)
    ensemble.open()
    assert isinstance(posted.answer(ensemble), ReadFailed)
    ensemble.close(5.0)
    assert isinstance(posted.answer(ensemble), ReadFailed)


def test_path_that_no_server_could_read() -> None:
    """A path without a UTF-8 form is a programmer's error, found before anything connects."""
    settings = client_settings([("127.0.0.1", 1)], Access(), 10.0)
    with pytest.raises(ValueError, match="surrogates"):
        ClusterSession(settings, ["/\udcff"], "", PostedEvents().post)


def test_wiped_ensemble(own_zookeeper: Server) -> None:
    """A wiped server refuses the old client for ever, in words, and takes one opened anew."""
    with connected_client(own_zookeeper.hosts) as client:
        client.create("/a", b"1")
    with ensemble_of(own_zookeeper.hosts, paths=("/a",)) as (ensemble, posted):
        posted.next(SessionConnected)
        assert posted.contents(ensemble) == {"/a": b"1"}
        own_zookeeper.stop()
        own_zookeeper.wipe()
        own_zookeeper.start()
        refusal = f"{own_zookeeper.hosts}: the server closed the connection"
        posted.next(ConnectFailed, reason=refusal)
        posted.next(ConnectFailed, reason=refusal)
        assert not posted.since_mark(SessionConnected)
        ensemble.open()
        posted.next(SessionConnected)
        assert posted.contents(ensemble) == {"/a": b""}


def test_close_frees_the_session(own_zookeeper: Server) -> None:
    """Closing ends the session at the server, and nothing is posted about it."""
    with ensemble_of(own_zookeeper.hosts, session_timeout_s=60.0) as (ensemble, posted):
        connected = posted.next(SessionConnected)
        assert own_zookeeper.sessions() == {hex(connected.session)}
        ensemble.close(10.0)
        until(lambda: not own_zookeeper.sessions(), "the session is gone")
        until(lambda: not kazoo_threads(), "all threads have ended")
        assert posted.events == [connected]
        ensemble.close(10.0)


def test_close_while_black_holed(proxy: Proxy) -> None:
    """Closing over a dead connection takes the time given and no more, and leaves nothing."""
    with ensemble_of(proxy.hosts, session_timeout_s=60.0) as (ensemble, posted):
        posted.next(SessionConnected)
        proxy.black_hole()
        closing = threading.Thread(target=ensemble.close, args=(0.2,))
        closing.start()
        # The session timeout is what kazoo alone would wait for; half of it tells the two apart.
        closing.join(30.0)
        assert not closing.is_alive()
        until(lambda: not kazoo_threads(), "all threads have ended")


def test_close_while_connecting() -> None:
    """Closing before there was any connection leaves nothing behind."""
    mute = socket.create_server(("127.0.0.1", 0))
    with mute, ensemble_of(f"127.0.0.1:{mute.getsockname()[1]}") as (ensemble, posted):
        connection, _ = mute.accept()
        ensemble.close(30.0)
        until(lambda: not kazoo_threads(), "all threads have ended")
        connection.close()
        assert posted.events == []


def test_open_again_while_stuck(proxy: Proxy, client: KazooClient, root: str) -> None:
    """A new client connects at once, and the old one is never heard of again."""
    with ensemble_of(proxy.hosts, paths=(root,), session_timeout_s=60.0) as (ensemble, posted):
        posted.next(SessionConnected)
        posted.read(ensemble)
        proxy.black_hole()
        ensemble.read(1000)
        ensemble.open()
        proxy.swallowing = frozenset()
        posted.next(SessionConnected)
        client.set(root, b"new")
        assert posted.contents(ensemble) == {root: b"new"}
        # The conversation threads of the new client are all that stays of the two.
        until(lambda: len(kazoo_threads()) == 3, "the old client has ended")
        assert not posted.since_mark(SessionSuspended)
        assert not [e for e in posted.events if isinstance(e, ReadFailed)]


def test_client_that_dies(proxy: Proxy, root: str) -> None:
    """A client that gives up for good is told as closed, once, and its read is answered."""
    proxy.on_request = lambda request: (
        Treatment.CONFUSE if request.opcode == SYNC else Treatment.PASS_ON
    )
    with ensemble_of(proxy.hosts, paths=(root,)) as (ensemble, posted):
        posted.next(SessionConnected)
        assert isinstance(posted.answer(ensemble), ReadFailed)
        assert posted.next(SessionClosed).reason == "RuntimeError: Invalid error code"
        assert isinstance(posted.answer(ensemble), ReadFailed)
        proxy.on_request = pass_all
        ensemble.open()
        posted.next(SessionConnected)
        assert posted.contents(ensemble) == {root: b""}
        assert not posted.since_mark(SessionClosed)


def test_thirty_cuts(proxy: Proxy, root: str) -> None:
    """However often the connection breaks, threads and descriptors stay as many as they were."""
    with ensemble_of(proxy.hosts, paths=(root,)) as (ensemble, posted):
        posted.next(SessionConnected)
        posted.read(ensemble)
        threads, open_sockets = threading.active_count(), sockets()
        for _ in range(30):
            proxy.cut()
            posted.next(SessionSuspended)
            posted.next(SessionConnected)
            posted.read(ensemble)
        until(lambda: threading.active_count() <= threads, "no more threads than before")
        until(lambda: sockets() <= open_sockets, "no more sockets than before")


def test_opened_ten_times(zookeeper: Server) -> None:
    """A client that was dropped leaves no thread and no descriptor behind."""
    with ensemble_of(zookeeper.hosts) as (ensemble, posted):
        posted.next(SessionConnected)
        threads, open_sockets = threading.active_count(), sockets()
        for _ in range(10):
            ensemble.open()
            posted.next(SessionConnected)
        until(lambda: threading.active_count() <= threads, "no more threads than before")
        until(lambda: sockets() <= open_sockets, "no more sockets than before")


def test_threads_and_children(zookeeper: Server) -> None:
    """The client's threads take no signal that was blocked, and no child gets its sockets."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    try:
        with ensemble_of(zookeeper.hosts) as (_, posted):
            posted.next(SessionConnected)
            until(lambda: len(kazoo_threads()) == 3, "no other client is there")
            for thread in kazoo_threads():
                with open(f"/proc/self/task/{thread.native_id}/status") as status:
                    (line,) = [line for line in status if line.startswith("SigBlk:")]
                assert int(line.split()[1], 16) & 1 << (signal.SIGUSR1 - 1)
            checked = 0
            for number in map(int, os.listdir("/proc/self/fd")):
                # The descriptor with which the folder was listed is closed again by now.
                with suppress(FileNotFoundError):
                    if os.readlink(f"/proc/self/fd/{number}").startswith("socket:"):
                        checked += 1
                        assert fcntl.fcntl(number, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
            # The connection, and the pair with which kazoo wakes its thread.
            assert checked >= 3
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})


_QUIET = """
import sys, threading
from zkexec.core.events import SessionClosed, SessionConnected
from zkexec.cli.security import Access
from zkexec.cli.cluster_access import client_settings
from zkexec.runtime.cluster_session import ClusterSession

def post(event):
    if isinstance(event, SessionConnected):
        connected.set()
    if isinstance(event, SessionClosed):
        closed.set()

connected, closed = threading.Event(), threading.Event()
servers = [("127.0.0.1", 1), ("no-such-host.invalid", 2181), ("127.0.0.1", int(sys.argv[1]))]
ensemble = ClusterSession(client_settings(servers, Access(), 5.0), ["/"], "", post)
ensemble.open()
connected.wait(30)
ensemble.read(1)
sys.modules["kazoo.handlers.threading"].log.error("Exception in worker queue thread")
print(closed.wait(30))
"""


@pytest.mark.parametrize("first", ["", "import logging\n", "import kazoo.client\n"])
def test_stderr_stays_clean(proxy: Proxy, first: str) -> None:
    """Neither a failed attempt nor a crash of kazoo prints anything by itself."""
    proxy.on_request = lambda request: (
        Treatment.CONFUSE if request.opcode == SYNC else Treatment.PASS_ON
    )
    port = str(proxy.address[1])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run(
        [sys.executable, "-c", first + _QUIET, port],
        env=environment,
        capture_output=True,
        timeout=90,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"True\n", b"")


def test_log_lines_for_verbose(zookeeper: Server, client: KazooClient, root: str) -> None:
    """The log of kazoo goes to the hook, and never holds a znode's content."""
    client.set(root, b"a secret")
    lines: list[str] = []
    posted = PostedEvents()
    settings = client_settings([("127.0.0.1", zookeeper.port)], Access(), 10.0)
    ensemble = ClusterSession(settings, [root], "", posted.post, log=lines.append)
    ensemble.open()
    posted.next(SessionConnected)
    assert posted.contents(ensemble) == {root: b"a secret"}
    ensemble.close(10.0)
    assert any("Connecting to 127.0.0.1" in line for line in lines)
    assert not any("secret" in line for line in lines)
