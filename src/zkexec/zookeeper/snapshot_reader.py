"""One read of all znodes, at one point of the ensemble's history.

The rules of this file:

- No change gets lost between a read and its watch: whatever changes after the read makes a watch
  fire.  `getData` reads and arms at once; after a multi-read, one request arms the missing
  watches relative to it, and those of znodes that have changed since fire at once.
- A watch that fired is told before any answer that shows what came with it or after it.  So what
  was read of a znode whose watch has not fired still holds: where few znodes are to be read anew,
  only they are waited for.  Whatever does not hold until the last answer makes all be read.
- No watch tells of a permission that was withdrawn, and some servers keep the watches quiet then.
  So all are read afterwards, and a znode that is not what it was is told as touched.
- The first read on a connection sends a `sync` ahead of everything, so that a follower that
  lags behind does not show what is old.  A sync that fails fails the read: without it nothing
  says that the contents are not older than those seen before.
- Otherwise the contents are read by one multi-read.
- On a server that refuses it, the watches are armed by `exists`, which works for a missing znode
  too, and the znodes are read twice in a row, contents first and then what `exists` tells.  Where
  nothing differs between the two, all contents stood side by side between them.  That a missing
  znode was there for a moment shows in its watch, which has fired then.
- A single znode is read like that too where `getData` does not do: it needs no multi-read.
"""

from __future__ import annotations

from kazoo.exceptions import KazooException, NoAuthError, NoNodeError
from kazoo.protocol.serialization import Exists, GetData, Sync

from zkexec.core.snapshot import Problem, Znode
from zkexec.zookeeper.link import RefusedError, in_words
from zkexec.zookeeper.multiread import Found, MultiRead
from zkexec.zookeeper.set_watches import SetWatches

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from kazoo.handlers.threading import AsyncResult

    from zkexec.zookeeper.link import Link

FEW = 8
"""So many znodes are read one by one: for more, two requests for all of them cost less."""

COLLECTS = 50
"""How often an old server is read before a read gives up on znodes that keep changing."""


