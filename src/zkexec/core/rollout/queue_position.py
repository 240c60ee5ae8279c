"""A member's position in the queue: one node at a time, and one watch, on the node before it.

The node's name begins with a ticket, a random word that is new for each session.  So the node is
found again if the answer to its creation was lost.  Sequence numbers only grow: no other member
ever gets in before this one, so the queue is listed once.  If the predecessor was admitted, it
was the head, and this member is the head now.  If it went away for another reason, the queue is
listed again.

Any client with write permission can leave anything in the queue.  Names that no member can have
made are ignored, and so is a node that is not ephemeral: it belongs to no session, as after a
restore from a dump.
"""

from __future__ import annotations

from zkexec.core.actions import Action
from zkexec.core.rollout.group_actions import JoinQueue, LeaveQueue, ListQueue, WatchQueueNode
from zkexec.core.turn import MemberStatus

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


DIGITS = 10


def name_prefix(ticket: str) -> str:
    """Return how the name of a queue node begins; the ensemble appends a number of ten digits."""
    return f"{ticket}-"


def is_queue_node(name: str) -> bool:
    """Whether a member can have made it: a ticket, a hyphen, and the ensemble's number."""
    ticket, hyphen, number = name.rpartition("-")
    is_number = len(number) == DIGITS and number.isascii() and number.isdigit()
    return bool(ticket and hyphen) and is_number


def sequence_of(name: str) -> int:
    """Return the number that the ensemble has given to a queue node; the name must be one."""
    return int(name[-DIGITS:])


class QueuePosition:
    """What is known of the own queue node and of the one before it."""

    def __init__(self, new_ticket: Callable[[], str]) -> None:
        self._new_ticket = new_ticket
        self._ticket = ""
        self.name = ""
        self._in_doubt = False
        self._listed = False
        self._before: list[str] = []
        self._ignored: set[str] = set()
        self._reported: set[str] = set()
        self._watched = False
        self._fired = False
        self.unexplained = False
        """Whether the predecessor is gone, and the record has not yet shown why."""

    @property
    def ahead(self) -> int:
        """How many nodes are before this member, as far as it knows."""
        return len(self._before)

    @property
    def _predecessor(self) -> str:
        return self._before[-1] if self._before else ""

    @property
    def is_head(self) -> bool:
        """Whether no node is before this member."""
        return bool(self.name) and self._listed and not self._predecessor

    @property
    def may_be_queued(self) -> bool:
        """Whether the own node exists, or may exist, and has to be deleted at the end."""
        return bool(self.name) or self._in_doubt

    @property
    def sequence(self) -> int:
        """The number of the own node; only if there is one."""
        return sequence_of(self.name)

    def begin_session(self) -> None:
        """Begin without a node: those of an earlier session end with it."""
        self.left()
        self._ticket = ""
        self._ignored.clear()

    def reconnected(self) -> None:
        """Note that the session lives on, but its watches are gone."""
        self._watched = False

    def next_request(
        self, take_status: Callable[[], MemberStatus | None]
    ) -> Callable[[int], Action] | None:
        """Return the next request on the way to the head, without its number; None if none.

        `take_status` returns the status that is to be published with the own node.
        """
        if self._in_doubt:
            return ListQueue
        if not self.name:
            self._ticket = self._ticket or self._new_ticket()
            ticket, status = self._ticket, take_status()
            return lambda number: JoinQueue(number, ticket, status)
        if not self._listed:
            return ListQueue
        if self._predecessor and not self._watched and not self.unexplained:
            predecessor = self._predecessor
            self._fired = False
            return lambda number: WatchQueueNode(number, predecessor)
        return None

    def leave(self) -> Callable[[int], Action]:
        """Return the request that deletes the own node, or first one that finds it."""
        name = self.name
        return ListQueue if self._in_doubt else lambda number: LeaveQueue(number, name)

    def joined(self, name: str) -> None:
        """Note that the own node was created."""
        self.name = name
        self._listed = False

    def listed(self, names: tuple[str, ...]) -> list[str]:
        """Find the own node and those before it; return the unknown names that are new."""
        self._in_doubt = self.unexplained = self._watched = False
        nodes = [name for name in names if is_queue_node(name)]
        unknown = set(names).difference(nodes)
        new = sorted(unknown - self._reported)
        self._reported = (self._reported & set(names)) | unknown
        self._ignored &= set(nodes)
        own = [name for name in nodes if name[:-DIGITS] == name_prefix(self._ticket)]
        self.name = own[0] if own else ""
        if own:
            before = [name for name in nodes if sequence_of(name) < self.sequence]
            self._listed = True
            self._before = sorted(set(before) - self._ignored, key=sequence_of)
        return new

    def ignore(self, name: str) -> bool:
        """Skip a node that belongs to no session; return whether it is a new one."""
        is_new = name not in self._reported
        self._ignored.add(name)
        self._reported.add(name)
        self._before = [other for other in self._before if other != name]
        self._watched = self.unexplained = False
        return is_new

    def predecessor_read(self, member: str | None) -> None:
        """Note that the predecessor exists and is watched, or is gone if `member` is None.

        The watch may have fired before the answer to the request that set it.
        """
        self._watched = member is not None and not self._fired
        self.unexplained = not self._watched

    def touched(self) -> None:
        """Note that the predecessor is gone, most likely because it was admitted."""
        self._watched = False
        self._fired = True
        self.unexplained = bool(self._predecessor)

    def explain(self, last_admitted: int) -> None:
        """Compare with the last admission: the predecessor's, or it went away otherwise."""
        if not self.unexplained:
            return
        self.unexplained = False
        if last_admitted == sequence_of(self._predecessor):
            self._before.clear()
        else:
            self._listed = False

    def doubt(self) -> None:
        """Note that the own node may exist or not: an answer about it was lost."""
        self._in_doubt = True

    def left(self) -> None:
        """Note that the own node is gone: the member was admitted, or has left the queue."""
        self.name = ""
        self._before.clear()
        self._in_doubt = self._listed = self.unexplained = self._watched = False
