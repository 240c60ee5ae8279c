"""Find what an earlier zkexec left of its command, and stop it before the next start.

If zkexec is killed, the kernel kills the command, but not what the command started, and not a
command that changed its user.  So zkexec notes its command in a small file of the runtime folder:

- A zkexec locks its file while it lives.  Files of one kind of zkexec (the same command, inputs,
  lock, cluster and working directory) are numbered, so two of them on one host have two files, and
  a locked file belongs to a living zkexec.  Each kind has a folder, so that a start does not read
  the names of all files.
- A process is signalled only if it certainly belongs to the noted command (`belongs_to`).
- If no folder can be used, or the boot has no ID that can be read, nothing is noted.  PID 1 leaves
  nothing behind.
"""

from __future__ import annotations

import fcntl
import os
import time
from itertools import count

from zkexec.core.policy import Policy
from zkexec.frozen import frozen
from zkexec.lean import suppress
from zkexec.process.cgroup import CommandGroup, delegated_to_us
from zkexec.process.descendants import is_in_use, read_below
from zkexec.process.process_tree import send
from zkexec.process.procfs import (
    Process,
    list_pids,
    read_boot_id,
    read_process,
    read_processes,
    session_of,
    with_descendants,
)
from zkexec.process.runtime_folder import NoRuntimeFolderError, open_first

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


_SIGKILL, _SIGCONT = 9, 18
_VERSION = "2"
_CONFIRM_AFTER_S = (0.1, 1.0)
"""When a start is confirmed; later each health check and each arming of watches does so."""
_RECORD_BYTES = 256
_FILE_FLAGS = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_PAUSE_S = 0.05
_GIVE_UP_S = 10.0
"""How long to wait for killed processes; then the command is started beside them."""


@frozen()
class Remembered:
    """A command as its zkexec noted it; times are in clock ticks since the machine booted.

    `pid_space` identifies the boot and the pid namespace.  `session` is 0 if the command had none
    of its own.  `confirmed` is the last time at which it certainly ran.
    """

    pid_space: str
    leader: int
    started: int
    session: int
    confirmed: int


def belongs_to(command: Remembered, leader: Process | None, session: Sequence[Process]) -> bool:
    """Decide whether the processes that have these numbers now belong to the command.

    `leader` has the pid of the command, `session` are the members of its session.
    """
    if leader is not None:
        return leader.started == command.started
    # No process can enter an existing session, so a member from that time is of the command.
    return any(command.started <= one.started < command.confirmed for one in session)


class Leftovers:
    """The noted command of one zkexec, and what is left of those of earlier ones."""

    def __init__(self, kind: str, policy: Policy, *, own_session: bool, is_pid1: bool) -> None:
        """`kind` identifies those zkexec that start the same command for the same purpose."""
        self._kind = kind
        self._policy = policy
        self._own_session = own_session
        self.has_searched = is_pid1
        """Whether `stop` has nothing more to do."""
        self._above = self._folder = self._file = -1
        self._name = ""
        self._delegated = "" if is_pid1 else delegated_to_us()
        self._command: Remembered | None = None
        self._due: list[float] = []

    def stop(self, report: Callable[[int], None], is_urgent: Callable[[], bool]) -> list[int]:
        """Stop what earlier ones left, and take a file; call it before the first start.

        `report` gets the number of processes that were found.  Return the pids of those that could
        not be stopped.
        """
        remaining: list[int] = []
        if not self.has_searched:
            self.has_searched = True
            # With a full disk, or without a usable folder, nothing is noted.
            with suppress(OSError, NoRuntimeFolderError):
                for file, name in self._free_files():
                    group = self._group_of(name)
                    stopping = _Stopping(
                        self._policy, _LeftProcesses(_read(file), group), is_urgent
                    )
                    remaining += stopping.stop(report)
                    os.ftruncate(file, 0)
                    group.remove()
        return remaining

    @property
    def group(self) -> CommandGroup:
        """The cgroup for the command, if it can have one and is noted."""
        return self._group_of(self._name) if self._file >= 0 else CommandGroup()

    def _group_of(self, name: str) -> CommandGroup:
        above = self._delegated
        return CommandGroup(f"{above}/zkexec-{self._kind}-{name}" if above else "")

    def note(self, pid: int) -> None:
        """Note the command that was just started, if that is possible.  Raises nothing."""
        self._command = None
        self._due = []
        process = read_process(pid) if self._file >= 0 else None
        if process is None or not (pid_space := _pid_space()):
            return
        session = pid if self._own_session else 0
        self._command = Remembered(pid_space, pid, process.started, session, 0)
        self.confirm()
        now = _now()
        self._due = [now + after_s for after_s in _CONFIRM_AFTER_S]

    @property
    def due(self) -> float | None:
        """When `confirm_what_is_due` has something to do, on the clock of `note`."""
        return self._due[0] if self._due else None

    def confirm_what_is_due(self, now: float, *, runs: bool) -> None:
        """Note soon after the start that the command still runs, if it does."""
        while self._due and self._due[0] <= now:
            del self._due[0]
            if runs:
                self.confirm()

    def confirm(self) -> None:
        """Note that the command still runs, which the caller knows."""
        if self._command is None:
            return
        now = int(_now() * os.sysconf("SC_CLK_TCK"))
        one = self._command
        fields = (_VERSION, one.pid_space, one.leader, one.started, one.session, now)
        line = " ".join(map(str, fields))
        with suppress(OSError):
            os.pwrite(self._file, line.ljust(_RECORD_BYTES).encode(), 0)

    def forget(self) -> None:
        """Remove the note at a regular end: what is left now was left by the command itself."""
        self._command = None
        self._due.clear()
        if self._file >= 0:
            with suppress(OSError):
                os.unlink(self._name, dir_fd=self._folder)
                os.rmdir(self._kind, dir_fd=self._above)  # fails if there are others of this kind
            os.close(self._file)
            self._file = -1

    def _free_files(self) -> Iterator[tuple[int, str]]:
        """Lock and yield the file of each zkexec that is gone; keep the first, or make one."""
        self._above = open_first().descriptor
        self._folder = _open_kind(self._above, self._kind)
        names = sorted(os.listdir(self._folder))
        for name in names:
            file = _lock(self._folder, name, _FILE_FLAGS)
            if file < 0:
                continue
            yield file, name
            if self._file < 0:
                self._file, self._name = file, name
            else:
                os.unlink(name, dir_fd=self._folder)
                os.close(file)
        while self._file < 0:
            try:
                self._make_file()
            except FileNotFoundError:
                # The last zkexec of this kind has just removed the folder.
                os.close(self._folder)
                self._folder = _open_kind(self._above, self._kind)
            else:
                yield self._file, self._name  # its cgroup can contain processes

    def _make_file(self) -> None:
        for number in count():
            self._name = str(number)
            self._file = _lock(self._folder, self._name, _FILE_FLAGS | os.O_CREAT)
            if self._file >= 0:
                return


