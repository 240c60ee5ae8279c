"""A member's position in the queue: one node at a time, and a watch on it and the one before it.

The servers number the queue nodes one after the other, so the node before is known by its number,
and nobody has to list the queue to find it.  If the predecessor was admitted as the head, this
member is the head now.  If a head admits the others (the acting head), the members whose
predecessor was admitted wait for that head.  In any other case the queue is listed.

The content of the node is what another member needs to admit this one.  A node that another member
has deleted together with the admission is gone, so the record is read.

Any client with write permission can leave anything in the queue.  Names that no member can have
made are ignored, and so is a node that is not ephemeral: it belongs to no session, as after a
restore from a dump.
"""

from __future__ import annotations

from zkexec.core.actions import Action
from zkexec.core.rollout.group_actions import (
    FindQueueNode,
    JoinQueue,
    LeaveQueue,
    ListQueue,
    RenewQueueNode,
    Watch,
    WatchQueueNodes,
)
from zkexec.core.turn import MemberStatus
from zkexec.enumeration import Enum

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from zkexec.core.rollout.queued_member import QueuedMember
    from zkexec.core.rollout.record import RolloutRecord


class Doubt(Enum):
    """What has to be found out about the own position."""

    NOTHING = "nothing"
    PREDECESSOR = "predecessor"
    """The node before is gone, and the record has not yet shown why."""
    OWN_NODE = "own node"
    """The own node is gone, and the record has not yet shown why."""
    ORDER = "order"
    """Which node is before: the queue has to be listed."""


