"""A ZooKeeper client that runs dialogues and reports events; one session at a time.

It has no thread.  Who drives it polls `descriptor` until `deadline` and calls `advance`; a caller
that has nothing else to do uses `wait` and `run`.  `start` runs a dialogue on the present
connection and on no other; its end is reported as `Answered` or `Failed`.  The listener is called
from within these methods, and may start dialogues.  If a connection is lost, the dialogues on it
fail before the loss is reported.  Nothing is reported of a session after `open()` has replaced it.
"""

from __future__ import annotations

import select

from zkexec.frozen import frozen
from zkexec.lean import suppress
from zkexec.zookeeper.client_events import (
    Answered,
    AttemptFailed,
    Connected,
    Expired,
    Failed,
    Fired,
    Lost,
)
from zkexec.zookeeper.connector import Connector
from zkexec.zookeeper.conversation import Conversation
from zkexec.zookeeper.errors import (
    ConnectionEndError,
    ConnectionLostError,
    NoAuthError,
    UnimplementedError,
)
from zkexec.zookeeper.network import Network
from zkexec.zookeeper.requests import MultiRead, Sync
from zkexec.zookeeper.session_requests import Authenticate
from zkexec.zookeeper.session_state import (
    CloseConfirmed,
    IdentityRefused,
    OutcomeReceived,
    SessionState,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence
    from typing import Any

    from zkexec.zookeeper.client_events import ClientEvent
    from zkexec.zookeeper.client_settings import ClientSettings, Proof
    from zkexec.zookeeper.connection import ServerConnection
    from zkexec.zookeeper.requests import Dialogue, Request
    from zkexec.zookeeper.session_state import SaslMechanism

_MOST_READS = 16
"""So often is one connection read at once at most, so that it cannot keep a loop busy."""

_TRIAL = "trial"
"""The key of the first request on a connection."""

_TRIAL_OF_MULTI_READ = "trial of a multi-read"
"""The key of a second request on it, if the dialogues to come read many znodes at once."""


@frozen()
class _Batch:
    """The key of a request of a dialogue."""

    conversation: Conversation
    number: int


class Client:
    """The servers, and at most one session with them at a time."""

    def __init__(
        self,
        settings: ClientSettings,
        listener: Callable[[ClientEvent], None],
        network: Network | None = None,
        *,
        tries_multi_read: bool = False,
    ) -> None:
        """Connect to nothing yet.

        With `tries_multi_read`, a connection is reported only after it is known whether its server
        can read znodes at once.  Otherwise the first dialogue finds out, and fails if it cannot.
        """
        self._settings = settings
        self._tries_multi_read = tries_multi_read
        self._listener = listener
        self._network = network or Network(settings.tls_context)
        self._connector = Connector(settings, self._network, self._attempt_failed)
        self.lacks_multi_read = False
        """Whether a server has refused a multi-read: it is older than 3.6."""
        self._session: SessionState | None = None
        self._connection: ServerConnection | None = None
        self._proof: Proof | None = None
        """As whom the present connection was made."""
        self._connections = 0
        self._number = 0
        """The number of the present connection once it can be used, else 0."""
        self._is_known = False
        """Whether a connection of this session was reported, so that its owner renews it."""
        self._welcome: Connected | None = None
        self._conversations: set[Conversation] = set()
        self._trouble = ""
        """Why the connection has failed while something was sent."""
        self._is_forbidden = False
        """Whether an answer of this time has forbidden something."""
        self._is_silent = False

    # What its owner calls.

    def open(self) -> None:
        """Begin to connect with a new session; an earlier one ends and is not reported any more."""
        self._end(0.0)
        self._session = SessionState(self._settings.session_timeout_s)
        self._is_known = False
        self._connector.start(self._network.now())

    def start(self, dialogue: Dialogue, key: Hashable, connection: int = 0) -> None:
        """Run a dialogue → `Answered` or `Failed` with this key, just one; returns at once.

        It fails if the present connection is not the one of this number; 0 means any.  It is
        not reported after `open()` or `close()`.
        """
        session = self._session

        def ended(answer: object, error: Exception | None) -> None:
            if error is not None:
                self._report(Failed(key, error))
            else:
                self._report(Answered(key, answer, 0 if session is None else session.zxid))

        self._converse(dialogue, connection, ended)

    def rearm(self) -> None:
        """Set all watches again: those of znodes that have changed since fire at once.

        If a server refuses that, all of them are reported as fired.
        """
        if self._session is not None and self._number:
            self._session.set_watches_again(self._network.now())
            self._write_now()

    def close(self, timeout_s: float) -> None:
        """End the session, waiting for that at most `timeout_s`, and not at all if unconnected.

        Nothing is reported any more.  Never raises.
        """
        self._end(timeout_s)
        self._connector.close()

    def _end(self, timeout_s: float) -> None:
        session = self._session
        self._is_silent = True
        with suppress(OSError):
            if session is not None and self._connection is not None:
                until = self._network.now() + timeout_s
                session.close(self._network.now())
                self._write_now()
                while session.has_connection and self._network.now() < until:
                    self.wait(until)
        self._session = None
        self._disconnect()
        self._connector.stop()
        self._is_silent = False

    # What a loop calls.

    @property
    def deadline(self) -> float | None:
        """When `advance` has to be called at the latest, in the time of the network."""
        session, connection = self._session, self._connection
        if session is None or connection is None:
            return self._connector.deadline
        if self._trouble or connection.has_unread:
            return self._network.now()
        if self._number or session.deadline is None:
            return session.deadline
        return min(session.deadline, connection.deadline)

    @property
    def descriptor(self) -> tuple[int, int] | None:
        """What to poll: a descriptor and for what, in the numbers of `select.poll`."""
        session, connection = self._session, self._connection
        if session is None or connection is None:
            return self._connector.descriptor
        return connection.fileno(), select.POLLIN | (select.POLLOUT if session.outgoing else 0)

    def advance(self) -> None:
        """Do all that is ready or due."""
        session = self._session
        if session is None:
            return
        if self._connection is None:
            self._begin_connection(session)
        connection = self._connection
        if connection is not None and self._session is session:
            self._exchange(session, connection)

    # What a caller without a loop calls.

    def wait(self, until: float, also: Sequence[int] = ()) -> None:
        """Wait once, until something has happened here or at one of the descriptors `also`."""
        poll = select.poll()
        for descriptor in also:
            poll.register(descriptor, select.POLLIN)
        if self.descriptor is not None:
            poll.register(*self.descriptor)
        until = until if self.deadline is None else min(until, self.deadline)
        poll.poll(1000 * max(0.0, until - self._network.now()))
        self.advance()

    def run(self, dialogue: Dialogue, timeout_s: float) -> Any:  # noqa: ANN401 -- whatever it returns
        """Run a dialogue on the present connection and return its result.

        Raises what the dialogue raises, a `ConnectionEndError` if it loses its connection, and a
        TimeoutError.
        """
        ends: list[tuple[object, Exception | None]] = []
        until = self._network.now() + timeout_s
        conversation = self._converse(dialogue, 0, lambda *end: ends.append(end))
        while not ends and self._network.now() < until:
            self.wait(until)
        if not ends:
            self._conversations.discard(conversation)
            conversation.drop()
            raise TimeoutError(f"no answer within {timeout_s:g} s")
        answer, error = ends[0]
        if error is not None:
            raise error
        return answer

    # Connecting.

    def _attempt_failed(self, reason: str, is_last: bool) -> None:
        self._report(AttemptFailed(reason, is_last))

    def _begin_connection(self, session: SessionState) -> None:
        now = self._network.now()
        connection = self._connector.advance(now)
        if connection is None:
            return
        self._connection = connection
        self._connections += 1
        try:
            proof = self._proof = self._settings.proof()
            mechanism = None if proof.sasl is None else _mechanism(*proof.sasl)
        except Exception as error:  # noqa: BLE001 -- a file or a package can fail in many ways
            self._take(session, [IdentityRefused(f"the identity cannot be proven: {error}")])
            return
        identities = [Authenticate("digest", one.encode()) for one in proof.digests]
        deadline = connection.deadline
        session.connection_made(self._connections, now, deadline, identities, mechanism)

    def _begin_trial(self, session: SessionState, welcome: Connected) -> None:
        """Make sure that the server answers, and with nothing older than the connection.

        An empty multi-read comes last: a server that does not know it hangs up, and what it has
        not read by then would take its answer away.
        """
        self._welcome = welcome
        session.send(Sync("/"), _TRIAL, self._network.now())
        if self._tries_multi_read and not self.lacks_multi_read:
            session.send(MultiRead(()), _TRIAL_OF_MULTI_READ, self._network.now())

    def _on_trial(self, session: SessionState, key: Hashable, outcome: object) -> None:
        """Report the connection once the server has answered the last request of the trial."""
        welcome = self._welcome
        if isinstance(outcome, ConnectionEndError) or welcome is None:
            return
        if key == _TRIAL and isinstance(outcome, Exception):
            self._take(session, session.give_up(f"the server does not synchronize: {outcome}"))
            return
        if key == _TRIAL_OF_MULTI_READ and isinstance(outcome, UnimplementedError):
            # It hangs up, which nothing is lost by: the next connection does without.
            self.lacks_multi_read = True
            self._disconnect()
            self._connector.start(self._network.now())
            return
        if key == _TRIAL and self._tries_multi_read and not self.lacks_multi_read:
            return
        self._number = welcome.connection
        self._is_known = True
        self._report(welcome)

    # Exchanging bytes.

    def _exchange(self, session: SessionState, connection: ServerConnection) -> None:
        try:
            self._read(session, connection)
            if self._connection is connection:
                self._take(session, session.tick(self._network.now()))
            if self._connection is connection and self._is_forbidden:
                self._take(session, self._doubt_proof(session))
            if self._connection is connection and self._is_mute(connection):
                self._take(session, session.give_up("the server does not answer a request"))
            if self._connection is connection:
                self._write(session, connection)
        except MemoryError:
            self._trouble = "this host has too little memory for what the server sends"
        except OSError as error:
            self._trouble = error.strerror or str(error)
        if self._trouble and self._connection is connection:
            self._take(session, session.connection_lost(self._trouble))

    def _read(self, session: SessionState, connection: ServerConnection) -> None:
        for _ in range(_MOST_READS):
            content = connection.read()
            if content is None:
                return
            if content:
                events = session.receive(content, self._network.now())
            else:
                events = session.connection_lost("the server closed the connection")
            self._take(session, events)
            if self._connection is not connection or not connection.has_unread:
                return

    def _write(self, session: SessionState, connection: ServerConnection) -> None:
        while session.outgoing:
            count = connection.write(session.outgoing)
            session.written(count, self._network.now())
            if not count:
                return

    def _write_now(self) -> None:
        """Send what is to be sent; a failure is left to `advance`."""
        session, connection = self._session, self._connection
        if session is not None and connection is not None and not self._trouble:
            try:
                self._write(session, connection)
            except OSError as error:
                self._trouble = error.strerror or str(error)

    def _is_mute(self, connection: ServerConnection) -> bool:
        return not self._number and self._network.now() >= connection.deadline

    def _doubt_proof(self, session: SessionState) -> list[ClientEvent]:
        """Connect again if the identity that something was forbidden for has changed meanwhile."""
        self._is_forbidden = False
        try:
            is_same = self._settings.proof() == self._proof
        except Exception:  # noqa: BLE001 -- as for the connection; the present one can be used
            return []
        return [] if is_same else session.give_up("the identity has changed")

    # Events.

    def _take(self, session: SessionState, events: Sequence[ClientEvent]) -> None:
        connection = self._connection
        for event in events:
            if self._connection is not connection or connection is None:
                return
            match event:
                case OutcomeReceived(_Batch(conversation, number), outcome):
                    self._answered(conversation, number, outcome)
                case OutcomeReceived(key, outcome):
                    self._on_trial(session, key, outcome)
                case Connected() if session.is_ready:
                    self._begin_trial(session, event)
                case Fired():
                    self._report(event)
                case Lost() | IdentityRefused():
                    self._on_lost(session, connection, event)
                case Expired():
                    self._on_expired(session, connection, event)
                case CloseConfirmed():
                    self._disconnect()

    def _answered(self, conversation: Conversation, number: int, outcome: object) -> None:
        if isinstance(outcome, UnimplementedError):
            self.lacks_multi_read |= conversation.awaits(number, MultiRead)
        self._is_forbidden |= _forbids(outcome)
        conversation.received(number, outcome)
        if conversation.is_over:
            self._conversations.discard(conversation)

    def _on_lost(
        self, session: SessionState, connection: ServerConnection, event: Lost | IdentityRefused
    ) -> None:
        reason = event.reason
        if isinstance(event, IdentityRefused):
            reason = f"{reason}; {self._settings.identity_hint}"
        was_of_use = self._number != 0
        self._disconnect()
        if was_of_use:
            self._connector.lost(connection, self._network.now())
            self._report(Lost(reason, session.zxid))
        else:
            if not self._is_known:
                # Servers that were wiped would refuse for ever what has seen more than they have.
                session.zxid = 0
            self._connector.refused(connection, reason, self._network.now())

    def _on_expired(
        self, session: SessionState, connection: ServerConnection, event: Expired
    ) -> None:
        self._disconnect()
        self._session = SessionState(self._settings.session_timeout_s)
        self._is_known = False
        if session.session:
            self._connector.start(self._network.now())
            self._report(event)
        else:
            reason = "the server refuses a new session"
            self._connector.refused(connection, reason, self._network.now())

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        conversations, self._conversations = self._conversations, set()
        self._number = 0
        self._welcome = None
        self._trouble = ""
        self._is_forbidden = False
        if connection is not None:
            connection.close()
        for conversation in conversations:
            conversation.drop()

    def _report(self, event: ClientEvent) -> None:
        if not self._is_silent:
            self._listener(event)

    # Dialogues.

    def _converse(
        self,
        dialogue: Dialogue,
        number: int,
        ended: Callable[[Any, Exception | None], None],
    ) -> Conversation:
        session = self._session

        def send(request: Request, key: tuple[Conversation, int]) -> None:
            if session is None or not session.is_ready:
                # Its loss is known already, and is reported right after this.
                raise ConnectionLostError
            session.send(request, _Batch(*key), self._network.now())

        conversation = Conversation(dialogue, send, ended)
        if not self._number or number not in (0, self._number):
            reason = "the connection was lost" if self._number else "there is no connection"
            conversation.fail(ConnectionLostError(reason=reason))
            return conversation
        self._conversations.add(conversation)
        conversation.begin()
        if conversation.is_over:
            self._conversations.discard(conversation)
        self._write_now()
        return conversation


def _mechanism(user: str, password: str) -> SaslMechanism:
    # The extra `sasl` brings it.
    from puresasl.client import SASLClient  # noqa: PLC0415

    mechanism: SaslMechanism = SASLClient(
        "zk-sasl-md5", "zookeeper", "DIGEST-MD5", username=user, password=password
    )
    return mechanism


def _forbids(outcome: object) -> bool:
    if isinstance(outcome, tuple):
        return any(isinstance(one, NoAuthError) for one in outcome)
    return isinstance(outcome, NoAuthError)
