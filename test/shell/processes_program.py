"""A program for tests: the processes of zkexec, called from outside by lines of JSON.

It takes the place of zkexec's loop: it inherits, waits in the inbox, and passes signals on.  All
else it does when it is called, also the commands of steps and renderings.  Usage:
processes_program.py CONTROL REPORT CONFIGURATION, the first two being descriptors.  A line on
CONTROL is `[method, argument...]`, a line on REPORT is `{"reply": ...}`, `{"event": ...}` or
`{"signal": ...}`.
"""

from zkexec.command_line import CommandLine
from zkexec.process.inheritance import end_as, inherit

INHERITANCE = inherit()

import json  # noqa: E402 -- inherit comes first, as in zkexec
import sys  # noqa: E402

if not json.loads(sys.argv[3])["starter"]:
    sys.modules["zkexec.process._starter"] = None  # type: ignore[assignment]

import os  # noqa: E402
import resource  # noqa: E402
import select  # noqa: E402
from typing import Any  # noqa: E402

from zkexec.core.actions import RenderTemplates, RunStep  # noqa: E402
from zkexec.core.events import Event, ExitStatus, SignalReceived  # noqa: E402
from zkexec.core.rendering_result import Rendered, RenderResult  # noqa: E402
from zkexec.core.snapshot import Snapshot  # noqa: E402
from zkexec.core.step import Step, StepOutcome  # noqa: E402
from zkexec.frozen import fields  # noqa: E402
from zkexec.process.processes import Processes  # noqa: E402
from zkexec.runtime.inbox import Inbox  # noqa: E402
from zkexec.runtime.log import Stderr  # noqa: E402
from zkexec.runtime.step_runner import StepRunner  # noqa: E402
from zkexec.templates.host_facts import HostFacts  # noqa: E402
from zkexec.templates.render_runner import RenderRunner  # noqa: E402

MOST_BYTES = 1_000_000
"""Longer contents are not reported."""


def shown(content: bytes) -> str:
    """A content, or how long it is."""
    return content.decode() if len(content) < MOST_BYTES else f"{len(content)} bytes"


def as_json(answer: Any) -> Any:
    """Spell an event, or a list of events."""
    if isinstance(answer, list):
        return [as_json(one) for one in answer]
    if isinstance(answer, ExitStatus):
        return fields(answer)
    if isinstance(answer, StepOutcome):
        told = (answer.passed, answer.text, answer.is_of_host)
        return dict(zip(("passed", "reason", "is_of_host"), told, strict=True))
    if isinstance(answer, Rendered):
        return {path: shown(content) for path, content in answer.files.items()}
    if isinstance(answer, RenderResult):
        [text] = fields(answer).values()
        return f"{type(answer).__name__}: {text}"
    if isinstance(answer, Step):
        return answer.value
    if isinstance(answer, Event):
        parts = {name: as_json(part) for name, part in fields(answer).items()}
        return {"name": type(answer).__name__, **parts}
    return answer


def command(words: list[str]) -> CommandLine:
    """The command of these words, which is a script if it is run by `sh -c`."""
    is_script = words[:2] == ["/bin/sh", "-c"]
    argv = tuple(os.fsencode(word) for word in words)
    return CommandLine(" ".join(words), argv, is_script=is_script)


class Drive:
    """The loop, whose inbox polls the control descriptor as it polls the connection of zkexec."""

    deadline = None

    def __init__(self, control: int, report: int, config: dict[str, Any]) -> None:
        os.set_inheritable(control, False)
        os.set_inheritable(report, False)
        os.set_blocking(control, False)
        self.descriptor: tuple[int, int] | None = (control, select.POLLIN)
        self.report = os.fdopen(report, "w")
        self.unread = b""
        self.processes = Processes(
            INHERITANCE,
            command=command(config["command"]),
            health=command(config["health"]),
            alert=command(config["alert"]),
            subreaper=config["subreaper"],
        )
        self.stderr = Stderr()
        self.inbox = Inbox(INHERITANCE, self.processes.reap, self.processes.sender_is_terminal)
        self.inbox.attach(self)
        self.steps = StepRunner(
            {Step(name): command(words) for name, words in config["steps"].items()},
            config["targets"],
            {"ZKEXEC_LOCK": "web", "ZKEXEC_MEMBER": "a1"},
            self.processes,
            self.inbox,
            self.relay,
        )

        facts = HostFacts.of_this_host("a1", "web", INHERITANCE.environment)
        timeout_s = config["render_timeout_s"]
        self.renderer = RenderRunner(facts, timeout_s, self.processes, self.inbox)

    def relay(self, output: bytes) -> None:
        """Pass the output of a step on, as the log does."""
        self.stderr.write_bytes(output)

    def advance(self) -> None:
        """Do each request that has arrived; there are no more after the end of the descriptor."""
        if self.descriptor is None:
            return
        try:
            piece = os.read(self.descriptor[0], 65536)
        except BlockingIOError:
            return
        if not piece:
            self.descriptor = None
        *lines, self.unread = (self.unread + piece).split(b"\n")
        for line in lines:
            self.report_line("reply", self.obey(*json.loads(line)))

    def report_line(self, kind: str, content: Any) -> None:
        """Write one line of the report."""
        self.report.write(json.dumps({kind: content}) + "\n")
        self.report.flush()

    def obey(self, name: str, *arguments: Any) -> Any:
        """Do one command and return its answer."""
        if name == "die":
            code, number = arguments
            end_as(ExitStatus(code=code, signal=number))
        if name == "reset_rendering":
            return self.renderer.reset()
        if name == "kill_step":
            return self.steps.kill(Step(*arguments))
        beside = self.processes.auxiliaries
        owners = (self, beside, self.processes)
        owner = next(one for one in owners if hasattr(one, name))
        return as_json(getattr(owner, name)(*arguments))

    def run_step(
        self, step: str, number: int = 1, event: str = "", files: dict[str, str] | None = None
    ) -> list[Event]:
        """Run the command of a step, with copies of these files if there are any."""
        contents = {path: content.encode() for path, content in (files or {}).items()}
        snapshot = None if files is None else Snapshot(contents)
        action = RunStep(step=Step(step), number=number, snapshot=snapshot, event=event)
        return self.steps.run(action, None)

    def render(
        self, templates: dict[str, str], values: dict[str, dict[str, str]], number: int = 1
    ) -> list[Event]:
        """Render these templates, by their target; their name for messages is the same."""
        texts = [(target, target, text.encode()) for target, text in templates.items()]
        contents = {
            root: {path: content.encode("latin-1") for path, content in below.items()}
            for root, below in values.items()
        }
        return self.renderer.start(RenderTemplates(number, texts, contents))

    def render_without_descriptors(self) -> list[Event]:
        """Render when no descriptor is left."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
        try:
            return self.render({"/t": "{{ 1 }}"}, {})
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    def reset_steps(self) -> None:
        """Drop all steps, as after an error inside zkexec."""
        self.steps.reset()

    def run(self) -> None:
        """Wait for signals and for the ends of children, for ever."""
        while True:
            event = self.inbox.next(until=None)
            if isinstance(event, SignalReceived):
                if not event.from_terminal:
                    self.processes.signal_group(event.signal)
                self.report_line("signal", [event.signal, event.from_terminal])
            else:
                self.report_line("event", as_json(event))


if __name__ == "__main__":
    Drive(int(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])).run()
