"""A model of one server, for dialogues that read: znodes, watches, and writes between requests.

It answers each request as ZooKeeper does, and keeps every state that there was.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from zkexec.zookeeper.errors import NoAuthError, NoNodeError
from zkexec.zookeeper.requests import (
    Children,
    Dialogue,
    Exists,
    Get,
    MultiRead,
    Request,
    SetWatches,
)
from zkexec.zookeeper.values import Stat

CONTENT, CHILDREN = "content", "children"


@dataclass(frozen=True)
class ModelNode:
    """One znode."""

    content: bytes
    czxid: int
    mzxid: int
    pzxid: int
    is_readable: bool = True


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
                self.nodes[path] = replace(self.nodes[path], content=content, mzxid=zxid)
                events.append((CONTENT, path))
            elif parent_of(path) in self.nodes:
                self.nodes[path] = ModelNode(content, zxid, zxid, zxid)
                events += [(CONTENT, path), self._touch(parent_of(path), zxid)]
        self.states.append(dict(self.nodes))
        for place in events:
            if place in self.watches:
                self.watches.discard(place)
                node = self.nodes.get(place[1])
                if node is None or node.is_readable or not self.hides_unreadable:
                    self._fired(place[1])

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

    def answer(self, request: Request) -> Any:
        """Answer a request that reads."""
        match request:
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
        raise AssertionError(f"no read: {request}")

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
