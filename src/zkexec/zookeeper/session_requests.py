"""The requests that concern a session instead of a znode: its identities, its pulse, its end.

`requests.py` has those that a dialogue can send.
"""

from __future__ import annotations

from zkexec.frozen import frozen
from zkexec.zookeeper.requests import Request


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


SessionRequest = Authenticate | SaslToken | Ping | CloseSession

AnyRequest = Request | SessionRequest
"""Whatever can be sent on a connection."""
