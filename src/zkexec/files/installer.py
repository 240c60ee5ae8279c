"""Stage the files of the configuration, install them together, and put the old ones back together.

A snapshot is installed in one step, as far as the disk allows.  Errors are found while staging,
when the command still runs.  Equal content is not rewritten.  Old contents are kept in memory while
something is staged, to put them back, and no content is in a message.

A new file replaces the old one by a rename, so other hard links of a target keep the old content.
Folders that were created for a single file stay, even if staging fails later.

With many files the work for each counts: folders are resolved once, files that have not changed are
not read again, and syncs are waited for only when all have begun.
"""

from __future__ import annotations

from zkexec.files.file_change import (
    ChangedFolder,
    Correction,
    FileChange,
    InstallError,
    InstallStep,
    Naming,
    install_error,
    needs_correction,
)
from zkexec.files.staged_file import (
    MOST_UNSYNCED,
    UNCHANGED,
    remove_leftovers,
    reserve_descriptors,
)
from zkexec.files.target_file import (
    PresentContents,
    TargetFile,
    TargetResolver,
    mount_points,
)
from zkexec.files.target_layout import TargetLayout
from zkexec.lean import cache, suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from zkexec.core.snapshot import Snapshot
    from zkexec.files.state_file import InstalledState
    from zkexec.files.tracked_files import TrackedFiles

_SINGLE_FILES = TargetLayout()
_FILES_OF_TREES = 5_000


def _ignore(_: str) -> None:
    """Do nothing about a file that stays."""


class Installer:
    """The files at the targets of all inputs.

    At most one snapshot is staged at a time.  `discard` must be called at every end.
    """

    def __init__(
        self,
        warn: Callable[[str, str], None],
        layout: TargetLayout = _SINGLE_FILES,
        warn_of_kept: Callable[[str], None] = _ignore,
    ) -> None:
        """`warn(local_path, reason)` is called once for each path that is written in place.

        `warn_of_kept(local_path)` is called once for each file that zkexec has installed and does
        not remove, because another process has changed it.
        """
        reserve_descriptors(_FILES_OF_TREES if layout.folders else len(layout.local_paths))
        self._layout = layout
        self._warn = warn
        self._warned: set[str] = set()
        self._changes: list[FileChange] = []
        self._corrections: list[Correction] = []
        self._present = PresentContents()
        self._cleaned: set[str] = set()
        self._tracked = _track(layout, warn_of_kept)
        self.removed: tuple[str, ...] = ()

    @property
    def state(self) -> InstalledState | None:
        """What was installed last by the state file, None if that is unknown."""
        return self._tracked.state if self._tracked else None

    def stage(self, snapshot: Snapshot) -> None:
        """Write and sync what differs from the disk, where no reader sees it.

        What was staged before is discarded first, so that its space is free.  Raises InstallError;
        then nothing is staged.
        """
        self.discard()
        try:
            in_trees = self._tracked.plan(snapshot) if self._tracked else {}
            single = [path for path in snapshot.files if path not in in_trees]
            targets = _resolve_targets(single, in_trees)
            self._remove_leftovers({targets[path].path for path in single})
            if self._tracked:
                self._tracked.prepare(snapshot)
            self._stage(snapshot, targets)
        except BaseException:
            self.discard()
            raise

    def _remove_leftovers(self, paths: set[str]) -> None:
        """Remove what a killed zkexec left, once, and what this one could not remove."""
        self._cleaned = paths if remove_leftovers(paths - self._cleaned) else set()

    def _stage(self, snapshot: Snapshot, targets: dict[str, TargetFile]) -> None:
        mounts = cache(mount_points)
        unsynced: list[FileChange] = []
        self._present.forget_others(targets.values())
        for local_path, target in targets.items():
            content = snapshot.files[local_path]
            try:
                change = self._staged_change(local_path, target, content, mounts)
            except OSError as failure:
                raise install_error(local_path, failure) from failure
            if change is None:
                continue
            self._changes.append(change)
            unsynced.append(change)
            if len(unsynced) == MOST_UNSYNCED:
                _sync(unsynced)
                unsynced.clear()
        _sync(unsynced)

    def _staged_change(
        self,
        local_path: str,
        target: TargetFile,
        content: bytes,
        mounts: Callable[[], frozenset[str]],
    ) -> FileChange | None:
        """Stage one file; None if its content is the wanted one.  Raises OSError."""
        wanted = self._layout.attributes_of(local_path)
        old = None if target.is_link else self._present.read(target, content)
        change = None
        if old != content:
            change = FileChange(local_path, target, content, old, wanted)
            change.prepare(mounts)
        if wanted != UNCHANGED and target.status is not None and old is not None:
            stays = change is None or change.staged is None
            if stays and needs_correction(target.status, wanted):
                correction = Correction(local_path, target, target.status, wanted)
                correction.require_right()
                self._corrections.append(correction)
        return change

    def install(self) -> tuple[str, ...]:
        """Move the staged files to their targets, and return the local paths that were written.

        Those of files that were removed are in `removed` afterwards.  Raises InstallError after all
        old files are put back; if that fails, too, the message names the files.  Nothing is staged
        afterwards.
        """
        done: list[InstallStep] = []
        try:
            for step in self._steps():
                with Naming(step.local_path):
                    step.apply()
                done.append(step)
                self._warn_if_in_place(step)
            for folder in _folders(done):
                with Naming(folder.path):
                    folder.sync()
            if self._tracked:
                self.removed = self._tracked.commit()
            return tuple(change.local_path for change in self._changes)
        except InstallError as failure:
            failures = _put_back(done)
            if failures and self._tracked:
                self._tracked.remember_all()
            raise InstallError("; ".join([str(failure), *failures])) from failure
        finally:
            self.discard()

    def _steps(self) -> Sequence[InstallStep]:
        """Return what is to be done, in this order.

        Writing in place is most likely to fail, so it comes first: then nothing has to be put
        back.  New files come before the removal of others.
        """
        if not self._tracked and not self._corrections:
            return sorted(self._changes, key=lambda change: change.staged is not None)
        in_place = [change for change in self._changes if change.staged is None]
        staged = [change for change in self._changes if change.staged is not None]
        before = self._tracked.steps_before() if self._tracked else []
        after = self._tracked.steps_after() if self._tracked else []
        return [*self._corrections, *in_place, *before, *staged, *after]

    def _warn_if_in_place(self, step: InstallStep) -> None:
        if not isinstance(step, FileChange) or step.staged is not None:
            return
        if step.local_path not in self._warned:
            self._warned.add(step.local_path)
            self._warn(step.local_path, step.reason)

    def discard(self) -> None:
        """Remove what is staged.  Idempotent."""
        changes, self._changes = self._changes, []
        self._corrections.clear()
        for change in changes:
            change.discard()
        left = [change for change in changes if change.left_staged]
        self._cleaned -= {change.target.path for change in left}
        if self._tracked:
            self._tracked.remember_left(change.local_path for change in left)
            self._tracked.discard()

    def remember(self, snapshot: Snapshot, was_healthy: bool) -> None:
        """Write into the state file which version this is.  Raises OSError."""
        if self._tracked:
            self._tracked.remember(snapshot, was_healthy)


