"""Stage a file: write and sync it beside its target, where no reader sees it.

If the filesystem allows it (O_TMPFILE), a staged file has no name, so that nothing is left if
zkexec is killed.  Linux cannot replace a file by a nameless one, so the staged file gets a name
beside the target for the few microseconds before the rename; on other filesystems it has one from
the start.  The name contains that of the target, and a process locks its staged files:
`remove_leftovers` removes those of a target that are not locked, and never one that another process
still writes.
"""

from __future__ import annotations

import os
import stat
from errno import EDQUOT, EINVAL, EIO, EISDIR, ENODATA, ENOSPC, EOPNOTSUPP
from fcntl import F_DUPFD_CLOEXEC, LOCK_EX, LOCK_NB, LOCK_SH, fcntl, flock
from resource import RLIMIT_NOFILE, getrlimit

from zkexec.digest import sha256
from zkexec.files.target_file import folder_of, write_all
from zkexec.lean import cache, suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


_ACL = "system.posix_acl_access"
# These describe the bytes of the old content, so they would be wrong for the new.
_ABOUT_CONTENT = frozenset({"security.ima", "security.evm"})
# The errors of a filesystem or a kernel without O_TMPFILE.
_NO_NAMELESS_FILES = frozenset({EOPNOTSUPP, EISDIR, EINVAL})
_DISK_FAILS = frozenset({ENOSPC, EDQUOT, EIO})
_MOST_DESCRIPTORS = getrlimit(RLIMIT_NOFILE)[0]
# Only the first of very many staged files stay nameless: each of these needs a descriptor until it
# is installed, and descriptors are limited.
_MOST_NAMELESS = min(1024, _MOST_DESCRIPTORS // 2)
# What zkexec itself has open, with a reserve, and the size of a process's table of descriptors at
# its start.
_OTHER_DESCRIPTORS = 32
_FIRST_DESCRIPTORS = 64
MOST_UNSYNCED = max(1, min(32, _MOST_DESCRIPTORS // 8))
"""Each staged file needs a descriptor until it is synced; more at a time are not faster."""
# A longer name is replaced by its digest, so that the name of a staged file fits into 143 bytes,
# the smallest NAME_MAX in use.
_LONGEST_NAME_BYTES = 100
_STAGED_ENDING = ".zkexec-"
_STAGED_DIGITS = 16


class AttributesLostError(OSError):
    """The owner or the access list of the present file cannot be given to a new one."""


class StagedFile:
    """A new file before it is installed.  `discard` must be called at every end."""

    def __init__(self, target: str, *, replaces: bool) -> None:
        """Open an empty staged file.  Raises OSError if the folder does not allow it.

        `replaces` says that a file exists at the target.  Then no other user can read the staged
        file until it has this file's owner and mode; else it gets the mode of a new file.
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
        # Some network filesystems have no locks; the lock only helps other processes.
        with suppress(OSError):
            flock(self._fd, LOCK_EX | LOCK_NB)

    def write(self, content: bytes) -> None:
        """Set the attributes, then write the content.

        Set-id bits stay only if zkexec is root: the kernel clears them as after any write.
        Raises AttributesLostError if the owner or the access list cannot be kept, and OSError.
        """
        if self._replaces:
            _keep_attributes(self._fd, self._target)
        write_all(self._fd, content)

    def begin_sync(self) -> None:
        """Let the disk begin to write the content, without waiting for it."""
        # Linux does this if it is informed that the content will not be read soon.
        with suppress(OSError):
            os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_DONTNEED)

    def sync(self) -> None:
        """Wait until the content is on disk; only then it may be installed.  Raises OSError."""
        os.fsync(self._fd)
        if self._fd >= _MOST_NAMELESS:
            self._take_name()
            self._close()

    def install(self) -> None:
        """Move the file to its target, in one step for every reader.  Raises OSError."""
        if not self._name:
            if not self._replaces:
                # A free name can be taken at once.  If a file exists there now, replace it.
                with suppress(FileExistsError):
                    self._link(self._target)
                    return
            self._take_name()
        os.rename(self._name, self._target)
        self._name = ""

    def discard(self) -> None:
        """Close the file, and remove it if it is not installed.  Idempotent."""
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
        # Python calls linkat, which can follow the link in /proc, only with the descriptor of a
        # folder; the descriptor itself has no meaning with an absolute path.
        os.link(_proc_path(self._fd), path, dst_dir_fd=self._fd, follow_symlinks=True)


def reserve_descriptors(staged_files: int) -> None:
    """Enlarge the kernel's table of descriptors for this many staged files.  Never fails.

    Call it while there is only one thread.  Files are staged on a second one, beside the session;
    each doubling of the table would then wait until every processor has noticed, about 10 ms.
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
    """Return a staged file that is ready to be synced.

    Raises AttributesLostError or OSError; then nothing is left of it.
    """
    staged = StagedFile(target, replaces=replaces)
    try:
        staged.write(content)
    except BaseException:
        staged.discard()
        raise
    return staged


def name_beside(target: str) -> str:
    """Return a new path in the target's folder that `remove_leftovers` recognizes as its own."""
    return f"{target.rpartition('/')[0]}/{_stem(target)}{os.urandom(8).hex()}"


def remove_leftovers(targets: Iterable[str]) -> None:
    """Remove the staged files of these targets that a killed zkexec left.  Never fails."""
    folders: dict[str, list[str]] = {}
    for target in targets:
        folders.setdefault(folder_of(target), []).append(target)
    for folder, ours in folders.items():
        # There is rarely one, and only then the stems are needed.
        if found := _staged_files_in(folder):
            stems = {_stem(target) for target in ours}
            for path, stem in found:
                if stem in stems and not _is_locked(path):
                    with suppress(OSError):
                        os.unlink(path)


def _staged_files_in(folder: str) -> list[tuple[str, str]]:
    """Find all files that are named like a staged file, each with the stem of its target."""
    with suppress(OSError), os.scandir(folder) as entries:
        found = [(entry.path, _stem_of(entry.name)) for entry in entries]
        return [(path, stem) for path, stem in found if stem]
    return []


def _stem_of(name: str) -> str:
    """Return all but the digits of the name of a staged file, and "" for any other name."""
    stem, digits = name[:-_STAGED_DIGITS], name[-_STAGED_DIGITS:]
    is_staged = (
        stem.startswith(".")
        and stem.endswith(_STAGED_ENDING)
        and len(stem) > len(_STAGED_ENDING) + 1
        and set(digits) <= set("0123456789abcdef")
    )
    return stem if is_staged else ""


def _stem(target: str) -> str:
    name = target.rpartition("/")[2]
    encoded = os.fsencode(name)
    if len(encoded) > _LONGEST_NAME_BYTES:
        name = sha256(encoded).hexdigest()
    return f".{name}{_STAGED_ENDING}"


def _is_locked(path: str) -> bool:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        # It is gone, or its mode forbids reading, so the lock cannot be checked.
        return False
    try:
        # A shared lock is enough for the check, and NFS allows no other for reading.
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
    """Open a file without a name; -1 if that is impossible, or it cannot be named later."""
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
    """Return whether /proc has names for this process's descriptors."""
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
    # The new file can have the default list of its folder, which can allow readers that the
    # present file does not allow.
    try:
        os.removexattr(fd, _ACL)
    except OSError as failure:
        if failure.errno not in (ENODATA, EOPNOTSUPP):
            raise
