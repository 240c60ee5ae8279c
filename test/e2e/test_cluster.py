"""Faults of the cluster under a running command: it is left alone, and no change is lost."""

import threading
from collections.abc import Iterator

import pytest
from kazoo.client import KazooClient

from support.mirrored_host import MirroredHost
from support.posted_events import connected_client
from support.proxy import Proxy, Way
from support.sandbox import Sandbox
from support.waiting import until
from support.zookeeper import Server

LEFT_ALONE = "the command keeps running"
SESSION_TIMEOUT_S = 2


@pytest.fixture
def own(own_zookeeper: Server, sandbox: Sandbox) -> Iterator[MirroredHost]:
    """A host on a server of this test alone."""
    with connected_client(own_zookeeper.hosts) as client:
        yield MirroredHost(sandbox, client, "", own_zookeeper.hosts)


@pytest.fixture
def broken(host: MirroredHost, proxy: Proxy) -> MirroredHost:
    """A host with a proxy between zkexec and the shared server."""
    host.hosts = proxy.hosts
    return host


def session_of(server: Server, others: frozenset[str]) -> str:
    """The one session that is not among the others."""
    (session,) = server.sessions() - others
    return session


def expire(server: Server, proxy: Proxy, session: str) -> None:
    """Keep everybody behind the proxy away from the server until this session is over."""
    proxy.refuse()
    until(lambda: session not in server.sessions(), "the session expires", 60)


def test_a_slow_link_is_no_silence(broken: MirroredHost, proxy: Proxy) -> None:
    """An answer that takes longer than any limit of an answer arrives, as long as it goes on."""
    names = [f"f{number}" for number in range(9)]
    broken.create(**{name: name.encode().ljust(40_000, b"#") for name in names})
    proxy.bytes_per_s = 60_000
    timeout = f"--session-timeout={SESSION_TIMEOUT_S}"
    broken.wrap(timeout, names=" ".join(names))

    birth = broken.born()
    assert all(text and text.startswith(name) for name, text in birth.files.items())
    assert proxy.accepted == 1


def test_a_server_is_restarted(own: MirroredHost, own_zookeeper: Server) -> None:
    """A restarted server costs a line; the next change arrives."""
    own.create(a=b"one")
    run = own.wrap()
    first = own.born()

    own_zookeeper.stop()
    run.until(LEFT_ALONE)
    own_zookeeper.start()
    run.until("connected$", count=2)
    own.only(first)
    with connected_client(own.hosts) as own.client:
        own.set(a=b"two")

    assert own.born(2).files == {"a": "two"}
    assert run.end() == 0
    assert len(own.births()) == 2


def test_a_server_is_away_for_longer_than_the_session(
    own: MirroredHost, own_zookeeper: Server
) -> None:
    """However long the only server is gone, the command runs on, and nothing is rewritten."""
    own.create(a=b"one")
    run = own.wrap("--session-timeout=1")
    first = own.born()
    inode = own.file("a").stat().st_ino

    own_zookeeper.stop()
    run.until(LEFT_ALONE)
    # That time passes is the point here, and a server that is stopped can tell nothing of it.
    threading.Event().wait(3)
    own.only(first)
    own_zookeeper.start()
    run.until("connected$", count=2)
    with connected_client(own.hosts) as own.client:
        own.only(first)
        assert own.file("a").stat().st_ino == inode
        own.set(a=b"two")

    assert own.born(2).files == {"a": "two"}
    assert run.end() == 0


@pytest.mark.parametrize("content", ["one", "two"])
def test_a_session_expires(
    broken: MirroredHost, proxy: Proxy, zookeeper: Server, content: str
) -> None:
    """An expired session is replaced; what changed meanwhile is seen, what did not is not."""
    broken.create(a=b"one")
    others = zookeeper.sessions()
    run = broken.wrap(f"--session-timeout={SESSION_TIMEOUT_S}")
    first = broken.born()

    expire(zookeeper, proxy, session_of(zookeeper, others))
    broken.only(first)
    if content != "one":
        broken.set(a=content.encode())
    proxy.heal()
    run.until("session expired")
    run.until("connected$", count=2)
    if content == "one":
        broken.only(first)
        broken.set(a=b"two")

    assert broken.born(2).files == {"a": "two"}
    assert run.end() == 0
    assert len(broken.births()) == 2


