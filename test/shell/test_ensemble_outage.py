"""What happens while the ensemble is away, against real servers: nothing is lost, none invented."""

import pytest
from kazoo.client import KazooClient

from support.posted_events import connected_client, drive_until, ensemble_of
from support.proxy import Proxy, Way
from support.zookeeper import Ensemble as Servers
from support.zookeeper import Server
from zkexec.core.events import (
    ConnectFailed,
    ReadFailed,
    SessionConnected,
    SessionLost,
    SessionSuspended,
    ZnodeTouched,
)
from zkexec.core.snapshot import Problem


def test_server_restart(own_zookeeper: Server) -> None:
    """A restart suspends the session and keeps it, and watches work again after the next read."""
    hosts = own_zookeeper.hosts
    with connected_client(hosts) as client:
        client.create("/a", b"1")
    with ensemble_of(hosts, paths=("/a",), session_timeout_s=60.0) as (ensemble, posted):
        posted.next(SessionConnected)
        posted.read(ensemble)
        own_zookeeper.stop()
        posted.next(SessionSuspended)
        posted.next(ConnectFailed, reason=f"{hosts}: Connection refused")
        assert isinstance(posted.answer(ensemble), ReadFailed)
        own_zookeeper.start()
        posted.next(SessionConnected)
        assert posted.contents(ensemble) == {"/a": b"1"}
        with connected_client(hosts) as client:
            client.set("/a", b"2")
        posted.next(ZnodeTouched, path="/a")
        assert posted.contents(ensemble) == {"/a": b"2"}
        assert not [event for event in posted.events if isinstance(event, SessionLost)]


def test_no_touch_without_change(proxy: Proxy, root: str) -> None:
    """Losing and regaining the connection invents no change."""
    with ensemble_of(proxy.hosts, paths=(root,)) as (ensemble, posted):
        posted.next(SessionConnected)
        before = posted.read(ensemble)
        for _ in range(3):
            proxy.cut()
            posted.next(SessionConnected)
            assert posted.read(ensemble) == before
        assert not [event for event in posted.events if isinstance(event, ZnodeTouched)]


@pytest.mark.parametrize("expired", [False, True], ids=["session kept", "session expired"])
def test_change_while_away(own_zookeeper: Server, *, expired: bool) -> None:
    """A change made while there was no connection shows in the first read after it."""
    proxy = Proxy(own_zookeeper.port)
    with connected_client(own_zookeeper.hosts) as client:
        for path in ("/changed", "/deleted"):
            client.create(path, b"1")
    paths = ("/changed", "/created", "/deleted")
    timeout_s = 0.9 if expired else 60.0
    with ensemble_of(proxy.hosts, paths=paths, session_timeout_s=timeout_s) as (ensemble, posted):
        posted.next(SessionConnected)
        assert posted.contents(ensemble) == {"/changed": b"1", "/created": b"", "/deleted": b"1"}
        proxy.refuse()
        posted.next(SessionSuspended)
        if expired:
            drive_until(lambda: not own_zookeeper.sessions(), "the session has expired")
        with connected_client(own_zookeeper.hosts) as client:
            client.set("/changed", b"2")
            client.create("/created", b"2")
            client.delete("/deleted")
        proxy.heal()
        posted.next(SessionConnected)
        found = posted.read(ensemble)
        assert found["/deleted"].problem is Problem.MISSING
        assert (found["/changed"].content, found["/created"].content) == (b"2", b"2")
        assert any(isinstance(event, SessionLost) for event in posted.events) is expired
        # The watches are armed anew, on the znode that is missing too.
        with connected_client(own_zookeeper.hosts) as client:
            client.create("/deleted", b"3")
        posted.next(ZnodeTouched, path="/deleted")
    proxy.close()


