"""The commands of steps on one host of the model world, and what a running command loads.

`--check`, `--pre-stop`, `--reload` and `--post-healthy` take some time, and end as the
configuration has it; while there are faults they also fail, hang, or cannot be started.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Protocol

from simulation.clock import Clock
from simulation.flaws import Flaw, flaw_of
from zkexec.core.actions import Action, KillStep, RunStep, SignalCommand
from zkexec.core.events import Event, StepFinished
from zkexec.core.policy import ActionRule, ChangeAction, Policy
from zkexec.core.snapshot import Snapshot
from zkexec.core.step import Step, StepOutcome
from zkexec.frozen import replace

SHARE_WITH_STEPS = 0.4
"""In this share of the seeds, changes have steps beside a stop and a start."""
LIMITS_S = (0.5, 2.0, 10.0)


def draw_steps(random: Random, policy: Policy) -> Policy:
    """Return the policy with commands of steps, and rules for what a change does."""
    shares = {Step.CHECK: 0.6, Step.PRE_STOP: 0.6, Step.RELOAD: 0.7, Step.POST_HEALTHY: 0.5}
    limits = {s: random.choice(LIMITS_S) for s, share in shares.items() if random.random() < share}
    rules = draw_rules(random, policy)
    if not (policy.inputs.mirrors or policy.inputs.templates):
        limits.pop(Step.CHECK, None)
    if not any(rule.action is ChangeAction.RELOAD for rule in rules):
        limits.pop(Step.RELOAD, None)
    elif policy.in_group and Step.RELOAD not in limits:
        # A signal does not report whether the configuration was accepted.
        limits.setdefault(Step.CHECK, 2.0)
    signal = random.choice((1, 10))
    if policy.health_timeout_s == 0.0:
        # No command is ever healthy, so none would be warmed up.
        policy = replace(policy, health_timeout_s=2.0)
    return replace(policy, on_change=rules, reload_signal=signal, step_limits=limits)


def draw_rules(random: Random, policy: Policy) -> tuple[ActionRule, ...]:
    """Draw an action for all files, or one for each, or none."""
    actions = (*[ChangeAction.RELOAD] * 3, ChangeAction.NONE, ChangeAction.RESTART)
    drawn = random.random()
    if drawn < 0.3 or not (policy.inputs.mirrors or policy.inputs.templates):
        return ()
    if drawn < 0.7:
        return (ActionRule("", random.choice(actions)),)
    paths = [mirror.local_path for mirror in policy.inputs.mirrors]
    paths += [template.local_path for template in policy.inputs.templates]
    return tuple(ActionRule(path, random.choice(actions)) for path in paths)


class Reloadable(Protocol):
    """A command that may load other files while it runs."""

    alive: bool
    loaded: Snapshot
    """The files that it works with; never read by zkexec, which cannot know."""
    ignored: bool
    """Whether it has ignored a signal to reload, so that it does not run what is on disk."""
    drained: bool
    """Whether a pre-stop command has run, and no post-healthy command has succeeded since."""
    warmed: bool
    """Whether a post-healthy command has succeeded since it was started."""


@dataclass(frozen=True)
class StepCourse:
    """How the command of a step goes on: how it ends, and when; None: it hangs."""

    outcome: StepOutcome
    seconds: float | None = 0.0


class StepCommands(ABC):
    """Runs the commands of steps of one zkexec; `running` has those that have not ended."""

    def __init__(self, clock: Clock, random: Random, policy: Policy) -> None:
        """Begin without any."""
        self._clock = clock
        self._random = random
        self._policy = policy
        self._runs = 0
        self.running: dict[Step, tuple[int, RunStep]] = {}
        """What runs, each with a number that no other run has."""
        self.refused: Snapshot | None = None
        """The files that a check or a reload has refused last, for whatever reason."""
        self.begun: Callable[[], None] = lambda: None
        """Called when the command of a step has begun, so that more can happen meanwhile."""

    # What the host is.

    @property
    @abstractmethod
    def command(self) -> Reloadable | None:
        """The present command, if there is one."""

    @property
    @abstractmethod
    def files(self) -> Snapshot:
        """What the targets contain."""

    @property
    @abstractmethod
    def has_faults(self) -> bool:
        """Whether anything may fail that the configuration does not make fail."""

    @abstractmethod
    def deliver(self, event: Event) -> None:
        """Let zkexec receive an event, behind all others."""

    @abstractmethod
    def load(self, files: Snapshot, *, sickens: bool) -> None:
        """Let the present command work with these files from now on."""

    @abstractmethod
    def believe(self, files: Snapshot) -> None:
        """Let these be the files that zkexec has made the present command load."""

    @abstractmethod
    def end_command(self) -> None:
        """Let the present command exit."""

    # What the core requests.

    def perform(self, action: Action) -> None:
        """Carry out an action about a step; others have no effect."""
        match action:
            case RunStep():
                self.run(action)
            case KillStep(step):
                self.kill(step)
            case SignalCommand():
                self.signal_command()

    def run(self, action: RunStep) -> None:
        """Start the command of a step; its end is an event."""
        self._runs += 1
        number, course = self._runs, self._course_of(action)
        self.running[action.step] = (number, action)
        command = self.command
        if action.step is Step.PRE_STOP and command is not None:
            command.drained = True
        self.begun()
        if course.seconds is not None:
            self._later(course.seconds, lambda: self._end(action, number, course.outcome))

    def kill(self, step: Step) -> None:
        """Kill the command of a step; it may have ended meanwhile, unless it is a reload."""
        if step not in self.running:
            if step is Step.RELOAD and self.command is not None:
                # It has just succeeded, too late for zkexec, which puts the old files back.
                self.command.ignored = True
            return
        number, action = self.running[step]
        if step is Step.RELOAD:
            number = -number
            self.running[step] = (number, action)
        killed = StepOutcome(False, "killed by SIGKILL")
        self._later(0.1 * self._random.random(), lambda: self._end(action, number, killed))

    def signal_command(self) -> None:
        """Let the command load what is on disk, or ignore the signal."""
        command = self.command
        if command is None or not command.alive:
            return
        self.believe(self.files)
        if self._is_hit(0.05):
            command.ignored = True
        else:
            self._reload()

    def installed(self, before: Snapshot) -> None:
        """Let a running command notice by itself the files for which nothing is to be done."""
        command = self.command
        if command is None or not command.alive:
            return
        changed = [p for p, c in self.files.files.items() if before.files.get(p) != c]
        changed += [path for path in before.files if path not in self.files.files]
        noticed = [p for p in changed if strongest_action(self._policy, [p]) is ChangeAction.NONE]
        if not noticed:
            return
        loaded = {p: c for p, c in command.loaded.files.items() if p not in noticed}
        loaded |= {p: self.files.files[p] for p in noticed if p in self.files.files}
        if noticed == changed:
            self.believe(self.files)
        self._take(Snapshot(loaded, variables=command.loaded.variables))

    def drop(self) -> None:
        """End all of them; no core is there that they could report to."""
        self.running.clear()

    def _later(self, delay_s: float, do: Callable[[], None]) -> None:
        self._clock.after(delay_s, do)

    def _is_hit(self, chance: float) -> bool:
        return self.has_faults and self._random.random() < chance

    def _course_of(self, action: RunStep) -> StepCourse:
        """Draw how it ends: by a fault, or as the configuration has it."""
        random, limit_s = self._random, self._policy.step_limits[action.step]
        drawn = random.random() if self.has_faults else 1.0
        seconds = random.uniform(0, 0.3)
        if self._is_hit(0.4 if action.step in (Step.CHECK, Step.PRE_STOP) else 0.2):
            seconds = random.uniform(0, 1.2 * limit_s)
        if drawn < 0.03:
            return StepCourse(StepOutcome(False, "command not found", is_of_host=True))
        if drawn < 0.06:
            status = random.choice((126, 127))
            return StepCourse(StepOutcome(False, f"exit status {status}", True), seconds)
        if drawn < 0.11:
            return StepCourse(StepOutcome(True), None)
        if drawn < 0.17 or self._is_refused(action):
            return StepCourse(StepOutcome(False, "exit status 1"), seconds)
        return StepCourse(StepOutcome(True), seconds)

    def _is_refused(self, action: RunStep) -> bool:
        """Whether the configuration makes it fail."""
        command = self.command
        match action.step:
            case Step.CHECK:
                assert action.snapshot is not None, "a check without files"
                return flaw_of(contents_of(action.snapshot)) is Flaw.REFUSED
            case Step.RELOAD:
                is_running = command is not None and command.alive
                return not is_running or flaw_of(self.files.files.values()) is Flaw.UNLOADABLE
            case Step.POST_HEALTHY:
                return command is not None and flaw_of(contents_of(command.loaded)) is Flaw.COLD
        return False

    def _end(self, action: RunStep, number: int, outcome: StepOutcome) -> None:
        step, command = action.step, self.command
        if self.running.get(step) != (number, action):
            return
        del self.running[step]
        if step is Step.RELOAD and outcome.passed:
            self.believe(self.files)
            self._reload()
        if step is Step.POST_HEALTHY and outcome.passed and command is not None:
            command.drained, command.warmed = False, True
        is_verdict = step is Step.RELOAD or (step is Step.CHECK and not outcome.is_of_host)
        if is_verdict:
            examined = self.files if action.snapshot is None else action.snapshot
            if not outcome.passed:
                self.refused = examined
            elif self.refused == examined:
                self.refused = None
        self.deliver(StepFinished(step, action.number, outcome))

    def _reload(self) -> None:
        command = self.command
        if command is None or not command.alive:
            return
        if flaw_of(self.files.files.values()) is Flaw.UNLOADABLE:
            command.ignored = True
            return
        command.ignored = False
        # The variables of a process do not change.
        self._take(replace(self.files, variables=command.loaded.variables))

    def _take(self, files: Snapshot) -> None:
        flaw = flaw_of(contents_of(files))
        if flaw is Flaw.FATAL or self._is_hit(0.03):
            self._later(0.2 * self._random.random(), self.end_command)
        sickens = flaw in (Flaw.REFUSED, Flaw.SICKENING) or self._is_hit(0.05)
        self.load(files, sickens=sickens)


def contents_of(snapshot: Snapshot) -> list[bytes]:
    """Return all that a command can make something of."""
    return [*snapshot.files.values(), *snapshot.variables.values()]


def strongest_action(policy: Policy, changed: list[str]) -> ChangeAction:
    """Return the strongest action of these targets, independently of the core."""
    ranks = [ChangeAction.NONE, ChangeAction.RELOAD, ChangeAction.RESTART]
    found = 0
    for target in changed:
        action, longest = ChangeAction.RESTART, -1
        for rule in policy.on_change:
            path = rule.path
            covers = path in ("", target) or target.startswith(f"{path.removesuffix('/')}/")
            if covers and len(path) >= longest:
                action, longest = rule.action, len(path)
        found = max(found, ranks.index(action))
    return ranks[found]
