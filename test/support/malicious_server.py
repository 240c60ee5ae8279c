"""A server that passes all on to a good one until a test makes it malicious, and afterwards again.

What it does to a connection is a trick: `malicious_tricks.py` has them.  A thread plays it, and
ends with the connection.
"""

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from support.proxy import PING, Request, read_frame
from support.zookeeper import Port
from zkexec.frozen import replace
from zkexec.zookeeper.jute import ConnectResponse, FrameReader
from zookeeper import wire_server

_LENGTH = struct.Struct("!i")
_HEADER = struct.Struct("!ii")
_FIRST_SESSION = 0x1234
_PASSWORD = b"p" * 16
_SLOWLY_S = 0.05

HANDSHAKE = Request(0, 0, b"")
"""What the first answer of a connection belongs to."""

EVENT = Request(-1, 0, b"")
"""What an answer belongs to that no request has."""

Trick = Callable[["Visit"], None]
"""What a server does to one connection, which it closes afterwards."""

Deliver = Callable[["Visit", Request, bytes], None]
"""Sends the frame of a good server, or something else; the request is the one that it answers."""


def as_it_is(visit: "Visit", _request: Request, frame: bytes) -> None:
    """Deliver a frame of the good server."""
    visit.send(frame)


def pass_on(visit: "Visit") -> None:
    """Be a good server."""
    visit.pass_on(as_it_is)


def relay(visit: "Visit") -> None:
    """Be a good server whose bytes are not understood, as with TLS."""
    visit.relay()


def secured(context: ssl.SSLContext, trick: Trick) -> Trick:
    """Make a trick that is played on a connection with TLS."""

    def play(visit: Visit) -> None:
        visit.secure(context)
        trick(visit)

    return play


