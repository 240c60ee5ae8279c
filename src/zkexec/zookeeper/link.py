"""One connection to the ensemble, and the requests that travel on it.

The rules of this file:

- A request is never sent on another connection than the one it was meant for: kazoo alone would
  keep it and send it late, after a new connection is there.
- A server before 3.6 refuses a multi-read and hangs up, and it does so out of turn, which kazoo
  does not survive with other requests on their way.  So where several znodes are to be read,
  each connection is first asked with a multi-read that travels alone, and all else waits for that.
- Whatever takes several requests in a row is written as a generator, which yields a batch of
  requests and gets the outcome of each: what the server said, or kazoo's exception.  All of a
  batch are sent at once, and the server answers them in this order.
- All of this runs on the client's own completion thread, one step at a time, because kazoo's
  wake-up pipe can make the sender wait.  Only watches are called on the thread that reads.
"""

from __future__ import annotations

from functools import partial

from kazoo.exceptions import (
    AuthFailedError,
    ConnectionLoss,
    SessionExpiredError,
    UnimplementedError,
)
from kazoo.protocol.states import EventType

from zkexec.core.rollout.group_events import GroupPart
from zkexec.core.snapshot import Problem
from zkexec.zookeeper.multiread import MultiRead
from zkexec.zookeeper.set_watches import SetWatches
from zkexec.zookeeper.watches import Watches

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from typing import Any, Protocol, TypeAlias

    from kazoo.handlers.threading import AsyncResult
    from kazoo.protocol.states import WatchedEvent

    from zkexec.core.snapshot import Znode

    class Work(Protocol):
        """What begins as soon as its connection is known."""

        def begin(self) -> None:
            """Send the first requests."""

        def fail(self, reason: str) -> None:
            """Give up before anything was sent."""

    class Wire(Protocol):
        """Who has the client of a connection, and takes what its watches tell."""

        def send(self, link: Link, request: object) -> AsyncResult:
            """Send a request, but only as long as this connection lasts."""

        def expect(self, link: Link, paths: Sequence[str]) -> None:
            """Have watches of these znodes call the link, as long as this connection lasts."""

        def znode_touched(self, path: str) -> None:
            """The watch of a mirrored znode has fired; the path is the whole one."""

        def group_touched(self, link: Link, part: GroupPart) -> None:
            """A watch of the group has fired."""


Steps: TypeAlias = "Generator[Sequence[object], Sequence[Any], Any]"
"""Batches of requests out, their outcomes in, and in the end what answers: an event, mostly."""


class RefusedError(Exception):
    """What was asked for cannot be had; the reason is in words for a person."""


class Manner:
    """How the znodes of this ensemble are read; outlives connections and sessions."""

    def __init__(self) -> None:
        """Expect the multi-read to be known."""
        self.twice = False


