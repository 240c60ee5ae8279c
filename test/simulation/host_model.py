"""The host of the model world: files, the child with its tree, checks and alerts.

What is asked of it may fail while `faults` is on: a full disk, a command that is not found, a
child that takes no notice of signals, a check or an alert that hangs.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from random import Random

from simulation.clock import Clock
from simulation.disk import Disk, Write
from simulation.flaws import UNHEALTHY, Flaw, flaw_of
from simulation.renderings import Renderings
from simulation.step_commands import StepCommands, contents_of
from simulation.target_disk import Killed, TargetDisk, draw_foreign
from zkexec.core.events import (
    AlertFinished,
    CachedFilesFound,
    CachedFilesMissing,
    CommandExited,
    CommandStarted,
    Event,
    ExitStatus,
    FilesFailed,
    FilesInstalled,
    FilesStaged,
    HealthCheckFinished,
    ProcessTreeInspected,
    StartFailed,
)
from zkexec.core.policy import Policy
from zkexec.core.snapshot import Snapshot, plan
from zkexec.frozen import replace

ENDING_SIGNALS = (1, 2, 3, 9, 15)
NAME = "host-one"
"""What templates know as the name of the host."""
HOST_IN_TROUBLE = 125
"""The status of a start that failed for want of a process."""


@dataclass
class Tree:
    """A child and how many others descend from it."""

    generation: int
    alive: bool = True
    others: int = 0
    stubborn: bool = False
    loaded: Snapshot = field(default_factory=lambda: Snapshot({}))
    """The files that it works with; zkexec cannot know which."""
    sick: bool = False
    """Whether no health check passes, because of these files."""
    ignored: bool = False
    drained: bool = False
    warmed: bool = False

    @property
    def remaining(self) -> int:
        """How many processes there are, the child included."""
        return int(self.alive) + self.others


class HostModel:
    """One machine on which zkexec runs."""

    def __init__(
        self, clock: Clock, random: Random, policy: Policy, deliver: Callable[[Event], None]
    ) -> None:
        """Begin with no file at the targets and no process."""
        self._clock = clock
        self._random = random
        self._luck = Random(random.getstate()[1][1])
        """Draws what was added later, so that a known seed has the same transcript as before."""
        self._deliver = deliver
        self.faults = True
        self.disk = Disk(random)
        self.files_failed: Callable[[], None] = lambda: None
        """Called where files could not be written, so that more can happen before the next try."""
        self.told_to_stop: Callable[[], None] = lambda: None
        """Called at each signal that may end the child, before it does."""
        self.start_fails = False
        """Whether the next start fails, as it may where the disk has no room for anything."""
        self.files = Snapshot({})
        self.files_are_cached = False
        self.staged: Snapshot | None = None
        self.tree: Tree | None = None
        luck = Random(random.getstate()[1][2])
        self.steps = HostSteps(self, clock, luck, policy, deliver)
        own = Random(random.getstate()[1][3])
        self.renderings = Renderings(clock, own, NAME, deliver)
        self.renderings.has_faults = lambda: self.faults
        self.targets: TargetDisk | None = None
        """The files and the state file, if the inputs need one."""
        if policy.inputs.needs_state:
            folders = tuple(mirror.local_path for mirror in policy.inputs.mirrored_trees)
            self.targets = TargetDisk(folders, draw_foreign(own, folders))
        self.killed_after: int | None = None
        """After how many writes of the next installation zkexec is killed."""
        self.check: int | None = None
        self.alerting = False
        self._check_number = 0
        self._alert_number = 0

    def _unlucky(self, probability: float) -> bool:
        return self.faults and self._random.random() < probability

    def stage(self, snapshot: Snapshot) -> Event:
        """Keep the wanted files aside."""
        if self._unlucky(0.1):
            self._clock.spend(self._random.uniform(0, 2))
        if self._refuses(Write.STAGING):
            self.staged = None
            return FilesFailed(self._random.choice(("disk full", "no right to write")))
        if self.targets is not None and (hindrance := self.targets.hindrance(snapshot)):
            self.staged = None
            return FilesFailed(hindrance)
        self.staged = snapshot
        return FilesStaged()

    def install(self) -> Event:
        """Put the staged files in their places."""
        staged, self.staged = self.staged, None
        if staged is None or self._refuses(Write.INSTALL):
            return FilesFailed("disk full")
        if self.targets is not None:
            self._install_at(self.targets, staged)
        before, self.files = self.files, staged
        written = plan(before, staged).changed
        self.steps.installed(before)
        return FilesInstalled(written)

    def _install_at(self, targets: TargetDisk, staged: Snapshot) -> None:
        steps, self.killed_after = self.killed_after, None
        try:
            targets.install(staged, steps)
        except Killed:
            self.files = Snapshot(targets.installed)
            raise

    def remember(self, snapshot: Snapshot, *, was_healthy: bool) -> None:
        """Write into the state file which version is installed."""
        if self.targets is not None:
            self.targets.remember(snapshot, was_healthy=was_healthy)
        self.files = snapshot

    def die(self) -> None:
        """Lose zkexec, and with it all that it has started."""
        if self.tree is not None:
            self.tree.alive = False
        self.tree = self.check = self.staged = None
        self.alerting = False
        self.steps.drop()
        self.renderings.drop()

    def _refuses(self, write: Write) -> bool:
        refuses = self.faults and self.disk.refuses(write, self._clock.now)
        if not refuses and not self._unlucky(0.1):
            return False
        self.files_failed()
        return True

    def discard(self) -> None:
        """Forget what was staged."""
        self.staged = None

    def load_cached(self) -> Event:
        """Show the files of an earlier run."""
        if self.targets is not None:
            return self.targets.load()
        if self.files_are_cached:
            return CachedFilesFound(self.files)
        return CachedFilesMissing("no such file")

    def start_command(self, generation: int, variables: Mapping[str, bytes]) -> Event:
        """Start the command with these variables."""
        if self.faults and generation > 1 and self._luck.random() < 0.05:
            return StartFailed(generation, "no process to spare", HOST_IN_TROUBLE)
        fails, self.start_fails = self.start_fails, False
        if self._unlucky(0.02) or (fails and self.faults):
            return StartFailed(generation, "command not found", 127)
        self.tree = Tree(
            generation, others=self._random.choice((0, 0, 1, 2)), stubborn=self._unlucky(0.2),
            loaded=replace(self.files, variables=variables),
        )  # fmt: skip
        flaw = flaw_of(contents_of(self.tree.loaded))
        self.tree.sick = flaw in UNHEALTHY
        if flaw is Flaw.FATAL:
            self._clock.after(0.2, partial(self._exit, self.tree, ExitStatus(code=6)))
        return CommandStarted(generation, pid=generation + 100)

    def signal(self, signal: int) -> None:
        """Signal the child and what descends from it."""
        tree = self.tree
        if tree is None or signal not in ENDING_SIGNALS:
            return
        self.told_to_stop()
        if signal != 9 and (tree.stubborn or (signal != 15 and self._random.random() < 0.5)):
            return
        code = self._random.choice((None, None, 0, 3))
        ending = ExitStatus(signal=signal) if signal == 9 or code is None else ExitStatus(code=code)
        self._clock.after(self._random.uniform(0, 0.5), lambda: self._exit(tree, ending))
        if signal == 9 or self._random.random() < 0.7:
            self._clock.after(self._random.uniform(0, 1.5), lambda: self._bury_others(tree))

    def end_child(self, ending: ExitStatus) -> None:
        """Let the child end by itself."""
        if self.tree is not None:
            self._exit(self.tree, ending)

    def inspect(self, generation: int) -> Event:
        """Count what is left of the tree."""
        return ProcessTreeInspected(generation, self.tree.remaining if self.tree else 0)

    def _exit(self, tree: Tree, ending: ExitStatus) -> None:
        if tree.alive:
            tree.alive = False
            self._deliver(CommandExited(tree.generation, ending))

    @staticmethod
    def _bury_others(tree: Tree) -> None:
        tree.others = 0

    def run_check(self, generation: int) -> list[Event]:
        """Start a health check; one that cannot be started is answered at once."""
        if self._unlucky(0.03):
            return [HealthCheckFinished(generation, False, "command not found")]
        self.check = generation
        self._check_number += 1
        number, passed = self._check_number, not self._unlucky(0.3)
        passed = passed and not (self.tree is not None and self.tree.sick)
        if not self._unlucky(0.1):
            duration_s = self._random.uniform(0, 3 if self._unlucky(0.3) else 0.2)
            self._clock.after(duration_s, lambda: self._finish_check(number, passed))
        return []

    def kill_check(self) -> None:
        """End the running check."""
        number = self._check_number
        self._clock.after(self._random.uniform(0, 0.1), lambda: self._finish_check(number, False))

    def _finish_check(self, number: int, passed: bool) -> None:
        if self.check is not None and number == self._check_number:
            generation, self.check = self.check, None
            self._deliver(
                HealthCheckFinished(generation, passed, "" if passed else "exit status 1")
            )

    def run_alert(self) -> list[Event]:
        """Start the alert command; one that cannot be started is answered at once."""
        if self._unlucky(0.05):
            return [AlertFinished("command not found")]
        self.alerting = True
        self._alert_number += 1
        number = self._alert_number
        if not self._unlucky(0.1):
            self._clock.after(self._random.uniform(0, 4), lambda: self._finish_alert(number, ""))
        elif self._random.random() < 0.5:
            self._clock.after(20, lambda: self._finish_alert(number, ""))
        return []

    def kill_alert(self) -> None:
        """End the running alert."""
        number = self._alert_number
        self._clock.after(0.05, lambda: self._finish_alert(number, "signal 9"))

    def _finish_alert(self, number: int, reason: str) -> None:
        if self.alerting and number == self._alert_number:
            self.alerting = False
            self._deliver(AlertFinished(reason))


class HostSteps(StepCommands):
    """The commands of steps on this host, and the files that its command works with."""

    def __init__(
        self, host: HostModel, clock: Clock, random: Random, policy: Policy,
        deliver: Callable[[Event], None],
    ) -> None:  # fmt: skip
        """Begin without a command."""
        super().__init__(clock, random, policy)
        self._host = host
        self._deliver = deliver

    @property
    def command(self) -> Tree | None:
        """The present command."""
        return self._host.tree

    @property
    def files(self) -> Snapshot:
        """What the targets contain."""
        return self._host.files

    @property
    def has_faults(self) -> bool:
        """Whether the host has faults now."""
        return self._host.faults

    def deliver(self, event: Event) -> None:
        """Let zkexec receive it."""
        self._deliver(event)

    def load(self, files: Snapshot, *, sickens: bool) -> None:
        """Let the command work with these files."""
        tree = self._host.tree
        assert tree is not None, "nothing runs that could load anything"
        tree.loaded, tree.sick = files, sickens

    def believe(self, files: Snapshot) -> None:
        """Need nothing: what a single zkexec believes is in its files."""

    def end_command(self) -> None:
        """Let the command exit."""
        self._host.end_child(ExitStatus(code=6))
