"""The operators of a group: restarts, retries, pauses, and members forgotten; accidents, too.

They write as zkexecctl does: what they look at is checked in the transaction that does the deed,
and a deed whose reply was lost is looked for before it is done again.
"""

from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from simulation.group.group_znodes import BASE, MEMBERS, RESTART
from zkexec.core.policy import MaxUnavailable
from zkexec.core.rollout import operations
from zkexec.core.rollout.group_actions import CommitRecord
from zkexec.core.rollout.operations import Objection
from zkexec.core.rollout.record import AuditEntry, RolloutRecord
from zkexec.core.rollout.record_basis import RecordBasis
from zkexec.group.paths import Paths
from zkexec.group.record_changes import RecordChanges
from zkexec.zookeeper.requests import Create, Operation, SetContent
from zkexec.zookeeper.values import OPEN_ACL

if TYPE_CHECKING:
    from simulation.group.world import World

ASKS = ("restart", "retry")
"""The verbs that the members have to hear of."""
PATIENCE_S = 1.0


@dataclass(slots=True)
class Errand:
    """A deed on its way; `asked` is the version of the znode of restarts at its first look."""

    audit_entry: AuditEntry
    is_forced: bool = False
    raised: MaxUnavailable | None = None
    asked: int | None = None


@dataclass(frozen=True, slots=True)
class Observation:
    """What a deed is decided on; -1 is the version of what is not there."""

    record: RolloutRecord
    basis: RecordBasis
    asked: bytes
    asked_version: int
    seen_at: float
    history: int


