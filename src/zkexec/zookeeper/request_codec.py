"""Each request as bytes, and its answer as an outcome: one table of all operations.

The numbers are those of `ZooDefs.OpCode`; the records that the comments name are those of
`zookeeper.jute`, both of ZooKeeper's own source.  All of them are the same in 3.4 to 3.9, except
for the operations that came later (the table names when).
"""

from __future__ import annotations

from zkexec.frozen import frozen
from zkexec.zookeeper.errors import error_of
from zkexec.zookeeper.jute import (
    FrameReader,
    FrameWriter,
    MalformedFrameError,
    MultiHeader,
    RequestHeader,
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
from zkexec.zookeeper.session_requests import Authenticate, CloseSession, Ping, SaslToken

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from zkexec.zookeeper.errors import ZooKeeperError
    from zkexec.zookeeper.requests import Operation
    from zkexec.zookeeper.session_requests import AnyRequest
    from zkexec.zookeeper.values import Acl, Stat

_EPHEMERAL, _SEQUENTIAL = 1, 2
_ERROR_RESULT = -1
_NO_NODE = -101

ERROR_NAMES = {
    -1: "SystemError",
    -2: "RuntimeInconsistency",
    -3: "DataInconsistency",
    -4: "ConnectionLoss",
    -5: "MarshallingError",
    -6: "Unimplemented",
    -7: "OperationTimeout",
    -8: "BadArguments",
    -12: "UnknownSession",
    -13: "NewConfigNoQuorum",
    -14: "ReconfigInProgress",
    -100: "APIError",
    -101: "NoNode",
    -102: "NoAuth",
    -103: "BadVersion",
    -108: "NoChildrenForEphemerals",
    -110: "NodeExists",
    -111: "NotEmpty",
    -112: "SessionExpired",
    -113: "InvalidCallback",
    -114: "InvalidACL",
    -115: "AuthFailed",
    -118: "SessionMoved",
    -119: "NotReadOnly",
    -120: "EphemeralOnLocalSession",
    -121: "NoWatcher",
    -122: "RequestTimeout",
    -123: "ReconfigDisabled",
    -124: "SessionClosedRequireSaslAuth",
    -125: "QuotaExceeded",
    -127: "ThrottledOp",
}
"""The error codes of `KeeperException.Code`, and what ZooKeeper calls them."""


@frozen()
class WireForm:
    """How one class of requests is sent: its number and name, its body, and its answer.

    `write` writes the body of a request behind its header, `read` makes the outcome out of the
    body of an answer without an error.
    """

    number: int
    name: str
    write: Callable[[FrameWriter, Any], None]
    read: Callable[[FrameReader, Any], object]


def encode(xid: int, request: AnyRequest) -> bytes:
    """Make the whole frame of a request, behind its length.

    Raises a ValueError for what no server answers: a `Check` outside a transaction.
    """
    if isinstance(request, Check):
        raise ValueError("a check is answered only in a transaction")
    form = FORMS[type(request)]
    frame = FrameWriter()
    RequestHeader(xid, form.number).write_to(frame)
    form.write(frame, request)
    return frame.framed()


def decode(request: AnyRequest, error: int, body: FrameReader) -> object:
    """Make the outcome of a request out of an answer's error code and the body behind it.

    Raises a `MalformedFrameError` if the body does not answer the request.
    """
    if not error:
        return FORMS[type(request)].read(body, request)
    if error == _NO_NODE and isinstance(request, Exists):
        return None
    return _error(request, error)


def name_of(request: AnyRequest) -> str:
    """Name a request for a person: its operation, and the path if there is one."""
    return " ".join(filter(None, (FORMS[type(request)].name, getattr(request, "path", ""))))


def describe_error(code: int) -> str:
    """Name an error code for a person, also one that ZooKeeper does not have yet."""
    return f"{ERROR_NAMES[code]} ({code})" if code in ERROR_NAMES else f"error {code}"


def _error(request: AnyRequest, code: int) -> ZooKeeperError:
    reason = f"the server answered {describe_error(code)}"
    return error_of(code, getattr(request, "path", ""), reason)


# Writing: one function for each record of a request.


def _write_path_and_watch(frame: FrameWriter, request: Get | Exists | Children) -> None:
    """GetDataRequest, ExistsRequest and GetChildren2Request {ustring path; boolean watch}."""
    frame.write_string(request.path)
    frame.write_boolean(request.watch is not None)


def _write_path(frame: FrameWriter, request: GetAcl | Sync) -> None:
    """GetACLRequest and SyncRequest {ustring path}."""
    frame.write_string(request.path)


def _write_create(frame: FrameWriter, request: Create) -> None:
    """CreateRequest {ustring path; buffer data; vector<ACL> acl; int flags}."""
    frame.write_string(request.path)
    frame.write_buffer(request.content)
    frame.write_acl(request.acl)
    frame.write_int(_EPHEMERAL * request.ephemeral | _SEQUENTIAL * request.sequential)


def _write_path_and_version(frame: FrameWriter, request: Delete | Check) -> None:
    """DeleteRequest and CheckVersionRequest {ustring path; int version}."""
    frame.write_string(request.path)
    frame.write_int(request.version)


def _write_set_content(frame: FrameWriter, request: SetContent) -> None:
    """SetDataRequest {ustring path; buffer data; int version}."""
    frame.write_string(request.path)
    frame.write_buffer(request.content)
    frame.write_int(request.version)


def _write_set_acl(frame: FrameWriter, request: SetAcl) -> None:
    """SetACLRequest {ustring path; vector<ACL> acl; int version}."""
    frame.write_string(request.path)
    frame.write_acl(request.acl)
    frame.write_int(request.version)


def _write_transaction(frame: FrameWriter, request: Transaction) -> None:
    """MultiTransactionRecord: a MultiHeader before each operation, and one at the end."""
    _write_operations(frame, request.operations)


def _write_multi_read(frame: FrameWriter, request: MultiRead) -> None:
    """MultiOperationRecord: as a transaction, of reads."""
    _write_operations(frame, [Get(path) for path in request.paths])


def _write_operations(frame: FrameWriter, operations: Sequence[Operation | Get]) -> None:
    for operation in operations:
        form = FORMS[type(operation)]
        MultiHeader(form.number, is_end=False, error=-1).write_to(frame)
        form.write(frame, operation)
    MultiHeader(-1, is_end=True, error=-1).write_to(frame)


def _write_set_watches(frame: FrameWriter, request: SetWatches) -> None:
    """SetWatches {long relativeZxid; vector<ustring> dataWatches, existWatches, childWatches}."""
    frame.write_long(request.zxid)
    frame.write_strings(request.existing)
    frame.write_strings(request.missing)
    frame.write_strings(request.parents)


def _write_remove_watches(frame: FrameWriter, request: RemoveWatches) -> None:
    """RemoveWatchesRequest {ustring path; int type}."""
    frame.write_string(request.path)
    frame.write_int(request.kind)


def _write_get_ephemerals(frame: FrameWriter, request: GetEphemerals) -> None:
    """GetEphemeralsRequest {ustring prefixPath}."""
    frame.write_string(request.prefix)


def _write_authenticate(frame: FrameWriter, request: Authenticate) -> None:
    """AuthPacket {int type; ustring scheme; buffer auth}; the type is always 0."""
    frame.write_int(0)
    frame.write_string(request.scheme)
    frame.write_buffer(request.secret)


def _write_sasl_token(frame: FrameWriter, request: SaslToken) -> None:
    """GetSASLRequest {buffer token}."""
    frame.write_buffer(request.token)


def _write_nothing(_frame: FrameWriter, _request: Ping | CloseSession) -> None:
    """The header is all."""


# Reading: one function for each record of an answer.


def _read_content_and_stat(body: FrameReader, _request: Get) -> tuple[bytes, Stat]:
    """GetDataResponse {buffer data; Stat stat}."""
    return body.read_buffer(), body.read_stat()


def _read_stat(body: FrameReader, _request: Exists | SetContent | SetAcl) -> Stat:
    """ExistsResponse, SetDataResponse and SetACLResponse {Stat stat}."""
    return body.read_stat()


def _read_names_and_stat(body: FrameReader, _request: Children) -> tuple[tuple[str, ...], Stat]:
    """GetChildren2Response {vector<ustring> children; Stat stat}."""
    return body.read_strings(), body.read_stat()


def _read_acl_and_stat(body: FrameReader, _request: GetAcl) -> tuple[tuple[Acl, ...], Stat]:
    """GetACLResponse {vector<ACL> acl; Stat stat}."""
    return body.read_acl(), body.read_stat()


def _read_path(body: FrameReader, _request: Create) -> str:
    """CreateResponse {ustring path}."""
    return body.read_string()


def _read_paths(body: FrameReader, _request: GetEphemerals) -> tuple[str, ...]:
    """GetEphemeralsResponse {vector<ustring> ephemerals}."""
    return body.read_strings()


def _read_token(body: FrameReader, _request: SaslToken) -> bytes:
    """SetSASLResponse {buffer token}."""
    return body.read_buffer()


def _read_nothing(_body: FrameReader, _request: AnyRequest) -> None:
    """Skip a body that is empty, or repeats the path as that of `Sync` does."""


def _read_transaction(body: FrameReader, request: Transaction) -> tuple[object, ...]:
    """MultiResponse: a MultiHeader before each result, and one at the end."""
    return _read_results(body, request.operations)


def _read_multi_read(body: FrameReader, request: MultiRead) -> tuple[object, ...]:
    """MultiResponse, as that of a transaction."""
    return _read_results(body, [Get(path) for path in request.paths])


def _read_results(body: FrameReader, operations: Sequence[Operation | Get]) -> tuple[object, ...]:
    results: list[object] = []
    for operation in operations:
        form = FORMS[type(operation)]
        header = MultiHeader.read_from(body)
        if header.is_end:
            raise MalformedFrameError(f"{len(operations)} results are due, {len(results)} came")
        if header.operation == _ERROR_RESULT:
            # ErrorResponse {int err}
            results.append(_error(operation, body.read_int()))
        elif header.operation == form.number:
            results.append(form.read(body, operation))
        else:
            raise MalformedFrameError(
                f"{name_of(operation)} has a result of operation {header.operation}"
            )
    if not MultiHeader.read_from(body).is_end:
        raise MalformedFrameError(f"more than the {len(operations)} results that are due")
    return tuple(results)


FORMS: dict[type, WireForm] = {
    # `create2` (15, since 3.5) answers with a Stat as well; 3.4 knows only 1, and all know that.
    Create: WireForm(1, "create", _write_create, _read_path),
    Delete: WireForm(2, "delete", _write_path_and_version, _read_nothing),
    Exists: WireForm(3, "exists", _write_path_and_watch, _read_stat),
    Get: WireForm(4, "get", _write_path_and_watch, _read_content_and_stat),
    SetContent: WireForm(5, "set", _write_set_content, _read_stat),
    GetAcl: WireForm(6, "getAcl", _write_path, _read_acl_and_stat),
    SetAcl: WireForm(7, "setAcl", _write_set_acl, _read_stat),
    Sync: WireForm(9, "sync", _write_path, _read_nothing),
    Ping: WireForm(11, "ping", _write_nothing, _read_nothing),
    # `getChildren` (8) has no Stat; `getChildren2` is known since 3.3.
    Children: WireForm(12, "children", _write_path_and_watch, _read_names_and_stat),
    # Only in a transaction.
    Check: WireForm(13, "check", _write_path_and_version, _read_nothing),
    Transaction: WireForm(14, "transaction", _write_transaction, _read_transaction),
    # Since 3.5.
    RemoveWatches: WireForm(18, "removeWatches", _write_remove_watches, _read_nothing),
    # Since 3.6.
    MultiRead: WireForm(22, "multi-read", _write_multi_read, _read_multi_read),
    Authenticate: WireForm(100, "auth", _write_authenticate, _read_nothing),
    SetWatches: WireForm(101, "setWatches", _write_set_watches, _read_nothing),
    SaslToken: WireForm(102, "sasl", _write_sasl_token, _read_token),
    # Since 3.6.
    GetEphemerals: WireForm(103, "getEphemerals", _write_get_ephemerals, _read_paths),
    CloseSession: WireForm(-11, "closeSession", _write_nothing, _read_nothing),
}
"""How each class of requests is sent and answered."""
