"""The watches that are set on one connection, and how all of them are set again at once.

A server may drop a watch without a word: servers that know of CVE-2024-23944 do so if the znode
is changed while it may not be read.  So each watch is kept here with the transaction as of which
its znode is known; set anew relative to that one, it fires at once if anything was missed.

A watch is entered before its request is sent and dated once the answer is there: one that fires in
between is not entered again.
"""

from __future__ import annotations

from zkexec.zookeeper.requests import Children, Exists, Get, SetWatches

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator
    from typing import Any

    from zkexec.zookeeper.requests import Request

_NOT_KNOWN_YET = -1
_MISSING = -2


class Watches:
    """All watches of one connection: of znodes, and of the children of znodes."""

    def __init__(self) -> None:
        """Begin with none."""
        self._znodes: dict[str, tuple[int, Hashable]] = {}
        self._parents: dict[str, tuple[int, Hashable]] = {}

    def sending(self, request: Request) -> None:
        """Enter the watches that this request sets, before it is sent."""
        match request:
            case Get(path, watch) | Exists(path, watch) if watch is not None:
                self._znodes[path] = _NOT_KNOWN_YET, watch
            case Children(path, watch) if watch is not None:
                self._parents[path] = _NOT_KNOWN_YET, watch
            case SetWatches(zxid, existing, missing, parents, watch) if watch is not None:
                self._znodes.update(dict.fromkeys(existing, (zxid, watch)))
                self._znodes.update(dict.fromkeys(missing, (_MISSING, watch)))
                self._parents.update(dict.fromkeys(parents, (zxid, watch)))

    def answered(self, request: Request, outcome: Any) -> None:  # noqa: ANN401 -- as the request has it
        """Date the watches of this request, or drop them if the server has refused it."""
        match request:
            case Get(path, watch) | Exists(path, watch) if watch is not None:
                if isinstance(outcome, Exception):
                    self._znodes.pop(path, None)
                elif path in self._znodes:
                    stat = outcome[1] if isinstance(request, Get) else outcome
                    self._znodes[path] = _MISSING if stat is None else stat.mzxid, watch
            case Children(path, watch) if watch is not None:
                if isinstance(outcome, Exception):
                    self._parents.pop(path, None)
                elif path in self._parents:
                    self._parents[path] = outcome[1].pzxid, watch

    def fired(self, path: str, *, znode: bool, children: bool) -> None:
        """Drop the watches of this path that have fired."""
        if znode:
            self._znodes.pop(path, None)
        if children:
            self._parents.pop(path, None)

    def clear(self) -> list[tuple[str, Hashable]]:
        """Drop all watches; return their paths and what they were set with."""
        all_of_them = [*self._znodes.items(), *self._parents.items()]
        self._znodes.clear()
        self._parents.clear()
        return [(path, watch) for path, (_, watch) in all_of_them]

    def requests(self) -> list[SetWatches]:
        """Make what sets all of them again: a request for each transaction.

        A common request for all would be too old for some, and those would fire each time.
        """
        znodes = {path: zxid for path, (zxid, _) in self._znodes.copy().items()}
        parents = {path: zxid for path, (zxid, _) in self._parents.copy().items()}
        return [*_relative(znodes, parents)]


def _relative(znodes: dict[str, int], parents: dict[str, int]) -> Iterator[SetWatches]:
    for known in sorted({zxid for zxid in (*znodes.values(), *parents.values()) if zxid >= 0}):
        existing = [path for path, zxid in znodes.items() if zxid == known]
        yield SetWatches(known, existing, [], [p for p, zxid in parents.items() if zxid == known])
    if missing := [path for path, zxid in znodes.items() if zxid == _MISSING]:
        yield SetWatches(0, [], missing)
