"""The servers of the model world behind the wire protocol: znodes, watches, sessions.

What the ensemble of the group simulation does (a leader, servers that lag behind, are cut off, or
begin another history) is done here as well.  Beyond that every ping counts: a session expires once
no frame of it has reached the leader for its timeout, and up to a tick later.
"""

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import TYPE_CHECKING, Any, Protocol

from simulation.clock import Clock
from simulation.group.tree import Node, Transaction
from simulation.servers.draft import Author, Draft
from simulation.servers.ensemble import Ensemble, Server, Session
from simulation.servers.znodes import StoredNode, ZnodeTree, parent_of
from zkexec.zookeeper.errors import NoAuthError, NoNodeError, ZooKeeperError
from zkexec.zookeeper.requests import (
    Children,
    Create,
    Delete,
    Exists,
    Get,
    MultiRead,
    SetAcl,
    SetContent,
    SetWatches,
)
from zkexec.zookeeper.requests import Transaction as TransactionRequest
from zkexec.zookeeper.session_requests import AnyRequest

if TYPE_CHECKING:
    from simulation.wire.wire import Wire

CONTENT, CHILDREN = 0, 1
"""Of what a watch is."""

CREATED, DELETED, CHANGED, CHILDREN_CHANGED = 1, 2, 3, 4
"""What a watch reports, as ZooKeeper numbers it."""

EPOCH_S = 1_700_000_000.0
"""What the wall clock shows when the clock of the model world shows 0."""

Place = tuple[int, str]


class Contents(Protocol):
    """How the contents of znodes become what observers know them as, and back."""

    def encode(self, path: str, content: Any, now: float) -> bytes:
        """Make the bytes of what an observer writes."""

    def decode(self, path: str, encoded: bytes) -> Any:
        """Make of bytes what they mean."""

    def may_lose_watches(self, path: str) -> bool:
        """Whether servers that lose watches may lose that of this znode.

        A read of several znodes relies on their watches, as real servers lose only those of a znode
        that may not be read.
        """


class PlainContents:
    """Contents that are bytes to every observer."""

    def encode(self, path: str, content: Any, now: float) -> bytes:
        """Take the bytes as they are."""
        del path, now
        assert isinstance(content, bytes)
        return content

    def decode(self, path: str, encoded: bytes) -> Any:
        """Take the bytes as they are."""
        del path
        return encoded

    def may_lose_watches(self, path: str) -> bool:
        """Whether servers that lose watches may lose that of this znode."""
        del path
        return True


