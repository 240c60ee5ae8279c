"""ZooKeeper's wire format: how the values and records of `zookeeper.jute` become bytes, and back.

All numbers are big-endian.  A buffer or a string is its length and its bytes, a vector its count
and its items; a length of -1 means null, which is read as the empty value.
"""

from __future__ import annotations

from struct import Struct
from struct import error as StructError  # noqa: N812 -- `error` alone would name nothing

from zkexec.frozen import frozen
from zkexec.zookeeper.values import Acl, Stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, TypeVar

    Item = TypeVar("Item")

_INT = Struct("!i")
_LONG = Struct("!q")
_BOOLEAN = Struct("!?")
_STAT = Struct("!qqqqiiiqiiq")
_TWO_INTS = Struct("!ii")
_REPLY_HEADER = Struct("!iqi")
_MULTI_HEADER = Struct("!i?i")

REPLY_HEADER_SIZE = _REPLY_HEADER.size
"""An answer to a handshake is longer than the header of an answer to a request."""

_NULL = -1
_SMALLEST_ITEM = 4
"""Every item of every vector in the protocol begins with an int or a length."""

MOST_ITEMS = 250_000
"""How many items a vector may have.

In memory a short item takes up to thirty times its bytes, and to read it takes time.  ZooKeeper's
own client, if its `jute.maxbuffer` is not set, reads frames of 4 MB: as many names of 12 bytes.
"""


class MalformedFrameError(ValueError):
    """A frame is not what the protocol demands; the connection that it came on is of no use."""


class FrameWriter:
    """A frame that is being written; `content` grows with each call."""

    def __init__(self) -> None:
        self.content = bytearray()

    def write_int(self, value: int) -> None:
        """Write 32 bits with a sign."""
        self.content += _INT.pack(value)

    def write_long(self, value: int) -> None:
        """Write 64 bits with a sign."""
        self.content += _LONG.pack(value)

    def write_boolean(self, value: bool) -> None:
        """Write one byte, 0 or 1."""
        self.content += _BOOLEAN.pack(value)

    def write_buffer(self, value: bytes) -> None:
        """Write bytes behind their length."""
        self.content += _INT.pack(len(value))
        self.content += value

    def write_string(self, value: str) -> None:
        """Write a text as UTF-8 behind the number of its bytes."""
        self.write_buffer(value.encode())

    def write_vector(self, items: Iterable[Item], write_item: Callable[[Item], None]) -> None:
        """Write items behind their count; `write_item` writes one of them to this frame."""
        items = tuple(items)
        self.content += _INT.pack(len(items))
        for item in items:
            write_item(item)

    def write_strings(self, values: Iterable[str]) -> None:
        """Write a vector of texts."""
        self.write_vector(values, self.write_string)

    def write_acl(self, entries: Iterable[Acl]) -> None:
        """Write a vector of `ACL {int perms; Id {ustring scheme; ustring id}}`."""
        self.write_vector(entries, self._write_acl_entry)

    def _write_acl_entry(self, entry: Acl) -> None:
        self.write_int(entry.permissions)
        self.write_string(entry.scheme)
        self.write_string(entry.identity)

    def write_stat(self, stat: Stat) -> None:
        """Write a `Stat`, its fields in the order of their declaration."""
        self.content += _STAT.pack(
            stat.czxid,
            stat.mzxid,
            stat.ctime,
            stat.mtime,
            stat.version,
            stat.cversion,
            stat.aversion,
            stat.ephemeral_owner,
            stat.data_length,
            stat.num_children,
            stat.pzxid,
        )

    def framed(self) -> bytes:
        """Give the frame as it is sent: behind its length."""
        return _INT.pack(len(self.content)) + self.content


class FrameReader:
    """A frame that is being read from its beginning to its end.

    Nothing is copied but what a call returns.  Each call raises a `MalformedFrameError` if the
    frame does not contain what is read.  Bytes that are left at the end are no error: newer
    servers may append fields.
    """

    def __init__(self, frame: bytes | memoryview) -> None:
        self._frame = memoryview(frame)
        self._position = 0

    @property
    def remaining(self) -> int:
        """The number of bytes that are still unread."""
        return len(self._frame) - self._position

    def unpack(self, form: Struct) -> tuple[Any, ...]:
        """Read the values of a fixed form."""
        try:
            values = form.unpack_from(self._frame, self._position)
        except StructError:
            raise MalformedFrameError(
                f"{form.size} bytes are due at the end of a frame, {self.remaining} are left"
            ) from None
        self._position += form.size
        return values

    def read_int(self) -> int:
        """Read 32 bits with a sign."""
        value: int = self.unpack(_INT)[0]
        return value

    def read_long(self) -> int:
        """Read 64 bits with a sign."""
        value: int = self.unpack(_LONG)[0]
        return value

    def read_boolean(self) -> bool:
        """Read one byte, which is true unless it is 0."""
        value: bool = self.unpack(_BOOLEAN)[0]
        return value

    def read_buffer(self) -> bytes:
        """Read bytes behind their length: the one copy that is made of them."""
        return bytes(self._slice())

    def read_string(self) -> str:
        """Read a text behind the number of its bytes."""
        part = self._slice()
        try:
            return str(part, "utf-8")
        except UnicodeDecodeError:
            return _from_java(bytes(part))

    def read_vector(self, read_item: Callable[[], Item]) -> tuple[Item, ...]:
        """Read items behind their count; `read_item` reads one of them from this frame."""
        count = self._length(_SMALLEST_ITEM)
        if count > MOST_ITEMS:
            raise MalformedFrameError(f"a list of {count:,} items, at most {MOST_ITEMS:,} are read")
        return tuple([read_item() for _ in range(count)])

    def read_strings(self) -> tuple[str, ...]:
        """Read a vector of texts."""
        return self.read_vector(self.read_string)

    def read_acl(self) -> tuple[Acl, ...]:
        """Read a vector of `ACL {int perms; Id {ustring scheme; ustring id}}`."""
        return self.read_vector(self._read_acl_entry)

    def _read_acl_entry(self) -> Acl:
        return Acl(self.read_int(), self.read_string(), self.read_string())

    def read_stat(self) -> Stat:
        """Read a `Stat`."""
        return Stat(*self.unpack(_STAT))

    def _slice(self) -> memoryview:
        start = self._position + _INT.size
        length = self._length(1)
        self._position = start + length
        return self._frame[start : self._position]

    def _length(self, smallest_item: int) -> int:
        """Read the length of a buffer or the count of a vector, which has to fit into the frame."""
        length = self.read_int()
        if length == _NULL:
            return 0
        if length < 0 or length * smallest_item > self.remaining:
            raise MalformedFrameError(
                f"a length of {length}, but {self.remaining} bytes of the frame are left"
            )
        return length


