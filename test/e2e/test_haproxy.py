"""HAProxy from Debian by the recipe of docs/changes.md: checked, and reloaded by USR2."""

import urllib.request
from pathlib import Path

from kazoo.client import KazooClient

from support.recipes import recipe, typed
from support.sandbox import Sandbox
from support.service_group import ServiceGroup, service_group
from support.zkexec_on_path import path_with_zkexec
from zkexec.devserver.server import LOOPBACK

# The members share their file, and so what differs comes from their environment.
CONFIGURATION = f"""\
defaults
    mode http
    timeout connect 30s
    timeout client 30s
    timeout server 30s
frontend health
    bind {LOOPBACK}:"$HEALTH_PORT"
    monitor-uri /healthy
frontend web
    bind {LOOPBACK}:"$WEB_PORT"
    http-request return content-type text/plain string ANSWER
"""


def answer(port: int) -> str:
    """What a member answers; "" if it does not."""
    try:
        with urllib.request.urlopen(f"http://{LOOPBACK}:{port}/", timeout=30) as reply:
            text: bytes = reply.read()
    except OSError:
        return ""
    return text.decode()


def start(group: ServiceGroup, name: str, path: str) -> int:
    """Start a member by the recipe; return the port at which it answers."""
    folder, web, health = group.folder(name), group.port(), group.port()
    command = typed(
        recipe("HAProxy"),
        (
            ("--lock edge ", f"--lock {group.lock} --member-id {name} "),
            ("=/edge/", f"={group.root}/"),
            ("/etc/haproxy", f"{folder}/etc/haproxy"),
            (":8404/", f":{health}/"),
        ),
    )
    ports = {"WEB_PORT": str(web), "HEALTH_PORT": str(health)}
    environment = group.sandbox.environment(PATH=path, **ports)
    group.start(name, "/bin/sh", "-c", f"exec {command}", env=environment)
    return web


def test_haproxy_is_checked_and_reloaded(
    sandbox: Sandbox, client: KazooClient, root: str, tmp_path: Path
) -> None:
    """A bad file stops no HAProxy, and the status names its line; the fix is reloaded."""
    path = path_with_zkexec(tmp_path / "bin")
    with service_group(sandbox, client, root) as group:
        znode = f"{root}/haproxy.cfg"
        wait = (f"--lock={group.lock}", "--wait", "--timeout=60")
        group.zkexecctl.push(znode, CONFIGURATION.replace("ANSWER", "first").encode())
        ports = [start(group, name, path) for name in ("m0", "m1")]
        group.complete()
        group.until(lambda: [answer(port) for port in ports] == ["first"] * 2, "both answer")

        bad = CONFIGURATION.replace("http-request", "http-reqest")
        refused = group.zkexecctl.refused(znode, bad.encode(), *wait)
        where = "/etc/haproxy/haproxy.cfg:11] : unknown keyword 'http-reqest'"
        assert refused.status == 1
        assert where in refused.err
        assert where in " ".join(group.status().out.split())
        assert [answer(port) for port in ports] == ["first"] * 2

        group.zkexecctl.push(znode, CONFIGURATION.replace("ANSWER", "second").encode(), *wait)
        group.until(lambda: [answer(port) for port in ports] == ["second"] * 2, "both answer anew")
        assert len(group.logged("reloading for the new configuration")) == 2
        assert len(group.logged("forked ")) == 2