class SnapshotReader:
    """One read on its way.  It calls `answer` once, with the znodes or with a reason in words."""

    def __init__(
        self,
        link: Link,
        names: Mapping[str, str],
        answer: Callable[[Mapping[str, Znode] | str], None],
    ) -> None:
        """Read the keys of `names`, which are whole paths; name them by its values."""
        self._link = link
        self._names = names
        self._paths = tuple(names)
        self._answer = answer

    def begin(self) -> None:
        """Send the first requests."""
        link = self._link
        count = len(self._paths)
        touched = [path for path in self._paths if path not in link.armed or count == 1]
        others_known = len(touched) == count or len(link.known) == count
        try:
            if not self._paths:
                self._answer({})
            elif 0 < len(touched) <= FEW and others_known and (count == 1 or not link.manner.twice):
                self._read_few(touched)
            else:
                self._read_all()
        except Exception as error:  # noqa: BLE001 - Or the read would have no answer.
            self._give_up(error)

    def fail(self, reason: str) -> None:
        """Answer with this reason, before anything was sent."""
        self._answer(reason)

    def _then(self, result: AsyncResult, go_on: Callable[[AsyncResult], None]) -> None:
        def guarded(result: AsyncResult) -> None:
            try:
                go_on(result)
            except Exception as error:  # noqa: BLE001 - As in `begin`.
                self._give_up(error)

        result.rawlink(guarded)

    def _give_up(self, error: Exception) -> None:
        # Which watches have been armed by now is not known, and twice does no harm.
        self._link.armed.clear()
        self._answer(in_words(error))

    def _read_few(self, touched: Sequence[str]) -> None:
        first = self._sync()
        self._link.armed.update(touched)
        contents = [self._link.send(GetData(path, self._link.fired)) for path in touched]

        def received(_: AsyncResult) -> None:
            self._check(first)
            found = [_found(result) for result in contents]
            failed = [path for path, what in zip(touched, found, strict=True) if what.error]
            self._link.armed.difference_update(failed)
            # The last one holds as of its answer, the others as long as their watches are armed.
            if failed or not self._link.armed.issuperset(set(self._paths) - {touched[-1]}):
                self._read_all()
            else:
                # No two of them were read at the same moment.
                as_of = {path: what.mzxid for path, what in zip(touched, found, strict=True)}
                self._link.known_as_of.update(as_of)
                self._tell(touched, found)
                if len(touched) < len(self._paths):
                    self._then(self._link.send(MultiRead(self._paths)), self._verify)

        self._then(contents[-1], received)

    def _verify(self, result: AsyncResult) -> None:
        found: Sequence[Found] = result.get_nowait()
        newest = max(what.mzxid for what in found)
        for path, what in zip(self._paths, found, strict=True):
            known = self._link.known[path]
            if (what.mzxid, _PROBLEMS.get(what.error)) == (known.mzxid, known.problem):
                self._link.known_as_of[path] = newest
            elif path in self._link.armed:
                self._link.touched(path)

    def _read_all(self) -> None:
        if self._link.manner.twice or len(self._paths) == 1:
            self._collect(COLLECTS)
        else:
            self._read_at_once()

    def _read_at_once(self) -> None:
        first = self._sync()

        def received(result: AsyncResult) -> None:
            self._check(first)
            found: Sequence[Found] = result.get_nowait()
            arming = self._arm(found)
            if arming:
                self._then(arming[-1][1], lambda _: told(found, arming))
            else:
                self._tell_all(found)

        def told(found: Sequence[Found], arming: Sequence[tuple[str, AsyncResult]]) -> None:
            self._check(arming)
            self._tell_all(found)

        self._then(self._link.send(MultiRead(self._paths)), received)

    def _arm(self, found: Sequence[Found]) -> list[tuple[str, AsyncResult]]:
        pairs = zip(self._paths, found, strict=True)
        unarmed = {path: what for path, what in pairs if path not in self._link.armed}
        there = [path for path, what in unarmed.items() if not what.error]
        missing = [path for path, what in unarmed.items() if what.error == _NO_NODE]
        arming = []
        if there or missing:
            self._link.expect([*there, *missing])
            seen = max(what.mzxid for what in found)
            arming.append(("", self._link.send(SetWatches(seen, there, missing))))
        return arming + self._look([p for p, what in unarmed.items() if what.error == _NO_AUTH])

    def _sync(self) -> list[tuple[str, AsyncResult]]:
        return [] if self._link.synced else [("", self._link.send(Sync("/")))]

    def _look(self, paths: Iterable[str]) -> list[tuple[str, AsyncResult]]:
        looks = []
        for path in paths:
            if path not in self._link.armed:
                self._link.armed.add(path)
                looks.append((path, self._link.send(Exists(path, self._link.fired))))
        return looks

    def _check(self, first: Sequence[tuple[str, AsyncResult]]) -> None:
        for path, result in first:
            try:
                result.get_nowait()
            except KazooException as error:
                self._link.armed.discard(path)
                # A server may refuse the watch of a znode that may not be read (3.9 does).
                if not (path and isinstance(error, NoAuthError)):
                    raise
        self._link.synced = True

    def _tell_all(self, found: Sequence[Found]) -> None:
        """Tell of all znodes, which were read at one moment: none is older than the newest."""
        newest = max(what.mzxid for what in found)
        self._link.known_as_of.update(dict.fromkeys(self._paths, newest))
        self._tell(self._paths, found)

    def _tell(self, paths: Sequence[str], found: Sequence[Found]) -> None:
        known = self._link.known
        for path, what in zip(paths, found, strict=True):
            known[path] = self._znode(path, what)
            if known[path].problem is Problem.FORBIDDEN:
                # Of such a znode a server may keep everything quiet, also that its watch is gone.
                self._link.armed.discard(path)
        self._answer({self._names[path]: known[path] for path in self._paths})

    def _collect(self, tries: int) -> None:
        first = [*self._sync(), *self._look(self._paths)]
        contents = [self._link.send(GetData(path, None)) for path in self._paths]
        stats = [self._link.send(Exists(path, None)) for path in self._paths]

        def received(_: AsyncResult) -> None:
            self._check(first)
            found = [_found(result) for result in contents]
            same = map(self._stood_still, self._paths, found, stats)
            # The list makes every answer be looked at: an error in any of them ends the read.
            if all(list(same)):
                self._tell_all(found)
            elif tries > 1:
                self._collect(tries - 1)
            else:
                self._answer(f"the znodes changed during each of {COLLECTS} attempts to read them")

        self._then(stats[-1], received)

    def _stood_still(self, path: str, found: Found, stat: AsyncResult) -> bool:
        try:
            second = stat.get_nowait()
        except NoAuthError:
            return found.error == _NO_AUTH
        if second is None:
            return found.error == _NO_NODE and path in self._link.armed
        if found.error == _NO_AUTH:
            return True
        mzxid: int = second.mzxid
        return found.mzxid == mzxid

    def _znode(self, path: str, found: Found) -> Znode:
        name = self._names[path]
        if found.error in _PROBLEMS:
            return Znode(name, problem=_PROBLEMS[found.error])
        if found.error:
            raise RefusedError(f"the server answered error {found.error} for {path}")
        return Znode(
            name, found.content, found.mzxid, version=found.version, mtime=found.mtime / 1000
        )


def _found(result: AsyncResult) -> Found:
    try:
        content, stat = result.get_nowait()
    except (NoNodeError, NoAuthError) as error:
        return Found(error=error.code)
    return Found(content or b"", stat.mzxid, stat.version, stat.mtime)


_NO_NODE: int = NoNodeError.code
_NO_AUTH: int = NoAuthError.code
_PROBLEMS = {_NO_NODE: Problem.MISSING, _NO_AUTH: Problem.FORBIDDEN}
