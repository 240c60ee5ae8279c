"""When the last turn of a member began and ended, as far as its phases and steps show it."""

from __future__ import annotations

from zkexec.core.phases import Phase
from zkexec.core.rollout.version import short
from zkexec.core.step import Step
from zkexec.core.turn import MemberStatus, TurnAges
from zkexec.frozen import replace

_IN_WORK = frozenset(
    phase.value
    for phase in (
        Phase.CHECKING,
        Phase.DRAINING,
        Phase.RELOADING,
        Phase.STOPPING,
        Phase.VERIFYING,
    )
)
"""The phases in which a member applies a change."""

_ACTIONS = {
    Phase.STOPPING.value: "restart",
    Step.START.value: "restart",
    Phase.RELOADING.value: "reload",
}
"""The action that a phase or a step shows."""

_RESULTS = {
    Phase.RUNNING.value: "succeeded",
    Phase.FAILED.value: "failed",
    Phase.BLOCKED.value: "blocked",
}


class TurnTimes:
    """The last turn of this process; no turn before the first."""

    def __init__(self) -> None:
        self._turn: TurnAges | None = None
        self._began = 0.0
        self._ended = 0.0

    def note(self, status: MemberStatus, now: float) -> None:
        """Take note of a status, whether or not it is published."""
        turn, digest = self._turn, short(status.wanted)
        if status.phase in _IN_WORK:
            if turn is None or turn.ended_s is not None or turn.digest != digest:
                turn, self._began = TurnAges(digest), now
            action = _ACTIONS.get(status.phase) or _ACTIONS.get(status.step, turn.action)
            self._turn = replace(turn, action=action)
        elif turn is not None and turn.ended_s is None:
            result = _RESULTS.get(status.phase, "")
            has_left_it = result == "succeeded" and short(status.running) != turn.digest
            self._ended = now
            self._turn = replace(turn, ended_s=0.0, result="" if has_left_it else result)

    def ages(self, now: float) -> TurnAges | None:
        """Return the last turn with its times as of now."""
        turn = self._turn
        if turn is None:
            return None
        ended_s = None if turn.ended_s is None else now - self._ended
        return replace(turn, began_s=now - self._began, ended_s=ended_s)
