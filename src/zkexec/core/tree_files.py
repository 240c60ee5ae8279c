"""Which files a tree of znodes becomes, and what makes it unusable as files.

Each znode with content is a file at the same place below the folder.  A znode that has children is
a folder, and its content, if it has any, is the file `zknode.data` in it.  This is the layout of
Solr's `upconfig` and `downconfig`.  Ephemeral znodes do not count.
"""

from __future__ import annotations

from zkexec.core.snapshot import Problem, Tree, Znode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

OWN_CONTENT = "zknode.data"
"""The file for the content of a znode that is a folder."""

LONGEST_NAME_BYTES = 255


class TreeFiles:
    """The files of one tree, by full path, and the problems of its znodes, by path."""

    def __init__(
        self, tree: Tree, root: str, folder: str, *, allow_empty: bool, installed: Collection[str]
    ) -> None:
        """Apply the rules to a tree; `folder` ends with a slash.

        `installed` are the paths of files that are there from an earlier version.
        """
        self.files: dict[str, bytes] = {}
        self.problems: dict[str, Problem] = {}
        self._folder = folder
        self._allow_empty = allow_empty
        self._installed = installed
        if tree.problem is not None:
            self.problems[root] = tree.problem
            return
        znodes = lasting(tree)
        folders = {"", *(above(path) for path in znodes if path)}
        for path, znode in znodes.items():
            self._add(path, znode, is_folder=path in folders, is_reserved=_is_own(path, znodes))
        if not (self.files or self.problems or allow_empty):
            self.problems[root] = Problem.NOTHING_BELOW

    def _add(self, path: str, znode: Znode, *, is_folder: bool, is_reserved: bool) -> None:
        """Add one znode, or its problem."""
        target = self._folder + path
        own_content = f"{target}/{OWN_CONTENT}" if path else target + OWN_CONTENT
        if znode.problem is not None:
            self.problems[znode.path] = znode.problem
        elif is_reserved:
            self.problems[znode.path] = Problem.RESERVED_NAME
        elif len(path.rpartition("/")[2].encode("utf-8", "replace")) > LONGEST_NAME_BYTES:
            self.problems[znode.path] = Problem.LONG_NAME
        elif znode.content:
            self.files[own_content if is_folder else target] = znode.content
        elif self._allow_empty:
            if not is_folder:
                self.files[target] = b""
        elif target in self._installed or own_content in self._installed:
            self.problems[znode.path] = Problem.EMPTY


def _is_own(path: str, znodes: Mapping[str, Znode]) -> bool:
    """Whether a znode would be the same file as the content of the znode above it."""
    is_named_so = bool(path) and path.rpartition("/")[2] == OWN_CONTENT
    return is_named_so and bool(znodes[above(path)].content)


def lasting(tree: Tree) -> dict[str, Znode]:
    """Return the znodes that are not ephemeral; those have no children."""
    return {path: znode for path, znode in tree.znodes.items() if not znode.is_ephemeral}


def above(path: str) -> str:
    """Return the path of the znode above, below the same root."""
    return path.rpartition("/")[0]
