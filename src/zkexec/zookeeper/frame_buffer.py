"""Frames out of the bytes of a connection, in whatever pieces those arrive.

A frame is refused by its length alone, before any of its content is kept.
"""

from __future__ import annotations

from struct import Struct

from zkexec.zookeeper.jute import MalformedFrameError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_LENGTH = Struct("!i")


class FrameBuffer:
    """What has arrived of the next frame; `limit` is how large that may be at most."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._head = bytearray()
        self._frame = bytearray()
        self._length = -1
        """The length of the frame whose content arrives; -1 until that is known."""

    @property
    def is_partial(self) -> bool:
        """Whether a part of a frame has arrived."""
        return self._length >= 0

    def feed(self, content: bytes) -> Iterator[memoryview]:
        """Take bytes in and give each frame that is complete, without its length.

        A frame that arrives at once is a part of `content`, not a copy.  A change of `limit`
        holds from the next frame on.  Raises a `MalformedFrameError` at a length that is negative
        or above the limit.
        """
        arrived = memoryview(content)
        position = 0
        while True:
            if self._length < 0:
                position = self._read_head(arrived, position)
                if self._length < 0:
                    return
            end = position + self._length - len(self._frame)
            if end > len(arrived):
                self._frame += arrived[position:]
                return
            frame = arrived[position:end]
            if self._frame:
                self._frame += frame
                frame = memoryview(self._frame)
                self._frame = bytearray()
            self._length, position = -1, end
            yield frame

    def _read_head(self, arrived: memoryview, position: int) -> int:
        end = min(position + _LENGTH.size - len(self._head), len(arrived))
        self._head += arrived[position:end]
        if len(self._head) == _LENGTH.size:
            length: int = _LENGTH.unpack(self._head)[0]
            self._head.clear()
            if not 0 <= length <= self.limit:
                raise MalformedFrameError(
                    f"a frame of {length:,} bytes is announced, at most {self.limit:,} are awaited"
                )
            self._length = length
        return end
