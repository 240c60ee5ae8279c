"""A restart ends the whole old tree before the new start, and a TERM meanwhile ends it all."""

import os
import signal
from collections.abc import Iterator

import pytest

from support.processes import is_alive, state
from support.sandbox import REPORTER, ZKEXEC, Mirror, Sandbox, born
from support.waiting import lines, until, until_line
from support.zookeeper import Port


@pytest.fixture
def port() -> Iterator[int]:
    """A free port that no other test takes."""
    reserved = Port()
    yield reserved.number
    reserved.release()


def service(sandbox: Sandbox, port: int, *options: str) -> str:
    """The words of a reporter that holds the port."""
    return " ".join([REPORTER, str(sandbox.report), "--port", str(port), *options])


def test_a_grandchild_that_holds_a_port_is_gone(
    sandbox: Sandbox, mirror: Mirror, port: int
) -> None:
    """`cd x && server` makes the server a grandchild: it is gone before the new one starts."""
    command = f"cd / && {service(sandbox, port)}"
    process = sandbox.start(*ZKEXEC, "-s", mirror.option, "-e", command)
    for count in range(1, 5):
        born(sandbox.report, count)
        mirror.change()
    born(sandbox.report, 5)
    process.end()

    assert "busy" not in lines(sandbox.report)
    assert lines(sandbox.report).count("bound") == 5
    sandbox.wait_until_empty()


def test_a_grandchild_that_outlives_the_shell_is_waited_for(
    sandbox: Sandbox, mirror: Mirror, port: int
) -> None:
    """A server that takes longer than its shell to end delays the new start until it is gone."""
    script = sandbox.folder / "slow"
    script.write_text(f"trap '' TERM; {service(sandbox, port, '--until', 'USR1')} & wait\n")
    command = f"trap 'exit 0' TERM; (exec sh {script}) & wait"
    words = ("-s", "--kill-timeout", "1000", mirror.option)
    process = sandbox.start(*ZKEXEC, *words, "-e", command)
    server = born(sandbox.report)
    mirror.change()
    # The shell that was zkexec's child ends at once; its server is deaf to TERM.
    until(lambda: len(sandbox.present()) < 4, "the shell is gone")
    assert lines(sandbox.report).count("bound") == 1
    os.kill(server, signal.SIGUSR1)
    born(sandbox.report, 2)

    assert "busy" not in lines(sandbox.report)
    process.kill()


def test_a_deaf_grandchild_is_killed(sandbox: Sandbox, mirror: Mirror, port: int) -> None:
    """What does not end within --kill-timeout is killed, also below a shell that is long gone."""
    command = f"{service(sandbox, port, '--until', 'KILL')}; true"
    words = ("-s", "--kill-timeout", "0.3", mirror.option)
    process = sandbox.start(*ZKEXEC, *words, "-e", command)
    first = born(sandbox.report)
    mirror.change()
    born(sandbox.report, 2)

    assert not is_alive(first)
    assert "busy" not in lines(sandbox.report)
    process.end()
    sandbox.wait_until_empty()


@pytest.mark.parametrize(
    ("option", "away"),
    [
        ("--silent", "setsid"),
        ("--silent", "sh -c '(\"$@\" &)' sh"),
        # The second setsid forks, and its first process ends: a daemon as it is in the book.
        ("--subreaper", "setsid setsid"),
    ],
)
def test_who_left_the_session_or_the_family_is_gone(
    sandbox: Sandbox, mirror: Mirror, port: int, option: str, away: str
) -> None:
    """A server in a session of its own, or orphaned, or with --subreaper both, is ended as well."""
    command = f"{away} {service(sandbox, port)} & sleep 1000"
    process = sandbox.start(*ZKEXEC, "-s", option, mirror.option, "-e", command)
    for count in range(1, 4):
        born(sandbox.report, count)
        mirror.change()
    born(sandbox.report, 4)
    process.kill()

    assert "busy" not in lines(sandbox.report)


def test_a_stopped_command_is_restarted(sandbox: Sandbox, mirror: Mirror) -> None:
    """A command that is stopped is continued, so that it can act on the TERM of a restart."""
    process, pid = sandbox.start_reporter((*ZKEXEC, "-s", mirror.option, "--"))
    os.kill(pid, signal.SIGSTOP)
    until(lambda: state(pid) == "T", "the command is stopped")
    mirror.change()
    born(sandbox.report, 2)

    assert process.end() == 0
    assert lines(sandbox.report).count("got TERM") == 2


def test_a_restart_sends_term_once(sandbox: Sandbox, mirror: Mirror) -> None:
    """A command that takes its time to end hears one TERM and one CONT, and no more."""
    process, _ = sandbox.start_reporter((*ZKEXEC, "-s", mirror.option, "--"), "--until", "USR1")
    mirror.change()
    until_line(sandbox.report, "got CONT")
    process.signal(signal.SIGUSR1)
    born(sandbox.report, 2)
    process.kill()
    first = lines(sandbox.report)[1:4]

    assert first == ["got TERM", "got CONT", "got USR1"]


def test_another_kill_signal(sandbox: Sandbox, mirror: Mirror) -> None:
    """`--kill-signal INT` stops the command for a restart with INT instead of TERM."""
    words = (*ZKEXEC, "-s", "--kill-signal", "INT", mirror.option, "--")
    process, _ = sandbox.start_reporter(words, "--until", "INT")
    mirror.change()
    born(sandbox.report, 2)
    process.terminate()
    until_line(sandbox.report, "got TERM")
    process.kill()

    assert lines(sandbox.report)[1] == "got INT"


def test_term_during_a_restart_is_the_end(sandbox: Sandbox, mirror: Mirror) -> None:
    """A TERM while the old command takes its time is forwarded, and nothing is started again."""
    words = (*ZKEXEC, "-s", "--kill-timeout", "1000", mirror.option, "--")
    process, pid = sandbox.start_reporter(words, "--until", "USR1", "--status", "7")
    mirror.change()
    until_line(sandbox.report, "got CONT")
    process.terminate()
    until_line(sandbox.report, "got TERM", 2)
    assert process.is_running()
    os.kill(pid, signal.SIGUSR1)

    assert process.wait() == 7
    assert sum(line.startswith("born") for line in lines(sandbox.report)) == 1
    sandbox.wait_until_empty()


def test_many_changes_leave_one_command(sandbox: Sandbox, mirror: Mirror) -> None:
    """However fast changes come, at most one command lives at a time, and the newest is used."""
    seen = sandbox.folder / "seen"
    crowd = sandbox.folder / "crowd"
    # A lock that the command and its `cat` hold for as long as they live.
    alone = f"exec 9>{sandbox.folder / 'lock'}; flock -n 9 || : >{crowd}"
    command = f"{alone}; cat {mirror.local} >{seen}; exec {REPORTER} {sandbox.report}"
    words = ("-s", "--settle", "0", mirror.option, "-e", command)
    process = sandbox.start(*ZKEXEC, *words)
    born(sandbox.report)
    for _ in range(50):
        last = mirror.change()
    until(lambda: seen.read_bytes() == last, "the newest is used")
    process.end()

    assert not crowd.exists()
    sandbox.wait_until_empty()
