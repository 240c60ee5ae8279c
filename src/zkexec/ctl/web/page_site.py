"""What `web` serves: the pages, their changes, the login and the actions.

Each request takes the same way: host, origin, login, page.
"""

from collections.abc import Mapping
from urllib.parse import parse_qs, quote

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from zkexec.ctl.arguments import ClusterOptions
from zkexec.ctl.web.action_site import ActionSite
from zkexec.ctl.web.cluster_views import GroupView
from zkexec.ctl.web.exporter_site import (
    HEALTHY,
    METRICS,
    NO_STORE,
    ExporterSite,
    plain,
    refused_reading,
)
from zkexec.ctl.web.live_events import live_events
from zkexec.ctl.web.live_subjects import Subject
from zkexec.ctl.web.login_site import LOGIN, LOGOUT, LoginSite
from zkexec.ctl.web.page_addresses import (
    GROUPS,
    GroupAddress,
    events_url,
    read_group_address,
    url_of,
)
from zkexec.ctl.web.page_answers import FormError, PageAnswers, read_fields, redirect
from zkexec.ctl.web.page_templates import STATIC, PageTemplates
from zkexec.ctl.web.request_guard import PageReader, RequestGuard
from zkexec.ctl.web.view_board import ViewBoard

EVENTS = "/events"

_LONGEST_NAME = 255
_READING = ("GET", "HEAD")
_FOR_EVER = {"Cache-Control": "public, max-age=31536000, immutable"}
_FOR_PROGRAMS = (METRICS, EVENTS)
_EVENT_STREAM = {**NO_STORE, "X-Accel-Buffering": "no"}


