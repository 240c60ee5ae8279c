"""`zkexecctl dev`: a ZooKeeper in the foreground, and that nothing of it is left, however it ends.

The rules of this file: each run has an empty folder for its temporary files, and its processes
carry the sandbox's mark.  What a run may leave behind is looked for in both.
"""

import os
import re
import shutil
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from zipfile import ZipFile

import pytest
from kazoo.client import KazooClient

from support.interactive_shell import InteractiveShell
from support.processes import is_alive
from support.program import Program
from support.sandbox import Sandbox
from support.terminal import Terminal
from support.waiting import DEADLINE_S, until
from support.zookeeper import Port, Server
from zkexec.devserver import server as servers

DEV = (sys.executable, "-m", "zkexec.ctl", "dev")

Start = Callable[..., Program]


@pytest.fixture
def sandbox(tmp_path: Path, zookeeper: Server) -> Iterator[Sandbox]:
    """A sandbox for processes; the shared server is nothing to them."""
    one = Sandbox(tmp_path, zookeeper.hosts)
    yield one
    one.close()


@pytest.fixture
def remains(sandbox: Sandbox) -> Path:
    """The folder in which temporary folders are made."""
    folder = sandbox.folder / "remains"
    folder.mkdir()
    return folder


@pytest.fixture
def ports() -> Iterator[list[int]]:
    """Three free ports in a row, reserved."""
    reserved: list[Port] = []
    while len(reserved) < 3:
        try:
            reserved.append(Port(reserved[-1].number + 1) if reserved else Port())
        except OSError:
            # The next one can stay in use, so it begins anew elsewhere.
            while reserved:
                reserved.pop().release()
    yield [port.number for port in reserved]
    for port in reserved:
        port.release()


@pytest.fixture
def start(sandbox: Sandbox, remains: Path, ports: list[int]) -> Start:
    """Start `dev` on the first of the ports, with more arguments and variables; in a pipe."""

    def dev(*words: str, prefix: tuple[str, ...] = (), **additions: str) -> Program:
        return sandbox.start(
            *prefix,
            *DEV,
            f"--port={ports[0]}",
            *words,
            env=sandbox.environment(TMPDIR=str(remains), **additions),
        )

    return dev


def read_until(dev: Program, text: str) -> str:
    """Read its output up to the line with this text."""
    dev.until(re.escape(text), on=dev.stdout)
    before, found, rest = dev.stdout.text.partition(text)
    return f"{before}{found}{rest.partition(chr(10))[0]}\n"


def end(dev: Program) -> tuple[int, str]:
    """Wait for the end; the status as Popen has it, and what is on stderr."""
    status = dev.wait()
    return status, dev.stderr.text


def failure(dev: Program) -> str:
    """Wait for the end, which has to be that of one that cannot work; its one line."""
    status, complaints = end(dev)
    assert status == 125
    assert complaints.startswith("zkexecctl: ")
    assert complaints.endswith("\n")
    assert complaints.count("\n") == 1
    return complaints.removeprefix("zkexecctl: ").rstrip()


def assert_nothing_left(sandbox: Sandbox, remains: Path) -> None:
    """Search for processes and files once it has ended by itself: there is nothing to wait for."""
    assert sandbox.present() == []
    assert list(remains.iterdir()) == []


def test_it_serves(start: Start, sandbox: Sandbox, remains: Path, ports: list[int]) -> None:
    """It shows what serves where, and how to use it, once it really serves."""
    dev = start()
    said = read_until(dev, "Ctrl-C")
    mode = servers.ask(ports[0], "srvr")
    limits = servers.ask(ports[0], "conf")
    client = KazooClient(hosts=f"127.0.0.1:{ports[0]}", timeout=10.0)
    client.start(timeout=DEADLINE_S)
    client.create("/made", b"content")
    client.stop()
    client.close()
    dev.terminate()
    status = end(dev)

    assert re.fullmatch(
        r"starting ZooKeeper [\w. ]+in /\S+ with /\S+\n"
        rf"serving on 127\.0\.0\.1:{ports[0]} \(pid \d+\), files in {remains}/\S+\n"
        rf"to use it: export ZKEXEC_CLUSTER=127\.0\.0\.1:{ports[0]}\n"
        r"Ctrl-C ends it, and nothing is kept\n",
        said,
    )
    assert "Mode: standalone" in mode
    # As a server has them whose administrator has not said otherwise.
    assert {"tickTime=2000", "minSessionTimeout=4000", "maxSessionTimeout=40000"} <= set(
        limits.splitlines()
    )
    assert status == (-signal.SIGTERM, "")
    assert_nothing_left(sandbox, remains)


