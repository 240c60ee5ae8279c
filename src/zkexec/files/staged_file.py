"""A file that is complete and synced, but not yet in its place.

A draft has no name at all where the filesystem allows that (O_TMPFILE), so that a sudden death
leaves nothing.  Linux cannot put a nameless file over a name, so it gets a name beside the
target for the few microseconds before the rename; elsewhere it has one from the start.  Such a
name tells its target, and the living hold a lock on their draft: `sweep` removes those of one
target that belong to nobody, and never a draft of another process that is still at work.
"""

import os
import re
import stat
from collections.abc import Iterable
from contextlib import suppress
from errno import EDQUOT, EINVAL, EIO, EISDIR, ENODATA, ENOSPC, EOPNOTSUPP
from fcntl import F_DUPFD_CLOEXEC, LOCK_EX, LOCK_NB, LOCK_SH, fcntl, flock
from functools import cache
from resource import RLIMIT_NOFILE, getrlimit

from zkexec.digest import sha256
from zkexec.files.target_file import folder_of, write_all

_ACL = "system.posix_acl_access"
# These describe the bytes of the old content, so they would be lies about the new.
_ABOUT_CONTENT = frozenset({"security.ima", "security.evm"})
# What a filesystem or kernel without O_TMPFILE answers.
_NO_NAMELESS_FILES = frozenset({EOPNOTSUPP, EISDIR, EINVAL})
_DISK_FAILS = frozenset({ENOSPC, EDQUOT, EIO})
_MOST_DESCRIPTORS = getrlimit(RLIMIT_NOFILE)[0]
# Of very many drafts only the first stay nameless: each of these needs a descriptor until it is
# published, and those are limited.
_MOST_NAMELESS = min(1024, _MOST_DESCRIPTORS // 2)
# What zkexec itself has open, with some to spare, and the descriptors for which every process has
# room from its start.
_OTHER_DESCRIPTORS = 32
_FIRST_DESCRIPTORS = 64
MOST_UNSYNCED = max(1, min(32, _MOST_DESCRIPTORS // 8))
"""Each draft needs a descriptor until it is synced; a disk gains nothing from more at a time."""
# Longer names are told by their digest, so that a draft's name fits into 143 bytes, the
# smallest NAME_MAX in use.
_LONGEST_NAME_BYTES = 100
_DRAFT_NAME = re.compile(r"(\..+\.zkexec-)[0-9a-f]{16}", re.DOTALL)


class AttributesLostError(OSError):
    """The owner or the access list of the present file cannot be given to a new one."""


class StagedFile:
    """One new file on its way to its target.  `drop` has to be called at every end."""

    def __init__(self, target: str, *, replaces: bool) -> None:
        """Open an empty draft.  Raises OSError where the folder does not allow it.

        `replaces` tells that a file stands at the target.  Then the draft is nobody else's
        until it has got that file's owner and mode; else it is born with the mode of a new file.
        """
        self._target = target
        self._replaces = replaces
        self._name = ""
        mode = 0o600 if replaces else 0o644
        self._fd = _open_nameless(folder_of(target), mode)
        if self._fd < 0:
            name = name_beside(target)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            self._fd = os.open(name, flags, mode)
            self._name = name
        # Not every network filesystem has locks, and the lock is a courtesy.
        with suppress(OSError):
            flock(self._fd, LOCK_EX | LOCK_NB)

    def write(self, content: bytes) -> None:
        """Give the draft its attributes, then its content.

        Set-id bits outlive that only for root: the kernel clears them as after any write.
        Raises AttributesLostError where the owner or the access list cannot be kept, and OSError.
        """
        if self._replaces:
            _keep_attributes(self._fd, self._target)
        write_all(self._fd, content)

    def hurry(self) -> None:
        """Let the disk begin to write the content, and do not wait for it."""
        # That is what Linux does when it is told that nobody will read this soon.
        with suppress(OSError):
            os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_DONTNEED)

    def sync(self) -> None:
        """Wait until the content is on disk; only then may it be published.  Raises OSError."""
        os.fsync(self._fd)
        if self._fd >= _MOST_NAMELESS:
            self._take_name()
            self._close()

    def publish(self) -> None:
        """Put the draft into its place, in one step for every reader.  Raises OSError."""
        if not self._name:
            if not self._replaces:
                # A free name can be taken at once.  Where it is no longer free, replace.
                with suppress(FileExistsError):
                    self._link(self._target)
                    return
            self._take_name()
        os.rename(self._name, self._target)
        self._name = ""

    def drop(self) -> None:
        """Close the draft, and leave nothing of what is not published.  Idempotent."""
        if self._name:
            with suppress(OSError):
                os.unlink(self._name)
            self._name = ""
        self._close()

    def _take_name(self) -> None:
        if not self._name:
            name = name_beside(self._target)
            self._link(name)
            self._name = name

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with suppress(OSError):
                os.close(fd)

    def _link(self, path: str) -> None:
        # Only with a folder's descriptor does Python call linkat, which can follow the link in
        # /proc; the descriptor itself means nothing beside an absolute path.
        os.link(_proc_path(self._fd), path, dst_dir_fd=self._fd, follow_symlinks=True)


def make_room(staged_files: int) -> None:
    """Let the kernel's table of descriptors have room for so many drafts.

    Called while there is one thread only: later each time that the table is doubled holds the
    process up until every processor has noticed, which takes some 10 ms.  Never fails.
    """
    most = _MOST_NAMELESS + MOST_UNSYNCED
    last = min(_OTHER_DESCRIPTORS + staged_files, most, _MOST_DESCRIPTORS) - 1
    if last >= _FIRST_DESCRIPTORS:
        with suppress(OSError):
            fd = os.open("/", os.O_PATH)
            try:
                os.close(fcntl(fd, F_DUPFD_CLOEXEC, last))
            finally:
                os.close(fd)


def write_staged(target: str, content: bytes, *, replaces: bool) -> StagedFile:
    """Make a draft that is ready to be synced.

    Raises AttributesLostError or OSError; then nothing is left of it.
    """
    staged = StagedFile(target, replaces=replaces)
    try:
        staged.write(content)
    except BaseException:
        staged.drop()
        raise
    return staged


def name_beside(target: str) -> str:
    """Make up a path in the target's folder that `sweep` knows for one of this target's drafts."""
    return f"{target.rpartition('/')[0]}/{_stem(target)}{os.urandom(8).hex()}"


def sweep(targets: Iterable[str]) -> None:
    """Remove the drafts of these targets that a sudden death has left.  Never fails."""
    folders: dict[str, list[str]] = {}
    for target in targets:
        folders.setdefault(folder_of(target), []).append(target)
    for folder, ours in folders.items():
        # Hardly ever is there one, and only then have the stems to be known.
        if found := _drafts_in(folder):
            stems = {_stem(target) for target in ours}
            for path, stem in found:
                if stem in stems and not _is_held(path):
                    with suppress(OSError):
                        os.unlink(path)


def _drafts_in(folder: str) -> list[tuple[str, str]]:
    """Find whatever is named like a draft, each with the stem of its target."""
    with suppress(OSError), os.scandir(folder) as entries:
        matches = [(entry.path, _DRAFT_NAME.fullmatch(entry.name)) for entry in entries]
        return [(path, match[1]) for path, match in matches if match]
    return []


def _stem(target: str) -> str:
    name = target.rpartition("/")[2]
    encoded = os.fsencode(name)
    if len(encoded) > _LONGEST_NAME_BYTES:
        name = sha256(encoded).hexdigest()
    return f".{name}.zkexec-"


def _is_held(path: str) -> bool:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        # Gone, or of a mode that forbids reading: the lock cannot be asked.
        return False
    try:
        # A shared lock is enough to ask, and all that NFS gives to a descriptor for reading.
        flock(fd, LOCK_SH | LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(fd)
    return False


def _proc_path(fd: int) -> str:
    return f"/proc/self/fd/{fd}"


def _open_nameless(folder: str, mode: int) -> int:
    """Open a file without a name; -1 where there is no such thing, or no way to name it later."""
    if not _names_descriptors():
        return -1
    try:
        return os.open(folder, os.O_WRONLY | os.O_TMPFILE, mode)
    except OSError as failure:
        if failure.errno not in _NO_NAMELESS_FILES:
            raise
        return -1


@cache
def _names_descriptors() -> bool:
    """Tell whether there is a /proc that has names for this process's descriptors."""
    return os.path.isdir("/proc/self/fd")


def _keep_attributes(fd: int, path: str) -> None:
    """Make the empty file `fd` as accessible as the file at `path`, and not more."""
    status = os.stat(path, follow_symlinks=False)
    own = os.fstat(fd)
    try:
        if (own.st_uid, own.st_gid) != (status.st_uid, status.st_gid):
            os.fchown(fd, status.st_uid, status.st_gid)
        _keep_extended_attributes(fd, path)
        # Last, because a change of owner or access list changes the mode.
        os.fchmod(fd, stat.S_IMODE(status.st_mode))
    except OSError as failure:
        if failure.errno in _DISK_FAILS:
            raise
        raise AttributesLostError(failure.errno, failure.strerror) from failure


def _keep_extended_attributes(fd: int, path: str) -> None:
    names: list[str] = []
    with suppress(OSError):
        names = os.listxattr(path, follow_symlinks=False)
    for name in names:
        if name not in _ABOUT_CONTENT and name != _ACL:
            with suppress(OSError):
                os.setxattr(fd, name, os.getxattr(path, name, follow_symlinks=False))
    if _ACL in names:
        # Without the list, the mode's group bits would mean something wider.
        os.setxattr(fd, _ACL, os.getxattr(path, _ACL, follow_symlinks=False))
        return
    # The folder's default list may have come with the new file, and it may name readers whom
    # the present file does not know.
    try:
        os.removexattr(fd, _ACL)
    except OSError as failure:
        if failure.errno not in (ENODATA, EOPNOTSUPP):
            raise
