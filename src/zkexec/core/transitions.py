"""Which event may lead from which phase to which: the table that every step is checked against.

There is one row for each phase.  It lists the phases that can follow, and the events that lead
there.  Any other event leaves the phase as it is, and staying is always allowed.  An overdue
deadline fires after any event, as a Tick of its own.  The diagram in docs/design.md is drawn from
this table.
"""

from collections.abc import Mapping

from zkexec.core import events
from zkexec.core.events import Event
from zkexec.core.phases import ImpossibleTransitionError, Phase
from zkexec.core.rollout import group_events

Row = Mapping[Phase, tuple[type[Event], ...]]

CLUSTER_EVENTS = (
    *(events.SessionConnected, events.SessionSuspended, events.SessionLost, events.ConnectFailed),
    *(events.ZnodeTouched, events.ZnodesRead, events.ReadFailed),
    *(group_events.GroupTouched, *group_events.ANSWERS),
)
"""The events that reach a member through the session."""

TABLE: Mapping[Phase, Row] = {
    Phase.LOADING: {
        Phase.RUNNING: (events.Started, events.CommandStarted),
        Phase.WAITING: (events.CachedFilesFound, events.CachedFilesMissing, events.CommandStarted),
        Phase.VERIFYING: (events.CommandStarted,),
        **dict.fromkeys(
            (Phase.EXITING, Phase.DONE),
            (
                *(events.Tick, events.ZnodesRead, events.CachedFilesMissing, events.FilesFailed),
                *(events.StartFailed, events.SignalReceived),
            ),
        ),
    },
    Phase.RUNNING: {
        Phase.WAITING: (events.ZnodesRead,),
        Phase.VERIFYING: (events.ZnodesRead, group_events.RecordRead),
        Phase.EXITING: (events.CommandExited, events.SignalReceived),
        Phase.DONE: (events.CommandExited,),
    },
    Phase.WAITING: {
        Phase.RUNNING: (events.ZnodesRead,),
        Phase.STOPPING: (events.FilesStaged, group_events.RecordCommitted),
        Phase.VERIFYING: (events.ZnodesRead, events.FilesInstalled),
        Phase.BLOCKED: (events.FilesFailed,),
        Phase.EXITING: (events.CommandExited, events.SignalReceived),
        Phase.DONE: (events.CommandExited, events.SignalReceived),
    },
    Phase.STOPPING: {
        Phase.VERIFYING: (events.FilesInstalled, events.FilesFailed, events.ProcessTreeInspected),
        Phase.EXITING: (events.SignalReceived,),
    },
    Phase.VERIFYING: {
        Phase.RUNNING: (events.Tick, events.CommandStarted, events.HealthCheckFinished),
        Phase.WAITING: (events.Tick, events.CommandStarted, events.HealthCheckFinished),
        Phase.STOPPING: (events.FilesStaged, group_events.RecordCommitted),
        **dict.fromkeys(
            (Phase.FAILED, Phase.BLOCKED),
            (
                *(events.Tick, events.CommandStarted, events.StartFailed),
                *(events.CommandExited, events.HealthCheckFinished),
            ),
        ),
        Phase.EXITING: (events.StartFailed, events.CommandExited, events.SignalReceived),
        Phase.DONE: (events.StartFailed, events.CommandExited, events.SignalReceived),
    },
    Phase.FAILED: {
        Phase.RUNNING: (events.Tick, events.ZnodesRead, events.HealthCheckFinished),
        Phase.WAITING: (events.Tick, events.HealthCheckFinished),
        Phase.STOPPING: (events.FilesStaged, group_events.RecordCommitted),
        Phase.VERIFYING: (events.ZnodesRead, events.FilesInstalled),
        Phase.EXITING: (events.CommandExited, events.SignalReceived),
        Phase.DONE: (events.CommandExited, events.SignalReceived),
    },
    Phase.BLOCKED: {
        Phase.RUNNING: (events.ZnodesRead,),
        Phase.WAITING: (events.Tick, events.ZnodesRead),
        Phase.VERIFYING: (events.ZnodesRead,),
        Phase.EXITING: (events.CommandExited, events.SignalReceived),
        Phase.DONE: (events.CommandExited, events.SignalReceived),
    },
    Phase.EXITING: {
        Phase.DONE: (
            *(events.Tick, events.ProcessTreeInspected, events.HealthCheckFinished),
            *(events.AlertFinished, events.SignalReceived, *CLUSTER_EVENTS),
        ),
    },
    Phase.DONE: {},
}


def check_transition(before: Phase, event: Event, after: Phase) -> None:
    """Raise ImpossibleTransitionError unless the phase is the same or the table allows it."""
    if after is not before and type(event) not in TABLE[before].get(after, ()):
        raise ImpossibleTransitionError(
            f"{type(event).__name__} led from {before.value} to {after.value}"
        )
