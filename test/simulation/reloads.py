"""What a bystander can conclude about reloads: when they were, and what they have replaced."""

from simulation.host_model import HostModel
from zkexec.core import actions, events
from zkexec.core.actions import Action
from zkexec.core.events import Event
from zkexec.core.snapshot import Snapshot
from zkexec.core.step import Step

NEVER = -1e9


class Reloads:
    """The reloads of the present command."""

    def __init__(self, host: HostModel) -> None:
        """Begin without any."""
        self._host = host
        self.at = NEVER
        """When the command was last made to load other files."""
        self.failed = False
        """Whether a reload was refused, so that the files before it are to be put back."""
        self.puts_back = False
        """Whether the event is that the old files are back after a refused reload."""
        self.replaced = Snapshot({})
        """The files before those that are installed now."""
        self._files = host.files
        self._at_before = NEVER
        """`at` before a reload that may still be refused."""
        self._number = 0
        self._killed = False

    def see_event(self, event: Event, now: float, *, is_beside: bool) -> bool:
        """Take in what happened; return whether a health check from before does not count now.

        `is_beside`: a command runs that is not being stopped.
        """
        self.puts_back = False
        match event:
            case events.CommandStarted():
                self.at, self.failed = NEVER, False
            case events.FilesInstalled():
                return self._see_install(now, is_beside=is_beside)
            case events.StepFinished(Step.RELOAD, number, outcome) if number == self._number:
                self.failed = self._killed or not outcome.passed
                self.at = self._at_before if self.failed else now
                return True
        return False

    def _see_install(self, now: float, *, is_beside: bool) -> bool:
        self.puts_back = self.failed and self._host.files.files == self.replaced.files
        if self._files.files != self._host.files.files:
            self.replaced = self._files
        self.failed = self.failed and not self.puts_back
        return is_beside and not self.puts_back and self._begin(now)

    def _begin(self, now: float) -> bool:
        self._at_before, self.at = self.at, now
        return True

    def see_action(self, action: Action, now: float) -> bool:
        """Take in what was done; return whether a health check from before does not count now."""
        match action:
            case actions.SignalCommand():
                return self._begin(now)
            case actions.RunStep(step=Step.RELOAD, number=number):
                self._number, self._killed = number, False
            case actions.KillStep(Step.RELOAD):
                self._killed = True
        return False

    def see_files(self) -> None:
        """Note what is installed before anything is done."""
        self._files = self._host.files
