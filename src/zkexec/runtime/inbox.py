"""Queue everything that happens, and hand it to the loop as one event at a time.

Answers to zkexec's own actions come first, so that nothing comes between an action and its outcome:
a signal is handled only when the outcome of a start is known.  Signals come next, then what the
session with the cluster has posted.  All of them are waited for in one `poll`
(`incoming_signals.py`): there are no signal handlers and no threads, and the siginfo distinguishes
a key of the terminal from a `kill`.
"""

import signal
import time
from collections import deque
from collections.abc import Callable, Iterable

from zkexec.core.events import CommandExited, Event, SignalReceived, Tick
from zkexec.process.incoming_signals import PendingSignals
from zkexec.process.inheritance import Inheritance

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Source(Protocol):
        """What posts events when a descriptor is ready, or a time has come."""

        @property
        def deadline(self) -> float | None:
            """When `advance` has to be called at the latest; None: only the descriptor matters."""

        @property
        def descriptor(self) -> tuple[int, int] | None:
            """What to poll: a descriptor and for what, in the numbers of `select.poll`."""

        def advance(self) -> None:
            """Do all that is ready or due, without waiting."""

    Wait = Callable[[float | None, tuple[int, int] | None], signal.struct_siginfo | None]


def now() -> float:
    """Return the seconds of the clock that also runs while the machine is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Inbox:
    """The events that wait for the core."""

    def __init__(
        self,
        inheritance: Inheritance,
        reap: Callable[[], Iterable[Event]],
        sent_by_terminal: Callable[[signal.struct_siginfo], bool],
        wait: "Wait | None" = None,
    ) -> None:
        self._handled = inheritance.handled
        self._wait = wait or PendingSignals(inheritance.handled).wait
        self._reap = reap
        self._sent_by_terminal = sent_by_terminal
        self._answers: deque[Event] = deque()
        self._reaped: deque[Event] = deque()
        self._posted: deque[Event] = deque()
        self._source: Source | None = None

    @property
    def is_empty(self) -> bool:
        """Whether no event waits for the core."""
        return not (self._answers or self._reaped or self._posted)

    def attach(self, source: "Source | None") -> None:
        """Poll this source as well from now on, in place of an earlier one."""
        self._source = source

    def answer(self, *events: Event) -> None:
        """Queue the outcome of an action."""
        self._answers.extend(events)

    def forget(self) -> None:
        """Drop the events of a core that failed, but keep the end of a command for the next."""
        self._answers.clear()
        self._posted.clear()
        self._reaped = deque(event for event in self._reaped if isinstance(event, CommandExited))

    def post(self, event: Event) -> None:
        """Queue an event behind all others."""
        self._posted.append(event)

    def next(self, until: float | None) -> Event:
        """Wait for the next event at most until this time, and then return a Tick."""
        while True:
            if self._answers:
                return self._answers.popleft()
            if self._reaped:
                return self._reaped.popleft()
            source = self._source
            info = self._wait(
                self._time_left(until, source), None if source is None else source.descriptor
            )
            if info is None:
                if source is not None and not self._posted:
                    source.advance()
                if self._posted:
                    return self._posted.popleft()
                if until is not None and now() >= until:
                    return Tick()
            elif info.si_signo == signal.SIGCHLD:
                # If several have ended, the answers to the actions for the first come before the
                # second.
                self._reaped.extend(self._reap())
            elif info.si_signo in self._handled:
                return SignalReceived(info.si_signo, self._sent_by_terminal(info))

    def _time_left(self, until: float | None, source: "Source | None") -> float | None:
        if self._posted:
            return 0
        due = None if source is None else source.deadline
        due = until if due is None or (until is not None and until < due) else due
        return None if due is None else max(0.0, due - now())
