"""Read the files on disk as the configuration that is installed there."""

from __future__ import annotations

from zkexec.core.events import CachedFilesFound
from zkexec.core.snapshot import Snapshot
from zkexec.files.file_change import Correction, InstallError, Naming, needs_correction
from zkexec.files.staged_file import UNCHANGED
from zkexec.files.target_file import TargetFile, TargetResolver, read_regular

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from zkexec.files.state_file import InstalledState
    from zkexec.files.target_layout import TargetLayout
    from zkexec.files.tree_folder import TreeFolder


def load_cached(local_paths: Sequence[str]) -> dict[str, bytes]:
    """Read the files at the targets as they are now.

    Raises InstallError with the first path that is missing, unreadable or no regular file.
    """
    return dict(_contents(local_paths, ()))


def load_installed(layout: TargetLayout, state: InstalledState | None) -> CachedFilesFound:
    """Read the snapshot that the state describes.

    Raises InstallError with the first file that is not as it was installed.
    """
    from zkexec.files.state_file import hex_digest  # noqa: PLC0415 - most zkexec have no state

    path = layout.state.path if layout.state else ""
    if state is None:
        raise InstallError(f"{path}: does not exist, or is no state file")
    if state.variables is None and layout.keeps_variables:
        raise InstallError(f"{path}: does not contain the variables")
    _require_targets(layout, state)
    contents = {}
    for path, content in _contents(state.files, layout.folders):
        if hex_digest(content) != state.files[path]:
            raise InstallError(f"{path}: is not as zkexec has installed it")
        contents[path] = content
    for path, _ in _contents([path for path, _ in state.pending], layout.folders, skips=True):
        if path not in contents:
            raise InstallError(f"{path}: belongs to a change that was not finished")
    snapshot = Snapshot(
        contents,
        variables=state.variables or {},
        digest=state.digest,
        proves_nothing=state.proves_nothing,
    )
    return CachedFilesFound(snapshot, state.was_healthy, state.zxid)


def correct_attributes(
    layout: TargetLayout, state: InstalledState | None
) -> Iterator[tuple[str, str]]:
    """Give the files at the targets the modes and owners that options name.

    Yields the path of each file for which that fails, and the reason.
    """
    resolver, trees = TargetResolver(), _Trees()
    try:
        for path in sorted(layout.local_paths if state is None else state.files):
            wanted, folder = layout.attributes_of(path), layout.folder_of_tree(path)
            if wanted == UNCHANGED:
                continue
            try:
                target = trees.target(folder, path) if folder else resolver.resolve(path)
                if target.status is not None and needs_correction(target.status, wanted):
                    Correction(path, target, target.status, wanted).apply()
            except OSError as failure:
                yield path, failure.strerror or str(failure)
    finally:
        trees.close()


def _require_targets(layout: TargetLayout, state: InstalledState) -> None:
    """Raise InstallError unless the state is about these targets."""
    for path in layout.local_paths:
        if path not in state.files:
            raise InstallError(f"{path}: zkexec has not installed it")
    for path in state.files:
        if path not in layout.local_paths and not layout.folder_of_tree(path):
            raise InstallError(f"{path}: is no target any more")


def _contents(
    local_paths: Iterable[str], folders: Sequence[str], *, skips: bool = False
) -> Iterator[tuple[str, bytes]]:
    """Yield the content of each file; `skips` those that cannot be read.  Raises InstallError."""
    resolver = TargetResolver()
    trees = _Trees()
    try:
        for path in sorted(local_paths):
            folder = next((folder for folder in folders if path.startswith(folder)), "")
            try:
                with Naming(path):
                    target = trees.target(folder, path) if folder else resolver.resolve(path)
                    content = read_regular(target)
            except InstallError:
                if skips:
                    continue
                raise
            yield path, content
    finally:
        trees.close()


class _Trees:
    """The folders of trees, each opened once."""

    def __init__(self) -> None:
        self._open: dict[str, TreeFolder] = {}

    def target(self, folder: str, path: str) -> TargetFile:
        """Return a file of a tree.  Raises OSError."""
        from zkexec.files.tree_folder import TreeFolder  # noqa: PLC0415 - most have no tree

        if folder not in self._open:
            self._open[folder] = TreeFolder(folder)
        tree, below = self._open[folder], path[len(folder) :]
        return TargetFile(f"{tree.path}/{below}", tree.status(below), tree, below)

    def close(self) -> None:
        """Close all of them."""
        for tree in self._open.values():
            tree.close()
