"""Every operation, every answer and every error code, as bytes."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.rubbish import examples
from zkexec.zookeeper.errors import ConnectionEndError, NoNodeError, OtherError, ZooKeeperError
from zkexec.zookeeper.jute import FrameReader, FrameWriter, MalformedFrameError, MultiHeader
from zkexec.zookeeper.request_codec import (
    ERROR_NAMES,
    FORMS,
    decode,
    describe_error,
    encode,
    name_of,
)
from zkexec.zookeeper.requests import (
    Check,
    Create,
    Delete,
    Exists,
    Get,
    MultiRead,
    Request,
    SetContent,
    Transaction,
)
from zkexec.zookeeper.session_requests import AnyRequest, Ping
from zkexec.zookeeper.values import OPEN_ACL, Stat
from zookeeper.drawn_values import REQUESTS, outcomes_of
from zookeeper.wire_server import read_request, write_body

ANSWERED = REQUESTS.flatmap(lambda one: st.tuples(st.just(one), outcomes_of(one)))


def body_of(request: AnyRequest, outcome: Any) -> bytes:
    """What a server sends behind the header of this answer."""
    frame = FrameWriter()
    write_body(frame, request, outcome)
    return bytes(frame.content)


def test_every_request_has_its_place_in_the_table() -> None:
    """Each class of requests is in the table, with a number of its own."""
    assert set(AnyRequest.__args__) == FORMS.keys()
    assert set(Request.__args__) < FORMS.keys()
    assert len({form.number for form in FORMS.values()}) == len(FORMS)


@examples(500)
@given(st.integers(1, 2**31 - 1), REQUESTS)
def test_a_server_reads_what_was_sent(xid: int, request: AnyRequest) -> None:
    """A server that reads the frame of a request finds the request, and nothing behind it."""
    frame = encode(xid, request)

    assert int.from_bytes(frame[:4], "big") == len(frame) - 4
    assert read_request(frame[4:]) == (xid, request)


@examples(500)
@given(ANSWERED)
def test_an_answer_is_read_as_it_was_meant(answered: tuple[AnyRequest, Any]) -> None:
    """The outcome that a server writes is the outcome that is read, with the path of each error."""
    request, outcome = answered
    read = decode(request, 0, FrameReader(body_of(request, outcome)))

    assert repr(read) == repr(outcome)
    if isinstance(outcome, tuple):
        errors = [(type(one), one.path) for one in outcome if isinstance(one, ZooKeeperError)]
        assert isinstance(read, tuple)
        assert errors == [(type(one), one.path) for one in read if isinstance(one, ZooKeeperError)]


@examples(200)
@given(ANSWERED, st.data())
def test_an_answer_that_is_cut_is_refused(
    answered: tuple[AnyRequest, Any], data: st.DataObject
) -> None:
    """The body of an answer that ends too early is refused, unless nothing of it is needed."""
    request, outcome = answered
    content = body_of(request, outcome)
    if not content or outcome is None:
        assert decode(request, 0, FrameReader(b"")) is None
        return
    cut = data.draw(st.integers(0, len(content) - 1))

    with pytest.raises(MalformedFrameError):
        decode(request, 0, FrameReader(content[:cut]))


@examples(500)
@given(REQUESTS, st.integers(-130, 5), st.binary(max_size=200))
def test_rubbish_is_an_outcome_or_refused(request: AnyRequest, error: int, body: bytes) -> None:
    """Whatever bytes answer a request give an outcome or a `MalformedFrameError`."""
    with suppress(MalformedFrameError):
        decode(request, error, FrameReader(body))


@examples(500)
@given(ANSWERED, st.data())
def test_a_flipped_bit_is_an_outcome_or_refused(
    answered: tuple[AnyRequest, Any], data: st.DataObject
) -> None:
    """An answer with one bit flipped gives an outcome or a `MalformedFrameError`."""
    request, outcome = answered
    content = bytearray(body_of(request, outcome))
    if content:
        bit = data.draw(st.integers(0, len(content) * 8 - 1))
        content[bit // 8] ^= 1 << bit % 8
    with suppress(MalformedFrameError):
        decode(request, 0, FrameReader(bytes(content)))


@pytest.mark.parametrize("code", [*ERROR_NAMES, -99, 17])
def test_every_error_code_is_an_error_with_its_path(code: int) -> None:
    """Each error code is an outcome with the path of its request, and none ends a connection."""
    outcome = decode(Get("/a"), code, FrameReader(b""))

    assert isinstance(outcome, ZooKeeperError)
    assert not isinstance(outcome, ConnectionEndError)
    assert outcome.path == "/a"
    assert outcome.code == code or describe_error(code) in str(outcome)


def test_an_error_is_named() -> None:
    """A code is shown with ZooKeeper's name for it, or alone if it has none."""
    assert describe_error(-108) == "NoChildrenForEphemerals (-108)"
    assert describe_error(-999) == "error -999"


