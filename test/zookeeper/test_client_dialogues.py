"""Dialogues and watches on the connection of a client, and how connection and session end."""

import os
from collections.abc import Callable

import pytest

from zkexec.zookeeper.client_events import (
    Answered,
    ClientEvent,
    Connected,
    Failed,
    Fired,
    Lost,
)
from zkexec.zookeeper.errors import (
    ConnectionEndError,
    ConnectionLostError,
    NoNodeError,
    UnimplementedError,
)
from zkexec.zookeeper.requests import (
    Children,
    Dialogue,
    Get,
    SetContent,
    SetWatches,
    Sync,
)
from zkexec.zookeeper.session_requests import CloseSession
from zkexec.zookeeper.values import Stat
from zookeeper.client_player import ClientPlayer, batch
from zookeeper.simulated_network import SILENCE, Raw, SimulatedNetwork, pings
from zookeeper.wire_server import answer, event

Simulated = Callable[..., SimulatedNetwork]


@pytest.fixture
def player(simulated: Simulated) -> ClientPlayer:
    """A client that is connected to a server with a znode /a."""
    player = ClientPlayer(simulated("10.0.0.1"))
    player.server.contents["/a"] = b"x"
    player.connect()
    return player


def silent(player: ClientPlayer) -> None:
    """Let the server answer no request any more."""
    player.server.outcome = lambda _: SILENCE


def reason_of(error: object) -> str:
    """The reason of a lost connection."""
    assert isinstance(error, ConnectionLostError)
    return str(error)


def test_a_dialogue_is_answered_with_its_key(player: ClientPlayer) -> None:
    """The result is reported once, with the newest transaction that the server has named."""
    player.server.zxid = 7
    player.start(Get("/a"), Get("/b"), key="mine")
    player.settle()

    (answered,) = player.new()
    assert isinstance(answered, Answered)
    assert (answered.key, answered.zxid) == ("mine", 7)
    content, missing = answered.answer
    assert content == (b"x", Stat(mzxid=7))
    assert isinstance(missing, NoNodeError)


def test_a_dialogue_starts_only_on_its_own_connection(player: ClientPlayer) -> None:
    """One that was meant for another connection, or comes without one, fails at once."""
    player.start(Get("/a"), connection=1)
    player.settle()
    assert isinstance(player.new()[0], Answered)
    player.start(Get("/a"), connection=2)
    player.start(Get("/a"), connection=-1)
    assert [reason_of(one.error) for one in player.of(Failed)] == ["the connection was lost"] * 2
    player.connection.send(b"")
    player.settle()
    player.start(Get("/a"))
    player.client.close(0.0)
    player.start(Get("/a"))

    reasons = [reason_of(one.error) for one in player.of(Failed)[2:]]
    assert reasons == ["there is no connection"] * 2


def test_a_dialogue_without_requests_is_answered_at_once(player: ClientPlayer) -> None:
    """What needs no server has its result when `start` returns; it still needs a connection."""

    def nothing() -> Dialogue:
        yield from ()
        return "done"

    player.client.start(nothing(), "k")
    assert player.new() == [Answered("k", "done", 1)]


def test_an_empty_batch_is_answered_at_once(player: ClientPlayer) -> None:
    """A batch without requests has no outcomes."""

    def empty() -> Dialogue:
        return (yield [])

    player.client.start(empty(), "k")
    assert player.new() == [Answered("k", [], 1)]


def test_a_request_that_cannot_be_encoded_fails_its_dialogue(player: ClientPlayer) -> None:
    """A path that has no UTF-8 form is an error of its dialogue; others go on."""
    player.start(Get("/a"), key="good")
    player.start(Get("/\udcff"), key="bad")
    (failed,) = player.new()
    assert isinstance(failed, Failed)
    assert failed.key == "bad"
    assert isinstance(failed.error, UnicodeEncodeError)

    player.settle()
    assert [type(one) for one in player.new()] == [Answered]


def test_dialogues_fail_before_the_loss_is_reported(player: ClientPlayer) -> None:
    """Each one fails with the reason of the loss, which follows."""
    silent(player)
    player.start(Get("/a"), key="1")
    player.start(Get("/b"), Get("/c"), key="2")
    player.connection.send(b"")
    player.settle()

    first, second, lost = player.new()
    assert isinstance(first, Failed)
    assert isinstance(second, Failed)
    assert isinstance(lost, Lost)
    assert (first.key, second.key) == ("1", "2")
    assert reason_of(first.error) == reason_of(second.error) == lost.reason
    assert lost.reason == (
        "the server closed the connection instead of answering 3 requests, "
        "the largest of them a get /a of 15 bytes"
    )


