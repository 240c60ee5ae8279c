"""Child and zkexec on a terminal: the kernel and the shell do their part, zkexec only its own.

Each program runs on a pty as its controlling terminal, directly or as a job of a bash.  A
signal is known to have come once when it stands once before the RTMAX that is sent after it.
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from shell.remote_processes import RemoteProcesses
from support.processes import is_alive
from support.terminal import Terminal
from support.waiting import lines, until, until_lines

SIGNAL_LOG = str(Path(__file__).resolve().parents[1] / "libexec" / "signal-log")
ALL_BUT_TERM = "INT QUIT HUP USR1 USR2 ALRM"


Start = Callable[..., RemoteProcesses]


@pytest.fixture
def start(drive: Start) -> Start:
    """Start the processes on a terminal: as its session's leader, or as "$@" of a bash script."""

    def start(*command: str, script: str = '"$@"') -> RemoteProcesses:
        bash = () if script == '"$@"' else ("bash", "-mc", script, "bash")
        return drive(command=command, before=bash, options={"terminal": Terminal()})

    return start


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where the child writes its signals."""
    return tmp_path / "log"


def logging_child(log: Path, ignored: str = ALL_BUT_TERM) -> list[str]:
    """The words of a child that writes its signals down and lives on."""
    return [SIGNAL_LOG, str(log), *ignored.split()]


def signals_until_now(remote: RemoteProcesses, log: Path) -> list[str]:
    """The names of all signals that the child got, up to an RTMAX that is sent now."""
    remote.call("signal_group", signal.SIGRTMAX)
    until(lambda: any(line.startswith("RTMAX") for line in lines(log)), "the RTMAX")
    names = [line.split()[0] for line in lines(log)]
    return names[1 : names.index("RTMAX")]


def zkexec_of(child: int) -> int:
    """The pid of the driven program, which may run below a bash."""
    return int(Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[1])


def test_the_child_stays_in_zkexecs_group(start: Start, log: Path) -> None:
    """With a terminal the child is in zkexec's session and process group."""
    remote = start(*logging_child(log))
    child = remote.start_command()

    assert os.getsid(child) == os.getsid(remote.process.pid)
    assert os.getpgid(child) == os.getpgid(remote.process.pid)


@pytest.mark.parametrize(("key", "name"), [(b"\x03", "INT"), (b"\x1c", "QUIT")])
def test_a_key_reaches_the_child_once(start: Start, log: Path, key: bytes, name: str) -> None:
    """Ctrl-C and Ctrl-4 are known to come from the terminal, and the child gets just one."""
    remote = start(*logging_child(log))
    remote.start_command()
    until_lines(log)

    remote.process.send(key)
    assert remote.signal() == [signal.Signals[f"SIG{name}"], True]
    assert signals_until_now(remote, log) == [name]


def test_a_new_size_reaches_the_child_once(start: Start, log: Path) -> None:
    """A change of the terminal's size comes to the child from the kernel, and only from it."""
    remote = start(*logging_child(log))
    remote.start_command()
    until_lines(log)

    remote.process.terminal.resize(33, 77)
    assert remote.signal() == [signal.SIGWINCH, True]
    assert signals_until_now(remote, log) == ["WINCH"]


@pytest.mark.parametrize("name", ["INT", "QUIT", "HUP", "USR1", "USR2", "ALRM", "WINCH", "CONT"])
def test_a_sent_signal_reaches_the_child_once(start: Start, log: Path, name: str) -> None:
    """A signal that was sent to zkexec alone is no key, and is passed on once."""
    remote = start(*logging_child(log))
    remote.start_command()
    until_lines(log)

    remote.process.signal(signal.Signals[f"SIG{name}"])
    assert remote.signal() == [signal.Signals[f"SIG{name}"], False]
    assert signals_until_now(remote, log) == [name]


def test_a_term_reaches_shell_and_program(start: Start, log: Path) -> None:
    """A TERM to zkexec reaches the child's shell and what it runs; zkexec itself lives on."""
    remote = start("sh", "-c", f"cd / && {SIGNAL_LOG} {log}; echo goes on >>{log}")
    remote.start_command()
    program = until_lines(log)[0].split()[1]

    remote.process.signal(signal.SIGTERM)
    assert remote.event()["ending"] == {"code": 0, "signal": signal.SIGTERM}
    assert until_lines(log, 2)[1:] == [f"TERM {program}"]
    assert remote.remaining() == 0


def test_the_rest_of_a_pipeline_is_left_alone(start: Start, log: Path, tmp_path: Path) -> None:
    """The other end of `zkexec | less`, in the same group, gets nothing of what zkexec sends."""
    other = tmp_path / "other"
    remote = start(*logging_child(log), script=f'"$@" | {SIGNAL_LOG} {other}')
    child = remote.start_command()
    stranger = int(until_lines(other)[0].split()[1])
    until_lines(log)
    assert os.getpgid(stranger) == os.getpgid(child)

    os.kill(zkexec_of(child), signal.SIGHUP)
    assert remote.signal() == [signal.SIGHUP, False]
    assert signals_until_now(remote, log) == ["HUP"]
    remote.call("signal_tree", signal.SIGTERM)
    assert remote.event()["ending"]["signal"] == signal.SIGTERM
    remote.call("signal_tree", signal.SIGKILL)
    assert remote.remaining() == 0
    assert is_alive(stranger)
    assert len(lines(other)) == 1


