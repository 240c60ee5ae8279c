"""Run the commands of steps: `--check`, the hooks and `--reload`.

A command gets what it needs: variables, a pipe for its output, and for a check, copies of the new
files, which are removed soon after its end was reported.
"""

from __future__ import annotations

import os

from zkexec.command_line import CommandLine
from zkexec.core.actions import RunStep
from zkexec.core.events import Event, ExitStatus, StepFinished
from zkexec.core.snapshot import Snapshot
from zkexec.core.step import Step, StepOutcome
from zkexec.files.check_copies import CheckCopies, CopyError, remove_left_copies, write_copies
from zkexec.process.processes import Processes
from zkexec.process.spawn import SpawnError
from zkexec.process.step_output import StepOutput
from zkexec.runtime.aside import run_aside
from zkexec.runtime.inbox import Inbox, now
from zkexec.text import cut, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from zkexec.runtime.inbox import Source

_LONGEST_LINE = 200
"""At most this many characters of a line of output are part of the reason of a failure."""
_REMOVE_AGAIN_S = 10.0
"""Pause before copies are removed again for which this host was short of descriptors."""
_CANNOT_EXECUTE = (126, 127)
"""A shell exits like this if it cannot execute a command."""


class _RunningStep:
    """A step whose command runs, with what is removed at its end."""

    def __init__(self, action: RunStep, copies: CheckCopies | None, output: StepOutput) -> None:
        self.action = action
        self.copies = copies
        self.output = output

    def outcome(self, ending: ExitStatus) -> StepOutcome:
        """Describe the end, with the last lines of the output if it is a failure."""
        if not ending.failed:
            return StepOutcome(True)
        lines = self.output.last_lines
        if self.copies is not None:
            # The names of copies are others on each host, and nobody finds them any more.
            lines = [self.copies.with_target_paths(line) for line in lines]
        printed = "; ".join(cut(printable(line), _LONGEST_LINE) for line in lines)
        is_of_host = ending.code in _CANNOT_EXECUTE
        return StepOutcome(False, str(ending), is_of_host, printed)


class StepRunner:
    """The commands of steps; each runs at most once at a time, and two of them can run at once."""

    def __init__(
        self,
        commands: Mapping[Step, CommandLine],
        targets: Sequence[str],
        variables: Mapping[str, str],
        processes: Processes,
        inbox: Inbox,
        relay: Callable[[bytes], None],
    ) -> None:
        """`targets` are copied for a check, in this order; `variables` are those of all steps.

        `relay` gets what the commands print.
        """
        self._commands = commands
        self._targets = targets
        self._variables = variables
        self._processes = processes
        self._inbox = inbox
        self._relay = relay
        self._running: dict[Step, _RunningStep] = {}
        self._remove_at = 0.0
        self._left: list[CheckCopies] = []
        """Copies of a check that has ended.  To remove them can take longer than the check."""
        inbox.attach(self)
        if Step.CHECK in commands:
            remove_left_copies()

    @property
    def deadline(self) -> float | None:
        """When there is something to remove: at once, but after what follows from the end."""
        return self._remove_at if self._left else None

    @property
    def descriptor(self) -> tuple[int, int] | None:
        """Nothing is polled for that."""
        return None

    def advance(self) -> None:
        """Remove the copies of checks that have ended."""
        if now() >= self._remove_at:
            self._left = [copies for copies in self._left if not copies.remove()]
            self._remove_at = now() + _REMOVE_AGAIN_S

    def run(self, action: RunStep, session: Source | None) -> list[Event]:
        """Start the command of a step; return an event only if it could not be started.

        The session is advanced while copies are written.
        """
        if action.step in self._running:
            raise RuntimeError(f"the command of {action.step.value} runs already")
        try:
            running = self._prepare(action, session)
        except CopyError as error:
            return [_not_started(action, str(error))]
        except OSError as error:
            return [_not_started(action, f"cannot read its output: {error.strerror}")]
        self._running[action.step] = running
        self._inbox.attach(running.output)
        try:
            self._start(running)
        except SpawnError as error:
            self._clear(action.step)
            return [_not_started(action, error.reason)]
        running.output.close_writer()
        return []

    def kill(self, step: Step) -> None:
        """SIGKILL the command of a step with its processes; its end is reported."""
        self._processes.auxiliaries.kill_step(step.value)

    def reset(self) -> None:
        """Kill what runs, and report nothing of it any more."""
        for step in tuple(self._running):
            self._processes.auxiliaries.drop_step(step.value)
            self._clear(step)
        for copies in self._left:
            copies.remove()
            copies.give_up()
        self._left.clear()

    def _prepare(self, action: RunStep, session: Source | None) -> _RunningStep:
        copies = None
        if action.snapshot is not None:
            copies = self._write_copies(action.snapshot, session)
        try:
            return _RunningStep(action, copies, StepOutput(self._relay))
        except OSError:
            if copies is not None:
                copies.remove()
                copies.give_up()
            raise

    def _write_copies(self, snapshot: Snapshot, session: Source | None) -> CheckCopies:
        return run_aside(lambda: write_copies(self._targets, snapshot.files), session)

    def _start(self, running: _RunningStep) -> None:
        """Start the prepared command.  Raises SpawnError."""
        action, copies = running.action, running.copies
        command = self._commands[action.step]
        pid = self._processes.command_pid
        variables = {
            **self._variables,
            "ZKEXEC_STEP": action.step.value,
            "ZKEXEC_PID": str(pid) if pid else "",
        }
        if action.event:
            variables["ZKEXEC_EVENT"] = action.event
        if copies is not None:
            variables["ZKEXEC_STAGED"] = copies.folder
            command = command.with_parameters(map(os.fsencode, copies.paths))
        self._processes.auxiliaries.run_step(
            action.step.value,
            command,
            variables,
            running.output.writer,
            lambda ending: self._ended(running, ending),
            None if action.snapshot is None else _in_bytes(action.snapshot.variables),
        )

    def _ended(self, running: _RunningStep, ending: ExitStatus) -> StepFinished:
        action = running.action
        self._clear(action.step)
        return StepFinished(action.step, action.number, running.outcome(ending))

    def _clear(self, step: Step) -> None:
        """Remove what the command of a step had; the last lines of its output are kept."""
        running = self._running.pop(step)
        self._inbox.detach(running.output)
        running.output.finish()
        if running.copies is not None:
            self._left.append(running.copies)
            self._remove_at = now()


def _in_bytes(variables: Mapping[str, bytes]) -> dict[bytes, bytes]:
    return {os.fsencode(name): text for name, text in variables.items()}


def _not_started(action: RunStep, reason: str) -> StepFinished:
    return StepFinished(action.step, action.number, StepOutcome(False, reason, is_of_host=True))
