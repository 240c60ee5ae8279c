"""One host with a tree and a state file, as the tests of trees use it."""

import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

from zkexec.core.snapshot import Snapshot
from zkexec.core.target_attributes import AttributeRule, TargetAttributes
from zkexec.files.installer import Installer
from zkexec.files.state_file import InstalledState, StateFile
from zkexec.files.target_layout import TargetLayout


def no_warning(path: str, reason: str) -> None:
    """Fail if a file was written in place although nothing required it."""
    raise AssertionError(f"{path} was written in place: {reason}")


class TreeHost:
    """The folder of a tree, `root`, and what was installed there; each `start` is a new zkexec.

    With the names of `trees`, `root` only contains the folders of these.
    """

    def __init__(self, folder: Path, *rules: AttributeRule, trees: Sequence[str] = ()) -> None:
        self.root = folder / "tree"
        self.state_file = StateFile(f"{folder}/state/z.state")
        self.kept: list[str] = []
        self.written_in_place: list[tuple[str, str]] = []
        self.layout = TargetLayout(
            folders=tuple(f"{self.root}/{name}/" for name in trees) or (f"{self.root}/",),
            state=self.state_file,
            attributes=TargetAttributes(rules),
            keeps_variables=True,
        )
        self.installer = self.start()

    def start(self) -> Installer:
        """Start another zkexec, which knows only what is on disk."""
        self.installer = Installer(
            lambda path, reason: self.written_in_place.append((path, reason)),
            self.layout,
            self.kept.append,
        )
        return self.installer

    def snapshot(self, files: Mapping[str, bytes], digest: str = "d") -> Snapshot:
        """Return a snapshot with these files of the tree, by their paths below it."""
        contents = {f"{self.root}/{path}": content for path, content in files.items()}
        return Snapshot(contents, digest=digest)

    def stage(self, files: Mapping[str, bytes], digest: str = "d") -> None:
        """Stage these files as one snapshot."""
        self.installer.stage(self.snapshot(files, digest))

    def install(self, files: Mapping[str, bytes], digest: str = "d") -> list[str]:
        """Stage and install these files; return the paths that were written, below the tree."""
        self.stage(files, digest)
        return [self.below(path) for path in self.installer.install()]

    def below(self, path: str) -> str:
        """Return a local path as one below the tree."""
        return path.removeprefix(f"{self.root}/")

    @property
    def files(self) -> dict[str, bytes]:
        """All files that are in the tree now."""
        return {
            str(path.relative_to(self.root)): path.read_bytes()
            for path in self.root.rglob("*")
            if path.is_file() and not path.is_symlink()
        }

    @property
    def folders(self) -> list[str]:
        """All folders that are in the tree now."""
        found = (path for path in self.root.rglob("*") if path.is_dir() and not path.is_symlink())
        return sorted(str(path.relative_to(self.root)) for path in found)

    @property
    def state(self) -> InstalledState:
        """What is in the state file."""
        state = self.state_file.load()
        assert state is not None
        return state

    @property
    def listed(self) -> list[str]:
        """The files that the state file lists."""
        return sorted(self.below(path) for path in self.state.files)

    def mode(self, path: str) -> int:
        """Return the mode of a file or folder of the tree."""
        return stat.S_IMODE((self.root / path).lstat().st_mode)


def descriptors() -> list[str]:
    """List the open descriptors of this process."""
    return os.listdir("/proc/self/fd")
