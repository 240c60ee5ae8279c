"""The group's record as a value: which members are in flight, and what is known of each version.

The record is the only place of decisions, and it outlives every member.  Each method returns a
new record, the same object if nothing changes, or a Refusal with its reason.  The caller commits
a new record against the znode version that it has read.

A failed version is blocked up to the zxid at which it failed.  If the same bytes are written
again, their last write has a greater zxid: this is a deliberate retry.
"""

from __future__ import annotations

from zkexec.core.policy import MaxUnavailable
from zkexec.core.rollout.version import ConfigVersion, is_same_contents
from zkexec.enumeration import Enum
from zkexec.frozen import frozen, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping


@frozen()
class AgreedMaxUnavailable:
    """The max unavailable in force, and the member that requested it."""

    limit: MaxUnavailable
    by: str


def agreed(
    known: AgreedMaxUnavailable | None,
    requested: AgreedMaxUnavailable,
    population: int,
    is_requester_alive: bool,
) -> AgreedMaxUnavailable:
    """Return the max unavailable after another request: of two living members, the smaller one.

    `is_requester_alive` is about the member that requested the known one.
    """
    if known is None or known.by == requested.by or not is_requester_alive:
        return requested
    is_smaller = requested.limit.of(population) < known.limit.of(population)
    return requested if is_smaller else known


MOST_AUDIT_ENTRIES = 10
"""Keep this many audit entries, the newest last."""


@frozen()
class AuditEntry:
    """One operation of an operator; `member` is the member that it was about, or "".

    `at` is in seconds of the epoch.  The token is random: if the reply to a commit is lost, an
    operator recognizes the own entry by it.
    """

    operation: str
    by: str
    reason: str
    token: str
    member: str = ""
    at: float = 0.0


AS_COMMITTED = 0.0
"""In a record that is not written yet, this means the time of the commit."""

LOST_TURNS_THAT_FAIL = 2
"""After this many lost turns a version counts as failed: it may be what kills the members."""


class EntryPhase(Enum):
    """How far a member in flight has come."""

    RESTARTING = "restarting"
    FAILED = "failed"


@frozen(uncompared=("written",))
class InFlightEntry:
    """A member in flight; `token` is random for each admission, `since` in seconds of the epoch.

    `written` is that of the version, if this is a new entry: the znode does not contain it.
    """

    token: str
    digest: str
    zxid: int
    phase: EntryPhase = EntryPhase.RESTARTING
    since: float = AS_COMMITTED
    written: int = -1


@frozen()
class VersionState:
    """What is known of one version up to a zxid; `at` is in seconds of the epoch.

    `reason` and `step` are about the last failure; the step is "" if it is unknown.
    """

    zxid: int
    scope: str
    known_good: bool = False
    failed_by: tuple[str, ...] = ()
    lost_turns: int = 0
    reason: str = ""
    at: float = AS_COMMITTED
    step: str = ""


@frozen()
class Pause:
    """An operator's decision that no member is admitted."""

    by: str
    reason: str
    at: float = AS_COMMITTED


class Refusal(Enum):
    """Why a member is not admitted now."""

    FAILED = "failed"
    """The version that it wants has failed."""
    PAUSED = "paused"
    """An operator has paused the group."""
    FULL = "full"
    """As many members are in flight as are allowed."""
    OUTDATED = "outdated"
    """The group has a newer version, which the member has not read yet."""
    GONE = "gone"
    """The member's entry does not exist any more."""


