"""The requests of one process to the group, as the shell makes them of single operations.

Each request is answered once, with its number, or fails with it.  What takes several operations is
several messages, between which anything may happen.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from simulation.group.connection import Connection, Kind
from simulation.group.tree import MEMBERS, QUEUE, RESTART, STATE, Transaction
from zkexec.core import actions, group_events
from zkexec.core.actions import Action, Card
from zkexec.core.deeds import Deed
from zkexec.core.events import Event, ReadFailed, ZnodesRead, ZnodeTouched
from zkexec.core.group_events import Conflict, GroupPart, GroupRequestFailed, GroupTouched
from zkexec.core.rollout import Rollout
from zkexec.core.snapshot import Problem, Znode
from zkexec.core.value import replace

if TYPE_CHECKING:
    from simulation.group.process import Process

CONFIGURATION = "configuration"


@dataclass(frozen=True, slots=True)
class Commit:
    """What the bystanders may know of a commit: by whom, and when it was decided on.

    There is no process where an operator did this deed; `place` is that in the queue.
    """

    process: "Process | None"
    decided_at: float
    before: Rollout = field(default_factory=Rollout)
    place: str = ""
    deed: Deed | None = None


def read_znode(connection: Connection, path: str) -> Znode:
    """Read a mirrored znode, or that of restarts, from the server of this connection."""
    node = connection.server.tree.nodes.get(path)
    if node is None:
        return Znode(path, problem=Problem.MISSING)
    return Znode(path, node.content, node.mzxid, version=node.version)


def make_parents(connection: Connection) -> None:
    """Make what belongs to a group and is not there, unless there is a group already."""
    ensemble, number = connection.server.ensemble, connection.session.number
    if STATE not in ensemble.tree.nodes:
        if RESTART not in ensemble.tree.nodes:
            ensemble.commit(number, [ensemble.written(RESTART, b"")])
        ensemble.commit(number, [ensemble.written(STATE, Rollout())])


class GroupRequests:
    """What one process asks of the ensemble."""

    def __init__(self, process: "Process") -> None:
        """Begin with nothing asked."""
        self._process = process
        self._world = process.world
        self._me = MEMBERS + process.host.name
        self._card: Card | None = None
        self._card_on_its_way: Connection | None = None
        """The connection on which a card is on its way."""

    def perform(self, action: Action) -> None:
        """Send what the action asks for."""
        match action:
            case actions.ReadZnodes(number):
                self._read_znodes(number)
            case actions.Enrol(number, card):
                self._enrol(number, card)
            case actions.ShowCard(card):
                self._show(card)
            case actions.JoinQueue(number, ticket):
                self._join(number, ticket)
            case actions.ListQueue(number):
                self._ask_group(number, Kind.READ, partial(self._list_queue, number), self._post)
            case actions.LookAtQueueNode(number, name):
                self._ask_group(number, Kind.READ, partial(self._look, number, name), self._post)
            case actions.LeaveQueue(number, name):
                self._ask_group(number, Kind.WRITE, partial(self._leave, number, name), self._post)
            case actions.ReadRecord(number, watch):
                self._read_record(number, watch)
            case actions.CommitRecord(number):
                process = self._process
                commit = Commit(process, process.handled_at, place=action.place)
                run = partial(self._commit, action, commit)
                self._ask_group(number, Kind.WRITE, run, self._post)

    def _post(self, event: Event) -> None:
        self._process.post(event)

    def _ask_group(
        self, number: int, kind: Kind,
        run: Callable[..., Any], reply: Callable[[Any], None],
    ) -> None:  # fmt: skip
        self._world.count("requests", self._process)
        failed = GroupRequestFailed(number, "there is no connection")
        client = self._process.client
        if client is None:
            self._process.post(failed)
        else:
            client.ask(kind, run, reply, failed)

    def _touch(self, part: GroupPart, transaction: Transaction) -> None:
        self._world.wake(transaction, self._process)
        self._process.post(GroupTouched(part))

    def _watch(self, connection: Connection, path: str, part: GroupPart) -> None:
        """Set a watch that tells of this part of the group.

        Of the own node it tells what others do to it, of a member in flight that it comes or goes.
        """
        me, nodes = connection.session.number, connection.server.tree.nodes
        was_there = path in nodes

        def fire(transaction: Transaction) -> None:
            is_own = part is GroupPart.OWN_NODE and transaction.author == me
            is_card = part is GroupPart.IN_FLIGHT and was_there
            if is_own or (is_card and path in nodes):
                if path in nodes:
                    self._watch(connection, path, part)
                return
            connection.tell(lambda: self._touch(part, transaction))

        connection.server.watch(path, (connection, part), fire)

    def _read_znodes(self, number: int) -> None:
        paths = self._process.paths

        def run(connection: Connection) -> Event:
            for path in paths:
                fire = partial(self._configuration_touched, connection, path)
                connection.server.watch(path, (connection, CONFIGURATION), fire)
            return ZnodesRead(number, {path: read_znode(connection, path) for path in paths})

        self._world.count("config reads", self._process)
        failed = ReadFailed(number, "there is no connection")
        client = self._process.client
        if client is None:
            self._process.post(failed)
        else:
            client.ask(Kind.READ, run, self._post, failed)

    def _configuration_touched(
        self, connection: Connection, path: str, transaction: Transaction
    ) -> None:
        del transaction
        connection.tell(lambda: self._process.post(ZnodeTouched(path)))

    def _enrol(self, number: int, card: Card) -> None:
        def create(connection: Connection) -> bool:
            ensemble, session = connection.server.ensemble, connection.session
            make_parents(connection)
            node = ensemble.tree.nodes.get(self._me)
            if node is not None and node.owner != session.number:
                return False
            change = ensemble.written(self._me, card, session.number)
            ensemble.commit(session.number, [change])
            return True

        def created(done: bool) -> None:
            if done:
                self._ask_group(number, Kind.READ, self._watch_own, enrolled)
            else:
                self._ask_group(number, Kind.READ, self._read_own_version, seen)

        def enrolled(_: object) -> None:
            self._post(group_events.Enrolled(number))

        def seen(version: int | None) -> None:
            run = partial(self._replace, card, version)
            self._ask_group(number, Kind.WRITE, run, replaced)

        def replaced(done: bool) -> None:
            if done:
                created(True)
            else:
                self._post(GroupRequestFailed(number, "somebody else is at the own node"))

        self._ask_group(number, Kind.WRITE, create, created)

    def _watch_own(self, connection: Connection) -> None:
        self._watch(connection, self._me, GroupPart.OWN_NODE)

    def _read_own_version(self, connection: Connection) -> int | None:
        node = connection.server.tree.nodes.get(self._me)
        return None if node is None else node.mzxid

    def _replace(self, card: Card, mzxid: int | None, connection: Connection) -> bool:
        """Delete and create in one transaction, if nobody has done anything meanwhile."""
        ensemble, session = connection.server.ensemble, connection.session
        node = ensemble.tree.nodes.get(self._me)
        if (None if node is None else node.mzxid) != mzxid:
            return False
        _, made = ensemble.written(self._me, card, session.number)
        changes = [(self._me, None), (self._me, made)]
        ensemble.commit(session.number, changes if node is not None else changes[1:])
        return True

    def _show(self, card: Card) -> None:
        client = self._process.client
        connection = client.connection if client is not None and client.connected else None
        if client is None or connection is None:
            return
        self._card = card
        if self._card_on_its_way is not connection:
            self._card_on_its_way = connection
            self._send_card()

    def _send_card(self) -> None:
        card, self._card = self._card, None
        client = self._process.client
        if card is None or client is None or client.connection is None:
            self._card_on_its_way = None
            return
        self._world.count("requests", self._process)
        client.ask(Kind.WRITE, partial(self._write_card, card), self._card_written, None)

    def _write_card(self, card: Card, connection: Connection) -> None:
        ensemble, session = connection.server.ensemble, connection.session
        node = ensemble.tree.nodes.get(self._me)
        if node is not None and node.owner == session.number:
            ensemble.commit(session.number, [ensemble.written(self._me, card, session.number)])

    def _card_written(self, _: object) -> None:
        self._send_card()

    def _join(self, number: int, ticket: str) -> None:
        def run(connection: Connection) -> Event:
            ensemble, session = connection.server.ensemble, connection.session
            name = f"{ticket}-{ensemble.tree.made_in_queue:010d}"
            ensemble.tree.made_in_queue += 1
            content = self._process.host.name
            change = ensemble.written(QUEUE + name, content, session.number)
            ensemble.commit(session.number, [change])
            return group_events.QueueJoined(number, name)

        self._ask_group(number, Kind.WRITE, run, self._post)

    def _list_queue(self, number: int, connection: Connection) -> Event:
        names = tuple(connection.server.tree.children[QUEUE].values())
        self._world.count("listed names", self._process, len(names))
        return group_events.QueueListed(number, names)

    def _look(self, number: int, name: str, connection: Connection) -> Event:
        node = connection.server.tree.nodes.get(QUEUE + name)
        if node is None:
            return group_events.QueueNodeSeen(number, None)
        self._watch(connection, QUEUE + name, GroupPart.PREDECESSOR)
        return group_events.QueueNodeSeen(number, node.content)

    def _leave(self, number: int, name: str, connection: Connection) -> Event:
        ensemble = connection.server.ensemble
        if QUEUE + name in ensemble.tree.nodes:
            ensemble.commit(connection.session.number, [(QUEUE + name, None)])
        return group_events.QueueLeft(number)

    def _read_record(self, number: int, watch: bool) -> None:
        def run(connection: Connection) -> tuple[Rollout, int, int]:
            tree = connection.server.tree
            if watch:
                self._watch(connection, STATE, GroupPart.RECORD)
            node = tree.nodes.get(STATE)
            population = len(tree.children[MEMBERS])
            record = Rollout() if node is None else node.content
            self._world.count_record(record, self._process)
            return record, -1 if node is None else node.version, population

        def look(record: Rollout, connection: Connection) -> frozenset[str]:
            if watch:
                for name in record.inflight:
                    self._watch(connection, MEMBERS + name, GroupPart.IN_FLIGHT)
            named = [*record.inflight, *([record.width.by] if record.width else [])]
            nodes = connection.server.tree.nodes
            return frozenset(name for name in named if MEMBERS + name in nodes)

        def found(answer: tuple[Rollout, int, int]) -> None:
            record, version, population = answer

            def tell(alive: frozenset[str]) -> None:
                read = group_events.RecordRead(number, record, version, alive, population)
                self._post(read)

            if record.inflight or record.width:
                self._ask_group(number, Kind.READ, partial(look, record), tell)
            else:
                tell(frozenset())

        self._ask_group(number, Kind.READ, run, found)

    def _commit(
        self, request: actions.CommitRecord, commit: Commit, connection: Connection
    ) -> Event:
        ensemble, session = connection.server.ensemble, connection.session
        nodes = ensemble.tree.nodes
        if STATE not in nodes:
            return GroupRequestFailed(request.number, "not enrolled")
        if request.place and QUEUE + request.place not in nodes:
            return group_events.CommitRefused(request.number, Conflict.PLACE)
        for path, version in request.checks.items():
            if path not in nodes or nodes[path].version != version:
                return group_events.CommitRefused(request.number, Conflict.CONFIGURATION)
        if nodes[STATE].version != request.version:
            return group_events.CommitRefused(request.number, Conflict.RECORD)
        changes = [ensemble.written(STATE, request.record)]
        if request.place:
            changes.append((QUEUE + request.place, None))
        self._world.commit = replace(commit, before=nodes[STATE].content)
        ensemble.commit(session.number, changes)
        return group_events.RecordCommitted(request.number)
