"""A model of one server, for dialogues: znodes, watches, and writes between requests.

It answers each request as ZooKeeper does, and keeps every state that there was.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from zkexec.zookeeper.errors import (
    BadVersionError,
    NoAuthError,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
    NotTriedError,
    RolledBackError,
    ZooKeeperError,
)
from zkexec.zookeeper.requests import (
    Check,
    Children,
    Create,
    Delete,
    Dialogue,
    Exists,
    Get,
    GetEphemerals,
    MultiRead,
    Operation,
    Request,
    SetContent,
    SetWatches,
    Transaction,
)
from zkexec.zookeeper.values import Stat

CONTENT, CHILDREN = "content", "children"
SESSION = 77
"""The session of the connection."""


@dataclass(frozen=True)
class ModelNode:
    """One znode."""

    content: bytes
    czxid: int
    mzxid: int
    pzxid: int
    is_readable: bool = True
    version: int = 0
    owner: int = 0
    """The session of an ephemeral one."""


State = dict[str, ModelNode]


class ModelServer:
    """One server and one connection to it; the root is always there."""

    def __init__(self, fired: Callable[[str], None]) -> None:
        """Call `fired` with the path of each watch that fires."""
        self.nodes: State = {"/": ModelNode(b"", 0, 0, 0)}
        self.states: list[State] = [dict(self.nodes)]
        """All states, by zxid."""
        self.watches: set[tuple[str, str]] = set()
        self.hides_unreadable = False
        """Whether it keeps quiet about znodes that may not be read, as servers of 3.9 do."""
        self._fired = fired
        self._numbers = 0

    @property
    def zxid(self) -> int:
        """The newest transaction."""
        return len(self.states) - 1

    # Writes.

    def commit(self, *writes: tuple[str, bytes | None]) -> None:
        """Write these contents in one transaction; None deletes.  What cannot be is left out."""
        zxid, events = self.zxid + 1, []
        for path, content in writes:
            if content is None:
                events += self._delete(path, zxid)
            elif path in self.nodes:
                events.append(self._write(path, content, zxid))
            elif parent_of(path) in self.nodes:
                self.nodes[path] = ModelNode(content, zxid, zxid, zxid)
                events += [(CONTENT, path), self._touch(parent_of(path), zxid)]
        self.states.append(dict(self.nodes))
        self._report(events)

    def _report(self, events: Sequence[tuple[str, str]]) -> None:
        for place in events:
            if place in self.watches:
                self.watches.discard(place)
                node = self.nodes.get(place[1])
                if node is None or node.is_readable or not self.hides_unreadable:
                    self._fired(place[1])

    def transact(self, operations: Sequence[Operation]) -> tuple[Any, ...]:
        """Do all of these or none, as one transaction; return the outcome of each."""
        before, zxid = dict(self.nodes), self.zxid + 1
        events: list[tuple[str, str]] = []
        outcomes: list[Any] = []
        for operation in operations:
            try:
                outcomes.append(self._do(operation, zxid, events))
            except ZooKeeperError as error:
                self.nodes = before
                not_tried = [NotTriedError() for _ in operations[len(outcomes) + 1 :]]
                return (*(RolledBackError() for _ in outcomes), error, *not_tried)
        self.states.append(dict(self.nodes))
        self._report(events)
        return tuple(outcomes)

    def _do(self, operation: Operation, zxid: int, events: list[tuple[str, str]]) -> Any:
        path = operation.path
        match operation:
            case Create(_, content):
                if operation.sequential:
                    path, self._numbers = f"{path}{self._numbers:010}", self._numbers + 1
                if parent_of(path) not in self.nodes:
                    raise NoNodeError(path)
                if path in self.nodes:
                    raise NodeExistsError(path)
                owner = SESSION if operation.ephemeral else 0
                self.nodes[path] = ModelNode(content, zxid, zxid, zxid, owner=owner)
                events += [(CONTENT, path), self._touch(parent_of(path), zxid)]
                return path
            case Delete():
                self._demand_version(operation)
                if self._names(path):
                    raise NotEmptyError(path)
                events += self._delete(path, zxid)
                return None
            case SetContent(_, content):
                self._demand_version(operation)
                events.append(self._write(path, content, zxid))
                return self._stat(path)
            case Check():
                self._demand_version(operation)
                return None

    def _write(self, path: str, content: bytes, zxid: int) -> tuple[str, str]:
        node = self.nodes[path]
        self.nodes[path] = replace(node, content=content, mzxid=zxid, version=node.version + 1)
        return CONTENT, path

    def _demand_version(self, operation: Delete | SetContent | Check) -> None:
        node = self.nodes.get(operation.path)
        if node is None:
            raise NoNodeError(operation.path)
        if operation.version not in (-1, node.version):
            raise BadVersionError(operation.path)

    def permit(self, path: str, *, is_readable: bool) -> None:
        """Change the permission of a znode, which is no event, and no new mzxid."""
        if path in self.nodes:
            self.nodes[path] = replace(self.nodes[path], is_readable=is_readable)
        self.states.append(dict(self.nodes))

    def _delete(self, path: str, zxid: int) -> list[tuple[str, str]]:
        if path not in self.nodes or self._names(path):
            return []
        del self.nodes[path]
        return [(CONTENT, path), (CHILDREN, path), self._touch(parent_of(path), zxid)]

    def _touch(self, path: str, zxid: int) -> tuple[str, str]:
        self.nodes[path] = replace(self.nodes[path], pzxid=zxid)
        return CHILDREN, path

    # Reads.

    def answer(self, request: Request) -> Any:  # noqa: C901 -- a table
        """Answer a request; a read with a watch sets it."""
        if isinstance(request, Get | Exists | Children) and request.watch is not None:
            self._set_watch(request)
        match request:
            case Transaction(operations):
                return self.transact(operations)
            case Create() | Delete() | SetContent():
                outcomes = self.transact([request])
                return outcomes[0]
            case GetEphemerals(prefix):
                found = self.nodes.items()
                return tuple(p for p, n in found if n.owner == SESSION and p.startswith(prefix))
            case Exists(path):
                node = self.nodes.get(path)
                if node is not None and not node.is_readable and self.hides_unreadable:
                    return NoAuthError(path)
                return None if node is None else self._stat(path)
            case Get(path):
                return self._readable(path) or (self.nodes[path].content, self._stat(path))
            case Children(path):
                return self._readable(path) or (self._names(path), self._stat(path))
            case MultiRead(paths):
                return tuple(self.answer(Get(path)) for path in paths)
            case SetWatches():
                return self._set_watches(request)
        raise AssertionError(f"no request of this model: {request}")

    def _set_watch(self, request: Get | Exists | Children) -> None:
        kind = CHILDREN if isinstance(request, Children) else CONTENT
        if isinstance(request, Exists) or request.path in self.nodes:
            self.watches.add((kind, request.path))

    def _readable(self, path: str) -> Exception | None:
        node = self.nodes.get(path)
        if node is None:
            return NoNodeError(path)
        return None if node.is_readable else NoAuthError(path)

    def _names(self, path: str) -> tuple[str, ...]:
        return tuple(p.rpartition("/")[2] for p in self.nodes if p != "/" and parent_of(p) == path)

    def _stat(self, path: str) -> Stat:
        node = self.nodes[path]
        return Stat(
            czxid=node.czxid,
            mzxid=node.mzxid,
            pzxid=node.pzxid,
            version=node.version,
            ephemeral_owner=node.owner,
            data_length=len(node.content),
            num_children=len(self._names(path)),
        )

    def _set_watches(self, request: SetWatches) -> None:
        for path in request.existing:
            node = self.nodes.get(path)
            is_changed = node is None or node.mzxid > request.zxid
            self._watch(CONTENT, path, is_changed=is_changed)
        for path in request.missing:
            self._watch(CONTENT, path, is_changed=path in self.nodes)
        for path in request.parents:
            node = self.nodes.get(path)
            is_changed = node is None or node.pzxid > request.zxid
            self._watch(CHILDREN, path, is_changed=is_changed)

    def _watch(self, of: str, path: str, *, is_changed: bool) -> None:
        if is_changed:
            self._fired(path)
        else:
            self.watches.add((of, path))


def parent_of(path: str) -> str:
    """The path of the znode above."""
    return path.rpartition("/")[0] or "/"


def converse(
    dialogue: Dialogue, server: ModelServer, between: Callable[[], None]
) -> Generator[Sequence[Request], None, Any]:
    """Run a dialogue; `between` is called before each request is answered."""
    outcomes: list[Any] | None = None
    while True:
        try:
            batch = next(dialogue) if outcomes is None else dialogue.send(outcomes)
        except StopIteration as end:
            return end.value
        yield batch
        outcomes = []
        for request in batch:
            between()
            outcomes.append(server.answer(request))


def run(dialogue: Dialogue, server: ModelServer, between: Callable[[], None] = lambda: None) -> Any:
    """Run a dialogue to its end; `between` is called before each request is answered."""
    conversation = converse(dialogue, server, between)
    while True:
        try:
            next(conversation)
        except StopIteration as end:
            return end.value
