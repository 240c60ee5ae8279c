"""A command on a terminal: typing, keys, window size and hang-up are as without zkexec.

Each test does the same twice, with the bare command and with the wrapped one, and compares what
the command told and what the shell showed.
"""

import os
import signal

import pytest

from e2e.bare_and_wrapped import OpenShell, both, report_of, reported, status_of
from support.processes import fields, proc
from support.sandbox import REPORTER, ZKEXEC, Mirror, Sandbox, born
from support.terminal import Terminal
from support.waiting import until, until_line

CTRL_C, CTRL_D, CTRL_Z, CTRL_BACKSLASH = "\x03", "\x04", "\x1a", "\x1c"


def test_typing_reaches_the_command(sandbox: Sandbox, open_shell: OpenShell) -> None:
    """What is typed is read by the command line by line, and Ctrl-D ends its input."""

    def scenario(prefix: str) -> object:
        shell, report = open_shell(), report_of(sandbox, prefix)
        shell.enter(f"{prefix}reporter {report} --read")
        born(report)
        shell.enter("hello")
        until_line(report, "read hello")
        shell.enter("wörld")
        until_line(report, "read wörld")
        shell.send(CTRL_D)
        shell.prompt()
        return reported(report), status_of(shell)

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
def test_a_key_is_one_signal(sandbox: Sandbox, open_shell: OpenShell, key: str, name: str) -> None:
    """Ctrl-C reaches the command once each time that it is pressed, and `kill -INT` as well."""

    def scenario(prefix: str) -> object:
        shell, report = open_shell(), report_of(sandbox, prefix)
        shell.enter(f"{prefix}reporter {report} --until USR1")
        born(report)
        leader = shell.terminal.foreground
        for count in range(1, 6):
            shell.send(key)
            until_line(report, f"got {name}", count)
            # A second one of the key would be told before this, which zkexec takes later.
            os.kill(leader, signal.SIGUSR2)
            until_line(report, "got USR2", count)
        os.kill(leader, signal.Signals[f"SIG{name}"])
        until_line(report, f"got {name}", 6)
        os.kill(leader, signal.SIGUSR1)
        shell.prompt()
        return reported(report), status_of(shell)

    assert both(scenario) == (
        ["born", *[f"got {name}", "got USR2"] * 5, f"got {name}", "got USR1"],
        "status 0",
    )


@pytest.mark.parametrize(("key", "status"), [(CTRL_C, 130), (CTRL_BACKSLASH, 131)])
def test_a_key_ends_what_does_not_catch_it(open_shell: OpenShell, key: str, status: int) -> None:
    """A command that dies of Ctrl-C or Ctrl-Backslash leaves the status of that death."""

    def scenario(prefix: str) -> object:
        shell = open_shell()
        shell.enter(f"{prefix}sh -c 'echo alive; exec sleep 1000'")
        shell.expect("alive\r")
        shell.send(key)
        shell.prompt()
        return status_of(shell)

    assert both(scenario) == f"status {status}"


def test_a_key_in_the_first_moments_ends_zkexec_quietly(open_shell: OpenShell) -> None:
    """Ctrl-C ends zkexec without a word from the first moment that it can do something about it."""
    shell = open_shell()
    for _ in range(10):
        shell.enter("zkexec -c 192.0.2.1 -- sleep 1000")
        until(lambda: has_begun(shell.terminal.foreground), "zkexec has begun")
        shell.send(CTRL_C)
        shell.prompt()

    assert status_of(shell) == "status 130"
    assert "Traceback" not in shell.stdout.text


def test_the_window_size_changes_once(sandbox: Sandbox, open_shell: OpenShell) -> None:
    """A change of the window's size is told to the command once, and it sees the new size."""

    def scenario(prefix: str) -> object:
        shell, report = open_shell(), report_of(sandbox, prefix)
        shell.enter(f"{prefix}reporter {report} --until USR1")
        born(report)
        leader = shell.terminal.foreground
        for count in range(1, 4):
            shell.terminal.resize(30 + count, 100)
            until_line(report, "got WINCH", count)
            os.kill(leader, signal.SIGUSR2)
            until_line(report, "got USR2", count)
        os.kill(leader, signal.SIGUSR1)
        shell.prompt()
        return reported(report), shell.command(f"{prefix}stty size")

    assert both(scenario) == (
        ["born", *["got WINCH", "got USR2"] * 3, "got USR1"],
        "33 100\r\n".replace("\r", ""),
    )


