"""The ensemble of the model world: a leader that orders commits, and servers that follow it.

Clients read what their server has applied, and write through the leader.

No ping is modelled one by one.  As long as a session is in contact it is touched often enough; when
the contact ends, the last touch may be as old as a third of the timeout (the client's pause between
pings) and half a tick (the servers' pause between reports), and the session expires a timeout, and
up to one tick, after it.
"""

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Protocol

from simulation.clock import Clock
from simulation.servers.draft import Author, Draft
from simulation.servers.link import Link
from simulation.servers.server import Server
from simulation.servers.znodes import Change, Node, Transaction, ZnodeTree
from zkexec.zookeeper.errors import ZooKeeperError
from zkexec.zookeeper.requests import Create, Delete, Operation, SetAcl, SetContent
from zkexec.zookeeper.requests import Transaction as TransactionRequest
from zkexec.zookeeper.session_requests import AnyRequest

EPOCH_S = 1_700_000_000.0
"""What the wall clock shows when the clock of the model world shows 0."""


class Session:
    """A session as the leader knows it."""

    def __init__(self, number: int, timeout_s: float) -> None:
        """Begin without a connection."""
        self.number = number
        self.timeout_s = timeout_s
        self.process: object = None
        """The process that has it."""
        self.alive = True
        self.connection: Link | None = None
        """The newest one; what comes by an older one is refused."""
        self.in_contact = False
        self.touched_at = 0.0
        self.ephemerals: dict[str, None] = {}
        self.expiry = 0
        """The number of the newest appointment for its expiry; older ones are void."""


class Observer(Protocol):
    """Who observes each commit."""

    def committed(self, transaction: Transaction) -> None:
        """Observe what was just committed."""


class Ensemble:
    """The leader's truth, the log, the sessions, and the servers."""

    def __init__(self, clock: Clock, random: Random, servers: int, tick_s: float) -> None:
        """Begin with an empty log and a leader."""
        self.clock = clock
        self.random = random
        self.tick_s = tick_s
        self.tree = ZnodeTree()
        self.log: list[Transaction] = []
        self.sessions: dict[int, Session] = {}
        self.hides_unreadable = False
        """Whether the servers are quiet about znodes that may not be read, as those of 3.9 are."""
        self.histories = 0
        """How often another history has begun."""
        self.servers = [self.new_server(number) for number in range(servers)]
        self.has_quorum = True
        self.observer: Observer | None = None
        self.loses_watches = False
        self.may_lose_watch: Callable[[str], bool] = lambda _: True
        """Whether servers that lose watches may lose that of this znode.

        A read of several znodes relies on their watches, as real servers lose only those of a znode
        that may not be read.
        """
        self._luck = Random(len(self.servers))

    def new_server(self, number: int) -> Server:
        """Make a server that has applied nothing."""
        return Server(self, number)

    def loses_watch(self, path: str) -> bool:
        """Whether a watch that should fire is dropped without a word."""
        is_at_risk = self.loses_watches and self.may_lose_watch(path)
        return is_at_risk and self._luck.random() < 0.2

    def begin_anew(
        self, nodes: Mapping[str, Node], log: Sequence[Transaction], made_in_order: int
    ) -> None:
        """Begin another history with these znodes, at the end of this log; no session lives on."""
        self.histories += 1
        for session in self.sessions.values():
            session.alive = False
            session.ephemerals.clear()
        self.log = list(log)
        for server in self.servers:
            server.begin_anew(ZnodeTree().filled(nodes, made_in_order))
        self.tree = ZnodeTree().filled(nodes, made_in_order)

    @property
    def wall_clock(self) -> float:
        """The time of day, in seconds of the epoch."""
        return EPOCH_S + self.clock.now

    # Writes.

    def decide(self, session: Session, request: AnyRequest, decided_at: float) -> object:
        """Let the leader decide a write, and commit what it changes → its outcome.

        `decided_at` is when the process has decided on the request.
        """
        author = Author(session.number, self.next_zxid, round(self.wall_clock * 1000))
        draft = Draft(self.tree, author)
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
            self.tree.made_in_order = draft.made_in_order
            self.commit(session.number, draft.changes, decided_at)
        return outcome

    def carry_out(
        self, operations: Sequence[Operation], decided_at: float, more: Sequence[Change] = ()
    ) -> bool:
        """Commit these operations of another tool, and more changes, in one transaction.

        Return whether it is done.
        """
        draft = Draft(self.tree, Author(0, self.next_zxid, round(self.wall_clock * 1000)))
        outcomes = draft.decide_all(operations)
        if any(isinstance(outcome, ZooKeeperError) for outcome in outcomes):
            return False
        self.commit(0, [*more, *draft.changes], decided_at)
        return True

    def commit(
        self, author: int, changes: Sequence[Change], decided_at: float | None = None
    ) -> int:
        """Append to the log; every server in contact follows."""
        zxid, tree, replaced = len(self.log) + 1, self.tree, dict[str, Node | None]()
        for path, node in changes:
            before = tree.nodes.get(path)
            replaced.setdefault(path, before)
            if before is not None and before.owner and before.owner in self.sessions:
                self.sessions[before.owner].ephemerals.pop(path, None)
            if node is not None and node.owner:
                self.sessions[node.owner].ephemerals[path] = None
            tree.apply(path, node, zxid)
        transaction = Transaction(
            zxid, author, changes, replaced,
            self.sessions[author].process if author else None,
            self.clock.now if decided_at is None else decided_at,
        )  # fmt: skip
        self.log.append(transaction)
        if self.observer is not None:
            self.observer.committed(transaction)
        for server in self.servers:
            server.follow()
        return zxid

    @property
    def next_zxid(self) -> int:
        """The number of the next commit."""
        return len(self.log) + 1

    def written(self, path: str, content: bytes, owner: int = 0) -> tuple[str, Node]:
        """Name a change that writes this content, with the version that follows."""
        before, zxid = self.tree.nodes.get(path), self.next_zxid
        version, czxid = (0, zxid) if before is None else (before.version + 1, before.czxid)
        time_ms = round(self.wall_clock * 1000)
        return path, Node(content, zxid, version, owner, czxid, time_ms)

    # Sessions.

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
        """Note at once that the session is alive, as if it connects anew."""
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
