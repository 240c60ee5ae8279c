"""One consistent read of many znodes, on one connection: all as they were at one moment.

No change gets lost between a read and its watch.  `Get` reads and sets a watch at once; after a
multi-read, one request sets the missing watches relative to it, and those of znodes that have
changed since fire at once.  A watch that fired is reported before any answer that shows what came
with it or after it, so what was read of a znode whose watch has not fired still holds.  No watch
reports that a permission was withdrawn, and some servers keep the watches quiet then; so all are
read afterwards, and a znode that is not what it was counts as changed.
"""

from __future__ import annotations

from zkexec.zookeeper.errors import NoAuthError, NoNodeError, RefusedError, ZooKeeperError
from zkexec.zookeeper.requests import Exists, Get, MultiRead, SetWatches

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Sequence
    from typing import Any, TypeAlias

    from zkexec.zookeeper.requests import Dialogue, Request
    from zkexec.zookeeper.values import Stat

    Found: TypeAlias = tuple[bytes, Stat] | NoNodeError | NoAuthError
    """What a znode contains, that it does not exist, or that it may not be read."""

FEW = 8
"""This many znodes are read one by one: for more, two requests for all of them cost less."""

COLLECTS = 50
"""How often a read on an old server is tried before it gives up on znodes that keep changing."""


