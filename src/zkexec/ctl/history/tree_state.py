"""Read a tree of znodes as it was at one moment, on any server.

The names are listed first, and then everything is read.  A znode that is the same in both was
the same between them, so if all are, they were all there at the moment between.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from zkexec.core.snapshot import MOST_BYTES, MOST_ZNODES
from zkexec.ctl.history.history_paths import HistoryPaths
from zkexec.ctl.history.tree_content import canonical
from zkexec.frozen import frozen
from zkexec.znode_paths import check_zk_path
from zkexec.zookeeper.errors import NoNodeError, RefusedError
from zkexec.zookeeper.requests import Children, Dialogue, Exists, Get, GetAcl, Request
from zkexec.zookeeper.values import Acl, Stat

_BATCH = 200


@frozen(hidden=("content",))
class TreeZnode:
    """One znode of a tree."""

    content: bytes
    stat: Stat
    acl: tuple[Acl, ...]

    @property
    def mark(self) -> tuple[int, ...]:
        """What differs if the znode, or its ACL, has changed."""
        stat = self.stat
        return stat.czxid, stat.mzxid, stat.version, stat.aversion


@frozen(hidden=("znodes",))
class TreeState:
    """The znodes of a tree at one moment, by the path below the root; without ephemeral ones."""

    znodes: Mapping[str, TreeZnode]
    ephemerals: frozenset[str]

    @property
    def contents(self) -> dict[str, bytes]:
        """The content of the tree."""
        return canonical({path: znode.content for path, znode in self.znodes.items()})

    @property
    def root(self) -> TreeZnode:
        """The root of the tree."""
        return self.znodes[""]


class TreeRead:
    """One reading of a tree: first `listed`, then `state`."""

    def __init__(self, paths: HistoryPaths, path: str) -> None:
        self._paths = paths
        self._path = path
        self._stats: dict[str, Stat] = {}
        self._ephemerals: set[str] = set()
        self._size = 0
        self._count = 0

    def listed(self) -> Dialogue:
        """List the names → whether that was possible without a change in between."""
        level = [""]
        while level:
            deeper: list[str] = []
            for batch in _batches(level):
                requests = [Children(self._whole(path)) for path in batch]
                outcomes = yield requests
                for path, request, outcome in zip(batch, requests, outcomes, strict=True):
                    if isinstance(outcome, NoNodeError):
                        return not path
                    names, stat = self._paths.demand(request, outcome)
                    deeper += self._below(path, names, stat)
            level = deeper
        return True

    def _below(self, path: str, names: Sequence[str], stat: Stat) -> list[str]:
        """Take note of a znode; return the paths below it."""
        if stat.ephemeral_owner:
            if not path:
                raise RefusedError(f"{self._path}: its root is an ephemeral znode: it is no tree")
            self._ephemerals.add(path)
            return []
        self._stats[path] = stat
        self._count += 1 + len(names)
        # The paths themselves can be large, in a deep tree.
        self._grow(stat.data_length + len(names) * len(path))
        return [f"{path}/{self._checked(name)}".lstrip("/") for name in names]

    def _checked(self, name: str) -> str:
        try:
            valid = check_zk_path(f"/{name}") != "/" and "/" not in name
        except ValueError:
            valid = False
        if not valid:
            raise RefusedError(f"{self._path}: the server has listed an impossible name")
        self._grow(len(name))
        return name

    def _grow(self, size: int) -> None:
        self._size += size
        # Each znode was counted as a name, and is counted once more when it is listed itself.
        if self._count > 2 * MOST_ZNODES or len(self._stats) > MOST_ZNODES:
            raise RefusedError(f"{self._path}: more than {MOST_ZNODES} znodes are too many")
        if self._size > MOST_BYTES:
            raise RefusedError(f"{self._path}: more than {MOST_BYTES} bytes are too many")

    def state(self) -> Dialogue:
        """Read the contents → TreeState, or None if something has changed since the listing.

        Of a tree that does not exist the state has no znode.
        """
        if not self._stats:
            (stat,) = yield [request := Exists(self._whole(""))]
            exists = self._paths.demand(request, stat) is not None
            return None if exists else TreeState({}, frozenset())
        znodes = {}
        self._size = 0
        for batch in _batches(list(self._stats)):
            requests: list[Request] = [Get(self._whole(path)) for path in batch]
            requests += [GetAcl(self._whole(path)) for path in batch]
            outcomes = yield requests
            if any(isinstance(outcome, NoNodeError) for outcome in outcomes):
                return None
            pairs = zip(requests, outcomes, strict=True)
            found: list[Any] = [self._paths.demand(*pair) for pair in pairs]
            for path, (content, stat), (acl, _) in zip(
                batch, found[: len(batch)], found[len(batch) :], strict=True
            ):
                self._grow(len(content))
                if _mark(stat) != _mark(self._stats[path]):
                    return None
                znodes[path] = TreeZnode(content, stat, tuple(acl))
        return TreeState(znodes, frozenset(self._ephemerals))

    def _whole(self, path: str) -> str:
        return self._paths.znode(self._path + path)


def _mark(stat: Stat) -> tuple[int, ...]:
    return stat.czxid, stat.mzxid, stat.pzxid


def _batches(paths: Sequence[str]) -> Iterator[list[str]]:
    rest = iter(paths)
    while batch := list(islice(rest, _BATCH)):
        yield batch
