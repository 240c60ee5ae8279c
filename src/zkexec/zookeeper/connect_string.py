"""Where znodes are found: the servers, the chroot and the paths, as ZooKeeper itself reads them.

Every function takes a text that an operator wrote.  The message of its ValueError continues a
sentence that begins with this text: "has an empty host".
"""

DEFAULT_PORT = 2181
RESTART = "restart"
"""The znode of a group, below its own path, by which an operator asks for a rolling restart."""

# The ranges that ZooKeeper refuses in a path: control characters, surrogates (which is also
# what bytes that are no UTF-8 become), private use and specials.
_FORBIDDEN = ((0x00, 0x1F), (0x7F, 0x9F), (0xD800, 0xF8FF), (0xFFF0, 0xFFFF))

_NO_NAMES = frozenset(("", ".", ".."))


def parse_cluster(text: str) -> tuple[tuple[tuple[str, int], ...], str]:
    """Split HOST:PORT,.../CHROOT into servers and chroot; the chroot is "" or like "/a/b"."""
    hosts, slash, rest = text.partition("/")
    chroot = check_zk_path(slash + rest) if rest else ""
    servers = tuple(_parse_server(entry.strip(" \t")) for entry in hosts.split(","))
    return servers, chroot


def check_zk_path(path: str) -> str:
    """Return an absolute znode path unchanged, or raise a ValueError."""
    if not path.startswith("/"):
        raise ValueError("needs a znode path that starts with /")
    is_plain = path.isascii() and path.isprintable()
    if not is_plain and any(
        low <= ord(letter) <= high for letter in path for low, high in _FORBIDDEN
    ):
        raise ValueError("needs a znode path of printable UTF-8 characters")
    if path != "/" and not _NO_NAMES.isdisjoint(path[1:].split("/")):
        raise ValueError("needs a znode path without empty, . or .. parts and without / at its end")
    return path


def base_of(lock: str) -> str:
    """The path of a group's znodes, given what `--lock` names."""
    return lock if lock.startswith("/") else f"/zkexec/{lock}"


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
    import socket  # noqa: PLC0415 - slow to import, and few clusters are written in IPv6

    address, percent, zone = address.partition("%")
    try:
        socket.inet_pton(socket.AF_INET6, address)
    except (OSError, UnicodeError):
        return False
    return bool(zone) or not percent
