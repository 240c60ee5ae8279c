"""Stage the mirrored files, install them together, and put the old ones back together.

A snapshot is installed in one step, as far as the disk allows.  Errors are found while staging,
when the command still runs.  Equal content is not rewritten.  Old contents are kept in memory while
something is staged, to put them back, and no content is in a message.

A new file replaces the old one by a rename, so other hard links of a target keep the old content.
Folders that were created for a target stay, even if staging fails later.

With many mirrors the work for each file counts: folders are resolved once, files that have not
changed are not read again, and syncs are waited for only when all have begun.
"""

from __future__ import annotations

import os
from errno import EACCES, EBUSY, EPERM, EROFS, EXDEV

from zkexec.core.snapshot import Snapshot
from zkexec.files.staged_file import (
    MOST_UNSYNCED,
    AttributesLostError,
    StagedFile,
    remove_leftovers,
    reserve_descriptors,
    write_staged,
)
from zkexec.files.target_file import (
    PresentContents,
    TargetFile,
    TargetResolver,
    folder_of,
    mount_points,
    overwrite,
    read_regular,
    require_space,
    sync_folder,
    write_refusal,
)
from zkexec.lean import cache, suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


# The folder cannot be written, but perhaps the file itself.
_FOLDER_REFUSES = frozenset({EACCES, EPERM, EROFS})
# A rename that fails like this fails because of the name; perhaps the file can be written.
_NAME_REFUSES = frozenset({EBUSY, EXDEV, EACCES, EPERM})


class InstallError(Exception):
    """A file could not be read, staged or installed; the message is a part of a sentence."""


class _Change:
    """One file of the snapshot whose content differs from that of its target.

    `old` is None if the target does not exist.  Without a staged file the target is written in
    place, for this `reason`.
    """

    def __init__(self, local_path: str, target: str, new: bytes, old: bytes | None) -> None:
        self.local_path = local_path
        self.target = target
        self.new = new
        self.old = old
        self.staged: StagedFile | None = None
        self.reason = ""


class Installer:
    """The files at the targets of all mirrors.

    At most one snapshot is staged at a time.  `discard` must be called at every end.
    """

    def __init__(self, warn: Callable[[str, str], None], mirrors: int = 0) -> None:
        """`warn(local_path, reason)` is called once for each path that is written in place.

        `mirrors` is how many files there will be; this only makes it faster.
        """
        reserve_descriptors(mirrors)
        self._warn = warn
        self._warned: set[str] = set()
        self._changes: list[_Change] = []
        self._present = PresentContents()
        self._cleaned: set[str] = set()

    def stage(self, snapshot: Snapshot) -> None:
        """Write and sync what differs from the disk, where no reader sees it.

        What was staged before is discarded first, so that its space is free.  Raises InstallError;
        then nothing is staged.
        """
        self.discard()
        try:
            targets = _resolve_targets(snapshot.files)
            self._remove_leftovers({target.path for target in targets.values()})
            self._stage(snapshot, targets)
        except BaseException:
            self.discard()
            raise

    def _remove_leftovers(self, paths: set[str]) -> None:
        """Remove what a killed zkexec left; this one leaves nothing, so once is enough."""
        remove_leftovers(paths - self._cleaned)
        self._cleaned = paths

    def _stage(self, snapshot: Snapshot, targets: dict[str, TargetFile]) -> None:
        mounts = cache(mount_points)
        unsynced: list[_Change] = []
        for local_path, target in targets.items():
            content = snapshot.files[local_path]
            try:
                old = self._present.read(target, content)
                if old == content:
                    continue
                change = _Change(local_path, target.path, content, old)
                _prepare(change, mounts)
            except OSError as failure:
                raise _failed(local_path, failure) from failure
            self._changes.append(change)
            unsynced.append(change)
            if len(unsynced) == MOST_UNSYNCED:
                _sync(unsynced)
                unsynced.clear()
        _sync(unsynced)

    def install(self) -> tuple[str, ...]:
        """Move the staged files to their targets, and return the local paths that were written.

        Raises InstallError after all old files are put back; if that fails, too, the message names
        the files.  Nothing is staged afterwards.
        """
        done: list[_Change] = []
        # Writing in place is most likely to fail, so it comes first: then nothing has to be put
        # back.
        order = sorted(self._changes, key=lambda change: change.staged is not None)
        try:
            for change in order:
                try:
                    self._install_one(change)
                except OSError as failure:
                    raise _failed(change.local_path, failure) from failure
                done.append(change)
            for folder in _folders(done):
                with _Naming(folder):
                    sync_folder(folder)
            return tuple(change.local_path for change in self._changes)
        except InstallError as failure:
            raise InstallError("; ".join([str(failure), *_put_back(done)])) from failure
        finally:
            self.discard()

    def discard(self) -> None:
        """Remove what is staged.  Idempotent."""
        changes, self._changes = self._changes, []
        for change in changes:
            if change.staged is not None:
                change.staged.discard()

    def _install_one(self, change: _Change) -> None:
        if change.staged is not None:
            try:
                change.staged.install()
                return
            except OSError as failure:
                if change.old is None or failure.errno not in _NAME_REFUSES:
                    raise
                change.staged.discard()
                change.staged = None
                change.reason = f"it cannot be renamed over ({failure.strerror})"
        overwrite(change.target, change.new, change.old or b"")
        if change.local_path not in self._warned:
            self._warned.add(change.local_path)
            self._warn(change.local_path, change.reason)


