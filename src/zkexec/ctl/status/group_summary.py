"""What is shown of a group in the list of all groups: numbers, and no single member.

Only the record and the numbers of znodes are read for it.  So a member that runs an old version
without waiting for a turn, because it is disconnected for example, is not noticed here.
"""

from zkexec.core.rollout.record import RolloutRecord
from zkexec.core.rollout.version import ConfigVersion
from zkexec.core.rollout.version_state import VersionState, is_older
from zkexec.ctl.status.group_status import GroupState
from zkexec.frozen import frozen


@frozen(kw_only=True)
class GroupSummary:
    """The record of a group, and how many members are alive, in flight, waiting and unavailable.

    `record` has no entries of members.  `have_turns` are the names of those in flight.
    `unavailable` are those that are not in flight.  `error` is why the record cannot be read.
    """

    name: str
    base: str
    record: RolloutRecord = RolloutRecord()
    alive: int = 0
    in_flight: int = 0
    have_turns: frozenset[str] = frozenset()
    waiting: int = 0
    unavailable: int = 0
    error: str = ""
    exists: bool = True

    @property
    def newest(self) -> tuple[str, VersionState] | None:
        """The newest version that the record knows, and its digest; None if it knows none."""
        versions = self.record.versions.items()
        return max(versions, key=lambda one: (one[1].zxid, bool(one[1].failed_by)), default=None)

    @property
    def failure(self) -> tuple[str, VersionState] | None:
        """The newest version that has failed and that a member is not done with."""
        if not (self.in_flight or self.waiting):
            return None
        found = [
            (digest, state)
            for digest, state in self.record.versions.items()
            if state.has_failed(self.record.tolerated) and self._is_current(digest, state)
        ]
        return max(found, key=lambda one: one[1].zxid, default=None)

    def _is_current(self, digest: str, state: VersionState) -> bool:
        """Whether a failed version stops the members that want it.

        The inputs of members can differ, and then a newer version of other inputs changes nothing.
        The record can also have versions of inputs that no member has any more; of these, no
        member that failed keeps its turn.
        """
        if self.newest == (digest, state):
            return True
        is_replaced = any(
            is_older(state, ConfigVersion(other, found.zxid, found.scope))
            for other, found in self.record.versions.items()
        )
        return not is_replaced and not self.have_turns.isdisjoint(state.failed_by)

    @property
    def has_unknown_service(self) -> bool:
        """Whether members have failed in their turns, of which it is not read whether they serve.

        Such a member has no mark of its own, and can serve: on reverted files, for example.
        """
        return self.failure is not None and self.in_flight > 0

    @property
    def is_held(self) -> bool:
        """Whether a hold keeps the members that wait from the newest version."""
        hold, newest = self.record.hold, self.newest
        if hold is None or not self.waiting or self.in_flight:
            return False
        if newest is None:
            return False
        digest, state = newest
        version = ConfigVersion(digest, state.zxid, state.scope)
        has_enough = self.record.ended_well(version) >= hold.after.of(self.alive)
        return has_enough and not hold.approves(version)

    @property
    def state(self) -> GroupState:
        """The state of the group as far as it is known: the first that applies."""
        states = (
            (not self.exists, GroupState.GONE),
            (bool(self.error), GroupState.UNREADABLE),
            (not self.alive, GroupState.EMPTY),
            (self.failure is not None, GroupState.FAILED),
            (self.record.paused is not None, GroupState.PAUSED),
            (self.is_held, GroupState.HELD),
            (bool(self.in_flight or self.waiting), GroupState.ROLLING),
        )
        return next((state for applies, state in states if applies), GroupState.COMPLETE)
