"""How dialogues run on a connection, with a wire that answers when the test wants it to."""

from collections.abc import Callable
from typing import Any

from support.dialogue_player import at
from zkexec.zookeeper.dialogue import Line, MultiReadSupport
from zkexec.zookeeper.errors import (
    ConnectionLostError,
    NoAuthError,
    RefusedError,
    UnimplementedError,
)
from zkexec.zookeeper.requests import (
    Children,
    Dialogue,
    Exists,
    Get,
    MultiRead,
    Request,
    SetWatches,
    Sync,
)


class Sent:
    """A request on its way."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self._outcome: Any = None
        self._then: list[Callable[[], None]] = []

    def then(self, do: Callable[[], None]) -> None:
        """Do something once it is answered."""
        self._then.append(do)

    def outcome(self) -> Any:
        """What it was answered."""
        return self._outcome

    def answer(self, outcome: Any) -> None:
        """Answer it."""
        self._outcome = outcome
        for do in self._then:
            do()


class Wire:
    """Takes requests, which the test answers in their order."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []

    def send(self, _line: Line, request: Request) -> Sent:
        """Keep a request for the test."""
        self.sent.append(Sent(request))
        return self.sent[-1]

    def answer(self, *outcomes: Any) -> list[Request]:
        """Answer as many requests; return them."""
        first, self.sent = self.sent[: len(outcomes)], self.sent[len(outcomes) :]
        for sent, outcome in zip(first, outcomes, strict=True):
            sent.answer(outcome)
        return [sent.request for sent in first]


class Ends:
    """The ends of dialogues."""

    def __init__(self) -> None:
        self.all: list[tuple[object, Exception | None]] = []

    def __call__(self, result: object, error: Exception | None) -> None:
        """Take one."""
        self.all.append((result, error))


def line(tried: str = "") -> tuple[Line, Wire, Ends]:
    """A connection, its wire, and what becomes of the dialogues on it."""
    wire = Wire()
    return Line(1, MultiReadSupport(tried), wire), wire, Ends()


def reading(*paths: str) -> Dialogue:
    """Read these znodes, one after the other."""
    found = []
    for path in paths:
        (outcome,) = yield [Get(path)]
        found.append(outcome)
    return found


def test_the_first_request_goes_behind_a_sync() -> None:
    """Nothing is read on a connection that is older than it; one `Sync` is enough for that."""
    one, wire, ends = line()
    one.start(reading("/a", "/b"), ends)
    assert wire.answer(None, (b"a", at(1))) == [Sync("/"), Get("/a")]
    assert wire.answer((b"b", at(1))) == [Get("/b")]
    assert ends.all == [([(b"a", at(1)), (b"b", at(1))], None)]
    one.start(reading("/c"), ends)
    assert wire.answer((b"", at(1))) == [Get("/c")]


def test_a_sync_that_fails_fails_the_dialogue() -> None:
    """Without the `Sync` it is not known how old an answer is, so the dialogue does not get it."""
    one, wire, ends = line()
    error = NoAuthError("/")
    one.start(reading("/a"), ends)
    wire.answer(error, (b"a", at(1)))
    assert ends.all == [(None, error)]
    one.start(reading("/a"), ends)
    assert [sent.request for sent in wire.sent] == [Sync("/"), Get("/a")]


def test_an_error_is_an_outcome() -> None:
    """A dialogue receives what the server refuses, and goes on."""
    one, wire, ends = line()
    error = NoAuthError("/a")
    one.start(reading("/a"), ends)
    wire.answer(None, error)
    assert ends.all == [([error], None)]


def test_a_lost_connection_closes_the_dialogue() -> None:
    """A dialogue is closed, and not resumed, if its connection is lost."""
    one, wire, ends = line()
    closed = []

    def dialogue() -> Dialogue:
        try:
            yield [Get("/a")]
        finally:
            closed.append(True)

    error = ConnectionLostError()
    one.start(dialogue(), ends)
    wire.answer(None, error)
    assert (closed, ends.all) == ([True], [(None, error)])


def test_what_a_dialogue_raises_is_its_end() -> None:
    """A dialogue that refuses ends with its error, be it before or after its first request."""
    one, wire, ends = line()
    error = RefusedError("no")

    def refusing(batches: int) -> Dialogue:
        for _ in range(batches):
            yield [Get("/a")]
        raise error

    one.start(refusing(0), ends)
    one.start(refusing(1), ends)
    wire.answer(None, (b"", at(1)))
    assert ends.all == [(None, error), (None, error)]


def test_a_multi_read_is_tried_alone() -> None:
    """All dialogues wait until it is known whether the server has the multi-read."""
    one, wire, ends = line("/a")
    one.start(reading("/b"), ends)
    one.start(reading("/c"), ends)
    assert wire.answer([(b"", at(1))]) == [MultiRead(["/a"])]
    assert [sent.request for sent in wire.sent] == [Sync("/"), Get("/b"), Sync("/"), Get("/c")]


def test_an_old_server_is_remembered() -> None:
    """What waits fails with the refusal, and on the next connection nothing is tried."""
    support, wire, ends = MultiReadSupport("/a"), Wire(), Ends()
    error = UnimplementedError()
    Line(1, support, wire).start(reading("/b"), ends)
    wire.answer(error)
    assert ends.all == [(None, error)]
    assert support.is_missing
    Line(2, support, wire).start(reading("/b"), ends)
    assert [sent.request for sent in wire.sent] == [Sync("/"), Get("/b")]


def asking(*requests: Request) -> Dialogue:
    """Send these requests."""
    yield list(requests)


def test_watches_are_set_again_as_of_what_was_read() -> None:
    """Each watch is set again relative to what its request has read; refused ones are not."""
    one, wire, ends = line()
    one.start(
        asking(
            Get("/a", "w"), Exists("/b", "w"), Children("/c", "w"), Exists("/d", "w"), Get("/e")
        ),
        ends,
    )
    wire.answer(None, (b"", at(5)), None, ((), at(7)), NoAuthError("/d"), (b"", at(9)))
    assert one.watches.requests() == [
        SetWatches(5, ["/a"], [], []),
        SetWatches(7, [], [], ["/c"]),
        SetWatches(0, [], ["/b"]),
    ]


def test_a_watch_that_fires_before_its_answer_is_not_set_again() -> None:
    """A watch that has fired is gone, also if the answer to its request is received later."""
    one, wire, ends = line()
    one.start(asking(Get("/a", "w"), Children("/c", "w")), ends)
    one.watches.fired("/a", znode=True, children=True)
    one.watches.fired("/c", znode=True, children=False)
    wire.answer(None, (b"", at(5)), ((), at(7)))
    assert one.watches.requests() == [SetWatches(7, [], [], ["/c"])]
    assert one.watches.clear() == [("/c", "w")]
    assert one.watches.requests() == []
