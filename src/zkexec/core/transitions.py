"""Which event may lead from which phase to which: the table that every step is checked against.

There is one row for each phase.  It lists the phases that can follow, and the events that lead
there.  Any other event leaves the phase as it is, and staying is always allowed.  An overdue
deadline fires after any event, as a Tick of its own.  In a check and a drain, the row of the phase
in which they began counts as well, and any event can lead back to it.  The diagram in
docs/design.md is drawn from this table.
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
    *(events.ZnodeTouched, events.ZnodesRead, events.ReadFailed, events.RenderFinished),
    *(group_events.GroupTouched, *group_events.ANSWERS),
)
"""The events that reach a member through the session, or follow from what was read."""

EXAMINED = (events.FilesStaged, events.StepFinished)
"""The events after which staged files can be examined: they are there, and no check runs."""

READ = (events.ZnodesRead, events.RenderFinished)
"""The events after which another version can be wanted: read, and with templates rendered."""

PERMITTED = (events.FilesStaged, group_events.RecordCommitted, *READ)
"""The events after which the next step with staged files can be permitted.

A read shows that a tree is still what it was when the turn was granted.
"""

GONE = (events.CommandExited, events.SignalReceived)
"""The events with which zkexec ends while a command runs."""

GRANTED = (events.Tick, group_events.RecordCommitted, group_events.RecordRead)
"""The events after which a turn is granted: what cannot be rendered then fails at once."""

JUDGED = (events.Tick, events.HealthCheckFinished, events.StepFinished)
"""The events that can decide whether a command is known good."""

TABLE: Mapping[Phase, Row] = {
    Phase.LOADING: {
        Phase.RUNNING: (events.Started, events.CommandStarted),
        Phase.WAITING: (
            *(events.CachedFilesFound, events.CachedFilesMissing, events.CommandStarted),
            *(*READ, group_events.RecordRead),
        ),
        Phase.CHECKING: (events.FilesStaged, events.StepFinished),
        Phase.VERIFYING: (events.CommandStarted,),
        Phase.FAILED: (events.RenderFinished, group_events.RecordRead),
        **dict.fromkeys(
            (Phase.EXITING, Phase.DONE),
            (
                *(events.Tick, *READ, events.CachedFilesMissing, events.FilesFailed),
                *(events.StartFailed, events.SignalReceived, group_events.GroupRequestForbidden),
            ),
        ),
    },
    Phase.RUNNING: {
        Phase.WAITING: READ,
        Phase.VERIFYING: (*READ, group_events.RecordRead),
        Phase.EXITING: GONE,
        Phase.DONE: (events.CommandExited,),
    },
    Phase.WAITING: {
        Phase.RUNNING: READ,
        Phase.CHECKING: EXAMINED,
        Phase.DRAINING: (*PERMITTED, events.StepFinished),
        Phase.RELOADING: (*PERMITTED, events.StepFinished),
        Phase.STOPPING: PERMITTED,
        Phase.VERIFYING: (*READ, events.FilesInstalled),
        Phase.FAILED: GRANTED,
        Phase.BLOCKED: (events.FilesFailed,),
        Phase.EXITING: GONE,
        Phase.DONE: GONE,
    },
    Phase.CHECKING: {
        **dict.fromkeys(
            (
                *(Phase.DRAINING, Phase.RELOADING, Phase.STOPPING, Phase.FAILED, Phase.BLOCKED),
                *(Phase.EXITING, Phase.DONE),
            ),
            (events.StepFinished,),
        ),
    },
    Phase.DRAINING: {
        **dict.fromkeys((Phase.CHECKING, Phase.RELOADING, Phase.STOPPING), (events.StepFinished,)),
        Phase.BLOCKED: (events.FilesFailed, events.StepFinished),
    },
    Phase.RELOADING: {
        Phase.RUNNING: (events.FilesInstalled, events.StepFinished),
        Phase.WAITING: (events.StepFinished,),
        Phase.VERIFYING: (events.FilesInstalled, events.FilesFailed, events.StepFinished),
        Phase.FAILED: (events.FilesFailed, events.StepFinished, events.CommandExited),
        Phase.BLOCKED: (events.FilesFailed,),
        Phase.EXITING: GONE,
        Phase.DONE: (events.CommandExited,),
    },
    Phase.STOPPING: {
        Phase.VERIFYING: (events.FilesInstalled, events.FilesFailed, events.ProcessTreeInspected),
        Phase.EXITING: (events.SignalReceived,),
    },
    Phase.VERIFYING: {
        Phase.RUNNING: (events.CommandStarted, *JUDGED),
        Phase.WAITING: (events.CommandStarted, *JUDGED),
        Phase.CHECKING: EXAMINED,
        Phase.DRAINING: (*PERMITTED, events.StepFinished),
        Phase.RELOADING: (*PERMITTED, events.StepFinished),
        Phase.STOPPING: PERMITTED,
        Phase.FAILED: (
            *(events.CommandStarted, events.StartFailed, events.CommandExited, *JUDGED),
            *(group_events.RecordCommitted, group_events.RecordRead),
        ),
        Phase.BLOCKED: (
            *(events.CommandStarted, events.StartFailed, events.CommandExited, *JUDGED),
        ),
        Phase.EXITING: (events.StartFailed, *GONE),
        Phase.DONE: (events.StartFailed, *GONE),
    },
    Phase.FAILED: {
        Phase.RUNNING: (*READ, events.FilesInstalled, *JUDGED),
        Phase.WAITING: JUDGED,
        Phase.CHECKING: EXAMINED,
        Phase.DRAINING: (*PERMITTED, events.StepFinished),
        Phase.RELOADING: (*PERMITTED, events.StepFinished),
        Phase.STOPPING: PERMITTED,
        Phase.VERIFYING: (*READ, events.FilesInstalled),
        Phase.BLOCKED: (events.FilesFailed,),
        Phase.EXITING: GONE,
        Phase.DONE: GONE,
    },
    Phase.BLOCKED: {
        Phase.RUNNING: READ,
        Phase.WAITING: (events.Tick, *READ),
        Phase.VERIFYING: READ,
        Phase.EXITING: GONE,
        Phase.DONE: GONE,
    },
    Phase.EXITING: {
        Phase.DONE: (
            *(events.Tick, events.CommandExited, events.ProcessTreeInspected),
            *(
                events.StepFinished,
                events.HealthCheckFinished,
                events.AlertFinished,
                events.SignalReceived,
                *CLUSTER_EVENTS,
            ),
        ),
    },
    Phase.DONE: {},
}


def check_transition(before: Phase, event: Event, after: Phase, base: Phase | None = None) -> None:
    """Raise ImpossibleTransitionError unless the phase is the same or the table allows it.

    `base` is the phase in which a check or a drain began.  Any event can lead back to it, and its
    row counts as well.
    """
    rows = [TABLE[phase] for phase in (before, base) if phase is not None]
    is_allowed = any(type(event) in row.get(after, ()) for row in rows)
    if after not in (before, base) and not is_allowed:
        raise ImpossibleTransitionError(
            f"{type(event).__name__} led from {before.value} to {after.value}"
        )
