"""zkexec as the first process of a container, and with --subreaper: all signals, all orphans."""

import os
import signal
import subprocess
from collections.abc import Sequence

import pytest

from support.processes import children, zombies
from support.program import Program
from support.sandbox import REPORTER, WRAPPED, ZKEXEC, Mirror, Sandbox, born
from support.terminal import Terminal
from support.waiting import lines, until, until_line

AS_ROOT = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
AS_USER = ("unshare", "--user", "--map-root-user", *AS_ROOT[1:])
ORPHANS = "for one in 1 2 3 4 5 6 7 8; do (sleep 0.1 & sleep 0.1 & exit) & done; wait;"


def refusal(words: Sequence[str]) -> str:
    """Why this machine forbids a namespace made like this; empty if it allows it."""
    try:
        tried = subprocess.run([*words, "true"], capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        return str(error)
    return tried.stderr.strip() if tried.returncode else ""


@pytest.fixture(params=[AS_ROOT, AS_USER], ids=["root", "user"])
def container(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """The words that make what follows PID 1 of a namespace; skipped where that is forbidden."""
    words: tuple[str, ...] = request.param
    if reason := refusal(words):
        pytest.skip(f"no namespace of processes here: {reason}")
    return words


def first_process(container: Program) -> int:
    """The pid, as seen from outside, of the first process of a namespace."""
    return until(lambda: children(container.pid), "the namespace has a process")[0]


def test_it_is_pid_1(sandbox: Sandbox, container: tuple[str, ...]) -> None:
    """The command's parent is PID 1, and nothing else is there."""
    status, out, _ = sandbox.run(*container, *WRAPPED, "sh", "-c", "echo $PPID; ps -A -o comm=; :")
    parent, *names = out.decode().split()

    assert (status, parent) == (0, "1")
    assert sorted(names[1:]) == ["ps", "sh"]


def test_on_a_terminal_of_the_outside(sandbox: Sandbox, container: tuple[str, ...]) -> None:
    """A stop reaches the command although its process group is none that PID 1 could name."""
    script = "trap 'echo asked; exit 3' TERM; echo ready; while :; do sleep 0.1; done"
    words = (*container, *WRAPPED, "sh", "-c", script)
    process = sandbox.start(*words, terminal=Terminal())
    process.expect("ready")
    os.kill(first_process(process), signal.SIGTERM)
    process.expect("asked")

    assert process.wait() == 3


@pytest.mark.parametrize(
    ("script", "status"),
    [("exit 7", 7), ("kill -TERM $$", 143), ("kill -KILL $$", 137), ("kill -USR1 $$", 138)],
)
def test_the_status_of_pid_1(
    sandbox: Sandbox, container: tuple[str, ...], script: str, status: int
) -> None:
    """PID 1 cannot die of a signal, so it ends with 128 and the signal's number."""
    assert sandbox.run(*container, *WRAPPED, "sh", "-c", f"{script}; sleep 1000")[0] == status


def test_signals_reach_pid_1(sandbox: Sandbox, container: tuple[str, ...]) -> None:
    """PID 1, which the kernel protects from signals, passes them on all the same."""
    process = sandbox.start(*container, *WRAPPED, REPORTER, sandbox.report, "--status", "4")
    born(sandbox.report)
    names = ("INT", "HUP", "QUIT", "USR1", "USR2", "ALRM", "WINCH", "CONT", "TERM")
    for name in names:
        os.kill(first_process(process), signal.Signals[f"SIG{name}"])
        until_line(sandbox.report, f"got {name}")

    assert process.wait() == 4
    assert lines(sandbox.report)[1 : len(names) + 1] == [f"got {name}" for name in names]


def test_term_while_connecting_as_pid_1(sandbox: Sandbox, container: tuple[str, ...]) -> None:
    """TERM before there is a command ends PID 1 as well."""
    words = ("-c", "127.0.0.1:1", "-m", "file=/znode", "--connect-timeout", "1000", "--", "true")
    process = sandbox.start(*container, *ZKEXEC, *words)
    process.until("connecting to")
    os.kill(first_process(process), signal.SIGTERM)

    assert process.wait() == 143


def test_orphans_are_reaped_by_pid_1(sandbox: Sandbox, container: tuple[str, ...]) -> None:
    """Whatever the command leaves behind is reaped, and its status is never the command's."""
    script = f"{ORPHANS} echo born 0 >>{sandbox.report}; exec sleep 1000"
    process = sandbox.start(*container, *WRAPPED, "sh", "-c", script)
    born(sandbox.report)
    pid = first_process(process)
    until(lambda: len(children(pid)) == 1, "only the command is left")
    assert zombies(pid) == []
    os.kill(pid, signal.SIGTERM)

    assert process.wait() == 143


def test_a_restart_below_pid_1(sandbox: Sandbox, mirror: Mirror) -> None:
    """A restart as PID 1 ends the old tree, the daemons that it made as well."""
    if reason := refusal(AS_ROOT):
        pytest.skip(f"no namespace of processes here: {reason}")
    command = f"setsid setsid sleep 1000 & exec {REPORTER} {sandbox.report}"
    words = ("-s", "--kill-timeout", "0.5", mirror.option, "-e", command)
    process = sandbox.start(*AS_ROOT, *ZKEXEC, *words)
    for count in range(1, 4):
        born(sandbox.report, count)
        until(lambda: len(sandbox.sleepers()) == 1, "the daemon runs alone")
        mirror.change()
    born(sandbox.report, 4)
    os.kill(first_process(process), signal.SIGTERM)
    process.wait()

    sandbox.wait_until_empty()


def test_a_subreaper_reaps(sandbox: Sandbox) -> None:
    """With --subreaper orphans become zkexec's children and are reaped."""
    script = f"{ORPHANS} (sleep 1000 &); echo born 0 >>{sandbox.report}; exec sleep 1000"
    process = sandbox.start(*ZKEXEC, "-s", "--subreaper", "--", "sh", "-c", script)
    born(sandbox.report)
    until(lambda: len(sandbox.sleepers()) == 2, "the short ones have ended")
    until(lambda: len(children(process.pid)) == 2, "and have been reaped")
    assert len(sandbox.sleepers()) == 2

    assert process.end() == -signal.SIGTERM
    sandbox.wait_until_empty()


def test_an_orphans_status_is_not_the_commands(sandbox: Sandbox) -> None:
    """An adopted orphan that fails says nothing about the command, which goes on."""
    script = (
        f"(sh -c 'exit 9' &); (sh -c 'kill -9 $$' &); echo born 0 >>{sandbox.report}; read line"
    )
    words = (*ZKEXEC, "-s", "--subreaper", "--", "sh", "-c", f"{script}; exit 3")
    process = sandbox.start(*words, stdin=subprocess.PIPE)
    born(sandbox.report)
    until(lambda: len(children(process.pid)) == 1, "the orphans have been reaped")
    process.enter("go")

    assert process.wait() == 3


def test_without_the_option_orphans_are_others_business(sandbox: Sandbox) -> None:
    """Without --subreaper an orphan of the command has the parent that it would have anyway."""
    script = "(sleep 1000 &); exec sleep 1000"
    process = sandbox.start(*WRAPPED, "sh", "-c", script)
    until(lambda: len(sandbox.sleepers()) == 2, "both run")
    commands = children(process.pid)
    process.kill()

    assert len(commands) == 1
