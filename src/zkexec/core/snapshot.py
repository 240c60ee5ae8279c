"""Configuration as values: what the ensemble holds, what the files hold, and the difference.

Contents may be secrets, so they are left out of every `repr`: no traceback shows them.
Equality is always of content.  Versions and transaction ids tell which of two contents is
newer; they never make two equal contents different.
"""

from collections.abc import Mapping
from enum import Enum

from zkexec.digest import sha256
from zkexec.frozen import frozen


class Problem(Enum):
    """Why a znode has no content to offer; the value is the word that a person reads."""

    MISSING = "does not exist"
    NO_CHROOT = "does not exist, and neither does the chroot of the cluster"
    FORBIDDEN = "may not be read"
    EMPTY = "is empty"


@frozen(hidden=("content",), uncompared=("mtime",))
class Znode:
    """One znode as it was read: its bytes, the transaction that wrote them (mzxid), its version.

    The version counts the writes since the znode was made; -1 stands for no such count.  `mtime`
    is when they were written, in seconds of the epoch by the ensemble's clock.
    """

    path: str
    content: bytes = b""
    mzxid: int = 0
    problem: Problem | None = None
    version: int = -1
    mtime: float = 0.0


@frozen()
class Mirror:
    """One pair of `--mirror`: the local file (absolute) and the znode that it follows."""

    local_path: str
    zk_path: str


@frozen(hidden=("files",))
class Snapshot:
    """The bytes of all mirrored files, by local path, and the newest mzxid among them.

    `versions` are those of the znodes that were there when it was read, by their paths.
    `restart` names the rolling restart that was asked for last, "" for none: a command that runs
    since before it runs something else.  `changed_at` is the newest mtime, 0 where it is unknown.
    """

    files: Mapping[str, bytes]
    zxid: int = 0
    versions: Mapping[str, int] = {}
    restart: str = ""
    changed_at: float = 0.0

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, Snapshot)
            and self.restart == other.restart
            and self.files == other.files
        )

    def __hash__(self) -> int:
        return hash((self.restart, frozenset(self.files.items())))


@frozen()
class Plan:
    """What stands between the applied and the wanted configuration.

    `restarts` is true where a rolling restart was asked for since.
    """

    changed: tuple[str, ...]
    restarts: bool = False

    def __bool__(self) -> bool:
        return bool(self.changed) or self.restarts


def plan(applied: Snapshot, wanted: Snapshot) -> Plan:
    """Name the local paths whose content differs, in the order of their names."""
    before, after = applied.files, wanted.files
    changed = [path for path, content in after.items() if before.get(path) != content]
    changed += before.keys() - after.keys()
    return Plan(tuple(sorted(changed)), applied.restart != wanted.restart)


def short_digest(content: bytes) -> str:
    """Twelve hexadecimal digits of SHA-256: enough to compare by eye, nothing to read from."""
    return sha256(content).hexdigest()[:12]


UNLIMITED = 2**63 - 1
"""Stands for the newest transaction where nothing is known of it."""


@frozen()
class InputState:
    """What the reads on the present connection have shown.

    `is_answered`: one was answered, be it by an error.  `is_current`: one has shown the znodes.
    `is_whole`: each of them had content to offer.  `is_lost`: of what is wanted, something is in
    no znode any more, and in no file either.  `newest`: no revision of this history is above;
    `history` counts those that there were.
    """

    is_answered: bool = True
    is_current: bool = True
    is_whole: bool = True
    is_lost: bool = False
    newest: int = UNLIMITED
    history: int = 0


NOTHING_READ = InputState(is_answered=False, is_current=False, is_whole=False)
"""On a connection on which no read was answered yet."""
