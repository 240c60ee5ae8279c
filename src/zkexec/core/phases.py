"""The phases of a member, and which event may lead from which to which: data, nothing else.

The table is total: it has a cell for each phase and each event.  A cell names the phases that
the event may lead to, by their letters; staying is always allowed and is not named, and "-"
means that nothing but staying is.  A deadline that is overdue fires whatever event came, as a
Tick of its own after it.  The diagram in docs/design.md is drawn from this table.
"""

from enum import Enum

from zkexec.core import events
from zkexec.core.actions import Action, Note
from zkexec.core.command import Command
from zkexec.core.events import Event
from zkexec.core.rollout import group_events


class Phase(Enum):
    """Where a member stands; the value is the word that the README uses."""

    LOADING = "loading"
    """The first snapshot, its files, or the first child is not there yet."""
    RUNNING = "running"
    """The child runs on what is wanted."""
    WAITING = "waiting"
    """Something new is wanted: it settles, the turn is asked for, its files are staged.

    A first start that has to wait for its turn waits here, too, without a child.
    """
    STOPPING = "stopping"
    """The old child has been told to end, or its tree is not gone yet."""
    VERIFYING = "verifying"
    """The new child is started; it has to come to life, and in a group to become healthy."""
    FAILED = "failed"
    """The new configuration failed, or could not be written; there may be no child at all."""
    EXITING = "exiting"
    """The end: nothing is started any more but a last alert."""
    DONE = "done"
    """Over."""


LETTERS = "LRWSVFXD"
PHASES = dict(zip(LETTERS, Phase, strict=True))

TABLE: dict[type[Event], tuple[str, ...]] = {
    # In the phases:                   L      R     W      S    V      F      X    D
    events.Started: (                 "R",   "-",  "-",   "-", "-",   "-",   "-", "-"),
    events.Tick: (                    "XD",  "-",  "-",   "-", "RWF", "RW",  "D", "-"),
    events.SessionConnected: (        "-",   "-",  "-",   "-", "-",   "-",   "-", "-"),
    events.SessionSuspended: (        "-",   "-",  "-",   "-", "-",   "-",   "D", "-"),
    events.SessionLost: (             "-",   "-",  "-",   "-", "-",   "-",   "D", "-"),
    events.SessionClosed: (           "-",   "-",  "-",   "-", "-",   "-",   "D", "-"),
    events.ConnectFailed: (           "-",   "-",  "-",   "-", "-",   "-",   "-", "-"),
    events.ZnodeTouched: (            "-",   "-",  "-",   "-", "-",   "-",   "-", "-"),
    events.ZnodesRead: (              "XD",  "WV", "RV",  "-", "-",   "RWV", "-", "-"),
    events.ReadFailed: (              "-",   "-",  "-",   "-", "-",   "-",   "-", "-"),
    group_events.GroupTouched: (      "-",   "-",  "-",   "-", "-",   "-",   "-", "-"),
    group_events.Enrolled: (          "-",   "-",  "-",   "-", "-",   "-",   "D", "-"),
    group_events.EnrolmentOccupied: ( "-",   "-",  "-",   "-", "-",   "-",   "D", "-"),
    group_events.QueueJoined: (       "-",   "-",  "-",   "-", "-",   "-",   "D", "-"),
    group_events.QueueListed: (       "-",   "-",  "-",   "-", "-",   "-",   "D", "-"),
    group_events.QueueNodeRead: (     "-",   "-",  "-",   "-", "-",   "-",   "D", "-"),
    group_events.QueueLeft: (         "-",   "-",  "-",   "-", "-",   "-",   "D", "-"),
    group_events.RecordRead: (        "-",   "V",  "-",   "-", "-",   "-",   "D", "-"),
    group_events.RecordCommitted: (   "-",   "-",  "S",   "-", "S",   "S",   "D", "-"),
    group_events.CommitRefused: (     "-",   "-",  "-",   "-", "-",   "-",   "D", "-"),
    group_events.GroupRequestFailed: ("-",   "-",  "-",   "-", "-",   "-",   "D", "-"),
    events.CachedFilesFound: (        "W",   "-",  "-",   "-", "-",   "-",   "-", "-"),
    events.CachedFilesMissing: (      "WXD", "-",  "-",   "-", "-",   "-",   "-", "-"),
    events.FilesStaged: (             "-",   "-",  "S",   "-", "S",   "S",   "-", "-"),
    events.FilesInstalled: (          "-",   "-",  "V",   "V", "-",   "V",   "-", "-"),
    events.FilesFailed: (             "XD",  "-",  "F",   "V", "-",   "-",   "-", "-"),
    events.CommandStarted: (            "RWV", "-",  "-",   "-", "RWF", "-",   "-", "-"),
    events.StartFailed: (             "XD",  "-",  "-",   "-", "FXD", "-",   "-", "-"),
    events.CommandExited: (             "-",   "XD", "XD",  "-", "FXD", "XD",  "-", "-"),
    events.ProcessTreeInspected: (           "-",   "-",  "-",   "V", "-",   "-",   "D", "-"),
    events.HealthCheckFinished: (           "-",   "-",  "-",   "-", "RWF", "RW",  "-", "-"),
    events.AlertFinished: (           "-",   "-",  "-",   "-", "-",   "-",   "D", "-"),
    events.SignalReceived: (          "XD",  "X",  "XD",  "X", "XD",  "XD",  "-", "-"),
}  # fmt: skip


class ImpossibleTransitionError(RuntimeError):
    """A step that the table does not know: a mistake in the core, never of a user."""


def may_lead_to(phase: Phase, event: type[Event]) -> frozenset[Phase]:
    """The phases that the event may lead to from this one, other than staying."""
    cell = TABLE[event][list(Phase).index(phase)]
    return frozenset(PHASES[letter] for letter in cell if letter != "-")


def check_transition(before: Phase, event: Event, after: Phase) -> None:
    """Raise ImpossibleTransitionError unless the step stays or stands in the table."""
    if after is not before and after not in may_lead_to(before, type(event)):
        raise ImpossibleTransitionError(
            f"{type(event).__name__} led from {before.value} to {after.value}"
        )


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
