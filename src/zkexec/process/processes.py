"""All processes of zkexec: the child, the health check and the alert.

Nothing else starts, signals or reaps.  A pid is signalled only while it is known to be
taken: zkexec's own children until they are reaped, all others by their identity (`tree.py`).

With a controlling terminal the child lives in zkexec's process group, so that keys, job control
and pipelines are the kernel's and the shell's business; without one it leads a session of its
own.  A check and an alert always do.  Check and child are killed by the kernel when zkexec ends.

While a child is being stopped zkexec adopts orphans, so that none of them escapes from the
tree; otherwise it does so only as PID 1 or where it was asked to.  Two things stay out of sight:
under a terminal, what was orphaned before the stop; without one, what was orphaned before the
stop and had left the session.
"""

import ctypes
import os
import signal
import time
from collections.abc import Mapping

from zkexec.cli.shell_command import CommandLine
from zkexec.core.command import ENDING_SIGNALS
from zkexec.core.events import (
    AlertFinished,
    CommandExited,
    CommandStarted,
    Event,
    ExitStatus,
    HealthCheckFinished,
    ProcessTreeInspected,
    StartFailed,
)
from zkexec.frozen import frozen
from zkexec.process import socket_activation
from zkexec.process.cgroup import CommandGroup
from zkexec.process.inheritance import Inheritance
from zkexec.process.process_tree import ProcessTree, kill_all, kill_session, send, send_to_group
from zkexec.process.procfs import look
from zkexec.process.spawn import SpawnError, SpawnRequest, prctl, spawn
from zkexec.process.terminal import KEYS, is_job_control_shell, is_key

_CLOSE_LIMIT_S = 2.0
"""How long the end waits for the killed: one that hangs in a dead file system must not hold it."""
_PR_SET_CHILD_SUBREAPER = 36
_PR_GET_CHILD_SUBREAPER = 37


@frozen()
class _Running:
    """A process of ours that is not reaped yet."""

    pid: int
    generation: int = 0


