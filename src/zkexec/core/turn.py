"""A member's turn: when it may stop its command and start it anew.

A turn is requested when the wanted configuration differs from the applied one.  It lasts from the
admission until the new command is known to be good.  Without `--lock` no other member is in the
queue: the turn is granted at once, and a command that has started ends it.  With `--lock`,
`Participant` goes through the queue of the group.
"""

from zkexec.core.actions import Action, Note
from zkexec.core.attempt import LocalFailure
from zkexec.core.events import Event
from zkexec.core.snapshot import NOTHING_READ, InputState, Snapshot
from zkexec.enumeration import Enum
from zkexec.frozen import frozen


@frozen()
class TurnAges:
    """The last turn of a member: how long ago it began to apply a change, and ended that.

    `digest` is the version that is applied, as far as people see it; `ended_s` is None while the
    turn lasts.  `action` is `restart` or `reload`, "" as long as nothing was stopped or reloaded.
    `result` is `succeeded`, `failed` or `blocked`, "" for any other end.
    """

    digest: str
    began_s: float = 0.0
    ended_s: float | None = None
    action: str = ""
    result: str = ""


@frozen(uncompared=("turn",))
class MemberStatus:
    """What a member publishes about itself, beside host, pid, version and time.

    `running` and `wanted` are digests of versions, or "" for none.  `running_at` and `wanted_at`
    are the times at which their newest znode was written, in seconds of the epoch by the
    ensemble's clock, or 0 if unknown.  `zxid` is that of the wanted version, `running_zxid` that of
    the running one, 0 if unknown.  `step` is the step of a change that the member is in, or in
    which it has failed; "" for none.  A member is
    `unavailable` if its last health check failed and it has no turn.  `turn` is its last one, as of
    the moment of the publication.
    """

    phase: str
    running: str = ""
    wanted: str = ""
    health: str = "unknown"
    reason: str = ""
    zxid: int = 0
    running_at: float = 0.0
    wanted_at: float = 0.0
    step: str = ""
    unavailable: bool = False
    running_zxid: int = 0
    turn: TurnAges | None = None


class Keeping(Enum):
    """What a member wants of its turn."""

    NOTHING = "nothing"
    """No turn is needed: if there is one, release it."""
    PLACE = "place"
    """Release the turn, and queue again: what it was granted for cannot be applied now."""
    TURN = "turn"
    """A change waits, is applied, has failed, or is not known good yet."""
    STOP = "stop"
    """The files are staged: the command is to be stopped as soon as the turn allows it."""
    LEAVING = "leaving"
    """zkexec ends: take no turn any more, and release the present one when no command runs."""
    ENTRY = "entry"
    """zkexec ends, and its entry stays: its command was stopped, and its end not requested."""


@frozen()
class Intent:
    """What a member wants of its group, derived anew after each event.

    `wanted` is the version to queue for.  `succeeded` is the one on which the command has become
    healthy in this turn, and `failure` the one that failed, until something newer is tried.
    `known_good` is the version on which it was healthy last, in a turn or not.  `current` is the
    newest snapshot, also during the settle time, and `known` what is known of it.  `status` is for
    people, and `running` the version in it; None while the event is not finished.
    """

    keeping: Keeping = Keeping.NOTHING
    wanted: Snapshot | None = None
    succeeded: Snapshot | None = None
    failure: LocalFailure | None = None
    known_good: Snapshot | None = None
    current: Snapshot | None = None
    known: InputState = NOTHING_READ
    status: MemberStatus | None = None
    running: Snapshot | None = None


class StartBasis(Enum):
    """What a first start may run."""

    WANTED = "wanted"
    ON_DISK = "on disk"
    NOTHING = "nothing"


TYPE_CHECKING = False  # as in cli.py: `typing` is slow to import, and large
if TYPE_CHECKING:
    from typing import Protocol
else:
    Protocol = object


class Turn(Protocol):
    """What a member needs to know of its turn, and may do with it."""

    @property
    def granted(self) -> Snapshot | None:
        """The snapshot that may be tried now; None without a turn."""

    @property
    def in_flight(self) -> bool:
        """Whether the group counts this member as in flight."""

    @property
    def inherited(self) -> bool:
        """Whether the turn of this member was begun by an earlier run."""

    @property
    def is_ready(self) -> bool:
        """Whether enough is known of the group for a first start."""

    @property
    def error(self) -> str:
        """Why the last request to the group failed; "" if none has since the connection."""

    @property
    def unreadable(self) -> str:
        """Which permission is missing to read the record of the group; "" if none is."""

    @property
    def awaited(self) -> Note | None:
        """Why this member has no turn yet, as it was logged; None if it waits for none."""

    @property
    def deadline(self) -> float | None:
        """When `advance` has something to do."""

    def basis(
        self, wanted: Snapshot, on_disk: Snapshot | None, *, was_healthy: bool = False
    ) -> StartBasis:
        """Return what a first start may run, if it `is_ready`; `on_disk` is in the files now.

        `was_healthy`: the command of this host was healthy on it.
        """

    def is_known_good(self, on_disk: Snapshot, *, was_healthy: bool = False) -> bool:
        """Whether a first start may rely on this, because a command was healthy on it.

        `was_healthy`: that was the command of this host, as its state file shows.
        """

    def may_stop(self, now: float) -> bool:
        """Whether the turn was confirmed so recently that no member can have reclaimed it."""

    def reconcile(self, intent: Intent, now: float) -> None:
        """Take in what the member wants now; `granted` and `may_stop` follow from it at once."""

    def close(self, now: float) -> bool:
        """Release the turn, as the command is gone; return whether nothing is left to record.

        Call it again until it returns true.  It also does if there is no time or no connection.
        """

    def handle(self, event: Event, now: float) -> list[Action]:
        """Take in an event of the group; other events have no effect."""

    def advance(self, now: float) -> list[Action]:
        """Send the next request; called after each event."""


class FreeTurn:
    """The turn of a member without `--lock`: it waits for no other member, and reports to none."""

    in_flight = inherited = False
    is_ready = True
    error = unreadable = ""
    awaited: Note | None = None
    deadline: float | None = None
    granted: Snapshot | None = None

    def basis(
        self,
        wanted: Snapshot,  # noqa: ARG002 -- protocol
        on_disk: Snapshot | None,  # noqa: ARG002 -- protocol
        *,
        was_healthy: bool = False,  # noqa: ARG002 -- protocol
    ) -> StartBasis:
        """Start on the wanted snapshot."""
        return StartBasis.WANTED

    def is_known_good(self, on_disk: Snapshot, *, was_healthy: bool = False) -> bool:  # noqa: ARG002 -- protocol
        """Return false: nothing is known of any version."""
        return False

    def reconcile(self, intent: Intent, now: float) -> None:  # noqa: ARG002 -- protocol
        """Grant the turn at once."""
        self.granted = intent.wanted

    def may_stop(self, now: float) -> bool:  # noqa: ARG002 -- protocol
        """Allow it always: no other member can have the turn."""
        return True

    def close(self, now: float) -> bool:  # noqa: ARG002 -- protocol
        """Return true: nothing is left to record."""
        return True

    def handle(self, event: Event, now: float) -> list[Action]:  # noqa: ARG002 -- protocol
        """Do nothing: no event is about this turn."""
        return []

    def advance(self, now: float) -> list[Action]:  # noqa: ARG002 -- protocol
        """Do nothing: there is no request to send."""
        return []
