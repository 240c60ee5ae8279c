"""The targets of one host with trees, templates or variables: files, foreign ones, the state file.

The state file is written before and after an installation: first it lists what was there and what
comes, then what is there.  zkexec can be killed between any two writes.
"""

from collections.abc import Mapping
from random import Random

from zkexec.core.events import CachedFilesFound, CachedFilesMissing, Event
from zkexec.core.snapshot import Snapshot


class Killed(Exception):
    """zkexec was killed in the middle of an installation."""


class TargetDisk:
    """What is on the disk at the targets and below the folders of trees."""

    def __init__(self, folders: tuple[str, ...], foreign: Mapping[str, bytes]) -> None:
        """Begin with foreign files only, and without a state file."""
        self._folders = folders
        self.foreign = dict(foreign)
        """Files that zkexec has not installed, and that are at no wanted path so far."""
        self.files = dict(foreign)
        self.described: Snapshot | None = None
        """The snapshot that the state file describes, None if it is the union of two."""
        self.was_healthy = False
        self._listed: dict[str, set[bytes]] = {}
        """The files that the state file lists, each with the contents that it may have."""

    def hindrance(self, snapshot: Snapshot) -> str:
        """Return why this cannot be installed, "" if it can: a foreign file at a folder's path."""
        for path in snapshot.files:
            parts = path.split("/")
            for count in range(2, len(parts)):
                above = "/".join(parts[:count])
                if above in self.foreign and self._is_below_a_folder(above):
                    return f"{above} is not a folder"
        return ""

    def clear_away(self) -> None:
        """Remove the foreign files, as an operator does who reads that they are in the way."""
        for path in self.foreign:
            del self.files[path]
        self.foreign.clear()

    def _is_below_a_folder(self, path: str) -> bool:
        return any(path.startswith(folder) for folder in self._folders)

    def install(self, snapshot: Snapshot, steps: int | None = None) -> None:
        """Put these files in place; with `steps`, be killed after this many writes."""
        wanted = snapshot.files
        self.described = None
        for path, content in wanted.items():
            self._listed.setdefault(path, set()).add(content)
        changed = [path for path in wanted if self.files.get(path) != wanted[path]]
        gone = [path for path in self._listed if path not in wanted and self._is_ours(path)]
        for number, path in enumerate([*changed, *gone]):
            if number == steps:
                raise Killed
            self.foreign.pop(path, None)
            if path in wanted:
                self.files[path] = wanted[path]
            else:
                del self.files[path]
        if steps is not None:
            raise Killed
        for path in wanted:
            self.foreign.pop(path, None)
        self._listed = {path: {content} for path, content in wanted.items()}
        self.described, self.was_healthy = snapshot, False

    def _is_ours(self, path: str) -> bool:
        return self.files.get(path) in self._listed[path]

    def remember(self, snapshot: Snapshot, *, was_healthy: bool) -> None:
        """Write which version is installed; its files are."""
        self.described, self.was_healthy = snapshot, was_healthy

    def load(self) -> Event:
        """Read the state file, and the files that it lists."""
        known = self.described
        if known is None:
            return CachedFilesMissing("the state file describes no version")
        for path, content in known.files.items():
            if self.files.get(path) != content:
                return CachedFilesMissing(f"{path} is not as it was installed")
        # The name of a restart is not on the disk.
        on_disk = Snapshot(known.files, digest=known.digest, variables=known.variables)
        return CachedFilesFound(on_disk, self.was_healthy, known.zxid)

    @property
    def installed(self) -> Mapping[str, bytes]:
        """All files but the foreign ones."""
        return {path: content for path, content in self.files.items() if path not in self.foreign}


def draw_foreign(random: Random, folders: tuple[str, ...]) -> dict[str, bytes]:
    """Draw foreign files: some are where no tree has a file, some at a path of one."""
    names = ("own", "sub/own", "a", "sub/b", "sub")
    chosen = [name for name in names if random.random() < (0.5 if "own" in name else 0.1)]
    if "sub" in chosen:
        chosen = [name for name in chosen if not name.startswith("sub/")]
    return {folder + name: b"foreign" for folder in folders for name in chosen}
