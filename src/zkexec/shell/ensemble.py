"""The ensemble as the core sees it: one session at a time, its watches, and reads of all znodes.

The rules of this file:

- Nothing is ever written to the ensemble.
- Everything that happens is posted as an event of the core, from kazoo's threads (a refused
  read from the caller's own); `post` must not block, not raise and not call back.
- Each client of kazoo lives in a `Session`.  A dropped session posts nothing any more: its lock
  makes sure of that, also for what was about to be posted while it was dropped.
- Watches are hints: a ZnodeTouched calls for a read that is asked for after it.  A read that
  was on its way by then may or may not have seen the change.
- kazoo's recipes are not used, and neither is its chroot, which its own requests do not know.
- `stop()` of kazoo can block for long, so only threads of its own ever call it.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from kazoo.client import KazooClient
from kazoo.protocol.states import KazooState, KeeperState

from zkexec.core.events import (
    ConnectFailed,
    Event,
    ReadFailed,
    SessionClosed,
    SessionConnected,
    SessionLost,
    SessionSuspended,
    ZnodesRead,
    ZnodeTouched,
)
from zkexec.core.snapshot import Znode
from zkexec.shell.connecting import Log, Sockets
from zkexec.shell.reading import Link, Manner, Reading

_RETRY = {"max_tries": -1, "delay": 0.1, "backoff": 2, "max_delay": 1.0, "max_jitter": 0.4}
_LONGEST_HANDSHAKE_S = 3.0
_FAREWELL_S = 1.0


class Ensemble:
    """The servers, and what is wanted of them; at most one session is alive at a time."""

    def __init__(
        self,
        *,
        servers: Sequence[tuple[str, int]],
        chroot: str,
        session_timeout_s: float,
        paths: Sequence[str],
        post: Callable[[Event], None],
    ) -> None:
        """Connect to nothing yet.

        `paths` are absolute, below `chroot` ("" or "/" for none).  ValueError where a path has
        no UTF-8 form.
        """
        self.verbose: Callable[[str], None] | None = None
        """Takes kazoo's log lines, from its threads; set it before `open()`."""
        self.session_timeout_s = session_timeout_s
        self.servers = tuple(servers)
        prefix = chroot.rstrip("/")
        self.names = {prefix + path.rstrip("/") or "/": path for path in paths}
        for path in self.names:
            path.encode()
        self.post = post
        self.manner = Manner()
        self._session: Session | None = None

    def open(self) -> None:
        """Begin to connect with a new client; an earlier one is dropped and told no more of."""
        if self._session is not None:
            self._session.end(_FAREWELL_S, waiting=False)
        self._session = Session(self)
        self._session.start()

    def read(self, number: int) -> None:
        """Arm the missing watches and read all znodes → ZnodesRead or ReadFailed, just one.

        Nothing is answered after another `open()` or `close()`.  Returns at once.
        """
        if self._session is None:
            self.post(ReadFailed(number, "there is no session"))
        else:
            self._session.read(number)

    def close(self, timeout_s: float) -> None:
        """End the session, waiting for that at most `timeout_s`, and not at all if unconnected.

        Nothing is posted any more.  Never raises.
        """
        session, self._session = self._session, None
        if session is not None:
            session.end(timeout_s, waiting=True)


class Session:
    """One client of kazoo, from its start to its end, and the reads that it owes an answer."""

    def __init__(self, ensemble: Ensemble) -> None:
        """Make the client; nothing runs before `start()`."""
        self._ensemble = ensemble
        self._lock = threading.Lock()
        self._dropped = False
        self._closed = False
        self._link: Link | None = None
        self._owed: set[int] = set()
        limit_s = min(_LONGEST_HANDSHAKE_S, ensemble.session_timeout_s / 3)
        self._sockets = Sockets(limit_s, self)
        self._log = Log(ensemble.servers, self._sockets, ensemble.verbose)
        self._client = KazooClient(
            hosts=",".join(_host_port(host, port) for host, port in ensemble.servers),
            timeout=ensemble.session_timeout_s,
            handler=self._sockets,
            connection_retry=dict(_RETRY),
            command_retry={"max_tries": 0},
            logger=self._log.logger(self),
        )
        self._client.add_listener(self._state_changed)

    def start(self) -> None:
        """Begin to connect, in kazoo's threads."""
        self._client.start_async()

    def end(self, timeout_s: float, *, waiting: bool) -> None:
        """Post nothing any more and end the session at the server, if there is a connection.

        After `timeout_s` (without a connection: at once) whatever kazoo waits for is broken off;
        `waiting` waits for the end of a connected session, but no longer than that.
        """
        with self._lock:
            self._dropped = True
            connected = self._link is not None
            self._link = None
            self._owed.clear()
        stopping = self._stop_aside(timeout_s if connected else 0.0)
        if connected and waiting:
            stopping.join(timeout_s)

    def _stop_aside(self, grace_s: float) -> threading.Thread:
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
        thread.start()
        hang_up.start()
        return thread

    def read(self, number: int) -> None:
        """Ask for a read, or refuse it where there is no connection."""
        with self._lock:
            link = self._link
            if link is not None:
                self._owed.add(number)
            elif not self._dropped:
                self._ensemble.post(ReadFailed(number, "there is no connection"))
        if link is not None:
            answer = partial(self._answer, number)
            reading = Reading(self._client, link, self._ensemble.names, answer)
            self._sockets.completion_queue.put(reading.begin)

    def _answer(self, number: int, result: Mapping[str, Znode] | str) -> None:
        with self._lock:
            if number in self._owed:
                self._owed.remove(number)
                if isinstance(result, str):
                    self._ensemble.post(ReadFailed(number, result))
                else:
                    self._ensemble.post(ZnodesRead(number, result))

    def _touched(self, path: str) -> None:
        self._post(ZnodeTouched(self._ensemble.names[path]))

    def _post(self, event: Event) -> None:
        with self._lock:
            if not self._dropped:
                self._ensemble.post(event)

    def _state_changed(self, state: str) -> None:
        if state == KazooState.CONNECTED:
            self._sockets.attempt_is_over()
            with self._lock:
                if not self._dropped:
                    self._link = Link(self._ensemble.manner, self._touched)
                    self._ensemble.post(SessionConnected())
        elif self._client.client_state == KeeperState.EXPIRED_SESSION:
            self._sockets.attempt_is_over()
            self._unlink(SessionLost("the session has expired"))
        elif state == KazooState.SUSPENDED:
            self._unlink(SessionSuspended(self._log.last_reason or "the connection was lost"))

    def _unlink(self, event: Event) -> None:
        with self._lock:
            self._link = None
            owed, self._owed = self._owed, set()
            if not self._dropped:
                for number in sorted(owed):
                    self._ensemble.post(ReadFailed(number, "the connection was lost"))
                self._ensemble.post(event)

    def connect_failed(self, reason: str) -> None:
        """Tell of one attempt that failed."""
        self._post(ConnectFailed(reason))

    def thread_ended(self, reason: str) -> None:
        """Tell that the client has given up, which it has when a thread of it is gone."""
        with self._lock:
            first, self._closed = not self._closed, True
        if first:
            reason = reason or self._log.last_reason or "the client has stopped"
            self._unlink(SessionClosed(reason))


def _host_port(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
