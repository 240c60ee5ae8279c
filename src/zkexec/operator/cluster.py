"""The cluster as a person's command sees it: questions with answers, and watches.

The rules of this file:

- A question makes a dialogue, see `zookeeper.requests`.  It runs on a thread of the client and is
  asked anew on the next connection if one is lost on the way.  So a question that writes has to
  find out first whether it has been here before: it leaves a token in what it writes.
- An OperatorError that it raises is raised here; a server's refusal becomes one.
- A connection that is lost takes all watches with it, and `touched` tells so.
- What fails is told once while it lasts, and that it is over.
- A session that stays without a connection until it has expired is replaced by a new one: an
  ensemble that was wiped or restored refuses the old one for ever.
"""

import math
import queue
import time
from collections.abc import Callable
from typing import Any, Self

from zkexec.cluster_access import client_settings
from zkexec.frozen import frozen
from zkexec.operator.call import Connection
from zkexec.operator.console import Console, clean
from zkexec.operator.outcome import CANNOT_WORK, OperatorError
from zkexec.zookeeper.client import Client
from zkexec.zookeeper.errors import ConnectionEndError, RefusedError, ZooKeeperError
from zkexec.zookeeper.events import (
    Answered,
    AttemptFailed,
    Connected,
    Expired,
    Failed,
    Fired,
    Lost,
    Stopped,
)
from zkexec.zookeeper.requests import Dialogue

LOST = object()
"""Stands among what was touched where the connection was lost, and with it all watches."""

STALE = object()
"""Stands among what was touched where a server may have dropped a watch since, without a word."""

SESSION_TIMEOUT_S = 10.0
STALE_S = 60.0
_RENEW_S = 1.0
_RENEW_LOST_S = SESSION_TIMEOUT_S
# A signal that comes right before a wait begins is heard only after it.
_UNHEARD_S = 1.0
_FAREWELL_S = 1.0
_HASTY_FAREWELL_S = 0.1

Question = Callable[[], Dialogue]
"""Makes the dialogue that answers it, anew for each connection."""


@frozen()
class _Touched:
    key: object


