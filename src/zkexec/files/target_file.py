"""Find and read the target of an input, and overwrite it if it cannot be replaced.

Nothing here is blocked by what it finds (a fifo, a device).  Reading does nothing that a watcher of
the file could take for a change.  Every failure is an OSError whose `strerror` can be shown to a
person and never contains content.
"""

from __future__ import annotations

import fcntl
import os
import stat
import sys
import time
from errno import EINVAL, EISDIR, ELOOP, ENOENT, ENOSPC, EPERM
from struct import calcsize

from zkexec.frozen import frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Protocol

    class OpenFolders(Protocol):
        """The folders of a tree, see TreeFolder."""

        def open(self, folder: str) -> int:
            """Return the descriptor of a folder."""

        def existing(self, folder: str) -> str:
            """Return the folder, or the nearest above it that is there."""

        def sync(self, folder: str) -> None:
            """Make the names in a folder durable."""


_SECTOR_BYTES = 512
_FS_IOC_GETFLAGS = 0x80006601 | calcsize("l") << 16
_FS_APPEND_FL = 0x20
# A file can grow while it is read, or have no size, so this much more is read.
_MORE_BYTES = 4096
# A younger time stamp can mean two changes: some filesystems count in steps of two seconds.
_TELLING_AGE_NS = 3_000_000_000


@frozen(uncompared=("tree", "below"))
class TargetFile:
    """The path of a target without symbolic links, and the status of the file there, or None.

    System calls get its `name` and `folder`: the path, or for a file of a tree, its name and the
    descriptor of its folder, so that no link below the folder of the tree is followed.  `below` is
    the path of a file of a tree below this folder.
    """

    path: str
    status: os.stat_result | None
    tree: OpenFolders | None = None
    below: str = ""

    @property
    def name(self) -> str:
        """What system calls get as the path."""
        return self.path if self.tree is None else self.below.rpartition("/")[2]

    @property
    def folder(self) -> int | None:
        """What system calls get as the folder.  Raises OSError if it cannot be opened."""
        return None if self.tree is None else self.tree.open(self.below.rpartition("/")[0])

    @property
    def is_link(self) -> bool:
        """Whether there is a symbolic link, which is only so in a tree."""
        return self.status is not None and stat.S_ISLNK(self.status.st_mode)


class TargetResolver:
    """Finds the targets of paths.  It resolves each folder once, so it must not be kept."""

    def __init__(self) -> None:
        self._folders: dict[str, str] = {}

    def resolve(self, path: str) -> TargetFile:
        """Follow every symbolic link, also a dangling one, to the target.

        Raises OSError if the links form a loop, or the target cannot be read.
        """
        folder, _, name = path.rpartition("/")
        real_folder = self._folders.get(folder)
        if real_folder is None:
            real_folder = os.path.realpath(folder or "/").rstrip("/")
            self._folders[folder] = real_folder
        target = f"{real_folder}/{name}"
        status = _read_status(target)
        if status is not None and stat.S_ISLNK(status.st_mode):
            target = os.path.realpath(target)
            status = _read_status(target)
            # Only a loop is left unresolved by realpath.
            if status is not None and stat.S_ISLNK(status.st_mode):
                raise OSError(ELOOP, os.strerror(ELOOP))
        return TargetFile(target, status)


def _read_status(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except FileNotFoundError:
        return None


def folder_of(target: str) -> str:
    """Return the folder of a target."""
    return target.rpartition("/")[0] or "/"


def make_folders(path: str) -> None:
    """Make a folder, and those above it that are missing.  Raises OSError.

    A tree can be deeper than calls can be nested.
    """
    missing = [path]
    while missing:
        try:
            os.mkdir(missing[-1])
        except FileNotFoundError:
            missing.append(folder_of(missing[-1]))
            continue
        except OSError:
            # Some filesystems have another reason than that it is there.
            if not os.path.isdir(missing[-1]):
                raise
        missing.pop()


def read_regular(target: TargetFile) -> bytes:
    """Read a whole regular file; raise OSError (FileNotFoundError) if there is none."""
    if target.status is None:
        raise FileNotFoundError(ENOENT, os.strerror(ENOENT))
    # This is checked before the file is opened: opening a device can do something.
    _require_regular(target.status)
    fd = open_file(target, os.O_RDONLY)
    try:
        status = os.fstat(fd)
        _require_regular(status)
        pieces = []
        while piece := os.read(fd, status.st_size + _MORE_BYTES):
            pieces.append(piece)
        return b"".join(pieces)
    finally:
        os.close(fd)


def open_file(target: TargetFile, flags: int) -> int:
    """Open the file at the target itself.  Raises OSError."""
    return os.open(target.name, flags | os.O_NONBLOCK | os.O_NOFOLLOW, dir_fd=target.folder)


class PresentContents:
    """The contents of the targets; a file is read again only if it can have changed.

    Its content is the same while it is the same inode with the same size and times.
    """

    def __init__(self, wall_clock_ns: Callable[[], int] = time.time_ns) -> None:
        self._wall_clock_ns = wall_clock_ns
        self._known: dict[str, tuple[tuple[int, ...], bytes]] = {}

    def read(self, target: TargetFile, wanted: bytes) -> bytes | None:
        """Read the content of the target, None if there is no file.  Raises OSError.

        If it equals `wanted`, that object is kept for the next call, so that no content is in
        memory twice.
        """
        path, status = target.path, target.status
        if status is None:
            return None
        times = status.st_mtime_ns, status.st_ctime_ns
        mark = (status.st_dev, status.st_ino, status.st_size, *times)
        known = self._known.pop(path, None)
        try:
            content = known[1] if known and known[0] == mark else read_regular(target)
        except FileNotFoundError:
            return None
        if content == wanted and self._wall_clock_ns() - max(times) > _TELLING_AGE_NS:
            self._known[path] = mark, wanted
        return content

    def forget_others(self, targets: Iterable[TargetFile]) -> None:
        """Forget all but these targets: others may never be read again."""
        paths = {target.path for target in targets}
        self._known = {path: known for path, known in self._known.items() if path in paths}


def _require_regular(status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(EISDIR, os.strerror(EISDIR))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(EINVAL, "Is not a regular file")


def mount_points() -> frozenset[str]:
    """Return every mount point that this process sees; none if /proc does not show them."""
    try:
        with open("/proc/self/mountinfo", "rb") as file:
            lines = file.read().split(b"\n")
    except OSError:
        return frozenset()
    fields = (line.split(b" ") for line in lines if line)
    return frozenset(os.fsdecode(_unescape(field[4])) for field in fields if len(field) > 4)


def _unescape(field: bytes) -> bytes:
    import re  # noqa: PLC0415 - slow to import, and most starts need no mount point

    return re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match[1], 8)]), field)


