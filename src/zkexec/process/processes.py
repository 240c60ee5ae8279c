"""Start, signal and reap the command, and reap all other children of zkexec.

A pid is signalled only while it is certain whose it is: zkexec's own children until they are
reaped, all others by their identity (`process_tree.py`).

With a controlling terminal the command runs in zkexec's process group, so that keys, job control
and pipelines work by the kernel and the shell; without one it leads a session of its own.  The
kernel kills the command when zkexec ends.

While a command is being stopped, zkexec adopts orphans, so that none escapes from the process tree;
otherwise it does so only as PID 1 or with `--subreaper`.  Two kinds of processes are not found:
with a terminal, those orphaned before the stop; without one, those that were orphaned before the
stop and had left the session.
"""

from __future__ import annotations

import os
import time

from zkexec.command_line import CommandLine
from zkexec.core.command import ENDING_SIGNALS
from zkexec.core.events import (
    CommandExited,
    CommandStarted,
    Event,
    ExitStatus,
    ProcessTreeInspected,
    StartFailed,
)
from zkexec.lean import signal, suppress
from zkexec.process import socket_activation
from zkexec.process.auxiliary import AuxiliaryProcesses
from zkexec.process.c_library import is_subreaper, prctl
from zkexec.process.cgroup import CommandGroup
from zkexec.process.incoming_signals import KEYS, is_job_control_shell, is_key
from zkexec.process.inheritance import Inheritance
from zkexec.process.process_tree import (
    ProcessTree,
    ends_within,
    kill_all,
    send,
    send_to_group,
)
from zkexec.process.procfs import Process, read_process
from zkexec.process.spawn import SpawnError, SpawnRequest, spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from zkexec.process.command_stderr import CommandStderr


_CLOSE_LIMIT_S = 2.0
"""The longest wait for killed processes at the end: one can hang in a dead file system."""
_SOON_S = 0.02
"""How long a search for outsiders waits for the end of the command, which can make it needless."""
_PR_SET_CHILD_SUBREAPER = 36
_OF_JOURNAL = b"JOURNAL_STREAM"
"""By this variable of systemd a program recognizes a stderr that is the journal."""


