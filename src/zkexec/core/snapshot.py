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
    NOTHING_BELOW = "has no content, and nothing with content is below it"
    RESERVED_NAME = "has the name of the file for the content of the znode above it"
    LONG_NAME = "has a name of more than 255 bytes, which no file can have"
    NO_VALUE = "does not exist, and the template that needs it has no default for it"
    TOO_MANY = "makes more than 5,000 znodes in all"
    TOO_LARGE = "makes more than 64 MiB in all"
    NUL = "contains a NUL, which no variable can"
    LONG_VARIABLE = "is longer than a variable can be: with its name and =, at most 131,071 bytes"
    MANY_VARIABLES = "makes more variables than a command can get on this host"
    SAME_VARIABLE = "gives the same variable as another znode of its tree"
    KEPT_VARIABLE = "gives a variable that no tree may set"
    DIGIT_VARIABLE = "gives a variable whose name begins with a digit, which no shell can read"


@frozen(hidden=("content",), uncompared=("mtime",))
class Znode:
    """One znode as it was read: its bytes, the transaction that wrote them (mzxid), its version.

    The version counts the writes since the znode was created; -1 means that it is unknown.
    `mtime` is the time of the last write, in seconds of the epoch by the ensemble's clock.
    An ephemeral znode exists only as long as the session that has created it.  `czxid` is the
    transaction that created the znode, 0 if that does not matter.
    """

    path: str
    content: bytes = b""
    mzxid: int = 0
    problem: Problem | None = None
    version: int = -1
    mtime: float = 0.0
    is_ephemeral: bool = False
    czxid: int = 0


MOST_ZNODES = 5_000
MOST_BYTES = 64 * 1024 * 1024
"""All inputs together have at most this many znodes, and this many bytes of content."""

MOST_VARIABLES_BYTES = 1024 * 1024
"""The variables of all inputs take at most this many bytes, and no more than this host allows."""


@frozen(hidden=("znodes",))
class Tree:
    """A znode and all below it, as they were read: by their paths below the root, "" for the root.

    `zxid` is the newest mzxid or pzxid of all, so that it also counts what was removed.  If there
    is a `problem`, it is one of the whole tree, and there are no znodes.  A znode that cannot be
    read has a problem of its own.  Ephemeral znodes are among them.
    """

    znodes: Mapping[str, Znode]
    zxid: int = 0
    problem: Problem | None = None


@frozen(hidden=("files", "variables"))
class Snapshot:
    """What the inputs have produced on this host at one moment, and their newest zxid.

    `files` are the contents of all targets by local path: those of a tree, too, and rendered
    templates.  `znode_versions` are the versions of the znodes that options name and that existed
    then, by their paths; of a tree, that of its root.  `restart` is the name of the last rolling
    restart that an operator requested, "" for none; it makes a difference, so that a command which
    runs since before it is restarted.  `changed_at` is the newest mtime, 0 if unknown.

    `variables` are those of the command that come from inputs.  `digest` is that of the inputs, ""
    if only their files count.  `unrendered` is the reason why a template cannot be rendered; its
    file is what it was before then.  If `proves_nothing`, nothing on this host differs from what
    the command was healthy on before, so its health shows nothing about this version.  `written` is
    the newest mzxid of what counts, if `zxid` can be greater because of what was removed, or of
    ephemeral znodes; else it is -1.
    """

    files: Mapping[str, bytes]
    zxid: int = 0
    znode_versions: Mapping[str, int] = {}
    restart: str = ""
    changed_at: float = 0.0
    variables: Mapping[str, bytes] = {}
    digest: str = ""
    unrendered: str = ""
    proves_nothing: bool = False
    written: int = -1

    @property
    def last_written(self) -> int:
        """The zxid of the last write: if it is newer than a failure, what failed was written again.

        A removal, or an ephemeral znode, writes nothing again.
        """
        return last_written(self.zxid, self.written)

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, Snapshot)
            and self.restart == other.restart
            and self.digest == other.digest
            and self.unrendered == other.unrendered
            and self.files == other.files
            and self.variables == other.variables
        )

    def __hash__(self) -> int:
        return hash((self.restart, self.digest, frozenset(self.files.items())))


def last_written(zxid: int, written: int) -> int:
    """Return the zxid of the last write; `zxid` can be lowered to one of another history."""
    return zxid if written < 0 else min(zxid, written)


@frozen()
class Plan:
    """What differs between the applied and the wanted configuration.

    `changed` are local paths, and `variables` names.  `restarts` means that an operator requested a
    rolling restart since, and `is_unrendered` that a template of the wanted one has an error.
    """

    changed: tuple[str, ...]
    restarts: bool = False
    variables: tuple[str, ...] = ()
    is_unrendered: bool = False

    def __bool__(self) -> bool:
        return bool(self.changed or self.variables) or self.restarts or self.is_unrendered


def plan(applied: Snapshot, wanted: Snapshot) -> Plan:
    """Return what differs, in the order of the names."""
    return Plan(
        _differing(applied.files, wanted.files),
        applied.restart != wanted.restart,
        _differing(applied.variables, wanted.variables),
        bool(wanted.unrendered),
    )


def _differing(before: Mapping[str, bytes], after: Mapping[str, bytes]) -> tuple[str, ...]:
    changed = [name for name, content in after.items() if before.get(name) != content]
    changed += before.keys() - after.keys()
    return tuple(sorted(changed))


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
