"""How far the rollout of one set of inputs is, and how long it takes."""

from collections.abc import Mapping
from functools import cached_property

from zkexec.core.rollout.version_state import VersionState
from zkexec.ctl.status.input_writes import InputWrite
from zkexec.ctl.status.member_row import MemberRow
from zkexec.frozen import frozen
from zkexec.group.version_codec import MemberFailure


@frozen()
class ZoneProgress:
    """How many members of one zone are up to date; members without a zone are in the zone ""."""

    zone: str
    up_to_date_count: int
    total: int


@frozen()
class RestartRequest:
    """An operation that requests something of the members: `restart` or `retry`.

    `by` and `reason` are "" if the record has no audit entry of it any more.
    """

    operation: str
    by: str
    reason: str
    at: float


@frozen(kw_only=True)
class Progress:
    """The rollout of the newest version of one set of inputs, to the members that have these.

    `digest` is "" while no member has read the newest write.  `zxid` and `written_at` are those of
    this write.  `allowed` is how many members may be in flight with the version.  `failure` is the
    config failure that stops it.  `succeeded` is how many turns with its contents ended well,
    `failures` are those of single members, also if they are tolerated.  `is_held` if a hold keeps
    the members that are left from the version.  `missing` are the inputs that do not exist,
    `oversized` the trees that no member can read, `partly_hidden` those of which not all may be
    read here.

    `write` is the newest write of the inputs, None if none is known.  `request` is the rolling
    restart or the retry that came after it, if one did.  `previous` is the write that made the last
    version before it that is known good, and `previous_digest` this version; None and "" if they
    are not known.

    `first_turn_at` is when the first member has begun to apply the version, 0 if that is not known.
    `can_go_on` is false if an operator has paused it, or a hold ends it before the last member.
    """

    inputs: tuple[str, ...]
    rows: tuple[MemberRow, ...]
    zxid: int = 0
    written_at: float = 0.0
    digest: str = ""
    is_known_good: bool = False
    allowed: int = 1
    failure: VersionState | None = None
    succeeded: int = 0
    failures: Mapping[str, MemberFailure] = {}
    is_held: bool = False
    missing: tuple[str, ...] = ()
    oversized: tuple[str, ...] = ()
    partly_hidden: tuple[str, ...] = ()
    write: InputWrite | None = None
    request: RestartRequest | None = None
    previous: InputWrite | None = None
    previous_digest: str = ""
    first_turn_at: float = 0.0
    can_go_on: bool = True

    @cached_property
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

    @property
    def zones(self) -> tuple[ZoneProgress, ...]:
        """How far each zone is; nothing if no member has one."""
        names = sorted({row.zone for row in self.rows})
        if names in ([], [""]):
            return ()
        by_zone = {name: [row for row in self.rows if row.zone == name] for name in names}
        return tuple(
            ZoneProgress(name, sum(row.is_up_to_date for row in rows), len(rows))
            for name, rows in by_zone.items()
        )

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
        if self.is_complete or self.is_held or self.failure or not self.can_go_on:
            return None
        finished = self._finished_at()
        begin, end = self.first_turn_at or self.written_at, max(finished, default=0.0)
        if not finished or not begin:
            return None
        pace_s = max(0.0, end - begin) / len(finished)
        remaining_s = pace_s * (self.total - self.up_to_date_count) - max(0.0, now - end)
        return remaining_s if remaining_s > 0 else None

    def _last_finished_at(self) -> float | None:
        return max(self._finished_at(), default=None)

    def _finished_at(self) -> list[float]:
        """When the members have become up to date that have had a turn in this rollout."""
        # A member that was started after the write has had none.
        times = [
            row.since
            for row in self.rows
            if row.is_up_to_date and row.znode.created_at <= self.written_at
        ]
        return [time for time in times if time >= self.written_at]
