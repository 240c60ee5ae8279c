"""The watches that are armed on one connection, and how all of them are armed again at once.

A server may drop a watch without a word: servers that know of CVE-2024-23944 do so if the znode
is changed while it may not be read.  So each watch is kept here with the transaction as of which
its znode is known; armed anew relative to that one, it fires at once if anything was missed.

Watches are entered before they are armed and known once the answer is there: one that fires in
between is not entered again.
"""

from __future__ import annotations

from kazoo.protocol.states import EventType

from zkexec.zookeeper.set_watches import SetWatches

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kazoo.protocol.states import WatchedEvent

_NOT_KNOWN_YET = -1
_MISSING = -2


class Watches:
    """What is watched on one connection, beside the inputs: those are known to its reads."""

    def __init__(self) -> None:
        """Begin with none."""
        self._nodes: dict[str, int] = {}
        self._children: dict[str, int] = {}

    def expect_node(self, path: str) -> None:
        """A request that watches a znode, there or not, is about to be sent."""
        self._nodes[path] = _NOT_KNOWN_YET

    def expect_children(self, path: str) -> None:
        """A request that watches a znode's children, and so its end, is about to be sent."""
        self._children[path] = _NOT_KNOWN_YET

    def node_seen(self, path: str, mzxid: int | None) -> None:
        """The watch was armed on a znode that was last written then, None if there is none."""
        if path in self._nodes:
            self._nodes[path] = _MISSING if mzxid is None else mzxid

    def children_seen(self, path: str, pzxid: int) -> None:
        """The watch was armed on a znode whose children last changed then."""
        if path in self._children:
            self._children[path] = pzxid

    def node_refused(self, path: str) -> None:
        """No watch was armed."""
        self._nodes.pop(path, None)

    def children_refused(self, path: str) -> None:
        """No watch was armed."""
        self._children.pop(path, None)

    def fired(self, event: WatchedEvent) -> None:
        """The watch is gone."""
        if event.type != EventType.CHILD:
            self._nodes.pop(event.path, None)
        if event.type in (EventType.CHILD, EventType.DELETED):
            self._children.pop(event.path, None)

    def requests(self) -> list[SetWatches]:
        """What arms all of them again: a request for each transaction as of which some are known.

        A request covers all watches of one transaction.  A common one for all would be too old for
        some, and those would fire each time.
        """
        nodes, children = dict(self._nodes), dict(self._children)
        known = {zxid for zxid in (*nodes.values(), *children.values()) if zxid >= 0}
        missing = [path for path, zxid in nodes.items() if zxid == _MISSING]
        requests = [
            SetWatches(
                seen,
                [path for path, zxid in nodes.items() if zxid == seen],
                [],
                [path for path, zxid in children.items() if zxid == seen],
            )
            for seen in sorted(known)
        ]
        return requests + ([SetWatches(0, [], missing)] if missing else [])
