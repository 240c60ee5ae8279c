"""The promises about the queue: who decides for it, and who is admitted before whom."""

from collections.abc import Container, Mapping
from typing import TYPE_CHECKING

from simulation.group.checker import Checker, RecordChange, Violation
from simulation.group.group_znodes import QUEUE, STATE, UNAVAILABLE, decoded_queued
from simulation.servers.znodes import Transaction
from zkexec.core.rollout.queued_member import QueuedMember, queue_number
from zkexec.core.rollout.record import InFlightEntry

if TYPE_CHECKING:
    from simulation.group.world import World

HUNG_TIMEOUTS = 2.0
"""A head that does nothing for this many session timeouts may be replaced."""


def number_of(path: str) -> int:
    """Return the number of a queue node."""
    number = queue_number(path.removeprefix(QUEUE))
    assert number is not None, "only members make nodes in the queue"
    return number


class Leadership:
    """Who may decide for the queue: its first member, the acting head, or who replaces it."""

    def __init__(self, world: "World") -> None:
        """Begin before any decision."""
        self._world = world
        self._decided_at = 0.0

    def take(self, transaction: Transaction) -> None:
        """Note when the decisions were written last."""
        if STATE in transaction.replaced:
            self._decided_at = self._world.clock.now

    def is_of(self, change: RecordChange) -> bool:
        """Whether the author of this commit could decide when it was written."""
        nodes, author = self._world.ensemble.tree.nodes, change.transaction.author
        there = {path: nodes[path].owner for path in self._world.ensemble.tree.children[QUEUE]}
        for path in change.taken:
            node = change.transaction.replaced[path]
            there[path] = 0 if node is None else node.owner
        own = [number_of(path) for path, owner in there.items() if owner == author]
        if not own:
            return False
        if min(map(number_of, there)) in own:
            return True
        head = change.before.head
        if head is not None and head.number in own:
            return True
        timeout_s = change.process.policy.session_timeout_s
        return change.decided_at >= self._decided_at + HUNG_TIMEOUTS * timeout_s


class AdmitsTheHead(Checker):
    """The head of the queue admits, in the order of the queue, those who want what it wants.

    A head that admits others admits itself last.  A member that is unavailable may overtake those
    that would take down a healthy command; the head may have read that at any time since the
    decisions were written last.
    """

    def __init__(self, world: "World") -> None:
        """Begin with all members available."""
        super().__init__(world)
        self._ill: dict[str, None] = {}
        """The members that were unavailable since then."""

    def transaction(self, transaction: Transaction) -> None:
        """Note which members become unavailable."""
        for path, node in transaction.changes:
            if path.startswith(UNAVAILABLE) and node is not None:
                self._ill[path.removeprefix(UNAVAILABLE)] = None

    def history_began(self) -> None:
        """Begin without sessions, and so without unavailable members."""
        self._ill.clear()

    def record(self, change: RecordChange) -> None:
        """Check who admits whom, and which nodes are left in the queue."""
        if change.newly_admitted:
            self._judge(change, self._ill)
        if change.has_decided:
            self._ill = dict.fromkeys(change.after.unavailable)

    def _judge(self, change: RecordChange, ill: Container[str]) -> None:
        admitted = change.newly_admitted
        if not self.world.leads(change):
            raise Violation(f"{change.author} admits {admitted}, and is not the head")
        left = self._left(change)
        for name, entry in admitted:
            nodes = {
                queued.token: (number_of(path), queued)
                for path, queued in change.taken.items()
                if queued.member == name
            }
            if entry.token not in nodes:
                raise Violation(f"{name} was admitted without its queue node")
            number, queued = nodes[entry.token]
            if (queued.digest, queued.zone) != (entry.digest, entry.zone):
                raise Violation(f"{name} was admitted to what its queue node does not contain")
            ahead = [] if name in ill else self._ahead(left, number, entry)
            if ahead:
                raise Violation(f"{name} was admitted, but {ahead} were ahead of it")

    def _left(self, change: RecordChange) -> Mapping[int, QueuedMember]:
        """Return what waits as before, and is not in flight under another token."""
        tree = self.world.ensemble.tree
        found = {}
        for path in tree.children[QUEUE]:
            node = tree.nodes[path]
            queued = decoded_queued(node.content)
            is_own = node.owner == change.transaction.author
            # The head may not have read yet what a member wants now.
            if not (node.version or is_own or queued.member in change.after.in_flight):
                found[number_of(path)] = queued
        return found

    @staticmethod
    def _ahead(left: Mapping[int, QueuedMember], number: int, entry: InFlightEntry) -> list[str]:
        return [
            queued.member
            for other, queued in left.items()
            if other < number and (queued.digest, queued.zone) == (entry.digest, entry.zone)
        ]