def test_a_listener_may_start_dialogues(player: ClientPlayer) -> None:
    """A dialogue can be started from within a report, also from that of the connection."""

    def take(event: ClientEvent) -> None:
        if isinstance(event, Connected):
            player.start(Get("/a"), key="first", connection=event.connection)
        if isinstance(event, Answered) and event.key == "first":
            player.start(Sync("/"), key="second")
        if isinstance(event, Lost):
            player.start(Sync("/"), key="late")

    player.then = take
    player.connection.send(b"")
    player.pass_time(1.0)

    assert [type(one) for one in player.new()] == [Lost, Failed, Connected, Answered, Answered]


def test_what_follows_an_answer_fails_if_the_loss_is_known_already(player: ClientPlayer) -> None:
    """An answer and rubbish in one piece: the next batch of the dialogue loses its connection."""
    silent(player)

    def two() -> Dialogue:
        yield [Sync("/")]
        yield [Sync("/")]

    player.client.start(two(), "two")
    player.client.start(batch(Sync("/")), "one")
    xid = 2  # behind the first request of the connection
    rubbish = b"\xff\xff\xff\xff"
    player.connection.send(answer(xid, Sync("/"), None) + rubbish)
    player.settle()

    two_failed, one_failed, lost = player.new()
    assert isinstance(two_failed, Failed)
    assert isinstance(one_failed, Failed)
    assert isinstance(lost, Lost)
    assert (two_failed.key, one_failed.key) == ("two", "one")
    assert isinstance(two_failed.error, ConnectionEndError)
    assert isinstance(one_failed.error, ConnectionEndError)


def test_another_operation_that_a_server_does_not_know(player: ClientPlayer) -> None:
    """An operation that has no other way fails as such, and nothing is concluded from it."""
    player.server.outcome = lambda _: UnimplementedError.code
    player.start(Sync("/"))
    player.settle()

    failed, _ = player.new()
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, UnimplementedError)
    assert not player.client.lacks_multi_read


# Watches.


def test_watches_fire_before_the_answers_behind_them(player: ClientPlayer) -> None:
    """A watch is reported with what it was set with, in front of the answer that shows the change.

    It fires once.
    """
    player.answer(Get("/a", "w"))
    silent(player)
    player.start(Sync("/"))
    player.connection.send(event(3, "/a") + answer(3, Sync("/"), None) + event(3, "/a"))
    player.settle()

    fired, answered = player.new()
    assert fired == Fired("w", "/a")
    assert isinstance(answered, Answered)


def test_rearming_sets_all_watches_again(player: ClientPlayer) -> None:
    """All watches are sent again; if the server refuses, all of them are reported as fired."""
    player.answer(Get("/a", "w"))
    player.client.rearm()
    player.settle()
    assert player.connection.requests[-1] == SetWatches(1, ("/a",), (), ())
    assert player.new() == []

    player.server.outcome = lambda _: -5
    player.client.rearm()
    player.settle()
    assert player.new() == [Fired("w", "/a")]


def test_rearming_without_a_connection_does_nothing(simulated: Simulated) -> None:
    """Without a session, and while one is connected, there is nothing to set again."""
    player = ClientPlayer(simulated("10.0.0.1"))
    player.client.rearm()
    silent(player)
    player.client.open()
    player.settle()
    player.client.rearm()
    player.settle()

    assert player.connection.requests == [Sync("/")]


# Bytes and times.


def test_pings_keep_an_idle_session(player: ClientPlayer) -> None:
    """A ping leaves each third of the session timeout."""
    player.pass_time(60.0)

    assert pings(player.connection) >= 19
    assert player.new() == []


def test_a_silent_server_is_lost(player: ClientPlayer) -> None:
    """A server that answers nothing any more is lost after two thirds of the session timeout."""
    silent(player)
    player.pass_time(5.9)
    assert player.new() == []
    player.pass_time(0.2)

    (lost,) = player.new()
    assert lost == Lost("no answer from the server for 6 s", 1)


def test_a_server_that_answers_only_pings_is_lost(player: ClientPlayer) -> None:
    """A request that is not answered for two session timeouts ends the connection."""
    serve = player.server.serve
    player.server.outcome = lambda request: SILENCE if isinstance(request, Get) else serve(request)
    player.start(Get("/a"))
    player.pass_time(17.9)
    assert player.new() == []
    player.pass_time(0.2)

    failed, lost, *_ = player.new()
    assert isinstance(failed, Failed)
    assert isinstance(lost, Lost)
    assert lost.reason == (
        "the server has answered only pings for 18 s instead of answering get /a of 15 bytes"
    )


