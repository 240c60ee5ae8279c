"""Signals that are sent to zkexec, without a terminal: what reaches the command, and how often."""

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from support.processes import children, is_alive, proc, state
from support.program import Program
from support.proxy import Proxy
from support.sandbox import BARE, LIBEXEC, REPORTER, WRAPPED, ZKEXEC, Mirror, Sandbox, born
from support.waiting import lines, until, until_line

PASSED_ON = ("INT", "HUP", "QUIT", "USR1", "USR2", "ALRM", "WINCH", "CONT")
ODDLY_BORN = str(LIBEXEC / "oddly-born")


def send(process: Program, name: str) -> None:
    """Send a signal by its name."""
    process.signal(signal.Signals[f"SIG{name}"])


def told(report: Path) -> list[str]:
    """The names of the signals that the reporters got, in order."""
    return [line.removeprefix("got ") for line in lines(report) if line.startswith("got ")]


def test_each_signal_reaches_the_command_once(sandbox: Sandbox) -> None:
    """Each signal comes through each time, and exactly once; none of them ends zkexec."""
    process, _ = sandbox.start_reporter(WRAPPED)
    expected = []
    for name in (*PASSED_ON, *PASSED_ON):
        # A signal told twice would be seen before the next one, which zkexec takes later.
        send(process, name)
        expected.append(name)
        until_line(sandbox.report, f"got {name}", expected.count(name))
    send(process, "TERM")

    assert process.wait() == 0
    # Whether the CONT that follows TERM is still heard is up to the reporter.
    assert told(sandbox.report)[: len(expected) + 1] == [*expected, "TERM"]


def test_a_burst_of_different_signals_loses_none(sandbox: Sandbox) -> None:
    """Signals that come all at once reach the command all, and each once."""
    process, _ = sandbox.start_reporter(WRAPPED)
    for name in PASSED_ON:
        send(process, name)
    until(lambda: len(told(sandbox.report)) >= len(PASSED_ON), "all signals")
    send(process, "TERM")
    process.wait()
    heard = told(sandbox.report)

    assert sorted(heard[: heard.index("TERM")]) == sorted(PASSED_ON)


@pytest.mark.parametrize("name", ["INT", "QUIT", "HUP"])
def test_a_command_that_goes_on_after_a_signal_keeps_zkexec(sandbox: Sandbox, name: str) -> None:
    """INT, QUIT and HUP are the command's business: if it goes on, so does zkexec."""
    process, pid = sandbox.start_reporter(WRAPPED)
    send(process, name)
    until_line(sandbox.report, f"got {name}")
    send(process, "USR1")
    until_line(sandbox.report, "got USR1")

    assert is_alive(pid)
    assert process.is_running()


@pytest.mark.parametrize("name", ["INT", "QUIT", "HUP", "TERM", "USR1"])
@pytest.mark.parametrize("status", [0, 7])
def test_a_command_that_ends_after_a_signal_gives_its_status(
    sandbox: Sandbox, name: str, status: int
) -> None:
    """The command takes its time after the signal, and its status is the status."""
    process, _ = sandbox.start_reporter(WRAPPED, "--until", name, "--status", str(status))
    send(process, name)

    assert process.wait() == status


def test_term_waits_for_the_command(sandbox: Sandbox) -> None:
    """After TERM zkexec is there until the command has finished what it does."""
    script = f"trap 'echo asked >>{sandbox.report}; read word <go; exit 6' TERM; "
    script += f"mkfifo go; echo 'born 0' >>{sandbox.report}; while :; do sleep 0.05; done"
    process = sandbox.start(*WRAPPED, "sh", "-c", script)
    born(sandbox.report)
    send(process, "TERM")
    until_line(sandbox.report, "asked")
    assert process.is_running()
    (sandbox.folder / "go").write_text("go\n")

    assert process.wait() == 6


def group_told(sandbox: Sandbox, prefix: Sequence[str], name: str) -> tuple[int, list[str]]:
    """The end of a shell that waits for a reporter when its whole group gets a signal."""
    report = sandbox.folder / f"report-{len(prefix)}-{name}"
    script = f"{REPORTER} {report} --until {name} --status 3; echo after $? >>{report}; exit 8"
    process = sandbox.start(*prefix, "sh", "-c", script)
    born(report)
    if prefix:
        process.signal(signal.Signals[f"SIG{name}"])
    else:
        os.killpg(process.pid, signal.Signals[f"SIG{name}"])
    status = process.wait()
    sandbox.wait_until_empty()
    return status, [line for line in lines(report) if not line.startswith(("born", "got CONT"))]


@pytest.mark.parametrize("name", ["TERM", "INT", "HUP"])
def test_the_whole_group_gets_the_signal(sandbox: Sandbox, name: str) -> None:
    """A shell and the program that it waits for both get it, as from `kill -- -GROUP`."""
    wrapped = group_told(sandbox, WRAPPED, name)

    assert wrapped == group_told(sandbox, BARE, name)
    assert f"got {name}" in wrapped[1]


