"""Znodes as a server of ZooKeeper keeps them: contents as bytes, statistics, permission to read.

They are the nodes of the model tree, so that whatever observes that one observes these as well.
"""

from dataclasses import dataclass

from simulation.group.tree import Node, Tree
from zkexec.zookeeper.values import Stat


@dataclass(frozen=True, slots=True)
class StoredNode(Node):
    """One znode; `content` is what its bytes mean to an observer, `encoded` is what is served."""

    encoded: bytes = b""
    czxid: int = 0
    mtime: int = 0
    aversion: int = 0
    is_readable: bool = True


def parent_of(path: str) -> str:
    """The path of the znode above."""
    return path.rpartition("/")[0] or "/"


class ZnodeTree(Tree):
    """All znodes of one server, or of the leader; the root is always there."""

    def __init__(self) -> None:
        """Begin with the root alone."""
        super().__init__()
        self.children["/"] = {}
        self._pzxids: dict[str, int] = {}
        """The transaction in which the children of a znode last changed."""

    def stored(self, path: str) -> StoredNode | None:
        """The znode at a path."""
        node = self.nodes.get(path)
        assert node is None or isinstance(node, StoredNode)
        return node

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
        siblings = self.children.setdefault(f"{parent}/", {})
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

    def stat(self, path: str, node: StoredNode) -> Stat:
        """The statistics of a znode that is in this tree."""
        return Stat(
            czxid=node.czxid,
            mzxid=node.mzxid,
            ctime=node.mtime,
            mtime=node.mtime,
            version=node.version,
            aversion=node.aversion,
            ephemeral_owner=node.owner,
            data_length=len(node.encoded),
            num_children=len(self.children.get(f"{path}/", ())),
            pzxid=self._pzxids.get(path, 0),
        )
