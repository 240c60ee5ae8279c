"""The settings of the command line as the ZooKeeper client wants them: servers, identity, ACL."""

from __future__ import annotations

from zkexec.zookeeper.client_settings import ClientSettings, Proof
from zkexec.zookeeper.values import ADMIN, CREATE, DELETE, READ, WRITE, Acl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from zkexec.cli.security import Access, Credential

_BITS = {"r": READ, "w": WRITE, "c": CREATE, "d": DELETE, "a": ADMIN}


def client_settings(
    servers: Sequence[tuple[str, int]],
    access: Access,
    session_timeout_s: float,
    *,
    longest_pause_s: float = 1.0,
) -> ClientSettings:
    """Make the settings of a client that connects to these servers with this identity."""
    return ClientSettings(
        servers=tuple(servers),
        session_timeout_s=session_timeout_s,
        longest_pause_s=longest_pause_s,
        proof=lambda: _proof(access.credentials),
        tls_context=None if access.tls is None else access.tls.context,
        identity_hint="check --auth",
    )


def _proof(credentials: Sequence[Credential]) -> Proof:
    """Read the secrets anew: they are renewed."""
    present = [one.renewed() for one in credentials]
    by_scheme = {one.scheme: (one.user, one.password) for one in present}
    digests = [f"{one.user}:{one.password}" for one in present if one.scheme == "digest"]
    return Proof(tuple(digests), by_scheme.get("sasl"))


def acl_of(access: Access) -> tuple[Acl, ...]:
    """Give the ACL of the znodes that zkexec creates."""
    return tuple(
        [
            Acl(sum(_BITS[letter] for letter in set(one.permissions)), one.scheme, one.identity)
            for one in access.acl
        ]
    )