class QueuePosition:
    """What is known of the own queue node and of the one before it."""

    def __init__(self) -> None:
        self.number: int | None = None
        """The number of the own node; None if there is none."""
        self._queued: QueuedMember | None = None
        self._tokens: list[str] = []
        """The tokens in nodes of this member that may exist, although an answer was lost."""
        self._before: int | None = None
        self._is_own_watched = self._is_before_watched = False
        self._has_fired = False
        self._left_over: set[int] = set()
        self._gone: set[int] = set()
        self._reported: set[str] = set()
        self._doubt = Doubt.NOTHING
        self.waits_for_acting_head = False

    @property
    def before(self) -> int | None:
        """The number of the node that this member waits for."""
        return self._before

    @property
    def unexplained(self) -> bool:
        """Whether a node is gone, and the record has not yet shown why."""
        return self._doubt in (Doubt.PREDECESSOR, Doubt.OWN_NODE)

    @property
    def is_head(self) -> bool:
        """Whether no node is before this member."""
        return self.number is not None and self._before is None and not self._must_find_out

    @property
    def is_waiting(self) -> bool:
        """Whether the own node exists, and another one before it."""
        return self.number is not None and self._before is not None and not self._must_find_out

    @property
    def watch_to_explain(self) -> Watch:
        """What the read watches that shows why a node is gone.

        If it was the one before, this member is probably the head, and has to wait for room.
        """
        is_near = self._doubt is Doubt.PREDECESSOR and not self.waits_for_acting_head
        return Watch.ROOM if is_near else Watch.NOTHING

    @property
    def _must_find_out(self) -> bool:
        return self._doubt is not Doubt.NOTHING or self._in_doubt

    @property
    def _in_doubt(self) -> bool:
        return bool(self._tokens)

    @property
    def may_be_queued(self) -> bool:
        """Whether the own node exists, or may exist, and has to be deleted at the end."""
        return self.number is not None or self._in_doubt

    def begin_session(self) -> None:
        """Begin without a node: those of an earlier session end with it."""
        self.left()
        self._left_over.clear()
        self._gone.clear()

    def reconnected(self) -> None:
        """Note that the session lives on, but its watches are gone."""
        self._is_own_watched = self._is_before_watched = False

    def next_request(
        self, queued: QueuedMember, take_status: Callable[[], MemberStatus | None]
    ) -> Callable[[int], Action] | None:
        """Return the next request on the way to the head, without its number; None if none.

        `queued` is what the own node is to contain.  `take_status` returns the status that is to
        be published with the own node.
        """
        if self._in_doubt:
            return self._find()
        if self.number is None:
            self._queued, status = queued, take_status()
            return lambda number: JoinQueue(number, queued, status)
        own = self.number
        if self._queued != queued:
            self._queued = queued
            return lambda number: RenewQueueNode(number, own, queued)
        if self._doubt is Doubt.ORDER:
            return ListQueue
        before, is_own_watched = self._before, self._is_own_watched
        is_watched = is_own_watched and (before is None or self._is_before_watched)
        if not is_watched and not self.unexplained:
            self._has_fired = False
            at = own if before is None else before
            return lambda number: WatchQueueNodes(number, own, at, is_own_watched)
        return None

    def leave(self) -> Callable[[int], Action]:
        """Return the request that deletes the own node, or first one that finds it."""
        own = self.number
        if self._in_doubt or own is None:
            return self._find()
        return lambda number: LeaveQueue(number, own)

    def _find(self) -> Callable[[int], Action]:
        token = self._tokens[-1]
        return lambda number: FindQueueNode(number, token)

    def joined(self, number: int) -> None:
        """Note that the own node was created.

        Numbers begin at 0.  The head has nothing to watch but its own node.
        """
        self.left()
        self.number = number
        self._before = number - 1 if number > 0 else None

    def found(self, number: int | None) -> None:
        """Note which node of this member exists, after an answer was lost."""
        queued = self._queued
        self._tokens.clear()
        if number is None:
            self.left()
            return
        if number != self.number:
            self.joined(number)
        self._queued = queued

    def listed(self, numbers: Sequence[int], unknown: Sequence[str]) -> list[str]:
        """Find the node before the own one; return the unknown names that are new."""
        self._doubt = Doubt.NOTHING
        self._is_before_watched = self.waits_for_acting_head = False
        new = sorted(set(unknown) - self._reported)
        self._reported = (self._reported & set(unknown)) | set(unknown)
        self._left_over &= set(numbers)
        own = self.number
        if own is None or own not in numbers:
            self._doubt = Doubt.NOTHING if own is None else Doubt.OWN_NODE
            return new
        before = [number for number in numbers if number < own and number not in self._left_over]
        self._before = max(before, default=None)
        return new

    def nodes_read(
        self, *, is_own_there: bool, is_before_there: bool, is_left_over: bool
    ) -> int | None:
        """Note which nodes exist; return the number of one that belongs to no session, if new.

        A watch may have fired before the answer to the request that set it.
        """
        if not is_own_there:
            self._doubt = Doubt.OWN_NODE
        if self._doubt is Doubt.OWN_NODE:
            return None
        self._is_own_watched = True
        before = self._before
        if before is None:
            return None
        if is_left_over:
            is_new = before not in self._left_over
            self._left_over.add(before)
            self._doubt = Doubt.ORDER
            return before if is_new else None
        if not is_before_there:
            self._gone.add(before)
        self._is_before_watched = is_before_there and not self._has_fired
        self._doubt = Doubt.NOTHING if self._is_before_watched else Doubt.PREDECESSOR
        return None

    def touched(self, *, is_own: bool) -> None:
        """Note that a node is gone: the predecessor's, most likely because it was admitted.

        The own node is deleted by the admission through another member.
        """
        if self.number is None:
            return
        if is_own:
            self._is_own_watched = False
            self._doubt = Doubt.OWN_NODE
            return
        self._has_fired = True
        self._is_before_watched = False
        if self._doubt is not Doubt.OWN_NODE:
            self._doubt = Doubt.PREDECESSOR

    def explain(self, record: RolloutRecord) -> None:
        """Compare with the last admission: the predecessor's, or it went away otherwise."""
        own, before = self.number, self._before
        if not self.unexplained or own is None:
            return
        doubt, self._doubt = self._doubt, Doubt.NOTHING
        if doubt is Doubt.OWN_NODE:
            # That it is gone is a hint.  Without a turn, the node is searched for.
            queued = self._queued
            entry = None if queued is None else record.in_flight.get(queued.member)
            if entry is not None and queued is not None and entry.token == queued.token:
                self.left()
            else:
                self.doubt()
            return
        head = record.head.number if record.head is not None else None
        if before is not None and record.last_admitted == before and not self.waits_for_acting_head:
            self._before = None
        elif head is not None and head < own and head != before:
            self._before = head
            self.waits_for_acting_head = True
        else:
            self._doubt = Doubt.ORDER

    def defer_to(self, head: int) -> Callable[[int], Action] | None:
        """Wait for a member behind this one that acts as the head, unless its node is gone.

        Return the request that watches it.
        """
        own, is_own_watched = self.number, self._is_own_watched
        if head in self._gone or own is None or head <= own:
            return None
        self._before = head
        self._is_before_watched = self._has_fired = False
        self.waits_for_acting_head = True
        return lambda number: WatchQueueNodes(number, own, head, is_own_watched)

    def doubt(self) -> None:
        """Note that the own node may exist or not: an answer about it was lost."""
        if self._queued is not None and self._queued.token not in self._tokens:
            self._tokens.append(self._queued.token)

    def doubt_content(self) -> None:
        """Note that the own node may contain something else: an answer about it was lost."""
        self.doubt()
        self._queued = None

    def left(self) -> None:
        """Note that the own node is gone: the member was admitted, or has left the queue."""
        self.number = self._before = None
        self._tokens.clear()
        self._doubt = Doubt.NOTHING
        self._is_own_watched = self._is_before_watched = self.waits_for_acting_head = False
