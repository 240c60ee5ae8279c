"""Real ZooKeeper servers for tests: one alone, or an ensemble of several.

The rules of this file:

- A server is a Java process of its own on a loopback port of its own, with its files in a
  temporary folder.  Nothing is shared with a ZooKeeper that may be installed on the machine
  except its jars: Debian's in /usr/share/java, or those below ZOOKEEPER_HOME where that is set.
- Ports lie below the range from which the kernel takes the ports of clients, and each is
  reserved by an abstract Unix socket for as long as the Server lives, so that tests which run
  in parallel never pick the same one and a stopped server finds its port again.
- A server dies with the thread that started it (parent-death signal), so that a killed test
  run leaves nothing behind.  Start servers from threads that live on.
- Small sessions work: the server grants session timeouts from 0.4 s on.
"""

import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

START_DEADLINE_S = 60.0
_PORTS = range(20000, 30000)
_LOOPBACK = "127.0.0.1"
_JAVA_OPTIONS = (
    "-Xmx128m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-Djava.net.preferIPv4Stack=true",
    "-Dzookeeper.forceSync=no",
    "-Dzookeeper.preAllocSize=512",
    "-Dzookeeper.nio.numSelectorThreads=1",
)
_MORE_JARS = ("slf4j-simple.jar", "netty-codec.jar", "netty-resolver.jar")


def wait_until(condition: Callable[[], object], what: str, deadline_s: float = 30.0) -> None:
    """Poll until the condition is true; raises TimeoutError, naming `what`, after the deadline."""
    end = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {deadline_s} s: {what}")
        time.sleep(0.01)


class Port:
    """A free loopback port, reserved among all tests on this machine until `release()`."""

    def __init__(self) -> None:
        """Try ports at random until one is neither reserved nor in use; OSError if none is."""
        for number in random.sample(_PORTS, len(_PORTS)):
            if self._reserve(number):
                self.number = number
                return
        raise OSError("no free port found for a test server")

    def _reserve(self, number: int) -> bool:
        reservation = socket.socket(socket.AF_UNIX)
        try:
            reservation.bind(f"\0zkexec-test-port-{number}")
            with socket.socket() as probe:
                probe.bind((_LOOPBACK, number))
        except OSError:
            reservation.close()
            return False
        self._reservation = reservation
        return True

    def release(self) -> None:
        """Give the port back."""
        self._reservation.close()


