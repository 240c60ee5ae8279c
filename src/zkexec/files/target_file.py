"""What stands at the target of a mirror, and how it is overwritten where nothing else will do.

Rules of this file: nothing here is ever blocked by what it finds (a fifo, a device); reading
leaves no trace that a watcher of the file could take for a change; every failure is an
OSError whose `strerror` can be shown to a person and never holds content.
"""

import ctypes
import fcntl
import os
import re
import stat
import time
from collections.abc import Callable
from errno import EINVAL, EISDIR, ELOOP, ENOENT, ENOSPC, EPERM

_OCTAL_ESCAPE = re.compile(rb"\\([0-7]{3})")
_SECTOR_BYTES = 512
_FS_IOC_GETFLAGS = 0x80006601 | ctypes.sizeof(ctypes.c_long) << 16
_FS_APPEND_FL = 0x20
# Where a file may grow while it is read, or has no size to tell, this much more is asked for.
_MORE_BYTES = 4096
# A younger time stamp may stand for two changes: some filesystems count in steps of two seconds.
_TELLING_AGE_NS = 3_000_000_000

Place = tuple[str, os.stat_result | None]
"""Where a file is to stand, free of symbolic links, and what stands there; None for nothing."""


class Resolver:
    """Finds the places of paths.  Each folder is resolved once, so it is not to live for long."""

    def __init__(self) -> None:
        self._folders: dict[str, str] = {}

    def place(self, path: str) -> Place:
        """Follow every symbolic link, also a dangling one, to where the file is to stand.

        Raises OSError where the links form a loop, or where nobody can tell what stands there.
        """
        folder, _, name = path.rpartition("/")
        real_folder = self._folders.get(folder)
        if real_folder is None:
            real_folder = os.path.realpath(folder or "/").rstrip("/")
            self._folders[folder] = real_folder
        target = f"{real_folder}/{name}"
        status = _look_at(target)
        if status is not None and stat.S_ISLNK(status.st_mode):
            target = os.path.realpath(target)
            status = _look_at(target)
            # A loop is the one thing that realpath leaves unresolved.
            if status is not None and stat.S_ISLNK(status.st_mode):
                raise OSError(ELOOP, os.strerror(ELOOP))
        return target, status


def _look_at(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except FileNotFoundError:
        return None


def folder_of(target: str) -> str:
    """Name the folder of a target."""
    return target.rpartition("/")[0] or "/"


def read_regular(place: Place) -> bytes:
    """Read a regular file as a whole.

    Raises OSError, FileNotFoundError among them, where there is no readable regular file.
    """
    path, status = place
    if status is None:
        raise FileNotFoundError(ENOENT, os.strerror(ENOENT))
    # Looked at before it is opened: the mere opening of a device can do something.
    _demand_regular(status)
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    try:
        status = os.fstat(fd)
        _demand_regular(status)
        pieces = []
        while piece := os.read(fd, status.st_size + _MORE_BYTES):
            pieces.append(piece)
        return b"".join(pieces)
    finally:
        os.close(fd)


class Present:
    """What stands at the targets; a file is read again only where it may have changed.

    It holds what it held as long as it is the same inode with the same size and times.
    """

    def __init__(self, wall_clock_ns: Callable[[], int] = time.time_ns) -> None:
        self._wall_clock_ns = wall_clock_ns
        self._known: dict[str, tuple[tuple[int, ...], bytes]] = {}

    def read(self, place: Place, wanted: bytes) -> bytes | None:
        """Read what stands at the target: None where nothing does.  Raises OSError.

        Where that is what is wanted, it is kept in mind, as the very object, so that no content
        is in memory twice.
        """
        path, status = place
        if status is None:
            return None
        times = status.st_mtime_ns, status.st_ctime_ns
        mark = (status.st_dev, status.st_ino, status.st_size, *times)
        known = self._known.pop(path, None)
        try:
            content = known[1] if known and known[0] == mark else read_regular(place)
        except FileNotFoundError:
            return None
        if content == wanted and self._wall_clock_ns() - max(times) > _TELLING_AGE_NS:
            self._known[path] = mark, wanted
        return content


def _demand_regular(status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(EISDIR, os.strerror(EISDIR))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(EINVAL, "Is not a regular file")


def mount_points() -> frozenset[str]:
    """Name every mount point that this process sees; none where /proc does not tell."""
    try:
        with open("/proc/self/mountinfo", "rb") as file:
            lines = file.read().split(b"\n")
    except OSError:
        return frozenset()
    fields = (line.split(b" ") for line in lines if line)
    return frozenset(os.fsdecode(_unescape(field[4])) for field in fields if len(field) > 4)


def _unescape(field: bytes) -> bytes:
    return _OCTAL_ESCAPE.sub(lambda match: bytes([int(match[1], 8)]), field)


def write_refusal(path: str) -> OSError | None:
    """Tell why this existing file may not be written to, or None where it may be."""
    if os.access(path, os.W_OK):
        # What can only be appended to (chattr +a) can neither be written nor renamed over.
        return OSError(EPERM, os.strerror(EPERM)) if _is_append_only(path) else None
    # Only a real attempt tells the reason.  It comes second because an attempt that succeeds
    # is seen by those who watch the file, who would read it again for nothing.
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW))
    except OSError as refusal:
        return refusal
    return None


