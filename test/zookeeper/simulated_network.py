"""A network in memory: a clock that the test moves, names, and servers that answer at once.

`SimulatedNetwork` takes the place of `Network`.  What a server does is in its attributes, which a
test changes; what it was sent is in `SimulatedServer.connections`.
"""

import os
import random
from collections.abc import Callable, Sequence
from errno import ECONNREFUSED, ETIMEDOUT
from typing import Any

from zkexec.zookeeper.connection import ServerConnection
from zkexec.zookeeper.errors import NoNodeError, UnimplementedError
from zkexec.zookeeper.jute import ConnectRequest, ConnectResponse, FrameReader
from zkexec.zookeeper.name_lookup import NameLookup
from zkexec.zookeeper.network import Network
from zkexec.zookeeper.requests import Get, MultiRead, SetContent
from zkexec.zookeeper.server_rotation import ServerAddress
from zkexec.zookeeper.session_requests import AnyRequest, Ping
from zkexec.zookeeper.values import Stat
from zookeeper.wire_server import answer, read_request, refusal, welcome

BEGIN = 1000.0
"""The time at which a simulated network begins."""

SILENCE = object()
"""As the outcome of a request: it is never answered."""

HANG_UP = object()
"""As the outcome of a request or of the handshake: the server closes the connection."""

Outcome = Callable[[AnyRequest], Any]
"""What a server does with a request: an outcome as in `wire_server`, `Raw`, SILENCE or HANG_UP.

An int is an error code.
"""


class Raw(bytes):
    """As the outcome of a request or of the handshake: just these bytes are sent."""


class SimulatedConnection(ServerConnection):
    """One connection to a server in memory; what it is sent is kept."""

    def __init__(self, server: ServerAddress, deadline: float, at: "SimulatedServer") -> None:
        self.server = server
        self.deadline = deadline
        self.is_open = False
        self.is_closed = False
        self.greeting: ConnectRequest | None = None
        self.requests: list[AnyRequest] = []
        self.pieces: list[bytes] = []
        """What the client can read; b"" is the end."""
        self.failure: OSError | MemoryError | None = None
        """What each further read raises."""
        self.write_failure: OSError | None = None
        self.most_written = 1 << 30
        self.unread = 0
        """How many further reads `has_unread` promises."""
        self._at = at
        self._sent = bytearray()

    def fileno(self) -> int:
        """Give a descriptor that is always ready."""
        return self._at.descriptor

    @property
    def has_unread(self) -> bool:
        """Whether TLS would have decrypted more than was read."""
        return self.unread > 0

    def advance(self, now: float) -> bool:
        """Open the connection, unless the server is mute or refuses."""
        if self._at.is_refusing:
            raise ConnectionRefusedError(ECONNREFUSED, os.strerror(ECONNREFUSED))
        self.is_open = not self._at.is_mute
        if not self.is_open and now >= self.deadline:
            raise TimeoutError(ETIMEDOUT, "the server does not answer")
        return self.is_open

    def read(self) -> bytes | None:
        """Read the next piece."""
        self.unread = max(0, self.unread - 1)
        if self.pieces:
            return self.pieces.pop(0)
        if self.failure is not None:
            raise self.failure
        return None

    def write(self, content: bytes | bytearray) -> int:
        """Have the server receive what fits."""
        if self.write_failure is not None:
            raise self.write_failure
        taken = content[: self.most_written]
        self._sent += taken
        while len(self._sent) >= 4:
            end = 4 + int.from_bytes(self._sent[:4], "big")
            if len(self._sent) < end:
                break
            frame, self._sent = bytes(self._sent[4:end]), self._sent[end:]
            self._receive(frame)
        return len(taken)

    def close(self) -> None:
        """Close the connection."""
        self.is_closed = True

    def send(self, *pieces: bytes) -> None:
        """Let the client read something; b"" is the end."""
        self.pieces.extend(pieces)

    def _receive(self, frame: bytes) -> None:
        if self.greeting is None:
            self.greeting = ConnectRequest.read_from(FrameReader(frame))
            self._reply(self._at.welcome(self.greeting), welcome)
            return
        xid, request = read_request(frame)
        self.requests.append(request)
        outcome = self._at.outcome(request)
        if isinstance(outcome, int):
            self.send(self._at.spoil(refusal(xid, outcome)))
        else:
            self._reply(outcome, lambda one: answer(xid, request, one, zxid=self._at.zxid))

    def _reply(self, outcome: Any, as_frame: Callable[[Any], bytes]) -> None:
        if outcome is HANG_UP:
            self.send(b"")
        elif isinstance(outcome, Raw):
            self.send(outcome)
        elif outcome is not SILENCE:
            self.send(self._at.spoil(as_frame(outcome)))


