"""Find the processes that can belong to a command, without reading all processes of the machine.

They are the descendants of zkexec, and the members of the command's session whose parent ended.
The kernel makes the latter children of an ancestor of zkexec that adopts orphans, or of the first
process.  So the kernel's lists of children lead to all of them, at a cost that does not depend on
the rest of the machine.

The session of every process is read only if these lists are incomplete: in a kernel without them,
and if an ancestor is hidden (`hidepid`).
"""

import os
import time
from collections.abc import Iterable

from zkexec.process.procfs import (
    Process,
    children,
    list_pids,
    read_all_processes,
    read_process,
    read_processes,
    session_of,
)

_FEW = 100
"""Following the children of one process takes about as long as reading this many sessions."""
_SCANS_NEEDED = 2
"""A scan takes time: a process that is adopted meanwhile can escape one scan, but not two."""
_VALID_S = 10.0
"""A session that was read is valid this long: the kernel does not reuse a pid so soon."""


class Orphans:
    """The children of zkexec's ancestors, which include the orphans of the command.

    Most of them are unrelated to the command, so the results of earlier scans are kept.  One case
    needs a search below a child: a process of the command that left the session, adopts orphans,
    and was orphaned itself can have members of the session below it.  A process that existed before
    the command is no such case, and one without a member below it will never have one.
    """

    def __init__(self) -> None:
        self._scans: dict[int, int] = {}
        self._sessions: dict[int, int] = {}
        self._read_at = 0.0

    def ignore_present(self) -> None:
        """Mark all present children as unrelated to what is started from now on."""
        self._scans = dict.fromkeys(_adopted() or (), _SCANS_NEEDED)

    def of(self, session: int, *, thorough: bool) -> list[int]:
        """Find the members of a session whose parent ended.

        If `thorough`, also find those that a process other than zkexec's ancestors adopted.
        """
        adopted = _adopted()
        if adopted is None:
            return _in_session(list_pids(), session)
        self._read_sessions(adopted)
        found = [pid for pid, one in self._sessions.items() if one == session]
        return found + self._below(adopted.difference(found), session) if thorough else found

    def _read_sessions(self, adopted: set[int]) -> None:
        """Read the sessions.  No process can enter an existing session, so a result stays true."""
        now = time.monotonic()
        if now > self._read_at + _VALID_S:
            self._read_at = now
            self._sessions = {}
        known = self._sessions
        self._sessions = {pid: known.get(pid) or session_of(pid) for pid in adopted}

    def _below(self, adopted: set[int], session: int) -> list[int]:
        self._scans = {pid: self._scans.get(pid, 0) for pid in adopted}
        suspects = [pid for pid, scans in self._scans.items() if scans < _SCANS_NEEDED]
        if len(suspects) > _FEW:
            found = _in_session(list_pids(), session)
            cleared = [] if found else suspects
        else:
            members = {pid: _in_session(with_all_below([pid]), session) for pid in suspects}
            found = [pid for each in members.values() for pid in each]
            cleared = [pid for pid, each in members.items() if not each]
        for pid in cleared:
            self._scans[pid] += 1
        return found


def find_related(
    session: int = 0, orphans: Orphans | None = None, *, thorough: bool = False
) -> dict[int, Process]:
    """Read a session, and all descendants of its members and of zkexec."""
    own = os.getpid()
    if not os.path.exists(f"/proc/self/task/{own}/children"):
        return read_all_processes()
    orphaned = (orphans or Orphans()).of(session, thorough=thorough) if session else ()
    related = with_all_below(orphaned)
    # A process that is orphaned meanwhile can be zkexec's child when the others are found.
    while fresh := set(children(own)) - related:
        related |= with_all_below(fresh)
    return read_processes({own, *related})


def _adopted() -> set[int] | None:
    """Return the children of all ancestors without ancestors and zkexec; None if one is hidden."""
    above = _ancestors()
    if above is None:
        return None
    adopted: set[int] = set()
    for ancestor in above:
        theirs = children(ancestor)
        if not theirs and read_process(ancestor) is None:
            return None
        adopted.update(theirs)
    return adopted.difference(above, (os.getpid(),))


def _ancestors() -> list[int] | None:
    """Return all processes that can adopt an orphan of zkexec; None if one of them is hidden."""
    above: list[int] = []
    pid = os.getppid()
    while pid:
        above.append(pid)
        process = read_process(pid)
        if process is None:
            return None
        pid = process.parent
    # If the parent is in another pid namespace, the first process of this one adopts.
    return above if 1 in (*above, os.getpid()) else [*above, 1]


def _in_session(pids: Iterable[int], session: int) -> list[int]:
    return [pid for pid in pids if session_of(pid) == session]


def with_all_below(roots: Iterable[int]) -> set[int]:
    """Add all descendants that the kernel's lists of children contain."""
    found: set[int] = set()
    ahead = list(roots)
    while ahead:
        pid = ahead.pop()
        if pid not in found:
            found.add(pid)
            ahead += children(pid)
    return found
