"""Our requests as kazoo sends them, and kazoo's answers and errors as our values.

kazoo knows neither the multi-read (operation 22, ZooKeeper 3.6 and later) nor the request that
sets many watches (operation 101); both are written here, as kazoo's connection wants a request:
with a type, a `serialize` and a `deserialize`.
"""

from __future__ import annotations

import struct

from kazoo.exceptions import (
    AuthFailedError as KazooAuthFailedError,
)
from kazoo.exceptions import (
    ConnectionClosedError as KazooClosedError,
)
from kazoo.exceptions import (
    KazooException,
)
from kazoo.protocol import serialization as kazoo
from kazoo.protocol.serialization import MultiHeader, int_struct, long_struct, write_string
from kazoo.security import ACL, Id

from zkexec.zookeeper.errors import (
    AuthFailedError,
    ClientClosedError,
    OtherError,
    ZooKeeperError,
    error_of,
)
from zkexec.zookeeper.requests import (
    Check,
    Children,
    Create,
    Delete,
    Exists,
    Get,
    GetAcl,
    MultiRead,
    SetAcl,
    SetContent,
    SetWatches,
    Sync,
    Transaction,
)
from zkexec.zookeeper.values import Acl, Stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence
    from typing import Any

    from kazoo.handlers.threading import AsyncResult
    from kazoo.protocol.states import WatchedEvent, ZnodeStat

    from zkexec.zookeeper.requests import Operation, Request

    Watcher = Callable[[WatchedEvent], None]

_EPHEMERAL, _SEQUENTIAL = 1, 2
_ERROR_TYPE = -1


def to_kazoo(  # noqa: PLR0911 -- a table
    request: Request, watcher_of: Callable[[Hashable], Watcher | None]
) -> Any:  # noqa: ANN401 -- kazoo's requests have no common class
    """Make the request that kazoo sends; `watcher_of` gives what kazoo calls for a watch."""
    match request:
        case Get(path, watch):
            return kazoo.GetData(path, watcher_of(watch))
        case Exists(path, watch):
            return kazoo.Exists(path, watcher_of(watch))
        case Children(path, watch):
            return kazoo.GetChildren2(path, watcher_of(watch))
        case GetAcl(path):
            return kazoo.GetACL(path)
        case SetAcl(path, acl, version):
            return kazoo.SetACL(path, _to_kazoo_acl(acl), version)
        case Transaction(operations):
            return kazoo.Transaction([_operation(one) for one in operations])
        case MultiRead(paths):
            return MultiReadOperation(paths)
        case Sync(path):
            return kazoo.Sync(path)
        case SetWatches():
            return SetWatchesOperation(request)
        case _:
            return _operation(request)


def _operation(request: Operation) -> Any:  # noqa: ANN401 -- as above
    match request:
        case Create(path, content, acl, ephemeral, sequential):
            flags = _EPHEMERAL * ephemeral | _SEQUENTIAL * sequential
            return kazoo.Create(path, content, _to_kazoo_acl(acl), flags)
        case Delete(path, version):
            return kazoo.Delete(path, version)
        case SetContent(path, content, version):
            return kazoo.SetData(path, content, version)
        case Check(path, version):
            return kazoo.CheckVersion(path, version)


def outcome_of(  # noqa: PLR0911 -- a table
    request: Request,
    answer: Any,  # noqa: ANN401 -- as kazoo has it
    error: BaseException | None,
) -> Any:  # noqa: ANN401 -- as the request has it
    """Make the outcome of a request out of what kazoo has received for it."""
    if error is not None:
        return _error(request, error)
    match request:
        case Get():
            return answer[0] or b"", _stat(answer[1])
        case Children():
            return tuple(answer[0]), _stat(answer[1])
        case GetAcl():
            return _from_kazoo_acl(answer[0]), _stat(answer[1])
        case Exists():
            return answer and _stat(answer)
        case SetContent() | SetAcl():
            return _stat(answer)
        case Create():
            return answer
        case Transaction(operations):
            pairs = zip(operations, answer, strict=True)
            return tuple([_of_operation(operation, one) for operation, one in pairs])
        case MultiRead():
            return answer
        case _:
            return None


def _of_operation(operation: Operation, answer: Any) -> Any:  # noqa: ANN401 -- as above
    error = answer if isinstance(answer, Exception) else None
    return outcome_of(operation, answer, error)


