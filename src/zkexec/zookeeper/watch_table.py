"""Which watches are set on one connection, with which keys, and as of which transaction.

A server keeps one watch for a path and connection, and sends one event for all keys of it.  That
event can overtake the answer of the request that set the watch, so a key is entered when its
request is sent; if the request is refused, the key goes again.  An event that arrives before an
answer may also be that of an older watch.  Then the request sets another one, so its key stays.
"""

from __future__ import annotations

from zkexec.zookeeper.requests import (
    ANY_WATCH,
    CHILDREN_WATCH,
    CONTENT_WATCH,
    Children,
    Exists,
    Get,
    RemoveWatches,
    SetWatches,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence
    from typing import Any

    from zkexec.zookeeper.session_requests import AnyRequest

    Place = tuple[int, str]
    """Of what the watch is, CONTENT_WATCH or CHILDREN_WATCH, and the path."""

_ENDED_BY_EVENT = {
    1: (CONTENT_WATCH,),
    2: (CONTENT_WATCH, CHILDREN_WATCH),
    3: (CONTENT_WATCH,),
    4: (CHILDREN_WATCH,),
    5: (CONTENT_WATCH,),
    6: (CHILDREN_WATCH,),
}
"""Which watches an event ends.  `Watcher.EventType` has the numbers: the znode was created 1,
deleted 2 or changed 3, its children changed 4, a watch was removed 5 and 6."""

_LARGEST_FRAME = 128 * 1024
"""A request that sets watches again names paths of about this many bytes at most, as that of
ZooKeeper's own client does, so that no server refuses it for its size."""

_IS_SET = 0
"""Replaces, among the xids of the requests that set a watch, all those that were answered."""

_UNKNOWN, _MISSING = -1, -2


class _WatchEntry:
    """One watch of the server: by key, the xids of the requests that set it."""

    __slots__ = ("known", "setters")

    def __init__(self) -> None:
        self.setters: dict[Hashable, set[int]] = {}
        self.known = _UNKNOWN
        """The transaction as of which the znode is known, or that it is missing."""

    def fire(self) -> None:
        """Remove what an event ends: what was answered, or else the oldest request.

        Each later request may have set the watch again after the event.
        """
        ended = min(min(xids) for xids in self.setters.values())
        for xids in self.setters.values():
            xids.discard(ended)
        self.setters = {key: xids for key, xids in self.setters.items() if xids}
        self.known = _UNKNOWN


class WatchTable:
    """The watches of one connection."""

    def __init__(self) -> None:
        self._watches: dict[Place, _WatchEntry] = {}

    def __len__(self) -> int:
        return len(self._watches)

    def sending(self, xid: int, request: AnyRequest) -> None:
        """Enter the watches that a request sets, before it is sent."""
        for place, key, _ in _set_by(request, None):
            watch = self._watches.setdefault(place, _WatchEntry())
            watch.setters.setdefault(key, set()).add(xid)

    def answered(self, xid: int, request: AnyRequest, outcome: object) -> None:
        """Keep the watches of an answered request, or remove them if the server refused it."""
        if isinstance(request, RemoveWatches) and outcome is None:
            for kind in (CONTENT_WATCH, CHILDREN_WATCH):
                if request.kind in (kind, ANY_WATCH):
                    self._watches.pop((kind, request.path), None)
        for place, key, known in _set_by(request, outcome):
            watch = self._watches.get(place)
            setters = None if watch is None else watch.setters.get(key)
            # If the watch has fired meanwhile, the xid is gone.
            if watch is None or setters is None or xid not in setters:
                continue
            setters.remove(xid)
            if not isinstance(outcome, Exception):
                setters.add(_IS_SET)
                watch.known = known
            elif not setters:
                del watch.setters[key]
                if not watch.setters:
                    del self._watches[place]

    def fired(self, kind: int, path: str) -> tuple[Hashable, ...]:
        """Remove the watches that an event ends; return their keys, each once."""
        keys: dict[Hashable, None] = {}
        for place in [(of, path) for of in _ENDED_BY_EVENT.get(kind, ())]:
            watch = self._watches.get(place)
            if watch is not None:
                keys |= dict.fromkeys(watch.setters)
                watch.fire()
                if not watch.setters:
                    del self._watches[place]
        return tuple(keys)

    def fire_all(self) -> list[tuple[Hashable, str]]:
        """Remove all watches; return their keys and paths, each pair once."""
        watches, self._watches = self._watches, {}
        pairs = [(key, path) for (_, path), one in watches.items() for key in one.setters]
        return list(dict.fromkeys(pairs))

    def setting_again(self) -> list[SetWatches]:
        """Make the requests that set all watches again.

        Each names the watches of one transaction: relative to an older one, the watch of a znode
        that was written later would fire each time.
        """
        places: dict[int, list[Place]] = {}
        for place, watch in self._watches.items():
            if watch.known != _UNKNOWN:
                places.setdefault(watch.known, []).append(place)
        return [_request(known, part) for known in sorted(places) for part in _parts(places[known])]


def _set_by(request: AnyRequest, outcome: Any) -> Iterator[tuple[Place, Hashable, int]]:  # noqa: ANN401 -- as the request has it
    """Give each watch of a request, its key, and as of which transaction the znode is known."""
    answer = None if isinstance(outcome, Exception) else outcome
    match request:
        case Get(path, watch) if watch is not None:
            yield (CONTENT_WATCH, path), watch, answer[1].mzxid if answer else _UNKNOWN
        case Exists(path, watch) if watch is not None:
            yield (CONTENT_WATCH, path), watch, answer.mzxid if answer else _MISSING
        case Children(path, watch) if watch is not None:
            yield (CHILDREN_WATCH, path), watch, answer[1].pzxid if answer else _UNKNOWN
        case SetWatches(zxid, existing, missing, parents, watch) if watch is not None:
            yield from [((CONTENT_WATCH, path), watch, zxid) for path in existing]
            yield from [((CONTENT_WATCH, path), watch, _MISSING) for path in missing]
            yield from [((CHILDREN_WATCH, path), watch, zxid) for path in parents]


def _parts(places: Sequence[Place]) -> Iterator[list[Place]]:
    part: list[Place] = []
    size = 0
    for place in places:
        length = len(place[1].encode())
        if part and size + length > _LARGEST_FRAME:
            yield part
            part, size = [], 0
        part.append(place)
        size += length
    yield part


def _request(known: int, places: Sequence[Place]) -> SetWatches:
    content = [path for kind, path in places if kind == CONTENT_WATCH]
    if known == _MISSING:
        return SetWatches(0, missing=content)
    return SetWatches(known, content, (), [p for kind, p in places if kind == CHILDREN_WATCH])
