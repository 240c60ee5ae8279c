"""The paths of znodes: which ones ZooKeeper accepts, and where those of a group are.

The message of the ValueError that `check_zk_path` raises continues a sentence that begins with the
path: "needs a znode path that starts with /".
"""

RESTART = "restart"
"""The znode of a group, below its own path, that a rolling restart is requested by."""

# The ranges that ZooKeeper refuses in a path: control characters, surrogates (which is also
# what bytes that are no UTF-8 become), private use and specials.
_FORBIDDEN = ((0x00, 0x1F), (0x7F, 0x9F), (0xD800, 0xF8FF), (0xFFF0, 0xFFFF))

_NO_NAMES = frozenset(("", ".", ".."))


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


def group_path(lock: str) -> str:
    """Give the path of a group's znodes; `lock` is the name that `--lock` gives it."""
    return lock if lock.startswith("/") else f"/zkexec/{lock}"