def test_black_hole_until_the_session_expires(own_zookeeper: Server) -> None:
    """A connection that dies in silence is told, then the expiry, then the new session."""
    proxy = Proxy(own_zookeeper.port)
    with connected_client(own_zookeeper.hosts) as client:
        client.create("/a", b"1")
    with ensemble_of(proxy.hosts, paths=("/a",), session_timeout_s=1.2) as (ensemble, posted):
        posted.next(SessionConnected)
        posted.read(ensemble)
        proxy.black_hole()
        assert posted.next(SessionSuspended).reason == "no answer from the server for 0.8 s"
        reason = f"{proxy.hosts}: the server does not answer the handshake"
        assert posted.next(ConnectFailed).reason == reason
        drive_until(lambda: not own_zookeeper.sessions(), "the session has expired")
        proxy.heal()
        assert posted.next(SessionLost).reason == "the session has expired"
        posted.next(SessionConnected)
        assert posted.contents(ensemble) == {"/a": b"1"}
    proxy.close()


def test_deaf_server(proxy: Proxy, root: str) -> None:
    """A read over a connection whose requests get lost is answered once, with a failure."""
    with ensemble_of(proxy.hosts, paths=(root,), session_timeout_s=2.0) as (ensemble, posted):
        posted.next(SessionConnected)
        posted.read(ensemble)
        proxy.black_hole(Way.TO_SERVER)
        ensemble.read(700)
        assert posted.next(ReadFailed).number == 700
        posted.next(SessionSuspended)
        proxy.heal()
        posted.next(SessionConnected)
        posted.read(ensemble)
        failed = [event for event in posted.events if isinstance(event, ReadFailed)]
        assert [event.number for event in failed] == [700]


def test_slow_server(proxy: Proxy, client: KazooClient, root: str) -> None:
    """Slow answers are answers: nothing is lost and no connection is given up."""
    proxy.delay(0.05)
    with ensemble_of(proxy.hosts, paths=(root,)) as (ensemble, posted):
        posted.next(SessionConnected)
        posted.read(ensemble)
        client.set(root, b"slow")
        posted.next(ZnodeTouched, path=root)
        assert posted.contents(ensemble) == {root: b"slow"}
        assert not [event for event in posted.events if isinstance(event, SessionSuspended)]


def test_frozen_server(own_zookeeper: Server) -> None:
    """A server that is frozen is told as lost, and used again once it thaws."""
    with connected_client(own_zookeeper.hosts) as client:
        client.create("/a", b"1")
    hosts = own_zookeeper.hosts
    with ensemble_of(hosts, paths=("/a",), session_timeout_s=1.2) as (ensemble, posted):
        posted.next(SessionConnected)
        posted.read(ensemble)
        own_zookeeper.pause()
        posted.next(SessionSuspended)
        posted.next(ConnectFailed, reason=f"{hosts}: the server does not answer the handshake")
        own_zookeeper.resume()
        posted.next(SessionConnected)
        assert posted.contents(ensemble) == {"/a": b"1"}


def test_server_of_an_ensemble_dies(own_ensemble: Servers) -> None:
    """When one server of three dies, whichever it is, the session goes on at another."""
    hosts = own_ensemble.hosts.split(",")
    with ensemble_of(*hosts, paths=("/a",), session_timeout_s=20.0) as (ensemble, posted):
        posted.next(SessionConnected)
        assert posted.read(ensemble)["/a"].problem is Problem.MISSING
        own_ensemble.leader().stop(suddenly=True)
        with connected_client(own_ensemble.hosts) as client:
            client.create("/a", b"1")

        def created() -> bool:
            answer = posted.answer(ensemble)
            return not isinstance(answer, ReadFailed) and answer.znodes["/a"].content == b"1"

        drive_until(created, "the znode is seen")
        assert not [event for event in posted.events if isinstance(event, SessionLost)]


def test_change_at_another_server_is_seen_at_once(own_ensemble: Servers) -> None:
    """The first read of a connection shows what was written anywhere before it was made."""
    with connected_client(own_ensemble.hosts) as client:
        client.create("/a", b"")
        for number in range(10):
            content = str(number).encode()
            server = own_ensemble.servers[number % 3]
            client.set("/a", content)
            with ensemble_of(server.hosts, paths=("/a",)) as (ensemble, posted):
                posted.next(SessionConnected)
                assert posted.contents(ensemble) == {"/a": content}
