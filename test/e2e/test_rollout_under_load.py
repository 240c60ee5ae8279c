"""Five members that answer requests all the time while a change restarts each of them.

With hooks, which take a member out of traffic before its stop, no request fails.  Without hooks,
the same requests are sent to a member that is stopped, and fail.
"""

import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from kazoo.client import KazooClient

from support.load_balancer import Backend, LoadBalancer
from support.mirrored_host import quoted
from support.sandbox import LIBEXEC, ZKEXEC, Sandbox
from support.service_group import ServiceGroup, service_group
from zkexec.devserver.server import LOOPBACK

TRAFFIC = Path(__file__).resolve().parents[2] / "examples" / "haproxy-drain" / "traffic"
MEMBERS = 5
ANSWERS = 50
"""This many requests are answered while a member does not listen."""
PACE = ("--health-interval=0.2", "--kill-timeout=60", "--pre-stop-timeout=60")
HAPROXY = """\
global
    nbthread 1
    stats socket ipv4@{host}:{admin} level admin
defaults
    mode http
    retries 0
    timeout connect 30s
    timeout client 30s
    timeout server 30s
listen shop
    bind {host}:{port}
"""

HooksOf = Callable[[Backend], Sequence[str]]


class WebGroup:
    """Members with a web server each, whose stop lasts until there is a gate."""

    def __init__(self, group: ServiceGroup) -> None:
        self.group = group
        self.gate = group.sandbox.folder / "gate"
        self.znode = f"{group.root}/content"
        self.backends: list[Backend] = []
        for name in (f"m{number}" for number in range(MEMBERS)):
            folder = group.folder(name)
            self.backends.append(Backend(name, group.port(), folder / "traffic"))

    def start(self, content: str, hooks: HooksOf) -> None:
        """Start all members on this content, and wait until all listen and are in traffic."""
        self.gate.touch()
        self.group.zkexecctl.push(self.znode, content.encode())
        for backend in self.backends:
            options = hooks(backend)
            backend.traffic.write_text("out" if options else "in")
            self._start(backend, options)
        self.group.complete()
        self.group.until(lambda: all(map(listens, self.backends)), "all members listen")
        self.group.until(lambda: all(map(is_in, self.backends)), "all members are in traffic")

    def _start(self, backend: Backend, options: Sequence[str]) -> None:
        file = backend.traffic.with_name("content")
        self.group.start(
            backend.name,
            *ZKEXEC,
            f"--lock={self.group.lock}",
            f"--member-id={backend.name}",
            f"--mirror={file}={self.znode}",
            f"--health=curl -fs -o /dev/null http://{LOOPBACK}:{backend.port}/",
            *PACE,
            *options,
            f"--exec={quoted(LIBEXEC / 'web-server', backend.port, file, self.gate)}",
        )

    def begin(self, content: str) -> None:
        """Push content, and wait until a member is being stopped and refuses requests."""
        self.gate.unlink()
        self.group.zkexecctl.push(self.znode, content.encode())
        self.group.until(lambda: not all(map(listens, self.backends)), "a member is stopped")

    def finish(self) -> None:
        """Let members stop, and wait until the rollout is complete."""
        self.gate.touch()
        self.group.complete()


def listens(backend: Backend) -> bool:
    """Whether a member accepts requests."""
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, backend.port)) == 0


def is_in(backend: Backend) -> bool:
    """Whether a member is in traffic."""
    return backend.traffic.read_text().strip() == "in"


def none(_backend: Backend) -> Sequence[str]:
    """No hooks."""
    return ()


def hooks_of(backend: Backend) -> Sequence[str]:
    """Take the member out and wait for its running requests; put it in again."""
    file = backend.traffic
    return f"--pre-stop=echo out >{file}; flock {file} true", f"--post-healthy=echo in >{file}"


@pytest.fixture
def web(sandbox: Sandbox, client: KazooClient, root: str) -> Iterator[WebGroup]:
    """Five members, not yet started."""
    with service_group(sandbox, client, root) as group:
        yield WebGroup(group)


@contextmanager
def requests_to(backends: Sequence[Backend]) -> Iterator[LoadBalancer]:
    """Send requests to these members until the end of the block."""
    balancer = LoadBalancer(backends)
    try:
        yield balancer
    finally:
        balancer.close()


def test_no_request_fails_with_hooks(web: WebGroup) -> None:
    """A member that is taken out of traffic before its stop costs no request."""
    web.start("first", hooks_of)
    with requests_to(web.backends) as balancer:
        until = web.group.until
        until(lambda: balancer.answered_by(web.backends, "first"), "all members answer")
        web.begin("second")
        enough = balancer.answered() + ANSWERS
        until(lambda: balancer.answered() >= enough, "others answer meanwhile")
        web.finish()
        until(lambda: balancer.answered_by(web.backends, "second"), "all members answer anew")

    assert balancer.failures == [], (balancer.failures, web.group.story())


def test_requests_fail_without_hooks(web: WebGroup) -> None:
    """Without hooks, requests are still sent to a member that is stopped."""
    web.start("first", none)
    with requests_to(web.backends) as balancer:
        web.begin("second")
        web.group.until(lambda: "refused" in "".join(balancer.failures), "a request fails")


def start_haproxy(web: WebGroup) -> tuple[Backend, HooksOf]:
    """Start a HAProxy in front of the members; return it, and the hooks of the example for it."""
    group, always = web.group, web.group.sandbox.folder / "always"
    port, admin = group.port(), group.port()
    file = group.sandbox.folder / "haproxy.cfg"
    servers = "".join(f"    server {one.name} {LOOPBACK}:{one.port}\n" for one in web.backends)
    file.write_text(HAPROXY.format(host=LOOPBACK, port=port, admin=admin) + servers)
    haproxy = group.sandbox.start("/usr/sbin/haproxy", "-db", "-f", file)
    group.until(lambda: listens(Backend("haproxy", admin, always)), haproxy.story())
    always.write_text("in")

    def hooks(backend: Backend) -> Sequence[str]:
        settings = f"HAPROXY_SERVER=shop/{backend.name} HAPROXY_SOCKETS=TCP:{LOOPBACK}:{admin}"
        traffic = f"{settings} HAPROXY_WAIT_S=60 {quoted(TRAFFIC)}"
        ready = f"{traffic} ready && echo in >{backend.traffic}"
        return f"--pre-stop={traffic} drain", f"--post-healthy={ready}"

    return Backend("haproxy", port, always), hooks


def test_no_request_fails_behind_haproxy(web: WebGroup) -> None:
    """The hooks of the example take each member out of a HAProxy, and no request fails."""
    haproxy, hooks = start_haproxy(web)
    web.start("first", hooks)
    with requests_to([haproxy]) as balancer:
        until = web.group.until
        until(lambda: balancer.answers["haproxy", "first"] > MEMBERS, "all members answer")
        web.begin("second")
        enough = balancer.answered() + ANSWERS
        until(lambda: balancer.answered() >= enough, "others answer meanwhile")
        web.finish()
        enough = balancer.answered() + ANSWERS
        until(lambda: balancer.answered() >= enough, "all members answer anew")

    assert balancer.failures == [], (balancer.failures, web.group.story())


def test_requests_fail_behind_haproxy_without_hooks(web: WebGroup) -> None:
    """The same HAProxy sends requests to a member that is stopped without hooks."""
    haproxy, _ = start_haproxy(web)
    web.start("first", none)
    with requests_to([haproxy]) as balancer:
        web.begin("second")
        web.group.until(lambda: "haproxy: status 503" in balancer.failures, "a request fails")
