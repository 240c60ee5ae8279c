"""`examples/fleet`: the fleet that the README shows, started and steered as a reader would."""

import os
import shlex
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import PIPE

import pytest
from kazoo.client import KazooClient

from support.leftovers import Leftovers
from support.processes import proc
from support.program import Program
from support.sandbox import Sandbox
from support.terminal import Terminal

ROOT = Path(__file__).resolve().parents[2]
FLEET = ROOT / "examples" / "fleet"
START = (sys.executable, str(FLEET / "start"))
PROGRAMS = Path(sys.executable).parent
MEMBERS = ("web-1", "web-2", "web-3")
CTRL_C = "\x03"
RUNS = "Ctrl-C stops"


class Visitor:
    """A reader of the README, who starts the fleet and runs the commands that it proposes."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.leftovers = Leftovers(sandbox.folder / "temporary")
        self.environment = sandbox.environment(
            PATH=f"{PROGRAMS}:{os.environ['PATH']}",
            TMPDIR=str(self.leftovers.temporary),
            ZKEXEC_CLUSTER="",
            ZKEXEC_SILENT="yes",
        )
        self._sandbox = sandbox

    def start_on_terminal(self) -> Program:
        """Start the fleet on a terminal."""
        terminal = Terminal()
        return self._sandbox.start(*START, terminal=terminal, env=self.environment, cwd=ROOT)

    def start(self, *words: str) -> Program:
        """Start the fleet without a terminal; its input and its outputs are pipes."""
        return self._sandbox.start(*START, *words, stdin=PIPE, env=self.environment, cwd=ROOT)

    def run(self, line: str) -> tuple[int, str]:
        """Run a command; its exit status, and its output with its errors."""
        words = shlex.split(line)
        status, out, err = self._sandbox.run(*words, env=self.environment, cwd=ROOT)
        return status, (out + err).decode()

    def services(self) -> list[int]:
        """The commands of the members that run."""
        words = {pid: proc(pid, "cmdline") for pid in self.leftovers.processes()}
        # The command line of a member ends with that of its service.
        runs = [pid for pid, line in words.items() if line.endswith(b"/service\0app.conf\0")]
        return [pid for pid in runs if b"--lock" not in words[pid]]


@pytest.fixture
def visitor(sandbox: Sandbox) -> Iterator[Visitor]:
    """A reader in an environment of this test alone."""
    one = Visitor(sandbox)
    yield one
    one.leftovers.kill()


def configurations(folder: Path) -> list[str]:
    """The names of the example files that the members have got."""
    names = {(FLEET / name).read_text(): name for name in ("app-v1.conf", "app-v2.conf")}
    files = [folder / member / "app.conf" for member in MEMBERS]
    return [names.get(file.read_text(), "other") for file in files]


def commands(shown: str) -> list[str]:
    """The commands that the fleet proposes, without the first spaces."""
    return [line.strip() for line in shown.splitlines() if line.startswith("    ")]


def test_a_reader_follows_the_example(visitor: Visitor) -> None:
    """The proposed commands do what the README promises, and Ctrl-C leaves nothing behind."""
    fleet = visitor.start_on_terminal()
    fleet.expect("Ctrl-C stops the fleet")
    export, status, push, bad_push, undo = commands(fleet.stdout.text)
    visitor.environment["ZKEXEC_CLUSTER"] = export.partition("=")[2]
    (folder,) = visitor.leftovers.temporary.glob("zkexec-fleet-*")
    assert configurations(folder) == ["app-v1.conf"] * 3

    assert visitor.run(f"{push} --yes")[0] == 0
    assert configurations(folder) == ["app-v2.conf"] * 3
    failed = visitor.run(f"{bad_push} --yes")
    assert (failed[0], "failed on web-" in failed[1]) == (1, True)
    assert sorted(configurations(folder)) == ["app-v2.conf", "app-v2.conf", "other"]
    assert visitor.run(status.removesuffix(" --watch"))[0] == 0
    assert visitor.run(f"{undo} --yes")[0] == 0
    assert configurations(folder) == ["app-v2.conf"] * 3

    visitor.leftovers.demand_fleet()
    fleet.send(CTRL_C)
    fleet.expect("The fleet is stopped")
    assert fleet.wait() == -signal.SIGINT
    visitor.leftovers.demand_nothing()


def test_a_cluster_of_the_user(visitor: Visitor, client: KazooClient, root: str) -> None:
    """The fleet uses ZKEXEC_CLUSTER, refuses to join a group there, and keeps --folder."""
    folder = visitor.leftovers.temporary / "kept"
    hosts = "{}:{}".format(*client.hosts[0])
    visitor.environment["ZKEXEC_CLUSTER"] = hosts + root
    fleet = visitor.start("1", "--folder", str(folder))
    fleet.until(RUNS, on=fleet.stdout)
    shown = fleet.stdout.text
    second = visitor.start("1")

    assert second.wait() == 1
    assert fleet.end(signal.SIGTERM) == -signal.SIGTERM
    assert f"export ZKEXEC_CLUSTER={hosts}{root}\n" in shown
    complaint = f"start: the group web is in use in {hosts}{root}; "
    assert second.stderr.text.startswith(complaint)
    assert client.get(f"{root}/web/app.conf")[0] == (FLEET / "app-v1.conf").read_bytes()
    assert (folder / "web-1" / "app.conf").exists()
    assert visitor.leftovers.notes() == []


def test_another_configuration_is_not_overwritten(
    visitor: Visitor, client: KazooClient, root: str
) -> None:
    """The fleet refuses to start if its znode contains the configuration of something else."""
    client.create(f"{root}/web/app.conf", b"precious", makepath=True)
    visitor.environment["ZKEXEC_CLUSTER"] = "{}:{}".format(*client.hosts[0]) + root
    fleet = visitor.start()

    assert fleet.wait() == 1
    assert fleet.stderr.text.startswith("start: /web/app.conf is in use in ")
    assert client.get(f"{root}/web/app.conf")[0] == b"precious"
    visitor.leftovers.demand_nothing()


@pytest.mark.parametrize("moment", ["Starting ZooKeeper", "Starting 2 members", RUNS])
def test_the_end_of_input_stops_the_fleet(visitor: Visitor, moment: str) -> None:
    """A program that starts the fleet with --stop-at-eof stops it at any moment by its own end."""
    fleet = visitor.start("2", "--stop-at-eof")
    fleet.until(moment, on=fleet.stdout)
    assert visitor.leftovers.processes()
    fleet.close_stdin()

    assert (fleet.wait(), fleet.stderr.text) == (0, "")
    assert fleet.stdout.text.endswith("The fleet is stopped.\n")
    visitor.leftovers.demand_nothing()


def test_a_member_that_exits_is_reported(visitor: Visitor) -> None:
    """The fleet reports a member that exits, and runs on with the others until all have exited."""
    fleet = visitor.start("1")
    fleet.expect(f"{RUNS}.*\n", on=fleet.stdout)
    (service,) = visitor.services()
    os.kill(service, signal.SIGKILL)

    assert (fleet.wait(), fleet.stderr.text) == (1, "start: all members exited\n")
    assert fleet.stdout.unfound.startswith("web-1 exited: ")
    visitor.leftovers.demand_nothing()


def test_a_machine_without_java(visitor: Visitor) -> None:
    """If Java is missing, the fleet reports how to install it, and leaves nothing."""
    visitor.environment["PATH"] = str(PROGRAMS)
    fleet = visitor.start()

    assert (fleet.wait(), fleet.stdout.text) == (1, "Starting ZooKeeper ...\n")
    complaint = "start: Java not found; on Debian and Ubuntu: sudo apt-get install"
    assert complaint in fleet.stderr.text
    visitor.leftovers.demand_nothing()
