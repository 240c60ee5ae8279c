"""A client whose dialogues run on connections of values; the rest is as in the product's client.

It does for `ClusterSession` what `zkexec.zookeeper.client.Client` does, with no bytes and no pings:
it runs dialogues, and reports events.  What has arrived for it waits until the process advances it.
"""

from collections import deque
from collections.abc import Callable, Hashable
from functools import partial
from typing import TYPE_CHECKING

from simulation.group.connection import Connection, SentRequest
from simulation.servers.ensemble import Ensemble, Session
from simulation.servers.link import Loss
from zkexec.zookeeper.client_events import (
    Answered,
    AttemptFailed,
    ClientEvent,
    Connected,
    Expired,
    Failed,
    Fired,
    Lost,
)
from zkexec.zookeeper.conversation import Conversation
from zkexec.zookeeper.errors import ConnectionLostError, NoNodeError
from zkexec.zookeeper.requests import Dialogue, Exists, RemoveWatches, Request, Sync
from zkexec.zookeeper.session_requests import AnyRequest, CloseSession
from zkexec.zookeeper.watch_table import WatchTable

if TYPE_CHECKING:
    from simulation.group.process import Process

CONNECT_S = 0.05
RETRY_S = 1.0
FAREWELL_S = 1.0
DAWDLE_S = 0.05


def sets_watches(request: AnyRequest) -> bool:
    """Whether the table of watches has to know of a request."""
    return getattr(request, "watch", None) is not None or isinstance(request, RemoveWatches)


