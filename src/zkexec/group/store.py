"""The requests of one member on its group's znodes, for one connection.

The rules of this file:

- `state` is changed only by compare-and-set in a transaction, and everything that the decision
  rests on is checked in the same one.
- A watch is armed by the very request that reads what it watches.  Only where there is nothing to
  read it takes another.  Members are watched by a request for their children, which they never
  have: such a watch tells of the end of a node and is silent when its card changes.
- A member's node, or a queue node, that lasts belongs to no session: nobody is alive there.
- Errors are told by the path as the operator knows it, without the chroot.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, TypeVar

from kazoo.exceptions import (
    BadVersionError,
    InvalidACLError,
    NoAuthError,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
    RolledBackError,
    RuntimeInconsistency,
)
from kazoo.protocol.serialization import (
    CheckVersion,
    Create,
    Delete,
    Exists,
    GetChildren,
    GetChildren2,
    GetData,
    SetData,
    Sync,
    Transaction,
)
from kazoo.protocol.states import EventType, WatchedEvent
from kazoo.security import OPEN_ACL_UNSAFE, make_acl

from zkexec.core.policy import MaxUnavailable
from zkexec.core.rollout.group_actions import (
    CommitRecord,
    JoinQueue,
    LeaveQueue,
    ListQueue,
    QueueRequest,
    ReadRecord,
    WatchQueueNode,
)
from zkexec.core.rollout.group_events import (
    CommitRefused,
    Conflict,
    GroupPart,
    QueueJoined,
    QueueLeft,
    QueueListed,
    QueueNodeRead,
    RecordCommitted,
    RecordRead,
)
from zkexec.core.rollout.record import RolloutRecord
from zkexec.core.turn import MemberStatus
from zkexec.group import record_codec
from zkexec.group.member_profile import MemberProfile
from zkexec.text import in_letters
from zkexec.zookeeper.connect_string import RESTART
from zkexec.zookeeper.link import Link, RefusedError, Steps, in_words

_T = TypeVar("_T")

Write = Callable[[Sequence[Any], MemberStatus | None], Steps]
"""Does these operations at once, shows a card with them, and returns kazoo's list of results."""

LARGEST_COMMIT = 1_000_000
"""Bytes; a little above that a server by default takes no request, and hangs up."""

EPHEMERAL, EPHEMERAL_SEQUENTIAL = 1, 3
# Above the group's own znodes, so that groups of other identities find room there.
ROOM_FOR_OTHERS = [make_acl("world", "anyone", read=True, create=True)]


class Paths:
    """The whole paths of the group's znodes."""

    def __init__(self, chroot: str, base: str) -> None:
        """ValueError where they have no UTF-8 form."""
        self.chroot = chroot
        self.base = chroot + base
        self.state = f"{self.base}/state"
        self.restart = f"{self.base}/{RESTART}"
        self.members = f"{self.base}/members"
        self.queue = f"{self.base}/queue"
        self.base.encode()

    def member(self, member_id: str) -> str:
        """That of a member's node."""
        return f"{self.members}/{member_id}"

    def mirrored(self, path: str) -> str:
        """That of a znode which is none of the group's."""
        return self.chroot + path.rstrip("/") or "/"

    def shown(self, path: str) -> str:
        """A whole path as the operator knows it."""
        return path.removeprefix(self.chroot) or "/"

    def refusal(self, path: str, error: Exception) -> RefusedError:
        """What to raise when the server says no to a request on this path."""
        return RefusedError(f"{self.shown(path)}: {_REFUSALS.get(type(error), in_words(error))}")

    def without_chroot(self) -> RefusedError:
        """What to raise where the chroot is missing."""
        chroot = self.chroot
        return RefusedError(
            f"the chroot {chroot} does not exist: create it, with zkCli.sh create {chroot}"
        )

    def demand(self, path: str, outcome: _T | Exception) -> _T:
        """The outcome of a request on this path, where it is no error."""
        if isinstance(outcome, Exception):
            raise self.refusal(path, outcome)
        return outcome


