"""Notify the service manager of what the core reports, and that the loop is alive.

Only what has changed is sent.  What could not be sent is tried again, with a pause that grows, and
is logged once.  As a source of the inbox, the notifier has its time also while an error inside
zkexec keeps the core away; a loop that hangs sends nothing.
"""

from __future__ import annotations

import os
import time

from zkexec.core.actions import Note
from zkexec.core.phases import Phase
from zkexec.core.service_state import (
    ServiceReport,
    ServiceState,
    report_on,
    report_on_caretaker,
    state_after,
)
from zkexec.runtime.inbox import now
from zkexec.runtime.notify_socket import SOCKET, NotifySocket, watchdog_interval_s
from zkexec.text import cut, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Protocol

    from zkexec.core.caretaker import Caretaker
    from zkexec.core.member import Member
    from zkexec.core.policy import Policy
    from zkexec.runtime.log import Log

    class Receiver(Protocol):
        """Where the lines go."""

        name: str

        def send(self, assignments: str) -> str:
            """Send these lines; return why they could not be sent, "" if they were."""


AWAITING_S = 60.0
"""While zkexec waits without a limit, the manager gets to know each half of this time that it must
wait this long."""
FIRST_RETRY_S = 1.0
LONGEST_RETRY_S = 60.0
"""The pause after a failure to send doubles within these bounds."""

_STATES = {
    ServiceState.READY: "READY",
    ServiceState.APPLYING: "RELOADING",
    ServiceState.ENDING: "STOPPING",
}


class ServiceNotifier:
    """What the service manager knows of this zkexec."""

    descriptor: tuple[int, int] | None = None
    """It waits only for a time."""

    def __init__(
        self,
        policy: Policy,
        receiver: Receiver,
        watchdog_s: float | None,
        log: Log,
        clock: Callable[[], float] = now,
    ) -> None:
        """`watchdog_s` is the pause between two signs of life, None if none is wanted."""
        self._policy = policy
        self._receiver = receiver
        self._watchdog_s = watchdog_s
        self._log = log
        self._clock = clock
        self._state = ServiceState.STARTING
        self._limited: tuple[ServiceState, str, float] | None = None
        """For what the manager was last requested to wait."""
        self._status = ""
        self._unsent: dict[str, str] = {}
        self._extend_at: float | None = None
        self._alive_at = None if watchdog_s is None else clock()
        self._retry_at: float | None = None
        self._retry_s = FIRST_RETRY_S
        self._has_warned = False

    @property
    def deadline(self) -> float | None:
        """When `advance` has something to send."""
        due = (self._extend_at, self._alive_at, self._retry_at)
        return min((at for at in due if at is not None), default=None)

    def advance(self) -> None:
        """Send what is due."""
        at = self._clock()
        if self._extend_at is not None and at >= self._extend_at:
            self._extend(AWAITING_S)
            self._extend_at = at + AWAITING_S / 2
        if self._alive_at is not None and self._watchdog_s is not None and at >= self._alive_at:
            self._unsent["WATCHDOG"] = "1"
            self._alive_at = at + self._watchdog_s
        is_retried = self._retry_at is None or at >= self._retry_at
        if self._unsent and (is_retried or "WATCHDOG" in self._unsent):
            self._send(at)

    def report_on(self, member: Member) -> None:
        """Notify the manager of what has changed for a member."""
        self.report(report_on(member))

    def report_on_caretaker(self, caretaker: Caretaker, error: Note) -> None:
        """Notify the manager of an error inside zkexec, which `error` describes."""
        self.report(report_on_caretaker(caretaker, error, self._policy))

    def report(self, report: ServiceReport) -> None:
        """Notify the manager of what differs from the report before."""
        before, state = self._state, state_after(self._state, report.state)
        self._state = state
        if state is not before and state in _STATES:
            self._enter(state)
        self._limit(state, report)
        status = self._text_of(report)
        if status != self._status:
            self._status = self._unsent["STATUS"] = status
            self._retry_at = None
        self.advance()

    def end(self) -> None:
        """Notify the manager that this process ends, if it does not know yet."""
        if self._state is not ServiceState.ENDING:
            self._state = ServiceState.ENDING
            self._enter(ServiceState.ENDING)
        self._extend_at = self._alive_at = None
        self.advance()

    def _enter(self, state: ServiceState) -> None:
        for name in (*_STATES.values(), "MONOTONIC_USEC", "EXTEND_TIMEOUT_USEC"):
            self._unsent.pop(name, None)
        self._unsent[_STATES[state]] = "1"
        if state is ServiceState.APPLYING:
            self._unsent["MONOTONIC_USEC"] = str(time.monotonic_ns() // 1000)
        self._retry_at = None

    def _limit(self, state: ServiceState, report: ServiceReport) -> None:
        """Request the time that a new state or phase has, or again and again if none is known."""
        if state is ServiceState.AWAITING:
            self._limited = None
            self._extend_at = self._clock() if self._extend_at is None else self._extend_at
            return
        self._extend_at = None
        limited = (state, report.status.phase, report.limit_s)
        if state is not ServiceState.READY and limited != self._limited:
            self._extend(report.limit_s)
        self._limited = limited

    def _extend(self, seconds: float) -> None:
        self._unsent["EXTEND_TIMEOUT_USEC"] = str(int(seconds * 1e6))

    def _send(self, at: float) -> None:
        failure = self._receiver.send("\n".join(f"{k}={v}" for k, v in self._unsent.items()))
        if not failure:
            self._unsent.clear()
            self._retry_at, self._retry_s = None, FIRST_RETRY_S
            return
        # A sign of life is worth nothing later.
        self._unsent.pop("WATCHDOG", None)
        self._retry_at = at + self._retry_s if self._unsent else None
        self._retry_s = min(2 * self._retry_s, LONGEST_RETRY_S)
        if not self._has_warned:
            self._has_warned = True
            fields = {"socket": self._receiver.name, "reason": failure}
            self._log.write(Note("notify-failed", fields))

    def _text_of(self, report: ServiceReport) -> str:
        """Return a line for people: the phase, and what the member waits for or suffers from."""
        status = report.status
        head = f"{status.phase} ({status.step})" if status.step else status.phase
        details = [status.reason]
        if report.awaited is not None:
            details.append(self._log.text_of(report.awaited))
        elif status.phase == Phase.FAILED.value:
            details.append("waiting for new content")
        elif report.state is ServiceState.STARTING and status.phase == Phase.RUNNING.value:
            details.append("the command is not known to be healthy yet")
        elif status.health == "unhealthy":
            details.append("the last health check failed")
        text = ": ".join(part for part in (head, "; ".join(filter(None, details))) if part)
        return printable(cut(text))


def notifier_of(
    environment: Mapping[bytes, bytes], policy: Policy, log: Log
) -> ServiceNotifier | None:
    """Return what notifies the service manager that this environment names; None without one."""
    address = environment.get(SOCKET, b"")
    if not address:
        return None
    watchdog_s = watchdog_interval_s(environment, os.getpid())
    return ServiceNotifier(policy, NotifySocket(address), watchdog_s, log)
