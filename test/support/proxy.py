"""A TCP proxy of our own between a client and one ZooKeeper server, to break things on purpose.

- What the client sends is cut into the frames of ZooKeeper's protocol and shown to a hook, which
  decides about each.  What the server sends is cut as well, so that an answer can be kept back.
  Frames are passed on whole.
- A way that is a black hole still takes bytes, so that the sender sees nothing of it.  What was
  swallowed is gone: after `heal()` the old connections are closed, as no one could use them.
- Two threads serve a connection, one for each way; all are daemons and end with `close()`.
"""

import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum

from support.zookeeper import Port

EXISTS, GET, SYNC, PING, MULTI_READ, SET_WATCHES, CLOSE = 3, 4, 9, 11, 22, 101, -11
CREATE, DELETE, SET, CHILDREN, CHILDREN2, TRANSACTION = 1, 2, 5, 8, 12, 14
GET_EPHEMERALS = 103
_PIECES_PER_S = 10
_EVENT = -1
"""The xid of the event of a watch."""
READS_ONLY = frozenset({EXISTS, GET, SYNC, PING, CHILDREN2, MULTI_READ, SET_WATCHES, CLOSE})
"""All that a client may send that never writes, apart from opening its session."""


class Way(Enum):
    """The two directions through the proxy."""

    TO_SERVER = "to the server"
    TO_CLIENT = "to the client"


@dataclass(frozen=True, slots=True)
class Request:
    """One frame from a client after its handshake; `body` is what follows xid and opcode."""

    xid: int
    opcode: int
    body: bytes


class Treatment(Enum):
    """What becomes of a request."""

    PASS_ON = "pass it on"  # noqa: S105 - No password.
    LOSE_REPLY = "pass it on, and keep the reply back"
    REFUSE_AND_HANG_UP = "answer at once that it is not implemented, and close the connection"
    FORBID = "answer at once that there is no permission"
    CONFUSE = "answer at once with an unknown error code"


def pass_all(_request: Request) -> Treatment:
    """Pass on every request, in a proxy that breaks nothing."""
    return Treatment.PASS_ON


def like_an_old_server(request: Request) -> Treatment:
    """Treat requests as a server before 3.6 does, which does not know some of them."""
    is_unknown = request.opcode in (MULTI_READ, GET_EPHEMERALS)
    return Treatment.REFUSE_AND_HANG_UP if is_unknown else Treatment.PASS_ON


