"""How a session that is ready exchanges requests, answers, watches and pings."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.rubbish import examples
from zkexec.zookeeper.client_events import Connected, Expired, Fired, Lost
from zkexec.zookeeper.errors import ConnectionLostError, NoNodeError, UnimplementedError
from zkexec.zookeeper.jute import ConnectResponse
from zkexec.zookeeper.requests import (
    Children,
    Create,
    Exists,
    Get,
    MultiRead,
    SetContent,
    SetWatches,
    Sync,
)
from zkexec.zookeeper.session_requests import CloseSession, Ping
from zkexec.zookeeper.session_state import CloseConfirmed, IdentityRefused, OutcomeReceived
from zkexec.zookeeper.values import OPEN_ACL, Stat
from zookeeper.peer import PASSWORD, SESSION, Peer
from zookeeper.wire_server import answer, event, refusal

MIB = 1 << 20


def ready() -> Peer:
    """A session of nine seconds that is ready."""
    peer = Peer()
    peer.connect()
    assert peer.state.is_ready
    return peer


def reason_of(events: list[Any]) -> str:
    """The reason of the loss that the events end with."""
    assert isinstance(events[-1], Lost)
    return events[-1].reason


def test_answers_come_in_the_order_of_the_requests() -> None:
    """Requests have the numbers from 1 on, and each answer is reported with the key of its own."""
    peer = ready()
    peer.send(Get("/a"), Sync("/"), Exists("/b"))
    (first, get), (second, sync), (third, _) = peer.requests()
    assert (first, second, third) == (1, 2, 3)

    assert peer.answer(1, get, (b"x", Stat()), zxid=5) == [
        OutcomeReceived("Get", (b"x", Stat()), 5)
    ]
    assert peer.answer(2, sync, None, zxid=-1) == [OutcomeReceived("Sync", None, 5)]
    assert peer.refuse(3, -101) == [OutcomeReceived("Exists", None, 1)]


def test_several_answers_can_arrive_at_once() -> None:
    """Frames that arrive together are reported in their order."""
    peer = ready()
    peer.send(Sync("/"), Sync("/"))

    events = peer.receive(answer(1, Sync("/"), None, 1) + answer(2, Sync("/"), None, 2))
    assert events == [OutcomeReceived("Sync", None, 1), OutcomeReceived("Sync", None, 2)]


@pytest.mark.parametrize("xid", [0, 2, 3, -7, 2**31 - 1])
def test_a_wrong_number_ends_the_connection(xid: int) -> None:
    """An answer that is not due ends the connection; all requests fail with the reason."""
    peer = ready()
    peer.send(Get("/a"), Sync("/"))

    failed, also_failed, lost = peer.answer(xid, Sync("/"), None)
    assert isinstance(failed, OutcomeReceived)
    assert isinstance(also_failed, OutcomeReceived)
    assert (failed.key, also_failed.key) == ("Get", "Sync")
    assert isinstance(failed.outcome, ConnectionLostError)
    assert failed.outcome.path == "/a"
    assert reason_of([lost]) == str(failed.outcome)
    assert f"an answer {xid}, but 1 is due" in str(failed.outcome)
    assert not peer.state.has_connection


def test_an_answer_to_no_request_ends_the_connection() -> None:
    """An answer without a request is a fault of the server."""
    assert "to no request" in reason_of(ready().answer(1, Sync("/"), None))


def test_a_broken_answer_fails_its_own_request_too() -> None:
    """A request whose answer cannot be read fails as those behind it."""
    peer = ready()
    peer.send(Get("/a"))

    failed, lost = peer.receive(answer(1, Sync("/"), None))
    assert isinstance(failed, OutcomeReceived)
    assert "at the end of a frame" in reason_of([lost])


def test_what_came_before_a_fault_is_reported() -> None:
    """Events in front of a broken frame are not lost, and what follows it is not read."""
    peer = ready()
    peer.send(Sync("/"), Sync("/"))

    events = peer.receive(answer(1, Sync("/"), None) + answer(9, Sync("/"), None) * 2)
    assert events[0] == OutcomeReceived("Sync", None, 1)
    assert [type(one) for one in events[1:]] == [OutcomeReceived, Lost]
    assert peer.receive(answer(2, Sync("/"), None)) == []


@pytest.mark.parametrize("error", [-112, -118])
def test_an_expired_or_moved_session_loses_the_connection(error: int) -> None:
    """An answer that is about the session ends the connection; the next handshake shows more."""
    peer = ready()
    peer.send(Get("/a"))

    assert f"({error})" in reason_of(peer.refuse(1, error))
    assert not peer.state.is_over


def test_an_unknown_operation_is_answered_out_of_order() -> None:
    """An old server's refusal is the outcome of its own request; the others lose the connection."""
    peer = ready()
    peer.send(Sync("/"), MultiRead(["/a"]), Get("/b"))

    unimplemented, sync, get, lost = peer.refuse(2, -6)
    assert isinstance(unimplemented, OutcomeReceived)
    assert unimplemented.key == "MultiRead"
    assert isinstance(unimplemented.outcome, UnimplementedError)
    assert isinstance(sync, OutcomeReceived)
    assert isinstance(get, OutcomeReceived)
    assert isinstance(sync.outcome, ConnectionLostError)
    assert "does not know the operation multi-read" in reason_of([lost])


