"""A command on a terminal: typing, keys, window size and hang-up are as without zkexec.

Each test does the same twice, with the bare command and with the wrapped one, and compares what
the command told and what the shell showed.
"""

import os
import signal

import pytest

from e2e.stage import WITNESS, ZKEXEC, Mirror, Stage, born, end, fields, proc, until, until_line
from e2e.terminal import Terminal
from e2e.twice import Session, both, report_of, status_of, told

CTRL_C, CTRL_D, CTRL_Z, CTRL_BACKSLASH = "\x03", "\x04", "\x1a", "\x1c"


def test_typing_reaches_the_command(stage: Stage, session: Session) -> None:
    """What is typed is read by the command line by line, and Ctrl-D ends its input."""

    def scenario(prefix: str) -> object:
        terminal, report = session(), report_of(stage, prefix)
        terminal.enter(f"{prefix}witness {report} --read")
        born(report)
        terminal.enter("hello")
        until_line(report, "read hello")
        terminal.enter("wörld")
        until_line(report, "read wörld")
        terminal.type(CTRL_D)
        terminal.prompt()
        return told(report), status_of(terminal)

    assert both(scenario) == (
        ["born", "read hello", "read wörld", "end of input"],
        "status 0",
    )


def has_begun(pid: int) -> bool:
    """Whether a process is Python with zkexec's code running, which blocks SIGINT."""
    mask = proc(pid, "status").decode().partition("\nSigBlk:\t")[2].split("\n")[0]
    blocks = bool(int(mask or "0", 16) >> (signal.SIGINT - 1) & 1)
    return blocks and b"-m\0zkexec\0" in proc(pid, "cmdline")


@pytest.mark.parametrize(("key", "name"), [(CTRL_C, "INT"), (CTRL_BACKSLASH, "QUIT")])
def test_a_key_is_one_signal(stage: Stage, session: Session, key: str, name: str) -> None:
    """Ctrl-C reaches the command once each time that it is pressed, and `kill -INT` as well."""

    def scenario(prefix: str) -> object:
        terminal, report = session(), report_of(stage, prefix)
        terminal.enter(f"{prefix}witness {report} --until USR1")
        born(report)
        leader = terminal.foreground
        for count in range(1, 6):
            terminal.type(key)
            until_line(report, f"got {name}", count)
            # A second one of the key would be told before this, which zkexec takes later.
            os.kill(leader, signal.SIGUSR2)
            until_line(report, "got USR2", count)
        os.kill(leader, signal.Signals[f"SIG{name}"])
        until_line(report, f"got {name}", 6)
        os.kill(leader, signal.SIGUSR1)
        terminal.prompt()
        return told(report), status_of(terminal)

    assert both(scenario) == (
        ["born", *[f"got {name}", "got USR2"] * 5, f"got {name}", "got USR1"],
        "status 0",
    )


@pytest.mark.parametrize(("key", "status"), [(CTRL_C, 130), (CTRL_BACKSLASH, 131)])
def test_a_key_ends_what_does_not_catch_it(session: Session, key: str, status: int) -> None:
    """A command that dies of Ctrl-C or Ctrl-Backslash leaves the status of that death."""

    def scenario(prefix: str) -> object:
        terminal = session()
        terminal.enter(f"{prefix}sh -c 'echo alive; exec sleep 1000'")
        terminal.expect("alive\r")
        terminal.type(key)
        terminal.prompt()
        return status_of(terminal)

    assert both(scenario) == f"status {status}"


def test_a_key_in_the_first_moments_ends_zkexec_quietly(session: Session) -> None:
    """Ctrl-C ends zkexec without a word from the first moment that it can do something about it."""
    terminal = session()
    for _ in range(10):
        terminal.enter("zkexec -c 192.0.2.1 -- sleep 1000")
        until(lambda: has_begun(terminal.foreground), "zkexec has begun")
        terminal.type(CTRL_C)
        terminal.prompt()

    assert status_of(terminal) == "status 130"
    assert "Traceback" not in terminal.text