class Group:
    """The queue and the record as one connection sees them."""

    def __init__(
        self, place: MemberProfile, paths: Paths, link: Link, clock: Callable[[], float]
    ) -> None:
        """`clock` tells the seconds of the epoch."""
        self.place = place
        self.paths = paths
        self.link = link
        self.clock = clock
        self._living: set[str] = set()  # A watch on this connection would have told their end.
        self.acl = list(place.acl) if place.acl else OPEN_ACL_UNSAFE
        self.acl_above = [*self.acl, *ROOM_FOR_OTHERS] if self.acl != OPEN_ACL_UNSAFE else self.acl

    def sync(self) -> Steps:
        """Let nothing older be read than what was there when the connection was made."""
        if not self.link.synced:
            (outcome,) = yield [Sync("/")]
            self.paths.demand(self.paths.base, outcome)
            self.link.synced = True
        return None

    def queue(self, request: QueueRequest, write: Write) -> Steps:
        """Answer one request that concerns the queue; what is written is done by `write`."""
        match request:
            case JoinQueue():
                return self._join(request, write)
            case ListQueue(number):
                return self._list(number)
            case WatchQueueNode(number, name):
                return self._look(number, f"{self.paths.queue}/{name}")
            case LeaveQueue(number, name):
                return self._leave(number, f"{self.paths.queue}/{name}")

    def _join(self, request: JoinQueue, write: Write) -> Steps:
        path, content = f"{self.paths.queue}/{request.ticket}-", self.place.member_id.encode()
        create = Create(path, content, self.acl, EPHEMERAL_SEQUENTIAL)
        made = self.paths.demand(self.paths.queue, (yield from write([create], request.status)))
        if refused := first_error(made):
            raise self.paths.refusal(self.paths.queue, refused[1])
        return QueueJoined(request.number, made[0].rpartition("/")[2])

    def _list(self, number: int) -> Steps:
        yield from self.sync()
        (names,) = yield [GetChildren(self.paths.queue, None)]
        return QueueListed(number, tuple(self.paths.demand(self.paths.queue, names)))

    def _look(self, number: int, path: str) -> Steps:
        watches = self.link.watches
        watches.expect_node(path)
        (found,) = yield [GetData(path, self._predecessor_touched)]
        if isinstance(found, Exception):
            watches.node_refused(path)
        if isinstance(found, NoNodeError):
            return QueueNodeRead(number, None)
        content, stat = self.paths.demand(path, found)
        watches.node_seen(path, stat.mzxid)
        return QueueNodeRead(number, in_letters(content or b""), is_left_over(stat))

    def _leave(self, number: int, path: str) -> Steps:
        (gone,) = yield [Delete(path, -1)]
        if not isinstance(gone, NoNodeError):
            self.paths.demand(path, gone)
        return QueueLeft(number)

    def read(self, request: ReadRecord) -> Steps:
        """Read the record, and of who is alive what matters with it."""
        yield from self.sync()
        found = yield from self._state(watched=request.watch)
        rollout, version = self._record_in(found)
        alive = yield from self._alive(rollout, request)
        population = yield from self._population(rollout, request.requested)
        return RecordRead(request.number, rollout, version, frozenset(alive), population)

    def _state(self, *, watched: bool) -> Generator[Any, Any, Any]:
        """Read the znode of the record."""
        state, watches = self.paths.state, self.link.watches
        if not watched:
            (found,) = yield [GetData(state, None)]
            return found
        watches.expect_node(state)
        (found,) = yield [GetData(state, self._record_touched)]
        if not isinstance(found, Exception):
            watches.node_seen(state, found[1].mzxid)
        elif not isinstance(found, NoNodeError):
            watches.node_refused(state)
        else:
            armed, found = yield [Exists(state, self._record_touched), GetData(state, None)]
            armed = self.paths.demand(state, armed)
            watches.node_seen(state, armed.mzxid if armed else None)
        return found

    def _record_in(self, found: tuple[bytes | None, Any] | Exception) -> tuple[RolloutRecord, int]:
        if isinstance(found, NoNodeError):
            return RolloutRecord(), -1
        content, stat = self.paths.demand(self.paths.state, found)
        try:
            return record_codec.decode(content or b"").clamped_to(stat.mzxid), stat.version
        except ValueError as error:
            raise RefusedError(f"{self.paths.shown(self.paths.state)}: {error}") from None

    def _population(
        self, rollout: RolloutRecord, asks: MaxUnavailable | None
    ) -> Generator[Any, Any, int]:
        widths = [
            asks,
            rollout.max_unavailable.limit if rollout.max_unavailable else None,
        ]
        if asks is not None and not any(
            max_unavailable and max_unavailable.percent for max_unavailable in widths
        ):
            return 0
        (members,) = yield [Exists(self.paths.members, None)]
        stat = self.paths.demand(self.paths.members, members)
        return stat.numChildren if stat else 0

    def _alive(self, rollout: RolloutRecord, request: ReadRecord) -> Generator[Any, Any, set[str]]:
        askers = [
            known.by
            for known in [rollout.max_unavailable]
            if known and known.limit != request.requested
        ]
        flying = list(rollout.in_flight) if request.watch else []
        paths = {name: self.paths.member(name) for name in (*flying, *askers)}
        alive = {name for name, path in paths.items() if path in self._living}
        if not (unknown := [name for name in paths if name not in alive]):
            return alive
        watched = [name for name in unknown if name in flying]
        watchers = dict.fromkeys(watched, self._in_flight_touched)
        for name in watched:
            self._living.add(paths[name])
            self.link.watches.expect_children(paths[name])
        found = yield [GetChildren2(paths[name], watchers.get(name)) for name in unknown]
        asked = dict(zip(unknown, found, strict=True))
        for name, outcome in asked.items():
            is_living = _is_living(outcome)
            # A node that may not be read is there as well, but nothing is told of it.
            if is_living or isinstance(outcome, NoAuthError):
                alive.add(name)
            if not is_living:
                self._living.discard(paths[name])
            if isinstance(outcome, Exception):
                self.link.watches.children_refused(paths[name])
            else:
                self.link.watches.children_seen(paths[name], outcome[1].pzxid)
        if missing := [paths[name] for name in watched if isinstance(asked[name], NoNodeError)]:
            returned = yield from self._await_return(missing)
            alive |= {name for name in watched if paths[name] in returned}
        return alive

    def _await_return(self, missing: Sequence[str]) -> Generator[Any, Any, set[str]]:
        """Have it told if one of these nodes is made; return those that are there again."""
        watches = self.link.watches
        for path in missing:
            watches.expect_node(path)
        found = yield [Exists(path, self._in_flight_touched) for path in missing]
        for path, stat in zip(missing, found, strict=True):
            if isinstance(stat, Exception):
                watches.node_refused(path)
            else:
                watches.node_seen(path, stat.mzxid if stat else None)
        stats = zip(missing, found, strict=True)
        return {path for path, stat in stats if stat and _is_living((None, stat))}

    def commit(self, request: CommitRecord, write: Write) -> Steps:
        """Write the record by `write`, unless something is not as it was read."""
        if request.znode_version < 0:
            raise RefusedError("there is no record yet: the member has to enrol first")
        operations = list(self._operations(request))
        to_do = [operation for operation, _ in operations]
        if (size := len(Transaction(to_do).serialize())) > LARGEST_COMMIT:
            raise RefusedError(
                f"the record would take {size} bytes with what is checked, "
                f"more than the {LARGEST_COMMIT} that a server takes for sure"
            )
        results = yield from write(to_do, request.status)
        refused = first_error(self.paths.demand(self.paths.state, results))
        if refused is None:
            return RecordCommitted(request.number)
        index, error = refused
        operation, conflict = operations[index]
        if type(error) in _CONFLICTS[conflict]:
            return CommitRefused(request.number, conflict)
        raise self.paths.refusal(operation.path, error)

    def _operations(self, request: CommitRecord) -> Iterator[tuple[Any, Conflict]]:
        own = f"{self.paths.queue}/{request.queue_node}"
        if request.queue_node:
            yield CheckVersion(own, -1), Conflict.QUEUE_NODE
        for path, version in request.checks.items():
            yield CheckVersion(self.paths.mirrored(path), version), Conflict.CONFIGURATION
        content = record_codec.encode(request.record, self.clock())
        yield SetData(self.paths.state, content, request.znode_version), Conflict.RECORD
        if request.queue_node:
            yield Delete(own, -1), Conflict.QUEUE_NODE

    def _record_touched(self, event: WatchedEvent) -> None:
        self._touched(event, GroupPart.RECORD)

    def _in_flight_touched(self, event: WatchedEvent) -> None:
        self._living.discard(event.path)
        self._touched(event, GroupPart.IN_FLIGHT)

    def _predecessor_touched(self, event: WatchedEvent) -> None:
        self._touched(event, GroupPart.PREDECESSOR)

    def _touched(self, event: WatchedEvent, part: GroupPart) -> None:
        # One without a path only tells that the watch is gone.
        if event.type != EventType.NONE:
            self.link.watches.fired(event)
            self.link.group_touched(part)


