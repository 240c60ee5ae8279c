"""zkexec as a service of a systemd that is PID 1: its units, as a host would use them."""

import signal
import socket
import time
from contextlib import suppress

import pytest
from kazoo.client import KazooClient

from managed.booted_root import BootedRoot
from support.waiting import until
from support.web_server import TOKEN, Browser
from support.zookeeper import Server

UNIT, SHORT, HARDENED = "zkexec@web", "zkexec@short", "zkexec-hardened@web"
WEB = "zkexec-web"
SERVE = "sleep 100000"


@pytest.fixture
def cluster(client: KazooClient, root: str, zookeeper: Server) -> str:
    """A chroot of this test alone."""
    assert client.exists(root)
    return f"{zookeeper.hosts}{root}"


def seconds_since_start(booted: BootedRoot, unit: str) -> float:
    """How long ago the unit began to start, by the clock that the container shares."""
    (began,) = booted.show(unit, "InactiveExitTimestampMonotonic")
    return time.monotonic() - int(began) / 1e6


def until_served(booted: BootedRoot, browser: Browser) -> None:
    """Wait until the page is served."""

    def is_served() -> bool:
        with suppress(OSError):
            return browser.get("/-/healthy").status == 200
        return False

    until(is_served, lambda: booted.systemctl("status", WEB))


def test_a_service_starts_waits_changes_and_stops(
    booted: BootedRoot, client: KazooClient, root: str, cluster: str
) -> None:
    """A start lasts until the command is healthy; a change keeps the service; a stop is clean."""
    client.create(f"{root}/conf", b"one")
    settings = {
        "ZKEXEC_CLUSTER": cluster,
        "ZKEXEC_MIRROR": "/srv/conf=/conf",
        "ZKEXEC_EXEC": SERVE,
        "ZKEXEC_HEALTH": "test -e /srv/healthy",
        "ZKEXEC_HEALTH_DELAY": "50",
        "ZKEXEC_LOCK": "web",
    }
    booted.configure("web", **settings)
    booted.systemctl("start", "--no-block", UNIT)
    status = "running: the command is not known to be healthy yet"
    booted.until_shown(UNIT, ActiveState="activating", SubState="start", StatusText=status)
    assert (booted.files / "conf").read_bytes() == b"one"
    (booted.files / "healthy").touch()
    booted.until_shown(UNIT, ActiveState="active", SubState="running", StatusText="running")
    (member,) = client.get_children(f"{root}/zkexec/web/members")
    assert member == f"{booted.host}-web"
    before = booted.show(UNIT, "MainPID", "NRestarts")
    (booted.files / "healthy").unlink()
    client.set(f"{root}/conf", b"two")
    status = "verifying (health)"
    booted.until_shown(UNIT, ActiveState="reloading", SubState="reload", StatusText=status)
    (booted.files / "healthy").touch()
    booted.until_shown(UNIT, ActiveState="active", SubState="running", StatusText="running")
    assert (booted.files / "conf").read_bytes() == b"two"
    assert booted.show(UNIT, "MainPID", "NRestarts") == before
    booted.systemctl("stop", UNIT)
    assert booted.show(UNIT, "ActiveState", "Result") == ["inactive", "success"]


def test_a_start_waits_for_longer_than_its_time(
    booted: BootedRoot, client: KazooClient, root: str, cluster: str
) -> None:
    """systemd grants the time that zkexec requests while a znode is missing."""
    booted.configure(
        "short",
        ZKEXEC_CLUSTER=cluster,
        ZKEXEC_MIRROR="/srv/conf=/conf",
        ZKEXEC_EXEC=SERVE,
        ZKEXEC_START="wait",
    )
    (limit,) = booted.show(SHORT, "TimeoutStartUSec")
    assert limit == "2s"
    booted.systemctl("start", "--no-block", SHORT)
    status = "loading: waiting (--start wait): /conf does not exist"
    booted.until_shown(SHORT, ActiveState="activating", StatusText=status)
    until(lambda: seconds_since_start(booted, SHORT) > 2 * 2, "twice the time of a start")
    client.create(f"{root}/conf", b"one")
    booted.until_shown(SHORT, ActiveState="active", StatusText="running")
    assert booted.show(SHORT, "NRestarts") == ["0"]