def test_the_window_size_changes_once(stage: Stage, session: Session) -> None:
    """A change of the window's size is told to the command once, and it sees the new size."""

    def scenario(prefix: str) -> object:
        terminal, report = session(), report_of(stage, prefix)
        terminal.enter(f"{prefix}witness {report} --until USR1")
        born(report)
        leader = terminal.foreground
        for count in range(1, 4):
            terminal.resize(30 + count, 100)
            until_line(report, "got WINCH", count)
            os.kill(leader, signal.SIGUSR2)
            until_line(report, "got USR2", count)
        os.kill(leader, signal.SIGUSR1)
        terminal.prompt()
        return told(report), terminal.command(f"{prefix}stty size")

    assert both(scenario) == (
        ["born", *["got WINCH", "got USR2"] * 3, "got USR1"],
        "33 100\r\n".replace("\r", ""),
    )


def test_modes_and_foreground_are_afterwards_what_they_were(session: Session) -> None:
    """After the command the terminal has its old modes, and the shell is in the foreground."""

    def scenario(prefix: str) -> object:
        terminal = session()
        before = terminal.modes
        terminal.command(f"{prefix}sh -c 'echo one'")
        terminal.enter(f"{prefix}sh -c 'echo two; exec sleep 1000'")
        terminal.expect("two\r")
        during = terminal.modes
        terminal.type(CTRL_C)
        terminal.prompt()
        return before == terminal.modes, during == before

    assert both(scenario)[0]


def test_a_mode_that_the_command_sets_stays_set(session: Session) -> None:
    """`zkexec -- stty` changes the terminal as stty does: zkexec itself restores nothing."""

    def scenario(prefix: str) -> object:
        terminal = session()
        terminal.command(f"{prefix}stty -ixon tostop")
        return terminal.modes, terminal.command("stty -a | grep -o -e '-ixon' -e '-\\?tostop'")

    assert both(scenario)[1] == "-ixon\ntostop\n"


def test_a_program_that_speaks_to_the_terminal_itself(session: Session) -> None:
    """A command may ask on /dev/tty for a password, as ssh and sudo do, with the echo off."""
    script = "stty -echo </dev/tty; read -r word </dev/tty; stty echo </dev/tty; echo =$word="

    def scenario(prefix: str) -> object:
        terminal = session()
        terminal.enter(f"{prefix}sh -c 'echo ask; {script}' </dev/null")
        terminal.expect("ask\r")
        terminal.enter("secret")
        terminal.expect("=secret=\r")
        terminal.prompt()
        return status_of(terminal)

    assert both(scenario) == "status 0"


def test_an_interactive_shell_as_the_command(stage: Stage, session: Session) -> None:
    """A shell with job control works under zkexec, and gives the terminal back at its end."""

    def scenario(prefix: str) -> object:
        terminal = session()
        before = terminal.modes
        terminal.enter(f"PS1='in''ner> ' {prefix}bash --norc --noprofile --noediting -i")
        terminal.expect("inner> ")
        report = report_of(stage, prefix)
        terminal.enter(f"witness {report} --until INT")
        born(report)
        terminal.type(CTRL_C)
        terminal.expect("inner> ")
        terminal.enter("exit 9")
        terminal.prompt()
        return status_of(terminal), before == terminal.modes

    assert both(scenario) == ("status 9", True)


@pytest.mark.parametrize("kind", ["dies", "copes"])
def test_a_script_goes_on_or_stops_after_ctrl_c(stage: Stage, session: Session, kind: str) -> None:
    """A bash script stops at Ctrl-C where its command died of it, and goes on where it did not."""
    stage.report.touch()

    def scenario(prefix: str) -> object:
        terminal, report = session(), report_of(stage, prefix)
        command = {
            "dies": f"sh -c 'echo born 0 >>{report}; exec sleep 1000'",
            "copes": f"witness {report} --until INT --status 0",
        }[kind]
        script = stage.folder / "script"
        script.write_text(f"{prefix}{command}\necho went on\n")
        terminal.enter("bash script")
        born(report)
        terminal.type(CTRL_C)
        terminal.prompt()
        return "went on\r" in terminal.text, status_of(terminal)

    assert both(scenario) == ((False, "status 130") if kind == "dies" else (True, "status 0"))


