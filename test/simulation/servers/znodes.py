"""Znodes as a server of ZooKeeper keeps them: contents as bytes, statistics, permission to read.

Nodes are values, so that all servers can share them; a change names a path and what is there from
then on.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from zkexec.zookeeper.values import Stat


@dataclass(frozen=True, slots=True)
class Node:
    """One znode; `owner` is the session of an ephemeral one, or 0."""

    content: bytes
    mzxid: int
    version: int = 0
    owner: int = 0
    czxid: int = 0
    mtime: int = 0
    aversion: int = 0
    is_readable: bool = True


Change = tuple[str, Node | None]


@dataclass(frozen=True, slots=True)
class Transaction:
    """What one commit changed, and by which session; 0 stands for operators and other tools.

    `process` has that session, and has decided at `decided_at`, by the clock of the world, on the
    request that was committed.
    """

    zxid: int
    author: int
    changes: Sequence[Change]
    replaced: Mapping[str, Node | None] = field(default_factory=dict)
    """What was at each changed path before."""
    process: object = None
    decided_at: float = 0.0

    def after(self, path: str) -> Node | None:
        """What is at a changed path from now on."""
        return next(node for changed, node in reversed(self.changes) if changed == path)


def parent_of(path: str) -> str:
    """The path of the znode above."""
    return path.rpartition("/")[0] or "/"


class ZnodeTree:
    """All znodes of one server, or of the leader; the root is always there."""

    def __init__(self) -> None:
        """Begin with the root alone."""
        self.nodes: dict[str, Node] = {}
        self.children: defaultdict[str, dict[str, str]] = defaultdict(dict)
        """The paths and names of the children, by the path above, which ends with a slash."""
        self.made_in_order = 0
        """How many sequential znodes were created."""
        self._pzxids: dict[str, int] = {}
        """The transaction in which the children of a znode last changed."""

    def filled(self, nodes: Mapping[str, Node], made_in_order: int) -> Self:
        """Put these nodes into a tree that is empty, and return it."""
        for path, node in nodes.items():
            self.apply(path, node, node.mzxid)
        self.made_in_order = made_in_order
        return self

    def apply(self, path: str, node: Node | None, zxid: int) -> None:
        """Put this node at the path, in the transaction of this number; None deletes it."""
        is_there = path in self.nodes
        if node is not None:
            self.nodes[path] = node
            if is_there:
                return
            self._pzxids[path] = zxid
        elif is_there:
            del self.nodes[path], self._pzxids[path]
        parent, _, name = path.rpartition("/")
        siblings = self.children[f"{parent}/"]
        if node is None:
            siblings.pop(path, None)
        else:
            siblings[path] = name
        self._pzxids[parent or "/"] = zxid

    def names_below(self, path: str) -> tuple[str, ...]:
        """The names of a znode's children."""
        prefix = path if path == "/" else f"{path}/"
        return tuple(self.children.get(prefix, {}).values())

    def pzxid(self, path: str) -> int:
        """The transaction in which a znode was made, or its children last changed."""
        return self._pzxids.get(path, 0)

    def stat(self, path: str, node: Node) -> Stat:
        """The statistics of a znode that is in this tree."""
        return Stat(
            node.czxid,
            node.mzxid,
            node.mtime,
            node.mtime,
            node.version,
            0,
            node.aversion,
            node.owner,
            len(node.content),
            len(self.children.get(f"{path}/", ())),
            self._pzxids.get(path, 0),
        )
