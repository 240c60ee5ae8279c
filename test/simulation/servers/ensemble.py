"""The ensemble of the model world: a leader that orders commits, and servers that follow it.

Clients read what their server has applied, and write through the leader.  A server that is cut off
from the leader goes on answering reads for a while, and keeps what it should pass on.  A watch is
kept by the server, fires once, and is gone with the connection; some are lost without a word.

No ping is modelled one by one.  As long as a session is in contact it is touched often enough; when
the contact ends, the last touch may be as old as a third of the timeout (the client's pause between
pings) and half a tick (the servers' pause between reports), and the session expires a timeout, and
up to one tick, after it.
"""

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import TYPE_CHECKING, Any, Protocol

from simulation.clock import Clock
from simulation.forest import children_key
from simulation.group.tree import Change, Node, Transaction, Tree

if TYPE_CHECKING:
    from simulation.group.connection import Connection

LAG_S = 0.02
WatchKey = tuple["Connection", Any]


def is_touched(watched: str, changed: str) -> bool:
    """Whether a watch may have missed something, by the path that has changed."""
    above = changed.rpartition("/")[0]
    return watched in (changed, children_key(changed), children_key(above))


class Link(Protocol):
    """A connection as its server and the leader know it."""

    def consider_contact(self) -> None:
        """Note that the server has lost its leader, or has found it again."""

    def close_at_server(self) -> None:
        """Let the server hang up."""

    def go_on(self) -> None:
        """Pass on to the leader what has waited for it."""


class Session:
    """A session as the leader knows it."""

    def __init__(self, number: int, timeout_s: float) -> None:
        """Begin without a connection."""
        self.number = number
        self.timeout_s = timeout_s
        self.place: object = None
        """Where its process runs."""
        self.alive = True
        self.connection: Link | None = None
        """The newest one; what comes by an older one is refused."""
        self.in_contact = False
        self.touched_at = 0.0
        self.ephemerals: dict[str, None] = {}
        self.expiry = 0
        """The number of the newest appointment for its expiry; older ones are void."""


class Server:
    """One server: what it has applied, who is connected to it, and who watches what."""

    def __init__(self, ensemble: "Ensemble", number: int) -> None:
        """Begin in contact with the leader, with nothing applied."""
        self.ensemble = ensemble
        self.number = number
        self.tree = ensemble.new_tree()
        self.applied = 0
        self.lag_s = LAG_S
        self.serving = True
        self.in_contact = True
        self.connections: dict[Link, None] = {}
        self.watches: dict[str, dict[WatchKey, Callable[[Transaction], None]]] = {}
        self._catching_up = False

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
                self.apply(transaction, path, node)

    def apply(self, transaction: Transaction, path: str, node: Node | None) -> None:
        """Apply one change of a transaction, and let its watches fire."""
        was_there = path in self.tree.nodes
        self.tree.apply(path, node, transaction.zxid)
        self._fire(transaction, path)
        if was_there != (node is not None):
            self._fire(transaction, children_key(path.rpartition("/")[0]))
        if node is None:
            self._fire(transaction, children_key(path))

    def _fire(self, transaction: Transaction, path: str) -> None:
        if path in self.watches:
            for key, fire in tuple(self.watches.pop(path).items()):
                if not self.ensemble.loses_watch():
                    key[0].armed.pop((path, key), None)
                    fire(transaction)

    def begin_anew(self, tree: Tree) -> None:
        """Hang up on all, and begin with these znodes."""
        self.drop_all()
        self.watches.clear()
        self.applied = len(self.ensemble.log)
        self.tree = tree

    def watch(self, path: str, key: WatchKey, fire: Callable[[Transaction], None]) -> None:
        """Set a watch; a second one of the same kind on the same connection is the first."""
        self.watches.setdefault(path, {})[key] = fire
        key[0].watched[path] = None
        key[0].armed[path, key] = (self.applied, fire)

    def rearm(self, connection: "Connection") -> None:
        """Set all watches of a connection again; those of what has changed since fire at once."""
        for (path, key), (as_of, fire) in tuple(connection.armed.items()):
            missed = [
                transaction
                for transaction in self.ensemble.log[as_of : self.applied]
                if any(is_touched(path, changed) for changed, _ in transaction.changes)
            ]
            if missed:
                self.watches.get(path, {}).pop(key, None)
                del connection.armed[path, key]
                fire(missed[-1])
            else:
                self.watch(path, key, fire)

    def unwatch(self, connection: "Connection") -> None:
        """Forget the watches of a connection that is gone."""
        for path in connection.watched:
            found = self.watches.get(path)
            if found:
                for key in [key for key in found if key[0] is connection]:
                    del found[key]
                if not found:
                    del self.watches[path]

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


class Observer(Protocol):
    """Who is told of each commit."""

    def committed(self, transaction: Transaction) -> None:
        """See what was just committed."""


