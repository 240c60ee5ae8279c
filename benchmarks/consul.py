"""A Consul agent on this machine, for the peers that take their configuration from it."""

import http.client
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.candidates import bound
from benchmarks.running import Running
from benchmarks.stage import Stage, running
from support.zookeeper import Port
from zkexec.devserver.server import LOOPBACK

_START_S = 60.0
_POLLED_S = 0.1


class Consul:
    """The key-value store of an agent, behind one connection that stays open."""

    def __init__(self, port: int) -> None:
        self.address = f"{LOOPBACK}:{port}"
        self._connection = http.client.HTTPConnection(LOOPBACK, port, timeout=30.0)

    def set(self, key: str, content: bytes) -> int:
        """Set a key; return when that began, in nanoseconds of the monotonic clock."""
        began_ns = time.monotonic_ns()
        self._connection.request("PUT", f"/v1/kv/{key}", content)
        answer = self._connection.getresponse()
        text = answer.read()
        if answer.status != http.client.OK or text.strip() != b"true":
            raise ConnectionError(f"Consul answers {answer.status}: {text[:200]!r}")
        return began_ns

    def wait_until_serving(self, process: Running) -> None:
        """Set a key until that is accepted; TimeoutError shows what the agent has printed."""
        give_up_at = time.monotonic() + _START_S
        while True:
            try:
                self.set("benchmark-first", b"")
            except (OSError, http.client.HTTPException) as error:
                self.close()
                if time.monotonic() > give_up_at or process.has_ended():
                    raise TimeoutError(f"no Consul: {error}\n{process.tail()}") from None
                time.sleep(_POLLED_S)
            else:
                return

    def close(self) -> None:
        """Close the connection; the next request opens one."""
        self._connection.close()


@contextmanager
def agent(stage: Stage, program: str) -> Iterator[Consul]:
    """Run an agent in its development mode, without a disk, as long as the block lasts."""
    ports = [Port() for _ in range(3)]
    http_port, server_port, lan_port = (port.number for port in ports)
    options = {
        "bind": LOOPBACK,
        "client": LOOPBACK,
        "http-port": http_port,
        "server-port": server_port,
        "serf-lan-port": lan_port,
        **dict.fromkeys(("serf-wan-port", "dns-port", "grpc-port", "grpc-tls-port"), -1),
    }
    line = [program, "agent", "-dev", *(f"-{name}={value}" for name, value in options.items())]
    consul = Consul(http_port)
    try:
        with running(bound(stage, line), stage.folder("consul")) as process:
            consul.wait_until_serving(process)
            yield consul
    finally:
        consul.close()
        for port in ports:
            port.release()
