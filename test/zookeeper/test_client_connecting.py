"""How a client becomes connected, what keeps it from that, and as whom it connects."""

from collections.abc import Callable
from typing import Any

import pytest

from zkexec.zookeeper.client_events import (
    Answered,
    AttemptFailed,
    Connected,
    Expired,
    Failed,
    Lost,
)
from zkexec.zookeeper.client_settings import ClientSettings, Proof
from zkexec.zookeeper.errors import NoAuthError
from zkexec.zookeeper.jute import ConnectRequest, ConnectResponse
from zkexec.zookeeper.requests import Get, MultiRead, Sync
from zkexec.zookeeper.session_requests import AnyRequest, Authenticate, Ping, SaslToken
from zookeeper.client_player import ClientPlayer
from zookeeper.simulated_network import HANG_UP, SILENCE, Raw, SimulatedNetwork, SimulatedServer
from zookeeper.wire_server import refusal, welcome

Simulated = Callable[..., SimulatedNetwork]
FORBIDDEN = NoAuthError.code
PING_XID = -2
HUNG_UP = "the server closed the connection"
STRANGE = "the server does not speak ZooKeeper's protocol"

SESSION_EXPIRED = -112


def only(kind: type, outcome: object, server: SimulatedServer) -> Callable[[AnyRequest], Any]:
    """Have a server do something with requests of one kind, and serve all others."""
    return lambda request: outcome if isinstance(request, kind) else server.serve(request)


def test_a_server_that_answers_is_a_connection(simulated: Simulated) -> None:
    """The connection is reported once the server has answered a request, and not before."""
    player = ClientPlayer(simulated("10.0.0.1"))
    player.server.outcome = only(Sync, SILENCE, player.server)
    player.client.open()
    player.settle()
    assert player.connection.requests == [Sync("/")]
    assert player.events == []

    player.server.outcome = player.server.serve
    player.pass_time(3.0)
    assert player.failures() == ["10.0.0.1:2181: the server does not answer a request"]
    player.pass_time(1.0)
    assert player.new()[1:] == [Connected(2, 0x51, 9.0)]


def test_nothing_is_due_without_a_session(simulated: Simulated) -> None:
    """A client that was not opened, or was closed, does nothing."""
    player = ClientPlayer(simulated("10.0.0.1"))
    player.settle()
    assert (player.client.deadline, player.client.descriptor) == (None, None)
    player.connect()
    player.client.close(1.0)
    player.pass_time(100.0)

    assert (player.client.deadline, player.client.descriptor) == (None, None)
    assert len(player.network.attempts) == 1
    assert player.connection.is_closed


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (
            {"welcome": lambda _: HANG_UP},
            f"{HUNG_UP} instead of answering the handshake; it may not serve now, or demand TLS",
        ),
        ({"welcome": lambda _: SILENCE}, "the server does not answer the handshake"),
        (
            {"welcome": lambda _: ConnectResponse(9000, 1, b"p" * 16, read_only=True)},
            "this server is read-only, as it has no contact to a quorum",
        ),
        ({"welcome": lambda _: ConnectResponse(0, 0, b"")}, "the server refuses a new session"),
        (
            {"welcome": lambda _: Raw(b"\0\0\0\4what")},
            f"{STRANGE}: 4 bytes are due at the end of a frame, 0 are left",
        ),
        (
            {"welcome": lambda _: Raw(b"HTTP/1.1 400 Bad Request\r\n")},
            f"{STRANGE}: a frame of 1,213,486,160 bytes is announced, at most 4,096 are awaited",
        ),
        (
            {"outcome": lambda _: HANG_UP},
            f"{HUNG_UP} instead of answering sync / of 13 bytes",
        ),
        (
            {"outcome": lambda request: 0 if isinstance(request, Ping) else SILENCE},
            "the server does not answer a request",
        ),
        (
            {"outcome": lambda _: -124},
            "the server demands an identity: SessionClosedRequireSaslAuth (-124); check it",
        ),
        (
            {"outcome": lambda _: -5},
            "the server does not synchronize: the server answered MarshallingError (-5)",
        ),
    ],
)
def test_a_server_that_is_of_no_use_is_an_attempt_that_failed(
    simulated: Simulated, fault: dict[str, Any], reason: str
) -> None:
    """It is reported with what it did; the next server is used, and both are closed at the end."""
    for seed in range(20):
        network = simulated("10.0.0.1", "10.0.0.2", seed=seed)
        player = ClientPlayer(network, "10.0.0.1", "10.0.0.2")
        for name, behaviour in fault.items():
            setattr(player.server, name, behaviour)
        player.client.open()
        player.pass_time(3.5)
        if player.failures():
            break
    assert player.new()[:2] == [
        AttemptFailed(f"10.0.0.1:2181: {reason}", is_last=False),
        Connected(2, 0x51, 9.0),
    ]
    assert [one.is_closed for one in network.attempts] == [True, False]


