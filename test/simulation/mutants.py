"""Mistakes that the core could have: each breaks one rule, on purpose.

A mutant is a name of the core that is replaced for a run, and the checker that has to notice it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from zkexec.core import facts, startup
from zkexec.core.actions import Action, SignalProcessTree
from zkexec.core.alerts import Alerts
from zkexec.core.command import Command
from zkexec.core.events import Event, HealthCheckFinished, SignalReceived
from zkexec.core.facts import Fact, Found
from zkexec.core.health import CheckResult, HealthCheck
from zkexec.core.inputs import Inputs
from zkexec.core.member import Member
from zkexec.core.phases import CurrentPhase, Phase, RunningPhase
from zkexec.core.restart import Debounce, Restart
from zkexec.core.snapshot import Snapshot
from zkexec.core.step_results import StepResults


@dataclass(frozen=True)
class Mutant:
    """One mistake: what is replaced, by what, and which checker has to notice it."""

    mistake: str
    owner: object
    name: str
    replacement: object
    noticed_as: str


# What the replacements reach into is the private state of the core, which has no types here.
Anything = Any


def count_any_check(self: Anything, event: HealthCheckFinished, now: float) -> CheckResult:
    """Count a result for any command."""
    self._running = self._timeout_at = None
    self._due = now + self._policy.health_interval_s
    return CheckResult(event.passed, event.reason)


def drop_change_while_settling(
    self: Anything, phase: CurrentPhase, is_unverified: bool, now: float
) -> Found:  # fmt: skip
    """Ignore newer content once a restart has been decided on."""
    if phase.phase is Phase.WAITING:
        self._inputs.wanted = self._seen
        return []
    return original_consider(self, phase, is_unverified, now)


def forget_touch(self: Anything, path: str) -> list[Action]:
    """Assume that a read on its way will contain a change that was reported since."""
    return [] if self._reading else original_touched(self, path)


def connect_without_reading(self: Anything, now: float) -> list[Action]:
    """Trust watches that are gone."""
    return original_connected(self, now) if self.wanted is None else []


def wait_for_refusers(self: Anything, reason: str, _: bool) -> list[Action]:
    """Do not count the servers that have refused."""
    return original_trouble(self, reason, False)


def forget_read(self: Anything, *_: object) -> list[Action]:
    """Do not repeat a failed read."""
    self._forget_read()
    return []


def kill_on_disconnect(self: Anything, topic: str, reason: str, now: float) -> list[Action]:
    """Stop the command without a connection."""
    return [*original_disconnected(self, topic, reason, now), SignalProcessTree(15)]


def pass_on_only(self: Anything, event: SignalReceived, now: float) -> list[Action]:
    """Forget during a restart that TERM means the end."""
    if self.phase is Phase.STOPPING:
        passed_on: list[Action] = self.command.pass_on(event, now)
        return passed_on
    return original_signal(self, event, now)


def alert_at_once(self: Anything, alert: Action, now: float) -> list[Action]:  # noqa: ARG001
    """Start an alert beside another."""
    if not self._policy.raises_alerts:
        return []
    self._running = True
    return [alert]


def ignore_what_is_staged(
    self: Anything, phase: CurrentPhase, is_unverified: bool, now: float
) -> Found:  # fmt: skip
    """Ignore a change during a stop if it is what the stop was for."""
    if phase.phase is Phase.STOPPING and self._inputs.wanted == self._staged:
        return []
    return original_consider(self, phase, is_unverified, now)


def assume_gone(self: Anything, _: Event) -> None:
    """Assume that the process tree is gone with the command."""
    self.tree_gone = True
    self._kill_at = self._inspect_at = None


def expect_without_limit(self: Anything, _: float) -> None:
    """Wait for ever."""
    self.stopping = True


def merge_one_path(self: Anything, known: Snapshot, *read: Anything) -> Snapshot:
    """Take over one file of several."""
    merged, files = original_merged(self, known, *read), known.files
    changed = [path for path in merged.files if files.get(path) != merged.files[path]]
    return merged if not files else Snapshot({**files, **{p: merged.files[p] for p in changed[:1]}})


def step_only(self: Anything, event: Event, now: float) -> list[Action]:
    """Leave what is overdue for later."""
    found: list[Action] = self._step(event, now)
    return found


def only_note(self: Anything, phase: CurrentPhase, reason: str, now: float) -> Found:
    """Leave the machine without a command if the disk is full."""
    return original_failed(self, phase, reason, now) if phase.phase is not Phase.STOPPING else []


def do_nothing(*_: object, **__: object) -> list[Action]:
    """Do nothing."""
    return []


def take_all_for_changes(
    self: Anything, phase: CurrentPhase, is_unverified: bool, now: float
) -> Found:  # fmt: skip
    """Begin a restart for any new snapshot, even if it is applied already."""
    del is_unverified
    phases = (Phase.RUNNING, Phase.WAITING, Phase.BLOCKED)
    is_known = self._inputs.wanted is None or not self._is_new(phase.attempt)
    if is_known or phase.phase not in phases:
        return []
    self._seen = self._inputs.wanted
    self._debounce.changed(now)
    return [facts.ChangeFound()]


def private(owner: type, name: str) -> Callable[..., list[Action]]:
    """Return the core's own function, for a mutant that differs from it in some cases only."""
    function: Callable[..., list[Action]] = getattr(owner, name)
    return function


