"""Connecting: rounds of attempts, one server after the other, with pauses between the rounds.

The names of the servers are looked up anew for each round.  A server that is slow or mute costs no
more than `attempt_limit_s`, and so does a name.
"""

from __future__ import annotations

from errno import ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, ETIMEDOUT
from select import POLLIN, POLLOUT

from zkexec.zookeeper.server_rotation import BackOff, ServerRotation, attempt_limit_s

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from zkexec.zookeeper.client_settings import ClientSettings
    from zkexec.zookeeper.connection import ServerConnection
    from zkexec.zookeeper.name_lookup import NameLookup
    from zkexec.zookeeper.network import Network
    from zkexec.zookeeper.server_rotation import ServerAddress

_FIRST_PAUSE_S = 0.1
_LONGEST_AFTER_DROP_S = 5.0
_LASTING_S = 5.0

_NOT_ACCEPTED = (ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, ETIMEDOUT)
"""The errors of an attempt that has reached no server; with another, a server has dropped it."""

_SHORTAGES = (OSError, MemoryError, RuntimeError)
"""What is raised if this host has no descriptor, memory or thread to spare."""


class Connector:
    """Finds a server that can be connected to, again and again.

    `report` receives why an attempt failed, and whether no server is left in this round.
    """

    def __init__(
        self, settings: ClientSettings, network: Network, report: Callable[[str, bool], None]
    ) -> None:
        self._settings = settings
        self._network = network
        self._report = report
        self._limit_s = attempt_limit_s(settings.session_timeout_s)
        self._back_off = BackOff(_FIRST_PAUSE_S, network.chance)
        self._resume_at: float | None = None
        """When the next round begins, while there is none."""
        self._lookup: NameLookup | None = None
        """A lookup that no round has used whole: one that takes long serves the next as well."""
        self._lookup_ends_at: float | None = None
        """Until when this round waits for it."""
        self._rotation: ServerRotation | None = None
        self._attempt: ServerConnection | None = None
        self._is_dropped = False
        """Whether a server of this round has accepted a connection and dropped it."""
        self._connected_at = 0.0
        self._lost: ServerAddress | None = None
        """The server whose connection was lost last."""

    def start(self, now: float) -> None:
        """Begin a round at once."""
        self.stop()
        self._resume_at = now

    def stop(self) -> None:
        """End the round."""
        if self._attempt is not None:
            self._attempt.close()
        self._attempt = self._rotation = self._resume_at = self._lookup_ends_at = None

    def close(self) -> None:
        """End the round and leave nothing open."""
        self.stop()
        self._close_lookup()

    @property
    def deadline(self) -> float | None:
        """When `advance` has to be called at the latest; None if there is nothing to do."""
        if self._resume_at is not None:
            return self._resume_at
        if self._lookup_ends_at is not None:
            return self._lookup_ends_at
        return None if self._attempt is None else self._attempt.deadline

    @property
    def descriptor(self) -> tuple[int, int] | None:
        """What to poll: a descriptor, and for what; None for nothing."""
        if self._attempt is not None:
            wanted = POLLOUT if self._attempt.awaits_writing else POLLIN
            return self._attempt.fileno(), wanted
        if self._lookup is not None and self._lookup_ends_at is not None:
            return self._lookup.fileno(), POLLIN
        return None

    def advance(self, now: float) -> ServerConnection | None:
        """Do what can be done now; return a connection that is open, once there is one."""
        if self._resume_at is not None and now >= self._resume_at:
            self._begin_round(now)
        if self._lookup_ends_at is not None and self._lookup is not None:
            if not self._lookup.is_done and now < self._lookup_ends_at:
                return None
            self._begin_attempts(self._lookup, now)
        while self._attempt is not None:
            try:
                if not self._attempt.advance(now):
                    return None
            except OSError as error:
                self._is_dropped |= error.errno not in _NOT_ACCEPTED
                self._next_attempt(f"{self._attempt.server.named}: {_reason(error)}", now)
            else:
                connection, self._attempt = self._attempt, None
                self._connected_at = now
                return connection
        return None

    def refused(self, connection: ServerConnection, reason: str, now: float) -> None:
        """Go on after a server that was connected to has not proven to be of use."""
        self._is_dropped = True
        self._next_attempt(f"{connection.server.named}: {reason}", now)

    def lost(self, connection: ServerConnection, now: float) -> None:
        """Go on after the loss of a connection that was of use."""
        self._lost = connection.server
        if now - self._connected_at >= _LASTING_S:
            self._back_off.succeeded()
        else:
            self._is_dropped = True
        if self._lookup is not None and self._lookup.is_done:
            # What it has found may be old by now.
            self._close_lookup()
        self._pause(now)

    def _begin_round(self, now: float) -> None:
        self._resume_at = None
        try:
            if self._lookup is None:
                self._lookup = self._network.look_up([host for host, _ in self._settings.servers])
        except _SHORTAGES as error:
            named = ",".join(f"{host}:{port}" for host, port in self._settings.servers)
            self._report(f"{named}: {_reason(error)}", True)
            self._pause(now)
        else:
            self._lookup_ends_at = now + self._limit_s

    def _begin_attempts(self, lookup: NameLookup, now: float) -> None:
        self._lookup_ends_at = None
        # Its threads may still add to it.
        addresses, errors = dict(lookup.addresses), dict(lookup.errors)
        if lookup.is_done:
            self._close_lookup()
        self._rotation = ServerRotation(
            self._settings.servers, addresses, self._network.chance, self._lost
        )
        unknown = [one for one in self._settings.servers if not addresses.get(one[0])]
        for number, (host, port) in enumerate(unknown, start=1):
            why = errors.get(host, f"no answer within {self._limit_s:.2g} s")
            is_last = not any(addresses.values()) and number == len(unknown)
            self._report(f"{host}:{port}: cannot be resolved ({why})", is_last)
        self._next_attempt("", now)

    def _next_attempt(self, failure: str, now: float) -> None:
        """Report a failure, and begin the next attempt that does not fail at once."""
        while True:
            if self._attempt is not None:
                self._attempt.close()
                self._attempt = None
            rotation = self._rotation
            if failure:
                self._report(failure, rotation is None or rotation.is_last)
            if rotation is not self._rotation or rotation is None:
                # The receiver of the report has begun a new round, or ended all.
                return
            server = rotation.take()
            if server is None:
                self._pause(now)
                return
            try:
                self._attempt = self._network.connect(server, now + self._limit_s)
            except _SHORTAGES as error:
                failure = f"{server.named}: {_reason(error)}"
            else:
                return

    def _pause(self, now: float) -> None:
        longest_s = self._settings.longest_pause_s
        if self._is_dropped:
            # A session lives on for a while, so its servers are tried within that time.
            third_s = self._settings.session_timeout_s / 3
            longest_s = max(longest_s, min(_LONGEST_AFTER_DROP_S, third_s))
        self._is_dropped = False
        self._rotation = None
        self._resume_at = now + self._back_off.pause_s(longest_s)

    def _close_lookup(self) -> None:
        lookup, self._lookup = self._lookup, None
        if lookup is not None:
            lookup.close()


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
