"""`examples/alert-webhook`: what it sends, to servers that answer well, badly, slowly or never."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from support.mirrored_host import quoted
from support.sandbox import ZKEXEC, Sandbox
from support.waiting import until
from support.zookeeper import Port
from zkexec.devserver.server import LOOPBACK

PROGRAM = Path(__file__).resolve().parents[2] / "examples" / "alert-webhook" / "alert-webhook"
HIDDEN = "do-not-show-me"
QUICK = ("--pause=0", "--timeout=30")
ALERT = {"ZKEXEC_EVENT": "restart-failed", "ZKEXEC_REASON": "not healthy", "ZKEXEC_STEP": "health"}


class Webhook:
    """A web server that notes what it gets, and answers with the statuses that a test sets."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        """The status of each answer; 200 if there are no more."""
        self.received: list[tuple[str, str, bytes]] = []
        """The path, the type and the body of each POST."""
        self.is_slow = False
        self.over = threading.Event()
        self._server = ThreadingHTTPServer((LOOPBACK, 0), self._handler())
        self.url = f"http://{LOOPBACK}:{self._server.server_port}/hooks/{HIDDEN}"
        threading.Thread(target=self._server.serve_forever).start()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        webhook = self

        class Receiving(BaseHTTPRequestHandler):
            """Notes one request, and answers it."""

            def do_POST(self) -> None:
                """Note the alert, and answer; or never end the answer."""
                body = self.rfile.read(int(self.headers["Content-Length"]))
                webhook.received.append((self.path, self.headers["Content-Type"], body))
                status = webhook.statuses.pop(0) if webhook.statuses else 200
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", f"/elsewhere?{HIDDEN}")
                # One byte after the other: no wait for a single one is long.
                while webhook.is_slow and not webhook.over.wait(0.02):
                    self.wfile.write(b"\0")
                self.end_headers()

            def do_GET(self) -> None:
                """Note that a redirect was followed."""
                webhook.received.append((self.path, "GET", b""))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Log no requests."""

        return Receiving

    def alerts(self) -> list[dict[str, str]]:
        """The alerts that it got."""
        return [json.loads(body) for _, _, body in self.received]

    def close(self) -> None:
        """End."""
        self.over.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    """A webhook that answers with 200."""
    one = Webhook()
    yield one
    one.close()


@pytest.fixture
def url_file(sandbox: Sandbox, webhook: Webhook) -> Path:
    """A file with the URL of the webhook."""
    file = sandbox.folder / "webhook.url"
    file.write_text(f"{webhook.url}\n")
    return file


def send(sandbox: Sandbox, *words: str, **variables: str) -> tuple[int, str]:
    """Send an alert; return the exit status and what was reported, which never has the secret."""
    environment = sandbox.environment(**ALERT, **variables)
    status, out, err = sandbox.run(str(PROGRAM), *words, env=environment)
    assert out == b""
    assert HIDDEN not in err.decode()
    return status, err.decode()


def test_an_alert_of_zkexec_arrives(sandbox: Sandbox, webhook: Webhook, url_file: Path) -> None:
    """If a health check fails, the webhook gets one JSON object with what happened and where."""
    secrets = {"ZKEXEC_AUTH": f"digest:alice:{HIDDEN}"}
    zkexec = sandbox.start(
        *ZKEXEC,
        *("--health=exit 7", "--health-delay=0", f"--alert={quoted(PROGRAM)} @{url_file}"),
        *("--", "sleep", "600"),
        env=sandbox.environment(**secrets),
    )
    until(lambda: webhook.received, lambda: f"an alert\n{zkexec.story()}")

    path, kind, body = webhook.received[0]
    fields = webhook.alerts()[0]
    assert (path, kind) == (f"/hooks/{HIDDEN}", "application/json")
    assert (fields["event"], fields["reason"]) == ("health-failed", "exit status 7")
    assert fields["text"] == f"{fields['member']}: health-failed: exit status 7"
    assert fields["host"] == fields["member"]
    assert HIDDEN not in body.decode()


def test_the_url_of_a_variable(sandbox: Sandbox, webhook: Webhook) -> None:
    """The URL can come from a variable, and fields that are empty are left out."""
    group = {"ZKEXEC_LOCK": "web", "ZKEXEC_MEMBER": "web1", "ZKEXEC_EXIT_STATUS": ""}

    assert send(sandbox, ALERT_WEBHOOK_URL=webhook.url, **group) == (0, "")
    fields = webhook.alerts()[0]
    assert fields["text"] == "web web1: restart-failed: not healthy"
    assert set(fields) == {"text", "event", "reason", "step", "lock", "member", "host", "time"}


def test_it_tries_again(sandbox: Sandbox, webhook: Webhook, url_file: Path) -> None:
    """A server that fails for a while gets the alert in the end."""
    webhook.statuses = [500, 503, 429]

    assert send(sandbox, *QUICK, f"@{url_file}") == (0, "")
    assert len(webhook.received) == 4


@pytest.mark.parametrize(
    ("status", "attempts", "reason"),
    [
        (500, 4, "status 500, after 4 attempts"),
        (404, 1, "status 404"),
        (302, 1, "status 302, a redirect: use the URL it leads to"),
    ],
)
def test_a_server_that_refuses(
    sandbox: Sandbox,
    webhook: Webhook,
    url_file: Path,
    status: int,
    attempts: int,
    reason: str,
) -> None:
    """An alert that is not delivered is one line, and only what can help is tried again."""
    webhook.statuses = [status] * 10

    assert send(sandbox, *QUICK, f"@{url_file}") == (1, f"alert-webhook: {LOOPBACK}: {reason}\n")
    assert len(webhook.received) == attempts


def test_a_server_that_never_ends_its_answer(
    sandbox: Sandbox, webhook: Webhook, url_file: Path
) -> None:
    """The time limit is that of a whole attempt, however many bytes arrive."""
    webhook.is_slow = True
    words = ("--pause=0", "--timeout=0.3", "--attempts=2", f"@{url_file}")

    assert send(sandbox, *words) == (
        1,
        f"alert-webhook: {LOOPBACK}: no answer within 0.3 s, after 2 attempts\n",
    )


def test_a_server_that_is_down(sandbox: Sandbox) -> None:
    """A refused connection is tried again, and reported."""
    port = Port()
    url = f"http://{LOOPBACK}:{port.number}/{HIDDEN}"
    try:
        status, shown = send(sandbox, *QUICK, ALERT_WEBHOOK_URL=url)
    finally:
        port.release()

    reason = "Connection refused, after 4 attempts"
    assert (status, shown) == (1, f"alert-webhook: {LOOPBACK}: {reason}\n")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "contains no URL"),
        (f"ftp://host/{HIDDEN}", "must contain one URL"),
        (f"https://alice:{HIDDEN}@host/", "must contain one URL"),
        (f"https://host/{HIDDEN} more", "must contain one URL"),
    ],
)
def test_a_url_that_is_none(sandbox: Sandbox, url: str, reason: str) -> None:
    """What is no URL is wrong usage, and is not repeated."""
    file = sandbox.folder / "webhook.url"
    file.write_text(url)
    status, shown = send(sandbox, f"@{file}")

    assert (status, len(shown.splitlines())) == (2, 1)
    assert shown.startswith(f"alert-webhook: {file} {reason}")
