"""One run of the core in the model world: drawn from a seed, judged after each event."""

from collections import deque
from collections.abc import Callable, Sequence
from random import Random

from simulation.alert_checker import AlertsAsRequired
from simulation.bystander import Bystander, CoreLost, HandledEvent, Violation
from simulation.checkers import (
    AlwaysHasADeadline,
    Checker,
    ChecksTheRunningCommand,
    CommandRuns,
    DeadlinesMoveOn,
    EndsOnce,
    InstallsHistory,
    InstallsPresentContent,
    OneAtATime,
    PassesSignalsOn,
    RunningHasACommand,
    StagesWhatIsWanted,
    StartsNothingAtTheEnd,
    StartsWithoutCluster,
    StopsOnlyForChange,
)
from simulation.clock import Clock
from simulation.cluster_model import ClusterModel
from simulation.ensemble_model import EnsembleModel
from simulation.host_model import HostModel
from simulation.input_checkers import input_checkers
from simulation.input_views import InputViews
from simulation.service_checker import ServiceIsAsReported
from simulation.step_checkers import step_checkers
from simulation.target_disk import Killed
from simulation.written_lines import WrittenLines
from zkexec.core import actions
from zkexec.core.actions import Action
from zkexec.core.caretaker import Caretaker
from zkexec.core.events import CommandExited, Event, SignalReceived, Started, Tick
from zkexec.core.member import Member
from zkexec.core.phases import Phase
from zkexec.core.policy import Policy
from zkexec.core.turn import FreeTurn

Recorder = Callable[[HandledEvent], None]
Step = tuple[Phase, type[Event], Phase]
MakeCluster = Callable[[Clock, Random, tuple[str, ...], Callable[[Event], None]], ClusterModel]


def all_checkers(policy: Policy) -> list[Checker]:
    """One of each kind, as far as there is anything for it to check."""
    found: list[Checker] = [
        StopsOnlyForChange(), CommandRuns(), OneAtATime(),
        ChecksTheRunningCommand(), DeadlinesMoveOn(), StartsNothingAtTheEnd(), PassesSignalsOn(),
        EndsOnce(), AlertsAsRequired(), StartsWithoutCluster(), StagesWhatIsWanted(),
        RunningHasACommand(), AlwaysHasADeadline(),
    ]  # fmt: skip
    if policy.step_limits or policy.on_change:
        found += step_checkers()
    if policy.inputs.needs_state:
        return found + input_checkers()
    return [*found, InstallsHistory(), InstallsPresentContent()]


