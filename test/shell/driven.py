"""What the tests of the process shell share: a driven program, and the sight of processes.

Every process that a test starts carries a mark in its environment.  At the end of the test all
that carry it are killed, however they are hidden.
"""

import json
import os
import select
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

SRC = Path(__file__).resolve().parents[2] / "src"
DRIVE = Path(__file__).with_name("drive.py")
PATIENCE_S = 30.0
MARK = "ZKEXEC_TEST_MARK"


T = TypeVar("T")


def until(get: Callable[[], T], what: str) -> T:
    """Poll until there is a truthy answer, and return it."""
    give_up_at = time.monotonic() + PATIENCE_S
    while True:
        answer = get()
        if answer:
            return answer
        assert time.monotonic() < give_up_at, f"in vain: {what}"
        time.sleep(0.01)


def lines(path: Path) -> list[str]:
    """The complete lines of a file, none if it is not there."""
    try:
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return []
    return text.splitlines() if text.endswith("\n") else text.splitlines()[:-1]


def until_lines(path: Path, count: int = 1) -> list[str]:
    """Wait until a file has so many lines."""
    until(lambda: len(lines(path)) >= count, f"{count} lines in {path.name}: {lines(path)}")
    return lines(path)


def is_alive(pid: int) -> bool:
    """Whether there is such a process, other than a zombie."""
    return state(pid) not in ("", "Z", "X")


def is_gone(pid: int) -> bool:
    """Whether there is no such process, or only its zombie."""
    return not is_alive(pid)


def state(pid: int) -> str:
    """The letter by which /proc tells a process's state, empty if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def zombies_of(parent: int) -> list[int]:
    """The zombies that a process has not reaped."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if fields[0] == "Z" and int(fields[1]) == parent:
            found.append(int(folder.name))
    return found


def kill_marked(mark: str) -> None:
    """Kill every process that carries the mark."""
    entry = f"{MARK}={mark}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if entry in (folder / "environ").read_bytes().split(b"\0"):
                os.kill(int(folder.name), signal.SIGKILL)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue


@dataclass
class Marked:
    """The environment of one test's processes."""

    mark: str = field(default_factory=lambda: uuid.uuid4().hex)

    def environment(self, **additions: str) -> dict[str, str]:
        """An environment in which zkexec can be imported, with the mark in it."""
        clean = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        return {
            **clean,
            "LC_ALL": "C.UTF-8",
            "PYTHONPATH": str(SRC),
            MARK: self.mark,
            **additions,
        }

    def python(
        self, code: str, *arguments: str | bytes, before: Sequence[str] = (), **options: Any
    ) -> subprocess.CompletedProcess[bytes]:
        """Run Python code to its end, in a session without a terminal unless told otherwise."""
        options = {"start_new_session": True, "env": self.environment(), **options}
        if "stdout" not in options:
            options["capture_output"] = True
        return subprocess.run(
            [*before, sys.executable, "-c", code, *arguments],
            timeout=PATIENCE_S,
            check=False,
            **options,
        )


class Driven:
    """A running drive.py."""

    def __init__(
        self,
        marked: Marked,
        *,
        before: Sequence[str] = (),
        environment: dict[str, str] | None = None,
        options: dict[str, Any] | None = None,
        **config: Any,
    ) -> None:
        """Start it with `config` (command, health, alert, subreaper), below the words `before`."""
        complete = {"command": [], "health": [], "alert": [], "subreaper": False, **config}
        control, self._control = os.pipe()
        self._report, report = os.pipe()
        drive = [sys.executable, str(DRIVE), str(control), str(report), json.dumps(complete)]
        given = {"start_new_session": True, "stdin": subprocess.DEVNULL, **(options or {})}
        passed = [control, report, *given.pop("pass_fds", ())]
        self.process = subprocess.Popen(
            [*before, *drive],
            env=marked.environment(**(environment or {})),
            pass_fds=passed,
            **given,
        )
        os.close(control)
        os.close(report)
        self._unread = b""
        self._commands = os.fdopen(self._control, "w")
        self._seen: list[dict[str, Any]] = []

    def call(self, method: str, *arguments: Any) -> Any:
        """Have a method of Processes called and return what it answered."""
        self.send(method, *arguments)
        return self.reply()

    def send(self, method: str, *arguments: Any) -> None:
        """Have a method called without waiting for the answer."""
        self._commands.write(json.dumps([method, *arguments]) + "\n")
        self._commands.flush()

    def start_command(self, generation: int = 1) -> int:
        """Start the child and return its pid."""
        started = self.call("start_command", generation)
        assert started["name"] == "CommandStarted", started
        return int(started["pid"])

    def event(self) -> dict[str, Any]:
        """The next event that reaping brought."""
        event: dict[str, Any] = self._next("event")
        return event

    def signal(self) -> list[Any]:
        """The next signal that was received, and whether it came from the terminal."""
        got: list[Any] = self._next("signal")
        return got

    def comes_first(self) -> str:
        """What the next report is about; nothing is taken away."""
        if not self._seen:
            self._seen.append(json.loads(self._line("report")))
        return next(iter(self._seen[0]))

    def reply(self) -> Any:
        """The answer to a method that was sent."""
        return self._next("reply")

    def remaining(self) -> int:
        """How many processes are left of the child's tree."""
        return int(self.call("inspect_tree", 1)["remaining"])

    def end(self) -> int:
        """Wait for the end; the status as subprocess tells it."""
        return self.process.wait(timeout=PATIENCE_S)

    def close(self) -> None:
        """Kill it if it still runs."""
        self.process.kill()
        self.process.wait()
        os.close(self._report)
        self._commands.close()

    def _next(self, kind: str) -> Any:
        while True:
            for place, seen in enumerate(self._seen):
                if kind in seen:
                    return self._seen.pop(place)[kind]
            self._seen.append(json.loads(self._line(kind)))

    def _line(self, kind: str) -> bytes:
        while b"\n" not in self._unread:
            ready, _, _ = select.select([self._report], [], [], PATIENCE_S)
            assert ready, f"in vain: a {kind} from the driven program"
            read = os.read(self._report, 65536)
            assert read, f"the driven program ended before a {kind}"
            self._unread += read
        line, _, self._unread = self._unread.partition(b"\n")
        return line