def load_cached(local_paths: Sequence[str]) -> dict[str, bytes]:
    """Read the files at the targets as they are now.

    Raises InstallError with the first path that is missing, unreadable or no regular file.
    """
    resolver = TargetResolver()
    contents: dict[str, bytes] = {}
    for local_path in local_paths:
        with _Naming(local_path):
            contents[local_path] = read_regular(resolver.resolve(local_path))
    return contents


def _resolve_targets(local_paths: Iterable[str]) -> dict[str, TargetFile]:
    """Resolve every target, in the order of the local paths; two must not be the same file."""
    resolver = TargetResolver()
    targets: dict[str, TargetFile] = {}
    owners: dict[str, str] = {}
    for local_path in sorted(local_paths):
        try:
            target = resolver.resolve(local_path)
        except OSError as failure:
            raise _failed(local_path, failure) from failure
        owner = owners.setdefault(target.path, local_path)
        if owner is not local_path:
            raise InstallError(f"{local_path}: is the same file as {owner}")
        targets[local_path] = target
    return targets


class _Naming:
    """A block in which an OSError becomes an InstallError that begins with this path."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: object, failure: BaseException | None, __: object) -> None:
        if isinstance(failure, OSError):
            raise _failed(self._path, failure) from failure


def _failed(path: str, failure: OSError) -> InstallError:
    return InstallError(f"{path}: {failure.strerror or failure}")


def _sync(changes: Sequence[_Change]) -> None:
    """Wait until these files are on disk, which takes half as long if all begin first."""
    if len(changes) > 1:
        for change in changes:
            if change.staged is not None:
                change.staged.begin_sync()
    for change in changes:
        if change.staged is not None:
            try:
                change.staged.sync()
            except OSError as failure:
                raise _failed(change.local_path, failure) from failure


def _prepare(change: _Change, mounts: Callable[[], frozenset[str]]) -> None:
    """Stage this change, or find out that it must be written in place.  Raises OSError."""
    target = change.target
    if change.old is None:
        try:
            change.staged = write_staged(target, change.new, replaces=False)
        except FileNotFoundError:
            os.makedirs(folder_of(target), exist_ok=True)
            change.staged = write_staged(target, change.new, replaces=False)
        return
    refusal = write_refusal(target)
    if target in mounts():
        change.reason = "it is a mount point"
    elif refusal is not None and refusal.errno == EPERM:
        # An immutable file can neither be written nor replaced.
        raise refusal
    else:
        try:
            change.staged = write_staged(target, change.new, replaces=True)
            return
        except AttributesLostError as lost:
            change.reason = f"its owner or access list cannot be kept ({lost.strerror})"
            if refusal is not None:
                reason = f"{change.reason}, and it cannot be written in place ({refusal.strerror})"
                raise OSError(refusal.errno, reason) from lost
        except OSError as failure:
            if failure.errno not in _FOLDER_REFUSES:
                raise
            change.reason = f"its folder cannot be written ({failure.strerror})"
    if refusal is not None:
        raise refusal
    require_space(target, len(change.new))


def _put_back(done: Sequence[_Change]) -> list[str]:
    """Undo the installed changes, newest first, and return what could not be undone."""
    failures: list[str] = []
    for change in reversed(done):
        try:
            _undo(change)
        except OSError as failure:
            failures.append(f"{change.local_path} could not be put back: {failure.strerror}")
    for folder in _folders(done):
        with suppress(OSError):
            sync_folder(folder)
    return failures


def _undo(change: _Change) -> None:
    if change.old is None:
        os.unlink(change.target)
    elif change.staged is None:
        overwrite(change.target, change.old, change.new)
    else:
        # The installed file has the attributes of the old one, so they are copied from it.
        staged = write_staged(change.target, change.old, replaces=True)
        try:
            staged.sync()
            staged.install()
        finally:
            staged.discard()


def _folders(changes: Sequence[_Change]) -> list[str]:
    return sorted({folder_of(change.target) for change in changes if change.staged})