def test_a_hang_up_reaches_the_job_in_the_foreground(stage: Stage, session: Session) -> None:
    """When the terminal goes away, a command below an interactive shell hears HUP and ends."""

    def scenario(prefix: str) -> object:
        terminal, report = session(), report_of(stage, prefix)
        terminal.enter(f"{prefix}witness {report} --until HUP --status 0")
        pid = born(report)
        terminal.hang_up()
        end(terminal.process)
        until(lambda: not fields(pid), "the command is gone")
        stage.wait_until_empty()
        return "got HUP" in told(report)

    assert both(scenario) is True


def test_a_hang_up_without_a_shell_in_between(stage: Stage) -> None:
    """Where zkexec itself leads the session, as below ssh, it hands the hang-up on."""

    def scenario(prefix: str) -> object:
        report = report_of(stage, prefix)
        words = [*ZKEXEC, "--silent", "--"] if prefix else []
        environment = stage.environment()
        terminal = Terminal(
            *words, WITNESS, report, "--until", "HUP", environment=environment, folder=stage.folder
        )
        born(report)
        terminal.hang_up()
        status = end(terminal.process)
        stage.wait_until_empty()
        return status, "got HUP" in told(report)

    assert both(scenario) == (0, True)


def test_nohup_survives_the_hang_up(stage: Stage, session: Session) -> None:
    """`nohup zkexec ... &` goes on when the terminal goes away, the command hears nothing of it."""

    def scenario(prefix: str) -> object:
        terminal, report = session(), report_of(stage, prefix)
        terminal.enter(f"nohup {prefix}witness {report} </dev/null >/dev/null 2>&1 &")
        pid = born(report)
        terminal.hang_up()
        end(terminal.process)
        os.kill(pid, signal.SIGUSR1)
        until_line(report, "got USR1")
        os.kill(pid, signal.SIGTERM)
        stage.wait_until_empty()
        return "got HUP" in told(report)

    assert both(scenario) is False


def test_a_restart_on_a_terminal(stage: Stage, mirror: Mirror, session: Session) -> None:
    """After a restart the new command reads what is typed, and Ctrl-C reaches it once."""
    terminal = session()
    terminal.enter(f"zkexec {mirror.option} -- witness {stage.report} --read")
    born(stage.report)
    leader = terminal.foreground
    terminal.enter("before")
    until_line(stage.report, "read before")
    mirror.change()
    born(stage.report, 2)
    terminal.enter("after")
    until_line(stage.report, "read after")
    terminal.type(CTRL_C)
    until_line(stage.report, "got INT")
    os.kill(leader, signal.SIGUSR1)
    until_line(stage.report, "got USR1")
    terminal.type(CTRL_D)
    terminal.prompt()

    seen = [line for line in told(stage.report) if line != "got CONT"]
    assert seen == [
        *("born", "read before", "got TERM"),
        *("born", "read after", "got INT", "got USR1", "end of input"),
    ]
    assert status_of(terminal) == "status 0"


def test_a_health_check_takes_neither_typing_nor_keys(stage: Stage, session: Session) -> None:
    """What is typed and Ctrl-C are for the command alone, also while a check is running."""
    check = stage.folder / "check"
    terminal = session()
    options = f"--health 'witness {check} --read --until INT' -d 0 --health-interval 1000"
    terminal.enter(f"zkexec {options} -e 'witness {stage.report} --read'")
    born(stage.report)
    # The check finds the end of its input at once; the next one is a witness that stays.
    until_line(check, "end of input")
    terminal.enter("exit")
    until_line(stage.report, "read exit")
    terminal.type(CTRL_D)
    terminal.prompt()
    options = f"--health 'witness {check} --until INT' -d 0"
    terminal.enter(f"zkexec {options} -e 'witness {stage.report} --read'")
    born(stage.report, 2)
    born(check, 2)
    terminal.type(CTRL_C)
    until_line(stage.report, "got INT")
    terminal.enter("typed")
    until_line(stage.report, "read typed")
    terminal.type(CTRL_D)
    terminal.prompt()
    stage_left = [pid for pid in stage.present() if pid != terminal.process.pid]

    assert stage_left == []
    assert told(check) == ["born", "end of input", "born"]
