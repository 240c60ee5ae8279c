"""One TCP connection of the model world, and what a server does with the frames that come by it.

Both directions carry bytes in pieces of any size.  A server works on the requests of one connection
one after the other.
"""

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Protocol

from simulation.servers.ensemble import Session
from simulation.servers.link import DOWN, SPEED_S, UP, Link, Loss
from simulation.servers.server import READS
from simulation.wire.wire_ensemble import WireServer
from zkexec.frozen import frozen
from zkexec.zookeeper.frame_buffer import FrameBuffer
from zkexec.zookeeper.jute import ConnectRequest, ConnectResponse, FrameReader
from zkexec.zookeeper.requests import MultiRead, Sync
from zkexec.zookeeper.session_requests import (
    AnyRequest,
    Authenticate,
    CloseSession,
    Ping,
)
from zookeeper import wire_server

if TYPE_CHECKING:
    from simulation.wire.network import ClientSocket

OUTSIDE_ORDER = (Ping, Authenticate)
UNIMPLEMENTED, SESSION_EXPIRED, SESSION_MOVED = -6, -112, -118
LARGEST_FRAME = 0xFFFFF


class Faults(Protocol):
    """What goes wrong with the connections of one process."""

    def loss(self) -> Loss:
        """What becomes of the request that has just arrived at its server."""

    def is_cut(self) -> bool:
        """Whether the bytes that are sent now arrive in two pieces."""

    def takes_little(self) -> bool:
        """Whether the socket takes only some of the bytes that are written now."""

    def is_slow(self) -> bool:
        """Whether the bytes that are sent now take long."""


@frozen()
class ArrivedRequest:
    """A request at its server, and what becomes of it."""

    xid: int
    request: AnyRequest
    loss: Loss


