"""What a client reports to its listener, as frozen values."""

from __future__ import annotations

from zkexec.frozen import frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Hashable
    from typing import Any


class ClientEvent:
    """Something that happened to a client, its session or its requests."""

    __slots__ = ()


@frozen()
class Connected(ClientEvent):
    """A server answers on a new connection, on which no watch is set.

    `connection` is a number that no other connection of this client has.  `session` is the same as
    before if the session has outlived the lost connection; `session_timeout_s` is what the server
    has granted.
    """

    connection: int
    session: int
    session_timeout_s: float


@frozen()
class AttemptFailed(ClientEvent):
    """An attempt to connect to one server failed; the client goes on trying.

    `is_last` if no server is left to try in this round.
    """

    reason: str
    is_last: bool


@frozen()
class Lost(ClientEvent):
    """The connection is lost; the session may live on.

    `zxid` is the newest transaction that the servers have named to this session, 0 for none.
    """

    reason: str
    zxid: int = 0


@frozen()
class Expired(ClientEvent):
    """The servers have ended the session; the client makes a new one by itself."""

    reason: str
    zxid: int = 0


@frozen()
class Answered(ClientEvent):
    """A dialogue has ended; `key` is what it was started with, `answer` what it returned.

    `zxid` is the newest transaction that the server has named by then.
    """

    key: Hashable
    answer: Any
    zxid: int


@frozen()
class Failed(ClientEvent):
    """A dialogue has raised an error, or lost its connection (a `ConnectionEndError`)."""

    key: Hashable
    error: Exception


@frozen()
class Fired(ClientEvent):
    """A watch has fired and is gone; `watch` is what it was set with.

    The listener receives it before any answer that shows the change.
    """

    watch: Hashable
    path: str
