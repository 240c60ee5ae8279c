"""Whether the znodes still have the content that was pushed, and who has written it if not.

A push is superseded as soon as one of its paths has other content, also if this content is
everywhere by then: it cannot be known whether the pushed one ever was.  Writing the same bytes once
more supersedes nothing.

The newest write of an input shows that something was written: to it, or anywhere in a tree that
contains it or that it contains.  Then the path is read again.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from zkexec.ctl.cluster_connection import ClusterConnection
from zkexec.ctl.history.content_history import PathHistory, digest_of
from zkexec.ctl.history.history_paths import HistoryPaths
from zkexec.ctl.history.history_store import read_history
from zkexec.ctl.history.tree_content import contains, decode, is_tree
from zkexec.ctl.status.group_status import GroupStatus
from zkexec.ctl.status.progress import Progress
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
        self._examined: dict[str, int] = {path: one.zxid for path, one in pushed.items()}
        """As of which newest write each path has the content that was pushed."""

    @property
    def zxid(self) -> int:
        """The newest transaction of all; 0 if nothing was pushed."""
        return max((one.zxid for one in self._pushed.values()), default=0)

    def superseded(self, group: GroupStatus, timeout_s: float) -> str:
        """Write what has superseded the push; "" if nothing has.

        Raises SubcommandError if the cluster does not answer in time.
        """
        for path, newest in self._written_since(group):
            dialogue = read_history(self._paths, path)
            history: Any = self._cluster.run(dialogue, timeout_s)
            digest = self._pushed[path].digest
            if history.content is None or digest_of(history.content) != digest:
                return _superseded_by(history)
            self._pushed[path] = PushedContent(history.mzxid, digest)
            self._examined[path] = newest
        return ""

    def failure(self, group: GroupStatus) -> Progress | None:
        """Return the rollout that has failed, if it is that of the push."""
        failed = (one for one in group.progress if one.failure is not None)
        return next((one for one in failed if self._is_about(one)), None)

    def _is_about(self, progress: Progress) -> bool:
        return any(_concerns(one, path) for one in progress.inputs for path in self._pushed)

    def _written_since(self, group: GroupStatus) -> Iterable[tuple[str, int]]:
        """Give the paths that were written or deleted since, and the zxid of the newest write.

        It is 0 if one of the inputs does not exist.
        """
        for path in self._pushed:
            inputs = [one for one in group.inputs if _concerns(one, path)]
            writes = [group.znodes.get(one) for one in inputs]
            zxids = [0 if write is None else write.zxid for write in writes]
            newest = 0 if 0 in zxids else max(zxids, default=0)
            if inputs and (not newest or newest != self._examined[path]):
                yield path, newest


def _concerns(one: str, path: str) -> bool:
    """Return whether a write to one of them can be a write to the other."""
    return one == path or contains(one, path) or contains(path, one)


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
