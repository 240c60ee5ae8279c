"""A ZooKeeper client that runs dialogues and reports events; one session at a time.

`Client.start` runs a dialogue on the present connection and on no other; its end is reported as
`Answered` or `Failed`.  The listener is called on threads of the client, one call at a time (a
dialogue that cannot start fails on the caller's own thread); it must not block and not raise.  It
may start dialogues.  Nothing is reported of a session after `open()` has replaced it.
"""

from __future__ import annotations

from zkexec.zookeeper import kazoo_import  # noqa: F401 - Before anything else imports kazoo.
from zkexec.zookeeper.client_events import Failed
from zkexec.zookeeper.client_settings import ClientSettings
from zkexec.zookeeper.dialogue import MultiReadSupport
from zkexec.zookeeper.errors import ConnectionLostError
from zkexec.zookeeper.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from zkexec.zookeeper.client_events import ClientEvent
    from zkexec.zookeeper.requests import Dialogue

_FAREWELL_S = 1.0


class Client:
    """The servers, and at most one session with them at a time."""

    def __init__(
        self,
        settings: ClientSettings,
        listener: Callable[[ClientEvent], None],
        log: Callable[[str], None] | None = None,
    ) -> None:
        """Connect to nothing yet.  `log` receives the lines of the client library."""
        self._settings = settings
        self._listener = listener
        self._log = log
        self._multi_read = MultiReadSupport(settings.tried_path)
        self._connections = 0
        self._session: Session | None = None

    @property
    def lacks_multi_read(self) -> bool:
        """Whether the servers are known to refuse a multi-read: they are older than 3.6."""
        return self._multi_read.is_missing

    def open(self) -> None:
        """Begin to connect with a new session; an earlier one ends and is not reported any more."""
        if self._session is not None:
            self._session.end(_FAREWELL_S, waiting=False)
        self._session = Session(
            self._settings, self._listener, self._log, self._multi_read, self._next_connection
        )
        self._session.start()

    def start(self, dialogue: Dialogue, key: Hashable, connection: int = 0) -> None:
        """Run a dialogue → `Answered` or `Failed` with this key, just one; returns at once.

        It fails if the present connection is not the one of this number; 0 means any.  It is
        not reported after `open()` or `close()`.
        """
        if self._session is None:
            dialogue.close()
            self._listener(Failed(key, ConnectionLostError(reason="there is no session")))
        else:
            self._session.run(dialogue, key, connection)

    def rearm(self) -> None:
        """Set all watches again: those of znodes that have changed since fire at once.

        If a server refuses that, all of them are reported as fired.
        """
        if self._session is not None:
            self._session.rearm()

    def close(self, timeout_s: float) -> None:
        """End the session, waiting for that at most `timeout_s`, and not at all if unconnected.

        Nothing is reported any more.  Never raises.
        """
        session, self._session = self._session, None
        if session is not None:
            session.end(timeout_s, waiting=True)

    def _next_connection(self) -> int:
        self._connections += 1
        return self._connections