def test_progress_is_no_silence(player: ClientPlayer) -> None:
    """An answer over a slow link arrives, although that takes many session timeouts."""
    serve = player.server.serve
    player.server.outcome = lambda request: SILENCE if isinstance(request, Get) else serve(request)
    player.start(Get("/a"))
    player.settle()
    content = bytes(range(256)) * 1000
    frame = answer(2, Get("/a"), (content, Stat()))
    begun = player.network.time
    for start in range(0, len(frame), 8000):
        player.connection.send(frame[start : start + 8000])
        # A ping is answered only when the whole frame has left.
        player.server.outcome = lambda _: SILENCE
        player.pass_time(5.0)

    (answered,) = player.new()
    assert isinstance(answered, Answered)
    assert answered.answer == [(content, Stat())]
    assert player.network.time - begun > 4 * 18.0


def test_a_large_request_is_written_as_the_socket_takes_it(player: ClientPlayer) -> None:
    """What does not fit waits until the socket can be written to, for which it is polled."""
    connection = player.connection
    player.start(Sync("/"))
    connection.most_written = 0
    player.start(SetContent("/a", bytes(1000)))
    assert player.client.descriptor == (player.network.descriptor, 5)
    connection.most_written = 300
    player.settle()

    assert connection.requests[-1] == SetContent("/a", bytes(1000))
    assert player.client.descriptor == (player.network.descriptor, 1)


def test_what_is_decrypted_already_is_not_waited_for(player: ClientPlayer) -> None:
    """While bytes can be read that no descriptor reports, the client is due at once."""
    silent(player)
    player.start(Sync("/"))
    player.settle()
    player.connection.unread = 40
    player.connection.send(*[bytes([one]) for one in answer(2, Sync("/"), None)])
    player.client.advance()
    # It reads for a while, and lets others have their turn.
    assert player.new() == []
    assert player.client.deadline == player.network.time

    player.client.advance()
    assert [type(one) for one in player.new()] == [Answered]


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (ConnectionResetError(104, "Connection reset by peer"), "Connection reset by peer"),
        (OSError("without a number"), "without a number"),
        (MemoryError(), "this host has too little memory for what the server sends"),
    ],
)
def test_a_connection_that_cannot_be_read_is_lost(
    player: ClientPlayer, failure: OSError | MemoryError, reason: str
) -> None:
    """What keeps the client from reading is the reason of the loss, and it connects again."""
    player.connection.failure = failure
    player.settle()
    assert player.new() == [Lost(reason, 1)]

    player.pass_time(1.0)
    assert player.of(Connected)[1:]


def test_a_connection_that_cannot_be_written_is_lost(player: ClientPlayer) -> None:
    """A failure while sending is noticed at once, and reported with the next `advance`."""
    player.connection.write_failure = BrokenPipeError(32, "Broken pipe")
    player.start(Sync("/"))
    player.start(Sync("/"))
    assert player.new() == []
    assert player.client.deadline == player.network.time
    player.client.advance()

    *failed, lost = player.new()
    assert [type(one) for one in failed] == [Failed, Failed]
    assert isinstance(lost, Lost)
    assert lost.reason.startswith("Broken pipe instead of answering 2 requests")


def test_a_ping_that_cannot_be_written_loses_the_connection(player: ClientPlayer) -> None:
    """A failure in the middle of `advance` is the loss."""
    player.connection.write_failure = OSError("no route")
    player.pass_time(3.1)

    assert player.new()[0] == Lost("no route", 1)


# A caller without a loop.


def test_a_dialogue_can_be_run_to_its_result(player: ClientPlayer) -> None:
    """The result of `run` is that of the dialogue; nothing is reported about it."""
    assert player.client.run(batch(Get("/a")), 10.0) == [(b"x", Stat(mzxid=1))]
    assert player.new() == []


def test_running_raises_what_the_dialogue_raises(player: ClientPlayer) -> None:
    """An error of the dialogue is raised, whatever it is."""

    def fails() -> Dialogue:
        (outcome,) = yield [Get("/b")]
        raise outcome

    with pytest.raises(NoNodeError):
        player.client.run(fails(), 10.0)


def test_running_ends_after_its_time(player: ClientPlayer) -> None:
    """Without an answer in time there is a TimeoutError, and a late answer changes nothing."""
    player.network.step_s = 0.01
    silent(player)
    with pytest.raises(TimeoutError, match=r"^no answer within 0.5 s$"):
        player.client.run(batch(Get("/a")), 0.5)
    with pytest.raises(TimeoutError, match=r"^no answer within 0 s$"):
        player.client.run(batch(Get("/a")), 0.0)
    player.connection.send(answer(2, Get("/a"), (b"late", Stat())))
    player.settle()
    assert player.new() == []


