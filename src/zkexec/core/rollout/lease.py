"""A member's entry in the record, and until when it may stop a command on the strength of it.

A member has its entry once the commit of it was answered, or the entry was read back.  A commit
whose answer was lost is neither assumed nor forgotten.  The lease begins when a commit that
contains the entry is *decided on*, which is before it is sent.
"""

from __future__ import annotations

from zkexec.core.rollout.record import EntryPhase, InFlightEntry, RolloutRecord
from zkexec.core.rollout.version import ConfigVersion, renumbered
from zkexec.core.snapshot import UNLIMITED, Snapshot
from zkexec.enumeration import Enum
from zkexec.frozen import frozen, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


LEASE_SHARE = 1 / 6
"""The lease after a committed write, as a part of the session timeout.

The ensemble may have begun to count at the ping before the write, a third of the timeout earlier.
It counts in ticks, of which a session timeout has at least two: 1 - 1/3 - 1/2."""


@frozen()
class Proposal:
    """A commit on its way: what it changes, when it was decided on, and what it admits.

    `admits` is the snapshot that this member is admitted to, and `version` its version.
    """

    before: RolloutRecord
    after: RolloutRecord
    sent_at: float
    admits: Snapshot | None = None
    version: ConfigVersion | None = None


class Lease:
    """The entry of this member, under its own token."""

    def __init__(self, member: str, new_token: Callable[[], str]) -> None:
        self._member = member
        self._new_token = new_token
        self._token = ""
        self._lease_from: float | None = None
        self.admitted: Snapshot | None = None
        """The snapshot that this member was admitted for."""
        self.proposal: Proposal | None = None

    @property
    def token(self) -> str:
        """The token of the entry, or of the next one; it stays until that is decided."""
        self._token = self._token or self._new_token()
        return self._token

    def entry_in(self, record: RolloutRecord) -> InFlightEntry | None:
        """Return the entry, if the record has it under this member's token."""
        entry = record.in_flight.get(self._member)
        return entry if entry is not None and entry.token == self._token else None

    def entry_for(self, version: ConfigVersion, zone: str = "") -> InFlightEntry:
        """Return an entry for a restart on this version."""
        token, written = self.token, version.written
        return InFlightEntry(token, version.digest, version.zxid, written=written, zone=zone)

    def has_failed(self, record: RolloutRecord) -> bool:
        """Whether the entry is kept because its version failed."""
        entry = self.entry_in(record)
        return entry is not None and entry.phase is EntryPhase.FAILED

    def may_stop(self, now: float, session_timeout_s: float) -> bool:
        """Whether no other member can have reclaimed this turn by now."""
        if self.admitted is None or self._lease_from is None:
            return False
        return now < self._lease_from + session_timeout_s * LEASE_SHARE

    def begin_history(self) -> None:
        """Count the present turn as one of another history of the servers."""
        if self.admitted is not None:
            self.admitted = replace(self.admitted, zxid=UNLIMITED)

    def committed(self) -> Proposal:
        """Take over the proposal, which was written."""
        proposal, self.proposal = self.proposal, None
        if proposal is None:
            raise RuntimeError("a commit was answered that was not sent")
        self._apply(proposal)
        return proposal

    def refused(self) -> Proposal | None:
        """Drop the proposal, which was certainly not written."""
        proposal, self.proposal = self.proposal, None
        return proposal

    def read(self, record: RolloutRecord) -> bool:
        """Compare with the record that was read; return whether the member has lost its entry."""
        entry, proposal, self.proposal = self.entry_in(record), self.proposal, None
        if entry is not None:
            if proposal is not None and self._is_made_by(entry, proposal):
                self._apply(proposal)
            return False
        was_released = proposal is not None and self.entry_in(proposal.after) is None
        was_admitted = self.admitted is not None
        if was_admitted:
            self.end()
        return was_admitted and not was_released

    def end(self) -> None:
        """End the lease; the next entry has another token."""
        self._token = ""
        self._lease_from = self.admitted = None

    def _is_made_by(self, entry: InFlightEntry, proposal: Proposal) -> bool:
        return proposal.version is not None and (
            (entry.digest, entry.zxid) == (proposal.version.digest, proposal.version.zxid)
        )

    def take(self, wanted: Snapshot) -> None:
        """Note that the head has admitted this member to the wanted snapshot.

        That proves nothing about the own session: the lease begins with a write of the own entry.
        """
        self.admitted = wanted

    def _apply(self, proposal: Proposal) -> None:
        if self.entry_in(proposal.after) is None:
            if self.admitted is not None or self.entry_in(proposal.before) is not None:
                self.end()
            return
        self._lease_from = proposal.sent_at
        if proposal.admits is not None:
            self.admitted = proposal.admits


class TurnResult(Enum):
    """How a turn ended."""

    KNOWN_GOOD = "known good"
    FAILED = "failed"
    RELEASED = "released"


@frozen()
class TurnOutcome:
    """A result that the record has to contain; `version` is the version that it is about."""

    result: TurnResult
    version: ConfigVersion | None = None
    reason: str = ""
    step: str = ""

    def renumbered(self, newest: int, zxid: int) -> TurnOutcome:
        """Return the same result with `zxid` if its version's zxid is above `newest`."""
        if self.version is None:
            return self
        return replace(self, version=renumbered(self.version, newest, zxid))

    def of_other_history(self) -> TurnOutcome:
        """Return the same result as one of another history, whatever its zxid."""
        if self.version is None:
            return self
        return replace(self, version=replace(self.version, zxid=UNLIMITED))

    def entered_in(self, record: RolloutRecord, member: str, token: str) -> RolloutRecord:
        """Return the record with this result, the same object if it has it already."""
        if self.version is None or self.result is TurnResult.RELEASED:
            return record.release(member, None)
        if self.result is TurnResult.KNOWN_GOOD:
            return record.release(member, self.version)
        return record.fail(member, token, self.version, self.reason, self.step)
