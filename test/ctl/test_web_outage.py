"""`zkexecctl web` and `exporter` while the cluster is away, and how they start and end."""

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from kazoo.client import KazooClient
from kazoo.security import make_acl

from support.group_samples import GroupZnodes
from support.program import Program
from support.waiting import DEADLINE_S, until
from support.web_server import WebServer, token_file, words
from support.zkexecctl import Zkexecctl
from support.zookeeper import Server

AWAY = "No connection to ZooKeeper"


@pytest.fixture(params=["web", "exporter"])
def either(request: pytest.FixtureRequest, zookeeper: Server) -> Iterator[WebServer]:
    """Each of the two servers."""
    with Program(*words(request.param, zookeeper.hosts)) as program:
        yield WebServer(program)


def test_the_last_status_stays_while_the_cluster_is_away(own_zookeeper: Server) -> None:
    """A banner shows since when; metrics are absent; all of it ends when the cluster is back."""
    client = KazooClient(hosts=own_zookeeper.hosts, timeout=30.0)
    client.start(timeout=DEADLINE_S)
    group = GroupZnodes(client, "web", "/mirrored")
    group.write("m1", b"")
    client.create("/zkexec/web/members/m2", b"")
    with ExitStack() as open_things:
        program = open_things.enter_context(Program(*words("web", own_zookeeper.hosts)))
        browser = WebServer(program).browser()
        until(lambda: browser.get("/groups/web").status == 200, "the group is there")
        events = open_things.enter_context(browser.events("/events?group=web"))
        events.until("m1")

        own_zookeeper.pause()
        events.until(AWAY)
        page, found = browser.get("/groups/web"), browser.get("/groups/web.json").json
        metrics = browser.get("/metrics").text

        assert AWAY in page.text
        assert "m1" in page.text
        assert found["disconnected_since"] is not None
        assert found["groups"][0]["name"] == "web"
        assert "zkexec_cluster_connected 0.0" in metrics
        assert "zkexec_group" not in metrics
        assert browser.get("/groups/other").status == 503

        own_zookeeper.resume()
        until(lambda: AWAY not in browser.get("/groups/web").text, "the banner is gone")
        until(lambda: 'zkexec_group_members{group="web"}' in browser.get("/metrics").text, "back")
        assert browser.get("/-/healthy").status == 200
    client.stop()
    client.close()


def test_what_may_not_be_read_concerns_its_own_page_only(zookeeper: Server, root: str) -> None:
    """If the groups may not be listed, an open page of one group shows its changes, no banner."""
    below = KazooClient(hosts=f"{zookeeper.hosts}{root}", timeout=30.0)
    below.start(timeout=DEADLINE_S)
    group = GroupZnodes(below, "web", "/mirrored")
    group.show("m1")
    below.set_acls("/zkexec", [make_acl("world", "anyone", create=True, admin=True)])
    refusal = "/zkexec: the cluster gives no permission for this"
    with ExitStack() as open_things:
        program = open_things.enter_context(Program(*words("web", f"{zookeeper.hosts}{root}")))
        browser = WebServer(program).browser()
        until(lambda: browser.get("/groups/web").status == 200, "the group is there")
        groups = open_things.enter_context(browser.events("/events"))
        groups.until("The groups cannot be read")
        events = open_things.enter_context(browser.events("/events?group=web"))
        events.until("m1")
        for number in range(4):
            group.show(f"n{number}")
            events.until(f"n{number}")
            page = browser.get("/groups/web").text

            assert AWAY not in page
            assert "cannot be read" not in page
        metrics = browser.get("/metrics")
        assert (metrics.status, metrics.text) == (503, f"the groups could not be read: {refusal}\n")
        assert browser.get("/groups/web.json").json["disconnected_since"] is None

        below.set_acls("/zkexec", [make_acl("world", "anyone", all=True)])
        groups.until("/groups/web")
        assert "cannot be read" not in browser.get("/").text
        assert program.stderr.text == f"zkexecctl: the groups cannot be read: {refusal}\n"
    below.stop()
    below.close()


