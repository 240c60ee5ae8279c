"""Install the files of trees, and keep the state file: what zkexec has installed, and where.

| when | what is done |
| --- | --- |
| a snapshot is staged | The state file gets what is to be there, beside what is. Missing folders are made. The state of afterwards is staged as well, so that a full disk shows early. |
| it is installed | Files at the path of a folder are moved aside, and the other way round; all that is new is moved to its place; what is not wanted any more is moved aside. Then the staged state is moved to its place. |
| then | What was moved aside is removed, and so are folders of zkexec that are empty now. |

Until the state of afterwards is at its place, all can be put back.  What is moved aside has the name
of a staged file, so that the next start finds it if zkexec is killed.
"""  # noqa: E501 - a table

from __future__ import annotations

import os
from errno import EEXIST, ENOENT

from zkexec.files.file_change import (
    ChangedFolder,
    InstallError,
    InstallStep,
    Naming,
)
from zkexec.files.staged_file import name_beside, remove_unlocked, stem, stem_of
from zkexec.files.state_file import InstalledState, hex_digest
from zkexec.files.target_file import TargetFile, mount_points
from zkexec.files.tree_folder import TreeFolder, goes_down, open_tree
from zkexec.files.tree_plan import KnownBelow, TreePlan, is_known
from zkexec.frozen import replace
from zkexec.lean import cache, suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from zkexec.core.snapshot import Snapshot
    from zkexec.files.staged_file import Attributes, StagedFile
    from zkexec.files.target_layout import TargetLayout


