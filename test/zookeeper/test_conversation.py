"""How a dialogue runs: batch by batch, to one end."""

from collections.abc import Generator
from typing import Any

import pytest

from zkexec.zookeeper.conversation import Conversation
from zkexec.zookeeper.errors import ConnectionLostError, NoNodeError, UnimplementedError
from zkexec.zookeeper.requests import Dialogue, Get, MultiRead, Request, Sync


class Played:
    """A conversation whose requests are kept instead of sent."""

    def __init__(self, dialogue: Dialogue, *, fails_at: int = -1) -> None:
        self.sent: list[tuple[Request, int]] = []
        self.ends: list[tuple[Any, Exception | None]] = []
        self._fails_at = fails_at
        self.conversation = Conversation(dialogue, self._send, self._ended)
        self.conversation.begin()

    def requests(self) -> list[Request]:
        """The requests since the last time."""
        sent, self.sent = self.sent, []
        return [request for request, _ in sent]

    def error(self) -> Exception | None:
        """The error that the dialogue ended with."""
        ((_, error),) = self.ends
        return error

    def _send(self, request: Request, key: tuple[Conversation, int]) -> None:
        if len(self.sent) == self._fails_at:
            raise ValueError("it cannot be encoded")
        assert key[0] is self.conversation
        self.sent.append((request, key[1]))

    def _ended(self, answer: Any, error: Exception | None) -> None:
        self.ends.append((answer, error))


def two_batches(closed: list[str]) -> Dialogue:
    """Send three requests in two batches; give all outcomes, and note the end."""
    try:
        first = yield [Get("/a"), Get("/b")]
        second = yield [Sync("/")]
    finally:
        closed.append("closed")
    return [*first, *second]


def test_batches_follow_each_other() -> None:
    """A batch is sent when all outcomes of the one before are there; an error is an outcome."""
    played = Played(two_batches([]))
    assert played.requests() == [Get("/a"), Get("/b")]
    played.conversation.received(0, b"x")
    assert played.requests() == []
    missing = NoNodeError("/b")
    played.conversation.received(1, missing)
    assert played.requests() == [Sync("/")]
    assert not played.conversation.is_over

    played.conversation.received(0, None)
    assert played.conversation.is_over
    assert played.ends == [([b"x", missing, None], None)]


def test_empty_batches_are_answered_at_once() -> None:
    """A batch without requests has no outcomes, and the next one follows."""

    def dialogue() -> Dialogue:
        outcomes = [(yield []), (yield ())]
        outcomes.append((yield [Sync("/")]))
        outcomes.append((yield []))
        return outcomes

    played = Played(dialogue())
    assert played.requests() == [Sync("/")]
    played.conversation.received(0, None)

    assert played.ends == [([[], [], [None], []], None)]


def test_a_dialogue_without_requests_ends_at_once() -> None:
    """A dialogue that requests nothing has its result right away."""

    def dialogue() -> Dialogue:
        yield from ()
        return "result"

    assert Played(dialogue()).ends == [("result", None)]


def test_an_error_of_the_dialogue_is_its_end() -> None:
    """What a dialogue raises is reported, at whatever batch."""

    def dialogue() -> Dialogue:
        yield [Sync("/")]
        raise ValueError("a mistake")

    played = Played(dialogue())
    played.conversation.received(0, None)
    assert str(played.error()) == "a mistake"


def test_a_dialogue_that_is_no_dialogue_ends() -> None:
    """A batch that is no list of requests is an error of the dialogue."""

    def dialogue() -> Generator[Any, Any, Any]:
        yield 7

    assert isinstance(Played(dialogue()).error(), TypeError)


def test_a_request_that_cannot_be_sent_ends_the_dialogue() -> None:
    """A request that cannot be encoded closes its dialogue; what was sent before is ignored."""
    closed: list[str] = []
    played = Played(two_batches(closed), fails_at=1)
    assert str(played.error()) == "it cannot be encoded"
    assert closed == ["closed"]

    played.conversation.received(0, b"x")
    assert len(played.ends) == 1


def test_a_lost_connection_ends_a_dialogue_once() -> None:
    """The first outcome of a lost connection ends the dialogue, which is never resumed."""
    closed: list[str] = []
    played = Played(two_batches(closed))
    lost = ConnectionLostError("/a")
    played.conversation.received(0, lost)
    played.conversation.received(1, lost)

    assert played.ends == [(None, lost)]
    assert closed == ["closed"]
    assert played.requests() == [Get("/a"), Get("/b")]


@pytest.mark.parametrize(
    ("request_", "kind"),
    [(MultiRead(["/a"]), ConnectionLostError), (Sync("/"), UnimplementedError)],
)
def test_an_operation_that_the_server_does_not_know(
    request_: Request, kind: type[Exception]
) -> None:
    """A multi-read has another way, so it fails as by a lost connection; all else says why."""

    def dialogue() -> Dialogue:
        yield [Sync("/"), request_]

    played = Played(dialogue())
    assert played.conversation.awaits(1, type(request_))
    assert not played.conversation.awaits(1, Get)
    played.conversation.received(1, UnimplementedError("/"))

    assert type(played.error()) is kind
    assert str(played.error()) == "this server, older than 3.6, cannot read znodes at once"


def test_a_dropped_dialogue_is_closed_in_silence() -> None:
    """A dialogue that is dropped is closed, and nothing is reported of it."""
    closed: list[str] = []
    played = Played(two_batches(closed))
    played.conversation.drop()
    played.conversation.received(0, b"x")

    assert (played.ends, closed) == ([], ["closed"])
