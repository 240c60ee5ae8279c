"""Write what would be installed into a folder, and check it: `--stage-only`.

The inputs are read as at a first start, by the same code, and nothing else is done: no command is
started, no group is joined, and nothing is written to the cluster.
"""

import os

from zkexec.cli.settings import Settings
from zkexec.core.actions import Action, KillStep, Note, RunStep
from zkexec.core.command import CANNOT_WORK
from zkexec.core.events import Event, ExitStatus, SignalReceived, StepFinished
from zkexec.core.inputs import Inputs
from zkexec.core.policy import Policy, StartPolicy
from zkexec.core.snapshot import Snapshot
from zkexec.core.startup import CannotStartError, Startup
from zkexec.core.step import Step, StepOutcome
from zkexec.core.turn import FreeTurn
from zkexec.files.staged_folder import write_staged_folder
from zkexec.files.target_layout import TargetLayout
from zkexec.frozen import replace
from zkexec.lean import signal
from zkexec.process.inheritance import Inheritance, end_as
from zkexec.process.processes import Processes
from zkexec.runtime.executor import Executor
from zkexec.runtime.inbox import Inbox, now
from zkexec.runtime.log import Log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import NoReturn

_CHECK_FAILED = 1
_WITHOUT_EFFECT = frozenset({signal.SIGWINCH, signal.SIGCONT})
"""These signals end no program that does not handle them."""


class _InterruptedError(Exception):
    """A signal came that ends zkexec."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def stage_only(settings: Settings, inheritance: Inheritance) -> "NoReturn":
    """Write and check the files, and end with the exit status that `--stage-only` promises."""
    log = Log(settings)
    for warning in settings.warnings:
        log.write(Note("settings-warning", {"warning": warning}))
    end_as(_Staging(settings, inheritance, log).run())


class _Staging:
    """One snapshot on its way from the cluster into the folder."""

    def __init__(self, settings: Settings, inheritance: Inheritance, log: Log) -> None:
        self._policy = _policy_of_one_read(settings.policy)
        self._folder = settings.stage_only
        layout = TargetLayout(attributes=settings.attributes)
        self._attributes_of = layout.attributes_of if settings.attributes else None
        self._log = log
        self._processes = Processes(
            inheritance, command=settings.command, health=None, alert=None, subreaper=False
        )
        self._inbox = Inbox(inheritance, self._processes.reap, self._processes.sender_is_terminal)
        own = replace(settings, policy=self._policy)
        self._executor = Executor(own, self._processes, log, self._inbox)

    def run(self) -> ExitStatus:
        """Return how zkexec ends."""
        try:
            snapshot = self._read()
            # The session is needed no more.
            self._executor.reset()
            if snapshot.unrendered:
                self._log.write(Note("stage-refused", {"reason": snapshot.unrendered}))
                return ExitStatus(code=_CHECK_FAILED)
            self._write(snapshot)
            return ExitStatus(code=self._check(snapshot))
        except CannotStartError as refusal:
            self._log.write(refusal.note)
            return ExitStatus(code=CANNOT_WORK)
        except _InterruptedError as end:
            return ExitStatus(signal=end.number)
        finally:
            self._executor.reset()
            self._processes.close()

    def _read(self) -> Snapshot:
        inputs = Inputs(self._policy)
        startup = Startup(self._policy, inputs, FreeTurn())
        self._perform(startup.begin(now()))
        while inputs.wanted is None or not startup.ready:
            due = [at for at in (startup.deadline, inputs.deadline) if at is not None]
            event = self._next(min(due, default=None))
            self._perform(inputs.handle(event, now()))
            self._perform(startup.expire(now()))
            self._perform(inputs.expire(now()))
            self._perform(startup.consider(now()))
        return inputs.wanted

    def _write(self, snapshot: Snapshot) -> None:
        try:
            targets = self._policy.inputs.targets
            write_staged_folder(
                *(self._folder, snapshot.files, targets, snapshot.variables), self._attributes_of
            )
        except OSError as failure:
            path = os.fsdecode(failure.filename or self._folder)
            raise CannotStartError(
                Note("stage-failed", {"reason": f"{path}: {failure.strerror}"})
            ) from failure
        self._log.write(Note("staged", {"folder": self._folder}))

    def _check(self, snapshot: Snapshot) -> int:
        """Run the check, if there is one, and return the exit status."""
        if not self._policy.runs(Step.CHECK):
            return 0
        outcome = self._outcome_of(RunStep(step=Step.CHECK, number=1, snapshot=snapshot))
        if outcome.passed:
            return 0
        verb = "could not run" if outcome.is_of_host else "failed"
        self._log.write(Note("stage-refused", {"reason": f"the check {verb}: {outcome.text}"}))
        return CANNOT_WORK if outcome.is_of_host else _CHECK_FAILED

    def _outcome_of(self, check: RunStep) -> StepOutcome:
        """Run the check, and kill it at the end of its time."""
        limit_s = self._policy.step_limits[Step.CHECK]
        kill_at: float | None = now() + limit_s
        late = ""
        self._perform([check])
        while True:
            event = self._next(kill_at)
            if isinstance(event, StepFinished):
                reason = late or event.outcome.reason
                return replace(event.outcome, reason=reason)
            if kill_at is not None and now() >= kill_at:
                kill_at, late = None, f"no end within {limit_s:g} s"
                self._perform([KillStep(Step.CHECK)])

    def _perform(self, decided: "Iterable[Action]") -> None:
        for action in decided:
            self._inbox.answer(*self._executor.perform(action))

    def _next(self, until: float | None) -> Event:
        """Wait for the next event; raise _InterruptedError if it is a signal that ends zkexec."""
        event = self._inbox.next(until)
        if isinstance(event, SignalReceived) and event.signal not in _WITHOUT_EFFECT:
            raise _InterruptedError(event.signal)
        return event


def _policy_of_one_read(policy: Policy) -> Policy:
    """Leave out what is for a group, and for a command that runs on."""
    return replace(policy, start=StartPolicy.FRESH, in_group=False, restart_path="", rearm_s=None)