def test_modes_and_foreground_are_afterwards_what_they_were(open_shell: OpenShell) -> None:
    """After the command the terminal has its old modes, and the shell is in the foreground."""

    def scenario(prefix: str) -> object:
        shell = open_shell()
        before = shell.terminal.modes
        shell.command(f"{prefix}sh -c 'echo one'")
        shell.enter(f"{prefix}sh -c 'echo two; exec sleep 1000'")
        shell.expect("two\r")
        during = shell.terminal.modes
        shell.send(CTRL_C)
        shell.prompt()
        return before == shell.terminal.modes, during == before

    assert both(scenario)[0]


def test_a_mode_that_the_command_sets_stays_set(open_shell: OpenShell) -> None:
    """`zkexec -- stty` changes the terminal as stty does: zkexec itself restores nothing."""

    def scenario(prefix: str) -> object:
        shell = open_shell()
        shell.command(f"{prefix}stty -ixon tostop")
        return shell.terminal.modes, shell.command("stty -a | grep -o -e '-ixon' -e '-\\?tostop'")

    assert both(scenario)[1] == "-ixon\ntostop\n"


def test_a_program_that_speaks_to_the_terminal_itself(open_shell: OpenShell) -> None:
    """A command may ask on /dev/tty for a password, as ssh and sudo do, with the echo off."""
    script = "stty -echo </dev/tty; read -r word </dev/tty; stty echo </dev/tty; echo =$word="

    def scenario(prefix: str) -> object:
        shell = open_shell()
        shell.enter(f"{prefix}sh -c 'echo ask; {script}' </dev/null")
        shell.expect("ask\r")
        shell.enter("secret")
        shell.expect("=secret=\r")
        shell.prompt()
        return status_of(shell)

    assert both(scenario) == "status 0"


def test_an_interactive_shell_as_the_command(sandbox: Sandbox, open_shell: OpenShell) -> None:
    """A shell with job control works under zkexec, and gives the terminal back at its end."""

    def scenario(prefix: str) -> object:
        shell = open_shell()
        before = shell.terminal.modes
        shell.enter(f"PS1='in''ner> ' {prefix}bash --norc --noprofile --noediting -i")
        shell.expect("inner> ")
        report = report_of(sandbox, prefix)
        shell.enter(f"reporter {report} --until INT")
        born(report)
        shell.send(CTRL_C)
        shell.expect("inner> ")
        shell.enter("exit 9")
        shell.prompt()
        return status_of(shell), before == shell.terminal.modes

    assert both(scenario) == ("status 9", True)


@pytest.mark.parametrize("kind", ["dies", "copes"])
def test_a_script_goes_on_or_stops_after_ctrl_c(
    sandbox: Sandbox, open_shell: OpenShell, kind: str
) -> None:
    """A bash script stops at Ctrl-C where its command died of it, and goes on where it did not."""
    sandbox.report.touch()

    def scenario(prefix: str) -> object:
        shell, report = open_shell(), report_of(sandbox, prefix)
        command = {
            "dies": f"sh -c 'echo born 0 >>{report}; exec sleep 1000'",
            "copes": f"reporter {report} --until INT --status 0",
        }[kind]
        script = sandbox.folder / "script"
        script.write_text(f"{prefix}{command}\necho went on\n")
        shell.enter("bash script")
        born(report)
        shell.send(CTRL_C)
        shell.prompt()
        return "went on\r" in shell.stdout.text, status_of(shell)

    assert both(scenario) == ((False, "status 130") if kind == "dies" else (True, "status 0"))


