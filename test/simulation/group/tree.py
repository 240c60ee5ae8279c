"""The znodes of the model ensemble: the group's, and those that are mirrored.

Nodes are values, so that all servers can share them; a change names a path and what stands there
from then on.  The layout is fixed: one group, its members and its queue.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

STATE = "/g/state"
RESTART = "/g/restart"
MEMBERS = "/g/members/"
QUEUE = "/g/queue/"
PARENTS = (MEMBERS, QUEUE)


@dataclass(frozen=True, slots=True)
class Node:
    """One znode; `owner` is the session of an ephemeral one, or 0."""

    content: Any
    mzxid: int
    version: int = 0
    owner: int = 0
    made_at: int = field(default=0, kw_only=True)
    """The transaction that created it; 0 until a server has applied that."""
    children_at: int = field(default=0, kw_only=True)
    """The transaction that created or deleted the last child, as far as it is in a tree."""


Change = tuple[str, Node | None]


@dataclass(frozen=True, slots=True)
class Transaction:
    """What one commit changed, and by which session; 0 stands for the world outside the group."""

    zxid: int
    author: int
    changes: Sequence[Change]


class Tree:
    """What one server holds, or the leader's truth."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.nodes: dict[str, Node] = {}
        self.children: dict[str, dict[str, str]] = {parent: {} for parent in PARENTS}
        """The names of the children, by their paths."""
        self.made_in_queue = 0

    def filled(self, nodes: Mapping[str, Node], made_in_queue: int) -> Self:
        """Put these nodes into a tree that is empty, and return it."""
        for path, node in nodes.items():
            self.apply(path, node, node.mzxid)
        self.made_in_queue = made_in_queue
        return self

    def apply(self, path: str, node: Node | None, zxid: int) -> None:
        """Put this node at the path, in the transaction of this number; None deletes it."""
        before = self.nodes.get(path)
        if node is None:
            self.nodes.pop(path, None)
        elif before is None:
            made_at, children_at = node.made_at or zxid, node.children_at or zxid
            self.nodes[path] = replace(node, made_at=made_at, children_at=children_at)
        else:
            kept = {"made_at": before.made_at, "children_at": before.children_at}
            self.nodes[path] = replace(node, **kept)
        above = self.nodes.get(path.rpartition("/")[0])
        if above is not None and (before is None) != (node is None):
            newest = max(above.children_at, zxid)
            self.nodes[path.rpartition("/")[0]] = replace(above, children_at=newest)
        for parent in PARENTS:
            if path.startswith(parent):
                if node is None:
                    self.children[parent].pop(path, None)
                else:
                    self.children[parent][path] = path[len(parent) :]
