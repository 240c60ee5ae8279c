"""One path and what a push writes there: the operations on its znode, or on those of its tree.

A tree is written over all versions that were shown.  Its root is always written, also with the
same content: its version then shows to every other push that the tree has changed.
"""

from collections.abc import Iterator, Sequence

from zkexec.ctl.exit_status import SubcommandError
from zkexec.ctl.history.content_history import PathHistory
from zkexec.ctl.history.history_paths import HistoryPaths
from zkexec.ctl.history.tree_content import decode, folders, is_tree
from zkexec.frozen import frozen
from zkexec.zookeeper.requests import Check, Create, Delete, Operation, SetContent
from zkexec.zookeeper.values import Acl


@frozen(kw_only=True, hidden=("content",))
class ContentChange:
    """New content for a path, whose history is as it was shown; `source` is where it comes from.

    `restored_revision` is the revision whose content an undo brings back, else 0.
    """

    history: PathHistory
    content: bytes
    source: str
    restored_revision: int = 0

    @property
    def path(self) -> str:
        """The path to write."""
        return self.history.path

    @property
    def is_needed(self) -> bool:
        """Whether the path has other content now."""
        return self.history.content != self.content


@frozen()
class Removal:
    """The removal of a znode or tree, whose history is as it was shown."""

    history: PathHistory

    @property
    def path(self) -> str:
        """The path to delete."""
        return self.history.path


def operations_of(
    change: ContentChange, paths: HistoryPaths, acl: Sequence[Acl]
) -> list[Operation]:
    """Return what a push does to the znodes of one path; parents are created first.

    New znodes get the ACL.  Raises SubcommandError if an ephemeral znode is in the way.
    """
    if is_tree(change.path):
        return _TreeOperations(change, paths, acl).all()
    whole, history = paths.znode(change.path), change.history
    if history.content is None:
        return [Create(whole, change.content, acl)]
    return [SetContent(whole, change.content, history.version)]


def checks_of(history: PathHistory, paths: HistoryPaths) -> list[Operation]:
    """Return what makes a transaction fail if a path has changed."""
    if history.tree is None:
        return [Check(paths.znode(history.path), history.version)]
    return [
        Check(paths.znode(history.path + path), znode.stat.version)
        for path, znode in history.tree.znodes.items()
    ]


class _TreeOperations:
    """What makes the znodes of a tree those of its new content."""

    def __init__(self, change: ContentChange, paths: HistoryPaths, acl: Sequence[Acl]) -> None:
        self._path = change.path
        self._paths = paths
        self._acl = acl
        tree = change.history.tree
        self._now = {} if tree is None else tree.znodes
        self._ephemerals = frozenset[str]() if tree is None else tree.ephemerals
        self._contents = decode(change.content)
        self._wanted = {"", *self._contents, *folders(self._contents)}

    def all(self) -> list[Operation]:
        """Return all operations, those first that others need."""
        self._check_ephemerals()
        return [*self._creates(), *self._writes(), *self._deletes()]

    def _check_ephemerals(self) -> None:
        for path in sorted(self._ephemerals):
            if path in self._wanted:
                raise SubcommandError(
                    f"{self._path}{path}: is an ephemeral znode, which ends with its session: "
                    "no file can be there or below it"
                )
            above = path.rpartition("/")[0]
            if above not in self._wanted:
                raise SubcommandError(
                    f"{self._path}{above}: cannot be deleted, as there is an ephemeral znode "
                    f"below it: {self._path}{path}"
                )

    def _creates(self) -> Iterator[Operation]:
        for path in sorted(self._wanted - self._now.keys()):
            yield Create(self._whole(path), self._contents.get(path, b""), self._acl)

    def _writes(self) -> Iterator[Operation]:
        for path in sorted(self._wanted & self._now.keys()):
            znode, content = self._now[path], self._contents.get(path, b"")
            if path and content == znode.content:
                yield Check(self._whole(path), znode.stat.version)
            else:
                yield SetContent(self._whole(path), content, znode.stat.version)

    def _deletes(self) -> Iterator[Operation]:
        # What is below a znode comes behind it, and has to go first.
        for path in sorted(self._now.keys() - self._wanted, reverse=True):
            yield Delete(self._whole(path), self._now[path].stat.version)

    def _whole(self, path: str) -> str:
        return self._paths.znode(self._path + path)
