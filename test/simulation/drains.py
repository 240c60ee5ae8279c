"""What a bystander can conclude about drains: whether a command has exited during one.

A pre-stop command may make the command exit by itself.  The change for which it was drained goes on
then, and zkexec does not end with the command.
"""

from zkexec.core import actions, events
from zkexec.core.actions import Action
from zkexec.core.events import Event
from zkexec.core.step import Step


class Drains:
    """The drains for changes; those at the end of zkexec do not count."""

    def __init__(self) -> None:
        """Begin without any."""
        self.has_left = False
        """Whether the command has exited while it was drained, and no other was started yet."""
        self._number = 0
        """The number of the pre-stop that runs, 0 for none."""

    def see_event(self, event: Event, *, is_ending: bool) -> None:
        """Take in what happened; `is_ending`: a TERM has come before."""
        match event:
            case events.CommandStarted():
                self.has_left = False
            case events.CommandExited():
                self.has_left = bool(self._number) and not is_ending
            case events.StepFinished(Step.PRE_STOP, number) if number == self._number:
                self._number = 0

    def see_action(self, action: Action) -> None:
        """Take in what was done."""
        match action:
            case actions.RunStep(step=Step.PRE_STOP, number=number, event="restart"):
                self._number = number
            case actions.KillStep(Step.PRE_STOP) if not self.has_left:
                self._number = 0

    def forget(self) -> None:
        """The core is lost that has drained the command."""
        self._number = 0
