"""Find out what has to be done below the folder of a tree, before anything is done.

Only files are moved or removed that zkexec has installed: they are listed in the state file, and
still have the content that is listed there.
"""

from __future__ import annotations

import os
import stat
from errno import EACCES, EBUSY, EISDIR, ELOOP, ENAMETOOLONG, ENOTDIR, EPERM

from zkexec.files.file_change import InstallError, Naming
from zkexec.files.state_file import hex_digest
from zkexec.files.target_file import TargetFile, read_regular, write_refusal
from zkexec.files.tree_folder import goes_down
from zkexec.frozen import frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from zkexec.files.tree_folder import TreeFolder

_LONGEST_NAME_BYTES = 255


@frozen(kw_only=True)
class KnownBelow:
    """What zkexec has made below one folder: the digests that each file can have, and folders."""

    digests: Mapping[str, Collection[str]]
    folders: Collection[str]


class TreePlan:
    """What has to be done below the folder of one tree; all paths are below this folder.

    | attribute | what |
    | --- | --- |
    | `targets` | Each wanted file, with what is at its path now. |
    | `missing_folders` | Folders to be made at once, each after the one above it. |
    | `in_the_way` | Files at the path of a wanted folder, and all in a folder at the path of a wanted file; each with the folder that it can be moved to. |
    | `blocking_folders` | Folders at the path of a wanted file, and those in them, the deepest first. |
    | `late_folders` | Folders to be made when nothing is in the way any more. |
    | `removed` | Files that are not wanted any more. |
    | `kept` | Such files that another process has changed: they stay. |
    """  # noqa: E501 - a table

    def __init__(
        self,
        root: str,
        tree: TreeFolder,
        known: KnownBelow,
        mounts: Callable[[], frozenset[str]],
    ) -> None:
        """`root` is the local path of the tree with its slash; nothing is wanted yet."""
        self.root = root
        self.tree = tree
        self.targets: dict[str, TargetFile] = {}
        self.missing_folders: list[str] = []
        self.in_the_way: list[tuple[TargetFile, str]] = []
        self.blocking_folders: list[str] = []
        self.late_folders: list[str] = []
        self.removed: list[TargetFile] = []
        self.kept: list[str] = []
        self.folders: set[str] = set()
        """The folders of wanted files, and all above them."""
        self.known = known
        self._mounts = mounts
        self._missing: set[str] = set()
        self._moved: set[str] = set()

    def want(self, paths: Collection[str]) -> None:
        """Plan that these files are there, and no others of zkexec.  Raises InstallError."""
        ordered = sorted(paths)
        for path in ordered:
            if not goes_down(path):
                raise InstallError(f"{self.root}{path}: cannot be the path of a file")
            self._want_folder(path.rpartition("/")[0])
        for path in ordered:
            with Naming(self.root + path):
                self.targets[path] = self._target(path)
        wanted = set(paths)
        for path in sorted(self.known.digests):
            if path not in wanted and path not in self._moved:
                self._unwant(path)

    def target_at(self, path: str) -> TargetFile:
        """Return a path with what is there now.  Raises OSError."""
        return TargetFile(f"{self.tree.path}/{path}", self.tree.status(path), self.tree, path)

    def _want_folder(self, folder: str) -> None:
        """Plan that a folder is there, and all above it."""
        missing = []
        while folder and folder not in self.folders:
            missing.append(folder)
            folder = folder.rpartition("/")[0]
        for path in reversed(missing):
            self.folders.add(path)
            with Naming(self.root + path):
                self._want_one_folder(path)

    def _want_one_folder(self, folder: str) -> None:
        above = folder.rpartition("/")[0]
        if above in self.tree.late:
            self._make_late(folder)
            return
        if above and above in self._missing:
            self._make(folder)
            return
        status = self.tree.status(folder)
        if status is None:
            self._make(folder)
        elif stat.S_ISLNK(status.st_mode):
            raise OSError(ELOOP, "Is a symbolic link")
        elif not stat.S_ISDIR(status.st_mode):
            target = TargetFile(f"{self.tree.path}/{folder}", status, self.tree, folder)
            if not self._is_installed(target):
                raise OSError(ENOTDIR, "Not a directory")
            self._move(target, above)
            self._make_late(folder)

    def _make(self, folder: str) -> None:
        self.missing_folders.append(folder)
        self._missing.add(folder)

    def _make_late(self, folder: str) -> None:
        self.late_folders.append(folder)
        self.tree.late.add(folder)

    def _move(self, target: TargetFile, folder: str) -> None:
        self._require_movable(target)
        self.in_the_way.append((target, folder))
        self._moved.add(target.below)

    def _target(self, path: str) -> TargetFile:
        folder, _, name = path.rpartition("/")
        if len(os.fsencode(name)) > _LONGEST_NAME_BYTES:
            raise OSError(ENAMETOOLONG, os.strerror(ENAMETOOLONG))
        if folder in self._missing or folder in self.tree.late:
            return TargetFile(f"{self.tree.path}/{path}", None, self.tree, path)
        target = self.target_at(path)
        if target.status is not None and stat.S_ISDIR(target.status.st_mode):
            self._clear_folder(path)
            return TargetFile(target.path, None, self.tree, path)
        return target

    def _clear_folder(self, folder: str) -> None:
        """Plan that a folder of zkexec is not there any more.  Raises OSError, InstallError."""
        if folder not in self.known.folders:
            raise OSError(EISDIR, "Is a directory")
        folders = [folder]
        for path, is_folder in self.tree.content(folder):
            if is_folder and path in self.known.folders:
                folders.append(path)
                continue
            target = self.target_at(path)
            if is_folder or not self._is_installed(target):
                raise InstallError(
                    f"{self.root}{folder}: Is a directory, and {path} in it is not of zkexec"
                )
            self._move(target, folder.rpartition("/")[0])
        self.blocking_folders.extend(reversed(folders))

    def _unwant(self, path: str) -> None:
        """Plan that a file is removed, if it is still the one that zkexec has installed."""
        try:
            target = self.target_at(path)
        except OSError:
            return  # its folder is gone, or is no folder any more
        if target.status is None or stat.S_ISDIR(target.status.st_mode):
            return
        with Naming(self.root + path):
            if not self._is_installed(target) or target.path in self._mounts():
                self.kept.append(self.root + path)
                return
            self._require_movable(target)
            self.removed.append(target)

    def _is_installed(self, target: TargetFile) -> bool:
        """Whether this file has the content that zkexec has installed.  Raises OSError."""
        return is_known(target, self.known.digests.get(target.below, ()))

    def _require_movable(self, target: TargetFile) -> None:
        """Raise OSError if the file cannot be moved away, as far as that can be known."""
        if target.path in self._mounts():
            raise OSError(EBUSY, "Is a mount point")
        refusal = write_refusal(target)
        if refusal is not None and refusal.errno == EPERM:
            raise refusal
        folder = self.tree.open(target.below.rpartition("/")[0])
        if not os.access(".", os.W_OK | os.X_OK, dir_fd=folder):
            raise OSError(EACCES, "Its folder cannot be written")


def is_known(target: TargetFile, digests: Collection[str]) -> bool:
    """Whether there is a regular file with a content of one of these digests.  Raises OSError."""
    status = target.status
    if status is None or not stat.S_ISREG(status.st_mode) or not digests:
        return False
    return hex_digest(read_regular(target)) in digests