def write_refusal(target: TargetFile) -> OSError | None:
    """Return why this existing file cannot be written, None if it can."""
    if os.access(target.name, os.W_OK, dir_fd=target.folder):
        # A file that can only be appended to (chattr +a) can neither be written nor replaced.
        return OSError(EPERM, os.strerror(EPERM)) if _is_append_only(target) else None
    # Only a real attempt shows the reason.  It comes second, because a watcher of the file would
    # notice an attempt that succeeds, and read the file again for nothing.
    try:
        os.close(open_file(target, os.O_WRONLY))
    except OSError as refusal:
        return refusal
    return None


def _is_append_only(target: TargetFile) -> bool:
    try:
        file = open_file(target, os.O_RDONLY)
    except OSError:
        return False
    return _closed_append_only(file)


def is_folder_append_only(target: TargetFile) -> bool:
    """Whether no name in the target's folder can be replaced or removed (chattr +a)."""
    path, above = (folder_of(target.path), None) if target.folder is None else (".", target.folder)
    try:
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY, dir_fd=above)
    except OSError:
        return False
    return _closed_append_only(folder)


def _closed_append_only(file: int) -> bool:
    """Whether an open file or folder has the attribute of chattr +a; close it."""
    flags = bytearray(calcsize("l"))
    try:
        fcntl.ioctl(file, _FS_IOC_GETFLAGS, flags)
    except OSError:
        return False  # This filesystem knows no such attributes.
    finally:
        os.close(file)
    return bool(int.from_bytes(flags, sys.byteorder) & _FS_APPEND_FL)


def require_space(target: TargetFile, size_bytes: int) -> None:
    """Raise OSError if the filesystem has too little space for a file of this size.

    This is an estimate: other processes can use the space first.
    """
    file = open_file(target, os.O_PATH)
    try:
        filesystem, status = os.fstatvfs(file), os.fstat(file)
    finally:
        os.close(file)
    free_blocks = filesystem.f_bfree if os.geteuid() == 0 else filesystem.f_bavail
    growth_bytes = size_bytes - status.st_blocks * _SECTOR_BYTES
    # No blocks at all means that the filesystem does not count them.
    if filesystem.f_blocks and growth_bytes > free_blocks * filesystem.f_frsize:
        raise OSError(ENOSPC, os.strerror(ENOSPC))


def overwrite(target: TargetFile, content: bytes, old: bytes) -> None:
    """Write `content` into the existing file itself, and `old` again if that fails.

    Raises OSError; the file then contains `old`, or the message says that it does not.
    """
    fd = open_file(target, os.O_WRONLY)
    try:
        _require_regular(os.fstat(fd))
        try:
            _write_over(fd, content)
        except OSError as failure:
            _write_back(fd, old, failure)
            raise
    finally:
        os.close(fd)


def _write_over(fd: int, content: bytes) -> None:
    # The length comes last: a file that is emptied first is empty for every reader, and with a
    # full disk also for the next start.
    write_all(fd, content)
    os.ftruncate(fd, len(content))
    os.fsync(fd)


def _write_back(fd: int, old: bytes, failure: OSError) -> None:
    try:
        _write_over(fd, old)
    except OSError as second:
        reason = f"{failure.strerror}; its old content could not be put back ({second.strerror})"
        raise OSError(failure.errno, reason) from failure


def write_all(fd: int, content: bytes) -> None:
    """Write all of `content` from the start of the file on.  Raises OSError."""
    written = os.pwrite(fd, content, 0)
    while written < len(content):
        written += os.pwrite(fd, memoryview(content)[written:], written)


def sync_folder(path: str) -> None:
    """Make the names in this folder durable.  Raises OSError if the disk fails.

    A folder that may be written but not read cannot be opened for this, and some filesystems
    know no syncing of folders: neither is an error, for there is nothing more to be done.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except PermissionError:
        return
    try:
        sync_open_folder(fd)
    finally:
        os.close(fd)


def sync_open_folder(folder: int) -> None:
    """Make the names in an open folder durable, as `sync_folder` does."""
    try:
        os.fsync(folder)
    except OSError as failure:
        if failure.errno != EINVAL:
            raise
