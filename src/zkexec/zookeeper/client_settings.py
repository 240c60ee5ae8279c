"""The settings of a client: servers, identities, TLS, and how patient it is."""

from __future__ import annotations

from zkexec.frozen import frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from ssl import SSLContext


@frozen(kw_only=True, hidden=("digests", "sasl"))
class ClientSettings:
    """Which servers a client connects to, and as whom.

    `digests` are USER:PASSWORD, `sasl` a user and a password.  `tls_context` makes what a TLS
    handshake needs, anew for each one; None means plain text.  `longest_pause_s` is the
    longest pause between two rounds of connecting.  `tried_path` is a znode that a multi-read is
    tried with on each connection; without one no dialogue may contain a multi-read.
    """

    servers: tuple[tuple[str, int], ...]
    session_timeout_s: float
    longest_pause_s: float = 1.0
    digests: tuple[str, ...] = ()
    sasl: tuple[str, str] | None = None
    tls_context: Callable[[], SSLContext] | None = None
    tried_path: str = ""
