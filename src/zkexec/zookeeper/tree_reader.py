"""One consistent read of whole trees and single znodes, on one connection: all at one moment.

Which znodes there are is learned first.  All watches are set before the contents are read, so each
later change makes one of them fire.  Little is read by one multi-read.  A server builds its answer
in memory, and one of many megabytes has killed a server; so more than `MOST_AT_ONCE` is read in
parts, only what has changed since the last read, and then the statistics of all.  If they are what
they were before, all contents were there at one moment.  Servers before 3.6 have no multi-read.
"""

from __future__ import annotations

from zkexec.frozen import frozen
from zkexec.zookeeper.errors import NoAuthError, NoNodeError, RefusedError
from zkexec.zookeeper.exchange import LARGEST_REQUEST
from zkexec.zookeeper.requests import Children, Exists, Get, MultiRead, SetWatches
from zkexec.zookeeper.snapshot_reader import COLLECTS
from zkexec.zookeeper.tree_outline import (
    ReadLimits,
    TreeExcess,
    TreeOutline,
    ask,
    demand_found,
    newest_of,
    unique,
)
from zkexec.zookeeper.values import Stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import (
        Callable,
        Collection,
        Hashable,
        Iterable,
        Iterator,
        Mapping,
        Sequence,
    )
    from typing import Any

    from zkexec.zookeeper.requests import Dialogue
    from zkexec.zookeeper.snapshot_reader import Found
    from zkexec.zookeeper.tree_outline import Mark, TreeBranch

MOST_AT_ONCE = 1024 * 1024
"""This many bytes of content are read at once at most; a single znode may have as many."""

_MOST_PATH_BYTES = LARGEST_REQUEST - 1024
_SIZE_BESIDE_PATH = 14
"""How many bytes a multi-read has for all paths at most, and for each beside the path itself."""

_LARGEST_PART = 128 * 1024
"""One request sets the watches of paths of about this many bytes at most, see `WatchTable`."""


@frozen(hidden=("znodes",))
class TreeFound:
    """What was found of a tree, by whole path: at least at the root, even if that is missing.

    Nothing was read if there is an `excess`.
    """

    znodes: Mapping[str, Found]
    excess: TreeExcess | None = None


@frozen(hidden=("znodes", "trees"))
class TreesFound:
    """What was found at one moment: single znodes by path, and trees by root."""

    znodes: Mapping[str, Found]
    trees: Mapping[str, TreeFound]


