"""What a member holds in the group's record: its entry, and how surely it does.

An entry is held once the commit that made it was answered, or was read back; a commit whose
answer was lost is neither believed nor forgotten.  The lease runs from the moment at which a
commit with the entry in it was *decided on*, which is before it was sent.
"""

from collections.abc import Callable
from enum import Enum

from zkexec.core.rollout.record import EntryPhase, InFlightEntry, RolloutRecord
from zkexec.core.rollout.version import ConfigVersion, dated
from zkexec.core.snapshot import UNLIMITED, Snapshot
from zkexec.frozen import frozen, replace

LEASE_SHARE = 1 / 6
"""The part of the session timeout for which a committed write vouches for this session.

The ensemble may have begun to count at the ping before it, a third of the timeout earlier, and
counts in ticks, of which a session timeout has at least two: 1 - 1/3 - 1/2."""


@frozen()
class Proposal:
    """A commit on its way: what it writes, when it was decided on, and what it admits."""

    record: RolloutRecord
    sent_at: float
    admits: Snapshot | None = None
    target: ConfigVersion | None = None


class Lease:
    """The entry of this member, under its own token."""

    def __init__(self, member: str, new_token: Callable[[], str]) -> None:
        self._member = member
        self._new_token = new_token
        self._token = ""
        self._lease_from: float | None = None
        self.held: Snapshot | None = None
        self.proposal: Proposal | None = None

    @property
    def token(self) -> str:
        """The token of the entry, or of the next one; it stays until that is decided."""
        self._token = self._token or self._new_token()
        return self._token

    def entry_in(self, record: RolloutRecord) -> InFlightEntry | None:
        """The entry, if the record has it under this member's token."""
        entry = record.in_flight.get(self._member)
        return entry if entry is not None and entry.token == self._token else None

    def entry_for(self, target: ConfigVersion) -> InFlightEntry:
        """An entry for a restart to this target."""
        return InFlightEntry(self.token, target.digest, target.zxid)

    def has_failed(self, record: RolloutRecord) -> bool:
        """Whether the entry is kept because the restart went wrong."""
        entry = self.entry_in(record)
        return entry is not None and entry.phase is EntryPhase.FAILED

    def may_stop(self, now: float, session_timeout_s: float) -> bool:
        """Whether nobody else can have been given this turn by now."""
        if self.held is None or self._lease_from is None:
            return False
        return now < self._lease_from + session_timeout_s * LEASE_SHARE

    def disown(self) -> None:
        """Take what is held for that of another history, whatever its revision."""
        if self.held is not None:
            self.held = replace(self.held, zxid=UNLIMITED)

    def committed(self) -> Proposal:
        """The proposal was written."""
        proposal, self.proposal = self.proposal, None
        if proposal is None:
            raise RuntimeError("a commit was answered that nobody asked for")
        self._believe(proposal)
        return proposal

    def refused(self) -> Proposal | None:
        """The proposal was certainly not written."""
        proposal, self.proposal = self.proposal, None
        return proposal

    def read(self, record: RolloutRecord) -> bool:
        """Compare with what the record says; return whether an entry that was held is lost."""
        entry, proposal, self.proposal = self.entry_in(record), self.proposal, None
        if entry is not None:
            if proposal is not None and self._is_made_by(entry, proposal):
                self._believe(proposal)
            return False
        was_released = proposal is not None and self.entry_in(proposal.record) is None
        was_held = self.held is not None
        if was_held:
            self.let_go()
        return was_held and not was_released

    def let_go(self) -> None:
        """Hold nothing any more; the next entry has another token."""
        self._token = ""
        self._lease_from = self.held = None

    def _is_made_by(self, entry: InFlightEntry, proposal: Proposal) -> bool:
        return proposal.target is not None and (
            (entry.digest, entry.zxid) == (proposal.target.digest, proposal.target.zxid)
        )

    def _believe(self, proposal: Proposal) -> None:
        if self.entry_in(proposal.record) is None:
            self.let_go()
            return
        self._lease_from = proposal.sent_at
        if proposal.admits is not None:
            self.held = proposal.admits


class TurnResult(Enum):
    """What became of a turn."""

    KNOWN_GOOD = "known good"
    FAILED = "failed"
    GIVEN_BACK = "given back"


@frozen()
class TurnOutcome:
    """A result that the record has to show; the target is what the result is about."""

    result: TurnResult
    target: ConfigVersion | None = None
    reason: str = ""

    def dated(self, newest: int, zxid: int) -> "TurnOutcome":
        """The same result, at this revision where its own is above all that there is."""
        if self.target is None:
            return self
        return replace(self, target=dated(self.target, newest, zxid))

    def disowned(self) -> "TurnOutcome":
        """The same as a result of another history, whatever its revision."""
        if self.target is None:
            return self
        return replace(self, target=replace(self.target, zxid=UNLIMITED))

    def entered(self, record: RolloutRecord, member: str, token: str) -> RolloutRecord:
        """The record with this in it: the same object once nothing is missing."""
        if self.target is None or self.result is TurnResult.GIVEN_BACK:
            return record.release(member, None)
        if self.result is TurnResult.KNOWN_GOOD:
            return record.release(member, self.target)
        return record.fail(member, token, self.target, self.reason)
