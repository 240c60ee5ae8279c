"""Lines on a terminal that are drawn again in their own place.

The rules of this file:

- The cursor rests below the lines, visible, so that nothing has to be restored at any exit.
- No line is as wide as the terminal, and one line below stays free.  Otherwise the terminal
  scrolls by itself, and the lines are not found again.
- After a change of size the positions are unknown: the screen is cleared.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from zkexec.ctl.terminal.console import Console
from zkexec.ctl.terminal.table import Frame

RESIZED = object()
"""The key that `resize_events` reports when the terminal has another size."""

_HIDE, _SHOW = "\x1b[?25l", "\x1b[?25h"
_TO_THE_END, _BELOW, _ALL = "\x1b[K", "\x1b[J", "\x1b[H\x1b[J"
# On less than this a person cannot read anything.
_NARROWEST, _LOWEST = 20, 4


class LiveScreen:
    """Draws on stdout, which is a terminal that can move its cursor."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._drawn: Sequence[str] = ()
        self._is_resized = False

    @property
    def frame(self) -> Frame:
        """The room that there is now."""
        width = max(_NARROWEST, self._console.width) - 1
        height = max(_LOWEST, self._console.height) - 1
        return Frame(self._console.paint, width, height)

    def draw(self, lines: Sequence[str], above: Sequence[str] = ()) -> None:
        """Replace what was drawn last; lines `above` it stay on the screen for good."""
        if list(lines) == list(self._drawn) and not self._is_resized and not above:
            return
        start = f"\x1b[{len(self._drawn)}A\r" if self._drawn else "\r"
        start = _ALL if self._is_resized else start
        text = f"{_TO_THE_END}\n".join([*above, *lines])
        self._console.out(f"{_HIDE}{start}{text}{_TO_THE_END}{_BELOW}{_SHOW}")
        self._drawn, self._is_resized = tuple(lines), False

    def resized(self) -> None:
        """Clear the screen at the next drawing, as the terminal has another size."""
        self._is_resized = bool(self._drawn)

    def leave(self) -> None:
        """Keep what was drawn last on the screen, and draw below it from now on."""
        self._drawn = ()


def can_draw(console: Console) -> bool:
    """Return whether stdout is a terminal that can move its cursor."""
    return console.is_terminal and os.environ.get("TERM", "dumb") != "dumb"


@contextmanager
def resize_events(report: Callable[[object], None]) -> Iterator[None]:
    """Report `RESIZED` whenever the size of the terminal changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGWINCH, lambda *_: report(RESIZED))
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)
