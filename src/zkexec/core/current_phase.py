"""The phase that a member is in, and the only place that changes it."""

from zkexec.core.actions import Action, Note
from zkexec.core.command import Command
from zkexec.core.phases import ImpossibleTransitionError, Phase


class CurrentPhase:
    """Where a member stands on its way."""

    def __init__(self, command: Command) -> None:
        """Begin with a command that is still to be started for the first time."""
        self._command = command
        self.phase = Phase.LOADING

    def enter(self, phase: Phase) -> list[Action]:
        """Go over to another phase, and say so; staying says nothing.

        There is no way into "running" without a command: a member would rest there, with nothing
        that starts its command and no signal that ends it.
        """
        if phase is Phase.RUNNING and not self._command.present:
            raise ImpossibleTransitionError(f"{self.phase.value} led to running without a command")
        left, self.phase = self.phase, phase
        return [] if left is phase else [Note("phase", {"left": left.value, "phase": phase.value})]

    def is_in(self, *phases: Phase) -> bool:
        """Whether the phase is one of these."""
        return self.phase in phases