def _is_append_only(path: str) -> bool:
    flags = ctypes.c_long()
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.ioctl(file, _FS_IOC_GETFLAGS, flags)
    except OSError:
        return False  # This filesystem knows no such attributes.
    finally:
        os.close(file)
    return bool(flags.value & _FS_APPEND_FL)


def demand_room(path: str, size_bytes: int) -> None:
    """Raise OSError where the file cannot grow to this size with what the filesystem has left.

    A fair guess, not a promise: others may take the room before it is used.
    """
    filesystem = os.statvfs(path)
    free_blocks = filesystem.f_bfree if os.geteuid() == 0 else filesystem.f_bavail
    growth_bytes = size_bytes - os.stat(path).st_blocks * _SECTOR_BYTES
    # No blocks at all means that the filesystem does not count them.
    if filesystem.f_blocks and growth_bytes > free_blocks * filesystem.f_frsize:
        raise OSError(ENOSPC, os.strerror(ENOSPC))


def overwrite(path: str, content: bytes, old: bytes) -> None:
    """Write `content` into the existing file itself, and `old` again where that fails.

    Raises OSError; the file then holds what it held, or the message says that it does not.
    """
    fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    try:
        _demand_regular(os.fstat(fd))
        try:
            _write_over(fd, content)
        except OSError as failure:
            _write_back(fd, old, failure)
            raise
    finally:
        os.close(fd)


def _write_over(fd: int, content: bytes) -> None:
    # The length comes last: a file that is emptied first is an empty file to every reader,
    # and on a full disk to the next start as well.
    write_all(fd, content)
    os.ftruncate(fd, len(content))
    os.fsync(fd)


def _write_back(fd: int, old: bytes, failure: OSError) -> None:
    try:
        _write_over(fd, old)
    except OSError as second:
        told = f"{failure.strerror}; its old content could not be put back ({second.strerror})"
        raise OSError(failure.errno, told) from failure


def write_all(fd: int, content: bytes) -> None:
    """Write all of `content` from the start of the file on.  Raises OSError."""
    written = os.pwrite(fd, content, 0)
    while written < len(content):
        written += os.pwrite(fd, memoryview(content)[written:], written)


def sync_folder(path: str) -> None:
    """Make the names in this folder durable.  Raises OSError where the disk fails.

    A folder that may be written but not read cannot be opened for this, and some filesystems
    know no syncing of folders: neither is an error, for there is nothing more to be done.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except PermissionError:
        return
    try:
        os.fsync(fd)
    except OSError as failure:
        if failure.errno != EINVAL:
            raise
    finally:
        os.close(fd)
