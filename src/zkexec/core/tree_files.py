"""Which files a tree of znodes becomes, and what makes it unusable as files.

Each znode with content is a file at the same place below the folder.  A znode that has children is
a folder, and its content, if it has any, is the file `zknode.data` in it.  This is the layout of
Solr's `upconfig` and `downconfig`.  Ephemeral znodes do not count.
"""

from __future__ import annotations

from zkexec.core.snapshot import Problem, Tree, Znode
from zkexec.frozen import frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

OWN_CONTENT = "zknode.data"
"""The file for the content of a znode that is a folder."""

LONGEST_NAME_BYTES = 255


@frozen(hidden=("contents",))
class InstalledFiles:
    """The files that are there from an earlier version, by path, and the zxid of this version."""

    contents: Mapping[str, bytes]
    zxid: int = 0

    def has_been(self, znode: Znode, *targets: str) -> bool:
        """Whether one of these files is there from this znode, and not from one before it.

        An empty znode that was written since it was created may have had content meanwhile.
        """
        is_another = znode.mzxid == znode.czxid > self.zxid
        return not is_another and any(target in self.contents for target in targets)


class TreeFiles:
    """The files of one tree, by full path, and the problems of its znodes, by path."""

    def __init__(
        self, tree: Tree, root: str, folder: str, *, allow_empty: bool, installed: InstalledFiles
    ) -> None:
        """Apply the rules to a tree; `folder` ends with a slash."""
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
            if _is_own(path, znodes):
                self.problems[znode.path] = Problem.RESERVED_NAME
            else:
                # A child of this name is a file of its own if the znode above it has no content.
                own = "" if f"{path}/{OWN_CONTENT}".lstrip("/") in znodes else OWN_CONTENT
                self._add(path, znode, own, is_folder=path in folders)
        if not (self.files or self.problems or allow_empty):
            self.problems[root] = Problem.NOTHING_BELOW

    def _add(self, path: str, znode: Znode, own: str, *, is_folder: bool) -> None:
        """Add one znode, or its problem; `own` is the name of the file for its own content."""
        target = self._folder + path
        own_content = f"{target}/{own}" if path else target + own
        if znode.problem is not None:
            self.problems[znode.path] = znode.problem
        elif len(path.rpartition("/")[2].encode("utf-8", "replace")) > LONGEST_NAME_BYTES:
            self.problems[znode.path] = Problem.LONG_NAME
        elif znode.content:
            self.files[own_content if is_folder else target] = znode.content
        elif self._allow_empty:
            if not is_folder:
                self.files[target] = b""
        elif self._installed.has_been(znode, target, own_content):
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
