"""What a member knows of its group: who is in flight, and what is known of each version.

The decisions are in the znode `state`.  Each member in flight and each failure has a znode of its
own, so that members do not wait for each other when they release a turn or fail.  A member knows
all decisions, its own entry and how many others are in flight; it knows their entries only after
a survey.

Each method returns a new record, the same object if nothing changes, or a Refusal with its reason.
The caller commits the difference against the versions of the znodes that it has read.

A failed version is blocked up to the zxid at which it failed.  If the same bytes are written
again, their last write has a greater zxid: this is a deliberate retry.
"""

from __future__ import annotations

from zkexec.core.policy import MaxFailed, MaxUnavailable
from zkexec.core.rollout.limits import (
    AgreedMaxFailed,
    AgreedMaxUnavailable,
    Population,
    agreed_max_failed,
    agreed_max_unavailable,
)
from zkexec.core.rollout.version import ConfigVersion, is_same_contents
from zkexec.core.rollout.version_state import (
    AS_COMMITTED,
    VersionState,
    is_older,
    latest,
    without_outdated,
)
from zkexec.enumeration import Enum
from zkexec.frozen import frozen, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


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


class EntryPhase(Enum):
    """How far a member in flight has come."""

    RESTARTING = "restarting"
    FAILED = "failed"


@frozen(uncompared=("written",))
class InFlightEntry:
    """A member in flight; `token` is random for each admission, `since` in seconds of the epoch.

    `admission` is the number of the admission in which it was admitted.  `written` is that of the
    version, if this is a new entry: the znode does not contain it.
    """

    token: str
    digest: str
    zxid: int
    phase: EntryPhase = EntryPhase.RESTARTING
    since: float = AS_COMMITTED
    written: int = -1
    zone: str = ""
    admission: int = 0


@frozen()
class Pause:
    """An operator's decision that no member is admitted."""

    by: str
    reason: str
    at: float = AS_COMMITTED


@frozen()
class HeldAgain:
    """A known good version that was pushed once more with a hold, so that the hold is about it.

    `succeeded` turns with its contents had ended well before.
    """

    digest: str
    succeeded: int


@frozen()
class Hold:
    """An operator's limit on how many members may get a pushed version before its approval.

    `after` is this number.  The hold is about all versions but those that were `known_good` when
    it was written; those in `again` are left out of them.  `token` is that of the push whose undo
    ends it, "" if there is none.
    """

    after: MaxUnavailable
    by: str
    reason: str
    known_good: tuple[str, ...] = ()
    at: float = AS_COMMITTED
    token: str = ""
    again: tuple[HeldAgain, ...] = ()

    def approves(self, version: ConfigVersion) -> bool:
        """Whether these contents were known good when the hold was written."""
        return any(is_same_contents(version.digest, digest) for digest in self.known_good)


@frozen()
class ActingHead:
    """The waiting member that admits the others; `number` is that of its queue node."""

    member: str
    number: int
    since: float = AS_COMMITTED


class Refusal(Enum):
    """Why a member is not admitted now."""

    FAILED = "failed"
    """The version that it wants has failed."""
    PAUSED = "paused"
    """An operator has paused the group."""
    HELD = "held"
    """As many members have the version as the hold on it allows."""
    FULL = "full"
    """As many members are in flight as are allowed."""
    ZONE = "zone"
    """Members of another zone are in flight."""
    OUTDATED = "outdated"
    """The group has a newer version, which the member has not read yet."""
    GONE = "gone"
    """The member's entry does not exist any more."""


