"""zkexec that is killed without a chance to do anything, and zkexec below zkexec."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from support.processes import fields, is_alive
from support.sandbox import WRAPPED, ZKEXEC, Mirror, Sandbox, born
from support.waiting import lines, until, until_line


def test_the_command_does_not_outlive_a_killed_zkexec(sandbox: Sandbox) -> None:
    """When zkexec is killed with SIGKILL the kernel kills the command, too."""
    process, pid = sandbox.start_reporter(WRAPPED, "--until", "KILL")
    process.kill()
    process.wait()

    until(lambda: not is_alive(pid), "the command is gone")


def test_nor_does_one_that_was_restarted(sandbox: Sandbox, mirror: Mirror) -> None:
    """The same holds for a command that was started again."""
    process, _ = sandbox.start_reporter((*ZKEXEC, "-s", mirror.option, "--"), "--until", "USR1")
    mirror.change()
    until_line(sandbox.report, "got TERM")
    process.signal(signal.SIGUSR1)
    pid = born(sandbox.report, 2)
    process.kill()
    process.wait()

    until(lambda: not is_alive(pid), "the command is gone")


def test_a_check_does_not_outlive_a_killed_zkexec(sandbox: Sandbox) -> None:
    """When zkexec is killed a health check that is under way dies as well."""
    words = ("-s", "--health", "sleep 1000", "-d", "0", "-e", "sleep 1000")
    process = sandbox.start(*ZKEXEC, *words)
    until(lambda: len(sandbox.sleepers()) == 2, "command and check run")
    process.kill()
    process.wait()

    sandbox.wait_until_empty()


def test_death_in_any_moment_of_the_start_leaves_nothing(sandbox: Sandbox) -> None:
    """Whenever zkexec is killed while it starts, no command is left."""
    quick = ("-s", "-c", "127.0.0.1:1", "--connect-timeout", "0.1")
    for round_number in range(30):
        process = sandbox.start(*ZKEXEC, *quick, "-e", "sleep 1000")
        time.sleep(0.12 + round_number * 0.01)  # one moment after the other
        process.kill()
        process.wait()
        sandbox.wait_until_empty()


# Programs of which the kernel does not kill everything together with zkexec; `sleep` serves.
PREFORK = (
    "import os; [os.fork() or os.execvp('sleep', ['sleep', '1000']) for _ in '123']; os.wait()"
)
LEAVING = [
    (1, ("-e", "true && sleep 1000")),
    (2, ("-e", "sleep 1000 & sleep 1000; :")),
    (3, ("--", sys.executable, "-c", PREFORK)),
    (1, ("--", "sh", "-c", "cd / ; sleep 1000; :")),
    (1, ("--", "setpriv", "--reuid=54321", "sleep", "1000")),
]


def enough(sandbox: Sandbox, services: int) -> list[int]:
    """The services, if all of them run."""
    found = sandbox.sleepers()
    return found if len(found) >= services else []


def noted_at(folder: Path) -> int:
    """When zkexec noted last that its command runs, in clock ticks."""
    (note,) = [file for file in folder.glob("*/*") if file.is_file()]
    return int((note.read_text().split() or ["0"])[-1])


def started(pid: int) -> int:
    """When a process was started, in clock ticks."""
    return int(fields(pid)[19])


@pytest.mark.parametrize(("services", "words"), LEAVING)
def test_what_the_kernel_leaves_is_stopped_before_the_next_start(
    sandbox: Sandbox, services: int, words: tuple[str, ...]
) -> None:
    """A zkexec that is started again never runs a service twice, whatever the kernel left."""
    if "setpriv" in words and os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    folder = sandbox.folder / "runtime"
    folder.mkdir(mode=0o700)
    given = {"env": sandbox.environment(RUNTIME_DIRECTORY=str(folder))}
    process = sandbox.start(*ZKEXEC, *words, **given)
    before = until(lambda: enough(sandbox, services), "the services run")
    until(lambda: noted_at(folder) > max(map(started, before)), "it is noted that they run")
    process.kill()
    process.wait()
    left = [pid for pid in before if is_alive(pid)]
    assert left

    again = sandbox.start(*ZKEXEC, *words, **given)
    after = until(lambda: set(enough(sandbox, services)) - set(before), "they run again")
    assert not [pid for pid in left if is_alive(pid)]
    assert len(after) <= services
    again.end()


@pytest.mark.parametrize(("name", "status"), [("TERM", 3), ("INT", 3), ("USR1", 3)])
def test_zkexec_below_zkexec(sandbox: Sandbox, name: str, status: int) -> None:
    """A zkexec as the command of another passes signals and statuses on, each once."""
    words = (*WRAPPED, *WRAPPED)
    process, _ = sandbox.start_reporter(words, "--until", name, "--status", str(status))
    process.signal(signal.SIGUSR2)
    until_line(sandbox.report, "got USR2")
    process.signal(signal.Signals[f"SIG{name}"])

    assert process.wait() == status
    assert lines(sandbox.report)[1:3] == ["got USR2", f"got {name}"]
    sandbox.wait_until_empty()


def test_a_killed_outer_zkexec_ends_the_inner_ones_command(sandbox: Sandbox) -> None:
    """The death of the outer zkexec kills the inner one, and that one's death the command."""
    process, pid = sandbox.start_reporter((*WRAPPED, *WRAPPED))
    process.kill()
    process.wait()

    until(lambda: not is_alive(pid), "the command is gone")
    sandbox.wait_until_empty()


def test_the_restart_of_the_outer_one_restarts_the_inner_one(
    sandbox: Sandbox, mirror: Mirror
) -> None:
    """A restart by the outer zkexec ends the inner one with its command, and starts both anew."""
    words = (*ZKEXEC, "-s", mirror.option, "--", *WRAPPED)
    process, first = sandbox.start_reporter(words)
    mirror.change()
    born(sandbox.report, 2)

    assert not is_alive(first)

    assert process.end() == 0
    sandbox.wait_until_empty()