def is_left_over(stat: Any) -> bool:  # noqa: ANN401 -- kazoo's ZnodeStat
    """Whether a node where only ephemeral ones are made lasts, and so belongs to no session."""
    return not stat.ephemeralOwner


def _is_living(outcome: Any) -> bool:  # noqa: ANN401 -- what kazoo has of children and stat
    return not isinstance(outcome, Exception) and not is_left_over(outcome[1])


def first_error(results: Sequence[Any]) -> tuple[int, Exception] | None:
    """Which operation of a transaction was refused, and why; None where all were done."""
    for index, result in enumerate(results):
        # The others are told by these two: undone, or not tried at all.
        if isinstance(result, Exception) and not isinstance(
            result, RolledBackError | RuntimeInconsistency
        ):
            return index, result
    return None


_CONFLICTS: dict[Conflict, set[type[Exception]]] = {
    Conflict.RECORD: {BadVersionError},
    Conflict.CONFIGURATION: {BadVersionError, NoNodeError},
    Conflict.QUEUE_NODE: {NoNodeError},
}

_REFUSALS: dict[type[Exception], str] = {
    NoAuthError: "the cluster gives no permission for this",
    NoNodeError: "does not exist",
    NodeExistsError: "exists already",
    NotEmptyError: "cannot be replaced, as there are znodes below it; delete it with these",
    BadVersionError: "was changed by somebody else",
    InvalidACLError: "the cluster does not take the ACL",
}
