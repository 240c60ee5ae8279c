"""The requests of one member on its group's znodes, as dialogues on one connection.

- The record is changed only by compare-and-set in a transaction, and everything that the decision
  rests on is checked in the same one.
- A watch is set by the very request that reads what it watches, or by a second one if there is
  nothing to read.  Members are watched by a request for their children, which they never have:
  such a watch reports the end of a node and is silent when the member's status changes.
- A member's node, or a queue node, that lasts belongs to no session: no living member has it.
- Errors name the path as the operator knows it, without the chroot.
"""

from __future__ import annotations

from typing import Any, TypeVar

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
from zkexec.core.rollout.queue_position import name_prefix
from zkexec.core.rollout.record import RolloutRecord
from zkexec.core.turn import MemberStatus
from zkexec.group import record_codec
from zkexec.group.member_profile import MemberProfile, this_process
from zkexec.text import in_letters
from zkexec.znode_paths import RESTART
from zkexec.zookeeper.errors import (
    BadVersionError,
    InvalidAclError,
    NoAuthError,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
    RefusedError,
    in_words,
)
from zkexec.zookeeper.requests import (
    Check,
    Children,
    Create,
    Delete,
    Dialogue,
    Exists,
    Get,
    Operation,
    SetContent,
    Transaction,
    first_error,
    size_of,
)
from zkexec.zookeeper.values import CREATE, OPEN_ACL, READ, Acl, Stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence
    from typing import TypeAlias


_T = TypeVar("_T")

Write: TypeAlias = "Callable[[Sequence[Operation], MemberStatus | None], Dialogue]"
"""Does these operations at once, publishes a member status with them, and returns the outcomes."""

LARGEST_COMMIT = 1_000_000
"""Bytes; a little above that a server by default takes no request, and hangs up."""

ROOM_FOR_OTHERS = (Acl(READ | CREATE, "world", "anyone"),)
"""Above the group's own znodes, so that groups of other identities find room there."""


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


