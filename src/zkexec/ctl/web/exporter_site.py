"""What `exporter` serves, and `web` as well: /metrics and /-/healthy.

The groups are read when they are scraped, and at most once a second, however many scrape.
"""

import asyncio
import time

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from zkexec.ctl.cluster_connection import ClusterConnection
from zkexec.ctl.exit_status import SubcommandError
from zkexec.ctl.status.group_reader import GroupReader
from zkexec.ctl.status.group_status import GroupStatus
from zkexec.ctl.web.cluster_thread import BusyError
from zkexec.ctl.web.group_metrics import GroupMetrics
from zkexec.ctl.web.request_guard import RequestGuard
from zkexec.ctl.web.view_board import ViewBoard

METRICS, HEALTHY = "/metrics", "/-/healthy"

_FRESH_S = 1.0
_SCRAPE_S = 9.0
"""How long the groups are read for a scrape, for which Prometheus waits ten seconds."""
_READING = ("GET", "HEAD")
NO_STORE = {"Cache-Control": "no-store"}


class ExporterSite:
    """Answers requests for metrics."""

    def __init__(self, guard: RequestGuard, board: ViewBoard) -> None:
        self._guard = guard
        self._board = board
        self._read_at = -_FRESH_S
        self._metrics = GroupMetrics(None, has_members=guard.options.has_members)
        self._reading = asyncio.Lock()

    async def answer(self, request: Request) -> Response:
        """Answer a request."""
        if not self._guard.knows_host(request):
            return plain(421, "this server does not answer under this name: see --host")
        if request.method not in _READING:
            return plain(405, "only GET is answered", Allow=", ".join(_READING))
        path = request.scope["path"]
        if path == HEALTHY:
            return plain(200, "healthy")
        if not self._guard.reader(request).can_read:
            return refused_reading(self._guard, request)
        if path == METRICS:
            return await self.answer_metrics(request)
        return plain(404, f"there is only {METRICS} and {HEALTHY}")

    async def answer_metrics(self, request: Request) -> Response:
        """Answer a request for the metrics by a program that may read."""
        metrics = await self._read()
        if isinstance(metrics, str):
            return plain(503, f"the groups could not be read: {metrics}")
        accept = request.headers.get("accept", "")
        content, media_type = await asyncio.to_thread(metrics.encoded, accept)
        return Response(content, headers={**NO_STORE, "Content-Type": media_type})

    async def _read(self) -> GroupMetrics | str:
        """Read the groups, if it was not done right now; why they cannot be read, if they cannot.

        While the cluster is away, the metrics show that.
        """
        has_members = self._guard.options.has_members
        async with self._reading:
            if time.monotonic() - self._read_at < _FRESH_S:
                return self._metrics
            groups: tuple[GroupStatus, ...] | None = None
            if self._board.can_read:
                try:
                    groups = await self._board.run(_read_groups)
                except BusyError:
                    return "too many requests wait for the cluster"
                except SubcommandError as error:
                    if self._board.can_read:
                        self._board.report_failure(str(error))
                        return str(error)
            self._metrics = GroupMetrics(groups, has_members=has_members)
            self._read_at = time.monotonic()
            return self._metrics


def _read_groups(cluster: ClusterConnection) -> tuple[GroupStatus, ...]:
    return GroupReader(cluster, live=False).read(_SCRAPE_S)


def plain(status: int, text: str, **headers: str) -> Response:
    """Return an answer of one line."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return PlainTextResponse(f"{text}\n", status, {**NO_STORE, **named})


def refused_reading(guard: RequestGuard, request: Request) -> Response:
    """Return the answer to a program that may not read."""
    if wait_s := guard.failures.wait_s(guard.address(request)):
        return plain(429, "too many failed logins", Retry_After=str(int(wait_s) + 1))
    return plain(401, "the token is missing or wrong", WWW_Authenticate="Bearer")
