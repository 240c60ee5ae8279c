"""Write a push: the contents of all paths and their histories in one transaction.

The rules of this file:

- Contents are kept before the transaction, see `kept_contents`.  It also removes what an unfinished
  push has left of them.
- No version shows that a child was added.  So a tree is read once more right before.
- Everything is written over the versions that were shown to a person.  A znode that was deleted
  and created again has the old versions again; it is recognised by its last transaction.
- A hold is written or ended over the decisions of the group as they were read right before.
  Members write them all the time, so a conflict there is a reason to try again, and not one to give
  up.
- The dialogue starts again if its answer was lost.  It has been here before if its token is in an
  index, and this is checked before anything is called a conflict.
"""

import time
from collections.abc import Collection, Iterator, Mapping, Sequence

from zkexec.ctl.exit_status import SubcommandError
from zkexec.ctl.history.content_change import ContentChange, checks_of, operations_of
from zkexec.ctl.history.content_history import (
    HistoryEntry,
    PathHistory,
    PushAuthor,
    encode,
    entries_after,
)
from zkexec.ctl.history.history_acl import HistoryAcl
from zkexec.ctl.history.history_paths import HistoryPaths
from zkexec.ctl.history.history_store import history_steps
from zkexec.ctl.history.hold_write import HoldEnd, HoldWrite
from zkexec.ctl.history.kept_contents import KeptContents, grown_above
from zkexec.ctl.history.push_conflict import conflict_of
from zkexec.ctl.history.tree_content import content_size, is_tree
from zkexec.ctl.history.tree_content import decode as decode_tree
from zkexec.ctl.history.trees_above import TreesAbove, trees_above
from zkexec.frozen import frozen, replace
from zkexec.group.paths import LARGEST_COMMIT
from zkexec.zookeeper.errors import (
    BadVersionError,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
    RefusedError,
)
from zkexec.zookeeper.requests import (
    Create,
    Delete,
    Dialogue,
    Exists,
    Operation,
    SetContent,
    Transaction,
    first_error,
    size_of,
)
from zkexec.zookeeper.values import Stat

_TRIES = 10
_TRIES_WITH_HOLD = 1000
_MOST_LEFTOVERS = 100
_HAS_CHANGED = (BadVersionError, NodeExistsError, NoNodeError)

_Grown = tuple[ContentChange, tuple[HistoryEntry, ...]]


@frozen()
class PushResult:
    """The number of the transaction, and the new entry of each path."""

    zxid: int
    entries: Mapping[str, HistoryEntry]


