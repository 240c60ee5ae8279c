"""Delete a znode or a tree, and after it the histories of what is gone.

The rules of this file:

- The znodes go in one transaction, over the versions that were shown.  Trees around them that have
  a history get an entry in it, as from a push.
- Each history goes in a transaction of its own, if nothing was pushed to its path since.  What is
  left of histories when this is cut off can be deleted by another attempt.
"""

import time
from collections.abc import Collection, Iterator, Sequence
from urllib.parse import unquote

from zkexec.ctl.exit_status import SubcommandError
from zkexec.ctl.history.content_change import Removal
from zkexec.ctl.history.content_history import PathHistory, PushAuthor, encode
from zkexec.ctl.history.history_acl import HistoryAcl
from zkexec.ctl.history.history_paths import HistoryPaths
from zkexec.ctl.history.history_store import history_steps
from zkexec.ctl.history.kept_contents import KeptContents, grown_above
from zkexec.ctl.history.push_conflict import conflict_of
from zkexec.ctl.history.tree_content import contains, is_tree
from zkexec.ctl.history.trees_above import TreesAbove, trees_above
from zkexec.frozen import frozen, replace
from zkexec.group.paths import LARGEST_COMMIT
from zkexec.znode_paths import check_zk_path
from zkexec.zookeeper.errors import (
    BadVersionError,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
    RefusedError,
)
from zkexec.zookeeper.requests import (
    Children,
    Delete,
    Dialogue,
    Get,
    Operation,
    SetContent,
    Transaction,
    first_error,
    size_of,
)

_TRIES = 10
_HAS_CHANGED = (BadVersionError, NodeExistsError, NoNodeError, NotEmptyError)


@frozen()
class KeptHistory:
    """A history in the cluster: the path that it is of, and how many contents it keeps.

    `version` is that of its index, `names` are the znodes below it.
    """

    path: str
    version: int
    names: tuple[str, ...]


class DeletionTransaction:
    """One deletion of a znode or a tree that is still as it was shown."""

    def __init__(
        self,
        shown: PathHistory,
        author: PushAuthor,
        paths: HistoryPaths,
        acl: HistoryAcl,
        inputs: Collection[str],
    ) -> None:
        """`inputs` are those of members: of trees around the path, the roots are written."""
        self.is_unknown = False
        """Whether the transaction was sent and had no answer yet."""
        self._shown = shown
        self._author = author
        self._paths = paths
        self._acl = acl
        self._inputs = inputs
        self._kept = KeptContents(paths, acl)

    def check(self) -> None:
        """Raise SubcommandError if this cannot be deleted as it is."""
        shown = self._shown
        for path in sorted(shown.tree.ephemerals if shown.tree else ()):
            raise SubcommandError(
                f"{shown.path}{path}: is an ephemeral znode, which ends with its session: it "
                "cannot be deleted, and so none of the znodes above it"
            )
        size = size_of(Transaction(list(self._deletes())))
        if size > LARGEST_COMMIT:
            raise SubcommandError(
                f"{shown.path}: takes {size} bytes with the paths of its znodes, more than the "
                f"{LARGEST_COMMIT} that a server takes at once: delete the folders in it one by one"
            )

    def steps(self) -> Dialogue:
        """Delete the znodes → the trees around them that got an entry."""
        for _ in range(_TRIES):
            now: PathHistory = yield from history_steps(self._paths, self._shown.path)
            if self.is_unknown and now.content is None:
                self.is_unknown = False
                return ()
            if conflict := conflict_of(self._shown, now):
                self.is_unknown = False
                raise SubcommandError(f"{conflict}; nothing was deleted")
            removal = [Removal(now)]
            above = yield from trees_above(self._paths, self._acl, removal, self._inputs)
            if not (yield from self._kept.keep_all(above.entries)):
                continue
            folders = yield from self._empty_folders(above)
            if (yield from self._write(above, folders)):
                return tuple(change.path for change in above.entries)
        raise RefusedError(f"{self._shown.path}: others keep changing it")

    def _empty_folders(self, above: TreesAbove) -> Dialogue:
        """Find the znodes of a tree above that would be left as empty files → what deletes them."""
        path = self._shown.path.rstrip("/")
        known = [change.path for change in above.entries]
        trees = [tree for tree in (*known, *self._inputs) if is_tree(tree) and contains(tree, path)]
        written = {operation.path for operation in above.roots}
        deletes: list[Operation] = []
        while trees and (folder := path.rpartition("/")[0]).startswith(min(trees, key=len)):
            request = Children(self._paths.znode(folder))
            (found,) = yield [request]
            if isinstance(found, NoNodeError) or request.path in written:
                break
            names, stat = self._paths.demand(request, found)
            if len(names) > 1 or stat.data_length:
                break
            deletes.append(Delete(request.path, stat.version))
            path = folder
        return deletes

    def _write(self, above: TreesAbove, folders: Sequence[Operation]) -> Dialogue:
        """Delete everything at once → False if something has changed meanwhile."""
        author = replace(self._author, at=time.time())
        operations: list[Operation] = [*self._deletes(), *folders]
        for change, entries in grown_above(above, author, [self._shown.path], "deletion of"):
            index = self._paths.index(change.path)
            operations.append(SetContent(index, encode(entries), change.history.index_version))
        operations += above.roots
        self.is_unknown = True
        (results,) = yield [Transaction(operations)]
        self.is_unknown = False
        refused = first_error(self._paths.paths.demand(operations[0].path, results))
        if refused is None:
            return True
        if not isinstance(refused[1], _HAS_CHANGED):
            raise self._paths.refusal(operations[refused[0]], refused[1])
        return False

    def _deletes(self) -> Iterator[Operation]:
        shown = self._shown
        if shown.tree is None:
            yield Delete(self._paths.znode(shown.path), shown.version)
            return
        # What is below a znode comes behind it, and has to go first.
        for path in sorted(shown.tree.znodes, reverse=True):
            yield Delete(self._paths.znode(shown.path + path), shown.tree.znodes[path].stat.version)


