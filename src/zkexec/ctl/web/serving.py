"""Start the server of a subcommand, and end as the signal that ended it demands.

The file is short because `web` and `exporter` share it.
"""

import asyncio
import signal
import socket
from collections.abc import Callable
from typing import Protocol

from starlette.requests import Request
from starlette.responses import Response

from zkexec.ctl.arguments import Invocation
from zkexec.ctl.exit_status import DONE
from zkexec.ctl.serving_options import ListenAddress, ServingOptions
from zkexec.ctl.terminal.console import Console
from zkexec.ctl.web.cluster_thread import MakeFragments
from zkexec.ctl.web.exporter_site import METRICS
from zkexec.ctl.web.http_server import listening_socket, serve
from zkexec.ctl.web.request_guard import RequestGuard
from zkexec.ctl.web.view_board import ViewBoard
from zkexec.frozen import replace


class Site(Protocol):
    """What answers requests."""

    async def answer(self, request: Request) -> Response:
        """Answer a request."""


NewSite = Callable[[RequestGuard, ViewBoard], Site]
"""Makes the site, with the guard of its requests and the views of the cluster."""


def run_server(
    invocation: Invocation,
    options: ServingOptions,
    console: Console,
    make_fragments: MakeFragments,
    new_site: NewSite,
) -> int:
    """Serve until a signal ends this process; return the exit status."""
    with listening_socket(options.listen) as listener:
        port: int = listener.getsockname()[1]
        listen = ListenAddress(options.listen.host, port)
        guard = RequestGuard(replace(options, listen=listen))
        number = asyncio.run(
            _serve(invocation, guard, (listener, console), make_fragments, new_site)
        )
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    return DONE


async def _serve(
    invocation: Invocation,
    guard: RequestGuard,
    ends: tuple[socket.socket, Console],
    make_fragments: MakeFragments,
    new_site: NewSite,
) -> int:
    listener, console = ends
    board = ViewBoard(invocation.connection, console.report, make_fragments)
    site = new_site(guard, board)

    def announce() -> None:
        console.out(_announcement(invocation, guard.options))

    board.start()
    try:
        return await serve(listener, site.answer, console.report, announce, board.close)
    finally:
        await board.stop()


def _announcement(invocation: Invocation, options: ServingOptions) -> str:
    path = METRICS if invocation.subcommand == "exporter" else ""
    reading = "a token is required" if options.is_reading_guarded else "read-only"
    if options.has_actions:
        reading = f"{'everything' if options.is_reading_guarded else 'actions'} with the token"
    address = f"http://{options.listen.netloc}{path}"
    return f"serving {address} for {invocation.connection.hosts_text} ({reading}); Ctrl-C ends it"
