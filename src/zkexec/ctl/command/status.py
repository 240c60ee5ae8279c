"""`zkexecctl status`: show the groups or one of them, once or live.

Only what has changed is read again; a tick of the clock draws what is known already.  The live
view survives everything: a lost connection, a group that is removed.
"""

import math
import time
from collections.abc import Sequence
from typing import Protocol

from zkexec.ctl.arguments import Invocation
from zkexec.ctl.cluster_connection import LOST, ClusterConnection
from zkexec.ctl.exit_status import CANNOT_WORK, DONE, NO, SubcommandError
from zkexec.ctl.status import phrases
from zkexec.ctl.status.group_reader import GroupReader, UnreachableError
from zkexec.ctl.status.group_status import GroupStatus
from zkexec.ctl.status.render import render_group, render_notice, render_overview
from zkexec.ctl.status.status_json import status_json
from zkexec.ctl.status.wait_decision import WaitDecision
from zkexec.ctl.terminal.console import Console
from zkexec.ctl.terminal.live import RESIZED, LiveScreen, can_draw, resize_events
from zkexec.ctl.terminal.table import Frame

TICK_S = 1.0
REDRAW_S = 0.1
SHORTEST_READ_S, LONGEST_READ_S = 2.0, 8.0
"""The limits of one attempt to read after a disconnection; a longer one is for a slow cluster."""


def run(invocation: Invocation, console: Console) -> int:
    """Show the group of the invocation, or all."""
    live = invocation.watch or invocation.until_done
    display = _display(invocation, console, live=live)
    with ClusterConnection(invocation.connection, display.report) as cluster:
        reader = GroupReader(cluster, invocation.lock, live=live)
        groups = reader.read()
        if invocation.lock:
            _check_readable(groups[0])
        if not live:
            display.show(groups, time.time(), None)
            return DONE
        with resize_events(cluster.report_change):
            watch = _Watch(cluster, reader, display)
            return watch.show_changes(groups, until_done=invocation.until_done)


def _check_readable(group: GroupStatus) -> None:
    if group.is_forbidden:
        raise SubcommandError(group.error, CANNOT_WORK)
    if not group.exists:
        raise SubcommandError(phrases.headline(group, time.time()), NO)


class _Display(Protocol):
    """What shows the groups."""

    tick_s: float

    def show(
        self, groups: Sequence[GroupStatus], now: float, disconnected_since: float | None
    ) -> None:
        """Show the groups; `disconnected_since` is when the connection was lost, if it is."""

    def report(self, line: str) -> None:
        """Show a line about the connection."""

    def resized(self) -> None:
        """Take notice that the terminal has another size."""


class _TextBlocks:
    """Blocks of text; each begins with its time if several can follow each other."""

    tick_s = math.inf

    def __init__(self, console: Console, *, single: bool, live: bool) -> None:
        self._console = console
        self._single = single
        self._live = live
        self._shown: tuple[object, ...] = ()

    def show(
        self, groups: Sequence[GroupStatus], now: float, disconnected_since: float | None
    ) -> None:
        """Write a block if something has changed."""
        if (shown := (groups, disconnected_since)) == self._shown:
            return
        width = self._console.width if self._console.is_terminal and not self._live else None
        lines = _rendered(groups, now, Frame(self._console.paint, width), single=self._single)
        if self._live:
            start = [f"--- {time.strftime('%H:%M:%S', time.localtime(now))}"]
            gap = [""] if self._shown else []
            lines = [*gap, *start, *_disconnected(disconnected_since, now), *lines]
        self._shown = shown
        self._console.out("\n".join(lines))

    def report(self, line: str) -> None:
        """Write it to stderr."""
        self._console.report(line)

    def resized(self) -> None:
        """Do nothing: text has no size."""


class _JsonLines(_TextBlocks):
    """One JSON object a line, for each change."""

    def show(
        self, groups: Sequence[GroupStatus], now: float, disconnected_since: float | None
    ) -> None:
        """Write an object if something has changed."""
        if (shown := (groups, disconnected_since)) != self._shown:
            self._console.out(status_json(groups, now, disconnected_since))
        self._shown = shown


