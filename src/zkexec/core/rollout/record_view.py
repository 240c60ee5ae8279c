"""The group's record as this member knows it, and who of those in flight is missing.

A record that was read is true of the moment of the read.  It stays `fresh` until something tells
of a change; what is decided on it is committed against its version, so that a mistake costs a
repeated read and no more.
"""

from zkexec.core.rollout.group_events import RecordRead
from zkexec.core.rollout.record import RolloutRecord


class RecordView:
    """What was read last, or committed since."""

    def __init__(self, member: str, grace_s: float) -> None:
        self._member = member
        self._grace_s = grace_s
        self.record = RolloutRecord()
        self.version = -1
        self.known = False
        self.fresh = False
        self.population = 0
        self._watched = self._record_touched = self._members_touched = False
        self._alive: frozenset[str] = frozenset()
        self._missing_since: dict[tuple[str, str], float] = {}
        self._read_at = 0.0

    @property
    def reclaim_at(self) -> float | None:
        """When the first of the missing members has been gone for the grace period."""
        return min((at + self._grace_s for at in self._missing_since.values()), default=None)

    def needs_reading(self, watch: bool) -> bool:
        """Whether it has to be read before anything is decided on it."""
        return not self.fresh or (watch and not self._watched)

    def needs_last_look(self, now: float) -> bool:
        """Whether a grace period is over, and nobody has looked since."""
        return self.reclaim_at is not None and self._read_at < self.reclaim_at <= now

    def lives(self, member: str) -> bool:
        """Whether a member that the record names was alive at the last read."""
        return member in self._alive

    def begin(self) -> None:
        """A read or a commit is asked for; a change that is told before its answer counts."""
        self._record_touched = self._members_touched = False

    def read(self, event: RecordRead, watched: bool, now: float) -> list[str]:
        """Take in a read; return the members in flight that are missing for the first time."""
        self.record, self.version = event.record, event.version
        self._alive, self.population = event.alive, event.population
        self.known = True
        self.fresh = not (self._record_touched or self._members_touched)
        self._watched = watched and self.fresh
        if not watched:
            self._forget_the_landed()
            return []
        self._read_at = now
        gone = [
            (member, entry.token)
            for member, entry in self.record.in_flight.items()
            if member not in self._alive and member != self._member
        ]
        since = {key: self._missing_since.get(key, now) for key in gone}
        fresh = [member for member, token in gone if (member, token) not in self._missing_since]
        self._missing_since = since
        return fresh

    def committed(self, record: RolloutRecord) -> None:
        """Take over what was committed: only this commit can have changed the record meanwhile.

        The watch, if there was one, has fired for it.
        """
        self.record = record
        self.version += 1
        self.fresh = not self._members_touched
        self._watched = False
        self._forget_the_landed()

    def _forget_the_landed(self) -> None:
        """Miss nobody who is not in flight any more."""
        flying = {(member, entry.token) for member, entry in self.record.in_flight.items()}
        self._missing_since = {k: at for k, at in self._missing_since.items() if k in flying}

    def touched(self, *, of_record: bool) -> None:
        """The record, or else who of those in flight is alive, may be different by now."""
        self.fresh = False
        self._record_touched |= of_record
        self._members_touched |= not of_record

    def forget(self) -> None:
        """Have it read before anything else: another process may have written with the own ID."""
        self.known = self.fresh = False

    def disconnected(self) -> None:
        """Nothing can be said of the missing any more; they may be as alive as we are."""
        self.fresh = False
        self._missing_since = {}

    def overdue(self) -> tuple[str, str] | None:
        """A member, and its token, that was still missing when its grace period was over."""
        for key, since in self._missing_since.items():
            if self._read_at >= since + self._grace_s:
                return key
        return None
