"""What bystanders observe of a group, and what a promise is: the base of all checkers.

A checker gets what happened in the model world.  It never uses the core.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, cast

from simulation.group.command_model import CommandModel
from simulation.group.group_znodes import IN_FLIGHT, QUEUE, STATE, decoded_queued
from simulation.servers.znodes import Transaction
from zkexec.core.actions import Action
from zkexec.core.events import Event
from zkexec.core.rollout.queued_member import QueuedMember
from zkexec.core.rollout.record import AuditEntry, EntryPhase, InFlightEntry, RolloutRecord
from zkexec.core.rollout.version import ConfigVersion
from zkexec.core.rollout.version_state import FEW_SUCCEEDED, VersionState

if TYPE_CHECKING:
    from simulation.group.host import Host
    from simulation.group.process import Process
    from simulation.group.world import World


@dataclass(frozen=True)
class RecordChange:
    """One commit that has changed the record; times are of the world's clock.

    A commit of an operator has no `author`, but an `audit_entry`.
    """

    before: RolloutRecord
    after: RolloutRecord
    transaction: Transaction

    @property
    def by(self) -> "Process | None":
        """The process that wrote it; None for an operator."""
        return cast("Process | None", self.transaction.process)

    @property
    def decided_at(self) -> float:
        """When its author has decided on it."""
        return self.transaction.decided_at

    @property
    def zxid(self) -> int:
        """The number of the transaction."""
        return self.transaction.zxid

    @property
    def has_decided(self) -> bool:
        """Whether the decisions were written."""
        return STATE in self.transaction.replaced

    @cached_property
    def audit_entry(self) -> AuditEntry | None:
        """What an operator did with it."""
        new = [one for one in self.after.audit if one not in self.before.audit]
        return None if self.transaction.author or not new else new[0]

    @cached_property
    def taken(self) -> Mapping[str, QueuedMember]:
        """What was in the queue nodes that were deleted with it, by their paths."""
        return {
            path: decoded_queued(node.content)
            for path, node in self.transaction.replaced.items()
            if path.startswith(QUEUE) and node is not None
            and self.transaction.after(path) is None
        }  # fmt: skip

    @property
    def has_own_entry(self) -> bool:
        """Whether its author has written its own entry."""
        path = IN_FLIGHT + self.author
        return path in self.transaction.replaced and self.author in self.after.in_flight

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
        """The members that were admitted, or readmitted to another version.

        A failed member that enters a new record is not admitted: its command is down as before.
        """
        return [
            (name, entry)
            for name, entry in self._written_entries
            if entry.phase is not EntryPhase.FAILED
            if (known := self.before.in_flight.get(name)) is None
            or (known.digest, known.zxid) != (entry.digest, entry.zxid)
        ]

    @property
    def newly_admitted(self) -> Sequence[tuple[str, InFlightEntry]]:
        """The members that were admitted and not in flight before."""
        return [(name, e) for name, e in self.admitted if name not in self.before.in_flight]

    @property
    def _written_entries(self) -> Sequence[tuple[str, InFlightEntry]]:
        written = [path.removeprefix(IN_FLIGHT) for path in self.transaction.replaced
                   if path.startswith(IN_FLIGHT)]  # fmt: skip
        after = self.after.in_flight
        return [(name, after[name]) for name in written if name in after]

    @cached_property
    def left(self) -> Sequence[tuple[str, InFlightEntry]]:
        """The members whose entry is gone."""
        after = self.after.in_flight
        return [(name, entry) for name, entry in self.before.in_flight.items() if name not in after]


def tolerated(record: RolloutRecord, state: VersionState, members: int) -> int:
    """Return on how many members a version may fail (CONTRACT 7.3) in a group of this size."""
    if record.max_failed is None or state.succeeded < FEW_SUCCEEDED:
        return 0
    return record.max_failed.limit.of(members)


def is_known_good(record: RolloutRecord, version: ConfigVersion | InFlightEntry) -> bool:
    """Whether the record has this version as known good, and it is no retry."""
    state = record.versions.get(version.digest)
    if state is None or not state.known_good:
        return False
    return not (state.failed_by and version.zxid > state.zxid)


class Violation(Exception):
    """A promise to the group was broken."""


class Checker:
    """One promise; a checker overrides only the methods that it needs."""

    def __init__(self, world: "World") -> None:
        """Begin before anything has happened."""
        self.world = world

    def transaction(self, transaction: Transaction) -> None:
        """Observe any commit."""

    def record(self, change: RecordChange) -> None:
        """Observe a commit of the record."""

    def decided(self, process: "Process", event: Event, todo: Sequence[Action]) -> None:
        """Observe what a process decides to do about an event, before it does it."""

    def kill(self, process: "Process", command: CommandModel) -> None:
        """Observe that a command is stopped for a restart."""

    def reloaded(self, process: "Process", command: CommandModel) -> None:
        """Observe that files are installed beside a running command, which is to load them."""

    def started(self, process: "Process", command: CommandModel) -> None:
        """Observe that a command was started."""

    def healthy(self, process: "Process") -> None:
        """Observe that a health check passed, or a command without checks has run long enough."""

    def known_good(self, process: "Process", command: CommandModel) -> None:
        """Observe a command that has been healthy for as long as required."""

    def installed(self, host: "Host") -> None:
        """Observe that new files are installed."""

    def history_began(self) -> None:
        """Observe that the ensemble begins another history, with any record."""

    def woken(self, process: "Process", transaction: Transaction) -> None:
        """Observe that a watch of the group reaches a process."""

    def at_rest(self) -> None:
        """Check everything, after all is done."""
