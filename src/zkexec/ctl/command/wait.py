"""`zkexecctl wait`: follow a rollout to its end, and report how it has ended."""

import math
import time
from collections.abc import Mapping, Sequence

from zkexec.ctl.arguments import Invocation
from zkexec.ctl.cluster_connection import LOST, ClusterConnection, connect
from zkexec.ctl.exit_status import CANNOT_WORK, DONE, NO, TIMED_OUT, SubcommandError
from zkexec.ctl.history.pushed_contents import PushedContent, PushedContents
from zkexec.ctl.status import phrases
from zkexec.ctl.status.group_reader import GroupReader, UnreachableError
from zkexec.ctl.status.group_status import GroupState, GroupStatus
from zkexec.ctl.status.rollout_lines import rollout_changes, rollout_start, unavailable_text
from zkexec.ctl.status.time_phrases import exact_span, span
from zkexec.ctl.status.wait_decision import WaitDecision, WaitOutcome
from zkexec.ctl.terminal.console import Console
from zkexec.ctl.terminal.live import RESIZED, LiveScreen, can_draw, resize_events
from zkexec.ctl.terminal.text_width import fit, lines_of
from zkexec.frozen import frozen, replace
from zkexec.text import LONGEST_LINE, cut, printable

TICK_S = 1.0
_AWAY = "disconnected from the cluster"


def run(invocation: Invocation, console: Console) -> int:
    """Wait for the end of the rollout."""
    with connect(invocation.connection, console) as cluster:
        return follow(cluster, invocation.lock, invocation.timeout_s, console).status


@frozen()
class FollowedPush:
    """The push that a rollout is about, if it is known.

    `contents` are by path: some member must have them as inputs, and they must stay in their
    znodes.  `undoes_failure` if the push is undone when its rollout fails.
    """

    contents: Mapping[str, PushedContent] = {}
    has_hold: bool = False
    undoes_failure: bool = False


_NO_PUSH = FollowedPush()


def follow(
    cluster: ClusterConnection,
    lock: str,
    timeout_s: float | None,
    console: Console,
    push: FollowedPush = _NO_PUSH,
) -> WaitOutcome:
    """Follow the rollout of this group to its end, report the outcome, and return it.

    Raises SubcommandError if the cluster cannot be reached at the start.
    """
    with resize_events(cluster.report_change):
        return _RolloutWait(cluster, lock, console, push).follow(timeout_s)


