"""`examples/fleet`: the fleet that the README shows, started and steered as a reader would."""

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.stage import PATIENCE_S, Stage, end, proc
from e2e.terminal import Terminal
from kazoo.client import KazooClient

from e2e.remains import Remains

ROOT = Path(__file__).resolve().parents[2]
FLEET = ROOT / "examples" / "fleet"
START = (sys.executable, str(FLEET / "start"))
PROGRAMS = Path(sys.executable).parent
MEMBERS = ("web-1", "web-2", "web-3")
CTRL_C = "\x03"


class Visitor:
    """A reader of the README, who starts the fleet and runs the commands that it proposes."""

    def __init__(self, stage: Stage) -> None:
        self.remains = Remains(stage.folder / "temporary")
        self.environment = stage.environment(
            PATH=f"{PROGRAMS}:{os.environ['PATH']}",
            TMPDIR=str(self.remains.temporary),
            ZKEXEC_CLUSTER="",
            ZKEXEC_SILENT="yes",
        )
        self._stage = stage
        self._terminals: list[Terminal] = []

    def start_on_terminal(self) -> Terminal:
        """Start the fleet on a terminal."""
        terminal = Terminal(*START, environment=self.environment, folder=ROOT)
        self._terminals.append(terminal)
        return terminal

    def start(self, *words: str) -> "subprocess.Popen[bytes]":
        """Start the fleet without a terminal; its input and its output are pipes."""
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        options = {"env": self.environment, "cwd": ROOT, "bufsize": 0}
        return self._stage.start(*START, *words, **pipes, **options)

    def run(self, line: str) -> tuple[int, str]:
        """Run a command; its exit status, and its output with its errors."""
        words = shlex.split(line)
        status, out, err = self._stage.run(*words, env=self.environment, cwd=ROOT)
        return status, (out + err).decode()

    def close(self) -> None:
        """Close the terminals, and kill what a failed test has left."""
        for terminal in self._terminals:
            terminal.close()
        self.remains.kill()


@pytest.fixture
def visitor(stage: Stage) -> Iterator[Visitor]:
    """A reader in an environment of this test alone."""
    one = Visitor(stage)
    yield one
    one.close()


def configurations(folder: Path) -> list[str]:
    """The names of the example files that the members have got."""
    names = {(FLEET / name).read_text(): name for name in ("app-v1.conf", "app-v2.conf")}
    files = [folder / member / "app.conf" for member in MEMBERS]
    return [names.get(file.read_text(), "other") for file in files]


def commands(shown: str) -> list[str]:
    """The commands that the fleet proposes, without the first spaces."""
    return [line.strip() for line in shown.splitlines() if line.startswith("    ")]


def read_until(process: "subprocess.Popen[bytes]", text: str) -> str:
    """Read the output up to the line with this text, and return it."""
    shown = ""
    assert process.stdout is not None
    for line in process.stdout:
        shown += line.decode()
        if text in shown:
            return shown
    raise AssertionError(f"no {text!r} in {shown!r}")


def test_a_reader_follows_the_example(visitor: Visitor) -> None:
    """The proposed commands do what the README promises, and Ctrl-C leaves nothing behind."""
    terminal = visitor.start_on_terminal()
    terminal.expect(r"Ctrl-C stops the fleet")
    export, status, push, bad_push, undo = commands(terminal.text)
    visitor.environment["ZKEXEC_CLUSTER"] = export.partition("=")[2]
    (folder,) = visitor.remains.temporary.glob("zkexec-fleet-*")
    assert configurations(folder) == ["app-v1.conf"] * 3

    assert visitor.run(f"{push} --yes")[0] == 0
    assert configurations(folder) == ["app-v2.conf"] * 3
    failed = visitor.run(f"{bad_push} --yes")
    assert (failed[0], "failed on web-" in failed[1]) == (1, True)
    assert sorted(configurations(folder)) == ["app-v2.conf", "app-v2.conf", "other"]
    assert visitor.run(status.removesuffix(" --watch"))[0] == 0
    assert visitor.run(f"{undo} --yes")[0] == 0
    assert configurations(folder) == ["app-v2.conf"] * 3

    visitor.remains.demand_fleet()
    terminal.type(CTRL_C)
    terminal.expect(r"The fleet is stopped")
    assert terminal.process.wait(PATIENCE_S) == -signal.SIGINT
    visitor.remains.demand_nothing()