def _from_java(content: bytes) -> str:
    """Decode a text with characters beyond U+FFFF, each of which Java sends as two surrogates."""
    try:
        halves = content.decode("utf-8", "surrogatepass")
        return halves.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeError:
        raise MalformedFrameError("a text is not UTF-8") from None


@frozen(hidden=("password",))
class ConnectRequest:
    """The first frame of a connection, which begins a session or continues one.

    `session` is 0 and the password empty for a new session.  `zxid` is the newest transaction
    that the session knows: a server that is behind it refuses.  A client before ZooKeeper 3.4
    sends no `read_only`, which is None here.
    """

    zxid: int
    timeout_ms: int
    session: int = 0
    password: bytes = b""
    read_only: bool | None = False
    protocol_version: int = 0

    def write_to(self, frame: FrameWriter) -> None:
        """Write the whole frame, which has no header."""
        frame.write_int(self.protocol_version)
        frame.write_long(self.zxid)
        frame.write_int(self.timeout_ms)
        frame.write_long(self.session)
        frame.write_buffer(self.password or bytes(16))
        if self.read_only is not None:
            frame.write_boolean(self.read_only)

    @staticmethod
    def read_from(frame: FrameReader) -> ConnectRequest:
        """Read the whole frame."""
        protocol_version, zxid = frame.read_int(), frame.read_long()
        timeout_ms, session, password = frame.read_int(), frame.read_long(), frame.read_buffer()
        read_only = frame.read_boolean() if frame.remaining else None
        return ConnectRequest(zxid, timeout_ms, session, password, read_only, protocol_version)


@frozen(hidden=("password",))
class ConnectResponse:
    """The first answer on a connection.

    A `timeout_ms` of 0 means that the session has expired.  A server before ZooKeeper 3.4 sends
    no `read_only`, which is None here.
    """

    timeout_ms: int
    session: int
    password: bytes
    read_only: bool | None = False
    protocol_version: int = 0

    def write_to(self, frame: FrameWriter) -> None:
        """Write the whole frame, which has no header."""
        frame.write_int(self.protocol_version)
        frame.write_int(self.timeout_ms)
        frame.write_long(self.session)
        frame.write_buffer(self.password)
        if self.read_only is not None:
            frame.write_boolean(self.read_only)

    @staticmethod
    def read_from(frame: FrameReader) -> ConnectResponse:
        """Read the whole frame."""
        protocol_version, timeout_ms = frame.read_int(), frame.read_int()
        session, password = frame.read_long(), frame.read_buffer()
        read_only = frame.read_boolean() if frame.remaining else None
        return ConnectResponse(timeout_ms, session, password, read_only, protocol_version)


@frozen()
class RequestHeader:
    """What begins every later request: a number that its answer repeats, and the operation."""

    xid: int
    operation: int

    def write_to(self, frame: FrameWriter) -> None:
        """Write it to a frame."""
        frame.content += _TWO_INTS.pack(self.xid, self.operation)

    @staticmethod
    def read_from(frame: FrameReader) -> RequestHeader:
        """Read it from a frame."""
        return RequestHeader(*frame.unpack(_TWO_INTS))


@frozen()
class ReplyHeader:
    """What begins every later answer: whose it is, the newest transaction, and an error code."""

    xid: int
    zxid: int
    error: int

    def write_to(self, frame: FrameWriter) -> None:
        """Write it to a frame."""
        frame.content += _REPLY_HEADER.pack(self.xid, self.zxid, self.error)

    @staticmethod
    def read_from(frame: FrameReader) -> ReplyHeader:
        """Read it from a frame."""
        return ReplyHeader(*frame.unpack(_REPLY_HEADER))


@frozen()
class MultiHeader:
    """What begins each operation and each result of a transaction, and what ends them all."""

    operation: int
    is_end: bool
    error: int

    def write_to(self, frame: FrameWriter) -> None:
        """Write it to a frame."""
        frame.content += _MULTI_HEADER.pack(self.operation, self.is_end, self.error)

    @staticmethod
    def read_from(frame: FrameReader) -> MultiHeader:
        """Read it from a frame."""
        return MultiHeader(*frame.unpack(_MULTI_HEADER))


@frozen()
class WatcherEvent:
    """What a server sends if a watch fires: its kind, the state of the session, and the path."""

    kind: int
    state: int
    path: str

    def write_to(self, frame: FrameWriter) -> None:
        """Write it to a frame."""
        frame.content += _TWO_INTS.pack(self.kind, self.state)
        frame.write_string(self.path)

    @staticmethod
    def read_from(frame: FrameReader) -> WatcherEvent:
        """Read it from a frame."""
        kind, state = frame.unpack(_TWO_INTS)
        return WatcherEvent(kind, state, frame.read_string())
