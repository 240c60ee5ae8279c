"""The requests of one member on its group's znodes, for one connection.

The rules of this file:

- `state` is changed only by compare-and-set in a transaction, and everything that the decision
  rests on is checked in the same one.
- A watch is armed on the same connection before what it watches is read.  Members in flight are
  watched by a request for their children, which they never have: such a watch tells of the end
  of a node and is silent when its card changes.
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
    RolledBackError,
    RuntimeInconsistency,
)
from kazoo.protocol.serialization import (
    CheckVersion,
    Create,
    Delete,
    Exists,
    GetChildren,
    GetData,
    SetData,
    Sync,
    Transaction,
)
from kazoo.protocol.states import EventType, WatchedEvent, ZnodeStat
from kazoo.security import OPEN_ACL_UNSAFE, make_acl

from zkexec.cluster import RESTART
from zkexec.core.actions import (
    CommitRecord,
    JoinQueue,
    LeaveQueue,
    ListQueue,
    LookAtQueueNode,
    QueueRequest,
    ReadRecord,
)
from zkexec.core.group_events import (
    CommitRefused,
    Conflict,
    GroupPart,
    QueueJoined,
    QueueLeft,
    QueueListed,
    QueueNodeSeen,
    RecordCommitted,
    RecordRead,
)
from zkexec.core.rollout import Rollout
from zkexec.shell import record
from zkexec.shell.link import Link, RefusedError, Steps, in_words
from zkexec.shell.place import GroupPlace

_T = TypeVar("_T")

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

    def demand(self, path: str, outcome: _T | Exception) -> _T:
        """The outcome of a request on this path, where it is no error."""
        if isinstance(outcome, Exception):
            raise self.refusal(path, outcome)
        return outcome


class Group:
    """The queue and the record as one connection sees them."""

    def __init__(
        self, place: GroupPlace, paths: Paths, link: Link, clock: Callable[[], float]
    ) -> None:
        """`clock` tells the seconds of the epoch."""
        self.place = place
        self.paths = paths
        self.link = link
        self.clock = clock
        self.acl = list(place.acl) if place.acl else OPEN_ACL_UNSAFE
        self.acl_above = [*self.acl, *ROOM_FOR_OTHERS] if self.acl != OPEN_ACL_UNSAFE else self.acl

    def sync(self) -> Steps:
        """Let nothing older be read than what was there when the connection was made."""
        if not self.link.synced:
            (outcome,) = yield [Sync("/")]
            self.paths.demand(self.paths.base, outcome)
            self.link.synced = True
        return None

    def queue(self, request: QueueRequest) -> Steps:
        """Answer one request that concerns the queue."""
        match request:
            case JoinQueue(number, ticket):
                return self._join(number, f"{self.paths.queue}/{ticket}-")
            case ListQueue(number):
                return self._list(number)
            case LookAtQueueNode(number, name):
                return self._look(number, f"{self.paths.queue}/{name}")
            case LeaveQueue(number, name):
                return self._leave(number, f"{self.paths.queue}/{name}")

    def _join(self, number: int, path: str) -> Steps:
        content = self.place.member_id.encode()
        (made,) = yield [Create(path, content, self.acl, EPHEMERAL_SEQUENTIAL)]
        name = self.paths.demand(self.paths.queue, made).rpartition("/")[2]
        return QueueJoined(number, name)

    def _list(self, number: int) -> Steps:
        yield from self.sync()
        (names,) = yield [GetChildren(self.paths.queue, None)]
        return QueueListed(number, tuple(self.paths.demand(self.paths.queue, names)))

    def _look(self, number: int, path: str) -> Steps:
        (found,) = yield [GetData(path, self._predecessor_touched)]
        if isinstance(found, NoNodeError):
            return QueueNodeSeen(number, None)
        content, _ = self.paths.demand(path, found)
        return QueueNodeSeen(number, (content or b"").decode(errors="backslashreplace"))

    def _leave(self, number: int, path: str) -> Steps:
        (gone,) = yield [Delete(path, -1)]
        if not isinstance(gone, NoNodeError):
            self.paths.demand(path, gone)
        return QueueLeft(number)

    def read(self, request: ReadRecord) -> Steps:
        """Read the record, and who of those that it names is alive."""
        yield from self.sync()
        watches = [Exists(self.paths.state, self._record_touched)] if request.watch else []
        reads = [GetData(self.paths.state, None), Exists(self.paths.members, None)]
        *armed, found, members = yield [*watches, *reads]
        for outcome in armed:
            self.paths.demand(self.paths.state, outcome)
        rollout, version = self._record_in(found)
        stat = self.paths.demand(self.paths.members, members)
        alive = yield from self._alive(rollout, watch=request.watch)
        population = stat.numChildren if stat else 0
        return RecordRead(request.number, rollout, version, frozenset(alive), population)

    def _record_in(self, found: tuple[bytes | None, Any] | Exception) -> tuple[Rollout, int]:
        if isinstance(found, NoNodeError):
            return Rollout(), -1
        content, stat = self.paths.demand(self.paths.state, found)
        try:
            return record.decode(content or b""), stat.version
        except ValueError as error:
            raise RefusedError(f"{self.paths.shown(self.paths.state)}: {error}") from None

    def _alive(self, rollout: Rollout, *, watch: bool) -> Generator[Any, Any, set[str]]:
        watched = {name: self.paths.member(name) for name in rollout.inflight if watch}
        names = dict.fromkeys([*rollout.inflight, *([rollout.width.by] if rollout.width else [])])
        if not names:
            return set()
        watchers = dict.fromkeys(watched, self._in_flight_touched)
        found = yield [GetChildren(self.paths.member(n), watchers.get(n)) for n in names]
        # A node that may not be read is there as well.
        asked = zip(names, found, strict=True)
        alive = {name for name, outcome in asked if not isinstance(outcome, NoNodeError)}
        if missing := [name for name in watched if name not in alive]:
            # That one of them comes back is told as well.
            found = yield [Exists(watched[name], self._in_flight_touched) for name in missing]
            back = zip(missing, found, strict=True)
            alive |= {name for name, stat in back if isinstance(stat, ZnodeStat)}
        return alive

    def commit(self, request: CommitRecord) -> Steps:
        """Write the record, unless something is not as it was read."""
        if request.version < 0:
            raise RefusedError("there is no record yet: the member has to enrol first")
        operations = list(self._operations(request))
        transaction = Transaction([operation for operation, _ in operations])
        if (size := len(transaction.serialize())) > LARGEST_COMMIT:
            raise RefusedError(
                f"the record would take {size} bytes with what is checked, "
                f"more than the {LARGEST_COMMIT} that a server takes for sure"
            )
        (results,) = yield [transaction]
        refused = first_error(self.paths.demand(self.paths.state, results))
        if refused is None:
            return RecordCommitted(request.number)
        index, error = refused
        operation, conflict = operations[index]
        if type(error) in _CONFLICTS[conflict]:
            return CommitRefused(request.number, conflict)
        raise self.paths.refusal(operation.path, error)

    def _operations(self, request: CommitRecord) -> Iterator[tuple[Any, Conflict]]:
        own = f"{self.paths.queue}/{request.place}"
        if request.place:
            yield CheckVersion(own, -1), Conflict.PLACE
        for path, version in request.checks.items():
            yield CheckVersion(self.paths.mirrored(path), version), Conflict.CONFIGURATION
        content = record.encode(request.record, self.clock())
        yield SetData(self.paths.state, content, request.version), Conflict.RECORD
        if request.place:
            yield Delete(own, -1), Conflict.PLACE

    def _record_touched(self, event: WatchedEvent) -> None:
        self._touched(event, GroupPart.RECORD)

    def _in_flight_touched(self, event: WatchedEvent) -> None:
        self._touched(event, GroupPart.IN_FLIGHT)

    def _predecessor_touched(self, event: WatchedEvent) -> None:
        self._touched(event, GroupPart.PREDECESSOR)

    def _touched(self, event: WatchedEvent, part: GroupPart) -> None:
        # One without a path only tells that the watch is gone.
        if event.type != EventType.NONE:
            self.link.group_touched(part)


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
    Conflict.PLACE: {NoNodeError},
}

_REFUSALS: dict[type[Exception], str] = {
    NoAuthError: "the cluster gives no permission for this",
    NoNodeError: "does not exist",
    NodeExistsError: "exists already",
    BadVersionError: "was changed by somebody else",
    InvalidACLError: "the cluster does not take the ACL",
}