def test_a_cluster_of_the_user(visitor: Visitor, client: KazooClient, root: str) -> None:
    """The fleet uses ZKEXEC_CLUSTER, refuses to join a group there, and keeps --folder."""
    folder = visitor.remains.temporary / "kept"
    hosts = "{}:{}".format(*client.hosts[0])
    visitor.environment["ZKEXEC_CLUSTER"] = hosts + root
    fleet = visitor.start("1", "--folder", str(folder))
    shown = read_until(fleet, "Ctrl-C stops")
    second = visitor.start("1")
    complaint = second.communicate(timeout=PATIENCE_S)[1].decode()
    fleet.terminate()

    assert (end(fleet), second.returncode) == (-signal.SIGTERM, 1)
    assert f"export ZKEXEC_CLUSTER={hosts}{root}\n" in shown
    assert complaint.startswith(f"start: the group web is in use in {hosts}{root}; ")
    assert client.get(f"{root}/web/app.conf")[0] == (FLEET / "app-v1.conf").read_bytes()
    assert (folder / "web-1" / "app.conf").exists()
    assert visitor.remains.notes() == []


def test_another_configuration_is_not_overwritten(
    visitor: Visitor, client: KazooClient, root: str
) -> None:
    """The fleet refuses to start if its znode contains the configuration of something else."""
    client.create(f"{root}/web/app.conf", b"precious", makepath=True)
    visitor.environment["ZKEXEC_CLUSTER"] = "{}:{}".format(*client.hosts[0]) + root
    fleet = visitor.start()
    complaint = fleet.communicate(timeout=PATIENCE_S)[1].decode()

    assert fleet.returncode == 1
    assert complaint.startswith("start: /web/app.conf is in use in ")
    assert client.get(f"{root}/web/app.conf")[0] == b"precious"
    visitor.remains.demand_nothing()


@pytest.mark.parametrize("moment", ["Starting ZooKeeper", "Starting 2 members", "Ctrl-C stops"])
def test_the_end_of_input_stops_the_fleet(visitor: Visitor, moment: str) -> None:
    """A program that starts the fleet with --stop-at-eof stops it at any moment by its own end."""
    fleet = visitor.start("2", "--stop-at-eof")
    read_until(fleet, moment)
    present = len(visitor.remains.processes())
    out, errors = fleet.communicate(timeout=PATIENCE_S)

    assert present > 0
    assert (fleet.returncode, errors) == (0, b"")
    assert out.endswith(b"The fleet is stopped.\n")
    visitor.remains.demand_nothing()


def test_a_member_that_exits_is_reported(visitor: Visitor) -> None:
    """The fleet reports a member that exits, and runs on with the others until all have exited."""
    fleet = visitor.start("1")
    read_until(fleet, "Ctrl-C stops")
    services = [pid for pid in visitor.remains.processes() if b"app.conf" in proc(pid, "cmdline")]
    service = max(services)
    os.kill(service, signal.SIGKILL)
    out, errors = fleet.communicate(timeout=PATIENCE_S)

    assert len(services) == 2, "zkexec and its command"
    assert out.startswith(b"web-1 exited: ")
    assert (fleet.returncode, errors) == (1, b"start: all members exited\n")
    visitor.remains.demand_nothing()


def test_a_machine_without_java(visitor: Visitor) -> None:
    """If Java is missing, the fleet reports how to install it, and leaves nothing."""
    visitor.environment["PATH"] = str(PROGRAMS)
    fleet = visitor.start()
    out, errors = fleet.communicate(timeout=PATIENCE_S)

    assert (fleet.returncode, out) == (1, b"Starting ZooKeeper ...\n")
    assert b"start: Java not found; on Debian and Ubuntu: sudo apt-get install" in errors
    visitor.remains.demand_nothing()
