"""One read of all mirrored znodes, at one point of the ensemble's history.

The rules of this file:

- A watch is armed by `exists`, which works for a missing znode too, and it is sent before the
  read on the same connection: whatever changes after the read makes a watch fire.
- The first read on a connection sends a `sync` ahead of everything, so that a follower that
  lags behind does not show what is old.  A sync that fails fails the read: without it nothing
  says that the contents are not older than those seen before.
- The contents are read by one multi-read.
- On a server that refuses it, the znodes are read twice in a row, contents first and then what
  `exists` tells.  Where nothing differs between the two, all contents stood side by side
  between them.  That a missing znode was there for a moment shows in its watch, which has
  fired then.
"""

from __future__ import annotations

from kazoo.exceptions import KazooException, NoAuthError, NoNodeError
from kazoo.protocol.serialization import Exists, GetData, Sync

from zkexec.core.snapshot import Problem, Znode
from zkexec.shell.link import RefusedError, in_words
from zkexec.shell.multiread import Found, MultiRead

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from kazoo.handlers.threading import AsyncResult

    from zkexec.shell.link import Link

COLLECTS = 50
"""How often an old server is read before a read gives up on znodes that keep changing."""


class Reading:
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
        try:
            if not self._paths:
                self._answer({})
            elif self._link.manner.twice:
                self._collect(COLLECTS)
            else:
                self._read_at_once()
        except Exception as error:  # noqa: BLE001 - Or the read would have no answer.
            self._answer(in_words(error))

    def fail(self, reason: str) -> None:
        """Answer with this reason, before anything was sent."""
        self._answer(reason)

    def _then(self, result: AsyncResult, go_on: Callable[[AsyncResult], None]) -> None:
        def guarded(result: AsyncResult) -> None:
            try:
                go_on(result)
            except Exception as error:  # noqa: BLE001 - As in `begin`.
                self._answer(in_words(error))

        result.rawlink(guarded)

    def _read_at_once(self) -> None:
        first = self._prepare()

        def received(result: AsyncResult) -> None:
            found: Sequence[Found] = result.get_nowait()
            self._check(first)
            pairs = zip(self._paths, found, strict=True)
            self._answer({self._names[path]: self._znode(path, what) for path, what in pairs})

        self._then(self._link.send(MultiRead(self._paths)), received)

    def _prepare(self) -> list[tuple[str, AsyncResult]]:
        first = [] if self._link.synced else [("", self._link.send(Sync("/")))]
        for path in self._paths:
            if path not in self._link.armed:
                self._link.armed.add(path)
                first.append((path, self._link.send(Exists(path, self._link.fired))))
        return first

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

    def _collect(self, tries: int) -> None:
        first = self._prepare()
        contents = [self._link.send(GetData(path, None)) for path in self._paths]
        stats = [self._link.send(Exists(path, None)) for path in self._paths]

        def received(_: AsyncResult) -> None:
            self._check(first)
            found = [_found(result) for result in contents]
            same = map(self._stood_still, self._paths, found, stats)
            # The list makes every answer be looked at: an error in any of them ends the read.
            if all(list(same)):
                pairs = zip(self._paths, found, strict=True)
                self._answer({self._names[path]: self._znode(path, what) for path, what in pairs})
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
