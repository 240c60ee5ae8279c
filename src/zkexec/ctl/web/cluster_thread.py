"""The thread that talks to the cluster: it reads what open pages show, and runs jobs for requests.

The rules of this file:

- The connection is used by this thread alone.  Others submit jobs, and get views that never change.
- A live subject is read when something has changed, and at most four times a second.
- While the cluster is away, the last known status stays, and every view shows since when.
- If one subject cannot be read although the cluster answers, only its own view shows that.
- A mistake in zkexecctl ends a connection and not the server: a new one follows.
"""

import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from zkexec.ctl.arguments import ClusterOptions
from zkexec.ctl.cluster_connection import ClusterConnection
from zkexec.ctl.exit_status import CANNOT_WORK, SubcommandError
from zkexec.ctl.web.cluster_views import (
    Connection,
    Fragments,
    GroupView,
    ReadFailure,
    View,
    with_fragments,
)
from zkexec.ctl.web.live_subjects import LiveSubject, Subject, empty_view, new_subject
from zkexec.ctl.web.recent_pushes import RecentPushes
from zkexec.frozen import replace
from zkexec.zookeeper.requests import Dialogue

SHORTEST_PAUSE_S = 0.25
"""A live subject is read at most once in this time."""
MOST_JOBS = 200
"""If this many jobs wait, a request is refused."""
READ_S = 5.0
"""How long one attempt to read may take."""

_RETRY_S = 1.0
"""After a failure a subject is read again at the earliest after this time."""
_RECONNECT_S = 1.0
"""While the cluster is away, its state is looked up this often."""
_RESTART_S = 5.0
_WAKE = "wake"

Result = TypeVar("Result")
Job = Callable[[ClusterConnection], Result]
OnView = Callable[[Subject, View], None]
LastView = Callable[[Subject], View | None]
MakeFragments = Callable[[View], Fragments]


class BusyError(Exception):
    """Too many requests wait for the cluster."""


class _Watched:
    """A live subject with its last view, and when it is to be read."""

    def __init__(self, subject: LiveSubject) -> None:
        self.subject = subject
        self.view: View | None = None
        self.changed_at: float | None = time.monotonic()
        self.read_at = 0.0
        self.failure: ReadFailure | None = None
        self._retry_at = 0.0

    def due_at(self) -> float:
        """When it is to be read; monotonic.

        A large group has a deadline, before which nothing would be read.
        """
        if self.failure is not None:
            return self._retry_at
        if math.isfinite(self.subject.deadline):
            return self.subject.deadline
        changed = self.read_at + SHORTEST_PAUSE_S if self.changed_at is not None else math.inf
        return min(changed, self.subject.deadline)

    def note_failure(self, reason: str) -> bool:
        """Keep why it could not be read, and read it again later; return whether that is new.

        What took long would delay all others if it were tried again at once.
        """
        now, before = time.monotonic(), self.failure
        self._retry_at = now + max(_RETRY_S, now - self.read_at)
        if before is not None and before.reason == reason:
            return False
        self.failure = ReadFailure(time.time() if before is None else before.since, reason)
        return True


