"""The group's record as a value: who is in flight, what is proven, what has failed.

The record is the only place of decisions, and it outlives every member.  Each function gives a
new record, the same object where there is nothing to change, or a Refusal with its reason; it
is the business of others that a new record is committed against the version that was read.

A failed verdict blocks a snapshot up to the revision at which it failed; the same bytes pushed
again have a greater one and are a deliberate retry.
"""

from collections.abc import Collection, Iterable, Mapping
from enum import Enum

from zkexec.core.policy import MaxUnavailable
from zkexec.core.rollout.version import ConfigVersion, is_same_contents
from zkexec.frozen import frozen, replace


@frozen()
class AgreedMaxUnavailable:
    """The width in force, and the member that asked for it."""

    limit: MaxUnavailable
    by: str


def agreed(
    known: AgreedMaxUnavailable | None,
    asked: AgreedMaxUnavailable,
    population: int,
    asker_lives: bool,
) -> AgreedMaxUnavailable:
    """The width after a member has asked for its own; `asker_lives` is about the known one's."""
    if known is None or known.by == asked.by or not asker_lives:
        return asked
    smaller = asked.limit.of(population) < known.limit.of(population)
    return asked if smaller else known


MOST_AUDIT_ENTRIES = 10
"""So many are kept, the newest last."""


@frozen()
class AuditEntry:
    """One verb of an operator; `member` is the member that it was about, or "".

    `at` is in seconds of the epoch.  The token is random: by it an operator whose reply was lost
    finds out that the deed was done.
    """

    verb: str
    by: str
    reason: str
    token: str
    member: str = ""
    at: float = 0.0


AS_COMMITTED = 0.0
"""Stands for the time of the commit in a record that is still to be written."""

LOST_TURNS_THAT_FAIL = 2
"""So many members lost in flight with one snapshot condemn it: it may be what kills them."""


class EntryPhase(Enum):
    """How far a member in flight has come."""

    RESTARTING = "restarting"
    FAILED = "failed"


@frozen()
class InFlightEntry:
    """A member in flight; `token` is random for each admission, `since` in seconds of the epoch."""

    token: str
    digest: str
    zxid: int
    phase: EntryPhase = EntryPhase.RESTARTING
    since: float = AS_COMMITTED


@frozen()
class VersionState:
    """What is known of one snapshot up to a revision; `at` in seconds of the epoch."""

    zxid: int
    scope: str
    known_good: bool = False
    failed_by: tuple[str, ...] = ()
    lost_turns: int = 0
    reason: str = ""
    at: float = AS_COMMITTED


@frozen()
class Pause:
    """An operator's word that nobody is to be admitted."""

    by: str
    reason: str
    at: float = AS_COMMITTED


class Refusal(Enum):
    """Why a member is not admitted now."""

    FAILED = "failed"
    """What it wants has failed before."""
    PAUSED = "paused"
    """An operator has paused the group."""
    FULL = "full"
    """As many are in flight as may be."""
    OUTDATED = "outdated"
    """The group has gone on, and what it wants is only what it saw last."""
    GONE = "gone"
    """Its entry is not there any more."""