class _LiveView:
    """A view that is drawn again in its place."""

    tick_s = TICK_S

    def __init__(self, console: Console, *, single: bool) -> None:
        self._screen = LiveScreen(console)
        self._console = console
        self._single = single
        self._is_drawn = False
        self._reported = ""

    def show(
        self, groups: Sequence[GroupStatus], now: float, disconnected_since: float | None
    ) -> None:
        """Draw it."""
        self._is_drawn = True
        frame = self._screen.frame
        notices = _disconnected(disconnected_since, now)
        above = [line for text in notices for line in render_notice(text, frame)]
        if disconnected_since is not None and self._reported:
            above += render_notice(self._reported, frame)
        room = max(1, (frame.height or 0) - len(above))
        below = Frame(frame.paint, frame.width, room)
        self._screen.draw([*above, *_rendered(groups, now, below, single=self._single)])

    def report(self, line: str) -> None:
        """Keep it for the next drawing; print it if nothing is drawn yet."""
        self._reported = line
        if not self._is_drawn:
            self._console.report(line)

    def resized(self) -> None:
        """Draw on an empty screen."""
        self._screen.resized()


class _Watch:
    """Shows each change, until it is interrupted or the rollout is over."""

    def __init__(self, cluster: ClusterConnection, reader: GroupReader, display: _Display) -> None:
        self._cluster = cluster
        self._reader = reader
        self._display = display
        self._decision = WaitDecision()
        self._disconnected_since: float | None = None
        self._read_s = SHORTEST_READ_S

    def show_changes(self, groups: Sequence[GroupStatus], *, until_done: bool) -> int:
        """Show the groups again and again; return the exit status when the rollout is over."""
        while True:
            drawn_at = time.monotonic()
            self._display.show(groups, time.time(), self._disconnected_since)
            if until_done and self._disconnected_since is None:
                outcome = self._decision.decide(groups[0], time.time(), time.monotonic())
                if outcome is not None:
                    return outcome.status
            changed = self._cluster.changed(self._pause_s())
            time.sleep(max(0.0, drawn_at + REDRAW_S - time.monotonic()))
            changed |= self._cluster.changed(0)
            if changed or self._disconnected_since is not None:
                groups = self._read_again(groups, changed)

    def _pause_s(self) -> float:
        if self._disconnected_since is not None:
            return 0.0
        at = self._decision.deadline()
        decide_in_s = math.inf if at is None else max(0.0, at - time.monotonic())
        return min(self._display.tick_s, decide_in_s)

    def _read_again(
        self, groups: Sequence[GroupStatus], changed: set[object]
    ) -> Sequence[GroupStatus]:
        if RESIZED in changed:
            self._display.resized()
        if LOST in changed and self._disconnected_since is None:
            self._disconnected_since = time.time()
            self._display.show(groups, time.time(), self._disconnected_since)
        self._reader.forget(changed)
        try:
            groups = self._reader.read(self._read_s)
        except UnreachableError:
            self._disconnected_since = self._disconnected_since or time.time()
            self._read_s = min(2 * self._read_s, LONGEST_READ_S)
            return groups
        self._disconnected_since = None
        self._read_s = SHORTEST_READ_S
        return groups


def _display(invocation: Invocation, console: Console, *, live: bool) -> _Display:
    single = bool(invocation.lock)
    if invocation.json:
        return _JsonLines(console, single=single, live=live)
    if live and can_draw(console):
        return _LiveView(console, single=single)
    return _TextBlocks(console, single=single, live=live)


def _rendered(
    groups: Sequence[GroupStatus], now: float, frame: Frame, *, single: bool
) -> list[str]:
    return render_group(groups[0], now, frame) if single else render_overview(groups, now, frame)


def _disconnected(since: float | None, now: float) -> list[str]:
    if since is None:
        return []
    at = phrases.moment(since, now)
    return [f"Disconnected from the cluster since {at}; this is the last known status."]
