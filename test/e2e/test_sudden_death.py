"""zkexec that is killed without a chance to do anything, and zkexec below zkexec."""

import os
import signal
import sys
import time

import pytest

from e2e.stage import WRAPPED, ZKEXEC, Mirror, Stage, born, end, is_alive, lines, until, until_line


def test_the_command_does_not_outlive_a_killed_zkexec(stage: Stage) -> None:
    """When zkexec is killed with SIGKILL the kernel kills the command, too."""
    process, pid = stage.witness(WRAPPED, "--until", "KILL")
    process.kill()
    end(process)

    until(lambda: not is_alive(pid), "the command is gone")


def test_nor_does_one_that_was_restarted(stage: Stage, mirror: Mirror) -> None:
    """The same holds for a command that was started again."""
    process, _ = stage.witness((*ZKEXEC, "-s", mirror.option, "--"), "--until", "USR1")
    mirror.change()
    until_line(stage.report, "got TERM")
    process.send_signal(signal.SIGUSR1)
    pid = born(stage.report, 2)
    process.kill()
    end(process)

    until(lambda: not is_alive(pid), "the command is gone")


def test_a_check_does_not_outlive_a_killed_zkexec(stage: Stage) -> None:
    """When zkexec is killed a health check that is under way dies as well."""
    words = ("-s", "--health", "sleep 1000", "-d", "0", "-e", "sleep 1000")
    process = stage.start(*ZKEXEC, *words)
    until(lambda: len(stage.sleepers()) == 2, "command and check run")
    process.kill()
    end(process)

    stage.wait_until_empty()


def test_death_in_any_moment_of_the_start_leaves_nothing(stage: Stage) -> None:
    """Whenever zkexec is killed while it starts, no command is left."""
    quick = ("-s", "-c", "127.0.0.1:1", "--connect-timeout", "0.1")
    for round_number in range(30):
        process = stage.start(*ZKEXEC, *quick, "-e", "sleep 1000")
        time.sleep(0.12 + round_number * 0.01)  # one moment after the other
        process.kill()
        end(process)
        stage.wait_until_empty()


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


def enough(stage: Stage, services: int) -> list[int]:
    """The services, if all of them run."""
    found = stage.sleepers()
    return found if len(found) >= services else []


@pytest.mark.parametrize(("services", "words"), LEAVING)
def test_what_the_kernel_leaves_is_stopped_before_the_next_start(
    stage: Stage, services: int, words: tuple[str, ...]
) -> None:
    """A zkexec that is started again never runs a service twice, whatever the kernel left."""
    if "setpriv" in words and os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    folder = stage.folder / "runtime"
    folder.mkdir(mode=0o700)
    given = {"env": stage.environment(RUNTIME_DIRECTORY=str(folder))}
    process = stage.start(*ZKEXEC, *words, **given)
    before = until(lambda: enough(stage, services), "the services run")
    process.kill()
    end(process)
    left = [pid for pid in before if is_alive(pid)]
    assert left

    again = stage.start(*ZKEXEC, *words, **given)
    after = until(lambda: set(enough(stage, services)) - set(before), "they run again")
    assert not [pid for pid in left if is_alive(pid)]
    assert len(after) <= services
    again.terminate()
    end(again)


@pytest.mark.parametrize(("name", "status"), [("TERM", 3), ("INT", 3), ("USR1", 3)])
def test_zkexec_below_zkexec(stage: Stage, name: str, status: int) -> None:
    """A zkexec as the command of another passes signals and statuses on, each once."""
    words = (*WRAPPED, *WRAPPED)
    process, _ = stage.witness(words, "--until", name, "--status", str(status))
    process.send_signal(signal.SIGUSR2)
    until_line(stage.report, "got USR2")
    process.send_signal(signal.Signals[f"SIG{name}"])

    assert end(process) == status
    assert lines(stage.report)[1:3] == ["got USR2", f"got {name}"]
    stage.wait_until_empty()


def test_a_killed_outer_zkexec_ends_the_inner_ones_command(stage: Stage) -> None:
    """The death of the outer zkexec kills the inner one, and that one's death the command."""
    process, pid = stage.witness((*WRAPPED, *WRAPPED))
    process.kill()
    end(process)

    until(lambda: not is_alive(pid), "the command is gone")
    stage.wait_until_empty()


def test_the_restart_of_the_outer_one_restarts_the_inner_one(stage: Stage, mirror: Mirror) -> None:
    """A restart by the outer zkexec ends the inner one with its command, and starts both anew."""
    words = (*ZKEXEC, "-s", mirror.option, "--", *WRAPPED)
    process, first = stage.witness(words)
    mirror.change()
    born(stage.report, 2)

    assert not is_alive(first)
    process.terminate()
    assert end(process) == 0
    stage.wait_until_empty()