def test_an_unknown_number_of_an_unknown_operation_ends_the_connection() -> None:
    """A refusal of a request that was not sent is a fault of the server."""
    peer = ready()
    peer.send(Sync("/"))

    assert "an answer 5, but 1 is due" in reason_of(peer.refuse(5, -6))


def test_the_numbers_of_requests_begin_anew() -> None:
    """A new connection begins with request 1, and nothing of the old one is sent on it."""
    peer = ready()
    peer.send(Sync("/"))
    peer.state.connection_lost("gone")
    peer.connect()
    peer.requests()
    peer.send(Get("/a"))

    assert peer.requests() == [(1, Get("/a"))]


def test_watches_fire_before_the_answers_behind_them() -> None:
    """An event that arrives in front of an answer is reported in front of it, and just once."""
    peer = ready()
    peer.state.send(Get("/a", "w"), "get", peer.now)
    peer.answer(1, Get("/a"), (b"", Stat()))
    peer.send(Sync("/"))

    events = peer.receive(event(3, "/a") + answer(2, Sync("/"), None))
    assert events == [Fired("w", "/a"), OutcomeReceived("Sync", None, 1)]
    assert peer.fire(3, "/a") == []


def test_a_watch_can_fire_before_its_own_answer() -> None:
    """An event that overtakes the answer of the request that set the watch is not lost."""
    peer = ready()
    peer.state.send(Get("/a", "w"), "get", peer.now)

    assert peer.fire(3, "/a") == [Fired("w", "/a")]
    assert peer.answer(1, Get("/a"), (b"", Stat())) == [OutcomeReceived("get", (b"", Stat()), 1)]
    assert peer.fire(3, "/a") == []


def test_events_of_unknown_kinds_do_nothing() -> None:
    """Events that are unknown, or about no watch of ours, are ignored."""
    peer = ready()

    assert peer.fire(-1, "") == []
    assert peer.fire(99, "/a") == []
    assert peer.fire(1, "/a") == []
    assert peer.state.is_ready


def test_no_watch_outlives_its_connection() -> None:
    """The watches of a lost connection are gone."""
    peer = ready()
    peer.state.send(Exists("/a", "w"), "exists", peer.now)
    peer.refuse(1, -101)
    peer.state.connection_lost("gone")
    peer.connect()

    assert peer.fire(1, "/a") == []


def test_watches_are_set_again() -> None:
    """All watches are set again as of what is known of their znodes; the answer is not reported."""
    peer = ready()
    peer.state.send(Get("/a", "a"), "", peer.now)
    peer.state.send(Exists("/b", "b"), "", peer.now)
    peer.state.send(Children("/a", "c"), "", peer.now)
    peer.answer(1, Get("/a"), (b"", Stat(mzxid=5)))
    peer.refuse(2, -101)
    peer.answer(3, Children("/a"), ((), Stat(pzxid=5)))
    peer.requests()
    peer.state.set_watches_again(peer.now)

    assert peer.requests() == [
        (4, SetWatches(0, (), ("/b",), ())),
        (5, SetWatches(5, ("/a",), (), ("/a",))),
    ]
    assert peer.refuse(4, 0) == []
    assert peer.fire(3, "/a") == [Fired("a", "/a")]
    assert peer.refuse(5, 0) == []