def test_an_ensemble(start: Start, sandbox: Sandbox, remains: Path, ports: list[int]) -> None:
    """Servers on ports in a row elect a leader, and serve on while one of them is frozen."""
    dev = start("--ensemble=3")
    said = read_until(dev, "Ctrl-C")
    hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
    roles = re.findall(r"serving on 127\.0\.0\.1:(\d+) \((leader|follower), pid (\d+)\)", said)
    frozen, its_pid = next((port, int(pid)) for port, role, pid in roles if role == "follower")
    client = KazooClient(
        hosts=",".join(host for host in hosts.split(",") if not host.endswith(frozen)), timeout=10.0
    )
    os.kill(its_pid, signal.SIGSTOP)
    client.start(timeout=DEADLINE_S)
    client.create("/made", b"content")
    client.stop()
    client.close()
    dev.terminate()
    status = end(dev)

    assert f"export ZKEXEC_CLUSTER={hosts}\n" in said
    assert [int(port) for port, _, _ in roles] == ports
    assert sorted(role for _, role, _ in roles) == ["follower", "follower", "leader"]
    assert status == (-signal.SIGTERM, "")
    assert_nothing_left(sandbox, remains)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("moment", ["starting", "Ctrl-C"])
def test_it_ends_by_a_signal(
    start: Start, sandbox: Sandbox, remains: Path, moment: str, number: signal.Signals
) -> None:
    """A signal ends it at once without a message, by this signal, and nothing is left."""
    dev = start("--ensemble=2")
    read_until(dev, moment)
    dev.signal(number)

    assert end(dev) == (-number, "")
    assert_nothing_left(sandbox, remains)


def test_what_is_ignored_stays_ignored(start: Start, sandbox: Sandbox, remains: Path) -> None:
    """Below nohup it does not end with the terminal."""
    dev = start(prefix=("sh", "-c", 'trap "" HUP; exec "$@"', "sh"))
    read_until(dev, "Ctrl-C")
    dev.signal(signal.SIGHUP)
    dev.signal(signal.SIGTERM)

    assert end(dev) == (-signal.SIGTERM, "")
    assert_nothing_left(sandbox, remains)


def test_a_sudden_death_leaves_nothing(start: Start, sandbox: Sandbox, remains: Path) -> None:
    """If KILL ends it, its servers exit, even frozen ones, and their folders are removed."""
    dev = start("--ensemble=2")
    said = read_until(dev, "Ctrl-C")
    pids = [int(pid) for pid in re.findall(r"pid (\d+)", said)]
    os.kill(pids[0], signal.SIGSTOP)
    assert all(is_alive(pid) for pid in pids)
    dev.kill()
    end(dev)

    assert len(pids) == 2
    sandbox.wait_until_empty()
    assert list(remains.iterdir()) == []


def test_a_sudden_death_at_the_start_leaves_nothing(
    start: Start, sandbox: Sandbox, remains: Path
) -> None:
    """KILL leaves nothing of servers that do not serve yet."""
    dev = start("--ensemble=3")
    read_until(dev, "starting")
    # Python tries the folder out with a file of its own, which is gone a moment later.
    until(lambda: any(one.is_dir() for one in remains.iterdir()), "a first server is being made")
    dev.kill()
    end(dev)

    sandbox.wait_until_empty()
    # The folder of a server that was not even begun is empty, and has no guard.
    assert [path for folder in remains.iterdir() for path in folder.iterdir()] == []


def test_ctrl_c_at_the_terminal(sandbox: Sandbox, remains: Path, ports: list[int]) -> None:
    """Ctrl-C, pressed again and again, ends it once and in order; Ctrl-Z and fg change nothing."""
    shell = InteractiveShell(sandbox.folder, sandbox.environment(TMPDIR=str(remains)))
    shell.enter(" ".join([*DEV, f"--port={ports[0]}"]))
    shell.expect(r"serving on .*\n")
    shell.send("\x1a")
    shell.prompt()
    stopped = servers.ask(ports[0], "srvr")
    shell.enter("fg")
    until(lambda: shell.terminal.foreground != shell.pid, "it is in the foreground again")
    shell.send("\x03\x03\x03")
    shell.prompt()
    status = shell.command("echo $?")

    # The shell alone is left.
    assert "Mode: standalone" in stopped
    assert status == "130\n"
    assert "Traceback" not in shell.stdout.text
    assert sandbox.present() == [shell.pid]
    assert list(remains.iterdir()) == []
    shell.close()


def test_the_terminal_goes_away(sandbox: Sandbox, remains: Path, ports: list[int]) -> None:
    """If the terminal hangs up, it ends and leaves nothing."""
    words = (*DEV, f"--port={ports[0]}")
    environment = sandbox.environment(TMPDIR=str(remains))
    process = sandbox.start(*words, terminal=Terminal(), env=environment)
    process.expect("Ctrl-C ends it")
    process.hang_up()

    assert process.wait() == -signal.SIGHUP
    assert_nothing_left(sandbox, remains)