class Ensemble:
    """The leader's truth, the log, the sessions, and the servers."""

    def __init__(self, clock: Clock, random: Random, servers: int, tick_s: float) -> None:
        """Begin with an empty log and a leader."""
        self.clock = clock
        self.random = random
        self.tick_s = tick_s
        self.tree = self.new_tree()
        self.log: list[Transaction] = []
        self.sessions: dict[int, Session] = {}
        self.servers = [self.new_server(number) for number in range(servers)]
        self.has_quorum = True
        self.observer: Observer | None = None
        self.loses_watches = False
        self._luck = Random(len(self.servers))

    def new_tree(self) -> Tree:
        """Make a tree without znodes."""
        return Tree()

    def new_server(self, number: int) -> Server:
        """Make a server that has applied nothing."""
        return Server(self, number)

    def loses_watch(self) -> bool:
        """Whether a watch that should fire is dropped without a word."""
        return self.loses_watches and self._luck.random() < 0.2

    def begin_anew(
        self, nodes: Mapping[str, Node], log: Sequence[Transaction], made_in_queue: int
    ) -> None:
        """Begin another history with these znodes, at the end of this log; no session lives on."""
        for session in self.sessions.values():
            session.alive = False
            session.ephemerals.clear()
        self.log = list(log)
        for server in self.servers:
            server.begin_anew(self.new_tree().filled(nodes, made_in_queue))
        self.tree = self.new_tree().filled(nodes, made_in_queue)

    def commit(self, author: int, changes: Sequence[Change]) -> int:
        """Append to the log; every server in contact follows."""
        zxid = len(self.log) + 1
        transaction = Transaction(zxid, author, changes)
        self.log.append(transaction)
        for path, node in changes:
            before = self.tree.nodes.get(path)
            if before is not None and before.owner and before.owner in self.sessions:
                self.sessions[before.owner].ephemerals.pop(path, None)
            if node is not None and node.owner:
                self.sessions[node.owner].ephemerals[path] = None
            self.tree.apply(path, node, zxid)
        if self.observer is not None:
            self.observer.committed(transaction)
        for server in self.servers:
            server.follow()
        return zxid

    @property
    def next_zxid(self) -> int:
        """The number of the next commit."""
        return len(self.log) + 1

    def written(self, path: str, content: object, owner: int = 0) -> Change:
        """Name a change that writes this content, with the version that follows."""
        before = self.tree.nodes.get(path)
        version = 0 if before is None else before.version + 1
        return path, Node(content, self.next_zxid, version, owner)

    def open(self, timeout_s: float) -> Session:
        """Begin a session."""
        session = Session(len(self.sessions) + 1, timeout_s)
        session.touched_at = self.clock.now
        self.sessions[session.number] = session
        return session

    def end(self, session: Session) -> None:
        """End a session, with all its ephemeral nodes."""
        if not session.alive:
            return
        session.alive = False
        if session.ephemerals:
            self.commit(session.number, [(path, None) for path in session.ephemerals])
        if session.connection is not None:
            session.connection.close_at_server()

    def touch(self, session: Session) -> None:
        """Hear of the session at once, as where it connects anew."""
        session.touched_at = self.clock.now
        self._appoint(session)

    def contact_changed(self, session: Session, in_contact: bool) -> None:
        """Take note that pings begin or cease to come through."""
        if session.in_contact == in_contact or not session.alive:
            return
        session.in_contact = in_contact
        now, random = self.clock.now, self.random
        if in_contact:
            self.clock.after(self.tick_s / 2 * random.random(), lambda: self._hear(session, now))
        else:
            oldest_s = session.timeout_s / 3 + self.tick_s / 2
            age_s = oldest_s if random.random() < 0.3 else oldest_s * random.random()
            session.touched_at = max(session.touched_at, now - age_s)
            self._appoint(session)

    def _hear(self, session: Session, sent_at: float) -> None:
        if session.alive and self.has_quorum:
            session.touched_at = max(session.touched_at, sent_at)
            self._appoint(session)

    def _appoint(self, session: Session) -> None:
        """Make the appointment for the expiry of a session that is out of contact."""
        session.expiry += 1
        number = session.expiry
        if session.in_contact:
            return
        late_s = 0.0 if self.random.random() < 0.3 else self.tick_s * self.random.random()
        due_s = max(0.0, session.touched_at + session.timeout_s + late_s - self.clock.now)
        self.clock.after(due_s, lambda: self._expire(session, number))

    def _expire(self, session: Session, number: int) -> None:
        if session.alive and number == session.expiry and self.has_quorum:
            self.end(session)

    def lose_quorum(self) -> None:
        """Lose the leader and most servers: nothing is served, and no session ages."""
        self.has_quorum = False
        for server in self.servers:
            server.serving = False
            server.drop_all()

    def elect(self) -> None:
        """Have a leader again, which gives each session its whole time anew."""
        self.has_quorum = True
        for server in self.servers:
            server.rejoin()
        for session in self.sessions.values():
            if session.alive:
                self.touch(session)
