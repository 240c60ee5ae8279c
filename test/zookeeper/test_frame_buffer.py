"""Frames come out of the bytes of a connection however those are cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.rubbish import examples
from zkexec.zookeeper.frame_buffer import FrameBuffer
from zkexec.zookeeper.jute import MalformedFrameError

LIMIT = 100


def framed(content: bytes) -> bytes:
    """Put the length before a frame."""
    return len(content).to_bytes(4, "big", signed=True) + content


@examples(300)
@given(st.lists(st.binary(max_size=20), max_size=6), st.data())
def test_frames_come_out_however_they_are_cut(frames: list[bytes], data: st.DataObject) -> None:
    """Bytes that arrive in any pieces give the frames that were sent."""
    content = b"".join(map(framed, frames))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=8)))
    buffer = FrameBuffer(LIMIT)

    pieces = [content[a:b] for a, b in zip([0, *cuts], [*cuts, len(content)], strict=True)]
    assert [bytes(frame) for piece in pieces for frame in buffer.feed(piece)] == frames


def test_frames_come_out_byte_by_byte() -> None:
    """Frames whose bytes arrive one by one are the same, empty ones included."""
    frames = [b"one", b"", b"three"]
    buffer = FrameBuffer(LIMIT)

    content = b"".join(map(framed, frames))
    pieces = [content[n : n + 1] for n in range(len(content))]
    assert [bytes(frame) for piece in pieces for frame in buffer.feed(piece)] == frames


def test_a_frame_that_arrives_at_once_is_not_copied() -> None:
    """A complete frame is a part of the bytes that arrived."""
    content = framed(b"content")

    (frame,) = FrameBuffer(LIMIT).feed(content)
    assert frame.obj is content


def test_a_part_of_a_frame_is_known_as_such() -> None:
    """A frame is partial from its length on, until its last byte."""
    buffer = FrameBuffer(LIMIT)
    found = []
    for byte in framed(b"ab"):
        list(buffer.feed(bytes([byte])))
        found.append(buffer.is_partial)

    assert found == [False, False, False, True, True, False]


@pytest.mark.parametrize("length", [LIMIT + 1, 2**31 - 1, -1, -(2**31)])
@pytest.mark.parametrize("cut", [0, 2])
def test_a_length_out_of_bounds_is_refused_at_once(length: int, cut: int) -> None:
    """A length that is negative or above the limit is refused before any content arrives."""
    head = length.to_bytes(4, "big", signed=True)
    buffer = FrameBuffer(LIMIT)
    assert [*map(bytes, buffer.feed(framed(b"before") + head[:cut]))] == [b"before"]

    with pytest.raises(MalformedFrameError, match=f"{length:,}"):
        list(buffer.feed(head[cut:]))


def test_a_frame_as_large_as_the_limit_is_accepted() -> None:
    """The limit itself is allowed."""
    (frame,) = FrameBuffer(LIMIT).feed(framed(bytes(LIMIT)))
    assert bytes(frame) == bytes(LIMIT)


def test_the_limit_can_change_between_two_frames() -> None:
    """A limit that is changed after a frame holds for the next one in the same bytes."""
    buffer = FrameBuffer(3)
    frames = buffer.feed(framed(b"abc") + framed(b"abcd"))
    assert bytes(next(frames)) == b"abc"

    buffer.limit = 4
    assert bytes(next(frames)) == b"abcd"
