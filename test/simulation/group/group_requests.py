"""The requests of one process to the group, as the shell makes them of single operations.

Each request is answered once, with its number, or fails with it.  What takes several operations is
several messages, between which anything may happen.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from simulation.group.client import Client
from simulation.group.connection import Connection, Kind
from simulation.group.group_inputs import forest_of
from simulation.group.record_reading import RecordReading
from simulation.group.tree import MEMBERS, QUEUE, RESTART, STATE, Change, Transaction
from zkexec.core import actions
from zkexec.core.actions import Action
from zkexec.core.events import Event, ReadFailed, ZnodesRead, ZnodeTouched
from zkexec.core.rollout import group_actions, group_events
from zkexec.core.rollout.group_events import Conflict, GroupPart, GroupRequestFailed, GroupTouched
from zkexec.core.rollout.record import AuditEntry, RolloutRecord
from zkexec.core.snapshot import Problem, Znode
from zkexec.core.turn import MemberStatus
from zkexec.frozen import replace

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
    before: RolloutRecord = field(default_factory=RolloutRecord)
    place: str = ""
    audit_entry: AuditEntry | None = None


def read_znode(connection: Connection, path: str) -> Znode:
    """Read a mirrored znode, or that of restarts, from the server of this connection."""
    node = connection.server.tree.nodes.get(path)
    if node is None:
        return Znode(path, problem=Problem.MISSING)
    return Znode(path, node.content, node.mzxid, version=node.version, czxid=node.made_at)


def make_parents(connection: Connection) -> None:
    """Make what belongs to a group and is not there, unless there is a group already."""
    ensemble, number = connection.server.ensemble, connection.session.number
    if STATE not in ensemble.tree.nodes:
        if RESTART not in ensemble.tree.nodes:
            ensemble.commit(number, [ensemble.written(RESTART, b"")])
        ensemble.commit(number, [ensemble.written(STATE, RolloutRecord())])


class GroupRequests:
    """What one process asks of the ensemble."""

    def __init__(self, process: "Process") -> None:
        """Begin with nothing asked."""
        self.process = process
        self.world = process.world
        self._me = MEMBERS + process.host.name
        self._duplicate = f"{self._me}~{process.host.label}"
        """The node that it has while another process has the ID."""
        self.living: set[tuple[Connection, str]] = set()
        """The nodes in flight whose end a watch on this connection would have reported."""
        self._status: MemberStatus | None = None
        self._card_on_its_way: Connection | None = None
        """The connection on which a status is on its way."""

    def perform(self, action: Action) -> None:  # noqa: C901 -- one arm for each
        """Send what the action asks for."""
        match action:
            case actions.ReadZnodes(number):
                self._read_znodes(number)
            case actions.RearmWatches():
                self._rearm()
            case group_actions.Enrol():
                self._enrol(action)
            case group_actions.PublishStatus(status):
                self._show(status)
            case group_actions.JoinQueue():
                self._join(action)
            case group_actions.ListQueue(number):
                self.ask_group(number, Kind.READ, partial(self._list_queue, number), self.post)
            case group_actions.WatchQueueNode(number, name):
                self.ask_group(number, Kind.READ, partial(self._look, number, name), self.post)
            case group_actions.LeaveQueue(number, name):
                self.ask_group(number, Kind.WRITE, partial(self._leave, number, name), self.post)
            case group_actions.ReadRecord():
                RecordReading(self, action).begin()
            case group_actions.CommitRecord(number):
                process = self.process
                commit = Commit(process, process.handled_at, place=action.queue_node)
                run = partial(self._commit, action, commit)
                self.ask_group(number, Kind.WRITE, run, self.post)

    @property
    def _client(self) -> Client | None:
        client = self.process.client
        return client if isinstance(client, Client) else None

    def post(self, event: Event) -> None:
        """Give the process an event of the client's thread."""
        self.process.post(event)

    def ask_group(
        self, number: int, kind: Kind,
        run: Callable[..., Any], reply: Callable[[Any], None],
    ) -> None:  # fmt: skip
        """Send one message; it fails with its number where there is no connection."""
        self.world.count("requests", self.process)
        failed = GroupRequestFailed(number, "there is no connection")
        client = self._client
        if client is None:
            self.process.post(failed)
        else:
            client.ask(kind, run, reply, failed)

    def _touch(self, part: GroupPart, transaction: Transaction) -> None:
        self.world.wake(transaction, self.process)
        self.process.post(GroupTouched(part))

    def watch(self, connection: Connection, path: str, part: GroupPart) -> None:
        """Set a watch on this part of the group.

        On the members' nodes it reports that they are created or deleted.
        """
        nodes = connection.server.tree.nodes
        is_card = part in (GroupPart.OWN_NODE, GroupPart.IN_FLIGHT) and path in nodes

        def fire(transaction: Transaction) -> None:
            if is_card and path in nodes:
                self.watch(connection, path, part)
                return
            connection.report(lambda: heard(transaction))

        def heard(transaction: Transaction) -> None:
            self.living.discard((connection, path))
            self._touch(part, transaction)

        connection.server.watch(path, (connection, part), fire)

    def _read_znodes(self, number: int) -> None:
        paths = self.process.paths

        def run(connection: Connection) -> Event:
            key = (connection, CONFIGURATION)
            forest = forest_of(connection.server.tree.nodes, self.process.policy.inputs.trees)
            watched = [*paths, *forest.watches()]
            unarmed = [path for path in watched if (path, key) not in connection.armed]
            self.world.count("requests", self.process, len(unarmed) + 1)
            for path in unarmed:
                fire = partial(self._configuration_touched, connection, path)
                connection.server.watch(path, key, fire)
            znodes = {path: read_znode(connection, path) for path in paths}
            self.world.reads[self.process, number] = self.world.histories
            return ZnodesRead(number, znodes, connection.server.applied, forest.trees)

        failed = ReadFailed(number, "there is no connection")
        client = self._client
        if client is None:
            self.process.post(failed)
        else:
            client.ask(Kind.READ, run, self.post, failed)

    def _rearm(self) -> None:
        client = self._client
        if client is not None:
            self.world.count("requests", self.process)
            client.ask(Kind.READ, lambda c: c.server.rearm(c), lambda _: None, None)

    def _configuration_touched(
        self, connection: Connection, path: str, transaction: Transaction
    ) -> None:
        del transaction
        connection.report(lambda: self.process.post(ZnodeTouched(path.rstrip("/"))))

    def _enrol(self, request: group_actions.Enrol) -> None:
        def create(connection: Connection) -> bool:
            ensemble, session = connection.server.ensemble, connection.session
            make_parents(connection)
            node = ensemble.tree.nodes.get(self._me)
            if node is not None and node.owner != session.number:
                return False
            change = ensemble.written(self._me, request.status, session.number)
            ensemble.commit(session.number, [change])
            return True

        def created(done: bool) -> None:
            if done:
                self._enrolled(request)
            else:
                self.ask_group(request.number, Kind.READ, self._read_own_version, seen)

        def seen(found: tuple[int | None, bool]) -> None:
            version, is_ours = found
            run = partial(self._replace if is_ours else self._be_duplicate, request.status, version)
            reply = replaced if is_ours else occupied
            self.ask_group(request.number, Kind.WRITE, run, reply)

        def replaced(done: bool) -> None:
            if done:
                self._enrolled(request)
            else:
                trouble = "another process is at the own node"
                self.post(GroupRequestFailed(request.number, trouble))

        def occupied(_: object) -> None:
            self.post(group_events.EnrolmentOccupied(request.number, "another host"))

        self.ask_group(request.number, Kind.WRITE, create, created)

    def _enrolled(self, request: group_actions.Enrol) -> None:
        """Take the node of a duplicate away, watch the own one, and answer."""

        def alone(_: object) -> None:
            self.ask_group(request.number, Kind.READ, self._watch_own, watched)

        def watched(_: object) -> None:
            self.post(group_events.Enrolled(request.number))

        if request.may_be_duplicate:
            self.ask_group(request.number, Kind.WRITE, self._be_no_duplicate, alone)
        else:
            alone(None)

    def _watch_own(self, connection: Connection) -> None:
        self.watch(connection, self._me, GroupPart.OWN_NODE)

    def _read_own_version(self, connection: Connection) -> tuple[int | None, bool]:
        """The version of the own node, and whether no other host has made it."""
        node = connection.server.tree.nodes.get(self._me)
        if node is None:
            return None, True
        owner = connection.server.ensemble.sessions[node.owner]
        return node.mzxid, owner.place is self.process.host

    def _be_duplicate(self, status: MemberStatus, _: int | None, connection: Connection) -> None:
        ensemble, session = connection.server.ensemble, connection.session
        node = ensemble.tree.nodes.get(self._duplicate)
        if node is not None and node.owner != session.number:
            ensemble.commit(session.number, [(self._duplicate, None)])
        made = ensemble.written(self._duplicate, status, session.number)
        ensemble.commit(session.number, [made])

    def _be_no_duplicate(self, connection: Connection) -> None:
        ensemble = connection.server.ensemble
        if self._duplicate in ensemble.tree.nodes:
            ensemble.commit(connection.session.number, [(self._duplicate, None)])

    def _replace(self, status: MemberStatus, mzxid: int | None, connection: Connection) -> bool:
        """Delete and create in one transaction, if nothing has changed meanwhile."""
        ensemble, session = connection.server.ensemble, connection.session
        node = ensemble.tree.nodes.get(self._me)
        if (None if node is None else node.mzxid) != mzxid:
            return False
        _, made = ensemble.written(self._me, status, session.number)
        changes = [(self._me, None), (self._me, made)]
        ensemble.commit(session.number, changes if node is not None else changes[1:])
        return True

    def _show(self, status: MemberStatus) -> None:
        client = self._client
        connection = client.connection if client is not None and client.connected else None
        if client is None or connection is None:
            return
        self._status = status
        if self._card_on_its_way is not connection:
            self._card_on_its_way = connection
            self._send_card()

    def _send_card(self) -> None:
        status, self._status = self._status, None
        client = self._client
        if status is None or client is None or client.connection is None:
            self._card_on_its_way = None
            return
        self.world.count("requests", self.process)
        client.ask(Kind.WRITE, partial(self._write_card, status), self._card_written, None)

    def _write_card(self, status: MemberStatus, connection: Connection) -> None:
        ensemble, session = connection.server.ensemble, connection.session
        node = ensemble.tree.nodes.get(self._me)
        if node is not None and node.owner == session.number:
            ensemble.commit(session.number, [ensemble.written(self._me, status, session.number)])

    def _card_written(self, _: object) -> None:
        self._send_card()

    def _with_card(self, status: MemberStatus | None, connection: Connection) -> list[Change]:
        """Return what a request writes besides, to publish a status if the own node exists."""
        ensemble, session = connection.server.ensemble, connection.session
        node = ensemble.tree.nodes.get(self._me)
        if status is None or node is None or node.owner != session.number:
            return []
        return [ensemble.written(self._me, status, session.number)]

    def _join(self, request: group_actions.JoinQueue) -> None:
        def run(connection: Connection) -> Event:
            ensemble, session = connection.server.ensemble, connection.session
            name = f"{request.ticket}-{ensemble.tree.made_in_queue:010d}"
            ensemble.tree.made_in_queue += 1
            content = self.process.host.name
            change = ensemble.written(QUEUE + name, content, session.number)
            status = self._with_card(request.status, connection)
            ensemble.commit(session.number, [change, *status])
            return group_events.QueueJoined(request.number, name)

        self.ask_group(request.number, Kind.WRITE, run, self.post)

    def _list_queue(self, number: int, connection: Connection) -> Event:
        names = tuple(connection.server.tree.children[QUEUE].values())
        self.world.count("listed names", self.process, len(names))
        return group_events.QueueListed(number, names)

    def _look(self, number: int, name: str, connection: Connection) -> Event:
        node = connection.server.tree.nodes.get(QUEUE + name)
        if node is None:
            return group_events.QueueNodeRead(number, None)
        self.watch(connection, QUEUE + name, GroupPart.PREDECESSOR)
        return group_events.QueueNodeRead(number, node.content)

    def _leave(self, number: int, name: str, connection: Connection) -> Event:
        ensemble = connection.server.ensemble
        if QUEUE + name in ensemble.tree.nodes:
            ensemble.commit(connection.session.number, [(QUEUE + name, None)])
        return group_events.QueueLeft(number)

    def _commit(
        self, request: group_actions.CommitRecord, commit: Commit, connection: Connection
    ) -> Event:
        ensemble, session = connection.server.ensemble, connection.session
        nodes = ensemble.tree.nodes
        if STATE not in nodes:
            return GroupRequestFailed(request.number, "not enrolled")
        if request.queue_node and QUEUE + request.queue_node not in nodes:
            return group_events.CommitRefused(request.number, Conflict.QUEUE_NODE)
        for path, version in request.checks.items():
            if path not in nodes or nodes[path].version != version:
                return group_events.CommitRefused(request.number, Conflict.CONFIGURATION)
        if nodes[STATE].version != request.znode_version:
            return group_events.CommitRefused(request.number, Conflict.RECORD)
        changes = [ensemble.written(STATE, request.record)]
        if request.queue_node:
            changes.append((QUEUE + request.queue_node, None))
        changes += self._with_card(request.status, connection)
        before = nodes[STATE].content.clamped_to(nodes[STATE].mzxid)
        self.world.commit = replace(commit, before=before)
        ensemble.commit(session.number, changes)
        return group_events.RecordCommitted(request.number)
