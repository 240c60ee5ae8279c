"""Who gets an answer from `zkexecctl web`: hosts, origins, tokens, sessions, proxies and limits."""

import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from starlette.requests import Request

from support.program import Program
from support.waiting import DEADLINE_S
from support.web_server import TOKEN, Browser, WebServer, token_file, words
from support.zookeeper import Server
from zkexec.ctl.serving_options import ListenAddress, ServingOptions
from zkexec.ctl.web.http_server import MOST_HEADER_BYTES
from zkexec.ctl.web.page_answers import MOST_FORM_BYTES
from zkexec.ctl.web.request_guard import RequestGuard


@pytest.fixture(scope="module")
def open_server(zookeeper: Server) -> Iterator[WebServer]:
    """A server without a token, to which also a proxy name leads."""
    with Program(*words("web", zookeeper.hosts, "--host=ops.example.org")) as program:
        yield WebServer(program)


@pytest.fixture(scope="module")
def guarded(zookeeper: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    """A server behind a proxy, of which everything needs the token."""
    token = token_file(tmp_path_factory.mktemp("token"))
    options = ("--behind-tls", "--host=ops.example.org", "--user-header=X-Remote-User")
    proxy = "--trusted-proxy=127.0.0.1"
    with Program(*words("web", zookeeper.hosts, f"--token={token}", *options, proxy)) as program:
        yield WebServer(program)


@pytest.fixture
def with_token(zookeeper: Server, tmp_path: Path) -> Iterator[WebServer]:
    """A server of this test with a token, for which its failed logins count."""
    token = token_file(tmp_path)
    with Program(*words("web", zookeeper.hosts, f"--token={token}")) as program:
        yield WebServer(program)


def tls_browser(server: WebServer) -> Browser:
    """A browser that connects through the proxy with TLS."""
    return server.browser(Host="ops.example.org", Origin="https://ops.example.org")


def test_every_answer_has_the_headers(open_server: WebServer) -> None:
    """Pages, errors and files have the headers that keep a browser from being used."""
    browser = open_server.browser()

    for path in ("/", "/no-such-page", "/metrics", "/static/none.css", "/-/healthy"):
        headers = browser.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'none'; ")
        assert "unsafe" not in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["referrer-policy"] == "same-origin"
        assert headers["cache-control"] == "no-store"
        assert "server" not in headers


def test_without_actions_nothing_can_be_changed(open_server: WebServer) -> None:
    """Without --actions there is no form, and every POST is refused."""
    browser = open_server.browser()

    assert "<form" not in browser.get("/").text
    assert browser.get("/groups/web/pause").status == 404
    for path in ("/", "/groups/web/pause", "/login", "/logout", "/events"):
        answer = browser.post(path, {})
        assert answer.status == 405
        assert answer.headers["allow"] == "GET, HEAD"
    assert browser.request("DELETE", "/groups/web", None, {}).status == 405
    assert browser.request("OPTIONS", "/", None, {}).status == 405


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:80", "[::1]", "OPS.example.org:443"])
def test_known_hosts_are_answered(open_server: WebServer, host: str) -> None:
    """The names of this machine, and those of --host, are answered."""
    assert open_server.browser().get("/", Host=host).status == 200


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "127.0.0.1.evil.example", "10.0.0.1", "x@localhost", ""),
        *("localhost:80.evil.example", "localhost:99999", "localhost:-1", "localhost:80/", "[::1"),
    ],
)
def test_foreign_hosts_are_refused(open_server: WebServer, host: str) -> None:
    """A name that another site has given to our address is refused, whatever is requested."""
    for path in ("/", "/metrics", "/-/healthy"):
        assert open_server.browser().get(path, Host=host).status in (400, 421)


def test_reading_needs_the_token_behind_a_proxy(guarded: WebServer) -> None:
    """Without a login a browser is led to it, a program is refused, and health is public."""
    browser = tls_browser(guarded)

    page = browser.get("/groups/web?x=1")
    assert page.status == 303
    assert page.headers["location"] == "/login?next=/groups/web%3Fx%3D1"
    for path in ("/metrics", "/events", "/groups/web.json"):
        answer = browser.get(path)
        assert answer.status == 401
        assert answer.headers["www-authenticate"] == "Bearer"
    assert browser.get("/-/healthy").text == "healthy\n"
    assert browser.get("/login").status == 200


def test_a_program_reads_with_the_token(guarded: WebServer) -> None:
    """The token is taken as a bearer token, and no other one is."""
    browser = tls_browser(guarded)

    assert browser.get("/metrics", Authorization=f"Bearer {TOKEN}").status == 200
    assert browser.get("/metrics", Authorization=f"Bearer {TOKEN}x").status == 401
    assert browser.get("/metrics", Authorization=f"Basic {TOKEN}").status == 401
    assert browser.get(f"/metrics?token={TOKEN}").status == 401


def test_a_login_is_a_cookie_that_scripts_cannot_read(guarded: WebServer) -> None:
    """Behind TLS the cookie belongs to this host alone, and is sent over TLS only."""
    browser = tls_browser(guarded)

    answer = browser.log_in()

    assert answer.status == 303
    assert answer.headers["location"] == "/"
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-zkexec=")
    for attribute in ("HttpOnly", "SameSite=strict", "Secure", "Path=/"):
        assert attribute in cookie
    assert "Domain" not in cookie
    assert TOKEN not in cookie
    assert browser.get("/").status == 200


def test_a_logout_ends_the_session(guarded: WebServer) -> None:
    """After a logout the cookie is worth nothing; a form of another session does not log out."""
    browser = tls_browser(guarded)
    browser.log_in()
    kept = dict(browser.cookies)
    csrf = browser.get("/").field("csrf")

    assert browser.post("/logout", {"csrf": csrf[::-1]}).status == 403
    assert browser.get("/").status == 200
    assert browser.post("/logout", {"csrf": csrf}).status == 303

    browser.cookies.update(kept)
    assert browser.get("/").status == 303


