"""One session with the servers: one client of kazoo, and the dialogues that run on it.

A dropped session reports nothing any more: its lock makes sure of that, also for what was about
to be reported while it was dropped.  What was meant for one connection is never sent on the next
one.  If the connection is lost, the dialogues on it fail before the loss is reported.  `stop()` of
kazoo can block for long, so only threads of its own ever call it.
"""

from __future__ import annotations

import threading
from functools import partial

from kazoo.protocol.states import EventType, KazooState, KeeperState

from zkexec.frozen import frozen, replace
from zkexec.zookeeper.client_events import (
    Answered,
    AttemptFailed,
    Connected,
    Expired,
    Failed,
    Fired,
    Lost,
    Stopped,
)
from zkexec.zookeeper.client_settings import ClientSettings
from zkexec.zookeeper.connecting import SHORTAGES, KazooLog, Sockets, shortage_in_words
from zkexec.zookeeper.dialogue import Line
from zkexec.zookeeper.errors import ConnectionLostError
from zkexec.zookeeper.kazoo_client import WatchedKazooClient
from zkexec.zookeeper.kazoo_requests import PendingRequest, to_kazoo
from zkexec.zookeeper.requests import SetWatches

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from kazoo.protocol.states import WatchedEvent

    from zkexec.zookeeper.client_events import ClientEvent
    from zkexec.zookeeper.dialogue import MultiReadSupport
    from zkexec.zookeeper.requests import Dialogue, Request

_LONGEST_HANDSHAKE_S = 3.0