class SimulatedServer:
    """A server, which all its attributes describe; by default it serves `contents`."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.is_refusing = False
        self.is_mute = False
        self.granted_ms = 0
        """The session timeout that it grants; 0 means what is requested."""
        self.next_session = 0x51
        self.zxid = 1
        self.contents: dict[str, bytes] = {}
        self.is_old = False
        """Whether it does not know the multi-read."""
        self.connections: list[SimulatedConnection] = []
        self.welcome: Callable[[ConnectRequest], Any] = self.greet
        self.outcome: Outcome = self.serve
        self.spoil: Callable[[bytes], bytes] = bytes
        """What becomes of the frame of an answer."""

    @property
    def connection(self) -> SimulatedConnection:
        """The newest connection."""
        return self.connections[-1]

    def greet(self, request: ConnectRequest) -> ConnectResponse:
        """Continue the session, or make a new one."""
        session = request.session or self.next_session
        self.next_session += not request.session
        timeout_ms = self.granted_ms or request.timeout_ms
        return ConnectResponse(timeout_ms, session, b"p" * 16, read_only=False)

    def serve(self, request: AnyRequest) -> Any:
        """Answer a request as a server does."""
        if isinstance(request, MultiRead) and self.is_old:
            return UnimplementedError.code
        if isinstance(request, MultiRead):
            return [self._content(path) for path in request.paths]
        if isinstance(request, Get):
            return self._content(request.path)
        return Stat() if isinstance(request, SetContent) else 0

    def _content(self, path: str) -> Any:
        if path not in self.contents:
            return NoNodeError(path)
        return self.contents[path], Stat(mzxid=self.zxid)


class SimulatedLookup(NameLookup):
    """A lookup that knows each name after a time of its own."""

    def __init__(self, network: "SimulatedNetwork", hosts: Sequence[str]) -> None:
        self.addresses = {}
        self.errors = {}
        self.is_done = False
        self.is_closed = False
        self._hosts = tuple(hosts)
        self._network = network
        self._begun_at = network.time
        self.pass_time()

    def pass_time(self) -> None:
        """End the lookups whose time has come."""
        passed_s = self._network.time - self._begun_at
        ended = [one for one in self._hosts if self._network.lookup_s.get(one, 0.0) <= passed_s]
        for host in ended:
            found = self._network.names.get(host, (host,))
            if isinstance(found, str):
                self.errors[host] = found
            else:
                self.addresses[host] = found
        self.is_done = len(ended) == len(self._hosts)

    def fileno(self) -> int:
        """Give a descriptor that is always ready."""
        return self._network.descriptor

    def close(self) -> None:
        """Close the lookup."""
        assert not self.is_closed
        self.is_closed = True


class SimulatedNetwork(Network):
    """Servers by name and port; a host that is not in `names` is an address."""

    def __init__(self, *hosts: str, seed: int = 1) -> None:
        """`hosts` are addresses, each of a server at port 2181."""
        self._random = random.Random(seed)
        self._tls_context = None
        self.time = BEGIN
        self.step_s = 0.0
        """How much time passes each time that the clock is read."""
        self.names: dict[str, Sequence[str] | str] = {}
        """The addresses of each name, or why it has none."""
        self.lookup_s: dict[str, float] = {}
        """How long the lookup of a name takes."""
        self.lookups: list[SimulatedLookup] = []
        self.shortage: OSError | MemoryError | RuntimeError | None = None
        """What each attempt to make a lookup or a connection raises."""
        # Its other end is closed, so it is always ready to be polled.
        self.descriptor, writer = os.pipe()
        os.close(writer)
        self.servers = {(host, 2181): SimulatedServer(self.descriptor) for host in hosts}
        self.attempts: list[SimulatedConnection] = []

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self.descriptor)

    def now(self) -> float:
        """Give the simulated time."""
        self.time += self.step_s
        for lookup in self.lookups:
            lookup.pass_time()
        return self.time

    def chance(self) -> float:
        """Give a random number."""
        return self._random.random()

    def look_up(self, hosts: Sequence[str]) -> NameLookup:
        """Begin a lookup."""
        if self.shortage is not None:
            raise self.shortage
        self.lookups.append(SimulatedLookup(self, hosts))
        return self.lookups[-1]

    def connect(self, server: ServerAddress, deadline: float) -> ServerConnection:
        """Begin a connection."""
        if self.shortage is not None:
            raise self.shortage
        at = self.servers[server.address, server.port]
        connection = SimulatedConnection(server, deadline, at)
        at.connections.append(connection)
        self.attempts.append(connection)
        return connection


def pings(connection: SimulatedConnection) -> int:
    """Count the pings that a server has received on a connection."""
    return sum(isinstance(request, Ping) for request in connection.requests)
