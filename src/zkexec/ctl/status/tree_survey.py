"""When a tree was written last: found out by the statistics of all its znodes, without contents.

What is removed is a write as well, of the znode above.
"""

from collections.abc import Callable
from itertools import islice

from zkexec.core.snapshot import MOST_BYTES, MOST_ZNODES, Problem
from zkexec.ctl.status.member_row import LastWrite
from zkexec.zookeeper.tree_outline import ReadLimits, TreeBranch, TreeExcess, path_below
from zkexec.zookeeper.values import Stat

_LIMITS = ReadLimits(MOST_ZNODES, MOST_BYTES)
MOST_PARTS = 10
"""As many parts of a tree are named that were written by one push."""

_PROBLEMS = {TreeExcess.ZNODES: Problem.TOO_MANY, TreeExcess.BYTES: Problem.TOO_LARGE}


class TreeSurvey:
    """One tree that is explored level by level; the caller reads what is in `level`."""

    def __init__(
        self,
        root: str,
        stat_of: Callable[[str], object],
        listing_of: Callable[[str], object],
    ) -> None:
        """Both functions give what is known of a path.

        `stat_of` gives a Stat, None for a missing znode, or else that it may not be read;
        `listing_of` gives names and a Stat, None if they are not known, or the same.
        """
        self._stat_of = stat_of
        self._listing_of = listing_of
        self._branch = TreeBranch(root, _LIMITS)

    @property
    def level(self) -> tuple[str, ...]:
        """The paths of the level that comes next; none if the survey is over."""
        return tuple(self._branch.level)

    def parents(self, *, only_if_needed: bool) -> tuple[str, ...]:
        """Give the paths of this level whose children have to be listed.

        Call it when the statistics are known.  `only_if_needed` leaves out znodes without children.
        """
        self._branch.stop_at_limit(self)
        return tuple(
            path
            for path in self._branch.level
            if isinstance(stat := self._stat_of(path), Stat)
            and (stat.num_children or not only_if_needed)
        )

    def descend(self) -> None:
        """Go one level deeper, when the children are listed."""
        self._branch.descend(self)

    def children_count(self, path: str) -> int:
        """Give the number of a znode's children, as far as it is known."""
        stat = self._listed_stat(path) or self._stat_of(path)
        return stat.num_children if isinstance(stat, Stat) else 0

    def below(self, path: str) -> tuple[str, ...]:
        """Give the paths right below a znode, as far as they are known."""
        listing = self._listing_of(path)
        names = listing[0] if isinstance(listing, tuple) else ()
        return tuple(path_below(path, name) for name in names)

    def last_write(self) -> LastWrite:
        """Return the newest write of the tree, whose root exists.

        When something was removed is not known.
        """
        stats = [stat for path in self._branch.reached for stat in self._stats(path)]
        zxid = max(max(stat.mzxid, stat.pzxid) for stat in stats)
        excess = self._branch.excess
        size = sum(
            stat.data_length
            for path in self._branch.reached
            if isinstance(stat := self._stat_of(path), Stat) and not stat.is_ephemeral
        )
        if size > MOST_BYTES:
            excess = TreeExcess.BYTES
        return LastWrite(
            zxid,
            at=max((stat.mtime / 1000 for stat in stats if stat.mzxid == zxid), default=0.0),
            size=size,
            excess="" if excess is None else _PROBLEMS[excess].value,
            is_partly_hidden=any(map(self._is_hidden, self._branch.reached)),
        )

    def newest_paths(self, zxid: int) -> list[str]:
        """Return the paths of the znodes that were written in this transaction, the first few."""
        reached = (path for path in self._branch.reached)
        written = (path for path in reached if any(s.mzxid == zxid for s in self._stats(path)))
        return list(islice(written, MOST_PARTS))

    def _stats(self, path: str) -> list[Stat]:
        """Give the statistics of a znode: each of the two can be the newer one."""
        both = (self._stat_of(path), self._listed_stat(path))
        return [stat for stat in both if isinstance(stat, Stat)]

    def _listed_stat(self, path: str) -> Stat | None:
        listing = self._listing_of(path)
        return listing[1] if isinstance(listing, tuple) else None

    def _is_hidden(self, path: str) -> bool:
        return any(
            found is not None and not isinstance(found, Stat | tuple)
            for found in (self._stat_of(path), self._listing_of(path))
        )
