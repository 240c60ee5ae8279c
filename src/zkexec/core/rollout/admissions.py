"""How the head of the queue admits others: whom, how many at once, and how often.

A head that may admit many stays: it reads the queue once, admits in batches, and itself last.  It
waits a little between two batches, so that a batch has more than one member.  It never has more
than one commit on its way.
"""

from __future__ import annotations

from zkexec.core.rollout.queued_member import QueueNode
from zkexec.core.rollout.record import ActingHead, InFlightEntry, Refusal, RolloutRecord
from zkexec.frozen import frozen, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from zkexec.core.rollout.group_events import QueueRead
    from zkexec.core.rollout.version import ConfigVersion

STAY_FROM = 16
"""If more members may be in flight, the head stays and admits the others."""
MOST_AT_ONCE = 500
"""One transaction admits at most this many members."""
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 1.0
"""The limits of the pause between two batches."""
_SHARE = 50
"""A batch should have this part of the members that may be in flight, and a few at least."""
_FEW = 4


@frozen()
class Batch:
    """The admission of some members: the record after it, and their queue nodes."""

    record: RolloutRecord
    nodes: tuple[QueueNode, ...]


def batch_of(
    record: RolloutRecord, nodes: Sequence[QueueNode], own: QueueNode, version: ConfigVersion
) -> Batch | Refusal:
    """Admit the first of those that want this version, the head itself last.

    A zone whose members wait is finished before the next one begins.  A member that is unavailable
    may always take its own turn, so one that finds no room does not keep it from that.
    """
    # A node before the head's own is that of a head that hangs.  Of two nodes of one member, the
    # older one is that of a process that is gone.
    behind = sorted((node for node in nodes if node.number > own.number), key=_number)
    newest = {node.queued.member: node for node in behind}
    waiting = [*(n for n in behind if _wants(n, version) and newest[n.queued.member] is n), own]
    found = _from_zone(record, waiting, _zone_of(record, waiting), version)
    if isinstance(found, Refusal) and not _is_open(record):
        # It takes the room of the others, and must not wait for their zone.
        ill = [node for node in waiting if node.queued.member in record.unavailable]
        tried = (_from_zone(record, [node], node.queued.zone, version) for node in ill)
        found = next((batch for batch in tried if isinstance(batch, Batch)), found)
    if isinstance(found, Refusal):
        return found
    head = None if own in found.nodes else ActingHead(own.queued.member, own.number)
    if record.head is not None and head is not None and record.head.number == head.number:
        head = record.head
    return Batch(replace(found.record, head=head), found.nodes)


def _from_zone(
    record: RolloutRecord, waiting: Sequence[QueueNode], zone: str, version: ConfigVersion
) -> Batch | Refusal:
    """Admit the first members of one zone."""
    admitted: list[QueueNode] = []
    refusal, after = Refusal.ZONE, record
    for node in waiting:
        is_ill = node.queued.member in record.unavailable
        if node.queued.zone != zone or (refusal is Refusal.FULL and not is_ill):
            continue
        found = after.admit(node.queued.member, entry_of(node, version), version.scope)
        if isinstance(found, Refusal):
            refusal = found
        else:
            after = found
            admitted.append(node)
        if len(admitted) == MOST_AT_ONCE:
            break
    return Batch(after, tuple(admitted)) if admitted else refusal


def entry_of(node: QueueNode, version: ConfigVersion) -> InFlightEntry:
    """Return the entry of a waiting member that is admitted to this version."""
    queued = node.queued
    return InFlightEntry(
        queued.token, version.digest, version.zxid, written=version.written, zone=queued.zone
    )


def _number(node: QueueNode) -> int:
    return node.number


def _wants(node: QueueNode, version: ConfigVersion) -> bool:
    return node.queued.digest == version.digest


def _is_open(record: RolloutRecord) -> bool:
    """Whether the zone of the record has members in flight."""
    return bool(record.in_flight_count or record.in_flight)


def _zone_of(record: RolloutRecord, waiting: Sequence[QueueNode]) -> str:
    """Return the zone from which members are admitted now."""
    if _is_open(record) or any(node.queued.zone == record.zone for node in waiting):
        return record.zone
    return waiting[0].queued.zone


class Admissions:
    """What the head knows of the queue, and when it admits the next members."""

    def __init__(self) -> None:
        self._nodes: dict[int, QueueNode] = {}
        self.is_read = False
        """Whether the queue was read since the last change of the members in flight."""
        self.is_known = False
        """Whether the queue was read since this member became the head."""
        self._pause_s: float | None = None
        """The pause between two batches; None if few are in flight, so that none is due."""
        self.next_at: float | None = None
        """When the next batch is due, while others are admitted."""

    @property
    def nodes(self) -> Sequence[QueueNode]:
        """The queue nodes, as far as they are known."""
        return tuple(self._nodes.values())

    def known(self, version: ConfigVersion) -> frozenset[int]:
        """Return the numbers of the queue nodes that need not be read again.

        A member that wanted another version may want this one by now.
        """
        return frozenset(number for number, node in self._nodes.items() if _wants(node, version))

    def forget(self) -> None:
        """Note that this member is not the head, or has to begin anew."""
        self._nodes.clear()
        self.is_read = self.is_known = False
        self._pause_s = self.next_at = None

    def read(self, event: QueueRead) -> None:
        """Take in what was read of the queue."""
        self._nodes = {n: node for n, node in self._nodes.items() if n in event.numbers}
        self._nodes.update((node.number, node) for node in event.nodes)
        self.is_read = self.is_known = True

    def drop(self, numbers: Iterable[int | None]) -> None:
        """Forget queue nodes that are gone, or not as they were read."""
        self._nodes = {n: node for n, node in self._nodes.items() if n not in set(numbers)}

    def admitted(self, count: int, allowed: int, now: float) -> None:
        """Plan the next batch after one with this many members."""
        if allowed <= STAY_FROM:
            self._pause_s = None
            return
        last_s = SHORTEST_PAUSE_S if self._pause_s is None else self._pause_s
        pause_s = last_s * max(_FEW, allowed // _SHARE) / max(1, count)
        self._pause_s = min(LONGEST_PAUSE_S, max(SHORTEST_PAUSE_S, pause_s))
        self.next_at = now + self._pause_s

    def collect(self, now: float) -> None:
        """Wait a little after a turn has ended, if many are in flight: others end soon."""
        if self._pause_s is not None and self.next_at is None:
            self.next_at = now + self._pause_s

    def go_on(self, now: float) -> None:
        """End the pause, if it is over."""
        if self.next_at is not None and now >= self.next_at:
            self.next_at = None