@frozen(uncompared=("in_flight_count", "population", "unavailable"))
class RolloutRecord:
    """The record; `last_admitted` is the number of the queue node of the head admitted last.

    After an admission of several members it is -1.  `admissions` counts them.  `zone` is that of
    the members in flight.  `audit` lists what operators did.  It is shown to people and decides
    nothing.

    The last three fields are in no znode: they are how many members are in flight, how many are
    alive, and which are `unavailable`, at the moment of the read.
    """

    in_flight: Mapping[str, InFlightEntry] = {}
    versions: Mapping[str, VersionState] = {}
    max_unavailable: AgreedMaxUnavailable | None = None
    paused: Pause | None = None
    last_admitted: int = -1
    audit: tuple[AuditEntry, ...] = ()
    max_failed: AgreedMaxFailed | None = None
    hold: Hold | None = None
    zone: str = ""
    head: ActingHead | None = None
    admissions: int = 0
    in_flight_count: int = 0
    population: Population = Population()
    unavailable: frozenset[str] = frozenset()

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
        return replace(self, versions={**self.versions, **versions}) if versions else self

    @property
    def tolerated(self) -> int:
        """On how many members a version may fail, once enough have succeeded."""
        limit = self.max_failed.limit if self.max_failed else MaxFailed()
        return limit.of(self.population.members)

    def others_in_flight(self, member: str) -> int:
        """Return how many other members are in flight."""
        return max(self.in_flight_count, len(self.in_flight)) - (member in self.in_flight)

    def has_known_good(self, scope: str) -> bool:
        """Whether any version of this scope is known good."""
        return any(v.known_good and v.scope in (scope, "") for v in self.versions.values())

    def failure_of(self, version: ConfigVersion) -> VersionState | None:
        """Return the failure that blocks this version, None if none does.

        After the znode of restarts was deleted, the same contents have another digest than when
        they were tried.  So the latest trial of the same contents counts.
        """
        own, tolerated = self.versions.get(version.digest), self.tolerated
        if own is not None and own.known_good and not own.has_failed(tolerated):
            return None
        last = latest(
            state
            for digest, state in self.versions.items()
            if state.zxid >= version.last_written and is_same_contents(digest, version.digest)
        )
        return last if last is not None and last.has_failed(tolerated) else None

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

    def is_held(self, version: ConfigVersion, member: str) -> bool:
        """Whether a hold keeps one more member from this version.

        Every member in flight counts as one that has it: the entries of the others are not known.
        """
        if self.hold is None or self.hold.approves(version):
            return False
        limit = self.hold.after.of(self.population.members)
        return self.ended_well(version) + self.others_in_flight(member) >= limit

    def ended_well(self, version: ConfigVersion) -> int:
        """Return how many turns with these contents ended well, if they are held since the hold.

        A retry, or a requested restart, does not make other contents of them.
        """
        count = sum(
            state.succeeded + state.succeeded_before
            for digest, state in self.versions.items()
            if is_same_contents(digest, version.digest)
        )
        again = () if self.hold is None else self.hold.again
        before = [one.succeeded for one in again if is_same_contents(one.digest, version.digest)]
        # If the record has forgotten the version meanwhile, the turns were counted from 0 on.
        return count - before[0] if before and count >= before[0] else count

    def admit(
        self, member: str, entry: InFlightEntry, scope: str, seq: int = -1
    ) -> RolloutRecord | Refusal:
        """Admit a member; `seq` is the number of its queue node if it admits itself alone.

        The entry's phase is restarting.
        """
        version = ConfigVersion(entry.digest, entry.zxid, scope, entry.written)
        if self.paused is not None:
            return Refusal.PAUSED
        if self.failure_of(version) is not None:
            return Refusal.FAILED
        if self.is_held(version, member):
            return Refusal.HELD
        others = self.others_in_flight(member)
        if others and entry.zone != self.zone:
            return Refusal.ZONE
        # A member that is unavailable takes up its place already.
        ill = 0 if member in self.unavailable else len(self.unavailable)
        is_full = others + ill >= self.max_in_flight(entry.zone)
        if is_full or others >= self.allowed(version, entry.zone):
            return Refusal.FULL
        entered = self._with_entry(member, replace(entry, admission=self.admissions + 1), version)
        return replace(
            entered, last_admitted=seq, admissions=self.admissions + 1, zone=entry.zone, head=None
        )

    def readmit(self, member: str, entry: InFlightEntry, scope: str) -> RolloutRecord | Refusal:
        """Admit a member that is in flight to another version in the same turn.

        This takes down no further command, so max unavailable does not matter.  But only one
        member tries an untried version, and a hold counts.  All entries must be known, unless the
        version is known good and not held.
        """
        version = ConfigVersion(entry.digest, entry.zxid, scope, entry.written)
        own = self.in_flight.get(member)
        if own is None or own.token != entry.token:
            return Refusal.GONE
        if self.paused is not None:
            return Refusal.PAUSED
        if self.failure_of(version) is not None:
            return Refusal.FAILED
        if self._is_held_in_flight(version, member):
            return Refusal.HELD
        others = [other for name, other in self.in_flight.items() if name != member]
        # Members that failed with it try nothing now: the first of them may try it once more.
        trying = [other for other in others if other.phase is EntryPhase.RESTARTING]
        is_tried = any(other.digest == entry.digest for other in trying)
        if is_tried and not self.is_known_good(version):
            return Refusal.FULL
        kept = replace(entry, zone=own.zone, admission=own.admission)
        return self._with_entry(member, kept, version)

    def needs_survey(self, version: ConfigVersion) -> bool:
        """Whether a readmission to this version depends on the entries of the others."""
        is_held = self.hold is not None and not self.hold.approves(version)
        return is_held or not self.is_known_good(version)

    def _is_held_in_flight(self, version: ConfigVersion, member: str) -> bool:
        """Decide as `is_held`, if all entries are known."""
        known = {
            name: entry for name, entry in self.in_flight.items() if entry.digest == version.digest
        }
        return replace(self, in_flight=known, in_flight_count=0).is_held(version, member)

    def adopt(self, member: str, token: str) -> RolloutRecord:
        """Continue the turn of an earlier process with the same member ID.

        The earlier process was lost in flight, and this counts against its version.
        """
        entry = self.in_flight.get(member)
        if entry is None or entry.token == token:
            return self
        counted = self._with_lost_turn(member, entry)
        state, phase = counted.versions.get(entry.digest), entry.phase
        if state is not None and state.has_failed(counted.tolerated):
            phase = EntryPhase.FAILED
        adopted = replace(entry, token=token, phase=phase)
        return replace(
            self._with_in_flight({**self.in_flight, member: adopted}), versions=counted.versions
        )

    def release(self, member: str, known_good: ConfigVersion | None) -> RolloutRecord:
        """End the member's turn, if it has one, and mark the version that it runs as known good."""
        entry = self.in_flight.get(member)
        in_flight = self.in_flight
        if entry is not None:
            in_flight = {name: other for name, other in in_flight.items() if name != member}
        versions = self.versions
        if known_good is not None:
            is_tried = entry is not None and entry.digest == known_good.digest
            versions = self._with_known_good(member, known_good, succeeded=is_tried)
        if in_flight is self.in_flight and versions is self.versions:
            return self
        return replace(self._with_in_flight(in_flight), versions=versions)

    def mark_known_good(self, member: str, known_good: ConfigVersion) -> RolloutRecord:
        """Mark a version as known good that a member runs without a turn."""
        versions = self._with_known_good(member, known_good, succeeded=False)
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
        state = known.with_failure(member, version.zxid, reason, step)
        versions = {**self.versions, version.digest: state}
        if not owns or entry is None:
            return replace(self, versions=versions)
        own = replace(entry, phase=EntryPhase.FAILED, since=AS_COMMITTED)
        return replace(self._with_in_flight({**self.in_flight, member: own}), versions=versions)

    def enter_failed(
        self, member: str, token: str, version: ConfigVersion, zone: str = ""
    ) -> RolloutRecord:
        """Enter a member whose version failed before this record existed.

        It has its turn again, as before.  Its command may be down, so it counts whatever max
        unavailable is.  If it is the only one in flight, its zone is the one that is open.
        """
        if member in self.in_flight:
            return self
        entry = InFlightEntry(token, version.digest, version.zxid, EntryPhase.FAILED, zone=zone)
        entered = self._with_in_flight({**self.in_flight, member: entry})
        return entered if self.others_in_flight(member) else replace(entered, zone=zone)

    def reclaim(self, member: str, token: str) -> RolloutRecord:
        """End the turn of a missing member; the lost turn counts against its version."""
        entry = self.in_flight.get(member)
        if entry is None or entry.token != token:
            return self
        counted = self._with_lost_turn(member, entry)
        return counted.release(member, None)

    def with_limits(
        self,
        member: str,
        zone: str,
        max_unavailable: MaxUnavailable,
        max_failed: MaxFailed,
        *,
        alive: Collection[str],
    ) -> RolloutRecord:
        """Return the record after a request for limits by a member of this zone.

        `alive` are the living ones of the members that requested the present limits.
        """
        unavailable = agreed_max_unavailable(
            self.max_unavailable,
            AgreedMaxUnavailable(max_unavailable, member),
            self.population,
            zone,
            is_requester_alive=self.max_unavailable is not None
            and self.max_unavailable.by in alive,
        )
        failed = agreed_max_failed(
            self.max_failed,
            AgreedMaxFailed(max_failed, member),
            self.population,
            is_requester_alive=self.max_failed is not None and self.max_failed.by in alive,
        )
        if (unavailable, failed) == (self.max_unavailable, self.max_failed):
            return self
        return replace(self, max_unavailable=unavailable, max_failed=failed)

    def max_in_flight(self, zone: str) -> int:
        """Return the max unavailable as a number, if the members in flight are of this zone."""
        if self.max_unavailable is None:
            return 1
        return self.population.allowed_by(self.max_unavailable.limit, zone)

    def allowed(self, version: ConfigVersion, zone: str = "") -> int:
        """Return how many members may be in flight if one more is admitted to this version.

        An untried version is tried by one member alone.  Then at most twice as many are in flight
        as have succeeded.
        """
        if not self.is_known_good(version):
            return 1
        state = self.versions[version.digest]
        return min(self.max_in_flight(zone), max(1, 2 * state.succeeded))

    def _is_retry(self, version: ConfigVersion) -> bool:
        """Whether a version that has failed is tried once more, by one member alone.

        A failure that is tolerated makes the version no worse: its member tries again as any other.
        """
        state = self.versions.get(version.digest)
        has_failed = state is not None and state.has_failed(self.tolerated)
        return state is not None and has_failed and version.last_written > state.zxid

    def _with_in_flight(self, in_flight: Mapping[str, InFlightEntry]) -> RolloutRecord:
        """Return the record with other known entries, and as many more or fewer in flight."""
        known = max(self.in_flight_count, len(self.in_flight))
        count = known + len(in_flight) - len(self.in_flight)
        return replace(self, in_flight=in_flight, in_flight_count=count)

    def _with_entry(
        self, member: str, entry: InFlightEntry, version: ConfigVersion
    ) -> RolloutRecord:
        """Enter the member, and drop the failures of versions that no member can want any more."""
        in_flight = {**self.in_flight, member: entry}
        wanted = {other.digest for other in in_flight.values()}
        # Until the restarted contents are known good, the failure before the restart applies.
        failure = latest(
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
            or not is_older(state, version)
        }
        known = self.versions.get(version.digest)
        if known is None:
            versions[version.digest] = VersionState(version.zxid, version.scope)
        elif version.zxid > known.zxid:
            newer = replace(known, zxid=version.zxid, scope=version.scope)
            if self._is_retry(version):
                before = known.succeeded + known.succeeded_before
                newer = VersionState(version.zxid, version.scope, succeeded_before=before)
            elif version.last_written > known.zxid:
                newer = newer.without_failure(member)
            versions[version.digest] = newer
        return replace(self._with_in_flight(in_flight), versions=versions)

    def _with_known_good(
        self, member: str, version: ConfigVersion, *, succeeded: bool
    ) -> Mapping[str, VersionState]:
        new = VersionState(version.zxid, version.scope, known_good=True)
        known = self.versions.get(version.digest, new)
        recovered = known.without_failure(member)
        is_known = version.digest in self.versions and known.known_good
        if is_known and not succeeded and recovered.failed_by == known.failed_by:
            return self.versions
        # Keep counting lost turns: a version that kills every second member must not roll on.
        state = replace(
            recovered,
            known_good=True,
            zxid=max(version.zxid, known.zxid),
            succeeded=known.succeeded + succeeded,
        )
        if not state.failed_by:
            state = replace(state, scope=version.scope, reason="", step="", at=AS_COMMITTED)
        if is_known:
            return {**self.versions, version.digest: state}
        in_flight = {entry.digest for entry in self.in_flight.values()}
        kept = without_outdated(self.versions, version, in_flight)
        return {**kept, version.digest: state}

    def _with_lost_turn(self, member: str, entry: InFlightEntry) -> RolloutRecord:
        if entry.phase is EntryPhase.FAILED:
            return self
        known = self.versions.get(entry.digest, VersionState(entry.zxid, ""))
        if known.is_same_loss(entry.zone, entry.admission):
            return self
        state = known.with_lost_turn(member, entry.zxid, entry.zone, self.admissions)
        return replace(self, versions={**self.versions, entry.digest: state})