original_consider: Callable[..., Found] = Restart.consider
original_on = RunningPhase.on
original_signal = private(Member, "_on_signal")
original_failed = StepResults.files_failed
original_touched = private(Inputs, "_on_touched")
original_connected = private(Inputs, "_on_connected")
original_trouble = private(Inputs, "_on_trouble")
original_disconnected = private(Inputs, "_on_disconnected")
original_merged: Callable[..., Snapshot] = getattr(Inputs, "_merged")  # noqa: B009 -- it is private


def keep_what_was_read(self: Anything, known: Snapshot, *read: Anything) -> Snapshot:
    """Want the last content of a znode although it is gone."""
    place, self.in_place = self.in_place, None
    merged = original_merged(self, known, *read)
    self.in_place = place
    return merged


def run_on(self: RunningPhase, fact: Fact) -> CurrentPhase:
    """Go on running whatever ends."""
    return self if isinstance(fact, facts.EndBegan) else original_on(self, fact)


PROGRESS = "no progress"

MUTANTS = (
    Mutant("a health check of an earlier command counts", HealthCheck, "finished", count_any_check,
           "ChecksTheRunningCommand"),
    Mutant("the health checks go on while the command stops", HealthCheck, "close", do_nothing,
           "ChecksTheRunningCommand"),
    Mutant("a touch during a read is forgotten", Inputs, "_on_touched", forget_touch, PROGRESS),
    Mutant("any reply is accepted", Inputs, "_is_awaited", lambda *_: True,
           "StagesWhatIsWanted"),
    Mutant("nothing is read after a reconnect", Inputs, "_on_connected", connect_without_reading,
           PROGRESS),
    Mutant("the command is stopped without a connection", Inputs, "_on_disconnected",
           kill_on_disconnect, "StopsOnlyForChange"),
    Mutant("a failed read is not repeated", Inputs, "_on_read_failed", forget_read, PROGRESS),
    Mutant("no watch is armed again", Inputs, "_rearm_later", do_nothing, PROGRESS),
    Mutant("a refused client is kept", Inputs, "_patience_s", 1e9, PROGRESS),
    Mutant("files of two states are mixed", Inputs, "_merged", merge_one_path, "InstallsHistory"),
    Mutant("a cluster that refuses is waited for", Inputs, "_on_trouble", wait_for_refusers,
           "StartsWithoutCluster"),
    Mutant("a cluster is waited for without need", startup, "UNNEEDED_WAIT_S", 2.0,
           "StartsWithoutCluster"),
    Mutant("content without a znode is wanted", Inputs, "_merged", keep_what_was_read,
           "InstallsPresentContent"),
    Mutant("TERM during a restart is only passed on", Member, "_on_signal", pass_on_only,
           "StartsNothingAtTheEnd"),
    Mutant("a change while settling is dropped", Restart, "consider", drop_change_while_settling,
           "StagesWhatIsWanted"),
    Mutant("back and forth during a stop is missed", Restart, "consider", ignore_what_is_staged,
           "StagesWhatIsWanted"),
    Mutant("files are not tried again", Debounce, "try_again", do_nothing, "AlwaysHasADeadline"),
    Mutant("the phase running does not end", RunningPhase, "on", run_on, "RunningHasACommand"),
    Mutant("zkexec survives its command", Member, "_survives_exit", True,
           "RunningHasACommand"),
    Mutant("a start without a process is not tried again", Command, "start_later", lambda *_: 0.0,
           "CommandRuns"),
    Mutant("no command after a full disk", StepResults, "files_failed", only_note, "CommandRuns"),
    Mutant("what is overdue waits for a Tick", Member, "handle", step_only, "DeadlinesMoveOn"),
    Mutant("equal content is a change", Restart, "consider", take_all_for_changes,
           "StopsOnlyForChange"),
    Mutant("a start beside the old process tree", Command, "inspected", assume_gone, "OneAtATime"),
    Mutant("a command that does not end is waited for", Command, "expect_end", expect_without_limit,
           "EndsOnce"),
    Mutant("a requested end is a failure", Command, "was_asked_to_end", lambda *_: False,
           "AlertsAsRequired"),
    Mutant("an alert beside another", Alerts, "_raise", alert_at_once, "OneAtATime"),
    Mutant("the end does not wait for an alert", Alerts, "busy", False, "EndsOnce"),
    Mutant("a waiting alert runs after TERM", Alerts, "drop_waiting", do_nothing,
           "StartsNothingAtTheEnd"),
    Mutant("a failed restart raises no alert", Alerts, "restart_failed", do_nothing,
           "AlertsAsRequired"),
)  # fmt: skip
