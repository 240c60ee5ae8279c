"""Whether what was pushed is still what the znodes hold, and who has written over it if not.

The rules of this file:

- A rollout is over for the one who pushed as soon as one of the paths has other content, whoever
  wrote it, and also where the new content is everywhere by then: nobody knows whether the old one
  ever was.
- The same bytes written once more supersede nothing.
"""

from collections.abc import Mapping
from typing import Any

from zkexec.frozen import frozen
from zkexec.operator.cluster import Cluster
from zkexec.operator.contents import Znode, digest_of, summary
from zkexec.operator.keeping import Places, look
from zkexec.operator.sight import Sight


@frozen()
class Held:
    """What a push has left in a path: the transaction that wrote it, and its digest."""

    zxid: int
    digest: str


class Claim:
    """What a push has left in all of its paths, as long as it is there."""

    def __init__(self, cluster: Cluster, held: Mapping[str, Held]) -> None:
        self._cluster = cluster
        self._places = Places.below(cluster.chroot)
        self._held = dict(held)

    def superseded(self, sight: Sight, patience_s: float) -> str:
        """What has superseded it, in words; "" where nothing has.

        OperatorError where the cluster does not answer within that time.
        """
        for path in self._written(sight):
            znode: Any = self._cluster.ask(look(self._places, path), patience_s)
            if znode.content is None or digest_of(znode.content) != self._held[path].digest:
                return _told(znode)
            self._held[path] = Held(znode.mzxid, self._held[path].digest)
        return ""

    def _written(self, sight: Sight) -> list[str]:
        """The paths that somebody has written, or taken away, since they were looked at."""
        mirrored = {p for seen in sight.members.values() if seen.facts for p in seen.facts.inputs}
        found = {path: sight.znodes.get(path) for path in self._held if path in mirrored}
        return [
            path
            for path, written in found.items()
            if written is None or written.zxid != self._held[path].zxid
        ]


def _told(znode: Znode) -> str:
    if znode.content is None:
        return f"superseded: {znode.path} was deleted"
    entry = znode.present
    if entry is None or entry.is_foreign:
        what = summary(znode.content)
        return f"superseded: {znode.path} was written by another tool ({what})"
    return f"superseded by {znode.path}@{entry.number} ({entry.by or 'unknown'})"
