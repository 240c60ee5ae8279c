"""The targets of one zkexec as a value: where its files are, with which modes and owners.

It has a module of its own because what makes it, the installer and what keeps track of trees all
need it, and most zkexec need no more than this of trees.
"""

from __future__ import annotations

from zkexec.files.staged_file import UNCHANGED, Attributes
from zkexec.frozen import frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from zkexec.core.snapshot import Snapshot
    from zkexec.core.target_attributes import TargetAttributes
    from zkexec.files.state_file import StateFile


@frozen(kw_only=True)
class TargetLayout:
    """The targets: `local_paths` of single files, and `folders` of trees, which end with a slash.

    `state` is the state file, None if the files alone show what was installed.  Variables are in it
    only if `keeps_variables`.
    """

    local_paths: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    attributes: TargetAttributes | None = None
    state: StateFile | None = None
    keeps_variables: bool = False

    def attributes_of(self, path: str) -> Attributes:
        """Return what options name for a target; that of a folder ends with a slash."""
        if self.attributes is None:
            return UNCHANGED
        return Attributes(self.attributes.mode_of(path), self.attributes.owner_of(path))

    def folder_of_tree(self, path: str) -> str:
        """Return the folder of the tree that a local path is in, "" if it is in none."""
        return next((folder for folder in self.folders if path.startswith(folder)), "")

    def below(self, folder: str, snapshot: Snapshot) -> list[str]:
        """Return the paths of the wanted files below the folder of a tree."""
        size = len(folder)
        return [path[size:] for path in snapshot.files if path.startswith(folder)]