@frozen()
class RolloutRecord:
    """The record; `last_admitted` is the sequence number of the queue node admitted last.

    The `audit` of operators are told to those who look, and decide nothing.
    """

    in_flight: Mapping[str, InFlightEntry] = {}
    versions: Mapping[str, VersionState] = {}
    max_unavailable: AgreedMaxUnavailable | None = None
    paused: Pause | None = None
    last_admitted: int = -1
    audit: tuple[AuditEntry, ...] = ()

    def believed(self, zxid: int) -> "RolloutRecord":
        """The record without the revisions above the transaction that has written it.

        They are of another history: the record was restored from a dump.  What has failed counts
        as failed up to now, and nothing is out of date by such a verdict, whose scope is left out.
        """
        versions = {
            digest: replace(version_state, zxid=zxid, scope="")
            for digest, version_state in self.versions.items()
            if version_state.zxid > zxid
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
        """Whether anything of this scope is proven."""
        return any(v.known_good and v.scope in (scope, "") for v in self.versions.values())

    def blocking(self, target: ConfigVersion) -> VersionState | None:
        """The verdict that stands against this target, if there is one.

        If the znode of restarts was deleted, the same contents are wanted by other names than
        they were tried by later: the latest of these trials counts.
        """
        own = self.versions.get(target.digest)
        if own is not None and own.known_good and not own.failed_by:
            return None
        latest = _latest(
            version_state
            for digest, version_state in self.versions.items()
            if version_state.zxid >= target.zxid and is_same_contents(digest, target.digest)
        )
        return latest if latest is not None and latest.failed_by else None

    def is_known_good(self, target: ConfigVersion) -> bool:
        """Whether a member has been healthy on this content, whenever it was."""
        version_state = self.versions.get(target.digest)
        return version_state is not None and version_state.known_good and not self._is_retry(target)

    def knows_newer(self, target: ConfigVersion) -> bool:
        """Whether the group has gone on to later contents of the same znodes."""
        # A later restart of the same contents is none: its revision is lost with its znode.
        return any(
            version_state.scope == target.scope and version_state.zxid > target.zxid
            for digest, version_state in self.versions.items()
            if not is_same_contents(digest, target.digest)
        )

    def admit(
        self, member: str, entry: InFlightEntry, scope: str, population: int, seq: int
    ) -> "RolloutRecord | Refusal":
        """Take the head of the queue, which holds the place `seq`, into flight.

        `population` is the number of members alive.  The entry's phase is restarting.
        """
        target = ConfigVersion(entry.digest, entry.zxid, scope)
        if self.paused is not None:
            return Refusal.PAUSED
        if self.blocking(target) is not None:
            return Refusal.FAILED
        others = [name for name in self.in_flight if name != member]
        allowed = self.allowed(population) if self.is_known_good(target) else 1
        if len(others) >= allowed:
            return Refusal.FULL
        return replace(self._with_entry(member, entry, target), last_admitted=seq)

    def readmit(self, member: str, entry: InFlightEntry, scope: str) -> "RolloutRecord | Refusal":
        """Let a member that is in flight already go on to another target in the same turn.

        It takes no one else down, so the width does not matter; but what nobody has proven is
        tried by one member alone.
        """
        target = ConfigVersion(entry.digest, entry.zxid, scope)
        held = self.in_flight.get(member)
        if held is None or held.token != entry.token:
            return Refusal.GONE
        if self.paused is not None:
            return Refusal.PAUSED
        if self.blocking(target) is not None:
            return Refusal.FAILED
        others = [other for name, other in self.in_flight.items() if name != member]
        # Who has failed with it tries nothing now: of those one is the first to try it once more.
        trying = [other for other in others if other.phase is EntryPhase.RESTARTING]
        if any(other.digest == entry.digest for other in trying) and not self.is_known_good(target):
            return Refusal.FULL
        return self._with_entry(member, entry, target)

    def adopt(self, member: str, token: str) -> "RolloutRecord":
        """Take over the entry that an earlier incarnation of this member left behind.

        That the incarnation was lost in flight counts against the snapshot.
        """
        entry = self.in_flight.get(member)
        if entry is None or entry.token == token:
            return self
        counted = self._count_loss(member, entry)
        version_state, phase = counted.versions.get(entry.digest), entry.phase
        if version_state is not None and version_state.failed_by:
            phase = EntryPhase.FAILED
        adopted = replace(entry, token=token, phase=phase)
        return replace(counted, in_flight={**self.in_flight, member: adopted})

    def release(self, member: str, known_good: ConfigVersion | None) -> "RolloutRecord":
        """End the member's turn, if it has one, and count what it runs as proven."""
        in_flight = self.in_flight
        if member in in_flight:
            in_flight = {name: entry for name, entry in in_flight.items() if name != member}
        versions = self.versions if known_good is None else self._with_proof(member, known_good)
        if in_flight is self.in_flight and versions is self.versions:
            return self
        return replace(self, in_flight=in_flight, versions=versions)

    def report_known_good(self, member: str, known_good: ConfigVersion) -> "RolloutRecord":
        """Count a snapshot as proven that a member runs without having had a turn for it."""
        versions = self._with_proof(member, known_good)
        return self if versions is self.versions else replace(self, versions=versions)

    def fail(self, member: str, token: str, target: ConfigVersion, reason: str) -> "RolloutRecord":
        """Record that the target failed on the member, whose entry stays if it is still there."""
        known = self.versions.get(target.digest, VersionState(target.zxid, target.scope))
        entry = self.in_flight.get(member)
        # The turn may have gone over to something newer, which has not failed.
        owns = entry is not None and (entry.token, entry.digest) == (token, target.digest)
        is_told = member in known.failed_by and known.zxid >= target.zxid
        if is_told and (not owns or (entry and entry.phase is EntryPhase.FAILED)):
            return self
        version_state = replace(
            known,
            zxid=max(known.zxid, target.zxid),
            failed_by=tuple(dict.fromkeys((*known.failed_by, member))),
            reason=reason,
            at=AS_COMMITTED,
        )
        in_flight = self.in_flight
        if owns and entry is not None:
            failed = replace(entry, phase=EntryPhase.FAILED, since=AS_COMMITTED)
            in_flight = {**in_flight, member: failed}
        return replace(
            self, in_flight=in_flight, versions={**self.versions, target.digest: version_state}
        )

    def rejoin(self, member: str, token: str, target: ConfigVersion) -> "RolloutRecord":
        """Enter a member that is down after a failure of which this record knew nothing.

        It has its turn as it had before: whoever is down counts, whatever the width is.
        """
        if member in self.in_flight:
            return self
        entry = InFlightEntry(token, target.digest, target.zxid, EntryPhase.FAILED)
        return replace(self, in_flight={**self.in_flight, member: entry})

    def reclaim(self, member: str, token: str) -> "RolloutRecord":
        """Take back the turn of a member that is gone; its loss counts against the snapshot."""
        entry = self.in_flight.get(member)
        if entry is None or entry.token != token:
            return self
        counted = self._count_loss(member, entry)
        return counted.release(member, None)

    def agree(
        self, member: str, max_unavailable: MaxUnavailable, population: int, asker_lives: bool
    ) -> "RolloutRecord":
        """Let a member say what width it asks for; the rule is that of `width.agreed`."""
        known = self.max_unavailable
        found = agreed(
            known, AgreedMaxUnavailable(max_unavailable, member), population, asker_lives
        )
        return self if found == known else replace(self, max_unavailable=found)

    def allowed(self, population: int) -> int:
        """How many may be in flight with a proven snapshot."""
        return self.max_unavailable.limit.of(population) if self.max_unavailable else 1

    def _is_retry(self, target: ConfigVersion) -> bool:
        version_state = self.versions.get(target.digest)
        return (
            version_state is not None
            and bool(version_state.failed_by)
            and (target.zxid > version_state.zxid)
        )

    def _with_entry(
        self, member: str, entry: InFlightEntry, target: ConfigVersion
    ) -> "RolloutRecord":
        """Enter the member, and forget the verdicts that nobody can ask for any more."""
        in_flight = {**self.in_flight, member: entry}
        wanted = {other.digest for other in in_flight.values()}
        # Until the restarted contents are proven, the failure before the restart holds.
        failure = _latest(
            version_state
            for digest, version_state in self.versions.items()
            if version_state.failed_by and is_same_contents(digest, target.digest)
        )
        versions = {
            digest: version_state
            for digest, version_state in self.versions.items()
            if version_state.known_good
            or digest in wanted
            or version_state is failure
            or not _is_older(version_state, target)
        }
        known = self.versions.get(target.digest)
        if known is None:
            versions[target.digest] = VersionState(target.zxid, target.scope)
        elif target.zxid > known.zxid:
            fresh = replace(known, zxid=target.zxid, scope=target.scope)
            if known.failed_by:
                fresh = VersionState(target.zxid, target.scope)
            versions[target.digest] = fresh
        return replace(self, in_flight=in_flight, versions=versions)

    def _with_proof(self, member: str, target: ConfigVersion) -> Mapping[str, VersionState]:
        fresh = VersionState(target.zxid, target.scope, known_good=True)
        known = self.versions.get(target.digest, fresh)
        failed_by = tuple(name for name in known.failed_by if name != member)
        if target.digest in self.versions and known.known_good and failed_by == known.failed_by:
            return self.versions
        zxid = max(target.zxid, known.zxid)
        # Others that live do not make up for a loss: what kills every second must not walk on.
        proof = replace(fresh, zxid=zxid, lost_turns=known.lost_turns)
        if failed_by:
            proof = replace(known, known_good=True, failed_by=failed_by, zxid=zxid)
        in_flight = {entry.digest for entry in self.in_flight.values()}
        kept = _without_outdated(self.versions, target, in_flight)
        return {**kept, target.digest: proof}

    def _count_loss(self, member: str, entry: InFlightEntry) -> "RolloutRecord":
        if entry.phase is EntryPhase.FAILED:
            return self
        known = self.versions.get(entry.digest, VersionState(entry.zxid, ""))
        lost = known.lost_turns + 1
        version_state = replace(known, lost_turns=lost)
        if lost >= LOST_TURNS_THAT_FAIL:
            version_state = replace(
                version_state,
                failed_by=tuple(dict.fromkeys((*known.failed_by, member))),
                reason=f"lost {lost} times in the middle of a restart, the last time {member}",
                zxid=max(known.zxid, entry.zxid),
                at=AS_COMMITTED,
            )
        return replace(self, versions={**self.versions, entry.digest: version_state})


def _latest(versions: Iterable[VersionState]) -> VersionState | None:
    """Of these verdicts the latest that says anything; of two at one revision the failure."""
    decided = [
        version_state
        for version_state in versions
        if version_state.failed_by or version_state.known_good
    ]
    return max(decided, key=lambda known: (known.zxid, bool(known.failed_by)), default=None)


def _is_older(version_state: VersionState, target: ConfigVersion) -> bool:
    """Whether the admission of the target shows that this verdict's snapshot is out of date."""
    # Where it is not known what a verdict was about, it may have been about the same znodes.
    return version_state.scope in (target.scope, "") and version_state.zxid < target.zxid


def _without_outdated(
    versions: Mapping[str, VersionState], target: ConfigVersion, in_flight: Collection[str]
) -> dict[str, VersionState]:
    """Keep what is in flight, and of the older proofs the newest one.

    As long as the target may still fail somewhere, the files of the one before are what members
    run, and they have to know it for proven when they start.
    """
    older = [
        digest for digest, version_state in versions.items() if _is_older(version_state, target)
    ]
    known_good = [digest for digest in older if versions[digest].known_good]
    newest = max(known_good, key=lambda digest: versions[digest].zxid, default="")
    dropped = {digest for digest in older if digest != newest and digest not in in_flight}
    return {
        digest: version_state for digest, version_state in versions.items() if digest not in dropped
    }
