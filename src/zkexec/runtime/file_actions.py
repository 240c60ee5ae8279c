"""Perform the actions of the core on files, for a zkexec that has any.

Without inputs no file is ever written, and nothing of this is imported.
"""

from __future__ import annotations

from zkexec.core.actions import Note
from zkexec.core.events import (
    CachedFilesFound,
    CachedFilesMissing,
    FilesFailed,
    FilesInstalled,
    FilesStaged,
)
from zkexec.core.snapshot import Snapshot
from zkexec.files.installer import Installer, InstallError, load_cached
from zkexec.runtime.aside import run_aside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from zkexec.runtime.inbox import Source
    from zkexec.runtime.log import Log


class FileActions:
    """The files of one core; what takes long is done while a source is advanced."""

    def __init__(self, local_paths: Sequence[str], log: Log) -> None:
        self._local_paths = local_paths
        self._log = log
        self._installer = Installer(self._warn_of_writing_in_place, len(local_paths))

    def load_cached(self) -> CachedFilesFound | CachedFilesMissing:
        """Read the files at the targets."""
        try:
            return CachedFilesFound(Snapshot(load_cached(self._local_paths)))
        except InstallError as problem:
            return CachedFilesMissing(str(problem))

    def stage(self, snapshot: Snapshot, source: Source | None) -> FilesStaged | FilesFailed:
        """Write the files of the snapshot beside the targets."""
        try:
            run_aside(lambda: self._installer.stage(snapshot), source)
        except InstallError as problem:
            return FilesFailed(str(problem))
        return FilesStaged()

    def install(self, source: Source | None) -> FilesInstalled | FilesFailed:
        """Move the staged files to the targets."""
        try:
            return FilesInstalled(run_aside(self._installer.install, source))
        except InstallError as problem:
            return FilesFailed(str(problem))

    def discard(self) -> None:
        """Remove what is staged."""
        self._installer.discard()

    def _warn_of_writing_in_place(self, path: str, reason: str) -> None:
        self._log.write(Note("written-in-place", {"path": path, "reason": reason}))
