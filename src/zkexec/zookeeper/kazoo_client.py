"""kazoo's client, with what has to be known of it and kazoo keeps to itself."""

from __future__ import annotations

from contextlib import suppress

from kazoo.client import KazooClient

from zkexec.zookeeper.connecting import shortage_in_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kazoo.handlers.threading import AsyncResult
    from kazoo.protocol.states import WatchedEvent

    from zkexec.zookeeper.connecting import KazooLog, Sockets

_RETRY = {"max_tries": -1, "delay": 0.1, "backoff": 2, "max_jitter": 0.4}


class WatchedKazooClient(KazooClient):  # type: ignore[misc]
    """One client of kazoo; nothing runs before `start_async()`."""

    def __init__(
        self,
        servers: Sequence[tuple[str, int]],
        sockets: Sockets,
        log: KazooLog,
        *,
        longest_pause_s: float,
        **options: object,
    ) -> None:
        """Be a client of these servers; the options are kazoo's.

        Between two rounds of connecting it pauses, each time for longer, up to `longest_pause_s`.
        """
        self.granted_s = 0.0
        """The session timeout that the servers have granted."""
        self._servers = servers
        self.named = ",".join(f"{host}:{port}" for host, port in servers)
        """All servers, for a person."""
        super().__init__(
            handler=sockets,
            connection_retry=_RETRY | {"max_delay": longest_pause_s},
            command_retry={"max_tries": 0},
            logger=log,
            **options,
        )
        self._remember_what_is_granted()
        self._count_each_round(sockets)

    def set_hosts(self, *_: object) -> None:
        """Take the servers as they are; kazoo would import a parser of URLs to find them in a text.

        As bytes their names are resolved without Python's tables for all names of this world.
        """
        self.hosts = [(h.encode() if h.isascii() else h, port) for h, port in self._servers]
        self.chroot = ""

    def _remember_what_is_granted(self) -> None:
        """Take the session timeout from the handshake: kazoo keeps it nowhere."""
        invoke = self._connection._invoke  # noqa: SLF001 - See above.

        def remembering(*arguments: object, **options: object) -> object:
            answer = invoke(*arguments, **options)
            # What adds an identity is answered by no more than a number.
            if isinstance(answer, tuple):
                self.granted_s = answer[0].time_out / 1000
            return answer

        self._connection._invoke = remembering  # noqa: SLF001 - See above.

    def _count_each_round(self, sockets: Sockets) -> None:
        """Have it known how many addresses a round of connecting has: only kazoo resolves them."""
        expand = self._connection._expand_client_hosts  # noqa: SLF001 - See above.

        def counting() -> Sequence[object]:
            addresses: Sequence[object] = ()
            try:
                addresses = expand()
            except OSError as error:
                # Not the name is to blame: there was no descriptor to ask for it.
                sockets.cannot_resolve(f"{self.named}: {shortage_in_words(error)}")
            sockets.round_begins(len(addresses))
            return addresses

        self._connection._expand_client_hosts = counting  # noqa: SLF001 - See above.

    def put(self, request: object, result: AsyncResult) -> None:
        """Have a request sent once `wake()` is called, on whatever connection there is then."""
        self._queue.append((request, result))

    def expect(
        self,
        znodes: Sequence[str],
        parents: Sequence[str],
        watcher: Callable[[WatchedEvent], None],
    ) -> None:
        """Call the watcher when the watches fire that a request of ours sets, unknown to kazoo."""
        for path in znodes:
            self._data_watchers[path].add(watcher)
        for path in parents:
            self._child_watchers[path].add(watcher)

    def wake(self) -> None:
        """Wake the thread that sends."""
        # The pipe is gone only where the client is.
        with suppress(OSError, AttributeError):
            self._connection._write_sock.send(b"\0")  # noqa: SLF001 - kazoo's own way, too.

    def stop_by_itself(self) -> None:
        """Have the client's threads end by themselves, without waiting for that."""
        self._stopped.set()
        self.wake()
        self.handler.leave()

    def let_go(self) -> None:
        """Fail what was to be sent, which kazoo would send on the next connection."""
        self._notify_pending(self._state)
