"""One non-blocking TCP connection to one server, which never makes its caller wait.

`tls_connection.py` has the one with TLS, so that `ssl` is imported only if it is used.
"""

from __future__ import annotations

import os
from errno import EINPROGRESS, EINTR, ETIMEDOUT

from zkexec.zookeeper.sockets import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from zkexec.zookeeper.server_rotation import ServerAddress

PIECE = 256 * 1024
"""This many bytes are read at once at most, so that one connection cannot keep a loop busy."""


class ServerConnection:
    """A connection from its attempt to its end.

    `deadline` bounds the attempt: `advance` has to be called when the socket is ready for what the
    connection awaits, or the deadline has come, until it returns true.  Each method raises an
    OSError, with a text for a person in `strerror`, if the connection has failed.
    """

    def __init__(self, server: ServerAddress, deadline: float) -> None:
        self.server = server
        self.deadline = deadline
        self.is_open = False
        # Numbers are not looked up anywhere, so this does not wait.  As bytes they need none of
        # Python's tables for all names of this world.
        family, kind, protocol, _, address = socket.getaddrinfo(
            server.address.encode(),
            server.port,
            type=socket.SOCK_STREAM,
            flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
        )[0]
        self._socket = socket.socket(family, kind | socket.SOCK_CLOEXEC, protocol)
        try:
            self._socket.setblocking(False)
            # A request is sent at once, and the one behind it as well.
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._check(self._socket.connect_ex(address))
        except OSError:
            self.close()
            raise

    def fileno(self) -> int:
        """Give the descriptor to poll."""
        return self._socket.fileno()

    @property
    def awaits_writing(self) -> bool:
        """Whether the attempt goes on when the socket can be written to."""
        return not self.is_open

    @property
    def awaits_reading(self) -> bool:
        """Whether the socket is to be polled for reading."""
        return self.is_open

    @property
    def has_unread(self) -> bool:
        """Whether bytes can be read that the socket does not report any more."""
        return False

    def advance(self, now: float) -> bool:
        """Continue the attempt; return whether the connection is open."""
        if not self.is_open:
            self._check(self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
            self.is_open = self._is_connected() and self._secure()
            if not self.is_open and now >= self.deadline:
                raise TimeoutError(ETIMEDOUT, "the server does not answer")
        return self.is_open

    def read(self) -> bytes | None:
        """Read what has arrived; None if nothing has, b"" if the server has hung up."""
        try:
            return self._socket.recv(PIECE)
        except (BlockingIOError, InterruptedError):
            return None
        except ConnectionError:
            return b""

    def write(self, content: bytes | bytearray) -> int:
        """Write what fits → the number of bytes; that a server has hung up is read."""
        try:
            return self._socket.send(content)
        except (BlockingIOError, InterruptedError, ConnectionError):
            return 0

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _secure(self) -> bool:
        """Do what comes before the first byte; return whether it is done."""
        return True

    def _is_connected(self) -> bool:
        try:
            self._socket.getpeername()
        except OSError:
            return False
        return True

    def _check(self, error: int) -> None:
        # An interrupted attempt goes on by itself.
        if error not in (0, EINPROGRESS, EINTR):
            raise OSError(error, os.strerror(error))