class GroupStore:
    """The queue and the record as one connection sees them.

    Its watches are set with the `GroupPart` that they are about.
    """

    def __init__(self, profile: MemberProfile, paths: Paths) -> None:
        self.profile = profile
        self.paths = paths
        self.writer = profile.writer or this_process()
        self._living: set[str] = set()  # A watch on this connection would have reported their end.
        self.acl: tuple[Acl, ...] = tuple(profile.acl or OPEN_ACL)
        self.acl_above = self.acl if self.acl == OPEN_ACL else (*self.acl, *ROOM_FOR_OTHERS)

    def fired(self, part: GroupPart, path: str) -> None:
        """Take note that a watch has fired."""
        if part is GroupPart.IN_FLIGHT:
            self._living.discard(path)

    def queue(self, request: QueueRequest, write: Write) -> Dialogue:
        """Answer one request that concerns the queue; what is written is done by `write`."""
        match request:
            case JoinQueue():
                return self._join(request, write)
            case ListQueue(number):
                return self._list(number)
            case WatchQueueNode(number, name):
                return self._watch(number, f"{self.paths.queue}/{name}")
            case LeaveQueue(number, name):
                return self._leave(number, f"{self.paths.queue}/{name}")

    def _join(self, request: JoinQueue, write: Write) -> Dialogue:
        create = Create(
            path=f"{self.paths.queue}/{name_prefix(request.ticket)}",
            content=self.profile.member_id.encode(),
            acl=self.acl,
            ephemeral=True,
            sequential=True,
        )
        made = self.paths.demand(self.paths.queue, (yield from write([create], request.status)))
        if refused := first_error(made):
            raise self.paths.refusal(self.paths.queue, refused[1])
        return QueueJoined(request.number, made[0].rpartition("/")[2])

    def _list(self, number: int) -> Dialogue:
        (found,) = yield [Children(self.paths.queue)]
        names, _ = self.paths.demand(self.paths.queue, found)
        return QueueListed(number, names)

    def _watch(self, number: int, path: str) -> Dialogue:
        (found,) = yield [Get(path, GroupPart.PREDECESSOR)]
        if isinstance(found, NoNodeError):
            return QueueNodeRead(number, None)
        content, stat = self.paths.demand(path, found)
        return QueueNodeRead(number, in_letters(content), is_left_over(stat))

    def _leave(self, number: int, path: str) -> Dialogue:
        (gone,) = yield [Delete(path)]
        if not isinstance(gone, NoNodeError):
            self.paths.demand(path, gone)
        return QueueLeft(number)

    def read(self, request: ReadRecord) -> Dialogue:
        """Read the record, and which of the members that matter with it are alive."""
        found = yield from self._state(watched=request.watch)
        record, version = self._record_in(found)
        alive = yield from self._alive(record, request)
        population = yield from self._population(record, request.requested)
        return RecordRead(request.number, record, version, frozenset(alive), population)

    def _state(self, *, watched: bool) -> Generator[Any, Any, Any]:
        """Read the znode of the record."""
        state = self.paths.state
        (found,) = yield [Get(state, GroupPart.RECORD if watched else None)]
        if watched and isinstance(found, NoNodeError):
            exists, found = yield [Exists(state, GroupPart.RECORD), Get(state)]
            self.paths.demand(state, exists)
        return found

    def _record_in(self, found: tuple[bytes, Stat] | Exception) -> tuple[RolloutRecord, int]:
        if isinstance(found, NoNodeError):
            return RolloutRecord(), -1
        content, stat = self.paths.demand(self.paths.state, found)
        try:
            return record_codec.decode(content).clamped_to(stat.mzxid), stat.version
        except ValueError as error:
            raise RefusedError(f"{self.paths.shown(self.paths.state)}: {error}") from None

    def _population(
        self, record: RolloutRecord, asks: MaxUnavailable | None
    ) -> Generator[Any, Any, int]:
        limits = [asks, record.max_unavailable.limit if record.max_unavailable else None]
        if asks is not None and not any(limit and limit.percent for limit in limits):
            return 0
        (members,) = yield [Exists(self.paths.members)]
        stat: Stat | None = self.paths.demand(self.paths.members, members)
        return stat.num_children if stat else 0

    def _alive(self, record: RolloutRecord, request: ReadRecord) -> Generator[Any, Any, set[str]]:
        askers = [
            known.by
            for known in [record.max_unavailable]
            if known and known.limit != request.requested
        ]
        in_flight = list(record.in_flight) if request.watch else []
        paths = {name: self.paths.member(name) for name in (*in_flight, *askers)}
        alive = {name for name, path in paths.items() if path in self._living}
        if not (unknown := [name for name in paths if name not in alive]):
            return alive
        watched = [name for name in unknown if name in in_flight]
        self._living.update(paths[name] for name in watched)
        watch = dict.fromkeys(watched, GroupPart.IN_FLIGHT)
        found = yield [Children(paths[name], watch.get(name)) for name in unknown]
        outcomes = dict(zip(unknown, found, strict=True))
        for name, outcome in outcomes.items():
            is_living = _is_living(outcome)
            # A node that may not be read is there as well, but nothing is known of it.
            if is_living or isinstance(outcome, NoAuthError):
                alive.add(name)
            if not is_living:
                self._living.discard(paths[name])
        if missing := [paths[n] for n in watched if isinstance(outcomes[n], NoNodeError)]:
            returned = yield from self._await_return(missing)
            alive |= {name for name in watched if paths[name] in returned}
        return alive

    def _await_return(self, missing: Sequence[str]) -> Generator[Any, Any, set[str]]:
        """Watch for the making of these nodes; return those that are there again."""
        found = yield [Exists(path, GroupPart.IN_FLIGHT) for path in missing]
        stats = zip(missing, found, strict=True)
        return {p for p, stat in stats if isinstance(stat, Stat) and not is_left_over(stat)}

    def commit(self, request: CommitRecord, write: Write) -> Dialogue:
        """Write the record by `write`, unless something is not as it was read."""
        if request.znode_version < 0:
            raise RefusedError("there is no record yet: the member has to enrol first")
        operations = list(self._operations(request))
        to_do = [operation for operation, _ in operations]
        if (size := size_of(Transaction(to_do))) > LARGEST_COMMIT:
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

    def _operations(self, request: CommitRecord) -> Iterator[tuple[Operation, Conflict]]:
        own = f"{self.paths.queue}/{request.queue_node}"
        if request.queue_node:
            yield Check(own), Conflict.QUEUE_NODE
        for path, version in request.checks.items():
            yield Check(self.paths.mirrored(path), version), Conflict.CONFIGURATION
        content = record_codec.encode(request.record, self.writer.clock())
        yield SetContent(self.paths.state, content, request.znode_version), Conflict.RECORD
        if request.queue_node:
            yield Delete(own), Conflict.QUEUE_NODE


def is_left_over(stat: Stat) -> bool:
    """Whether a node of a kind that is ephemeral lasts, and so belongs to no session."""
    return not stat.ephemeral_owner


def _is_living(outcome: Any) -> bool:  # noqa: ANN401 -- an outcome of Children
    return not isinstance(outcome, Exception) and not is_left_over(outcome[1])


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
    BadVersionError: "was changed meanwhile",
    InvalidAclError: "the cluster does not take the ACL",
}
