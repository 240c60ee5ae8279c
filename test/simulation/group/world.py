"""A whole group in the model world: hosts, ensemble, configuration, and those who watch it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from simulation.clock import Clock
from simulation.flaws import draw_flaw
from simulation.group.change_checkers import CHANGE_CHECKERS
from simulation.group.chaos import Chaos
from simulation.group.checker import Checker, RecordChange, Violation
from simulation.group.command_model import CommandModel
from simulation.group.contents import Mood, draw_mood, make_content
from simulation.group.disk_trouble import DiskTrouble
from simulation.group.group_checkers import (
    AdmitsCurrentContent,
    AdmitsNoFailedVersion,
    KeepsEntries,
    KeepsMaxUnavailable,
    MarksDuplicates,
    MarksOnlyTheHealthy,
    QueuesOnce,
    TriesAlone,
    WakesFew,
)
from simulation.group.group_inputs import GroupInputs
from simulation.group.group_znodes import RESTART, may_lose_watch
from simulation.group.host import Host
from simulation.group.input_checkers import INPUT_CHECKERS
from simulation.group.member_checkers import (
    IgnoresLosses,
    InstallsHistory,
    InstallsPresentContent,
    OutlivesTheCommand,
    RunningHasACommand,
    StartsOnKnownGood,
    StopsOnlyForChange,
    StopsWithinTheLease,
    WaitsForSomething,
)
from simulation.group.observed_record import ObservedRecord
from simulation.group.operators import Operator
from simulation.group.process import Process
from simulation.group.queue_checkers import AdmitsTheHead, Leadership
from simulation.group.steering_checkers import (
    KeepsOperatorsChanges,
    ObeysThePause,
    TriesRestartsAlone,
)
from simulation.group.wide_checkers import WIDE_CHECKERS
from simulation.group.wiping import Wiping
from simulation.servers.ensemble import Ensemble
from simulation.servers.znodes import Change, Transaction
from simulation.transcript import describe, seconds
from simulation.wire.wire_ensemble import WireEnsemble
from zkexec.core.actions import Action
from zkexec.core.events import Event
from zkexec.core.member import Member
from zkexec.core.phases import Phase
from zkexec.core.policy import MaxUnavailable, Policy
from zkexec.core.rollout.group_actions import CommitRecord, Enrol, PublishStatus
from zkexec.core.rollout.group_events import RecordRead
from zkexec.core.rollout.operations import hold
from zkexec.core.rollout.record import AuditEntry, RolloutRecord
from zkexec.zookeeper.requests import Operation, Request
from zkexec.zookeeper.session_requests import AnyRequest

CHECKERS: tuple[type[Checker], ...] = (
    KeepsMaxUnavailable, TriesAlone, AdmitsNoFailedVersion, MarksOnlyTheHealthy, KeepsEntries,
    WakesFew, QueuesOnce, MarksDuplicates,
    StopsWithinTheLease, StopsOnlyForChange, IgnoresLosses, StartsOnKnownGood,
    AdmitsTheHead, KeepsOperatorsChanges, ObeysThePause, TriesRestartsAlone,
    RunningHasACommand, WaitsForSomething, OutlivesTheCommand, *WIDE_CHECKERS,
)  # fmt: skip
FILE_CHECKERS: tuple[type[Checker], ...] = (
    InstallsHistory, InstallsPresentContent, AdmitsCurrentContent,
)  # fmt: skip
"""For groups of which all inputs are plain mirrors."""


@dataclass(frozen=True)
class Plot:
    """What a run is made of."""

    policy: Sequence[Policy]
    servers: int
    tick_s: float
    is_wired: bool = False
    """Whether the members have the product's client, and the servers read bytes."""
    luck_of_steps: Random | None = None
    """What draws about the steps of changes, if these changes have any."""
    holds: float = 0.0
    luck_of_inputs: Random | None = None
    """What draws about trees, templates and variables, if there are any."""


