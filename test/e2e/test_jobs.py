"""Job control: Ctrl-Z, fg, bg, jobs and pipelines of an interactive shell, as without zkexec."""

import os
import re
import signal

import pytest

from e2e.stage import (
    BARE,
    WRAPPED,
    Mirror,
    Stage,
    born,
    end,
    is_alive,
    lines,
    state,
    until,
    until_line,
)
from e2e.terminal import Terminal
from e2e.twice import Session, both, report_of, status_of, told

CTRL_C, CTRL_D, CTRL_Z = "\x03", "\x04", "\x1a"


def job_states(terminal: Terminal) -> list[str]:
    """The states that the shell's `jobs` shows."""
    return re.findall(r"\[\d+\][-+ ]*(\S+)", terminal.command("jobs"))


def test_stop_and_go_on(stage: Stage, session: Session) -> None:
    """Ctrl-Z stops the command, `jobs` shows it, `fg` lets it go on: it reads what is typed."""

    def scenario(prefix: str) -> object:
        terminal, report = session(), report_of(stage, prefix)
        terminal.enter(f"{prefix}witness {report} --read")
        pid = born(report)
        seen = []
        for count in range(1, 4):
            terminal.type(CTRL_Z)
            terminal.prompt()
            until(lambda: state(pid) == "T", "the command is stopped")
            seen.append((status_of(terminal), job_states(terminal)))
            terminal.enter("fg")
            until_line(report, "got CONT", count)
            terminal.enter(f"line {count}")
            until_line(report, f"read line {count}")
        terminal.type(CTRL_D)
        terminal.prompt()
        return seen, told(report), status_of(terminal)

    seen, reported, status = both(scenario)
    assert seen == [("status 148", ["Stopped"])] * 3
    assert reported[:3] == ["born", "got CONT", "read line 1"]
    assert (len(reported), status) == (8, "status 0")


def test_go_on_in_the_background(stage: Stage, session: Session) -> None:
    """`bg` lets a stopped command go on, which hears one CONT, and `kill %1` ends it."""

    def scenario(prefix: str) -> object:
        terminal, report = session(), report_of(stage, prefix)
        terminal.enter(f"{prefix}witness {report} --until USR1 --status 5")
        pid = born(report)
        terminal.type(CTRL_Z)
        terminal.prompt()
        until(lambda: state(pid) == "T", "the command is stopped")
        terminal.command("bg")
        until_line(report, "got CONT")
        seen = job_states(terminal)
        terminal.command("kill -USR2 %1")
        until_line(report, "got USR2")
        terminal.command("kill -USR1 %1")
        terminal.command("wait %1")
        # What a whole group is sent comes to the command and to zkexec, which passes it on: a
        # USR2 may be heard twice here.
        return seen, status_of(terminal), [line for line in told(report) if line != "got USR2"]

    assert both(scenario) == (["Running"], "status 5", ["born", "got CONT", "got USR1"])


def test_reading_in_the_background_stops(stage: Stage, session: Session) -> None:
    """A command in the background that reads from the terminal is stopped until `fg`."""

    def scenario(prefix: str) -> object:
        terminal, report = session(), report_of(stage, prefix)
        terminal.command(f"{prefix}witness {report} --read &")
        pid = born(report)
        until(lambda: state(pid) == "T", "the command is stopped for reading")
        until(lambda: job_states(terminal) == ["Stopped"], "the shell has noticed")
        terminal.enter("fg")
        until_line(report, "got CONT")
        terminal.enter("typed")
        until_line(report, "read typed")
        terminal.type(CTRL_D)
        terminal.prompt()
        return status_of(terminal), told(report)[-2:]

    assert both(scenario) == ("status 0", ["read typed", "end of input"])


def test_a_background_job_hears_no_keys(stage: Stage, session: Session) -> None:
    """Ctrl-C is for the foreground: a wrapped command in the background hears nothing of it."""

    def scenario(prefix: str) -> object:
        terminal, report = session(), report_of(stage, prefix)
        terminal.command(f"{prefix}witness {report} --until USR1 &")
        born(report)
        other = report.with_suffix(".other")
        terminal.enter(f"witness {other} --until INT")
        born(other)
        terminal.type(CTRL_C)
        terminal.prompt()
        terminal.command("kill -USR1 %1")
        terminal.command("wait")
        return told(report)

    assert both(scenario) == ["born", "got USR1"]