class Session:
    """One client of kazoo, from its start to its end, and the dialogues that have not ended."""

    def __init__(
        self,
        settings: ClientSettings,
        listener: Callable[[ClientEvent], None],
        log: Callable[[str], None] | None,
        multi_read: MultiReadSupport,
        next_connection: Callable[[], int],
    ) -> None:
        """Make the client; nothing runs before `start()`."""
        self._listener = listener
        self._multi_read = multi_read
        self._next_connection = next_connection
        # The listener is called under the lock, and may start a dialogue.
        self._lock = threading.RLock()
        self._dropped = False
        self._closed = False
        self._line: Line | None = None
        self._running: dict[int, Hashable] = {}
        """The keys of the dialogues that have not ended."""
        self._started = 0
        limit_s = min(_LONGEST_HANDSHAKE_S, settings.session_timeout_s / 3)
        self._sockets = Sockets(limit_s, self, settings.tls_context)
        self._log = KazooLog(settings.servers, self._sockets, log)
        self._client = WatchedKazooClient(
            settings.servers,
            self._sockets,
            self._log,
            longest_pause_s=settings.longest_pause_s,
            timeout=settings.session_timeout_s,
            **_options(settings),
        )
        self._client.add_listener(self._state_changed)

    def start(self) -> None:
        """Begin to connect, in kazoo's threads.

        If this host has no thread or descriptor to spare, that is reported as the end of the
        session.
        """
        try:
            self._client.start_async()
        except SHORTAGES as error:
            with self._lock:
                self._closed = True
            self._sockets.dismiss()
            self._client.close()
            reason = f"the client cannot run: {shortage_in_words(error)}"
            self._report(AttemptFailed(f"{self._client.named}: {reason}", is_last=True))
            self._report(Stopped(reason))

    def end(self, timeout_s: float, *, waiting: bool) -> None:
        """Report nothing any more and end the session at the server, if there is a connection.

        After `timeout_s` (without a connection: at once) whatever kazoo waits for is broken off;
        `waiting` waits for the end of a connected session, but no longer than that.
        """
        with self._lock:
            self._dropped = True
            connected = self._line is not None
            self._line = None
            self._running.clear()
        stopping = self._stop_aside(timeout_s if connected else 0.0)
        if stopping is not None and connected and waiting:
            stopping.join(timeout_s)

    def _stop_aside(self, grace_s: float) -> threading.Thread | None:
        """Stop the client in a thread of its own; None if there is no thread to spare for that."""
        hang_up = threading.Timer(grace_s, self._sockets.hang_up)
        hang_up.daemon = True

        def stop() -> None:
            try:
                self._client.stop()
            except Exception as error:  # noqa: BLE001
                # kazoo gives up waiting after a while; its threads are waited for below.
                self._log.last_reason = str(error)
            self._sockets.join()
            self._client.close()
            hang_up.cancel()

        thread = threading.Thread(target=stop, name="zkexec-kazoo-stop", daemon=True)
        try:
            thread.start()
        except SHORTAGES:
            # The client's own threads end it, without a farewell to the server.
            self._client.stop_by_itself()
            self._sockets.hang_up()
            return None
        try:
            hang_up.start()
        except SHORTAGES:
            self._sockets.hang_up()
        return thread

    def run(self, dialogue: Dialogue, key: Hashable, connection: int) -> None:
        """Run a dialogue on the present connection, if that has this number or it is 0."""
        with self._lock:
            line = self._line
            if line is not None and connection in (0, line.number):
                self._started += 1
                number = self._started
                self._running[number] = key
            else:
                dialogue.close()
                reason = "there is no connection" if line is None else "the connection was lost"
                self._report(Failed(key, ConnectionLostError(reason=reason)))
                return
        self._later(partial(line.start, dialogue, partial(self._ended, number, key)))

    def _ended(self, number: int, key: Hashable, answer: object, error: Exception | None) -> None:
        with self._lock:
            if number in self._running:
                del self._running[number]
                if error is None:
                    self._report(Answered(key, answer, self._client.last_zxid))
                else:
                    self._report(Failed(key, error))

    def rearm(self) -> None:
        """Set all watches again, if there is a connection."""
        line = self._line
        if line is not None:
            self._later(partial(self._rearm, line))

    def _rearm(self, line: Line) -> None:
        def ended(is_refused: object, _: Exception | None) -> None:
            if is_refused:
                self._fire_all(line)

        if requests := line.watches.requests():
            line.start(_set_again(requests), ended)

    def _fire_all(self, line: Line) -> None:
        """Report all watches as fired: which of them are set by now is not known."""
        for path, watch in line.watches.clear():
            self._fire(line, watch, path)

    def _fire(self, line: Line, watch: Hashable, path: str) -> None:
        with self._lock:
            if self._line is line:
                self._report(Fired(watch, path))

    def send(self, line: Line, request: Request) -> PendingRequest:
        """Send a request, but only as long as this connection lasts.

        kazoo's own way of sending would keep it for the next connection, and it may wait while
        it wakes the thread that sends, which must not be done under our lock.
        """
        result = self._client.handler.async_result()
        made = to_kazoo(
            request, lambda watch: None if watch is None else _Watcher(self, line, watch)
        )
        with self._lock:
            lasts = self._line is line
            if lasts and isinstance(request, SetWatches) and request.watch is not None:
                znodes = (*request.existing, *request.missing)
                watcher = _Watcher(self, line, request.watch)
                self._client.expect(znodes, request.parents, watcher)
            if lasts:
                self._client.put(made, result)
        if lasts:
            self._client.wake()
        else:
            result.set_exception(ConnectionLostError())
        return PendingRequest(request, result)

    def fired(self, watcher: _Watcher, event: WatchedEvent) -> None:
        """Report that a watch has fired; an event without a path only reports its end."""
        if event.type != EventType.NONE:
            is_child = event.type == EventType.CHILD
            has_children_event = is_child or event.type == EventType.DELETED
            line = watcher.line
            line.watches.fired(event.path, znode=not is_child, children=has_children_event)
            self._fire(line, watcher.watch, event.path)

    def _later(self, do: Callable[[], None]) -> None:
        self._sockets.completion_queue.put(do)

    def _report(self, event: ClientEvent) -> None:
        with self._lock:
            if not self._dropped:
                self._listener(event)

    def _state_changed(self, state: str) -> None:
        if state == KazooState.CONNECTED:
            self._sockets.when_established(self._connected)
        elif self._client.client_state == KeeperState.EXPIRED_SESSION:
            self._sockets.attempt_is_over()
            self._unlink(Expired("the session has expired"))
        elif state == KazooState.SUSPENDED:
            self._unlink(Lost(self._log.last_reason or "the connection was lost"))
            # What was sent since kazoo let go of what was on its way would be sent late.
            self._client.let_go()

    def _connected(self) -> None:
        with self._lock:
            if self._dropped:
                return
            line = self._line = Line(self._next_connection(), self._multi_read, self)
            session = self._client.client_id[0]
            self._report(Connected(line.number, session, self._client.granted_s))

    def _unlink(self, event: Lost | Expired | Stopped) -> None:
        event = replace(event, zxid=self._client.last_zxid)
        with self._lock:
            self._line = None
            running, self._running = self._running, {}
            for key in running.values():
                self._report(Failed(key, ConnectionLostError()))
            self._report(event)

    def connect_failed(self, reason: str, is_last: bool) -> None:
        """Report one attempt that failed, and whether it was the last of its round."""
        self._report(AttemptFailed(reason, is_last))

    def thread_ended(self, reason: str) -> None:
        """Report that the client has given up, which it has when a thread of it is gone."""
        with self._lock:
            first, self._closed = not self._closed, True
        if first:
            reason = reason or self._log.last_reason or "the client has stopped"
            self._unlink(Stopped(reason))


@frozen()
class _Watcher:
    """What kazoo calls for a watch; equal ones are one, so that it is called once."""

    session: Session
    line: Line
    watch: Hashable

    def __call__(self, event: WatchedEvent) -> None:
        self.session.fired(self, event)


def _options(settings: ClientSettings) -> dict[str, object]:
    """Make the options of kazoo's client that prove who we are."""
    options: dict[str, object] = {}
    if settings.digests:
        options["auth_data"] = [("digest", one) for one in settings.digests]
    if settings.sasl is not None:
        user, password = settings.sasl
        options["sasl_options"] = {
            "mechanism": "DIGEST-MD5",
            "username": user,
            "password": password,
        }
    if settings.tls_context is not None:
        options |= {"use_ssl": True, "verify_certs": True, "check_hostname": True}
    return options


def _set_again(requests: list[SetWatches]) -> Dialogue:
    """Send these requests → whether any of them was refused."""
    outcomes = yield requests
    return any(isinstance(outcome, Exception) for outcome in outcomes)
