"""Open the folders below the folder of a tree, and never follow a link below it.

Each folder is opened by its name from the descriptor of the folder above it.  So another process
that puts a link in the way cannot lead a write out of the tree.
"""

from __future__ import annotations

import os
import stat
from errno import EINVAL, ELOOP, ENOTDIR

from zkexec.files.staged_file import Attributes, give_attributes
from zkexec.files.target_file import folder_of, make_folders, sync_open_folder
from zkexec.lean import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MOST_OPEN = 8
"""Besides the folder of the tree itself, this many folders are kept open."""
_MOST_KEPT = 3
"""Opening a folder keeps at most this many of those above it open.

So the descriptor that was returned last stays open while the next one is opened.
"""


def goes_down(path: str) -> bool:
    """Whether a path below a folder leads nowhere else: it can come from outside."""
    return "\0" not in path and not {"", ".", ".."} & set(path.split("/"))


class TreeFolder:
    """The open folder of a tree.  `close` must be called at every end.

    Folders are named by their paths below it, "" for itself.  `late` are those that are made while
    files are installed, because another file is at their path until then.
    """

    def __init__(self, path: str) -> None:
        """Open this folder, which may be a symbolic link.  Raises OSError."""
        self.path = os.path.realpath(path).rstrip("/")
        self.late: set[str] = set()
        self._root = os.open(self.path or "/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._open: dict[str, int] = {}

    def close(self) -> None:
        """Close all folders.  Idempotent."""
        self.forget("")
        root, self._root = self._root, -1
        if root >= 0:
            os.close(root)

    def open(self, folder: str) -> int:
        """Return the descriptor of a folder; it stays open until others are opened.

        Raises OSError; a symbolic link is one, and its `filename` is the path below the tree.
        """
        if not folder:
            return self._root
        descriptor = self._open.pop(folder, -1)
        if descriptor < 0:
            descriptor = self._walk(folder)
        self._open[folder] = descriptor  # the newest is the last
        while len(self._open) > _MOST_OPEN:
            os.close(self._open.pop(next(iter(self._open))))
        return descriptor

    def _walk(self, folder: str) -> int:
        """Open a folder from the nearest one above it that is open."""
        if not goes_down(folder):
            raise OSError(EINVAL, "Leads out of the tree", folder)
        names = folder.split("/")
        # Of the open folders above this one, the longest path is also the last in order.
        nearest = max((path for path in self._open if folder.startswith(f"{path}/")), default="")
        start = len(nearest.split("/")) if nearest else 0
        above = self._open.get(nearest, self._root)
        passed: list[int] = []
        try:
            for depth in range(start, len(names)):
                above = self._step(above, names, depth)
                is_kept = len(names) - 1 - _MOST_KEPT <= depth < len(names) - 1
                if is_kept:
                    self._open["/".join(names[: depth + 1])] = above
                elif depth < len(names) - 1:
                    passed.append(above)
        finally:
            for descriptor in passed:
                os.close(descriptor)
        return above

    def _step(self, above: int, names: list[str], depth: int) -> int:
        try:
            return os.open(names[depth], _FLAGS, dir_fd=above)
        except OSError as failure:
            path = "/".join(names[: depth + 1])
            if failure.errno in (ENOTDIR, ELOOP) and self._is_link(above, names[depth]):
                raise OSError(ELOOP, "Is a symbolic link", path) from failure
            raise OSError(failure.errno, failure.strerror, path) from failure

    @staticmethod
    def _is_link(above: int, name: str) -> bool:
        with suppress(OSError):
            return stat.S_ISLNK(os.lstat(name, dir_fd=above).st_mode)
        return False

    def forget(self, folder: str) -> None:
        """Close this folder and those below it, because another one can be there afterwards."""
        for path in [*self._open]:
            if not folder or path == folder or path.startswith(f"{folder}/"):
                os.close(self._open.pop(path))

    def status(self, path: str) -> os.stat_result | None:
        """Return the status of what is at a path, also of a link; None if nothing is.

        Raises OSError, also if the folder cannot be opened.
        """
        folder, _, name = path.rpartition("/")
        try:
            return os.lstat(name, dir_fd=self.open(folder))
        except FileNotFoundError:
            return None

    def existing(self, folder: str) -> str:
        """Return the folder, or the nearest above it that is there before files are installed."""
        while folder in self.late:
            folder = folder.rpartition("/")[0]
        return folder

    def make(self, folder: str, attributes: Attributes) -> None:
        """Make a folder, with 0755 less the umask or what options name.  Raises OSError."""
        above, _, name = folder.rpartition("/")
        make_folder(name, self.open(above), attributes)

    def remove(self, folder: str) -> None:
        """Remove an empty folder.  Raises OSError."""
        self.forget(folder)
        above, _, name = folder.rpartition("/")
        os.rmdir(name, dir_fd=self.open(above))

    def names(self, folder: str) -> list[str]:
        """List a folder.  Raises OSError."""
        return os.listdir(self.open(folder))

    def content(self, folder: str) -> Iterator[tuple[str, bool]]:
        """Yield the path of all that is in a folder, each after its folder, and if it is a folder.

        Raises OSError.
        """
        pending = [folder]
        while pending:
            above = pending.pop()
            for name in self.names(above):
                path = f"{above}/{name}"
                status = self.status(path)
                is_folder = status is not None and stat.S_ISDIR(status.st_mode)
                yield path, is_folder
                if is_folder:
                    pending.append(path)

    def sync(self, folder: str) -> None:
        """Make the names in a folder durable.  Raises OSError if the disk fails."""
        sync_open_folder(self.open(folder))


def open_tree(path: str, attributes: Attributes) -> TreeFolder:
    """Open the folder of a tree, and make it if it is missing.  Raises OSError."""
    path = path.rstrip("/")
    with suppress(FileNotFoundError):
        return TreeFolder(path)
    target = os.path.realpath(path)
    make_folders(folder_of(target))
    above = os.open(folder_of(target), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(FileExistsError):
            make_folder(target.rpartition("/")[2], above, attributes)
            sync_open_folder(above)
    finally:
        os.close(above)
    return TreeFolder(target)


def make_folder(name: str, above: int, attributes: Attributes) -> None:
    """Make a folder in an open one.  Raises OSError; then it is not there.

    Each user who may read it may enter it as well.
    """
    if attributes.mode is not None:
        enters = (attributes.mode & 0o444) >> 2
        attributes = Attributes(attributes.mode | enters, attributes.owner)
    os.mkdir(name, 0o755 if attributes.mode is None else 0o700, dir_fd=above)
    if attributes.mode is None and attributes.owner is None:
        return
    try:
        folder = os.open(name, _FLAGS, dir_fd=above)
        try:
            give_attributes(folder, attributes)
        finally:
            os.close(folder)
    except BaseException:
        with suppress(OSError):
            os.rmdir(name, dir_fd=above)
        raise
