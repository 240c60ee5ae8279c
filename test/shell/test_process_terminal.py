"""Child and zkexec on a terminal: the kernel and the shell do their part, zkexec only its own.

Each program runs on a pty as its controlling terminal, directly or as a job of a bash.  A
signal is known to have come once when it stands once before the RTMAX that is sent after it.
"""

import fcntl
import os
import pty
import signal
import struct
import sys
import termios
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shell.driven import Driven, is_alive, lines, until, until_lines

SIGNAL_LOG = str(Path(__file__).resolve().parents[1] / "libexec" / "signal-log")
ALL_BUT_TERM = "INT QUIT HUP USR1 USR2 ALRM"


class Terminal:
    """A pty, and what runs on it."""

    def __init__(self, drive: Callable[..., Driven]) -> None:
        self._drive = drive
        self.master, self.slave = pty.openpty()

    def start(self, *command: str, script: str = '"$@"') -> Driven:
        """Start a drive.py that leads the session, or is what the words "$@" of a bash script."""
        bash = () if script == '"$@"' else ("bash", "-mc", script, "bash")
        streams = {"stdin": self.slave, "stdout": self.slave}
        if bash:
            streams["stderr"] = self.slave  # without it bash does no job control
        return self._drive(
            command=command,
            before=("setsid", "--ctty", *bash),
            options={"start_new_session": False, **streams},
        )

    def type(self, keys: bytes) -> None:
        """Type on the terminal."""
        os.write(self.master, keys)

    def close(self) -> None:
        """Hang up."""
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def terminal(drive: Callable[..., Driven]) -> Iterator[Terminal]:
    """A terminal of this test alone."""
    one = Terminal(drive)
    yield one
    one.close()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where the child writes its signals."""
    return tmp_path / "log"


def logging_child(log: Path, ignored: str = ALL_BUT_TERM) -> list[str]:
    """The words of a child that writes its signals down and lives on."""
    return [SIGNAL_LOG, str(log), *ignored.split()]


def signals_until_now(driven: Driven, log: Path) -> list[str]:
    """The names of all signals that the child got, up to an RTMAX that is sent now."""
    driven.call("signal_group", signal.SIGRTMAX)
    until(lambda: any(line.startswith("RTMAX") for line in lines(log)), "the RTMAX")
    names = [line.split()[0] for line in lines(log)]
    return names[1 : names.index("RTMAX")]


def zkexec_of(child: int) -> int:
    """The pid of the driven program, which may run below a bash."""
    return int(Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[1])


def test_the_child_stays_in_zkexecs_group(terminal: Terminal, log: Path) -> None:
    """With a terminal the child is in zkexec's session and process group."""
    driven = terminal.start(*logging_child(log))
    child = driven.start_command()

    assert os.getsid(child) == os.getsid(driven.process.pid)
    assert os.getpgid(child) == os.getpgid(driven.process.pid)


@pytest.mark.parametrize(("key", "name"), [(b"\x03", "INT"), (b"\x1c", "QUIT")])
def test_a_key_reaches_the_child_once(terminal: Terminal, log: Path, key: bytes, name: str) -> None:
    """Ctrl-C and Ctrl-4 are known to come from the terminal, and the child gets just one."""
    driven = terminal.start(*logging_child(log))
    driven.start_command()
    until_lines(log)

    terminal.type(key)
    assert driven.signal() == [signal.Signals[f"SIG{name}"], True]
    assert signals_until_now(driven, log) == [name]


def test_a_new_size_reaches_the_child_once(terminal: Terminal, log: Path) -> None:
    """A change of the terminal's size comes to the child from the kernel, and only from it."""
    driven = terminal.start(*logging_child(log))
    driven.start_command()
    until_lines(log)

    fcntl.ioctl(terminal.master, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 77, 0, 0))
    assert driven.signal() == [signal.SIGWINCH, True]
    assert signals_until_now(driven, log) == ["WINCH"]


@pytest.mark.parametrize("name", ["INT", "QUIT", "HUP", "USR1", "USR2", "ALRM", "WINCH", "CONT"])
def test_a_sent_signal_reaches_the_child_once(terminal: Terminal, log: Path, name: str) -> None:
    """A signal that was sent to zkexec alone is no key, and is passed on once."""
    driven = terminal.start(*logging_child(log))
    driven.start_command()
    until_lines(log)

    driven.process.send_signal(signal.Signals[f"SIG{name}"])
    assert driven.signal() == [signal.Signals[f"SIG{name}"], False]
    assert signals_until_now(driven, log) == [name]


def test_a_term_reaches_shell_and_program(terminal: Terminal, log: Path) -> None:
    """A TERM to zkexec reaches the child's shell and what it runs; zkexec itself lives on."""
    driven = terminal.start("sh", "-c", f"cd / && {SIGNAL_LOG} {log}; echo goes on >>{log}")
    driven.start_command()
    program = until_lines(log)[0].split()[1]

    driven.process.send_signal(signal.SIGTERM)
    assert driven.event()["ending"] == {"code": 0, "signal": signal.SIGTERM}
    until(lambda: driven.remaining() == 0, "the end of the program")
    assert lines(log)[1:] == [f"TERM {program}"]


