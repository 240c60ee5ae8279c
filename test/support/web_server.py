"""`zkexecctl web` or `exporter` as a process of a test, and requests to it as a browser sends them.

A browser keeps its cookies and sends its origin with a form.  Redirections are not followed: a test
looks at each answer.
"""

import http.client
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from support.program import Program, Word
from support.waiting import DEADLINE_S, until
from support.zkexecctl import ZKEXECCTL

TOKEN = "0123456789abcdef0123456789abcdef"  # noqa: S105 -- that of the tests


@dataclass(frozen=True)
class Answer:
    """An answer of the server."""

    status: int
    headers: http.client.HTTPMessage
    content: bytes

    @property
    def text(self) -> str:
        """The content as text."""
        return self.content.decode()

    @property
    def json(self) -> Any:
        """The content as JSON."""
        return json.loads(self.content)

    def field(self, name: str) -> str:
        """The value of a field of a form in the page."""
        fields = _FieldValues(self.text).found
        assert name in fields, (name, self.text)
        return fields[name]


class _FieldValues(HTMLParser):
    """The values of the fields of all forms in a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: dict[str, str] = {}
        self._area = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take the value of an input, or begin that of a text area."""
        given = dict(attrs)
        name = given.get("name") or ""
        if tag == "input" and name:
            self.found[name] = given.get("value") or ""
        self._area = name if tag == "textarea" else ""

    def handle_data(self, data: str) -> None:
        """Take the text of a text area."""
        if self._area:
            self.found[self._area] = data


class EventStream:
    """The changes that a browser gets."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self._response = response
        self.fingerprint = ""

    def next(self) -> tuple[str, Any]:
        """Wait for the next event: its name, and its data if it has some."""
        fields: dict[str, str] = {}
        give_up_at = time.monotonic() + DEADLINE_S
        while self._line(fields) or "event" not in fields:
            assert time.monotonic() < give_up_at, "there is no event"
        self.fingerprint = fields.get("id", self.fingerprint)
        return fields["event"], json.loads(fields["data"]) if fields["data"] else None

    def until(self, text: str) -> dict[str, str]:
        """Wait until a fragment contains this text, and return what came with it."""
        while True:
            _, fragments = self.next()
            if any(text in html for html in fragments.values() if html):
                found: dict[str, str] = fragments
                return found

    def is_over(self) -> bool:
        """Read to the end, which has to come."""
        while self._response.readline():
            pass
        return True

    def _line(self, fields: dict[str, str]) -> bool:
        """Read one line; return False if it ends an event."""
        line = self._response.readline().decode()
        assert line, "the stream has ended"
        name, colon, value = line.rstrip("\n").partition(": ")
        if colon and name:
            fields[name] = value
        return line != "\n"


@dataclass
class Browser:
    """What sends requests: its cookies, and headers that it always sends."""

    port: int
    headers: dict[str, str] = field(default_factory=dict)
    cookies: dict[str, str] = field(default_factory=dict)

    @property
    def origin(self) -> str:
        """The origin of the server's own pages."""
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str, **headers: str) -> Answer:
        """Read a page."""
        return self.request("GET", path, None, headers)

    def post(self, path: str, fields: dict[str, str], **headers: str) -> Answer:
        """Send a form, by default from a page of the server."""
        form = {"Content-Type": "application/x-www-form-urlencoded", "Origin": self.origin}
        sent = {**form, **self.headers, **headers}
        return self.request("POST", path, urlencode(fields), sent)

    def log_in(self, token: str = TOKEN) -> Answer:
        """Log in."""
        return self.post("/login", {"token": token, "next": "/"})

    def act(self, name: str, action: str, **fields: str) -> Answer:
        """Open the form of an action, and send it."""
        page = f"/groups/{name}/{action}"
        form = self.get(page)
        assert form.status == 200, form
        return self.post(page, {**hidden(form), "by": "anna", "reason": "why", **fields})

    @contextmanager
    def events(self, path: str, **headers: str) -> Iterator[EventStream]:
        """Listen to changes."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_S)
        try:
            connection.request("GET", path, headers=self._all(headers))
            response = connection.getresponse()
            assert response.status == 200, (response.status, response.read())
            yield EventStream(response)
        finally:
            connection.close()

    def request(self, method: str, path: str, body: str | None, headers: dict[str, str]) -> Answer:
        """Send a request; an underscore in a header's name is a dash."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_S)
        try:
            connection.request(method, path, body, self._all(headers))
            response = connection.getresponse()
            answer = Answer(response.status, response.headers, response.read())
        finally:
            connection.close()
        for cookie in answer.headers.get_all("set-cookie") or ():
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value.strip('"')
        return answer

    def _all(self, headers: dict[str, str]) -> dict[str, str]:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items() if value)
        return {**self.headers, **({"Cookie": cookies} if cookies else {}), **given}


def hidden(form: Answer) -> dict[str, str]:
    """The hidden fields of a form of an action."""
    return {name: form.field(name) for name in ("csrf", "record")}


class WebServer:
    """A started server; it listens on a free port of this machine."""

    def __init__(self, program: Program) -> None:
        """Wait until it serves."""
        self.program = program
        line = program.until("^serving ", on=program.stdout)
        found = re.search(r"127\.0\.0\.1:([0-9]+)", line)
        assert found is not None, line
        self.port = int(found[1])

    def browser(self, **headers: str) -> Browser:
        """A new browser, without cookies."""
        return Browser(self.port, headers)

    def until_connected(self) -> None:
        """Wait until it reads the cluster."""
        until(
            lambda: "zkexec_cluster_connected 1.0" in self.browser().get("/metrics").text,
            "the server is connected",
        )


def words(subcommand: str, hosts: str, *options: Word) -> list[Word]:
    """The command line of a server."""
    return [*ZKEXECCTL, subcommand, f"--cluster={hosts}", "--listen=127.0.0.1:0", *options]


def token_file(folder: Path, text: str = TOKEN, mode: int = 0o600) -> str:
    """The value of `--token` for a file with this token."""
    path = folder / "token"
    path.write_text(f"{text}\n")
    os.chmod(path, mode)
    return f"@{path}"
