"""The settings of a client: servers, identities, TLS, and how patient it is."""

from __future__ import annotations

from zkexec.frozen import frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from ssl import SSLContext


@frozen(hidden=("digests", "sasl"))
class Proof:
    """As whom a client connects: `digests` are USER:PASSWORD, `sasl` a user and a password."""

    digests: tuple[str, ...] = ()
    sasl: tuple[str, str] | None = None


@frozen(kw_only=True)
class ClientSettings:
    """Which servers a client connects to, as whom, and how patiently.

    `proof` gives the identities for each connection, as secrets are renewed.  `tls_context` makes
    what a TLS handshake needs, anew for each one; None means plain text.  `longest_pause_s` is the
    longest pause between two rounds of connecting if no server accepts a connection.
    `identity_hint` ends the reason if a server refuses the identity: what a person has to do.
    """

    servers: tuple[tuple[str, int], ...]
    session_timeout_s: float
    longest_pause_s: float = 1.0
    proof: Callable[[], Proof] = Proof
    tls_context: Callable[[], SSLContext] | None = None
    identity_hint: str = "check it"