class _RolloutLog:
    """One line for each change, with the time since the start; on a terminal the progress below."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._screen = LiveScreen(console) if can_draw(console) else None
        self._shown: GroupStatus | None = None
        self._away: Sequence[str] = ()
        self._started_at = time.monotonic()

    @property
    def is_drawn(self) -> bool:
        """Whether the progress can be drawn again and again."""
        return self._screen is not None

    @property
    def elapsed(self) -> str:
        """The time since the start."""
        return span(time.monotonic() - self._started_at)

    def show(self, group: GroupStatus, away: Sequence[str], now: float) -> None:
        """Write what has changed, and on a terminal draw how far the group is."""
        before, self._shown = self._shown, group
        lines = rollout_start(group, now) if before is None else []
        lines += rollout_changes(before, group, now) if before is not None else []
        if missing := [name for name in away if name not in self._away]:
            lines.append(f"waiting for {phrases.names(missing)} to come back")
        self._away = away
        self._write(lines, self._progress(group, away, now))

    def finish(self, group: GroupStatus, now: float, *, is_complete: bool) -> None:
        """Write the last changes, and a line with how far the group is, after which time."""
        lines = []
        if self._shown is not None:
            lines = rollout_changes(self._shown, group, now)
        pace = phrases.pace(group.progress[0], now) if len(group.progress) == 1 else ""
        parts = [phrases.headline(group, now), pace if is_complete else ""]
        parts.append(unavailable_text(group) if is_complete else "")
        self._write([*lines, ", ".join(part for part in parts if part)], [])

    def resized(self) -> None:
        """Draw on an empty screen."""
        if self._screen is not None:
            self._screen.resized()

    def leave(self) -> None:
        """Keep what is drawn, as something else is written below."""
        if self._screen is not None:
            self._screen.leave()

    def _progress(self, group: GroupStatus, away: Sequence[str], now: float) -> list[str]:
        """Make the line that is drawn in its place, and what an operator can do."""
        line = phrases.headline(group, now)
        waits_for = phrases.waits_for(group, with_steps=True) if group.rows else ""
        if not group.is_complete and waits_for:
            line += f", {waits_for}"
        if away:
            line += f", waiting for {phrases.names(away)} to come back"
        pace = phrases.pace(group.progress[0], now) if len(group.progress) == 1 else ""
        bar = phrases.bar(group.up_to_date_count, len(group.rows)) if group.rows else ""
        advice = phrases.missing_members(group, now) + phrases.duplicate_members(group)
        return ["  ".join(part for part in (line, bar, pace) if part), *advice]

    def _write(self, changes: Sequence[str], progress: Sequence[str]) -> None:
        lines = [f"+{self.elapsed} {line}" for line in changes]
        if self._screen is None:
            for line in lines:
                self._console.out(printable(cut(line, LONGEST_LINE)))
            return
        width = self._screen.frame.width or 0
        above = [part for line in lines for part in lines_of(line, width)]
        drawn = [fit(printable(cut(line, LONGEST_LINE)), width) for line in progress[:1]]
        drawn += [part for text in progress[1:] for part in lines_of(text, width)]
        self._screen.draw(drawn, above)


class _RolloutWait:
    """One wait for the end of a rollout."""

    def __init__(
        self,
        cluster: ClusterConnection,
        lock: str,
        console: Console,
        push: FollowedPush,
    ) -> None:
        self._cluster = cluster
        self._console = console
        self._reader = GroupReader(cluster, lock, live=True)
        self._push = push
        self._pushed = PushedContents(cluster, push.contents)
        self._decision = WaitDecision(self._pushed.zxid, until_held=push.has_hold)
        self._log = _RolloutLog(console)

    def follow(self, timeout_s: float | None) -> WaitOutcome:
        """Wait for the end, report it, and return it."""
        give_up_at = time.monotonic() + (math.inf if timeout_s is None else timeout_s)
        (group,) = self._reader.read()
        if group.is_forbidden:
            raise SubcommandError(group.error, CANNOT_WORK)
        is_away = False
        while True:
            now = time.time()
            try:
                outcome = self._outcome(group, now, give_up_at)
            except UnreachableError:
                return self._timed_out(group, timeout_s or 0.0, now, _AWAY)
            if outcome is not None:
                return self._finish(outcome, group, now)
            self._log.show(group, self._decision.away, now)
            if is_away or time.monotonic() >= give_up_at:
                why = _AWAY if is_away else phrases.waits_for(group)
                return self._timed_out(group, timeout_s or 0.0, now, why)
            changed = self._cluster.changed(self._pause_s(give_up_at))
            if changed or self._reader.is_due:
                group, is_away = self._read_again(group, changed, give_up_at)

    def _outcome(self, group: GroupStatus, now: float, give_up_at: float) -> WaitOutcome | None:
        """Return the outcome, if there is one; raise UnreachableError if the time is over."""
        # What superseded the push is checked first: what came after it may have failed.
        try:
            why = self._pushed.superseded(group, give_up_at - time.monotonic())
        except SubcommandError as error:
            if time.monotonic() < give_up_at:
                raise
            raise UnreachableError(str(error)) from None
        if why:
            return WaitOutcome(NO, f"{group.name}: {why}")
        outcome = self._decision.decide(group, now, time.monotonic())
        failed = self._pushed.failure(group)
        if outcome is None or failed is None:
            return outcome
        return replace(outcome, failure=phrases.failure_of(failed, now))

    def _pause_s(self, give_up_at: float) -> float:
        next_at = self._decision.deadline()
        until = min(give_up_at if next_at is None else next_at, give_up_at, self._reader.deadline)
        pause_s = until - time.monotonic()
        return max(0.0, min(pause_s, TICK_S) if self._log.is_drawn else pause_s)

    def _read_again(
        self, group: GroupStatus, changed: set[object], give_up_at: float
    ) -> tuple[GroupStatus, bool]:
        """Read the group, however long the cluster is away.

        If the time is over, return the old status and True.
        """
        if RESIZED in changed:
            self._log.resized()
        if LOST in changed:
            # Lines about the connection can come below what was drawn.
            self._log.leave()
        self._reader.forget(changed)
        try:
            (group,) = self._reader.read(give_up_at - time.monotonic())
        except UnreachableError:
            if time.monotonic() < give_up_at:
                raise
            return group, True
        finally:
            if LOST in changed:
                self._log.leave()
        return group, False

    def _finish(self, outcome: WaitOutcome, group: GroupStatus, now: float) -> WaitOutcome:
        is_complete = outcome.status == DONE and not outcome.is_held
        if group.state not in (GroupState.GONE, GroupState.UNREADABLE, GroupState.EMPTY):
            self._log.finish(group, now, is_complete=is_complete)
        if not is_complete:
            write = self._console.report if outcome.status else self._console.paragraph
            write(cut(outcome.text, LONGEST_LINE))
        is_undone = bool(outcome.failure) and self._push.undoes_failure
        if outcome.status == NO and not outcome.is_held and not is_undone:
            for text in phrases.advice(group):
                self._console.report(text)
        return outcome

    def _timed_out(self, group: GroupStatus, timeout_s: float, now: float, why: str) -> WaitOutcome:
        text = cut(f"{phrases.headline(group, now)}, {why}", LONGEST_LINE)
        text = f"{text}; timed out after {exact_span(timeout_s)}"
        self._console.report(text)
        for line in (*phrases.tolerated_failures(group), *phrases.advice(group)):
            self._console.report(line)
        return WaitOutcome(TIMED_OUT, text)
