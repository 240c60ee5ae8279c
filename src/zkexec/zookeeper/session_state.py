"""A session with ZooKeeper as a state machine: bytes and the time in, bytes and events out.

It knows no socket, no thread and no clock.  The session outlives its connections; the requests
and watches of a connection end with it.
"""

from __future__ import annotations

from zkexec.enumeration import Enum
from zkexec.frozen import frozen
from zkexec.lean import partial
from zkexec.zookeeper.client_events import ClientEvent, Connected, Expired, Fired, Lost
from zkexec.zookeeper.errors import ConnectionLostError
from zkexec.zookeeper.exchange import Exchange
from zkexec.zookeeper.frame_buffer import FrameBuffer
from zkexec.zookeeper.jute import (
    REPLY_HEADER_SIZE,
    ConnectRequest,
    ConnectResponse,
    FrameReader,
    FrameWriter,
    MalformedFrameError,
    ReplyHeader,
    WatcherEvent,
)
from zkexec.zookeeper.pace import SLOWEST, Pace
from zkexec.zookeeper.request_codec import decode, describe_error, encode, name_of
from zkexec.zookeeper.session_requests import CloseSession, Ping, SaslToken
from zkexec.zookeeper.watch_table import WatchTable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence
    from typing import Any, Protocol

    from zkexec.zookeeper.exchange import UnansweredRequest
    from zkexec.zookeeper.session_requests import AnyRequest, Authenticate

    class SaslMechanism(Protocol):
        """One SASL exchange, from the side of the client; pure-sasl's `SASLClient` is one."""

        @property
        def complete(self) -> bool:
            """Whether no further token of the server is needed."""

        def process(self, challenge: bytes | None = None) -> bytes | None:
            """Answer a token of the server, None for the first; raises what it likes."""


_WATCH_XID, _PING_XID, _AUTH_XID = -1, -2, -4
"""The numbers of frames outside the order of answers; `ClientCnxn` has them as constants."""

_UNIMPLEMENTED, _SESSION_EXPIRED, _AUTH_FAILED = -6, -112, -115
_SESSION_MOVED, _NOT_READ_ONLY, _SASL_REQUIRED = -118, -119, -124

_READ_ONLY = "this server is read-only, as it has no contact to a quorum"

_ENDS_CONNECTION = (_SESSION_EXPIRED, _AUTH_FAILED, _SESSION_MOVED, _SASL_REQUIRED)

_SHORTEST_SESSION_MS = 100
"""A session that has to be kept alive more often would do nothing else."""

_LARGEST_HANDSHAKE = 4 * 1024
_LARGEST_PROOF = 64 * 1024
"""How large a frame may be before the connection is ready: the token of a SASL exchange."""


@frozen()
class OutcomeReceived(ClientEvent):
    """A request was answered or has lost its connection; `key` is what it was sent with.

    `zxid` is the newest transaction that the server has named by then.
    """

    key: Hashable
    outcome: object
    zxid: int


@frozen()
class IdentityRefused(ClientEvent):
    """The server refuses this client for who it is; the connection is over."""

    reason: str


@frozen()
class CloseConfirmed(ClientEvent):
    """The session was closed as `close()` demanded; the connection is over."""


class ConnectionPhase(Enum):
    """How far a connection is."""

    HANDSHAKE = "handshake"
    AUTHENTICATION = "authentication"
    READY = "ready"
    CLOSING = "closing"


@frozen()
class _OwnRequest:
    """The key of a request that the session sends by itself: what it does with the outcome."""

    then: Callable[[Any, float], list[ClientEvent]]


