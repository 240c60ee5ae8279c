"""The newest views, for the requests: each asks for the present one, or waits for the next.

Everything here runs on the event loop, and nothing blocks it.  A subject is live while a browser
is connected to it.  Of the others the last view is kept for a time in which the cluster is away.
"""

import asyncio
import json
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from zkexec.ctl.arguments import ClusterOptions
from zkexec.ctl.exit_status import SubcommandError
from zkexec.ctl.web.cluster_thread import BusyError, ClusterThread, Job, MakeFragments, Result
from zkexec.ctl.web.cluster_views import (
    Connection,
    ReadFailure,
    View,
    changed_fragments,
    with_fragments,
)
from zkexec.ctl.web.live_subjects import Subject, empty_view
from zkexec.frozen import replace

FRESH_S = 0.25
"""A view that is older is read again for a request."""
MOST_VIEWS = 100
"""The last views of this many subjects are kept."""
MOST_LIVE = 100
"""This many subjects can be live at once."""

STARTING_S = 3.0
"""In this time after the start a request waits for the first connection."""

MOST_REPORTED = 100
"""This many different reasons why something cannot be read are reported on stderr."""

_STOP_S = 2.0


class ViewBoard:
    """The newest view of each subject, from `start` to `close`."""

    def __init__(
        self, options: ClusterOptions, report: Callable[[str], None], make_fragments: MakeFragments
    ) -> None:
        """Make it on the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._make_fragments = make_fragments
        self._report = report
        self._reported: set[str] = set()
        self._thread = ClusterThread(
            *(options, report, make_fragments),
            last_view=self._last_view,
            on_view=self._on_view,
            on_connection=self._on_connection,
        )
        self._views: OrderedDict[Subject, tuple[float, View]] = OrderedDict()
        self._reading: dict[Subject, asyncio.Task[View]] = {}
        self._viewers: Counter[Subject] = Counter()
        self._published = asyncio.Event()
        self._changes: dict[Subject, tuple[View, View, str]] = {}
        self._started_at = self._loop.time()
        self.is_closed = False

    def start(self) -> None:
        """Connect to the cluster."""
        self._thread.start()

    def close(self) -> None:
        """Let all that waits for a view go on, so that it can end."""
        self.is_closed = True
        self._announce()

    async def stop(self) -> None:
        """End the session with the cluster."""
        await asyncio.to_thread(self._thread.stop, _STOP_S)

    @property
    def connection(self) -> Connection:
        """Whether the cluster answers."""
        return self._thread.connection

    @property
    def can_read(self) -> bool:
        """Whether a reading can succeed: the cluster answers, or was not waited for yet."""
        since = self.connection.disconnected_since
        is_starting = self._loop.time() - self._started_at < STARTING_S
        return since is None or (is_starting and since <= self._thread.began_at)

    async def run(self, job: Job[Result]) -> Result:
        """Run a job on the thread of the cluster; raises what it raises, and BusyError."""
        return await asyncio.wrap_future(self._thread.submit(job))

    async def view(self, subject: Subject) -> View:
        """Return the present view of a subject, read now if no newer one is known.

        If it cannot be read it is the last known one, or one without a status.
        """
        known_at, known = self._views.get(subject, (0.0, None))
        is_fresh = time.monotonic() - known_at < FRESH_S or self._viewers[subject] > 0
        if known is not None and is_fresh and known.connection == self.connection:
            return known
        task = self._reading.get(subject)
        if task is None:
            task = self._loop.create_task(self._read(subject, known))
            self._reading[subject] = task
            task.add_done_callback(lambda _: self._reading.pop(subject, None))
        return await asyncio.shield(task)

    async def _read(self, subject: Subject, known: View | None) -> View:
        connection = self.connection
        failure: ReadFailure | None = None
        if self.can_read:
            try:
                view = await asyncio.wrap_future(self._thread.read_once(subject))
            except SubcommandError as error:
                failure = ReadFailure(time.time(), str(error))
                self.report_failure(failure.reason)
            except BusyError:
                failure = ReadFailure(time.time(), "too many requests wait for the cluster")
            else:
                self._keep(subject, view)
                return view
        last = empty_view(subject, connection) if known is None else known
        if failure is not None and last.failure is not None:
            failure = replace(failure, since=last.failure.since)
        view = replace(last, connection=connection, failure=failure)
        view = with_fragments(view, await asyncio.to_thread(self._make_fragments, view))
        self._keep(subject, view)
        return view

    def report_failure(self, reason: str) -> None:
        """Report on stderr why something cannot be read, each reason once.

        A connection that fails is reported by itself.
        """
        is_known = reason in self._reported or len(self._reported) >= MOST_REPORTED
        if self.connection.disconnected_since is None and not is_known:
            self._reported.add(reason)
            self._report(f"the groups cannot be read: {reason}")

    def is_full(self, subject: Subject) -> bool:
        """Return whether too many other subjects are live to have one more."""
        return subject not in self._viewers and len(self._viewers) >= MOST_LIVE

    def forget(self, subject: Subject) -> None:
        """Read a subject again for the next request: something was done to it."""
        self._views.pop(subject, None)

    @asynccontextmanager
    async def live(self, subject: Subject) -> AsyncIterator[None]:
        """Keep a subject live; raise BusyError if too many others are."""
        if self.is_full(subject):
            raise BusyError
        self._viewers[subject] += 1
        self._thread.keep_live(frozenset(self._viewers))
        try:
            yield
        finally:
            self._viewers[subject] -= 1
            if not self._viewers[subject]:
                del self._viewers[subject]
                self._changes.pop(subject, None)
            self._thread.keep_live(frozenset(self._viewers))

    async def newer(self, subject: Subject, view: View, timeout_s: float) -> View:
        """Wait for a newer view of a live subject, and return it; the same one if none comes."""
        until = self._loop.time() + timeout_s
        while not self.is_closed:
            _, newest = self._views.get(subject, (0.0, view))
            if newest is not view:
                return newest
            if view.connection != self.connection:
                return await self.view(subject)
            with suppress(TimeoutError):
                async with asyncio.timeout_at(until):
                    await self._published.wait()
                continue
            break
        return view

    def changes(self, subject: Subject, before: View, after: View) -> str:
        """Return what has changed between two views as JSON; "" if nothing has.

        The browsers that show a group are mostly at the same view, so the last one is kept.
        """
        known = self._changes.get(subject)
        if known is not None and known[0] is before and known[1] is after:
            return known[2]
        changed = changed_fragments(before.fragments, after.fragments)
        text = json.dumps(changed, separators=(",", ":")) if changed else ""
        if subject in self._viewers:
            self._changes[subject] = before, after, text
        return text

    def _on_view(self, subject: Subject, view: View) -> None:
        # The loop can be closed while the thread ends.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._take, subject, view)

    def _on_connection(self) -> None:
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._announce)

    def _last_view(self, subject: Subject) -> View | None:
        """Return the last known view of a subject; called on the thread of the cluster."""
        return self._views.get(subject, (0.0, None))[1]

    def _take(self, subject: Subject, view: View) -> None:
        if view.failure is not None:
            self.report_failure(view.failure.reason)
        self._keep(subject, view)
        self._announce()

    def _keep(self, subject: Subject, view: View) -> None:
        self._views[subject] = time.monotonic(), view
        self._views.move_to_end(subject)
        while len(self._views) > MOST_VIEWS:
            self._views.popitem(last=False)

    def _announce(self) -> None:
        self._published.set()
        self._published = asyncio.Event()
