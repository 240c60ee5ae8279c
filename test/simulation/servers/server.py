"""One server of the model world: it follows the leader, answers reads, and keeps watches.

A server that is cut off from the leader goes on answering reads for a while, and keeps what it
should pass on.  A watch is kept by the server, fires once, and is gone with the connection; some
are lost without a word.
"""

from typing import TYPE_CHECKING

from simulation.servers.link import Link, WatchPlace
from simulation.servers.znodes import Node, Transaction, ZnodeTree, parent_of
from zkexec.zookeeper.errors import NoAuthError, NoNodeError, OtherError
from zkexec.zookeeper.requests import (
    CHILDREN_WATCH,
    CONTENT_WATCH,
    Children,
    Exists,
    Get,
    GetEphemerals,
    MultiRead,
    RemoveWatches,
    SetWatches,
)
from zkexec.zookeeper.session_requests import AnyRequest

if TYPE_CHECKING:
    from simulation.servers.ensemble import Ensemble

LAG_S = 0.02

READS = (Get, Exists, Children, MultiRead, SetWatches, RemoveWatches, GetEphemerals)
"""What a server answers without the leader."""

CREATED, DELETED, CHANGED, CHILDREN_CHANGED = 1, 2, 3, 4
"""What a watch reports, as ZooKeeper numbers it."""


