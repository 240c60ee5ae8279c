"""`zkexecctl status`: show the groups or one of them, once or live.

Only what has changed is read again; a tick of the clock draws what is known already.  The live
view survives everything: a lost connection, a group that is removed.
"""

import math
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from zkexec.ctl.arguments import Invocation
from zkexec.ctl.cluster_connection import LOST, ClusterConnection
from zkexec.ctl.exit_status import CANNOT_WORK, DONE, NO, SubcommandError
from zkexec.ctl.status import phrases
from zkexec.ctl.status.change_lines import group_changes, summary_changes
from zkexec.ctl.status.event_lines import event_lines
from zkexec.ctl.status.group_reader import GroupReader, UnreachableError
from zkexec.ctl.status.group_status import GroupStatus
from zkexec.ctl.status.group_summary import GroupSummary
from zkexec.ctl.status.new_events import NewEvents
from zkexec.ctl.status.render import render_group, render_notice, render_overview
from zkexec.ctl.status.rollout_events import rollout_events
from zkexec.ctl.status.status_json import status_json
from zkexec.ctl.status.time_phrases import moment
from zkexec.ctl.status.wait_decision import WaitDecision, WaitOutcome
from zkexec.ctl.terminal.console import Console
from zkexec.ctl.terminal.live import RESIZED, LiveScreen, can_draw, resize_events
from zkexec.ctl.terminal.table import Frame
from zkexec.text import LONGEST_LINE, cut, printable

TICK_S = 1.0
REDRAW_S = 0.1
SHORTEST_READ_S, LONGEST_READ_S = 2.0, 8.0
"""The limits of one attempt to read after a disconnection; a longer one is for a slow cluster."""


Shown = Sequence[GroupStatus] | Sequence[GroupSummary]
"""One group, all groups for a program, or what the list of all groups shows of them."""


def run(invocation: Invocation, console: Console) -> int:
    """Show the group of the invocation, or all."""
    live = invocation.watch or invocation.until_done
    display = _display(invocation, console, live=live)
    with ClusterConnection(invocation.connection, display.report) as cluster:
        reader = GroupReader(cluster, invocation.lock, live=live)
        is_list = not invocation.lock and not invocation.json
        read = reader.summaries if is_list else reader.read
        groups = read()
        if invocation.lock:
            _check_readable(groups[0])
        if not live:
            display.show(groups, time.time(), None)
            return DONE
        with resize_events(cluster.report_change):
            watch = _Watch(cluster, reader, read, display)
            outcome = watch.show_changes(groups, until_done=invocation.until_done)
    if outcome.status != DONE:
        console.report(cut(outcome.text, LONGEST_LINE))
    return outcome.status


def _check_readable(group: GroupStatus | GroupSummary) -> None:
    if not isinstance(group, GroupStatus):
        return
    if group.is_forbidden:
        raise SubcommandError(group.error, CANNOT_WORK)
    if not group.exists:
        raise SubcommandError(phrases.headline(group, time.time()), NO)


class _Display(Protocol):
    """What shows the groups."""

    @property
    def tick_s(self) -> float:
        """After how long it is shown again, although nothing has changed."""

    def show(self, groups: Shown, now: float, disconnected_since: float | None) -> None:
        """Show the groups; `disconnected_since` is when the connection was lost, if it is."""

    def report(self, line: str) -> None:
        """Show a line about the connection."""

    def resized(self) -> None:
        """Take notice that the terminal has another size."""

    def finish(self, now: float) -> None:
        """Show what is left, as nothing more is shown."""