def test_a_change_and_back_while_away(broken: MirroredHost, proxy: Proxy) -> None:
    """A change that was taken back before the connection was there again is none."""
    broken.create(a=b"one")
    run = broken.wrap()
    first = broken.born()

    proxy.refuse()
    run.until(LEFT_ALONE)
    broken.set(a=b"two")
    broken.set(a=b"one")
    proxy.heal()
    run.until("connected$", count=2)
    broken.only(first)
    broken.set(a=b"three")

    assert broken.born(2).files == {"a": "three"}
    assert run.end() == 0
    assert len(broken.births()) == 2


@pytest.mark.parametrize("ways", [(), (Way.TO_CLIENT,), (Way.TO_SERVER,)])
def test_a_black_hole(broken: MirroredHost, proxy: Proxy, ways: tuple[Way, ...]) -> None:
    """A connection that swallows everything is given up, and what changed is seen afterwards."""
    broken.create(a=b"one")
    run = broken.wrap(f"--session-timeout={SESSION_TIMEOUT_S}")
    first = broken.born()

    proxy.black_hole(*ways)
    run.until(LEFT_ALONE)
    broken.set(a=b"two")
    broken.only(first)
    proxy.heal()

    assert broken.born(2).files == {"a": "two"}
    assert run.end() == 0
    assert len(broken.births()) == 2


def test_a_connection_that_is_cut_all_the_time(broken: MirroredHost, proxy: Proxy) -> None:
    """Cuts in quick succession lose no change, and start nothing that was not asked for."""
    broken.create(a=b"0")
    run = broken.wrap()
    broken.born()
    stop = threading.Event()

    def cut() -> None:
        while not stop.wait(0.1):
            proxy.cut()

    knife = threading.Thread(target=cut)
    knife.start()
    try:
        for number in (1, 2, 3):
            run.until(LEFT_ALONE, count=3 * number)
            broken.set(a=str(number).encode())
    finally:
        stop.set()
        knife.join()

    broken.born_with(a="3")
    assert run.end() == 0
    seen = [birth.files["a"] for birth in broken.births()]
    assert seen == sorted(set(seen), key=str)


def test_a_server_that_is_frozen(own: MirroredHost, own_zookeeper: Server) -> None:
    """A server that stops answering and goes on later is followed again; the command runs on."""
    own.create(a=b"one")
    run = own.wrap(f"--session-timeout={SESSION_TIMEOUT_S}")
    first = own.born()

    own_zookeeper.pause()
    run.until(LEFT_ALONE)
    own.only(first)
    own_zookeeper.resume()
    run.until("connected$", count=2)
    own.set(a=b"two")

    assert own.born(2).files == {"a": "two"}
    assert run.end() == 0
    assert len(own.births()) == 2


def test_an_end_without_the_cluster(broken: MirroredHost, proxy: Proxy) -> None:
    """A TERM while the cluster is away ends zkexec as the command ends."""
    broken.create(a=b"one")
    run = broken.wrap(recorder=("--status=7",))
    broken.born()

    proxy.black_hole()

    assert run.end() == 7


def test_one_line_for_a_lost_connection(
    broken: MirroredHost, proxy: Proxy, client: KazooClient
) -> None:
    """A connection that is lost is told in one warning, one cause of failed attempts in another."""
    broken.create(a=b"one")
    run = broken.wrap()
    broken.born()
    accepted = proxy.accepted

    proxy.refuse()
    run.until(LEFT_ALONE)
    run.until("cannot connect to .*Connection refused")
    client.sync("/")
    proxy.heal()
    until(lambda: proxy.accepted > accepted, "the next connection")
    run.until("connected$", count=2)

    assert run.end() == 0
    assert len(run.stderr.matching(LEFT_ALONE)) == 1
    assert len(run.stderr.matching("cannot connect")) == 1