class PushTransaction:
    """One push: write the changes that are needed if all paths are still as they were shown.

    The time of the author is that of the writing.
    """

    def __init__(
        self,
        wanted: Sequence[ContentChange],
        author: PushAuthor,
        paths: HistoryPaths,
        acl: HistoryAcl,
        inputs: Collection[str] = (),
        hold: HoldWrite | HoldEnd | None = None,
    ) -> None:
        """`inputs` are those of the members of a group; the roots of trees are written for them.

        `hold` writes the hold of this push, or ends that of the push that is undone.
        """
        self.is_unknown = False
        """Whether the transaction was sent and had no answer yet."""
        self._changes = [change for change in wanted if change.is_needed]
        self._unchanged = [change.history for change in wanted if not change.is_needed]
        self._shown = [*(change.history for change in self._changes), *self._unchanged]
        self._author = author
        self._is_begun = False
        self._leaves_leftovers = False
        self._paths = paths
        self._acl = acl
        self._inputs = inputs
        self._hold = hold
        self._kept = KeptContents(paths, acl)

    def check_acls(self) -> None:
        """Raise SubcommandError if it is not known for whom a history has to be."""
        for change in self._changes:
            self._acl.check_usable(change.history)

    def check_sizes(self) -> None:
        """Raise SubcommandError if a server may refuse a request, for its size or for its path."""
        for change in self._changes:
            if size_of(self._kept.request(change.history, change.content)) > LARGEST_COMMIT:
                raise SubcommandError(
                    f"{change.path}: {change.source} has {_amount(change)}, which with its path is "
                    f"more than the {LARGEST_COMMIT} that a server takes at once{_way_out(change)}"
                )
        self._check_size(list(self._operations(self._changes, TreesAbove((), ()), [])))

    def _check_size(self, operations: Sequence[Operation]) -> None:
        whole = size_of(Transaction(operations))
        if whole <= LARGEST_COMMIT:
            return
        if len(self._changes) == 1 and is_tree(path := self._changes[0].path):
            raise SubcommandError(
                f"{path}: takes {whole} bytes with the paths of its znodes, more than the "
                f"{LARGEST_COMMIT} that a server takes at once{_way_out(self._changes[0])}"
            )
        sizes = ", ".join(f"{c.path} {content_size(c.path, c.content)}" for c in self._changes)
        raise SubcommandError(
            f"together they take {whole} bytes, more than the {LARGEST_COMMIT} that a server "
            f"takes at once ({sizes})"
        )

    def can_keep(self, history: PathHistory) -> bool:
        """Return whether what another tool has set is small enough to be kept."""
        return self._kept.can_keep(history)

    def steps(self) -> Dialogue:
        """Write everything → PushResult."""
        if not self._is_begun:
            self._is_begun = True
            self._author = replace(self._author, at=time.time())
        for _ in range(_TRIES if self._hold is None else _TRIES_WITH_HOLD):
            now = yield from self._read()
            if result := self._result(now):
                self.is_unknown = False
                return result
            self._check_unchanged(now)
            missing = yield from self._missing(now)
            changes = [
                replace(change, history=history)
                for change, history in zip(self._changes, now, strict=False)
            ]
            for change in changes:
                self._acl.check_usable(change.history)
            above = yield from trees_above(self._paths, self._acl, changes, self._inputs)
            if (yield from self._kept.keep_all([*changes, *above.entries])):
                zxid = yield from self._write(changes, above, missing)
                if zxid:
                    return PushResult(zxid, {c.path: e[-1] for c, e in self._grown(changes)})
        raise RefusedError(f"{self._changes[0].path}: others keep changing it")

    def _read(self) -> Dialogue:
        now = []
        for shown in self._shown:
            history = yield from history_steps(self._paths, shown.path)
            now.append(history)
        return now

    def _result(self, now: Sequence[PathHistory]) -> PushResult | None:
        """The result, if this push is already written."""
        found = {history.path: history.pushed_by(self._author.token) for history in now}
        entries = {path: entry for path, entry in found.items() if entry is not None}
        if not entries:
            return None
        return PushResult(max(h.index_mzxid for h in now if h.path in entries), entries)

    def _check_unchanged(self, now: Sequence[PathHistory]) -> None:
        for before, after in zip(self._shown, now, strict=True):
            if conflict := conflict_of(before, after):
                self.is_unknown = False
                raise SubcommandError(f"{conflict}; nothing was pushed")

    def _missing(self, now: Sequence[PathHistory]) -> Dialogue:
        """Find the znodes above new ones that have to be created as well."""
        new = [self._paths.znode(history.path) for history in now if history.content is None]
        above = {each for path in new for each in _above(path)}.difference(new)
        if not above:
            return []
        requests = [Exists(path) for path in sorted(above)]
        found = yield requests
        pairs = zip(requests, found, strict=True)
        return [r.path for r, stat in pairs if self._paths.demand(r, stat) is None]

    def _write(
        self, changes: Sequence[ContentChange], above: TreesAbove, missing: Sequence[str]
    ) -> Dialogue:
        """Write everything at once → the transaction, 0 if something has changed meanwhile."""
        operations = list(self._operations(changes, above, missing))
        if self._hold is not None:
            operation: Operation | None = yield from self._hold.operation()
            operations += [] if operation is None else [operation]
        self._check_size(operations)
        self.is_unknown = True
        (results,) = yield [Transaction(operations)]
        self.is_unknown = False
        refused = first_error(self._paths.paths.demand(operations[0].path, results))
        if refused is None:
            return next(result.mzxid for result in results if isinstance(result, Stat))
        if isinstance(refused[1], NotEmptyError):
            # There is a znode below a content that is no longer needed, or a new one in a tree.
            is_kept = operations[refused[0]].path.startswith(f"{self._paths.paths.base}/")
            self._leaves_leftovers |= is_kept
        elif not isinstance(refused[1], _HAS_CHANGED):
            raise self._paths.refusal(operations[refused[0]], refused[1])
        return 0

    def _grown(self, changes: Sequence[ContentChange]) -> Iterator[_Grown]:
        """The changes, each with the entries of its path after the push."""
        for change in changes:
            author = self._author
            if change.restored_revision and not author.message:
                author = replace(author, message=f"undo to {change.source}")
            revision = change.restored_revision
            yield change, entries_after(change.history, change.content, author, revision)

    def _operations(
        self, changes: Sequence[ContentChange], above: TreesAbove, missing: Sequence[str]
    ) -> Iterator[Operation]:
        # Parents come first, whether they are new or only missing.
        creates = {path: Create(path, b"", self._acl.above) for path in missing}
        writes: list[Operation] = []
        for change in changes:
            for operation in operations_of(change, self._paths, self._acl.of_path(change.history)):
                if isinstance(operation, Create):
                    creates[operation.path] = operation
                else:
                    writes.append(operation)
        written = [change.path for change in self._changes]
        grown_trees = grown_above(above, self._author, written, "push to")
        for change, entries in (*self._grown(changes), *grown_trees):
            history, index = change.history, self._paths.index(change.path)
            writes.append(SetContent(index, encode(entries), history.index_version))
            leftovers = history.kept - {entry.digest for entry in entries}
            leftovers = frozenset() if self._leaves_leftovers else leftovers
            writes += [Delete(f"{index}/{d}", -1) for d in sorted(leftovers)[:_MOST_LEFTOVERS]]
        yield from (creates[path] for path in sorted(creates))
        yield from writes
        yield from above.roots
        for shown in self._unchanged:
            yield from checks_of(shown, self._paths)


def _way_out(change: ContentChange) -> str:
    return ": push its files or folders one by one" if is_tree(change.path) else ""


def _amount(change: ContentChange) -> str:
    size = content_size(change.path, change.content)
    if not is_tree(change.path):
        return f"{size} bytes"
    return f"{size} bytes in {len(decode_tree(change.content))} files"


def _above(path: str) -> Iterator[str]:
    while path := path.rpartition("/")[0]:
        yield path
