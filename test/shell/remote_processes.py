"""The processes of zkexec in a program of their own, called by the test from outside."""

import json
import os
import select
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shell.marked_programs import MarkedPrograms
from support.waiting import DEADLINE_S

PROGRAM = Path(__file__).with_name("processes_program.py")


class RemoteProcesses:
    """A running `processes_program.py`."""

    def __init__(
        self,
        marked: MarkedPrograms,
        *,
        before: Sequence[str] = (),
        environment: dict[str, str] | None = None,
        options: dict[str, Any] | None = None,
        **config: Any,
    ) -> None:
        """Start it below the words `before`.

        `config` is of command, health, alert, subreaper, steps (words by name), targets,
        render_timeout_s, and whether it has the compiled starter.
        """
        commands = dict.fromkeys(("command", "health", "alert", "targets"), ())
        others = {"steps": {}, "subreaper": False, "render_timeout_s": DEADLINE_S}
        complete = {**commands, **others, **config}
        control, self._control = os.pipe()
        self._report, report = os.pipe()
        drive = [sys.executable, str(PROGRAM), str(control), str(report), json.dumps(complete)]
        given = dict(options or {})
        given["pass_fds"] = [control, report, *given.get("pass_fds", ())]
        given["env"] = marked.environment(**(environment or {}))
        self.process = marked.start(*before, *drive, **given)
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
        """Wait for the end, and return the status."""
        return self.process.wait()

    def close(self) -> None:
        """Kill it if it still runs."""
        self.process.close()
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
            ready, _, _ = select.select([self._report], [], [], DEADLINE_S)
            assert ready, f"not within {DEADLINE_S:g} s: a {kind} from the program"
            read = os.read(self._report, 65536)
            assert read, f"the program ended before a {kind}"
            self._unread += read
        line, _, self._unread = self._unread.partition(b"\n")
        return line
