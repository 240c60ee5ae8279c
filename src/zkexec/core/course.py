"""The phase that a member is in, and the only place that changes it."""

from zkexec.core.actions import Action, Note
from zkexec.core.transitions import Phase


class Course:
    """Where a member stands on its way."""

    def __init__(self) -> None:
        self.phase = Phase.LOADING

    def enter(self, phase: Phase) -> list[Action]:
        """Go over to another phase, and say so; staying says nothing."""
        left, self.phase = self.phase, phase
        return [] if left is phase else [Note("phase", {"left": left.value, "phase": phase.value})]

    def is_in(self, *phases: Phase) -> bool:
        """Whether the phase is one of these."""
        return self.phase in phases
