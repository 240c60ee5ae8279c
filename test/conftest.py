"""Fixtures around real ZooKeeper servers.

A test that only sets and reads znodes shares one server with all others and works below a
`root` of its own; a test that stops, pauses or wipes servers asks for its own.
"""

import signal
import uuid
from collections.abc import Iterator

import pytest
from kazoo.client import KazooClient

from support.posted_events import Opener, opener
from support.proxy import Proxy, like_an_old_server
from support.zookeeper import Ensemble, Server, can_read_at_once, demand_reading_at_once


def _ignore_nothing() -> None:
    """Undo what the caller ignores (`make test &`): all that is started here would inherit it."""
    for number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


_ignore_nothing()


@pytest.fixture(scope="session")
def zookeeper() -> Iterator[Server]:
    """One ZooKeeper server for the whole run, shared by all tests: never stop or pause it."""
    server = Server()
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture
def own_zookeeper() -> Iterator[Server]:
    """A ZooKeeper server of this test alone, running; the test may do anything with it."""
    server = Server()
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture
def own_ensemble() -> Iterator[Ensemble]:
    """An ensemble of three servers of this test alone, running."""
    ensemble = Ensemble(3)
    try:
        ensemble.start()
        yield ensemble
    finally:
        ensemble.close()


@pytest.fixture
def client(zookeeper: Server) -> Iterator[KazooClient]:
    """A plain client of the shared server, with which a test plays the operator."""
    with_session = KazooClient(hosts=zookeeper.hosts, timeout=30.0)
    with_session.start(timeout=30.0)
    yield with_session
    with_session.stop()
    with_session.close()


@pytest.fixture
def root(client: KazooClient) -> str:
    """The path of a fresh, empty znode on the shared server, for this test alone."""
    path = f"/test-{uuid.uuid4().hex[:12]}"
    client.create(path)
    return path


@pytest.fixture
def proxy(zookeeper: Server) -> Iterator[Proxy]:
    """A proxy of this test alone in front of the shared server."""
    in_between = Proxy(zookeeper.port)
    yield in_between
    in_between.close()


@pytest.fixture(params=["at once", "twice"])
def opened(request: pytest.FixtureRequest, proxy: Proxy) -> Opener:
    """Opens an Ensemble behind the proxy: on a new server, and on one that acts like an old.

    A server that is old needs not act, and shows how a real one refuses.
    """
    old = request.param == "twice"
    if not old:
        demand_reading_at_once()
    if old and can_read_at_once():
        proxy.on_request = like_an_old_server
    return opener(proxy.hosts)


@pytest.fixture
def opened_as_old(proxy: Proxy) -> Opener:
    """Opens an Ensemble behind the proxy, which acts like a server before 3.6."""
    proxy.on_request = like_an_old_server
    return opener(proxy.hosts)
