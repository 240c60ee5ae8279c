"""The group's record as a value: who is in flight, what is proven, what has failed.

The record is the only place of decisions, and it outlives every member.  Each function gives a
new record, the same object where there is nothing to change, or a Refusal with its reason; it
is the business of others that a new record is committed against the version that was read.

A failed verdict blocks a snapshot up to the revision at which it failed; the same bytes pushed
again have a greater one and are a deliberate retry.
"""

from collections.abc import Collection, Iterable, Mapping
from enum import Enum

from zkexec.core.max_unavailable import GroupWidth, Width, agreed
from zkexec.core.rollout.audit import Deed
from zkexec.core.rollout.version import Target, is_same_contents
from zkexec.frozen import replace, value

AS_COMMITTED = 0.0
"""Stands for the time of the commit in a record that is still to be written."""

LOSSES_THAT_CONDEMN = 2
"""So many members lost in flight with one snapshot condemn it: it may be what kills them."""


class EntryPhase(Enum):
    """How far a member in flight has come."""

    RESTARTING = "restarting"
    FAILED = "failed"


@value()
class Entry:
    """A member in flight; `token` is random for each admission, `since` in seconds of the epoch."""

    token: str
    digest: str
    revision: int
    phase: EntryPhase = EntryPhase.RESTARTING
    since: float = AS_COMMITTED


@value()
class Verdict:
    """What is known of one snapshot up to a revision; `at` in seconds of the epoch."""

    revision: int
    scope: str
    proven: bool = False
    failed_by: tuple[str, ...] = ()
    lost: int = 0
    reason: str = ""
    at: float = AS_COMMITTED


@value()
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