def test_a_server_that_exits_ends_it(start: Start, sandbox: Sandbox, remains: Path) -> None:
    """A server that exits is reported, the others are ended, and the status is 125."""
    dev = start("--ensemble=2")
    said = read_until(dev, "Ctrl-C")
    port, pid = re.findall(r":(\d+) \(\w+, pid (\d+)\)", said)[1]
    os.kill(int(pid), signal.SIGKILL)

    assert failure(dev) == f"the ZooKeeper server on port {port} was killed by SIGKILL"
    assert_nothing_left(sandbox, remains)


def test_a_port_in_use(start: Start, sandbox: Sandbox, remains: Path, ports: list[int]) -> None:
    """A port in use is named before anything is started."""
    with socket.create_server(("127.0.0.1", ports[1])):
        dev = start("--ensemble=3")

        assert failure(dev) == f"port {ports[1]} is in use: choose another with --port"
    assert_nothing_left(sandbox, remains)


def test_a_second_one_on_the_same_port(start: Start, ports: list[int]) -> None:
    """A second one on the same port reports that a ZooKeeper is there."""
    first = start()
    read_until(first, "Ctrl-C")
    second = start()

    assert failure(second) == (
        f"port {ports[0]} is in use by a ZooKeeper: choose another with --port"
    )
    assert first.is_running()


def test_no_java(start: Start, sandbox: Sandbox, remains: Path) -> None:
    """Without Java it shows what to install."""
    dev = start(PATH="/nowhere")

    assert failure(dev) == (
        "Java not found; on Debian and Ubuntu: sudo apt-get install -y "
        "default-jre-headless; with Homebrew: brew install openjdk; or set JAVA_HOME"
    )
    assert_nothing_left(sandbox, remains)


def test_a_home_without_zookeeper(start: Start, sandbox: Sandbox) -> None:
    """A ZOOKEEPER_HOME without a ZooKeeper is refused, although there is one elsewhere."""
    complaint = failure(start(ZOOKEEPER_HOME=str(sandbox.folder)))

    assert complaint.startswith(f"ZOOKEEPER_HOME: {str(sandbox.folder)!r} has no lib/zookeeper-")


def test_java_home_is_honoured(start: Start, sandbox: Sandbox) -> None:
    """The Java of JAVA_HOME runs the server."""
    java = program(sandbox.folder / "jdk" / "bin" / "java", f'exec {shutil.which("java")} "$@"')
    dev = start(JAVA_HOME=str(sandbox.folder / "jdk"))

    assert f" with {java}\n" in read_until(dev, "starting")
    read_until(dev, "serving on")


def program(path: Path, line: str) -> Path:
    """Write a small program."""
    path.parent.mkdir(parents=True)
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)
    return path


def test_java_is_too_old(start: Start, sandbox: Sandbox, ports: list[int], remains: Path) -> None:
    """If ZooKeeper needs a newer Java, this is reported, with the Java that was used."""
    lib = sandbox.folder / "home" / "lib"
    lib.mkdir(parents=True)
    with ZipFile(lib / "zookeeper-99.0.jar", "w") as jar:
        # A class file for Java 955, as far as Java reads it.
        jar.writestr(
            "org/apache/zookeeper/server/ZooKeeperServerMain.class",
            b"\xca\xfe\xba\xbe" + (0).to_bytes(2) + (955 + 44).to_bytes(2) + bytes(100),
        )

    assert failure(start(ZOOKEEPER_HOME=str(lib.parent))) == (
        f"the ZooKeeper server on port {ports[0]} did not start: it needs Java 955 or "
        f"newer, and {shutil.which('java')} is older"
    )
    assert_nothing_left(sandbox, remains)


def test_a_server_that_exits_at_the_start(
    start: Start, sandbox: Sandbox, ports: list[int], remains: Path
) -> None:
    """What Java writes before it exits is reported on one line."""
    complaint = failure(start(JAVA_TOOL_OPTIONS="-XX:+Nonsense"))

    assert complaint.startswith(f"the ZooKeeper server on port {ports[0]} exited with status 1: ")
    assert "Unrecognized VM option 'Nonsense'" in complaint
    assert_nothing_left(sandbox, remains)


def test_the_reader_exits(start: Start, sandbox: Sandbox, remains: Path) -> None:
    """If the reader exits, as `head -1` does, it ends as others do, and leaves nothing."""
    dev = start()
    read_until(dev, "starting")
    dev.stdout.close()

    assert dev.wait() == -signal.SIGPIPE
    assert_nothing_left(sandbox, remains)


def test_no_room_for_files(start: Start, sandbox: Sandbox, remains: Path) -> None:
    """If its files cannot be written, one line has the reason and where they go."""
    complaint = failure(start(prefix=("sh", "-c", 'ulimit -f 0; exec "$@"', "sh")))

    assert complaint.startswith(
        f"cannot start ZooKeeper: No usable temporary directory found in ['{remains}', "
    )
    assert complaint.endswith("; its files go into TMPDIR")
    assert_nothing_left(sandbox, remains)
