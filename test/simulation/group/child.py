"""The command on one host: how long it takes to start and to stop, and when it is healthy."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simulation.group.contents import Mood, mood_of
from zkexec.core import events
from zkexec.core.events import Event, ExitStatus
from zkexec.core.policy import Policy
from zkexec.core.snapshot import Snapshot

if TYPE_CHECKING:
    from simulation.group.process import Process

SIGKILL, SIGTERM, SIGCONT = 9, 15, 18


@dataclass(slots=True, eq=False)
class Child:
    """One generation of the command, and what it was started with."""

    generation: int
    files: Snapshot
    mood: Mood
    started_at: float
    healthy_from: float
    alive: bool = True
    stubborn: bool = False
    passed_at: float | None = None
    """When the first of the checks ended that have passed without a failure since."""
    was_proven: bool = False
    """Whether it has ever been healthy for as long as it has to."""

    def is_healthy(self, now: float, policy: Policy) -> bool:
        """Whether a bystander would call it healthy, for as long as it has to be."""
        since = self.passed_at if policy.checks_health else self.started_at
        if since is None or not self.alive:
            return False
        return now >= since + least_healthy_s(policy) - 1e-3


def least_healthy_s(policy: Policy) -> float:
    """How long a child has to stay healthy before it counts."""
    if policy.min_healthy_s is None:
        return 0.0 if policy.checks_health else 1.0
    return policy.min_healthy_s


class Children:
    """Starts, checks and ends the command of one process."""

    def __init__(self, process: "Process") -> None:
        """Begin without a child."""
        self._process = process
        self._world = process.world
        self._random = process.world.random
        self.present: Child | None = None
        self._check: Child | None = None
        self._check_number = 0

    def start(self, generation: int) -> Event:
        """Start the command on the files that stand on disk."""
        host, policy, random = self._process.host, self._process.policy, self._random
        mood = mood_of(host.files.files.values(), host.number)
        if generation > 1 and self._process.chaos.lacks_process():
            self.present = None
            return events.StartFailed(generation, "no process to spare", 125)
        if mood is Mood.UNSTARTABLE or self._world.disks.start_fails(host):
            self.present = None
            return events.StartFailed(generation, "command not found", 127)
        slow = random.random() * min(self._world.start_s, 0.6 * policy.health_delay_s)
        if mood is Mood.LATE:
            slow = policy.health_delay_s * (0.5 + random.random())
        now = self._world.clock.now
        child = Child(generation, host.files, mood, now, now + slow)
        child.stubborn = random.random() < self._world.stubbornness
        self.present = child
        self._world.child_started(self._process, child)
        if mood is Mood.EXITS:
            self._later(0.5 * random.random(), lambda: self._exit(child, ExitStatus(code=3)))
        elif mood is Mood.EXITS_LATE:
            delay_s = policy.health_delay_s * 1.5 * random.random()
            self._later(delay_s, lambda: self._exit(child, ExitStatus(code=4)))
        elif mood is Mood.KILLER:
            self._later(2.0 * random.random(), lambda: self._take_down(child))
        if not policy.checks_health:
            self._later(least_healthy_s(policy), lambda: self._survived(child))
        return events.CommandStarted(generation, pid=100 + generation)

    def signal(self, signal: int) -> None:
        """Signal the child; a stubborn one ends by KILL alone."""
        child = self.present
        if child is None or signal == SIGCONT or (child.stubborn and signal != SIGKILL):
            return
        delay_s = 0.02 if signal == SIGKILL else self._world.stop_s * self._random.random()
        self._later(delay_s, lambda: self._exit(child, ExitStatus(signal=signal)))

    def inspect(self, generation: int) -> Event:
        """Count what is left of the tree."""
        alive = self.present is not None and self.present.alive
        return events.ProcessTreeInspected(generation, int(alive))

    @property
    def check_generation(self) -> int | None:
        """The generation that the running check was started for."""
        return None if self._check is None else self._check.generation

    def run_check(self, generation: int) -> list[Event]:
        """Begin a health check of the present child."""
        child = self.present
        if child is None or not child.alive:
            return [events.HealthCheckFinished(generation, False, "nobody there")]
        self._check = child
        self._check_number += 1
        number = self._check_number
        passed = self._world.clock.now >= child.healthy_from
        is_outage = self._world.clock.now >= self._world.outage_from and not self._world.chaos.calm
        if child.mood is Mood.HANGS or (child.mood is Mood.UNTIMELY and is_outage):
            # A check may lie, too.
            passed = self._random.random() < self._world.lies
        elif child.mood is Mood.FLAPS:
            passed = passed and self._random.random() < 0.5
        duration_s = 0.2 * self._random.random()
        if self._random.random() < 0.05 and not self._world.chaos.calm:
            duration_s *= 20
        self._later(duration_s, lambda: self._end_check(generation, number, passed))
        return []

    def kill_check(self) -> None:
        """End the running check; it may take its time, or even pass before it hears of that."""
        number, check = self._check_number, self._check
        if check is not None:
            delay_s = 3.0 * self._random.random() if self._random.random() < 0.2 else 0.01
            self._later(delay_s, lambda: self._end_check(check.generation, number, False))

    def end_by_itself(self, ending: ExitStatus) -> None:
        """Let the present child end."""
        if self.present is not None:
            self._exit(self.present, ending)

    def die(self) -> None:
        """Go down with zkexec, by the parent-death signal."""
        if self.present is not None:
            self.present.alive = False

    def _end_check(self, generation: int, number: int, passed: bool) -> None:
        child = self._check
        if child is None or number != self._check_number:
            return
        self._check = None
        if child is self.present and child.alive:
            if not passed:
                child.passed_at = None
            elif child.passed_at is None:
                child.passed_at = self._world.clock.now
            if passed:
                self._world.child_healthy(self._process)
                self._later(least_healthy_s(self._process.policy), lambda: self._judge(child))
            if child.passed_at is not None:
                self._judge(child)
        self._process.post(
            events.HealthCheckFinished(generation, passed, "" if passed else "exit 1")
        )

    def _judge(self, child: Child) -> None:
        is_healthy = child.is_healthy(self._world.clock.now, self._process.policy)
        if is_healthy and child is self.present and not child.was_proven:
            child.was_proven = True
            self._world.child_proven(self._process, child)

    def _survived(self, child: Child) -> None:
        if child is self.present and child.alive:
            self._world.child_healthy(self._process)
            self._judge(child)

    def _exit(self, child: Child, ending: ExitStatus) -> None:
        if child.alive and not self._process.dead:
            child.alive = False
            self._process.post_reaped(events.CommandExited(child.generation, ending))

    def _take_down(self, child: Child) -> None:
        if self._world.chaos.calm:
            self._exit(child, ExitStatus(code=5))
        elif child.alive and not self._process.dead:
            self._process.kill("its child took it down")

    def _later(self, delay_s: float, do: Callable[[], None]) -> None:
        self._world.clock.after(delay_s, do)