def _track(layout: TargetLayout, warn_of_kept: Callable[[str], None]) -> TrackedFiles | None:
    """Return what keeps track of files; None if there is neither a tree nor a state file."""
    if not layout.folders and layout.state is None:
        return None
    from zkexec.files.tracked_files import TrackedFiles  # noqa: PLC0415 - most need none of it

    return TrackedFiles(layout, warn_of_kept)


def _resolve_targets(
    local_paths: Iterable[str], in_trees: dict[str, TargetFile]
) -> dict[str, TargetFile]:
    """Resolve every target, in the order of the local paths; two must not be the same file."""
    resolver = TargetResolver()
    targets: dict[str, TargetFile] = {}
    owners: dict[str, str] = {}
    for local_path in sorted([*local_paths, *in_trees]):
        known = in_trees.get(local_path)
        try:
            target = resolver.resolve(local_path) if known is None else known
        except OSError as failure:
            raise install_error(local_path, failure) from failure
        owner = owners.setdefault(target.path, local_path)
        if owner is not local_path:
            raise InstallError(f"{local_path}: is the same file as {owner}")
        targets[local_path] = target
    return targets


def _sync(changes: Sequence[FileChange]) -> None:
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
                raise install_error(change.local_path, failure) from failure


def _put_back(done: Sequence[InstallStep]) -> list[str]:
    """Undo what was done, newest first, and return what could not be undone."""
    failures: list[str] = []
    for step in reversed(done):
        try:
            step.undo()
        except OSError as failure:
            failures.append(f"{step.local_path} could not be put back: {failure.strerror}")
    for folder in _folders(done):
        with suppress(OSError):
            folder.sync()
    return failures


def _folders(steps: Sequence[InstallStep]) -> list[ChangedFolder]:
    folders = {folder.path: folder for step in steps for folder in step.folders}
    return [folders[path] for path in sorted(folders)]
