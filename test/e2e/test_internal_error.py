"""A mistake in zkexec itself, in the middle of a change, seen on a real cluster."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from kazoo.client import KazooClient

from support.fleet import Fleet, fleet_on
from support.mirrored_host import MirroredHost, quoted
from support.processes import is_alive
from support.program import Program
from support.proxy import Proxy
from support.sandbox import Sandbox, faulty
from support.waiting import until
from support.zookeeper import Server


def start(host: MirroredHost, fault: tuple[str, str, str], trip: Path) -> Program:
    """Wrap a recorder with a zkexec that makes this mistake once the trip is there."""
    command = f"--exec={host.recorder('a')}"
    return host.start(*host.mirrors("a"), command, program=faulty(*fault, trip))


@pytest.mark.parametrize(
    "fault",
    [
        ("event", "ZnodeTouched", "natural-once"),
        ("event", "ZnodesRead", "natural-once"),
        ("action", "ReadZnodes", "natural-once"),
        ("action", "StageFiles", "natural-once"),
        ("event", "FilesStaged", "natural-once"),
        ("action", "SignalProcessTree", "natural-once"),
    ],
)
def test_a_change_is_applied_in_spite_of_a_mistake(
    host: MirroredHost, tmp_path: Path, fault: tuple[str, str, str]
) -> None:
    """Before its command was told to end it runs on, and the next core applies the change."""
    host.create(a=b"one")
    trip = tmp_path / "trip"
    run = start(host, fault, trip)
    first = host.born()
    trip.touch()
    host.set(a=b"two")

    run.until("zkexec failed internally")
    run.until("starting over; the running")
    second = host.born_with(a="two")

    assert second.pid != first.pid
    assert len(host.births()) == 2
    assert host.content("a") == b"two"
    host.set(a=b"three")
    host.born_with(a="three")
    run.end()


@pytest.mark.parametrize(
    "fault",
    [
        ("done", "SignalProcessTree", "natural-once"),
        ("event", "CommandExited", "natural-once"),
        ("action", "InspectProcessTree", "natural-once"),
        ("action", "InstallFiles", "natural-once"),
        ("done", "InstallFiles", "natural-once"),
        ("action", "StartCommand", "natural-once"),
    ],
)
def test_without_a_command_a_mistake_is_the_end(
    host: MirroredHost, tmp_path: Path, fault: tuple[str, str, str]
) -> None:
    """Between the end of one command and the start of the next, zkexec ends with 125."""
    host.create(a=b"one")
    trip = tmp_path / "trip"
    run = start(host, fault, trip)
    first = host.born()
    trip.touch()
    host.set(a=b"two")

    assert run.wait() == 125
    assert len(run.stderr.matching("zkexec failed internally")) == 1
    assert not is_alive(first.pid)
    host.sandbox.wait_until_empty()


def test_a_command_that_is_being_stopped_is_waited_for(host: MirroredHost, tmp_path: Path) -> None:
    """If a command is being stopped, the line about the mistake does not claim that none runs."""
    host.create(a=b"one")
    trip, gate = tmp_path / "trip", tmp_path / "gate"
    command = f"--exec={host.recorder('a', options=('--linger', str(gate)))}"
    run = host.start(*host.mirrors("a"), command, program=faulty("event", "Tick", "once", trip))
    first = host.born()
    host.set(a=b"two")
    host.asked()
    trip.touch()

    run.until("zkexec failed internally .*, and the command is being stopped; please report this")
    host.only(first)
    gate.touch()
    assert run.wait() == 125


def compares(host: MirroredHost, run: Program, content: bytes) -> None:
    """Wait until the core after the mistake has read the znode, and follows it."""
    run.until("starting over; the running")
    before = len(run.stderr.matching("may have changed"))

    def follows() -> bool:
        host.set(a=content)
        return len(run.stderr.matching("may have changed")) > before

    until(follows, "the next core follows the znode")


def test_a_mistake_after_a_start_restarts_nothing(host: MirroredHost, tmp_path: Path) -> None:
    """The next core takes over a command that was just started, and what it was started on."""
    host.create(a=b"one")
    trip = tmp_path / "trip"
    trip.touch()
    command = f"--exec={host.recorder('a')}"
    program = faulty("done", "StartCommand", "natural-once", trip)
    run = host.start(*host.mirrors("a"), "--verbose", command, program=program)

    first = host.born()
    compares(host, run, b"one")
    host.only(first)
    host.set(a=b"two")
    host.born_with(a="two")
    assert len(host.births()) == 2
    assert len(run.stderr.matching("new content for")) == 1
    run.end()


def test_a_start_before_a_mistake_is_in_the_metrics(host: MirroredHost, tmp_path: Path) -> None:
    """A command whose start the failed core has not seen is up in the file of metrics."""
    trip, metrics = tmp_path / "trip", tmp_path / "metrics.prom"
    trip.touch()
    program = faulty("done", "StartCommand", "natural-once", trip)
    run = host.start(f"--metrics-file={metrics}", "--", "sleep", "1000", program=program)

    run.until("zkexec failed internally")
    up = re.compile(r"^zkexec_command_up\{.*\} 1$", re.MULTILINE)
    until(lambda: metrics.exists() and up.search(metrics.read_text()), "the command is up")
    assert "\nzkexec_command_start_timestamp_seconds{" in metrics.read_text()
    run.end()


@pytest.mark.parametrize(
    "fault", [("done", "StartCommand", "natural-once"), ("event", "CommandStarted", "natural-once")]
)
def test_nor_does_one_after_a_restart(
    host: MirroredHost, tmp_path: Path, fault: tuple[str, str, str]
) -> None:
    """The same holds for a command that was started for a change."""
    host.create(a=b"one")
    trip = tmp_path / "trip"
    command = f"--exec={host.recorder('a')}"
    run = host.start(*host.mirrors("a"), "--verbose", command, program=faulty(*fault, trip))
    host.born()
    run.until("loading -> running")
    trip.touch()
    host.set(a=b"two")
    host.born(2)
    compares(host, run, b"two")
    host.set(a=b"three")
    host.born_with(a="three")
    assert len(host.births()) == 3
    assert len(run.stderr.matching("new content for")) == 2
    run.end()


def test_nor_does_one_after_a_reload_reload_again(host: MirroredHost, tmp_path: Path) -> None:
    """A command that has loaded a change does not load it once more for the next core."""
    host.create(a=b"one")
    trip = tmp_path / "trip"
    script = "trap 'echo got $(cat $0)' USR2; echo up; while :; do sleep 0.05; done"
    command = f"--exec={quoted('sh', '-c', script, host.file('a'))}"
    reload = f"--reload=touch {trip}; kill -USR2 $ZKEXEC_PID"
    program = faulty("done", "Note", "natural-once", trip)
    options = ("--verbose", "--on-change=reload", reload, command)
    run = host.start(*host.mirrors("a"), *options, program=program)
    run.until("^up$", on=run.stdout)
    run.until("loading -> running")

    host.set(a=b"two")
    compares(host, run, b"two")
    host.set(a=b"three")
    run.until("^got three$", on=run.stdout)
    assert run.stdout.lines == ["up", "got two", "got three"]
    assert len(run.stderr.matching("new content for")) == 2
    run.end()


def test_a_mistake_while_the_cluster_is_away_costs_nothing(
    host: MirroredHost, tmp_path: Path, proxy: Proxy
) -> None:
    """A fresh core without a cluster keeps the command, and follows once there is one."""
    host.hosts = proxy.hosts
    host.create(a=b"one")
    trip = tmp_path / "trip"
    run = start(host, ("event", "SessionSuspended", "natural-once"), trip)
    first = host.born()
    trip.touch()
    proxy.refuse()
    run.until("starting over; the running")
    run.until("cannot connect", count=1)
    host.only(first)
    host.set(a=b"two")
    proxy.heal()
    host.born_with(a="two")
    run.end()


@pytest.fixture
def fleet(sandbox: Sandbox, client: KazooClient, zookeeper: Server) -> Iterator[Fleet]:
    """A fleet on the shared server, still without members."""
    with fleet_on(sandbox, client, zookeeper.port) as one:
        yield one


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("event", "QueueJoined"),
        ("event", "RecordCommitted"),
        ("done", "CommitRecord"),
        ("event", "CommandStarted"),
        ("event", "HealthCheckFinished"),
    ],
)
def test_a_member_goes_on_in_its_turn(fleet: Fleet, kind: str, name: str, tmp_path: Path) -> None:
    """A mistake in the middle of a turn stops no rollout, and takes no command down."""
    trip = tmp_path / "trip"
    fleet.add().program = faulty(kind, name, "natural-once", trip)
    fleet.add()
    fleet.push("good 0")
    for member in fleet.members:
        member.start()
    fleet.at_rest("good 0")
    trip.touch()
    fleet.push("good 1")
    fleet.members[0].until_logged("zkexec-failed")
    fleet.at_rest("good 1")
    assert [len(member.entries("born")) for member in fleet.members] == [2, 2]
    assert all(member.is_running() for member in fleet.members)
    until(lambda: not fleet.in_flight(), "nobody in flight")
