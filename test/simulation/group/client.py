"""The client of one process: its session, its way from server to server, its unanswered requests.

It speaks as the shell does: what is unanswered when the connection goes is answered as failed, then
comes SessionSuspended; that the session has expired is learned only from a server; a new client
knows nothing of the one before, whose session may live on for a while.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from simulation.group.connection import Connection, Kind, Loss, Request
from simulation.servers.ensemble import Ensemble, Session
from zkexec.core import events
from zkexec.core.events import Event

if TYPE_CHECKING:
    from simulation.group.process import Process

CONNECT_S = 0.05
RETRY_S = 1.0
FAREWELL_S = 1.0
ANSWER_SESSIONS = 2
"""For so many session timeouts the client waits for an answer if pings are answered."""


class Client:
    """One client, from its first attempt to connect to its end."""

    def __init__(self, process: "Process", ensemble: Ensemble) -> None:
        """Begin to connect."""
        self.process = process
        self.closed = False
        self.session: Session | None = None
        self.connection: Connection | None = None
        self.connected = False
        self.unanswered: dict[Request, Event] = {}
        """Each request with the event that reports its failure."""
        self._ensemble = ensemble
        self._random = ensemble.random
        self._tries = self._random.randrange(len(ensemble.servers))
        self._seen_zxid = 0
        self.is_due = False
        """Whether `advance` has anything to do: here all happens in threads of the client."""
        self.deadline: float | None = None
        self._try_later(CONNECT_S)

    def advance(self) -> None:
        """Do nothing."""

    def ask(
        self, kind: Kind, run: Callable[[Connection], Any], reply: Callable[[Any], None],
        failure: Event | None,
    ) -> None:  # fmt: skip
        """Send a request; `failure` is reported if there will be no answer."""
        connection = self.connection
        if connection is None or not self.connected:
            if failure is not None:
                self.process.post(failure)
            return
        request = Request(kind, run, reply)

        def answered(result: object) -> None:
            self._seen_zxid = max(self._seen_zxid, connection.server.applied)
            if self.unanswered.pop(request, None) is not None or failure is None:
                reply(result)

        request.reply = answered
        if failure is not None:
            self.unanswered[request] = failure
            request.loss = self.process.chaos.loss()
            if request.loss is not Loss.NOTHING:
                self.process.world.log(f"{self.process.name} will lose a {request.loss.name}")
                limit_s = ANSWER_SESSIONS * self.process.policy.session_timeout_s
                self._ensemble.clock.after(limit_s, lambda: self._miss(request, connection))
        if not connection.synced:
            connection.synced = True
            connection.send(Request(Kind.SYNC, lambda _: None, lambda _: None))
        self.process.hand_over(lambda: connection.send(request))

    def lost(self, connection: Connection, reason: str) -> None:
        """Lose this connection, and look for another server."""
        if connection is not self.connection or self.closed:
            return
        self._forget_connection()
        was_connected, self.connected = self.connected, False
        unanswered, self.unanswered = self.unanswered, {}
        for failure in unanswered.values():
            self.process.post(failure)
        if was_connected:
            self.process.post(events.SessionSuspended(reason, self._seen_zxid))
        self._try_later(CONNECT_S)

    def _miss(self, request: Request, connection: Connection) -> None:
        if request in self.unanswered:
            reason = "a request is not answered"
            self.process.when_awake(lambda: self.lost(connection, reason))

    def path_blocked(self, connection: Connection) -> None:
        """Notice after a while that nothing is heard on this connection."""
        timeout_s = self.process.policy.session_timeout_s
        patience_s = timeout_s * (0.4 + 2 * self._random.random())
        self._ensemble.clock.after(patience_s, lambda: self._give_up(connection))

    def close(self, clean: bool) -> None:
        """Stop; a clean end closes the session, if the network lets it."""
        self.closed = True
        self.unanswered.clear()
        connection, session = self.connection, self.session
        if clean and self.connected and connection is not None and session is not None:
            farewell = Request(Kind.WRITE, lambda _: self._ensemble.end(session), lambda _: None)
            connection.send(farewell)
            # It is given a moment to arrive, as the shell does.
            self._ensemble.clock.after(FAREWELL_S, connection.close_at_client)
            return
        self._forget_connection()

    def vanish(self) -> None:
        """Disappear silently: the server is not informed."""
        self.closed = True
        if self.connection is not None:
            self.connection.heard = False
            self.connection.consider_contact()

    def _give_up(self, connection: Connection) -> None:
        if connection.blocked:
            self.process.when_awake(lambda: self.lost(connection, "nothing is heard"))

    def _forget_connection(self) -> None:
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.close_at_client()

    def _try_later(self, delay_s: float) -> None:
        def due() -> None:
            self.process.when_awake(self._try)

        self._ensemble.clock.after(delay_s * (0.2 + self._random.random()), due)

    def _try(self) -> None:
        if self.closed or self.connection is not None:
            return
        self._tries += 1
        server = self._ensemble.servers[self._tries % len(self._ensemble.servers)]
        usable = server.serving and server.in_contact and self._ensemble.has_quorum
        if not usable or server.applied < self._seen_zxid or not self.process.host.reachable:
            self.process.post(events.ConnectFailed("no answer"))
            self._try_later(RETRY_S)
            return
        if self.session is not None and not self.session.alive:
            self.session = None
            self.process.post(events.SessionLost("the session has expired"))
            self._try_later(CONNECT_S)
            return
        if self.session is None:
            self.session = self._ensemble.open(self.process.policy.session_timeout_s)
            self.session.place = self.process.host
        connection = self.connection = Connection(self, server, self.session)
        self._ensemble.touch(self.session)
        connection.consider_contact()
        connection.report(lambda: self._welcomed(connection))

    def _welcomed(self, connection: Connection) -> None:
        if connection is not self.connection or self.session is None:
            return
        self.connected = True
        self._seen_zxid = connection.server.applied
        self.process.post(events.SessionConnected(self.session.number, self.session.timeout_s))
