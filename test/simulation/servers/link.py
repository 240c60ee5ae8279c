"""The way between one client and one server of the model world, whatever is carried on it.

Both directions keep their order.  A blocked direction holds what comes and passes it on later, also
what was sent by a client that has meanwhile given the connection up: a write may be committed long
after it was sent.
"""

from collections import deque
from collections.abc import Callable
from enum import Enum, auto
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simulation.servers.ensemble import Session
    from simulation.servers.server import Server

SPEED_S = 0.01
UP, DOWN = 0, 1

WatchPlace = tuple[int, str]
"""Of what a watch is, and its path."""


class Loss(Enum):
    """What gets lost of a request, the connection with it."""

    NOTHING = auto()
    REQUEST = auto()
    REPLY = auto()


class Link:
    """A connection as its server and the leader know it."""

    def __init__(self, server: "Server") -> None:
        """Let everything through."""
        self.server = server
        self.session: Session | None = None
        """The session that the server has found the client to have."""
        self.history = 0
        """In which history of the servers the connection was accepted; it ends with that."""
        self.began_at = 0
        """The newest transaction of all when the server has accepted the connection."""
        self.watched: dict[WatchPlace, None] = {}
        """The watches that the server keeps for this connection."""
        self.open = False
        """Whether the server listens to it."""
        self.heard = True
        """Whether the client listens to it."""
        self._clock = server.ensemble.clock
        self._random = server.ensemble.random
        self._blocked = [False, False]
        self._held: tuple[deque[Callable[[], None]], ...] = (deque(), deque())
        self._latest = [0.0, 0.0]

    def accept(self) -> None:
        """Let the server listen to it."""
        self.open = True
        self.history = self.server.ensemble.histories
        self.began_at = len(self.server.ensemble.log)
        self.server.connections[self] = None

    @property
    def blocked(self) -> bool:
        """Whether anything is kept from getting through."""
        return any(self._blocked)

    def block(self, up: bool, down: bool) -> None:
        """Let nothing through any more, in one direction or both."""
        self._blocked = [up, down]

    def unblock(self) -> None:
        """Let everything through that has waited."""
        self._blocked = [False, False]
        for held in self._held:
            while held:
                held.popleft()()

    def report_watch(self, kind: int, path: str, zxid: int) -> None:
        """Report that a watch has fired, because of this transaction."""
        raise NotImplementedError

    def consider_contact(self) -> None:
        """Note that the server has lost its leader, or has found it again."""

    def close_at_server(self) -> None:
        """Let the server hang up; what it has passed on to the leader stays passed on."""
        raise NotImplementedError

    def close_at_client(self) -> None:
        """Let the client hang up, which reaches the server if the network lets it."""
        if self.heard:
            self.heard = False
            self.consider_contact()
            self._carry(UP, self.close_at_server)

    def go_on(self) -> None:
        """Pass on to the leader what has waited for it."""
        raise NotImplementedError

    def _is_slow(self) -> bool:
        """Whether what is sent now takes long."""
        return self._random.random() < 0.02

    def _leave_server(self) -> bool:
        """Let the server forget the connection; return whether it knew it."""
        if not self.open:
            return False
        self.open = False
        self.server.connections.pop(self, None)
        self.server.forget_watches(self)
        return True

    def _carry(self, way: int, do: Callable[[], None]) -> None:
        slow = 20.0 if self._is_slow() else 1.0
        now = self._clock.now
        at = max(self._latest[way], now + slow * SPEED_S * self._random.random())
        self._latest[way] = at

        def arrive() -> None:
            if self._blocked[way] or self._held[way]:
                self._held[way].append(do)
            else:
                do()

        self._clock.after(at - now, arrive)
