"""What a client needs of its host: the clock, chance, names and sockets.

A simulation has one of its own.
"""

from __future__ import annotations

import os
import time

from zkexec.zookeeper.connection import ServerConnection
from zkexec.zookeeper.name_lookup import NameLookup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from ssl import SSLContext

    from zkexec.zookeeper.server_rotation import ServerAddress

_CHANCE_BYTES = 4


class Network:
    """The network of this host, with TLS if there is a context for it."""

    def __init__(self, tls_context: Callable[[], SSLContext] | None = None) -> None:
        self._tls_context = tls_context

    def now(self) -> float:
        """Give the seconds of the clock that also runs while the machine is suspended."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def chance(self) -> float:
        """Give a random number from 0 up to 1."""
        # The module `random` would take more time to import than a connection takes.
        return int.from_bytes(os.urandom(_CHANCE_BYTES), "big") / (1 << 8 * _CHANCE_BYTES)

    def look_up(self, hosts: Sequence[str]) -> NameLookup:
        """Begin to look up the addresses of these hosts; an OSError if that cannot begin."""
        return NameLookup(hosts)

    def connect(self, server: ServerAddress, deadline: float) -> ServerConnection:
        """Begin to connect to a server; an OSError if that fails at once."""
        if self._tls_context is None:
            return ServerConnection(server, deadline)
        # It is heavy, and few clusters speak TLS.
        from zkexec.zookeeper.tls_connection import TlsConnection  # noqa: PLC0415

        return TlsConnection(server, deadline, self._tls_context)
