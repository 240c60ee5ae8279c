"""A snapshot as the group knows it: by the znodes it was read from and their bytes.

The local paths do not count: two members of one host that write the same contents to different
folders want the same, and what fails for one is not tried by the other.
"""

from collections.abc import Iterable

from zkexec.core.snapshot import Mirror, Snapshot
from zkexec.digest import sha256
from zkexec.frozen import frozen, replace


@frozen()
class ConfigVersion:
    """What a member wants to run; `scope` names the set of its znodes, `zxid` is an mzxid.

    The digest is that of the contents; where a rolling restart was asked for, its name follows
    after a dot.
    """

    digest: str
    zxid: int
    scope: str


def version_of(snapshot: Snapshot, mirrors: Iterable[Mirror]) -> ConfigVersion:
    """Name a snapshot whose files follow these mirrors."""
    mirrors = tuple(mirrors)
    pairs = {(m.zk_path.encode(), snapshot.files.get(m.local_path, b"")) for m in mirrors}
    paths = {(mirror.zk_path.encode(),) for mirror in mirrors}
    restart = f".{snapshot.restart}" if snapshot.restart else ""
    return ConfigVersion(_digest(pairs) + restart, snapshot.zxid, _digest(paths)[:12])


def dated(target: ConfigVersion, newest: int, zxid: int) -> ConfigVersion:
    """The same target, at this revision where its own is above all that there is.

    It is of another history then, and nothing is out of date by it: the scope is left out.
    """
    return target if target.zxid <= newest else replace(target, zxid=zxid, scope="")


def contents_of(digest: str) -> str:
    """The digest of the contents alone, whatever restart was asked for."""
    return digest.partition(".")[0]


def is_same_contents(digest: str, other: str) -> bool:
    """Whether two digests are of the same contents, whatever restart was asked for."""
    return contents_of(digest) == contents_of(other)


def short(digest: str) -> str:
    """Enough of a target's digest to tell it from others by eye."""
    contents, dot, restart = digest.partition(".")
    return contents[:12] + dot + restart[:4]


def _digest(parts: Iterable[tuple[bytes, ...]]) -> str:
    digest = sha256()
    for part in sorted(parts):
        for piece in part:
            digest.update(len(piece).to_bytes(8, "big"))
            digest.update(piece)
    return digest.hexdigest()
