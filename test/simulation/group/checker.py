"""What bystanders observe of a group, and what a promise is: the base of all checkers.

A checker gets what happened in the model world.  It never uses the core.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, cast

from simulation.group.command_model import CommandModel
from simulation.group.group_znodes import QUEUE, STATE, record_of
from simulation.servers.znodes import Transaction
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
    """One commit of the record; times are of the world's clock.

    A commit of an operator has no `author`, but an `audit_entry`.
    """

    by: "Process | None"
    before: RolloutRecord
    after: RolloutRecord
    decided_at: float
    zxid: int
    audit_entry: AuditEntry | None = None
    queue_node: str = ""
    """The queue node that was deleted with it."""

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
            for name, entry in self.after.in_flight.items()
            if entry.phase is not EntryPhase.FAILED
            if (known := self.before.in_flight.get(name)) is None
            or (known.digest, known.zxid) != (entry.digest, entry.zxid)
        ]

    @cached_property
    def left(self) -> Sequence[tuple[str, InFlightEntry]]:
        """The members whose entry is gone."""
        after = self.after.in_flight
        return [(name, entry) for name, entry in self.before.in_flight.items() if name not in after]


def record_change_of(transaction: Transaction) -> RecordChange | None:
    """Return what a commit changed in the record, None if that was not there before and after."""
    before = transaction.replaced.get(STATE)
    after = None if before is None else transaction.after(STATE)
    if before is None or after is None:
        return None
    records = record_of(before), record_of(after)
    entry = None
    if not transaction.author:
        (entry,) = (one for one in records[1].audit if one not in records[0].audit)
    queue_nodes = [path.removeprefix(QUEUE) for path, node in transaction.changes
                   if node is None and path.startswith(QUEUE)]  # fmt: skip
    return RecordChange(
        cast("Process | None", transaction.process), *records, transaction.decided_at,
        transaction.zxid, entry, "".join(queue_nodes),
    )  # fmt: skip


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
