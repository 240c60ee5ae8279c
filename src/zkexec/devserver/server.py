"""Real ZooKeeper servers for a while: for `zkexecctl dev`, for the demo, and for the tests.

The rules of this file:

- A server is a Java process in a session of its own, so that a Ctrl-C at the terminal does not
  reach it, with all its files in a temporary folder.  It listens on the loopback interface only,
  and writes without fsync: its content is thrown away.
- Each server has a guard, a shell that reads from a pipe which no other process keeps open.  When
  this process is gone, however it went, the guard ends the server and removes its folder.  The
  server's own shell sends the guard its pid before it becomes Java, so a server never runs without
  a guard that knows it.
- Only what each Unix has is used: no signal on the parent's death, no abstract socket.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from zkexec.devserver.installation import (
    DevServerError,
    Installation,
    find_installation,
    what_to_install,
)
from zkexec.text import printable

LOOPBACK = "127.0.0.1"

_SERVER = 'echo $$; exec "$@" >&2'
_GUARD = (
    'read -r pid; read -r never; [ -z "$pid" ] || kill -KILL "$pid"; '
    # The first attempt can miss a file that the server has just created.
    'PATH="$PATH:/usr/bin:/bin"; rm -rf -- "$1" || { sleep 1; rm -rf -- "$1"; }'
)
_OPTIONS = (
    "-Xmx256m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-Djava.net.preferIPv4Stack=true",
    "-Dzookeeper.forceSync=no",
    "-Dzookeeper.preAllocSize=512",
    "-Dzookeeper.nio.numSelectorThreads=1",
)
# Those of ZooKeeper's own sample, without a limit of connections by address: every client has the
# same address here.
_SETTINGS = {
    "tickTime": "2000",
    "initLimit": "10",
    "syncLimit": "5",
    "maxClientCnxns": "0",
    "admin.enableServer": "false",
    "4lw.commands.whitelist": "*",
}
# For each logging library of a ZooKeeper: to stderr, and not every detail.
_LOG_SETTINGS = {
    "log4j.properties": (
        "log4j.rootLogger=INFO, E\n"
        "log4j.appender.E=org.apache.log4j.ConsoleAppender\n"
        "log4j.appender.E.target=System.err\n"
        "log4j.appender.E.layout=org.apache.log4j.PatternLayout\n"
        "log4j.appender.E.layout.ConversionPattern=%d{ISO8601} %p %c - %m%n\n"
    ),
    "log4j2.properties": (
        "rootLogger.level = info\n"
        "rootLogger.appenderRef.e.ref = E\n"
        "appender.e.type = Console\n"
        "appender.e.name = E\n"
        "appender.e.target = SYSTEM_ERR\n"
        "appender.e.layout.type = PatternLayout\n"
        "appender.e.layout.pattern = %d{ISO8601} %p %c - %m%n\n"
    ),
    "logback.xml": (
        '<configuration><appender name="E" class="ch.qos.logback.core.ConsoleAppender">'
        "<target>System.err</target><encoder><pattern>%d{ISO8601} %p %c - %m%n</pattern></encoder>"
        '</appender><root level="INFO"><appender-ref ref="E"/></root></configuration>\n'
    ),
}
_REASON_LENGTH = 300
_TOO_OLD = re.compile(r"UnsupportedClassVersionError.*?class file version (\d+)", re.DOTALL)
# What macOS' own /usr/bin/java writes if there is no Java.
_NO_JAVA = "Unable to locate a Java Runtime"
# A class file of version 52 is one of Java 8, and so on.
_CLASS_FILES_BEFORE_JAVA = 44


class EnsembleMember(NamedTuple):
    """A server as part of an ensemble: the server.N lines of all, and its own N."""

    lines: tuple[str, ...] = ()
    number: int = 0


STANDALONE = EnsembleMember()


def ensemble_lines(ports: Sequence[tuple[int, int]]) -> tuple[str, ...]:
    """Return the server.N lines of an ensemble with these ports for peers and for elections."""
    return tuple(
        f"server.{number}={LOOPBACK}:{peer}:{election}"
        for number, (peer, election) in enumerate(ports, start=1)
    )


def ask(port: int, word: str, timeout_s: float = 5.0) -> str:
    """Send a four-letter word; return the answer, or an empty string if there is none."""
    answer = b""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=timeout_s) as connection:
            connection.sendall(word.encode())
            while piece := connection.recv(65536):
                answer += piece
    except OSError:
        return ""
    return answer.decode("utf-8", "replace")


class Server:
    """One ZooKeeper server on this port of the loopback interface, stopped until `launch()`.

    It is part of an ensemble if `member` has lines.  `settings` are more lines of its zoo.cfg,
    `options` more options of Java.  By default the installation of this machine is used.
    """

    def __init__(
        self,
        port: int,
        *,
        member: EnsembleMember = STANDALONE,
        settings: Mapping[str, str] | None = None,
        options: tuple[str, ...] = (),
        installation: Installation | None = None,
    ) -> None:
        self.port = port
        self.hosts = f"{LOOPBACK}:{port}"
        self.folder = Path(tempfile.mkdtemp(prefix="zkexec-zookeeper-"))
        self.log = self.folder / "server.log"
        self._member = member
        self._settings = dict(settings or {})
        self._options = options
        self._installation = installation
        self._log_start = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process ID; RuntimeError if the server is stopped."""
        if self._process is None:
            raise RuntimeError(f"ZooKeeper server {self.hosts} is not running")
        return self._process.pid

    def launch(self) -> None:
        """Start the process without waiting: an ensemble serves only once a quorum is there."""
        self._dismiss_guard()
        self._installation = self._installation or find_installation(os.environ)
        # The guard comes first, when there is nothing yet that could be left behind.  Only this
        # process has the other end of its pipe, as Popen passes on no other descriptors.
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, "guard", str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )
        command = self._command(self._installation)
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", _SERVER, "server", *command],
                stdin=subprocess.DEVNULL,
                stdout=self._guard.stdin,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,
            )

    def _command(self, installation: Installation) -> list[str]:
        """Write the files that the server reads, and return its command line."""
        (self.folder / "data").mkdir(exist_ok=True)
        (self.folder / "data" / "myid").write_text(f"{self._member.number}\n")
        for name, text in _LOG_SETTINGS.items():
            (self.folder / name).write_text(text)
        config = self.folder / "zoo.cfg"
        config.write_text(self._config())
        main = "quorum.QuorumPeerMain" if self._member.lines else "ZooKeeperServerMain"
        return [
            installation.java,
            *_OPTIONS,
            *self._options,
            "-cp",
            f"{self.folder}:{installation.class_path}",
            f"org.apache.zookeeper.server.{main}",
            str(config),
        ]

    def _config(self) -> str:
        lines = {
            **_SETTINGS,
            "dataDir": str(self.folder / "data"),
            "clientPort": str(self.port),
            "clientPortAddress": LOOPBACK,
            **self._settings,
        }
        return "\n".join([*(f"{k}={v}" for k, v in lines.items()), *self._member.lines, ""])

    def is_serving(self) -> bool:
        """Return whether this very server serves requests; raise DevServerError if it exited."""
        self.check()
        # Any other process that listens on this port does not know the name of our folder.
        # A word that arrives while a server starts may never get an answer.
        ours = str(self.folder) in self.ask("conf", timeout_s=1.0)
        return ours and "Mode:" in self.ask("srvr", timeout_s=1.0)

    def check(self) -> None:
        """Do nothing if the server runs; raise DevServerError with the reason if it does not."""
        status = self._process.poll() if self._process else 0
        if status is not None:
            raise DevServerError(self._why_exited(status))

    def _why_exited(self, status: int) -> str:
        name = f"the ZooKeeper server on port {self.port}"
        if status < 0:
            return f"{name} was killed by {signal.Signals(-status).name}"
        text = self.tail_of_log()
        java = self._installation.java if self._installation else "java"
        if _NO_JAVA in text:
            return what_to_install("Java")
        if match := _TOO_OLD.search(text):
            wanted = int(match[1]) - _CLASS_FILES_BEFORE_JAVA
            return f"{name} did not start: it needs Java {wanted} or newer, and {java} is older"
        return f"{name} exited with status {status}: {reason_in(text) or f'{java} gives no reason'}"

    def tail_of_log(self) -> str:
        """Return the last lines that the server has written since it was launched."""
        try:
            with self.log.open("rb") as log:
                log.seek(self._log_start)
                lines = log.read().decode("utf-8", "replace").splitlines()
        except OSError:
            return ""
        return "\n".join(lines[-60:])

    def ask(self, word: str, timeout_s: float = 5.0) -> str:
        """Send a four-letter word; return the answer, or an empty string if there is none."""
        return ask(self.port, word, timeout_s)

    def fact(self, name: str) -> str:
        """Return one value of the answer to `srvr`: "Mode", "Zxid", "Connections", ...; or ""."""
        for line in self.ask("srvr").splitlines():
            key, _, value = line.partition(": ")
            if key == name:
                return value
        return ""

    def stop(self, *, suddenly: bool = False) -> None:
        """End the process, by TERM and then by KILL, or at once by KILL."""
        process, self._process = self._process, None
        if process is not None:
            if not suddenly:
                process.send_signal(signal.SIGTERM)
                process.send_signal(signal.SIGCONT)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=5.0)
            process.kill()
            process.wait()
        self._dismiss_guard()

    def _dismiss_guard(self) -> None:
        guard, self._guard = self._guard, None
        if guard is not None:
            guard.kill()
            guard.wait()
            if guard.stdin is not None:
                guard.stdin.close()

    def close(self) -> None:
        """Stop at once, and remove the folder."""
        self.stop(suddenly=True)
        shutil.rmtree(self.folder, ignore_errors=True)


def reason_in(log: str) -> str:
    """Find the reason why a Java program exited in the last lines of its log; on one line."""
    lines = [line for line in log.splitlines() if line.strip() and not line.startswith("\tat ")]
    for sign in (r"Caused by: (.*)", r"(?:Exception in thread \S+ )?((?:\w+\.)+\w+(?:: .*)?)"):
        if matches := [match for line in lines if (match := re.fullmatch(sign, line))]:
            return printable(matches[-1][1])[:_REASON_LENGTH]
    # Written by Java itself, or by the system, before ZooKeeper could write anything.
    return printable("; ".join(lines[-3:]))[:_REASON_LENGTH]