def _open_kind(above: int, kind: str) -> int:
    """Open the folder for one kind of zkexec, and make it if it is missing."""
    while True:
        with suppress(FileExistsError):
            os.mkdir(kind, 0o700, dir_fd=above)
        # Another zkexec can remove it between the two calls.
        with suppress(FileNotFoundError):
            return os.open(
                kind, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above
            )


def _lock(folder: int, name: str, flags: int) -> int:
    """Open a file and lock it; -1 if another zkexec has locked it, or has just removed it.

    Raises FileNotFoundError if a file cannot be created because its folder was removed.
    """
    try:
        file = os.open(name, flags, 0o600, dir_fd=folder)
    except FileNotFoundError:
        if flags & os.O_CREAT:
            raise
        return -1
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # A lock on a file that was removed meanwhile excludes no other zkexec.
        if os.path.samestat(os.fstat(file), os.stat(name, dir_fd=folder)):
            return file
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(file)
    return -1


class _LeftProcesses:
    """What can be left of one zkexec: its noted command, and its cgroup."""

    def __init__(self, command: Remembered | None, group: CommandGroup) -> None:
        self._command = command
        self._group = group

    def members(self) -> list[Process]:
        """Return all living processes that certainly belong to it, parents before children."""
        found = {one.pid: one for one in _members(self._command)} if self._command else {}
        grouped = read_processes(self._group.pids)
        return list(found.values()) + [
            one for pid, one in grouped.items() if one.alive and pid not in found
        ]

    def kill(self) -> None:
        """SIGKILL all of it."""
        self._group.kill()
        for process in self.members():
            send(process, _SIGKILL)


class _Stopping:
    """Stops left processes: with the kill signal, and with SIGKILL after the kill timeout."""

    def __init__(self, policy: Policy, left: _LeftProcesses, is_urgent: Callable[[], bool]) -> None:
        self._policy = policy
        self._left = left
        self._is_urgent = is_urgent

    def stop(self, report: Callable[[int], None]) -> list[int]:
        """Stop them, and return the pids of those that are still left."""
        members = self._left.members()
        if not members:
            return []
        report(len(members))
        for process in members:
            send(process, self._policy.kill_signal, _SIGCONT)
        kill_at = time.monotonic() + self._policy.kill_timeout_s
        while (members := self._left.members()) and time.monotonic() < kill_at:
            if self._is_urgent():
                break
            time.sleep(_PAUSE_S)
        give_up_at = time.monotonic() + _GIVE_UP_S
        while members and time.monotonic() < give_up_at:
            self._left.kill()
            time.sleep(_PAUSE_S)
            members = self._left.members()
        return [process.pid for process in members]


def _now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _pid_space() -> str:
    """Identify where pids have the same meaning: until the next boot, in one pid namespace.

    It is "" if that cannot be read, as with `ProcSubset=pid` of systemd.
    """
    boot = read_boot_id()
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""
    # The number of a namespace is reused, but then its first process is another one.
    first = read_process(1)
    return boot and f"{boot}/{namespace}/{first.started if first else ''}"


def _members(command: Remembered) -> list[Process]:
    """Return all living processes that certainly belong to the command, parents first."""
    # A noted one is never empty.
    if command.pid_space != _pid_space() or os.getsid(0) == command.session:
        return []
    if not is_in_use(command.leader):
        return []
    # What is left can be anywhere, so every process is asked, but only after a sudden death.
    pids = [pid for pid in list_pids() if session_of(pid) == command.session != 0]
    session = read_processes(pids)
    leader = read_process(command.leader)
    if not belongs_to(command, leader, list(session.values())):
        return []
    everyone = read_below([*pids, command.leader])
    roots = [one for one in everyone.values() if one.pid in session or one.pid == command.leader]
    found = with_descendants(everyone, roots)
    # This should be impossible, but zkexec must never stop itself.
    return [] if any(process.pid == os.getpid() for process in found) else found


def _read(file: int) -> Remembered | None:
    """Read the noted command; None if there is none, or it cannot be read."""
    try:
        version, pid_space, *numbers = os.pread(file, _RECORD_BYTES, 0).decode().split()
        leader, started, session, confirmed = (int(number[:20]) for number in numbers)
    except ValueError:
        return None
    if version != _VERSION or leader <= 1 or session not in (0, leader):
        return None
    return Remembered(pid_space, leader, started, session, confirmed)
