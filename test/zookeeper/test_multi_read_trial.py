"""How a client finds out whether its servers can read many znodes at once, as those from 3.6 on."""

from collections.abc import Callable

from zkexec.zookeeper.client_events import Connected, Failed, Lost
from zkexec.zookeeper.errors import ConnectionLostError
from zkexec.zookeeper.requests import MultiRead, Sync
from zookeeper.client_player import TIMEOUT_S, ClientPlayer
from zookeeper.simulated_network import SILENCE, SimulatedNetwork

Simulated = Callable[..., SimulatedNetwork]


def test_a_server_that_cannot_read_at_once_is_remembered(simulated: Simulated) -> None:
    """A multi-read on an old server fails as by a lost connection; that it does is known then."""
    player = ClientPlayer(simulated("10.0.0.1"))
    player.connect()
    player.server.is_old = True
    assert not player.client.lacks_multi_read
    player.start(MultiRead(["/a", "/b"]))
    player.pass_time(1.0)

    failed, lost, connected = player.new()
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, ConnectionLostError)
    assert str(failed.error) == "this server, older than 3.6, cannot read znodes at once"
    assert isinstance(lost, Lost)
    assert "does not know the operation multi-read" in lost.reason
    assert isinstance(connected, Connected)
    assert player.client.lacks_multi_read


def test_an_old_server_is_known_before_its_connection_is_reported(simulated: Simulated) -> None:
    """A client that tries a multi-read first loses nothing by its refusal, and reports nothing."""
    player = ClientPlayer(simulated("10.0.0.1"), tries_multi_read=True)
    player.server.is_old = True
    player.connect()
    assert player.client.lacks_multi_read
    first, second = player.network.attempts
    assert first.is_closed
    assert first.requests == [Sync("/"), MultiRead(())]
    assert second.requests == [Sync("/")]
    assert second.greeting is not None
    assert second.greeting.session


def test_a_multi_read_is_tried_on_each_connection(simulated: Simulated) -> None:
    """The next server can be older than the first, whose answer comes behind that of the sync."""
    player = ClientPlayer(simulated("10.0.0.1"), tries_multi_read=True)
    player.connect()
    assert not player.client.lacks_multi_read
    assert player.connection.requests == [Sync("/"), MultiRead(())]
    player.server.is_old = True
    player.connection.send(b"")
    player.pass_time(1.0)

    lost, connected = player.new()
    assert isinstance(lost, Lost)
    assert isinstance(connected, Connected)
    assert player.client.lacks_multi_read
    assert len(player.network.attempts) == 3


def test_nothing_is_reported_while_the_multi_read_is_unanswered(simulated: Simulated) -> None:
    """A server that answers the sync alone is mute: the next one is tried."""
    player = ClientPlayer(simulated("10.0.0.1"), tries_multi_read=True)
    player.server.outcome = lambda one: SILENCE if isinstance(one, MultiRead) else 0
    player.client.open()
    player.pass_time(TIMEOUT_S)
    assert not player.of(Connected)
    assert "does not answer a request" in player.failures()[0]


def test_another_answer_to_the_multi_read_that_is_tried(simulated: Simulated) -> None:
    """A server that refuses an empty multi-read for another reason may be able to read at once."""
    player = ClientPlayer(simulated("10.0.0.1"), tries_multi_read=True)
    player.server.outcome = lambda one: -5 if isinstance(one, MultiRead) else 0
    player.connect()
    assert not player.client.lacks_multi_read
