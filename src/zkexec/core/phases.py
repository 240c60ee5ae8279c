"""The phases of a member, and which event may lead from which phase to which.

The table is total: it has a cell for each phase and each event.  A cell lists the phases that the
event may lead to, by their letters; "-" means none.  Staying is always allowed, and not listed.
An overdue deadline fires after any event, as a Tick of its own.  The diagram in docs/design.md is
drawn from this table.
"""

from enum import Enum

from zkexec.core import events
from zkexec.core.actions import Action, Note
from zkexec.core.command import Command
from zkexec.core.events import Event
from zkexec.core.rollout import group_events


class Phase(Enum):
    """What a member is doing now; the value is the word for people."""

    LOADING = "loading"
    """The first snapshot, its files, or the first command is not there yet."""
    RUNNING = "running"
    """The command runs on the wanted configuration."""
    WAITING = "waiting"
    """There is a change: the settle time runs, the turn is requested, or the files are staged.

    A first start that has to wait for its turn waits here, too, without a command.
    """
    STOPPING = "stopping"
    """The old command is being stopped, or its process tree is not gone yet."""
    VERIFYING = "verifying"
    """The new command is being started; it has to run, and in a group to become healthy."""
    FAILED = "failed"
    """The new configuration failed, or could not be written; there may be no command."""
    EXITING = "exiting"
    """zkexec is ending: nothing is started any more but a last alert."""
    DONE = "done"
    """zkexec has ended."""


LETTERS = "LRWSVFXD"
PHASES = dict(zip(LETTERS, Phase, strict=True))

TABLE: dict[type[Event], tuple[str, ...]] = {
    # In the phases:                   L      R     W     S    V      F      X    D
    events.Started: (                 "R",   "-",  "-",  "-", "-",   "-",   "-", "-"),
    events.Tick: (                    "XD",  "-",  "-",  "-", "RWF", "RW",  "D", "-"),
    events.SessionConnected: (        "-",   "-",  "-",  "-", "-",   "-",   "D", "-"),
    events.SessionSuspended: (        "-",   "-",  "-",  "-", "-",   "-",   "D", "-"),
    events.SessionLost: (             "-",   "-",  "-",  "-", "-",   "-",   "D", "-"),
    events.ConnectFailed: (           "-",   "-",  "-",  "-", "-",   "-",   "D", "-"),
    events.ZnodeTouched: (            "-",   "-",  "-",  "-", "-",   "-",   "D", "-"),
    events.ZnodesRead: (              "XD",  "WV", "RV", "-", "-",   "RWV", "D", "-"),
    events.ReadFailed: (              "-",   "-",  "-",  "-", "-",   "-",   "D", "-"),
    group_events.GroupTouched: (      "-",   "-",  "-",  "-", "-",   "-",   "D", "-"),
    group_events.Enrolled: (          "-",   "-",  "-",  "-", "-",   "-",   "D", "-"),
    group_events.EnrolmentOccupied: ( "-",   "-",  "-",  "-", "-",   "-",   "D", "-"),
    group_events.QueueJoined: (       "-",   "-",  "-",  "-", "-",   "-",   "D", "-"),
    group_events.QueueListed: (       "-",   "-",  "-",  "-", "-",   "-",   "D", "-"),
    group_events.QueueNodeRead: (     "-",   "-",  "-",  "-", "-",   "-",   "D", "-"),
    group_events.QueueLeft: (         "-",   "-",  "-",  "-", "-",   "-",   "D", "-"),
    group_events.RecordRead: (        "-",   "V",  "-",  "-", "-",   "-",   "D", "-"),
    group_events.RecordCommitted: (   "-",   "-",  "S",  "-", "S",   "S",   "D", "-"),
    group_events.CommitRefused: (     "-",   "-",  "-",  "-", "-",   "-",   "D", "-"),
    group_events.GroupRequestFailed: ("-",   "-",  "-",  "-", "-",   "-",   "D", "-"),
    events.CachedFilesFound: (        "W",   "-",  "-",  "-", "-",   "-",   "-", "-"),
    events.CachedFilesMissing: (      "WXD", "-",  "-",  "-", "-",   "-",   "-", "-"),
    events.FilesStaged: (             "-",   "-",  "S",  "-", "S",   "S",   "-", "-"),
    events.FilesInstalled: (          "-",   "-",  "V",  "V", "-",   "V",   "-", "-"),
    events.FilesFailed: (             "XD",  "-",  "F",  "V", "-",   "-",   "-", "-"),
    events.CommandStarted: (          "RWV", "-",  "-",  "-", "RWF", "-",   "-", "-"),
    events.StartFailed: (             "XD",  "-",  "-",  "-", "FXD", "-",   "-", "-"),
    events.CommandExited: (           "-",   "XD", "XD", "-", "FXD", "XD",  "-", "-"),
    events.ProcessTreeInspected: (    "-",   "-",  "-",  "V", "-",   "-",   "D", "-"),
    events.HealthCheckFinished: (     "-",   "-",  "-",  "-", "RWF", "RW",  "D", "-"),
    events.AlertFinished: (           "-",   "-",  "-",  "-", "-",   "-",   "D", "-"),
    events.SignalReceived: (          "XD",  "X",  "XD", "X", "XD",  "XD",  "D", "-"),
}  # fmt: skip


class ImpossibleTransitionError(RuntimeError):
    """A transition that is not in the table: a mistake in the core, never of a user."""


def may_lead_to(phase: Phase, event: type[Event]) -> frozenset[Phase]:
    """Return the phases that the event may lead to from this one, other than staying."""
    cell = TABLE[event][list(Phase).index(phase)]
    return frozenset(PHASES[letter] for letter in cell if letter != "-")


def check_transition(before: Phase, event: Event, after: Phase) -> None:
    """Raise ImpossibleTransitionError unless the phase is the same or the table allows it."""
    if after is not before and after not in may_lead_to(before, type(event)):
        raise ImpossibleTransitionError(
            f"{type(event).__name__} led from {before.value} to {after.value}"
        )


class CurrentPhase:
    """The phase of a member, and the only way to change it."""

    def __init__(self, command: Command) -> None:
        """Begin with a command that was not started yet."""
        self._command = command
        self.phase = Phase.LOADING

    def enter(self, phase: Phase) -> list[Action]:
        """Enter a phase, and log it if it is another one.

        Without a command there is no way into "running".  A member would stay there: nothing would
        start its command, and no signal would end it.
        """
        if phase is Phase.RUNNING and not self._command.present:
            raise ImpossibleTransitionError(f"{self.phase.value} led to running without a command")
        left, self.phase = self.phase, phase
        return [] if left is phase else [Note("phase", {"left": left.value, "phase": phase.value})]

    def is_in(self, *phases: Phase) -> bool:
        """Whether the phase is one of these."""
        return self.phase in phases
