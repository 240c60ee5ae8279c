"""Job control: Ctrl-Z, fg, bg, jobs and pipelines of an interactive shell, as without zkexec."""

import os
import re
import signal

import pytest

from e2e.bare_and_wrapped import OpenShell, both, report_of, reported, status_of
from support.interactive_shell import InteractiveShell
from support.processes import is_alive, state
from support.sandbox import BARE, WRAPPED, Mirror, Sandbox, born
from support.waiting import lines, until, until_line, until_lines

CTRL_C, CTRL_D, CTRL_Z = "\x03", "\x04", "\x1a"


def job_states(shell: InteractiveShell) -> list[str]:
    """The states that the shell's `jobs` shows."""
    return re.findall(r"\[\d+\][-+ ]*(\S+)", shell.command("jobs"))


def test_stop_and_go_on(sandbox: Sandbox, open_shell: OpenShell) -> None:
    """Ctrl-Z stops the command, `jobs` shows it, `fg` lets it go on: it reads what is typed."""

    def scenario(prefix: str) -> object:
        shell, report = open_shell(), report_of(sandbox, prefix)
        shell.enter(f"{prefix}reporter {report} --read")
        pid = born(report)
        seen = []
        for count in range(1, 4):
            shell.send(CTRL_Z)
            shell.prompt()
            until(lambda: state(pid) == "T", "the command is stopped")
            seen.append((status_of(shell), job_states(shell)))
            shell.enter("fg")
            until_line(report, "got CONT", count)
            shell.enter(f"line {count}")
            until_line(report, f"read line {count}")
        shell.send(CTRL_D)
        shell.prompt()
        return seen, reported(report), status_of(shell)

    seen, report, status = both(scenario)
    assert seen == [("status 148", ["Stopped"])] * 3
    assert report[:3] == ["born", "got CONT", "read line 1"]
    assert (len(report), status) == (8, "status 0")


def test_go_on_in_the_background(sandbox: Sandbox, open_shell: OpenShell) -> None:
    """`bg` lets a stopped command go on, which hears one CONT, and `kill %1` ends it."""

    def scenario(prefix: str) -> object:
        shell, report = open_shell(), report_of(sandbox, prefix)
        shell.enter(f"{prefix}reporter {report} --until USR1 --status 5")
        pid = born(report)
        shell.send(CTRL_Z)
        shell.prompt()
        until(lambda: state(pid) == "T", "the command is stopped")
        shell.command("bg")
        until_line(report, "got CONT")
        seen = job_states(shell)
        shell.command("kill -USR2 %1")
        until_line(report, "got USR2")
        shell.command("kill -USR1 %1")
        shell.command("wait %1")
        # What a whole group is sent comes to the command and to zkexec, which passes it on: a
        # USR2 may be heard twice here.
        return seen, status_of(shell), [line for line in reported(report) if line != "got USR2"]

    assert both(scenario) == (["Running"], "status 5", ["born", "got CONT", "got USR1"])


def test_reading_in_the_background_stops(sandbox: Sandbox, open_shell: OpenShell) -> None:
    """A command in the background that reads from the terminal is stopped until `fg`."""

    def scenario(prefix: str) -> object:
        shell, report = open_shell(), report_of(sandbox, prefix)
        shell.command(f"{prefix}reporter {report} --read &")
        pid = born(report)
        until(lambda: state(pid) == "T", "the command is stopped for reading")
        until(lambda: job_states(shell) == ["Stopped"], "the shell has noticed")
        shell.enter("fg")
        until_line(report, "got CONT")
        shell.enter("typed")
        until_line(report, "read typed")
        shell.send(CTRL_D)
        shell.prompt()
        return status_of(shell), reported(report)[-2:]

    assert both(scenario) == ("status 0", ["read typed", "end of input"])


def test_a_background_job_hears_no_keys(sandbox: Sandbox, open_shell: OpenShell) -> None:
    """Ctrl-C is for the foreground: a wrapped command in the background hears nothing of it."""

    def scenario(prefix: str) -> object:
        shell, report = open_shell(), report_of(sandbox, prefix)
        shell.command(f"{prefix}reporter {report} --until USR1 &")
        born(report)
        other = report.with_suffix(".other")
        shell.enter(f"reporter {other} --until INT")
        born(other)
        shell.send(CTRL_C)
        shell.prompt()
        shell.command("kill -USR1 %1")
        shell.command("wait")
        return reported(report)

    assert both(scenario) == ["born", "got USR1"]


