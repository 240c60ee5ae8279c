"""The processes of the child's tree, and signals to exactly those.

Whoever vanishes between being found and being signalled is no error, and whoever zkexec has no
right to signal stays as he is; he still counts.

The tree is the child, its session and its cgroup where it has one of its own, the orphans that
zkexec adopted (see `process.py` on when it does), and all descendants of these.  Not of the tree
are the sessions of health checks and alerts, and what was zkexec's child before zkexec was
executed, as in `helper & exec zkexec ...`.
"""

import os
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial

from zkexec.process.cgroup import CommandGroup
from zkexec.process.descendants import Orphans, find_related, with_all_below
from zkexec.process.procfs import Process, look, look_at, with_descendants

_KILL_ROUNDS = 20
"""How often a kill looks for what was forked meanwhile, before that is left to the next kill."""


def send(process: Process, *numbers: int) -> None:
    """Send signals to exactly this process, if it is still there and may be signalled."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    except OSError:
        descriptor = -1  # an old kernel, or a container that forbids the call
    try:
        # The descriptor was there before this look, so it is of the process that is seen.
        seen = look(process.pid)
        if seen is None or seen.identity != process.identity:
            return
        for number in numbers:
            if descriptor >= 0:
                signal.pidfd_send_signal(descriptor, number)
            else:
                os.kill(process.pid, number)
    except (ProcessLookupError, PermissionError):
        pass
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def send_to_group(leader: int, number: int) -> None:
    """Signal a process group at once; the leader must be a child not reaped yet."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)


def kill_all(find: Callable[[], list[Process]]) -> None:
    """SIGKILL whatever `find` finds, again and again until it finds nobody new."""
    killed: set[tuple[int, int]] = set()
    for _ in range(_KILL_ROUNDS):
        fresh = [process for process in find() if process.identity not in killed]
        if not fresh:
            return
        for process in fresh:
            send(process, signal.SIGKILL)
            killed.add(process.identity)


def kill_session(leader: int, orphans: Orphans | None = None) -> None:
    """SIGKILL a session and its descendants; the leader must be a child not reaped yet."""
    members = partial(_session_members, leader, orphans or Orphans())
    # First one by one: with its parent gone, a descendant in another session would be lost.
    # Then the group at once: whoever forks and ends all the time is in no listing.
    kill_all(members)
    send_to_group(leader, signal.SIGKILL)
    kill_all(members)


def _session_members(leader: int, orphans: Orphans) -> list[Process]:
    everyone = find_related(leader, orphans)
    return with_descendants(
        everyone, [process for process in everyone.values() if process.session == leader]
    )


class ProcessTree:
    """The rule who belongs to the child, and the little that must be remembered for it."""

    def __init__(self, *, own_session: bool) -> None:
        self._own_session = own_session
        self._child = 0
        self._session = 0
        self._adopts = False
        self._looks_without_outsiders = 0
        self._seems_gone = False
        self._apart: set[int] = set()
        self._strangers = _present_descendants()
        self.orphans = Orphans()
        self.group = CommandGroup()
        self._grouped: set[int] = set()

    @property
    def session(self) -> int:
        """The session that belongs to the child, 0 if there is none."""
        return self._session

    def clear_ground(self) -> None:
        """Know who is there before a child is started; nothing of an earlier one is left."""
        if self._own_session:
            self.orphans.settle()

    def plant(self, child: int) -> None:
        """Begin the tree of a new child."""
        self._child = child
        self._adopts = False
        self._looks_without_outsiders = 0
        self._seems_gone = False
        self._session = child if self._own_session else 0

    def adopt(self) -> None:
        """Know that from now on whoever loses his parent becomes zkexec's child."""
        self._adopts = True

    def set_apart(self, session: int) -> None:
        """Remember the session of a check or an alert, which is not of the tree."""
        self._apart.add(session)

    def command_ended(self) -> None:
        """Settle what the dead child's pid still stands for; call it before it is reaped.

        A session's number is taken as long as anybody lives in it.  Once nobody does, it may
        become the number of a stranger's session, so it must be forgotten here and now.
        """
        everyone = self._look()
        self._seems_gone = not self._members_of(everyone)
        self._child = 0
        if not any(one.alive and one.session == self._session for one in everyone.values()):
            self._session = 0

    def count(self) -> int:
        """How many of the tree are left, once the child has ended.

        A listing is not of one moment: a process that forked and ended meanwhile may hide its
        child from one look, but not from the next.  The first was at the child's end.
        """
        found = len(self.members())
        if not found and not self._seems_gone:
            found = len(self.members())
        self._seems_gone = not found
        return found

    def members(self) -> list[Process]:
        """All living processes of the tree, parents before children."""
        return self._members_of(self._look())

    def _look(self) -> dict[int, Process]:
        """Look at all who may be of the tree.

        Once zkexec adopts, a session that holds none but its descendants will never hold others,
        and need not be looked for any more.  That, too, takes two looks to believe.
        """
        self._grouped = set(self.group.pids)
        grouped = look_at(with_all_below(self._grouped)) if self._grouped else {}
        if self._looks_without_outsiders >= 2:
            return {**find_related(), **grouped}
        everyone = find_related(self._session, self.orphans, thorough=True)
        if self._adopts:
            session = [one for one in everyone.values() if one.session == self._session]
            outsiders = any(one.parent not in everyone for one in session)
            self._looks_without_outsiders = 0 if outsiders else self._looks_without_outsiders + 1
        return {**everyone, **grouped}

    def _members_of(self, everyone: Mapping[int, Process]) -> list[Process]:
        if not self._child and self._session in everyone:
            # A process with the reaped child's pid: the number is somebody else's now.
            self._session = 0
        self._apart &= {process.session for process in everyone.values()}
        own_session = os.getsid(0)
        return with_descendants(
            everyone,
            [process for process in everyone.values() if self._is_root(process, own_session)],
        )

    def _is_root(self, process: Process, own_session: int) -> bool:
        if process.pid == self._child or process.pid in self._grouped:
            return True
        if self._session and process.session == self._session:
            return True
        if process.parent != os.getpid() or process.session in self._apart:
            return False
        if process.identity in self._strangers:
            return False
        # Nobody comes back from a session of his own, so an orphan in zkexec's is a stranger's.
        return not (self._own_session and process.session == own_session)


def _present_descendants() -> frozenset[tuple[int, int]]:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return frozenset()  # without any child there is no need to look
    everyone = find_related()
    own = os.getpid()
    children = [process for process in everyone.values() if process.parent == own]
    return frozenset(process.identity for process in with_descendants(everyone, children))
