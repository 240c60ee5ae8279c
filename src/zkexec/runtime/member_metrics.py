"""Derive the metrics of one zkexec from the events that its core gets, and what it decides.

Nothing here decides anything, and the core does not know of it.  The counters outlive each core,
but not zkexec itself.

A change that newer content overtakes on its way is counted once, together with that.
"""

from __future__ import annotations

import time

from zkexec.core.actions import Action, KillStep, Note, RunAlert, RunStep, StageFiles
from zkexec.core.events import (
    CommandExited,
    CommandStarted,
    Event,
    SessionConnected,
    SessionLost,
    SessionSuspended,
    StepFinished,
)
from zkexec.core.phases import Phase
from zkexec.core.snapshot import plan
from zkexec.core.step import Step
from zkexec.runtime.log_messages import MESSAGES, Level
from zkexec.runtime.metric_table import METRICS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from zkexec.core.member import Member
    from zkexec.core.policy import Policy
    from zkexec.runtime.metric_table import Samples

UNKNOWN_ACTION = "unknown"
"""The action of a change that failed before it was clear, as one whose template has an error."""

_BEGUN = {"restarting": "restart", "reloading": "reload", "only-installing": "none"}
"""The topics of notes with which the action of a change begins."""
_APPLIED = frozenset((Phase.RUNNING.value, Phase.WAITING.value))
"""A change that has come to one of these phases has succeeded."""
_FAILED = frozenset(("change-refused", "change-failed", "restart-failed"))
_ENDED = frozenset(("command-failed", "start-failed"))
_BLOCKED = frozenset(("files-failed", "step-impossible", "render-impossible"))
_RESULTS_OF_HEALTH = {"health-check-passed": "passed", "health-check-failed": "failed"}
_DROPPED = ""
"""The result of a check that does not count."""