@frozen()
class RolloutRecord:
    """The record; `last_admitted` is the sequence number of the queue node admitted last.

    `audit` lists what operators did.  It is shown to people and decides nothing.
    """

    in_flight: Mapping[str, InFlightEntry] = {}
    versions: Mapping[str, VersionState] = {}
    max_unavailable: AgreedMaxUnavailable | None = None
    paused: Pause | None = None
    last_admitted: int = -1
    audit: tuple[AuditEntry, ...] = ()

    def clamped_to(self, zxid: int) -> RolloutRecord:
        """Lower each zxid that is above that of the transaction which has written this record.

        Such a zxid is of another history: the record was restored from a dump.  A failed version
        counts as failed up to now.  It must not make anything out of date, so its scope is left
        out.
        """
        versions = {
            digest: replace(state, zxid=zxid, scope="")
            for digest, state in self.versions.items()
            if state.zxid > zxid
        }
        in_flight = {
            name: replace(entry, zxid=zxid)
            for name, entry in self.in_flight.items()
            if entry.zxid > zxid
        }
        if not versions and not in_flight:
            return self
        return replace(
            self,
            in_flight={**self.in_flight, **in_flight},
            versions={**self.versions, **versions},
        )

    def has_known_good(self, scope: str) -> bool:
        """Whether any version of this scope is known good."""
        return any(v.known_good and v.scope in (scope, "") for v in self.versions.values())

    def failure_of(self, version: ConfigVersion) -> VersionState | None:
        """Return the failure that blocks this version, None if none does.

        After the znode of restarts was deleted, the same contents have another digest than when
        they were tried.  So the latest trial of the same contents counts.
        """
        own = self.versions.get(version.digest)
        if own is not None and own.known_good and not own.failed_by:
            return None
        latest = _latest(
            state
            for digest, state in self.versions.items()
            if state.zxid >= version.last_written and is_same_contents(digest, version.digest)
        )
        return latest if latest is not None and latest.failed_by else None

    def is_known_good(self, version: ConfigVersion) -> bool:
        """Whether the command of some member was healthy on this version at any time."""
        state = self.versions.get(version.digest)
        return state is not None and state.known_good and not self._is_retry(version)

    def knows_newer(self, version: ConfigVersion) -> bool:
        """Whether the group has a newer version of the same znodes."""
        # A later restart of the same contents is not newer: its zxid is lost with its znode.
        return any(
            state.scope == version.scope and state.zxid > version.zxid
            for digest, state in self.versions.items()
            if not is_same_contents(digest, version.digest)
        )

    def admit(
        self, member: str, entry: InFlightEntry, scope: str, population: int, seq: int
    ) -> RolloutRecord | Refusal:
        """Admit the head of the queue, whose queue node has the sequence number `seq`.

        `population` is the number of living members.  The entry's phase is restarting.
        """
        version = ConfigVersion(entry.digest, entry.zxid, scope, entry.written)
        if self.paused is not None:
            return Refusal.PAUSED
        if self.failure_of(version) is not None:
            return Refusal.FAILED
        others = [name for name in self.in_flight if name != member]
        allowed = self.allowed(population) if self.is_known_good(version) else 1
        if len(others) >= allowed:
            return Refusal.FULL
        return replace(self._with_entry(member, entry, version), last_admitted=seq)

    def readmit(self, member: str, entry: InFlightEntry, scope: str) -> RolloutRecord | Refusal:
        """Admit a member that is in flight to another version in the same turn.

        This takes down no further command, so max unavailable does not matter.  But only one
        member tries an untried version.
        """
        version = ConfigVersion(entry.digest, entry.zxid, scope, entry.written)
        own = self.in_flight.get(member)
        if own is None or own.token != entry.token:
            return Refusal.GONE
        if self.paused is not None:
            return Refusal.PAUSED
        if self.failure_of(version) is not None:
            return Refusal.FAILED
        others = [other for name, other in self.in_flight.items() if name != member]
        # Members that failed with it try nothing now: the first of them may try it once more.
        trying = [other for other in others if other.phase is EntryPhase.RESTARTING]
        is_tried = any(other.digest == entry.digest for other in trying)
        if is_tried and not self.is_known_good(version):
            return Refusal.FULL
        return self._with_entry(member, entry, version)

    def adopt(self, member: str, token: str) -> RolloutRecord:
        """Continue the turn of an earlier process with the same member ID.

        The earlier process was lost in flight, and this counts against its version.
        """
        entry = self.in_flight.get(member)
        if entry is None or entry.token == token:
            return self
        counted = self._with_lost_turn(member, entry)
        state, phase = counted.versions.get(entry.digest), entry.phase
        if state is not None and state.failed_by:
            phase = EntryPhase.FAILED
        adopted = replace(entry, token=token, phase=phase)
        return replace(counted, in_flight={**self.in_flight, member: adopted})

    def release(self, member: str, known_good: ConfigVersion | None) -> RolloutRecord:
        """End the member's turn, if it has one, and mark the version that it runs as known good."""
        in_flight = self.in_flight
        if member in in_flight:
            in_flight = {name: entry for name, entry in in_flight.items() if name != member}
        versions = self.versions
        if known_good is not None:
            versions = self._with_known_good(member, known_good)
        if in_flight is self.in_flight and versions is self.versions:
            return self
        return replace(self, in_flight=in_flight, versions=versions)

    def mark_known_good(self, member: str, known_good: ConfigVersion) -> RolloutRecord:
        """Mark a version as known good that a member runs without a turn."""
        versions = self._with_known_good(member, known_good)
        return self if versions is self.versions else replace(self, versions=versions)

    def fail(
        self, member: str, token: str, version: ConfigVersion, reason: str, step: str = ""
    ) -> RolloutRecord:
        """Record that the version failed on the member; the member's entry, if any, stays."""
        known = self.versions.get(version.digest, VersionState(version.zxid, version.scope))
        entry = self.in_flight.get(member)
        # The member may have been readmitted to a newer version, which has not failed.
        owns = entry is not None and (entry.token, entry.digest) == (token, version.digest)
        is_recorded = member in known.failed_by and known.zxid >= version.zxid
        if is_recorded and (not owns or (entry and entry.phase is EntryPhase.FAILED)):
            return self
        state = replace(
            known,
            zxid=max(known.zxid, version.zxid),
            failed_by=tuple(dict.fromkeys((*known.failed_by, member))),
            reason=reason,
            step=step,
            at=AS_COMMITTED,
        )
        in_flight = self.in_flight
        if owns and entry is not None:
            failed = replace(entry, phase=EntryPhase.FAILED, since=AS_COMMITTED)
            in_flight = {**in_flight, member: failed}
        return replace(self, in_flight=in_flight, versions={**self.versions, version.digest: state})

    def enter_failed(self, member: str, token: str, version: ConfigVersion) -> RolloutRecord:
        """Enter a member whose version failed before this record existed.

        It has its turn again, as before.  Its command may be down, so it counts whatever max
        unavailable is.
        """
        if member in self.in_flight:
            return self
        entry = InFlightEntry(token, version.digest, version.zxid, EntryPhase.FAILED)
        return replace(self, in_flight={**self.in_flight, member: entry})

    def reclaim(self, member: str, token: str) -> RolloutRecord:
        """End the turn of a missing member; the lost turn counts against its version."""
        entry = self.in_flight.get(member)
        if entry is None or entry.token != token:
            return self
        counted = self._with_lost_turn(member, entry)
        return counted.release(member, None)

    def with_max_unavailable(
        self, member: str, requested: MaxUnavailable, population: int, is_requester_alive: bool
    ) -> RolloutRecord:
        """Return the record after a member's request for a max unavailable, by `agreed`."""
        known, own = self.max_unavailable, AgreedMaxUnavailable(requested, member)
        found = agreed(known, own, population, is_requester_alive)
        return self if found == known else replace(self, max_unavailable=found)

    def allowed(self, population: int) -> int:
        """Return how many members may be in flight with a known good version."""
        return self.max_unavailable.limit.of(population) if self.max_unavailable else 1

    def _is_retry(self, version: ConfigVersion) -> bool:
        state = self.versions.get(version.digest)
        return state is not None and bool(state.failed_by) and version.last_written > state.zxid

    def _with_entry(
        self, member: str, entry: InFlightEntry, version: ConfigVersion
    ) -> RolloutRecord:
        """Enter the member, and drop the failures of versions that no member can want any more."""
        in_flight = {**self.in_flight, member: entry}
        wanted = {other.digest for other in in_flight.values()}
        # Until the restarted contents are known good, the failure before the restart applies.
        failure = _latest(
            state
            for digest, state in self.versions.items()
            if state.failed_by and is_same_contents(digest, version.digest)
        )
        versions = {
            digest: state
            for digest, state in self.versions.items()
            if state.known_good
            or digest in wanted
            or state is failure
            or not _is_older(state, version)
        }
        known = self.versions.get(version.digest)
        if known is None:
            versions[version.digest] = VersionState(version.zxid, version.scope)
        elif version.zxid > known.zxid:
            newer = replace(known, zxid=version.zxid, scope=version.scope)
            if known.failed_by and version.last_written > known.zxid:
                newer = VersionState(version.zxid, version.scope)
            versions[version.digest] = newer
        return replace(self, in_flight=in_flight, versions=versions)

    def _with_known_good(self, member: str, version: ConfigVersion) -> Mapping[str, VersionState]:
        new = VersionState(version.zxid, version.scope, known_good=True)
        known = self.versions.get(version.digest, new)
        failed_by = tuple(name for name in known.failed_by if name != member)
        is_known = version.digest in self.versions and known.known_good
        if is_known and failed_by == known.failed_by:
            return self.versions
        zxid = max(version.zxid, known.zxid)
        # Keep counting lost turns: a version that kills every second member must not roll on.
        state = replace(new, zxid=zxid, lost_turns=known.lost_turns)
        if failed_by:
            state = replace(known, known_good=True, failed_by=failed_by, zxid=zxid)
        in_flight = {entry.digest for entry in self.in_flight.values()}
        kept = _without_outdated(self.versions, version, in_flight)
        return {**kept, version.digest: state}

    def _with_lost_turn(self, member: str, entry: InFlightEntry) -> RolloutRecord:
        if entry.phase is EntryPhase.FAILED:
            return self
        known = self.versions.get(entry.digest, VersionState(entry.zxid, ""))
        lost = known.lost_turns + 1
        state = replace(known, lost_turns=lost)
        if lost >= LOST_TURNS_THAT_FAIL:
            state = replace(
                state,
                failed_by=tuple(dict.fromkeys((*known.failed_by, member))),
                reason=f"{lost} turns with this version were lost, the last one by {member}",
                step="",
                zxid=max(known.zxid, entry.zxid),
                at=AS_COMMITTED,
            )
        return replace(self, versions={**self.versions, entry.digest: state})


def _latest(states: Iterable[VersionState]) -> VersionState | None:
    """Return the latest result of a trial; of two with the same zxid, the failure."""
    decided = [state for state in states if state.failed_by or state.known_good]
    return max(decided, key=lambda known: (known.zxid, bool(known.failed_by)), default=None)


def _is_older(state: VersionState, version: ConfigVersion) -> bool:
    """Whether the version, once admitted, makes the version of this state out of date."""
    # A state without a scope may be about the same znodes.
    return state.scope in (version.scope, "") and state.zxid < version.zxid


def _without_outdated(
    versions: Mapping[str, VersionState], version: ConfigVersion, in_flight: Collection[str]
) -> dict[str, VersionState]:
    """Drop the older versions, except those in flight and the newest known good one.

    While the new version may still fail on some member, the others run the version before it.
    When they start, they have to know that it is known good.
    """
    older = [digest for digest, state in versions.items() if _is_older(state, version)]
    known_good = [digest for digest in older if versions[digest].known_good]
    newest = max(known_good, key=lambda digest: versions[digest].zxid, default="")
    dropped = {digest for digest in older if digest != newest and digest not in in_flight}
    return {digest: state for digest, state in versions.items() if digest not in dropped}