class TrackedFiles:
    """The trees of one zkexec and its state; at most one snapshot is staged at a time."""

    def __init__(self, layout: TargetLayout, warn_of_kept: Callable[[str], None]) -> None:
        """`warn_of_kept(local_path)` is called for a file that stays, as others changed it."""
        self._layout = layout
        self._warn_of_kept = warn_of_kept
        self._warned: set[str] = set()
        self._state: InstalledState | None = None
        self._is_loaded = False
        self._cleaned: set[str] = set()
        self._left: set[str] = set()
        self._digests: dict[str, tuple[bytes, str]] = {}
        self._plans: list[TreePlan] = []
        self._made: list[tuple[TreePlan, str]] = []
        self._aside: list[_MoveAside] = []
        self._before: InstalledState | None = None
        self._after: InstalledState | None = None
        self._staged: StagedFile | None = None

    @property
    def state(self) -> InstalledState | None:
        """What was installed last, None if that is unknown."""
        if not self._is_loaded:
            self._is_loaded = True
            if self._layout.state is not None:
                self._state = self._layout.state.load()
        return self._state

    def plan(self, snapshot: Snapshot) -> dict[str, TargetFile]:
        """Find out what is to be done for the trees → the targets of their files by local path.

        Raises InstallError.
        """
        mounts = cache(mount_points)
        targets: dict[str, TargetFile] = {}
        for folder in self._layout.folders:
            with Naming(folder):
                tree = open_tree(folder, self._layout.attributes_of(folder))
            plan = TreePlan(folder, tree, self._known_below(folder), mounts)
            self._plans.append(plan)
            _require_apart(self._plans)
            paths = self._layout.below(folder, snapshot)
            self._remove_leftovers(plan, paths)
            plan.want(paths)
            targets.update((folder + path, target) for path, target in plan.targets.items())
            for path in plan.kept:
                self._keep(path)
        return targets

    def _known_below(self, folder: str) -> KnownBelow:
        digests: dict[str, set[str]] = {}
        folders: set[str] = set()
        state = self.state
        if state is not None:
            for path, digest in (*state.files.items(), *state.pending):
                if path.startswith(folder) and goes_down(path[len(folder) :]):
                    digests.setdefault(path[len(folder) :], set()).add(digest)
            folders.update(self._below(folder, state.folders))
        return KnownBelow(digests=digests, folders=folders)

    @staticmethod
    def _below(folder: str, paths: Iterable[str]) -> list[str]:
        """Return those of the paths that are below a folder, from there."""
        size = len(folder)
        below = (path[size:] for path in paths if path.startswith(folder))
        return list(filter(goes_down, below))

    def _keep(self, path: str) -> None:
        if path not in self._warned:
            self._warned.add(path)
            self._warn_of_kept(path)

    def _remove_leftovers(self, plan: TreePlan, wanted: Collection[str]) -> None:
        """Remove what a killed zkexec left, once, and what this one could not remove."""
        removed = () if self.state is None else self.state.removed
        below = self._below(plan.root, (*removed, *self._left))
        paths = {*filter(goes_down, wanted), *plan.known.digests, *below}
        stems = {stem(path) for path in paths}
        folders = {""}
        for path in paths:
            above = path.rpartition("/")[0]
            while above not in folders:
                folders.add(above)
                above = above.rpartition("/")[0]
        for folder in sorted(folders):
            if plan.root + folder not in self._cleaned:
                self._cleaned.add(plan.root + folder)
                with suppress(OSError):
                    for name in plan.tree.names(folder):
                        is_left = stem_of(name) in stems
                        if is_left and not remove_unlocked(name, plan.tree.open(folder)):
                            self._cleaned.discard(plan.root + folder)

    def remember_left(self, local_paths: Iterable[str]) -> None:
        """Search again for staged files of these paths, because some could not be removed."""
        left = set(local_paths)
        if left:
            self._left |= left
            self._cleaned.clear()

    def prepare(self, snapshot: Snapshot) -> None:
        """Write the state, make missing folders, and stage the state of afterwards.

        Raises InstallError.
        """
        self._before = self.state or InstalledState()
        self._after = self._state_after(snapshot, self._before)
        made = [plan.root + one for plan in self._plans for one in _new_folders(plan)]
        new = self._after.files.items() - self._before.files.items()
        pending = (*self._before.pending, *sorted(new - set(self._before.pending)))
        folders = _joined(self._before.folders, made)
        during = replace(self._before, pending=pending, folders=folders)
        file = self._layout.state
        if file is not None:
            with Naming(file.path):
                if during != self._before:
                    file.write(during)
                if self._after != during:
                    self._staged = file.stage(self._after)
        self._make_folders()

    def _make_folders(self) -> None:
        for plan in self._plans:
            for folder in plan.missing_folders:
                local_path = plan.root + folder
                with Naming(local_path):
                    plan.tree.make(folder, self._layout.attributes_of(f"{local_path}/"))
                self._made.append((plan, folder))

    def _state_after(self, snapshot: Snapshot, before: InstalledState) -> InstalledState:
        files = {path: self._digest_of(path, content) for path, content in snapshot.files.items()}
        # Old contents of trees with changing names would take more and more memory.
        self._digests = {path: self._digests[path] for path in files}
        variables = dict(snapshot.variables)
        kept = variables if self._layout.keeps_variables or not variables else None
        is_same = files == before.files and kept == before.variables and not before.pending
        return InstalledState(
            digest=snapshot.digest,
            zxid=snapshot.zxid,
            proves_nothing=snapshot.proves_nothing,
            files=files,
            folders=tuple(self._folders_after()),
            variables=kept,
            was_healthy=before.was_healthy and is_same and kept is not None,
            removed=tuple(
                plan.root + target.below
                for plan in self._plans
                for target in (*plan.removed, *(target for target, _ in plan.in_the_way))
            ),
        )

    def _digest_of(self, path: str, content: bytes) -> str:
        known = self._digests.get(path)
        if known is None or known[0] != content:
            known = self._digests[path] = content, hex_digest(content)
        return known[1]

    def _folders_after(self) -> Iterable[str]:
        """Return the folders of zkexec that will be there before empty ones are removed."""
        for plan in self._plans:
            known = {*plan.known.folders, *_new_folders(plan)} - {*plan.blocking_folders}
            for folder in sorted(known):
                if folder in plan.folders or _is_folder(plan.tree, folder):
                    yield plan.root + folder

    def steps_before(self) -> list[InstallStep]:
        """Return what is to be done before new files are moved to their places."""
        steps: list[InstallStep] = []
        for plan in self._plans:
            steps += [_KeepFolder(plan, folder) for folder in plan.missing_folders]
            aside = [_MoveAside(plan, target, folder) for target, folder in plan.in_the_way]
            self._aside += aside
            steps += aside
            steps += [_RemoveFolder(plan, folder) for folder in plan.blocking_folders]
            for folder in plan.late_folders:
                attributes = self._layout.attributes_of(f"{plan.root}{folder}/")
                steps.append(_MakeFolder(plan, folder, attributes))
        return steps

    def steps_after(self) -> list[InstallStep]:
        """Return what is to be done then."""
        steps: list[_MoveAside] = []
        for plan in self._plans:
            for target in plan.removed:
                folder = target.below.rpartition("/")[0]
                steps.append(_MoveAside(plan, target, folder, self._keep))
        self._aside += steps
        return [*steps]

    def commit(self) -> tuple[str, ...]:
        """Move the state of afterwards to its place; return the paths that were removed.

        Nothing is put back any more.  Raises InstallError; then all is to be put back.
        """
        file = self._layout.state
        if file is not None and self._staged is not None:
            with Naming(file.path):
                file.replace(self._staged)
        self._state = self._after
        self._made.clear()
        removed = tuple(step.local_path for step in self._aside if step.is_done)
        self._tidy()
        return removed

    def remember_all(self) -> None:
        """Keep in mind what an install wanted to do, because not all could be put back."""
        if self._before is not None and self._after is not None:
            pending = (*self._before.pending, *self._after.files.items())
            folders = _joined(self._before.folders, self._after.folders)
            self._state = replace(self._before, pending=pending, folders=folders)

    def _tidy(self) -> None:
        """Remove what was moved aside, and empty folders.  Never fails."""
        left = [step.local_path for step in self._aside if not step.finish()]
        self.remember_left(left)
        removed = {
            plan.root + folder
            for plan in self._plans
            for folder in self._unwanted_folders(plan)
            if _is_removed(plan.tree, folder)
        }
        state, file = self._state, self._layout.state
        if state is not None and (removed or self._aside):
            folders = tuple(folder for folder in state.folders if folder not in removed)
            self._state = replace(state, folders=folders, removed=tuple(left))
            if file is not None:
                with suppress(OSError):
                    file.write(self._state)

    def _unwanted_folders(self, plan: TreePlan) -> list[str]:
        """Return the folders of zkexec that are not wanted any more, the deepest first."""
        size = len(plan.root)
        folders = () if self._state is None else self._state.folders
        below = [path[size:] for path in folders if path.startswith(plan.root)]
        return sorted((one for one in below if one not in plan.folders), reverse=True)

    def discard(self) -> None:
        """Remove what is staged and the folders that were made for it.  Idempotent."""
        staged, self._staged = self._staged, None
        if staged is not None:
            staged.discard()
        self._remove_made_folders()
        self._aside.clear()
        for plan in self._plans:
            plan.tree.close()
        self._plans.clear()
        self._before = self._after = None

    def _remove_made_folders(self) -> None:
        """Remove the folders that were made for nothing; keep in mind those that stay."""
        left = [
            plan.root + folder
            for plan, folder in reversed(self._made)
            if not _is_removed(plan.tree, folder)
        ]
        self._made.clear()
        if left:
            state = self._state or InstalledState()
            self._state = replace(state, folders=_joined(state.folders, left))

    def remember(self, snapshot: Snapshot, was_healthy: bool) -> None:
        """Write another digest, and whether the command was healthy.  Raises OSError."""
        state, file = self.state, self._layout.state
        if state is None or file is None:
            return
        wanted = replace(
            state,
            digest=snapshot.digest,
            zxid=snapshot.zxid,
            was_healthy=was_healthy,
            proves_nothing=snapshot.proves_nothing,
        )
        if wanted != state:
            file.write(wanted)
            self._state = wanted


