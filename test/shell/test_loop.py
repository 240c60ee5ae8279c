"""An error inside zkexec while its command runs: the command is kept."""

import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from support.processes import is_alive, is_gone
from support.program import Program
from support.waiting import lines, until, until_lines
from zkexec.core import actions, events
from zkexec.core.actions import Action
from zkexec.core.rollout import group_events

FAULTY = Path(__file__).resolve().parents[1] / "support" / "faulty_zkexec.py"
EVENTS = sorted(
    {
        event.__name__
        for event in (*vars(events).values(), *vars(group_events).values())
        if isinstance(event, type) and issubclass(event, events.Event) and event is not events.Event
    }
)
ACTIONS = sorted(
    action.__name__
    for action in vars(actions).values()
    if isinstance(action, type)
    and issubclass(action, Action)
    and action not in (Action, actions.EndProcess)
)
HEALTHY = ("--health=true",)
# It writes its pid, notes a USR1, and ends with 7 on a USR2.
SERVE = """
trap 'echo noted >> {folder}/noted' USR1
trap 'exit 7' USR2
echo $$ >> {folder}/pids
while :; do sleep 0.05; done
"""


class Faulty:
    """A zkexec with a mistake, and the traces of its command in a folder."""

    def __init__(self, folder: Path, fault: tuple[str, str, str], *options: str) -> None:
        """Start it; `fault` is the kind, the name, and how often."""
        self.folder = folder
        self.trip = folder / "trip"
        self.process = Program(
            *(sys.executable, str(FAULTY), *fault, str(self.trip)),
            *("--cluster=127.0.0.1:1", "--connect-timeout=0.1"),
            *("--health-delay=0.1", "--health-interval=0.2"),
            *(options if any(o.startswith("--health=") for o in options) else HEALTHY),
            f"--alert=echo $ZKEXEC_EVENT >> {folder}/alerts",
            *[option for option in options if not option.startswith("--health=")],
            *("--", "/bin/sh", "-c", SERVE.format(folder=folder)),
            stderr=(folder / "log").open("w"),
        )

    @property
    def pid(self) -> int:
        """The command's; it is the only one that was ever started."""
        (pid,) = until_lines(self.folder / "pids")
        return int(pid)

    def log(self, pattern: str) -> list[str]:
        """The lines of the log in which this is found."""
        return [line for line in lines(self.folder / "log") if re.search(pattern, line)]

    def until_log(self, pattern: str, count: int = 1) -> None:
        """Wait for lines in the log."""
        until(lambda: len(self.log(pattern)) >= count, f"{pattern}: {self.log('')}")

    def passes_on(self, count: int) -> None:
        """See a signal reach the command, once."""
        self.process.signal(signal.SIGUSR1)
        until_lines(self.folder / "noted", count)
        assert len(lines(self.folder / "noted")) == count


@contextmanager
def faulty(folder: Path, fault: tuple[str, str, str], *options: str) -> Iterator[Faulty]:
    """Run a faulty zkexec, and leave nothing of it."""
    run = Faulty(folder, fault, *options)
    try:
        yield run
    finally:
        run.process.close()
        if (folder / "pids").exists():
            for pid in map(int, lines(folder / "pids")):
                until(partial(is_gone, pid), f"the end of {pid}")


def keeps_its_command(run: Faulty) -> None:
    """See that the command outlives the mistake, and that zkexec goes on with it."""
    pid = run.pid
    run.until_log("successful health check")
    run.passes_on(1)
    run.trip.touch()
    run.until_log("zkexec failed internally")
    run.passes_on(2)
    until(lambda: "zkexec-failed" in lines(run.folder / "alerts"), "the alert")
    run.until_log("starting over; the running command")
    run.passes_on(3)
    checks = len(run.log("successful health check"))
    run.until_log("successful health check", checks + 1)
    assert is_alive(pid)
    assert run.process.is_running()
    run.process.signal(signal.SIGUSR2)
    assert run.process.wait(60) == 7
    assert run.pid == pid


@pytest.mark.parametrize("name", EVENTS)
def test_a_mistake_about_any_event_keeps_the_command(tmp_path: Path, name: str) -> None:
    """Whatever event the core fails at, the command runs on and its status is passed on."""
    with faulty(tmp_path, ("event", name, "once")) as run:
        keeps_its_command(run)


@pytest.mark.parametrize("name", ACTIONS)
def test_a_mistake_about_any_action_keeps_the_command(tmp_path: Path, name: str) -> None:
    """Whatever action cannot be performed, the command runs on and its status is passed on."""
    with faulty(tmp_path, ("action", name, "once")) as run:
        keeps_its_command(run)


@pytest.mark.parametrize("name", ["Tick", "HealthCheckFinished", "AlertFinished", "SignalReceived"])
def test_a_mistake_that_comes_back_keeps_the_command(tmp_path: Path, name: str) -> None:
    """Core after core fails at the same event: the command still runs, and gets its signals."""
    health = "--health=false" if name == "AlertFinished" else "--health=true"
    with faulty(tmp_path, ("event", name, "natural-always"), health) as run:
        pid = run.pid
        run.trip.touch()
        run.passes_on(1)
        run.until_log("zkexec failed internally")
        run.passes_on(2)
        assert is_alive(pid)
        run.process.signal(signal.SIGUSR2)
        assert run.process.wait(60) == 7


