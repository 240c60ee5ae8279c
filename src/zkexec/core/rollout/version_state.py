"""What a group knows of one version: whether it is known good, and on which members it failed."""

from __future__ import annotations

from zkexec.frozen import frozen, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from zkexec.core.rollout.version import ConfigVersion

AS_COMMITTED = 0.0
"""In a record that is not written yet, this means the time of the commit."""

FEW_SUCCEEDED = 10
"""Until this many members have succeeded, one failure or two lost turns make a version fail."""
LOST_TURNS_THAT_FAIL = 2
"""After this many lost turns a version counts as failed: it may be what kills the members."""
_LOST_PERCENT = 1


@frozen()
class VersionState:
    """What is known of one version up to a zxid; `at` is in seconds of the epoch.

    `reason` and `step` are about the last failure; the step is "" if it is unknown.  `failed_by`
    are the members on which it failed, `condemned_by` those of them whose lost turn made it fail.
    `succeeded` counts the turns that ended well, `succeeded_before` those before the last retry.
    `lost_zone` is the zone of the last lost turn that was counted, and `lost_until` the number of
    the last admission before it.
    """

    zxid: int
    scope: str
    known_good: bool = False
    failed_by: tuple[str, ...] = ()
    lost_turns: int = 0
    reason: str = ""
    at: float = AS_COMMITTED
    step: str = ""
    condemned_by: tuple[str, ...] = ()
    succeeded: int = 0
    succeeded_before: int = 0
    lost_zone: str = ""
    lost_until: int = -1

    def has_failed(self, tolerated: int) -> bool:
        """Whether no other member tries it; `tolerated` is the max failed as a number."""
        if self.condemned_by:
            return True
        return len(self.failed_by) > (tolerated if self.succeeded >= FEW_SUCCEEDED else 0)

    def is_same_loss(self, zone: str, admission: int) -> bool:
        """Whether a lost turn has the same cause as the last one: a zone that was lost at once.

        Both turns were of that zone, and this one was admitted before the other was lost.
        """
        return bool(zone) and zone == self.lost_zone and 0 <= admission <= self.lost_until

    def with_lost_turn(self, member: str, zxid: int, zone: str, admissions: int) -> VersionState:
        """Count one more lost turn; it may be the one that makes the version fail."""
        lost = self.lost_turns + 1
        counted = replace(self, lost_turns=lost, lost_zone=zone, lost_until=admissions)
        if not self._are_too_many_lost(lost):
            return counted
        return replace(
            counted,
            failed_by=_with(self.failed_by, member),
            condemned_by=_with(self.condemned_by, member),
            reason=f"{lost} turns with this version were lost, the last one by {member}",
            step="",
            zxid=max(self.zxid, zxid),
            at=AS_COMMITTED,
        )

    def _are_too_many_lost(self, lost: int) -> bool:
        if self.succeeded < FEW_SUCCEEDED:
            return lost >= LOST_TURNS_THAT_FAIL
        tried = self.succeeded + len(self.failed_by) + lost
        return lost > max(LOST_TURNS_THAT_FAIL, tried * _LOST_PERCENT // 100)

    def with_failure(self, member: str, zxid: int, reason: str, step: str) -> VersionState:
        """Add a member on which it failed."""
        return replace(
            self,
            zxid=max(self.zxid, zxid),
            failed_by=_with(self.failed_by, member),
            reason=reason,
            step=step,
            at=AS_COMMITTED,
        )

    def without_failure(self, member: str) -> VersionState:
        """Take a member out of those on which it failed; without any there is no reason."""
        left = replace(
            self,
            failed_by=_without(self.failed_by, member),
            condemned_by=_without(self.condemned_by, member),
        )
        return left if left.failed_by else replace(left, reason="", step="", at=AS_COMMITTED)


def _with(names: tuple[str, ...], name: str) -> tuple[str, ...]:
    return names if name in names else (*names, name)


def _without(names: tuple[str, ...], left_out: str) -> tuple[str, ...]:
    return tuple(name for name in names if name != left_out)


def latest(states: Iterable[VersionState]) -> VersionState | None:
    """Return the latest result of a trial; of two with the same zxid, the failure."""
    decided = [state for state in states if state.failed_by or state.known_good]
    return max(decided, key=lambda known: (known.zxid, bool(known.failed_by)), default=None)


def is_older(state: VersionState, version: ConfigVersion) -> bool:
    """Whether the version, once admitted, makes the version of this state out of date."""
    # A state without a scope may be about the same znodes.
    return state.scope in (version.scope, "") and state.zxid < version.zxid


def without_outdated(
    versions: Mapping[str, VersionState], version: ConfigVersion, in_flight: Collection[str]
) -> dict[str, VersionState]:
    """Drop the older versions, except those known to be in flight and the newest known good one.

    While the new version may still fail on some member, the others run the version before it.
    When they start, they have to know that it is known good.
    """
    older = [digest for digest, state in versions.items() if is_older(state, version)]
    known_good = [digest for digest in older if versions[digest].known_good]
    newest = max(known_good, key=lambda digest: versions[digest].zxid, default="")
    dropped = {digest for digest in older if digest != newest and digest not in in_flight}
    return {digest: state for digest, state in versions.items() if digest not in dropped}