class WireServer(Server):
    """One server: it answers reads from its own tree, and keeps the watches of its connections."""

    tree: ZnodeTree
    ensemble: "WireEnsemble"

    def __init__(self, ensemble: "WireEnsemble", number: int) -> None:
        """Begin in contact with the leader, with nothing applied."""
        super().__init__(ensemble, number)
        self._watchers: dict[Place, dict[Wire, None]] = {}
        self._unreported: dict[Session, None] = {}
        """The sessions that were alive since the server was cut off from the leader."""

    def begin_anew(self, tree: Any) -> None:
        """Hang up on all, and begin with these znodes."""
        super().begin_anew(tree)
        self._watchers.clear()

    def cut_off(self) -> None:
        """Lose the leader, and with it what was not reported of sessions yet."""
        unreported_s = self.ensemble.tick_s / 2 * self.ensemble.random.random()
        for session in self.ensemble.sessions.values():
            if session.connection in self.connections:
                session.touched_at -= unreported_s
        super().cut_off()

    def rejoin(self) -> None:
        """Find the leader again, and report which sessions have shown signs of life."""
        for session in self._unreported:
            if session.alive:
                self.ensemble.touch(session)
        self._unreported.clear()
        super().rejoin()

    def hear_of(self, session: Session) -> None:
        """Note a sign of life, which reaches the leader if there is contact to it."""
        if self.in_contact:
            session.touched_at = self.ensemble.clock.now
        else:
            self._unreported[session] = None

    # Reads.

    def read(self, request: AnyRequest, wire: "Wire") -> object:
        """Answer a read → its outcome, which may be an error."""
        match request:
            case Get(path, watch):
                return self._get(path, wire if watch is not None else None)
            case Exists(path, watch):
                return self._exists(path, wire if watch is not None else None)
            case Children(path, watch):
                return self._list(path, wire if watch is not None else None)
            case MultiRead(paths):
                return tuple(self._get(path, None) for path in paths)
            case SetWatches():
                self._set_watches(request, wire)
        return None

    def _get(self, path: str, watcher: "Wire | None") -> object:
        node = self.tree.stored(path)
        if node is None:
            return NoNodeError(path)
        if not node.is_readable:
            return NoAuthError(path)
        self._watch(CONTENT, path, watcher)
        return node.encoded, self.tree.stat(path, node)

    def _exists(self, path: str, watcher: "Wire | None") -> object:
        node = self.tree.stored(path)
        if node is not None and not node.is_readable and self.ensemble.hides_unreadable:
            return NoAuthError(path)
        self._watch(CONTENT, path, watcher)
        return NoNodeError(path) if node is None else self.tree.stat(path, node)

    def _list(self, path: str, watcher: "Wire | None") -> object:
        node = StoredNode(b"", 0) if path == "/" else self.tree.stored(path)
        if node is None:
            return NoNodeError(path)
        if not node.is_readable:
            return NoAuthError(path)
        self._watch(CHILDREN, path, watcher)
        return self.tree.names_below(path), self.tree.stat(path, node)

    # Watches.

    def _watch(self, of: int, path: str, watcher: "Wire | None") -> None:
        if watcher is not None:
            self._watchers.setdefault((of, path), {})[watcher] = None
            watcher.watched[of, path] = None

    def forget_watches(self, wire: "Wire") -> None:
        """Forget the watches of a connection that is gone."""
        for place in wire.watched:
            watchers = self._watchers.get(place)
            if watchers is not None:
                watchers.pop(wire, None)
                if not watchers:
                    del self._watchers[place]
        wire.watched.clear()

    def _set_watches(self, request: SetWatches, wire: "Wire") -> None:
        """Set watches again; those of what has changed since the named transaction fire at once."""
        nodes, newest = self.tree.nodes, len(self.ensemble.log)
        for path in request.existing:
            if path not in nodes:
                wire.report_watch(DELETED, path, newest)
            elif nodes[path].mzxid > request.zxid:
                wire.report_watch(CHANGED, path, nodes[path].mzxid)
            else:
                self._watch(CONTENT, path, wire)
        for path in request.missing:
            if path in nodes:
                wire.report_watch(CREATED, path, nodes[path].mzxid)
            else:
                self._watch(CONTENT, path, wire)
        for path in request.parents:
            if path not in nodes and path != "/":
                wire.report_watch(DELETED, path, newest)
            elif self.tree.pzxid(path) > request.zxid:
                wire.report_watch(CHILDREN_CHANGED, path, self.tree.pzxid(path))
            else:
                self._watch(CHILDREN, path, wire)

    def apply(self, transaction: Transaction, path: str, node: Node | None) -> None:
        """Apply one change of a transaction, and let its watches fire."""
        before = self.tree.nodes.get(path)
        self.tree.apply(path, node, transaction.zxid)
        places: list[tuple[int, Place]] = []
        if before is None and node is not None:
            places = [(CREATED, (CONTENT, path))]
        elif before is not None and node is None:
            places = [(DELETED, (CONTENT, path)), (DELETED, (CHILDREN, path))]
        elif before is not None and node is not None and before.mzxid != node.mzxid:
            # A change of the ACL alone is no event, and no new mzxid.
            places = [(CHANGED, (CONTENT, path))]
        if (before is None) != (node is None):
            places.append((CHILDREN_CHANGED, (CHILDREN, parent_of(path))))
        is_unreadable = isinstance(node, StoredNode) and not node.is_readable
        is_hidden = self.ensemble.hides_unreadable and is_unreadable
        fired: dict[tuple[int, str, Wire], None] = {}
        for kind, place in places:
            for wire in self._watchers.pop(place, ()):
                wire.watched.pop(place, None)
                may_be_lost = self.ensemble.contents.may_lose_watches(place[1])
                if not is_hidden and not (may_be_lost and self.ensemble.loses_watch()):
                    fired[kind, place[1], wire] = None
        for kind, where, wire in fired:
            wire.report_watch(kind, where, transaction.zxid)


