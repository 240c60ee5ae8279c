"""The servers of `zkexecctl dev` and of the tests: what they are started from, and how they end.

The rules of this file: an installation that is looked for stands below a folder of the test, as
empty files; one that is started is made of the jars of this machine.
"""

import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from kazoo.client import KazooClient

from support.waiting import until
from support.zookeeper import Ensemble, Port
from zkexec.devserver.installation import DevServerError, Installation, find_installation
from zkexec.devserver.server import Server, reason_in

DEBIAN = "usr/share/java/zookeeper.jar"
APPLE, INTEL = "opt/homebrew/opt", "usr/local/opt"
KEG = "zookeeper/libexec/lib/zookeeper-3.9.4.jar"

LOOPBACK_IN_PROC = f"{int.from_bytes(bytes((127, 0, 0, 1)), sys.byteorder):08X}"

TO_INSTALL = {
    "java": (
        "Java not found; on Debian and Ubuntu: sudo apt-get install -y default-jre-headless; "
        "with Homebrew: brew install openjdk; or set JAVA_HOME"
    ),
    "zookeeper": (
        "ZooKeeper not found; on Debian and Ubuntu: sudo apt-get install -y libzookeeper-java; "
        "with Homebrew: brew install zookeeper; or set ZOOKEEPER_HOME"
    ),
    "both": (
        "Java and ZooKeeper not found; on Debian and Ubuntu: sudo apt-get install -y "
        "default-jre-headless libzookeeper-java; "
        "with Homebrew: brew install zookeeper; or set JAVA_HOME and ZOOKEEPER_HOME"
    ),
}


LOG_WITH_EXCEPTION = """\
[main] ERROR org.apache.zookeeper.server.ZooKeeperServerMain - Unexpected exception
java.net.BindException: Address already in use
\tat java.base/sun.nio.ch.Net.bind0(Native Method)
[main] ERROR org.apache.zookeeper.util.ServiceUtils - Exiting JVM with code 1
"""
LOG_WITH_CAUSE = """\
org.apache.zookeeper.ConfigException: Error processing zoo.cfg
\tat org.apache.zookeeper.Main.main(Main.java:12)
Caused by: java.lang.IllegalArgumentException: serverid null is not a number
\tat org.apache.zookeeper.Main.read(Main.java:33)
\t... 1 more
"""


def lay(root: Path, *files: str) -> None:
    """Put files there; those below a `bin` are programs."""
    for file in files:
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        path.chmod(0o755 if path.parent.name == "bin" else 0o644)


def found(root: Path, **environment: str) -> Installation:
    """Find what is below the root, with only its own `usr/bin` on the PATH."""
    return find_installation({"PATH": str(root / "usr/bin"), **environment}, root)


def complaint(root: Path, **environment: str) -> str:
    """The error if something is not found, which says what to do."""
    with pytest.raises(DevServerError) as raised:
        found(root, **environment)
    return str(raised.value)


@pytest.mark.parametrize(
    ("files", "java", "folder", "version"),
    [
        (
            ("usr/bin/java", DEBIAN, "usr/share/java/zookeeper-3.8.0.jar"),
            "usr/bin/java",
            "usr/share/java",
            "3.8.0",
        ),
        (("usr/bin/java", DEBIAN), "usr/bin/java", "usr/share/java", ""),
        (
            ("usr/bin/java", f"{APPLE}/openjdk/bin/java", f"{APPLE}/{KEG}"),
            f"{APPLE}/openjdk/bin/java",
            f"{APPLE}/zookeeper/libexec",
            "3.9.4",
        ),
        (
            (f"{INTEL}/openjdk/bin/java", f"{INTEL}/{KEG}"),
            f"{INTEL}/openjdk/bin/java",
            f"{INTEL}/zookeeper/libexec",
            "3.9.4",
        ),
    ],
    ids=["Debian", "Debian without version", "Homebrew on Apple's chips", "Homebrew on Intel's"],
)
def test_installation_is_found(
    tmp_path: Path, files: tuple[str, ...], java: str, folder: str, version: str
) -> None:
    """Debian's and Homebrew's ZooKeeper are found, each with the Java that belongs to it."""
    lay(tmp_path, *files)
    installation = found(tmp_path)

    assert installation.java == str(tmp_path / java)
    assert installation.folder == tmp_path / folder
    assert installation.version == version


