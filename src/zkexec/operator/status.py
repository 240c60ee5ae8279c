"""`zkexecctl status`: show the groups or one of them, once or for as long as somebody watches.

The rules of this file:

- What is shown comes from the znodes, and is read again only where a watch has fired; a tick of
  the clock draws what is known already.
- What is watched goes on over everything: a cluster that is away, a group that is removed.
"""

import math
import time
from collections.abc import Sequence
from typing import Protocol

from zkexec.operator.call import Call
from zkexec.operator.cluster import LOST, Cluster
from zkexec.operator.console import Console, clean
from zkexec.operator.drawing import Frame, notice, overview, picture
from zkexec.operator.ending import Ending
from zkexec.operator.looking import Lookout, UnreachableError
from zkexec.operator.outcome import CANNOT_WORK, DONE, NO, OperatorError
from zkexec.operator.report import report
from zkexec.operator.screen import RESIZED, Screen, can_draw, told_of_size
from zkexec.operator.sentences import moment, standing
from zkexec.operator.sight import Sight

TICK_S = 1.0
REDRAW_S = 0.1
LEAST_PATIENCE_S, MOST_PATIENCE_S = 2.0, 8.0
"""So long one try may take to see something again; a longer one is for a slow cluster."""


def run(call: Call, console: Console) -> int:
    """Show the group of the call, or all."""
    live = call.watch or call.until_done
    display = _display(call, console, live=live)
    with Cluster(call.connection, display.tell) as cluster:
        lookout = Lookout(cluster, call.lock, live=live)
        sights = lookout.look()
        if call.lock:
            _demand(sights[0])
        if not live:
            display.show(sights, time.time(), None)
            return DONE
        with told_of_size(cluster.touch):
            return _Watch(cluster, lookout, display).keep(sights, until_done=call.until_done)


def _demand(sight: Sight) -> None:
    if sight.forbidden:
        raise OperatorError(sight.trouble, CANNOT_WORK)
    if not sight.exists:
        raise OperatorError(standing(sight, time.time()), NO)


class _Display(Protocol):
    """Where it is shown."""

    tick_s: float

    def show(self, sights: Sequence[Sight], now: float, lost_since: float | None) -> None:
        """Show this; `lost_since` is when the connection was lost that is not back yet."""

    def tell(self, line: str) -> None:
        """Take a line on the connection."""

    def resized(self) -> None:
        """The terminal has another size."""


class _Lines:
    """Blocks of text, each beginning with its time where several may follow each other."""

    tick_s = math.inf

    def __init__(self, console: Console, *, single: bool, live: bool) -> None:
        self._console = console
        self._single = single
        self._live = live
        self._shown: tuple[object, ...] = ()

    def show(self, sights: Sequence[Sight], now: float, lost_since: float | None) -> None:
        """Write a block, where something has changed."""
        if (shown := (sights, lost_since)) == self._shown:
            return
        width = self._console.width if self._console.is_terminal and not self._live else None
        lines = _drawn(sights, now, Frame(self._console.paint, width), single=self._single)
        if self._live:
            start = [f"--- {time.strftime('%H:%M:%S', time.localtime(now))}"]
            lines = [*([""] if self._shown else []), *start, *_loss(lost_since, now), *lines]
        self._shown = shown
        self._console.out("\n".join(lines))

    def tell(self, line: str) -> None:
        """Say it on stderr."""
        self._console.err(f"zkexecctl: {clean(line)}")

    def resized(self) -> None:
        """Care nothing for sizes."""


class _Objects(_Lines):
    """One JSON object a line, for each change."""

    def show(self, sights: Sequence[Sight], now: float, lost_since: float | None) -> None:
        """Write an object, where something has changed."""
        if (shown := (sights, lost_since)) != self._shown:
            self._console.out(report(sights, now, lost_since))
        self._shown = shown


class _Picture:
    """A picture that is drawn again in its place."""

    tick_s = TICK_S

    def __init__(self, console: Console, *, single: bool) -> None:
        self._screen = Screen(console)
        self._single = single
        self._told = ""

    def show(self, sights: Sequence[Sight], now: float, lost_since: float | None) -> None:
        """Draw it."""
        frame = self._screen.frame
        above = [part for line in _loss(lost_since, now) for part in notice(line, frame)]
        if lost_since is not None and self._told:
            above += notice(self._told, frame)
        room = max(1, (frame.height or 0) - len(above))
        below = Frame(frame.paint, frame.width, room)
        self._screen.draw([*above, *_drawn(sights, now, below, single=self._single)])

    def tell(self, line: str) -> None:
        """Keep it for the picture."""
        self._told = line

    def resized(self) -> None:
        """Draw on an empty screen."""
        self._screen.resized()


class _Watch:
    """Shows each change, until somebody ends it or the rollout does."""

    def __init__(self, cluster: Cluster, lookout: Lookout, display: _Display) -> None:
        self._cluster = cluster
        self._lookout = lookout
        self._display = display
        self._ending = Ending()
        self._lost_since: float | None = None
        self._patience_s = LEAST_PATIENCE_S

    def keep(self, sights: Sequence[Sight], *, until_done: bool) -> int:
        """Show and go on; where it is one group, its rollout may be the end and the status."""
        while True:
            drawn_at = time.monotonic()
            self._display.show(sights, time.time(), self._lost_since)
            if until_done and self._lost_since is None:
                end = self._ending.judge(sights[0], time.time(), time.monotonic())
                if end is not None:
                    return end.status
            touched = self._cluster.touched(self._pause_s())
            time.sleep(max(0.0, drawn_at + REDRAW_S - time.monotonic()))
            touched |= self._cluster.touched(0)
            if touched or self._lost_since is not None:
                sights = self._again(sights, touched)

    def _pause_s(self) -> float:
        if self._lost_since is not None:
            return 0.0
        at = self._ending.deadline()
        ends_s = math.inf if at is None else max(0.0, at - time.monotonic())
        return min(self._display.tick_s, ends_s)

    def _again(self, sights: Sequence[Sight], touched: set[object]) -> Sequence[Sight]:
        if RESIZED in touched:
            self._display.resized()
        if LOST in touched and self._lost_since is None:
            self._lost_since = time.time()
            self._display.show(sights, time.time(), self._lost_since)
        self._lookout.touch(touched)
        try:
            sights = self._lookout.look(self._patience_s)
        except UnreachableError:
            self._lost_since = self._lost_since or time.time()
            self._patience_s = min(2 * self._patience_s, MOST_PATIENCE_S)
            return sights
        self._lost_since = None
        self._patience_s = LEAST_PATIENCE_S
        return sights


def _display(call: Call, console: Console, *, live: bool) -> _Display:
    single = bool(call.lock)
    if call.json:
        return _Objects(console, single=single, live=live)
    if live and can_draw(console):
        return _Picture(console, single=single)
    return _Lines(console, single=single, live=live)


def _drawn(sights: Sequence[Sight], now: float, frame: Frame, *, single: bool) -> list[str]:
    return picture(sights[0], now, frame) if single else overview(sights, now, frame)


def _loss(lost_since: float | None, now: float) -> list[str]:
    if lost_since is None:
        return []
    return [f"The cluster is away since {moment(lost_since, now)}; this is what was seen last."]
