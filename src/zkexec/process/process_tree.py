"""Find the processes of the command's process tree, and signal exactly these.

The process tree is the command, its session and its cgroup if it has one of its own, the orphans
that zkexec adopted (`processes.py` describes when it does), and all descendants of these.  It
does not include the sessions of health checks and alerts, and the children that the process had
before it became zkexec, as in `other & exec zkexec ...`.

A process that ends before it is signalled is no error.  One that zkexec may not signal is left
alone, but still counts.
"""

import os
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial

from zkexec.process.cgroup import CommandGroup
from zkexec.process.descendants import Orphans, find_related, with_all_below
from zkexec.process.procfs import Process, read_process, read_processes, with_descendants

_KILL_ROUNDS = 20
"""How often one kill scans for processes that were forked meanwhile."""


def send(process: Process, *numbers: int) -> None:
    """Send signals to exactly this process, if it still exists and may be signalled."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    except OSError:
        descriptor = -1  # an old kernel, or a container that forbids the call
    try:
        # The descriptor was opened before this read, so it belongs to the process that is read.
        seen = read_process(process.pid)
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
    """SIGKILL what `find` returns, again until it returns no new process."""
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
    # First one by one: a descendant in another session would be lost once its parent has ended.
    # Then the group at once: a process that forks and ends all the time escapes every scan.
    kill_all(members)
    send_to_group(leader, signal.SIGKILL)
    kill_all(members)


def _session_members(leader: int, orphans: Orphans) -> list[Process]:
    everyone = find_related(leader, orphans)
    return with_descendants(
        everyone, [process for process in everyone.values() if process.session == leader]
    )


class ProcessTree:
    """The processes that belong to the command, and what must be remembered to find them."""

    def __init__(self, *, own_session: bool) -> None:
        self._own_session = own_session
        self._leader = 0
        self._session = 0
        self._adopts = False
        self._scans_without_outsiders = 0
        self._seems_gone = False
        self._excluded: set[int] = set()
        self._foreign = _present_descendants()
        self.orphans = Orphans()
        self.group = CommandGroup()
        self._grouped: set[int] = set()

    @property
    def session(self) -> int:
        """The session of the command, 0 if it has none of its own."""
        return self._session

    def prepare(self) -> None:
        """Note which processes exist before a command starts; nothing of an earlier one is left."""
        if self._own_session:
            self.orphans.ignore_present()

    def begin(self, leader: int) -> None:
        """Begin the process tree of a new command, whose first process is `leader`."""
        self._leader = leader
        self._adopts = False
        self._scans_without_outsiders = 0
        self._seems_gone = False
        self._session = leader if self._own_session else 0

    def note_adoption(self) -> None:
        """Note that zkexec adopts orphans from now on."""
        self._adopts = True

    def exclude_session(self, session: int) -> None:
        """Exclude the session of a health check or an alert from the process tree."""
        self._excluded.add(session)

    def command_ended(self) -> None:
        """Forget the pid of the ended command; call it before the command is reaped.

        The number of a session is in use while a process lives in it.  After that the kernel can
        give it to another session, so it must be forgotten here.
        """
        everyone = self._scan()
        self._seems_gone = not self._members_of(everyone)
        self._leader = 0
        if not any(one.alive and one.session == self._session for one in everyone.values()):
            self._session = 0

    def count(self) -> int:
        """Count what is left of the process tree, after the command has ended.

        A scan takes time: a process that forks and ends meanwhile can hide its child from one
        scan, but not from the next.  The first scan was at the end of the command.
        """
        found = len(self.members())
        if not found and not self._seems_gone:
            found = len(self.members())
        self._seems_gone = not found
        return found

    def members(self) -> list[Process]:
        """Return all living processes of the tree, parents before children."""
        return self._members_of(self._scan())

    def _scan(self) -> dict[int, Process]:
        """Read all processes that can belong to the tree.

        When zkexec adopts orphans and the session contains only its descendants, the session will
        never contain others and need not be searched for any more.  This takes two scans to know.
        """
        self._grouped = set(self.group.pids)
        grouped = read_processes(with_all_below(self._grouped)) if self._grouped else {}
        if self._scans_without_outsiders >= 2:
            return {**find_related(), **grouped}
        everyone = find_related(self._session, self.orphans, thorough=True)
        if self._adopts:
            session = [one for one in everyone.values() if one.session == self._session]
            outsiders = any(one.parent not in everyone for one in session)
            self._scans_without_outsiders = 0 if outsiders else self._scans_without_outsiders + 1
        return {**everyone, **grouped}

    def _members_of(self, everyone: Mapping[int, Process]) -> list[Process]:
        if not self._leader and self._session in everyone:
            # A process has the pid of the reaped command: the kernel has reused the number.
            self._session = 0
        self._excluded &= {process.session for process in everyone.values()}
        own_session = os.getsid(0)
        return with_descendants(
            everyone,
            [process for process in everyone.values() if self._is_root(process, own_session)],
        )

    def _is_root(self, process: Process, own_session: int) -> bool:
        if process.pid == self._leader or process.pid in self._grouped:
            return True
        if self._session and process.session == self._session:
            return True
        if process.parent != os.getpid() or process.session in self._excluded:
            return False
        if process.identity in self._foreign:
            return False
        # No process returns to zkexec's session, so an orphan in it is not of the command.
        return not (self._own_session and process.session == own_session)


def _present_descendants() -> frozenset[tuple[int, int]]:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return frozenset()  # without a child there is nothing to scan
    everyone = find_related()
    own = os.getpid()
    children = [process for process in everyone.values() if process.parent == own]
    return frozenset(process.identity for process in with_descendants(everyone, children))