class Server:
    """One ZooKeeper server; `start()` returns when it answers.  All folders go with `close()`.

    `members` are the server.N lines of an ensemble, `number` is this one's N; without them the
    server stands alone.  `settings` are more lines of its zoo.cfg, `options` more of Java's.
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
        self.port = self._port.number
        self.hosts = f"{_LOOPBACK}:{self.port}"
        self.folder = Path(tempfile.mkdtemp(prefix="zkexec-test-zookeeper-"))
        self.log = self.folder / "server.log"
        self._members = members
        self._number = number
        self._settings = dict(settings or {})
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id; RuntimeError where the server is stopped."""
        if self._process is None:
            raise RuntimeError(f"ZooKeeper server {self.hosts} is not running")
        return self._process.pid

    def start(self) -> None:
        """Start on the same port with whatever is in its folder, and wait until it serves."""
        self.launch()
        self.wait_until_serving()

    def launch(self) -> None:
        """Start the process without waiting: an ensemble serves only once a quorum is there."""
        (self.folder / "data").mkdir(exist_ok=True)
        (self.folder / "data" / "myid").write_text(f"{self._number}\n")
        config = self.folder / "zoo.cfg"
        config.write_text(self._config())
        main = "quorum.QuorumPeerMain" if self._members else "ZooKeeperServerMain"
        command = ["setpriv", "--pdeathsig", "KILL", "java", *_JAVA_OPTIONS, *self._options]
        command += ["-cp", class_path(), f"org.apache.zookeeper.server.{main}", str(config)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def _config(self) -> str:
        lines = {
            "tickTime": "200",
            "initLimit": "100",
            "syncLimit": "50",
            "minSessionTimeout": "400",
            "maxSessionTimeout": "60000",
            "maxClientCnxns": "0",
            "dataDir": str(self.folder / "data"),
            "clientPort": str(self.port),
            "clientPortAddress": _LOOPBACK,
            "admin.enableServer": "false",
            "4lw.commands.whitelist": "*",
            **self._settings,
        }
        return "\n".join([*(f"{k}={v}" for k, v in lines.items()), *self._members, ""])

    def wait_until_serving(self) -> None:
        """Wait until this very server answers and serves requests; RuntimeError where it died."""

        def serves() -> bool:
            if self._process is None or self._process.poll() is not None:
                raise RuntimeError(f"ZooKeeper {self.hosts} did not start:\n{self.tail_of_log()}")
            # Whoever else may listen on this port does not know the name of our folder.
            # A question that comes while a server starts may stay without an answer for ever.
            ours = str(self.folder) in self.ask("conf", timeout_s=1.0)
            return ours and "Mode:" in self.ask("srvr", timeout_s=1.0)

        wait_until(serves, f"ZooKeeper {self.hosts} serves", START_DEADLINE_S)

    def ask(self, word: str, timeout_s: float = 5.0) -> str:
        """Send a four-letter word; the answer, or an empty string where there is none."""
        answer = b""
        try:
            with socket.create_connection((_LOOPBACK, self.port), timeout=timeout_s) as connection:
                connection.sendall(word.encode())
                while piece := connection.recv(65536):
                    answer += piece
        except OSError:
            return ""
        return answer.decode()

    def fact(self, name: str) -> str:
        """One value of the answer to `srvr`: "Mode", "Zxid", "Connections", ...; else empty."""
        for line in self.ask("srvr").splitlines():
            key, _, value = line.partition(": ")
            if key == name:
                return value
        return ""

    def sessions(self) -> frozenset[str]:
        """The ids of all sessions that the server (the leader, in an ensemble) keeps alive."""
        tracked, _, _ = self.ask("dump").partition("ephemeral nodes dump")
        return frozenset(word for word in tracked.split() if word.startswith("0x"))

    def tail_of_log(self) -> str:
        """The last lines of what the server has written."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-40:])

    def pause(self) -> None:
        """Freeze the process: its connections stay, nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused process go on."""
        os.kill(self.pid, signal.SIGCONT)

    def stop(self, *, suddenly: bool = False) -> None:
        """End the process, by TERM and then by KILL, or at once by KILL; nothing if stopped."""
        process, self._process = self._process, None
        if process is None:
            return
        if not suddenly:
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGCONT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=5.0)
        if process.poll() is None:
            process.kill()
        process.wait()

    def wipe(self) -> None:
        """Forget every znode and transaction; RuntimeError while the server is running."""
        if self._process is not None:
            raise RuntimeError(f"stop ZooKeeper server {self.hosts} before wiping it")
        shutil.rmtree(self.folder / "data", ignore_errors=True)

    def close(self) -> None:
        """Stop, remove the folder and release the port."""
        self.stop(suddenly=True)
        shutil.rmtree(self.folder, ignore_errors=True)
        self._port.release()


class Ensemble:
    """Several servers that elect a leader; `start()` returns when all of them serve."""

    def __init__(self, size: int = 3) -> None:
        self._ports = [(Port(), Port()) for _ in range(size)]
        members = tuple(
            f"server.{number}={_LOOPBACK}:{peer.number}:{election.number}"
            for number, (peer, election) in enumerate(self._ports, start=1)
        )
        self.servers = [Server(members, number) for number in range(1, size + 1)]
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


def class_path() -> str:
    """The jars of ZOOKEEPER_HOME where that is set, else Debian's; FileNotFoundError if none."""
    home = os.environ.get("ZOOKEEPER_HOME")
    if home:
        return f"{home}/lib/*:{home}/*"
    jar = Path("/usr/share/java/zookeeper.jar")
    if not jar.exists():
        raise FileNotFoundError(f"{jar}: install Debian's package zookeeper or set ZOOKEEPER_HOME")
    # Debian's jar does not name all that a server with TLS needs.
    return ":".join(str(jar.with_name(name)) for name in (jar.name, *_MORE_JARS))