class World:
    """Everything in one run, and its transcript."""

    transitions: set[tuple[Phase, type[Event], Phase]]
    """From which phase which event has led to which, in all members."""

    def __init__(self, plot: Plot, random: Random, lines: list[str] | None = None) -> None:
        """Make it all; nothing happens before `run_until`."""
        self.random, self.lines, self.clock, self.transitions = random, lines, Clock(), set()
        self._draw_commands(random)
        self._draw_steps(plot)
        self.heals: list[Callable[[], None]] = []
        self.paths = tuple(dict.fromkeys(p for t in plot.policy for p in t.inputs.znodes))
        self.inputs = GroupInputs(self, plot.policy[0].inputs, plot.luck_of_inputs or Random(0))
        """The trees, templates and variables, if there are any."""
        self.history: list[dict[str, bytes]] = [dict.fromkeys((*self.paths, RESTART), b"")]
        """The contents of the inputs and of the znode of restarts; empty for no znode."""
        self.histories = 0
        """How often the ensemble has begun another history."""
        self.present = 0
        """Where in `history` the present one begins."""
        self.reads: dict[tuple[Process, int], int] = {}
        """In which history a process has read the mirrored znodes, by the number of the read."""
        self.pushes, self.outage_from = 0, 0.0
        """From then on nothing is healthy that needs what is down, until it becomes calm."""
        self.clumsiness = random.choice((0, 0, 2))
        """How often an operator destroys the znode of restarts."""
        self.holds = plot.holds
        """How often operators hold what they push."""
        self.hold_next: tuple[AuditEntry, MaxUnavailable] | None = None
        """The hold that the next push writes."""
        self.has_deleted = False
        """Whether a mirrored znode, or that of restarts, was ever taken away."""
        self.ensemble = self._new_ensemble(plot)
        self.observed = ObservedRecord(self.ensemble.tree)
        self.leadership, self.chaos = Leadership(self), Chaos(self, random)
        self.operator = Operator(self, random)
        self.disks = DiskTrouble(self, random)
        self.wiping = Wiping(self, random)
        self.hosts = [Host(self, number, policy) for number, policy in enumerate(plot.policy)]
        self.twins: list[Host] = []
        """Hosts on which zkexec has the member ID of another host's."""
        self._count_members()
        checkers = [*CHECKERS, *(CHANGE_CHECKERS if self.has_steps else ())]
        checkers += INPUT_CHECKERS if self.inputs.is_used else FILE_CHECKERS
        self.judges = judges_of([checker(self) for checker in checkers])

    def _draw_commands(self, random: Random) -> None:
        """Draw how the commands of this world behave."""
        self.start_s, self.steadiness = random.choice((0.5, 3.0)), 0.0
        self.stop_s = random.choice((0.1, 2.0))
        self.stubbornness = random.choice((0.0, 0.0, 0.2))
        self.lies = random.choice((0.0, 0.0, 0.05))

    def _draw_steps(self, plot: Plot) -> None:
        """Draw apart what steps do, so that a known seed without them has the same transcript."""
        luck = plot.luck_of_steps
        self.has_steps = luck is not None
        self.luck_of_steps = Random(0) if luck is None else luck
        self.has_step_faults = self.luck_of_steps.random() < 0.7
        self.interference = self.luck_of_steps.choice((0.0, 0.2, 0.5))
        """How often more happens while the command of a step runs."""

    def _new_ensemble(self, plot: Plot) -> Ensemble:
        kind = WireEnsemble if plot.is_wired else Ensemble
        ensemble = kind(self.clock, self.random, plot.servers, plot.tick_s)
        ensemble.observer = self
        ensemble.may_lose_watch = may_lose_watch
        return ensemble

    def double(self, twin: Host) -> None:
        """Let there be a host with the member ID of another one; its node counts as a member's."""
        self.twins.append(twin)
        self._count_members()

    def _count_members(self) -> None:
        self.size = len(self.hosts) + len(self.twins)
        """How many members there can be."""
        limits = [(host.policy.max_unavailable, host.policy.zone) for host in self.hosts]
        self.most_down = max(limit.of(self.size, self.zone_size(zone)) for limit, zone in limits)
        """The greatest number of members that any record can allow in flight."""

    def zone_size(self, zone: str) -> int:
        """How many members of a zone there can be."""
        return sum(host.policy.zone == zone for host in (*self.hosts, *self.twins))

    def most_in_flight(self, record: RolloutRecord, zone: str) -> int:
        """The greatest number that this record can allow in flight, if they are of this zone."""
        if record.max_unavailable is None:
            return 1
        return record.max_unavailable.limit.of(self.size, self.zone_size(zone))

    def leads(self, change: RecordChange) -> bool:
        """Whether the author of a commit could decide for the queue when it was written."""
        return self.leadership.is_of(change)

    @property
    def truth(self) -> RolloutRecord:
        """The record at the leader."""
        return self.observed.record

    def log(self, line: str) -> None:
        """Write a line into the transcript, if there is one."""
        if self.lines is not None:
            self.lines.append(f"{seconds(self.clock.now - 1000)} {line}")

    def run_until(self, time: float) -> None:
        """Let everything happen that happens before this time."""
        clock = self.clock
        while (entry := clock.next_entry) is not None and entry <= time:
            clock.run_entry()
        clock.advance(time)

    def push(self, contents: dict[str, bytes]) -> None:
        """Write inputs in one transaction; an empty content deletes the znode."""
        changes: list[Change] = []
        for path, content in contents.items():
            if content:
                changes.append(self.ensemble.written(path, content))
            elif path in self.ensemble.tree.nodes:
                changes.append((path, None))
                self.has_deleted = True
        self.remember(contents)
        self.pushes += 1
        self.log(f"pushed: {contents}")
        if changes:
            self.write(changes)

    def write(self, changes: Sequence[Change]) -> None:
        """Commit what an operator pushes, with the hold that is due if there is a group."""
        ensemble, known = self.ensemble, self.observed
        operations: list[Operation] = []
        if self.hold_next is not None and known.exists and ensemble.has_quorum:
            held = hold(known.record, *self.hold_next)
            operations = self.operator.writes_of(known.record, held, known.basis)
        ensemble.carry_out(operations, self.clock.now, changes)

    def remember(self, contents: dict[str, bytes]) -> None:
        """Take note of what is about to be written."""
        self.history.append(self.history[-1] | contents)
        self.inputs.trees.append(self.inputs.trees[-1])

    def begin_history(self) -> None:
        """Let it be known that another history has begun, with the newest state."""
        self.observed = ObservedRecord(self.ensemble.tree)
        self.histories += 1
        self.present = len(self.history) - 1
        self.has_deleted = True
        self._judge("history_began")

    def spoil_restart(self, content: bytes | None) -> None:
        """Write the znode of restarts without an operator's command, or delete it."""
        if RESTART in self.ensemble.tree.nodes and self.ensemble.has_quorum:
            self.has_deleted = True
            self.remember({RESTART: content or b""})
            self.log(f"the znode of restarts gets an invalid content: {content!r}")
            change: Change = (RESTART, None)
            if content is not None:
                change = self.ensemble.written(RESTART, content)
            self.ensemble.commit(0, [change])

    def push_something(self) -> None:
        """Push new contents, the same again, old ones, or take some away."""
        random = self.random
        if self.inputs.is_used:
            self.inputs.push_something()
            return
        if not self.paths:
            return
        chosen = random.sample(self.paths, random.randint(1, len(self.paths)))
        match random.choices(range(4), (10, 2, 3, 1))[0]:
            case 0:
                mood, luck = draw_mood(random), self.luck_of_steps
                if self.has_steps and luck.random() < 0.4:
                    mood = Mood(draw_flaw(luck).value)
                self.push_new(chosen, mood)
            case 1:
                self.push({path: self.history[-1][path] for path in chosen})
            case 2:
                earlier = random.choice(self.history[-4:])
                self.push({path: earlier[path] for path in self.paths})
            case 3:
                self.push({chosen[0]: b""})

    def push_new(self, paths: Sequence[str], mood: Mood) -> None:
        """Push contents that were never there before; the first of them does this."""
        if self.inputs.is_used:
            self.inputs.push_good(mood)
            return
        number, moods = (
            self.pushes,
            dict.fromkeys(paths, Mood.GOOD) | dict.fromkeys(paths[:1], mood),
        )
        if paths:
            self.push({path: make_content(number, moods[path]) for path in paths})

    # What happens, passed on to those who judge it.

    def committed(self, transaction: Transaction) -> None:
        """See any commit."""
        self._judge("transaction", transaction)
        before = self.truth
        if not self.observed.take(transaction):
            return
        change = RecordChange(before, self.truth, transaction)
        if self.lines is not None:
            entry, author = change.audit_entry, change.author
            if entry is not None:
                author = f"the operator, to {entry.operation} {entry.token}"
            self.log(f"commit by {author}: {describe_record(self.truth)}")
        self._judge("record", change)
        self.leadership.take(transaction)
        self.wiping.take_dump()

    def decided(self, process: Process, event: Event, todo: Sequence[Action]) -> None:
        """See what a process makes of an event."""
        if self.lines is not None:
            self.log(f"{process.name} {describe_step(event)}")
            self.lines.extend(f"        {describe_step(action)}" for action in todo)
            core = process.core
            phase = core.phase.value if isinstance(core, Member) else "kept by a caretaker"
            self.lines.append(f"        = {phase}")
        self._judge("decided", process, event, todo)

    def performed(self, process: Process, action: Action) -> None:
        """See an action done; this may be a bad moment for the process."""
        del action
        self.chaos.at_action(process)

    def killed(self, process: Process) -> None:
        """Note that a command is stopped, so that another one can start."""
        command = process.commands.present
        if command is not None and command.alive:
            self._judge("kill", process, command)

    def reloaded(self, process: Process, command: CommandModel) -> None:
        """Note that other files are installed beside a running command."""
        self._judge("reloaded", process, command)

    def command_started(self, process: Process, command: CommandModel) -> None:
        """Note that a command was started."""
        self._judge("started", process, command)

    def command_healthy(self, process: Process) -> None:
        """See a check pass."""
        self._judge("healthy", process)

    def command_known_good(self, process: Process, command: CommandModel) -> None:
        """Note that a command has been healthy for as long as required."""
        self._judge("known_good", process, command)

    def installed(self, host: Host) -> None:
        """See new files."""
        self._judge("installed", host)

    def wake(self, transaction: Transaction, process: Process) -> None:
        """See a watch of the group reach a process."""
        self._judge("woken", process, transaction)

    def rest(self) -> None:
        """Look at everything once more, after all is done."""
        self._judge("at_rest")

    def requested(self, process: Process, request: Request) -> None:
        """See a request of a dialogue leave; only a world that measures counts it."""

    def answered(self, process: Process, request: AnyRequest, outcome: object) -> None:
        """See the outcome of a request arrive; only a world that measures counts it."""

    def process_ended(self, process: Process) -> None:
        """See a process go."""

    def _judge(self, kind: str, *what: object) -> None:
        for checker, see in self.judges[kind]:
            try:
                see(*what)
            except Violation as violation:
                raise Violation(f"{checker}: {violation}") from None


