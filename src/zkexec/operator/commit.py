"""Writing what was decided: the contents of all paths and their histories in one transaction.

The rules of this file:

- Contents are kept before the transaction, each by a request of its own, so that it holds each
  only once.  What a push that died has left of them goes with the next transaction.
- Everything is written over the versions that were shown to a person.  A znode that was deleted
  and made anew has the old versions again; it is told by the transaction that wrote it last.
- A question is asked again where its answer was lost.  It has been here before where its token
  stands in an index, and that is looked up before anything is called a conflict.
"""

import time
from collections.abc import Iterator, Mapping, Sequence

from zkexec.frozen import frozen, replace
from zkexec.group.store import LARGEST_COMMIT
from zkexec.operator.contents import Entry, Stamp, Znode, digest_of, encode, entries_after
from zkexec.operator.keeping import Places, looked
from zkexec.operator.outcome import OperatorError
from zkexec.operator.owners import Owners
from zkexec.zookeeper.errors import (
    BadVersionError,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
    RefusedError,
)
from zkexec.zookeeper.requests import (
    Check,
    Create,
    Delete,
    Dialogue,
    Exists,
    Operation,
    SetAcl,
    SetContent,
    Transaction,
    first_error,
    size_of,
)
from zkexec.zookeeper.values import Acl, Stat

_TRIES = 10
_MOST_LEFTOVERS = 100
_HAS_CHANGED = (BadVersionError, NodeExistsError, NoNodeError)


@frozen(kw_only=True, hidden=("content",))
class Change:
    """New content for a znode, which is as it was shown; `source` is where it comes from.

    `restores` is the number of the entry whose content an undo brings back, else 0.
    """

    znode: Znode
    content: bytes
    source: str
    restores: int = 0


@frozen()
class Pushed:
    """The number of the transaction, and the entry of each path."""

    zxid: int
    entries: Mapping[str, Entry]


