"""One connection on which requests and outcomes are carried as the values that they are.

What `simulation.wire.wire` does with bytes is done here with values: each request is one message,
and so is each outcome and each event of a watch.  A server works on the requests of one connection
one after the other.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from simulation.servers.ensemble import Session
from simulation.servers.link import DOWN, SPEED_S, UP, Link, Loss
from simulation.servers.server import READS, Server
from zkexec.zookeeper.requests import Sync
from zkexec.zookeeper.session_requests import AnyRequest, CloseSession

if TYPE_CHECKING:
    from simulation.group.direct_client import DirectClient


@dataclass(slots=True, eq=False)
class SentRequest:
    """A request on its way, when the process has decided on it, and what gets lost of it."""

    xid: int
    request: AnyRequest
    receive: Callable[[object], None]
    decided_at: float
    loss: Loss = Loss.NOTHING


@dataclass(slots=True)
class Segment:
    """What is sent at one moment in one direction."""

    sent_at: float
    messages: list[Callable[[], None]]


class Connection(Link):
    """The way from one client to one server and back."""

    def __init__(self, client: "DirectClient", server: Server, session: Session) -> None:
        """Begin connected."""
        super().__init__(server)
        self._client = client
        self._its_session = self.session = session
        self._queue: deque[SentRequest] = deque()
        self._is_busy = self._is_stalled = False
        self._segments: list[Segment] = [Segment(-1.0, []), Segment(-1.0, [])]
        """What was sent last in each direction."""
        session.connection = self
        self.accept()

    def send(self, sent: SentRequest) -> None:
        """Put a request on its way."""
        self._carry(UP, partial(self._arrive, sent))

    def report(self, what: Callable[[], None]) -> None:
        """Report something to the client, after all earlier reports."""
        self._carry(DOWN, partial(self._deliver, what))

    def report_watch(self, kind: int, path: str, zxid: int) -> None:
        """Report that a watch has fired, because of this transaction."""
        self.report(partial(self._client.fired, kind, path, zxid))

    def block(self, up: bool, down: bool) -> None:
        """Let nothing through any more, in one direction or both."""
        super().block(up, down)
        self.consider_contact()
        self._client.path_blocked(self)

    def unblock(self) -> None:
        """Let everything through that has waited."""
        self._blocked = [False, False]
        self.consider_contact()
        super().unblock()

    def consider_contact(self) -> None:
        """Inform the leader's clock whether this session's pings get through."""
        session = self._its_session
        if session.connection is not self:
            return
        reaches = self.heard and self.open and not self._blocked[UP] and self.server.in_contact
        is_awake = not self._client.process.frozen
        self.server.ensemble.contact_changed(session, reaches and is_awake)

    def close_at_server(self) -> None:
        """Let the server hang up; what it has passed on to the leader stays passed on."""
        if self._leave_server():
            self._queue.clear()
            self.consider_contact()
            self.report(partial(self._client.lost, self, "the server hung up"))

    def go_on(self) -> None:
        """Pass on to the leader what has waited for it."""
        if self._is_stalled:
            self._is_stalled = False
            self._at_leader(self._queue[0])

    def _carry(self, way: int, do: Callable[[], None]) -> None:
        """Carry what is sent at one moment as one: it is on its way for the same time."""
        segment, now = self._segments[way], self._clock.now
        if segment.sent_at == now:
            segment.messages.append(do)
        else:
            segment = self._segments[way] = Segment(now, [do])
            super()._carry(way, partial(self._unpack, segment))

    @staticmethod
    def _unpack(segment: Segment) -> None:
        segment.sent_at = -1.0
        for message in segment.messages:
            message()

    def _deliver(self, what: Callable[[], None]) -> None:
        if self.heard:
            self._client.arrived(self, what)

    # The server.

    def _arrive(self, sent: SentRequest) -> None:
        if not self.open:
            return
        if sent.loss is Loss.REQUEST:
            self.close_at_server()
            return
        self._queue.append(sent)
        self._work()

    def _work(self) -> None:
        while self._queue and not self._is_busy and self.open:
            sent = self._queue[0]
            if isinstance(sent.request, READS):
                self._queue.popleft()
                self._answer(sent, self.server.read(sent.request, self))
            else:
                self._is_busy = True
                self._clock.after(SPEED_S * self._random.random(), partial(self._at_leader, sent))

    def _at_leader(self, sent: SentRequest) -> None:
        """Let the leader decide; a request that was passed on needs no connection any more."""
        ensemble, session = self.server.ensemble, self._its_session
        if not self.server.in_contact:
            self._is_stalled = self.open
            return
        if not ensemble.has_quorum:
            return
        if not session.alive or session.connection is not self:
            self.close_at_server()
            return
        outcome: object = None
        if isinstance(sent.request, CloseSession):
            ensemble.end(session)
        elif not isinstance(sent.request, Sync):
            outcome = ensemble.decide(session, sent.request, sent.decided_at)
        delay_s = SPEED_S * self._random.random()
        self._clock.after(delay_s, partial(self._decided, sent, outcome))

    def _decided(self, sent: SentRequest, outcome: object) -> None:
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
        self._answer(sent, outcome)
        self._work()

    def _answer(self, sent: SentRequest, outcome: object) -> None:
        if sent.loss is Loss.REPLY:
            self.close_at_server()
        else:
            zxid = self.server.applied
            self.report(partial(self._client.received, sent, outcome, zxid))
