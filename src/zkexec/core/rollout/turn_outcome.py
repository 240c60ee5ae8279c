"""How a turn ends, or stays: what the group has to be told, until its record says so."""

from enum import Enum

from zkexec.core.input_state import UNLIMITED
from zkexec.core.rollout.record import RolloutRecord
from zkexec.core.rollout.version import ConfigVersion, dated
from zkexec.frozen import frozen, replace


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
