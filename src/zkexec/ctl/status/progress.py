"""How far the rollout of one set of inputs is, and how long it takes."""

from zkexec.core.rollout.record import VersionState
from zkexec.ctl.status.member_row import MemberRow
from zkexec.frozen import frozen


@frozen(kw_only=True)
class Progress:
    """The rollout of the newest version of one set of inputs, to the members that have these.

    `digest` is "" while no member has read the newest write.  `zxid` and `written_at` are those of
    this write.  `allowed` is how many members may be in flight with the version.  `failure` is the
    config failure that stops it.  `missing` are the inputs that do not exist,
    `oversized` the trees that no member can read, `partly_hidden` those of which not all may be
    read here.
    """

    inputs: tuple[str, ...]
    rows: tuple[MemberRow, ...]
    zxid: int = 0
    written_at: float = 0.0
    digest: str = ""
    is_known_good: bool = False
    allowed: int = 1
    failure: VersionState | None = None
    missing: tuple[str, ...] = ()
    oversized: tuple[str, ...] = ()
    partly_hidden: tuple[str, ...] = ()

    @property
    def up_to_date_count(self) -> int:
        """How many members are up to date."""
        return sum(row.is_up_to_date for row in self.rows)

    @property
    def total(self) -> int:
        """How many members there are."""
        return len(self.rows)

    @property
    def is_complete(self) -> bool:
        """Whether all members are up to date."""
        return self.up_to_date_count == self.total

    def took_s(self, now: float) -> float | None:
        """Return how long it has taken since the newest write; None if that is not known."""
        if not self.written_at:
            return None
        if not self.is_complete:
            return max(0.0, now - self.written_at)
        end = self._last_finished_at()
        return None if end is None else end - self.written_at

    def remaining_s(self, now: float) -> float | None:
        """Return how long it will take at this pace; None if there is no pace, or it is overdue."""
        if not self.written_at or not self.up_to_date_count or self.is_complete or self.failure:
            return None
        last = self._last_finished_at()
        end = now if last is None else last
        pace_s = max(0.0, end - self.written_at) / self.up_to_date_count
        remaining_s = pace_s * (self.total - self.up_to_date_count) - max(0.0, now - end)
        return remaining_s if remaining_s > 0 else None

    def _last_finished_at(self) -> float | None:
        # A member that was started after the write has had no turn in this rollout.
        times = [
            row.since
            for row in self.rows
            if row.is_up_to_date and row.znode.created_at <= self.written_at
        ]
        return max((time for time in times if time >= self.written_at), default=None)