class Processes:
    """The command, at most one at a time, and what runs beside it."""

    def __init__(
        self,
        inheritance: Inheritance,
        *,
        command: CommandLine,
        health: CommandLine | None,
        alert: CommandLine | None,
        subreaper: bool,
        pristine: bool = False,
    ) -> None:
        """`pristine`: the command inherits no variables."""
        self._inheritance = inheritance
        self._command_line = command
        self._environment = {} if pristine else inheritance.environment
        self._always_adopts = subreaper or inheritance.is_pid1 or is_subreaper()
        if subreaper:
            prctl(_PR_SET_CHILD_SUBREAPER, 1)
        self._tree = ProcessTree(
            own_session=not inheritance.has_terminal, adopts_always=self._always_adopts
        )
        self.auxiliaries = AuxiliaryProcesses(
            inheritance, self._tree.exclude_session, health=health, alert=alert
        )
        self._for_outsiders: tuple[int, int] | None = None
        """The signal that the outsiders have to get, and the group that has got it already."""
        self.command_pid = 0
        """The pid of the command, 0 if it does not run."""
        self._missed_signals: set[int] = set()
        self._stderr: CommandStderr | None = None
        self.ending: ExitStatus | None = None
        """How the last started command ended; None while it runs."""
        self.generation = 0
        """The generation of the last started command, 0 if none was started."""

    @property
    def command_runs(self) -> bool:
        """Whether the command runs."""
        return self.command_pid != 0

    def start_command(
        self, generation: int, variables: Mapping[str, bytes] | None = None
    ) -> CommandStarted | StartFailed:
        """Start the command; the one before must have been reaped.

        `variables` come from inputs.  What runs beside the command gets them as well, but alerts.
        """
        _require(not self.command_pid, "the command runs already")
        self.auxiliaries.variables = {
            os.fsencode(name): text for name, text in (variables or {}).items()
        }
        self._adopt(False)
        self._for_outsiders = None
        # A key that was pressed before the fork is for the command, too, which has not got it.
        self._missed_signals.clear()
        missed = self._missed_signals if self._inheritance.has_terminal else None
        if self._stderr is not None:
            self._stderr.begin()
        try:
            pid = spawn(self._request_for_command(), missed)
        except SpawnError as error:
            return StartFailed(generation, error.reason, error.status)
        self._missed_signals &= KEYS
        self.command_pid = pid
        self.generation, self.ending = generation, None
        self._tree.begin(pid)
        return CommandStarted(generation, pid)

    def use_group(self, group: CommandGroup) -> None:
        """Start the command in this cgroup from now on."""
        group.make()
        self._tree.group = group

    def keep_stderr(self, stderr: CommandStderr) -> None:
        """Start the command with this pipe as its stderr from now on."""
        self._stderr = stderr

    @property
    def last_line(self) -> str:
        """The last line that the command wrote to stderr, "" if that is not kept."""
        if self._stderr is None:
            return ""
        self._stderr.catch_up()
        return self._stderr.last_line

    def expect_reload(self) -> None:
        """Count only what the command writes from now on: it gets other files to load."""
        if self._stderr is not None:
            self._stderr.begin()

    def signal_group(self, number: int) -> None:
        """Send a signal, once, to the processes of the tree in the command's process group."""
        if self.command_pid and not self._inheritance.has_terminal:
            send_to_group(self.command_pid, number)
            return
        members = self._tree.members()
        groups = self._groups()
        for process in members:
            if process.group in groups:
                send(process, number)
        if not members:
            self._signal_directly(number)

    def signal_tree(self, number: int) -> None:
        """Send a signal to every process of the tree, parents first, and wake the stopped.

        A stopped process handles a signal only after CONT.  A group that the command leads gets
        the signal at once.  In the others only a SIGKILL reaches processes that are forked
        meanwhile: what a shell starts when it handles a TERM should finish its work.

        Outsiders get the signal last.  Most commands have none and end at once, and when such a
        command is reaped, one system call shows that there is none.  So the search for them waits
        a moment for the end of the command.
        """
        self._adopt(True)
        running = self.command_pid
        led = 0 if self._inheritance.has_terminal else running
        self._for_outsiders = number, led
        if number == signal.SIGKILL:
            self._tree.group.kill()
            kill_all(self._tree.near)
            self._signal_directly(number)
        else:
            members = self._tree.near()
            if led or not members:
                self._signal_directly(number, signal.SIGCONT)
            _send_beside(led, members, number)
        is_ending = (
            running != 0 and self._tree.can_have_outsiders() and ends_within(running, _SOON_S)
        )
        if not is_ending:
            self._signal_outsiders()

    def signal_command(self, number: int) -> None:
        """Send a signal to the command's own process, if it runs, and to no other."""
        if self.command_pid:
            # It can have another user.
            with suppress(PermissionError):
                os.kill(self.command_pid, number)

    def inspect_tree(self, generation: int) -> ProcessTreeInspected:
        """Count what is left of the process tree, including the command until it is reaped.

        The generation only marks the answer.
        """
        return ProcessTreeInspected(generation, self._tree.count() or int(self.command_runs))

    def reap(self) -> list[Event]:
        """Reap the children that have ended, also adopted orphans; call it after each SIGCHLD."""
        events: list[Event] = []
        while pid := _next_ended():
            # While it is not reaped, no other process can have its pid.
            is_auxiliary = self.auxiliaries.ended(pid)
            _, status = os.waitpid(pid, 0)
            if is_auxiliary:
                events.append(self.auxiliaries.reaped(pid, _ending(status)))
            elif pid == self.command_pid:
                self._tree.command_reaped()
                events.append(self._command_ended(_ending(status)))
                self._signal_outsiders()
        return events

    def close(self) -> None:
        """Kill what still runs beside the command at the end, reap it, and pass on what is left."""
        self.auxiliaries.kill_all()
        self._tree.group.remove()
        until = time.monotonic() + _CLOSE_LIMIT_S
        self.reap()
        while self.auxiliaries.any_runs and (left := until - time.monotonic()) > 0:
            # This is only a pause: the result can be wrong, see `incoming_signals.py`.
            signal.sigtimedwait({signal.SIGCHLD}, left)
            self.reap()
        if self._stderr is not None:
            self._stderr.close()

    def sender_is_terminal(self, info: signal.struct_siginfo) -> bool:
        """Return whether the terminal sent a signal to the whole group, including the command.

        It does so for its keys and changes of its size.  The CONT of a shell's `fg` and `bg` comes
        to the whole group, too.  The shell is in zkexec's session but not in its group; if it sends
        a CONT to zkexec alone, the command is still stopped.
        """
        if not self._inheritance.has_terminal:
            return False
        command = read_process(self.command_pid) if self.command_pid else None
        if command and command.group != os.getpgrp():
            return False
        if info.si_signo == signal.SIGCONT:
            return is_job_control_shell(info.si_pid) and not (command and command.stopped)
        if info.si_signo in self._missed_signals:
            self._missed_signals.discard(info.si_signo)
            return False
        return is_key(info)

    def _request_for_command(self) -> SpawnRequest:
        inherited, own = self._inheritance, os.getpid()
        environment = socket_activation.of_command(self._environment, own)
        if self._stderr is not None:
            environment.pop(_OF_JOURNAL, None)
        return SpawnRequest(
            argv=self._command_line.argv,
            environment={
                **environment,
                **self.auxiliaries.variables,
                **dict(self._command_line.variables),
            },
            searched={**inherited.environment, **dict(self._command_line.variables)},
            mask=inherited.mask,
            ignored=inherited.ignored,
            own_session=not inherited.has_terminal,
            dies_with_parent=True,
            named_by_pid=socket_activation.named_by_pid(self._environment, own),
            cgroup=self._tree.group.path,
            stderr=self._stderr.writer if self._stderr is not None else None,
        )

    def _groups(self) -> set[int]:
        """Return the process groups that a signal to the command's group is for."""
        groups = {os.getpgrp() if self._inheritance.has_terminal else self._tree.session}
        command = read_process(self.command_pid) if self.command_pid else None
        return groups | {command.group} if command else groups

    def _signal_directly(self, *numbers: int) -> None:
        """Signal the command itself, or its group, without reading /proc."""
        if not self.command_pid:
            return
        for number in numbers:
            if self._inheritance.has_terminal:
                self.signal_command(number)
            else:
                send_to_group(self.command_pid, number)

    def _signal_outsiders(self) -> None:
        """Send the outsiders the signal that the rest of the process tree has got."""
        if self._for_outsiders is None:
            return
        number, group = self._for_outsiders
        self._for_outsiders = None
        if number == signal.SIGKILL:
            kill_all(self._tree.outsiders)
        else:
            _send_beside(group, self._tree.outsiders(), number)

    def _command_ended(self, ending: ExitStatus) -> CommandExited:
        self.command_pid, self.ending = 0, ending
        if self._stderr is None:
            return CommandExited(self.generation, ending)
        self._stderr.drain()
        return CommandExited(self.generation, ending, self._stderr.last_line)

    def _adopt(self, adopts: bool) -> None:
        if not self._always_adopts:
            prctl(_PR_SET_CHILD_SUBREAPER, int(adopts))


def end_is_requested() -> bool:
    """Return whether a signal is pending that requests the end of zkexec."""
    return not ENDING_SIGNALS.isdisjoint(signal.sigpending())


def _require(condition: bool, otherwise: str) -> None:
    """Raise RuntimeError on an error of the programmer."""
    if not condition:
        raise RuntimeError(otherwise)


def _send_beside(group: int, processes: Iterable[Process], number: int) -> None:
    """Send a signal and CONT to these processes, but not to those of the group."""
    for process in processes:
        # A group of another pid namespace is shown as 0, as is one without a leader.
        if not group or process.group != group:
            send(process, number, signal.SIGCONT)


def _next_ended() -> int:
    """Return the pid of a child that has ended and is not reaped, or 0."""
    try:
        ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return 0
    return ended.si_pid if ended else 0


def _ending(status: int) -> ExitStatus:
    code = os.waitstatus_to_exitcode(status)
    return ExitStatus(code=code) if code >= 0 else ExitStatus(signal=-code)
