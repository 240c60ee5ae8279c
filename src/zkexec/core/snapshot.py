"""Configuration as values: the contents of the znodes and the files, and what differs.

Contents may be secrets, so they are left out of every `repr`: no traceback shows them.  Two
values are equal if their contents are.  Znode versions and zxids only decide which of two
contents is newer.
"""

from __future__ import annotations

from zkexec.digest import sha256
from zkexec.enumeration import Enum
from zkexec.frozen import frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


class Problem(Enum):
    """Why a znode has no content that could be used; the value is the text for people."""

    MISSING = "does not exist"
    NO_CHROOT = "does not exist, and neither does the chroot of the cluster"
    FORBIDDEN = "may not be read"
    EMPTY = "is empty"


@frozen(hidden=("content",), uncompared=("mtime",))
class Znode:
    """One znode as it was read: its bytes, the transaction that wrote them (mzxid), its version.

    The version counts the writes since the znode was created; -1 means that it is unknown.
    `mtime` is the time of the last write, in seconds of the epoch by the ensemble's clock.
    """

    path: str
    content: bytes = b""
    mzxid: int = 0
    problem: Problem | None = None
    version: int = -1
    mtime: float = 0.0


@frozen()
class Mirror:
    """One pair of `--mirror`: the target (absolute) and the znode whose content it gets."""

    local_path: str
    zk_path: str


@frozen(hidden=("files",))
class Snapshot:
    """The contents of all inputs at one moment, by local path, and their newest mzxid.

    `znode_versions` are the versions of the znodes that existed then, by their paths.  `restart`
    is the name of the last rolling restart that an operator requested, "" for none; it makes a
    difference, so that a command which runs since before it is restarted.  `changed_at` is the
    newest mtime, 0 if unknown.
    """

    files: Mapping[str, bytes]
    zxid: int = 0
    znode_versions: Mapping[str, int] = {}
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
    """What differs between the applied and the wanted configuration.

    `restarts` means that an operator requested a rolling restart since.
    """

    changed: tuple[str, ...]
    restarts: bool = False

    def __bool__(self) -> bool:
        return bool(self.changed) or self.restarts


def plan(applied: Snapshot, wanted: Snapshot) -> Plan:
    """Return the local paths whose content differs, in the order of their names."""
    before, after = applied.files, wanted.files
    changed = [path for path, content in after.items() if before.get(path) != content]
    changed += before.keys() - after.keys()
    return Plan(tuple(sorted(changed)), applied.restart != wanted.restart)


def short_digest(content: bytes) -> str:
    """Return twelve digits of SHA-256: enough to compare by eye, and no content is shown."""
    return sha256(content).hexdigest()[:12]


UNLIMITED = 2**63 - 1
"""The zxid of the newest transaction if it is unknown."""


@frozen()
class InputState:
    """What the reads on the present connection have shown.

    `is_answered`: a read was answered, perhaps by an error.  `is_current`: a read has returned
    the znodes.  `is_whole`: each znode had content that could be used.  `is_lost`: a wanted
    content is neither in a znode nor in a file any more.  `newest`: no zxid of this history of
    the servers is greater.  `history` counts the histories.
    """

    is_answered: bool = True
    is_current: bool = True
    is_whole: bool = True
    is_lost: bool = False
    newest: int = UNLIMITED
    history: int = 0


NOTHING_READ = InputState(is_answered=False, is_current=False, is_whole=False)
"""The state of a connection on which no read was answered yet."""
