"""What the demo holds for a while, and gives back whatever happens.

The rules of this file: Ctrl-C, TERM and HUP raise `Interrupted` wherever the demo is, but at
most once, never between the making of a thing and the note of how to give it back, and never
while things are given back.
"""

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """Somebody wants the demo to end now."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Belongings:
    """Things to give back, the last one first."""

    def __init__(self) -> None:
        self._to_do = ExitStack()
        self._signal = 0
        self._is_shielded = True

    def use(self, play: Callable[[], None]) -> None:
        """Do the play, and then give everything back; raises what the play raises."""
        for number in _SIGNALS:
            # What the caller ignores, as nohup does, stays ignored.
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._receive)
        # Two levels: a signal that comes at the end of the inner one must not skip the outer one.
        try:
            try:
                self._is_shielded = False
                play()
            except Exception as error:
                # A client library that catches everything may have made this of Interrupted.
                if self._signal:
                    raise Interrupted(self._signal) from error
                raise
            finally:
                self._is_shielded = True
        finally:
            self._to_do.close()

    def give_back(self, how: Callable[[], object]) -> None:
        """Note how a thing is given back."""
        self._to_do.callback(how)

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Keep signals waiting while something is made; short, as nobody can interrupt it."""
        self._is_shielded = True
        try:
            yield
        finally:
            self._is_shielded = False
        if self._signal:
            self._raise()

    def _receive(self, number: int, _frame: object) -> None:
        if not self._signal:
            self._signal = number
            if not self._is_shielded:
                self._raise()

    def _raise(self) -> None:
        self._is_shielded = True
        raise Interrupted(self._signal)
