"""The wire format: what is written is read again, and nothing else is accepted."""

import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.rubbish import examples
from zkexec.zookeeper.jute import (
    MOST_ITEMS,
    ConnectRequest,
    ConnectResponse,
    FrameReader,
    FrameWriter,
    MalformedFrameError,
    MultiHeader,
    ReplyHeader,
    RequestHeader,
    WatcherEvent,
)
from zkexec.zookeeper.values import Acl, Stat
from zookeeper.drawn_values import CONTENTS, ENTRIES, INTS, LONGS, STATS, TEXTS, several

BOOLEANS = st.booleans()
FLAGS = st.sampled_from([None, False, True])
# An empty password is sent as sixteen zero bytes.
PASSWORDS = st.binary(min_size=1, max_size=20)
RECORDS = st.one_of(
    st.builds(ConnectRequest, LONGS, INTS, LONGS, PASSWORDS, FLAGS, INTS),
    st.builds(ConnectResponse, INTS, LONGS, CONTENTS, FLAGS, INTS),
    st.builds(RequestHeader, INTS, INTS),
    st.builds(ReplyHeader, INTS, LONGS, INTS),
    st.builds(MultiHeader, INTS, BOOLEANS, INTS),
    st.builds(WatcherEvent, INTS, INTS, TEXTS),
)


def written(write: Callable[[FrameWriter], None]) -> bytes:
    """What a writer makes of it."""
    frame = FrameWriter()
    write(frame)
    return bytes(frame.content)


@examples(200)
@given(st.tuples(INTS, LONGS, BOOLEANS, CONTENTS, TEXTS, several(TEXTS)))
def test_values_come_back(values: tuple[Any, ...]) -> None:
    """Every value that is written is read again, and nothing is left."""
    frame = FrameWriter()
    number, long, flag, content, text, texts = values
    frame.write_int(number)
    frame.write_long(long)
    frame.write_boolean(flag)
    frame.write_buffer(content)
    frame.write_string(text)
    frame.write_strings(texts)
    reader = FrameReader(bytes(frame.content))

    read = (reader.read_int(), reader.read_long(), reader.read_boolean())
    assert (*read, reader.read_buffer(), reader.read_string(), reader.read_strings()) == values
    assert reader.remaining == 0


@examples(100)
@given(STATS, several(ENTRIES))
def test_stats_and_acls_come_back(stat: Stat, entries: tuple[Acl, ...]) -> None:
    """A `Stat` and an ACL that are written are read again."""
    frame = FrameWriter()
    frame.write_stat(stat)
    frame.write_acl(entries)
    reader = FrameReader(bytes(frame.content))

    assert (reader.read_stat(), reader.read_acl(), reader.remaining) == (stat, entries, 0)


@examples(300)
@given(RECORDS)
def test_records_come_back(record: Any) -> None:
    """Every record that is written is read again, and nothing is left."""
    reader = FrameReader(written(record.write_to))

    assert type(record).read_from(reader) == record
    assert reader.remaining == 0


@examples(200)
@given(RECORDS, st.data())
def test_a_record_that_is_cut_is_refused(record: Any, data: st.DataObject) -> None:
    """A frame that ends before its record does is refused, unless only a flag is missing."""
    content = written(record.write_to)
    cut = data.draw(st.integers(0, len(content) - 1))

    try:
        read = type(record).read_from(FrameReader(content[:cut]))
    except MalformedFrameError:
        return
    assert isinstance(record, ConnectRequest | ConnectResponse)
    assert (cut, read.read_only) == (len(content) - 1, None)


def test_numbers_have_the_order_of_the_network() -> None:
    """Numbers are big-endian, and a frame begins with its length."""
    frame = FrameWriter()
    frame.write_int(1)
    frame.write_long(-2)
    frame.write_string("é")

    assert frame.framed().hex(" ", 2) == ("0000 0012 0000 0001 ffff ffff ffff fffe 0000 0002 c3a9")


