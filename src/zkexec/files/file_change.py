"""The steps of an install that change one file, each of which can be put back.

Old contents are kept in memory while something is staged.  No content is in a message.
"""

from __future__ import annotations

import os
import stat
from errno import EACCES, EBUSY, EEXIST, EPERM, EROFS, EXDEV

from zkexec.files.staged_file import (
    UNCHANGED,
    Attributes,
    AttributesLostError,
    AttributesRefusedError,
    StagedFile,
    name_beside,
    write_staged,
)
from zkexec.files.target_file import (
    TargetFile,
    folder_of,
    is_folder_append_only,
    make_folders,
    open_file,
    overwrite,
    require_space,
    sync_folder,
    write_refusal,
)
from zkexec.frozen import frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from zkexec.files.target_file import OpenFolders

# The folder cannot be written, but perhaps the file itself.
_FOLDER_REFUSES = frozenset({EACCES, EPERM, EROFS})
# A rename that fails like this fails because of the name; perhaps the file can be written.
_NAME_REFUSES = frozenset({EBUSY, EXDEV, EACCES, EPERM})


class InstallError(Exception):
    """A file could not be read, staged or installed; the message is a part of a sentence."""


class Naming:
    """A block in which an OSError becomes an InstallError that begins with this path."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: object, failure: BaseException | None, __: object) -> None:
        if isinstance(failure, OSError):
            raise install_error(self._path, failure) from failure


def install_error(path: str, failure: OSError) -> InstallError:
    """Return what an InstallError says about this failure at this path."""
    return InstallError(f"{path}: {failure.strerror or failure}")


@frozen(uncompared=("tree",))
class ChangedFolder:
    """A folder whose names have changed: of a tree, its path below it."""

    path: str
    tree: OpenFolders | None = None
    below: str = ""

    def sync(self) -> None:
        """Make the names in it durable.  Raises OSError if the disk fails."""
        if self.tree is None:
            sync_folder(self.path)
        else:
            self.tree.sync(self.below)


class InstallStep:
    """One step of an install.  `local_path` is what messages name."""

    local_path = ""

    def apply(self) -> None:
        """Do it.  Raises OSError; then nothing has changed."""
        raise NotImplementedError

    def undo(self) -> None:
        """Put back what it has changed.  Raises OSError."""
        raise NotImplementedError

    @property
    def folders(self) -> tuple[ChangedFolder, ...]:
        """The folders whose names it has changed."""
        return ()


class FileChange(InstallStep):
    """One file of the snapshot whose content differs from that of its target.

    `old` is None if there is no file at the target.  If there is a symbolic link, `link` is where
    it leads to.  Without a staged file the target is written in place, for this `reason`.
    """

    def __init__(
        self,
        local_path: str,
        target: TargetFile,
        new: bytes,
        old: bytes | None,
        attributes: Attributes = UNCHANGED,
    ) -> None:
        self.local_path = local_path
        self.target = target
        self.staged: StagedFile | None = None
        self.reason = ""
        self._new = new
        self._old = old
        self._attributes = attributes
        self._correction: Correction | None = None
        self.left_staged = False
        """Whether a staged file is left beside the target, because it could not be removed."""
        self._link = os.readlink(target.name, dir_fd=target.folder) if target.is_link else ""

    def prepare(self, mounts: Callable[[], frozenset[str]]) -> None:
        """Stage this change, or find out that it must be written in place.  Raises OSError."""
        if self._old is None:
            self._prepare_new()
            return
        refusal = write_refusal(self.target)
        if self.target.path in mounts():
            self.reason = "it is a mount point"
        elif refusal is not None and refusal.errno == EPERM:
            # An immutable file can neither be written nor replaced.
            raise refusal
        elif refusal is None and is_folder_append_only(self.target):
            # A staged file could not be renamed over the target, and not be removed again.
            self.reason = "names in its folder can only be added"
        elif self._is_staged(refusal):
            return
        if refusal is not None:
            raise refusal
        require_space(self.target, len(self._new))

    def _prepare_new(self) -> None:
        try:
            self.staged = self._stage(self._new, replaces=False)
        except FileNotFoundError:
            if self.target.tree is not None:
                raise
            make_folders(folder_of(self.target.path))
            self.staged = self._stage(self._new, replaces=False)

    def _is_staged(self, refusal: OSError | None) -> bool:
        """Stage a file that replaces the present one; return False if that is impossible."""
        try:
            self.staged = self._stage(self._new, replaces=True)
        except AttributesRefusedError:
            raise
        except AttributesLostError as lost:
            self.reason = f"its owner or access list cannot be kept ({lost.strerror})"
            if refusal is not None:
                reason = f"{self.reason}, and it cannot be written in place ({refusal.strerror})"
                raise OSError(refusal.errno, reason) from lost
        except OSError as failure:
            if failure.errno not in _FOLDER_REFUSES:
                raise
            self.reason = f"its folder cannot be written ({failure.strerror})"
        return self.staged is not None

    def _stage(self, content: bytes, *, replaces: bool) -> StagedFile:
        return write_staged(self.target, content, replaces=replaces, attributes=self._attributes)

    def apply(self) -> None:
        """Move the staged file to the target, or write it in place."""
        if self.staged is not None:
            try:
                self.staged.install()
                return
            except OSError as failure:
                if self._old is None or failure.errno not in _NAME_REFUSES:
                    raise
                self.discard()
                self.reason = f"it cannot be renamed over ({failure.strerror})"
                self._write_corrected(self._old)
                return
        overwrite(self.target, self._new, self._old or b"")

    def _write_corrected(self, old: bytes) -> None:
        """Write in place what has been staged, after the file has the mode and owner for it.

        No correction was planned, because the staged file had them.
        """
        correction = self._needed_correction()
        if correction is not None:
            correction.apply()
        try:
            overwrite(self.target, self._new, old)
        except OSError:
            if correction is not None:
                correction.undo()
            raise
        self._correction = correction

    def _needed_correction(self) -> Correction | None:
        target, wanted = self.target, self._attributes
        if target.status is None or wanted == UNCHANGED:
            return None
        # Another file can be there by now.  It is not corrected, so that nothing is written.
        present = os.lstat(target.name, dir_fd=target.folder)
        if not needs_correction(present, wanted):
            return None
        return Correction(self.local_path, target, target.status, wanted)

    def discard(self) -> None:
        """Remove the staged file, if there is one.  Idempotent, never fails."""
        staged, self.staged = self.staged, None
        if staged is not None and not staged.discard():
            self.left_staged = True

    def undo(self) -> None:
        """Put the old file or link back, or remove the new file."""
        if self._link:
            self._put_link_back()
        elif self._old is None:
            os.unlink(self.target.name, dir_fd=self.target.folder)
        elif self.staged is None:
            overwrite(self.target, self._old, self._new)
            if self._correction is not None:
                self._correction.undo()
        else:
            self._put_back(self._old)

    def _put_back(self, old: bytes) -> None:
        # The installed file has the attributes of the old one, so they are copied from it.
        staged = write_staged(self.target, old, replaces=True, attributes=self._old_attributes())
        try:
            staged.sync()
            staged.install()
        finally:
            if not staged.discard():
                self.left_staged = True

    def _old_attributes(self) -> Attributes:
        status = self.target.status
        if status is None or self._attributes == UNCHANGED:
            return UNCHANGED
        return Attributes(stat.S_IMODE(status.st_mode), (status.st_uid, status.st_gid))

    def _put_link_back(self) -> None:
        target = self.target
        name = name_beside(target.name)
        os.symlink(self._link, name, dir_fd=target.folder)
        os.rename(name, target.name, src_dir_fd=target.folder, dst_dir_fd=target.folder)

    @property
    def folders(self) -> tuple[ChangedFolder, ...]:
        """The folder of the target, if it was not written in place."""
        return (changed_folder(self.target),) if self.staged else ()


class Correction(InstallStep):
    """A file whose content is right, and whose mode or owner is not what options name."""

    def __init__(
        self, local_path: str, target: TargetFile, status: os.stat_result, wanted: Attributes
    ) -> None:
        """`status` is that of the file at the target."""
        self.local_path = local_path
        self._target = target
        self._status = status
        self._wanted = wanted

    def require_right(self) -> None:
        """Raise OSError if this user may not change the file so, as far as that can be known."""
        status, user = self._status, os.geteuid()
        if user == 0:
            return
        new_user, group = self._wanted.owner or (-1, -1)
        has_group = group in (-1, status.st_gid, os.getegid(), *os.getgroups())
        if status.st_uid != user or new_user not in (-1, user) or not has_group:
            raise OSError(EPERM, f"its owner or mode cannot be set ({os.strerror(EPERM)})")

    def apply(self) -> None:
        """Set the mode and the owner."""
        self._give(self._wanted)

    def undo(self) -> None:
        """Set what was there before."""
        status = self._status
        self._give(Attributes(stat.S_IMODE(status.st_mode), (status.st_uid, status.st_gid)))

    def _give(self, wanted: Attributes) -> None:
        file = open_file(self._target, os.O_RDONLY)
        try:
            # Another file, such as a hard link to one of root, must not be given away.
            if not os.path.samestat(os.fstat(file), self._status):
                raise OSError(EEXIST, "Was replaced by another process meanwhile")
            give_to_open(file, wanted)
        finally:
            os.close(file)


def give_to_open(file: int, wanted: Attributes) -> None:
    """Set the mode and owner of a file, which never has more rights than before or afterwards.

    Raises OSError; then it is what it was, as far as possible.
    """
    status = os.fstat(file)
    old = stat.S_IMODE(status.st_mode)
    mode = old if wanted.mode is None else wanted.mode
    user, group = wanted.owner or (-1, -1)
    owner = status.st_uid if user < 0 else user, status.st_gid if group < 0 else group
    if owner != (status.st_uid, status.st_gid):
        os.fchmod(file, old & mode)
        try:
            os.fchown(file, *owner)
        except OSError:
            os.fchmod(file, old)
            raise
    os.fchmod(file, mode)


def needs_correction(status: os.stat_result, wanted: Attributes) -> bool:
    """Whether a file has another mode or owner than options name."""
    user, group = wanted.owner or (-1, -1)
    return (
        wanted.mode not in (None, stat.S_IMODE(status.st_mode))
        or user not in (-1, status.st_uid)
        or group not in (-1, status.st_gid)
    )


def changed_folder(target: TargetFile) -> ChangedFolder:
    """Return the folder of a target."""
    return ChangedFolder(folder_of(target.path), target.tree, target.below.rpartition("/")[0])