@value()
class Rollout:
    """The record; `served` is the sequence number of the queue node admitted last.

    The `deeds` of operators are told to those who look, and decide nothing.
    """

    inflight: Mapping[str, Entry] = {}
    verdicts: Mapping[str, Verdict] = {}
    width: GroupWidth | None = None
    paused: Pause | None = None
    served: int = -1
    deeds: tuple[Deed, ...] = ()

    def believed(self, zxid: int) -> "Rollout":
        """The record without the revisions above the transaction that has written it.

        They are of another history: the record was restored from a dump.  What has failed counts
        as failed up to now, and nothing is out of date by such a verdict, whose scope is left out.
        """
        verdicts = {
            digest: replace(verdict, revision=zxid, scope="")
            for digest, verdict in self.verdicts.items()
            if verdict.revision > zxid
        }
        inflight = {
            name: replace(entry, revision=zxid)
            for name, entry in self.inflight.items()
            if entry.revision > zxid
        }
        if not verdicts and not inflight:
            return self
        return replace(
            self,
            inflight={**self.inflight, **inflight},
            verdicts={**self.verdicts, **verdicts},
        )

    def has_proven(self, scope: str) -> bool:
        """Whether anything of this scope is proven."""
        return any(v.proven and v.scope in (scope, "") for v in self.verdicts.values())

    def blocking(self, target: Target) -> Verdict | None:
        """The verdict that stands against this target, if there is one.

        If the znode of restarts was deleted, the same contents are wanted by other names than
        they were tried by later: the latest of these trials counts.
        """
        own = self.verdicts.get(target.digest)
        if own is not None and own.proven and not own.failed_by:
            return None
        latest = _latest(
            verdict
            for digest, verdict in self.verdicts.items()
            if verdict.revision >= target.revision and is_same_contents(digest, target.digest)
        )
        return latest if latest is not None and latest.failed_by else None

    def is_proven(self, target: Target) -> bool:
        """Whether a member has been healthy on this content, whenever it was."""
        verdict = self.verdicts.get(target.digest)
        return verdict is not None and verdict.proven and not self._is_retry(target)

    def knows_newer(self, target: Target) -> bool:
        """Whether the group has gone on to later contents of the same znodes."""
        # A later restart of the same contents is none: its revision is lost with its znode.
        return any(
            verdict.scope == target.scope and verdict.revision > target.revision
            for digest, verdict in self.verdicts.items()
            if not is_same_contents(digest, target.digest)
        )

    def admit(
        self, member: str, entry: Entry, scope: str, population: int, seq: int
    ) -> "Rollout | Refusal":
        """Take the head of the queue, which holds the place `seq`, into flight.

        `population` is the number of members alive.  The entry's phase is restarting.
        """
        target = Target(entry.digest, entry.revision, scope)
        if self.paused is not None:
            return Refusal.PAUSED
        if self.blocking(target) is not None:
            return Refusal.FAILED
        others = [name for name in self.inflight if name != member]
        allowed = self.allowed(population) if self.is_proven(target) else 1
        if len(others) >= allowed:
            return Refusal.FULL
        return replace(self._with_entry(member, entry, target), served=seq)

    def readmit(self, member: str, entry: Entry, scope: str) -> "Rollout | Refusal":
        """Let a member that is in flight already go on to another target in the same turn.

        It takes no one else down, so the width does not matter; but what nobody has proven is
        tried by one member alone.
        """
        target = Target(entry.digest, entry.revision, scope)
        held = self.inflight.get(member)
        if held is None or held.token != entry.token:
            return Refusal.GONE
        if self.paused is not None:
            return Refusal.PAUSED
        if self.blocking(target) is not None:
            return Refusal.FAILED
        others = [other for name, other in self.inflight.items() if name != member]
        # Who has failed with it tries nothing now: of those one is the first to try it once more.
        trying = [other for other in others if other.phase is EntryPhase.RESTARTING]
        if any(other.digest == entry.digest for other in trying) and not self.is_proven(target):
            return Refusal.FULL
        return self._with_entry(member, entry, target)

    def adopt(self, member: str, token: str) -> "Rollout":
        """Take over the entry that an earlier incarnation of this member left behind.

        That the incarnation was lost in flight counts against the snapshot.
        """
        entry = self.inflight.get(member)
        if entry is None or entry.token == token:
            return self
        counted = self._count_loss(member, entry)
        verdict, phase = counted.verdicts.get(entry.digest), entry.phase
        if verdict is not None and verdict.failed_by:
            phase = EntryPhase.FAILED
        adopted = replace(entry, token=token, phase=phase)
        return replace(counted, inflight={**self.inflight, member: adopted})

    def release(self, member: str, proven: Target | None) -> "Rollout":
        """End the member's turn, if it has one, and count what it runs as proven."""
        inflight = self.inflight
        if member in inflight:
            inflight = {name: entry for name, entry in inflight.items() if name != member}
        verdicts = self.verdicts if proven is None else self._with_proof(member, proven)
        if inflight is self.inflight and verdicts is self.verdicts:
            return self
        return replace(self, inflight=inflight, verdicts=verdicts)

    def vouch(self, member: str, proven: Target) -> "Rollout":
        """Count a snapshot as proven that a member runs without having had a turn for it."""
        verdicts = self._with_proof(member, proven)
        return self if verdicts is self.verdicts else replace(self, verdicts=verdicts)

    def fail(self, member: str, token: str, target: Target, reason: str) -> "Rollout":
        """Record that the target failed on the member, whose entry stays if it is still there."""
        known = self.verdicts.get(target.digest, Verdict(target.revision, target.scope))
        entry = self.inflight.get(member)
        # The turn may have gone over to something newer, which has not failed.
        owns = entry is not None and (entry.token, entry.digest) == (token, target.digest)
        is_told = member in known.failed_by and known.revision >= target.revision
        if is_told and (not owns or (entry and entry.phase is EntryPhase.FAILED)):
            return self
        verdict = replace(
            known,
            revision=max(known.revision, target.revision),
            failed_by=tuple(dict.fromkeys((*known.failed_by, member))),
            reason=reason,
            at=AS_COMMITTED,
        )
        inflight = self.inflight
        if owns and entry is not None:
            failed = replace(entry, phase=EntryPhase.FAILED, since=AS_COMMITTED)
            inflight = {**inflight, member: failed}
        return replace(self, inflight=inflight, verdicts={**self.verdicts, target.digest: verdict})

    def rejoin(self, member: str, token: str, target: Target) -> "Rollout":
        """Enter a member that is down after a failure of which this record knew nothing.

        It has its turn as it had before: whoever is down counts, whatever the width is.
        """
        if member in self.inflight:
            return self
        entry = Entry(token, target.digest, target.revision, EntryPhase.FAILED)
        return replace(self, inflight={**self.inflight, member: entry})

    def reap(self, member: str, token: str) -> "Rollout":
        """Take back the turn of a member that is gone; its loss counts against the snapshot."""
        entry = self.inflight.get(member)
        if entry is None or entry.token != token:
            return self
        counted = self._count_loss(member, entry)
        return counted.release(member, None)

    def agree(self, member: str, width: Width, population: int, asker_lives: bool) -> "Rollout":
        """Let a member say what width it asks for; the rule is that of `width.agreed`."""
        known = self.width
        found = agreed(known, GroupWidth(width, member), population, asker_lives)
        return self if found == known else replace(self, width=found)

    def allowed(self, population: int) -> int:
        """How many may be in flight with a proven snapshot."""
        return self.width.width.of(population) if self.width else 1

    def _is_retry(self, target: Target) -> bool:
        verdict = self.verdicts.get(target.digest)
        return (
            verdict is not None and bool(verdict.failed_by) and (target.revision > verdict.revision)
        )

    def _with_entry(self, member: str, entry: Entry, target: Target) -> "Rollout":
        """Enter the member, and forget the verdicts that nobody can ask for any more."""
        inflight = {**self.inflight, member: entry}
        wanted = {other.digest for other in inflight.values()}
        # Until the restarted contents are proven, the failure before the restart holds.
        failure = _latest(
            verdict
            for digest, verdict in self.verdicts.items()
            if verdict.failed_by and is_same_contents(digest, target.digest)
        )
        verdicts = {
            digest: verdict
            for digest, verdict in self.verdicts.items()
            if verdict.proven
            or digest in wanted
            or verdict is failure
            or not _is_older(verdict, target)
        }
        known = self.verdicts.get(target.digest)
        if known is None:
            verdicts[target.digest] = Verdict(target.revision, target.scope)
        elif target.revision > known.revision:
            fresh = replace(known, revision=target.revision, scope=target.scope)
            if known.failed_by:
                fresh = Verdict(target.revision, target.scope)
            verdicts[target.digest] = fresh
        return replace(self, inflight=inflight, verdicts=verdicts)

    def _with_proof(self, member: str, target: Target) -> Mapping[str, Verdict]:
        fresh = Verdict(target.revision, target.scope, proven=True)
        known = self.verdicts.get(target.digest, fresh)
        failed_by = tuple(name for name in known.failed_by if name != member)
        if target.digest in self.verdicts and known.proven and failed_by == known.failed_by:
            return self.verdicts
        revision = max(target.revision, known.revision)
        # Others that live do not make up for a loss: what kills every second must not walk on.
        proof = replace(fresh, revision=revision, lost=known.lost)
        if failed_by:
            proof = replace(known, proven=True, failed_by=failed_by, revision=revision)
        in_flight = {entry.digest for entry in self.inflight.values()}
        kept = _without_outdated(self.verdicts, target, in_flight)
        return {**kept, target.digest: proof}

    def _count_loss(self, member: str, entry: Entry) -> "Rollout":
        if entry.phase is EntryPhase.FAILED:
            return self
        known = self.verdicts.get(entry.digest, Verdict(entry.revision, ""))
        lost = known.lost + 1
        verdict = replace(known, lost=lost)
        if lost >= LOSSES_THAT_CONDEMN:
            verdict = replace(
                verdict,
                failed_by=tuple(dict.fromkeys((*known.failed_by, member))),
                reason=f"lost {lost} times in the middle of a restart, the last time {member}",
                revision=max(known.revision, entry.revision),
                at=AS_COMMITTED,
            )
        return replace(self, verdicts={**self.verdicts, entry.digest: verdict})