def histories_of(paths: HistoryPaths, path: str) -> Dialogue:
    """Find the histories of a path, and of a tree also those of what is in it → KeptHistory each.

    With a single znode, the history of the tree with this root goes as well.
    """
    request = Children(paths.paths.base)
    (listed,) = yield [request]
    names = [] if isinstance(listed, NoNodeError) else paths.demand(request, listed)[0]
    found = sorted(one for one in map(_quoted_path, names) if one and _is_gone_with(one, path))
    histories = []
    for one in found:
        index = Children(paths.index(one))
        (outcome,) = yield [index]
        if not isinstance(outcome, NoNodeError):
            below, stat = paths.demand(index, outcome)
            histories.append(KeptHistory(one, stat.version, tuple(sorted(below))))
    return histories


def _quoted_path(name: str) -> str:
    """Return the path that the znode of a history is named after; "" if it is after none."""
    path = unquote(name)
    try:
        return check_zk_path(path.removesuffix("/")) and path
    except ValueError:
        return ""


def _is_gone_with(one: str, path: str) -> bool:
    return contains(path, one) if is_tree(path) else one in (path, f"{path}/")


def delete_history(paths: HistoryPaths, history: KeptHistory) -> Dialogue:
    """Delete a history → False if something was pushed to its path since."""
    index = paths.index(history.path)
    for _ in range(_TRIES):
        (found,) = yield [Get(index)]
        if isinstance(found, NoNodeError):
            return True
        if paths.demand(Get(index), found)[1].version != history.version:
            return False
        request = Children(index)
        (listed,) = yield [request]
        if isinstance(listed, NoNodeError):
            return True
        names: Sequence[str] = paths.demand(request, listed)[0]
        below = [Delete(f"{index}/{name}") for name in sorted(names)]
        operations = [*below, Delete(index, history.version)]
        (results,) = yield [Transaction(operations)]
        refused = first_error(paths.paths.demand(index, results))
        if refused is None:
            return True
        if not isinstance(refused[1], _HAS_CHANGED):
            raise paths.refusal(operations[refused[0]], refused[1])
    return False
