"""Answers to browsers, and what they send in a form.

The file is short because the login, the actions and the pages share it.
"""

import asyncio
from http import HTTPStatus
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from zkexec.ctl.web.exporter_site import NO_STORE
from zkexec.ctl.web.page_templates import PageTemplates
from zkexec.ctl.web.request_guard import PageReader

MOST_FORM_BYTES = 16384
FORM_S = 10.0
"""How long a browser may take to send a form."""

_FORM_TYPE = "application/x-www-form-urlencoded"
_MOST_FIELDS = 20


class FormError(Exception):
    """Why a form cannot be read."""


class PageAnswers:
    """Makes answers of templates."""

    def __init__(self, templates: PageTemplates) -> None:
        self._templates = templates

    def page(
        self, template: str, reader: PageReader, status: int = 200, **context: object
    ) -> Response:
        """Return a page."""
        html = self._templates.render(template, reader=reader, **context)
        return HTMLResponse(html, status, NO_STORE)

    def message(
        self,
        reader: PageReader,
        status: int,
        text: str,
        link: tuple[str, str] = ("/", "All groups"),
    ) -> Response:
        """Return a page with a title for the status, one sentence, and a link."""
        title = HTTPStatus(status).phrase
        address, link_text = link
        return self.page(
            "message.html",
            reader,
            status,
            title=title,
            text=text,
            link=address,
            link_text=link_text,
        )


def redirect(address: str) -> Response:
    """Return an answer that leads to another page of this server."""
    return RedirectResponse(address, HTTPStatus.SEE_OTHER, NO_STORE)


async def read_fields(request: Request) -> dict[str, str]:
    """Read a form; raise FormError if it is none, too large, or too slow."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM_TYPE:
        raise FormError(f"the form is not {_FORM_TYPE}")
    body = bytearray()
    try:
        async with asyncio.timeout(FORM_S):
            async for part in request.stream():
                body += part
                if len(body) > MOST_FORM_BYTES:
                    raise FormError(f"the form has more than {MOST_FORM_BYTES} bytes")
    except TimeoutError:
        raise FormError(f"the form has not come within {FORM_S:g} s") from None
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=_MOST_FIELDS,
        )
    except ValueError:
        raise FormError("the form cannot be understood") from None
    return dict(pairs)