class _ConnectionState:
    """What belongs to one connection and ends with it."""

    def __init__(
        self,
        number: int,
        pace: Pace,
        deadline: float,
        identities: Sequence[Authenticate],
        mechanism: SaslMechanism | None,
    ) -> None:
        self.number = number
        self.identities = tuple(identities)
        self.mechanism = mechanism
        self.phase = ConnectionPhase.HANDSHAKE
        self.ready_by = deadline
        """When the handshake and the authentication have to be done."""
        self.pace = pace
        self.frames = FrameBuffer(_LARGEST_HANDSHAKE)
        self.exchange = Exchange()
        self.watches = WatchTable()
        self.unanswered_pings = 0
        self.unanswered_identities = 0
        self.is_in_sasl = False


class SessionState:
    """One session.  Each method that returns events has to have them handled in their order.

    `timeout_s` is the session timeout that is requested.
    """

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        """The session timeout: what is requested, and later what the servers have granted."""
        self.session = 0
        """The number of the session; 0 as long as there is none."""
        self.zxid = 0
        """The newest transaction that the servers have named."""
        self.outgoing = bytearray()
        """What has to be written; `written` removes it."""
        self._requested_s = timeout_s
        self._password = b""
        self._is_over = False
        self._connection: _ConnectionState | None = None

    # What the driver of a socket calls.

    def connection_made(
        self,
        number: int,
        now: float,
        deadline: float,
        identities: Sequence[Authenticate] = (),
        mechanism: SaslMechanism | None = None,
    ) -> None:
        """Begin the handshake on a new connection; `number` is repeated by `Connected`.

        The identities and a SASL exchange are sent before any other request.  The connection has
        to be ready by the deadline.
        """
        if self._is_over or self._connection is not None:
            raise RuntimeError("the session is over, or has a connection")
        pace = Pace(self._requested_s, now)
        self._connection = _ConnectionState(number, pace, deadline, identities, mechanism)
        frame = FrameWriter()
        timeout_ms = round(self._requested_s * 1000)
        # A server that is read-only hangs up on a client that does not offer to accept that; so it
        # is offered, and refused when the server says what it is.
        offer = ConnectRequest(self.zxid, timeout_ms, self.session, self._password, read_only=True)
        offer.write_to(frame)
        self.outgoing = bytearray(frame.framed())

    def connection_lost(self, reason: str) -> list[ClientEvent]:
        """End the connection: fail its requests; `reason` is what the driver has observed."""
        connection = self._connection
        if connection is None:
            return []
        if connection.phase is ConnectionPhase.HANDSHAKE:
            # A server without a quorum, or one that is behind `zxid`, hangs up without an answer.
            known = "be behind what this session has seen, as after a wipe or a restore"
            reason += " instead of answering the handshake; it may not serve now, or "
            reason += known if self.session else "demand TLS"
        elif connection.phase is ConnectionPhase.AUTHENTICATION:
            reason += " instead of answering to the identity; it may refuse that"
        else:
            reason = " ".join(filter(None, (reason, connection.exchange.describe())))
        return self._lose(reason)

    def give_up(self, reason: str) -> list[ClientEvent]:
        """End the connection, for a reason that the server has no part in."""
        return [] if self._connection is None else self._lose(reason)

    def receive(self, content: bytes, now: float) -> list[ClientEvent]:
        """Take in what was read, in whatever pieces it arrives."""
        connection = self._connection
        if connection is None:
            return []
        connection.pace.progressed(now)
        events: list[ClientEvent] = []
        try:
            for frame in connection.frames.feed(content):
                events += self._frame(connection, FrameReader(frame), now)
                if self._connection is not connection:
                    break
                self._set_limit(connection)
            if connection.frames.is_partial:
                connection.pace.moved(len(content), now)
        except MalformedFrameError as error:
            events += self._lose(f"the server does not speak ZooKeeper's protocol: {error}")
        return events

    def written(self, count: int, now: float) -> None:
        """Note that the first bytes of `outgoing` were written."""
        del self.outgoing[:count]
        # What fits into the socket's own buffer has not reached anything.
        if count and self.outgoing and self._connection is not None:
            self._connection.pace.progressed(now)
            self._connection.pace.moved(count, now)

    @property
    def deadline(self) -> float | None:
        """When `tick` has to be called; None without a connection."""
        connection = self._connection
        if connection is None:
            return None
        if connection.phase in (ConnectionPhase.HANDSHAKE, ConnectionPhase.AUTHENTICATION):
            return connection.ready_by
        pace = connection.pace
        due = [pace.ping_at]
        if pace.lost_at is not None:
            due.append(pace.lost_at)
        if connection.exchange:
            due.append(pace.answer_due_at)
        return min(due)

    def tick(self, now: float) -> list[ClientEvent]:
        """Do what is due: a ping, or the end of a connection whose server is silent.

        A call before the deadline does nothing.  What can be read has to be received first.
        """
        connection, deadline = self._connection, self.deadline
        if connection is None or deadline is None or now < deadline:
            return []
        if connection.phase is ConnectionPhase.HANDSHAKE:
            return self._lose("the server does not answer the handshake")
        if connection.phase is ConnectionPhase.AUTHENTICATION:
            return self._lose("the server does not answer to the identity")
        pace = connection.pace
        if pace.lost_at is not None and now >= pace.lost_at:
            return self._lose(f"no answer from the server for {pace.silence_s:.3g} s")
        if connection.exchange and now >= pace.answer_due_at:
            return self._lose(_describe_delay(connection))
        self._send_outside_order(connection, _PING_XID, Ping(), now)
        connection.unanswered_pings += 1
        return []

    # What the client calls.

    @property
    def is_ready(self) -> bool:
        """Whether requests can be sent."""
        connection = self._connection
        return connection is not None and connection.phase is ConnectionPhase.READY

    @property
    def has_connection(self) -> bool:
        """Whether there is a connection; if not, the driver closes its socket."""
        return self._connection is not None

    @property
    def is_over(self) -> bool:
        """Whether the session has expired or was closed, so that it needs no connection."""
        return self._is_over

    def send(self, request: AnyRequest, key: Hashable, now: float) -> None:
        """Send a request; its outcome comes as an `OutcomeReceived` with this key."""
        connection = self._connection
        if connection is None or connection.phase is not ConnectionPhase.READY:
            raise RuntimeError("the session is not ready")
        self._send(connection, request, key, now)

    def set_watches_again(self, now: float) -> None:
        """Set all watches again, in case the server has dropped one without an event.

        Those of znodes that have changed meanwhile fire at once; if the server refuses, all fire.
        """
        connection = self._connection
        if connection is not None and connection.phase is ConnectionPhase.READY:
            for request in connection.watches.setting_again():
                then = partial(self._watches_set_again, connection)
                self._send(connection, request, _OwnRequest(then), now)

    def close(self, now: float) -> None:
        """End the session at the server; without a connection that is ready, just end it."""
        connection = self._connection
        if connection is not None and connection.phase is ConnectionPhase.READY:
            self._send(connection, CloseSession(), _OwnRequest(self._closed), now)
            connection.phase = ConnectionPhase.CLOSING
        else:
            self._connection = None
            self.outgoing.clear()
        self._is_over = True

    # Frames out.

    def _send(
        self, connection: _ConnectionState, request: AnyRequest, key: Hashable, now: float
    ) -> None:
        if not connection.exchange:
            connection.pace.answering(now)
        xid, frame = connection.exchange.add(request, key)
        connection.watches.sending(xid, request)
        self.outgoing += frame
        connection.pace.sent(now)
        self._set_limit(connection)

    def _send_outside_order(
        self, connection: _ConnectionState, xid: int, request: AnyRequest, now: float
    ) -> None:
        self.outgoing += encode(xid, request)
        connection.pace.sent(now)

    # Frames in.

    def _set_limit(self, connection: _ConnectionState) -> None:
        is_proven = connection.phase is not ConnectionPhase.AUTHENTICATION
        connection.frames.limit = connection.exchange.limit if is_proven else _LARGEST_PROOF

    def _frame(
        self, connection: _ConnectionState, frame: FrameReader, now: float
    ) -> list[ClientEvent]:
        if connection.phase is ConnectionPhase.HANDSHAKE:
            if frame.remaining == REPLY_HEADER_SIZE:
                return self._not_greeted(ReplyHeader.read_from(frame).error)
            return self._greeted(connection, ConnectResponse.read_from(frame), now)
        header = ReplyHeader.read_from(frame)
        if header.xid == _WATCH_XID:
            event = WatcherEvent.read_from(frame)
            keys = connection.watches.fired(event.kind, event.path)
            return [Fired(key, event.path) for key in keys]
        if header.zxid > 0:
            self.zxid = header.zxid
        if header.xid == _PING_XID:
            connection.unanswered_pings = max(0, connection.unanswered_pings - 1)
            events = []
        elif header.xid == _AUTH_XID:
            events = self._identity_answered(connection, header.error)
        else:
            events = self._answered(connection, header, frame, now)
        if not connection.exchange and not connection.unanswered_pings:
            connection.pace.settled()
        return events

    def _not_greeted(self, error: int) -> list[ClientEvent]:
        """Lose a connection whose handshake is answered as a request: 3.8 has no session to give.

        It does so while it is read-only, as a session would have to be written.
        """
        if error == _NOT_READ_ONLY:
            return self._lose(_READ_ONLY)
        return self._lose(f"the server answered the handshake: {describe_error(error)}")

    def _greeted(
        self, connection: _ConnectionState, response: ConnectResponse, now: float
    ) -> list[ClientEvent]:
        if response.timeout_ms <= 0:
            return self._expire("the session has expired")
        if response.timeout_ms < _SHORTEST_SESSION_MS:
            return self._lose(
                f"the server grants a session timeout of {response.timeout_ms} ms, at least "
                f"{_SHORTEST_SESSION_MS} are needed"
            )
        if response.read_only:
            return self._lose(_READ_ONLY)
        if self.session not in (0, response.session):
            return self._lose("the server continues another session than the one demanded")
        self.session, self._password = response.session, response.password
        self.timeout_s = response.timeout_ms / 1000
        # A server may grant more than was requested, up to years.
        connection.pace = Pace(min(self.timeout_s, self._requested_s), now)
        connection.phase = ConnectionPhase.AUTHENTICATION
        for identity in connection.identities:
            self._send_outside_order(connection, _AUTH_XID, identity, now)
            connection.unanswered_identities += 1
        if connection.mechanism is None:
            return self._established(connection)
        connection.is_in_sasl = True
        return self._sasl_round(connection, connection.mechanism, None, now)

    def _established(self, connection: _ConnectionState) -> list[ClientEvent]:
        """Report the connection once everything is proven."""
        if connection.unanswered_identities or connection.is_in_sasl:
            return []
        connection.phase = ConnectionPhase.READY
        return [Connected(connection.number, self.session, self.timeout_s)]

    def _identity_answered(self, connection: _ConnectionState, error: int) -> list[ClientEvent]:
        if error:
            return self._identity_refused(error)
        if not connection.unanswered_identities:
            raise MalformedFrameError("an answer to an identity that was not sent")
        connection.unanswered_identities -= 1
        return self._established(connection)

    def _sasl_round(
        self,
        connection: _ConnectionState,
        mechanism: SaslMechanism,
        token: bytes | None,
        now: float,
    ) -> list[ClientEvent]:
        try:
            response = mechanism.process(token)
        except Exception as error:  # noqa: BLE001 -- a mechanism may raise anything
            return self._refused(f"the SASL exchange failed: {error}")
        if mechanism.complete and not response:
            connection.is_in_sasl = False
            return self._established(connection)
        then = partial(self._sasl_round, connection, mechanism)
        self._send(connection, SaslToken(response or b""), _OwnRequest(then), now)
        return []

    def _answered(
        self, connection: _ConnectionState, header: ReplyHeader, body: FrameReader, now: float
    ) -> list[ClientEvent]:
        exchange = connection.exchange
        if header.error == _UNIMPLEMENTED and (pending := exchange.find(header.xid)) is not None:
            return self._unimplemented(connection, pending)
        pending = exchange.first(header.xid)
        if header.error and connection.phase is ConnectionPhase.AUTHENTICATION:
            return self._identity_refused(header.error)
        if header.error in _ENDS_CONNECTION:
            return self._ended_by(header.error)
        outcome = decode(pending.request, header.error, body)
        exchange.remove(pending)
        connection.pace.answering(now)
        connection.watches.answered(pending.xid, pending.request, outcome)
        return self._report(pending, outcome, now)

    def _report(self, pending: UnansweredRequest, outcome: object, now: float) -> list[ClientEvent]:
        if isinstance(pending.key, _OwnRequest):
            return pending.key.then(outcome, now)
        return [OutcomeReceived(pending.key, outcome, self.zxid)]

    def _ended_by(self, error: int) -> list[ClientEvent]:
        """End the connection after an error that is not about the request that it answers."""
        text = describe_error(error)
        if error in (_SESSION_EXPIRED, _SESSION_MOVED):
            # The handshake with the next server shows whether the session has expired.
            return self._lose(f"the server answered {text}")
        return self._refused(f"the server demands an identity: {text}")

    def _closed(self, _outcome: object, _now: float) -> list[ClientEvent]:
        return [*self._fail_all("the session is closed"), CloseConfirmed()]

    def _watches_set_again(
        self, connection: _ConnectionState, outcome: object, _now: float
    ) -> list[ClientEvent]:
        if isinstance(outcome, Exception):
            return [Fired(key, path) for key, path in connection.watches.fire_all()]
        return []

    def _unimplemented(
        self, connection: _ConnectionState, pending: UnansweredRequest
    ) -> list[ClientEvent]:
        """Report an operation that the server does not know.

        It answers out of order and hangs up, so the connection is over.
        """
        connection.exchange.remove(pending)
        lost = self._lose(f"the server does not know the operation {name_of(pending.request)}")
        if isinstance(pending.key, _OwnRequest):
            return lost
        outcome = decode(pending.request, _UNIMPLEMENTED, FrameReader(b""))
        return [OutcomeReceived(pending.key, outcome, self.zxid), *lost]

    # Ends.

    def _lose(self, reason: str) -> list[ClientEvent]:
        return [*self._fail_all(reason), Lost(reason, self.zxid)]

    def _identity_refused(self, error: int) -> list[ClientEvent]:
        return self._refused(f"the server refuses the identity: {describe_error(error)}")

    def _refused(self, reason: str) -> list[ClientEvent]:
        return [*self._fail_all(reason), IdentityRefused(reason)]

    def _expire(self, reason: str) -> list[ClientEvent]:
        self._is_over = True
        return [*self._fail_all(reason), Expired(reason, self.zxid)]

    def _fail_all(self, reason: str) -> list[ClientEvent]:
        """Drop the connection; fail its requests in their order."""
        connection, self._connection = self._connection, None
        self.outgoing.clear()
        pending = [] if connection is None else connection.exchange.clear()
        return [
            OutcomeReceived(
                one.key, ConnectionLostError(getattr(one.request, "path", ""), reason), self.zxid
            )
            for one in pending
            if not isinstance(one.key, _OwnRequest)
        ]


def _describe_delay(connection: _ConnectionState) -> str:
    """Describe for a person what a server sends that sends no answer in time."""
    what = f"has answered only pings for {connection.pace.answer_limit_s:.3g} s"
    if connection.frames.is_partial:
        what = f"sends less than {SLOWEST:,} bytes of an answer a second"
    return f"the server {what} {connection.exchange.describe()}"
