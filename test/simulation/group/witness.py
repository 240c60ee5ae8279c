"""What bystanders see of a group, and what a promise is: the base of all checkers.

A checker is told what happened in the model world.  It never looks into the core.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from simulation.group.child import Child
from simulation.group.tree import Transaction
from zkexec.core.actions import Action
from zkexec.core.events import Event
from zkexec.core.rollout.audit import Deed
from zkexec.core.rollout.record import Entry, EntryPhase, Rollout
from zkexec.core.rollout.version import Target

if TYPE_CHECKING:
    from simulation.group.host import Host
    from simulation.group.process import Process
    from simulation.group.world import World


@dataclass(frozen=True)
class RecordChange:
    """One commit of the record; times on the world's clock.

    An operator's has no `author`; it is his `deed`.
    """

    by: "Process | None"
    before: Rollout
    after: Rollout
    decided_at: float
    zxid: int
    deed: Deed | None = None

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
    def admitted(self) -> Sequence[tuple[str, Entry]]:
        """Who came into flight, or goes on to another target there.

        Who has failed, and tells it to a new record, does not: it is down as it was.
        """
        return [
            (name, entry)
            for name, entry in self.after.inflight.items()
            if entry.phase is not EntryPhase.FAILED
            if (known := self.before.inflight.get(name)) is None
            or (known.digest, known.revision) != (entry.digest, entry.revision)
        ]

    @cached_property
    def left(self) -> Sequence[tuple[str, Entry]]:
        """Whose entry is gone."""
        after = self.after.inflight
        return [(name, entry) for name, entry in self.before.inflight.items() if name not in after]


def is_proven(record: Rollout, target: Target | Entry) -> bool:
    """Whether the record has this proven, and not to be tried anew."""
    verdict = record.verdicts.get(target.digest)
    if verdict is None or not verdict.proven:
        return False
    return not (verdict.failed_by and target.revision > verdict.revision)


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

    def proven(self, process: "Process", child: Child) -> None:
        """See a child that has been healthy for as long as it has to be."""

    def installed(self, host: "Host") -> None:
        """See new files in their places."""

    def began_anew(self) -> None:
        """See the ensemble begin another history, with whatever record there is in it."""

    def woken(self, process: "Process", transaction: Transaction) -> None:
        """See a watch of the group reach a process."""

    def at_rest(self) -> None:
        """Look at everything, after all is done."""