def test_a_pipeline_is_one_job(stage: Stage, session: Session) -> None:
    """In `zkexec | reader` the reader has the terminal, and Ctrl-Z, fg and Ctrl-C are for both."""
    reader = stage.folder / "reader"
    reader.write_text(
        "read -r first; echo got $first; read -r word </dev/tty; echo typed $word; cat\n"
    )

    def scenario(prefix: str) -> object:
        terminal, report = session(), report_of(stage, prefix)
        command = f"{prefix}sh -c 'echo one; exec witness {report} --until INT --status 0'"
        terminal.enter(f"set -o pipefail; {command} | sh {reader}")
        terminal.expect("got one\r")
        pid = born(report)
        terminal.type(CTRL_Z)
        terminal.prompt()
        until(lambda: state(pid) == "T", "the command is stopped")
        terminal.enter("fg")
        until_line(report, "got CONT")
        terminal.enter("word")
        terminal.expect("typed word\r")
        terminal.type(CTRL_C)
        terminal.prompt()
        return status_of(terminal), told(report)

    assert both(scenario) == ("status 130", ["born", "got CONT", "got INT"])


def test_a_reader_that_leaves_ends_a_writer(session: Session) -> None:
    """`zkexec -- yes | head -2` ends by itself: SIGPIPE is at its default in the command."""

    def scenario(prefix: str) -> object:
        terminal = session()
        return terminal.command(f"{prefix}yes | head -n 2; echo ${{PIPESTATUS[*]}}")

    assert both(scenario) == "y\ny\n141 0\n"


def test_end_while_stopped(stage: Stage, session: Session) -> None:
    """`kill %1` of a stopped job ends it, once it is continued."""

    def scenario(prefix: str) -> object:
        terminal, report = session(), report_of(stage, prefix)
        terminal.enter(f"{prefix}witness {report}")
        pid = born(report)
        leader = terminal.foreground
        terminal.type(CTRL_Z)
        terminal.prompt()
        until(lambda: state(pid) == "T", "the command is stopped")
        terminal.command("kill %1")
        # The shell itself may go on to call the job stopped, also a bare one.
        until(lambda: not is_alive(leader) and not is_alive(pid), "both are gone")
        return "got TERM" in told(report)

    assert both(scenario) is True


def test_a_restart_in_the_background(stage: Stage, mirror: Mirror, session: Session) -> None:
    """A job in the background is restarted there, and `fg` brings the new command forward."""
    terminal = session()
    terminal.command(f"zkexec {mirror.option} -- witness {stage.report} &")
    born(stage.report)
    mirror.change()
    pid = born(stage.report, 2)
    terminal.enter("fg")
    until(lambda: terminal.foreground == os.getpgid(pid), "the job is in the foreground")
    terminal.type(CTRL_C)
    until_line(stage.report, "got INT")
    os.kill(terminal.foreground, signal.SIGTERM)
    terminal.prompt()

    assert status_of(terminal) == "status 0"
    assert told(stage.report).count("got INT") == 1


def test_a_change_while_stopped_waits_for_fg(
    stage: Stage, mirror: Mirror, session: Session
) -> None:
    """A change that comes while the job is stopped is a restart once it goes on."""
    terminal = session()
    terminal.enter(f"zkexec {mirror.option} -- witness {stage.report} --until USR1")
    pid = born(stage.report)
    terminal.type(CTRL_Z)
    terminal.prompt()
    until(lambda: state(pid) == "T", "the command is stopped")
    mirror.change()
    terminal.enter("fg")
    until_line(stage.report, "got TERM")
    os.kill(pid, signal.SIGUSR1)
    born(stage.report, 2)
    os.kill(terminal.foreground, signal.SIGKILL)
    terminal.prompt()

    assert status_of(terminal) == "status 137"


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_a_script_with_ampersand(stage: Stage, shell: str) -> None:
    """`zkexec ... & wait` in a script without job control gives the script the status."""
    seen = []
    for prefix in ("", "zkexec"):
        report = report_of(stage, prefix)
        words = WRAPPED if prefix else BARE
        script = stage.folder / "script"
        script.write_text(f'"$@" & echo $! >{report}.pid; wait $!; echo $? >{report}.status\n')
        command = ("sh", "-c", f"echo born 0 >>{report}; exec sleep 1000")
        process = stage.start(shell, script, *words, *command)
        born(report)
        until(stage.sleepers, "the command sleeps")
        leader = int(lines(report.with_name(f"{report.name}.pid"))[0])
        os.kill(leader, signal.SIGINT)  # ignored, as it is for all that a script sends back
        os.kill(leader, signal.SIGTERM)
        end(process)
        seen.append(lines(report.with_name(f"{report.name}.status")))

    assert seen == [["143"], ["143"]]
