"""zkexec as a service of systemd: what a manager that listens on NOTIFY_SOCKET receives."""

import os
import signal
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.mirrored_host import MirroredHost, quoted
from support.notify_listener import NotifyListener
from support.program import Program
from support.sandbox import ZKEXEC, faulty
from support.waiting import until
from support.zkexecctl import Zkexecctl

NOTIFYING = ("--notify=zkexec", "--settle=0.05", "--kill-timeout=5")
LONG = "--health-delay=3600"
"""No health check would begin before the end of the test, if none began at once."""
MANAGED = ("/bin/sh", "-c", 'export WATCHDOG_PID=$$; exec "$@"', "sh")
"""What starts zkexec as systemd does, with its pid in a variable."""


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[NotifyListener]:
    """A manager at a path."""
    one = NotifyListener(tmp_path / "notify")
    yield one
    one.close()


Start = Callable[..., Program]


@pytest.fixture
def start(host: MirroredHost, listener: NotifyListener) -> Start:
    """Wrap a recorder that reads the file a, under the manager."""

    def start_it(*options: str, usec: int = 60_000_000, **given: Any) -> Program:
        names = {"NOTIFY_SOCKET": listener.name, "WATCHDOG_USEC": str(usec)}
        environment = host.sandbox.environment(**names)
        variables = ("--variable=NOTIFY_SOCKET", "--variable=WATCHDOG_PID")
        command = host.recorder("a", options=variables)
        words = (*host.mirrors("a"), *NOTIFYING, *options, f"--exec={command}")
        program = (*MANAGED, *ZKEXEC)
        return host.start(*words, env=environment, program=given.pop("program", program), **given)

    return start_it


def test_it_is_ready_when_the_command_runs(
    host: MirroredHost, listener: NotifyListener, start: Start
) -> None:
    """Without a health check READY=1 follows the start, and STOPPING=1 a TERM."""
    host.create(a=b"one")
    run = start()
    listener.until_states("READY")
    assert host.born().variables == {"NOTIFY_SOCKET": None, "WATCHDOG_PID": None}
    listener.until_line("STATUS=running")
    run.signal(signal.SIGTERM)
    assert run.wait() == 0
    listener.until_states("READY", "STOPPING")
    assert listener.lines().index("READY=1") < listener.lines().index("STOPPING=1")


def test_an_abstract_socket_is_notified(host: MirroredHost) -> None:
    """A name that begins with @ is no path."""
    host.create(a=b"one")
    listener = NotifyListener(f"@zkexec-{uuid.uuid4().hex}")
    environment = host.sandbox.environment(NOTIFY_SOCKET=listener.name, ZKEXEC_NOTIFY="zkexec")
    run = host.start(*host.mirrors("a"), f"--exec={host.recorder('a')}", env=environment)
    listener.until_states("READY")
    run.end()
    listener.close()


def test_the_socket_is_left_to_the_command(host: MirroredHost, listener: NotifyListener) -> None:
    """Without the option the command has the variable, and zkexec sends nothing."""
    host.create(a=b"one")
    environment = host.sandbox.environment(NOTIFY_SOCKET=listener.name)
    command = host.recorder("a", options=("--variable=NOTIFY_SOCKET",))
    run = host.start(*host.mirrors("a"), f"--exec={command}", env=environment)
    assert host.born().variables == {"NOTIFY_SOCKET": listener.name}
    run.end()
    assert listener.lines() == []


def test_it_is_ready_when_the_command_is_healthy_and_in_traffic(
    host: MirroredHost, listener: NotifyListener, start: Start, tmp_path: Path
) -> None:
    """Health checks begin at once; READY=1 waits for one that succeeds, and for post-healthy."""
    host.create(a=b"one")
    healthy, joined = tmp_path / "healthy", tmp_path / "joined"
    run = start(LONG, f"--health=test -e {healthy}", f"--post-healthy=test -e {joined}")
    host.born()
    run.until("failed health check")
    listener.until_line("STATUS=running: the command is not known to be healthy yet")
    healthy.touch()
    run.until("post-healthy failed")
    assert listener.states == []
    joined.touch()
    listener.until_states("READY")
    run.end()