class DirectClient:
    """The servers as one process reaches them, and at most one session with them at a time."""

    lacks_multi_read = False
    deadline: float | None = None
    """All that is due comes by the clock of the world."""

    def __init__(
        self,
        process: "Process",
        ensemble: Ensemble,
        listener: Callable[[ClientEvent], None],
        watch_arrived: Callable[[str, int], None],
    ) -> None:
        """Connect to nothing yet; `watch_arrived` gets the path of a watch and its transaction."""
        self.process = process
        self.session: Session | None = None
        self.connection: Connection | None = None
        self._ensemble = ensemble
        self._listener = listener
        self._watch_arrived = watch_arrived
        self._random = ensemble.random
        self._tries = self._random.randrange(len(ensemble.servers))
        self._opened = 0
        """How many sessions its owner has opened or closed: what was due before is void."""
        self._number = 0
        """The number of the present connection."""
        self._is_ready = self._is_known = False
        self._seen_zxid = 0
        self._xid = 0
        self._watches = WatchTable()
        self._conversations: dict[Conversation, None] = {}
        self._unsent: deque[SentRequest] = deque()
        self._arrived: deque[Callable[[], None]] = deque()

    # What the session calls.

    def open(self) -> None:
        """Begin to connect with a new session; an earlier one ends and is not reported any more."""
        self._end(is_clean=self._random.random() < 0.5)
        self._try_later(CONNECT_S)

    def start(self, dialogue: Dialogue, key: Hashable, connection: int = 0) -> None:
        """Run a dialogue → `Answered` or `Failed` with this key, just one.

        It fails if the present connection is not the one of this number; 0 means any.
        """
        decided_at, link = self.process.handled_at, self.connection

        def send(request: Request, target: tuple[Conversation, int]) -> None:
            if link is not self.connection or not self._is_ready:
                raise ConnectionLostError
            conversation, number = target
            self.process.world.requested(self.process, request)
            self._send(request, partial(conversation.received, number), decided_at)

        def ended(answer: object, error: Exception | None) -> None:
            self._conversations.pop(conversation, None)
            if error is not None:
                self._listener(Failed(key, error))
            else:
                self._listener(Answered(key, answer, self._seen_zxid))

        conversation = Conversation(dialogue, send, ended)
        if not self._is_ready or connection not in (0, self._number):
            reason = "the connection was lost" if self._is_ready else "there is no connection"
            conversation.fail(ConnectionLostError(reason=reason))
            return
        self._conversations[conversation] = None
        conversation.begin()

    def rearm(self) -> None:
        """Set all watches again: those of znodes that have changed since fire at once."""
        if self._is_ready:
            for request in self._watches.setting_again():
                self._send(request, lambda _: None, self.process.handled_at)

    def close(self, timeout_s: float) -> None:
        """End the session, if the network lets it; nothing is reported any more."""
        del timeout_s
        self._end(is_clean=True)

    def advance(self) -> None:
        """Do all that has become due, and take in all that has arrived."""
        while self._arrived:
            self._arrived.popleft()()

    # What the process does.

    @property
    def is_due(self) -> bool:
        """Whether `advance` has anything to do."""
        return bool(self._arrived)

    def hang_up(self) -> None:
        """Close the connection as the kernel does if the process is killed."""
        self._end(is_clean=False)

    def vanish(self) -> None:
        """Disappear silently: the server is not informed."""
        if self.connection is not None:
            self.connection.heard = False
            self.connection.consider_contact()

    # What the connection calls.

    def arrived(self, connection: Connection, what: Callable[[], None]) -> None:
        """Keep what has arrived until the process advances."""

        def take_in() -> None:
            if connection is self.connection:
                what()

        self._keep(take_in)

    def received(self, sent: SentRequest, outcome: object, zxid: int) -> None:
        """Take in the outcome of a request, as of this transaction."""
        self._seen_zxid = max(self._seen_zxid, zxid)
        if isinstance(sent.request, Exists) and isinstance(outcome, NoNodeError):
            outcome = None
        self.process.world.answered(self.process, sent.request, outcome)
        if sets_watches(sent.request):
            self._watches.answered(sent.xid, sent.request, outcome)
        sent.receive(outcome)

    def fired(self, kind: int, path: str, zxid: int) -> None:
        """Take in the event of a watch, which this transaction has fired."""
        self._watch_arrived(path, zxid)
        for watch in self._watches.fired(kind, path):
            self._listener(Fired(watch, path))

    def lost(self, connection: Connection, reason: str) -> None:
        """Lose this connection, and look for another server."""
        if connection is not self.connection:
            return
        was_ready = self._forget_connection()
        for conversation in tuple(self._conversations):
            conversation.fail(ConnectionLostError(reason=reason))
        if was_ready:
            self._listener(Lost(reason, self._seen_zxid))
        else:
            self._refused(reason)
        self._try_later(CONNECT_S if was_ready else RETRY_S)

    def path_blocked(self, connection: Connection) -> None:
        """Notice after a while that nothing is heard on this connection."""
        timeout_s = self.process.policy.session_timeout_s
        patience_s = timeout_s * (0.4 + 2 * self._random.random())

        def give_up() -> None:
            if connection.blocked:
                self.lost(connection, "nothing is heard")

        self._after(patience_s, give_up)

    # Connecting.

    def _try_later(self, delay_s: float) -> None:
        self._after(delay_s * (0.2 + self._random.random()), self._try)

    def _after(self, delay_s: float, do: Callable[[], None]) -> None:
        """Do something later, unless its owner opens or closes a session before."""
        opened = self._opened

        def take_in() -> None:
            if opened == self._opened:
                do()

        self._ensemble.clock.after(delay_s, partial(self._keep, take_in))

    def _keep(self, do: Callable[[], None]) -> None:
        self._arrived.append(do)
        self.process.run()

    def _try(self) -> None:
        self._tries += 1
        server = self._ensemble.servers[self._tries % len(self._ensemble.servers)]
        usable = server.serving and server.in_contact and self._ensemble.has_quorum
        if not usable or server.applied < self._seen_zxid or not self.process.host.reachable:
            self._refused("no answer")
            self._try_later(RETRY_S)
            return
        if self.session is not None and not self.session.alive:
            self.session, zxid = None, self._seen_zxid
            self._is_known, self._seen_zxid = False, 0
            self._listener(Expired("the session has expired", zxid))
            self._try_later(CONNECT_S)
            return
        if self.session is None:
            self.session = self._ensemble.open(self.process.policy.session_timeout_s)
            self.session.process = self.process
        connection = self.connection = Connection(self, server, self.session)
        self._number += 1
        self._ensemble.touch(self.session)
        connection.consider_contact()
        connection.report(self._welcomed)

    def _refused(self, reason: str) -> None:
        if not self._is_known:
            # Servers that were wiped would refuse for ever what has seen more than they have.
            self._seen_zxid = 0
        is_last = self._tries % len(self._ensemble.servers) == 0
        self._listener(AttemptFailed(reason, is_last))

    def _welcomed(self) -> None:
        """Make sure that nothing is read that is older than the connection, then report it."""
        self._send(Sync("/"), lambda _: self._synced(), self.process.handled_at)

    def _synced(self) -> None:
        assert self.session is not None
        self._is_ready = self._is_known = True
        self._listener(Connected(self._number, self.session.number, self.session.timeout_s))

    def _forget_connection(self) -> bool:
        """Hang up; return whether the connection was of use."""
        connection, self.connection = self.connection, None
        was_ready, self._is_ready = self._is_ready, False
        self._watches = WatchTable()
        self._unsent.clear()
        if connection is not None:
            connection.close_at_client()
        return was_ready

    def _end(self, *, is_clean: bool) -> None:
        connection = self.connection
        conversations, self._conversations = self._conversations, {}
        if is_clean and self._is_ready and connection is not None:
            farewell = SentRequest(0, CloseSession(), lambda _: None, self.process.handled_at)
            connection.send(farewell)
            # It is given a moment to arrive, as the shell does.
            self._ensemble.clock.after(FAREWELL_S, connection.close_at_client)
            self.connection = None
        self._forget_connection()
        self._opened += 1
        self.session, self._is_known, self._seen_zxid = None, False, 0
        for conversation in conversations:
            conversation.drop()

    # Requests.

    def _send(
        self, request: AnyRequest, receive: Callable[[object], None], decided_at: float
    ) -> None:
        assert self.connection is not None
        self._xid += 1
        chaos = self.process.chaos
        sent = SentRequest(self._xid, request, receive, decided_at, chaos.loss())
        if sent.loss is not Loss.NOTHING:
            self.process.world.log(f"{self.process.name} will lose a {sent.loss.name}")
        if sets_watches(request):
            self._watches.sending(sent.xid, request)
        if not self._unsent and not chaos.dawdles():
            self.connection.send(sent)
            return
        self._unsent.append(sent)
        if len(self._unsent) == 1:
            connection = self.connection
            flush = partial(self.arrived, connection, partial(self._flush, connection))
            self._ensemble.clock.after(DAWDLE_S, flush)

    def _flush(self, connection: Connection) -> None:
        while self._unsent:
            connection.send(self._unsent.popleft())
