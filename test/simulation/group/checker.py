"""The base of all checkers of a group, and the changes of the record that they see.

A checker sees what happens in the model world, and nothing of the core.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from simulation.group.child import Child
from simulation.group.tree import Transaction
from zkexec.core.actions import Action
from zkexec.core.events import Event
from zkexec.core.rollout.record import AuditEntry, EntryPhase, InFlightEntry, RolloutRecord
from zkexec.core.rollout.version import ConfigVersion

if TYPE_CHECKING:
    from simulation.group.host import Host
    from simulation.group.process import Process
    from simulation.group.world import World


@dataclass(frozen=True)
class RecordChange:
    """One commit of the record; times on the world's clock.

    An operator's has no `author`; it is his `audit_entry`.
    """

    by: "Process | None"
    before: RolloutRecord
    after: RolloutRecord
    decided_at: float
    zxid: int
    audit_entry: AuditEntry | None = None

    @property
    def process(self) -> "Process":
        """The process that wrote it, which an operator is not."""
        assert self.by is not None
        return self.by

    @property
    def author(self) -> str:
        """The member that wrote it, "" for an operator."""
        return "" if self.by is None else self.by.host.name

    @cached_property
    def admitted(self) -> Sequence[tuple[str, InFlightEntry]]:
        """Who came into flight, or goes on to another target there.

        Who has failed, and tells it to a new record, does not: it is down as it was.
        """
        return [
            (name, entry)
            for name, entry in self.after.in_flight.items()
            if entry.phase is not EntryPhase.FAILED
            if (known := self.before.in_flight.get(name)) is None
            or (known.digest, known.zxid) != (entry.digest, entry.zxid)
        ]

    @cached_property
    def left(self) -> Sequence[tuple[str, InFlightEntry]]:
        """Whose entry is gone."""
        after = self.after.in_flight
        return [(name, entry) for name, entry in self.before.in_flight.items() if name not in after]


def is_known_good(record: RolloutRecord, target: ConfigVersion | InFlightEntry) -> bool:
    """Whether the record has this proven, and not to be tried anew."""
    version_state = record.versions.get(target.digest)
    if version_state is None or not version_state.known_good:
        return False
    return not (version_state.failed_by and target.zxid > version_state.zxid)


class Violation(Exception):
    """A promise to the group was broken."""


class Checker:
    """One promise; what it does not care about, it does not override."""

    def __init__(self, world: "World") -> None:
        """Begin before anything has happened."""
        self.world = world

    def transaction(self, transaction: Transaction) -> None:
        """See any commit."""

    def record(self, change: RecordChange) -> None:
        """See a commit of the record."""

    def decided(self, process: "Process", event: Event, todo: Sequence[Action]) -> None:
        """See what a process decides to do about an event, before it does it."""

    def kill(self, process: "Process", child: Child) -> None:
        """See a child being told to end for a restart."""

    def started(self, process: "Process", child: Child) -> None:
        """See a child being born."""

    def healthy(self, process: "Process") -> None:
        """See a check pass, or a child without checks live long enough."""

    def known_good(self, process: "Process", child: Child) -> None:
        """See a child that has been healthy for as long as it has to be."""

    def installed(self, host: "Host") -> None:
        """See new files in their places."""

    def began_anew(self) -> None:
        """See the ensemble begin another history, with whatever record there is in it."""

    def woken(self, process: "Process", transaction: Transaction) -> None:
        """See a watch of the group reach a process."""

    def at_rest(self) -> None:
        """Look at everything, after all is done."""
