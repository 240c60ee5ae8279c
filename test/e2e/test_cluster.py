"""Faults of the cluster under a running command: it is left alone, and no change is lost."""

import threading
from collections.abc import Iterator

import pytest
from kazoo.client import KazooClient

from e2e.scene import Scene
from e2e.stage import Stage
from news import operator
from proxy import Proxy, Way
from zookeeper import Server, wait_until

LEFT_ALONE = "the command is left alone"
SESSION_TIMEOUT_S = 2


@pytest.fixture
def own(own_zookeeper: Server, stage: Stage) -> Iterator[Scene]:
    """A scene on a server of this test alone."""
    with operator(own_zookeeper.hosts) as client:
        yield Scene(stage, client, "", own_zookeeper.hosts)


@pytest.fixture
def broken(scene: Scene, proxy: Proxy) -> Scene:
    """A scene with a proxy between zkexec and the shared server."""
    scene.hosts = proxy.hosts
    return scene


def session_of(server: Server, others: frozenset[str]) -> str:
    """The one session that is not among the others."""
    (session,) = server.sessions() - others
    return session


def expire(server: Server, proxy: Proxy, session: str) -> None:
    """Keep everybody behind the proxy away from the server until this session is over."""
    proxy.refuse()
    wait_until(lambda: session not in server.sessions(), "the session expires", 60)


def test_a_server_is_restarted(own: Scene, own_zookeeper: Server) -> None:
    """A restarted server costs a line; the next change arrives."""
    own.create(a=b"one")
    run = own.wrap()
    first = own.born()

    own_zookeeper.stop()
    run.line(LEFT_ALONE)
    own_zookeeper.start()
    run.line("connected$", 2)
    own.only(first)
    with operator(own.hosts) as own.client:
        own.set(a=b"two")

    assert own.born(2).files == {"a": "two"}
    assert run.end() == 0
    assert len(own.births()) == 2


def test_a_server_is_away_for_longer_than_the_session(own: Scene, own_zookeeper: Server) -> None:
    """However long the only server is gone, the command runs on, and nothing is rewritten."""
    own.create(a=b"one")
    run = own.wrap("--session-timeout=1")
    first = own.born()
    inode = own.file("a").stat().st_ino

    own_zookeeper.stop()
    run.line(LEFT_ALONE)
    # That time passes is the point here, and a server that is stopped can tell nothing of it.
    threading.Event().wait(3)
    own.only(first)
    own_zookeeper.start()
    run.line("connected$", 2)
    with operator(own.hosts) as own.client:
        own.only(first)
        assert own.file("a").stat().st_ino == inode
        own.set(a=b"two")

    assert own.born(2).files == {"a": "two"}
    assert run.end() == 0


@pytest.mark.parametrize("content", ["one", "two"])
def test_a_session_expires(broken: Scene, proxy: Proxy, zookeeper: Server, content: str) -> None:
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
    run.line("session expired")
    run.line("connected$", 2)
    if content == "one":
        broken.only(first)
        broken.set(a=b"two")

    assert broken.born(2).files == {"a": "two"}
    assert run.end() == 0
    assert len(broken.births()) == 2


def test_a_change_and_back_while_away(broken: Scene, proxy: Proxy) -> None:
    """A change that was taken back before the connection was there again is none."""
    broken.create(a=b"one")
    run = broken.wrap()
    first = broken.born()

    proxy.refuse()
    run.line(LEFT_ALONE)
    broken.set(a=b"two")
    broken.set(a=b"one")
    proxy.heal()
    run.line("connected$", 2)
    broken.only(first)
    broken.set(a=b"three")

    assert broken.born(2).files == {"a": "three"}
    assert run.end() == 0
    assert len(broken.births()) == 2


@pytest.mark.parametrize("ways", [(), (Way.TO_CLIENT,), (Way.TO_SERVER,)])
def test_a_black_hole(broken: Scene, proxy: Proxy, ways: tuple[Way, ...]) -> None:
    """A connection that swallows everything is given up, and what changed is seen afterwards."""
    broken.create(a=b"one")
    run = broken.wrap(f"--session-timeout={SESSION_TIMEOUT_S}")
    first = broken.born()

    proxy.black_hole(*ways)
    run.line(LEFT_ALONE)
    broken.set(a=b"two")
    broken.only(first)
    proxy.heal()

    assert broken.born(2).files == {"a": "two"}
    assert run.end() == 0
    assert len(broken.births()) == 2


def test_a_connection_that_is_cut_all_the_time(broken: Scene, proxy: Proxy) -> None:
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
            run.line(LEFT_ALONE, 3 * number)
            broken.set(a=str(number).encode())
    finally:
        stop.set()
        knife.join()

    broken.born_with(a="3")
    assert run.end() == 0
    seen = [birth.files["a"] for birth in broken.births()]
    assert seen == sorted(set(seen), key=str)


def test_a_server_that_is_frozen(own: Scene, own_zookeeper: Server) -> None:
    """A server that stops answering and goes on later is followed again; the command runs on."""
    own.create(a=b"one")
    run = own.wrap(f"--session-timeout={SESSION_TIMEOUT_S}")
    first = own.born()

    own_zookeeper.pause()
    run.line(LEFT_ALONE)
    own.only(first)
    own_zookeeper.resume()
    run.line("connected$", 2)
    own.set(a=b"two")

    assert own.born(2).files == {"a": "two"}
    assert run.end() == 0
    assert len(own.births()) == 2


def test_an_end_without_the_cluster(broken: Scene, proxy: Proxy) -> None:
    """A TERM while the cluster is away ends zkexec as the command ends."""
    broken.create(a=b"one")
    run = broken.wrap(recorder=("--status=7",))
    broken.born()

    proxy.black_hole()

    assert run.end() == 7


def test_one_line_for_a_lost_connection(broken: Scene, proxy: Proxy, client: KazooClient) -> None:
    """A connection that is lost is told in one warning, one cause of failed attempts in another."""
    broken.create(a=b"one")
    run = broken.wrap()
    broken.born()
    accepted = proxy.accepted

    proxy.refuse()
    run.line(LEFT_ALONE)
    run.line("cannot connect to .*Connection refused")
    client.sync("/")
    proxy.heal()
    wait_until(lambda: proxy.accepted > accepted, "the next connection")
    run.line("connected$", 2)

    assert run.end() == 0
    assert len(run.all(LEFT_ALONE)) == 1
    assert len(run.all("cannot connect")) == 1
