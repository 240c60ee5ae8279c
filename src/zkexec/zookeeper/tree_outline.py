"""Which znodes are below some roots, and their statistics: all but their contents.

What is known may be out of date as soon as it is known.  The names below a znode are valid as long
as the znode's pzxid is what it was when they were listed, as each change of its children sets it.
"""

from __future__ import annotations

from zkexec.enumeration import Enum
from zkexec.frozen import frozen
from zkexec.zookeeper.errors import NoAuthError, NoNodeError, RefusedError
from zkexec.zookeeper.requests import Children, Exists
from zkexec.zookeeper.values import Stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from typing import Any, Protocol, TypeAlias

    from zkexec.zookeeper.requests import Dialogue, Request

    Mark: TypeAlias = Stat | NoNodeError | NoAuthError
    """The statistics of a znode, that it does not exist, or that it may not be read."""

    class Outline(Protocol):
        """What a branch has to know of the znodes that it reaches."""

        def children_count(self, path: str) -> int:
            """Give the number of a znode's children; 0 if it is not known."""

        def below(self, path: str) -> Sequence[str] | None:
            """Give the paths right below a znode; None if they are not known."""


_NO_NAMES = frozenset(("", ".", ".."))


class TreeExcess(Enum):
    """Of what all znodes together have too much, so that a tree is not read."""

    ZNODES = "znodes"
    BYTES = "bytes"


@frozen()
class ReadLimits:
    """How many znodes are read at most, and how many bytes: of content, and of paths."""

    znodes: int
    total_bytes: int


class TreeBranch:
    """A tree that is being explored: what was reached so far, and the level where it is."""

    def __init__(self, root: str, limits: ReadLimits) -> None:
        self.root = root
        self.reached: dict[str, None] = {root: None}
        self.level: Sequence[str] = (root,)
        self.excess: TreeExcess | None = None
        """Why it was explored no further, so that not all znodes were reached."""
        self._limits = limits
        self._path_size = len(root)

    def stop_at_limit(self, outline: Outline) -> None:
        """Go no deeper if that were too much."""
        counts = [(path, outline.children_count(path)) for path in self.level]
        size = self._path_size + sum(len(path) * count for path, count in counts)
        if len(self.reached) + sum(count for _, count in counts) > self._limits.znodes:
            self.excess = TreeExcess.ZNODES
        elif size > self._limits.total_bytes:
            self.excess = TreeExcess.BYTES
        if self.excess is not None:
            self.level = ()

    def descend(self, outline: Outline) -> None:
        """Go one level deeper; what cannot be listed has nothing below it."""
        self.level = [path for above in self.level for path in outline.below(above) or ()]
        self.reached.update(dict.fromkeys(self.level))
        self._path_size += sum(map(len, self.level))


