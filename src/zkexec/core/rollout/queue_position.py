"""A member's place in the queue: one node at a time, a watch on the node before it, no more.

The ticket, a fresh random word for each session, begins the node's name, so that a node whose
making was never answered is found again.  Sequence numbers only grow: nobody ever gets in before
this member, so the queue is listed once.  When the predecessor was admitted it was the head, and
this member is the head now; only where it went away otherwise the queue is listed again.

Whoever may write there can leave anything in the queue.  Names that are no queue node's are
ignored, and so is a node that lasts: it belongs to no session, as after a restore from a dump.
"""

from collections.abc import Callable

from zkexec.core.actions import Action
from zkexec.core.rollout.group_actions import JoinQueue, LeaveQueue, ListQueue, WatchQueueNode
from zkexec.core.turn import MemberStatus

DIGITS = 10


def is_queue_node(name: str) -> bool:
    """Whether a member can have made it: a ticket, a hyphen, and the ensemble's number."""
    ticket, hyphen, number = name.rpartition("-")
    is_number = len(number) == DIGITS and number.isascii() and number.isdigit()
    return bool(ticket and hyphen) and is_number


def sequence_of(name: str) -> int:
    """The number that the ensemble has given to a queue node; only of one."""
    return int(name[-DIGITS:])


class QueuePosition:
    """What is known of the own queue node and of the one before it."""

    def __init__(self, new_ticket: Callable[[], str]) -> None:
        self._new_ticket = new_ticket
        self._ticket = ""
        self.name = ""
        self._unsure = False
        self._listed = False
        self._before: list[str] = []
        self._ignored: set[str] = set()
        self._told: set[str] = set()
        self._watched = False
        self._fired = False
        self.unexplained = False

    @property
    def ahead(self) -> int:
        """How many are before this member, as far as it knows."""
        return len(self._before)

    @property
    def _predecessor(self) -> str:
        return self._before[-1] if self._before else ""

    @property
    def is_head(self) -> bool:
        """Whether nobody is before this member."""
        return bool(self.name) and self._listed and not self._predecessor

    @property
    def may_be_in(self) -> bool:
        """Whether there is, or may be, a node to be taken away."""
        return bool(self.name) or self._unsure

    @property
    def sequence(self) -> int:
        """The number of the own node; only with a name."""
        return sequence_of(self.name)

    def begin_session(self) -> None:
        """Start without a node: those of an earlier session go with it."""
        self.gone()
        self._ticket = ""
        self._ignored.clear()

    def reconnected(self) -> None:
        """The session lives on, but its watches are gone."""
        self._watched = False

    def next_request(
        self, news: Callable[[], MemberStatus | None]
    ) -> Callable[[int], Action] | None:
        """What to ask on the way to the head, still to be numbered; None while there is nothing.

        `news` gives the card that is to be shown with the own node.
        """
        if self._unsure:
            return ListQueue
        if not self.name:
            self._ticket = self._ticket or self._new_ticket()
            ticket, status = self._ticket, news()
            return lambda number: JoinQueue(number, ticket, status)
        if not self._listed:
            return ListQueue
        if self._predecessor and not self._watched and not self.unexplained:
            predecessor = self._predecessor
            self._fired = False
            return lambda number: WatchQueueNode(number, predecessor)
        return None

    def leave(self) -> Callable[[int], Action]:
        """How to take the own node away: it may have to be looked for first."""
        name = self.name
        return ListQueue if self._unsure else lambda number: LeaveQueue(number, name)

    def joined(self, name: str) -> None:
        """The own node stands."""
        self.name = name
        self._listed = False

    def listed(self, names: tuple[str, ...]) -> list[str]:
        """Find the own node and those before it; return the strays that were not there before."""
        self._unsure = self.unexplained = self._watched = False
        nodes = [name for name in names if is_queue_node(name)]
        strays = set(names).difference(nodes)
        new = sorted(strays - self._told)
        self._told = (self._told & set(names)) | strays
        self._ignored &= set(nodes)
        own = [name for name in nodes if name[: -DIGITS - 1] == self._ticket]
        self.name = own[0] if own else ""
        if own:
            before = [name for name in nodes if sequence_of(name) < self.sequence]
            self._listed = True
            self._before = sorted(set(before) - self._ignored, key=sequence_of)
        return new

    def ignore(self, name: str) -> bool:
        """Go on to the node before one that belongs to nobody; return whether that one is new."""
        is_new = name not in self._told
        self._ignored.add(name)
        self._told.add(name)
        self._before = [other for other in self._before if other != name]
        self._watched = self.unexplained = False
        return is_new

    def seen(self, member: str | None) -> None:
        """The predecessor is there and watched, or it is gone.

        The watch may have fired before this answer to the request that has set it.
        """
        self._watched = member is not None and not self._fired
        self.unexplained = not self._watched

    def touched(self) -> None:
        """The predecessor has gone, most likely because it was admitted."""
        self._watched = False
        self._fired = True
        self.unexplained = bool(self._predecessor)

    def explain(self, last_admitted: int) -> None:
        """Learn who was admitted last: the predecessor, or it went away otherwise."""
        if not self.unexplained:
            return
        self.unexplained = False
        if last_admitted == sequence_of(self._predecessor):
            self._before.clear()
        else:
            self._listed = False

    def lost(self) -> None:
        """What became of the own node is not known."""
        self._unsure = True

    def gone(self) -> None:
        """The own node is no more: admitted, or taken away."""
        self.name = ""
        self._before.clear()
        self._unsure = self._listed = self.unexplained = self._watched = False
