"""Read processes from /proc.

A process is identified by its pid *and* its start time, because the kernel reuses pids.  Zombies
are not alive and do not count.
"""

from __future__ import annotations

import os

from zkexec.frozen import frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


BOOT_ID = "/proc/sys/kernel/random/boot_id"
_READ_BYTES = 4096


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
    threads: int = 0
    """How many threads it has, 0 if that is not known."""

    @property
    def identity(self) -> tuple[int, int]:
        """The pid and the start time, which no other process ever shares."""
        return self.pid, self.started


def read_process(pid: int) -> Process | None:
    """Read one process; None if it does not exist or is hidden."""
    line = read(f"/proc/{pid}/stat", is_one_piece=True)
    # The name is in brackets, and can contain brackets and spaces.
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
        threads=threads,
    )


def read_all_processes() -> dict[int, Process]:
    """Read all processes; none if /proc shows another pid namespace."""
    return read_processes(list_pids())


def read(path: str, *, is_one_piece: bool = False) -> bytes:
    """Read a file of /proc; nothing if it does not exist or is hidden.

    `is_one_piece`: the kernel hands out all of it, a line, at once.
    """
    try:
        # Many are read between the end of one command and the start of the next, and a file
        # object takes longer than the reading.
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        content = piece = os.read(file, _READ_BYTES)
        while piece and not is_one_piece:
            piece = os.read(file, _READ_BYTES)
            content += piece
    except OSError:
        return b""
    finally:
        os.close(file)
    return content


def read_boot_id() -> str:
    """Identify the present boot of this machine, "" if that cannot be read."""
    return read(BOOT_ID).decode("ascii", "replace").strip()


def list_pids() -> list[int]:
    """List all processes; none if /proc shows another pid namespace."""
    try:
        if os.readlink("/proc/self") != str(os.getpid()):
            return []
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return []


def read_processes(pids: Iterable[int]) -> dict[int, Process]:
    """Read these processes; one that has ended is left out."""
    return {process.pid: process for process in map(read_process, pids) if process}


def session_of(pid: int) -> int:
    """Return the session of a process, ten times faster than `read_process`; 0 if it has ended."""
    try:
        return os.getsid(pid)
    except OSError:
        process = read_process(pid)  # the call can be forbidden
        return process.session if process else 0


def children(pid: int, threads: int = 0) -> list[int]:
    """List the children of all threads of a process, if the kernel has these lists.

    A process that has one thread, as its `threads` can show, has one list.
    """
    tasks = [str(pid)]
    if threads != 1:
        try:
            tasks = os.listdir(f"/proc/{pid}/task")
        except OSError:
            return []
    lists = (read(f"/proc/{pid}/task/{task}/children") for task in tasks)
    return [int(child) for each in lists for child in each.split()]


def with_descendants(everyone: Mapping[int, Process], roots: Iterable[Process]) -> list[Process]:
    """Add all descendants, and return the living of all these, parents before children."""
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
        # A scan takes time, so its result can even contain a circle.
        while process.parent in found and steps < len(found):
            process = found[process.parent]
            steps += 1
        return steps

    living = (process for process in found.values() if process.alive)
    return sorted(living, key=lambda process: (depth(process), process.started, process.pid))


def is_zkexec(pid: int) -> bool:
    """Decide whether another zkexec of this host has this pid.

    systemd can remove the folder of a service in which a process of another service still holds
    the lock of its name, and the lock file would be the same.  A process that was killed may not be
    reaped yet, and its pid may be another program's by now.
    """
    if pid in (0, os.getpid()):
        return False
    process = read_process(pid)
    if process is not None:
        return process.alive and b"zkexec" in read(f"/proc/{pid}/cmdline")
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True
