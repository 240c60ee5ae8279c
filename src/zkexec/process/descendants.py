"""Which processes may belong to a command, found without a look at all processes of the machine.

They are the descendants of zkexec, and of the command's session those whose parent ended: the
kernel makes them children of an ancestor of zkexec that adopts orphans, or of the first process.
So the kernel's lists of children lead to all of them.  The rest of a machine may be many, and
what a look costs does not depend on them.

All processes are asked for their session if these lists do not contain everything: in a kernel
without them, and where an ancestor may not be seen (`hidepid`).
"""

import os
import time
from collections.abc import Iterable

from zkexec.process.procfs import (
    Process,
    children,
    list_pids,
    look,
    look_around,
    look_at,
    session_of,
)

_FEW = 100
"""To follow the children of one process takes about as long as to ask so many for their session."""
_LOOKS_TO_BELIEVE = 2
"""A look is not of one moment: a process that is adopted meanwhile may escape it, but not two."""
_VALID_S = 10.0
"""A pid that was asked for is not asked again so soon: in that time it is given to no other."""


class Orphans:
    """The children of zkexec's ancestors, among which are the orphans of the command.

    Most have nothing to do with the command, and what is known of them is remembered.  One may be
    of the command without being in its session: a process that left the session, adopts orphans,
    and was orphaned itself.  Below it members of the session may live.  Who was there before the
    command is no such process, and who once has no member below him will never have one.
    """

    def __init__(self) -> None:
        self._looks: dict[int, int] = {}
        self._sessions: dict[int, int] = {}
        self._asked_at = 0.0

    def settle(self) -> None:
        """Know that all who are there now have nothing to do with what is started from now on."""
        self._looks = dict.fromkeys(_adopted() or (), _LOOKS_TO_BELIEVE)

    def of(self, session: int, *, thorough: bool) -> list[int]:
        """Find the members of a session that have lost their parent.

        If it is `thorough` also those are found that another than zkexec's ancestors adopted.
        """
        adopted = _adopted()
        if adopted is None:
            return _in_session(list_pids(), session)
        self._ask(adopted)
        found = [pid for pid, one in self._sessions.items() if one == session]
        return found + self._below(adopted.difference(found), session) if thorough else found

    def _ask(self, adopted: set[int]) -> None:
        """Ask for sessions.  No process enters an existing session, so an answer stays true."""
        now = time.monotonic()
        if now > self._asked_at + _VALID_S:
            self._asked_at = now
            self._sessions = {}
        known = self._sessions
        self._sessions = {pid: known.get(pid) or session_of(pid) for pid in adopted}

    def _below(self, adopted: set[int], session: int) -> list[int]:
        self._looks = {pid: self._looks.get(pid, 0) for pid in adopted}
        suspects = [pid for pid, looks in self._looks.items() if looks < _LOOKS_TO_BELIEVE]
        if len(suspects) > _FEW:
            found = _in_session(list_pids(), session)
            cleared = [] if found else suspects
        else:
            members = {pid: _in_session(with_all_below([pid]), session) for pid in suspects}
            found = [pid for each in members.values() for pid in each]
            cleared = [pid for pid, each in members.items() if not each]
        for pid in cleared:
            self._looks[pid] += 1
        return found


def find_related(
    session: int = 0, orphans: Orphans | None = None, *, thorough: bool = False
) -> dict[int, Process]:
    """Look at a session, and at all descendants of its members and of zkexec."""
    own = os.getpid()
    if not os.path.exists(f"/proc/self/task/{own}/children"):
        return look_around()
    orphaned = (orphans or Orphans()).of(session, thorough=thorough) if session else ()
    kin = with_all_below(orphaned)
    # Who loses his parent meanwhile may be zkexec's child by the time the others are found.
    while fresh := set(children(own)) - kin:
        kin |= with_all_below(fresh)
    return look_at({own, *kin})


def _adopted() -> set[int] | None:
    """The children of all ancestors, but for the ancestors and zkexec; None if not all are seen."""
    above = _ancestors()
    if above is None:
        return None
    adopted: set[int] = set()
    for ancestor in above:
        theirs = children(ancestor)
        if not theirs and look(ancestor) is None:
            return None
        adopted.update(theirs)
    return adopted.difference(above, (os.getpid(),))


def _ancestors() -> list[int] | None:
    """All who may adopt an orphan of zkexec's; None if one of them may not be seen."""
    above: list[int] = []
    pid = os.getppid()
    while pid:
        above.append(pid)
        process = look(pid)
        if process is None:
            return None
        pid = process.parent
    # Where the parent is in another pid namespace, the first process of this one adopts.
    return above if 1 in (*above, os.getpid()) else [*above, 1]


def _in_session(pids: Iterable[int], session: int) -> list[int]:
    return [pid for pid in pids if session_of(pid) == session]


def with_all_below(roots: Iterable[int]) -> set[int]:
    """Add all descendants, as far as the kernel's lists of children tell them."""
    found: set[int] = set()
    ahead = list(roots)
    while ahead:
        pid = ahead.pop()
        if pid not in found:
            found.add(pid)
            ahead += children(pid)
    return found