def _error(request: Request, error: BaseException) -> Exception:
    path = str(getattr(request, "path", ""))
    if isinstance(error, ZooKeeperError):
        return error
    if isinstance(error, KazooClosedError):
        return ClientClosedError(path)
    if isinstance(error, KazooAuthFailedError):
        return AuthFailedError(path, "AuthFailedError")
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    code = getattr(error, "code", None) if isinstance(error, KazooException) else None
    return OtherError(path, text) if code is None else error_of(code, path, text)


def _stat(stat: ZnodeStat) -> Stat:
    return Stat(*stat)


def _to_kazoo_acl(acl: Sequence[Acl]) -> list[ACL]:
    return [ACL(one.permissions, Id(one.scheme, one.identity)) for one in acl]


def _from_kazoo_acl(acl: Sequence[ACL]) -> tuple[Acl, ...]:
    return tuple([Acl(one.perms, one.id.scheme, one.id.id) for one in acl])


class PendingRequest:
    """A request that kazoo has been given."""

    def __init__(self, request: Request, result: AsyncResult) -> None:
        self._request = request
        self._result = result

    def then(self, do: Callable[[], None]) -> None:
        """Do something on kazoo's completion thread once the request is answered."""
        self._result.rawlink(lambda _: do())

    def outcome(self) -> Any:  # noqa: ANN401 -- as the request has it
        """Give the outcome; only once the request is answered."""
        return outcome_of(self._request, self._result.value, self._result.exception)


class MultiReadOperation:
    """Many reads in one request, answered from one state of the server.

    So no transaction is ever seen in half.  The frame is that of a transaction: before each
    operation and each result is a header (type, done, error), and a header with `done` set is the
    end.  A single operation that fails does not fail the others.
    """

    type = 22

    def __init__(self, paths: Sequence[str]) -> None:
        """Ask for these absolute paths, chroot included; at least one."""
        self._paths = tuple(paths)

    def __repr__(self) -> str:
        """Name it in kazoo's log without filling it."""
        return f"MultiRead of {len(self._paths)} znodes"

    def serialize(self) -> bytes:
        """Write the body of the request, after xid and type."""
        frame = bytearray()
        header = MultiHeader(kazoo.GetData.type, False, -1).serialize()
        for path in self._paths:
            frame += header + kazoo.GetData(path, None).serialize()
        return bytes(frame + MultiHeader(-1, True, -1).serialize())

    def deserialize(self, frame: bytes, offset: int) -> tuple[tuple[bytes, Stat] | Exception, ...]:
        """Read one outcome for each path, in order; struct.error if the answer is not that."""
        results: list[tuple[bytes, Stat] | Exception] = []
        header, offset = MultiHeader.deserialize(frame, offset)
        while not header.done:
            if header.type == kazoo.GetData.type:
                content, stat = kazoo.GetData.deserialize(frame, offset)
                offset += int_struct.size + len(content or b"") + _STAT_SIZE
                results.append((content or b"", _stat(stat)))
            elif header.type == _ERROR_TYPE:
                code = int_struct.unpack_from(frame, offset)[0]
                path = self._paths[len(results)] if len(results) < len(self._paths) else ""
                results.append(error_of(code, path))
                offset += int_struct.size
            else:
                raise struct.error(f"a multi-read was answered with a result {header.type}")
            header, offset = MultiHeader.deserialize(frame, offset)
        if len(results) != len(self._paths):
            raise struct.error(f"{len(self._paths)} znodes asked for, {len(results)} answered")
        return tuple(results)


_STAT_SIZE = struct.calcsize("!qqqqiiiqiiq")


class SetWatchesOperation:
    """One request that sets many watches, relative to a transaction."""

    type = 101

    def __init__(self, request: SetWatches) -> None:
        """Set the watches of this request."""
        self._zxid = request.zxid
        self._paths = (request.existing, request.missing, request.parents)

    def __repr__(self) -> str:
        """Name it in kazoo's log without filling it."""
        there, missing, children = map(len, self._paths)
        return f"SetWatches of {there} znodes, {missing} missing ones, the children of {children}"

    def serialize(self) -> bytes:
        """Write the body of the request, after xid and type."""
        frame = bytearray(long_struct.pack(self._zxid))
        for paths in self._paths:
            frame += int_struct.pack(len(paths))
            for path in paths:
                frame += write_string(path)
        return bytes(frame)

    def deserialize(self, _frame: bytes, _offset: int) -> None:
        """The answer has no body."""
