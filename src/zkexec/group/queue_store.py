"""The requests of a member on the queue of its group, as dialogues on one connection.

- A queue node is watched by a request for its children, which it never has: such a watch reports
  the end of the node and is silent when its content is renewed.
- A queue node that lasts belongs to no session: no living member has it.
"""

from __future__ import annotations

from zkexec.core.rollout.group_actions import (
    FindQueueNode,
    JoinQueue,
    LeaveQueue,
    ListQueue,
    QueueRequest,
    ReadQueue,
    RenewQueueNode,
    WatchQueueNodes,
)
from zkexec.core.rollout.group_events import (
    GroupPart,
    QueueJoined,
    QueueLeft,
    QueueListed,
    QueueNodeFound,
    QueueNodeRenewed,
    QueueNodesRead,
    QueueRead,
)
from zkexec.core.rollout.queued_member import PREFIX, QueueNode, queue_number
from zkexec.core.turn import MemberStatus
from zkexec.group.entry_codec import decode_queued, encode_queued
from zkexec.group.paths import is_left_over
from zkexec.zookeeper.errors import NoAuthError, NoNodeError
from zkexec.zookeeper.requests import (
    Children,
    Create,
    Delete,
    Dialogue,
    GetEphemerals,
    Operation,
    SetContent,
    first_error,
)
from zkexec.zookeeper.values import Stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from typing import Any, TypeAlias

    from zkexec.group.bulk_read import BulkRead
    from zkexec.group.lasting_znodes import LastingZnodes
    from zkexec.group.paths import Paths

    Write: TypeAlias = Callable[[Sequence[Operation], MemberStatus | None], Dialogue]
    """Does these operations at once, publishes a member status with them, and returns the outcomes
    of the operations."""


