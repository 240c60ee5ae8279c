"""Stage a file: write and sync it beside its target, where no reader sees it.

If the filesystem allows it (O_TMPFILE), a staged file has no name, so that nothing is left if
zkexec is killed.  Linux cannot replace a file by a nameless one, so the staged file gets a name
beside the target for the few microseconds before the rename; on other filesystems it has one from
the start.  The name contains that of the target, and a process locks its staged files:
`remove_leftovers` removes those of a target that are not locked, and never one that another process
still writes.  It does not matter who has made them: such names are zkexec's own.

A file of a tree is staged in its folder, or in the nearest one above if its folder is only made
while the files are installed.
"""

from __future__ import annotations

import os
import stat
from errno import EDQUOT, EINVAL, EIO, EISDIR, ENODATA, ENOENT, ENOSPC, EOPNOTSUPP
from fcntl import F_DUPFD_CLOEXEC, LOCK_EX, LOCK_NB, LOCK_SH, fcntl, flock
from resource import RLIMIT_NOFILE, getrlimit

from zkexec.digest import sha256
from zkexec.files.target_file import TargetFile, folder_of, open_file, write_all
from zkexec.frozen import frozen
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


class AttributesRefusedError(OSError):
    """The owner or the mode that an option names cannot be given to a new file."""


@frozen()
class Attributes:
    """The mode and the owner that options give to a file; of an owner, -1 stays what it is."""

    mode: int | None = None
    owner: tuple[int, int] | None = None


UNCHANGED = Attributes()
"""No option gives a mode or an owner."""


class StagedFile:
    """A new file before it is installed.  `discard` must be called at every end."""

    def __init__(
        self, target: TargetFile, *, replaces: bool, attributes: Attributes = UNCHANGED
    ) -> None:
        """Open an empty staged file.  Raises OSError if the folder does not allow it.

        `replaces` says that a file exists at the target.  Then, or if a mode is given, no other
        user can read the staged file until it has its owner and mode; else it gets the mode of a
        new file.
        """
        self._target = target
        self._replaces = replaces
        self._attributes = attributes
        self._name = ""
        below = target.below.rpartition("/")[0]
        self._staging = target.tree.existing(below) if target.tree else ""
        mode = 0o644 if not replaces and attributes.mode is None else 0o600
        self._fd = _open_nameless(*self._unnamed(), mode)
        if self._fd < 0:
            name = name_beside(target.name)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            self._fd = os.open(name, flags, mode, dir_fd=self._folder)
            self._name = name
        # Some network filesystems have no locks; the lock only helps other processes.
        with suppress(OSError):
            flock(self._fd, LOCK_EX | LOCK_NB)

    @property
    def _folder(self) -> int | None:
        """The folder of the staged file."""
        tree = self._target.tree
        return None if tree is None else tree.open(self._staging)

    def _unnamed(self) -> tuple[str, int | None]:
        """The folder for a file without a name, and what its path begins from."""
        folder = self._folder
        return (folder_of(self._target.path), None) if folder is None else (".", folder)

    def write(self, content: bytes) -> None:
        """Set the attributes, then write the content.

        Set-id bits stay only if zkexec is root: the kernel clears them as after any write.
        Raises AttributesLostError if the owner or the access list cannot be kept,
        AttributesRefusedError if what an option names cannot be set, and OSError.
        """
        if self._replaces:
            _keep_attributes(self._fd, self._target, self._attributes)
        else:
            give_attributes(self._fd, self._attributes)
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
                    self._link(self._target.name, self._target.folder)
                    return
            self._take_name()
        target = self._target
        os.rename(self._name, target.name, src_dir_fd=self._folder, dst_dir_fd=target.folder)
        self._name = ""

    def discard(self) -> bool:
        """Close the file, and remove it if it is not installed; return whether none is left.

        Idempotent, never fails.
        """
        if self._name:
            with suppress(OSError):
                os.unlink(self._name, dir_fd=self._folder)
                self._name = ""
        self._close()
        return not self._name

    def _take_name(self) -> None:
        if not self._name:
            name = name_beside(self._target.name)
            self._link(name, self._folder)
            self._name = name

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with suppress(OSError):
                os.close(fd)

    def _link(self, name: str, folder: int | None) -> None:
        # Python calls linkat, which can follow the link in /proc, only with the descriptor of a
        # folder, which has no meaning with an absolute path: then any descriptor is enough.
        any_folder = self._fd if folder is None else folder
        os.link(_proc_path(self._fd), name, dst_dir_fd=any_folder, follow_symlinks=True)


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


def write_staged(
    target: TargetFile, content: bytes, *, replaces: bool, attributes: Attributes = UNCHANGED
) -> StagedFile:
    """Return a staged file that is ready to be synced.

    Raises AttributesLostError, AttributesRefusedError or OSError; then nothing is left of it.
    """
    staged = StagedFile(target, replaces=replaces, attributes=attributes)
    try:
        staged.write(content)
    except BaseException:
        staged.discard()
        raise
    return staged


def name_beside(target: str) -> str:
    """Return a new path in the target's folder that `remove_leftovers` recognizes as its own.

    For a name without a folder, it is such a name.
    """
    folder, slash, _ = target.rpartition("/")
    return f"{folder}{slash}{stem(target)}{os.urandom(8).hex()}"


