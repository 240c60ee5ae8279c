"""The mirrored files: staged out of sight, installed together, put back together.

Rules of this file: one snapshot is one step, as far as the disk allows.  What can fail is found
out while staging, when the child still runs.  Equal content is not touched.  Old contents are
kept in memory while something is staged, for the way back, and no content gets into a message.

A new file takes the place of the old one by a rename, so other hard links of a target keep the
old content.  Folders that were made for a target stay, also where staging fails later.

With many mirrors whatever is done for each file counts: folders are resolved once, files that
stayed as they were are not read again, and nothing is waited for before all is on its way to
the disk.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from errno import EACCES, EBUSY, EPERM, EROFS, EXDEV
from functools import cache

from zkexec.core.snapshot import Snapshot
from zkexec.files.staged_file import (
    MOST_UNSYNCED,
    AttributesLostError,
    StagedFile,
    make_room,
    sweep,
    write_staged,
)
from zkexec.files.target_file import (
    Place,
    Present,
    Resolver,
    demand_room,
    folder_of,
    mount_points,
    overwrite,
    read_regular,
    sync_folder,
    write_refusal,
)

# The folder does not let us in, but the file itself may.
_FOLDER_REFUSES = frozenset({EACCES, EPERM, EROFS})
# A rename that failed like this fails for the name's sake; the file itself may be writable.
_NAME_REFUSES = frozenset({EBUSY, EXDEV, EACCES, EPERM})


class InstallError(Exception):
    """A file could not be read, staged or installed; the text is a part of a sentence."""


class _Change:
    """One file of the snapshot that differs from what stands at its target.

    `old` is None where nothing stands there.  Without a draft the file is written in place,
    for the reason given.
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

    At most one snapshot is staged at a time.  `discard` has to be called at every end.
    """

    def __init__(self, warn: Callable[[str, str], None], mirrors: int = 0) -> None:
        """`warn(local_path, reason)` is called once per path, when it is written in place.

        `mirrors` is how many files there will be; it only makes it faster.
        """
        make_room(mirrors)
        self._warn = warn
        self._warned: set[str] = set()
        self._changes: list[_Change] = []
        self._present = Present()
        self._swept: set[str] = set()

    def stage(self, snapshot: Snapshot) -> None:
        """Write and sync what differs from the disk, where nobody sees it.

        Whatever was staged before is discarded first, so that the room it took is free.
        Raises InstallError; then nothing is staged.
        """
        self.discard()
        try:
            places = _places(snapshot.files)
            self._sweep({target for target, _ in places.values()})
            self._stage(snapshot, places)
        except BaseException:
            self.discard()
            raise

    def _sweep(self, targets: set[str]) -> None:
        """Remove what earlier runs have left; this run leaves nothing."""
        sweep(targets - self._swept)
        self._swept = targets

    def _stage(self, snapshot: Snapshot, places: dict[str, Place]) -> None:
        mounts = cache(mount_points)
        unsynced: list[_Change] = []
        for local_path, place in places.items():
            content = snapshot.files[local_path]
            try:
                old = self._present.read(place, content)
                if old == content:
                    continue
                change = _Change(local_path, place[0], content, old)
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
        """Put what is staged into its places, and name the local paths that were written.

        Raises InstallError after everything is back as it was; where that fails too, the message
        says for which file.  Nothing is staged afterwards.
        """
        done: list[_Change] = []
        # Writing in place is the likeliest to fail, and it comes first: then there is nothing
        # yet to put back.
        order = sorted(self._changes, key=lambda change: change.staged is not None)
        try:
            for change in order:
                try:
                    self._put(change)
                except OSError as failure:
                    raise _failed(change.local_path, failure) from failure
                done.append(change)
            for folder in _folders(done):
                with _naming(folder):
                    sync_folder(folder)
            return tuple(change.local_path for change in self._changes)
        except InstallError as failure:
            raise InstallError("; ".join([str(failure), *_put_back(done)])) from failure
        finally:
            self.discard()

    def discard(self) -> None:
        """Forget what is staged; nothing of it stays on disk.  Idempotent."""
        changes, self._changes = self._changes, []
        for change in changes:
            if change.staged is not None:
                change.staged.drop()

    def _put(self, change: _Change) -> None:
        if change.staged is not None:
            try:
                change.staged.publish()
                return
            except OSError as failure:
                if change.old is None or failure.errno not in _NAME_REFUSES:
                    raise
                change.staged.drop()
                change.staged = None
                change.reason = f"it cannot be renamed over ({failure.strerror})"
        overwrite(change.target, change.new, change.old or b"")
        if change.local_path not in self._warned:
            self._warned.add(change.local_path)
            self._warn(change.local_path, change.reason)


def load_cached(local_paths: Sequence[str]) -> dict[str, bytes]:
    """Read the files that stand at the targets now.

    Raises InstallError naming the first path that is missing, unreadable or no regular file.
    """
    resolver = Resolver()
    contents: dict[str, bytes] = {}
    for local_path in local_paths:
        with _naming(local_path):
            contents[local_path] = read_regular(resolver.place(local_path))
    return contents


def _places(local_paths: Iterable[str]) -> dict[str, Place]:
    """Find every place, in the order of the local paths; each has to be a file of its own."""
    resolver = Resolver()
    places: dict[str, Place] = {}
    owners: dict[str, str] = {}
    for local_path in sorted(local_paths):
        try:
            place = resolver.place(local_path)
        except OSError as failure:
            raise _failed(local_path, failure) from failure
        owner = owners.setdefault(place[0], local_path)
        if owner is not local_path:
            raise InstallError(f"{local_path}: is the same file as {owner}")
        places[local_path] = place
    return places


@contextmanager
def _naming(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as failure:
        raise _failed(path, failure) from failure


def _failed(path: str, failure: OSError) -> InstallError:
    return InstallError(f"{path}: {failure.strerror or failure}")


def _sync(changes: Sequence[_Change]) -> None:
    """Wait until these drafts are on disk, which takes half as long once all are on their way."""
    if len(changes) > 1:
        for change in changes:
            if change.staged is not None:
                change.staged.hurry()
    for change in changes:
        if change.staged is not None:
            try:
                change.staged.sync()
            except OSError as failure:
                raise _failed(change.local_path, failure) from failure


def _prepare(change: _Change, mounts: Callable[[], frozenset[str]]) -> None:
    """Find the way to write this change, and go it as far as nobody sees it.  Raises OSError."""
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
        # An immutable file: it can neither be written nor renamed over.
        raise refusal
    else:
        try:
            change.staged = write_staged(target, change.new, replaces=True)
            return
        except AttributesLostError as lost:
            change.reason = f"its owner or access list cannot be kept ({lost.strerror})"
            if refusal is not None:
                told = f"{change.reason}, and it cannot be written in place ({refusal.strerror})"
                raise OSError(refusal.errno, told) from lost
        except OSError as failure:
            if failure.errno not in _FOLDER_REFUSES:
                raise
            change.reason = f"its folder cannot be written ({failure.strerror})"
    if refusal is not None:
        raise refusal
    demand_room(target, len(change.new))


def _put_back(done: Sequence[_Change]) -> list[str]:
    """Undo the installed changes, newest first, and say what could not be undone."""
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
        # The file in place has the attributes of the old one, so it is their source again.
        staged = write_staged(change.target, change.old, replaces=True)
        try:
            staged.sync()
            staged.publish()
        finally:
            staged.drop()


def _folders(changes: Sequence[_Change]) -> list[str]:
    return sorted({folder_of(change.target) for change in changes if change.staged})
