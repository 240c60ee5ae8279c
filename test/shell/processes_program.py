"""A program for tests: the processes of zkexec, called from outside by lines of JSON.

It takes the place of zkexec's loop: it inherits, waits for signals, reaps, and passes signals on.
All else it does when it is called.  Usage: processes_program.py CONTROL REPORT CONFIGURATION, the
first two being descriptors.  A line on CONTROL is `[method, argument...]`, a line on REPORT is
`{"reply": ...}`, `{"event": ...}` or `{"signal": ...}`.
"""

from zkexec.command_line import CommandLine
from zkexec.process.inheritance import end_as, inherit

INHERITANCE = inherit()

import json  # noqa: E402 -- inherit comes first, as in zkexec
import os  # noqa: E402
import select  # noqa: E402
import signal  # noqa: E402
import sys  # noqa: E402
from typing import Any  # noqa: E402

from zkexec.core.events import Event, ExitStatus  # noqa: E402
from zkexec.frozen import fields  # noqa: E402
from zkexec.process.incoming_signals import PendingSignals  # noqa: E402
from zkexec.process.processes import Processes  # noqa: E402


def as_json(answer: Any) -> Any:
    """Spell an event, or a list of events."""
    if isinstance(answer, list):
        return [as_json(one) for one in answer]
    if isinstance(answer, ExitStatus):
        return fields(answer)
    if isinstance(answer, Event):
        parts = {name: as_json(part) for name, part in fields(answer).items()}
        return {"name": type(answer).__name__, **parts}
    return answer


def command(words: list[str]) -> CommandLine:
    """The command of these words."""
    return CommandLine(" ".join(words), tuple(os.fsencode(word) for word in words))


class Drive:
    """The loop, which polls the control descriptor as zkexec polls its connection."""

    def __init__(self, control: int, report: int, config: dict[str, Any]) -> None:
        os.set_inheritable(control, False)
        os.set_inheritable(report, False)
        os.set_blocking(control, False)
        self.control: tuple[int, int] | None = (control, select.POLLIN)
        self.report = os.fdopen(report, "w")
        self.unread = b""
        self.processes = Processes(
            INHERITANCE,
            command=command(config["command"]),
            health=command(config["health"]),
            alert=command(config["alert"]),
            subreaper=config["subreaper"],
        )

    def read(self) -> None:
        """Do each request that has arrived; there are no more after the end of the descriptor."""
        if self.control is None:
            return
        try:
            piece = os.read(self.control[0], 65536)
        except BlockingIOError:
            return
        if not piece:
            self.control = None
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
        beside = self.processes.auxiliaries
        owner = beside if hasattr(beside, name) else self.processes
        return as_json(getattr(owner, name)(*arguments))

    def run(self) -> None:
        """Wait for signals, for ever."""
        pending = PendingSignals(INHERITANCE.handled)
        while True:
            info = pending.wait(None, [self.control] if self.control else [])
            if info is None:
                self.read()
            elif info.si_signo == signal.SIGCHLD:
                for event in self.processes.reap():
                    self.report_line("event", as_json(event))
            else:
                from_terminal = self.processes.sender_is_terminal(info)
                if not from_terminal:
                    self.processes.signal_group(info.si_signo)
                self.report_line("signal", [info.si_signo, from_terminal])


if __name__ == "__main__":
    Drive(int(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])).run()
