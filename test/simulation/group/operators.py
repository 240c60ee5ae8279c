"""The operators of a group: restarts, retries, pauses, and members forgotten; accidents, too.

They write as zkexecctl does: what they look at is checked in the transaction that does the deed,
and a deed whose reply was lost is looked for before it is done again.
"""

from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from simulation.group.group_znodes import MEMBERS, RESTART, STATE, record_of
from zkexec.core.rollout import operations
from zkexec.core.rollout.operations import Objection
from zkexec.core.rollout.record import AuditEntry, RolloutRecord
from zkexec.group.record_codec import encode

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
    asked: int | None = None


@dataclass(frozen=True, slots=True)
class Observation:
    """What a deed is decided on; -1 is the version of what is not there."""

    record: RolloutRecord
    version: int
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
        kinds = (self.restart, self.retry, self.pause, self.resume, self.forget, self.blunder)
        self._random.choices(kinds, (4, 3, 2, 3, 2, self._world.clumsiness))[0]()

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

    def _begin(self, operation: str, member: str = "", *, is_forced: bool = False) -> None:
        self._errands += 1
        audit_entry = AuditEntry(operation, "operator", "", f"r{self._errands}", member)
        self._world.log(f"operator {audit_entry.token} begins to {operation} {member}")
        self._look(Errand(audit_entry, is_forced))

    def _look(self, errand: Errand) -> None:
        audit_entry, nodes = errand.audit_entry, self._ensemble.tree.nodes
        if not self._ensemble.has_quorum:
            self._world.clock.after(PATIENCE_S, lambda: self._look(errand))
            return
        if STATE not in nodes or operations.is_done(record_of(nodes[STATE]), audit_entry):
            return
        if audit_entry.operation == "pause" and self._world.chaos.calm:
            return
        asked = nodes.get(RESTART)
        observed = Observation(
            record_of(nodes[STATE]), nodes[STATE].version,
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
        changes = [ensemble.written(STATE, encode(after, ensemble.wall_clock))]
        if audit_entry.operation in ASKS:
            name = audit_entry.token.encode()
            if audit_entry.operation == "retry":
                name = next(iter(observed.asked.split()), b"-")
            content = b"%s %s" % (name, audit_entry.token.encode())
            changes.append(ensemble.written(RESTART, content))
            self._world.remember({RESTART: content})
        ensemble.commit(0, changes, observed.seen_at)
        if self._random.random() < 0.1:
            # The reply was lost: whether it is done has to be found out.
            self._world.clock.after(PATIENCE_S, lambda: self._look(errand))

    def _has_changed(self, audit_entry: AuditEntry, observed: Observation) -> bool:
        nodes = self._ensemble.tree.nodes
        if self._world.histories != observed.history or STATE not in nodes:
            return True
        asked = nodes[RESTART].version if RESTART in nodes else -1
        if audit_entry.operation in ASKS and asked != observed.asked_version:
            return True
        return nodes[STATE].version != observed.version
