"""What a command writes to stderr, as the loop of zkexec adds it to events."""

from zkexec.core import actions, events
from zkexec.core.actions import Action
from zkexec.core.events import Event
from zkexec.core.step import Step
from zkexec.frozen import replace


class WrittenLines:
    """The last line of the present command: it names the command, and how often that got files."""

    def __init__(self) -> None:
        """Begin before the first command."""
        self._generation = 0
        self._installs = 0

    @property
    def last_line(self) -> str:
        """What the command writes all the time since its start, or since it got other files."""
        return f"command {self._generation} with files {self._installs}"

    def see(self, action: Action) -> None:
        """Begin anew with a start, and with all that makes a running command load files."""
        match action:
            case actions.StartCommand(generation):
                self._generation, self._installs = generation, 0
            case (
                actions.InstallFiles() | actions.SignalCommand() | actions.RunStep(step=Step.RELOAD)
            ):
                self._installs += 1

    def added_to(self, event: Event) -> Event:
        """Add the line to an event that has it."""
        if isinstance(event, events.Tick | events.HealthCheckFinished):
            return replace(event, last_line=self.last_line)
        return event
