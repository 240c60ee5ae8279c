"""What is read of the znodes of groups: each thing has a key, and so has the watch on it."""

from enum import Enum

from zkexec.frozen import frozen


class ZnodeKind(Enum):
    """What is read of a znode."""

    RECORD = "decisions of a group"
    NAMES = "names of its children"
    COUNT = "number of its children"
    MEMBER = "member status"
    QUEUE_NODE = "queue node"
    ENTRY = "entry of a member in flight"
    VERSION = "last failure of a version"
    SUCCEEDED = "number of turns that ended well"
    FAILURE = "failure of a version on one member"
    INPUT = "newest write"
    TREE_STAT = "statistics of a znode of a tree"
    TREE_NAMES = "names of the children of a znode of a tree"
    RESTART = "rolling restart"
    HISTORY = "index of a history"


@frozen()
class ReadKey:
    """One thing to read; the path is that with the chroot."""

    kind: ZnodeKind
    path: str


class Unreadable(Enum):
    """What is known of a znode instead of its content."""

    FORBIDDEN = "it may not be read"


NAMES = frozenset({ZnodeKind.NAMES, ZnodeKind.TREE_NAMES})
"""What is read by listing the children."""

STATISTICS = frozenset({ZnodeKind.INPUT, ZnodeKind.TREE_STAT})
"""What is read without the content, which can be large and secret."""

WRITTEN = frozenset({ZnodeKind.INPUT, ZnodeKind.TREE_STAT, ZnodeKind.TREE_NAMES})
"""What changes with a write of an input."""

COVERED = frozenset(
    {
        ZnodeKind.MEMBER,
        ZnodeKind.QUEUE_NODE,
        ZnodeKind.ENTRY,
        ZnodeKind.VERSION,
        ZnodeKind.SUCCEEDED,
        ZnodeKind.FAILURE,
        ZnodeKind.TREE_NAMES,
    }
)
"""What needs no watch for its creation: another watch reports that."""