class World:
    """A member, its host, and the ensemble; events come one at a time, answers first."""

    def __init__(
        self,
        policy: Policy,
        random: Random,
        record: Recorder | None = None,
        make_cluster: MakeCluster = EnsembleModel,
    ) -> None:
        """Make everything; nothing happens before `run_until`."""
        self.policy = policy
        self.clock = Clock()
        self.ensemble = make_cluster(self.clock, random, policy.inputs.znodes, self.deliver)
        self.host = HostModel(self.clock, random, policy, self.deliver)
        self.core: Member | Caretaker = Member(policy, FreeTurn())
        self.done = False
        """Whether zkexec has ended."""
        self._random = random
        self._record = record
        self.steps: set[Step] = set()
        self.written = WrittenLines()
        self._begin_life()

    def _begin_life(self) -> None:
        """Let zkexec be started, with bystanders who know nothing of an earlier one."""
        self._witness = Bystander(self.policy, self.ensemble, self.host)
        self._checkers = all_checkers(self.policy)
        self._service = ServiceIsAsReported()
        self._answers: deque[Event] = deque([Started()])
        self._arrived: deque[Event] = deque()

    @property
    def phase(self) -> Phase:
        """That of the core; a caretaker has none, but keeps a command that runs."""
        if self.done:
            return Phase.DONE
        if isinstance(self.core, Member):
            return self.core.phase
        return Phase.EXITING if self.core.is_ending else Phase.RUNNING

    @property
    def views(self) -> InputViews:
        """What a bystander can conclude of the inputs."""
        return self._witness.views

    def deliver(self, event: Event) -> None:
        """Let something have happened that is no answer to an action; signals come first."""
        if isinstance(event, SignalReceived):
            self._arrived.appendleft(event)
        else:
            self._arrived.append(event)

    def run_until(self, time: float) -> None:
        """Let everything happen that happens before this time."""
        while not self.done:
            if self._is_relieved and not (self._answers or self._arrived):
                self._begin_again()
            if self._answers:
                self._handle(self._answers.popleft())
            elif self._arrived:
                self._handle(self._arrived.popleft())
            elif not self._go_on(time):
                self.clock.advance(time)
                return

    def _go_on(self, limit: float) -> bool:
        """Go to whatever comes next; tell whether anything does before the limit."""
        entry, deadline = self.clock.next_entry, self.core.deadline
        if entry is not None and entry <= limit and (deadline is None or entry <= deadline):
            self._be_late()
            self.clock.run_entry()
            # What happened while the process was busy or asleep is found all at once.
            while (entry := self.clock.next_entry) is not None and entry <= self.clock.now:
                self.clock.run_entry()
            return True
        if deadline is not None and deadline <= limit:
            self.clock.advance(deadline)
            self._handle(Tick())
            return True
        return False

    def _be_late(self) -> None:
        if self._random.random() < 0.01:
            self.clock.spend(self._random.uniform(0, 1))

    def lose_core(self, pause_s: float) -> None:
        """Let the core make a mistake, if there is a command that it has not told to end."""
        member, tree, host = self.core, self.host.tree, self.host
        is_kept = tree is not None and tree.alive and self._witness.stopping_since is None
        if not isinstance(member, Member) or not is_kept or self.done:
            return
        self._answers.clear()
        kept = [e for e in self._arrived if isinstance(e, CommandExited | SignalReceived)]
        self._arrived = deque(kept)
        self.ensemble.drop_session()
        host.discard()
        host.steps.drop()
        host.renderings.drop()
        adopted = member.adopted(check=host.check, alerting=host.alerting)
        now = self.clock.now
        caretaker = self.core = Caretaker(self.policy, adopted, now + pause_s, now)
        self._see(CoreLost(), caretaker.begin("a mistake", now))

    def be_killed(self) -> None:
        """Lose zkexec and all that it has started; it is started again at once."""
        self.done = False
        self.ensemble.drop_session()
        self.host.die()
        self.core = Member(self.policy, FreeTurn())
        self._begin_life()

    @property
    def _is_relieved(self) -> bool:
        return isinstance(self.core, Caretaker) and self.core.is_over(self.clock.now)

    def _begin_again(self) -> None:
        assert isinstance(self.core, Caretaker)
        adopted = self.core.adopted(check=self.host.check, alerting=self.host.alerting)
        self.core = Member(self.policy, FreeTurn(), adopted, "a mistake")
        self._answers.appendleft(Started())

    def _handle(self, event: Event) -> None:
        before, event = self.phase, self.written.added_to(event)
        todo = self.core.handle(event, self.clock.now)
        self.done = any(isinstance(action, actions.EndProcess) for action in todo)
        if isinstance(self.core, Member):
            self.steps.add((before, type(event), self.phase))
        self._see(event, todo)

    def _see(self, event: Event, todo: Sequence[Action]) -> None:
        now, deadline = self.clock.now, self.core.deadline
        if isinstance(event, CoreLost) or self._is_relieved:
            deadline = None  # what is due comes next
        self._witness.is_kept = isinstance(self.core, Caretaker)
        moment = HandledEvent(now, event, todo, self.phase, deadline, bool(self._answers))
        if self._record is not None:
            self._record(moment)
        self._judge(moment)
        self._perform_all(todo)

    def _judge(self, moment: HandledEvent) -> None:
        self._witness.see_event(moment)
        self._service.see_core(self.core, moment, self._witness)
        for checker in self._checkers:
            try:
                checker.see(moment, self._witness)
            except Violation as violation:
                raise Violation(f"{type(checker).__name__}: {violation}") from None
        self._witness.see_actions(moment)

    def _perform_all(self, todo: Sequence[Action]) -> None:
        for action in todo:
            try:
                self._answers.extend(self._perform(action))
            except Killed:
                self.be_killed()
                return

    def _perform(self, action: Action) -> list[Event]:
        self.written.see(action)
        match action:
            case actions.OpenSession():
                self.ensemble.open_session()
            case actions.ReadZnodes(number):
                self.ensemble.read(number)
            case actions.RearmWatches():
                self.ensemble.rearm()
            case actions.LoadCachedFiles():
                return [self.host.load_cached()]
            case actions.StageFiles(snapshot):
                return [self.host.stage(snapshot)]
            case actions.InstallFiles():
                return [self.host.install()]
            case actions.DiscardFiles():
                self.host.discard()
            case actions.StartCommand(generation, variables):
                return [self.host.start_command(generation, variables)]
            case _:
                return self._perform_on_processes(action)
        return []

    def _perform_on_processes(self, action: Action) -> list[Event]:
        match action:
            case actions.RememberState(snapshot, was_healthy):
                self.host.remember(snapshot, was_healthy=was_healthy)
            case actions.RenderTemplates():
                return self.host.renderings.start(action)
            case actions.SignalProcessGroup(signal) | actions.SignalProcessTree(signal):
                self.host.signal(signal)
            case actions.InspectProcessTree(generation):
                return [self.host.inspect(generation)]
            case actions.RunHealthCheck(generation):
                return self.host.run_check(generation)
            case actions.KillHealthCheck():
                self.host.kill_check()
            case actions.RunAlert():
                return self.host.run_alert()
            case actions.KillAlert():
                self.host.kill_alert()
            case _:
                self.host.steps.perform(action)
        return []
