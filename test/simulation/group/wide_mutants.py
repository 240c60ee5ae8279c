"""Mistakes that a member could make in a rollout in which many are in flight, on purpose."""

from collections.abc import Sequence
from typing import Any

from simulation.group.mutants import (
    Anything,
    Mutant,
    original_admit,
    original_commit,
    private,
)
from zkexec.core.actions import Action
from zkexec.core.rollout import leading
from zkexec.core.rollout.group_actions import CommitRecord, Watch
from zkexec.core.rollout.group_events import GroupPart, RecordRead
from zkexec.core.rollout.lease import Lease
from zkexec.core.rollout.queued_member import QueueNode
from zkexec.core.rollout.record import RolloutRecord
from zkexec.core.rollout.record_view import RecordView
from zkexec.core.rollout.takeover import Takeover
from zkexec.core.rollout.version import ConfigVersion
from zkexec.core.rollout.version_state import VersionState
from zkexec.core.snapshot import Snapshot
from zkexec.frozen import replace
from zkexec.group.member_marks import MemberMarks
from zkexec.group.record_changes import RecordChanges
from zkexec.group.record_reader import RecordReader
from zkexec.group.record_znodes import RecordZnodes
from zkexec.group.version_changes import VersionChanges
from zkexec.zookeeper.requests import Children

original_record = private(RecordZnodes, "record")
original_take = private(Lease, "take")
original_allowed = private(RolloutRecord, "allowed")
original_batch = private(leading, "batch_of")
original_read = private(RecordView, "read")
original_known_good = private(RolloutRecord, "_with_known_good")
original_decide = private(RecordChanges, "_add_decisions")
original_adopt = private(RolloutRecord, "adopt")
original_marks = private(MemberMarks, "changes")
original_watching = private(RecordReader, "_watching")


def count_late(self: Anything, in_flight: Any) -> RolloutRecord:
    """Take the number of members in flight from the read before."""
    found: RolloutRecord = original_record(self, in_flight)
    known = vars(self.paths)
    before = known.get("counted", found.in_flight_count)
    known["counted"] = found.in_flight_count
    return replace(found, in_flight_count=before)


def rely_on_the_head(self: Anything, wanted: Snapshot) -> None:
    """Take the admission by another member for a proof of the own session."""
    original_take(self, wanted)
    self._lease_from = float("inf")


def commit_untested(*args: Any, **options: Any) -> Sequence[Action]:
    """Do not check whether the version has failed meanwhile."""
    found: Sequence[Action] = original_commit(*args, **options)
    return [replace(a, tried="") if isinstance(a, CommitRecord) else a for a in found]


def decide_silently(self: Anything) -> bool:
    """Admit members without a write of the decisions."""
    if self._request.admitted and not self._made:
        return False
    written: bool = original_decide(self)
    return written


def ignore_the_ramp(self: Anything, version: ConfigVersion, zone: str = "") -> int:
    """Allow all at once as soon as a version is known good."""
    return self.max_in_flight(zone) if self.is_known_good(version) else 1


def admit_beside_the_ill(
    self: Anything, member: str, entry: Any, scope: str, seq: int = -1
) -> object:  # fmt: skip
    """Do not count the members that are unavailable."""
    found = original_admit(replace(self, unavailable=frozenset()), member, entry, scope, seq)
    is_admitted = isinstance(found, RolloutRecord)
    return replace(found, unavailable=self.unavailable) if is_admitted else found


def admit_own_zone(record: RolloutRecord, nodes: Any, own: QueueNode, version: Any) -> object:
    """Take the zone of the head for the one that is open."""
    return original_batch(replace(record, zone=own.queued.zone), nodes, own, version)


def miss_everybody(self: Anything, event: RecordRead, request: Any, now: float) -> list[str]:
    """Count all members in flight as missing."""
    found: list[str] = original_read(self, replace(event, alive=frozenset()), request, now)
    return found


def forget_the_hold(self: Anything, member: str, entry: Any, scope: str, seq: int = -1) -> object:
    """Drop a hold with the next admission."""
    found = original_admit(self, member, entry, scope, seq)
    return replace(found, hold=None) if isinstance(found, RolloutRecord) else found


def count_since_the_retry(self: Anything, version: Any) -> int:
    """Forget the members that had succeeded before a retry."""
    state = self.versions.get(version.digest)
    return state.succeeded if state else 0