class SnapshotReader:
    """The znodes that are read again and again on one connection, and what is known of them."""

    def __init__(
        self,
        paths: Sequence[str],
        watch: Hashable,
        lacks_multi_read: Callable[[], bool],
    ) -> None:
        """Read these whole paths; `watch` is what their watches are set with.

        `lacks_multi_read` is asked at each read whether the servers are older than 3.6.
        """
        self._paths = tuple(paths)
        self._watch = watch
        self._lacks_multi_read = lacks_multi_read
        self._known: dict[str, Found] = {}
        """What was last read; it holds for those whose watches are set."""
        self._watched: set[str] = set()
        self.has_to_verify = False
        """Whether `verify` has to follow the last read."""

    def fired(self, path: str) -> None:
        """Take note that the watch of a znode has fired."""
        self._watched.discard(path)

    def read(self) -> Dialogue:
        """Set the missing watches and read all znodes → what was found, by path."""
        yield from self._doubting(self._read())
        return {path: self._known[path] for path in self._paths}

    def verify(self) -> Dialogue:
        """Read all znodes again → the paths of those that have changed although no watch fired."""
        return (yield from self._doubting(self._verify()))

    def _doubting(self, dialogue: Dialogue) -> Dialogue:
        """Forget all watches if an error leaves open which ones are set; twice does no harm."""
        try:
            return (yield from dialogue)
        except BaseException:
            self._watched.clear()
            raise

    def _verify(self) -> Dialogue:
        (outcomes,) = yield [MultiRead(self._paths)]
        found = self._demand_all(self._paths, _not_failed(outcomes))
        changed = []
        for path, what in zip(self._paths, found, strict=True):
            if _mark(what) != _mark(self._known[path]) and path in self._watched:
                self._watched.discard(path)
                changed.append(path)
        return changed

    def _read(self) -> Dialogue:
        self.has_to_verify = False
        count = len(self._paths)
        touched = [path for path in self._paths if path not in self._watched or count == 1]
        others_known = len(touched) == count or len(self._known) == count
        in_two_looks = count == 1 or self._lacks_multi_read()
        is_read = False
        if 0 < len(touched) <= FEW and others_known and (count == 1 or not in_two_looks):
            is_read = yield from self._read_few(touched)
        if not is_read and self._paths:
            yield from (self._collect() if in_two_looks else self._read_at_once())

    def _read_few(self, touched: Sequence[str]) -> Dialogue:
        """Read the znodes whose watches are missing; return whether that was enough."""
        self._watched.update(touched)
        outcomes = yield [Get(path, self._watch) for path in touched]
        found = self._demand_all(touched, outcomes)
        failed = [p for p, what in zip(touched, found, strict=True) if not isinstance(what, tuple)]
        self._watched.difference_update(failed)
        # The last one holds as of its answer, the others as long as their watches are set.
        if failed or not self._watched.issuperset(set(self._paths) - {touched[-1]}):
            return False
        self._learn(touched, found)
        self.has_to_verify = len(touched) < len(self._paths)
        return True

    def _read_at_once(self) -> Dialogue:
        (outcomes,) = yield [MultiRead(self._paths)]
        found = self._demand_all(self._paths, _not_failed(outcomes))
        pairs = zip(self._paths, found, strict=True)
        unwatched = {path: what for path, what in pairs if path not in self._watched}
        existing = [path for path, what in unwatched.items() if isinstance(what, tuple)]
        missing = [path for path, what in unwatched.items() if isinstance(what, NoNodeError)]
        requests: list[Request] = []
        if existing or missing:
            self._watched.update((*existing, *missing))
            newest = max(_mzxid(what) for what in found)
            requests.append(SetWatches(newest, existing, missing, (), self._watch))
        requests += self._watch_for([p for p, w in unwatched.items() if isinstance(w, NoAuthError)])
        if requests:
            self._check(requests, (yield requests))
        self._learn(self._paths, found)

    def _collect(self) -> Dialogue:
        """Read all znodes twice in a row, contents first and then what `Exists` answers.

        If nothing differs between the two, all contents were there at one moment between them.
        That a missing znode was there for a moment shows in its watch, which has fired then.
        """
        for _ in range(COLLECTS):
            watching = self._watch_for(self._paths)
            contents = [Get(path) for path in self._paths]
            outcomes = yield [*watching, *contents, *[Exists(path) for path in self._paths]]
            watched, rest = outcomes[: len(watching)], outcomes[len(watching) :]
            self._check(watching, watched)
            found = self._demand_all(self._paths, rest[: len(contents)])
            # The list makes every outcome be examined: an error in any of them ends the read.
            same = list(map(self._stayed, self._paths, found, rest[len(contents) :]))
            if all(same):
                self._learn(self._paths, found)
                return
        raise RefusedError(f"the znodes changed during each of {COLLECTS} attempts to read them")

    def _watch_for(self, paths: Iterable[str]) -> list[Request]:
        """Make the requests that set a watch on each znode without one, there or not."""
        unwatched = [path for path in paths if path not in self._watched]
        self._watched.update(unwatched)
        return [Exists(path, self._watch) for path in unwatched]

    def _check(self, requests: Sequence[Request], outcomes: Sequence[object]) -> None:
        for request, outcome in zip(requests, outcomes, strict=True):
            if isinstance(outcome, Exception):
                if not isinstance(request, Exists):
                    raise outcome
                self._watched.discard(request.path)
                # A server may refuse the watch of a znode that may not be read (3.9 does).
                if not isinstance(outcome, NoAuthError):
                    raise outcome

    def _learn(self, paths: Sequence[str], found: Sequence[Found]) -> None:
        for path, what in zip(paths, found, strict=True):
            self._known[path] = what
            if isinstance(what, NoAuthError):
                # Of such a znode a server may keep everything quiet, also that its watch is gone.
                self._watched.discard(path)

    def _stayed(self, path: str, found: Found, second: Stat | ZooKeeperError | None) -> bool:
        if isinstance(second, NoAuthError):
            return isinstance(found, NoAuthError)
        if isinstance(second, ZooKeeperError):
            raise second
        if second is None:
            return isinstance(found, NoNodeError) and path in self._watched
        return isinstance(found, NoAuthError) or _mzxid(found) == second.mzxid

    def _demand_all(self, paths: Sequence[str], outcomes: Sequence[Any]) -> list[Found]:
        for path, outcome in zip(paths, outcomes, strict=True):
            if isinstance(outcome, Exception) and not isinstance(
                outcome, NoNodeError | NoAuthError
            ):
                raise RefusedError(f"{path}: {outcome}") from outcome
        return list(outcomes)


def _not_failed(outcome: Any) -> Sequence[Any]:  # noqa: ANN401 -- the outcome of a multi-read
    if isinstance(outcome, Exception):
        raise outcome
    found: Sequence[Any] = outcome
    return found


def _mzxid(found: Found) -> int:
    return found[1].mzxid if isinstance(found, tuple) else 0


def _mark(found: Found) -> tuple[int, type]:
    """Give what differs if a znode has changed."""
    return _mzxid(found), type(found)
