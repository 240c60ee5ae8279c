"""The commands of steps that run: their time limits, and which of their results count.

The command of one step never runs twice at once.  One that is being killed still runs, so a caller
asks `is_busy` before it starts another.
"""

from zkexec.core.actions import Action, KillStep, Note, RunStep
from zkexec.core.events import StepFinished
from zkexec.core.policy import Policy
from zkexec.core.snapshot import Snapshot
from zkexec.core.step import Step, StepOutcome
from zkexec.frozen import frozen, replace


@frozen()
class _Run:
    """One run; `kill_at` is None once it was killed, and then `late` is why, None if dropped."""

    number: int
    kill_at: float | None
    late: str | None = None


class StepCommands:
    """At most one run of each step's command."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._runs: dict[Step, _Run] = {}
        self._number = 0

    @property
    def deadline(self) -> float | None:
        """When the first of them has used up its time."""
        due = [run.kill_at for run in self._runs.values() if run.kill_at is not None]
        return min(due, default=None)

    def is_busy(self, step: Step) -> bool:
        """Whether the command of this step runs, or is being killed."""
        return step in self._runs

    def start(
        self, step: Step, now: float, *, snapshot: Snapshot | None = None, event: str = ""
    ) -> list[Action]:
        """Start the command of a step that is not busy; `snapshot` and `event` are for it."""
        if step in self._runs:
            raise RuntimeError(f"the command of the step {step.value} runs already")
        self._number += 1
        self._runs[step] = _Run(self._number, now + self._policy.step_limits[step])
        run = RunStep(step=step, number=self._number, snapshot=snapshot, event=event)
        return [Note("step-started", {"step": step.value}), run]

    def drop(self, *steps: Step) -> list[Action]:
        """End the commands of these steps, if they run; their results do not count."""
        killed: list[Action] = []
        for step in steps:
            run = self._runs.get(step)
            if run is not None:
                killed += [KillStep(step)] if run.kill_at is not None else []
                self._runs[step] = replace(run, kill_at=None, late=None)
        return killed

    def expire(self, now: float) -> list[Action]:
        """Kill what has used up its time: it has failed."""
        killed: list[Action] = []
        for step, run in self._runs.items():
            if run.kill_at is not None and now >= run.kill_at:
                limit_s = self._policy.step_limits[step]
                self._runs[step] = replace(run, kill_at=None, late=f"no end within {limit_s:g} s")
                killed += [
                    Note("step-killed", {"step": step.value, "limit_s": limit_s}),
                    KillStep(step),
                ]
        return killed

    def finished(self, event: StepFinished) -> StepOutcome | None:
        """Take in a result; return None if nobody waits for it any more."""
        run = self._runs.get(event.step)
        if run is None or run.number != event.number:
            return None
        del self._runs[event.step]
        if run.late is not None:
            return StepOutcome(False, run.late, printed=event.outcome.printed)
        return event.outcome if run.kill_at is not None else None