def test_the_watchdog_restarts_what_hangs_and_nothing_else(
    booted: BootedRoot, client: KazooClient, root: str, cluster: str
) -> None:
    """A service lives for longer than the watchdog's time; one that is stopped is started anew."""
    client.create(f"{root}/conf", b"one")
    booted.configure(
        "short", ZKEXEC_CLUSTER=cluster, ZKEXEC_MIRROR="/srv/conf=/conf", ZKEXEC_EXEC=SERVE
    )
    booted.systemctl("start", SHORT)
    until(lambda: seconds_since_start(booted, SHORT) > 3 * 2, "three times the watchdog's time")
    assert booted.show(SHORT, "ActiveState", "NRestarts") == ["active", "0"]
    booted.systemctl("kill", "--kill-whom=main", f"--signal={signal.SIGSTOP.value}", SHORT)
    booted.until_shown(SHORT, ActiveState="active", NRestarts="1")


def test_a_service_in_a_sandbox_follows_its_configuration(
    booted: BootedRoot, client: KazooClient, root: str, cluster: str
) -> None:
    """A user that exists only for this service writes files and its state below its own folder."""
    client.create(f"{root}/conf", b"one")
    client.create(f"{root}/tree/name", b"1", makepath=True)
    folder = "/var/lib/zkexec/web"
    booted.configure(
        "web",
        ZKEXEC_CLUSTER=cluster,
        ZKEXEC_MIRROR=f"{folder}/conf=/conf {folder}/tree/=/tree/",
        ZKEXEC_EXEC=SERVE,
        ZKEXEC_HEALTH=f"grep -q two {folder}/conf || grep -q one {folder}/conf",
        ZKEXEC_LOCK="web",
    )
    booted.systemctl("start", HARDENED)
    booted.until_shown(HARDENED, ActiveState="active", StatusText="running")
    inside = booted.inside(f"{folder}/conf")
    assert inside.read_bytes() == b"one"
    assert inside.stat().st_uid != 0
    client.set(f"{root}/conf", b"two")
    until(lambda: inside.read_bytes() == b"two", "the new content")
    booted.until_shown(HARDENED, ActiveState="active", SubState="running", NRestarts="0")
    assert any(name.endswith(".state") for name in map(str, inside.parent.iterdir()))
    booted.systemctl("stop", HARDENED)
    assert booted.show(HARDENED, "ActiveState", "Result") == ["inactive", "success"]


def test_the_page_gets_its_options_and_its_token_from_files(
    booted: BootedRoot, client: KazooClient, cluster: str
) -> None:
    """Without a token it serves this machine; a token that only root can read is handed over."""
    assert client.connected
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    listen, browser = f"--listen 127.0.0.1:{port}", Browser(port)
    booted.configure("zkexecctl", ZKEXEC_CLUSTER=cluster, WEB_OPTIONS=listen)
    booted.systemctl("start", WEB)
    until_served(booted, browser)
    assert browser.get("/").status == 200
    credential = f"/run/credentials/{WEB}.service/token"
    options = f"{listen} --token @{credential}"
    booted.configure("zkexecctl", ZKEXEC_CLUSTER=cluster, WEB_OPTIONS=options)
    token = booted.settings / "web.token"
    token.touch(mode=0o600)
    token.write_text(f"{TOKEN}\n", encoding="ascii")
    booted.systemctl("restart", WEB)
    until_served(booted, browser)
    assert browser.get("/metrics").status == 401
    assert browser.get("/metrics", Authorization=f"Bearer {TOKEN}").status == 200
    booted.systemctl("stop", WEB)
    assert booted.show(WEB, "ActiveState", "Result") == ["inactive", "success"]