@pytest.mark.parametrize(
    ("jar", "version"),
    [
        ("lib/zookeeper-3.9.4.jar", "3.9.4"),
        ("zookeeper-3.4.14.jar", "3.4.14"),
        ("lib/zookeeper.jar", ""),
    ],
)
def test_homes_win(tmp_path: Path, jar: str, version: str) -> None:
    """ZOOKEEPER_HOME and JAVA_HOME are taken before whatever else is installed."""
    lay(tmp_path, "usr/bin/java", DEBIAN, f"{APPLE}/openjdk/bin/java", "jdk/bin/java")
    lay(tmp_path, "home/lib/zookeeper-jute-3.9.4.jar", f"home/{jar}")
    home = tmp_path / "home"
    installation = found(tmp_path, ZOOKEEPER_HOME=str(home), JAVA_HOME=str(tmp_path / "jdk"))

    assert installation.java == str(tmp_path / "jdk/bin/java")
    assert (installation.folder, installation.version) == (home, version)
    assert installation.class_path == f"{home}/lib/*:{home}/*"


@pytest.mark.parametrize(
    ("files", "missing"),
    [((DEBIAN,), "java"), (("usr/bin/java",), "zookeeper"), ((), "both")],
    ids=["no Java", "no ZooKeeper", "nothing"],
)
def test_what_is_missing_is_listed(tmp_path: Path, files: tuple[str, ...], missing: str) -> None:
    """If something is not installed, one line lists all that is to be installed, and how."""
    lay(tmp_path, *files)

    assert complaint(tmp_path) == TO_INSTALL[missing]


def test_a_wrong_home_is_named(tmp_path: Path) -> None:
    """A home without the jar is a mistake, whatever is installed elsewhere."""
    lay(tmp_path, "usr/bin/java", DEBIAN, "sources/pom.xml", "jdk/bin/javac")
    sources, jdk = str(tmp_path / "sources"), str(tmp_path / "jdk")

    assert complaint(tmp_path, ZOOKEEPER_HOME=sources) == (
        f"ZOOKEEPER_HOME: {sources!r} has no lib/zookeeper-VERSION.jar: use the folder of an "
        "unpacked apache-zookeeper-VERSION-bin.tar.gz"
    )
    assert complaint(tmp_path, JAVA_HOME=jdk) == (f"JAVA_HOME: {jdk!r} has no program bin/java")


def test_empty_homes_are_none(tmp_path: Path) -> None:
    """A variable that is set to nothing is as one that is not set."""
    lay(tmp_path, "usr/bin/java", DEBIAN)

    assert found(tmp_path, ZOOKEEPER_HOME="", JAVA_HOME="") == found(tmp_path)


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        (
            LOG_WITH_EXCEPTION,
            "java.net.BindException: Address already in use",
        ),
        (
            LOG_WITH_CAUSE,
            "java.lang.IllegalArgumentException: serverid null is not a number",
        ),
        (
            'Exception in thread "main" java.lang.OutOfMemoryError: Java heap space\n',
            "java.lang.OutOfMemoryError: Java heap space",
        ),
        (
            "Unrecognized VM option 'Nonsense'\nError: Could not create the Machine.\n\n",
            "Unrecognized VM option 'Nonsense'; Error: Could not create the Machine.",
        ),
        ("java.io.IOException: \x1b[31mred\n", "java.io.IOException: \\x1b[31mred"),
        ("", ""),
    ],
    ids=["exception", "cause", "thread", "no Java", "unclean", "nothing"],
)
def test_reason_in_a_log(log: str, reason: str) -> None:
    """The reason why the server exited is found in a log, and shown on one printable line."""
    assert reason_in(log) == reason