class PageSite:
    """Answers all requests."""

    def __init__(
        self,
        guard: RequestGuard,
        board: ViewBoard,
        templates: PageTemplates,
        connection: ClusterOptions,
    ) -> None:
        self._guard = guard
        self._board = board
        self._templates = templates
        self._answers = PageAnswers(templates)
        self._exporter = ExporterSite(guard, board)
        self._login = LoginSite(guard, self._answers)
        self._actions = ActionSite(guard, board, self._answers, connection)

    async def answer(self, request: Request) -> Response:
        """Answer a request."""
        path = request.scope["path"]
        if path == HEALTHY or not self._guard.knows_host(request):
            return await self._exporter.answer(request)
        reader = self._guard.reader(request)
        if request.method == "POST":
            return await self._answer_form(request, reader)
        if request.method not in _READING:
            return self._not_allowed(reader)
        return self._public(request, reader, path) or await self._answer_reading(
            request, reader, path
        )

    def _public(self, request: Request, reader: PageReader, path: str) -> Response | None:
        """Return what everybody may read, or a refusal; None if the reader may read on."""
        if path.startswith(STATIC):
            return self._static_file(path)
        if path == LOGIN and reader.has_login:
            return self._login.form(request, reader, _parameter(request, "next"))
        return None if reader.can_read else self._ask_for_login(request, path)

    async def _answer_reading(self, request: Request, reader: PageReader, path: str) -> Response:
        if path == "/":
            return await self._overview(reader)
        if path == METRICS:
            return await self._exporter.answer_metrics(request)
        if path == EVENTS:
            return await self._events(request)
        if path.startswith(GROUPS):
            return await self._answer_group(request, reader)
        return self._answers.message(reader, 404, "There is no such page.")

    async def _answer_group(self, request: Request, reader: PageReader) -> Response:
        address = read_group_address(request.scope["raw_path"])
        if address is None:
            return self._answers.message(reader, 404, "There is no such group.")
        if not address.is_canonical:
            query = request.url.query
            return redirect(url_of(address) + (f"?{query}" if query else ""))
        if address.action:
            return await self._answer_action(request, reader, address)
        view = await self._board.view(address.name)
        if not isinstance(view, GroupView) or (view.status and not view.status.exists):
            return self._no_group(reader, address)
        if address.is_json:
            headers = {**NO_STORE, "Content-Type": "application/json"}
            return Response(view.json, 503 if view.status is None else 200, headers)
        return self._answers.page(
            "group.html",
            reader,
            503 if view.status is None else 200,
            view=view,
            fragments=view.fragments,
            events=events_url(address.name, view.fingerprint),
            find=_parameter(request, "find")[:_LONGEST_NAME],
            notice=self._guard.sessions.take_notice(reader.session),
        )

    def _no_group(self, reader: PageReader, address: GroupAddress) -> Response:
        text = f"There is no group {address.name} in this cluster."
        if address.is_json:
            return plain(404, text.encode("utf-8", "backslashreplace").decode())
        return self._answers.message(reader, 404, text)

    async def _answer_action(
        self, request: Request, reader: PageReader, address: GroupAddress
    ) -> Response:
        if not self._guard.options.has_actions:
            text = "Nothing can be changed here: the server was started without --actions."
            return self._answers.message(reader, 404, text)
        if reader.session is None:
            return self._ask_for_login(request, "")
        given = {"member": _parameter(request, "member")}
        return await self._actions.show(reader, address.name, address.action, given)

    async def _overview(self, reader: PageReader) -> Response:
        view = await self._board.view(None)
        return self._answers.page(
            "overview.html",
            reader,
            view=view,
            fragments=view.fragments,
            events=events_url(None, view.fingerprint),
        )

    async def _events(self, request: Request) -> Response:
        names = parse_qs(request.url.query).get("group", [])
        subject: Subject = names[0] if names else None
        if subject is not None:
            view = await self._board.view(subject)
            if isinstance(view, GroupView) and view.status and not view.status.exists:
                return plain(404, "there is no such group")
        if self._board.is_full(subject):
            return plain(503, "too many different pages are open", Retry_After="60")
        if request.method == "HEAD":
            return Response(None, 200, _EVENT_STREAM, "text/event-stream")
        shown = request.headers.get("last-event-id") or _parameter(request, "shown")
        events = live_events(
            self._board, subject, shown, lambda: self._guard.reader(request).can_read
        )
        return StreamingResponse(events, 200, _EVENT_STREAM, "text/event-stream")

    async def _answer_form(self, request: Request, reader: PageReader) -> Response:
        """Answer a request that changes something."""
        path, has_actions = request.scope["path"], self._guard.options.has_actions
        address = read_group_address(request.scope["raw_path"]) if has_actions else None
        is_action = path.startswith(GROUPS) and address is not None and bool(address.action)
        if not (is_action or (reader.has_login and path in (LOGIN, LOGOUT))):
            return self._not_allowed(reader)
        if not self._guard.is_own_origin(request):
            return self._answers.message(reader, 403, "The form is not one of this server.")
        try:
            fields = await read_fields(request)
        except FormError as error:
            return self._answers.message(reader, 400, str(error))
        if is_action and address is not None:
            return await self._actions.act(reader, address.name, address.action, fields)
        return self._answer_login(request, reader, fields)

    def _answer_login(
        self, request: Request, reader: PageReader, fields: Mapping[str, str]
    ) -> Response:
        if request.scope["path"] == LOGOUT:
            return self._login.log_out(request, reader, fields)
        return self._login.log_in(request, reader, fields)

    def _ask_for_login(self, request: Request, path: str) -> Response:
        if path in _FOR_PROGRAMS or path.endswith(".json"):
            return refused_reading(self._guard, request)
        query = request.url.query
        here = request.scope["raw_path"].decode("ascii", "replace") + (f"?{query}" if query else "")
        return redirect(f"{LOGIN}?next={quote(here, safe='/')}")

    def _not_allowed(self, reader: PageReader) -> Response:
        answer = self._answers.message(reader, 405, "Nothing can be changed here.")
        answer.headers["Allow"] = ", ".join(_READING)
        return answer

    def _static_file(self, path: str) -> Response:
        file = self._templates.static_files.get(path)
        if file is None:
            return plain(404, "there is no such file")
        return Response(file.content, 200, {**_FOR_EVER, "Content-Type": file.media_type})


def _parameter(request: Request, name: str) -> str:
    """Return a parameter of the address, "" if it is not there."""
    return request.query_params.get(name, "")