class ClusterThread:
    """Reads the cluster on a thread of its own, from `start` to `stop`."""

    def __init__(
        self,
        options: ClusterOptions,
        report: Callable[[str], None],
        make_fragments: MakeFragments,
        last_view: LastView,
        on_view: OnView,
        on_connection: Callable[[], None],
    ) -> None:
        """`report` takes a line for the log; `on_view` gets each new view of a live subject.

        `last_view` returns what is known of one that cannot be read.  `on_connection` is called
        if `connection` has changed.  All are called on this thread.
        """
        self._options = options
        self._report = report
        self._make_fragments = make_fragments
        self._on_view = on_view
        self._last_view = last_view
        self._on_connection = on_connection
        self._jobs: SimpleQueue[tuple[Job[Any], Future[Any]]] = SimpleQueue()
        self._wanted: frozenset[Subject] = frozenset()
        self._watched: dict[Subject, _Watched] = {}
        self._cluster: ClusterConnection | None = None
        self._waking = threading.Lock()
        self._pushes = RecentPushes()
        self._is_ending = False
        self._thread = threading.Thread(target=self._run, name="cluster", daemon=True)
        self.began_at = time.time()
        self.connection = Connection(options.hosts_text, self.began_at)
        """Whether the cluster answers; replaced as a whole, so any thread may read it."""

    def start(self) -> None:
        """Connect, and begin to read."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """End the session, and wait for it, but not for long."""
        self._is_ending = True
        self._wake()
        self._thread.join(timeout_s)

    def submit(self, job: Job[Result]) -> Future[Result]:
        """Let this thread run a job; raise BusyError if too many wait."""
        if self._jobs.qsize() >= MOST_JOBS:
            raise BusyError
        future: Future[Result] = Future()
        self._jobs.put((job, future))
        self._wake()
        return future

    def keep_live(self, subjects: frozenset[Subject]) -> None:
        """Keep exactly these subjects live from now on."""
        self._wanted = subjects
        self._wake()

    def read_once(self, subject: Subject) -> Future[View]:
        """Read a subject, with the parts of its page."""

        def job(cluster: ClusterConnection) -> View:
            reader = new_subject(cluster, self._pushes, subject, live=False)
            view = reader.read(self.connection, READ_S)
            watched = self._watched.get(subject)
            if watched is None:
                return self._finished(view)
            if isinstance(view, GroupView) and isinstance(watched.view, GroupView):
                view = replace(view, seen=watched.view.seen)
            # If it cannot be read again, a new view has to show that.
            watched.failure = None
            return self._finished(view)

        return self.submit(job)

    def _wake(self) -> None:
        with self._waking:
            if self._cluster is not None:
                self._cluster.report_change(_WAKE)

    def _let_wake(self, cluster: ClusterConnection | None) -> None:
        """Let `_wake` wake this connection, or none: a closed one must not be written to."""
        with self._waking:
            self._cluster = cluster

    def _finished(self, view: View) -> View:
        return with_fragments(view, self._make_fragments(view))

    def _run(self) -> None:
        while not self._is_ending:
            try:
                with ClusterConnection(self._options, self._report) as cluster:
                    self._watched = {}
                    self._let_wake(cluster)
                    try:
                        self._serve(cluster)
                    finally:
                        self._let_wake(None)
            except Exception as error:  # noqa: BLE001 -- it must not end the server
                self._report(f"internal error: {type(error).__name__}: {error}")
                self._note_connection(f"internal error: {type(error).__name__}")
                time.sleep(_RESTART_S)
        self._fail_jobs()

    def _serve(self, cluster: ClusterConnection) -> None:
        is_checked = False
        while not self._is_ending:
            changed = cluster.changed(self._pause_s(cluster))
            self._note_state(cluster)
            self._change_subjects(cluster)
            for watched in self._watched.values():
                if watched.subject.forget(changed) and watched.changed_at is None:
                    watched.changed_at = time.monotonic()
            self._run_jobs(cluster)
            if cluster.is_connected:
                is_checked = is_checked or self._check_chroot(cluster)
                self._read_due(cluster)

    def _check_chroot(self, cluster: ClusterConnection) -> bool:
        """Name a chroot that does not exist at once, before a request finds out."""

        def nothing() -> Dialogue:
            yield from ()

        try:
            cluster.run(nothing, READ_S)
        except SubcommandError as error:
            if cluster.is_connected:
                self._publish_failure(None, ReadFailure(time.time(), str(error)))
        return True

    def _pause_s(self, cluster: ClusterConnection) -> float:
        if not self._jobs.empty() or self._wanted != self._watched.keys():
            return 0.0
        if not cluster.is_connected or self.connection.disconnected_since is not None:
            return _RECONNECT_S
        due_at = min((one.due_at() for one in self._watched.values()), default=math.inf)
        return max(0.0, due_at - time.monotonic())

    def _change_subjects(self, cluster: ClusterConnection) -> None:
        wanted = self._wanted
        for subject in self._watched.keys() - wanted:
            del self._watched[subject]
        for subject in wanted - self._watched.keys():
            self._watched[subject] = _Watched(
                new_subject(cluster, self._pushes, subject, live=True)
            )

    def _read_due(self, cluster: ClusterConnection) -> None:
        for subject, watched in self._watched.items():
            if watched.due_at() > time.monotonic():
                continue
            watched.changed_at = None
            watched.read_at = time.monotonic()
            try:
                view = watched.subject.read(self.connection, READ_S)
            except SubcommandError as error:
                watched.changed_at = time.monotonic()
                # Without a connection it is no matter of this subject.
                if cluster.is_connected and watched.note_failure(str(error)):
                    self._publish_failure(subject, watched.failure)
                return
            watched.read_at = time.monotonic()
            watched.view, watched.failure = self._finished(view), None
            self._on_view(subject, watched.view)

    def _publish_failure(self, subject: Subject, failure: ReadFailure | None) -> None:
        """Publish what was read of a subject last, with why it cannot be read now."""
        watched = self._watched.get(subject)
        known = (watched and watched.view) or self._last_view(subject)
        last = known or empty_view(subject, self.connection)
        view = replace(last, connection=self.connection, failure=failure)
        self._on_view(subject, self._finished(view))

    def _note_state(self, cluster: ClusterConnection) -> None:
        self._note_connection("" if cluster.is_connected else cluster.error or "no answer yet")

    def _note_connection(self, error: str) -> None:
        """Keep whether the cluster answers, and report it if that has changed."""
        before = self.connection
        since = (before.disconnected_since or time.time()) if error else None
        self.connection = Connection(before.hosts, since, error)
        if self.connection != before:
            self._on_connection()

    def _run_jobs(self, cluster: ClusterConnection) -> None:
        """Run the jobs that wait; those that come meanwhile are next, after what is to be read."""
        for _ in range(self._jobs.qsize()):
            try:
                job, future = self._jobs.get_nowait()
            except Empty:
                return
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(job(cluster))
            except Exception as error:  # noqa: BLE001 -- the request gets it
                future.set_exception(error)

    def _fail_jobs(self) -> None:
        while not self._jobs.empty():
            _, future = self._jobs.get_nowait()
            if future.set_running_or_notify_cancel():
                future.set_exception(SubcommandError("the server ends", CANNOT_WORK))
