"""A service manager that only listens: the datagram socket that NOTIFY_SOCKET names."""

import socket
from pathlib import Path

from support.waiting import until


class NotifyListener:
    """What was received so far; `name` is the value of NOTIFY_SOCKET."""

    def __init__(self, address: Path | str) -> None:
        """Listen at a path, or at an abstract name that begins with `@`."""
        self.name = str(address)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.name.replace("@", "\0", 1) if self.name[0] == "@" else self.name)
        self._socket.setblocking(False)
        self._lines: list[str] = []

    def lines(self) -> list[str]:
        """All assignments so far, in their order."""
        while True:
            try:
                datagram = self._socket.recv(65536)
            except BlockingIOError:
                return self._lines
            self._lines += datagram.decode().split("\n")

    def of(self, *names: str) -> list[str]:
        """The assignments of these names."""
        return [line for line in self.lines() if line.partition("=")[0] in names]

    @property
    def states(self) -> list[str]:
        """The states of the service, in the order in which they came."""
        return [line.removesuffix("=1") for line in self.of("READY", "RELOADING", "STOPPING")]

    def until_states(self, *states: str) -> None:
        """Wait until the service has been in as many states, which must be these."""
        until(lambda: len(self.states) >= len(states), lambda: f"{states} in {self.lines()}")
        assert self.states == list(states)

    def until_line(self, part: str, count: int = 1) -> None:
        """Wait until a text was part of an assignment this many times."""
        until(
            lambda: sum(part in line for line in self.lines()) >= count,
            lambda: f"{count} times {part!r} in {self.lines()}",
        )

    def close(self) -> None:
        """Listen no more; the path stays, as after a manager that has crashed."""
        self._socket.close()
