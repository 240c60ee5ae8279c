"""When a member acts in place of the head before it.

A head may keep its session and yet admit no member.  A member that waits for an acting head reads
the record from time to time.  If there was room at one read, and two session timeouts later the
same decisions and the same room, the head hangs, and this member acts.  It commits against the
record that it has read, so two heads do no harm.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from zkexec.core.rollout.record import RolloutRecord
    from zkexec.core.rollout.record_basis import RecordBasis

_TIMEOUTS = 2.0


class Takeover:
    """What a waiting member has seen of the head before it."""

    def __init__(self) -> None:
        self.acts = False
        self._seen: tuple[int, int] | None = None
        self._seen_since = 0.0
        self._read_at: float | None = None

    def forget(self) -> None:
        """Trust the head again: something has happened."""
        self.acts = False
        self._seen = self._read_at = None

    def due(self, session_timeout_s: float, waits_since: float) -> float:
        """Return when the record is to be read again."""
        last = waits_since if self._read_at is None else max(self._read_at, waits_since)
        return last + _TIMEOUTS * session_timeout_s

    def read(
        self,
        record: RolloutRecord,
        basis: RecordBasis,
        now: float,
        session_timeout_s: float,
        *,
        has_room: bool,
    ) -> None:
        """Compare with the reads before; `has_room`: this member could be admitted."""
        seen = (basis.state, record.in_flight_count) if has_room else None
        if seen is None or seen != self._seen:
            self._seen_since = now
        self._seen, self._read_at = seen, now
        waited_s = now - self._seen_since
        self.acts = seen is not None and waited_s >= _TIMEOUTS * session_timeout_s