def test_it_starts_before_the_cluster() -> None:
    """Without a cluster it serves what it knows: that there is none."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        hosts = f"127.0.0.1:{closed.getsockname()[1]}"
        with Program(*words("web", hosts)) as program:
            browser = WebServer(program).browser()

            page = browser.get("/")
            assert page.status == 200
            assert AWAY in page.text
            assert browser.get("/groups/web").status == 503
            assert browser.get("/groups/web.json").status == 503
            assert browser.get("/metrics").text.endswith("zkexec_cluster_connected 0.0\n")
            program.until("cannot connect to .*; still trying")


def test_term_and_ctrl_c_end_it_quietly(either: WebServer) -> None:
    """TERM is the way to end it, so the status is 0, and nothing is printed."""
    assert either.program.end(signal.SIGTERM) == 0
    assert either.program.stderr.text == ""
    assert len(either.program.stdout.lines) == 1


def test_ctrl_c_ends_it_by_the_signal(either: WebServer) -> None:
    """A shell sees 130, as of any program that Ctrl-C ends."""
    assert either.program.end(signal.SIGINT) == -signal.SIGINT
    assert either.program.stderr.text == ""


def test_open_pages_do_not_delay_the_end(zookeeper: Server, group: GroupZnodes) -> None:
    """The changes of open pages just end, and so does a connection that is silent."""
    with Program(*words("web", zookeeper.hosts)) as program:
        server = WebServer(program)
        with (
            server.browser().events("/events") as overview,
            server.browser().events(f"/events?group={group.lock}") as events,
            socket.create_connection(("127.0.0.1", server.port)) as silent,
        ):
            overview.next()
            events.next()
            program.terminate()

            assert overview.is_over()
            assert events.is_over()
            assert silent.recv(1) == b""
            assert program.wait() == 0


def test_an_address_in_use_is_one_line(zookeeper: Server, tmp_path: Path) -> None:
    """If it cannot listen, it names the address and ends with 125."""
    run = Zkexecctl(zookeeper.hosts, tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        for subcommand in ("web", "exporter"):
            answer = run(subcommand, f"--listen={address}")

            assert answer.status == 125
            assert answer.err == (
                f"zkexecctl: --listen: cannot listen on {address}: Address already in use\n"
            )


def test_a_missing_extra_is_named(tmp_path: Path) -> None:
    """Without the packages of the extra, one line shows how to install them."""
    source = Path(__file__).resolve().parent.parent.parent / "src"
    python = os.path.realpath("/proc/self/exe")
    environment = {"PYTHONPATH": str(source), "PATH": os.environ["PATH"]}
    for subcommand in ("web", "exporter"):
        # -S leaves out the packages that are installed.
        run = (python, "-S", "-m", "zkexec.ctl", subcommand)
        with Program(*run, env=environment, cwd=tmp_path) as program:
            assert program.wait() == 125
            line = program.stderr.text
        assert line.count("\n") == 1
        assert line.startswith(f"zkexecctl: {subcommand} needs prometheus-client 0.20 or newer, ")
        assert "-m pip install 'prometheus-client>=0.20' 'starlette>=0.40' 'uvicorn>=0.30'" in line
        assert f"(the extra {subcommand})" in line


def test_the_exporter_serves_metrics_alone(zookeeper: Server, group: GroupZnodes) -> None:
    """There is no page, no form and no status in JSON."""
    group.show("m1")
    with Program(*words("exporter", zookeeper.hosts, "--no-members")) as program:
        server = WebServer(program)
        server.until_connected()
        browser = server.browser()

        assert browser.get("/-/healthy").text == "healthy\n"
        answer = browser.get("/metrics")
        assert f'zkexec_group_members{{group="{group.lock}"}} 1.0' in answer.text
        assert "zkexec_member" not in answer.text
        assert answer.headers["content-type"].startswith("text/plain; version=")
        for path in ("/", f"/groups/{group.lock}", f"/groups/{group.lock}.json", "/login"):
            assert browser.get(path).status == 404
        assert browser.post("/metrics", {}).status == 405
        assert browser.get("/metrics", Host="evil.example").status == 421


def test_the_exporter_can_need_a_token(zookeeper: Server, tmp_path: Path) -> None:
    """With a token, metrics are for those who send it, and health is for all."""
    token = f"--token={token_file(tmp_path)}"
    with Program(*words("exporter", zookeeper.hosts, token)) as program:
        browser = WebServer(program).browser()

        assert browser.get("/metrics").status == 401
        assert browser.get("/-/healthy").status == 200


def test_the_exporter_needs_no_templates(zookeeper: Server) -> None:
    """The extra `exporter` is enough: Jinja2 is not imported."""
    python, *rest = words("exporter", zookeeper.hosts)
    # Without -E it executes itself again, without the -X, if a variable begins with PYTHON.
    with Program(python, "-E", "-X", "importtime", *rest) as program:
        WebServer(program)
        program.until("starlette")
        program.end()

        assert "jinja2" not in program.stderr.text