class Wire(Link):
    """The way from one socket of a client to one server and back."""

    server: WireServer

    def __init__(self, server: WireServer, socket: "ClientSocket", faults: Faults) -> None:
        """Connect nothing yet."""
        super().__init__(server)
        self.socket = socket
        self.decided: deque[float] = deque()
        """When the process has decided on the writes that are on their way, if it notes that."""
        self.was_blocked = False
        """Whether anything was ever kept from getting through."""
        self._ensemble = server.ensemble
        self._faults = faults
        self._frames = FrameBuffer(LARGEST_FRAME)
        self._is_greeted = False
        self._queue: deque[ArrivedRequest] = deque()
        self._is_busy = self._is_stalled = False

    # The way of the bytes.

    def connect(self, *, is_accepted: bool) -> None:
        """Knock at the server, which accepts or refuses."""
        self._carry(UP, self._accept if is_accepted else self._refuse)

    def send(self, content: bytes) -> None:
        """Put bytes of the client on the wire."""
        for piece in self._pieces(content):
            self._carry(UP, partial(self._arrive, piece))

    def report(self, content: bytes, then: Callable[[], None] | None = None) -> None:
        """Put bytes of the server on the wire; `then` is called once all of them have arrived."""
        *first, last = self._pieces(content)
        for piece in first:
            self._carry(DOWN, partial(self._deliver, piece, None))
        self._carry(DOWN, partial(self._deliver, last, then))

    def report_watch(self, kind: int, path: str, zxid: int) -> None:
        """Report that a watch has fired, because of this transaction."""
        self.report(wire_server.event(kind, path), lambda: self.socket.watch_arrived(path, zxid))

    def block(self, up: bool, down: bool) -> None:
        """Let nothing through any more, in one direction or both."""
        super().block(up, down)
        self.was_blocked = True

    def close_at_server(self) -> None:
        """Let the server hang up; what it has passed on to the leader stays passed on."""
        if self._leave_server():
            self._queue.clear()
            self._carry(DOWN, self.socket.end)

    def go_on(self) -> None:
        """Pass on to the leader what has waited for it."""
        if self._is_stalled:
            self._is_stalled = False
            self._at_leader(self._queue[0])

    def _pieces(self, content: bytes) -> list[bytes]:
        if len(content) < 2 or not self._faults.is_cut():
            return [content]
        cut = 1 + int(self._random.random() * (len(content) - 1))
        return [content[:cut], content[cut:]]

    def _is_slow(self) -> bool:
        return self._faults.is_slow()

    def _deliver(self, content: bytes, then: Callable[[], None] | None) -> None:
        if self.heard:
            self.socket.take_in(content)
            if then is not None:
                then()

    # The server.

    def _accept(self) -> None:
        self.accept()
        self._carry(DOWN, self.socket.accept)

    def _refuse(self) -> None:
        self._carry(DOWN, self.socket.refuse)

    def _arrive(self, content: bytes) -> None:
        if self.open:
            for frame in self._frames.feed(content):
                self._take(bytes(frame))
                if not self.open:
                    return

    def _take(self, frame: bytes) -> None:
        if not self._is_greeted:
            self._is_greeted = True
            self._greet(ConnectRequest.read_from(FrameReader(frame)))
            return
        session = self.session
        if session is None:
            raise AssertionError("a request before the answer to the handshake")
        self.server.hear_of(session)
        xid, request = wire_server.read_request(frame)
        # Servers before 3.6 do not know it: they answer out of order, and hang up.
        if self._ensemble.lacks_multi_read and isinstance(request, MultiRead):
            self.report(wire_server.refusal(xid, UNIMPLEMENTED, self.server.applied))
            self.close_at_server()
            return
        loss = Loss.NOTHING if isinstance(request, OUTSIDE_ORDER) else self._faults.loss()
        if loss is Loss.REQUEST:
            self.close_at_server()
            return
        self._queue.append(ArrivedRequest(xid, request, loss))
        self._work()

    def _greet(self, request: ConnectRequest) -> None:
        """Find the session, which takes a way to the leader and back, or hang up."""
        is_known = request.session not in self._ensemble.refused_sessions
        if not (self._serves and is_known and request.zxid <= self.server.applied):
            self.close_at_server()
            return
        delay_s = 2 * SPEED_S * self._random.random()
        self._clock.after(delay_s, partial(self._welcome, request))

    @property
    def _serves(self) -> bool:
        return self.server.serving and self.server.in_contact and self._ensemble.has_quorum

    def _welcome(self, request: ConnectRequest) -> None:
        if not self.open or not self._serves:
            self.close_at_server()
            return
        ensemble = self._ensemble
        if not request.session:
            session = ensemble.open(ensemble.granted_s(request.timeout_ms / 1000))
            session.process = self.socket.process
        else:
            session = ensemble.sessions[request.session]
            assert request.password == password_of(session)
            if not session.alive:
                self.report(wire_server.welcome(ConnectResponse(0, 0, bytes(16))))
                self.close_at_server()
                return
        # What comes by an older connection from now on is refused.
        session.connection, self.session = self, session
        ensemble.touch(session)
        timeout_ms = round(session.timeout_s * 1000)
        response = ConnectResponse(timeout_ms, session.number, password_of(session))
        self.report(wire_server.welcome(response))

    def _work(self) -> None:
        while self._queue and not self._is_busy and self.open:
            arrived = self._queue[0]
            if isinstance(arrived.request, READS):
                self._queue.popleft()
                self._answer(arrived, self.server.read(arrived.request, self))
            elif isinstance(arrived.request, OUTSIDE_ORDER):
                self._queue.popleft()
                self.report(wire_server.refusal(arrived.xid, 0, self.server.applied))
            else:
                self._is_busy = True
                delay_s = SPEED_S * self._random.random()
                self._clock.after(delay_s, partial(self._at_leader, arrived))

    def _at_leader(self, arrived: ArrivedRequest) -> None:
        """Let the leader decide; a request that was passed on needs no connection any more."""
        session = self.session
        assert session is not None
        if not self.server.in_contact:
            self._is_stalled = self.open
            return
        if not self._ensemble.has_quorum:
            return
        if not session.alive or session.connection is not self:
            self._refuse_request(arrived, SESSION_MOVED if session.alive else SESSION_EXPIRED)
            return
        outcome: object = None
        if isinstance(arrived.request, CloseSession):
            session.connection = None
            self._ensemble.end(session)
        elif not isinstance(arrived.request, Sync):
            outcome = self._ensemble.decide(session, arrived.request, self.socket.decided_at)
        delay_s = SPEED_S * self._random.random()
        self._clock.after(delay_s, lambda: self._decided(arrived, outcome))

    def _refuse_request(self, arrived: ArrivedRequest, error: int) -> None:
        """Answer that the session is over or has moved, now and then, and hang up."""
        if self.open and self._random.random() < 0.5:
            self.report(wire_server.refusal(arrived.xid, error, self.server.applied))
        self.close_at_server()

    def _decided(self, arrived: ArrivedRequest, outcome: object) -> None:
        if not self.open:
            return
        if not self.server.in_contact:
            # The commit has not reached this server, so it cannot answer before it is back.
            self.close_at_server()
            return
        self.server.catch_up()
        if not self.open:
            return
        self._queue.popleft()
        self._is_busy = False
        self._answer(arrived, outcome)
        if isinstance(arrived.request, CloseSession):
            self.close_at_server()
        self._work()

    def _answer(self, arrived: ArrivedRequest, outcome: object) -> None:
        zxid = self.server.applied
        if isinstance(arrived.request, CloseSession):
            content = wire_server.refusal(arrived.xid, 0, zxid)
        else:
            content = wire_server.answer(arrived.xid, arrived.request, outcome, zxid)
        if arrived.loss is not Loss.REPLY:
            self.report(content)
            return
        # The connection is lost at any byte of the answer.
        if part := content[: int(self._random.random() * len(content))]:
            self.report(part)
        self.close_at_server()


def password_of(session: Session) -> bytes:
    """The password of a session, which continues it on another connection."""
    return session.number.to_bytes(16, "big")
