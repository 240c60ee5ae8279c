"""A client of one socket that does nothing but set znodes: no thread of the harness is in the way.

Its session lasts for a minute without a sign of life, and is made anew where it is older.
"""

import socket
import struct
import time

from kazoo.protocol.serialization import Connect, SetData

_SESSION_MS = 60_000
_PASSWORD = b"\0" * 16
_RENEWED_AFTER_S = 30.0


class Setter:
    """Sets znodes, one after the other."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None
        self._used_at = 0.0
        self._xid = 0

    def ready(self) -> None:
        """Have a session that lasts; call it before what is timed."""
        if self._socket is not None and time.monotonic() < self._used_at + _RENEWED_AFTER_S:
            return
        self.close()
        self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=30.0)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._exchange(Connect(0, 0, _SESSION_MS, 0, _PASSWORD, False).serialize())

    def set(self, path: str, content: bytes) -> int:
        """Set a znode; return when it began, in nanoseconds of the monotonic clock."""
        self.ready()
        self._xid += 1
        request = SetData(path, content, -1)
        frame = struct.pack("!ii", self._xid, SetData.type) + request.serialize()
        began_ns = time.monotonic_ns()
        answer = self._exchange(frame)
        (error,) = struct.unpack_from("!i", answer, 12)
        if error:
            raise RuntimeError(f"setting {path}: ZooKeeper answers error {error}")
        return began_ns

    def _exchange(self, frame: bytes) -> bytes:
        if self._socket is None:
            raise RuntimeError("call ready() first")
        self._socket.sendall(struct.pack("!i", len(frame)) + frame)
        (length,) = struct.unpack("!i", self._receive(4))
        self._used_at = time.monotonic()
        return self._receive(length)

    def _receive(self, length: int) -> bytes:
        received = b""
        while self._socket is not None and len(received) < length:
            piece = self._socket.recv(length - len(received))
            if not piece:
                raise RuntimeError("ZooKeeper has closed the connection of the benchmark")
            received += piece
        return received

    def close(self) -> None:
        """Hang up."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
