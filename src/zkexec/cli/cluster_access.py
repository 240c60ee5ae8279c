"""The settings of the command line as the ZooKeeper client wants them: servers, identity, ACL."""

from __future__ import annotations

from zkexec.zookeeper.client_settings import ClientSettings
from zkexec.zookeeper.values import ADMIN, CREATE, DELETE, READ, WRITE, Acl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from zkexec.cli.security import Access

_BITS = {"r": READ, "w": WRITE, "c": CREATE, "d": DELETE, "a": ADMIN}


def client_settings(
    servers: Sequence[tuple[str, int]],
    access: Access,
    session_timeout_s: float,
    *,
    longest_pause_s: float = 1.0,
    tried_path: str = "",
) -> ClientSettings:
    """Make the settings of a client that connects to these servers with this identity."""
    by_scheme = {one.scheme: (one.user, one.password) for one in access.credentials}
    digests = [one for one in access.credentials if one.scheme == "digest"]
    return ClientSettings(
        servers=tuple(servers),
        session_timeout_s=session_timeout_s,
        longest_pause_s=longest_pause_s,
        digests=tuple([f"{one.user}:{one.password}" for one in digests]),
        sasl=by_scheme.get("sasl"),
        tls_context=None if access.tls is None else access.tls.context,
        tried_path=tried_path,
    )


def acl_of(access: Access) -> tuple[Acl, ...]:
    """Give the ACL of the znodes that zkexec creates."""
    return tuple(
        [
            Acl(sum(_BITS[letter] for letter in set(one.permissions)), one.scheme, one.identity)
            for one in access.acl
        ]
    )