class MaliciousServer:
    """Listens on a loopback port of its own, which `hosts` has for `--cluster`."""

    def __init__(self, good_port: int, good: Trick = pass_on) -> None:
        """Play `good`, which passes all on to the good server at this loopback port, at first."""
        self.accepted = 0
        """How many connections clients have made so far."""
        self._good_port = good_port
        self._good = self._trick = good
        self._port = Port()
        self.hosts = f"127.0.0.1:{self._port.number}"
        self._visits: list[Visit] = []
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", self._port.number))
        threading.Thread(target=self._accept, daemon=True).start()

    def turn(self, trick: Trick) -> None:
        """Close all connections, and play a trick on each new one."""
        with self._lock:
            self._trick = trick
            visits, self._visits = self._visits, []
        for visit in visits:
            visit.end()

    def heal(self) -> None:
        """Close all connections, and be good to each new one."""
        self.turn(self._good)

    def close(self) -> None:
        """Stop for good and release the port."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.heal()
        self._port.release()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self.accepted += 1
                visit = Visit(client, self._good_port)
                self._visits = [one for one in self._visits if not one.is_over]
                self._visits.append(visit)
                trick = self._trick
            threading.Thread(target=visit.play, args=(trick,), daemon=True).start()


class Visit:
    """One connection of a client.  Each method raises an OSError once the connection is over."""

    def __init__(self, client: socket.socket, good_port: int) -> None:
        self._client = client
        self._good_port = good_port
        self._good: socket.socket | None = None
        self._requests: dict[int, list[Request]] = {}
        self._over = threading.Event()
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    # What the server calls.

    @property
    def is_over(self) -> bool:
        """Whether the connection has ended."""
        return self._over.is_set()

    def play(self, trick: Trick) -> None:
        """Play a trick, then close the connection."""
        try:
            trick(self)
        except OSError:
            pass  # The client has hung up, or the server has turned to something else.
        finally:
            self.end()
            self._client.close()

    def end(self) -> None:
        """End the connection, whatever its trick is doing."""
        self._over.set()
        for one in filter(None, (self._client, self._good)):
            with suppress(OSError):
                # Shutting down wakes a thread that waits in recv, which closing would not.  With
                # TLS, the method of the class itself would change what that thread uses.
                socket.socket.shutdown(one, socket.SHUT_RDWR)

    # What a trick calls.

    def secure(self, context: ssl.SSLContext) -> None:
        """Have the client speak TLS."""
        self._client = context.wrap_socket(self._client, server_side=True)

    def send(self, content: bytes) -> None:
        """Send bytes, waiting for as long as the client does not read."""
        self._client.sendall(content)

    def flood(self, content: bytes, size: int) -> None:
        """Send the same again and again: that many bytes at once, then slowly, without an end."""
        piece = content * max(1, 65536 // len(content))
        for _ in range(size // len(piece)):
            self.send(piece)
        self.trickle(content * max(1, 2048 // len(content)))

    def trickle(self, content: bytes) -> None:
        """Send the same each 50 ms, without an end."""
        while not self._over.wait(_SLOWLY_S):
            self.send(content)

    def receive(self) -> bytes:
        """Receive a frame of the client, without its length."""
        return read_frame(self._client)[_LENGTH.size :]

    def greet(self, behind: bytes = b"", **changes: object) -> None:
        """Take the handshake and continue or make the session, with some fields changed.

        The bytes of `behind` are sent together with the answer.
        """
        greeting = wire_server.read_greeting(read_frame(self._client))
        session = greeting.session or _FIRST_SESSION
        response = ConnectResponse(greeting.timeout_ms, session, _PASSWORD)
        self.send(wire_server.welcome(_changed(response, changes)) + behind)

    def requests(self) -> Iterator[Request]:
        """Receive requests, but answer the pings among them."""
        while True:
            request = _request(self.receive())
            if request.opcode == PING:
                self.send(wire_server.refusal(request.xid, 0))
            else:
                yield request

    def stay(self) -> None:
        """Read what comes, and answer nothing, until the client hangs up."""
        while self._client.recv(65536):
            pass

    def idle(self) -> None:
        """Do not even read."""
        self._over.wait()

    def pass_on(self, deliver: Deliver) -> None:
        """Be a good server, except for what `deliver` does to its answers."""
        with self._connected() as good:
            good.sendall(read_frame(self._client))
            deliver(self, HANDSHAKE, read_frame(good))
            with self._aside(lambda: self._pass_request(good)):
                while not self.is_over:
                    frame = read_frame(good)
                    deliver(self, self._answered(frame), frame)

    def relay(self) -> None:
        """Be a good server whose bytes are not understood, as with TLS."""
        with self._connected() as good, self._aside(lambda: _pass_bytes(self._client, good)):
            while not self.is_over:
                _pass_bytes(good, self._client)

    @contextmanager
    def _connected(self) -> Iterator[socket.socket]:
        with socket.create_connection(("127.0.0.1", self._good_port), timeout=10.0) as good:
            good.settimeout(None)
            good.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._good = good
            yield good

    @contextmanager
    def _aside(self, step: Callable[[], None]) -> Iterator[None]:
        """Repeat a step on another thread; the connection ends with either."""

        def repeat() -> None:
            with suppress(OSError):
                while not self.is_over:
                    step()
            self.end()

        thread = threading.Thread(target=repeat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self.end()
            thread.join()

    def _pass_request(self, good: socket.socket) -> None:
        frame = read_frame(self._client)
        request = _request(frame[_LENGTH.size :])
        self._requests.setdefault(request.xid, []).append(request)
        good.sendall(frame)

    def _answered(self, frame: bytes) -> Request:
        xid = _LENGTH.unpack_from(frame, _LENGTH.size)[0]
        pending = self._requests.get(xid)
        return pending.pop(0) if pending else EVENT


def welcome_with(frame: bytes, **changes: object) -> bytes:
    """Change fields of a good server's answer to the handshake."""
    response = ConnectResponse.read_from(FrameReader(frame[_LENGTH.size :]))
    return wire_server.welcome(_changed(response, changes))


def _changed(response: ConnectResponse, changes: dict[str, object]) -> ConnectResponse:
    return replace(response, **changes)


def _request(frame: bytes) -> Request:
    xid, opcode = _HEADER.unpack_from(frame)
    return Request(xid, opcode, frame[_HEADER.size :])


def _pass_bytes(source: socket.socket, target: socket.socket) -> None:
    content = source.recv(65536)
    if not content:
        raise ConnectionResetError("the stream has ended")
    target.sendall(content)