class _MoveAside(InstallStep):
    """A file of zkexec that gets another name, by which it can be put back or removed."""

    def __init__(
        self,
        plan: TreePlan,
        target: TargetFile,
        folder: str,
        keep: Callable[[str], None] | None = None,
    ) -> None:
        """`keep` is called if others have changed it meanwhile, so that it has to stay."""
        self.local_path = plan.root + target.below
        self._tree = plan.tree
        self._target = target
        self._folder = folder
        self._digests = plan.known.digests[target.below]
        self._keep = keep
        self._name = ""

    def apply(self) -> None:
        """Move the file, if it is still the one that zkexec has installed."""
        target = self._target
        name = name_beside(target.name)
        with suppress(FileNotFoundError):
            source = target.folder
            to = self._tree.open(self._folder)
            os.rename(target.name, name, src_dir_fd=source, dst_dir_fd=to)
            self._name = name
            if not self._is_same():
                self.undo()
                if self._keep is None:
                    raise OSError(EEXIST, "Was changed by another process meanwhile")
                self._keep(self.local_path)

    def _is_same(self) -> bool:
        below = f"{self._folder}/{self._name}" if self._folder else self._name
        path = f"{self._tree.path}/{below}"
        moved, old = TargetFile(path, self._tree.status(below), self._tree, below), self._target
        return _mark(moved) == _mark(old) or is_known(moved, self._digests)

    def undo(self) -> None:
        """Give it its name again."""
        if self._name:
            target, name = self._target, self._name
            if self._tree.status(target.below) is not None:
                raise OSError(EEXIST, os.strerror(EEXIST))
            above = self._tree.open(self._folder)
            os.rename(name, target.name, src_dir_fd=above, dst_dir_fd=target.folder)
            self._name = ""

    @property
    def is_done(self) -> bool:
        """Whether the file has another name."""
        return bool(self._name)

    def finish(self) -> bool:
        """Remove it; return whether it is gone.  Never fails."""
        if self._name:
            try:
                os.unlink(self._name, dir_fd=self._tree.open(self._folder))
            except OSError as failure:
                return failure.errno == ENOENT
        return True

    @property
    def folders(self) -> tuple[ChangedFolder, ...]:
        """The folder that it was moved to."""
        path = f"{self._tree.path}/{self._folder}".rstrip("/")
        return (ChangedFolder(path, self._tree, self._folder),)


