"""The HTTP server: uvicorn, bounded in every direction, and ended quietly by TERM and Ctrl-C.

The rules of this file:

- A connection that sends no request, sends one slowly, or does not read its answer is closed.
- uvicorn writes no log: an address can contain what a person has typed.  A mistake in zkexecctl is
  reported in one line.
- Every answer has the same headers of security, also those that uvicorn makes itself.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import uvicorn
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from zkexec.ctl.exit_status import CANNOT_WORK, SubcommandError
from zkexec.ctl.serving_options import ListenAddress
from zkexec.ctl.web.exporter_site import plain

MOST_CONNECTIONS = 1000
"""If there are more, a request is answered with 503."""
MOST_HEADER_BYTES = 32768
REQUEST_S = 15.0
"""A connection has to send a whole request within this time."""
UNREAD_S = 30.0
"""A connection whose browser has not read its answer for this time is closed."""

_KEEP_ALIVE_S = 30
_BACKLOG = 512
_SHUTDOWN_S = 2
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_SECURITY = (
    ("Content-Security-Policy", _POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    # With no-referrer a browser hides the origin of our own forms.
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)
"""The headers of every answer."""

Answer = Callable[[Request], Awaitable[Response]]


class BoundedProtocol(H11Protocol):
    """A connection that is closed if it does not go on."""

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # As uvicorn has it.
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._expect_within(REQUEST_S)

    def data_received(self, data: bytes) -> None:
        """Take a part of a request; a whole one ends the wait, the first part of one begins it."""
        before: object = self.cycle
        super().data_received(data)
        if self.cycle is not before:
            self._stop_expecting()
        elif self._timer is None and not _is_busy(before):
            self._expect_within(REQUEST_S)

    def pause_writing(self) -> None:
        """Begin to wait for the browser to read."""
        super().pause_writing()
        self._expect_within(UNREAD_S)

    def resume_writing(self) -> None:
        """Go on."""
        super().resume_writing()
        self._stop_expecting()

    def connection_lost(self, exc: Exception | None) -> None:
        """End all waiting."""
        self._stop_expecting()
        super().connection_lost(exc)

    def _expect_within(self, time_s: float) -> None:
        self._stop_expecting()
        self._timer = self.loop.call_later(time_s, self.transport.abort)

    def _stop_expecting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _too_large(scope: Scope) -> Response | None:
    """Return the answer to a request whose head is too large; uvicorn limits only what is read."""
    size = len(scope["raw_path"]) + len(scope["query_string"])
    size += sum(len(name) + len(value) for name, value in scope["headers"])
    if size <= MOST_HEADER_BYTES:
        return None
    return plain(431, f"the head of the request has more than {MOST_HEADER_BYTES} bytes")


def _is_busy(cycle: object) -> bool:
    """Return whether a request is being answered."""
    return isinstance(cycle, RequestResponseCycle) and not cycle.response_complete


class _QuietServer(uvicorn.Server):
    """A server whose signals are handled here."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield


def listening_socket(address: ListenAddress) -> socket.socket:
    """Listen on an address; raise SubcommandError if it cannot be."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        return socket.create_server(
            (address.host, address.port), family=family, backlog=_BACKLOG, dualstack_ipv6=False
        )
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        message = f"--listen: cannot listen on {address.netloc}: {why}"
        raise SubcommandError(message, CANNOT_WORK) from None


async def serve(
    listener: socket.socket,
    answer: Answer,
    report: Callable[[str], None],
    on_start: Callable[[], None],
    on_end: Callable[[], None],
) -> int:
    """Serve until a signal ends this process, and return its number.

    `on_start` is called as soon as a signal ends it in order.  `on_end` is called first then, so
    that answers that last end as well.
    """
    for name in ("uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).disabled = True
    server = _QuietServer(_config(_application(answer, report)))
    ended_by: list[int] = []

    def end(number: int) -> None:
        ended_by.append(number)
        server.should_exit = True
        on_end()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        # What the caller ignores, as `nohup` does, stays ignored.
        if signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, end, number)
    on_start()
    await server.serve([listener])
    return ended_by[0] if ended_by else signal.SIGTERM


def _config(application: Any) -> uvicorn.Config:  # noqa: ANN401 -- as uvicorn has it
    return uvicorn.Config(
        application,
        http=BoundedProtocol,
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        headers=list(_SECURITY),
        limit_concurrency=MOST_CONNECTIONS,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_SHUTDOWN_S,
        h11_max_incomplete_event_size=MOST_HEADER_BYTES,
    )


def _application(
    answer: Answer, report: Callable[[str], None]
) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    """Return the ASGI application of a site."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            request = Request(scope, receive)
            response = _too_large(scope) or await answer(request)
        except ClientDisconnect:
            return
        except Exception as error:  # noqa: BLE001 -- the server goes on, whatever it was
            report(_internal_error(error))
            response = plain(500, "internal error")
        try:
            await response(scope, receive, send)
        except Exception as error:  # noqa: BLE001 -- the answer has begun, so it just ends
            report(_internal_error(error))

    return application


def _internal_error(error: Exception) -> str:
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return f"internal error: {type(error).__name__}: {error}"