def test_a_server_that_drops_each_connection_is_tried_every_few_seconds(
    simulated: Simulated,
) -> None:
    """The pauses grow although the server accepts each connection and each session."""
    player = ClientPlayer(simulated("10.0.0.1"))
    player.server.outcome = lambda _: HANG_UP
    player.client.open()
    player.pass_time(600.0)

    assert 200 <= len(player.network.attempts) <= 420
    assert all(event.is_last for event in player.of(AttemptFailed))
    assert not player.of(Lost)


def test_a_loss_behind_the_welcome_is_an_attempt_that_failed(simulated: Simulated) -> None:
    """If rubbish follows the welcome at once, nothing is sent, and the next attempt is made."""
    player = ClientPlayer(simulated("10.0.0.1"))
    server = player.server

    def greet(request: ConnectRequest) -> bytes:
        server.welcome = server.greet
        return Raw(welcome(server.greet(request)) + b"\xff\xff\xff\xff")

    server.welcome = greet
    player.client.open()
    player.settle()
    assert player.network.attempts[0].requests == []
    (reason,) = player.failures()
    assert "a frame of -1 bytes is announced" in reason

    player.pass_time(1.0)
    assert player.of(Connected)


def test_connections_have_numbers_of_their_own(simulated: Simulated) -> None:
    """Each connection has another number; the session is the same on all of them."""
    player = ClientPlayer(simulated("10.0.0.1"))
    seen = [player.connect()]
    for _ in range(3):
        player.connection.send(b"")
        player.pass_time(5.0)
        lost, connected = player.new()
        assert lost == Lost("the server closed the connection", 1)
        assert isinstance(connected, Connected)
        seen.append(connected)

    assert [one.connection for one in seen] == [1, 2, 3, 4]
    assert {one.session for one in seen} == {0x51}


def test_an_expired_session_is_replaced(simulated: Simulated) -> None:
    """The expiry is reported, and a new session is connected at once."""
    player = ClientPlayer(simulated("10.0.0.1"))
    first = player.connect()
    player.pass_time(20.0)
    greet = player.server.greet
    player.server.welcome = lambda request: (
        ConnectResponse(0, 0, b"") if request.session else greet(request)
    )
    player.connection.send(b"")
    player.pass_time(1.0)

    lost, expired, again = player.new()
    assert isinstance(lost, Lost)
    assert expired == Expired("the session has expired", 1)
    assert isinstance(again, Connected)
    assert again.session != first.session
    assert all(one.is_closed for one in player.network.attempts[:-1])


def test_servers_may_be_wiped_before_a_session_is_of_use(simulated: Simulated) -> None:
    """What a session has seen before its first report is forgotten, so no server refuses it."""
    player = ClientPlayer(simulated("10.0.0.1"))
    player.server.outcome = only(Sync, SILENCE, player.server)
    requests: list[ConnectRequest] = []
    greet = player.server.greet

    def welcome(request: ConnectRequest) -> ConnectResponse:
        requests.append(request)
        return greet(request)

    player.server.welcome = welcome
    player.client.open()
    player.settle()
    player.connection.send(refusal(PING_XID, 0, zxid=7))
    player.pass_time(5.0)
    assert [(one.session, one.zxid) for one in requests] == [(0, 0), (0x51, 0)]

    player.server.outcome = player.server.serve
    player.pass_time(10.0)
    assert len(player.of(Connected)) == 1
    player.connection.send(refusal(PING_XID, 0, zxid=8))
    player.connection.send(b"")
    player.pass_time(1.0)
    assert requests[-1].zxid == 8


def test_an_answer_of_an_expired_session_loses_the_connection(simulated: Simulated) -> None:
    """The dialogue fails, then the loss is reported, and the handshake shows the rest."""
    player = ClientPlayer(simulated("10.0.0.1"))
    player.connect()
    player.server.outcome = only(Get, SESSION_EXPIRED, player.server)
    player.start(Get("/a"))
    player.settle()

    failed, lost = player.new()
    assert isinstance(failed, Failed)
    assert isinstance(lost, Lost)
    assert lost.reason == "the server answered SessionExpired (-112)"


# As whom.


class Secrets:
    """The identities that a client reads, which a test changes; counts how often."""

    def __init__(self, *digests: str, sasl: tuple[str, str] | None = None) -> None:
        self.proof = Proof(digests, sasl)
        self.error: Exception | None = None
        self.reads = 0

    def __call__(self) -> Proof:
        """Read them."""
        self.reads += 1
        if self.error is not None:
            raise self.error
        return self.proof


