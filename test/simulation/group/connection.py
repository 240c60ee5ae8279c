"""One TCP connection between a client and a server of the model ensemble.

Both directions keep their order.  A blocked direction holds what comes and passes it on later, also
what was sent by a client that has meanwhile given the connection up: a write may be committed long
after it was sent.  A server works on the requests of one connection one after the other.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from typing import TYPE_CHECKING, Any

from simulation.servers.ensemble import Server, Session

if TYPE_CHECKING:
    from simulation.group.client import Client

SPEED_S = 0.01


class Kind(Enum):
    """What a request needs."""

    READ = auto()
    SYNC = auto()
    WRITE = auto()


class Loss(Enum):
    """What gets lost of a request, the connection with it."""

    NOTHING = auto()
    REQUEST = auto()
    REPLY = auto()


@dataclass(slots=True, eq=False)
class Request:
    """What a server is asked to do; `run` is called where the request is decided."""

    kind: Kind
    run: Callable[["Connection"], Any]
    reply: Callable[[Any], None]
    loss: Loss = Loss.NOTHING


class Connection:
    """The way from one client to one server and back."""

    def __init__(self, client: "Client", server: Server, session: Session) -> None:
        """Begin connected."""
        self.client = client
        self.server = server
        self.session = session
        self.watched: dict[str, None] = {}
        self.armed: dict[tuple[str, Any], tuple[int, Callable[..., None]]] = {}
        """What the client takes for watched: as of which commit, and what happens when it fires."""
        self.open = True
        """Whether the server listens to it."""
        self.heard = True
        """Whether the client listens to it."""
        self.synced = False
        self._clock = server.ensemble.clock
        self._random = server.ensemble.random
        self._blocked = [False, False]
        self._held: tuple[deque[Callable[[], None]], ...] = (deque(), deque())
        self._latest = [0.0, 0.0]
        self._queue: deque[Request] = deque()
        self._busy = False
        self._stalled = False
        server.connections[self] = None
        session.connection = self

    @property
    def blocked(self) -> bool:
        """Whether anything is kept from getting through."""
        return any(self._blocked)

    def send(self, request: Request) -> None:
        """Put a request on the wire."""
        self._carry(0, lambda: self._arrive(request))

    def report(self, event: Callable[[], None]) -> None:
        """Report an event to the client, after all earlier ones."""
        self._carry(1, lambda: self._hear(event))

    def block(self, up: bool, down: bool) -> None:
        """Let nothing through any more, in one direction or both."""
        self._blocked = [up, down]
        self.consider_contact()
        self.client.path_blocked(self)

    def unblock(self) -> None:
        """Let everything through that has waited."""
        self._blocked = [False, False]
        self.consider_contact()
        for held in self._held:
            while held:
                held.popleft()()

    def consider_contact(self) -> None:
        """Tell the leader's clock whether this session's pings get through."""
        if self.session.connection is not self:
            return
        reaches = self.heard and self.open and not self._blocked[0] and self.server.in_contact
        awake = not self.client.process.frozen
        self.server.ensemble.contact_changed(self.session, reaches and awake)

    def close_at_server(self) -> None:
        """Let the server hang up; what it has passed on to the leader stays passed on."""
        if not self.open:
            return
        self.open = False
        self.server.connections.pop(self, None)
        self.server.unwatch(self)
        self._queue.clear()
        self.consider_contact()
        self.report(lambda: self.client.lost(self, "the server hung up"))

    def close_at_client(self) -> None:
        """Let the client hang up; the server hears of it if the network lets it."""
        if not self.heard:
            return
        self.heard = False
        self.consider_contact()
        self._carry(0, self.close_at_server)

    def go_on(self) -> None:
        """Pass on to the leader what has waited for it."""
        if self._stalled:
            self._stalled = False
            self._at_leader(self._queue[0])

    def _carry(self, way: int, do: Callable[[], None]) -> None:
        slow = 20.0 if self._random.random() < 0.02 else 1.0
        at = max(self._latest[way], self._clock.now + slow * SPEED_S * self._random.random())
        self._latest[way] = at

        def arrive() -> None:
            if self._blocked[way] or self._held[way]:
                self._held[way].append(do)
            else:
                do()

        self._clock.after(at - self._clock.now, arrive)

    def _hear(self, news: Callable[[], None]) -> None:
        if self.heard:
            self.client.process.when_awake(lambda: news() if self.heard else None)

    def _arrive(self, request: Request) -> None:
        if not self.open:
            return
        if request.loss is Loss.REQUEST:
            self.close_at_server()
            return
        self._queue.append(request)
        self._work()

    def _work(self) -> None:
        while self._queue and not self._busy and self.open:
            request = self._queue[0]
            if request.kind is Kind.READ:
                self._queue.popleft()
                self._answer(request, request.run(self))
            else:
                self._busy = True
                delay_s = SPEED_S * self._random.random()
                self._clock.after(delay_s, partial(self._at_leader, request))

    def _at_leader(self, request: Request) -> None:
        """Let the leader decide; a request that was passed on needs no connection any more."""
        ensemble = self.server.ensemble
        if not self.server.in_contact:
            self._stalled = self.open
            return
        if not ensemble.has_quorum:
            return
        if not self.session.alive or self.session.connection is not self:
            self.close_at_server()
            return
        result = None if request.kind is Kind.SYNC else request.run(self)
        self._clock.after(SPEED_S * self._random.random(), lambda: self._decided(request, result))

    def _decided(self, request: Request, result: object) -> None:
        if not self.open:
            return
        if not self.server.in_contact:
            # The commit has not reached this server, so it cannot answer before it is back.
            self.close_at_server()
            return
        self.server.catch_up()
        if self._queue and self._queue[0] is request:
            self._queue.popleft()
        self._busy = False
        self._answer(request, result)
        self._work()

    def _answer(self, request: Request, result: object) -> None:
        if request.loss is Loss.REPLY:
            self.close_at_server()
        else:
            self.report(lambda: request.reply(result))
