"""The members of a group as an operator sees them, and what those want that mirror the same znodes.

A member is *through* when it knows the newest write of the znodes that it mirrors, runs what it
wants, and has no turn any more.  What is asked for by `restart` counts as such a write.  As long as
one of its znodes does not exist, or others want other contents of the same znodes, it is not.  A
duplicate, whose member ID another process has, is never through: it gets no turn.
"""

from enum import Enum

from zkexec.core.phases import Phase
from zkexec.core.rollout.record import EntryPhase, VersionState
from zkexec.core.turn import MemberStatus
from zkexec.frozen import frozen
from zkexec.group.member_codec import StatusFacts

MISSING = "missing"
"""Instead of a phase: the member is in flight, and its node is gone."""
UNREADABLE = "unreadable"
"""Instead of a phase: the node is there and tells nothing."""
TURN = 0
"""Instead of a place in the queue: the member is in flight."""


@frozen()
class Written:
    """The newest write of a znode that is there: its mzxid, seconds of the epoch, and bytes."""

    zxid: int
    at: float = 0.0
    size: int = 1


@frozen()
class Seen:
    """A member's node: the card, or the trouble with it; `born` is when the node was made.

    A node that `is_left_over` lasts, and belongs to nobody.
    """

    status: MemberStatus | None = None
    facts: StatusFacts | None = None
    born: float = 0.0
    trouble: str = ""
    is_left_over: bool = False


class StrayKind(Enum):
    """Why a znode among those of the members is ignored."""

    STRANGER = "no member can have created it"
    NO_REQUEST = "no zkexecctl has written this"
    LEFT_OVER = "it is lasting, so it belongs to no living member (restored from a dump?)"


@frozen()
class Stray:
    """A znode below `members` or `queue` that is no member's, or a `restart` that is no operator's.

    It is ignored.
    """

    path: str
    kind: StrayKind


@frozen()
class Intruder:
    """A node in the queue with the name of no member; those behind its `place` wait for its end."""

    place: int
    name: str
    path: str


@frozen(kw_only=True)
class Row:
    """One member, alive or missed; `untaken` are the znodes whose newest write it does not know.

    `place` is its place in the queue from 1 on, `TURN`, or None.  Times are seconds of the epoch.
    `shares_with` are members that write to the same files on its host, each with one of the files.
    `absent` are those of its znodes that do not exist, and `others_want` is what most of those
    want that mirror the same znodes, where it is of other contents.
    """

    name: str
    phase: str
    place: int | None = None
    seen: Seen = Seen()
    entry: EntryPhase | None = None
    since: float = 0.0
    wanted: str = ""
    reason: str = ""
    untaken: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    others_want: str = ""
    shares_with: tuple[tuple[str, str], ...] = ()

    @property
    def duplicate_of(self) -> str:
        """The member ID that it was given and another process has; "" if it has its own."""
        return self.seen.facts.duplicate_of if self.seen.facts else ""

    @property
    def status(self) -> MemberStatus:
        """What the member says of itself; an empty one where nothing of that is known."""
        return self.seen.status or MemberStatus("")

    @property
    def is_alive(self) -> bool:
        """Whether the node of the member is there."""
        return self.phase != MISSING

    @property
    def is_through(self) -> bool:
        """Whether nothing has to happen to this member any more."""
        return self.is_settled and not self.absent and not self.others_want

    @property
    def is_settled(self) -> bool:
        """Whether it runs what it wants, as far as there is something to be had."""
        is_left_alone = self.place is None and not self.duplicate_of
        return is_left_alone and not self.untaken and self.runs_wanted

    @property
    def runs_wanted(self) -> bool:
        """Whether it says that it runs what it wants, and that all is done for that."""
        status = self.seen.status
        return (
            status is not None
            and status.phase == Phase.RUNNING.value
            and status.running == status.wanted
        )

    @property
    def is_held_by_pause(self) -> bool:
        """Whether it will not go on before an operator lets it."""
        if self.is_through or self.duplicate_of:
            return False
        return self.entry is not EntryPhase.RESTARTING


@frozen(kw_only=True)
class Aim:
    """What those want that mirror the same znodes, as far as one of them has seen the newest.

    `digest` is "" where nobody has.  `zxid` and `at` are those of the newest write, `at_once`
    is how many may be in flight with it, `failure` is what stands against it.  Of `missing` znodes
    nothing can be wanted.
    """

    paths: tuple[str, ...]
    rows: tuple[Row, ...]
    zxid: int = 0
    at: float = 0.0
    digest: str = ""
    is_known_good: bool = False
    at_once: int = 1
    failure: VersionState | None = None
    missing: tuple[str, ...] = ()

    @property
    def done(self) -> int:
        """How many are through."""
        return sum(row.is_through for row in self.rows)

    @property
    def total(self) -> int:
        """How many there are."""
        return len(self.rows)

    @property
    def is_through(self) -> bool:
        """Whether all are through."""
        return self.done == self.total

    def took_s(self, now: float) -> float | None:
        """How long it has taken since the newest write; None where that cannot be told."""
        if not self.at:
            return None
        if not self.is_through:
            return max(0.0, now - self.at)
        end = self._last_through()
        return None if end is None else end - self.at

    def left_s(self, now: float) -> float | None:
        """How long it will take at this pace; None where there is none, or it is overdue."""
        if not self.at or not self.done or self.is_through or self.failure:
            return None
        last = self._last_through()
        end = now if last is None else last
        pace_s = max(0.0, end - self.at) / self.done
        left_s = pace_s * (self.total - self.done) - max(0.0, now - end)
        return left_s if left_s > 0 else None

    def _last_through(self) -> float | None:
        # Who came later, or started anew, has had no turn in this rollout.
        times = [row.since for row in self.rows if row.is_through and row.seen.born <= self.at]
        return max((time for time in times if time >= self.at), default=None)
