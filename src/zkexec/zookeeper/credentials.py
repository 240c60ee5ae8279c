"""What the client library has to be told of identities, certificates and ACLs."""

from __future__ import annotations

from zkexec.cli.security import SYSTEM, Access, AclEntry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kazoo.security import ACL

_BITS = {"r": 1, "w": 2, "c": 4, "d": 8, "a": 16}


def client_options(access: Access) -> dict[str, object]:
    """Keyword arguments for KazooClient."""
    options: dict[str, object] = {}
    digests = [one for one in access.credentials if one.scheme == "digest"]
    if digests:
        options["auth_data"] = [("digest", f"{one.user}:{one.password}") for one in digests]
    for one in access.credentials:
        if one.scheme == "sasl":
            options["sasl_options"] = {
                "mechanism": "DIGEST-MD5",
                "username": one.user,
                "password": one.password,
            }
    if access.tls is not None:
        options |= {
            "use_ssl": True,
            "verify_certs": True,
            "check_hostname": True,
            "ca": None if access.tls.ca == SYSTEM else access.tls.ca,
            "certfile": access.tls.cert or None,
            "keyfile": access.tls.key or None,
        }
    return options


def acl_of(access: Access) -> list[ACL]:
    """The ACL of the znodes that zkexec creates."""
    return [_entry(entry) for entry in access.acl]


def _entry(entry: AclEntry) -> ACL:
    from kazoo.security import ACL, Id  # noqa: PLC0415 - Only a group creates znodes.

    bits = sum(_BITS[letter] for letter in set(entry.permissions))
    return ACL(bits, Id(entry.scheme, entry.identity))
