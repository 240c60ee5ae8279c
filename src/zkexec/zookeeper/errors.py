"""The errors that a server answers with, and those that end a connection or a dialogue.

Each has ZooKeeper's error code and the path of the request that it answers.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar


class ZooKeeperError(Exception):
    """The server did not do what a request asked for; the subclass says why."""

    code: ClassVar[int] = 0
    words: ClassVar[str] = ""
    """The reason for a person; "" if the name of the class says enough."""

    def __init__(self, path: str = "", reason: str = "") -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return self.reason or self.words or type(self).__name__


class ConnectionEndError(ZooKeeperError):
    """No request gets an answer on this connection any more; what it asked for may be done."""


class ConnectionLostError(ConnectionEndError):
    """The connection was lost, or there is none."""

    code = -4
    words = "the connection was lost"


class RolledBackError(ZooKeeperError):
    """An operation was undone because another one of its transaction failed."""

    code = 0


class NotTriedError(ZooKeeperError):
    """An operation was not tried because an earlier one of its transaction failed."""

    code = -2


class UnimplementedError(ZooKeeperError):
    """The server does not know this operation."""

    code = -6
    words = "this server, older than 3.6, cannot read znodes at once"


class NoNodeError(ZooKeeperError):
    """There is no such znode."""

    code = -101


class NoAuthError(ZooKeeperError):
    """The ACL of the znode does not permit this."""

    code = -102


class BadVersionError(ZooKeeperError):
    """The znode has another version than the request names."""

    code = -103


class NodeExistsError(ZooKeeperError):
    """There is such a znode already."""

    code = -110


class NotEmptyError(ZooKeeperError):
    """The znode has children, so it cannot be deleted."""

    code = -111


class InvalidAclError(ZooKeeperError):
    """The server does not accept the ACL."""

    code = -114


class OtherError(ZooKeeperError):
    """The server answered with an error that has no class of its own; `reason` describes it."""


class RefusedError(Exception):
    """A dialogue cannot do what it is for; the message is for a person."""


class ForbiddenError(RefusedError):
    """A dialogue cannot do what it is for, as a permission is missing."""


_BY_CODE = {
    kind.code: kind
    for kind in (
        RolledBackError,
        NotTriedError,
        UnimplementedError,
        NoNodeError,
        NoAuthError,
        BadVersionError,
        NodeExistsError,
        NotEmptyError,
        InvalidAclError,
    )
}


def error_of(code: int, path: str = "", reason: str = "") -> ZooKeeperError:
    """Make the error of this code; `reason` describes it if there is no class.

    No answer ends a connection by its class: that is for the session to decide.
    """
    kind = _BY_CODE.get(code)
    if kind is not None:
        return kind(path)
    return OtherError(path, reason or f"the server answered error {code}")


def in_words(error: Exception) -> str:
    """Give the reason for a person."""
    if isinstance(error, RefusedError | ZooKeeperError):
        return str(error)
    name = type(error).__name__
    return f"{name}: {error}" if str(error) else name