def test_watches_that_cannot_be_set_again_fire() -> None:
    """If the server refuses, all watches are reported, as none of them can be relied on."""
    peer = ready()
    peer.state.send(Get("/a", "a"), "", peer.now)
    peer.answer(1, Get("/a"), (b"", Stat(mzxid=5)))
    peer.state.set_watches_again(peer.now)

    assert peer.refuse(2, -5) == [Fired("a", "/a")]


@pytest.mark.parametrize("error", [-6, None])
def test_requests_of_the_session_itself_are_not_reported(error: int | None) -> None:
    """A request that the session sent by itself has no outcome for anything else."""
    peer = ready()
    peer.state.send(Get("/a", "a"), "", peer.now)
    peer.answer(1, Get("/a"), (b"", Stat(mzxid=5)))
    peer.state.set_watches_again(peer.now)

    events = peer.state.connection_lost("gone") if error is None else peer.refuse(2, error)
    assert [type(one) for one in events] == [Lost]


def test_watches_are_not_set_again_without_a_connection() -> None:
    """Without a connection there is nothing to set again."""
    peer = Peer()
    peer.state.set_watches_again(peer.now)
    peer.greet()
    peer.state.set_watches_again(peer.now)

    assert peer.requests() == []


def test_closing_waits_for_what_was_sent_before() -> None:
    """Requests before the end are answered, then the end is reported, and nothing is sent."""
    peer = ready()
    peer.send(Sync("/"))
    peer.state.close(peer.now)
    assert peer.requests() == [(1, Sync("/")), (2, CloseSession())]
    assert not peer.state.is_ready
    with pytest.raises(RuntimeError):
        peer.send(Sync("/"))

    assert peer.answer(1, Sync("/"), None) == [OutcomeReceived("Sync", None, 1)]
    assert peer.refuse(2, 0) == [CloseConfirmed()]
    assert (peer.state.has_connection, peer.state.is_over) == (False, True)


@pytest.mark.parametrize("is_greeted", [False, True])
def test_closing_without_a_ready_connection_is_at_once(is_greeted: bool) -> None:
    """A session that is not ready ends without a frame to a server."""
    peer = Peer()
    if is_greeted:
        peer.greet()
    peer.state.close(peer.now)

    assert (peer.state.has_connection, peer.state.is_over) == (False, True)
    assert (peer.requests(), peer.state.deadline) == ([], None)


def test_a_server_that_hangs_up_while_closing_is_reported() -> None:
    """A connection that is lost before the end is confirmed is lost, and the session is over."""
    peer = ready()
    peer.state.close(peer.now)

    assert "closeSession" in reason_of(peer.state.connection_lost("the server hung up"))
    assert peer.state.is_over


def test_without_a_connection_nothing_happens() -> None:
    """Bytes, times and losses that arrive late do nothing."""
    peer = Peer()

    assert peer.receive(b"late") == []
    assert peer.after(100) == []
    assert peer.state.connection_lost("again") == []
    peer.state.written(0, peer.now)
    assert peer.state.deadline is None


def test_a_server_that_hangs_up_at_once_may_demand_an_identity() -> None:
    """A server that hangs up before it has answered anything is described as such."""
    peer = ready()

    assert reason_of(peer.state.connection_lost("the server hung up")) == (
        "the server hung up right after the handshake; it may demand an identity"
    )


def test_a_server_that_hangs_up_later_is_reported_as_it_is() -> None:
    """After an answer, a server that hangs up has no reason that could be named."""
    peer = ready()
    peer.send(Sync("/"))
    peer.answer(1, Sync("/"), None)

    assert reason_of(peer.state.connection_lost("the server hung up")) == "the server hung up"


def test_the_request_that_a_server_hangs_up_on_is_named() -> None:
    """The largest request that was not answered is named with its bytes, and the usual limit."""
    peer = ready()
    peer.send(Get("/small"))
    assert reason_of(peer.state.connection_lost("gone")).endswith(
        "gone instead of answering get /small of 19 bytes"
    )
    peer.connect()
    peer.send(Get("/small"), SetContent("/large", bytes(MIB)), Create("/x", b"", OPEN_ACL))

    assert reason_of(peer.state.connection_lost("gone")) == (
        "gone instead of answering 3 requests, the largest of them a set /large of 1,048,602 "
        "bytes; without jute.maxbuffer a server accepts 1,048,575 bytes"
    )