class _TextLines:
    """The groups as text; if they are watched, then a line with its time for each change."""

    tick_s = math.inf

    def __init__(self, console: Console, *, live: bool, shows_all: bool) -> None:
        self._console = console
        self._live = live
        self._shows_all = shows_all
        self._shown: Shown | None = None
        self._disconnected_since: float | None = None

    def show(self, groups: Shown, now: float, disconnected_since: float | None) -> None:
        """Write all at first, later what has changed."""
        if self._shown is None:
            is_wide = self._console.is_terminal and not self._live
            frame = Frame(self._console.paint, self._console.width if is_wide else None)
            lines = _rendered(groups, now, frame, shows_all=self._shows_all)
        else:
            lines = _changes(self._shown, groups, now)
            if disconnected_since != self._disconnected_since:
                lines += _disconnected(disconnected_since, now)
            at = time.strftime("%H:%M:%S", time.localtime(now))
            lines = [f"{at} {line}" for line in lines]
        self._shown, self._disconnected_since = groups, disconnected_since
        if lines:
            self._console.out("\n".join(lines))

    def report(self, line: str) -> None:
        """Write it to stderr."""
        self._console.report(line)

    def resized(self) -> None:
        """Do nothing: text has no size."""

    def finish(self, now: float) -> None:
        """Do nothing: all is shown."""


class _JsonLines:
    """One JSON object a line, for each change."""

    tick_s = math.inf

    def __init__(self, console: Console, *, with_events: bool) -> None:
        self._console = console
        self._with_events = with_events
        self._shown: tuple[object, ...] = ()

    def show(self, groups: Shown, now: float, disconnected_since: float | None) -> None:
        """Write an object if something has changed."""
        if (shown := (groups, disconnected_since)) != self._shown:
            whole = [group for group in groups if isinstance(group, GroupStatus)]
            line = status_json(whole, now, disconnected_since, with_events=self._with_events)
            self._console.out(line)
        self._shown = shown

    def report(self, line: str) -> None:
        """Write it to stderr."""
        self._console.report(line)

    def resized(self) -> None:
        """Do nothing: text has no size."""

    def finish(self, now: float) -> None:
        """Do nothing: all is shown."""


class _EventLines:
    """A line for each event of the rollout; if it is watched, for each new one."""

    def __init__(self, console: Console, *, live: bool) -> None:
        self._console = console
        self._live = live
        self._new = NewEvents()
        self._is_begun = False
        self._disconnected_since: float | None = None

    @property
    def tick_s(self) -> float:
        """How long to wait at most before events that are held back can be written."""
        return TICK_S if self._new.has_waiting else math.inf

    def show(self, groups: Shown, now: float, disconnected_since: float | None) -> None:
        """Write what was not written yet."""
        group = groups[0]
        if not isinstance(group, GroupStatus):
            return
        self._new.add(rollout_events(group), now)
        lines = event_lines(self._new.take(now) if self._live else self._new.take_all(), now)
        if disconnected_since != self._disconnected_since:
            lines += _disconnected(disconnected_since, now)
        if not self._is_begun:
            lines.insert(0, printable(cut(phrases.headline(group, now), LONGEST_LINE)))
        self._is_begun, self._disconnected_since = True, disconnected_since
        self._write(lines)

    def finish(self, now: float) -> None:
        """Write the events that were held back."""
        self._write(event_lines(self._new.take_all(), now))

    def report(self, line: str) -> None:
        """Write it to stderr."""
        self._console.report(line)

    def resized(self) -> None:
        """Do nothing: text has no size."""

    def _write(self, lines: Sequence[str]) -> None:
        if lines:
            self._console.out("\n".join(lines))


class _LiveView:
    """A view that is drawn again in its place."""

    tick_s = TICK_S

    def __init__(self, console: Console, *, shows_all: bool) -> None:
        self._screen = LiveScreen(console)
        self._console = console
        self._shows_all = shows_all
        self._is_drawn = False
        self._reported = ""

    def show(self, groups: Shown, now: float, disconnected_since: float | None) -> None:
        """Draw it."""
        self._is_drawn = True
        frame = self._screen.frame
        notices = _disconnected(disconnected_since, now)
        above = [line for text in notices for line in render_notice(text, frame)]
        if disconnected_since is not None and self._reported:
            above += render_notice(self._reported, frame)
        room = max(1, (frame.height or 0) - len(above))
        below = Frame(frame.paint, frame.width, room)
        self._screen.draw([*above, *_rendered(groups, now, below, shows_all=self._shows_all)])

    def report(self, line: str) -> None:
        """Keep it for the next drawing; print it if nothing is drawn yet."""
        self._reported = line
        if not self._is_drawn:
            self._console.report(line)

    def resized(self) -> None:
        """Draw on an empty screen."""
        self._screen.resized()

    def finish(self, now: float) -> None:
        """Do nothing: all is shown."""