def test_other_groups_are_not_signalled(start: Start, log: Path, tmp_path: Path) -> None:
    """What the child put into another process group gets nothing that is meant for its own."""
    other = tmp_path / "other"
    aside = f"setsid {SIGNAL_LOG} {other} HUP & exec {SIGNAL_LOG} {log} HUP"
    remote = start("sh", "-c", aside)
    remote.start_command()
    until_lines(other)
    until_lines(log)

    remote.call("signal_group", signal.SIGHUP)
    assert signals_until_now(remote, log) == ["HUP"]
    remote.call("signal_tree", signal.SIGRTMAX)
    names = [line.split()[0] for line in until_lines(other, 3)]
    # Of signals that wait together the one with the smallest number comes first.
    assert sorted(names) == ["CONT", "RTMAX", "ready"]


def test_a_grandchild_does_not_escape(start: Start, log: Path) -> None:
    """After the shell of `cd x && server` is gone, the server still counts and can be killed."""
    remote = start("sh", "-c", f"cd / && {SIGNAL_LOG} {log} TERM; :")
    remote.start_command()
    server = int(until_lines(log)[0].split()[1])

    remote.call("signal_tree", signal.SIGTERM)
    assert remote.event()["ending"]["signal"] == signal.SIGTERM
    assert remote.remaining() == 1
    assert is_alive(server)
    remote.call("signal_tree", signal.SIGKILL)
    until(lambda: remote.remaining() == 0, "the end of the server")
    assert not is_alive(server)


def test_a_child_with_a_group_of_its_own_is_reached(start: Start, log: Path) -> None:
    """A child that made itself a group, as a shell with job control does, gets signals and keys."""
    leave = "import os, sys; os.setpgid(0, 0); os.execv(sys.argv[1], sys.argv[1:])"
    remote = start(sys.executable, "-c", leave, *logging_child(log))
    remote.start_command()
    until_lines(log)

    remote.process.signal(signal.SIGHUP)
    assert remote.signal() == [signal.SIGHUP, False]
    remote.process.send(b"\x03")
    assert remote.signal() == [signal.SIGINT, False]
    assert sorted(signals_until_now(remote, log)) == ["HUP", "INT"]


def test_stop_and_continue_are_the_shells(start: Start, log: Path) -> None:
    """Ctrl-Z stops zkexec and child, `fg` continues both, and the child gets that CONT once."""
    remote = start(*logging_child(log), script='"$@"; fg >/dev/null')
    remote.start_command()
    until_lines(log)

    remote.process.send(b"\x1a")
    assert remote.signal() == [signal.SIGCONT, True]
    assert signals_until_now(remote, log) == ["CONT"]


def test_a_lone_continue_is_passed_on(start: Start, log: Path) -> None:
    """A CONT from the shell to zkexec alone is passed on where the child is still stopped."""
    script = '"$@" & trap "kill -CONT $!" USR1; while :; do wait $!; done'
    remote = start(*logging_child(log), script=script)
    child = remote.start_command()
    until_lines(log)
    os.kill(child, signal.SIGSTOP)
    until(lambda: Path(f"/proc/{child}/stat").read_text().split()[2] == "T", "the stop")

    remote.process.signal(signal.SIGUSR1)  # this is the bash
    assert remote.signal() == [signal.SIGCONT, False]
    assert signals_until_now(remote, log) == ["CONT"]


def test_the_terminal_is_left_as_it_was(start: Start, log: Path) -> None:
    """Modes and foreground group of the terminal are the same after start, stop and restart."""
    remote = start(*logging_child(log))
    remote.call("inspect_tree", 0)

    def modes() -> tuple[object, int]:
        return remote.process.terminal.modes, remote.process.terminal.foreground

    before = modes()
    for generation in (1, 2):
        remote.start_command(generation)
        until_lines(log, generation)
        remote.call("signal_tree", signal.SIGKILL)
        assert remote.event()["generation"] == generation
    assert modes() == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a command of another user")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_child_of_another_user_still_counts(drive: Start, number: int) -> None:
    """A child that zkexec may not signal (`zkexec -- sudo app`) is left alone, without an error."""
    no_kill = ("setpriv", "--bounding-set=-kill")
    command = ("setpriv", "--reuid=54321", "sleep", "1000")
    remote = drive(command=command, before=no_kill, options={"terminal": Terminal()})
    child = remote.start_command()
    until(lambda: b"sleep" in Path(f"/proc/{child}/cmdline").read_bytes()[:6], "another user")

    remote.call("signal_tree", number)
    remote.call("signal_group", number)
    assert is_alive(child)
    assert remote.remaining() == 1
