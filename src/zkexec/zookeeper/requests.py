"""One value for each request of ZooKeeper's protocol, and the shape of its answer.

Every path is a whole one, chroot included.  `watch` is any hashable value that names the watch to
be set, None to set none: the event `Fired` brings it back.  Each request is answered by what its
docstring says or by a `ZooKeeperError`; both are called its *outcome*.
"""

from __future__ import annotations

from zkexec.frozen import frozen
from zkexec.zookeeper.errors import NotTriedError, RolledBackError, ZooKeeperError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator, Hashable, Sequence
    from typing import Any, TypeAlias

    from zkexec.zookeeper.values import Acl

ANY_WATCH, CHILDREN_WATCH, CONTENT_WATCH = 3, 1, 2
"""Which watches are removed, as `Watcher.WatcherType` numbers them."""


@frozen()
class Get:
    """Read a znode → (content, Stat).  A watch is set only if the znode exists."""

    path: str
    watch: Hashable = None


@frozen()
class GetAcl:
    """Read the ACL of a znode → (entries, Stat)."""

    path: str


@frozen()
class Exists:
    """Ask whether a znode exists → Stat, or None if it does not.  A watch is set in both cases."""

    path: str
    watch: Hashable = None


@frozen()
class Children:
    """List the names of a znode's children → (names, Stat of the znode)."""

    path: str
    watch: Hashable = None


@frozen(hidden=("content",))
class Create:
    """Create a znode → its path, which for a `sequential` one ends with a number."""

    path: str
    content: bytes
    acl: Sequence[Acl]
    ephemeral: bool = False
    sequential: bool = False


@frozen()
class Delete:
    """Delete a znode → None; a version of -1 means any."""

    path: str
    version: int = -1


@frozen(hidden=("content",))
class SetContent:
    """Write a znode → its new Stat; a version of -1 means any."""

    path: str
    content: bytes
    version: int = -1


@frozen()
class SetAcl:
    """Replace the ACL of a znode → its new Stat; the version is that of the ACL."""

    path: str
    acl: Sequence[Acl]
    version: int = -1


@frozen()
class Check:
    """Demand this version, in a transaction only → None; -1: the znode has to exist."""

    path: str
    version: int = -1


@frozen()
class Transaction:
    """Do all operations or none → the outcome of each, see `first_error`."""

    operations: Sequence[Create | Delete | SetContent | Check]


@frozen()
class MultiRead:
    """Read many znodes from one state of the server → the outcome of a `Get` for each."""

    paths: Sequence[str]


@frozen()
class Sync:
    """Have the server catch up with the leader → None.

    The client sends one before the first request of each connection, so a dialogue needs none.
    """

    path: str


@frozen()
class SetWatches:
    """Set watches on what is known as of the transaction `zxid` → None.

    `existing` znodes were last written, and the children of those in `parents` last changed, by
    `zxid` or before; `missing` ones do not exist.  The watch of one that has changed since fires
    at once.
    """

    zxid: int
    existing: Sequence[str] = ()
    missing: Sequence[str] = ()
    parents: Sequence[str] = ()
    watch: Hashable = None


@frozen()
class RemoveWatches:
    """Remove the watches that this connection has set on a znode → None.

    Servers before 3.5 do not know it.  A server without such a watch answers with an error.
    """

    path: str
    kind: int = ANY_WATCH


@frozen()
class GetEphemerals:
    """List the ephemeral znodes of this session whose paths begin with a prefix → their paths.

    Servers before 3.6 do not know it.
    """

    prefix: str = "/"


Request = (
    Get
    | GetAcl
    | Exists
    | Children
    | Create
    | Delete
    | SetContent
    | SetAcl
    | Check
    | Transaction
    | MultiRead
    | Sync
    | SetWatches
    | RemoveWatches
    | GetEphemerals
)

Operation = Create | Delete | SetContent | Check

Dialogue: TypeAlias = "Generator[Sequence[Request], Sequence[Any], Any]"
"""A generator that yields batches of requests, receives their outcomes, and returns a result.

All of a batch are sent at once; the server answers them in this order.  The errors that end a
connection are never received: the dialogue is closed instead."""


def first_error(outcomes: Sequence[object]) -> tuple[int, ZooKeeperError] | None:
    """Find the operation that made a transaction fail, and why; None if all were done."""
    for index, outcome in enumerate(outcomes):
        if isinstance(outcome, ZooKeeperError) and not isinstance(
            outcome, RolledBackError | NotTriedError
        ):
            return index, outcome
    return None


def size_of(request: Operation | Transaction) -> int:
    """Count the bytes of a request on the wire, without its header."""
    match request:
        case Create(path, content, acl):
            entries = sum(_INT + _string(one.scheme) + _string(one.identity) for one in acl)
            return _string(path) + _INT + len(content) + _INT + entries + _INT
        case Delete(path) | Check(path):
            return _string(path) + _INT
        case SetContent(path, content):
            return _string(path) + _INT + len(content) + _INT
        case Transaction(operations):
            return sum(_MULTI_HEADER + size_of(one) for one in operations) + _MULTI_HEADER


def _string(text: str) -> int:
    return _INT + len(text.encode())


_INT = 4
_MULTI_HEADER = 9
"""Type, end mark and error code."""
