"""A load balancer without health checks: it believes what is in the traffic file of each member.

A request keeps a shared lock on the traffic file of its member until it is answered.  So a process
that writes `out` into the file, and then gets the exclusive lock, knows that no request is running.
"""

import fcntl
import http.client
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

from zkexec.devserver.server import LOOPBACK

_TIMEOUT_S = 30.0
_CLIENTS = 3


@dataclass(frozen=True)
class Backend:
    """A member as the load balancer knows it; the traffic file contains `in` or `out`."""

    name: str
    port: int
    traffic: Path


class LoadBalancer:
    """Sends requests to the members that are in traffic, in turn, until it is closed."""

    def __init__(self, backends: Sequence[Backend]) -> None:
        """Begin at once, with several requests at a time."""
        self.answers: Counter[tuple[str, str]] = Counter()
        """How often a member has given an answer, by its name and the answer."""
        self.failures: list[str] = []
        """Each request that failed: the member, and how."""
        self._count = len(backends)
        self._next = cycle(backends)
        self._lock = threading.Lock()
        self._is_over = threading.Event()
        self._clients = [threading.Thread(target=self._send_all) for _ in range(_CLIENTS)]
        for client in self._clients:
            client.start()

    def answered(self) -> int:
        """Count the requests that have been answered so far."""
        with self._lock:
            return self.answers.total()

    def answered_by(self, backends: Sequence[Backend], answer: str) -> bool:
        """Whether each of these members has given this answer."""
        return all(self.answers[one.name, answer] for one in backends)

    def close(self) -> None:
        """Send no more requests."""
        self._is_over.set()
        for client in self._clients:
            client.join()

    def _send_all(self) -> None:
        while not self._is_over.is_set():
            if not any(self._try(self._choose()) for _ in range(self._count)):
                self._fail("no member is in traffic")

    def _choose(self) -> Backend:
        with self._lock:
            return next(self._next)

    def _try(self, backend: Backend) -> bool:
        """Send a request to the member if it is in traffic; return whether it is."""
        with backend.traffic.open() as traffic:
            fcntl.flock(traffic, fcntl.LOCK_SH)
            if traffic.read().strip() != "in":
                return False
            self._send(backend)
        return True

    def _send(self, backend: Backend) -> None:
        connection = http.client.HTTPConnection(LOOPBACK, backend.port, timeout=_TIMEOUT_S)
        try:
            connection.request("GET", "/")
            answer = connection.getresponse()
            text = answer.read().decode().strip()
        except (OSError, http.client.HTTPException) as error:
            self._fail(f"{backend.name}: {error!r}")
            return
        finally:
            connection.close()
        if answer.status != http.client.OK:
            self._fail(f"{backend.name}: status {answer.status}")
            return
        with self._lock:
            self.answers[backend.name, text] += 1

    def _fail(self, how: str) -> None:
        with self._lock:
            self.failures.append(how)