@pytest.fixture
def server() -> Iterator[Server]:
    """A server as `dev` has them, on a port of the test's; stopped."""
    port = Port()
    one = Server(port.number)
    yield one
    one.close()
    port.release()


def died(server: Server) -> str:
    """Wait until the server has exited; the error about it."""
    reasons: list[str] = []

    def has_reason() -> bool:
        try:
            server.check()
        except DevServerError as error:
            reasons.append(str(error))
        return bool(reasons)

    until(has_reason, "the server has exited")
    return reasons[0]


def test_a_server_that_exited_has_a_reason(server: Server) -> None:
    """The error has the port, the status and the reason; after a new start, those of this one."""
    prefix = f"the ZooKeeper server on port {server.port}"
    with socket.create_server(("127.0.0.1", server.port)):
        server.launch()
        assert died(server) == (
            f"{prefix} exited with status 1: java.net.BindException: Address already in use"
        )

    server.launch()
    until(server.is_serving, "the server serves")
    os.kill(server.pid, signal.SIGKILL)
    assert died(server) == f"{prefix} was killed by SIGKILL"


def test_it_listens_on_the_loopback_interface_only() -> None:
    """No server of an ensemble can be reached from another machine, by no port."""
    servers = Ensemble(3)
    try:
        servers.start()
        listening = [listened_to(server.pid) for server in servers.servers]
    finally:
        servers.close()

    # The clients' port and that of elections, and of the leader that of its followers.
    assert sorted(len(addresses) for addresses in listening) == [2, 2, 3]
    assert {address for addresses in listening for address in addresses} == {LOOPBACK_IN_PROC}


def listened_to(pid: int) -> list[str]:
    """The addresses of a process's listening sockets."""
    folder = Path(f"/proc/{pid}/fd")
    held = {os.readlink(link) for link in folder.iterdir()}
    rows = [
        row.split()
        for table in ("tcp", "tcp6")
        for row in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
    ]
    # The columns: number, own address, other address, state (0A listens), ..., inode.
    listening = [row for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in held]
    return [row[1].partition(":")[0] for row in listening]


def test_an_ensemble_survives_the_stop_of_one() -> None:
    """Three servers elect a leader; without it, the others elect another and keep what was."""
    servers = Ensemble(3)
    client = KazooClient(hosts=servers.hosts, timeout=30.0)
    try:
        servers.start()
        client.start(timeout=30.0)
        client.create("/kept", b"content")
        servers.leader().stop()
        kept, _ = client.retry(client.get, "/kept")
        client.retry(client.create, "/made")
        modes = sorted(server.fact("Mode") for server in servers.servers)
    finally:
        client.stop()
        client.close()
        servers.close()

    assert kept == b"content"
    assert modes == ["", "follower", "leader"]


def test_a_log_of_another_kind_has_a_reason(tmp_path: Path, server: Server) -> None:
    """A ZooKeeper that logs by log4j, without settings of its own, has a reason as well."""
    jars, home = Path("/usr/share/java"), tmp_path / "lib"
    home.mkdir()
    for name in ("zookeeper.jar", "slf4j-log4j12.jar", "log4j-1.2.jar"):
        (home / name).symlink_to(jars / name)
    environment = {**os.environ, "ZOOKEEPER_HOME": str(tmp_path)}
    old = Server(server.port, installation=find_installation(environment))
    try:
        with socket.create_server(("127.0.0.1", server.port)):
            old.launch()
            reasons = died(old)
        log = old.log.read_text()
    finally:
        old.close()

    assert reasons.endswith(" exited with status 1: java.net.BindException: Address already in use")
    assert " INFO org.apache.zookeeper." in log
