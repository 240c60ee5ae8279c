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
from zkexec.core.policy import StartPolicy
from zkexec.core.snapshot import Snapshot
from zkexec.files.file_change import InstallError
from zkexec.files.installer import Installer
from zkexec.files.target_layout import TargetLayout
from zkexec.runtime.aside import run_aside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from zkexec.cli.settings import Settings
    from zkexec.runtime.inbox import Source
    from zkexec.runtime.log import Log


class FileActions:
    """The files of one core; what takes long is done while a source is advanced."""

    def __init__(self, layout: TargetLayout, log: Log) -> None:
        self._layout = layout
        self._log = log
        self._installer = Installer(self._warn_of_writing_in_place, layout, self._warn_of_kept_file)

    def load_cached(self, source: Source | None = None) -> CachedFilesFound | CachedFilesMissing:
        """Read the files at the targets: with a state file, those that it describes."""
        try:
            return run_aside(self._load_cached, source)
        except InstallError as problem:
            return CachedFilesMissing(str(problem))

    def _load_cached(self) -> CachedFilesFound:
        # Most starts need nothing of the files that are there.
        from zkexec.files.cached_files import load_cached, load_installed  # noqa: PLC0415

        if self._layout.state is None:
            return CachedFilesFound(Snapshot(load_cached(self._layout.local_paths)))
        return load_installed(self._layout, self._installer.state)

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
            written = run_aside(self._installer.install, source)
        except InstallError as problem:
            return FilesFailed(str(problem))
        return FilesInstalled((*written, *self._installer.removed))

    def discard(self) -> None:
        """Remove what is staged."""
        self._installer.discard()

    def correct(self, source: Source | None = None) -> None:
        """Correct modes and owners of files that nothing is installed over; log what fails."""
        if self._layout.attributes is None:
            return
        for path, reason in run_aside(self._correct, source):
            self._log.write(Note("attributes-not-set", {"path": path, "reason": reason}))

    def _correct(self) -> list[tuple[str, str]]:
        from zkexec.files.cached_files import correct_attributes  # noqa: PLC0415 - as above

        return list(correct_attributes(self._layout, self._installer.state))

    def remember(self, snapshot: Snapshot, was_healthy: bool, source: Source | None = None) -> None:
        """Write into the state file which version is installed; a failure is only logged."""
        try:
            run_aside(lambda: self._installer.remember(snapshot, was_healthy), source)
        except OSError as failure:
            path = self._layout.state.path if self._layout.state else ""
            self._log.write(Note("state-unwritten", {"path": path, "reason": failure.strerror}))

    def _warn_of_writing_in_place(self, path: str, reason: str) -> None:
        self._log.write(Note("written-in-place", {"path": path, "reason": reason}))

    def _warn_of_kept_file(self, path: str) -> None:
        self._log.write(Note("file-kept", {"path": path}))


def layout_of(settings: Settings, member_id: str) -> TargetLayout:
    """Return the targets that these settings name; `member_id` is "" without a group."""
    inputs = settings.policy.inputs
    mirrored = [mirror.local_path for mirror in inputs.mirrors if not mirror.is_tree]
    state = None
    if inputs.needs_state:
        from zkexec.files.state_file import StateFile, state_path  # noqa: PLC0415 - seldom needed
        from zkexec.runtime.command_kind import state_kind  # noqa: PLC0415 - as well

        kind = state_kind(settings, member_id)
        state = StateFile(state_path(settings.state_dir, kind, settings.servers))
    return TargetLayout(
        local_paths=(*mirrored, *(template.local_path for template in inputs.templates)),
        folders=tuple(mirror.local_path for mirror in inputs.mirrored_trees),
        attributes=settings.attributes,
        state=state,
        keeps_variables=settings.policy.in_group or settings.policy.start is StartPolicy.CACHED,
    )
