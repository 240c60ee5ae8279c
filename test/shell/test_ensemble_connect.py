"""Connecting, failing to connect, giving up and closing, against real servers."""

import fcntl
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest
from kazoo.client import KazooClient

from support.posted_events import PostedEvents, accepted, connected_client, drive_until, ensemble_of
from support.proxy import GET, SYNC, Proxy, Treatment, pass_all
from support.waiting import DEADLINE_S, until
from support.zookeeper import Port, Server
from zkexec.cli.cluster_access import client_settings
from zkexec.cli.security import Access, Credential
from zkexec.core.events import (
    ConnectFailed,
    ReadFailed,
    SessionConnected,
    SessionSuspended,
)
from zkexec.runtime.cluster_session import ClusterSession

HUNG_UP = (
    "the server closed the connection instead of answering the handshake; "
    "it may not serve now, or demand TLS"
)


def threads() -> int:
    """How many threads this process has, those included that Python does not know of."""
    return len(os.listdir("/proc/self/task"))


def sockets() -> int:
    """How many sockets this process has open.

    Descriptors of other kinds come and go: a server of the test may have one just now.
    """
    found = 0
    for number in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            found += os.readlink(f"/proc/self/fd/{number}").startswith("socket:")
    return found


def test_connects(zookeeper: Server) -> None:
    """A server that answers is reported as a session, with no failed attempt before it."""
    with ensemble_of(zookeeper.hosts) as (_, posted):
        assert posted.events == [posted.next(SessionConnected)]


def test_nothing_to_mirror(zookeeper: Server) -> None:
    """A read of no znodes at all succeeds."""
    with ensemble_of(zookeeper.hosts) as (ensemble, posted):
        posted.next(SessionConnected)
        assert posted.read(ensemble) == {}


def test_refused() -> None:
    """A port on which nothing listens is named, again and again."""
    free = Port()
    hosts = f"127.0.0.1:{free.number}"
    with ensemble_of(hosts) as (_, posted):
        for _again in range(3):
            assert posted.next(ConnectFailed).reason == f"{hosts}: Connection refused"
        assert not posted.since_mark(SessionConnected)
    free.release()


def test_the_last_of_a_round_is_marked() -> None:
    """Of several servers that refuse, only the last in each round is marked as the last."""
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
                    reason = f"{hosts}: the server does not answer the handshake"
                    assert [e.reason for e in failures] == [reason]
                    return
    pytest.fail("the order of hosts was never such that the mute one came first")


