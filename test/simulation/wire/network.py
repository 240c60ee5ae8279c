"""What a client of the model world takes for the operating system: clock, names and sockets."""

import os
import select
from collections import deque
from collections.abc import Sequence
from enum import Enum, auto
from errno import ECONNREFUSED, ECONNRESET, EHOSTUNREACH, ETIMEDOUT
from random import Random
from typing import Protocol

from simulation.wire.wire import Faults, Wire
from simulation.wire.wire_ensemble import WireEnsemble, WireServer
from zkexec.zookeeper.connection import ServerConnection
from zkexec.zookeeper.name_lookup import NameLookup
from zkexec.zookeeper.network import Network
from zkexec.zookeeper.server_rotation import ServerAddress

PORT = 2181
SOCKET, LOOKUP = 1, 2
"""The descriptors of a process; it has one socket at a time."""


class Attempt(Enum):
    """What becomes of an attempt to connect to a server that cannot be used now."""

    UNREACHABLE = auto()
    REFUSED = auto()
    MUTE = auto()
    """Nothing answers."""
    USELESS = auto()
    """The server accepts, and hangs up on the handshake."""
    SILENT = auto()
    """The server accepts, and does not answer the handshake."""


class Computer(Protocol):
    """The process that has the sockets, as far as the network knows it."""

    @property
    def now(self) -> float:
        """The time on its clock."""

    @property
    def is_reachable(self) -> bool:
        """Whether there is a way to the servers."""

    @property
    def process(self) -> object:
        """Whatever observers of commits know the process as."""

    def ready(self) -> None:
        """Note that a socket has become ready."""

    def decided_at(self, wire: Wire) -> float:
        """Return when the process has decided on the next write that arrives by a connection."""

    def watch_arrived(self, path: str, zxid: int) -> None:
        """Note that the event of a watch has arrived, which this transaction has fired."""


class ClientSocket(ServerConnection):
    """One socket of a client."""

    def __init__(self, network: "ModelNetwork", server: ServerAddress, deadline: float) -> None:
        """Begin to connect."""
        self.server = server
        self.deadline = deadline
        self.is_open = False
        self.wire: Wire | None = None
        self._network = network
        self._is_accepted = self._has_ended = self._is_full = False
        self._error = 0
        self._arrived: deque[bytes] = deque()

    # What the network does.

    def accept(self) -> None:
        """Let the attempt succeed."""
        self._is_accepted = True
        self._network.ready(self)

    def refuse(self) -> None:
        """Let the attempt fail."""
        self._error = ECONNREFUSED
        self._network.ready(self)

    def take_in(self, content: bytes) -> None:
        """Keep what has arrived until it is read."""
        self._arrived.append(content)
        self._network.ready(self)

    def end(self) -> None:
        """Let the server have hung up, in one of the two ways in which that shows."""
        self._has_ended = True
        if self._network.random.random() < 0.3:
            self._error = ECONNRESET
        self._network.ready(self)

    def watch_arrived(self, path: str, zxid: int) -> None:
        """Pass on which transaction has fired a watch."""
        self._network.computer.watch_arrived(path, zxid)

    @property
    def process(self) -> object:
        """The process that has the socket."""
        return self._network.computer.process

    @property
    def decided_at(self) -> float:
        """When the process has decided on the write that arrives now."""
        assert self.wire is not None
        return self._network.computer.decided_at(self.wire)

    def is_ready(self, wanted: int) -> bool:
        """Whether a poll for this would return."""
        if self._error or self._has_ended:
            return True
        can_be_read = bool(self._arrived) and wanted & select.POLLIN
        can_be_written = self._is_accepted and not self._is_full and wanted & select.POLLOUT
        return bool(can_be_read or can_be_written)

    def drain(self) -> None:
        """Take more of what is written."""
        self._is_full = False
        self._network.ready(self)

    # What the client does.

    def fileno(self) -> int:
        """Give a descriptor that only the simulated poll knows."""
        return SOCKET

    def advance(self, now: float) -> bool:
        """Continue the attempt; return whether the connection is open."""
        if not self.is_open:
            self._demand_no_error()
            self.is_open = self._is_accepted
            if not self.is_open and now >= self.deadline:
                raise TimeoutError(ETIMEDOUT, "the server does not answer")
        return self.is_open

    def read(self) -> bytes | None:
        """Read what has arrived; None if nothing has, b"" if the server has hung up."""
        if self._arrived:
            content = b"".join(self._arrived)
            self._arrived.clear()
            return content
        self._demand_no_error()
        return b"" if self._has_ended else None

    def write(self, content: bytes | bytearray) -> int:
        """Write what fits → the number of bytes."""
        self._demand_no_error()
        if self._is_full:
            return 0
        assert self.wire is not None
        count = len(content)
        if count > 1 and self._network.faults.takes_little():
            count = int(self._network.random.random() * count)
            self._is_full = True
            self._network.drain_soon(self)
        if count:
            self.wire.send(bytes(content[:count]))
        return count

    def close(self) -> None:
        """Close the socket."""
        if self.wire is not None:
            self.wire.close_at_client()
        self._network.closed(self)

    def _demand_no_error(self) -> None:
        if self._error:
            raise OSError(self._error, os.strerror(self._error))