def test_what_runs_beside_the_command_finds_no_socket(
    host: MirroredHost, listener: NotifyListener, start: Start, tmp_path: Path
) -> None:
    """Checks, hooks and alerts could report in the name of zkexec otherwise."""
    host.create(a=b"one")
    kinds = ("check", "health", "post-healthy", "pre-stop", "alert")
    written = {kind: tmp_path / f"{kind}.txt" for kind in kinds}
    options = [f"--{kind}=env >{path}; true" for kind, path in written.items()]
    run = start(LONG, *options)
    listener.until_states("READY")
    os.kill(host.born().pid, signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL
    texts = {kind: path.read_text() for kind, path in written.items() if path.exists()}
    assert set(texts) == set(kinds) - {"pre-stop"}
    assert [kind for kind, text in texts.items() if "PATH=" not in text] == []
    assert [kind for kind, text in texts.items() if "NOTIFY_S" in text or "WATCHDOG" in text] == []


def test_a_start_that_waits_for_a_znode_requests_more_time(
    host: MirroredHost, listener: NotifyListener, start: Start
) -> None:
    """The manager gets to know which znode is missing, and does not end the wait."""
    run = start("--start=wait")
    listener.until_line(f"{host.path('a')} does not exist")
    assert listener.of("EXTEND_TIMEOUT_USEC")
    assert listener.states == []
    host.create(a=b"one")
    listener.until_states("READY")
    run.end()


@pytest.mark.parametrize("options", [(), ("--on-change=reload", "--reload-signal=WINCH")])
def test_a_change_is_a_reload_of_the_service(
    host: MirroredHost, listener: NotifyListener, start: Start, options: tuple[str, ...]
) -> None:
    """RELOADING=1 comes with the time and a limit, and READY=1 when the change was applied."""
    host.create(a=b"one")
    run = start(*options, "--health=true", LONG)
    listener.until_states("READY")
    before = len(listener.lines())
    host.set(a=b"two")
    listener.until_states("READY", "RELOADING", "READY")
    names = [line.partition("=")[0] for line in listener.lines()[before:]]
    begin = names.index("RELOADING")
    assert {"MONOTONIC_USEC", "EXTEND_TIMEOUT_USEC"} <= set(names[begin : names.index("READY")])
    assert host.content("a") == b"two"
    run.end()


def test_a_member_reports_why_it_waits_for_its_turn(
    host: MirroredHost, listener: NotifyListener, start: Start, tmp_path: Path
) -> None:
    """The state stays READY while the group is paused, and the status names who paused it."""
    host.create(a=b"one")
    lock = f"notify-{uuid.uuid4().hex[:12]}"
    run = start(f"--lock={lock}", "--health=true", LONG)
    listener.until_states("READY")
    operator = Zkexecctl(host.hosts, tmp_path, "--by=alice")
    operator.does("pause", lock, "--reason=lunch")
    host.set(a=b"two")
    listener.until_line("STATUS=waiting: the rollout is paused by alice")
    assert listener.states == ["READY"]
    operator.does("resume", lock)
    listener.until_states("READY", "RELOADING", "READY")
    run.end()


def test_the_watchdog_goes_on_while_an_error_keeps_the_core_away(
    host: MirroredHost, listener: NotifyListener, start: Start, tmp_path: Path
) -> None:
    """The caretaker is alive as well: the manager must not end a command that runs."""
    host.create(a=b"one")
    trip = tmp_path / "trip"
    program = (*MANAGED, *faulty("event", "ZnodeTouched", "natural-once", trip))
    run = start(usec=100_000, program=program)
    listener.until_line("WATCHDOG=1", 3)
    trip.touch()
    host.set(a=b"two")
    listener.until_line("STATUS=zkexec failed internally")
    begin = len(listener.lines())
    listener.until_states("READY", "RELOADING", "READY")
    assert "WATCHDOG=1" in listener.lines()[begin : listener.lines().index("RELOADING=1")]
    run.end()


def test_a_manager_that_reads_nothing_delays_nothing(
    host: MirroredHost, listener: NotifyListener, start: Start
) -> None:
    """With a full queue a change is applied as always; the end of it is reported later."""
    host.create(a=b"one")
    run = start(usec=10_000)
    run.until("cannot notify .*: its queue is full")
    host.set(a=b"two")
    host.born_with(a="two")
    until(lambda: listener.states[-1:] == ["READY"], lambda: str(listener.lines()))
    listener.until_line("STATUS=running", 1)
    assert len(run.stderr.matching("cannot notify")) == 1
    run.end()


def test_a_socket_that_is_gone_ends_nothing(
    host: MirroredHost, listener: NotifyListener, start: Start
) -> None:
    """The manager has crashed: one warning, and changes are applied on."""
    host.create(a=b"one")
    run = start(usec=20_000)
    listener.until_states("READY")
    listener.close()
    run.until("--notify: cannot notify .*: Connection refused")
    for word in ("two", "three"):
        host.set(a=word.encode())
        host.born_with(a=word)
    assert len(run.stderr.matching("cannot notify")) == 1
    assert run.end() == 0


def test_an_address_of_another_kind_is_a_warning(host: MirroredHost) -> None:
    """zkexec names what it cannot notify, and starts the command."""
    host.create(a=b"one")
    environment = host.sandbox.environment(NOTIFY_SOCKET="vsock:2:1234")
    words = (*host.mirrors("a"), *NOTIFYING, f"--exec={quoted('sleep', 60)}")
    run = host.start(*words, env=environment)
    run.until("cannot notify vsock:2:1234: it is neither a path nor an abstract name")
    run.end()