def test_mute_host_with_a_long_session_timeout() -> None:
    """No attempt takes longer than a few seconds, however long the session may be silent."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        hosts = f"127.0.0.1:{mute.getsockname()[1]}"
        with ensemble_of(hosts, session_timeout_s=600.0) as (_, posted):
            reason = posted.next(ConnectFailed).reason
            assert reason == f"{hosts}: the server does not answer the handshake"


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A server that does only what the test does."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def test_not_zookeeper(listener: socket.socket) -> None:
    """A server that answers with something else is reported as that, and no secret with it."""
    hosts = f"127.0.0.1:{listener.getsockname()[1]}"
    access = Access(credentials=(Credential("digest", "us", "open-sesame"),))
    with ensemble_of(hosts, access=access) as (_, posted):
        with accepted(listener) as connection:
            assert connection.recv(4096)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n")
            reason = posted.next(ConnectFailed).reason
        assert reason.startswith(f"{hosts}: the server does not speak ZooKeeper's protocol: ")
    assert "open-sesame" not in repr(posted.events)


def test_server_that_hangs_up(listener: socket.socket) -> None:
    """A server that hangs up without an answer is reported with what may be the cause."""
    hosts = f"127.0.0.1:{listener.getsockname()[1]}"
    with ensemble_of(hosts) as (_, posted):
        with accepted(listener) as connection:
            assert connection.recv(4096)
        assert posted.next(ConnectFailed).reason == f"{hosts}: {HUNG_UP}"


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
        refusal = (
            f"{own_zookeeper.hosts}: the server closed the connection instead of answering the "
            "handshake; it may not serve now, or be behind what this session has seen, as after a "
            "wipe or a restore"
        )
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
        assert posted.events == [connected]
        ensemble.close(10.0)


def test_close_while_black_holed(proxy: Proxy) -> None:
    """Closing over a dead connection takes the time given and no more, and leaves nothing."""
    with ensemble_of(proxy.hosts, session_timeout_s=60.0) as (ensemble, posted):
        connected = posted.next(SessionConnected)
        proxy.black_hole()
        closing = threading.Thread(target=ensemble.close, args=(0.2,))
        closing.start()
        # Half of the session timeout distinguishes the two.
        closing.join(30.0)
        assert not closing.is_alive()
        assert posted.events == [connected]
        assert (ensemble.deadline, ensemble.descriptor) == (None, None)


def test_close_while_connecting(listener: socket.socket) -> None:
    """Closing before there was any connection leaves nothing behind."""
    hosts = f"127.0.0.1:{listener.getsockname()[1]}"
    with ensemble_of(hosts, session_timeout_s=600.0) as (ensemble, posted):
        with accepted(listener) as connection:
            assert connection.recv(4096)
            ensemble.close(600.0)
            connection.settimeout(DEADLINE_S)
            assert connection.recv(1) == b""
        assert posted.events == []
        assert (ensemble.deadline, ensemble.descriptor) == (None, None)


def test_open_again_while_stuck(proxy: Proxy, client: KazooClient, root: str) -> None:
    """A new session connects at once, and nothing is reported of the old one."""
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
        assert not posted.since_mark(SessionSuspended)
        assert not [e for e in posted.events if isinstance(e, ReadFailed)]


def test_server_that_answers_nonsense_at_first(proxy: Proxy, root: str) -> None:
    """A server whose first answer is an unknown error is of no use, until it answers better."""
    proxy.on_request = lambda request: (
        Treatment.CONFUSE if request.opcode == SYNC else Treatment.PASS_ON
    )
    with ensemble_of(proxy.hosts, paths=(root,)) as (ensemble, posted):
        for _ in range(2):
            assert posted.next(ConnectFailed).reason == (
                f"{proxy.hosts}: the server does not synchronize: the server answered error -9999"
            )
        assert isinstance(posted.answer(ensemble), ReadFailed)
        proxy.on_request = pass_all
        posted.next(SessionConnected)
        assert posted.contents(ensemble) == {root: b""}


def test_server_that_answers_nonsense_later(proxy: Proxy, root: str) -> None:
    """An unknown error is the answer to a read, and the connection goes on."""
    with ensemble_of(proxy.hosts, paths=(root,)) as (ensemble, posted):
        posted.next(SessionConnected)
        proxy.on_request = lambda request: (
            Treatment.CONFUSE if request.opcode == GET else Treatment.PASS_ON
        )
        failed = posted.answer(ensemble)
        assert isinstance(failed, ReadFailed)
        assert failed.reason == f"{root}: the server answered error -9999"
        proxy.on_request = pass_all
        assert posted.contents(ensemble) == {root: b""}
        assert not posted.since_mark(SessionSuspended)


def test_thirty_cuts(proxy: Proxy, root: str) -> None:
    """However often the connection breaks, threads and descriptors stay as many as they were."""
    # The pauses between the connections grow up to a third of the session timeout.
    with ensemble_of(proxy.hosts, paths=(root,), session_timeout_s=3.0) as (ensemble, posted):
        posted.next(SessionConnected)
        posted.read(ensemble)
        threads_before, sockets_before = threads(), sockets()
        for _ in range(30):
            proxy.cut()
            posted.next(SessionSuspended)
            posted.next(SessionConnected)
            posted.read(ensemble)
        drive_until(lambda: threads() <= threads_before, "no more threads than before")
        drive_until(lambda: sockets() <= sockets_before, "no more sockets than before")


def test_opened_ten_times(zookeeper: Server) -> None:
    """A session that was dropped leaves no thread and no descriptor behind."""
    with ensemble_of(zookeeper.hosts) as (ensemble, posted):
        posted.next(SessionConnected)
        threads_before, sockets_before = threads(), sockets()
        for _ in range(10):
            ensemble.open()
            posted.next(SessionConnected)
        drive_until(lambda: threads() <= threads_before, "no more threads than before")
        drive_until(lambda: sockets() <= sockets_before, "no more sockets than before")


def test_one_thread(zookeeper: Server) -> None:
    """A session has no thread of its own, unless a name has to be looked up."""
    before = threads()
    with ensemble_of(zookeeper.hosts, paths=("/",)) as (ensemble, posted):
        posted.next(SessionConnected)
        posted.read(ensemble)
        assert threads() == before


def test_no_child_gets_a_descriptor(zookeeper: Server) -> None:
    """Every socket and pipe of a session is closed in the programs that are started."""
    before = descriptors()
    with ensemble_of("no-such-host.invalid:1", zookeeper.hosts) as (ensemble, posted):
        ensemble.advance()
        assert_closed_on_exec(before)
        posted.next(SessionConnected)
        assert_closed_on_exec(before)


def assert_closed_on_exec(before: dict[str, int]) -> None:
    """Check the descriptors that came since, of which there is one at least."""
    new = {number: flags for number, flags in descriptors().items() if number not in before}
    assert new
    assert all(flags & fcntl.FD_CLOEXEC for flags in new.values()), new


def descriptors() -> dict[str, int]:
    """The open descriptors of this process, with their flags."""
    found = {}
    for number in os.listdir("/proc/self/fd"):
        # The descriptor with which the folder was listed is closed again by now.
        with suppress(OSError):
            found[number] = fcntl.fcntl(int(number), fcntl.F_GETFD)
    return found


_QUIET = """
import sys
from zkexec.core.events import SessionConnected, ZnodesRead
from zkexec.cli.security import Access
from zkexec.cli.cluster_access import client_settings
from zkexec.runtime.cluster_session import ClusterSession
from zkexec.runtime.inbox import now

events = []
servers = [("127.0.0.1", 1), ("no-such-host.invalid", 2181), ("127.0.0.1", int(sys.argv[1]))]
ensemble = ClusterSession(client_settings(servers, Access(), 5.0), ["/"], "", events.append)
ensemble.open()
until = now() + 60
while now() < until and not any(isinstance(event, ZnodesRead) for event in events):
    ensemble.advance()
    if any(isinstance(event, SessionConnected) for event in events):
        ensemble.read(1)
ensemble.close(5.0)
print(type(events[-1]).__name__)
"""


def test_stderr_stays_clean(zookeeper: Server) -> None:
    """Neither a failed attempt nor a session prints anything by itself."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run(
        [sys.executable, "-X", "dev", "-c", _QUIET, str(zookeeper.port)],
        env=environment,
        capture_output=True,
        timeout=90,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"ZnodesRead\n", b"")
