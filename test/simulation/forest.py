"""Znodes in trees, numbered as ZooKeeper does it.

A write gives a znode a new mzxid and a new version.  A child more or less gives the parent a new
pzxid, and changes nothing else of it.
"""

from collections.abc import Iterable, Iterator, Mapping

from zkexec.core.snapshot import Problem, Tree, Znode
from zkexec.frozen import replace


class Ephemeral(bytes):
    """The content of an ephemeral znode."""

    __slots__ = ()


def missing(path: str) -> Znode:
    """A znode that does not exist."""
    return Znode(path, problem=Problem.MISSING)


def parent_of(path: str) -> str:
    """Return the path of the znode above; "" for one at the top."""
    return path.rpartition("/")[0]


def children_key(path: str) -> str:
    """Name a watch on the children of a znode, unlike one on its content, which is the path."""
    return f"{path}/"


def tree_at(root: str, znodes: Mapping[str, Znode], pzxids: Mapping[str, int]) -> Tree:
    """Return a tree as a read shows it: nothing is seen below what may not be read."""
    if root not in znodes:
        return Tree({}, problem=Problem.MISSING)
    if znodes[root].problem is not None:
        return Tree({}, problem=znodes[root].problem)
    seen: dict[str, Znode] = {}
    zxid = 0
    for path in sorted(znodes):
        is_below = path == root or path.startswith(f"{root}/")
        above = seen.get(parent_of(path)[len(root) + 1 :])
        if not is_below or (path != root and (above is None or above.problem is not None)):
            continue
        znode = znodes[path]
        seen[path[len(root) + 1 :]] = znode
        if znode.problem is None:
            zxid = max(zxid, znode.mzxid, pzxids.get(path, 0))
    return Tree(seen, zxid)


class Forest:
    """The znodes of all trees of a world at one moment."""

    def __init__(
        self, roots: Iterable[str], znodes: Mapping[str, Znode], pzxids: Mapping[str, int]
    ) -> None:
        """Begin with these znodes, by their full paths."""
        self.roots = tuple(roots)
        self.znodes = dict(znodes)
        self.pzxids = dict(pzxids)

    def copy(self) -> "Forest":
        """Return one that can be changed without this one."""
        return Forest(self.roots, self.znodes, self.pzxids)

    def contains(self, path: str) -> bool:
        """Whether a znode with this path is in one of the trees, if it exists."""
        return any(path == root or path.startswith(f"{root}/") for root in self.roots)

    @property
    def trees(self) -> dict[str, Tree]:
        """All trees, by their roots."""
        return {root: tree_at(root, self.znodes, self.pzxids) for root in self.roots}

    @property
    def zxid(self) -> int:
        """The newest transaction that has left a trace."""
        written = (znode.mzxid for znode in self.znodes.values())
        return max((*written, *self.pzxids.values()), default=0)

    def below(self, path: str) -> list[str]:
        """The paths of a znode and of all below it, the deepest first."""
        found = [known for known in self.znodes if known == path or known.startswith(f"{path}/")]
        return sorted(found, key=lambda known: (-known.count("/"), known))

    def write(self, path: str, content: bytes | Problem, zxid: int) -> Iterator[str]:
        """Write or delete a znode, or forbid it; yield the watches that fire.

        What is missing above it is created, and what is below a deleted znode is deleted first.
        """
        if content is Problem.FORBIDDEN:
            if path in self.znodes:
                self.znodes[path] = replace(self.znodes[path], problem=Problem.FORBIDDEN)
                yield path
        elif isinstance(content, Problem):
            for gone in self.below(path):
                yield from self._delete(gone, zxid)
        else:
            yield from self._put(path, content, zxid)

    def _put(self, path: str, content: bytes, zxid: int) -> Iterator[str]:
        above, is_ephemeral = parent_of(path), isinstance(content, Ephemeral)
        before = self.znodes.get(path)
        if before is None and above:
            if self.contains(above):
                if above in self.znodes and self.znodes[above].is_ephemeral:
                    # No znode is created below an ephemeral one, which goes first.
                    yield from self._delete(above, zxid)
                if above not in self.znodes:
                    yield from self._put(above, b"", zxid)
            self._count_child(above, zxid)
            yield children_key(above)
        if before is not None and before.is_ephemeral != is_ephemeral:
            yield from self.write(path, Problem.MISSING, zxid)
            before = None
            self._count_child(above, zxid)
        version = 0 if before is None else before.version + 1
        if before is None:
            self.pzxids[path] = zxid
        czxid = zxid if before is None else before.czxid
        self.znodes[path] = Znode(
            path, bytes(content), zxid, version=version, is_ephemeral=is_ephemeral, czxid=czxid
        )
        yield path

    def _delete(self, path: str, zxid: int) -> Iterator[str]:
        del self.znodes[path]
        self.pzxids.pop(path, None)
        self._count_child(parent_of(path), zxid)
        yield from (path, children_key(path), children_key(parent_of(path)))

    def _count_child(self, path: str, zxid: int) -> None:
        if path in self.znodes:
            self.pzxids[path] = zxid

    def single(self, path: str) -> Znode:
        """Return one znode as an option that names it alone gets it."""
        return self.znodes.get(path) or missing(path)

    def watches(self) -> list[str]:
        """The watches that a read of all trees sets."""
        found = [root for root in self.roots if root not in self.znodes]
        for root, tree in self.trees.items():
            for below, znode in tree.znodes.items():
                path = f"{root}/{below}" if below else root
                found += [path] if znode.problem else [path, children_key(path)]
            if tree.problem is not None:
                found.append(root)
        return list(dict.fromkeys(found))
