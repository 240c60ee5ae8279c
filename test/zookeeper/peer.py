"""A session and the server that it speaks with, without anything in between but bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zkexec.zookeeper.client_events import ClientEvent
from zkexec.zookeeper.jute import ConnectRequest, ConnectResponse
from zkexec.zookeeper.session_requests import AnyRequest, Authenticate
from zkexec.zookeeper.session_state import SessionState
from zookeeper import wire_server

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from zkexec.zookeeper.session_state import SaslMechanism

SESSION = 0x1234
PASSWORD = b"p" * 16
WELCOME = ConnectResponse(9_000, SESSION, PASSWORD)
LIMIT_S = 3.0
"""How long a connection may take until it is ready."""


class Peer:
    """The server of a `SessionState`; `now` is the time, which only the test moves."""

    def __init__(
        self,
        *,
        timeout_s: float = 9.0,
        identities: Sequence[Authenticate] = (),
        mechanism: Callable[[], SaslMechanism] | None = None,
    ) -> None:
        self.state = SessionState(timeout_s)
        self._identities = identities
        self._mechanism = mechanism
        self.now = 100.0
        self.connections = 0

    def greet(self) -> ConnectRequest:
        """Have the session begin a connection → its first frame."""
        self.connections += 1
        mechanism = None if self._mechanism is None else self._mechanism()
        deadline = self.now + LIMIT_S
        self.state.connection_made(
            self.connections, self.now, deadline, self._identities, mechanism
        )
        return wire_server.read_greeting(self._take())

    def welcome(self, response: ConnectResponse = WELCOME) -> list[ClientEvent]:
        """Answer the handshake."""
        return self.receive(wire_server.welcome(response))

    def connect(self) -> list[ClientEvent]:
        """Begin a connection and answer its handshake."""
        self.greet()
        return self.welcome()

    def send(self, *requests: AnyRequest) -> None:
        """Have requests sent, each with its own name as the key."""
        for request in requests:
            self.state.send(request, type(request).__name__, self.now)

    def requests(self) -> list[tuple[int, AnyRequest]]:
        """Read what the session has sent: xids and requests."""
        return [wire_server.read_request(frame) for frame in wire_server.split(self._take())]

    def answer(
        self, xid: int, request: AnyRequest, outcome: Any, zxid: int = 1
    ) -> list[ClientEvent]:
        """Answer a request."""
        return self.receive(wire_server.answer(xid, request, outcome, zxid))

    def refuse(self, xid: int, error: int) -> list[ClientEvent]:
        """Answer a request with an error code."""
        return self.receive(wire_server.refusal(xid, error))

    def fire(self, kind: int, path: str) -> list[ClientEvent]:
        """Send the event of a watch."""
        return self.receive(wire_server.event(kind, path))

    def receive(self, content: bytes) -> list[ClientEvent]:
        """Have the session receive bytes."""
        return self.state.receive(content, self.now)

    def after(self, seconds: float) -> list[ClientEvent]:
        """Let time pass, then have the session do what is due."""
        self.now += seconds
        return self.state.tick(self.now)

    def _take(self) -> bytes:
        content = bytes(self.state.outgoing)
        self.state.written(len(content), self.now)
        return content
