"""Run commands beside the command: the health check, the alert, and the commands of steps.

Each kind runs at most once at a time, with /dev/null as stdin and in a session of its own, which is
not part of the command's process tree.  All but the alert are bound to zkexec: the kernel kills
them when zkexec ends, and what they leave behind is killed when they end.
"""

from __future__ import annotations

import os

from zkexec.command_line import CommandLine
from zkexec.core.events import AlertFinished, Event, ExitStatus, HealthCheckFinished
from zkexec.frozen import frozen
from zkexec.process import socket_activation
from zkexec.process.inheritance import Inheritance
from zkexec.process.process_tree import freeze_group, kill_rest, kill_session
from zkexec.process.spawn import SpawnError, SpawnRequest, spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_STDERR = 2
_HEALTH_CHECK, _ALERT = "health check", "alert"


@frozen()
class _Auxiliary:
    """A child that is not reaped yet; `report` makes the event of its end."""

    pid: int
    is_bound: bool
    report: Callable[[ExitStatus], Event]
    generation: int | None = None


class AuxiliaryProcesses:
    """The children of zkexec beside the command, by their kinds."""

    def __init__(
        self,
        inheritance: Inheritance,
        exclude_session: Callable[[int], None],
        *,
        health: CommandLine | None,
        alert: CommandLine | None,
    ) -> None:
        """`exclude_session` excludes a session from the process tree of the command."""
        self._inheritance = inheritance
        self._environment = socket_activation.of_others(inheritance.environment, os.getpid())
        self._sockets = socket_activation.sockets(inheritance.environment, os.getpid())
        self._exclude_session = exclude_session
        self._health = health
        self._alert = alert
        self.variables: Mapping[bytes, bytes] = {}
        """The variables of the running command that come from inputs."""
        self._running: dict[str, _Auxiliary] = {}

    @property
    def check_generation(self) -> int | None:
        """The generation that the running health check was started for, None if none runs."""
        check = self._running.get(_HEALTH_CHECK)
        return check.generation if check else None

    @property
    def alert_runs(self) -> bool:
        """Whether an alert runs."""
        return _ALERT in self._running

    @property
    def any_runs(self) -> bool:
        """Whether at least one of them runs."""
        return bool(self._running)

    def run_check(self, generation: int) -> list[Event]:
        """Start the health check; return an event only if it could not be started."""

        def report(ending: ExitStatus) -> Event:
            return HealthCheckFinished(generation, not ending.failed, str(ending))

        try:
            pid = self._start(_HEALTH_CHECK, self._bound(self._health, {}, _STDERR, self.variables))
        except SpawnError as error:
            return [HealthCheckFinished(generation, False, error.reason)]
        self._running[_HEALTH_CHECK] = _Auxiliary(pid, True, report, generation)
        return []

    def kill_check(self) -> None:
        """SIGKILL the running health check with its processes; `reaped` reports its end."""
        self._kill(_HEALTH_CHECK)

    def run_alert(self, environment: Mapping[str, str]) -> list[Event]:
        """Start the alert with these additional variables; return events as `run_check` does."""

        def report(ending: ExitStatus) -> Event:
            return AlertFinished(str(ending) if ending.failed else "")

        try:
            pid = self._start(_ALERT, self._request(self._alert, environment, _STDERR))
        except SpawnError as error:
            return [AlertFinished(error.reason)]
        self._running[_ALERT] = _Auxiliary(pid, False, report)
        return []

    def kill_alert(self) -> None:
        """SIGKILL the running alert with its processes; `reaped` reports its end."""
        self._kill(_ALERT)

    def run_step(
        self,
        step: str,
        command: CommandLine,
        environment: Mapping[str, str],
        output: int,
        report: Callable[[ExitStatus], Event],
        variables: Mapping[bytes, bytes] | None = None,
    ) -> None:
        """Start the command of a step, with the descriptor `output` as its stdout and stderr.

        `report` is called when it has ended, and nothing of its session is left.  `variables` come
        from inputs, by default those of the running command.  Raises SpawnError.
        """
        variables = self.variables if variables is None else variables
        pid = self._start(step, self._bound(command, environment, output, variables))
        self._running[step] = _Auxiliary(pid, True, report)

    def run_own_program(
        self,
        kind: str,
        argv: Sequence[bytes],
        environment: Mapping[bytes, bytes],
        output: int,
        report: Callable[[ExitStatus], Event],
    ) -> None:
        """Start a program of zkexec's own, which gets nothing from the caller of zkexec.

        It has this environment only, and no signal is blocked or ignored.  For the rest it is like
        the command of a step, also for `kill_step` and `drop_step`.  Raises SpawnError.
        """
        request = SpawnRequest(
            argv=argv,
            environment=environment,
            mask=frozenset(),
            ignored=frozenset(),
            own_session=True,
            dies_with_parent=True,
            null_stdin=True,
            output=output,
            closed=self._sockets,
        )
        self._running[kind] = _Auxiliary(self._start(kind, request), True, report)

    def kill_step(self, step: str) -> None:
        """SIGKILL the running command of this step with its processes; `reaped` reports its end."""
        self._kill(step)

    def drop_step(self, step: str) -> None:
        """Kill it as `kill_step` does; its end is not reported."""
        self._kill(step)
        self._running.pop(step, None)

    def kill_all(self) -> None:
        """SIGKILL all of them."""
        for kind in self._running:
            self._kill(kind)

    def ended(self, pid: int) -> bool:
        """Decide whether a child that has ended is one of them; call it before it is reaped."""
        kind = self._kind_of(pid)
        if kind and self._running[kind].is_bound:
            freeze_group(pid)
        return bool(kind)

    def reaped(self, pid: int, ending: ExitStatus) -> Event:
        """Return the event of an end; call it directly after the child is reaped."""
        auxiliary = self._running.pop(self._kind_of(pid))
        if auxiliary.is_bound:
            kill_rest(pid)
        return auxiliary.report(ending)

    def _kind_of(self, pid: int) -> str:
        return next((kind for kind, one in self._running.items() if one.pid == pid), "")

    def _start(self, kind: str, request: SpawnRequest) -> int:
        if kind in self._running:
            raise RuntimeError(f"the {kind} runs already")
        pid = spawn(request)
        self._exclude_session(pid)
        return pid

    def _kill(self, kind: str) -> None:
        if kind in self._running:
            kill_session(self._running[kind].pid)

    def _bound(
        self,
        command: CommandLine | None,
        environment: Mapping[str, str],
        output: int,
        variables: Mapping[bytes, bytes],
    ) -> SpawnRequest:
        return self._request(command, environment, output, variables, dies_with_parent=True)

    def _request(
        self,
        command: CommandLine | None,
        environment: Mapping[str, str],
        output: int,
        variables: Mapping[bytes, bytes] | None = None,
        *,
        dies_with_parent: bool = False,
    ) -> SpawnRequest:
        if command is None:
            raise RuntimeError("there is no such command")
        additions = {
            name.encode(): value.replace("\0", "").encode("utf-8", "surrogateescape")
            for name, value in environment.items()
        }
        return SpawnRequest(
            argv=command.argv,
            environment={
                **self._environment,
                **(variables or {}),
                **additions,
                **dict(command.variables),
            },
            mask=self._inheritance.mask,
            ignored=self._inheritance.ignored,
            own_session=True,
            dies_with_parent=dies_with_parent,
            null_stdin=True,
            output=output,
            closed=self._sockets,
        )