class Cluster:
    """One session with the ensemble, for as long as the `with` block lasts."""

    def __init__(self, connection: Connection, tell: Callable[[str], None]) -> None:
        """`tell` takes a line on a connection that fails, or is there again."""
        self.chroot = connection.chroot
        self._connection = connection
        self._tell = tell
        self.stale_s = STALE_S
        """How often what is watched counts as touched, even if no watch has fired."""
        self._stale_at = math.inf
        self._inbox: queue.SimpleQueue[object] = queue.SimpleQueue()
        settings = client_settings(connection.servers, connection.access, SESSION_TIMEOUT_S)
        self._client = Client(settings, self._inbox.put)
        self.connection = 0
        """The number of the present connection, or of the last one."""
        self._connected = False
        self._was_connected = False
        self._renew_at = math.inf
        self._trouble = ""
        self._is_told = False
        self._touched: set[object] = set()
        self._number = 0
        self._answer: Answered | Failed | None = None

    def __enter__(self) -> Self:
        self._client.open()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # Whoever presses Ctrl-C does not want to wait for a server that may be frozen.
        hasty = kind is not None and not issubclass(kind, Exception)
        self._client.close(_HASTY_FAREWELL_S if hasty else _FAREWELL_S)

    def ask(self, question: Question, patience_s: float | None = None) -> Any:  # noqa: ANN401
        """Ask until there is an answer, and return it.

        OperatorError where the server refuses, and where there is no answer within `patience_s`
        (where it is None: the time for connecting that the operator has given).
        """
        patience_s = self._connection.connect_timeout_s if patience_s is None else patience_s
        give_up_at = time.monotonic() + patience_s
        while True:
            if not self._await(lambda: self._connected, give_up_at):
                break
            self._send(question)
            if not self._await(self._is_over, give_up_at):
                break
            answer = self._answer
            if answer is not None and not _is_cut_off(answer):
                self._trouble = ""
                return _opened(answer)
        raise OperatorError(f"--cluster: {self._why_not(patience_s)}", CANNOT_WORK)

    def touch(self, key: object) -> None:
        """Let `touched` have this key; may be called from any thread and from a signal."""
        self._inbox.put(_Touched(key))

    def touched(self, timeout_s: float = math.inf) -> set[object]:
        """Wait until something is touched, and return what was since the last time.

        The set is empty where nothing was within the time.
        """
        now = time.monotonic()
        self._stale_at = min(self._stale_at, now + self.stale_s)
        while not self._touched and self._take(min(now + timeout_s, self._stale_at)):
            pass
        while self._take(-math.inf):
            pass
        if time.monotonic() >= self._stale_at:
            self._touched.add(STALE)
            self._stale_at = math.inf
        touched, self._touched = self._touched, set()
        return touched

    def _send(self, question: Question) -> None:
        self._answer = None
        self._number += 1
        self._client.start(question(), self._number, self.connection)

    def _is_over(self) -> bool:
        return self._answer is not None or not self._connected

    def _await(self, condition: Callable[[], bool], give_up_at: float) -> bool:
        """Take news in until the condition holds; return whether it did in time."""
        while not condition():
            if not self._take(give_up_at):
                return False
        return True

    def _why_not(self, patience_s: float) -> str:
        within = f"{self._connection.hosts_text} within {patience_s:g} s"
        if self._connected:
            return f"no answer from {within}"
        return f"cannot connect to {within}: {self._trouble or 'no answer so far'}"

    def _take(self, until: float) -> bool:
        """Take one piece of news in, waiting for it; return whether there was one in time."""
        while True:
            wait_s = min(until, self._renew_at) - time.monotonic()
            try:
                news = self._inbox.get(wait_s > 0, min(max(wait_s, 0), _UNHEARD_S))
            except queue.Empty:
                now = time.monotonic()
                if now >= self._renew_at:
                    self._renew_at = now + _RENEW_LOST_S
                    self._client.open()
                elif now >= until:
                    return False
            else:
                self._note(news)
                return True

    def _note(self, news: object) -> None:
        match news:
            case Answered(number) | Failed(number):
                if number == self._number:
                    self._answer = news
            case _Touched(key) | Fired(key):
                self._touched.add(key)
            case Connected(connection):
                self._on_connected(connection)
            case AttemptFailed(reason):
                self._fails(reason)
            case Lost(reason) | Expired(reason):
                self._on_disconnected(reason, _RENEW_LOST_S)
            case Stopped(reason):
                self._on_disconnected(reason, _RENEW_S)

    def _on_connected(self, connection: int) -> None:
        self._connected = True
        self.connection = connection
        self._renew_at = math.inf
        if self._is_told:
            self._is_told = False
            self._tell("connected again" if self._was_connected else "connected")
        self._was_connected = True

    def _on_disconnected(self, reason: str, patience_s: float) -> None:
        if self._connected:
            self._connected = False
            self._touched.add(LOST)
            self._answer = None
        self._trouble = reason
        self._renew_at = min(self._renew_at, time.monotonic() + patience_s)

    def _fails(self, reason: str) -> None:
        self._trouble = reason
        if not self._is_told:
            self._is_told = True
            self._tell(f"cannot connect to {reason}; trying on")


def opened(connection: Connection, console: Console) -> Cluster:
    """The cluster, whose troubles are told on the console."""
    return Cluster(connection, lambda line: console.err(f"zkexecctl: {clean(line)}"))


def _is_cut_off(answer: Answered | Failed) -> bool:
    """Whether a question has to be asked anew: its connection was lost on the way."""
    return isinstance(answer, Failed) and isinstance(answer.error, ConnectionEndError)


def _opened(answer: Answered | Failed) -> Any:  # noqa: ANN401 -- it is whatever the dialogue returned
    if isinstance(answer, Answered):
        return answer.answer
    if isinstance(answer.error, RefusedError | ZooKeeperError):
        raise OperatorError(str(answer.error), CANNOT_WORK) from None
    raise answer.error
