"""`examples/haproxy-drain`: a change restarts both members while requests arrive, and none fails.

`test_rollout_under_load.py` uses its script with members that stop slowly, and shows that requests
fail without it.
"""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.load_balancer import Backend, LoadBalancer
from support.program import Program
from support.sandbox import Sandbox
from support.waiting import until
from support.zkexecctl import Zkexecctl
from support.zookeeper import Port, Server
from zkexec.devserver.server import LOOPBACK

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "haproxy-drain"
TRAFFIC = EXAMPLE / "traffic"
DOWN = """\
global
    stats socket ipv4@{host}:{admin} level admin
defaults
    mode http
    timeout connect 30s
    timeout client 30s
    timeout server 30s
listen shop
    bind {host}:{port}
    server shop-1 {host}:{nothing} check inter 100ms
"""


@pytest.fixture
def ports() -> Iterator[list[int]]:
    """Three free ports."""
    reserved = [Port() for _ in range(3)]
    yield [port.number for port in reserved]
    for port in reserved:
        port.release()


def start_example(sandbox: Sandbox, cluster: str, ports: list[int]) -> Program:
    """Start HAProxy and both members, and wait until both are in traffic."""
    environment = sandbox.environment(
        PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        TMPDIR=str(sandbox.folder),
        ZKEXEC_CLUSTER=cluster,
    )
    numbers = [str(port) for port in ports]
    # As a shell with job control does: a signal for the example is for no other process.
    example = sandbox.start(EXAMPLE / "start", *numbers, env=environment, start_new_session=True)
    example.until("is served by two members", on=example.stdout)
    return example


def test_no_request_fails(
    sandbox: Sandbox, zookeeper: Server, root: str, ports: list[int], tmp_path: Path
) -> None:
    """Requests arrive all the time while a change restarts both members, and all are answered."""
    zkexecctl = Zkexecctl(zookeeper.hosts + root, sandbox.folder)
    zkexecctl.push("/shop/greeting", b"Hello 1\n")
    example = start_example(sandbox, zookeeper.hosts + root, ports)
    always = tmp_path / "always"
    always.write_text("in")
    balancer = LoadBalancer([Backend("haproxy", ports[0], always)])
    try:
        until(lambda: balancer.answers["haproxy", "Hello 1"] > 10, "answers")
        zkexecctl.push("/shop/greeting", b"Hello 2\n", "--lock=shop", "--wait", "--timeout=120")
        until(lambda: balancer.answers["haproxy", "Hello 2"] > 10, "new answers")
    finally:
        balancer.close()

    assert balancer.failures == [], example.story()
    assert len(example.stderr.matching("enters drain state")) == 2
    assert len(example.stderr.matching("pre-stop succeeded")) == 2
    (folder,) = sandbox.folder.glob("tmp.*")
    assert example.end(signal.SIGTERM) == 143
    assert not folder.exists()
    sandbox.wait_until_empty()


def run_traffic(sandbox: Sandbox, word: str, **variables: str) -> tuple[int, str]:
    """Run the script; return its exit status and what it reported."""
    status, out, err = sandbox.run(str(TRAFFIC), word, env=sandbox.environment(**variables))
    assert out == b""
    return status, err.decode()


def test_what_haproxy_does_not_do(sandbox: Sandbox, ports: list[int]) -> None:
    """A server that HAProxy does not find up, does not know, or a silent HAProxy is an error."""
    port, admin, nothing = ports
    file = sandbox.folder / "haproxy.cfg"
    file.write_text(DOWN.format(host=LOOPBACK, port=port, admin=admin, nothing=nothing))
    haproxy = sandbox.start("/usr/sbin/haproxy", "-db", "-f", file)
    haproxy.until("Server shop/shop-1 is DOWN")
    socket = f"TCP:{LOOPBACK}:{admin}"
    there = {"HAPROXY_SOCKETS": socket, "HAPROXY_WAIT_S": "1", "HAPROXY_SERVER": "shop/shop-1"}

    assert run_traffic(sandbox, "drain", **there) == (0, "")
    status, shown = run_traffic(sandbox, "ready", **there)
    assert (status, shown) == (1, f"traffic: {socket}: shop/shop-1 is not up after 1 s: DOWN\n")
    other = {**there, "HAPROXY_SERVER": "shop/other"}
    assert run_traffic(sandbox, "drain", **other) == (1, f"traffic: {socket}: No such server.\n")
    away = {**there, "HAPROXY_SOCKETS": f"TCP:{LOOPBACK}:{nothing}"}
    status, shown = run_traffic(sandbox, "drain", **away)
    assert (status, shown.splitlines()[-1]) == (
        1,
        f"traffic: TCP:{LOOPBACK}:{nothing}: no answer",
    )


@pytest.mark.parametrize(
    ("word", "server", "reason"),
    [
        ("drian", "shop/shop-1", "usage: traffic drain | ready"),
        ("drain", "shop-1", "set HAPROXY_SERVER to BACKEND/SERVER"),
    ],
)
def test_usage(sandbox: Sandbox, word: str, server: str, reason: str) -> None:
    """Wrong usage is exit status 2, with what to write instead."""
    assert run_traffic(sandbox, word, HAPROXY_SERVER=server) == (2, f"traffic: {reason}\n")