def player_with(network: SimulatedNetwork, secrets: Secrets) -> ClientPlayer:
    """A client that has these identities."""
    settings = ClientSettings(
        servers=(("10.0.0.1", 2181),),
        session_timeout_s=9.0,
        proof=secrets,
        identity_hint="check the file",
    )
    return ClientPlayer(network, settings=settings)


def identities(player: ClientPlayer) -> list[bytes]:
    """The identities that were sent on the newest connection."""
    return [one.secret for one in player.connection.requests if isinstance(one, Authenticate)]


def test_identities_are_read_for_each_connection(simulated: Simulated) -> None:
    """A secret that was renewed is sent on the next connection."""
    secrets = Secrets("us:old", "them:x")
    player = player_with(simulated("10.0.0.1"), secrets)
    player.connect()
    assert identities(player) == [b"us:old", b"them:x"]
    secrets.proof = Proof(("us:new",))
    player.connection.send(b"")
    player.pass_time(1.0)

    assert identities(player) == [b"us:new"]
    assert secrets.reads == 2


def test_an_identity_that_cannot_be_read_fails_the_attempt(simulated: Simulated) -> None:
    """Whatever keeps an identity from being read is reported, and tried again."""
    secrets = Secrets("us:x")
    secrets.error = ValueError("it is empty")
    player = player_with(simulated("10.0.0.1"), secrets)
    player.client.open()
    player.settle()
    assert player.failures() == [
        "10.0.0.1:2181: the identity cannot be proven: it is empty; check the file"
    ]

    secrets.error = None
    player.pass_time(1.0)
    assert player.of(Connected)


def test_a_refused_identity_is_an_attempt_that_failed(simulated: Simulated) -> None:
    """A server that refuses the identity is reported with what to do, again and again."""
    player = player_with(simulated("10.0.0.1"), Secrets("us:x"))
    player.server.outcome = only(Authenticate, SILENCE, player.server)
    player.client.open()
    player.settle()
    player.connection.send(b"\0\0\0\x10\xff\xff\xff\xfc" + bytes(8) + b"\xff\xff\xff\x8d")
    player.settle()

    assert player.failures() == [
        "10.0.0.1:2181: the server refuses the identity: AuthFailed (-115); check the file"
    ]
    player.pass_time(10.0)
    assert len(player.failures()) > 1
    assert not player.of(Connected)


def test_sasl_is_proven_by_its_library(simulated: Simulated) -> None:
    """A token that the library cannot answer refuses the identity; no secret is reported."""
    player = player_with(simulated("10.0.0.1"), Secrets(sasl=("alice", "wonderland")))
    player.server.outcome = only(SaslToken, b"rubbish", player.server)
    player.client.open()
    player.settle()

    assert player.connection.requests == [SaslToken(b"")]
    (reason,) = player.failures()
    assert reason.startswith("10.0.0.1:2181: the SASL exchange failed: ")
    assert reason.endswith("; check the file")
    assert "wonderland" not in reason


@pytest.mark.parametrize("request_", [Get("/a"), MultiRead(["/a", "/b"])])
def test_what_is_forbidden_has_the_identity_read_again(
    simulated: Simulated, request_: Get | MultiRead
) -> None:
    """If it has changed, the client connects again with the new one."""
    secrets = Secrets("us:old")
    player = player_with(simulated("10.0.0.1"), secrets)
    player.connect()
    several = [NoAuthError("/a"), NoAuthError("/b")]
    outcome = FORBIDDEN if isinstance(request_, Get) else several
    player.server.outcome = only(type(request_), outcome, player.server)
    secrets.proof = Proof(("us:new",))
    player.start(request_)
    player.pass_time(1.0)

    answered, lost, connected = player.new()
    assert isinstance(answered, Answered)
    assert isinstance(lost, Lost)
    assert lost.reason == "the identity has changed"
    assert isinstance(connected, Connected)
    assert identities(player) == [b"us:new"]


@pytest.mark.parametrize("error", [None, OSError("it is gone")])
def test_an_identity_that_is_the_same_keeps_the_connection(
    simulated: Simulated, error: Exception | None
) -> None:
    """What is forbidden stays so if the identity has not changed, or cannot be read now."""
    secrets = Secrets("us:old")
    player = player_with(simulated("10.0.0.1"), secrets)
    player.connect()
    player.server.outcome = only(Get, FORBIDDEN, player.server)
    secrets.error = error
    for _ in range(3):
        (outcome,) = player.answer(Get("/a"))
        assert isinstance(outcome, NoAuthError)

    assert secrets.reads == 4
    assert len(player.network.attempts) == 1
    secrets.error = None
    player.server.outcome = player.server.serve
    player.answer(Get("/a"))
    assert secrets.reads == 4
