"""The session on a real server, beside kazoo: equal results and equal watches."""

import os
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from kazoo.client import KazooClient

from support.waiting import until
from support.zookeeper import Server, can_read_at_once
from zkexec.frozen import fields
from zkexec.zookeeper.client_events import Connected, Expired, Lost
from zkexec.zookeeper.errors import ConnectionEndError
from zkexec.zookeeper.jute import ConnectResponse
from zkexec.zookeeper.requests import Create, Exists, Get, GetEphemerals
from zkexec.zookeeper.session_requests import AnyRequest, Authenticate
from zkexec.zookeeper.session_state import CloseConfirmed, IdentityRefused, SessionState
from zkexec.zookeeper.values import OPEN_ACL
from zookeeper.blocking_client import BlockingClient
from zookeeper.random_operations import KazooPlayer, comparable, operations
from zookeeper.wire_server import welcome

OPERATIONS = int(os.environ.get("ZKEXEC_EXAMPLES", "1000"))


@pytest.fixture
def ours(zookeeper: Server) -> Iterator[BlockingClient]:
    """A session of ours that is ready."""
    blocking = BlockingClient(zookeeper.port, SessionState(30.0))
    assert isinstance(blocking.connect()[-1], Connected)
    yield blocking
    if blocking.state.is_ready:
        # Some servers report in between that the ephemeral znodes are deleted.
        assert blocking.finish()[-1] == CloseConfirmed()


def below(root: str, request: AnyRequest) -> AnyRequest:
    """Move a request below a root."""
    changes: dict[str, Any] = {}
    for name, value in fields(request).items():
        match name:
            case "path":
                changes[name] = f"{root}{value}"
            case "paths":
                changes[name] = [f"{root}{path}" for path in value]  # type: ignore[attr-defined]
            case "operations":
                changes[name] = [below(root, one) for one in value]  # type: ignore[attr-defined]
            case _:
                changes[name] = value
    return type(request)(**changes)


def test_a_random_program_has_equal_results_and_watches(
    ours: BlockingClient, client: KazooClient
) -> None:
    """A thousand random operations on equal trees have the results and watches of kazoo."""
    roots = [f"/{whose}-{uuid.uuid4().hex[:12]}" for whose in ("ours", "kazoo")]
    for root in roots:
        client.create(root)
    kazoo = KazooPlayer(client, roots[1])
    reads_at_once = can_read_at_once()

    for request in operations(7, OPERATIONS, reads_at_once=reads_at_once):
        (outcome,) = ours.call(below(roots[0], request))
        assert comparable(request, outcome, roots[0]) == kazoo.play(request), request

    fired = sorted((one.watch, one.path.removeprefix(roots[0])) for one in ours.fired)
    assert len(fired) > OPERATIONS / 20
    until(lambda: len(kazoo.fired) >= len(fired), "kazoo has called the same watches")
    assert fired == sorted(kazoo.fired)


def test_a_session_lives_on_a_second_connection(zookeeper: Server) -> None:
    """An ephemeral znode outlives the connection that made it, and belongs to the next one."""
    state = SessionState(30.0)
    first = BlockingClient(zookeeper.port, state)
    first.connect()
    session = state.session
    path = f"/ephemeral-{uuid.uuid4().hex[:12]}"
    assert first.call(Create(path, b"", OPEN_ACL, ephemeral=True)) == [path]
    first.hang_up()
    second = BlockingClient(zookeeper.port, state)

    assert second.connect() == [Connected(1, session, state.timeout_s)]
    (stat,) = second.call(Exists(path))
    assert stat is not None
    assert fields(stat)["ephemeral_owner"] == session
    if can_read_at_once():
        assert second.call(GetEphemerals()) == [(path,)]
    assert second.finish() == [CloseConfirmed()]
    late = BlockingClient(zookeeper.port, SessionState(30.0))
    late.connect()
    assert late.call(Exists(path)) == [None]
    late.finish()


def test_an_unknown_session_has_expired(zookeeper: Server) -> None:
    """A server that does not know a session any more reports its end."""
    state = SessionState(30.0)
    state.connection_made(1, 0.0, 3.0)
    state.receive(welcome(ConnectResponse(30_000, 0x7777, b"x" * 16)), 0.0)
    state.connection_lost("made up")

    (event,) = BlockingClient(zookeeper.port, state).connect()
    assert isinstance(event, Expired)
    assert state.is_over


def test_a_request_that_is_too_large_is_described(ours: BlockingClient) -> None:
    """A server that hangs up on a large request is reported with the request and its bytes."""
    (outcome,) = ours.call(Create("/large", bytes(1_200_000), OPEN_ACL))

    assert isinstance(outcome, ConnectionEndError)
    lost = ours.events[-1]
    assert isinstance(lost, Lost)
    assert "answering create /large of 1,200,053 bytes" in lost.reason
    assert "jute.maxbuffer" in lost.reason


def test_an_identity_is_proven_or_refused(zookeeper: Server) -> None:
    """A server accepts an identity before any request, and refuses an unknown scheme."""
    known = [Authenticate("digest", b"alice:secret")]
    alice = BlockingClient(zookeeper.port, SessionState(30.0), known)
    assert [type(event) for event in alice.connect()] == [Connected]
    alice.finish()

    strange = [Authenticate("nonsense", b"x")]
    (event,) = BlockingClient(zookeeper.port, SessionState(30.0), strange).connect()
    assert isinstance(event, IdentityRefused)


def test_pings_keep_a_session_alive(zookeeper: Server) -> None:
    """A session that only pings outlives its timeout."""
    pinging = BlockingClient(zookeeper.port, SessionState(4.0))
    pinging.connect()
    pinging.sent.clear()
    until(lambda: pinging.pass_time() >= 4, "four pings are sent")

    (root,) = pinging.call(Get("/"))
    assert isinstance(root, tuple)
    pinging.finish()
