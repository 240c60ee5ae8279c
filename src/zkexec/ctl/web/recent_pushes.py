"""The pushes behind the newest versions of all groups, for the page of all groups.

The numbers of a group do not name its inputs.  But a push writes its path and the index of the
history in one transaction, and a version has the transaction of its newest write.  So the indexes
of all histories name the push, and they are read only if a version has a transaction that was not
searched before.
"""

from collections.abc import Iterable, Mapping
from urllib.parse import unquote

from zkexec.ctl.cluster_connection import ClusterConnection
from zkexec.ctl.exit_status import SubcommandError
from zkexec.ctl.history.content_history import decode_index
from zkexec.ctl.history.history_paths import HistoryPaths
from zkexec.ctl.status.group_summary import GroupSummary
from zkexec.ctl.status.input_writes import InputWrite
from zkexec.zookeeper.requests import Children, Dialogue, Get
from zkexec.zookeeper.values import Stat

MOST_HISTORIES = 500
"""At most this many histories are read; of a cluster with more, some pushes are not named."""
_AT_ONCE = 50


class RecentPushes:
    """The pushes that are known, by their transactions."""

    def __init__(self) -> None:
        self._searched: dict[int, InputWrite | None] = {}

    def of(
        self, cluster: ClusterConnection, groups: Iterable[GroupSummary], timeout_s: float
    ) -> Mapping[str, InputWrite]:
        """Return the push behind the newest version of each group, by the name of the group."""
        zxids = {one.name: one.newest[1].zxid for one in groups if one.newest is not None}
        if not set(zxids.values()) <= self._searched.keys():
            self._searched = dict.fromkeys(zxids.values())
            self._search(cluster, timeout_s)
        pushes = {name: self._searched.get(zxid) for name, zxid in zxids.items()}
        return {name: push for name, push in pushes.items() if push is not None}

    def _search(self, cluster: ClusterConnection, timeout_s: float) -> None:
        base = HistoryPaths.below(cluster.chroot).paths.base
        try:
            found: list[InputWrite] = cluster.run(lambda: _read(base), timeout_s)
        except SubcommandError:
            # The page is good without them; the next reading searches again.
            self._searched = {}
            return
        for push in found:
            if push.zxid in self._searched:
                self._searched[push.zxid] = push


def _read(base: str) -> Dialogue:
    """Read the indexes of all histories → the pushes in them."""
    (listed,) = yield [Children(base)]
    if isinstance(listed, Exception):
        return []
    names = sorted(listed[0])[:MOST_HISTORIES]
    found: list[InputWrite] = []
    for first in range(0, len(names), _AT_ONCE):
        batch = names[first : first + _AT_ONCE]
        outcomes = yield [Get(f"{base}/{name}") for name in batch]
        for name, outcome in zip(batch, outcomes, strict=True):
            if not isinstance(outcome, Exception):
                found += _pushes(unquote(name), *outcome)
    return found


def _pushes(path: str, content: bytes, stat: Stat) -> list[InputWrite]:
    """Return the pushes in an index; none if it is not understood."""
    try:
        entries = decode_index(content, stat.mzxid)
    except ValueError:
        return []
    return [
        InputWrite(
            path=path,
            zxid=entry.zxid,
            at=entry.at,
            revision=entry.revision,
            by=entry.by,
            message=entry.message,
            set_by_other_tool=entry.set_by_other_tool,
        )
        for entry in entries
        if entry.zxid
    ]
