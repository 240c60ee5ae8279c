"""The group's record as this member knows it, and which members in flight are missing.

A record that was read is true of the moment of the read.  It stays `fresh` until a watch reports
a change.  What is decided on it is committed against its znode version, so a mistake costs no
more than another read.
"""

from zkexec.core.rollout.group_events import RecordRead
from zkexec.core.rollout.record import RolloutRecord


class RecordView:
    """The record as it was read last, or committed since."""

    def __init__(self, member: str, grace_s: float) -> None:
        self._member = member
        self._grace_s = grace_s
        self.record = RolloutRecord()
        self.znode_version = -1
        self.known = False
        self.fresh = False
        self.population = 0
        self._watched = self._record_touched = self._members_touched = False
        self._alive: frozenset[str] = frozenset()
        self._missing_since: dict[tuple[str, str], float] = {}
        self._read_at = 0.0

    @property
    def reclaim_at(self) -> float | None:
        """When the grace period of the first missing member is over."""
        return min((at + self._grace_s for at in self._missing_since.values()), default=None)

    def needs_reading(self, watch: bool) -> bool:
        """Whether the record has to be read before anything is decided on it."""
        return not self.fresh or (watch and not self._watched)

    def needs_final_read(self, now: float) -> bool:
        """Whether a grace period is over, and the record was not read since."""
        return self.reclaim_at is not None and self._read_at < self.reclaim_at <= now

    def is_alive(self, member: str) -> bool:
        """Whether a member that the record names was alive at the last read."""
        return member in self._alive

    def begin(self) -> None:
        """Note that a read or a commit is sent: a change reported before its answer counts."""
        self._record_touched = self._members_touched = False

    def read(self, event: RecordRead, watched: bool, now: float) -> list[str]:
        """Take in a read; return the members in flight that are missing for the first time."""
        self.record, self.znode_version = event.record, event.znode_version
        self._alive, self.population = event.alive, event.population
        self.known = True
        self.fresh = not (self._record_touched or self._members_touched)
        self._watched = watched and self.fresh
        if not watched:
            self._forget_released()
            return []
        self._read_at = now
        missing = [
            (member, entry.token)
            for member, entry in self.record.in_flight.items()
            if member not in self._alive and member != self._member
        ]
        since = {key: self._missing_since.get(key, now) for key in missing}
        new = [member for member, token in missing if (member, token) not in self._missing_since]
        self._missing_since = since
        return new

    def committed(self, record: RolloutRecord) -> None:
        """Take over what was committed: no other commit can have changed the record meanwhile.

        The watch, if there was one, has fired for this commit.
        """
        self.record = record
        self.znode_version += 1
        self.fresh = not self._members_touched
        self._watched = False
        self._forget_released()

    def _forget_released(self) -> None:
        """Drop missing members that are not in flight any more."""
        turns = {(member, entry.token) for member, entry in self.record.in_flight.items()}
        self._missing_since = {k: at for k, at in self._missing_since.items() if k in turns}

    def touched(self, *, of_record: bool) -> None:
        """Note that the record may have changed, or else which members in flight are alive."""
        self.fresh = False
        self._record_touched |= of_record
        self._members_touched |= not of_record

    def forget(self) -> None:
        """Require a read first: another process may have written with the same member ID."""
        self.known = self.fresh = False

    def disconnected(self) -> None:
        """Count no member as missing any more: without a connection they cannot be observed."""
        self.fresh = False
        self._missing_since = {}

    def overdue(self) -> tuple[str, str] | None:
        """Return a member, and its token, that was still missing after its grace period."""
        for key, since in self._missing_since.items():
            if self._read_at >= since + self._grace_s:
                return key
        return None
