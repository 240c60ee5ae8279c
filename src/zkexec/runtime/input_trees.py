"""Trees as inputs: how a connection reads them, and the core's values of what was found.

Only a session with trees among its inputs imports this.
"""

from __future__ import annotations

from zkexec.core.snapshot import MOST_BYTES, MOST_ZNODES, Problem, Tree, Znode
from zkexec.zookeeper.errors import NoNodeError
from zkexec.zookeeper.tree_outline import ReadLimits, TreeExcess
from zkexec.zookeeper.tree_reader import TreeReader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
    from typing import TypeAlias

    from zkexec.zookeeper.snapshot_reader import Found, SnapshotReader
    from zkexec.zookeeper.tree_reader import TreeFound

    NewZnode: TypeAlias = Callable[[str, Found], Znode]
    """Makes a znode of its path below the chroot and what was found there."""

_LIMITS = ReadLimits(MOST_ZNODES, MOST_BYTES)

_PROBLEMS = {TreeExcess.ZNODES: Problem.TOO_MANY, TreeExcess.BYTES: Problem.TOO_LARGE}


class TreeInputs:
    """The trees that are read: their roots below the chroot, and as whole paths."""

    def __init__(self, paths: Iterable[str], chroot: str, new_znode: NewZnode) -> None:
        """Take paths as options name them; UnicodeEncodeError if one has no UTF-8 form."""
        self._chroot = chroot
        self._new_znode = new_znode
        self._names = {f"{chroot}{path.rstrip('/')}": path.rstrip("/") for path in paths}
        for root in self._names:
            root.encode()

    def reader(
        self, paths: Sequence[str], watch: Hashable, lacks_multi_read: Callable[[], bool]
    ) -> TreeReader:
        """Make the reader of one connection, which also reads single znodes."""
        return TreeReader(paths, tuple(self._names), watch, lacks_multi_read, _LIMITS)

    def refused(self, reader: SnapshotReader | TreeReader) -> tuple[str, ...]:
        """Give the roots below the chroot of the trees that were too much at the last read."""
        if not isinstance(reader, TreeReader):
            return ()
        return tuple(self._names[root] for root in reader.refused)

    def read(self, found: Mapping[str, TreeFound]) -> dict[str, Tree]:
        """Make trees of what was found, by their roots below the chroot."""
        return {self._names[root]: self._tree(root, tree) for root, tree in found.items()}

    def _tree(self, root: str, found: TreeFound) -> Tree:
        if found.excess is not None:
            return Tree({}, problem=_PROBLEMS[found.excess])
        if isinstance(found.znodes[root], NoNodeError):
            return Tree({}, problem=Problem.MISSING)
        stats = [what[1] for what in found.znodes.values() if isinstance(what, tuple)]
        znodes = {
            path[len(root) + 1 :]: self._new_znode(path.removeprefix(self._chroot), what)
            for path, what in found.znodes.items()
        }
        zxid = max((max(stat.mzxid, stat.pzxid) for stat in stats), default=0)
        return Tree(znodes, zxid)