@pytest.mark.parametrize(
    ("read", "empty"),
    [
        (FrameReader.read_buffer, b""),
        (FrameReader.read_string, ""),
        (FrameReader.read_strings, ()),
        (FrameReader.read_acl, ()),
    ],
)
def test_null_is_the_empty_value(read: Callable[[FrameReader], Any], empty: Any) -> None:
    """A length of -1 is read as an empty value, and takes no more bytes."""
    reader = FrameReader(b"\xff\xff\xff\xffrest")

    assert read(reader) == empty
    assert reader.remaining == 4


@pytest.mark.parametrize("length", [-2, -(2**31), 5, 2**31 - 1])
@pytest.mark.parametrize(
    "read", [FrameReader.read_buffer, FrameReader.read_string, FrameReader.read_strings]
)
def test_a_length_has_to_fit_into_the_frame(
    read: Callable[[FrameReader], Any], length: int
) -> None:
    """A length that is negative, or larger than what is left, is refused at once."""
    frame = FrameWriter()
    frame.write_int(length)

    with pytest.raises(MalformedFrameError, match=f"{length}"):
        read(FrameReader(bytes(frame.content) + b"four"))


def test_a_vector_cannot_have_more_items_than_bytes() -> None:
    """A count of items that could not all fit into the frame is refused before any is read."""
    frame = FrameWriter()
    frame.write_int(3)
    frame.write_int(0)
    frame.write_int(0)

    with pytest.raises(MalformedFrameError, match="a length of 3"):
        FrameReader(bytes(frame.content)).read_strings()


def test_a_vector_has_a_limit() -> None:
    """A vector whose items would take much more memory than its frame is refused."""
    item = struct.pack("!i", 0)
    most = struct.pack("!i", MOST_ITEMS) + item * MOST_ITEMS
    assert FrameReader(most).read_strings() == ("",) * MOST_ITEMS

    with pytest.raises(MalformedFrameError, match=f"a list of {MOST_ITEMS + 1:,} items"):
        FrameReader(struct.pack("!i", MOST_ITEMS + 1) + item * (MOST_ITEMS + 1)).read_strings()


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("snow\N{SNOWMAN}".encode(), "snow\N{SNOWMAN}"),
        ("\N{OWL}".encode(), "\N{OWL}"),
        # Java writes each half of such a character by itself.
        (b"a\xed\xa0\xbe\xed\xb6\x89b", "a\N{OWL}b"),
    ],
)
def test_texts_of_java_are_read(content: bytes, text: str) -> None:
    """A character beyond U+FFFF is read in the form of UTF-8 and in that of Java."""
    frame = FrameWriter()
    frame.write_buffer(content)

    assert FrameReader(bytes(frame.content)).read_string() == text


@pytest.mark.parametrize("content", [b"\xff", b"\xed\xa0\xbe", b"\xe2\x98"])
def test_what_is_no_text_is_refused(content: bytes) -> None:
    """A text that is neither is refused."""
    frame = FrameWriter()
    frame.write_buffer(content)

    with pytest.raises(MalformedFrameError, match="not UTF-8"):
        FrameReader(bytes(frame.content)).read_string()


def test_content_is_a_copy_of_its_own() -> None:
    """What is read does not change with the bytes that it was read from."""
    content = bytearray(b"\0\0\0\3abc")
    read = FrameReader(memoryview(content)).read_buffer()
    content[4:] = b"xyz"

    assert read == b"abc"


def test_secrets_are_not_shown() -> None:
    """The password of a session is in no `repr`."""
    shown = repr((ConnectRequest(1, 2, 3, b"hush"), ConnectResponse(1, 2, b"hush")))

    assert "session" in shown
    assert "hush" not in shown


@pytest.mark.parametrize(
    ("owner", "is_ephemeral"),
    [
        (0, False),
        (0x0100_0123_4567_0001, True),
        (0xFF12_0123_4567_0001 - 2**64, True),
        (-(2**63), False),
        (0xFF00_00FF_FFFF_FFFF - 2**64, False),
    ],
)
def test_which_znodes_are_ephemeral(owner: int, is_ephemeral: bool) -> None:
    """An ephemeral znode has a session; a container and one with a time to live have a mark.

    A session of the server 255 begins like that mark.
    """
    assert Stat(ephemeral_owner=owner).is_ephemeral is is_ephemeral