def test_a_login_from_a_foreign_page_is_refused(guarded: WebServer) -> None:
    """A form of another site, or of the same host without TLS, does not log in."""
    browser = tls_browser(guarded)
    fields = {"token": TOKEN, "next": "/"}

    for origin in ("https://evil.example", "http://ops.example.org", "null"):
        assert browser.post("/login", fields, Origin=origin).status == 403
    assert not browser.cookies


@pytest.mark.parametrize("path", ["//evil.example/", "https://evil.example", "/\\evil", "/a\r\nb"])
def test_a_login_leads_to_our_own_pages(guarded: WebServer, path: str) -> None:
    """After a login no browser is sent to another site."""
    answer = tls_browser(guarded).post("/login", {"token": TOKEN, "next": path})

    assert answer.status == 303
    assert answer.headers["location"] == "/"


def test_a_proxy_names_the_user(guarded: WebServer) -> None:
    """Whom the trusted proxy names may read; a header that comes twice names no one."""
    browser = tls_browser(guarded)

    assert browser.get("/", X_Remote_User="anna").status == 200
    assert browser.get("/", X_Remote_User="").status == 303
    assert browser.get("/", X_Remote_User="a\tb").status == 303


@pytest.mark.parametrize(
    ("sent", "user"),
    [
        ("José".encode(), "José"),
        ("Łukasz à".encode(), "Łukasz à"),
        ("李".encode(), "李"),
        ("José".encode("latin-1"), "José"),
        ("\u202e".encode(), ""),
    ],
)
def test_a_user_can_have_any_name(sent: bytes, user: str) -> None:
    """A name is UTF-8, as most proxies send it, or Latin-1; one that cannot be printed is none."""
    options = ServingOptions(
        listen=ListenAddress("127.0.0.1", 1),
        token=TOKEN,
        user_header="x-user",
        trusted_proxies=("127.0.0.1",),
    )
    scope = {"type": "http", "headers": [(b"x-user", sent)], "client": ("127.0.0.1", 5)}

    assert RequestGuard(options).reader(Request(scope)).user == user


def test_a_user_header_of_a_stranger_is_ignored(zookeeper: Server, tmp_path: Path) -> None:
    """The header means nothing if it does not come from the proxy."""
    token = f"--token={token_file(tmp_path)}"
    options = (token, "--user-header=X-Remote-User", "--trusted-proxy=192.0.2.1")
    with Program(*words("web", zookeeper.hosts, *options)) as program:
        browser = WebServer(program).browser()

        assert browser.get("/", X_Remote_User="anna").status == 303


def test_failed_logins_are_limited(with_token: WebServer) -> None:
    """After ten failed logins even the token is refused, for a minute."""
    browser = with_token.browser()

    for number in range(10):
        assert browser.log_in(f"{number:032}").status == 403
    refused = browser.log_in()
    assert refused.status == 429
    assert 0 < int(refused.headers["retry-after"]) <= 61
    assert browser.get("/metrics", Authorization=f"Bearer {TOKEN}").status == 429
    assert TOKEN not in with_token.program.story()


def test_failed_logins_behind_a_proxy_are_those_of_one_address(guarded: WebServer) -> None:
    """One browser behind the trusted proxy cannot keep the others from logging in."""
    guessing, other = tls_browser(guarded), tls_browser(guarded)
    guessing.headers["X-Forwarded-For"] = "203.0.113.9, 192.0.2.7"
    other.headers["X-Forwarded-For"] = "192.0.2.7, 192.0.2.8"

    for number in range(10):
        assert guessing.log_in(f"{number:032}").status == 403
    assert guessing.log_in().status == 429
    assert other.log_in().status == 303


def test_the_token_is_in_no_list_of_processes(with_token: WebServer) -> None:
    """The command line has the name of the file, and the log has nothing."""
    with_token.browser().log_in()

    line = Path(f"/proc/{with_token.program.pid}/cmdline").read_bytes()
    assert b"--token=@" in line
    assert TOKEN.encode() not in line
    assert with_token.program.stderr.text == ""


def test_requests_are_bounded(guarded: WebServer) -> None:
    """Huge headers, huge forms and forms of another type are refused, and the server goes on."""
    browser = tls_browser(guarded)
    browser.log_in()

    assert browser.get("/", X_Filler="x" * 2 * MOST_HEADER_BYTES).status == 431
    for fields in ({"token": "x" * MOST_FORM_BYTES}, {str(n): "" for n in range(50)}):
        assert browser.post("/login", fields).status == 400
    assert browser.post("/login", {"token": TOKEN}, Content_Type="text/plain").status == 400
    assert browser.get("/").status == 200


def test_nonsense_is_refused(open_server: WebServer) -> None:
    """What is no HTTP gets an error, and nothing is logged."""
    with socket.create_connection(("127.0.0.1", open_server.port), timeout=30) as connection:
        connection.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 400 ")

    assert open_server.browser().get("/").status == 200
    assert open_server.program.stderr.text == ""


def test_connections_that_do_not_go_on_are_closed(open_server: WebServer) -> None:
    """A connection that is silent, or sends its request in drops, does not stay for ever."""
    address = ("127.0.0.1", open_server.port)
    with (
        socket.create_connection(address, timeout=DEADLINE_S) as silent,
        socket.create_connection(address, timeout=DEADLINE_S) as slow,
    ):
        slow.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n")

        for connection in (silent, slow):
            with suppress(ConnectionResetError):
                assert connection.recv(1) == b""
    assert open_server.browser().get("/").status == 200