class MemberMetrics:
    """What has happened to the command and its configuration, as samples."""

    def __init__(self, policy: Policy, clock: Callable[[], float] = time.time) -> None:
        """`clock` returns the seconds of the epoch."""
        self._policy = policy
        self._clock = clock
        self._samples: dict[tuple[str, ...], float] = dict.fromkeys(_counters(policy), 0)
        self._set("zkexec_command_up", 0)
        self._set("zkexec_cluster_connected", 0)
        self._set("zkexec_config_pending", 1)
        self._begun = ""
        """The action of the change that is being applied, "" if none is."""
        self._staged = UNKNOWN_ACTION
        """The action by which the staged files are to be applied."""
        self._generation = 0
        """The newest generation of the command that is known to have started."""
        self._result_of_check: str | None = None
        """The result of the check that runs, if that is clear before its end."""
        self.has_failed = False
        """Whether zkexec ends because something has failed, as far as it does end."""

    @property
    def samples(self) -> Samples:
        """All values at this moment."""
        return self._samples

    def take_in(self, event: Event) -> None:
        """Take in what has happened; the start of one generation counts once."""
        match event:
            case CommandStarted(generation) if generation > self._generation:
                self._generation = generation
                self._set("zkexec_command_up", 1)
                self._set("zkexec_command_start_timestamp_seconds", self._clock())
                self._forget_health()
            case CommandExited():
                self._set("zkexec_command_up", 0)
                self._forget_health()
            case SessionConnected():
                self._set("zkexec_cluster_connected", 1)
            case SessionSuspended():
                self._set("zkexec_cluster_connected", 0)
            case SessionLost():
                self._set("zkexec_cluster_connected", 0)
                self._add("zkexec_sessions_lost_total")
            case StepFinished(step=Step.CHECK):
                self._take_in_check(event)

    def count(self, decided: Sequence[Action], member: Member | None = None) -> None:
        """Count what was decided by a core, or by the caretaker, which has no session.

        `member` is the core, None if it was the caretaker.
        """
        before: Action | None = None
        for action in decided:
            self._count(action, before, member)
            before = action
        if member is None:
            self._set("zkexec_cluster_connected", 0)
        else:
            self._take_in_state(member)

    def end(self) -> None:
        """No command runs any more, and no session is open."""
        self._set("zkexec_command_up", 0)
        self._set("zkexec_cluster_connected", 0)
        self._samples.pop(("zkexec_healthy",), None)

    def _take_in_check(self, event: StepFinished) -> None:
        verdict = "passed" if event.outcome.passed else "failed"
        verdict = "blocked" if event.outcome.is_of_host else verdict
        result, self._result_of_check = self._result_of_check, None
        result = verdict if result is None else result
        if result != _DROPPED:
            self._add("zkexec_checks_total", "check", result)

    def _take_in_state(self, member: Member) -> None:
        if member.phase not in (Phase.EXITING, Phase.DONE):
            is_applied = member.phase is Phase.RUNNING and not member.inputs.problems
            self._set("zkexec_config_pending", not is_applied)
        written_at = member.applied.changed_at
        if written_at:
            self._set("zkexec_config_written_timestamp_seconds", written_at)
        else:
            self._samples.pop(("zkexec_config_written_timestamp_seconds",), None)

    def _count(self, action: Action, before: Action | None, member: Member | None) -> None:
        match action:
            case Note(topic):
                self._count_note(topic, action)
            case RunAlert(event):
                self._add("zkexec_alerts_total", event.value)
            case RunStep(step=Step.CHECK):
                self._result_of_check = None
            case KillStep(Step.CHECK):
                is_late = isinstance(before, Note) and before.topic == "step-killed"
                self._result_of_check = "failed" if is_late else _DROPPED
            case StageFiles(snapshot) if member is not None:
                changes = plan(member.applied, snapshot)
                self._staged = self._policy.action_for(changes).value

    def _count_note(self, topic: str, note: Note) -> None:
        if topic in _RESULTS_OF_HEALTH:
            result = _RESULTS_OF_HEALTH[topic]
            self._set("zkexec_healthy", result == "passed")
            self._add("zkexec_checks_total", "health", result)
        elif topic in _BEGUN:
            self._begun = self._staged = _BEGUN[topic]
            self._forget_health()
        elif topic == "phase" and self._begun and _is_applied(note):
            self._end_change("succeeded")
        elif topic in _FAILED or (topic in _ENDED and self._begun):
            self._end_change("failed")
        elif topic in _BLOCKED:
            self._end_change("blocked")
        elif topic == "reverted":
            # The change has failed; to put the old files back is a part of that.
            self._begun = ""
        if topic in _ENDED or MESSAGES[topic][0] is Level.FATAL:
            self.has_failed = True

    def _end_change(self, result: str) -> None:
        self._add("zkexec_changes_total", self._begun or self._staged, result)
        self._begun = ""
        if result != "blocked":
            self._staged = UNKNOWN_ACTION

    def _forget_health(self) -> None:
        self._samples.pop(("zkexec_healthy",), None)

    def _set(self, name: str, value: float) -> None:
        self._samples[(name,)] = float(value)

    def _add(self, name: str, *labels: str) -> None:
        key = (name, *labels)
        self._samples[key] = self._samples.get(key, 0.0) + 1


def _is_applied(note: Note) -> bool:
    """Whether a change of the phase means that the change of the configuration has succeeded."""
    # A core that takes over after an error begins in the phase loading.
    is_new_core = note.fields["left"] == Phase.LOADING.value
    return not is_new_core and note.fields["phase"] in _APPLIED


def _counters(policy: Policy) -> list[tuple[str, ...]]:
    """List the counters that begin with 0, so that their first increase is seen as one."""
    keys = [
        key
        for metric in METRICS
        if metric.counted
        for key in _products(metric.name, list(metric.labels.values()))
    ]
    unused = set() if policy.checks_health else {"health"}
    unused |= set() if policy.runs(Step.CHECK) else {"check"}
    # A health check always has a result.
    unused_pairs = {("health", "blocked")}
    return [
        key
        for key in keys
        if key[0] != "zkexec_checks_total" or (key[1] not in unused and key[1:] not in unused_pairs)
    ]


def _products(name: str, values: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    keys: list[tuple[str, ...]] = [(name,)]
    for each in values:
        keys = [(*key, value) for key in keys for value in each]
    return keys