class Server:
    """What one server has applied, who is connected to it, and who watches what."""

    def __init__(self, ensemble: "Ensemble", number: int) -> None:
        """Begin in contact with the leader, with nothing applied."""
        self.ensemble = ensemble
        self.number = number
        self.tree = ZnodeTree()
        self.applied = 0
        self.lag_s = LAG_S
        self.serving = True
        self.in_contact = True
        self.connections: dict[Link, None] = {}
        self._watchers: dict[WatchPlace, dict[Link, None]] = {}
        self._catching_up = False

    # The leader.

    def follow(self) -> None:
        """Apply what was committed, a little later."""
        if self._catching_up or not self.in_contact:
            return
        self._catching_up = True
        random = self.ensemble.random
        self.ensemble.clock.after(self.lag_s * random.random(), self._caught_up)

    def _caught_up(self) -> None:
        self._catching_up = False
        if self.in_contact:
            self.catch_up()

    def catch_up(self) -> None:
        """Apply all that has been committed, and let watches fire."""
        log = self.ensemble.log
        while self.applied < len(log):
            transaction = log[self.applied]
            self.applied += 1
            for path, node in transaction.changes:
                self._apply(transaction, path, node)

    def begin_anew(self, tree: ZnodeTree) -> None:
        """Hang up on all, and begin with these znodes."""
        self.drop_all()
        self._watchers.clear()
        self.applied = len(self.ensemble.log)
        self.tree = tree

    def cut_off(self) -> None:
        """Lose the leader; clients notice only when the server gives up."""
        self.in_contact = False
        for connection in tuple(self.connections):
            connection.consider_contact()

    def give_up(self) -> None:
        """Serve no one without the leader."""
        if not self.in_contact:
            self.serving = False
            self.drop_all()

    def rejoin(self) -> None:
        """Find the leader again, and pass on what has waited."""
        self.in_contact = self.serving = True
        self.catch_up()
        for connection in tuple(self.connections):
            connection.consider_contact()
            connection.go_on()

    def drop_all(self) -> None:
        """Close every connection."""
        for connection in tuple(self.connections):
            connection.close_at_server()

    # Reads.

    def read(self, request: AnyRequest, link: Link) -> object:
        """Answer a read → its outcome, which may be an error."""
        match request:
            case Get(path, watch):
                return self._get(path, link if watch is not None else None)
            case Exists(path, watch):
                return self._exists(path, link if watch is not None else None)
            case Children(path, watch):
                return self._list(path, link if watch is not None else None)
            case MultiRead(paths):
                return tuple([self._get(path, None) for path in paths])
            case SetWatches():
                self._set_watches(request, link)
            case RemoveWatches(path, kind):
                return self._remove_watches(path, kind, link)
            case GetEphemerals(prefix):
                session = link.session
                owned = () if session is None else session.ephemerals
                there = self.tree.nodes
                return tuple(path for path in owned if path.startswith(prefix) and path in there)
        return None

    def _get(self, path: str, watcher: Link | None) -> object:
        node = self.tree.nodes.get(path)
        if node is None:
            return NoNodeError(path)
        if not node.is_readable:
            return NoAuthError(path)
        self._watch(CONTENT_WATCH, path, watcher)
        return node.content, self.tree.stat(path, node)

    def _exists(self, path: str, watcher: Link | None) -> object:
        node = self.tree.nodes.get(path)
        if node is not None and not node.is_readable and self.ensemble.hides_unreadable:
            return NoAuthError(path)
        self._watch(CONTENT_WATCH, path, watcher)
        return NoNodeError(path) if node is None else self.tree.stat(path, node)

    def _list(self, path: str, watcher: Link | None) -> object:
        node = Node(b"", 0) if path == "/" else self.tree.nodes.get(path)
        if node is None:
            return NoNodeError(path)
        if not node.is_readable:
            return NoAuthError(path)
        self._watch(CHILDREN_WATCH, path, watcher)
        return self.tree.names_below(path), self.tree.stat(path, node)

    # Watches.

    def _watch(self, of: int, path: str, watcher: Link | None) -> None:
        if watcher is not None:
            self._watchers.setdefault((of, path), {})[watcher] = None
            watcher.watched[of, path] = None

    def forget_watches(self, link: Link) -> None:
        """Forget the watches of a connection that is gone."""
        for place in tuple(link.watched):
            self._forget_watch(place, link)

    def _forget_watch(self, place: WatchPlace, link: Link) -> bool:
        watchers = self._watchers.get(place, {})
        if place not in link.watched:
            return False
        del link.watched[place]
        watchers.pop(link, None)
        if not watchers:
            self._watchers.pop(place, None)
        return True

    def _remove_watches(self, path: str, kind: int, link: Link) -> object:
        places = [(of, path) for of in (CHILDREN_WATCH, CONTENT_WATCH) if kind & of]
        removed = [self._forget_watch(place, link) for place in places]
        return None if any(removed) else OtherError(path, "no such watch")

    def _set_watches(self, request: SetWatches, link: Link) -> None:
        """Set watches again; those of what has changed since the named transaction fire at once."""
        nodes, newest = self.tree.nodes, len(self.ensemble.log)
        for path in request.existing:
            if path not in nodes:
                link.report_watch(DELETED, path, newest)
            elif nodes[path].mzxid > request.zxid:
                link.report_watch(CHANGED, path, nodes[path].mzxid)
            else:
                self._watch(CONTENT_WATCH, path, link)
        for path in request.missing:
            if path in nodes:
                link.report_watch(CREATED, path, nodes[path].mzxid)
            else:
                self._watch(CONTENT_WATCH, path, link)
        for path in request.parents:
            if path not in nodes and path != "/":
                link.report_watch(DELETED, path, newest)
            elif self.tree.pzxid(path) > request.zxid:
                link.report_watch(CHILDREN_CHANGED, path, self.tree.pzxid(path))
            else:
                self._watch(CHILDREN_WATCH, path, link)

    def _apply(self, transaction: Transaction, path: str, node: Node | None) -> None:
        """Apply one change of a transaction, and let its watches fire."""
        before = self.tree.nodes.get(path)
        self.tree.apply(path, node, transaction.zxid)
        places: list[tuple[int, WatchPlace]] = []
        if before is None and node is not None:
            places = [(CREATED, (CONTENT_WATCH, path))]
        elif before is not None and node is None:
            places = [(DELETED, (CONTENT_WATCH, path)), (DELETED, (CHILDREN_WATCH, path))]
        elif before is not None and node is not None and before.mzxid != node.mzxid:
            # A change of the ACL alone is no event, and no new mzxid.
            places = [(CHANGED, (CONTENT_WATCH, path))]
        if (before is None) != (node is None):
            places.append((CHILDREN_CHANGED, (CHILDREN_WATCH, parent_of(path))))
        is_unreadable = node is not None and not node.is_readable
        is_hidden = self.ensemble.hides_unreadable and is_unreadable
        fired: dict[tuple[int, str, Link], None] = {}
        for kind, place in places:
            for link in self._watchers.pop(place, ()):
                link.watched.pop(place, None)
                if not is_hidden and not self.ensemble.loses_watch(place[1]):
                    fired[kind, place[1], link] = None
        for kind, where, link in fired:
            link.report_watch(kind, where, transaction.zxid)
