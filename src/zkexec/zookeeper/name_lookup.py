"""The addresses of server names, looked up without making the caller wait.

The operating system's lookup blocks, for as long as a server of names is silent.  So each name has
a thread of its own, which ends with the lookup.  If all names are addresses, there is no thread.
"""

from __future__ import annotations

import os
from _thread import allocate_lock, start_new_thread

from zkexec.zookeeper.sockets import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Resolve = Callable[[str], Sequence[str]]
    """Gives the addresses of a name, or raises an OSError."""
    StartThread = Callable[[Callable[[str], None], tuple[str]], object]
    """Calls a function with these arguments on a thread, or raises a RuntimeError."""


class NameLookup:
    """One lookup of several names; `fileno` can be read from once it is done.

    `addresses` and `errors` are complete then: what each name was resolved to, or why not.  Before
    that they have the names whose lookups have ended.
    """

    def __init__(
        self,
        hosts: Sequence[str],
        resolve: Resolve | None = None,
        start_thread: StartThread = start_new_thread,
    ) -> None:
        self.addresses: dict[str, Sequence[str]] = {}
        self.errors: dict[str, str] = {}
        self._resolve = resolve or _resolve
        self._start_thread = start_thread
        # Nothing is written: that the other end is closed makes the reader ready.
        self._reader, self._writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self.is_done = False
        names = []
        for host in dict.fromkeys(hosts):
            if address := _literal(host):
                self.addresses[host] = (address,)
            else:
                names.append(host)
        self._lock = allocate_lock()
        self._unended = len(names)
        if names:
            self._start(names)
        else:
            self._finish()

    def fileno(self) -> int:
        """Give the descriptor to poll."""
        return self._reader

    def close(self) -> None:
        """Close the descriptor; a lookup that is not done ends by itself, unnoticed."""
        os.close(self._reader)

    def _start(self, names: Sequence[str]) -> None:
        for number, name in enumerate(names):
            try:
                self._start_thread(self._look_up, (name,))
            except RuntimeError:
                # This host has no thread to spare, which another round may find.
                missed = names[number:]
                self.errors.update(dict.fromkeys(missed, "no thread can be started to look it up"))
                self._ended(len(missed))
                return

    def _look_up(self, name: str) -> None:
        try:
            self.addresses[name] = tuple(self._resolve(name))
        except (OSError, UnicodeError) as error:
            self.errors[name] = getattr(error, "strerror", None) or str(error)
        self._ended(1)

    def _ended(self, count: int) -> None:
        with self._lock:
            self._unended -= count
            if not self._unended:
                self._finish()

    def _finish(self) -> None:
        self.is_done = True
        os.close(self._writer)


def _literal(host: str) -> str | None:
    """Give the address that a host is already, or None if it is a name."""
    if not host.isascii():
        return None
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    try:
        socket.getaddrinfo(host.encode(), 0, type=socket.SOCK_STREAM, flags=flags)
    except OSError:
        return None
    return host


def _resolve(name: str) -> Sequence[str]:
    # As bytes a name is resolved without Python's tables for all names of this world.
    asked = name.encode() if name.isascii() else name
    found = socket.getaddrinfo(asked, 0, type=socket.SOCK_STREAM)
    return [_with_zone(str(address[0]), address) for *_, address in found]


def _with_zone(address: str, sockaddr: Sequence[object]) -> str:
    """Name the interface of a link-local address, which no other place of it shows."""
    zone = sockaddr[3] if len(sockaddr) > 3 else 0
    return f"{address}%{zone}" if zone and "%" not in address else address
