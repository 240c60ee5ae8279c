"""Queue everything that happens, and hand it to the loop as one event at a time.

Answers to zkexec's own actions come first, so that nothing comes between an action and its outcome:
a signal is handled only when the outcome of a start is known.  Signals come next, then what was
posted: by the session with the cluster, or behind all others.  All of them are waited for in one
`poll`, with the output of commands
(`incoming_signals.py`): there are no signal handlers and no threads, and the siginfo distinguishes
a key of the terminal from a `kill`.
"""

from __future__ import annotations

import time

from zkexec.core.events import CommandExited, Event, SessionConnected, SignalReceived, Tick
from zkexec.lean import deque, signal
from zkexec.process.incoming_signals import PendingSignals
from zkexec.process.inheritance import Inheritance

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Protocol

    class Source(Protocol):
        """What has something to do when a descriptor is ready, or a time has come."""

        @property
        def deadline(self) -> float | None:
            """When `advance` has to be called at the latest; None: only the descriptor matters."""

        @property
        def descriptor(self) -> tuple[int, int] | None:
            """What to poll: a descriptor and for what, in the numbers of `select.poll`."""

        def advance(self) -> None:
            """Do all that is ready or due, without waiting."""

    Wait = Callable[[float | None, Sequence[tuple[int, int]]], signal.struct_siginfo | None]


class AllSources:
    """Several sources as one; at most one of them has a descriptor."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = sources

    @property
    def deadline(self) -> float | None:
        """The earliest one."""
        times = [source.deadline for source in self._sources]
        return min((time for time in times if time is not None), default=None)

    @property
    def descriptor(self) -> tuple[int, int] | None:
        """The only one, if there is one."""
        descriptors = [source.descriptor for source in self._sources]
        return next((found for found in descriptors if found is not None), None)

    def advance(self) -> None:
        """Advance each of them."""
        for source in self._sources:
            source.advance()


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
        wait: Wait | None = None,
    ) -> None:
        self._handled = inheritance.handled
        self._wait = wait or PendingSignals(inheritance.handled).wait
        self._reap = reap
        self._sent_by_terminal = sent_by_terminal
        self._answers: deque[Event] = deque()
        self._reaped: deque[Event] = deque()
        self._posted: deque[Event] = deque()
        self._sources: list[Source] = []

    @property
    def is_empty(self) -> bool:
        """Whether no event waits for the core."""
        return not (self._answers or self._reaped or self._posted)

    @property
    def knows_connection(self) -> bool:
        """Whether the core has taken in all connections that were reported.

        The session goes on while files are written, so it can be another one before the core knows.
        """
        return not any(isinstance(event, SessionConnected) for event in self._posted)

    def attach(self, source: Source) -> None:
        """Poll this source as well from now on."""
        self._sources.append(source)

    def detach(self, source: Source) -> None:
        """Poll this source no more; it must be attached."""
        self._sources.remove(source)

    @property
    def sources(self) -> Source:
        """All sources as one, for work that takes long and leaves no time for the inbox."""
        return AllSources(tuple(self._sources))

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
            info = self._wait(self._time_left(until), self._descriptors())
            if info is None:
                self._advance()
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

    def _advance(self) -> None:
        if not self._posted:
            for source in self._sources:
                source.advance()

    def _descriptors(self) -> list[tuple[int, int]]:
        descriptors = [source.descriptor for source in self._sources]
        return [descriptor for descriptor in descriptors if descriptor is not None]

    def _time_left(self, until: float | None) -> float | None:
        if self._posted:
            return 0
        times = [until, *(source.deadline for source in self._sources)]
        due = min((time for time in times if time is not None), default=None)
        return None if due is None else max(0.0, due - now())
