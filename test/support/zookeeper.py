"""Real ZooKeeper servers for tests: one alone, or an ensemble of several.

- The servers are those of `zkexecctl dev`, with what only a test wants: ports that no other test
  takes, and short sessions.  The servers grant session timeouts from 0.4 s on.
- Ports are below the range from which the kernel takes the ports of clients.  Each is reserved by
  an abstract Unix socket as long as the Server exists, so tests that run in parallel never pick the
  same one, and a stopped server finds its port again.
"""

import os
import random
import re
import shutil
import signal
import socket
import sys
from collections.abc import Mapping
from functools import cache

import pytest

from support.waiting import until
from zkexec.devserver import server as servers
from zkexec.devserver.installation import DevServerError, find_installation
from zkexec.devserver.server import LOOPBACK, EnsembleMember, ensemble_lines

START_DEADLINE_S = 60.0
_PORTS = range(20000, 30000)
_SMALL = ("-Xmx128m",)
_QUICK = {
    "tickTime": "200",
    "initLimit": "100",
    "syncLimit": "50",
    "minSessionTimeout": "400",
    "maxSessionTimeout": "60000",
}


@cache
def server_version() -> tuple[int, ...]:
    """The version of the servers, as `3, 8`; what names none counts as the newest."""
    found = re.match(r"(\d+)\.(\d+)", find_installation(os.environ).version)
    return tuple(int(part) for part in found.groups()) if found else (sys.maxsize,)


def can_read_at_once() -> bool:
    """Whether the servers know the multi-read, which came with 3.6."""
    return server_version() >= (3, 6)


def demand_reading_at_once() -> None:
    """Skip the test on servers that do not know the multi-read, which it is about."""
    if not can_read_at_once():
        pytest.skip("this server, older than 3.6, cannot read znodes at once")


class Port:
    """A free loopback port, reserved among all tests on this machine until `release()`."""

    def __init__(self, *wanted: int) -> None:
        """Take the first that is neither reserved nor in use, of all at random if none is named."""
        for number in wanted or random.sample(_PORTS, len(_PORTS)):
            if self._reserve(number):
                self.number = number
                return
        raise OSError("no free port found for a test server")

    def _reserve(self, number: int) -> bool:
        reservation = socket.socket(socket.AF_UNIX)
        try:
            reservation.bind(f"\0zkexec-test-port-{number}")
            with socket.socket() as probe:
                probe.bind((LOOPBACK, number))
        except OSError:
            reservation.close()
            return False
        self._reservation = reservation
        return True

    def release(self) -> None:
        """Give the port back."""
        self._reservation.close()


class Server(servers.Server):
    """One ZooKeeper server; `start()` returns when it answers.  All folders go with `close()`.

    `members` are the server.N lines of an ensemble, `number` is this one's N; without them the
    server is alone.  `settings` are more lines of its zoo.cfg, `options` more of Java's.
    """

    def __init__(
        self,
        members: tuple[str, ...] = (),
        number: int = 0,
        *,
        settings: Mapping[str, str] | None = None,
        options: tuple[str, ...] = (),
    ) -> None:
        self._port = Port()
        super().__init__(
            self._port.number,
            member=EnsembleMember(members, number),
            settings={**_QUICK, **(settings or {})},
            options=(*_SMALL, *options),
        )

    def start(self) -> None:
        """Start on the same port with whatever is in its folder, and wait until it serves."""
        self.launch()
        self.wait_until_serving()

    def wait_until_serving(self) -> None:
        """Wait until this very server answers and serves requests; RuntimeError where it died."""
        try:
            until(self.is_serving, f"ZooKeeper {self.hosts} serves", START_DEADLINE_S)
        except DevServerError as error:
            raise RuntimeError(f"{error}\n{self.tail_of_log()}") from None

    def sessions(self) -> frozenset[str]:
        """The ids of all sessions that the server (the leader, in an ensemble) keeps alive."""
        tracked, _, _ = self.ask("dump").partition("ephemeral nodes dump")
        return frozenset(word for word in tracked.split() if word.startswith("0x"))

    def pause(self) -> None:
        """Freeze the process: its connections stay, nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused process go on."""
        os.kill(self.pid, signal.SIGCONT)

    def wipe(self) -> None:
        """Forget every znode and transaction; RuntimeError while the server is running."""
        if self._process is not None:
            raise RuntimeError(f"stop ZooKeeper server {self.hosts} before wiping it")
        shutil.rmtree(self.folder / "data", ignore_errors=True)

    def close(self) -> None:
        """Stop, remove the folder and release the port."""
        super().close()
        self._port.release()


class Ensemble:
    """Several servers that elect a leader; `start()` returns when all of them serve.

    One server alone is no ensemble, but can be used like one.  `options` are more of Java's.
    """

    def __init__(self, size: int = 3, *, options: tuple[str, ...] = ()) -> None:
        self._ports = [(Port(), Port()) for _ in range(size)]
        lines = ensemble_lines([(peer.number, vote.number) for peer, vote in self._ports])
        members = lines if size > 1 else ()
        self.servers = [Server(members, number, options=options) for number in range(1, size + 1)]
        self.hosts = ",".join(server.hosts for server in self.servers)

    def start(self) -> None:
        """Launch every server, then wait for all of them."""
        for server in self.servers:
            server.launch()
        for server in self.servers:
            server.wait_until_serving()

    def leader(self) -> Server:
        """The server that leads now; LookupError while there is none."""
        for server in self.servers:
            if server.fact("Mode") == "leader":
                return server
        raise LookupError("the ensemble has no leader now")

    def close(self) -> None:
        """Stop all servers, remove their folders and release the ports."""
        for server in self.servers:
            server.close()
        for pair in self._ports:
            for port in pair:
                port.release()