def test_a_grandchild_that_ignores_is_no_error(sandbox: Sandbox) -> None:
    """Processes that come and go in the command's group while signals are sent disturb nothing."""
    script = "while :; do /bin/true & /bin/true; done"
    process = sandbox.start(*WRAPPED, "sh", "-c", script)
    until(lambda: len(sandbox.present()) > 1, "the command runs")
    for _ in range(200):
        send(process, "WINCH")
        send(process, "CONT")
    send(process, "TERM")

    assert process.wait() == -signal.SIGTERM
    sandbox.wait_until_empty()


@pytest.mark.parametrize("how", ["nohup", "background", "quiet"])
def test_what_the_caller_ignores_stays_ignored(sandbox: Sandbox, how: str) -> None:
    """nohup, `&` in a script and `trap ''` protect the command as they would without zkexec."""
    before = {"nohup": "exec nohup", "background": "", "quiet": "trap '' USR1 TERM; exec"}[how]
    names = {"nohup": ["HUP"], "background": ["INT", "QUIT"], "quiet": ["USR1", "TERM"]}[how]
    words = (*WRAPPED, REPORTER, str(sandbox.report), "--until", "USR2")
    after = "& echo $! >zkexec; wait" if how == "background" else ""
    process = sandbox.start("sh", "-c", f'{before} "$@" {after}', "sh", *words)
    pid = born(sandbox.report)
    zkexec = int((lines(sandbox.folder / "zkexec") or [str(process.pid)])[0])
    for target in (zkexec, pid):
        for name in names:
            os.kill(target, signal.Signals[f"SIG{name}"])
    os.kill(zkexec, signal.SIGWINCH)
    until_line(sandbox.report, "got WINCH")
    os.kill(zkexec, signal.SIGUSR2)

    assert process.wait() == 0
    assert told(sandbox.report) == ["WINCH", "USR2"]


def test_a_caller_that_ignores_sigchld_changes_no_status(sandbox: Sandbox) -> None:
    """SIGCHLD inherited as ignored would make the kernel reap: an exit 7 is still a 7."""
    script = "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); "
    script += "os.execvp(sys.argv[1], sys.argv[1:])"

    assert sandbox.run(ZKEXEC[0], "-c", script, *WRAPPED, "sh", "-c", "exit 7")[0] == 7


def test_a_caller_that_blocks_signals_does_not_block_them_for_zkexec(sandbox: Sandbox) -> None:
    """TERM to zkexec ends the command also where the caller had TERM blocked for itself."""
    script = "import os, signal, sys; signal.pthread_sigmask(signal.SIG_BLOCK, {1, 2, 15}); "
    script += "os.execvp(sys.argv[1], sys.argv[1:])"
    words = (ZKEXEC[0], "-c", script, *ZKEXEC, "-s", "--kill-timeout", "0.2", "--", "sleep", "1000")
    process = sandbox.start(*words)
    until(sandbox.sleepers, "the command runs")
    send(process, "TERM")

    assert process.wait() == -signal.SIGKILL


def test_a_stopped_command_can_end(sandbox: Sandbox) -> None:
    """A command that was stopped is continued after TERM, so that it can act on it."""
    process, pid = sandbox.start_reporter(WRAPPED, "--status", "4")
    os.kill(pid, signal.SIGSTOP)
    until(lambda: state(pid) == "T", "the command is stopped")
    send(process, "TERM")

    assert process.wait() == 4


def test_a_deaf_command_is_killed(sandbox: Sandbox) -> None:
    """What ignores TERM is killed after --kill-timeout, and zkexec ends as it did."""
    words = (*ZKEXEC, "-s", "--kill-timeout", "0.3", "--")
    process, _ = sandbox.start_reporter(words, "--until", "KILL")
    send(process, "TERM")

    assert process.wait() == -signal.SIGKILL
    assert told(sandbox.report) == ["TERM", "CONT"]


def test_term_while_connecting_ends_at_once(sandbox: Sandbox, proxy: Proxy) -> None:
    """A cluster that accepts connections and says nothing holds up no end."""
    proxy.black_hole()
    words = (*ZKEXEC, "-c", proxy.hosts, "-m", "file=/znode", "--", "true")
    process = sandbox.start(*words, "--connect-timeout", "1000")
    process.until("connecting to")
    send(process, "TERM")

    assert process.wait() == -signal.SIGTERM


def switches(pid: int) -> int:
    """How often the main thread of a process has gone to sleep of its own accord."""
    status = proc(pid, f"task/{pid}/status").decode()
    return int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])


def test_an_idle_zkexec_sleeps(sandbox: Sandbox, mirror: Mirror) -> None:
    """An idle zkexec wakes only for the pulse of its session, once to ping and once to hear."""
    idle = sandbox.start_reporter((*ZKEXEC, "-s", mirror.option, "--"))[0].pid
    until(lambda: len(children(idle)) == 1, "the command runs")
    # What is left of the start comes to rest.
    until(lambda: switches(idle) == settled(idle), "it has come to rest")
    before = switches(idle)
    time.sleep(3)  # not a wait for something: the time during which nothing may happen

    assert switches(idle) <= before + 2


def settled(idle: int) -> int:
    """The count a while later, when what follows a start is over."""
    time.sleep(1.5)
    return switches(idle)
