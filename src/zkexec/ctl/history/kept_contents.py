"""Keep contents in histories, each by a request of its own, before a transaction that lists them.

So the transaction contains each content only once.  Also here is what the trees with a history get
that contain what is written: an entry each, with the author of the write.
"""

from collections.abc import Iterator, Sequence

from zkexec.ctl.history.content_change import ContentChange
from zkexec.ctl.history.content_history import (
    HistoryEntry,
    PathHistory,
    PushAuthor,
    digest_of,
    encode,
    entries_after,
)
from zkexec.ctl.history.history_acl import HistoryAcl
from zkexec.ctl.history.history_paths import HistoryPaths
from zkexec.ctl.history.tree_content import contains
from zkexec.ctl.history.trees_above import TreesAbove
from zkexec.frozen import replace
from zkexec.group.paths import LARGEST_COMMIT
from zkexec.text import cut
from zkexec.zookeeper.errors import NodeExistsError, NoNodeError
from zkexec.zookeeper.requests import Create, Dialogue, SetAcl, size_of
from zkexec.zookeeper.values import Acl


class KeptContents:
    """The contents that histories keep, for one write."""

    def __init__(self, paths: HistoryPaths, acl: HistoryAcl) -> None:
        self._paths = paths
        self._acl = acl

    def can_keep(self, history: PathHistory) -> bool:
        """Return whether what another tool has set is small enough to be kept."""
        if history.content is None:
            return True
        return size_of(self.request(history, history.content)) <= LARGEST_COMMIT

    def keep_all(self, changes: Sequence[ContentChange]) -> Dialogue:
        """Keep the contents; return False if something has changed meanwhile."""
        is_there = True
        for change in changes:
            is_there &= yield from self._keep(change)
        return is_there

    def request(self, history: PathHistory, content: bytes) -> Create:
        """Return the request that keeps a content of a path."""
        path = self._paths.content(history.path, digest_of(content))
        return Create(path, content, self._acl.of_path(history))

    def _keep(self, change: ContentChange) -> Dialogue:
        history = change.history
        index = self._paths.index(history.path)
        if history.index_version < 0:
            yield from self._create(index, encode(()), self._acl.of_index(history))
            return False
        if self._acl.has_moved(history):
            yield from self._hand_over(history)
        contents = [change.content]
        if history.is_set_by_other_tool and history.content is not None and self.can_keep(history):
            contents.append(history.content)
        for content in contents:
            create = self.request(history, content)
            if create.path.rpartition("/")[2] in history.kept:
                continue
            (created,) = yield [create]
            if isinstance(created, NoNodeError):
                return False
            if not isinstance(created, NodeExistsError):
                self._paths.demand(create, created)
        return True

    def _create(self, path: str, content: bytes, acl: Sequence[Acl]) -> Dialogue:
        """Create a znode of the history, and those above it if they are missing."""
        create = Create(path, content, acl)
        (created,) = yield [create]
        if isinstance(created, NoNodeError):
            yield from self._create(path.rpartition("/")[0], b"", self._acl.above_histories)
            (created,) = yield [create]
        if not isinstance(created, NodeExistsError):
            self._paths.demand(create, created)
        return None

    def _hand_over(self, history: PathHistory) -> Dialogue:
        """Give the history the ACL that follows from the path's ACL now.

        This needs the admin permission; without it the history keeps its ACL.
        """
        contents = [f"{self._paths.index(history.path)}/{name}" for name in sorted(history.kept)]
        acl = self._acl.of_path(history)
        yield [
            SetAcl(self._paths.index(history.path), self._acl.of_index(history), -1),
            *(SetAcl(path, acl, -1) for path in contents),
        ]
        return None


def grown_above(
    above: TreesAbove, author: PushAuthor, changed: Sequence[str], what: str
) -> Iterator[tuple[ContentChange, tuple[HistoryEntry, ...]]]:
    """Give the trees above the changed paths, each with its entries after the write.

    `what` is how the write is called in an entry of an author without a message.
    """
    for change in above.entries:
        inside = [path for path in changed if contains(change.path, path)]
        message = author.message or cut(f"{what} {', '.join(inside)}")
        yield (
            change,
            entries_after(change.history, change.content, replace(author, message=message)),
        )