class ModelLookup(NameLookup):
    """A lookup of names that is done, or takes a while; each name is its own address."""

    def __init__(self, hosts: Sequence[str]) -> None:
        """Begin."""
        self.addresses = {host: (host,) for host in hosts}
        self.errors = {}
        self.is_done = False

    def fileno(self) -> int:
        """Give a descriptor that only the simulated poll knows."""
        return LOOKUP

    def close(self) -> None:
        """Close nothing."""


class ModelNetwork(Network):
    """The network as one process has it; a process has one client."""

    def __init__(self, ensemble: WireEnsemble, computer: Computer, faults: Faults) -> None:
        """Begin without any socket."""
        super().__init__()
        self.random: Random = ensemble.random
        self.computer = computer
        self.faults = faults
        self.wire: Wire | None = None
        """The newest connection that the client has not closed."""
        self._ensemble = ensemble
        self._socket: ClientSocket | None = None
        self._lookup: ModelLookup | None = None

    @property
    def servers(self) -> tuple[tuple[str, int], ...]:
        """The servers, as settings of a client name them."""
        return tuple((f"server-{one.number}", PORT) for one in self._ensemble.servers)

    def is_ready(self, descriptor: tuple[int, int] | None) -> bool:
        """Whether a poll of this would return, see `Client.descriptor`."""
        if descriptor is None:
            return False
        number, wanted = descriptor
        if number == LOOKUP:
            return self._lookup is not None and self._lookup.is_done
        return self._socket is not None and self._socket.is_ready(wanted)

    # What a client calls.

    def now(self) -> float:
        """The time on the clock of this process."""
        return self.computer.now

    def chance(self) -> float:
        """A random number from 0 up to 1."""
        return self.random.random()

    def look_up(self, hosts: Sequence[str]) -> NameLookup:
        """Resolve names, which takes a while now and then."""
        lookup = self._lookup = ModelLookup(hosts)

        def done() -> None:
            lookup.is_done = True
            self.computer.ready()

        if self.faults.is_slow():
            self._ensemble.clock.after(self.random.random(), done)
        else:
            lookup.is_done = True
        return lookup

    def connect(self, server: ServerAddress, deadline: float) -> ServerConnection:
        """Begin to connect."""
        self._socket = socket = ClientSocket(self, server, deadline)
        found = self._ensemble.servers[int(server.host.rpartition("-")[2])]
        assert isinstance(found, WireServer)
        attempt = self._attempt(found)
        if attempt is Attempt.UNREACHABLE:
            raise OSError(EHOSTUNREACH, os.strerror(EHOSTUNREACH))
        if attempt is Attempt.MUTE:
            return socket
        wire = self.wire = socket.wire = Wire(found, socket, self.faults)
        wire.connect(is_accepted=attempt is not Attempt.REFUSED)
        if attempt is Attempt.SILENT:
            wire.block(up=True, down=False)
        return socket

    def _attempt(self, server: WireServer) -> Attempt | None:
        if not self.computer.is_reachable:
            return self.random.choice((Attempt.UNREACHABLE, Attempt.MUTE))
        if server.serving and self._ensemble.has_quorum:
            return None
        return self.random.choice((Attempt.REFUSED, Attempt.MUTE, Attempt.USELESS, Attempt.SILENT))

    # What sockets call.

    def ready(self, socket: ClientSocket) -> None:
        """Note that a socket is ready for something."""
        if socket is self._socket:
            self.computer.ready()

    def drain_soon(self, socket: ClientSocket) -> None:
        """Let a socket take more in a moment."""
        self._ensemble.clock.after(0.05 * self.random.random(), socket.drain)

    def closed(self, socket: ClientSocket) -> None:
        """Forget a socket."""
        if socket is self._socket:
            self._socket = self.wire = None

    # What befalls the process.

    def hang_up(self) -> None:
        """Close the socket as the kernel does if its process is killed."""
        if self._socket is not None:
            self._socket.close()

    def vanish(self) -> None:
        """Let the computer be gone, which no server is informed of."""
        if self.wire is not None:
            self.wire.heard = False
        self._socket = self.wire = None