@pytest.mark.parametrize("name", ["Note", "RunHealthCheck", "RunAlert", "SignalProcessGroup"])
def test_an_action_that_never_works_keeps_the_command(tmp_path: Path, name: str) -> None:
    """An action that fails each time, for the caretaker as well, costs the command nothing."""
    health = "--health=false" if name == "RunAlert" else "--health=true"
    with faulty(tmp_path, ("action", name, "natural-always"), health) as run:
        pid = run.pid
        run.trip.touch()
        if name != "Note":
            run.process.signal(signal.SIGUSR1)
            run.until_log("zkexec failed internally")
        assert is_alive(pid)
        assert run.process.is_running()
        run.process.signal(signal.SIGTERM)
        assert run.process.wait(60) == -signal.SIGTERM


def test_a_caretaker_that_fails_is_logged(tmp_path: Path) -> None:
    """If the caretaker fails as well, the log shows it, and the command gets its signals."""
    fault = ("caretaker", "HealthCheckFinished", "natural-always")
    with faulty(tmp_path, fault, "--health=true") as run:
        run.trip.touch()
        run.until_log("zkexec failed internally again .*a mistake of the caretaker")
        assert is_alive(run.pid)
        run.passes_on(1)
        run.process.signal(signal.SIGUSR2)
        assert run.process.wait(60) == 7


def end_by_itself(run: Faulty) -> None:
    """Have the command end with 7, without zkexec."""
    run.process.signal(signal.SIGUSR2)


def end_by_term(run: Faulty) -> None:
    """Have zkexec end by TERM."""
    run.process.signal(signal.SIGTERM)


@pytest.mark.parametrize(
    ("fault", "end", "status"),
    [
        (("event", "CommandExited", "natural-once"), end_by_itself, 7),
        (("event", "SignalReceived", "natural-once"), end_by_itself, 7),
        (("event", "SignalReceived", "natural-once"), end_by_term, -signal.SIGTERM),
        (("event", "CommandExited", "natural-once"), end_by_term, -signal.SIGTERM),
        (("action", "SignalProcessTree", "natural-once"), end_by_term, -signal.SIGTERM),
        (("done", "SignalProcessTree", "natural-once"), end_by_term, -signal.SIGTERM),
        (("action", "InspectProcessTree", "natural-always"), end_by_term, -signal.SIGTERM),
    ],
)
def test_a_mistake_at_the_end_changes_no_status(
    tmp_path: Path, fault: tuple[str, str, str], end: Callable[[Faulty], None], status: int
) -> None:
    """A command that ends, or gets a signal to end, while zkexec fails has its own exit status."""
    with faulty(tmp_path, fault) as run:
        assert is_alive(run.pid)
        run.until_log("successful health check")
        run.trip.touch()
        end(run)
        assert run.process.wait(60) == status
        assert run.log("zkexec failed internally")


def test_a_command_that_does_not_end_is_killed_all_the_same(tmp_path: Path) -> None:
    """After TERM the kill timeout holds also if zkexec has failed."""
    with faulty(tmp_path, ("event", "SignalReceived", "natural-once"), "--kill-timeout=0.3") as run:
        pid = run.pid
        run.process.signal(signal.SIGUSR1)
        until_lines(tmp_path / "noted")
        run.trip.touch()
        # A stopped process does nothing about a TERM.
        run.process.signal(signal.SIGTERM)
        assert run.process.wait(60) in (-signal.SIGTERM, -signal.SIGKILL)
        assert not is_alive(pid)


def test_without_a_command_zkexec_ends(tmp_path: Path) -> None:
    """A mistake before the first start is one line, the alert, and exit status 125."""
    (tmp_path / "trip").touch()
    with faulty(tmp_path, ("event", "Started", "natural-once")) as run:
        assert run.process.wait(60) == 125
        (line,) = run.log("failed internally")
        assert "zkexec failed internally (MistakeError: a mistake of the test at " in line
        assert "no command runs" in line
        assert lines(tmp_path / "alerts") == ["zkexec-failed"]
        assert not (tmp_path / "pids").exists()


@pytest.mark.parametrize(("option", "shown"), [("--verbose", True), ("--silent", False)])
def test_where_the_mistake_is_stands_in_a_verbose_log(
    tmp_path: Path, option: str, *, shown: bool
) -> None:
    """`--verbose` shows the way to the mistake; `--silent` nothing, as the command still runs."""
    with faulty(tmp_path, ("event", "Tick", "once"), option, "--alert-recovery") as run:
        assert is_alive(run.pid)
        run.trip.touch()
        until(lambda: "zkexec-failed" in lines(tmp_path / "alerts"), "the alert")
        run.process.signal(signal.SIGTERM)
        assert run.process.wait(60) == -signal.SIGTERM
        assert bool(run.log("wrong_handle")) is shown
        assert bool(run.log("zkexec failed internally")) is shown
