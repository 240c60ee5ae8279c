"""Drives a session over the simulated network, as simply as that can be done.

It connects to any server after a pause, and does what the session has due.  Beyond that it decides
nothing, so what is found with it is about the session and the servers alone.
"""

from collections.abc import Callable
from random import Random

from simulation.clock import Clock
from simulation.servers.link import Loss
from simulation.wire.network import ClientSocket, ModelNetwork
from simulation.wire.wire import Wire
from simulation.wire.wire_ensemble import WireEnsemble
from zkexec.zookeeper.client_events import ClientEvent
from zkexec.zookeeper.server_rotation import ServerAddress
from zkexec.zookeeper.session_requests import AnyRequest
from zkexec.zookeeper.session_state import SessionState

PAUSE_S = 0.2
ATTEMPT_S = 1.0


class DrawnFaults:
    """Faults of connections that come with fixed chances, until it becomes calm."""

    def __init__(self, random: Random, chance: float) -> None:
        """Have each fault with this chance."""
        self.random = random
        self.chance = chance

    def _happens(self) -> bool:
        return self.chance > 0 and self.random.random() < self.chance

    def loss(self) -> Loss:
        """What becomes of the request that has just arrived at its server."""
        if not self._happens():
            return Loss.NOTHING
        return self.random.choice((Loss.REQUEST, Loss.REPLY))

    def is_cut(self) -> bool:
        """Whether the bytes that are sent now arrive in two pieces."""
        return self._happens()

    def takes_little(self) -> bool:
        """Whether the socket takes only some of the bytes that are written now."""
        return self._happens()

    def is_slow(self) -> bool:
        """Whether the bytes that are sent now take long."""
        return self._happens()


class SessionDriver:
    """A process with one session; a new one follows when that is over."""

    def __init__(
        self,
        ensemble: WireEnsemble,
        faults: DrawnFaults,
        timeout_s: float,
        listener: Callable[[ClientEvent], None],
    ) -> None:
        """Begin to connect."""
        self.state = SessionState(timeout_s)
        self.network = ModelNetwork(ensemble, self, faults)
        self.is_reachable = True
        self.connections = 0
        self._clock: Clock = ensemble.clock
        self._timeout_s = timeout_s
        self._listener = listener
        self._socket: ClientSocket | None = None
        self._is_made = self._is_busy = False
        self._appointed: float | None = None
        self._clock.after(PAUSE_S, self._connect)

    @property
    def now(self) -> float:
        """The time on its clock."""
        return self._clock.now

    @property
    def process(self) -> object:
        """What observers know the process as."""
        return self

    def decided_at(self, wire: Wire) -> float:
        """Return when it decided on the next write of a connection, which does not matter here."""
        del wire
        return self.now

    def watch_arrived(self, path: str, zxid: int) -> None:
        """Do nothing."""

    def send(self, request: AnyRequest, key: object) -> None:
        """Send a request on a session that is ready."""
        self.state.send(request, key, self.now)
        self.ready()

    def ready(self) -> None:
        """Do all that can be done, and be there again when more is due."""
        if self._socket is None or self._is_busy:
            return
        self._is_busy = True
        try:
            self._go_on(self._socket)
        except OSError as error:
            self._report(self.state.connection_lost(str(error.strerror)))
            self._drop()
        finally:
            self._is_busy = False
        self._appoint()

    def _connect(self) -> None:
        if self.state.is_over:
            self.state = SessionState(self._timeout_s)
        servers = self.network.servers
        host, port = servers[int(self.network.chance() * len(servers))]
        self._is_made = False
        try:
            socket = self.network.connect(ServerAddress(host, host, port), self.now + ATTEMPT_S)
        except OSError:
            self._clock.after(PAUSE_S, self._connect)
            return
        assert isinstance(socket, ClientSocket)
        self._socket = socket
        self._clock.after(ATTEMPT_S, self.ready)

    def _go_on(self, socket: ClientSocket) -> None:
        if not socket.advance(self.now):
            return
        if not self._is_made:
            self._is_made = True
            self.connections += 1
            self.state.connection_made(self.connections, self.now, self.now + ATTEMPT_S)
        self._write(socket)
        while self.state.has_connection and (content := socket.read()) is not None:
            if not content:
                self._report(self.state.connection_lost("the server has hung up"))
            else:
                self._report(self.state.receive(content, self.now))
        self._report(self.state.tick(self.now))
        self._write(socket)
        if not self.state.has_connection:
            self._drop()

    def _write(self, socket: ClientSocket) -> None:
        if self.state.outgoing:
            count = socket.write(self.state.outgoing)
            self.state.written(count, self.now)

    def _drop(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
            self._clock.after(PAUSE_S, self._connect)

    def _appoint(self) -> None:
        deadline = self.state.deadline
        if self._socket is None or deadline is None:
            return
        if self._appointed is None or deadline < self._appointed:
            self._appointed = deadline
            self._clock.after(max(0.0, deadline - self.now) + 1e-6, self._tick)

    def _tick(self) -> None:
        self._appointed = None
        self.ready()

    def _report(self, events: list[ClientEvent]) -> None:
        for event in events:
            self._listener(event)
