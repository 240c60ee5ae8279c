"""Find the processes of the command's process tree, and signal exactly these.

The process tree is the command, its session and its cgroup if it has one of its own, the orphans
that zkexec adopted (`processes.py` describes when it does), and all descendants of these.  It
does not include the sessions of health checks and alerts, and the children that the process had
before it became zkexec, as in `other & exec zkexec ...`.

Most of it are descendants of zkexec, which are cheap to find.  A member of the session that was
orphaned before zkexec adopted orphans is an *outsider*.  To find one takes a search of all
processes, so this is done only if there can be one.

A process that ends before it is signalled is no error.  One that zkexec may not signal is left
alone, but still counts.
"""

from __future__ import annotations

import os
import select

from zkexec.lean import partial, signal, suppress
from zkexec.process.cgroup import CommandGroup
from zkexec.process.descendants import (
    find_descendants,
    find_session,
    has_children,
    is_in_use,
    read_below,
)
from zkexec.process.procfs import Process, read_process, with_descendants

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


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


def kill_session(leader: int) -> None:
    """SIGKILL a session and its descendants; the leader must be a child not reaped yet."""
    members = partial(_session_members, leader)
    # First one by one: a descendant in another session would be lost once its parent has ended.
    # Then the group at once: a process that forks and ends all the time escapes every scan.
    kill_all(members)
    send_to_group(leader, signal.SIGKILL)
    kill_all(members)


def freeze_group(leader: int) -> None:
    """Stop what is left of the group of an ended child that is not reaped yet.

    After the child is reaped, nothing of its group can escape `kill_rest` by forking.
    """
    send_to_group(leader, signal.SIGSTOP)


def kill_rest(session: int) -> None:
    """SIGKILL what is left of a session whose leader was reaped just now."""
    if is_in_use(session):
        kill_all(partial(_session_members, session))


def ends_within(child: int, limit_s: float) -> bool:
    """Wait for the end of a child, without reaping it; return whether it came in time."""
    try:
        descriptor = os.pidfd_open(child)
    except OSError:
        return False
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(1000 * limit_s))
    finally:
        os.close(descriptor)


def _session_members(session: int) -> list[Process]:
    everyone = find_session(session)
    return with_descendants(
        everyone, [process for process in everyone.values() if process.session == session]
    )


class ProcessTree:
    """The processes that belong to the command, and what must be remembered to find them.

    With `adopts_always`, zkexec adopts every orphan of the command, so there are no outsiders.
    """

    def __init__(self, *, own_session: bool, adopts_always: bool = False) -> None:
        self._own_session = own_session
        self._adopts_always = adopts_always
        self._leader = 0
        self._session = 0
        self._outsiders: list[Process] = []
        self._excluded: set[int] = set()
        self._foreign = _present_descendants()
        self.group = CommandGroup()
        self._grouped: set[int] = set()

    @property
    def session(self) -> int:
        """The session of the command, 0 if it has none of its own."""
        return self._session

    def begin(self, leader: int) -> None:
        """Begin the process tree of a new command, whose first process is `leader`."""
        self._leader = leader
        self._session = leader if self._own_session else 0
        self._outsiders = []

    def exclude_session(self, session: int) -> None:
        """Exclude the session of a health check or an alert from the process tree.

        Those that have ended are forgotten: the kernel gives their numbers to other sessions.
        """
        self._excluded = {one for one in self._excluded if is_in_use(one)}
        self._excluded.add(session)

    def command_reaped(self) -> None:
        """Forget the pid of the command, and its session if that is empty; call it at once.

        The number of a session is in use while a process lives in it.  After that the kernel can
        give it to another session, so it must be forgotten here.
        """
        self._leader = 0
        self.can_have_outsiders()

    def can_have_outsiders(self) -> bool:
        """Decide whether members can be elsewhere than among the descendants of zkexec.

        While the command is not reaped, its session is in use by itself, so this is not known.
        """
        if not self._leader and self._session and not is_in_use(self._session):
            self._session = 0
        return self._session != 0 and not self._adopts_always

    def near(self) -> list[Process]:
        """Return the living members that are no outsiders, parents before children."""
        return self._members_of(self._read_near())

    def outsiders(self) -> list[Process]:
        """Search for the outsiders, if there can be any; return them, parents before children.

        The session is read first.  So what a descendant of zkexec starts meanwhile is no outsider:
        it is in both, or only in what is read second.
        """
        if not self.can_have_outsiders():
            return []
        session = find_session(self._session)
        near = self._read_near()
        found = self._members_of({**session, **near})
        return [process for process in found if process.pid not in near]

    def members(self) -> list[Process]:
        """Return all living processes of the tree, parents before children."""
        return self._search(self._read_near())

    def count(self) -> int:
        """Count what is left of the process tree; if there is any, that can be too little.

        A scan takes time: a process that forks and ends meanwhile can hide its child from one
        scan, but not from the next.
        """
        if self._is_gone():
            return 0
        known = self.near() + [process for process in self._outsiders if _lives(process)]
        return len(known or self.members() or self.members())

    def _is_gone(self) -> bool:
        """Return True only if the tree is certainly empty; this reads no process."""
        return not (self._leader or self.can_have_outsiders() or has_children() or self.group.pids)

    def _read_near(self) -> dict[int, Process]:
        """Read the descendants of zkexec, and the cgroup."""
        self._grouped = set(self.group.pids)
        grouped = read_below(self._grouped) if self._grouped else {}
        return {**find_descendants(), **grouped}

    def _search(self, near: Mapping[int, Process]) -> list[Process]:
        if not self.can_have_outsiders():
            return self._members_of(near)
        found = self._members_of({**find_session(self._session), **near})
        self._outsiders = [process for process in found if process.pid not in near]
        return found

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


def _lives(process: Process) -> bool:
    now = read_process(process.pid)
    return now is not None and now.alive and now.identity == process.identity


def _present_descendants() -> frozenset[tuple[int, int]]:
    if not has_children():
        return frozenset()
    everyone = find_descendants()
    own = os.getpid()
    children = [process for process in everyone.values() if process.parent == own]
    return frozenset(process.identity for process in with_descendants(everyone, children))
