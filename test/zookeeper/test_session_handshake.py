"""How a session begins on a connection: handshake, identities, SASL, and what refuses it."""

import pytest

from zkexec.zookeeper.client_events import Connected, Expired, Lost
from zkexec.zookeeper.jute import ConnectRequest, ConnectResponse, FrameWriter, ReplyHeader
from zkexec.zookeeper.requests import Get, Sync
from zkexec.zookeeper.session_requests import Authenticate, SaslToken
from zkexec.zookeeper.session_state import IdentityRefused, OutcomeReceived
from zookeeper.peer import LIMIT_S, PASSWORD, SESSION, WELCOME, Peer

ALICE = Authenticate("digest", b"alice:secret")
BOB = Authenticate("digest", b"bob:secret")


class Riddle:
    """A SASL mechanism that sends a first token, answers one riddle, and receives a last one."""

    def __init__(self) -> None:
        self.complete = False
        self.received: list[bytes | None] = []

    def process(self, challenge: bytes | None = None) -> bytes | None:
        """Answer a token of the server."""
        self.received.append(challenge)
        if challenge == b"wrong":
            raise ValueError("no such riddle")
        self.complete = challenge == b"right"
        return b"answer" if challenge == b"riddle" else None


def test_a_new_session_begins_with_an_empty_password() -> None:
    """The first frame requests a new session with the requested timeout."""
    assert Peer().greet() == ConnectRequest(0, 9_000, 0, bytes(16), read_only=True)


@pytest.mark.parametrize("read_only", [False, None])
def test_a_session_is_ready_after_the_handshake(read_only: bool | None) -> None:
    """Without identities, the answer to the handshake makes the session ready."""
    peer = Peer()
    peer.greet()
    with pytest.raises(RuntimeError):
        peer.send(Get("/a"))

    response = ConnectResponse(6_000, SESSION, PASSWORD, read_only)
    assert peer.welcome(response) == [Connected(1, SESSION, 6.0)]
    assert peer.state.is_ready
    assert (peer.state.session, peer.state.timeout_s) == (SESSION, 6.0)


def test_the_same_session_continues_on_a_new_connection() -> None:
    """A second connection names the session, its password and the newest transaction."""
    peer = Peer()
    peer.connect()
    peer.send(Sync("/"))
    ((xid, request),) = peer.requests()
    peer.answer(xid, request, None, zxid=77)
    peer.state.connection_lost("gone")

    assert peer.greet() == ConnectRequest(77, 9_000, SESSION, PASSWORD, read_only=True)
    assert peer.welcome() == [Connected(2, SESSION, 9.0)]


def test_a_timeout_of_a_moment_is_refused() -> None:
    """A server whose sessions end within a moment is of no use, and the session begins nowhere."""
    peer = Peer()
    peer.greet()

    assert peer.welcome(ConnectResponse(99, SESSION, PASSWORD)) == [
        Lost("the server grants a session timeout of 99 ms, at least 100 are needed", 0)
    ]
    peer.greet()
    assert peer.welcome(ConnectResponse(100, SESSION, PASSWORD)) == [Connected(2, SESSION, 0.1)]


@pytest.mark.parametrize("timeout_ms", [0, -1, -(2**31)])
def test_a_timeout_of_zero_is_the_end_of_the_session(timeout_ms: int) -> None:
    """A server that grants no time has ended the session, which then is over."""
    peer = Peer()
    peer.greet()

    assert peer.welcome(ConnectResponse(timeout_ms, 0, bytes(16))) == [
        Expired("the session has expired", 0)
    ]
    assert (peer.state.is_over, peer.state.has_connection, peer.state.deadline) == (
        *(True, False),
        None,
    )
    with pytest.raises(RuntimeError):
        peer.greet()


def test_a_read_only_server_is_refused() -> None:
    """A server that serves only reads is refused, and the reason names that."""
    peer = Peer()
    peer.greet()

    (event,) = peer.welcome(ConnectResponse(9_000, SESSION, PASSWORD, read_only=True))
    assert isinstance(event, Lost)
    assert "read-only" in event.reason


def test_a_server_cannot_give_another_session() -> None:
    """A server that continues another session than this one is refused."""
    peer = Peer()
    peer.connect()
    peer.state.connection_lost("gone")
    peer.greet()

    (event,) = peer.welcome(ConnectResponse(9_000, 4, PASSWORD))
    assert isinstance(event, Lost)
    assert "another session" in event.reason


def test_identities_go_before_anything_else() -> None:
    """The session is ready only after each identity was accepted."""
    peer = Peer(identities=[ALICE, BOB])
    assert peer.connect() == []
    assert peer.requests() == [(-4, ALICE), (-4, BOB)]

    assert peer.refuse(-4, 0) == []
    assert not peer.state.is_ready
    assert peer.refuse(-4, 0) == [Connected(1, SESSION, 9.0)]


def test_identities_are_sent_on_each_connection() -> None:
    """A new connection proves the identities again."""
    peer = Peer(identities=[ALICE])
    peer.connect()
    assert peer.requests() == [(-4, ALICE)]
    peer.state.connection_lost("gone")
    peer.connect()

    assert peer.requests() == [(-4, ALICE)]


def test_a_refused_identity_ends_the_connection() -> None:
    """A server that refuses an identity is reported with its error."""
    peer = Peer(identities=[ALICE])
    peer.connect()

    (event,) = peer.refuse(-4, -115)
    assert event == IdentityRefused("the server refuses the identity: AuthFailed (-115)")
    assert not peer.state.has_connection


def test_an_answer_to_no_identity_ends_the_connection() -> None:
    """A server that accepts an identity that was not sent does not speak the protocol."""
    peer = Peer()
    peer.connect()

    (event,) = peer.refuse(-4, 0)
    assert isinstance(event, Lost)
    assert "not sent" in event.reason