def test_a_znode_that_does_not_exist_is_no_error_of_exists() -> None:
    """`Exists` is answered by None if there is no znode, `Get` by an error."""
    assert decode(Exists("/a"), -101, FrameReader(b"")) is None
    assert isinstance(decode(Get("/a"), -101, FrameReader(b"")), NoNodeError)
    assert isinstance(decode(Exists("/a"), -127, FrameReader(b"")), OtherError)


@pytest.mark.parametrize(
    ("ephemeral", "sequential", "flags"),
    [(False, False, 0), (True, False, 1), (False, True, 2), (True, True, 3)],
)
def test_the_kinds_of_znodes_are_flags(ephemeral: bool, sequential: bool, flags: int) -> None:
    """The last int of `Create` is the kind of znode that it makes."""
    request = Create("/a", b"", OPEN_ACL, ephemeral, sequential)

    assert encode(1, request)[-4:] == flags.to_bytes(4, "big")


def test_a_check_belongs_into_a_transaction() -> None:
    """A check alone is an error of the program, as a server would never answer it."""
    assert read_request(encode(1, Transaction([Check("/a", 1)]))[4:])

    with pytest.raises(ValueError, match="only in a transaction"):
        encode(1, Check("/a", 1))


def test_a_frame_has_the_bytes_that_the_protocol_demands() -> None:
    """A request is its length, its xid, its number and its body."""
    frame = encode(7, Get("/a", "key"))

    assert frame.hex(" ", -4) == "0000000f 00000007 00000004 00000002 2f6101"
    assert encode(-2, Ping()).hex(" ", -4) == "00000008 fffffffe 0000000b"


@pytest.mark.parametrize(
    ("request_", "headers", "reason"),
    [
        (MultiRead(["/a"]), [(-1, True)], "1 results are due, 0 came"),
        (MultiRead([]), [(-1, False)], "more than the 0 results"),
        (Transaction([Check("/a", 1)]), [(13, False), (13, False)], "more than the 1 results"),
        (Transaction([Check("/a", 1)]), [(2, False)], "check /a has a result of operation 2"),
    ],
)
def test_results_have_to_be_those_of_the_operations(
    request_: AnyRequest, headers: list[tuple[int, bool]], reason: str
) -> None:
    """Too few, too many and other results than those of the operations are refused."""
    frame = FrameWriter()
    for operation, is_end in headers:
        MultiHeader(operation, is_end, 0).write_to(frame)

    with pytest.raises(MalformedFrameError, match=reason):
        decode(request_, 0, FrameReader(bytes(frame.content)))


def test_a_request_is_named_for_a_person() -> None:
    """A request is named by its operation and its path."""
    assert name_of(SetContent("/a", b"secret")) == "set /a"
    assert name_of(Transaction([Delete("/a")])) == "transaction"


def test_newer_servers_may_append_fields() -> None:
    """Bytes behind a complete answer are ignored."""
    stat = Stat(czxid=5)

    assert decode(Exists("/a"), 0, FrameReader(body_of(Exists("/a"), stat) + b"more")) == stat