class Proxy:
    """Listens on a loopback port of its own; `hosts` and `address` are those of the proxy."""

    def __init__(self, target_port: int) -> None:
        """Pass everything on to this loopback port at first."""
        self.on_request: Callable[[Request], Treatment] = pass_all
        self.one_by_one = False
        """Whether a request is shown and passed on only once those before it are answered."""
        self.loses_events = False
        """Whether events of watches are lost, as on a server that silently drops a watch."""
        self.lost_events = 0
        """How many were lost so far."""
        self.opcodes: list[int] = []
        """The opcode of every request seen so far, in the order of arrival."""
        self.accepted = 0
        """How many connections clients have made so far."""
        self.swallowing: frozenset[Way] = frozenset()
        self.delay_s: dict[Way, float] = {}
        self.bytes_per_s = 0
        """How many bytes pass to a client in a second; 0 for no limit."""
        self._target_port = target_port
        self._port = Port()
        self.address = ("127.0.0.1", self._port.number)
        self.hosts = f"127.0.0.1:{self._port.number}"
        self._connections: list[_Connection] = []
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None
        self._listen()

    def _listen(self) -> None:
        listener = socket.create_server(self.address)
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with self._lock:
                self.accepted += 1
            try:
                server = socket.create_connection(("127.0.0.1", self._target_port), timeout=10.0)
                server.settimeout(None)
            except OSError:
                client.close()
                continue
            with self._lock:
                self._connections = [c for c in self._connections if not c.closed]
                self._connections.append(_Connection(self, client, server))

    def black_hole(self, *ways: Way) -> None:
        """Swallow everything from now on, on these ways (both if none is named)."""
        self.swallowing = frozenset(ways or Way)

    def delay(self, delay_s: float, *ways: Way) -> None:
        """Hold every frame back for this time before it is passed on."""
        self.delay_s = dict.fromkeys(ways or Way, delay_s)

    def cut(self) -> None:
        """Reset every connection there is; new ones are welcome."""
        with self._lock:
            connections, self._connections = self._connections, []
        for connection in connections:
            connection.reset()

    def refuse(self) -> None:
        """Reset every connection and take no new ones."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self.cut()

    def heal(self) -> None:
        """Pass everything on again; where bytes were swallowed, old connections are closed."""
        swallowed, self.swallowing = self.swallowing, frozenset()
        self.delay_s = {}
        if swallowed:
            self.cut()
        if self._listener is None:
            self._listen()

    def close(self) -> None:
        """Stop for good and release the port."""
        self.refuse()
        self._port.release()


class _Connection:
    """One client's connection, and the one to the server behind it."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self.closed = False
        self._proxy = proxy
        self._client = client
        self._server = server
        self._kept_back: set[int] = set()
        self._unanswered: set[int] = set()
        self._answered = threading.Condition()
        for end in (client, server):
            # Else small frames wait 40 ms for the receiver's word that the last one came.
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for pump in (self._pump_requests, self._pump_replies):
            threading.Thread(target=self._run, args=(pump,), daemon=True).start()

    def _run(self, pump: Callable[[], None]) -> None:
        with suppress(OSError):
            pump()
        self.reset(gently=True)

    def _pump_requests(self) -> None:
        self._pass(Way.TO_SERVER, read_frame(self._client))
        while True:
            frame = read_frame(self._client)
            xid, opcode = struct.unpack_from("!ii", frame, 4)
            if self._proxy.one_by_one:
                with self._answered:
                    self._answered.wait_for(lambda: self.closed or not self._unanswered)
            self._proxy.opcodes.append(opcode)
            treatment = self._proxy.on_request(Request(xid, opcode, frame[12:]))
            if treatment is Treatment.REFUSE_AND_HANG_UP:
                self._client.sendall(struct.pack("!iiqi", 16, xid, 0, -6))
                return
            if treatment in (Treatment.CONFUSE, Treatment.FORBID):
                code = -102 if treatment is Treatment.FORBID else -9999
                self._client.sendall(struct.pack("!iiqi", 16, xid, 0, code))
                continue
            if treatment is Treatment.LOSE_REPLY:
                self._kept_back.add(xid)
            self._unanswered.add(xid)
            self._pass(Way.TO_SERVER, frame)

    def _pump_replies(self) -> None:
        self._pass(Way.TO_CLIENT, read_frame(self._server))
        while True:
            frame = read_frame(self._server)
            xid = struct.unpack_from("!i", frame, 4)[0]
            with self._answered:
                self._unanswered.discard(xid)
                self._answered.notify_all()
            if self._proxy.loses_events and xid == _EVENT:
                self._proxy.lost_events += 1
            elif xid not in self._kept_back:
                self._pass(Way.TO_CLIENT, frame)

    def _pass(self, way: Way, frame: bytes) -> None:
        time.sleep(self._proxy.delay_s.get(way, 0.0))
        if way in self._proxy.swallowing:
            return
        end = self._server if way is Way.TO_SERVER else self._client
        rate = 0 if way is Way.TO_SERVER else self._proxy.bytes_per_s
        piece = max(1, rate // _PIECES_PER_S) if rate else len(frame)
        for start in range(0, len(frame), piece):
            end.sendall(frame[start : start + piece])
            time.sleep(piece / rate if rate else 0.0)

    def reset(self, *, gently: bool = False) -> None:
        """Close both connections: with a reset, or gently with an end of the stream."""
        with self._answered:
            self.closed = True
            self._answered.notify_all()
        for end in (self._client, self._server):
            with suppress(OSError):
                if not gently:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                # Shutting down wakes the thread that waits in recv, which closing would not.
                end.shutdown(socket.SHUT_RD if not gently else socket.SHUT_RDWR)
            end.close()


def read_frame(end: socket.socket) -> bytes:
    """One frame with its length in front; OSError where the stream ends."""
    length = _exactly(end, 4)
    return length + _exactly(end, struct.unpack("!i", length)[0])


def _exactly(end: socket.socket, size: int) -> bytes:
    received = bytearray()
    while len(received) < size:
        piece = end.recv(size - len(received))
        if not piece:
            raise ConnectionResetError("the stream has ended")
        received += piece
    return bytes(received)
