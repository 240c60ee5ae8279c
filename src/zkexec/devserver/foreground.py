"""Run throwaway servers in the foreground until a signal ends this process.

The rules of this file:

- A signal interrupts nothing: it is noted, and the servers are ended when the note is read.  So
  nothing is left behind, however often Ctrl-C is pressed.
- Ctrl-C, TERM and HUP end it without a message, and by the signal itself as `zkexec` does: a shell
  that runs a script has to see Ctrl-C, and `wait` reports 143 for what was ended by TERM.  A signal
  that the caller ignores, as `nohup` does, stays ignored.
- It never exits by itself with 0: servers that end on their own are a failure.
"""

import errno
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from random import SystemRandom

from zkexec.devserver.installation import DevServerError, Installation, find_installation
from zkexec.devserver.server import (
    LOOPBACK,
    EnsembleMember,
    Server,
    ask,
    ensemble_lines,
    reason_in,
)

# Below those that the kernels of Linux and macOS give to clients, above those of our tests.
_PORTS_OF_PEERS = range(30000, 32768)
_START_DEADLINE_S = 60.0
_POLL_S = 0.05
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class NotedSignals:
    """The signals that have arrived since they are noted.

    Handlers of Python do not help here: they run between two steps of the program, and a signal
    that arrives just before a wait would not end it.  What is noted is what C writes to a pipe.
    """

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe

    def wait_for_end(self, timeout_s: float | None = None) -> int:
        """Wait until there is a signal; return its number if it ends us, else 0."""
        if not select.select([self._pipe], [], [], timeout_s)[0]:
            return 0
        return next((number for number in os.read(self._pipe, 4096) if number in _ENDING), 0)


def serve_until_signal(
    ports: Sequence[int], environment: Mapping[str, str], write: Callable[[str], None]
) -> int:
    """Run a server on each port until a signal ends this process; raise DevServerError."""
    installation = find_installation(environment)
    for port in ports:
        _check_free(port)
    try:
        with _noted_signals() as signals, ExitStack() as to_close:
            write(f"starting {installation.name} with {installation.java}")
            servers = _launch(ports, installation, to_close)
            number = _serve(servers, write, signals)
    except OSError as error:
        file = f": {error.filename}" if error.filename else ""
        raise DevServerError(
            f"cannot start ZooKeeper: {error.strerror}{file}; its files go into TMPDIR"
        ) from None
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)
    return 128 + number


def _check_free(port: int) -> None:
    error = _error_of_use(port)
    if not error:
        return
    if error != errno.EADDRINUSE:
        raise DevServerError(f"port {port} cannot be used: {os.strerror(error)}")
    is_zookeeper = ask(port, "srvr", 1.0).startswith("Zookeeper version")
    by_whom = " by a ZooKeeper" if is_zookeeper else ""
    raise DevServerError(f"port {port} is in use{by_whom}: choose another with --port")


def _error_of_use(port: int) -> int:
    """Try to listen on a port as a server would; return the number of the error, 0 for none."""
    try:
        # On macOS one can listen on an address if another process listens on all of them.
        with socket.create_connection((LOOPBACK, port), timeout=1.0):
            return errno.EADDRINUSE
    except OSError:
        pass
    try:
        # This sets SO_REUSEADDR, as Java does.
        socket.create_server((LOOPBACK, port)).close()
    except OSError as error:
        return error.errno or errno.EIO
    return 0


@contextmanager
def _noted_signals() -> Iterator[NotedSignals]:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    fd_before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    before = {number: signal.getsignal(number) for number in (*_ENDING, signal.SIGCHLD)}
    for number, disposition in before.items():
        if disposition is not signal.SIG_IGN or number == signal.SIGCHLD:
            signal.signal(number, _do_nothing)
    try:
        yield NotedSignals(reading)
    finally:
        for number, disposition in before.items():
            signal.signal(number, disposition)
        signal.set_wakeup_fd(fd_before)
        os.close(reading)
        os.close(writing)


def _do_nothing(_number: int, _frame: object) -> None:
    """Handle a signal, so that it is noted."""


def _launch(ports: Sequence[int], installation: Installation, to_close: ExitStack) -> list[Server]:
    """Launch a server on each port, and register that it is to be closed."""
    lines = ensemble_lines(_pairs_of_free_ports(ports)) if len(ports) > 1 else ()
    servers = []
    for number, port in enumerate(ports, start=1):
        server = Server(port, member=EnsembleMember(lines, number), installation=installation)
        to_close.callback(server.close)
        server.launch()
        servers.append(server)
    return servers


def _pairs_of_free_ports(clients: Collection[int]) -> list[tuple[int, int]]:
    candidates = SystemRandom().sample(_PORTS_OF_PEERS, len(_PORTS_OF_PEERS))
    free = (p for p in candidates if p not in clients and not _error_of_use(p))
    return [(next(free), next(free)) for _ in clients]


def _serve(servers: Sequence[Server], write: Callable[[str], None], signals: NotedSignals) -> int:
    """Announce when all servers serve, and return the number of the signal that ends us."""
    give_up_at = time.monotonic() + _START_DEADLINE_S
    while not _all_serve(servers):
        if number := signals.wait_for_end(_POLL_S):
            return number
        if time.monotonic() > give_up_at:
            reasons = "; ".join(reason_in(server.tail_of_log()) for server in servers)
            raise DevServerError(
                f"ZooKeeper does not serve after {_START_DEADLINE_S:g} s: {reasons}"
            )
    _announce(servers, write)
    while True:
        # When a child has ended, SIGCHLD ends the wait.
        for server in servers:
            server.check()
        if number := signals.wait_for_end():
            return number


def _all_serve(servers: Sequence[Server]) -> bool:
    # A server that has exited must be noticed even if another one never serves.
    for server in servers:
        server.check()
    return all(server.is_serving() for server in servers)


def _announce(servers: Sequence[Server], write: Callable[[str], None]) -> None:
    for server in servers:
        role = f"{server.fact('Mode')}, " if len(servers) > 1 else ""
        write(f"serving on {server.hosts} ({role}pid {server.pid}), files in {server.folder}")
    hosts = ",".join(server.hosts for server in servers)
    write(f"to use it: export ZKEXEC_CLUSTER={hosts}")
    write("Ctrl-C ends it, and nothing is kept")