def test_the_rest_of_a_pipeline_is_left_alone(
    terminal: Terminal, log: Path, tmp_path: Path
) -> None:
    """The other end of `zkexec | less`, in the same group, gets nothing of what zkexec sends."""
    other = tmp_path / "other"
    driven = terminal.start(*logging_child(log), script=f'"$@" | {SIGNAL_LOG} {other}')
    child = driven.start_command()
    stranger = int(until_lines(other)[0].split()[1])
    until_lines(log)
    assert os.getpgid(stranger) == os.getpgid(child)

    os.kill(zkexec_of(child), signal.SIGHUP)
    assert driven.signal() == [signal.SIGHUP, False]
    assert signals_until_now(driven, log) == ["HUP"]
    driven.call("signal_tree", signal.SIGTERM)
    assert driven.event()["ending"]["signal"] == signal.SIGTERM
    driven.call("signal_tree", signal.SIGKILL)
    assert driven.remaining() == 0
    assert is_alive(stranger)
    assert len(lines(other)) == 1


def test_other_groups_are_not_signalled(terminal: Terminal, log: Path, tmp_path: Path) -> None:
    """What the child put into another process group gets nothing that is meant for its own."""
    other = tmp_path / "other"
    aside = f"setsid {SIGNAL_LOG} {other} HUP & exec {SIGNAL_LOG} {log} HUP"
    driven = terminal.start("sh", "-c", aside)
    driven.start_command()
    until_lines(other)
    until_lines(log)

    driven.call("signal_group", signal.SIGHUP)
    assert signals_until_now(driven, log) == ["HUP"]
    driven.call("signal_tree", signal.SIGRTMAX)
    names = [line.split()[0] for line in until_lines(other, 3)]
    # Of signals that wait together the one with the smallest number comes first.
    assert sorted(names) == ["CONT", "RTMAX", "ready"]


def test_a_grandchild_does_not_escape(terminal: Terminal, log: Path) -> None:
    """After the shell of `cd x && server` is gone, the server still counts and can be killed."""
    driven = terminal.start("sh", "-c", f"cd / && {SIGNAL_LOG} {log} TERM; :")
    driven.start_command()
    server = int(until_lines(log)[0].split()[1])

    driven.call("signal_tree", signal.SIGTERM)
    assert driven.event()["ending"]["signal"] == signal.SIGTERM
    assert driven.remaining() == 1
    assert is_alive(server)
    driven.call("signal_tree", signal.SIGKILL)
    until(lambda: driven.remaining() == 0, "the end of the server")
    assert not is_alive(server)


def test_a_child_with_a_group_of_its_own_is_reached(terminal: Terminal, log: Path) -> None:
    """A child that made itself a group, as a shell with job control does, gets signals and keys."""
    leave = "import os, sys; os.setpgid(0, 0); os.execv(sys.argv[1], sys.argv[1:])"
    driven = terminal.start(sys.executable, "-c", leave, *logging_child(log))
    driven.start_command()
    until_lines(log)

    driven.process.send_signal(signal.SIGHUP)
    assert driven.signal() == [signal.SIGHUP, False]
    terminal.type(b"\x03")
    assert driven.signal() == [signal.SIGINT, False]
    assert sorted(signals_until_now(driven, log)) == ["HUP", "INT"]


def test_stop_and_continue_are_the_shells(terminal: Terminal, log: Path) -> None:
    """Ctrl-Z stops zkexec and child, `fg` continues both, and the child gets that CONT once."""
    driven = terminal.start(*logging_child(log), script='"$@"; fg >/dev/null')
    driven.start_command()
    until_lines(log)

    terminal.type(b"\x1a")
    assert driven.signal() == [signal.SIGCONT, True]
    assert signals_until_now(driven, log) == ["CONT"]


def test_a_lone_continue_is_passed_on(terminal: Terminal, log: Path) -> None:
    """A CONT from the shell to zkexec alone is passed on where the child is still stopped."""
    script = '"$@" & trap "kill -CONT $!" USR1; while :; do wait $!; done'
    driven = terminal.start(*logging_child(log), script=script)
    child = driven.start_command()
    until_lines(log)
    os.kill(child, signal.SIGSTOP)
    until(lambda: Path(f"/proc/{child}/stat").read_text().split()[2] == "T", "the stop")

    driven.process.send_signal(signal.SIGUSR1)  # this is the bash
    assert driven.signal() == [signal.SIGCONT, False]
    assert signals_until_now(driven, log) == ["CONT"]


def test_the_terminal_is_left_as_it_was(terminal: Terminal, log: Path) -> None:
    """Modes and foreground group of the terminal are the same after start, stop and restart."""
    driven = terminal.start(*logging_child(log))
    driven.call("inspect_tree", 0)

    def modes() -> tuple[object, int]:
        return termios.tcgetattr(terminal.slave), os.tcgetpgrp(terminal.master)

    before = modes()
    for generation in (1, 2):
        driven.start_command(generation)
        until_lines(log, generation)
        driven.call("signal_tree", signal.SIGKILL)
        assert driven.event()["generation"] == generation
    assert modes() == before
