"""One host: its files, which outlive every process, and an init system that starts zkexec anew."""

from typing import TYPE_CHECKING

from simulation.disk import Write
from simulation.group.process import Process
from simulation.target_disk import TargetDisk
from zkexec.core.events import (
    CachedFilesFound,
    CachedFilesMissing,
    Event,
    FilesFailed,
    FilesInstalled,
    FilesStaged,
)
from zkexec.core.policy import Policy
from zkexec.core.snapshot import Snapshot, plan
from zkexec.frozen import replace

if TYPE_CHECKING:
    from simulation.group.world import World


class Host:
    """A machine with one member of the group; a twin has the member ID of another host's."""

    def __init__(
        self, world: "World", number: int, policy: Policy, *, is_twin: bool = False
    ) -> None:
        """Begin without files and without a process."""
        self.world = world
        self.number = number
        self.name = f"m{number}"
        """The member ID."""
        self.label = f"{self.name}'" if is_twin else self.name
        """What no other host is called."""
        self.policy = policy
        self.clock_offset_s = float(world.random.randrange(1 << 16))
        self.files = Snapshot({})
        self.began_on = Snapshot({})
        """What the present run has started first, as far as files were there then."""
        self.staged: Snapshot | None = None
        self.process: Process | None = None
        self.incarnations = 0
        self.reachable = True
        self.gone = False
        """Whether nobody ever starts zkexec here again."""
        self.has_installed = False
        """Whether the present run has put files in place."""
        self._start_due = False
        self.installed_in = 0
        """In which history of the servers the files were installed."""
        self.targets: TargetDisk | None = None
        """The files and the state file, if the inputs need one."""
        if policy.inputs.needs_state:
            folders = tuple(mirror.local_path for mirror in policy.inputs.mirrored_trees)
            self.targets = TargetDisk(folders, {folder + "own": b"foreign" for folder in folders})

    @property
    def living(self) -> Process | None:
        """The process, if there is one."""
        process = self.process
        return None if process is None or process.dead else process

    def start(self) -> None:
        """Start zkexec, unless it runs."""
        self._start_due = False
        if self.living is None and not self.gone:
            self.incarnations += 1
            self.staged = None
            self.has_installed = False
            # The disk does not know which restart its files were written for.
            self.files = Snapshot(self.files.files)
            if self.targets is not None:
                self.files = self._found(self.targets)
            self.process = Process(self.world, self)

    @staticmethod
    def _found(targets: TargetDisk) -> Snapshot:
        found = targets.load()
        if isinstance(found, CachedFilesFound):
            return found.snapshot
        return Snapshot(targets.installed)

    @property
    def there(self) -> Snapshot:
        """What is installed; of another history it is doubtful which znode a file is of."""
        return (
            self.files if self.installed_in == self.world.histories else replace(self.files, zxid=0)
        )

    def remember(self, snapshot: Snapshot, *, was_healthy: bool) -> None:
        """Write into the state file which version is installed."""
        if self.targets is not None:
            self.targets.remember(snapshot, was_healthy=was_healthy)
            self.files, self.installed_in = snapshot, self.world.histories

    def ended(self) -> None:
        """The process is over: the init system starts another, a little later."""
        if not self._start_due and not self.gone:
            self._start_due = True
            self.world.clock.after(self.world.chaos.restart_delay_s(), self.start)

    def stage(self, snapshot: Snapshot) -> Event:
        """Keep the wanted files aside."""
        if self.world.disks.refuses(self, Write.STAGING):
            self.staged = None
            return FilesFailed("disk full")
        self.staged = snapshot
        return FilesStaged()

    def install(self) -> Event:
        """Put the staged files in their places."""
        staged, self.staged = self.staged, None
        if staged is None or self.world.disks.refuses(self, Write.INSTALL):
            return FilesFailed("disk full")
        if self.targets is not None:
            self.targets.install(staged, self.world.chaos.kill_after())
        written = plan(self.files, staged).changed
        self.files = staged
        self.has_installed = True
        self.installed_in = self.world.histories
        self.world.installed(self)
        return FilesInstalled(written)

    def load_cached(self) -> Event:
        """Show the files of an earlier run."""
        if self.targets is not None:
            return self.targets.load()
        if self.files.files or not self.policy.inputs.mirrors:
            return CachedFilesFound(Snapshot(dict(self.files.files)))
        return CachedFilesMissing("no such file")