class TreeReader:
    """The trees and znodes that are read again and again on one connection."""

    def __init__(
        self,
        paths: Sequence[str],
        roots: Sequence[str],
        watch: Hashable,
        lacks_multi_read: Callable[[], bool],
        limits: ReadLimits,
    ) -> None:
        """Read the znodes at these whole paths, and those at and below the roots.

        `watch` is what their watches are set with; None sets none.  `lacks_multi_read` is asked at
        each read whether the servers are older than 3.6.
        """
        self._paths = tuple(paths)
        self._roots = tuple(roots)
        self._always = frozenset((*paths, *roots))
        """The znodes that are read even if they are missing."""
        self._watch = watch
        self._lacks_multi_read = lacks_multi_read
        self._limits = limits
        self._outline = TreeOutline(limits)
        self._contents: dict[str, tuple[bytes, Stat]] = {}
        """What was last read; it holds as long as the mzxid does."""
        self._watched: set[str] = set()
        """The znodes of which a watch reports the next change, or that they are created."""
        self._parents: set[str] = set()
        """Those of them of which a watch reports the next change of the children, too."""
        self.refused: tuple[str, ...] = ()
        """The roots of the trees that were too much at the last read.

        They are not watched as a whole, so they have to be read again from time to time.
        """

    def fired(self, path: str) -> None:
        """Take note that a watch of a znode has fired."""
        self._watched.discard(path)
        self._parents.discard(path)

    def read(self) -> Dialogue:
        """Set the missing watches and read everything → TreesFound."""
        try:
            return (yield from self._read())
        except BaseException:
            # An error leaves open which watches are set; to set one twice does no harm.
            self._watched.clear()
            self._parents.clear()
            raise

    def _read(self) -> Dialogue:
        # What is watched is what it was; the rest is examined again.
        self._outline.trust(self._watched)
        for _ in range(COLLECTS):
            yield from self._outline.examine(self._paths)
            branches: Sequence[TreeBranch] = yield from self._outline.explore(self._roots)
            excesses = self._excesses(branches)
            accepted = [one.reached for one in branches if one.root not in excesses]
            in_trees = unique(*accepted)
            watching = self._watch_for(unique(*(one.reached for one in branches)))
            wanted = tuple(unique(self._paths, in_trees))
            unwatched = [path for path in wanted if path not in self._watched]
            found = yield from self._read_contents(wanted, in_trees, watching)
            trees = None if found is None else self._trees(found, excesses)
            if trees is not None and self._needs_no_watch(unwatched, found):
                self.refused = tuple(excesses)
                return TreesFound({path: found[path] for path in self._paths}, trees)
        raise RefusedError(f"the znodes changed during each of {COLLECTS} attempts to read them")

    def _excesses(self, branches: Sequence[TreeBranch]) -> dict[str, TreeExcess]:
        """Find the trees that make too much of all, and of what; each znode counts once."""
        counted = set(self._paths)
        size = sum(map(self._outline.size, counted))
        excesses = {}
        for branch in branches:
            added = branch.reached.keys() - counted
            added_size = sum(map(self._outline.size, added))
            if branch.excess is not None:
                excesses[branch.root] = branch.excess
            elif len(counted) + len(added) > self._limits.znodes:
                excesses[branch.root] = TreeExcess.ZNODES
            elif size + added_size > self._limits.total_bytes:
                excesses[branch.root] = TreeExcess.BYTES
            else:
                counted |= added
                size += added_size
        return excesses

    def _watch_for(self, in_trees: Collection[str]) -> list[SetWatches]:
        """Make the requests that set the missing watches; that of what has changed fires at once.

        A znode that may not be read gets none, as no watch reports a new permission.
        """
        if self._watch is None:
            return []
        marks = {
            path: self._outline.marks[path]
            for path in unique(self._paths, in_trees)
            if path not in self._watched or (path in in_trees and path not in self._parents)
        }
        existing = [path for path, mark in marks.items() if isinstance(mark, Stat)]
        missing = [
            path
            for path, mark in marks.items()
            if isinstance(mark, NoNodeError) and path in self._always
        ]
        # Each later change has a greater number, as it follows all that was answered.
        newest = max(map(newest_of, marks.values()), default=0)
        self._watched.update(existing, missing)
        self._parents.update(path for path in (*existing, *missing) if path in in_trees)
        return [
            *(
                SetWatches(newest, part, (), [p for p in part if p in in_trees], self._watch)
                for part in _parts(existing, _path_size, _LARGEST_PART)
            ),
            *(
                SetWatches(0, (), part, (), self._watch)
                for part in _parts(missing, _path_size, _LARGEST_PART)
            ),
        ]

    def _needs_no_watch(self, paths: Iterable[str], found: Mapping[str, Found]) -> bool:
        """Return whether none of these has been permitted to be read meanwhile."""
        return self._watch is None or all(isinstance(found[path], NoAuthError) for path in paths)

    def _read_contents(
        self, paths: Sequence[str], in_trees: Collection[str], watching: Sequence[SetWatches]
    ) -> Dialogue:
        """Read these znodes → what was found by path; None if that was not one moment."""
        path_bytes = sum(_SIZE_BESIDE_PATH + _path_size(path) for path in paths)
        is_much = sum(map(self._outline.size, paths)) > MOST_AT_ONCE
        if is_much or path_bytes > _MOST_PATH_BYTES or self._lacks_multi_read():
            found = yield from self._read_in_parts(paths, in_trees, watching)
        else:
            found = yield from self._read_at_once(paths, watching)
        if found is not None:
            self._note(found)
            self._outline.keep(found)
            self._contents = {path: one for path, one in self._contents.items() if path in found}
        return found

    def _read_at_once(self, paths: Sequence[str], watching: Sequence[SetWatches]) -> Dialogue:
        reading = [MultiRead(paths)] if paths else []
        outcomes = yield from ask([*watching, *reading])
        _demand_all(outcomes)
        return _by_path(paths, outcomes[-1]) if paths else {}

    def _read_in_parts(
        self, paths: Sequence[str], in_trees: Collection[str], watching: Sequence[SetWatches]
    ) -> Dialogue:
        """Read the contents that are not known, and then the statistics of all.

        If these are what they were, everything was there at the moment before they were read.
        That a missing znode was there for a moment shows in its watch, which has fired then.
        Everybody may read statistics by `Exists`, but not by `Children`, so it shows if a
        permission was withdrawn.
        """
        marks = self._outline.marks
        _demand_all((yield from ask(watching)))
        unknown = [path for path in paths if path not in in_trees or not self._is_known(path)]
        for part in _parts(unknown, self._outline.size, MOST_AT_ONCE):
            self._note(_by_path(part, (yield [Get(path) for path in part])))
        before = {path: marks[path] for path in paths}
        outcomes = yield from ask(
            [Children(path) if path in in_trees else Exists(path) for path in paths]
        )
        for path, outcome in zip(paths, outcomes, strict=True):
            if path in in_trees or not isinstance(before[path], NoAuthError):
                self._outline.note(path, outcome)
        same = [
            self._is_same(path, mark, is_parent=path in in_trees) for path, mark in before.items()
        ]
        if not all(same):
            return None
        return {
            path: (self._contents[path][0], mark) if isinstance(mark, Stat) else mark
            for path, mark in ((path, marks[path]) for path in paths)
        }

    def _is_known(self, path: str) -> bool:
        """Return whether the content of a znode is known, or that there is none."""
        mark, known = self._outline.marks[path], self._contents.get(path)
        is_content_known = known is not None and _has_mzxid(mark, known[1].mzxid)
        return is_content_known or isinstance(mark, NoNodeError)

    def _is_same(self, path: str, before: Mark, *, is_parent: bool) -> bool:
        """Return whether nothing has happened to a znode, or to the names of its children."""
        after = self._outline.marks[path]
        if isinstance(before, NoNodeError):
            # Any other znode that comes for a moment changes the one above it.
            is_watched = path in self._watched or path not in self._always or self._watch is None
            return isinstance(after, NoNodeError) and is_watched
        if isinstance(before, NoAuthError) or not isinstance(after, Stat):
            return type(before) is type(after)
        is_list_same = not is_parent or before.pzxid == after.pzxid
        return before.mzxid == after.mzxid and is_list_same

    def _note(self, found: Mapping[str, Found]) -> None:
        """Keep what was found; of a znode that may not be read the server may hide all events."""
        for path, what in found.items():
            if isinstance(what, tuple):
                self._contents[path], self._outline.marks[path] = what, what[1]
            else:
                self._contents.pop(path, None)
                self._outline.marks[path] = what
            if isinstance(what, NoAuthError):
                self.fired(path)

    def _trees(
        self, found: Mapping[str, Found], excesses: Mapping[str, TreeExcess]
    ) -> dict[str, TreeFound] | None:
        """Make the trees of what was found; None if other znodes were below the roots."""
        trees = {}
        for root in self._roots:
            excess = excesses.get(root)
            reached = () if excess else self._outline.walk(root)
            if reached is None:
                return None
            trees[root] = TreeFound({path: found[path] for path in reached}, excess)
        return trees


def _has_mzxid(mark: Mark, mzxid: int) -> bool:
    return isinstance(mark, Stat) and mark.mzxid == mzxid


def _by_path(paths: Sequence[str], outcomes: Sequence[Any]) -> dict[str, Any]:
    return {path: demand_found(path, one) for path, one in zip(paths, outcomes, strict=True)}


def _demand_all(outcomes: Iterable[object]) -> None:
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome


def _path_size(path: str) -> int:
    return len(path.encode())


def _parts(
    paths: Iterable[str], size_of: Callable[[str], int], most: int
) -> Iterator[tuple[str, ...]]:
    """Divide paths into parts, each of this size at most if it has more than one path."""
    part: list[str] = []
    size = 0
    for path in paths:
        length = size_of(path)
        if part and size + length > most:
            yield tuple(part)
            part, size = [], 0
        part.append(path)
        size += length
    if part:
        yield tuple(part)