def test_a_pipeline_is_one_job(sandbox: Sandbox, open_shell: OpenShell) -> None:
    """In `zkexec | reader` the reader has the terminal, and Ctrl-Z, fg and Ctrl-C are for both."""
    reader = sandbox.folder / "reader"
    reader.write_text(
        "read -r first; echo got $first; read -r word </dev/tty; echo typed $word; cat\n"
    )

    def scenario(prefix: str) -> object:
        shell, report = open_shell(), report_of(sandbox, prefix)
        command = f"{prefix}sh -c 'echo one; exec reporter {report} --until INT --status 0'"
        shell.enter(f"set -o pipefail; {command} | sh {reader}")
        shell.expect("got one\r")
        pid = born(report)
        shell.send(CTRL_Z)
        shell.prompt()
        until(lambda: state(pid) == "T", "the command is stopped")
        shell.enter("fg")
        until_line(report, "got CONT")
        shell.enter("word")
        shell.expect("typed word\r")
        shell.send(CTRL_C)
        shell.prompt()
        return status_of(shell), reported(report)

    assert both(scenario) == ("status 130", ["born", "got CONT", "got INT"])


def test_a_reader_that_leaves_ends_a_writer(open_shell: OpenShell) -> None:
    """`zkexec -- yes | head -2` ends by itself: SIGPIPE is at its default in the command."""

    def scenario(prefix: str) -> object:
        shell = open_shell()
        return shell.command(f"{prefix}yes | head -n 2; echo ${{PIPESTATUS[*]}}")

    assert both(scenario) == "y\ny\n141 0\n"


def test_end_while_stopped(sandbox: Sandbox, open_shell: OpenShell) -> None:
    """`kill %1` of a stopped job ends it, once it is continued."""

    def scenario(prefix: str) -> object:
        shell, report = open_shell(), report_of(sandbox, prefix)
        shell.enter(f"{prefix}reporter {report}")
        pid = born(report)
        leader = shell.terminal.foreground
        shell.send(CTRL_Z)
        shell.prompt()
        until(lambda: state(pid) == "T", "the command is stopped")
        shell.command("kill %1")
        # The shell itself may go on to call the job stopped, also a bare one.
        until(lambda: not is_alive(leader) and not is_alive(pid), "both are gone")
        return "got TERM" in reported(report)

    assert both(scenario) is True


def test_a_restart_in_the_background(
    sandbox: Sandbox, mirror: Mirror, open_shell: OpenShell
) -> None:
    """A job in the background is restarted there, and `fg` brings the new command forward."""
    shell = open_shell()
    shell.command(f"zkexec {mirror.option} -- reporter {sandbox.report} &")
    born(sandbox.report)
    mirror.change()
    pid = born(sandbox.report, 2)
    shell.enter("fg")
    until(lambda: shell.terminal.foreground == os.getpgid(pid), "the job is in the foreground")
    shell.send(CTRL_C)
    until_line(sandbox.report, "got INT")
    os.kill(shell.terminal.foreground, signal.SIGTERM)
    shell.prompt()

    assert status_of(shell) == "status 0"
    assert reported(sandbox.report).count("got INT") == 1


def test_a_change_while_stopped_waits_for_fg(
    sandbox: Sandbox, mirror: Mirror, open_shell: OpenShell
) -> None:
    """A change that comes while the job is stopped is a restart once it goes on."""
    shell = open_shell()
    shell.enter(f"zkexec {mirror.option} -- reporter {sandbox.report} --until USR1")
    pid = born(sandbox.report)
    shell.send(CTRL_Z)
    shell.prompt()
    until(lambda: state(pid) == "T", "the command is stopped")
    mirror.change()
    shell.enter("fg")
    until_line(sandbox.report, "got TERM")
    os.kill(pid, signal.SIGUSR1)
    born(sandbox.report, 2)
    os.kill(shell.terminal.foreground, signal.SIGKILL)
    shell.prompt()

    assert status_of(shell) == "status 137"


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_a_script_with_ampersand(sandbox: Sandbox, shell: str) -> None:
    """`zkexec ... & wait` in a script without job control gives the script the status."""
    seen = []
    for prefix in ("", "zkexec"):
        report = report_of(sandbox, prefix)
        words = WRAPPED if prefix else BARE
        script = sandbox.folder / "script"
        script.write_text(f'"$@" & echo $! >{report}.pid; wait $!; echo $? >{report}.status\n')
        command = ("sh", "-c", f"echo born 0 >>{report}; exec sleep 1000")
        process = sandbox.start(shell, script, *words, *command)
        born(report)
        until(sandbox.sleepers, "the command sleeps")
        leader = int(until_lines(report.with_name(f"{report.name}.pid"))[0])
        os.kill(leader, signal.SIGINT)  # ignored, as it is for all that a script sends back
        os.kill(leader, signal.SIGTERM)
        process.wait()
        seen.append(lines(report.with_name(f"{report.name}.status")))

    assert seen == [["143"], ["143"]]
