"""What /proc shows of processes.

A process is known by its pid *and* the time it started, so that a pid that was given away again
is never mistaken for its former owner.  Zombies are not alive and do not count.
"""

import os
from collections.abc import Iterable, Mapping

from zkexec.frozen import frozen


@frozen()
class Process:
    """One process as /proc showed it; `started` is in clock ticks since the machine booted."""

    pid: int
    parent: int
    group: int
    session: int
    started: int
    alive: bool
    stopped: bool

    @property
    def identity(self) -> tuple[int, int]:
        """What no other process ever shares."""
        return self.pid, self.started


def look(pid: int) -> Process | None:
    """Look at one process; None if there is none, or none that may be seen."""
    line = read(f"/proc/{pid}/stat")
    # The name stands in brackets, and may itself hold brackets and spaces.
    fields = line[line.rfind(b")") + 2 :].split(None, 20)
    if len(fields) < 20:
        return None
    state, threads = fields[0], int(fields[17])
    return Process(
        pid=pid,
        parent=int(fields[1]),
        group=int(fields[2]),
        session=int(fields[3]),
        started=int(fields[19]),
        # A zombie with several threads is a process whose first thread ended before the others.
        alive=state not in b"ZX" or threads > 1,
        stopped=state == b"T",
    )


def look_around() -> dict[int, Process]:
    """Look at all processes; nothing is found where /proc shows another pid namespace."""
    return look_at(list_pids())


def read(path: str) -> bytes:
    """Read a file of /proc; nothing if it is not there, or not for us to see."""
    try:
        # There are many to read between the end of one command and the start of the next, and
        # a file object takes longer than the reading.
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    content = b""
    try:
        while piece := os.read(file, 4096):
            content += piece
    except OSError:
        return b""
    finally:
        os.close(file)
    return content


def list_pids() -> list[int]:
    """List all processes; none where /proc shows another pid namespace."""
    try:
        if os.readlink("/proc/self") != str(os.getpid()):
            return []
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return []


def look_at(pids: Iterable[int]) -> dict[int, Process]:
    """Look at these; who has vanished is left out."""
    return {process.pid: process for process in map(look, pids) if process}


def session_of(pid: int) -> int:
    """Ask for the session of a process, which takes a tenth of a look; 0 if it has vanished."""
    try:
        return os.getsid(pid)
    except OSError:
        process = look(pid)  # where the question is forbidden
        return process.session if process else 0


def children(pid: int) -> list[int]:
    """List the children of all threads of a process, where the kernel tells them."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []
    lists = (read(f"/proc/{pid}/task/{thread}/children") for thread in threads)
    return [int(child) for each in lists for child in each.split()]


def with_descendants(everyone: Mapping[int, Process], roots: Iterable[Process]) -> list[Process]:
    """Add all descendants; the living ones of them all come back, parents before children."""
    children: dict[int, list[Process]] = {}
    for process in everyone.values():
        children.setdefault(process.parent, []).append(process)
    found: dict[int, Process] = {}
    ahead = list(roots)
    while ahead:
        process = ahead.pop()
        if process.pid not in found:
            found[process.pid] = process
            ahead += children.get(process.pid, [])

    def depth(process: Process) -> int:
        steps = 0
        # A listing is not of one moment, so it may even show a circle.
        while process.parent in found and steps < len(found):
            process = found[process.parent]
            steps += 1
        return steps

    living = (process for process in found.values() if process.alive)
    return sorted(living, key=lambda process: (depth(process), process.started, process.pid))
