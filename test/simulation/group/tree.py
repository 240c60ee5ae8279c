"""The znodes of the model ensemble: the group's, and those that are mirrored.

Nodes are values, so that all servers can share them; a change names a path and what stands there
from then on.  The layout is fixed: one group, its members and its queue.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
        del zxid
        if node is None:
            self.nodes.pop(path, None)
        else:
            self.nodes[path] = node
        for parent in PARENTS:
            if path.startswith(parent):
                if node is None:
                    self.children[parent].pop(path, None)
                else:
                    self.children[parent][path] = path[len(parent) :]