def judges_of(checkers: Sequence[Checker]) -> dict[str, list[tuple[str, Callable[..., None]]]]:
    """Return, for each kind of event, the name and the method of the checkers that observe it."""
    return {
        kind: [
            (type(checker).__name__, getattr(checker, kind))
            for checker in checkers
            if getattr(type(checker), kind) is not usual
        ]
        for kind, usual in vars(Checker).items()
        if not kind.startswith("_")
    }


def describe_step(step: Event | Action) -> str:
    """Return one line, with a record in short form."""
    if isinstance(step, RecordRead):
        record, basis = step.record, step.basis
        read = f"state {basis.state} alive {sorted(step.alive)} of {record.population.members}"
        return f"RecordRead number={step.number} {describe_record(record)} {read}"
    if isinstance(step, CommitRecord):
        nodes = [node.number for node in step.admitted]
        flags = (
            f"exclusive {step.is_exclusive} confirms {step.confirms!r} tried {brief(step.tried)}"
        )
        what = f"state {step.basis.state} checks {dict(step.checks)} nodes {nodes} {flags}"
        return f"CommitRecord number={step.number} {describe_record(step.after)} {what}"
    if isinstance(step, PublishStatus | Enrol):
        return f"{type(step).__name__} {step.status.phase}"
    return describe(step)


