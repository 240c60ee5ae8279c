"""What the open pages show: one group or the list of all, read again whenever it changes.

A live subject belongs to the thread that reads the cluster.  It keeps watches, and reads only what
has changed; `read_once` keeps none.
"""

import time
from collections import deque
from typing import Protocol

from zkexec.ctl.cluster_connection import ClusterConnection
from zkexec.ctl.status.change_lines import group_changes
from zkexec.ctl.status.group_reader import GroupReader
from zkexec.ctl.status.group_status import GroupStatus
from zkexec.ctl.web.cluster_views import (
    Connection,
    GroupView,
    OverviewView,
    SeenChange,
    View,
)
from zkexec.ctl.web.recent_pushes import RecentPushes

Subject = str | None
"""What a page is about: the name of a group, or None for the list of all groups."""

MOST_SEEN = 200
"""This many changes of a group are kept."""


class LiveSubject(Protocol):
    """What is read again and again."""

    def forget(self, changed: set[object]) -> bool:
        """Forget what has changed; return whether there is something to read."""

    @property
    def deadline(self) -> float:
        """When it is read again although no change was reported; monotonic."""

    def read(self, connection: Connection, timeout_s: float) -> View:
        """Read what is not known; raise UnreachableError if the cluster does not answer."""


class LiveOverview:
    """All groups, as numbers."""

    def __init__(
        self, cluster: ClusterConnection, pushes: RecentPushes, *, live: bool = True
    ) -> None:
        self._cluster = cluster
        self._reader = GroupReader(cluster, live=live)
        self._pushes = pushes

    def forget(self, changed: set[object]) -> bool:
        """Forget what has changed; return whether there is something to read."""
        return self._reader.forget(changed)

    @property
    def deadline(self) -> float:
        """When it is read again although no change was reported; monotonic."""
        return self._reader.deadline

    def read(self, connection: Connection, timeout_s: float) -> OverviewView:
        """Read what is not known; raise UnreachableError if the cluster does not answer."""
        summaries = self._reader.summaries(timeout_s)
        return OverviewView(
            connection=connection,
            read_at=time.time(),
            summaries=summaries,
            pushes=self._pushes.of(self._cluster, summaries, timeout_s),
        )


class LiveGroup:
    """One group, with the changes that were seen."""

    def __init__(self, cluster: ClusterConnection, name: str, *, live: bool = True) -> None:
        self._name = name
        self._reader = GroupReader(cluster, name, live=live)
        self._status: GroupStatus | None = None
        self._seen: deque[SeenChange] = deque(maxlen=MOST_SEEN)

    def forget(self, changed: set[object]) -> bool:
        """Forget what has changed; return whether there is something to read."""
        return self._reader.forget(changed)

    @property
    def deadline(self) -> float:
        """When it is read again although no change was reported; monotonic."""
        return self._reader.deadline

    def read(self, connection: Connection, timeout_s: float) -> GroupView:
        """Read what is not known; raise UnreachableError if the cluster does not answer."""
        (status,) = self._reader.read(timeout_s)
        now = time.time()
        if self._status is not None and status is not self._status:
            changes = group_changes(self._status, status, now)
            self._seen.extend(SeenChange(now, text) for text in changes)
        self._status = status
        return GroupView(
            name=self._name,
            connection=connection,
            read_at=now,
            status=status,
            seen=tuple(self._seen),
        )


def empty_view(subject: Subject, connection: Connection) -> View:
    """Return the view of a subject that could not be read yet."""
    now = time.time()
    if subject is None:
        return OverviewView(connection=connection, read_at=now)
    return GroupView(name=subject, connection=connection, read_at=now)


def new_subject(
    cluster: ClusterConnection, pushes: RecentPushes, subject: Subject, *, live: bool
) -> LiveSubject:
    """Return what reads a subject; if it is not `live`, it is for one reading.

    `pushes` are those that are known by now.
    """
    if subject is None:
        return LiveOverview(cluster, pushes, live=live)
    return LiveGroup(cluster, subject, live=live)