def test_frames_are_limited_by_what_is_awaited() -> None:
    """An answer has 64 MiB at most, and 256 MiB while a multi-read is not answered."""
    announced = (64 * MIB + 1).to_bytes(4, "big")
    peer = ready()
    peer.send(Sync("/"))
    assert "67,108,865 bytes" in reason_of(peer.receive(announced))

    peer.connect()
    peer.send(MultiRead(["/a"]))
    assert peer.receive(announced) == []
    peer.state.connection_lost("gone")
    peer.connect()
    peer.send(MultiRead(["/a"]))
    assert "268,435,457 bytes" in reason_of(peer.receive((256 * MIB + 1).to_bytes(4, "big")))

    peer.connect()
    peer.send(MultiRead(["/a"]))
    peer.answer(1, MultiRead(["/a"]), [NoNodeError("/a")])
    assert "67,108,865 bytes" in reason_of(peer.receive(announced))


def test_a_ping_leaves_after_a_third_of_the_timeout() -> None:
    """A session that sends nothing sends a ping, and the next one after its answer."""
    peer = ready()
    assert peer.state.deadline == peer.now + 3.0
    assert peer.after(2.9) == []
    assert peer.requests() == []

    assert peer.after(0.1) == []
    assert peer.requests() == [(-2, Ping())]
    assert peer.refuse(-2, 0) == []
    peer.after(3.0)
    assert peer.requests() == [(-2, Ping())]


def test_every_request_is_as_good_as_a_ping() -> None:
    """A ping leaves only a third of the timeout after the last request."""
    peer = ready()
    peer.after(2.0)
    peer.send(Sync("/"))
    peer.requests()

    peer.after(2.0)
    assert peer.requests() == []
    peer.after(1.0)
    assert peer.requests() == [(-2, Ping())]


def test_a_silent_server_is_lost_after_two_thirds() -> None:
    """Two thirds of the timeout without a byte are the end of the connection."""
    peer = ready()
    peer.send(Get("/a"))
    peer.after(3.0)
    assert peer.after(2.9) == []

    failed, lost = peer.after(0.1)
    assert isinstance(failed, OutcomeReceived)
    assert reason_of([lost]) == "no answer from the server for 6 s"


def test_progress_is_not_silence() -> None:
    """While the bytes of an answer arrive, no deadline runs out, and the pings go on."""
    peer = ready()
    peer.send(Get("/a"))
    answered = (bytes(200_000), Stat())
    content = answer(1, Get("/a"), answered)
    pings = 0
    for at in range(0, len(content) - 1, 3600):
        assert peer.receive(content[at : min(at + 3600, len(content) - 1)]) == []
        assert peer.after(3.5) == []
        pings += peer.requests().count((-2, Ping()))
    assert pings > 50

    (event,) = peer.receive(content[-1:])
    assert isinstance(event, OutcomeReceived)
    assert event.outcome == answered


def test_a_few_bytes_are_no_progress() -> None:
    """A length that is wrong turns all behind it into parts of one answer, which never ends."""
    peer = ready()
    peer.send(Get("/a"))
    peer.requests()
    peer.receive((1_000_000).to_bytes(4, "big"))
    pings = 0
    while not (events := peer.after(3.0)):
        assert peer.requests() == [(-2, Ping())]
        assert peer.receive(refusal(-2, 0)) == []
        pings += 1
    assert pings == 6

    failed, lost = events
    assert isinstance(failed, OutcomeReceived)
    assert reason_of([lost]) == (
        "the server sends less than 1,000 bytes of an answer a second "
        "instead of answering get /a of 15 bytes"
    )


def test_a_server_that_answers_only_pings_is_lost() -> None:
    """A request that is not answered for two session timeouts ends the connection."""
    peer = ready()
    peer.send(Get("/a"))
    peer.requests()
    for _ in range(8):
        assert peer.after(2.2) == []
        for xid, request in peer.requests():
            assert (xid, request) == (-2, Ping())
            peer.refuse(-2, 0)

    failed, lost = peer.after(0.5)
    assert isinstance(failed, OutcomeReceived)
    assert reason_of([lost]) == (
        "the server has answered only pings for 18 s instead of answering get /a of 15 bytes"
    )


