"""The servers of the model world behind the wire protocol, on which every ping counts.

A session expires once no frame of it has reached the leader for its timeout, and up to a tick
later.
"""

from collections.abc import Callable
from random import Random

from simulation.clock import Clock
from simulation.servers.ensemble import Ensemble, Session
from simulation.servers.server import Server


class WireServer(Server):
    """One server, and which sessions have shown it signs of life."""

    ensemble: "WireEnsemble"

    def __init__(self, ensemble: "WireEnsemble", number: int) -> None:
        """Begin in contact with the leader, with nothing applied."""
        super().__init__(ensemble, number)
        self._unreported: dict[Session, None] = {}
        """The sessions that were alive since the server was cut off from the leader."""

    def cut_off(self) -> None:
        """Lose the leader, and with it what was not reported of sessions yet."""
        unreported_s = self.ensemble.tick_s / 2 * self.ensemble.random.random()
        for session in self.ensemble.sessions.values():
            if session.connection in self.connections:
                session.touched_at -= unreported_s
        super().cut_off()

    def rejoin(self) -> None:
        """Find the leader again, and report which sessions have shown signs of life."""
        for session in self._unreported:
            if session.alive:
                self.ensemble.touch(session)
        self._unreported.clear()
        super().rejoin()

    def hear_of(self, session: Session) -> None:
        """Note a sign of life, which reaches the leader if there is contact to it."""
        if self.in_contact:
            session.touched_at = self.ensemble.clock.now
        else:
            self._unreported[session] = None


class WireEnsemble(Ensemble):
    """The leader's truth and the sessions, as the wire protocol knows them."""

    def __init__(self, clock: Clock, random: Random, servers: int, tick_s: float) -> None:
        """Begin with an empty log and a leader."""
        self.lacks_multi_read = False
        """Whether the servers are older than 3.6."""
        self.refused_sessions: set[int] = set()
        """The sessions that are refused for ever, as by servers that have seen less than they."""
        self.expiring: Callable[[Session], None] = lambda _: None
        """Called with a session that is about to expire."""
        super().__init__(clock, random, servers, tick_s)

    def new_server(self, number: int) -> Server:
        """Make a server that has applied nothing."""
        return WireServer(self, number)

    def granted_s(self, requested_s: float) -> float:
        """How long a session lives without a sign of life, if its client requests this."""
        return min(max(requested_s, 2 * self.tick_s), 20 * self.tick_s)

    def _appoint(self, session: Session) -> None:
        """Examine the session when it may have expired, unless that is arranged already."""
        if not session.expiry:
            session.expiry = 1
            self._examine_later(session)

    def _examine_later(self, session: Session) -> None:
        late_s = 0.0 if self.random.random() < 0.3 else self.tick_s * self.random.random()
        due_s = max(0.0, session.touched_at + session.timeout_s + late_s - self.clock.now)
        self.clock.after(due_s, lambda: self._consider_expiry(session))

    def _consider_expiry(self, session: Session) -> None:
        if not session.alive:
            return
        if not self.has_quorum:
            # The next leader gives each session its whole time anew.
            session.expiry = 0
        elif self.clock.now >= session.touched_at + session.timeout_s:
            self.expiring(session)
            self.end(session)
        else:
            self._examine_later(session)
