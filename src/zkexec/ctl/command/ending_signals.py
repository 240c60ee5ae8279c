"""Let signals that would end this process raise, so that what was begun can be removed.

The process obeys the signal afterwards.  Signals that are ignored stay ignored.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


class SignalledError(BaseException):
    """Raised when this process gets a signal that would have ended it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class EndingSignals:
    """Signals that would end this process: each raises, but not while a process is started."""

    def __init__(self) -> None:
        self._is_deferred = False
        self._deferred = 0

    def received(self, number: int, _: FrameType | None) -> None:
        """Take a signal."""
        if self._is_deferred:
            self._deferred = number
        else:
            _raise(number)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Let a signal that arrives meanwhile raise at the end."""
        self._is_deferred = True
        yield
        self._is_deferred = False
        if self._deferred:
            _raise(self._deferred)


@contextmanager
def signals_raised() -> Iterator[EndingSignals]:
    """Let signals that end this process raise; ignored signals stay ignored."""
    signals = EndingSignals()
    if threading.current_thread() is not threading.main_thread():
        yield signals
        return
    before = {number: signal.getsignal(number) for number in _ENDING}
    wanted = {
        number: handler
        for number, handler in before.items()
        if handler in (signal.SIG_DFL, signal.default_int_handler)
    }
    try:
        for number in wanted:
            signal.signal(number, signals.received)
        yield signals
    finally:
        for number, handler in wanted.items():
            signal.signal(number, handler)


def _raise(number: int) -> None:
    raise KeyboardInterrupt if number == signal.SIGINT else SignalledError(number)


def signal_name(number: int) -> str:
    """Name a signal."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