def remove_leftovers(targets: Iterable[str]) -> bool:
    """Remove the staged files of these targets that a killed zkexec left; return if none is left.

    Never fails.
    """
    are_gone = True
    folders: dict[str, list[str]] = {}
    for target in targets:
        folders.setdefault(folder_of(target), []).append(target)
    for folder, ours in folders.items():
        # There is rarely one, and only then the stems are needed.
        if found := _staged_files_in(folder):
            stems = {stem(target) for target in ours}
            for path, own in found:
                if own in stems:
                    are_gone &= remove_unlocked(path)
    return are_gone


def remove_unlocked(name: str, folder: int | None = None) -> bool:
    """Remove a staged file that no process has locked; return whether it is gone.  Never fails."""
    if _is_locked(name, folder):
        return False
    try:
        os.unlink(name, dir_fd=folder)
    except OSError as failure:
        return failure.errno == ENOENT
    return True


def _staged_files_in(folder: str) -> list[tuple[str, str]]:
    """Find all files that are named like a staged file, each with the stem of its target."""
    with suppress(OSError), os.scandir(folder) as entries:
        found = [(entry.path, stem_of(entry.name)) for entry in entries]
        return [(path, own) for path, own in found if own]
    return []


def stem_of(name: str) -> str:
    """Return all but the digits of the name of a staged file, and "" for any other name."""
    own, digits = name[:-_STAGED_DIGITS], name[-_STAGED_DIGITS:]
    is_staged = (
        own.startswith(".")
        and own.endswith(_STAGED_ENDING)
        and len(own) > len(_STAGED_ENDING) + 1
        and set(digits) <= set("0123456789abcdef")
    )
    return own if is_staged else ""


def stem(target: str) -> str:
    """Return all but the digits of the names of this target's staged files."""
    name = target.rpartition("/")[2]
    encoded = os.fsencode(name)
    if len(encoded) > _LONGEST_NAME_BYTES:
        name = sha256(encoded).hexdigest()
    return f".{name}{_STAGED_ENDING}"


def _is_locked(name: str, folder: int | None) -> bool:
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW, dir_fd=folder)
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


def _open_nameless(path: str, folder: int | None, mode: int) -> int:
    """Open a file without a name; -1 if that is impossible, or it cannot be named later."""
    if not _names_descriptors():
        return -1
    try:
        return os.open(path, os.O_WRONLY | os.O_TMPFILE, mode, dir_fd=folder)
    except OSError as failure:
        if failure.errno not in _NO_NAMELESS_FILES:
            raise
        return -1


@cache
def _names_descriptors() -> bool:
    """Return whether /proc has names for this process's descriptors."""
    return os.path.isdir("/proc/self/fd")


def give_attributes(fd: int, attributes: Attributes) -> None:
    """Give an open file what options name.  Raises AttributesRefusedError."""
    try:
        if attributes.owner is not None:
            os.fchown(fd, *attributes.owner)
        if attributes.mode is not None:
            os.fchmod(fd, attributes.mode)
    except OSError as failure:
        raise _refused(failure) from failure


def _keep_attributes(fd: int, target: TargetFile, wanted: Attributes) -> None:
    """Make the empty file `fd` as accessible as the file at the target, and not more.

    What options name is set, and the rest is kept.
    """
    if target.tree is None:
        _copy_attributes(fd, target.path, wanted)
        return
    present = open_file(target, os.O_RDONLY)
    try:
        _copy_attributes(fd, present, wanted)
    finally:
        os.close(present)


def _copy_attributes(fd: int, present: str | int, wanted: Attributes) -> None:
    status = os.fstat(present) if isinstance(present, int) else os.lstat(present)
    own = os.fstat(fd)
    user, group = wanted.owner or (-1, -1)
    owner = status.st_uid if user < 0 else user, status.st_gid if group < 0 else group
    try:
        if (own.st_uid, own.st_gid) != owner:
            os.fchown(fd, *owner)
        _keep_extended_attributes(fd, present)
        # Last, because a change of owner or access list changes the mode.
        os.fchmod(fd, stat.S_IMODE(status.st_mode) if wanted.mode is None else wanted.mode)
    except OSError as failure:
        if failure.errno in _DISK_FAILS:
            raise
        if wanted.owner is not None:
            raise _refused(failure) from failure
        raise AttributesLostError(failure.errno, failure.strerror) from failure


def _refused(failure: OSError) -> AttributesRefusedError:
    reason = f"its owner or mode cannot be set ({failure.strerror})"
    return AttributesRefusedError(failure.errno, reason)


def _keep_extended_attributes(fd: int, present: str | int) -> None:
    follows = isinstance(present, int)
    names: list[str] = []
    with suppress(OSError):
        names = os.listxattr(present, follow_symlinks=follows)
    for name in names:
        if name not in _ABOUT_CONTENT and name != _ACL:
            with suppress(OSError):
                os.setxattr(fd, name, os.getxattr(present, name, follow_symlinks=follows))
    if _ACL in names:
        # Without the list, the mode's group bits would mean something wider.
        os.setxattr(fd, _ACL, os.getxattr(present, _ACL, follow_symlinks=follows))
        return
    # The new file can have the default list of its folder, which can allow readers that the
    # present file does not allow.
    try:
        os.removexattr(fd, _ACL)
    except OSError as failure:
        if failure.errno not in (ENODATA, EOPNOTSUPP):
            raise