def _latest(verdicts: Iterable[Verdict]) -> Verdict | None:
    """Of these verdicts the latest that says anything; of two at one revision the failure."""
    decided = [verdict for verdict in verdicts if verdict.failed_by or verdict.proven]
    return max(decided, key=lambda known: (known.revision, bool(known.failed_by)), default=None)


def _is_older(verdict: Verdict, target: Target) -> bool:
    """Whether the admission of the target shows that this verdict's snapshot is out of date."""
    # Where it is not known what a verdict was about, it may have been about the same znodes.
    return verdict.scope in (target.scope, "") and verdict.revision < target.revision


def _without_outdated(
    verdicts: Mapping[str, Verdict], target: Target, in_flight: Collection[str]
) -> dict[str, Verdict]:
    """Keep what is in flight, and of the older proofs the newest one.

    As long as the target may still fail somewhere, the files of the one before are what members
    run, and they have to know it for proven when they start.
    """
    older = [digest for digest, verdict in verdicts.items() if _is_older(verdict, target)]
    proven = [digest for digest in older if verdicts[digest].proven]
    newest = max(proven, key=lambda digest: verdicts[digest].revision, default="")
    dropped = {digest for digest in older if digest != newest and digest not in in_flight}
    return {digest: verdict for digest, verdict in verdicts.items() if digest not in dropped}
