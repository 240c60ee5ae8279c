"""The socket of the service manager, on which zkexec reports with `--notify zkexec`.

systemd names it in `NOTIFY_SOCKET` and has a datagram read by `sd_notify(3)`'s rules: one
assignment a line.  Sending never waits, and its failure ends nothing.
"""

from __future__ import annotations

import os

from zkexec.zookeeper.sockets import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

SOCKET, WATCHDOG_PID, WATCHDOG_USEC = b"NOTIFY_SOCKET", b"WATCHDOG_PID", b"WATCHDOG_USEC"
NOTIFY_VARIABLES = frozenset((SOCKET, WATCHDOG_PID, WATCHDOG_USEC))
"""What the command, and what runs beside it, must not find if zkexec reports itself."""

_MOST_DIGITS = 18


def watchdog_interval_s(environment: Mapping[bytes, bytes], pid: int) -> float | None:
    """Return how often the service manager wants a sign of life from this process, None if never.

    It is half of the time after which the manager takes the process for hung.
    """
    text = environment.get(WATCHDOG_USEC, b"")
    is_meant = environment.get(WATCHDOG_PID, b"%d" % pid) == b"%d" % pid
    if not (is_meant and text.isdigit() and len(text) <= _MOST_DIGITS and int(text)):
        return None
    return int(text) / 1e6 / 2


class NotifySocket:
    """A socket to send to, by a path, or by an abstract name that begins with `@`."""

    def __init__(self, address: bytes) -> None:
        self._address = b"\0" + address[1:] if address.startswith(b"@") else address
        self.name = os.fsdecode(address)
        self._socket: socket.socket | None = None

    def send(self, assignments: str) -> str:
        """Send these lines; return why they could not be sent, "" if they were."""
        if not self._address.startswith((b"/", b"\0")):
            return "it is neither a path nor an abstract name (@NAME)"
        try:
            if self._socket is None:
                # The kernel copies a datagram at once, or refuses it.
                kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
                self._socket = socket.socket(socket.AF_UNIX, kind)
            self._socket.sendto(assignments.encode(), self._address)
        except BlockingIOError:
            return "its queue is full"
        except OSError as error:
            return error.strerror or str(error)
        return ""
