"""`zkexecctl dev`: a ZooKeeper in the foreground, to try things out.

The rules of this file:

- A signal does not interrupt anything here: it is noted, and the servers are ended when the note
  is read.  So nothing is made that is not given back, however often somebody presses Ctrl-C.
- Ctrl-C, TERM and HUP end it, without a word, and it dies of the signal itself as `zkexec` does:
  a shell that runs a script has to know that somebody pressed Ctrl-C, and `wait` tells 143 of
  what was ended by TERM.  What the caller ignores, as `nohup` does, stays ignored.
- It never ends by itself with 0: servers that end on their own are a failure.
"""

import errno
import os
import select
import signal
import socket
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from random import SystemRandom

from zkexec.operator.call import Call
from zkexec.operator.console import Console
from zkexec.operator.installation import Installation, find_installation
from zkexec.operator.outcome import CANNOT_WORK, OperatorError
from zkexec.operator.servers import LOOPBACK, Membership, Server, ask, member_lines, reason_in

# Below those that the kernels of Linux and macOS give to clients, above those of our tests.
_PORTS_OF_PEERS = range(30000, 32768)
_START_DEADLINE_S = 60.0
_LOOK_S = 0.05
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Signals:
    """The signals that have come since they are noted.

    Python's part of them is of no use here: it runs between two steps of the program, and a signal
    that comes just before a wait would not end it.  What is noted is what C writes to a pipe.
    """

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe

    def wait_for_end(self, timeout_s: float | None = None) -> int:
        """Wait until there is a signal; its number if it is to end us, else 0."""
        if not select.select([self._pipe], [], [], timeout_s)[0]:
            return 0
        return next((number for number in os.read(self._pipe, 4096) if number in _ENDING), 0)


def run(call: Call, console: Console) -> int:
    """Run servers until a signal ends them; dies of that signal, or raises an OperatorError."""
    ports = range(call.port, call.port + call.ensemble)
    installation = find_installation(os.environ)
    for port in ports:
        _demand_free(port)
    try:
        with _noted_signals() as signals, ExitStack() as to_close:
            console.out(f"starting {installation.name} with {installation.java}")
            servers = _servers(ports, installation, to_close)
            number = _serve(servers, console, signals)
    except OSError as error:
        place = f": {error.filename}" if error.filename else ""
        raise OperatorError(
            f"no ZooKeeper can be started: {error.strerror}{place}; TMPDIR says where its files go",
            CANNOT_WORK,
        ) from None
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)
    return 128 + number


def _demand_free(port: int) -> None:
    error = _error_of_use(port)
    if not error:
        return
    if error != errno.EADDRINUSE:
        raise OperatorError(f"port {port} cannot be used: {os.strerror(error)}", CANNOT_WORK)
    is_zookeeper = ask(port, "srvr", 1.0).startswith("Zookeeper version")
    by_whom = " by a ZooKeeper" if is_zookeeper else ""
    raise OperatorError(f"port {port} is in use{by_whom}; choose another with --port", CANNOT_WORK)


def _error_of_use(port: int) -> int:
    """Try to listen on a port as a server would; the number of the error, 0 for none."""
    try:
        # On macOS one may listen on an address where somebody else listens on all of them.
        with socket.create_connection((LOOPBACK, port), timeout=1.0):
            return errno.EADDRINUSE
    except OSError:
        pass
    try:
        # Which sets SO_REUSEADDR, as Java does.
        socket.create_server((LOOPBACK, port)).close()
    except OSError as error:
        return error.errno or errno.EIO
    return 0


@contextmanager
def _noted_signals() -> Iterator[Signals]:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    fd_before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    before = {number: signal.getsignal(number) for number in (*_ENDING, signal.SIGCHLD)}
    for number, disposition in before.items():
        if disposition is not signal.SIG_IGN or number == signal.SIGCHLD:
            signal.signal(number, _do_nothing)
    try:
        yield Signals(reading)
    finally:
        for number, disposition in before.items():
            signal.signal(number, disposition)
        signal.set_wakeup_fd(fd_before)
        os.close(reading)
        os.close(writing)


def _do_nothing(_number: int, _frame: object) -> None:
    """Be there, so that the signal is noted."""


def _servers(ports: Sequence[int], installation: Installation, to_close: ExitStack) -> list[Server]:
    """Launch a server on each port, with the note that they are to be closed."""
    lines = member_lines(_pairs_of_free_ports(ports)) if len(ports) > 1 else ()
    servers = []
    for number, port in enumerate(ports, start=1):
        server = Server(port, membership=Membership(lines, number), installation=installation)
        to_close.callback(server.close)
        server.launch()
        servers.append(server)
    return servers


def _pairs_of_free_ports(clients: Collection[int]) -> list[tuple[int, int]]:
    candidates = SystemRandom().sample(_PORTS_OF_PEERS, len(_PORTS_OF_PEERS))
    free = (p for p in candidates if p not in clients and not _error_of_use(p))
    return [(next(free), next(free)) for _ in clients]


def _serve(servers: Sequence[Server], console: Console, signals: Signals) -> int:
    """Tell when all of them serve, and return the number of the signal that ends us."""
    give_up_at = time.monotonic() + _START_DEADLINE_S
    while not _all_serve(servers):
        if number := signals.wait_for_end(_LOOK_S):
            return number
        if time.monotonic() > give_up_at:
            told = "; ".join(reason_in(server.tail_of_log()) for server in servers)
            raise OperatorError(
                f"ZooKeeper does not serve after {_START_DEADLINE_S:g} s: {told}", CANNOT_WORK
            )
    _announce(servers, console)
    while True:
        # Whenever a child has ended, SIGCHLD ends the wait.
        for server in servers:
            server.check()
        if number := signals.wait_for_end():
            return number


def _all_serve(servers: Sequence[Server]) -> bool:
    # One that has died must be noticed although another does not serve yet, and may never do.
    for server in servers:
        server.check()
    return all(server.is_serving() for server in servers)


def _announce(servers: Sequence[Server], console: Console) -> None:
    for server in servers:
        role = f"{server.fact('Mode')}, " if len(servers) > 1 else ""
        console.out(f"serving on {server.hosts} ({role}pid {server.pid}), files in {server.folder}")
    hosts = ",".join(server.hosts for server in servers)
    console.out(f"to use it: export ZKEXEC_CLUSTER={hosts}")
    console.out("Ctrl-C ends it, and nothing is kept")