def test_each_answer_gives_the_next_one_time() -> None:
    """Answers that come one by one, each within two session timeouts, keep the connection."""
    peer = ready()
    peer.send(*[Sync("/")] * 5)
    for xid in range(1, 6):
        for _ in range(5):
            assert peer.after(3.0) == []
            peer.refuse(-2, 0)
        (answered,) = peer.answer(xid, Sync("/"), None)
        assert isinstance(answered, OutcomeReceived)

    # What is sent after a long rest has as much time.
    for _ in range(10):
        peer.after(3.0)
        peer.refuse(-2, 0)
    peer.send(Sync("/"))
    for _ in range(5):
        assert peer.after(3.0) == []
        peer.refuse(-2, 0)


def test_a_driver_can_give_a_connection_up() -> None:
    """The requests fail with the reason of the driver, which is reported as it is."""
    peer = ready()
    peer.send(Get("/a"))
    failed, lost = peer.state.give_up("it is of no use")
    assert isinstance(failed, OutcomeReceived)
    assert str(failed.outcome) == "it is of no use"
    assert lost == Lost("it is of no use", 0)

    assert peer.state.give_up("again") == []
    assert not peer.state.is_over


def test_a_large_request_that_leaves_is_no_silence() -> None:
    """While a part of a request still has to leave, each part that leaves is progress."""
    peer = ready()
    peer.send(SetContent("/a", bytes(1_000_000)))
    for _ in range(20):
        peer.state.written(10_000, peer.now)
        assert peer.after(5.0) == []

    (*_, lost) = peer.after(1.0)
    assert isinstance(lost, Lost)


def test_a_process_that_was_stopped_pings_first() -> None:
    """After a long stop nothing is owed, so the server gets a third of the timeout to answer."""
    peer = ready()
    assert peer.after(1000.0) == []
    assert peer.requests() == [(-2, Ping())]
    assert peer.after(2.9) == []

    assert "no answer" in reason_of(peer.after(0.1))


def test_pings_that_were_not_sent_can_be_answered() -> None:
    """A flood of answers to pings does no harm."""
    peer = ready()
    for _ in range(10):
        assert peer.refuse(-2, 0) == []

    assert peer.after(3.0) == []
    assert peer.requests() == [(-2, Ping())]


def test_a_server_that_grants_years_is_watched_as_requested() -> None:
    """The pings and the silence go by the requested timeout if more was granted."""
    peer = Peer()
    peer.greet()
    peer.welcome(ConnectResponse(2**31 - 1, SESSION, PASSWORD))
    assert peer.state.is_ready
    assert peer.state.deadline == peer.now + 3.0


@examples(300)
@given(st.binary(max_size=200), st.booleans())
def test_rubbish_never_crashes_a_session(content: bytes, is_framed: bool) -> None:
    """Whatever a server sends gives events, and a session that goes on or has lost it."""
    peer = ready()
    peer.state.send(Get("/a", "w"), "get", peer.now)
    peer.state.send(MultiRead(["/a", "/b"]), "multi-read", peer.now)

    events = peer.receive(len(content).to_bytes(4, "big") + content if is_framed else content)
    ends = [one for one in events if isinstance(one, Lost | Expired | IdentityRefused)]
    assert len(ends) == (not peer.state.has_connection)
    assert not any(isinstance(one, Connected) for one in events)


@examples(300)
@given(st.integers(-8, 4), st.integers(-130, 3), st.binary(max_size=60))
def test_rubbish_behind_a_header_never_crashes_a_session(xid: int, error: int, body: bytes) -> None:
    """An answer with any number, error and body is an outcome, ignored, or the end."""
    peer = ready()
    peer.state.send(Get("/a", "w"), "get", peer.now)
    peer.state.send(Children("/a", "w"), "children", peer.now)
    head = xid.to_bytes(4, "big", signed=True) + bytes(8) + error.to_bytes(4, "big", signed=True)

    events = peer.receive((len(head + body)).to_bytes(4, "big") + head + body)
    ends = [one for one in events if isinstance(one, Lost | IdentityRefused)]
    assert len(ends) == (not peer.state.has_connection)