def test_running_without_a_connection_fails_at_once(simulated: Simulated) -> None:
    """A dialogue needs a connection that is there."""
    player = ClientPlayer(simulated("10.0.0.1"))
    for _ in range(2):
        with pytest.raises(ConnectionLostError, match="there is no connection"):
            player.client.run(batch(Get("/a")), 0.0)
        player.client.open()


def test_running_ends_with_the_connection(player: ClientPlayer) -> None:
    """A lost connection is raised, after it was reported."""
    silent(player)
    player.connection.send(b"")
    with pytest.raises(ConnectionLostError, match="the server closed the connection"):
        player.client.run(batch(Get("/a")), 10.0)

    assert [type(one) for one in player.new()] == [Lost]


def test_waiting_ends_when_another_descriptor_is_ready(player: ClientPlayer) -> None:
    """A wait ends for other descriptors as well, and at its time at the latest."""
    reader, writer = os.pipe()
    player.client.close(0.0)
    try:
        player.client.wait(player.network.time, [reader])
        os.write(writer, b"!")
        player.client.wait(player.network.time + 1e6, [reader])
    finally:
        os.close(reader)
        os.close(writer)


# Ends.


def test_closing_ends_the_session(player: ClientPlayer) -> None:
    """The server is asked to end the session, its answer is awaited, and nothing is reported."""
    silent(player)
    player.start(Get("/a"), key="never answered")
    player.settle()
    player.server.outcome = player.server.serve
    player.connection.send(answer(2, Get("/a"), (b"", Stat())))
    player.client.close(10.0)

    assert player.connection.requests[-1] == CloseSession()
    assert player.connection.is_closed
    assert player.new() == []
    player.client.close(10.0)


def test_closing_waits_no_longer_than_it_may(player: ClientPlayer) -> None:
    """A server that does not confirm the end costs the time given; the connection is closed."""
    player.network.step_s = 0.01
    silent(player)
    begun = player.network.time
    player.client.close(2.0)

    assert 2.0 <= player.network.time - begun < 2.5
    assert player.connection.is_closed
    assert player.new() == []


@pytest.mark.parametrize("fault", ["hangs up", "cannot be written", "sends rubbish"])
def test_closing_ends_with_the_connection(player: ClientPlayer, fault: str) -> None:
    """A connection that is lost meanwhile is the end; no other attempt is made."""
    player.network.step_s = 0.01
    silent(player)
    if fault == "hangs up":
        player.connection.send(b"")
    elif fault == "cannot be written":
        player.connection.write_failure = BrokenPipeError(32, "Broken pipe")
    else:
        player.connection.send(Raw(b"\xff\xff\xff\xff"))
    begun = player.network.time
    player.client.close(100.0)

    assert player.network.time - begun < 1.0
    assert all(one.is_closed for one in player.network.attempts)
    assert player.client.deadline is None
    assert player.new() == []


def test_closing_before_the_connection_is_of_use(simulated: Simulated) -> None:
    """While connecting, closing waits for nothing."""
    player = ClientPlayer(simulated("10.0.0.1"))
    silent(player)
    player.server.welcome = lambda _: SILENCE
    player.client.open()
    player.settle()
    player.client.close(100.0)

    assert player.network.time - player.network.attempts[0].deadline == -3.0
    assert player.connection.is_closed
    assert player.client.deadline is None


def test_opening_while_connected_begins_with_a_new_session(player: ClientPlayer) -> None:
    """The old session ends without being waited for, and nothing is reported of it any more."""
    silent(player)
    player.start(Get("/a"), key="never answered")
    old = player.connection
    player.client.open()
    player.server.outcome = player.server.serve
    player.settle()

    (connected,) = player.new()
    assert connected == Connected(2, 0x52, 9.0)
    assert old.is_closed
    assert old.requests[-1] == CloseSession()


@pytest.mark.parametrize("kind", [Answered, Failed, Lost, Connected])
def test_opening_from_within_a_report(player: ClientPlayer, kind: type[ClientEvent]) -> None:
    """A listener that opens the client anew receives nothing more of the old session."""
    opened: list[ClientEvent] = []

    def take(event: ClientEvent) -> None:
        if isinstance(event, kind) and not opened:
            opened.append(event)
            player.client.open()

    player.then = take
    old = player.connection
    player.start(Sync("/"), key="a")
    if kind is Failed:
        player.settle()
        silent(player)
    player.start(Children("/a"), key="b")
    if kind is not Answered:
        old.send(b"")
    player.server.outcome = player.server.serve
    player.pass_time(1.0)

    assert opened
    events = player.new()
    assert events.index(opened[0]) < len(events) - 1
    (connected,) = events[events.index(opened[0]) + 1 :]
    assert isinstance(connected, Connected)
    assert connected.session == 0x52
    assert old.is_closed
