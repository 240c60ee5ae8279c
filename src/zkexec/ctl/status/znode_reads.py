"""Read many znodes of groups on one connection: with a watch on each, or many at once.

A read with a watch is a request of its own; these are sent together.  All others are multi-reads,
on servers before 3.6 requests that are sent together as well.  Of what is known and was not
reported as changed, nothing is read again.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from zkexec.ctl.status.read_key import COVERED, NAMES, STATISTICS, ReadKey, Unreadable, ZnodeKind
from zkexec.ctl.status.znode_values import understood
from zkexec.group.bulk_read import MOST_AT_ONCE, BulkRead
from zkexec.group.paths import Paths
from zkexec.zookeeper.errors import NoAuthError, NoNodeError
from zkexec.zookeeper.requests import Children, Dialogue, Exists, Get, Request
from zkexec.zookeeper.values import Stat

_FIRST_PART = 50
"""This many znodes are read at once at first, as long as their size is not known."""
_MOST_ASKED = 500_000
"""The paths in one request have at most this many bytes, or it has only one path."""
_MOST_ANSWERED = 1_000_000
"""If znodes are as large as those before, an answer has about this many bytes at most."""
_LEAST_SIZE = 100
"""Bytes of a znode in an answer, beside its content."""


class ZnodeReads:
    """Everything that was read on one connection; `found` is what each key means.

    A znode that does not exist is None, one that may not be read is `Unreadable.FORBIDDEN`.
    """

    def __init__(
        self, paths: Paths, bulk_read: BulkRead, known: Mapping[ReadKey, Any], *, watching: bool
    ) -> None:
        """Do not read again what is `known`; `watching` sets a watch for each key, named by it.

        `paths` are those of any group: only the chroot matters.
        """
        self.found: dict[ReadKey, Any] = {}
        self.hidden: set[str] = set()
        """The paths of the znodes that may not be read."""
        self.unwatched: set[ReadKey] = set()
        """What can change without a notice, so it has to be read again."""
        self._paths = paths
        self._bulk_read = bulk_read
        self._known = known
        self.is_watching = watching

    def fetch(self, keys: Iterable[ReadKey], *, watching: bool = True) -> Dialogue:
        """Read what is not known yet; not `watching` sets no watches in any case."""
        is_watching = watching and self.is_watching
        wanted = [key for key in dict.fromkeys(keys) if not self._is_found(key)]
        in_bulk = [key for key in wanted if _is_content(key, is_watching=is_watching)]
        if not is_watching:
            # The member of a queue node never changes.
            self.unwatched.update(key for key in wanted if key.kind is not ZnodeKind.QUEUE_NODE)
        yield from self._fetch_in_bulk(in_bulk)
        rest = set(in_bulk)
        yield from self._fetch_each([key for key in wanted if key not in rest], is_watching)
        return None

    def get(self, kind: ZnodeKind, path: str) -> Any:  # noqa: ANN401 -- what it means
        """Return what was found, None if that is nothing."""
        return self.found.get(ReadKey(kind, path))

    def names(self, path: str) -> tuple[str, ...]:
        """Return the names of the children of a znode, as far as they are known."""
        found = self.get(ZnodeKind.NAMES, path)
        return found[0] if isinstance(found, tuple) else ()

    def below(self, path: str) -> list[str]:
        """Return the paths right below a znode, as far as they are known."""
        return [f"{path}/{name}" for name in self.names(path)]

    def _is_found(self, key: ReadKey) -> bool:
        if key in self._known:
            self._keep(key, self._known[key])
        return key in self.found

    def _keep(self, key: ReadKey, found: object) -> None:
        self.found[key] = found
        if found is Unreadable.FORBIDDEN:
            self.hidden.add(key.path)

    def _fetch_in_bulk(self, keys: Sequence[ReadKey]) -> Dialogue:
        most, first = _FIRST_PART, 0
        while first < len(keys):
            part = _fitting(keys[first : first + most])
            _, outcomes = yield from self._bulk_read.at_once([key.path for key in part])
            for key in part:
                if not self._take(key, outcomes[key.path]):
                    self.found[key] = None
            size = sum(_size(outcomes[key.path]) for key in part)
            most = max(1, min(MOST_AT_ONCE, len(part) * _MOST_ANSWERED // size))
            first += len(part)
        return None

    def _fetch_each(self, wanted: Sequence[ReadKey], is_watching: bool) -> Dialogue:
        while wanted:
            absent: list[ReadKey] = []
            for first in range(0, len(wanted), MOST_AT_ONCE):
                batch = wanted[first : first + MOST_AT_ONCE]
                outcomes = yield [_request(key, key if is_watching else None) for key in batch]
                pairs = zip(batch, outcomes, strict=True)
                absent += [key for key, outcome in pairs if not self._take(key, outcome)]
            wanted = yield from self._watch_absent(absent, is_watching)
        return None

    def _watch_absent(self, absent: Sequence[ReadKey], is_watching: bool) -> Dialogue:
        """Set watches for the creation of these; return those that have been created meanwhile.

        A read of a znode that does not exist sets no watch.
        """
        self.found.update(dict.fromkeys(absent))
        if not absent or not is_watching:
            return []
        outcomes = yield [Exists(key.path, key) for key in absent]
        pairs = zip(absent, outcomes, strict=True)
        return [key for key, stat in pairs if isinstance(stat, Stat)]

    def _take(self, key: ReadKey, outcome: Any) -> bool:  # noqa: ANN401 -- as each request has it
        """Keep what was found; return False if the znode does not exist and needs a watch."""
        if isinstance(outcome, NoNodeError):
            return key.kind in COVERED
        if isinstance(outcome, NoAuthError):
            self._keep(key, Unreadable.FORBIDDEN)
        else:
            self._keep(key, understood(key, self._paths.demand(key.path, outcome)))
        return True


def _is_content(key: ReadKey, *, is_watching: bool) -> bool:
    """Whether it is read by a multi-read."""
    if key.kind in NAMES or key.kind in STATISTICS:
        return False
    return not is_watching or key.kind is ZnodeKind.QUEUE_NODE


def _request(key: ReadKey, watch: ReadKey | None) -> Request:
    if key.kind in NAMES:
        return Children(key.path, watch)
    if key.kind in STATISTICS:
        return Exists(key.path, watch)
    return Get(key.path, watch)


def _fitting(keys: Sequence[ReadKey]) -> Sequence[ReadKey]:
    """Return as many of the first of these as one request can name."""
    size = 0
    for count, key in enumerate(keys):
        size += len(key.path.encode())
        if size > _MOST_ASKED and count:
            return keys[:count]
    return keys


def _size(outcome: object) -> int:
    return _LEAST_SIZE + (len(outcome[0]) if isinstance(outcome, tuple) else 0)
