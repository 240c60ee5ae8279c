"""Queue everything that happens, and hand it to the main thread as one event at a time.

Answers to zkexec's own actions come first, so that nothing comes between an action and its outcome:
a signal is handled only when the outcome of a start is known.  Signals come next, then events that
other threads posted.  The main thread sleeps until a signal is pending (`incoming_signals.py`):
there are no signal handlers, there is no polling, and the siginfo distinguishes a key of the
terminal from a `kill`.  Other threads wake the main thread with one real-time signal.
"""

import signal
import time
from _thread import get_ident
from collections import deque
from collections.abc import Callable, Iterable

from zkexec.core.events import CommandExited, Event, SignalReceived, Tick
from zkexec.process.incoming_signals import PendingSignals
from zkexec.process.inheritance import WAKE_SIGNAL, Inheritance


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
        wait: Callable[[float | None], signal.struct_siginfo | None] | None = None,
    ) -> None:
        self._handled = inheritance.handled
        self._wait = wait or PendingSignals(inheritance.handled).wait
        self._reap = reap
        self._sent_by_terminal = sent_by_terminal
        self._answers: deque[Event] = deque()
        self._reaped: deque[Event] = deque()
        self._posted: deque[Event] = deque()
        self._woken = False
        self._sleeper = get_ident()

    @property
    def is_empty(self) -> bool:
        """Whether no event waits for the core."""
        return not (self._answers or self._reaped or self._posted)

    def answer(self, *events: Event) -> None:
        """Queue the outcome of an action; only the main thread may call this."""
        self._answers.extend(events)

    def forget(self) -> None:
        """Drop the events of a core that failed, but keep the end of a command for the next."""
        self._answers.clear()
        self._posted.clear()
        self._reaped = deque(event for event in self._reaped if isinstance(event, CommandExited))

    def post(self, event: Event) -> None:
        """Queue an event from any thread, and wake the main thread."""
        self._posted.append(event)
        if not self._woken:
            self._woken = True
            signal.pthread_kill(self._sleeper, WAKE_SIGNAL)

    def next(self, until: float | None) -> Event:
        """Wait for the next event at most until this time, and then return a Tick."""
        while True:
            if self._answers:
                return self._answers.popleft()
            if self._reaped:
                return self._reaped.popleft()
            info = self._wait(self._time_left(until))
            if info is None:
                if self._posted:
                    return self._posted.popleft()
                if until is not None and now() >= until:
                    return Tick()
            elif info.si_signo == WAKE_SIGNAL:
                self._woken = False
            elif info.si_signo == signal.SIGCHLD:
                # If several have ended, the answers to the actions for the first come before the
                # second.
                self._reaped.extend(self._reap())
            elif info.si_signo in self._handled:
                return SignalReceived(info.si_signo, self._sent_by_terminal(info))

    def _time_left(self, until: float | None) -> float | None:
        if self._posted:
            return 0
        return None if until is None else max(0.0, until - now())