def test_a_hang_up_reaches_the_job_in_the_foreground(
    sandbox: Sandbox, open_shell: OpenShell
) -> None:
    """When the terminal goes away, a command below an interactive shell hears HUP and ends."""

    def scenario(prefix: str) -> object:
        shell, report = open_shell(), report_of(sandbox, prefix)
        shell.enter(f"{prefix}reporter {report} --until HUP --status 0")
        pid = born(report)
        shell.hang_up()
        shell.wait()
        until(lambda: not fields(pid), "the command is gone")
        sandbox.wait_until_empty()
        return "got HUP" in reported(report)

    assert both(scenario) is True


def test_a_hang_up_without_a_shell_in_between(sandbox: Sandbox) -> None:
    """Where zkexec itself leads the session, as below ssh, it hands the hang-up on."""

    def scenario(prefix: str) -> object:
        report = report_of(sandbox, prefix)
        words = [*ZKEXEC, "--silent", "--"] if prefix else []
        process = sandbox.start(*words, REPORTER, report, "--until", "HUP", terminal=Terminal())
        born(report)
        process.hang_up()
        status = process.wait()
        sandbox.wait_until_empty()
        return status, "got HUP" in reported(report)

    assert both(scenario) == (0, True)


def test_nohup_survives_the_hang_up(sandbox: Sandbox, open_shell: OpenShell) -> None:
    """`nohup zkexec ... &` goes on when the terminal goes away, the command hears nothing of it."""

    def scenario(prefix: str) -> object:
        shell, report = open_shell(), report_of(sandbox, prefix)
        shell.enter(f"nohup {prefix}reporter {report} </dev/null >/dev/null 2>&1 &")
        pid = born(report)
        shell.hang_up()
        shell.wait()
        os.kill(pid, signal.SIGUSR1)
        until_line(report, "got USR1")
        os.kill(pid, signal.SIGTERM)
        sandbox.wait_until_empty()
        return "got HUP" in reported(report)

    assert both(scenario) is False


def test_a_restart_on_a_terminal(sandbox: Sandbox, mirror: Mirror, open_shell: OpenShell) -> None:
    """After a restart the new command reads what is typed, and Ctrl-C reaches it once."""
    shell = open_shell()
    shell.enter(f"zkexec {mirror.option} -- reporter {sandbox.report} --read")
    born(sandbox.report)
    leader = shell.terminal.foreground
    shell.enter("before")
    until_line(sandbox.report, "read before")
    mirror.change()
    born(sandbox.report, 2)
    shell.enter("after")
    until_line(sandbox.report, "read after")
    shell.send(CTRL_C)
    until_line(sandbox.report, "got INT")
    os.kill(leader, signal.SIGUSR1)
    until_line(sandbox.report, "got USR1")
    shell.send(CTRL_D)
    shell.prompt()

    seen = [line for line in reported(sandbox.report) if line != "got CONT"]
    assert seen == [
        *("born", "read before", "got TERM"),
        *("born", "read after", "got INT", "got USR1", "end of input"),
    ]
    assert status_of(shell) == "status 0"


def test_a_health_check_takes_neither_typing_nor_keys(
    sandbox: Sandbox, open_shell: OpenShell
) -> None:
    """What is typed and Ctrl-C are for the command alone, also while a check is running."""
    check = sandbox.folder / "check"
    shell = open_shell()
    options = f"--health 'reporter {check} --read --until INT' -d 0 --health-interval 1000"
    shell.enter(f"zkexec {options} -e 'reporter {sandbox.report} --read'")
    born(sandbox.report)
    # The check finds the end of its input at once; the next one is a reporter that stays.
    until_line(check, "end of input")
    shell.enter("exit")
    until_line(sandbox.report, "read exit")
    shell.send(CTRL_D)
    shell.prompt()
    options = f"--health 'reporter {check} --until INT' -d 0"
    shell.enter(f"zkexec {options} -e 'reporter {sandbox.report} --read'")
    born(sandbox.report, 2)
    born(check, 2)
    shell.send(CTRL_C)
    until_line(sandbox.report, "got INT")
    shell.enter("typed")
    until_line(sandbox.report, "read typed")
    shell.send(CTRL_D)
    shell.prompt()
    stage_left = [pid for pid in sandbox.present() if pid != shell.pid]

    assert stage_left == []
    assert reported(check) == ["born", "end of input", "born"]
