"""The smallest driver of a `SessionState`: one blocking socket, one request after the other."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

from zkexec.zookeeper.client_events import ClientEvent, Connected, Fired
from zkexec.zookeeper.session_requests import AnyRequest, Authenticate
from zkexec.zookeeper.session_state import OutcomeReceived, SessionState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zkexec.zookeeper.session_state import SaslMechanism

_LONGEST_WAIT_S = 30.0
_PING_SIZE = 12


class BlockingClient:
    """A session on a connection of its own; what was sent and received is kept."""

    def __init__(
        self,
        port: int,
        state: SessionState,
        identities: Sequence[Authenticate] = (),
        mechanism: SaslMechanism | None = None,
    ) -> None:
        self.state = state
        self.sent = bytearray()
        self.received = bytearray()
        self.fired: list[Fired] = []
        self.events: list[ClientEvent] = []
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=_LONGEST_WAIT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        now = time.monotonic()
        state.connection_made(1, now, now + _LONGEST_WAIT_S, identities, mechanism)

    def connect(self) -> list[ClientEvent]:
        """Wait until the session is ready, or its connection is lost → what happened."""
        return self._wait(1, Connected)

    def call(self, *requests: AnyRequest) -> list[object]:
        """Send requests and wait for their outcomes; those of a lost connection are errors."""
        for number, request in enumerate(requests):
            self.state.send(request, number, time.monotonic())
        events = self._wait(len(requests), OutcomeReceived)
        return [event.outcome for event in events if isinstance(event, OutcomeReceived)]

    def finish(self) -> list[ClientEvent]:
        """Close the session and wait for the end of the connection → what happened."""
        self.state.close(time.monotonic())
        return self._wait(1, type(None))

    def pass_time(self) -> int:
        """Let the session do what is due next → how many frames of the size of a ping were sent."""
        self._exchange()
        return len(self.sent) // _PING_SIZE

    def hang_up(self) -> None:
        """Close the socket, and leave the session to the server."""
        self._socket.close()
        self.state.connection_lost("the client hung up")

    def _wait(self, count: int, kind: type) -> list[ClientEvent]:
        """Exchange bytes until that many events of a kind came, or the connection is lost."""
        events: list[ClientEvent] = []
        while self.state.has_connection and sum(isinstance(e, kind) for e in events) < count:
            events += self._exchange()
        if not self.state.has_connection:
            self._socket.close()
        self.events += events
        self.fired += [event for event in events if isinstance(event, Fired)]
        return events

    def _exchange(self) -> list[ClientEvent]:
        state = self.state
        now = time.monotonic()
        try:
            if state.outgoing:
                count = self._socket.send(state.outgoing)
                self.sent += state.outgoing[:count]
                state.written(count, now)
                return []
            self._socket.settimeout(max(0.001, (state.deadline or now) - now))
            content = self._socket.recv(1 << 16)
        except TimeoutError:
            return state.tick(time.monotonic())
        except OSError as error:
            return state.connection_lost(error.strerror or "the connection failed")
        self.received += content
        if not content:
            return state.connection_lost("the server hung up")
        return state.receive(content, time.monotonic())
