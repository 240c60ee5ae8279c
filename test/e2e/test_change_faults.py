"""Checks and hooks when zkexec is killed or is PID 1, and when no copies can be written."""

import os
import signal
import stat
import subprocess
from pathlib import Path

import pytest

from support.mirrored_host import MirroredHost, quoted
from support.processes import children, is_alive, zombies
from support.program import Program
from support.sandbox import ZKEXEC
from support.waiting import lines, until, until_line, until_lines

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
PID_1 = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")


@pytest.fixture
def temporary(host: MirroredHost) -> Path:
    """The TMPDIR of zkexec, which is still empty."""
    folder = host.sandbox.folder / "temporary"
    folder.mkdir()
    return folder


def wrap(host: MirroredHost, temporary: Path, *options: str) -> Program:
    """Start zkexec on a recorder, with this TMPDIR."""
    command = f"--exec={host.recorder('a')}"
    environment = host.sandbox.environment(TMPDIR=str(temporary))
    return host.start(*host.mirrors("a"), *options, command, env=environment)


def hanging_if(there: Path, log: Path) -> str:
    """A COMMAND that hangs if this file exists, and logs its process ID before."""
    return f"if [ -e {there} ]; then echo $$ >>{log}; exec sleep 1000; fi"


@pytest.mark.parametrize("step", ["check", "pre-stop", "reload"])
def test_zkexec_is_killed_while_a_step_runs(host: MirroredHost, temporary: Path, step: str) -> None:
    """The command of the step ends, other users can read no copy, and the next start works."""
    hangs, log = host.sandbox.folder / "hangs", host.sandbox.folder / "log"
    host.create(a=b"one")
    options = [f"--{step}={hanging_if(hangs, log)}"]
    # There are copies in any case: the next start removes them.
    options += [] if step == "check" else ["--check=true"]
    options += ["--on-change=reload"] if step == "reload" else []
    run = wrap(host, temporary, *options)
    host.born()
    hangs.touch()

    host.set(a=b"two")
    pid = int(until_lines(log)[0])
    assert is_alive(pid)
    # Those of a check that has ended are removed soon.
    number = 1 if step == "check" else 0
    until(lambda: len(list(temporary.iterdir())) == number, f"{number} folders of copies")
    copies = list(temporary.iterdir())
    run.kill()
    run.wait()
    host.sandbox.wait_until_empty()
    assert [stat.S_IMODE(copy.stat().st_mode) for copy in copies] == [0o700] * len(copies)
    hangs.unlink()
    second = wrap(host, temporary, *options)

    assert host.born(2).files == {"a": "two"}
    assert second.end() == 0
    assert list(temporary.iterdir()) == []


def refusal() -> str:
    """Why this machine forbids a namespace of processes; empty if it allows it."""
    tried = subprocess.run([*PID_1, "true"], capture_output=True, text=True, check=False)
    return tried.stderr.strip() if tried.returncode else ""


def test_hooks_of_pid_1_leave_no_zombie(host: MirroredHost, temporary: Path) -> None:
    """PID 1 reaps check and hooks, and what they leave behind, and then runs only the command."""
    if reason := refusal():
        pytest.skip(f"no namespace of processes here: {reason}")
    log = host.sandbox.folder / "log"
    leaving = f"for one in 1 2 3; do (sleep 0.1 & sleep 0.1 & exit) & done; echo x >>{log}"
    pace = ("--health=true", "--health-delay=0.1")
    steps = [f"--{step}={leaving}" for step in ("check", "pre-stop", "post-healthy")]
    host.create(a=b"one")
    environment = host.sandbox.environment(TMPDIR=str(temporary))
    words = (*host.mirrors("a"), *pace, *steps, f"--exec={host.recorder('a')}")
    container = host.start(*words, program=(*PID_1, *ZKEXEC), env=environment)
    # The first start has a check and a warm-up, the restart all three.
    host.born()
    until_lines(log, 2)
    host.set(a=b"two")
    host.born(2)
    until_lines(log, 5)

    (pid,) = children(container.pid)
    until(lambda: len(children(pid)) == 1, "only the command is left")
    assert zombies(pid) == []
    os.kill(pid, signal.SIGTERM)
    assert container.wait() == 0
    assert len(lines(log)) == 6


@as_root
def test_no_room_for_copies(host: MirroredHost, temporary: Path, mounted: list[Path]) -> None:
    """Copies that do not fit are this host's problem: an alert, and an attempt when there is room.

    The check has not run, and the command is untouched.
    """
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(temporary)]
    if subprocess.run(mount, check=False).returncode:
        pytest.skip("mounting is not permitted here")
    mounted.append(temporary)
    alerts, checked = host.sandbox.folder / "alerts", host.sandbox.folder / "checked"
    script = 'echo "$ZKEXEC_EVENT|$ZKEXEC_STEP|$ZKEXEC_REASON" >>$0'
    alert = f"--alert={quoted('sh', '-c', script, alerts)}"
    host.create(a=b"one")
    run = wrap(host, temporary, alert, f"--check=echo x >>{checked}")
    first = host.born()

    host.set(a=b"x" * 100_000)
    reason = f"the check could not run: cannot write copies in {temporary}: No space left on device"
    until_line(alerts, f"restart-failed|check|{reason}")
    host.only(first)
    assert host.content("a") == b"one"
    assert len(lines(checked)) == 1
    until(lambda: not list(temporary.iterdir()), "no copies are left")
    subprocess.run(["mount", "-o", "remount,size=10m", temporary], check=True)

    assert host.born(2).files == {"a": "x" * 100_000}
    assert len(lines(checked)) == 2
    assert run.end() == 0
    assert len(lines(alerts)) == 1