def _mark(target: TargetFile) -> tuple[int, ...] | None:
    status = target.status
    if status is None:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


class _RemoveFolder(InstallStep):
    """An empty folder of zkexec at the path of a file."""

    def __init__(self, plan: TreePlan, folder: str) -> None:
        self.local_path = plan.root + folder
        self._tree = plan.tree
        self._folder = folder
        self._status: os.stat_result | None = None

    def apply(self) -> None:
        """Remove it."""
        self._status = self._tree.status(self._folder)
        self._tree.remove(self._folder)

    def undo(self) -> None:
        """Make it again, with the owner and mode that it had."""
        if self._status is not None:
            above, _, name = self._folder.rpartition("/")
            os.mkdir(name, 0o700, dir_fd=self._tree.open(above))
            folder = self._tree.open(self._folder)
            os.fchown(folder, self._status.st_uid, self._status.st_gid)
            os.fchmod(folder, self._status.st_mode & 0o7777)


class _KeepFolder(InstallStep):
    """A folder that was made while staging: only its name is to be made durable."""

    def __init__(self, plan: TreePlan, folder: str) -> None:
        self.local_path = plan.root + folder
        self._above = _folder_above(plan.tree, folder)

    def apply(self) -> None:
        """Do nothing: it is there."""

    def undo(self) -> None:
        """Do nothing: it is removed with what was staged."""

    @property
    def folders(self) -> tuple[ChangedFolder, ...]:
        """The folder that it is in."""
        return (self._above,)


class _MakeFolder(InstallStep):
    """A folder at a path that a file had until then."""

    def __init__(self, plan: TreePlan, folder: str, attributes: Attributes) -> None:
        self.local_path = plan.root + folder
        self._tree = plan.tree
        self._folder = folder
        self._attributes = attributes

    def apply(self) -> None:
        """Make it."""
        self._tree.make(self._folder, self._attributes)

    def undo(self) -> None:
        """Remove it."""
        self._tree.remove(self._folder)

    @property
    def folders(self) -> tuple[ChangedFolder, ...]:
        """The folder that it is in."""
        return (_folder_above(self._tree, self._folder),)


def _folder_above(tree: TreeFolder, folder: str) -> ChangedFolder:
    above = folder.rpartition("/")[0]
    return ChangedFolder(f"{tree.path}/{above}".rstrip("/"), tree, above)


def _new_folders(plan: TreePlan) -> Iterable[str]:
    return (*plan.missing_folders, *plan.late_folders)


def _joined(folders: Iterable[str], more: Iterable[str]) -> tuple[str, ...]:
    """Return both, each folder once."""
    return tuple(dict.fromkeys((*folders, *more)))


def _is_folder(tree: TreeFolder, folder: str) -> bool:
    with suppress(OSError):
        tree.open(folder)
        return True
    return False


def _is_removed(tree: TreeFolder, folder: str) -> bool:
    """Remove a folder if it is empty; return whether it is not there any more."""
    with suppress(FileNotFoundError):
        try:
            tree.remove(folder)
        except OSError as failure:
            if isinstance(failure, FileNotFoundError):
                raise
            return False
    return True


def _require_apart(plans: Sequence[TreePlan]) -> None:
    """Raise InstallError if the last folder is, or is in, that of another tree."""
    *others, last = plans
    for other in others:
        one, two = f"{last.tree.path}/", f"{other.tree.path}/"
        if one.startswith(two) or two.startswith(one):
            raise InstallError(
                f"{last.root}: is the same folder as {other.root}, or one is in the other"
            )
