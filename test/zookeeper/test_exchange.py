"""The requests of a connection that are not answered."""

from zkexec.zookeeper.exchange import LARGEST_ANSWER, LARGEST_FRAME, Exchange
from zkexec.zookeeper.requests import MultiRead, Sync
from zookeeper.wire_server import read_request


def test_numbers_start_again_after_the_largest() -> None:
    """Behind the largest number of 31 bits comes 1, as no answer may have a negative number."""
    exchange = Exchange(last_xid=0x7FFFFFFE)

    xids = [exchange.add(Sync("/"), None)[0] for _ in range(3)]
    assert xids == [0x7FFFFFFF, 1, 2]


def test_a_request_that_cannot_be_written_changes_nothing() -> None:
    """A path that is no text of Unicode raises, and the next request has the number that is due."""
    exchange = Exchange()
    try:
        exchange.add(Sync("/\ud800"), None)
    except UnicodeEncodeError:
        xid, frame = exchange.add(Sync("/"), None)

    assert (xid, len(exchange)) == (1, 1)
    assert read_request(frame[4:]) == (1, Sync("/"))


def test_a_cleared_exchange_awaits_nothing() -> None:
    """After the loss of a connection no large answer is awaited any more."""
    exchange = Exchange()
    exchange.add(MultiRead(["/a"]), "key")
    assert exchange.limit == LARGEST_ANSWER

    assert [pending.key for pending in exchange.clear()] == ["key"]
    assert (exchange.limit, len(exchange)) == (LARGEST_FRAME, 0)


def test_the_content_of_requests_is_not_shown() -> None:
    """What a request writes is in no `repr` of a pending one."""
    exchange = Exchange()
    exchange.add(Sync("/hidden"), "key")

    assert "hidden" not in repr(exchange.first(1))