def tolerate_early(self: Anything, tolerated: int) -> bool:
    """Tolerate failures before enough members have succeeded."""
    return bool(self.condemned_by) or len(self.failed_by) > tolerated


def reclaim_for_nothing(self: Anything, member: str, token: str) -> RolloutRecord:
    """End the turn of a missing member, and count nothing."""
    entry = self.in_flight.get(member)
    if entry is None or entry.token != token:
        return self  # type: ignore[no-any-return]
    released: RolloutRecord = self.release(member, None)
    return released


def adopt_for_nothing(self: Anything, member: str, token: str) -> RolloutRecord:
    """Adopt a turn, and count nothing."""
    found: RolloutRecord = original_adopt(self, member, token)
    return found if found is self else replace(found, versions=self.versions)


def count_no_success(
    self: Anything, member: str, version: ConfigVersion, *, succeeded: bool
) -> object:  # fmt: skip
    """Release a turn without counting its success."""
    del succeeded
    return original_known_good(self, member, version, succeeded=False)


def stay_marked(self: Anything, *, is_unavailable: bool) -> object:
    """Do not delete the mark of a member that is well again."""
    return original_marks(self, is_unavailable=is_unavailable) if is_unavailable else []


def watch_everything(self: Anything, watch: Watch) -> list[Any]:
    """Watch more of the group than is needed."""
    found: list[Any] = original_watching(self, watch)
    paths = self._paths
    more = (paths.members, paths.queue, paths.versions, paths.zones)
    return [*found, *(Children(path, GroupPart.IN_FLIGHT) for path in more)]


def take_over_at_once(
    self: Anything, record: Any, basis: Any, now: float, timeout_s: float, *, has_room: bool
) -> None:
    """Replace an acting head as soon as there is room."""
    del record, basis, timeout_s
    self.acts, self._read_at = has_room, now


WIDE_MUTANTS = (
    Mutant("the members in flight are counted too early", RecordZnodes, "record", count_late,
           "KeepsMaxUnavailable"),
    Mutant("an admission by another member is no lease", Lease, "take", rely_on_the_head,
           "StopsWithinTheLease", seed=17),
    Mutant("a failure meanwhile is not noticed", leading, "commit", commit_untested,
           "AdmitsNoFailedVersion"),
    Mutant("two heads decide at once", RecordChanges, "_add_decisions", decide_silently,
           "DecidesAlone"),
    Mutant("the ramp is ignored", RolloutRecord, "allowed", ignore_the_ramp, "FollowsTheRamp"),
    Mutant("unavailable members are forgotten", RolloutRecord, "admit", admit_beside_the_ill,
           "SparesTheHealthy"),
    Mutant("the zone of the head is open", leading, "batch_of", admit_own_zone, "KeepsZonesApart",
           seed=23),
    Mutant("a living member is reclaimed", RecordView, "read", miss_everybody,
           "KeepsEntries", seed=13),
    Mutant("a hold is ignored", RolloutRecord, "is_held", lambda *_: False,
           "ObeysTheHold", seed=79),
    Mutant("a retry makes places in a hold", RolloutRecord, "ended_well", count_since_the_retry,
           "ObeysTheHold", seed=489),
    Mutant("an admission drops a hold", RolloutRecord, "admit", forget_the_hold,
           "KeepsOperatorsChanges", seed=4),
    Mutant("a failure is tolerated too early", VersionState, "has_failed", tolerate_early,
           "AdmitsNoFailedVersion"),
    Mutant("a reclaimed turn is not counted", RolloutRecord, "reclaim", reclaim_for_nothing,
           "CountsLosses", seed=51),
    Mutant("an adopted turn is not counted", RolloutRecord, "adopt", adopt_for_nothing,
           "CountsLosses", seed=16),
    Mutant("the turns of a lost zone are all counted", VersionState, "is_same_loss",
           lambda *_: False, "CountsLosses", seed=74),
    Mutant("a success is not counted", RolloutRecord, "_with_known_good", count_no_success,
           "CountsSuccesses"),
    Mutant("a member that is well stays marked", MemberMarks, "changes", stay_marked,
           "LeavesNothingBehind"),
    Mutant("znodes of a dropped version stay", VersionChanges, "drop", lambda _: None,
           "LeavesNothingBehind"),
    Mutant("a member watches all of the group", RecordReader, "_watching", watch_everything,
           "KeepsFewWatches"),
    Mutant("an acting head is replaced at once", Takeover, "read", take_over_at_once,
           "AdmitsTheHead", seed=100),
)  # fmt: skip