class Commit:
    """One push: `changes` are written, where `unchanged` are still as they were shown.

    The time of the stamp is that of the writing.
    """

    def __init__(
        self,
        changes: Sequence[Change],
        unchanged: Sequence[Znode],
        stamp: Stamp,
        places: Places,
        owners: Owners,
    ) -> None:
        self.is_unknown = False
        """Whether the transaction was sent and had no answer yet."""
        self._changes = list(changes)
        self._unchanged = list(unchanged)
        self._shown = [*(change.znode for change in self._changes), *unchanged]
        self._stamp = stamp
        self._is_begun = False
        self._leaves_leftovers = False
        self._places = places
        self._owners = owners

    def demand_known_owners(self) -> None:
        """Raise OperatorError where it cannot be told for whom histories have to be."""
        for change in self._changes:
            self._owners.demand_known(change.znode)

    def check_sizes(self) -> None:
        """Raise OperatorError where a server may refuse a request for its size."""
        for change in self._changes:
            size = len(change.content)
            if size_of(self._kept(change.znode, change.content)) > LARGEST_COMMIT:
                raise OperatorError(
                    f"{change.znode.path}: {change.source} has {size} bytes, which with its path "
                    f"is more than the {LARGEST_COMMIT} that a server takes at once"
                )
        whole = size_of(Transaction(list(self._operations([c.znode for c in self._changes], []))))
        if whole > LARGEST_COMMIT:
            sizes = ", ".join(f"{c.znode.path} {len(c.content)}" for c in self._changes)
            raise OperatorError(
                f"together they take {whole} bytes, more than the {LARGEST_COMMIT} that a server "
                f"takes at once ({sizes})"
            )

    def is_keepable(self, znode: Znode) -> bool:
        """Tell whether what another tool has set is small enough to be kept."""
        return znode.content is None or size_of(self._kept(znode, znode.content)) <= LARGEST_COMMIT

    def steps(self) -> Dialogue:
        """Write it all → Pushed."""
        if not self._is_begun:
            self._is_begun = True
            self._stamp = replace(self._stamp, at=time.time())
        for _ in range(_TRIES):
            now = yield from self._look()
            if pushed := self._pushed(now):
                self.is_unknown = False
                return pushed
            self._demand_unchanged(now)
            missing = yield from self._missing(now)
            znodes = now[: len(self._changes)]
            for znode in znodes:
                self._owners.demand_known(znode)
            if (yield from self._keep_all(znodes)):
                zxid = yield from self._write(znodes, missing)
                if zxid:
                    return Pushed(zxid, {z.path: e[-1] for z, e in self._grown(znodes)})
        raise RefusedError(f"{self._changes[0].znode.path}: others change it all the time")

    def _look(self) -> Dialogue:
        now = []
        for shown in self._shown:
            znode = yield from looked(self._places, shown.path)
            now.append(znode)
        return now

    def _pushed(self, now: Sequence[Znode]) -> Pushed | None:
        found = {znode.path: znode.pushed_by(self._stamp.token) for znode in now}
        entries = {path: entry for path, entry in found.items() if entry is not None}
        if not entries:
            return None
        return Pushed(max(z.index_mzxid for z in now if z.path in entries), entries)

    def _demand_unchanged(self, now: Sequence[Znode]) -> None:
        for before, after in zip(self._shown, now, strict=True):
            if changed := _changed(before, after):
                self.is_unknown = False
                raise OperatorError(f"{changed}; nothing was pushed")

    def _missing(self, now: Sequence[Znode]) -> Dialogue:
        """Which znodes above new ones have to be created as well."""
        new = [self._places.znode(znode.path) for znode in now if znode.content is None]
        above = {each for path in new for each in _above(path)}.difference(new)
        if not above:
            return []
        requests = [Exists(path) for path in sorted(above)]
        found = yield requests
        asked = zip(requests, found, strict=True)
        return [r.path for r, stat in asked if self._places.demand(r, stat) is None]

    def _kept(self, znode: Znode, content: bytes) -> Create:
        path = self._places.content(znode.path, digest_of(content))
        return Create(path, content, self._owners.of_path(znode))

    def _keep_all(self, now: Sequence[Znode]) -> Dialogue:
        """Keep the contents; False where that found something not as it was."""
        is_there = True
        for znode, change in zip(now, self._changes, strict=True):
            is_there &= yield from self._keep(znode, change)
        return is_there

    def _keep(self, znode: Znode, change: Change) -> Dialogue:
        index = self._places.index(znode.path)
        if znode.index_version < 0:
            yield from self._make(index, encode(()), self._owners.of_index(znode))
            return False
        if self._owners.has_moved(znode):
            yield from self._hand_over(znode)
        contents = [change.content]
        if znode.is_foreign and znode.content is not None and self.is_keepable(znode):
            contents.append(znode.content)
        for content in contents:
            create = self._kept(znode, content)
            if create.path.rpartition("/")[2] in znode.kept:
                continue
            (made,) = yield [create]
            if isinstance(made, NoNodeError):
                return False
            if not isinstance(made, NodeExistsError):
                self._places.demand(create, made)
        return True

    def _make(self, path: str, content: bytes, acl: Sequence[Acl]) -> Dialogue:
        """Make a znode of the history, and those above it only where they are missing."""
        create = Create(path, content, acl)
        (made,) = yield [create]
        if isinstance(made, NoNodeError):
            yield from self._make(path.rpartition("/")[0], b"", self._owners.above_histories)
            (made,) = yield [create]
        if not isinstance(made, NodeExistsError):
            self._places.demand(create, made)
        return None

    def _hand_over(self, znode: Znode) -> Dialogue:
        """Let the history be for those whom the path is for now.

        Only who may administer it can do that; for all others it stays as it is.
        """
        contents = [f"{self._places.index(znode.path)}/{name}" for name in sorted(znode.kept)]
        acl = self._owners.of_path(znode)
        yield [
            SetAcl(self._places.index(znode.path), self._owners.of_index(znode), -1),
            *(SetAcl(path, acl, -1) for path in contents),
        ]
        return None

    def _write(self, now: Sequence[Znode], missing: Sequence[str]) -> Dialogue:
        """Write everything at once → the transaction, 0 where something was not as it was."""
        operations = list(self._operations(now, missing))
        self.is_unknown = True
        (results,) = yield [Transaction(operations)]
        self.is_unknown = False
        refused = first_error(self._places.paths.demand(operations[0].path, results))
        if refused is None:
            return next(result.mzxid for result in results if isinstance(result, Stat))
        if isinstance(refused[1], NotEmptyError):
            # Somebody has put something below a content that is no longer needed.
            self._leaves_leftovers = True
        elif not isinstance(refused[1], _HAS_CHANGED):
            raise self._places.refusal(operations[refused[0]], refused[1])
        return 0

    def _grown(self, now: Sequence[Znode]) -> Iterator[tuple[Znode, tuple[Entry, ...]]]:
        for znode, change in zip(now, self._changes, strict=True):
            stamp = self._stamp
            if change.restores and not stamp.message:
                stamp = replace(stamp, message=f"undo to {change.source}")
            yield znode, entries_after(znode, change.content, stamp, change.restores)

    def _operations(self, now: Sequence[Znode], missing: Sequence[str]) -> Iterator[Operation]:
        # Those above come first, be they only on the way or new themselves.
        creates = {path: Create(path, b"", self._owners.above) for path in missing}
        writes: list[Operation] = []
        for change, (znode, entries) in zip(self._changes, self._grown(now), strict=True):
            whole, index = self._places.znode(znode.path), self._places.index(znode.path)
            if znode.content is None:
                creates[whole] = Create(whole, change.content, self._owners.of_path(znode))
            else:
                writes.append(SetContent(whole, change.content, znode.version))
            writes.append(SetContent(index, encode(entries), znode.index_version))
            leftovers = znode.kept - {entry.digest for entry in entries}
            leftovers = frozenset() if self._leaves_leftovers else leftovers
            writes += [Delete(f"{index}/{d}", -1) for d in sorted(leftovers)[:_MOST_LEFTOVERS]]
        yield from (creates[path] for path in sorted(creates))
        yield from writes
        for shown in self._unchanged:
            yield Check(self._places.znode(shown.path), shown.version)


def _changed(shown: Znode, now: Znode) -> str:
    """Say what others have done to a path since it was shown; "" for nothing."""
    if (shown.version, shown.mzxid) == (now.version, now.mzxid) and shown.entries == now.entries:
        return ""
    newest = now.entries[-1] if now.entries != shown.entries and now.present else None
    who = f", by {newest.by}" if newest and newest.by else ""
    why = f": {newest.message}" if newest and newest.message else ""
    if shown.version == now.version and shown.mzxid == now.mzxid:
        return f"{shown.path}: its history was changed since the diff was shown"
    if shown.content is None:
        return f"{shown.path} was created since the diff was shown{who}{why}"
    if now.content is None:
        return f"{shown.path} was deleted since the diff was shown"
    if now.version <= shown.version:
        return f"{shown.path} was deleted and created anew since the diff was shown{who}{why}"
    versions = f"version {shown.version}, now {now.version}"
    return f"{shown.path} was changed since the diff was shown ({versions}{who}{why})"


def _above(path: str) -> Iterator[str]:
    while path := path.rpartition("/")[0]:
        yield path