def test_a_sasl_exchange_has_as_many_rounds_as_it_needs() -> None:
    """Each token of the server goes to the mechanism, until that is complete."""
    riddle = Riddle()
    peer = Peer(identities=[ALICE], mechanism=lambda: riddle)
    peer.connect()
    assert peer.requests() == [(-4, ALICE), (1, SaslToken(b""))]
    assert peer.answer(1, SaslToken(b""), b"riddle") == []
    assert peer.requests() == [(2, SaslToken(b"answer"))]
    assert peer.refuse(-4, 0) == []

    assert peer.answer(2, SaslToken(b""), b"right") == [Connected(1, SESSION, 9.0)]
    assert riddle.received == [None, b"riddle", b"right"]


def test_each_connection_has_a_mechanism_of_its_own() -> None:
    """A SASL exchange begins anew on each connection."""
    made: list[Riddle] = []

    def make() -> Riddle:
        made.append(Riddle())
        return made[-1]

    peer = Peer(mechanism=make)
    peer.connect()
    peer.state.connection_lost("gone")
    peer.connect()

    assert [riddle.received for riddle in made] == [[None], [None]]


def test_a_mechanism_that_fails_ends_the_connection() -> None:
    """What a mechanism raises is reported."""
    peer = Peer(mechanism=Riddle)
    peer.connect()
    peer.requests()
    assert peer.answer(1, SaslToken(b""), b"wrong") == [
        IdentityRefused("the SASL exchange failed: no such riddle")
    ]


def test_a_server_can_refuse_a_sasl_token() -> None:
    """Any error that answers a token refuses the identity."""
    peer = Peer(mechanism=Riddle)
    peer.connect()

    (event,) = peer.refuse(1, -8)
    assert isinstance(event, IdentityRefused)
    assert "BadArguments (-8)" in event.reason


@pytest.mark.parametrize("error", [-115, -124])
def test_a_server_that_demands_an_identity_is_reported(error: int) -> None:
    """A server that answers a request with the demand of an identity is not tried on."""
    peer = Peer()
    peer.connect()
    peer.send(Get("/a"))

    failed, refused = peer.refuse(1, error)
    assert isinstance(failed, OutcomeReceived)
    assert isinstance(refused, IdentityRefused)
    assert f"({error})" in refused.reason


def test_nothing_can_be_sent_before_the_session_is_ready() -> None:
    """A request before the session is ready is an error of the program."""
    peer = Peer(identities=[ALICE])
    with pytest.raises(RuntimeError):
        peer.send(Get("/a"))
    peer.connect()

    with pytest.raises(RuntimeError):
        peer.send(Get("/a"))


def test_a_second_connection_at_once_is_an_error() -> None:
    """A session has one connection at a time."""
    peer = Peer()
    peer.greet()

    with pytest.raises(RuntimeError):
        peer.greet()


@pytest.mark.parametrize(
    ("step", "reason"), [("handshake", "may not serve now"), ("identity", "may refuse that")]
)
def test_a_server_that_hangs_up_meanwhile_is_described(step: str, reason: str) -> None:
    """A server that hangs up before the session is ready is reported with what it left out."""
    peer = Peer(identities=[ALICE])
    peer.greet()
    if step == "identity":
        peer.welcome(WELCOME)

    (event,) = peer.state.connection_lost("the server hung up")
    assert isinstance(event, Lost)
    assert event.reason.startswith("the server hung up instead of answering")
    assert reason in event.reason


@pytest.mark.parametrize("step", ["handshake", "identity"])
def test_a_mute_server_costs_little_time(step: str) -> None:
    """The connection has to be ready by its deadline, whatever arrives until then."""
    peer = Peer(identities=[ALICE])
    peer.greet()
    if step == "identity":
        peer.welcome(ConnectResponse(60_000, SESSION, PASSWORD))
    assert peer.state.deadline == peer.now + LIMIT_S
    assert peer.after(LIMIT_S - 0.1) == []
    peer.receive(b"\0\0")
    assert peer.state.has_connection

    (event,) = peer.after(0.2)
    assert isinstance(event, Lost)
    assert "does not answer" in event.reason
    assert step in event.reason


@pytest.mark.parametrize(("step", "limit"), [("handshake", 4096), ("identity", 65536)])
def test_early_frames_are_small(step: str, limit: int) -> None:
    """Before the session is ready, a frame of more than a few kilobytes ends the connection."""
    for length, is_over in ((limit, False), (limit + 1, True)):
        peer = Peer(identities=[ALICE])
        peer.greet()
        if step == "identity":
            peer.welcome()
        events = peer.receive(length.to_bytes(4, "big"))
        assert bool(events) == is_over
        assert peer.state.has_connection != is_over


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (-119, "this server is read-only, as it has no contact to a quorum"),
        (-1, "the server answered the handshake: SystemError (-1)"),
    ],
)
def test_a_handshake_may_be_answered_as_a_request(code: int, reason: str) -> None:
    """A read-only server of 3.8 answers with no more than the error of a request."""
    peer = Peer()
    peer.greet()
    frame = FrameWriter()
    ReplyHeader(0, 1, code).write_to(frame)

    assert peer.receive(frame.framed()) == [Lost(reason, 0)]


def test_a_broken_handshake_ends_the_connection() -> None:
    """An answer to the handshake that is too short is reported as such."""
    peer = Peer()
    peer.greet()

    (event,) = peer.receive(b"\0\0\0\2hi")
    assert isinstance(event, Lost)
    assert "does not speak ZooKeeper's protocol" in event.reason