class Processes:
    """The child, the check and the alert: at most one of each at a time."""

    def __init__(
        self,
        inheritance: Inheritance,
        *,
        command: CommandLine,
        health: CommandLine | None,
        alert: CommandLine | None,
        subreaper: bool,
    ) -> None:
        self._inheritance = inheritance
        self._command = command
        self._health = health
        self._alert_command = alert
        self._environment = socket_activation.of_others(inheritance.environment, os.getpid())
        self._sockets = socket_activation.sockets(inheritance.environment, os.getpid())
        self._always_adopts = subreaper or inheritance.is_pid1 or _is_subreaper()
        if subreaper:
            prctl(_PR_SET_CHILD_SUBREAPER, 1)
        self._tree = ProcessTree(own_session=not inheritance.has_terminal)
        self._child: _Running | None = None
        self._check: _Running | None = None
        self._alert: _Running | None = None
        self._unheard: set[int] = set()
        self.ending: ExitStatus | None = None
        """How the child ended that was started last; None while it runs."""
        self.generation = 0
        """That of the child that was started last, 0 if none ever was."""

    @property
    def command_runs(self) -> bool:
        """Whether the command runs."""
        return self._child is not None

    @property
    def check_generation(self) -> int | None:
        """The generation that the running health check was started for, None if none runs."""
        return self._check.generation if self._check else None

    @property
    def alert_runs(self) -> bool:
        """Whether an alert runs."""
        return self._alert is not None

    def start_command(self, generation: int) -> CommandStarted | StartFailed:
        """Start the command; the one before must have been reaped."""
        _require(self._child is None, "the child runs already")
        self._adopt(False)
        # A key that was pressed before the fork is for the child as well, who has not got it.
        self._unheard.clear()
        self._tree.clear_ground()
        try:
            pid = spawn(self._launch_of_child(), self._unheard)
        except SpawnError as error:
            return StartFailed(generation, error.reason, error.status)
        self._unheard &= KEYS
        self._child = _Running(pid, generation)
        self.generation, self.ending = generation, None
        self._tree.plant(pid)
        return CommandStarted(generation, pid)

    def use_group(self, group: CommandGroup) -> None:
        """Start the command in this cgroup from now on."""
        group.make()
        self._tree.group = group

    def signal_group(self, number: int) -> None:
        """Send a signal, once, to those of the tree that share the child's process group."""
        if self._child and not self._inheritance.has_terminal:
            send_to_group(self._child.pid, number)
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

        A stopped process can only answer a signal after CONT.  A group that the child leads gets
        it at once.  Of the others only a SIGKILL hits those that are forked meanwhile: what a
        shell starts in answer to a TERM is to do its work.
        """
        self._adopt(True)
        self._tree.adopt()
        if number == signal.SIGKILL:
            self._tree.group.kill()
            kill_all(self._tree.members)
            self._signal_directly(number)
            return
        members = self._tree.members()
        led = self._child.pid if self._child and not self._inheritance.has_terminal else 0
        if led or not members:
            self._signal_directly(number, signal.SIGCONT)
        for process in members:
            # A group of another pid namespace reads as 0, as does the one that nobody leads.
            if not led or process.group != led:
                send(process, number, signal.SIGCONT)
        # Here the child is on its way; after its end everybody would wait for this second look.
        self._tree.members()

    def inspect_tree(self, generation: int) -> ProcessTreeInspected:
        """Count what is left of the tree, the child included until it is reaped.

        The generation only marks the answer.
        """
        return ProcessTreeInspected(generation, self._tree.count() or int(self._child is not None))

    def run_check(self, generation: int) -> list[Event]:
        """Start the health check; the answer is empty unless it could not be started."""
        _require(self._check is None, "a health check runs already")
        try:
            launch = self._launch(self._health, dies_with_parent=True, stdout_to_stderr=True)
            pid = spawn(launch)
        except SpawnError as error:
            return [HealthCheckFinished(generation, False, error.reason)]
        self._check = _Running(pid, generation)
        self._tree.set_apart(pid)
        return []

    def kill_check(self) -> None:
        """SIGKILL the running check with all it started; its end comes through `reap`."""
        if self._check:
            kill_session(self._check.pid, self._tree.orphans)

    def run_alert(self, environment: Mapping[str, str]) -> list[Event]:
        """Start the alert with these additions to the environment; answers like `run_check`."""
        _require(self._alert is None, "an alert runs already")
        additions = {
            name.encode(): value.replace("\0", "").encode("utf-8", "surrogateescape")
            for name, value in environment.items()
        }
        try:
            pid = spawn(self._launch(self._alert_command, additions))
        except SpawnError as error:
            return [AlertFinished(error.reason)]
        self._alert = _Running(pid)
        self._tree.set_apart(pid)
        return []

    def kill_alert(self) -> None:
        """SIGKILL the running alert with all it started; its end comes through `reap`."""
        if self._alert:
            kill_session(self._alert.pid, self._tree.orphans)

    def reap(self) -> list[Event]:
        """Reap whoever has ended, adopted orphans as well; to be called after each SIGCHLD."""
        events: list[Event] = []
        while pid := _next_ended():
            # As long as it is not reaped, nobody else can have its pid.
            if self._check and pid == self._check.pid:
                kill_session(pid, self._tree.orphans)
            elif self._child and pid == self._child.pid:
                self._tree.command_ended()
            _, status = os.waitpid(pid, 0)
            events += self._reaped(pid, _ending(status))
        return events

    def close(self) -> None:
        """At the end: kill what is left of check and alert, and reap them."""
        self.kill_check()
        self.kill_alert()
        self._tree.group.remove()
        until = time.monotonic() + _CLOSE_LIMIT_S
        self.reap()
        while (self._check or self._alert) and (left := until - time.monotonic()) > 0:
            # Only a pause: what this call returns need not be true, see `pending.py`.
            signal.sigtimedwait({signal.SIGCHLD}, left)
            self.reap()

    def sender_is_terminal(self, info: signal.struct_siginfo) -> bool:
        """Whether a signal came to the whole group, the child included, from the terminal.

        So do the terminal's keys and changes of its size, and the CONT of a shell's `fg` and
        `bg`.  That shell is in zkexec's session but not in its group, and one CONT that it
        sends to zkexec alone looks the same; but then the child is still stopped.
        """
        if not self._inheritance.has_terminal:
            return False
        child = look(self._child.pid) if self._child else None
        if child and child.group != os.getpgrp():
            return False
        if info.si_signo == signal.SIGCONT:
            return is_job_control_shell(info.si_pid) and not (child and child.stopped)
        if info.si_signo in self._unheard:
            self._unheard.discard(info.si_signo)
            return False
        return is_key(info)

    def _launch_of_child(self) -> SpawnRequest:
        inherited, own = self._inheritance, os.getpid()
        return SpawnRequest(
            argv=self._command.argv,
            environment={
                **socket_activation.of_command(inherited.environment, own),
                **dict(self._command.variables),
            },
            mask=inherited.mask,
            ignored=inherited.ignored,
            own_session=not inherited.has_terminal,
            dies_with_parent=True,
            named_by_pid=socket_activation.named_by_pid(inherited.environment, own),
            cgroup=self._tree.group.path,
        )

    def _launch(
        self,
        command: CommandLine | None,
        additions: Mapping[bytes, bytes] | None = None,
        *,
        dies_with_parent: bool = False,
        stdout_to_stderr: bool = False,
    ) -> SpawnRequest:
        """A check or an alert, which reads nothing, in a session of its own."""
        if command is None:
            raise RuntimeError("there is no such command")
        return SpawnRequest(
            argv=command.argv,
            environment={**self._environment, **(additions or {}), **dict(command.variables)},
            mask=self._inheritance.mask,
            ignored=self._inheritance.ignored,
            own_session=True,
            dies_with_parent=dies_with_parent,
            null_stdin=True,
            stdout_to_stderr=stdout_to_stderr,
            closed=self._sockets,
        )

    def _groups(self) -> set[int]:
        """The process groups that a signal to the child's group is meant for."""
        groups = {os.getpgrp() if self._inheritance.has_terminal else self._tree.session}
        child = look(self._child.pid) if self._child else None
        return groups | {child.group} if child else groups

    def _signal_directly(self, *numbers: int) -> None:
        """Reach the child itself, or its group, without a look into /proc."""
        if self._child is None:
            return
        for number in numbers:
            if self._inheritance.has_terminal:
                os.kill(self._child.pid, number)
            else:
                send_to_group(self._child.pid, number)

    def _reaped(self, pid: int, ending: ExitStatus) -> list[Event]:
        if self._child and pid == self._child.pid:
            child, self._child, self.ending = self._child, None, ending
            return [CommandExited(child.generation, ending)]
        if self._check and pid == self._check.pid:
            check, self._check = self._check, None
            return [HealthCheckFinished(check.generation, not ending.failed, str(ending))]
        if self._alert and pid == self._alert.pid:
            self._alert = None
            return [AlertFinished(str(ending) if ending.failed else "")]
        return []

    def _adopt(self, adopts: bool) -> None:
        if not self._always_adopts:
            prctl(_PR_SET_CHILD_SUBREAPER, int(adopts))


def ending_is_asked_for() -> bool:
    """Whether a signal waits that asks zkexec to end."""
    return not ENDING_SIGNALS.isdisjoint(signal.sigpending())


def _is_subreaper() -> bool:
    """Whether the caller made this process a subreaper, before it became zkexec."""
    answer = ctypes.c_int()
    prctl(_PR_GET_CHILD_SUBREAPER, ctypes.addressof(answer))
    return bool(answer.value)


def _require(condition: bool, otherwise: str) -> None:
    """Crash on a programmer's error."""
    if not condition:
        raise RuntimeError(otherwise)


def _next_ended() -> int:
    """The pid of a child that has ended and is not reaped, or 0."""
    try:
        ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return 0
    return ended.si_pid if ended else 0


def _ending(status: int) -> ExitStatus:
    code = os.waitstatus_to_exitcode(status)
    return ExitStatus(code=code) if code >= 0 else ExitStatus(signal=-code)
