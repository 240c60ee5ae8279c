"""How a dialogue runs on one connection: batch by batch, with the outcomes of each.

All of this happens on the client's completion thread, one step at a time, because kazoo's wake-up
pipe can make the sender wait.  Only watches are reported on the thread that reads the socket, so
that a watch that fired is known before any answer that came after it.
"""

from __future__ import annotations

from functools import partial

from zkexec.zookeeper.errors import ConnectionEndError, UnimplementedError
from zkexec.zookeeper.requests import MultiRead, Sync
from zkexec.zookeeper.watches import Watches

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, Protocol

    from zkexec.zookeeper.requests import Dialogue, Request

    class Pending(Protocol):
        """A request that was sent."""

        def then(self, do: Callable[[], None]) -> None:
            """Do something on the completion thread once it is answered."""

        def outcome(self) -> Any:  # noqa: ANN401 -- as the request has it
            """Give its outcome; only once it is answered."""

    class Wire(Protocol):
        """Sends requests on a connection, as long as that lasts."""

        def send(self, line: Line, request: Request) -> Pending:
            """Send a request; without the connection it is answered with an error at once."""

    Ended = Callable[[object, Exception | None], None]
    """Receives the result of a dialogue, or the error that has ended it."""


class MultiReadSupport:
    """Whether the servers know the multi-read; outlives connections and sessions.

    A server before 3.6 refuses a multi-read and hangs up, and it does so out of turn, which kazoo
    does not survive with other requests on their way.  So each connection is first asked with a
    multi-read that travels alone, and all else waits for that.  `path` is what is asked for, "" if
    no multi-read will be needed.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.is_missing = False


class Line:
    """One connection as dialogues see it; a new one knows nothing."""

    def __init__(self, number: int, support: MultiReadSupport, wire: Wire) -> None:
        self.number = number
        self.watches = Watches()
        self.is_synced = False
        self._support = support
        self._is_tried = False
        self._wire = wire
        self._waiting: list[Conversation] = []

    def send(self, request: Request) -> Pending:
        """Send a request, but only as long as this connection lasts."""
        self.watches.sending(request)
        return self._wire.send(self, request)

    def start(self, dialogue: Dialogue, ended: Ended) -> None:
        """Begin, at once or as soon as it is known whether the server has the multi-read."""
        conversation = Conversation(self, dialogue, ended)
        if self._support.is_missing or self._is_tried or not self._support.path:
            conversation.begin()
            return
        self._waiting.append(conversation)
        if len(self._waiting) == 1:
            trial = self.send(MultiRead([self._support.path]))
            trial.then(lambda: self._tried(trial.outcome()))

    def _tried(self, outcome: Any) -> None:  # noqa: ANN401 -- as the request has it
        waiting, self._waiting = self._waiting, []
        self._support.is_missing |= isinstance(outcome, UnimplementedError)
        self._is_tried = not isinstance(outcome, Exception)
        for conversation in waiting:
            if isinstance(outcome, Exception):
                conversation.fail(outcome)
            else:
                conversation.begin()


class Conversation:
    """A dialogue on its way.  It calls `ended` once, with the result or with an error."""

    def __init__(self, line: Line, dialogue: Dialogue, ended: Ended) -> None:
        self._line = line
        self._dialogue = dialogue
        self._ended = ended

    def begin(self) -> None:
        """Run up to the first batch and send it."""
        self._resume(partial(next, self._dialogue))

    def fail(self, error: Exception) -> None:
        """Close the dialogue, which is never resumed, and end with this error."""
        self._dialogue.close()
        self._ended(None, error)

    def _resume(self, step: Callable[[], Sequence[Request]]) -> None:
        try:
            requests = list(step())
        except StopIteration as end:
            self._ended(end.value, None)
            return
        except Exception as error:  # noqa: BLE001 -- or the dialogue would have no end
            self._ended(None, error)
            return
        try:
            self._send(requests)
        except Exception as error:  # noqa: BLE001 -- as above
            self.fail(error)

    def _send(self, requests: list[Request]) -> None:
        """Send a batch; the first one of a connection goes behind a `Sync`.

        So nothing is read that is older than the connection.
        """
        sync = None if self._line.is_synced else self._line.send(Sync("/"))
        sent = [(request, self._line.send(request)) for request in requests]
        sent[-1][1].then(lambda: self._answered(sync, sent))

    def _answered(self, sync: Pending | None, sent: Sequence[tuple[Request, Pending]]) -> None:
        synced = None if sync is None else sync.outcome()
        outcomes = [pending.outcome() for _, pending in sent]
        for outcome in (synced, *outcomes):
            if isinstance(outcome, ConnectionEndError):
                self.fail(outcome)
                return
        for (request, _), outcome in zip(sent, outcomes, strict=True):
            self._line.watches.answered(request, outcome)
        if isinstance(synced, Exception):
            self.fail(synced)
            return
        self._line.is_synced = True
        self._resume(partial(self._dialogue.send, outcomes))
