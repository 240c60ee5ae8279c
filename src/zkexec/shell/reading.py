"""One read of all mirrored znodes, at one point of the ensemble's history.

The rules of this file:

- A watch is armed by `exists`, which works for a missing znode too, and it is sent before the
  read on the same connection: whatever changes after the read makes a watch fire.
- The first read on a connection sends a `sync` ahead of everything, so that a follower that
  lags behind does not show what is old.  A sync that fails fails the read: without it nothing
  says that the contents are not older than those seen before.
- The contents are read by one multi-read.  A server before 3.6 refuses it and hangs up, and it
  does so out of turn, which kazoo does not survive with other requests on their way.  So each
  connection is first asked with a multi-read that travels alone.
- On a server that refuses, the znodes are read twice in a row, contents first and then what
  `exists` tells.  Where nothing differs between the two, all contents stood side by side
  between them.  That a missing znode was there for a moment shows in its watch, which has
  fired then.
- Requests are sent from the client's own completion thread, because kazoo's wake-up pipe can
  make the sender wait.
"""

from collections.abc import Callable, Mapping, Sequence

from kazoo.client import KazooClient
from kazoo.exceptions import KazooException, NoAuthError, NoNodeError, UnimplementedError
from kazoo.handlers.threading import AsyncResult
from kazoo.protocol.serialization import Exists, GetData, Sync
from kazoo.protocol.states import EventType, WatchedEvent

from zkexec.core.snapshot import Problem, Znode
from zkexec.shell.multiread import Found, MultiRead

COLLECTS = 50
"""How often an old server is read before a read gives up on znodes that keep changing."""


class Manner:
    """How the znodes of this ensemble are read; outlives connections and sessions."""

    def __init__(self) -> None:
        """Expect the multi-read to be known."""
        self.twice = False


class Link:
    """What is known of one connection; a new one knows nothing."""

    def __init__(self, manner: Manner, touched: Callable[[str], None]) -> None:
        """Start with every watch gone; `touched` gets the path of each watch that fires."""
        self.manner = manner
        self.armed: set[str] = set()
        self.synced = False
        self.reads_at_once = False
        self._touched = touched

    def fired(self, event: WatchedEvent) -> None:
        """Take the event of a watch.  One without a path only tells that the watch is gone."""
        if event.type != EventType.NONE:
            self.armed.discard(event.path)
            self._touched(event.path)


class Reading:
    """One read on its way.  It calls `answer` once, with the znodes or with a reason in words."""

    def __init__(
        self,
        client: KazooClient,
        link: Link,
        names: Mapping[str, str],
        answer: Callable[[Mapping[str, Znode] | str], None],
    ) -> None:
        """Read the keys of `names`, which are whole paths; name them by its values."""
        self._client = client
        self._link = link
        self._names = names
        self._paths = tuple(names)
        self._answer = answer

    def begin(self) -> None:
        """Send the first requests, from the client's completion thread."""
        try:
            if not self._paths:
                self._answer({})
            elif self._link.manner.twice:
                self._collect(COLLECTS)
            elif self._link.reads_at_once:
                self._read_at_once()
            else:
                self._then(self._send(MultiRead(self._paths[:1])), self._probed)
        except Exception as error:  # noqa: BLE001 - Or the read would have no answer.
            self._answer(in_words(error))

    def _send(self, request: object) -> AsyncResult:
        result = self._client.handler.async_result()
        # There is no public way to send a request that kazoo has no method for.
        self._client._call(request, result)  # noqa: SLF001
        return result

    def _then(self, result: AsyncResult, go_on: Callable[[AsyncResult], None]) -> None:
        def guarded(result: AsyncResult) -> None:
            try:
                go_on(result)
            except Exception as error:  # noqa: BLE001 - As in `begin`.
                self._answer(in_words(error))

        result.rawlink(guarded)

    def _probed(self, result: AsyncResult) -> None:
        try:
            result.get_nowait()
        except UnimplementedError:
            self._link.manner.twice = True
            raise
        self._link.reads_at_once = True
        self._read_at_once()

    def _read_at_once(self) -> None:
        first = self._prepare()

        def received(result: AsyncResult) -> None:
            found: Sequence[Found] = result.get_nowait()
            self._check(first)
            pairs = zip(self._paths, found, strict=True)
            self._answer({self._names[path]: self._znode(path, what) for path, what in pairs})

        self._then(self._send(MultiRead(self._paths)), received)

    def _prepare(self) -> list[tuple[str, AsyncResult]]:
        first = [] if self._link.synced else [("", self._send(Sync("/")))]
        for path in self._paths:
            if path not in self._link.armed:
                self._link.armed.add(path)
                first.append((path, self._send(Exists(path, self._link.fired))))
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
        contents = [self._send(GetData(path, None)) for path in self._paths]
        stats = [self._send(Exists(path, None)) for path in self._paths]

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
        return Znode(name, found.content, found.mzxid)


def _found(result: AsyncResult) -> Found:
    try:
        content, stat = result.get_nowait()
    except (NoNodeError, NoAuthError) as error:
        return Found(error=error.code)
    return Found(content or b"", stat.mzxid)


class RefusedError(Exception):
    """The server has no content for one of the znodes, and none of the usual reasons."""


def in_words(error: Exception) -> str:
    """The reason for a failed read, for a person."""
    if isinstance(error, RefusedError):
        return str(error)
    name = type(error).__name__
    if name in _IN_WORDS:
        return _IN_WORDS[name]
    return f"{name}: {error}" if str(error) else name


_NO_NODE: int = NoNodeError.code
_NO_AUTH: int = NoAuthError.code
_PROBLEMS = {_NO_NODE: Problem.MISSING, _NO_AUTH: Problem.FORBIDDEN}

_IN_WORDS = {
    "ConnectionLoss": "the connection was lost",
    "ConnectionClosedError": "the client is closed",
    "SessionExpiredError": "the session has expired",
    "UnimplementedError": "this server, older than 3.6, cannot read znodes at once",
}
