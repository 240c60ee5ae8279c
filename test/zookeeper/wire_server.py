"""The side of the server, as far as tests need it: requests out of bytes, and answers into bytes.

It is written from `zookeeper.jute` a second time, and knows nothing of the table that it checks.
"""

from collections.abc import Callable, Sequence
from typing import Any

from zkexec.zookeeper.errors import ZooKeeperError
from zkexec.zookeeper.jute import (
    ConnectRequest,
    ConnectResponse,
    FrameReader,
    FrameWriter,
    MultiHeader,
    ReplyHeader,
    RequestHeader,
    WatcherEvent,
)
from zkexec.zookeeper.requests import (
    Check,
    Children,
    Create,
    Delete,
    Exists,
    Get,
    GetAcl,
    GetEphemerals,
    MultiRead,
    RemoveWatches,
    SetAcl,
    SetContent,
    SetWatches,
    Sync,
    Transaction,
)
from zkexec.zookeeper.session_requests import (
    AnyRequest,
    Authenticate,
    CloseSession,
    Ping,
    SaslToken,
)

WATCHED = "watched"
"""The key of a watch on the side of the server, which does not know the client's."""


def _watch(frame: FrameReader) -> str | None:
    return WATCHED if frame.read_boolean() else None


def _create(frame: FrameReader) -> Create:
    path, content, acl, flags = (
        frame.read_string(),
        frame.read_buffer(),
        frame.read_acl(),
        frame.read_int(),
    )
    return Create(path, content, acl, ephemeral=bool(flags & 1), sequential=bool(flags & 2))


def _authenticate(frame: FrameReader) -> Authenticate:
    assert frame.read_int() == 0
    return Authenticate(frame.read_string(), frame.read_buffer())


def _operations(frame: FrameReader) -> tuple[Any, ...]:
    operations = []
    header = MultiHeader.read_from(frame)
    while not header.is_end:
        assert header.error == -1
        operations.append(_READERS[header.operation](frame))
        header = MultiHeader.read_from(frame)
    assert header == MultiHeader(-1, is_end=True, error=-1)
    return tuple(operations)


_READERS: dict[int, Callable[[FrameReader], Any]] = {
    1: _create,
    2: lambda frame: Delete(frame.read_string(), frame.read_int()),
    3: lambda frame: Exists(frame.read_string(), _watch(frame)),
    4: lambda frame: Get(frame.read_string(), _watch(frame)),
    5: lambda frame: SetContent(frame.read_string(), frame.read_buffer(), frame.read_int()),
    6: lambda frame: GetAcl(frame.read_string()),
    7: lambda frame: SetAcl(frame.read_string(), frame.read_acl(), frame.read_int()),
    9: lambda frame: Sync(frame.read_string()),
    11: lambda _: Ping(),
    12: lambda frame: Children(frame.read_string(), _watch(frame)),
    13: lambda frame: Check(frame.read_string(), frame.read_int()),
    14: lambda frame: Transaction(_operations(frame)),
    18: lambda frame: RemoveWatches(frame.read_string(), frame.read_int()),
    22: lambda frame: MultiRead(tuple(one.path for one in _operations(frame))),
    100: _authenticate,
    101: lambda frame: SetWatches(
        frame.read_long(), frame.read_strings(), frame.read_strings(), frame.read_strings()
    ),
    102: lambda frame: SaslToken(frame.read_buffer()),
    103: lambda frame: GetEphemerals(frame.read_string()),
    -11: lambda _: CloseSession(),
}


def read_request(frame: bytes) -> tuple[int, AnyRequest]:
    """Read a frame without its length → its xid, and the request."""
    reader = FrameReader(frame)
    header = RequestHeader.read_from(reader)
    request = _READERS[header.operation](reader)
    assert not reader.remaining
    return header.xid, request


def write_body(frame: FrameWriter, request: AnyRequest, outcome: Any) -> None:
    """Write the body of the answer that has this outcome."""
    match request:
        case Get():
            frame.write_buffer(outcome[0])
            frame.write_stat(outcome[1])
        case Exists() | SetContent() | SetAcl():
            frame.write_stat(outcome)
        case Children():
            frame.write_strings(outcome[0])
            frame.write_stat(outcome[1])
        case GetAcl():
            frame.write_acl(outcome[0])
            frame.write_stat(outcome[1])
        case Create():
            frame.write_string(outcome)
        case Sync(path):
            frame.write_string(path)
        case SaslToken():
            frame.write_buffer(outcome)
        case GetEphemerals():
            frame.write_strings(outcome)
        case Transaction() | MultiRead():
            _write_results(frame, request, outcome)


_NUMBERS = {Create: 1, Delete: 2, Get: 4, SetContent: 5, Check: 13}


def _write_results(
    frame: FrameWriter, request: Transaction | MultiRead, outcomes: Sequence[Any]
) -> None:
    operations: Sequence[AnyRequest] = (
        request.operations
        if isinstance(request, Transaction)
        else [Get(path) for path in request.paths]
    )
    for operation, outcome in zip(operations, outcomes, strict=True):
        if isinstance(outcome, ZooKeeperError):
            MultiHeader(-1, is_end=False, error=outcome.code).write_to(frame)
            frame.write_int(outcome.code)
        else:
            MultiHeader(_NUMBERS[type(operation)], is_end=False, error=0).write_to(frame)
            write_body(frame, operation, outcome)
    MultiHeader(-1, is_end=True, error=-1).write_to(frame)


def answer(xid: int, request: AnyRequest, outcome: Any, zxid: int = 1) -> bytes:
    """Make the whole frame of an answer, behind its length; an error has no body."""
    frame = FrameWriter()
    error = outcome.code if isinstance(outcome, ZooKeeperError) else 0
    ReplyHeader(xid, zxid, error).write_to(frame)
    if not error:
        write_body(frame, request, outcome)
    return frame.framed()


def refusal(xid: int, error: int, zxid: int = 1) -> bytes:
    """Make the whole frame of an answer with an error code."""
    frame = FrameWriter()
    ReplyHeader(xid, zxid, error).write_to(frame)
    return frame.framed()


def event(kind: int, path: str) -> bytes:
    """Make the whole frame of a watch that fires."""
    frame = FrameWriter()
    ReplyHeader(-1, -1, 0).write_to(frame)
    WatcherEvent(kind, 3, path).write_to(frame)
    return frame.framed()


def welcome(response: ConnectResponse) -> bytes:
    """Make the whole frame of the answer to a handshake."""
    frame = FrameWriter()
    response.write_to(frame)
    return frame.framed()


def split(content: bytes) -> list[bytes]:
    """Cut bytes into frames, without their lengths."""
    frames = []
    while content:
        length = int.from_bytes(content[:4], "big")
        frames.append(content[4 : 4 + length])
        content = content[4 + length :]
    return frames


def read_greeting(content: bytes) -> ConnectRequest:
    """Read the first frame of a connection."""
    (frame,) = split(content)
    return ConnectRequest.read_from(FrameReader(frame))
