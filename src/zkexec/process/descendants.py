"""Find the processes that can belong to a command, at a cost that does not depend on the machine.

The kernel's lists of children lead to all descendants of zkexec.  They do not lead to a member of
the command's session whose parent ended: it is a child of whichever process adopted it, and the
list of that one can be long.  Only a search of all processes finds such a member.

So `is_in_use` comes first.  It is one system call, and shows whether a session has members at all;
usually it has none once its leader was reaped.
"""

from __future__ import annotations

import fcntl
import os

from zkexec.process.procfs import (
    Process,
    children,
    list_pids,
    read_all_processes,
    read_process,
    session_of,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def is_in_use(number: int) -> bool:
    """Return whether a process, a process group or a session has this number.

    The kernel accepts the number as the owner of a file only then (Linux 4.14; it always does
    before).  A zombie is in its group and its session until it is reaped.
    """
    try:
        file = os.open("/", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return True  # this host is short of descriptors, so the slower ways must find out
    try:
        fcntl.fcntl(file, fcntl.F_SETOWN, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(file)
    return True


def has_children() -> bool:
    """Return whether zkexec has a child, running or ended; then it can have descendants."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def find_descendants() -> dict[int, Process]:
    """Read all descendants of zkexec."""
    if not _kernel_lists_children():
        return read_all_processes()
    own = os.getpid()
    found: dict[int, Process] = {}
    # A process that is orphaned meanwhile can be zkexec's child when the others are found.  All
    # children are those of the main thread: it alone forks, and the kernel lets it adopt.
    while fresh := set(children(own, threads=1)) - found.keys():
        read = read_below(fresh)
        found |= read
        if not read.keys() & fresh:
            break  # zombies that were reaped, or hidden processes
    return found


def find_session(session: int) -> dict[int, Process]:
    """Read all members of a session and their descendants; this asks every process there is."""
    if not _kernel_lists_children():
        return read_all_processes()
    return read_below(pid for pid in list_pids() if session_of(pid) == session)


def read_below(roots: Iterable[int]) -> dict[int, Process]:
    """Read these processes, and all descendants that the kernel's lists of children contain."""
    found: dict[int, Process] = {}
    ahead = list(roots)
    while ahead:
        pid = ahead.pop()
        if pid in found or (process := read_process(pid)) is None:
            continue
        found[pid] = process
        if process.alive:
            ahead += children(pid, process.threads)
    return found


def _kernel_lists_children() -> bool:
    own = os.getpid()
    return os.access(f"/proc/self/task/{own}/children", os.F_OK)