class _Watch:
    """Shows each change, until it is interrupted or the rollout is over."""

    def __init__(
        self,
        cluster: ClusterConnection,
        reader: GroupReader,
        read: Callable[[float], Shown],
        display: _Display,
    ) -> None:
        """`read` is the method of the reader that is called again and again."""
        self._cluster = cluster
        self._reader = reader
        self._read = read
        self._display = display
        self._decision = WaitDecision()
        self._disconnected_since: float | None = None
        self._read_s = SHORTEST_READ_S

    def show_changes(self, groups: Shown, *, until_done: bool) -> WaitOutcome:
        """Show the groups again and again; return how the rollout has ended when it is over."""
        while True:
            drawn_at = time.monotonic()
            self._display.show(groups, time.time(), self._disconnected_since)
            if until_done and self._disconnected_since is None:
                outcome = self._decide(groups[0])
                if outcome is not None:
                    self._display.finish(time.time())
                    return outcome
            changed = self._cluster.changed(self._pause_s())
            time.sleep(max(0.0, drawn_at + REDRAW_S - time.monotonic()))
            changed |= self._cluster.changed(0)
            if changed or self._reader.is_due or self._disconnected_since is not None:
                groups = self._read_again(groups, changed)

    def _pause_s(self) -> float:
        if self._disconnected_since is not None:
            return 0.0
        at = self._decision.deadline()
        due_at = min(math.inf if at is None else at, self._reader.deadline)
        return min(self._display.tick_s, max(0.0, due_at - time.monotonic()))

    def _decide(self, group: GroupStatus | GroupSummary) -> WaitOutcome | None:
        if not isinstance(group, GroupStatus):
            return None
        return self._decision.decide(group, time.time(), time.monotonic())

    def _read_again(self, groups: Shown, changed: set[object]) -> Shown:
        if RESIZED in changed:
            self._display.resized()
        if LOST in changed and self._disconnected_since is None:
            self._disconnected_since = time.time()
            self._display.show(groups, time.time(), self._disconnected_since)
        self._reader.forget(changed)
        try:
            groups = self._read(self._read_s)
        except UnreachableError:
            self._disconnected_since = self._disconnected_since or time.time()
            self._read_s = min(2 * self._read_s, LONGEST_READ_S)
            return groups
        self._disconnected_since = None
        self._read_s = SHORTEST_READ_S
        return groups


def _display(invocation: Invocation, console: Console, *, live: bool) -> _Display:
    if invocation.json:
        return _JsonLines(console, with_events=invocation.events)
    if invocation.events:
        return _EventLines(console, live=live)
    if live and can_draw(console):
        return _LiveView(console, shows_all=invocation.show_all)
    return _TextLines(console, live=live, shows_all=invocation.show_all)


def _rendered(groups: Shown, now: float, frame: Frame, *, shows_all: bool) -> list[str]:
    if groups and isinstance(groups[0], GroupStatus):
        return render_group(groups[0], now, frame, shows_all=shows_all)
    return render_overview(_summaries(groups), now, frame)


def _changes(before: Shown, after: Shown, now: float) -> list[str]:
    for old, new in zip(before, after, strict=False):
        if isinstance(old, GroupStatus) and isinstance(new, GroupStatus):
            return group_changes(old, new, now)
    return summary_changes(_summaries(before), _summaries(after), now)


def _summaries(groups: Shown) -> list[GroupSummary]:
    return [group for group in groups if isinstance(group, GroupSummary)]


def _disconnected(since: float | None, now: float) -> list[str]:
    if since is None:
        return []
    at = moment(since, now)
    return [f"Disconnected from the cluster since {at}; this is the last known status."]
