"""The connect string of a cluster: its servers and the chroot, as ZooKeeper itself reads them.

Every function takes a text that an operator wrote.  The message of its ValueError continues a
sentence that begins with this text: "has an empty host".
"""

from zkexec.znode_paths import check_zk_path

DEFAULT_PORT = 2181


def parse_cluster(text: str) -> tuple[tuple[tuple[str, int], ...], str]:
    """Split HOST:PORT,.../CHROOT into servers and chroot; the chroot is "" or like "/a/b"."""
    hosts, slash, rest = text.partition("/")
    if hosts.endswith(":") and rest.startswith("/"):
        raise ValueError("is a URL: write HOST:PORT,.../CHROOT, without http:// or the like")
    if "," in rest and ":" in rest.partition(",")[2]:
        raise ValueError("has hosts behind the chroot: write it once, at the end")
    chroot = check_zk_path(slash + rest) if rest else ""
    servers = tuple(_parse_server(entry.strip(" \t")) for entry in hosts.split(","))
    return servers, chroot


def _parse_server(entry: str) -> tuple[str, int]:
    if entry.startswith("["):
        host, bracket, port = entry[1:].partition("]")
        if not bracket or not _is_ipv6(host) or (port and not port.startswith(":")):
            raise ValueError("has an invalid IPv6 address: write one such as [::1]:2181")
        return host, _parse_port(port[1:]) if port else DEFAULT_PORT
    host, colon, port = entry.partition(":")
    if ":" in port:
        raise ValueError("has an IPv6 address without brackets: write one such as [::1]:2181")
    if not host:
        raise ValueError("has an empty host: write HOST:PORT,...")
    if not all(letter.isalnum() or letter in "._-" for letter in host):
        raise ValueError("has an invalid host name: write HOST:PORT,...")
    return host, _parse_port(port) if colon else DEFAULT_PORT


def _parse_port(port: str) -> int:
    if port.isascii() and port.isdigit() and len(port) <= 5 and 1 <= int(port) <= 65535:
        return int(port)
    raise ValueError("has an invalid port: write one from 1 to 65535")


def _is_ipv6(address: str) -> bool:
    from zkexec.zookeeper.sockets import socket  # noqa: PLC0415 -- few clusters are written in IPv6

    address, percent, zone = address.partition("%")
    try:
        socket.inet_pton(socket.AF_INET6, address)
    except (OSError, UnicodeError):
        return False
    return bool(zone) or not percent
