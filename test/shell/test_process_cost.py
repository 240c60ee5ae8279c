"""What zkexec reads of /proc at a stop, a start and a health check: of the command, and no more."""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from shell.marked_programs import MarkedPrograms
from shell.remote_processes import RemoteProcesses
from support.processes import fields, is_alive
from support.waiting import until, until_line, until_lines
from zkexec.process.descendants import is_in_use

Start = Callable[..., RemoteProcesses]
SIGNAL_LOG = str(Path(__file__).resolve().parents[1] / "libexec" / "signal-log")
RESTARTS = 4
# Restarts a command, checks its health before each stop, and prints all pids of commands.
RESTARTING = f"""
from zkexec.process.inheritance import inherit
inheritance = inherit()
import signal
from zkexec.command_line import CommandLine
from zkexec.process.processes import Processes
def line(*words):
    return CommandLine(" ".join(words), tuple(word.encode() for word in words))
processes = Processes(inheritance, command=line("sleep", "1000"), health=line("true"), alert=None,
                      subreaper=False)
def wait_until(is_done):
    while not is_done():
        signal.sigwaitinfo({{signal.SIGCHLD}})
        processes.reap()
for generation in range(1, {RESTARTS} + 1):
    print(processes.start_command(generation).pid, flush=True)
    processes.auxiliaries.run_check(generation)
    wait_until(lambda: processes.auxiliaries.check_generation is None)
    processes.signal_tree(signal.SIGTERM)
    wait_until(lambda: not processes.command_runs)
    assert processes.inspect_tree(generation).remaining == 0
"""
MOST_READS = 5
"""Per restart: twice zkexec's children, and of the command its state and its children."""


@pytest.mark.skipif(not shutil.which("strace"), reason="this machine has no strace")
def test_a_restart_reads_nothing_but_the_command(marked: MarkedPrograms, tmp_path: Path) -> None:
    """However many processes a host has, zkexec reads of /proc what belongs to the command."""
    calls = tmp_path / "calls"
    strace = ("strace", "-o", str(calls), "-e", "trace=openat,getsid,getdents64,access,stat")
    done = marked.python(RESTARTING, before=strace)
    assert done.returncode == 0, done.stderr
    commands = done.stdout.split()
    text = calls.read_text()
    restarts = text[text.index('"/proc/self/task/') :]
    read = re.findall(r'openat\([^"]*"/proc(?:/(\w+))?[/"]', restarts)

    assert len(commands) == RESTARTS
    assert set(read) <= {*(pid.decode() for pid in commands), "self", own(text)}
    assert {pid.decode() for pid in commands} <= set(read)
    assert len(read) <= MOST_READS * RESTARTS
    # All other processes of the machine would be asked for their session.
    assert set(re.findall(r"getsid\((\d+)\)", restarts)) <= {"0"}


def own(text: str) -> str:
    """The pid of the traced program, which reads its own children by it."""
    found = re.findall(r"/proc/(?:self|(\d+))/task/(\d+)/children", text)
    return str(found[0][1])


def outsider(log: Path, then: str) -> list[str]:
    """A command that orphans a program in another group of its session, and then goes on."""
    return ["bash", "-mc", f"({SIGNAL_LOG} {log} &) ; {then}"]


def started(remote: RemoteProcesses, log: Path) -> int:
    """Start the command, and return the pid of the outsider once it is one."""
    ancestors = {1, os.getpid(), os.getppid()}
    remote.start_command()
    pid = int(until_lines(log)[0].split()[1])
    until(lambda: int(fields(pid)[1]) in ancestors, "it is orphaned")
    return pid


def test_an_outsider_of_a_quick_command_gets_the_signal(drive: Start, tmp_path: Path) -> None:
    """An orphan in a group of its own gets the TERM when the command has ended at once."""
    log = tmp_path / "log"
    remote = drive(command=outsider(log, "exec sleep 1000"))
    pid = started(remote, log)

    remote.call("signal_tree", 15)
    assert remote.event()["name"] == "CommandExited"
    until_line(log, f"TERM {pid}")
    until(lambda: remote.remaining() == 0, "the end of the outsider")


def test_an_outsider_does_not_wait_for_a_slow_command(drive: Start, tmp_path: Path) -> None:
    """The orphan gets the TERM while the command takes its time, and counts until its end."""
    log = tmp_path / "log"
    remote = drive(command=outsider(log, "trap '' TERM; exec sleep 1000"))
    pid = started(remote, log)

    remote.call("signal_tree", 15)
    until_line(log, f"TERM {pid}")
    assert remote.remaining() > 0
    remote.call("signal_tree", 9)
    assert remote.event()["ending"]["signal"] == 9
    until(lambda: remote.remaining() == 0, "the end of all")


def test_an_outsider_is_killed_with_the_command(drive: Start, tmp_path: Path) -> None:
    """If the first signal is SIGKILL, the orphan gets it as well."""
    log = tmp_path / "log"
    remote = drive(command=outsider(log, "exec sleep 1000"))
    pid = started(remote, log)

    remote.call("signal_tree", 9)
    assert remote.event()["ending"]["signal"] == 9
    until(lambda: not is_alive(pid), "the end of the outsider")
    until(lambda: remote.remaining() == 0, "nothing is left")


def test_a_deaf_outsider_is_counted_until_it_is_killed(drive: Start, tmp_path: Path) -> None:
    """What is left of the session after the command counts, in each inspection."""
    log = tmp_path / "log"
    remote = drive(command=["bash", "-mc", f"({SIGNAL_LOG} {log} TERM &) ; exec sleep 1000"])
    pid = started(remote, log)

    remote.call("signal_tree", 15)
    assert remote.event()["name"] == "CommandExited"
    until_line(log, f"TERM {pid}")
    for _ in range(5):
        assert remote.remaining() == 1
    remote.call("signal_tree", 9)
    until(lambda: remote.remaining() == 0, "the end of the outsider")


def test_a_forking_rest_of_a_check_is_killed(drive: Start, tmp_path: Path) -> None:
    """What a health check leaves cannot escape by forking all the time."""
    pids = tmp_path / "pids"
    forking = "import os\nwhile True: os.fork() and os._exit(0)"
    remote = drive(health=["sh", "-c", f"echo $$ >{pids}; python3 -c '{forking}' & sleep 0.5"])
    remote.call("run_check", 1)
    assert remote.event()["passed"]

    session = int(until_lines(pids)[0])
    until(lambda: not is_in_use(session), "the session is empty")
