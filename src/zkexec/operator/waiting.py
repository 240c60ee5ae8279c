"""`zkexecctl wait`: follow a rollout to its end, and say how it ended."""

import math
import time
from collections.abc import Mapping, Sequence

from zkexec.operator import sentences
from zkexec.operator.call import Call
from zkexec.operator.cluster import LOST, Cluster, opened
from zkexec.operator.console import Console, clean
from zkexec.operator.ending import End, Ending
from zkexec.operator.looking import Lookout, UnreachableError
from zkexec.operator.outcome import CANNOT_WORK, DONE, NO, TIMED_OUT, OperatorError
from zkexec.operator.screen import RESIZED, Screen, can_draw, told_of_size
from zkexec.operator.sight import Sight, State
from zkexec.operator.superseding import Claim, Held
from zkexec.operator.table import fit, wrap
from zkexec.text import LONGEST_LINE, cut

TICK_S = 1.0
_AWAY = "the cluster is away"


def run(call: Call, console: Console) -> int:
    """Wait for the end of the rollout of what is wanted now."""
    with opened(call.connection, console) as cluster:
        return follow(cluster, call.lock, call.timeout_s, console)


def follow(
    cluster: Cluster,
    lock: str,
    timeout_s: float | None,
    console: Console,
    pushed: Mapping[str, Held] | None = None,
) -> int:
    """Follow the rollout of this group to its end, and return the exit status.

    `pushed` is what the rollout is about, by path, where that is known: somebody has to mirror it,
    and it has to stay.  OperatorError where the cluster cannot be asked at the start.
    """
    with told_of_size(cluster.touch):
        return _Vigil(cluster, lock, console, pushed or {}).keep(timeout_s)


class _Progress:
    """One line: drawn in its place on a terminal, else written anew at each change."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._screen = Screen(console) if can_draw(console) else None
        self._said: Sequence[str] = ()

    @property
    def is_drawn(self) -> bool:
        """Whether it may be drawn again and again."""
        return self._screen is not None

    def show(self, sight: Sight, away: Sequence[str], now: float, *, is_last: bool = False) -> None:
        """Say how far the group is; at the end also how long it took."""
        line = sentences.standing(sight, now)
        if not sight.is_through and sight.rows:
            line += f", {sentences.awaited(sight)}"
        if away:
            line += f", {sentences.names(away)} went away"
        pace = sentences.pace(sight.aims[0], now) if len(sight.aims) == 1 else ""
        advice = [sentences.missing(sight, row, now) for row in sight.missing]
        advice += [sentences.duplicate(sight, row) for row in sight.duplicates]
        if self._screen is not None:
            bar = sentences.bar(sight.done, len(sight.rows)) if sight.rows else ""
            whole = "  ".join(part for part in (line, bar, pace) if part)
            width = self._screen.frame.width or 0
            below = [part for text in advice for part in wrap(clean(cut(text)), width)]
            self._screen.draw([fit(clean(cut(whole, LONGEST_LINE)), width), *below])
            return
        if is_last and pace:
            line += f", {pace}"
        for text in (line, *advice):
            if text not in self._said:
                text = cut(text, LONGEST_LINE)  # noqa: PLW2901 -- all of it that is shown
                self._console.out(clean(f"{time.strftime('%H:%M:%S')} {text}"))
        self._said = (line, *advice)

    def resized(self) -> None:
        """Draw anew."""
        if self._screen is not None:
            self._screen.resized()

    def leave(self) -> None:
        """Something else is written below."""
        if self._screen is not None:
            self._screen.leave()


class _Vigil:
    """One wait for the end of a rollout."""

    def __init__(
        self, cluster: Cluster, lock: str, console: Console, pushed: Mapping[str, Held]
    ) -> None:
        self._cluster = cluster
        self._console = console
        self._lookout = Lookout(cluster, lock, live=True)
        self._claim = Claim(cluster, pushed)
        self._ending = Ending(max((held.zxid for held in pushed.values()), default=0))
        self._progress = _Progress(console)

    def keep(self, timeout_s: float | None) -> int:
        """Wait for the end, and return the exit status."""
        give_up_at = time.monotonic() + (math.inf if timeout_s is None else timeout_s)
        (sight,) = self._lookout.look()
        if sight.forbidden:
            raise OperatorError(sight.trouble, CANNOT_WORK)
        is_lost = False
        while True:
            now = time.time()
            try:
                end = self._end(sight, now, give_up_at)
            except UnreachableError:
                return self._late(sight, timeout_s or 0.0, now, _AWAY)
            if end is not None:
                return self._ended(end, sight, now)
            self._progress.show(sight, self._ending.away, now)
            if is_lost or time.monotonic() >= give_up_at:
                why = _AWAY if is_lost else sentences.awaited(sight)
                return self._late(sight, timeout_s or 0.0, now, why)
            touched = self._cluster.touched(self._pause_s(give_up_at))
            if touched:
                sight, is_lost = self._again(sight, touched, give_up_at)

    def _end(self, sight: Sight, now: float, give_up_at: float) -> End | None:
        """The end, if this is it; UnreachableError where nobody answers before the time is over."""
        # Who or what superseded the push is asked for first: what came after it may have failed.
        try:
            why = self._claim.superseded(sight, give_up_at - time.monotonic())
        except OperatorError as error:
            if time.monotonic() < give_up_at:
                raise
            raise UnreachableError(str(error)) from None
        if why:
            return End(NO, f"{sight.name}: {why}")
        return self._ending.judge(sight, now, time.monotonic())

    def _pause_s(self, give_up_at: float) -> float:
        next_at = self._ending.deadline()
        pause_s = (give_up_at if next_at is None else min(next_at, give_up_at)) - time.monotonic()
        return max(0.0, min(pause_s, TICK_S) if self._progress.is_drawn else pause_s)

    def _again(self, sight: Sight, touched: set[object], give_up_at: float) -> tuple[Sight, bool]:
        """Look again, however long the cluster is away; the same where the time is over."""
        if RESIZED in touched:
            self._progress.resized()
        if LOST in touched:
            # Lines on the connection may come below what was drawn.
            self._progress.leave()
        self._lookout.touch(touched)
        try:
            (sight,) = self._lookout.look(give_up_at - time.monotonic())
        except UnreachableError:
            if time.monotonic() < give_up_at:
                raise
            return sight, True
        finally:
            if LOST in touched:
                self._progress.leave()
        return sight, False

    def _ended(self, end: End, sight: Sight, now: float) -> int:
        if sight.state not in (State.GONE, State.UNREADABLE, State.EMPTY):
            self._progress.show(sight, (), now, is_last=end.status == DONE)
        if end.status != DONE:
            self._console.err(f"zkexecctl: {clean(cut(end.text, LONGEST_LINE))}")
        return end.status

    def _late(self, sight: Sight, timeout_s: float, now: float, why: str) -> int:
        where = sentences.standing(sight, now)
        late = f"timed out after {sentences.span(timeout_s)}"
        told = cut(f"{where}, {why}", LONGEST_LINE)
        self._console.err(f"zkexecctl: {clean(f'{told}; {late}')}")
        return TIMED_OUT
