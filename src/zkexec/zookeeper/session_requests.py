"""The requests that concern a session instead of a znode: its identities, watches, pulse, end.

`requests.py` has those that concern znodes.
"""

from __future__ import annotations

from zkexec.frozen import frozen
from zkexec.zookeeper.requests import Request

ANY_WATCH, CHILDREN_WATCH, CONTENT_WATCH = 3, 1, 2
"""Which watches are removed, as `Watcher.WatcherType` numbers them."""


@frozen(hidden=("secret",))
class Authenticate:
    """Add an identity to the session → None; if the server refuses, it ends the connection."""

    scheme: str
    secret: bytes


@frozen(hidden=("token",))
class SaslToken:
    """Send the next token of a SASL exchange → the token that the server sends back."""

    token: bytes


@frozen()
class Ping:
    """Keep the session alive → None."""


@frozen()
class CloseSession:
    """End the session, and with it its ephemeral znodes → None; then the server hangs up."""


@frozen()
class GetEphemerals:
    """List the ephemeral znodes of this session whose paths begin with a prefix → their paths.

    Servers before 3.6 answer with an `UnimplementedError`.
    """

    prefix: str = "/"


@frozen()
class RemoveWatches:
    """Remove the watches that this connection has set on a znode → None.

    Servers before 3.5 do not know it.  A server without such a watch answers with an error.
    """

    path: str
    kind: int = ANY_WATCH


SessionRequest = Authenticate | SaslToken | Ping | CloseSession | GetEphemerals | RemoveWatches

AnyRequest = Request | SessionRequest
"""Whatever can be sent on a connection."""
