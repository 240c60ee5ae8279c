"""A picture on a terminal that is drawn again in its own place.

The rules of this file:

- The cursor rests below the picture, visible, so that nothing has to be put back at any end.
- No line may be as wide as the terminal, and the picture has to leave one line below it: else the
  terminal moves things by itself, and what was drawn is not found again.
- After a change of size nothing is known of where things are: the screen is cleared.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from zkexec.operator.console import Console
from zkexec.operator.drawing import Frame

RESIZED = object()
"""Is touched when the terminal has another size."""

_HIDE, _SHOW = "\x1b[?25l", "\x1b[?25h"
_TO_THE_END, _BELOW, _ALL = "\x1b[K", "\x1b[J", "\x1b[H\x1b[J"
# Below that, a terminal shows nothing that anybody could read.
_NARROWEST, _LOWEST = 20, 4


class Screen:
    """Draws on stdout, which is a terminal that can move its cursor."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._drawn: Sequence[str] = ()
        self._is_resized = False

    @property
    def frame(self) -> Frame:
        """What fits on it now."""
        width = max(_NARROWEST, self._console.width) - 1
        height = max(_LOWEST, self._console.height) - 1
        return Frame(self._console.paint, width, height)

    def draw(self, lines: Sequence[str]) -> None:
        """Replace what was drawn last."""
        if list(lines) == list(self._drawn) and not self._is_resized:
            return
        start = f"\x1b[{len(self._drawn)}A\r" if self._drawn else "\r"
        start = _ALL if self._is_resized else start
        text = f"{_TO_THE_END}\n".join(lines)
        self._console.out(f"{_HIDE}{start}{text}{_TO_THE_END}{_BELOW}{_SHOW}")
        self._drawn, self._is_resized = tuple(lines), False

    def resized(self) -> None:
        """Know that the terminal has another size, and draw on an empty one."""
        self._is_resized = bool(self._drawn)

    def leave(self) -> None:
        """Let what was drawn last stand, and draw below it from now on."""
        self._drawn = ()


def can_draw(console: Console) -> bool:
    """Whether stdout is a terminal that can move its cursor."""
    return console.is_terminal and os.environ.get("TERM", "dumb") != "dumb"


@contextmanager
def told_of_size(touch: Callable[[object], None]) -> Iterator[None]:
    """Have `RESIZED` touched when the size of the terminal changes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGWINCH, lambda *_: touch(RESIZED))
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)
