"""How one kazoo client gets its connection, and what is reported of each attempt.

- Connecting (that of TLS included) and the handshake each get the same short time, whatever
  number of hosts there is: kazoo alone would wait for the whole session timeout, and one mute
  host among good ones would cost as much.
- TLS is done here and not by kazoo, which would trust every CA of the system besides those that
  are wanted, let OpenSSL ask the terminal for a passphrase, and sleep over what is decrypted.
- Every failed attempt is reported once, in words for a person.  kazoo itself only logs, and keeps
  the causes of two failures to its log alone: a name that cannot be resolved, and a server
  that hangs up during the handshake.  These two are read from the log.
- Watches are called on the thread that reads the socket, so that a watch that fired before an
  answer was received is known before that answer is read.
- Nothing of kazoo's log reaches stderr by itself, and nothing below INFO is ever read:
  its debug lines hold the contents of znodes.
- Whatever is called from here runs on kazoo's threads.
"""

from __future__ import annotations

import select
import socket
import threading
import time
from contextlib import suppress

from kazoo.handlers.threading import _STOP as STOP
from kazoo.handlers.threading import SequentialThreadingHandler

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from ssl import SSLContext
    from typing import Any, Protocol

    from kazoo.protocol.states import Callback

    Socket = Any
    """A socket, maybe one with TLS."""

    class Listener(Protocol):
        """Receives the attempts to connect, and the ends of threads."""

        def connect_failed(self, reason: str, is_last: bool) -> None:
            """One attempt failed; `is_last` if no server is left to be tried in this round."""

        def thread_ended(self, reason: str) -> None:
            """A thread of the client has ended, by itself or because it was stopped."""


SHORTAGES = (OSError, MemoryError, RuntimeError)
"""What is raised if a thread, a pipe or a socket cannot be made: Python raises RuntimeError for the
first."""


class Sockets(SequentialThreadingHandler):  # type: ignore[misc]
    """The sockets and threads of one kazoo client."""

    def __init__(
        self, limit_s: float, listener: Listener, tls_context: Callable[[], SSLContext] | None
    ) -> None:
        """Give each connect and each handshake `limit_s`; speak TLS if there is a context."""
        super().__init__()
        self._tls_context = tls_context
        self._limit_s = limit_s
        self._listener = listener
        self._attempt = ""
        self._untried = 0
        self._unresolved: list[str] = []
        self._socket: socket.socket | None = None
        self._established: Callable[[], None] | None = None
        self._threads: list[threading.Thread] = []

    def create_connection(self, address: tuple[str, int], **options: object) -> object:
        """Connect, but not for longer than the limit; the handshake begins with this."""
        host, port = str(_readable(options["hostname"])), address[1]
        self._attempt = f"{host}:{port}"
        self._untried -= 1
        self._socket = None
        self._established = None
        deadline = time.monotonic() + self._limit_s
        try:
            # As bytes, it is not looked up as a name of which any letter of this world may be part.
            numeric = (address[0].encode(), port)
            self._socket = super().create_connection(numeric, timeout=self._limit_s)
            if self._tls_context is not None:
                self._socket = self._secured(self._socket, host, self._tls_context, deadline)
        except OSError as error:
            self.attempt_failed(self._in_words(error))
            raise
        return self._socket

    def _secured(
        self,
        connection: socket.socket,
        host: str,
        new_context: Callable[[], SSLContext],
        deadline: float,
    ) -> socket.socket:
        from zkexec.zookeeper import tls  # noqa: PLC0415 - It is heavy, and few clusters speak TLS.

        def seen(secure: socket.socket) -> None:
            self._socket = secure

        return tls.wrap(connection, new_context, host, deadline, seen)

    def select(
        self,
        readers: Sequence[Socket],
        writers: Sequence[Socket],
        _: Sequence[Socket],
        timeout: float | None,
    ) -> tuple[Sequence[Socket], Sequence[Socket], Sequence[Socket]]:
        """Wait for a socket; during the handshake not for longer than the limit."""
        if len(readers) > 1:
            self._establish()
        # With TLS, something may be decrypted already, which no poll of the socket shows.
        buffered = [one for one in readers if hasattr(one, "pending") and one.pending()]
        if buffered:
            # Whether more has come is only asked.
            timeout = 0.0
        elif self._attempt:
            timeout = self._limit_s
        # kazoo would make, fill and close an epoll each time.
        poll = select.poll()
        for one in writers:
            poll.register(one, select.POLLOUT)
        for one in readers:
            poll.register(one, select.POLLIN)
        found = {number for number, _ in poll.poll(None if timeout is None else timeout * 1000)}
        if self._attempt and not found and not buffered:
            self.attempt_failed(f"no answer within {self._limit_s:.2g} s")
        readable = [one for one in readers if one in buffered or one.fileno() in found]
        return readable, [one for one in writers if one.fileno() in found], ()

    def dispatch_callback(self, callback: Callback) -> None:
        """Call a watch at once, in the order of the wire; ours only leave a note."""
        callback.func(*callback.args)

    def when_established(self, do: Callable[[], None]) -> None:
        """Do something once the connection can be used.

        kazoo calls it connected before it has proven who we are.  Only then does it wait for
        requests of ours as well, by which it is known to be done.
        """
        self._established = do

    def _establish(self) -> None:
        do, self._established = self._established, None
        if do is not None:
            self.attempt_is_over()
            do()

    def cannot_resolve(self, failure: str) -> None:
        """Keep the failure to find the address of a name, until the round begins."""
        self._unresolved.append(failure)

    def round_begins(self, addresses: int) -> None:
        """Expect that many attempts, one after the other, until one of them succeeds."""
        self._untried = addresses
        unresolved, self._unresolved = self._unresolved, []
        for number, failure in enumerate(unresolved, start=1):
            self._listener.connect_failed(failure, not addresses and number == len(unresolved))

    def attempt_is_over(self) -> None:
        """The server has answered: from now on a failure is that of a connection."""
        self._attempt = ""

    def attempt_failed(self, reason: str) -> str:
        """Report the failure of the present attempt, once; return "" if there is none."""
        attempt, self._attempt = self._attempt, ""
        if not attempt:
            return ""
        failure = f"{attempt}: {reason}"
        self._listener.connect_failed(failure, self._untried == 0)
        return failure

    def _in_words(self, error: OSError) -> str:
        if isinstance(error, TimeoutError) or not error.strerror:
            return f"no answer within {self._limit_s:.2g} s"
        return error.strerror

    def spawn(
        self, func: Callable[..., object], *args: object, **options: object
    ) -> threading.Thread:
        """Start a daemon thread whose end is reported, and whose crash prints nothing."""

        def run() -> None:
            reason = ""
            try:
                func(*args, **options)
            except Exception as error:  # noqa: BLE001 - It is reported; no caller could handle it.
                reason = f"{type(error).__name__}: {error}"
            self._listener.thread_ended(reason)

        thread = threading.Thread(target=run, name="zkexec-kazoo", daemon=True)
        thread.start()
        self._threads.append(thread)
        return thread

    def leave(self) -> None:
        """Let the threads that carry out what is queued end after that, waiting for nothing."""
        for queue in (self.completion_queue, self.callback_queue):
            queue.put(STOP)

    def dismiss(self) -> None:
        """End the threads of a client that could not be started as a whole."""
        self.leave()
        self.join()
        self.stop()

    def hang_up(self) -> None:
        """Break the connection under kazoo, which wakes it wherever it waits for an answer."""
        connection = self._socket
        if connection is not None:
            # Where it is closed already, that is as good.  The method of a socket with TLS would
            # end the encryption first, and kazoo's thread might still be writing.
            with suppress(OSError):
                socket.socket.shutdown(connection, socket.SHUT_RDWR)

    def join(self) -> None:
        """Wait until every thread of the client has ended."""
        for thread in self._threads:
            thread.join()


