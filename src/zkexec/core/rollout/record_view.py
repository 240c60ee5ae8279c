"""The group's record as this member knows it, and which members in flight are missing.

A record that was read is true of the moment of the read.  It stays `fresh` until a watch reports
a change.  What is decided on it is committed against the versions of its znodes, so a mistake
costs no more than another read.

Missing members are found by a survey, from time to time.  To watch every member in flight would
cost more than to read them.
"""

from zkexec.core.rollout.group_actions import ReadRecord, Watch
from zkexec.core.rollout.group_events import GroupPart, RecordRead
from zkexec.core.rollout.record import RolloutRecord
from zkexec.core.rollout.record_basis import RecordBasis

SHORTEST_SURVEY_S, LONGEST_SURVEY_S = 1.0, 20.0
"""The limits of the time before the first survey.  It doubles with each, up to the grace period."""
_SURVEYS_IN_GRACE = 3
OLD_S = 1.0
"""A head admits no member on a record that was read longer ago."""

_PARTS = {
    Watch.NOTHING: frozenset[GroupPart](),
    Watch.ROOM: frozenset({GroupPart.IN_FLIGHT}),
    Watch.DECISIONS: frozenset({GroupPart.RECORD}),
    Watch.BOTH: frozenset({GroupPart.IN_FLIGHT, GroupPart.RECORD}),
}
"""The parts of the group that are watched."""


class RecordView:
    """The record as it was read last, or committed since."""

    def __init__(self, member: str, grace_s: float) -> None:
        self._member = member
        self._grace_s = grace_s
        self._first_survey_s = min(
            LONGEST_SURVEY_S, max(SHORTEST_SURVEY_S, grace_s / _SURVEYS_IN_GRACE)
        )
        self._survey_s = self._first_survey_s
        self.record = RolloutRecord()
        self.basis = RecordBasis()
        self.known = False
        self.fresh = False
        self.is_surveyed = False
        """Whether the record has the entries of all members in flight."""
        self._watched: set[GroupPart] = set()
        self._touched = False
        self.alive: frozenset[str] = frozenset()
        """The members that the record names and that were alive at the last read of them."""
        self.knows_requesters = False
        """Whether the members that requested the limits were read, too."""
        self._missing_since: dict[tuple[str, str], float] = {}
        self._surveyed_at: float | None = None
        self._read_at = 0.0

    def is_old(self, now: float) -> bool:
        """Whether the record was read too long ago for an admission.

        No watch reports the first unavailable member, and no commit checks for it.
        """
        return now > self._read_at + OLD_S

    @property
    def reclaim_at(self) -> float | None:
        """When the grace period of the first missing member is over."""
        return min((at + self._grace_s for at in self._missing_since.values()), default=None)

    def begin_wait(self) -> None:
        """Begin with short times between surveys."""
        self._survey_s = self._first_survey_s

    def survey_at(self, waits_since: float) -> float:
        """Return when the next survey is due, for a member that has waited since then."""
        last = waits_since if self._surveyed_at is None else max(self._surveyed_at, waits_since)
        due = last + self._survey_s
        reclaim_at = self.reclaim_at
        return due if reclaim_at is None else min(due, max(reclaim_at, last))

    def needs_reading(self, watch: Watch = Watch.NOTHING) -> bool:
        """Whether the record has to be read before anything is decided on it."""
        return not self.fresh or not self._watched.issuperset(_PARTS[watch])

    def begin(self) -> None:
        """Note that a read or a commit is sent: a change reported before its answer counts."""
        self._touched = False

    def read(self, event: RecordRead, request: ReadRecord, now: float) -> list[str]:
        """Take in a read; return the members in flight that are missing for the first time."""
        self.record, self.basis, self.alive = event.record, event.basis, event.alive
        self.known = True
        self._read_at = now
        self.is_surveyed, self.knows_requesters = request.survey, request.limits
        self.fresh = not self._touched
        if self.fresh:
            self._watched |= _PARTS[request.watch]
        if not request.survey:
            return []
        self._surveyed_at = now
        missing = [
            (member, entry.token)
            for member, entry in self.record.in_flight.items()
            if member not in self.alive and member != self._member
        ]
        since = {key: self._missing_since.get(key, now) for key in missing}
        new = [member for member, token in missing if (member, token) not in self._missing_since]
        self._missing_since = since
        longest_s = max(self._grace_s, self._first_survey_s)
        if missing or self.record.unavailable:
            self.begin_wait()
        else:
            self._survey_s = min(longest_s, 2 * self._survey_s)
        return new

    def committed(self, record: RolloutRecord, basis: RecordBasis) -> None:
        """Take over what was committed: nothing that it rests on has changed meanwhile.

        If the decisions were written, no other member can have been admitted.  So what a watch has
        reported was this commit, or that others have released their turns.
        """
        self._survey_s = self._first_survey_s
        ended = {
            (member, entry.token)
            for member, entry in self.record.in_flight.items()
            if member not in record.in_flight
        }
        self._missing_since = {k: at for k, at in self._missing_since.items() if k not in ended}
        self.fresh = not self._touched or basis.state != self.basis.state
        self.record, self.basis = record, basis

    def touched(self, part: GroupPart) -> None:
        """Note that the decisions, or the members in flight, may have changed."""
        self.fresh = False
        self._touched = True
        self._watched.discard(part)

    def doubt(self) -> None:
        """Require another read: something is not as it was read."""
        self.fresh = False

    def forget(self) -> None:
        """Require a read first: another process may have written with the same member ID."""
        self.known = self.fresh = False

    def disconnected(self) -> None:
        """Count no member as missing any more: without a connection they cannot be observed."""
        self.fresh = False
        self._watched.clear()
        self._missing_since = {}
        self._surveyed_at = None
        self._survey_s = self._first_survey_s

    def overdue(self) -> list[tuple[str, str]]:
        """Return the members, with their tokens, that were missing after their grace period."""
        surveyed_at = self._surveyed_at
        if surveyed_at is None:
            return []
        return [
            key
            for key, since in self._missing_since.items()
            if surveyed_at >= since + self._grace_s
        ]
