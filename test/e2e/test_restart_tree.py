"""A restart ends the whole old tree before the new start, and a TERM meanwhile ends it all."""

import os
import signal
from collections.abc import Iterator

import pytest

from e2e.stage import (
    WITNESS,
    ZKEXEC,
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
from zookeeper import Port


@pytest.fixture
def port() -> Iterator[int]:
    """A free port that no other test takes."""
    reserved = Port()
    yield reserved.number
    reserved.release()


def service(stage: Stage, port: int, *options: str) -> str:
    """The words of a witness that holds the port."""
    return " ".join([WITNESS, str(stage.report), "--port", str(port), *options])


def test_a_grandchild_that_holds_a_port_is_gone(stage: Stage, mirror: Mirror, port: int) -> None:
    """`cd x && server` makes the server a grandchild: it is gone before the new one starts."""
    command = f"cd / && {service(stage, port)}"
    process = stage.start(*ZKEXEC, "-s", mirror.option, "-e", command)
    for count in range(1, 5):
        born(stage.report, count)
        mirror.change()
    born(stage.report, 5)
    process.terminate()
    end(process)

    assert "busy" not in lines(stage.report)
    assert lines(stage.report).count("bound") == 5
    stage.wait_until_empty()


def test_a_grandchild_that_outlives_the_shell_is_waited_for(
    stage: Stage, mirror: Mirror, port: int
) -> None:
    """A server that takes longer than its shell to end delays the new start until it is gone."""
    script = stage.folder / "slow"
    script.write_text(f"trap '' TERM; {service(stage, port, '--until', 'USR1')} & wait\n")
    command = f"trap 'exit 0' TERM; (exec sh {script}) & wait"
    words = ("-s", "--kill-timeout", "1000", mirror.option)
    process = stage.start(*ZKEXEC, *words, "-e", command)
    server = born(stage.report)
    mirror.change()
    # The shell that was zkexec's child ends at once; its server is deaf to TERM.
    until(lambda: len(stage.present()) < 4, "the shell is gone")
    assert lines(stage.report).count("bound") == 1
    os.kill(server, signal.SIGUSR1)
    born(stage.report, 2)

    assert "busy" not in lines(stage.report)
    process.kill()


def test_a_deaf_grandchild_is_killed(stage: Stage, mirror: Mirror, port: int) -> None:
    """What does not end within --kill-timeout is killed, also below a shell that is long gone."""
    command = f"{service(stage, port, '--until', 'KILL')}; true"
    words = ("-s", "--kill-timeout", "0.3", mirror.option)
    process = stage.start(*ZKEXEC, *words, "-e", command)
    first = born(stage.report)
    mirror.change()
    born(stage.report, 2)

    assert not is_alive(first)
    assert "busy" not in lines(stage.report)
    process.terminate()
    end(process)
    stage.wait_until_empty()


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
    stage: Stage, mirror: Mirror, port: int, option: str, away: str
) -> None:
    """A server in a session of its own, or orphaned, or with --subreaper both, is ended as well."""
    command = f"{away} {service(stage, port)} & sleep 1000"
    process = stage.start(*ZKEXEC, "-s", option, mirror.option, "-e", command)
    for count in range(1, 4):
        born(stage.report, count)
        mirror.change()
    born(stage.report, 4)
    process.kill()

    assert "busy" not in lines(stage.report)


def test_a_stopped_command_is_restarted(stage: Stage, mirror: Mirror) -> None:
    """A command that is stopped is continued, so that it can act on the TERM of a restart."""
    process, pid = stage.witness((*ZKEXEC, "-s", mirror.option, "--"))
    os.kill(pid, signal.SIGSTOP)
    until(lambda: state(pid) == "T", "the command is stopped")
    mirror.change()
    born(stage.report, 2)
    process.terminate()

    assert end(process) == 0
    assert lines(stage.report).count("got TERM") == 2


def test_a_restart_sends_term_once(stage: Stage, mirror: Mirror) -> None:
    """A command that takes its time to end hears one TERM and one CONT, and no more."""
    process, _ = stage.witness((*ZKEXEC, "-s", mirror.option, "--"), "--until", "USR1")
    mirror.change()
    until_line(stage.report, "got CONT")
    process.send_signal(signal.SIGUSR1)
    born(stage.report, 2)
    process.kill()
    first = lines(stage.report)[1:4]

    assert first == ["got TERM", "got CONT", "got USR1"]


def test_another_kill_signal(stage: Stage, mirror: Mirror) -> None:
    """`--kill-signal INT` stops the command for a restart with INT instead of TERM."""
    words = (*ZKEXEC, "-s", "--kill-signal", "INT", mirror.option, "--")
    process, _ = stage.witness(words, "--until", "INT")
    mirror.change()
    born(stage.report, 2)
    process.terminate()
    until_line(stage.report, "got TERM")
    process.kill()

    assert lines(stage.report)[1] == "got INT"


def test_term_during_a_restart_is_the_end(stage: Stage, mirror: Mirror) -> None:
    """A TERM while the old command takes its time is forwarded, and nothing is started again."""
    words = (*ZKEXEC, "-s", "--kill-timeout", "1000", mirror.option, "--")
    process, pid = stage.witness(words, "--until", "USR1", "--status", "7")
    mirror.change()
    until_line(stage.report, "got CONT")
    process.terminate()
    until_line(stage.report, "got TERM", 2)
    assert process.poll() is None
    os.kill(pid, signal.SIGUSR1)

    assert end(process) == 7
    assert sum(line.startswith("born") for line in lines(stage.report)) == 1
    stage.wait_until_empty()


def test_many_changes_leave_one_command(stage: Stage, mirror: Mirror) -> None:
    """However fast changes come, at most one command lives at a time, and the newest is used."""
    seen = stage.folder / "seen"
    crowd = stage.folder / "crowd"
    # A lock that the command and its `cat` hold for as long as they live.
    alone = f"exec 9>{stage.folder / 'lock'}; flock -n 9 || : >{crowd}"
    command = f"{alone}; cat {mirror.local} >{seen}; exec {WITNESS} {stage.report}"
    words = ("-s", "--settle", "0", mirror.option, "-e", command)
    process = stage.start(*ZKEXEC, *words)
    born(stage.report)
    for _ in range(50):
        last = mirror.change()
    until(lambda: seen.read_bytes() == last, "the newest is used")
    process.terminate()
    end(process)

    assert not crowd.exists()
    stage.wait_until_empty()