class KazooLog:
    """Takes kazoo's log lines: remembers why a connection ended, reports what kazoo only logs.

    It has the methods of a logger, but is none: the module `logging` is heavy.
    """

    def __init__(
        self,
        servers: tuple[tuple[str, int], ...],
        sockets: Sockets,
        verbose: Callable[[str], None] | None,
    ) -> None:
        """Name unresolved hosts as in `servers`; hand every line to `verbose` where given."""
        self.last_reason = ""
        self._servers = servers
        self._sockets = sockets
        self._verbose = verbose

    def debug(self, *_: object) -> None:
        """Read no line with the contents of znodes."""

    log = debug  # kazoo logs only the least important things by this.

    def info(self, line: str, *arguments: object, **_: object) -> None:
        """Read one line."""
        if line.startswith("Exception raised during deserialization"):
            # The request that is named there may hold the password of the session.
            arguments = ("(not shown)",)
        if self._verbose is not None:
            self._verbose(line % tuple(map(_readable, arguments)))
        if line == "Cannot resolve %s: %s" and len(arguments) == 2:
            self._cannot_resolve(str(_readable(arguments[0])), arguments[1])
        elif line in _ENDS and arguments:
            self._connection_ended(str(arguments[0]))

    warn = warning = error = critical = info

    def exception(self, line: str, *arguments: object) -> None:
        """Read one line, and what was raised."""
        self.info(line, *arguments)
        if self._verbose is not None:
            import traceback  # noqa: PLC0415 - It is heavy, and needed for a mistake only.

            self._verbose(traceback.format_exc().rstrip())

    def _cannot_resolve(self, host: str, error: object) -> None:
        why = getattr(error, "strerror", None) or error
        for name, port in self._servers:
            if name == host:
                self._sockets.cannot_resolve(f"{name}:{port}: cannot be resolved ({why})")

    def _connection_ended(self, reason: str) -> None:
        reason = reason.removeprefix("socket connection error: ")
        reason = _IN_OTHER_WORDS.get(reason, reason)
        if reason.startswith("[SSL"):
            from zkexec.zookeeper import tls  # noqa: PLC0415 - As above.

            reason = tls.in_words(reason)
        self.last_reason = self._sockets.attempt_failed(reason) or reason


def shortage_in_words(error: Exception) -> str:
    """Why there was no thread or descriptor, for a person."""
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    # Python does not report why; it is EAGAIN whatever has run out.
    return "no process or thread to spare" if "start new thread" in reason else reason


def _readable(thing: object) -> object:
    """The name of a host, which kazoo has as bytes, see `Client.set_hosts`; all else as it is."""
    return thing.decode() if isinstance(thing, bytes) else thing


_ENDS = {"Connection dropped: %s", "Connection time-out: %s", "AUTH_FAILED closing: %s"}

_REFUSED = "the server refuses the identity given by --auth"

_IN_OTHER_WORDS = {
    "socket connection broken": "the server closed the connection",
    "outstanding heartbeat ping not received": "the server does not answer",
    "socket time-out during read": "the server does not answer",
    "socket time-out during write": "the server takes nothing",
    "invalid server response": "this does not answer like ZooKeeper",
    "": _REFUSED,
    "Connection dropped in SASL": _REFUSED,
}
