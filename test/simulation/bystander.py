"""What a bystander can conclude from events and actions alone, without using the core.

The checkers use this, and what the model world itself knows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from simulation.cluster_model import ClusterModel
from simulation.drains import Drains
from simulation.host_model import HOST_IN_TROUBLE, NAME, HostModel
from simulation.input_views import InputViews
from simulation.products import Terms
from simulation.reloads import Reloads
from zkexec.core import actions, events
from zkexec.core.actions import Action
from zkexec.core.events import Event, ExitStatus
from zkexec.core.phases import Phase
from zkexec.core.policy import Policy
from zkexec.core.snapshot import Znode
from zkexec.core.step import Step

SIGKILL, SIGTERM = 9, 15
ASKING_SIGNALS = (2, 3, 15)


class Violation(Exception):
    """A promise was broken."""


class CoreLost(Event):
    """An error inside zkexec: a caretaker has the command until there is a fresh core."""


@dataclass(frozen=True, slots=True)
class HandledEvent:
    """One event with what was done about it; `answers_due` is true if answers are waiting."""

    now: float
    event: Event
    actions: Sequence[Action]
    phase: Phase
    deadline: float | None
    answers_due: bool


class Bystander:
    """The course of things so far."""

    def __init__(self, policy: Policy, ensemble: ClusterModel, host: HostModel) -> None:
        """Begin before the first event."""
        self.policy = policy
        self.ensemble = ensemble
        self.host = host
        self.generation = 0
        """The generation that is known to live; 0 while none is."""
        self.started_at = 0.0
        self.stopping_since: float | None = None
        """Since when this generation is being stopped, by zkexec or by a TERM to it."""
        self.termed = False
        """Whether the end was demanded by TERM, or by INT or QUIT during a restart."""
        self.delayed = False
        """Whether the last start failed for want of a process on this host."""
        self.is_kept = False
        """Whether a caretaker has the command."""
        self.over = False
        """Whether the command has ended by itself or could never start."""
        self.ending: ExitStatus | None = None
        self.failure: events.CommandExited | events.StartFailed | None = None
        """Set where the command's end counts as a failure, at that very event."""
        self.check_counts = False
        """Whether the event is the result of a check of the child that lives now."""
        self.check_passed = False
        self.wanted: dict[str, bytes] | None = None
        """What the files are to hold by the last reading that was waited for, if it was complete.
        """
        self.views = InputViews(Terms(policy.inputs, policy.allow_empty, NAME), host, ensemble)
        """What was read, and what it produces, if not only plain mirrors are among the inputs."""
        self.reloads = Reloads(host)
        self.drains = Drains()
        self._read_asked = 0
        self._check_generation = 0
        self._check_killed = False
        self._asked_until: float | None = None
        self._passed_on: set[int] = set()

    def see_event(self, moment: HandledEvent) -> None:  # noqa: C901 -- one arm for each event
        """Take in what happened, before the checkers look at what was done about it."""
        self.check_counts, self.failure = False, None
        is_beside = bool(self.generation) and self.stopping_since is None
        if self.reloads.see_event(moment.event, moment.now, is_beside=is_beside):
            self._check_generation = 0
        self.drains.see_event(moment.event, is_ending=self.termed)
        self.views.see_event(moment, self._read_asked)
        match moment.event:
            case events.CommandStarted(generation):
                self.generation, self.started_at = generation, moment.now
                self.stopping_since = self._asked_until = None
                self.delayed = False
                self._passed_on.clear()
            case events.CommandExited():
                self._see_exit(moment.event, moment.now)
            case events.StartFailed(generation, _, status):
                self.delayed = status == HOST_IN_TROUBLE and generation > 1 and not self.termed
                if not self.delayed:
                    self.over, self.failure = True, moment.event
            case events.SignalReceived(signal):
                self._see_signal(signal, moment.now)
            case events.ZnodesRead(number, znodes) if number == self._read_asked:
                if not self.policy.inputs.needs_state:
                    self.wanted = self._contents_of(znodes)
            case events.SessionSuspended() | events.SessionLost():
                self._read_asked = 0
            case CoreLost():
                self._read_asked, self.wanted = 0, None
                self.drains.forget()
            case events.HealthCheckFinished(generation, passed):
                self.check_passed = passed and not self._check_killed
                self.check_counts = (
                    generation == self.generation == self._check_generation
                    and self.stopping_since is None
                )

    def _contents_of(self, znodes: Mapping[str, Znode]) -> dict[str, bytes] | None:
        mirrors = self.policy.inputs.mirrors
        read = [znodes[mirror.zk_path] for mirror in mirrors]
        if not all(z.problem is None and (z.content or self.policy.allow_empty) for z in read):
            return None
        return {m.local_path: z.content for m, z in zip(mirrors, read, strict=True)}

    def _see_exit(self, event: events.CommandExited, now: float) -> None:
        self.ending = event.ending
        self.generation = 0
        if self.stopping_since is None and not self.drains.has_left:
            self.over = True
            asked = self._asked_until is not None and now <= self._asked_until
            if event.ending.failed and not asked and event.ending.signal not in self._passed_on:
                self.failure = event

    def _see_signal(self, signal: int, now: float) -> None:
        restarting = self.stopping_since is not None and not self.over
        if signal == SIGTERM or (restarting and signal in (2, 3)):
            self.termed = True
            if self.generation and self.stopping_since is None and not self._drains:
                self.stopping_since = now
        self._passed_on.add(signal)
        if signal in ASKING_SIGNALS:
            self._asked_until = now + max(self.policy.kill_timeout_s, 60.0)

    @property
    def _drains(self) -> bool:
        """Whether a pre-stop command comes before the stop."""
        return self.policy.runs(Step.PRE_STOP)

    def see_actions(self, moment: HandledEvent) -> None:
        """Take in what was done, after the checkers have judged it."""
        self.reloads.see_files()
        for action in moment.actions:
            self.drains.see_action(action)
            match action:
                case actions.SignalProcessTree(signal) if signal != SIGKILL:
                    if self.stopping_since is None:
                        self.stopping_since = moment.now
                case actions.OpenSession():
                    self._read_asked = 0
                case actions.ReadZnodes(number):
                    self._read_asked = number
                case actions.RunHealthCheck(generation):
                    self._check_generation, self._check_killed = generation, False
                case actions.KillHealthCheck():
                    self._check_killed = True
                case _ if self.reloads.see_action(action, moment.now):
                    self._check_generation = 0
