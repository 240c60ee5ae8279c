"""A process with a part of the members: one loop that polls their connections, and a pipe."""

import heapq
import os
import random
import select
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.connection import Connection

from benchmarks.swarm.light_member import Journal, LightGroup, LightMember, Plan
from benchmarks.swarm.rollout_arithmetic import Down
from benchmarks.swarm.wire_counts import WireCounts

_LONGEST_WAIT_S = 0.5


@dataclass(frozen=True)
class Start:
    """Start these members."""

    members: tuple[str, ...]


@dataclass(frozen=True)
class Behave:
    """From now on the commands of all members behave like this; a turn takes up to 20 % more."""

    turn_s: float
    seed: int = 0
    is_held: bool = False
    fails: bool = False


@dataclass(frozen=True)
class ReportNow:
    """Answer with a Report; `forget` the commands that were down so far, after it."""

    forget: bool = False


@dataclass
class Report:
    """What the members of a process are doing, and all that they have met so far."""

    runs: Counter[str] = field(default_factory=Counter)
    """How many commands are healthy on each content, by its first line."""
    phases: Counter[str] = field(default_factory=Counter)
    counts: WireCounts = field(default_factory=WireCounts)
    notes: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    downs: list[Down] = field(default_factory=list)
    cpu_s: float = 0.0
    longest_round_s: float = 0.0
    """How long the members of one round of the loop have kept the others waiting at most."""

    def add(self, other: "Report") -> None:
        """Add the report of another process."""
        for mine, others in (
            (self.runs, other.runs),
            (self.phases, other.phases),
            (self.notes, other.notes),
            (self.answers, other.answers),
            (self.reasons, other.reasons),
        ):
            mine.update(others)
        self.counts.add(other.counts)
        self.downs += other.downs
        self.cpu_s += other.cpu_s
        self.longest_round_s = max(self.longest_round_s, other.longest_round_s)


def turn_of(member: str, behave: Behave) -> float:
    """Return how long a member's turn takes: up to 20 % more or less, each member differently."""
    return behave.turn_s * random.Random(f"{behave.seed}/{member}").uniform(0.8, 1.2)


def run(pipe: Connection, group: LightGroup) -> None:
    """Do what the pipe requests, until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _MemberProcess(pipe, group).run()


class _MemberProcess:
    """The members of this process."""

    def __init__(self, pipe: Connection, group: LightGroup) -> None:
        self._pipe = pipe
        self._group = group
        self._plan = Plan(lambda _: 0.0)
        self._counts = WireCounts()
        self._journal = Journal(Counter(), Counter(), Counter(), [])
        self._poll = select.epoll()
        self._poll.register(pipe.fileno(), select.EPOLLIN)
        self._members: list[LightMember] = []
        self._by_descriptor: dict[int, int] = {}
        self._registered: dict[int, tuple[int, int, int]] = {}
        """What is polled for each member: connection, descriptor and for what."""
        self._due: list[tuple[float, int]] = []
        self._due_at: dict[int, float] = {}
        self._longest_round_s = 0.0

    def run(self) -> None:
        """Loop until the pipe is closed."""
        while True:
            ready = self._poll.poll(self._wait_s())
            began = time.monotonic()
            if any(descriptor == self._pipe.fileno() for descriptor, _ in ready):
                try:
                    self._take(self._pipe.recv())
                except EOFError:
                    return
            turns = dict.fromkeys(
                self._by_descriptor[descriptor]
                for descriptor, _ in ready
                if descriptor in self._by_descriptor
            )
            for index in [*turns, *self._overdue()]:
                self._go_on(index)
            self._longest_round_s = max(self._longest_round_s, time.monotonic() - began)

    def _now(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def _wait_s(self) -> float:
        if not self._due:
            return _LONGEST_WAIT_S
        return min(_LONGEST_WAIT_S, max(0.0, self._due[0][0] - self._now()))

    def _overdue(self) -> list[int]:
        now, found = self._now(), []
        while self._due and self._due[0][0] <= now:
            at, index = heapq.heappop(self._due)
            if self._due_at.get(index) == at:
                del self._due_at[index]
                found.append(index)
        return found

    def _go_on(self, index: int) -> None:
        """Let one member go on, and note what it waits for."""
        member = self._members[index]
        member.go_on()
        deadline = member.deadline
        if deadline is not None and deadline != self._due_at.get(index):
            self._due_at[index] = deadline
            heapq.heappush(self._due, (deadline, index))
        elif deadline is None:
            self._due_at.pop(index, None)
        descriptor = member.session.descriptor
        if descriptor is None:
            return
        wanted = (member.network.connections, *descriptor)
        if wanted != self._registered.get(index):
            self._registered[index] = wanted
            self._register(index, *descriptor)

    def _register(self, index: int, descriptor: int, wanted: int) -> None:
        """Poll this descriptor; if an earlier one had its number, the kernel has forgotten it."""
        self._by_descriptor[descriptor] = index
        try:
            self._poll.modify(descriptor, wanted)
        except FileNotFoundError:
            self._poll.register(descriptor, wanted)

    # What the pipe requests.

    def _take(self, request: object) -> None:
        match request:
            case Start(members):
                self._start(members)
            case Behave():
                self._plan.turn_s = lambda member: turn_of(member, request)
                self._plan.is_held, self._plan.fails = request.is_held, request.fails
                for index in range(len(self._members)):
                    self._go_on(index)
            case ReportNow(forget):
                self._pipe.send(self._report())
                if forget:
                    self._journal.downs.clear()
                    self._longest_round_s = 0.0

    def _start(self, names: tuple[str, ...]) -> None:
        for name in names:
            member = LightMember(self._group, name, self._plan, self._counts, self._journal)
            self._members.append(member)
            member.session.open()
            self._go_on(len(self._members) - 1)

    def _report(self) -> Report:
        times = os.times()
        return Report(
            Counter(member.runs for member in self._members),
            Counter(member.phase.value for member in self._members),
            self._counts,
            self._journal.notes,
            self._journal.answers,
            self._journal.reasons,
            self._journal.downs,
            times.user + times.system,
            self._longest_round_s,
        )
