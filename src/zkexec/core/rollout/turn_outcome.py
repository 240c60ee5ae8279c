"""How a turn ends, or stays: what the group has to be told, until its record says so."""

from enum import Enum

from zkexec.core.input_state import UNLIMITED
from zkexec.core.rollout.record import Rollout
from zkexec.core.rollout.version import Target, dated
from zkexec.frozen import replace, value


class Result(Enum):
    """What became of a turn."""

    PROVEN = "proven"
    FAILED = "failed"
    GIVEN_BACK = "given back"


@value()
class Outcome:
    """A result that the record has to show; the target is what the result is about."""

    result: Result
    target: Target | None = None
    reason: str = ""

    def dated(self, newest: int, revision: int) -> "Outcome":
        """The same result, at this revision where its own is above all that there is."""
        if self.target is None:
            return self
        return replace(self, target=dated(self.target, newest, revision))

    def disowned(self) -> "Outcome":
        """The same as a result of another history, whatever its revision."""
        if self.target is None:
            return self
        return replace(self, target=replace(self.target, revision=UNLIMITED))

    def entered(self, record: Rollout, member: str, token: str) -> Rollout:
        """The record with this in it: the same object once nothing is missing."""
        if self.target is None or self.result is Result.GIVEN_BACK:
            return record.release(member, None)
        if self.result is Result.PROVEN:
            return record.release(member, self.target)
        return record.fail(member, token, self.target, self.reason)