class WireEnsemble(Ensemble):
    """The leader's truth and the sessions, as the wire protocol knows them."""

    tree: ZnodeTree

    def __init__(
        self, clock: Clock, random: Random, servers: int, tick_s: float, contents: Contents
    ) -> None:
        """Begin with an empty log and a leader."""
        self.contents = contents
        self.hides_unreadable = False
        """Whether the servers are quiet about znodes that may not be read, as those of 3.9 are."""
        self.lacks_multi_read = False
        """Whether the servers are older than 3.6."""
        self.refused_sessions: set[int] = set()
        """The sessions that are refused for ever, as by servers that have seen less than they."""
        self.expiring: Callable[[Session], None] = lambda _: None
        """Called with a session that is about to expire."""
        self.histories = 0
        """How often another history has begun."""
        super().__init__(clock, random, servers, tick_s)

    def new_tree(self) -> ZnodeTree:
        """Make a tree without znodes."""
        return ZnodeTree()

    def new_server(self, number: int) -> Server:
        """Make a server that has applied nothing."""
        return WireServer(self, number)

    @property
    def wall_clock(self) -> float:
        """The time of day, in seconds of the epoch."""
        return EPOCH_S + self.clock.now

    # Writes.

    def decide(self, session: Session, request: AnyRequest, announce: Callable[[], None]) -> object:
        """Let the leader decide a write, and commit what it changes → its outcome.

        `announce` is called before something is committed.
        """
        author = Author(session.number, self.next_zxid, round(self.wall_clock * 1000))
        draft = Draft(self.tree, author, self.contents.decode)
        outcome: object
        match request:
            case Create() | Delete() | SetContent() | SetAcl():
                try:
                    outcome = draft.decide(request)
                except ZooKeeperError as error:
                    return error
            case TransactionRequest(operations):
                outcome = draft.decide_all(operations)
            case _:
                raise TypeError(f"no write: {request}")
        if draft.changes:
            self.tree.made_in_queue = draft.made_in_queue
            announce()
            self.commit(session.number, draft.changes)
        return outcome

    def written(self, path: str, content: Any, owner: int = 0) -> tuple[str, StoredNode]:
        """Name a change that writes this content, with the version that follows."""
        encoded = self.contents.encode(path, content, self.wall_clock)
        before = self.tree.stored(path)
        version = 0 if before is None else before.version + 1
        czxid = self.next_zxid if before is None else before.czxid
        time_ms = round(self.wall_clock * 1000)
        node = StoredNode(
            self.contents.decode(path, encoded), self.next_zxid, version, owner,
            encoded, czxid, time_ms,
        )  # fmt: skip
        return path, node

    def begin_anew(
        self, nodes: Mapping[str, Node], log: Sequence[Transaction], made_in_queue: int
    ) -> None:
        """Begin another history with these znodes, at the end of this log; no session lives on."""
        self.histories += 1
        stored = {path: self._stored(path, node) for path, node in nodes.items()}
        super().begin_anew(stored, log, made_in_queue)

    def _stored(self, path: str, node: Node) -> StoredNode:
        if isinstance(node, StoredNode):
            return node
        encoded = self.contents.encode(path, node.content, self.wall_clock)
        return StoredNode(
            self.contents.decode(path, encoded), node.mzxid, node.version, node.owner,
            encoded, node.mzxid, round(self.wall_clock * 1000),
        )  # fmt: skip

    # Sessions.

    def granted_s(self, requested_s: float) -> float:
        """How long a session lives without a sign of life, if its client requests this."""
        return min(max(requested_s, 2 * self.tick_s), 20 * self.tick_s)

    def _appoint(self, session: Session) -> None:
        """Examine the session when it may have expired, unless that is arranged already."""
        if not session.expiry:
            session.expiry = 1
            self._examine_later(session)

    def _examine_later(self, session: Session) -> None:
        late_s = 0.0 if self.random.random() < 0.3 else self.tick_s * self.random.random()
        due_s = max(0.0, session.touched_at + session.timeout_s + late_s - self.clock.now)
        self.clock.after(due_s, lambda: self._consider_expiry(session))

    def _consider_expiry(self, session: Session) -> None:
        if not session.alive:
            return
        if not self.has_quorum:
            # The next leader gives each session its whole time anew.
            session.expiry = 0
        elif self.clock.now >= session.touched_at + session.timeout_s:
            self.expiring(session)
            self.end(session)
        else:
            self._examine_later(session)