def brief(digest: str) -> str:
    """Six digits of the contents, and the name of the restart."""
    contents, dot, restart = digest.partition(".")
    return contents[:6] + dot + restart


def describe_record(record: RolloutRecord) -> str:
    """Write the record as one line."""
    in_flight = [
        f"{name} {entry.phase.value} {brief(entry.digest)}@{entry.zxid} {entry.token} {entry.zone}"
        for name, entry in record.in_flight.items()
    ]
    versions = [
        f"{brief(digest)}@{v.zxid}{' known_good' if v.known_good else ''} succeeded {v.succeeded}"
        f"{' failed by ' + ','.join(v.failed_by) if v.failed_by else ''}"
        f"{' condemned by ' + ','.join(v.condemned_by) if v.condemned_by else ''}"
        f" lost {v.lost_turns}"
        for digest, v in record.versions.items()
    ]
    limits = [None if known is None else str(known.limit)
              for known in (record.max_unavailable, record.max_failed)]  # fmt: skip
    more = "".join(
        f" {name} {value}"
        for name, value in (
            ("paused", record.paused and "by an operator"),
            ("hold", record.hold and str(record.hold.after)),
            ("head", record.head and record.head.number),
            ("zone", record.zone),
            ("unavailable", sorted(record.unavailable)),
        )
        if value
    )
    return (
        f"in_flight {record.in_flight_count} {in_flight} versions {versions} "
        f"last_admitted {record.last_admitted} limits {limits}{more}"
    )
