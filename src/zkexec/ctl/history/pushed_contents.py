"""Whether the znodes still have the content that was pushed, and who has written it if not.

A push is superseded as soon as one of its paths has other content, also if this content is
everywhere by then: it cannot be known whether the pushed one ever was.  Writing the same bytes once
more supersedes nothing.

What was written below the root of a tree shows in the members: one of them has read a newer
transaction.  Then the path is read again.
"""

from collections.abc import Mapping
from typing import Any

from zkexec.ctl.cluster_connection import ClusterConnection
from zkexec.ctl.history.content_history import PathHistory, digest_of
from zkexec.ctl.history.history_paths import HistoryPaths
from zkexec.ctl.history.history_store import read_history
from zkexec.ctl.history.tree_content import contains, decode, is_tree
from zkexec.ctl.status.group_status import GroupStatus
from zkexec.ctl.terminal.text_diff import content_summary
from zkexec.ctl.terminal.tree_diff import files_text
from zkexec.frozen import frozen


@frozen()
class PushedContent:
    """What a push has written to a path: the transaction, and the digest of the content."""

    zxid: int
    digest: str


class PushedContents:
    """What a push has written to all of its paths."""

    def __init__(self, cluster: ClusterConnection, pushed: Mapping[str, PushedContent]) -> None:
        self._cluster = cluster
        self._paths = HistoryPaths.below(cluster.chroot)
        self._pushed = dict(pushed)
        self._newest_read: dict[str, int] = {}

    @property
    def zxid(self) -> int:
        """The newest transaction of all; 0 if nothing was pushed."""
        return max((one.zxid for one in self._pushed.values()), default=0)

    def superseded(self, group: GroupStatus, timeout_s: float) -> str:
        """Write what has superseded the push; "" if nothing has.

        Raises SubcommandError if the cluster does not answer in time.
        """
        newest = max((one.status.zxid for one in group.members.values() if one.status), default=0)
        for path in self._written_since(group, newest):
            dialogue = read_history(self._paths, path)
            history: Any = self._cluster.run(dialogue, timeout_s)
            digest = self._pushed[path].digest
            if history.content is None or digest_of(history.content) != digest:
                return _superseded_by(history)
            self._pushed[path] = PushedContent(history.mzxid, digest)
            self._newest_read[path] = newest
        return ""

    def _written_since(self, group: GroupStatus, newest: int) -> list[str]:
        """The paths that were written or deleted since they were read, or may have been."""
        return [
            path
            for path in self._pushed
            if self._is_root_written(path, group)
            or (
                any(contains(one, path) for one in group.inputs)
                and newest > max(self._pushed[path].zxid, self._newest_read.get(path, 0))
            )
        ]

    def _is_root_written(self, path: str, group: GroupStatus) -> bool:
        """Return whether the znode itself, or the root of the tree, was written or deleted."""
        if path not in group.inputs:
            return False
        write = group.znodes.get(path)
        return write is None or write.zxid != self._pushed[path].zxid


def _superseded_by(history: PathHistory) -> str:
    if history.content is None:
        return f"superseded: {history.path} was deleted"
    entry = history.present
    if entry is None or entry.set_by_other_tool:
        summary = (
            files_text(decode(history.content))
            if is_tree(history.path)
            else content_summary(history.content)
        )
        return f"superseded: {history.path} was written by another tool ({summary})"
    return f"superseded by {history.path}@{entry.revision} ({entry.by or 'unknown'})"