class TreeOutline:
    """What is known of trees and single znodes, apart from their contents."""

    def __init__(self, limits: ReadLimits) -> None:
        """Know nothing yet; of a tree beyond the limits not all znodes are reached."""
        self.marks: dict[str, Mark] = {}
        self._limits = limits
        self._lists: dict[str, tuple[int, tuple[str, ...]]] = {}
        """By path, the pzxid that was valid when the children were listed, and their paths."""

    def trust(self, paths: Collection[str]) -> None:
        """Have all znodes but these examined again; names hold as long as the pzxid does."""
        self.marks = {path: mark for path, mark in self.marks.items() if path in paths}

    def keep(self, paths: Collection[str]) -> None:
        """Forget all but these znodes."""
        self.trust(paths)
        self._lists = {path: listed for path, listed in self._lists.items() if path in self.marks}

    # What is learned.

    def explore(self, roots: Iterable[str]) -> Dialogue:
        """Learn which znodes are below the roots, level by level → a branch for each root.

        Their number is known before the children are listed, so no list is too long to be read.
        """
        branches = [TreeBranch(root, self._limits) for root in roots]
        while level := unique(*(one.level for one in branches)):
            yield from self.examine(level)
            for branch in branches:
                branch.stop_at_limit(self)
            yield from self._list(unique(*(one.level for one in branches)))
            for branch in branches:
                branch.descend(self)
        return branches

    def examine(self, paths: Iterable[str]) -> Dialogue:
        """Learn the statistics of the znodes of which they are not known."""
        unknown = [path for path in paths if path not in self.marks]
        outcomes = yield from ask([Exists(path) for path in unknown])
        for path, outcome in zip(unknown, outcomes, strict=True):
            self.note(path, outcome)

    def _list(self, paths: Iterable[str]) -> Dialogue:
        """Learn the names below the znodes of which they are not known."""
        unlisted = [path for path in paths if self.below(path) is None]
        outcomes = yield from ask([Children(path) for path in unlisted])
        for path, outcome in zip(unlisted, outcomes, strict=True):
            self.note(path, outcome)

    def note(self, path: str, outcome: Any) -> None:  # noqa: ANN401 -- as these requests have it
        """Take the outcome of an `Exists` or a `Children`."""
        found = demand_found(path, NoNodeError(path) if outcome is None else outcome)
        if isinstance(found, tuple):
            names, stat = found
            below = tuple([_child_path(path, name) for name in names])
            self.marks[path], self._lists[path] = stat, (stat.pzxid, below)
        else:
            self.marks[path] = found

    # What is known.

    def below(self, path: str) -> tuple[str, ...] | None:
        """Give the paths right below a znode; None if they are not known."""
        stat = self.marks[path]
        if not isinstance(stat, Stat) or not stat.num_children:
            return ()
        pzxid, paths = self._lists.get(path, (-1, ()))
        return paths if pzxid == stat.pzxid else None

    def walk(self, root: str) -> tuple[str, ...] | None:
        """Give the paths of the root and all below it; None if one of them is not known."""
        reached: list[str] = []
        level = [root]
        while level:
            reached += level
            deeper: list[str] = []
            for path in level:
                mark = self.marks.get(path)
                is_gone = mark is None or (isinstance(mark, NoNodeError) and path != root)
                below = None if is_gone else self.below(path)
                if below is None:
                    return None
                deeper += below
            level = deeper
        return tuple(reached)

    def size(self, path: str) -> int:
        """Give the number of bytes of a znode's content; 0 if it is not known."""
        mark = self.marks.get(path)
        return mark.data_length if isinstance(mark, Stat) else 0

    def children_count(self, path: str) -> int:
        """Give the number of a znode's children; 0 if it is not known."""
        mark = self.marks.get(path)
        return mark.num_children if isinstance(mark, Stat) else 0


def ask(requests: Sequence[Request]) -> Dialogue:
    """Send requests, if there are any → their outcomes."""
    return (yield requests) if requests else []


def newest_of(mark: Mark) -> int:
    """Give the transaction that has last changed a znode or the names of its children."""
    return max(mark.mzxid, mark.pzxid) if isinstance(mark, Stat) else 0


def demand_found(path: str, outcome: Any) -> Any:  # noqa: ANN401 -- an outcome of any read
    """Return what was found, or that it is missing or forbidden; another error ends the read."""
    if isinstance(outcome, Exception) and not isinstance(outcome, NoNodeError | NoAuthError):
        raise RefusedError(f"{path}: {outcome}") from outcome
    return outcome


def unique(*parts: Iterable[str]) -> dict[str, None]:
    """Give each path once, in the order of the parts."""
    return dict.fromkeys([path for part in parts for path in part])


def path_below(path: str, name: str) -> str:
    """Give the path of a child."""
    return f"{path.rstrip('/')}/{name}"


def _child_path(path: str, name: str) -> str:
    if name in _NO_NAMES or "/" in name or "\0" in name:
        raise RefusedError(f"{path}: the server lists a name that no znode can have")
    return path_below(path, name)
