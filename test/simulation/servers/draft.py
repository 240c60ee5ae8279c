"""What the leader makes of a write: whether it is done, and what it changes.

The operations of a transaction are decided one after the other, each on what those before it would
leave; either all of them are done or none.
"""

from collections.abc import Sequence
from dataclasses import replace

from simulation.servers.znodes import Change, Node, ZnodeTree, parent_of
from zkexec.frozen import frozen
from zkexec.zookeeper.errors import (
    BadVersionError,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
    NotTriedError,
    RolledBackError,
    ZooKeeperError,
)
from zkexec.zookeeper.requests import Check, Create, Delete, Operation, SetAcl, SetContent
from zkexec.zookeeper.values import READ, Stat


@frozen()
class Author:
    """Whose write it is, and when: a session, and the number of the transaction to be."""

    session: int
    zxid: int
    time_ms: int


class Draft:
    """The changes that were decided on so far, and what the tree would be with them."""

    def __init__(self, tree: ZnodeTree, author: Author) -> None:
        """Begin with nothing changed."""
        self.changes: list[Change] = []
        self.made_in_order = tree.made_in_order
        self._tree = tree
        self._author = author
        self._new: dict[str, Node | None] = {}
        self._made_below: dict[str, list[str]] = {}
        """The paths of the znodes that this draft makes, by the path above."""

    def decide(self, request: Operation | SetAcl) -> object:
        """Decide one operation → its outcome; raises a ZooKeeperError if it is not done."""
        match request:
            case Create():
                return self._create(request)
            case Delete(path, version):
                self._demand(path, version)
                if self._has_children(path):
                    raise NotEmptyError(path)
                self._put(path, None)
                return None
            case SetContent(path, content, version):
                return self._set(path, content, version)
            case SetAcl():
                return self._set_acl(request)
            case Check(path, version):
                self._demand(path, version)
                return None

    def decide_all(self, operations: Sequence[Operation]) -> tuple[object, ...]:
        """Decide a transaction → the outcome of each; nothing is changed if one of them fails."""
        outcomes: list[object] = []
        for operation in operations:
            try:
                outcomes.append(self.decide(operation))
            except ZooKeeperError as error:
                self.changes.clear()
                rolled_back = [RolledBackError(one.path) for one in operations[: len(outcomes)]]
                not_tried = [NotTriedError(one.path) for one in operations[len(outcomes) + 1 :]]
                return (*rolled_back, error, *not_tried)
        return tuple(outcomes)

    def _create(self, request: Create) -> str:
        path, parent = request.path, parent_of(request.path)
        if parent != "/" and self._node(parent) is None:
            raise NoNodeError(path)
        if request.sequential:
            path += f"{self.made_in_order:010d}"
            self.made_in_order += 1
        if self._node(path) is not None:
            raise NodeExistsError(path)
        author = self._author
        owner = author.session if request.ephemeral else 0
        made = Node(request.content, author.zxid, 0, owner, author.zxid, author.time_ms)
        self._put(path, made)
        self._made_below.setdefault(parent, []).append(path)
        return path

    def _set(self, path: str, content: bytes, version: int) -> Stat:
        before, author = self._demand(path, version), self._author
        node = Node(
            content, author.zxid, before.version + 1, before.owner,
            before.czxid, author.time_ms, before.aversion, before.is_readable,
        )  # fmt: skip
        self._put(path, node)
        return self._tree.stat(path, node)

    def _set_acl(self, request: SetAcl) -> Stat:
        before = self._demand(request.path, -1)
        is_readable = any(entry.permissions & READ for entry in request.acl)
        node = replace(before, aversion=before.aversion + 1, is_readable=is_readable)
        self._put(request.path, node)
        return self._tree.stat(request.path, node)

    def _put(self, path: str, node: Node | None) -> None:
        self._new[path] = node
        self.changes.append((path, node))

    def _node(self, path: str) -> Node | None:
        return self._new[path] if path in self._new else self._tree.nodes.get(path)

    def _demand(self, path: str, version: int) -> Node:
        node = self._node(path)
        if node is None:
            raise NoNodeError(path)
        if version not in (-1, node.version):
            raise BadVersionError(path)
        return node

    def _has_children(self, path: str) -> bool:
        below, made = self._tree.children.get(f"{path}/"), self._made_below.get(path)
        return any(self._node(one) is not None for one in (*(below or ()), *(made or ())))