class Link:
    """What is known of one connection; a new one knows nothing."""

    def __init__(self, manner: Manner, first_path: str, wire: Wire) -> None:
        """Start with every watch gone.

        `first_path` is what the server is first asked for, "" where no multi-read is needed.
        """
        self.manner = manner
        self.armed: set[str] = set()
        self.known: dict[str, Znode] = {}
        """What was last read; it holds for those whose watches are armed."""
        self.known_as_of: dict[str, int] = {}
        """For each of them a transaction that it is not older than."""
        self.watches = Watches()
        """The watches of the group."""
        self.synced = False
        self._first_path = first_path
        self._reads_at_once = False
        self._wire = wire
        self._waiting: list[Work] = []

    def fired(self, event: WatchedEvent) -> None:
        """Take the event of a watch.  One without a path only tells that the watch is gone."""
        if event.type != EventType.NONE:
            self.touched(event.path)

    def touched(self, path: str) -> None:
        """Tell that a znode is not what is known of it, and that its watch has to be armed anew."""
        self.armed.discard(path)
        self._wire.znode_touched(path)

    def rearm(self) -> None:
        """Arm all watches again; what has changed since is told by them as if it had just now."""
        requests = [*self._for_inputs(), *self.watches.requests()]
        if requests:
            self.start(Dialogue(self, self._rearm(requests), lambda _: None))

    def _for_inputs(self) -> list[SetWatches]:
        there: dict[int, list[str]] = {}
        missing = []
        for path, znode in self.known.items():
            if path in self.armed and znode.problem is None:
                there.setdefault(self.known_as_of[path], []).append(path)
            elif path in self.armed and znode.problem is Problem.MISSING:
                missing.append(path)
        requests = [SetWatches(as_of, paths, []) for as_of, paths in there.items()]
        return requests + ([SetWatches(0, [], missing)] if missing else [])

    def _rearm(self, requests: Sequence[SetWatches]) -> Steps:
        outcomes = yield requests
        if any(isinstance(outcome, Exception) for outcome in outcomes):
            # Which watches are armed by now is not known: whoever has set them looks again.
            for path in tuple(self.armed):
                self.touched(path)
            for part in GroupPart:
                self.group_touched(part)
        return None

    def group_touched(self, part: GroupPart) -> None:
        """Tell of a watch of the group, as long as this connection lasts."""
        self._wire.group_touched(self, part)

    def expect(self, paths: Sequence[str]) -> None:
        """Have watches of these znodes call `fired`; the request that arms them is sent next."""
        self.armed.update(paths)
        self._wire.expect(self, paths)

    def send(self, request: object) -> AsyncResult:
        """Send a request, but only as long as this connection lasts."""
        return self._wire.send(self, request)

    def start(self, work: Work) -> None:
        """Begin, at once or as soon as it is known how this server reads znodes."""
        if self.manner.twice or self._reads_at_once or not self._first_path:
            work.begin()
        else:
            self._waiting.append(work)
            if len(self._waiting) == 1:
                self.send(MultiRead([self._first_path])).rawlink(self._asked)

    def _asked(self, result: AsyncResult) -> None:
        waiting, self._waiting = self._waiting, []
        error = result.exception
        if isinstance(error, UnimplementedError):
            self.manner.twice = True
        self._reads_at_once = error is None
        for work in waiting:
            if error is None:
                work.begin()
            else:
                work.fail(in_words(error))


class Dialogue:
    """One generator of requests on its way.

    It calls `answer` once: with what the generator returns, with what it was refused, or with a
    reason in words.
    """

    def __init__(self, link: Link, steps: Steps, answer: Callable[[Any], None]) -> None:
        self._link = link
        self._steps = steps
        self._answer = answer

    def begin(self) -> None:
        """Run up to the first batch and send it."""
        self._resume(partial(next, self._steps))

    def fail(self, reason: str) -> None:
        """Answer with this reason; the generator is never resumed."""
        self._steps.close()
        self._answer(reason)

    def _resume(self, step: Callable[[], Sequence[object]]) -> None:
        try:
            results = [self._link.send(request) for request in step()]
        except StopIteration as end:
            self._answer(end.value)
        except RefusedError as error:
            self._answer(error)
        except Exception as error:  # noqa: BLE001 - Or the request would have no answer.
            self.fail(in_words(error))
        else:
            results[-1].rawlink(lambda _: self._answered(results))

    def _answered(self, results: Sequence[AsyncResult]) -> None:
        outcomes = [r.value if r.successful() else r.exception for r in results]
        for outcome in outcomes:
            if isinstance(outcome, _ENDS):
                self.fail(in_words(outcome))
                return
        self._resume(partial(self._steps.send, outcomes))


def in_words(error: Exception) -> str:
    """The reason for a failed request, for a person."""
    if isinstance(error, RefusedError):
        return str(error)
    name = type(error).__name__
    if name in _IN_WORDS:
        return _IN_WORDS[name]
    return f"{name}: {error}" if str(error) else name


_ENDS = (ConnectionLoss, SessionExpiredError, AuthFailedError)
"""After these no answer comes on the same connection."""

_IN_WORDS = {
    "ConnectionLoss": "the connection was lost",
    "ConnectionClosedError": "the client is closed",
    "SessionExpiredError": "the session has expired",
    "UnimplementedError": "this server, older than 3.6, cannot read znodes at once",
}
