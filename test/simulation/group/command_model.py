"""The command on one host: how long it takes to start and to stop, and when it is healthy."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING

from simulation.group.contents import ENDING, UNHEALTHY, Mood, mood_of
from simulation.step_commands import contents_of
from zkexec.core import events
from zkexec.core.events import Event, ExitStatus
from zkexec.core.policy import Policy
from zkexec.core.snapshot import Snapshot
from zkexec.frozen import replace

if TYPE_CHECKING:
    from simulation.group.process import Process

SIGKILL, SIGTERM, SIGCONT = 9, 15, 18


@dataclass(slots=True, eq=False)
class CommandModel:
    """One generation of the command, and what it was started with, or made to load last."""

    generation: int
    files: Snapshot
    mood: Mood
    started_at: float
    healthy_from: float
    alive: bool = True
    stubborn: bool = False
    passed_at: float | None = None
    """When the first health check passed, of those without a failure since."""
    was_known_good: bool = False
    """Whether it was healthy for as long as required, since it was last made to load something."""
    loaded: Snapshot = field(init=False)
    """The files that it works with; zkexec cannot know which."""
    applied_at: float = field(init=False)
    """When it was started, or made to load something."""
    ignored: bool = False
    drained: bool = False
    warmed: bool = False

    def __post_init__(self) -> None:
        """Work with the files that are on disk at the start."""
        self.loaded, self.applied_at = self.files, self.started_at

    def is_healthy(self, now: float, policy: Policy) -> bool:
        """Whether a bystander would call it healthy, for as long as required."""
        since = self.passed_at if policy.checks_health else self.applied_at
        if since is None or not self.alive:
            return False
        return now >= since + least_healthy_s(policy) - 1e-3


def least_healthy_s(policy: Policy) -> float:
    """Return how long a command has to stay healthy before it counts."""
    if policy.min_healthy_s is None:
        return 0.0 if policy.checks_health else 1.0
    return policy.min_healthy_s


class Commands:
    """Starts, checks and ends the command of one process."""

    def __init__(self, process: "Process") -> None:
        """Begin without a command."""
        self._process = process
        self._world = process.world
        self._random = process.world.random
        self.present: CommandModel | None = None
        self._check: CommandModel | None = None
        self._check_number = 0
        self._check_began = 0.0

    def start(self, generation: int, variables: Mapping[str, bytes]) -> Event:
        """Start the command on the files on disk, with these variables."""
        host, policy, random = self._process.host, self._process.policy, self._random
        files = replace(host.files, variables=variables)
        mood = mood_of(contents_of(files), host.number)
        if generation > 1 and self._process.chaos.lacks_process():
            self.present = None
            return events.StartFailed(generation, "no process to spare", 125)
        if mood is Mood.UNSTARTABLE or self._world.disks.start_fails(host):
            self.present = None
            return events.StartFailed(generation, "command not found", 127)
        steady = self._world.steadiness
        slow = (steady + (1 - steady) * random.random()) * min(
            self._world.start_s, 0.6 * policy.health_delay_s
        )
        if mood is Mood.LATE:
            slow = policy.health_delay_s * (0.5 + random.random())
        now = self._world.clock.now
        command = CommandModel(generation, files, mood, now, now + slow)
        command.stubborn = random.random() < self._world.stubbornness
        self.present = command
        self._world.command_started(self._process, command)
        self.work_with(command, mood, random)
        return events.CommandStarted(generation, pid=100 + generation)

    def work_with(self, command: CommandModel, mood: Mood, random: Random) -> None:
        """Let happen what becomes of a command that works with such a configuration."""
        if mood in ENDING:
            self._later(0.5 * random.random(), lambda: self._exit(command, ExitStatus(code=3)))
        elif mood is Mood.EXITS_LATE:
            delay_s = self._process.policy.health_delay_s * 1.5 * random.random()
            self._later(delay_s, lambda: self._exit(command, ExitStatus(code=4)))
        elif mood is Mood.KILLER:
            self._later(2.0 * random.random(), lambda: self._take_down(command))
        self.count_time(command)

    def count_time(self, command: CommandModel) -> None:
        """Call a command healthy after a while if no health check does."""
        policy = self._process.policy
        if not policy.checks_health:
            self._later(least_healthy_s(policy), lambda: self._survived(command))

    def signal(self, signal: int) -> None:
        """Signal the command; a stubborn one ends only by KILL."""
        command = self.present
        if command is None or signal == SIGCONT or (command.stubborn and signal != SIGKILL):
            return
        delay_s = 0.02 if signal == SIGKILL else self._world.stop_s * self._random.random()
        self._later(delay_s, lambda: self._exit(command, ExitStatus(signal=signal)))

    def inspect(self, generation: int) -> Event:
        """Count what is left of the process tree."""
        alive = self.present is not None and self.present.alive
        return events.ProcessTreeInspected(generation, int(alive))

    @property
    def check_generation(self) -> int | None:
        """The generation that the running check was started for."""
        return None if self._check is None else self._check.generation

    def run_check(self, generation: int) -> list[Event]:
        """Begin a health check of the present command."""
        command = self.present
        if command is None or not command.alive:
            return [events.HealthCheckFinished(generation, False, "no command")]
        self._check = command
        self._check_began = command.applied_at
        self._check_number += 1
        number = self._check_number
        passed = self._world.clock.now >= command.healthy_from
        is_outage = self._world.clock.now >= self._world.outage_from and not self._world.chaos.calm
        if command.mood in UNHEALTHY or (command.mood is Mood.UNTIMELY and is_outage):
            # A health check may be wrong, too.
            passed = self._random.random() < self._world.lies
        elif command.mood is Mood.FLAPS:
            passed = passed and self._random.random() < 0.5
        duration_s = 0.2 * self._random.random()
        if self._random.random() < 0.05 and not self._world.chaos.calm:
            duration_s *= 20
        self._later(duration_s, lambda: self._end_check(generation, number, passed))
        return []

    def kill_check(self) -> None:
        """End the running check; it may take some time, or even pass before."""
        number, check = self._check_number, self._check
        if check is not None:
            delay_s = 3.0 * self._random.random() if self._random.random() < 0.2 else 0.01
            self._later(delay_s, lambda: self._end_check(check.generation, number, False))

    def end_by_itself(self, ending: ExitStatus) -> None:
        """Let the present command exit."""
        if self.present is not None:
            self._exit(self.present, ending)

    def die(self) -> None:
        """End with zkexec, by the parent-death signal."""
        if self.present is not None:
            self.present.alive = False

    def _end_check(self, generation: int, number: int, passed: bool) -> None:
        command = self._check
        if command is None or number != self._check_number:
            return
        self._check = None
        is_about_it = command is self.present and self._check_began == command.applied_at
        if is_about_it and command.alive:
            if not passed:
                command.passed_at = None
            elif command.passed_at is None:
                command.passed_at = self._world.clock.now
            if passed:
                self._world.command_healthy(self._process)
                self._later(least_healthy_s(self._process.policy), lambda: self._judge(command))
            if command.passed_at is not None:
                self._judge(command)
        self._process.post(
            events.HealthCheckFinished(generation, passed, "" if passed else "exit 1")
        )

    def _judge(self, command: CommandModel) -> None:
        is_healthy = command.is_healthy(self._world.clock.now, self._process.policy)
        if is_healthy and command is self.present and not command.was_known_good:
            command.was_known_good = True
            self._world.command_known_good(self._process, command)

    def _survived(self, command: CommandModel) -> None:
        is_due = self._world.clock.now >= command.applied_at + least_healthy_s(self._process.policy)
        if command is self.present and command.alive and is_due:
            self._world.command_healthy(self._process)
            self._judge(command)

    def _exit(self, command: CommandModel, ending: ExitStatus) -> None:
        if command.alive and not self._process.dead:
            command.alive = False
            self._process.post_reaped(events.CommandExited(command.generation, ending))

    def _take_down(self, command: CommandModel) -> None:
        if self._world.chaos.calm:
            self._exit(command, ExitStatus(code=5))
        elif command.alive and not self._process.dead:
            self._process.kill("its command killed it")

    def _later(self, delay_s: float, do: Callable[[], None]) -> None:
        self._world.clock.after(delay_s, do)
