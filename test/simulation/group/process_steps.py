"""The commands of steps of one zkexec of a group, and what its command makes of a reload."""

from random import Random
from typing import TYPE_CHECKING

from simulation.group.command_model import CommandModel
from simulation.group.contents import Mood, mood_of
from simulation.step_commands import StepCommands, contents_of
from zkexec.core.events import Event, ExitStatus
from zkexec.core.snapshot import Snapshot
from zkexec.frozen import replace

if TYPE_CHECKING:
    from simulation.group.host import Host
    from simulation.group.process import Process


class ProcessSteps(StepCommands):
    """Runs the steps of one process; a content is as good or bad for a reload as for a start."""

    def __init__(self, process: "Process", random: Random) -> None:
        """Begin without any step."""
        super().__init__(process.world.clock, random, process.policy)
        self._process = process
        self.begun = self._interfere

    def _interfere(self) -> None:
        """Let something happen while the command of a step runs, now and then."""
        process, random = self._process, self._random
        if process.chaos.calm or random.random() >= process.world.interference:
            return
        host, disks = process.host, process.world.disks
        if random.random() < 0.4:
            self._later(0.1 * random.random(), lambda: self._undo(host))
        else:
            after_s = random.choice((0.3, 2.0)) * random.random()
            self._later(after_s, lambda: disks.strike(host))

    def _undo(self, host: "Host") -> None:
        """Push what the files of this host contain, unless it is calm by now."""
        if not self._process.chaos.calm:
            self._process.world.disks.undo(host)

    @property
    def command(self) -> CommandModel | None:
        """The present command."""
        return self._process.commands.present

    @property
    def files(self) -> Snapshot:
        """What the targets of this host contain."""
        return self._process.host.files

    @property
    def has_faults(self) -> bool:
        """Whether steps fail in this run, and it is not calm yet."""
        return self._process.world.has_step_faults and not self._process.chaos.calm

    def deliver(self, event: Event) -> None:
        """Queue it behind all others."""
        self._process.post(event)

    def load(self, files: Snapshot, *, sickens: bool) -> None:
        """Let the command work with these files: healthy later, never, or not for long."""
        command, process = self.command, self._process
        assert command is not None, "nothing runs that could load anything"
        mood = mood_of(contents_of(files), process.host.number)
        if mood is Mood.UNSTARTABLE:
            mood = Mood.EXITS
        command.loaded, command.mood = files, Mood.SICKENING if sickens else mood
        slow_s = self._random.random() * min(process.world.start_s, process.policy.health_delay_s)
        if mood is Mood.LATE:
            slow_s = process.policy.health_delay_s * (0.5 + self._random.random())
        command.healthy_from = self._clock.now + slow_s
        process.commands.work_with(command, command.mood, self._random)

    def believe(self, files: Snapshot) -> None:
        """Count only health that comes after this moment."""
        command = self.command
        if command is None or not command.alive:
            return
        # The variables of a process do not change.
        command.files = replace(files, variables=command.files.variables)
        command.applied_at = self._clock.now
        command.passed_at, command.was_known_good = None, False
        self._process.commands.count_time(command)

    def end_command(self) -> None:
        """Let the command exit."""
        self._process.commands.end_by_itself(ExitStatus(code=6))