class Operator:
    """All operators together: each errand is one of them."""

    def __init__(self, world: "World", random: Random) -> None:
        """Begin with nothing done."""
        self._world = world
        self._ensemble = world.ensemble
        self._random = random
        self._errands = 0

    def act(self) -> None:
        """Do something that comes to an operator's mind."""
        if self._world.chaos.calm:
            return
        kinds = (
            self.restart, self.retry, self.pause, self.resume, self.forget, self.blunder,
            self.push_held, self.approve,
        )  # fmt: skip
        holds = self._world.holds
        weights = (4, 3, 2, 3, 2, self._world.clumsiness, 3 * holds, 3 * holds)
        self._random.choices(kinds, weights)[0]()

    def restart(self) -> None:
        """Ask for a rolling restart."""
        self._begin("restart")

    def retry(self) -> None:
        """Have what failed tried once more."""
        self._begin("retry")

    def pause(self) -> None:
        """Pause the group."""
        self._begin("pause")

    def resume(self) -> None:
        """Let the group go on."""
        self._begin("resume")

    def push_held(self) -> None:
        """Push something, and hold it after some members."""
        size = self._world.size
        after = MaxUnavailable(self._random.choice((1, 1, 2, max(1, size // 3))))
        if self._random.random() < 0.3:
            after = MaxUnavailable(self._random.choice((10, 50, 100)), True)
        self._errands += 1
        audit_entry = AuditEntry("hold", "operator", "", f"r{self._errands}")
        self._world.log(f"operator {audit_entry.token} pushes, and holds it after {after}")
        self._world.hold_next = audit_entry, after
        self._world.push_something()
        self._world.hold_next = None

    def approve(self) -> None:
        """End a hold, or raise it."""
        hold = self._world.truth.hold
        is_raised = hold is not None and not hold.after.percent and self._random.random() < 0.4
        raised = None
        if is_raised and hold is not None and not self._world.chaos.calm:
            raised = MaxUnavailable(hold.after.amount + self._random.choice((-1, 1, 2, 5)) or 1)
        self._begin("approve", raised=raised)

    def forget(self) -> None:
        """Forget a member in flight, now and then by force, even if it is alive."""
        names = list(self._world.truth.in_flight)
        if names:
            is_forced = self._random.random() < 0.2
            self._begin("forget", self._random.choice(names), is_forced=is_forced)

    def forget_the_gone(self) -> None:
        """Forget all those who will never come back."""
        for name in self._world.truth.in_flight:
            if self._world.hosts[int(name[1:])].gone:
                self._begin("forget", name)

    def blunder(self) -> None:
        """Delete the znode of restarts, empty it, or put back what it held before."""
        match self._random.randrange(3):
            case 0:
                self._world.spoil_restart(None)
            case 1:
                self._world.spoil_restart(b"")
            case _:
                state = self._random.choice(self._world.history[-4:])
                self._world.spoil_restart(state[RESTART])

    def _begin(
        self,
        operation: str,
        member: str = "",
        *,
        is_forced: bool = False,
        raised: MaxUnavailable | None = None,
    ) -> None:
        self._errands += 1
        audit_entry = AuditEntry(operation, "operator", "", f"r{self._errands}", member)
        self._world.log(f"operator {audit_entry.token} begins to {operation} {member}")
        self._look(Errand(audit_entry, is_forced, raised))

    def _look(self, errand: Errand) -> None:
        audit_entry, nodes = errand.audit_entry, self._ensemble.tree.nodes
        if not self._ensemble.has_quorum:
            self._world.clock.after(PATIENCE_S, lambda: self._look(errand))
            return
        known = self._world.observed
        if not known.exists or operations.is_done(known.record, audit_entry):
            return
        if audit_entry.operation == "pause" and self._world.chaos.calm:
            return
        asked = nodes.get(RESTART)
        observed = Observation(
            known.record, known.basis,
            asked.content if asked else b"", asked.version if asked else -1, self._world.clock.now,
            self._world.histories,
        )  # fmt: skip
        if errand.asked is None:
            errand.asked = observed.asked_version
        if errand.asked != observed.asked_version and audit_entry.operation in ASKS:
            return
        after = self._steer(errand, observed.record)
        if isinstance(after, Objection):
            self._world.log(f"operator {audit_entry.token} gets: {after.value}")
            return
        thinks_s = self._random.choice((0.02, 0.02, 1.0, 10.0)) * self._random.random()
        self._world.clock.after(thinks_s, lambda: self._write(errand, observed, after))

    def _steer(self, errand: Errand, record: RolloutRecord) -> RolloutRecord | Objection:
        audit_entry = errand.audit_entry
        match audit_entry.operation:
            case "restart":
                return operations.restart(record, audit_entry)
            case "retry":
                return operations.retry(record, audit_entry)
            case "pause":
                return operations.pause(record, audit_entry)
            case "resume":
                return operations.resume(record, audit_entry)
            case "approve":
                return operations.approve(record, audit_entry, errand.raised)
        is_alive = MEMBERS + audit_entry.member in self._ensemble.tree.nodes
        return operations.forget(record, audit_entry, is_alive=is_alive, is_forced=errand.is_forced)

    def _write(self, errand: Errand, observed: Observation, after: RolloutRecord) -> None:
        audit_entry, ensemble = errand.audit_entry, self._ensemble
        is_too_late = audit_entry.operation == "pause" and self._world.chaos.calm
        is_lost = not self._world.chaos.calm and self._random.random() < 0.1
        if (
            is_too_late
            or is_lost
            or not ensemble.has_quorum
            or self._has_changed(audit_entry, observed)
        ):
            self._world.clock.after(0.1, lambda: self._look(errand))
            return
        writes = self.writes_of(observed.record, after, observed.basis)
        if audit_entry.operation in ASKS:
            name = audit_entry.token.encode()
            if audit_entry.operation == "retry":
                name = next(iter(observed.asked.split()), b"-")
            content = b"%s %s" % (name, audit_entry.token.encode())
            version = observed.asked_version
            writes.append(Create(RESTART, content, OPEN_ACL) if version < 0
                          else SetContent(RESTART, content, version))  # fmt: skip
            self._world.remember({RESTART: content})
        if not ensemble.carry_out(writes, observed.seen_at):
            raise RuntimeError(f"{writes} of {audit_entry} are refused")
        if self._random.random() < 0.1:
            # The reply was lost: whether it is done has to be found out.
            self._world.clock.after(PATIENCE_S, lambda: self._look(errand))

    def writes_of(
        self, before: RolloutRecord, after: RolloutRecord, basis: RecordBasis
    ) -> list[Operation]:
        """Return what zkexecctl writes, so that the znodes contain another record."""
        request = CommitRecord(0, before, after, basis)
        return RecordChanges(
            request, Paths("", BASE), OPEN_ACL, self._ensemble.wall_clock
        ).operations

    def _has_changed(self, audit_entry: AuditEntry, observed: Observation) -> bool:
        """Whether anything of the record is not as it was observed.

        The operation may concern all of it, and an operator simply begins again.
        """
        nodes, known = self._ensemble.tree.nodes, self._world.observed
        if self._world.histories != observed.history or not known.exists:
            return True
        asked = nodes[RESTART].version if RESTART in nodes else -1
        if audit_entry.operation in ASKS and asked != observed.asked_version:
            return True
        is_of_entries = audit_entry.operation == "forget"
        is_other = known.basis.state != observed.basis.state
        return is_other or (is_of_entries and known.basis != observed.basis)