class QueueStore:
    """The queue as one connection sees it."""

    def __init__(self, paths: Paths, lasting: LastingZnodes, bulk_read: BulkRead) -> None:
        self._paths = paths
        self._lasting = lasting
        self._bulk_read = bulk_read

    def answer(self, request: QueueRequest, write: Write) -> Dialogue:  # noqa: PLR0911 -- a table
        """Answer one request; what is published with it is written by `write`."""
        match request:
            case JoinQueue():
                return self._join(request, write)
            case RenewQueueNode(number, own, queued):
                path = self._paths.queue_node(own)
                renewal = SetContent(path, encode_queued(queued))
                return self._change(renewal, lambda _: QueueNodeRenewed(number))
            case FindQueueNode(number, token):
                return self._find(number, token)
            case WatchQueueNodes():
                return self._watch(request)
            case ListQueue(number):
                return self._list(number)
            case ReadQueue():
                return self._read(request)
            case LeaveQueue(number, own):
                delete = Delete(self._paths.queue_node(own))
                return self._change(delete, lambda was_there: QueueLeft(number, was_there))

    def _join(self, request: JoinQueue, write: Write) -> Dialogue:
        queue = self._paths.queue
        content = encode_queued(request.queued)
        path = f"{queue}/{PREFIX}"
        create = Create(path, content, self._lasting.acl, ephemeral=True, sequential=True)
        made = self._paths.demand(queue, (yield from write([create], request.status)))
        refused = first_error(made)
        if refused is not None and isinstance(refused[1], NoNodeError):
            yield from self._lasting.make()
            made = self._paths.demand(queue, (yield from write([create], request.status)))
            refused = first_error(made)
        if refused is not None:
            raise self._paths.refusal(queue, refused[1])
        number = queue_number(made[0].rpartition("/")[2])
        if number is None:
            raise self._paths.refusal(queue, ValueError("the numbers of its nodes are used up"))
        return QueueJoined(request.number, number)

    def _change(self, operation: SetContent | Delete, answer: Callable[[bool], object]) -> Dialogue:
        """Change the own queue node; make the answer of whether it was there."""
        (outcome,) = yield [operation]
        was_there = not isinstance(outcome, NoNodeError)
        if was_there:
            self._paths.demand(operation.path, outcome)
        return answer(was_there)

    def clear(self, member: str) -> Dialogue:
        """Delete the queue nodes of this member, which are those of an earlier process of it.

        Their session may live on for a while, and the head would admit a process that is gone.
        """
        numbers = yield from self._numbers()
        nodes = yield from self._nodes(numbers)
        own = [node.number for node in nodes if node.queued.member == member]
        if not own:
            return None
        paths = [self._paths.queue_node(number) for number in own]
        outcomes = yield [Delete(path) for path in paths]
        for path, outcome in zip(paths, outcomes, strict=True):
            if not isinstance(outcome, NoNodeError):
                self._paths.demand(path, outcome)
        return None

    def _list(self, number: int) -> Dialogue:
        names = yield from self._names()
        numbers = {name: queue_number(name) for name in names}
        return QueueListed(
            number,
            tuple(known for known in numbers.values() if known is not None),
            tuple(name for name, known in numbers.items() if known is None),
        )

    def _names(self) -> Dialogue:
        queue = self._paths.queue
        (found,) = yield [Children(queue)]
        names, _ = self._paths.demand(queue, found)
        return names

    def _read(self, request: ReadQueue) -> Dialogue:
        numbers = yield from self._numbers()
        nodes = yield from self._nodes(sorted(numbers - request.known))
        return QueueRead(request.number, numbers, tuple(nodes))

    def _numbers(self) -> Dialogue:
        names = yield from self._names()
        return frozenset(number for number in map(queue_number, names) if number is not None)

    def _nodes(self, numbers: Collection[int]) -> Dialogue:
        """Read these queue nodes; leave out those that belong to no session, or are unreadable."""
        paths = {self._paths.queue_node(number): number for number in numbers}
        found = yield from self._bulk_read.in_parts(list(paths))
        nodes = (self._node(number, path, found[path]) for path, number in paths.items())
        return [node for node in nodes if node is not None]

    def _node(self, number: int, path: str, outcome: Any) -> QueueNode | None:  # noqa: ANN401 -- of Get
        if isinstance(outcome, NoNodeError | NoAuthError):
            return None
        content, stat = self._paths.demand(path, outcome)
        try:
            queued = decode_queued(content)
        except ValueError:
            return None
        return None if is_left_over(stat) else QueueNode(number, stat.version, queued)

    def _find(self, number: int, token: str) -> Dialogue:
        """Find the own queue node: the servers know which ones are of this session, from 3.6 on."""
        if self._bulk_read.lacks_multi_read():
            numbers = yield from self._numbers()
        else:
            prefix = f"{self._paths.queue}/{PREFIX}"
            (paths,) = yield [GetEphemerals(prefix)]
            names = (path.rpartition("/")[2] for path in self._paths.demand(prefix, paths))
            numbers = {known for known in map(queue_number, names) if known is not None}
        nodes = yield from self._nodes(sorted(numbers))
        own = [node.number for node in nodes if node.queued.token == token]
        return QueueNodeFound(number, own[0] if own else None)

    def _watch(self, request: WatchQueueNodes) -> Dialogue:
        """Watch the own node and the one before it, which is the own one if it is the first."""
        own = Children(self._paths.queue_node(request.queue_number), GroupPart.QUEUE_NODE)
        before = Children(self._paths.queue_node(request.before), GroupPart.PREDECESSOR)
        requests = [] if request.is_own_watched else [own]
        requests += [] if before.path == own.path else [before]
        outcomes = (yield requests) if requests else []
        stats: dict[str, Stat | None] = {
            each.path: None
            if isinstance(outcome, NoNodeError)
            else self._paths.demand(each.path, outcome)[1]
            for each, outcome in zip(requests, outcomes, strict=True)
        }
        is_own_there = request.is_own_watched or stats[own.path] is not None
        stat = stats.get(before.path)
        return QueueNodesRead(
            request.number,
            is_own_there,
            is_before_there=is_own_there if before.path == own.path else stat is not None,
            is_left_over=before.path != own.path and stat is not None and is_left_over(stat),
        )
