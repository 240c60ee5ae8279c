"""How a dialogue runs on one connection: batch by batch, with the outcomes of each."""

from __future__ import annotations

from zkexec.lean import partial
from zkexec.zookeeper.errors import ConnectionEndError, ConnectionLostError, UnimplementedError
from zkexec.zookeeper.requests import MultiRead

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from zkexec.zookeeper.requests import Dialogue, Request

    Ended = Callable[[Any, Exception | None], None]
    """Receives the result of a dialogue, or the error that has ended it."""


class Conversation:
    """A dialogue on its way.  It calls `ended` once, with the result or with an error."""

    def __init__(
        self,
        dialogue: Dialogue,
        send: Callable[[Request, tuple[Conversation, int]], None],
        ended: Ended,
    ) -> None:
        """`send` takes a request and what `received` is to be called with."""
        self._dialogue = dialogue
        self._send = send
        self._ended = ended
        self._requests: Sequence[Request] = ()
        self._outcomes: list[Any] = []
        self.is_over = False

    def begin(self) -> None:
        """Run up to the first batch and send it."""
        self._resume(partial(next, self._dialogue))

    def received(self, number: int, outcome: object) -> None:
        """Take the outcome of the request that has this number in the batch."""
        if self.is_over:
            return
        if isinstance(outcome, UnimplementedError):
            # The connection has ended with it.  What has another way is worth another attempt.
            is_optional = self.awaits(number, MultiRead)
            self.fail(ConnectionLostError(reason=str(outcome)) if is_optional else outcome)
        elif isinstance(outcome, ConnectionEndError):
            self.fail(outcome)
        else:
            self._outcomes.append(outcome)
            if len(self._outcomes) == len(self._requests):
                self._resume(partial(self._dialogue.send, self._outcomes))

    def awaits(self, number: int, kind: type) -> bool:
        """Return whether the request of this number in the batch is of this kind."""
        return isinstance(self._requests[number], kind)

    def fail(self, error: Exception) -> None:
        """Close the dialogue, which is never resumed, and end with this error."""
        self.drop()
        self._ended(None, error)

    def drop(self) -> None:
        """Close the dialogue, of which nothing is reported any more."""
        self.is_over = True
        self._dialogue.close()

    def _resume(self, step: Callable[[], Sequence[Request]]) -> None:
        requests: Sequence[Request] = ()
        try:
            while not requests:
                requests = self._requests = list(step())
                self._outcomes = []
                step = partial(self._dialogue.send, [])
        except StopIteration as end:
            self.is_over = True
            self._ended(end.value, None)
            return
        except Exception as error:  # noqa: BLE001 -- or the dialogue would have no end
            self.is_over = True
            self._ended(None, error)
            return
        try:
            for number, request in enumerate(requests):
                self._send(request, (self, number))
        except Exception as error:  # noqa: BLE001 -- as above
            self.fail(error)
