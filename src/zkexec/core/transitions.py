"""Which event may lead from which phase to which: the table that every step is checked against.

There is one row for each phase.  It lists the phases that can follow, and the events that lead
there.  Any other event leaves the phase as it is, and staying is always allowed.  An overdue
deadline fires after any event, as a Tick of its own.  The diagram in docs/design.md is drawn from
this table.
"""

from __future__ import annotations

from zkexec.core import events
from zkexec.core.events import Event
from zkexec.core.phases import ImpossibleTransitionError, Phase
from zkexec.core.rollout import group_events

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TypeAlias

    Row: TypeAlias = Mapping[Phase, tuple[type[Event], ...]]

CLUSTER_EVENTS = (
    *(events.SessionConnected, events.SessionSuspended, events.SessionLost, events.ConnectFailed),
    *(events.ZnodeTouched, events.ZnodesRead, events.ReadFailed),
    *(group_events.GroupTouched, *group_events.ANSWERS),
)
"""The events that reach a member through the session."""

PERMITTED = (events.FilesStaged, events.StepFinished, group_events.RecordCommitted)
"""The events after which the next step with staged files may be taken: examined or permitted."""

GONE = (events.CommandExited, events.SignalReceived)
"""The events with which zkexec ends while a command runs."""

JUDGED = (events.Tick, events.HealthCheckFinished, events.StepFinished)
"""The events that can decide whether a command is known good."""

TABLE: Mapping[Phase, Row] = {
    Phase.LOADING: {
        Phase.RUNNING: (events.Started, events.CommandStarted),
        Phase.WAITING: (events.CachedFilesFound, events.CachedFilesMissing, events.CommandStarted),
        Phase.CHECKING: (events.FilesStaged, events.StepFinished),
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
        Phase.EXITING: GONE,
        Phase.DONE: (events.CommandExited,),
    },
    Phase.WAITING: {
        Phase.RUNNING: (events.ZnodesRead,),
        **dict.fromkeys(
            (Phase.CHECKING, Phase.DRAINING, Phase.RELOADING, Phase.STOPPING), PERMITTED
        ),
        Phase.VERIFYING: (events.ZnodesRead, events.FilesInstalled),
        Phase.BLOCKED: (events.FilesFailed,),
        Phase.EXITING: GONE,
        Phase.DONE: GONE,
    },
    Phase.CHECKING: {
        Phase.LOADING: (events.Tick, events.StepFinished, *CLUSTER_EVENTS),
        Phase.RUNNING: (events.ZnodesRead, *JUDGED),
        Phase.WAITING: (events.CommandExited, *JUDGED, *CLUSTER_EVENTS),
        Phase.DRAINING: (events.StepFinished,),
        Phase.RELOADING: (events.StepFinished,),
        Phase.STOPPING: (events.StepFinished,),
        Phase.VERIFYING: (events.CommandExited, *JUDGED, *CLUSTER_EVENTS),
        Phase.FAILED: (events.CommandExited, *JUDGED, *CLUSTER_EVENTS),
        Phase.BLOCKED: (events.CommandExited, *JUDGED),
        Phase.EXITING: (*GONE, events.ZnodesRead, events.StepFinished),
        Phase.DONE: (*GONE, events.ZnodesRead, events.StepFinished),
    },
    Phase.DRAINING: {
        Phase.RUNNING: (events.ZnodesRead, *JUDGED),
        Phase.WAITING: (events.CommandExited, *JUDGED),
        Phase.CHECKING: (events.StepFinished,),
        Phase.RELOADING: (events.StepFinished,),
        Phase.STOPPING: (events.StepFinished,),
        Phase.VERIFYING: (events.FilesFailed, events.CommandExited, events.ZnodesRead, *JUDGED),
        Phase.FAILED: (events.FilesFailed, events.CommandExited, *JUDGED),
        Phase.BLOCKED: (events.FilesFailed, events.CommandExited, *JUDGED),
        Phase.EXITING: GONE,
        Phase.DONE: GONE,
    },
    Phase.RELOADING: {
        Phase.RUNNING: (events.FilesInstalled, events.StepFinished),
        Phase.WAITING: (events.StepFinished,),
        Phase.VERIFYING: (events.FilesInstalled, events.FilesFailed, events.StepFinished),
        Phase.FAILED: (events.FilesFailed, events.StepFinished, events.CommandExited),
        Phase.BLOCKED: (events.FilesFailed,),
        Phase.EXITING: GONE,
        Phase.DONE: GONE,
    },
    Phase.STOPPING: {
        Phase.VERIFYING: (events.FilesInstalled, events.FilesFailed, events.ProcessTreeInspected),
        Phase.EXITING: (events.SignalReceived,),
    },
    Phase.VERIFYING: {
        Phase.RUNNING: (events.CommandStarted, *JUDGED),
        Phase.WAITING: (events.CommandStarted, *JUDGED),
        **dict.fromkeys(
            (Phase.CHECKING, Phase.DRAINING, Phase.RELOADING, Phase.STOPPING), PERMITTED
        ),
        **dict.fromkeys(
            (Phase.FAILED, Phase.BLOCKED),
            (events.CommandStarted, events.StartFailed, events.CommandExited, *JUDGED),
        ),
        Phase.EXITING: (events.StartFailed, *GONE),
        Phase.DONE: (events.StartFailed, *GONE),
    },
    Phase.FAILED: {
        Phase.RUNNING: (events.ZnodesRead, events.FilesInstalled, *JUDGED),
        Phase.WAITING: JUDGED,
        **dict.fromkeys(
            (Phase.CHECKING, Phase.DRAINING, Phase.RELOADING, Phase.STOPPING), PERMITTED
        ),
        Phase.VERIFYING: (events.ZnodesRead, events.FilesInstalled),
        Phase.BLOCKED: (events.FilesFailed,),
        Phase.EXITING: GONE,
        Phase.DONE: GONE,
    },
    Phase.BLOCKED: {
        Phase.RUNNING: (events.ZnodesRead,),
        Phase.WAITING: (events.Tick, events.ZnodesRead),
        Phase.VERIFYING: (events.ZnodesRead,),
        Phase.EXITING: GONE,
        Phase.DONE: GONE,
    },
    Phase.EXITING: {
        Phase.DONE: (
            *(events.Tick, events.CommandExited, events.ProcessTreeInspected),
            *(
                events.HealthCheckFinished,
                events.AlertFinished,
                events.SignalReceived,
                *CLUSTER_EVENTS,
            ),
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
