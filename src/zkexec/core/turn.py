"""A member's turn: when it may stop its command and start it anew.

A turn is requested when the wanted configuration differs from the applied one.  It lasts from the
admission until the new command is known to be good.  Without `--lock` no other member is in the
queue: the turn is granted at once, and a command that has started ends it.  With `--lock`,
`Participant` goes through the queue of the group.
"""

from enum import Enum

from zkexec.core.actions import Action
from zkexec.core.events import Event
from zkexec.core.snapshot import InputState, Snapshot
from zkexec.frozen import frozen


@frozen()
class MemberStatus:
    """What a member publishes about itself, beside host, pid, version and time.

    `running` and `wanted` are digests of versions, or "" for none.  `running_at` and `wanted_at`
    are the times at which their newest znode was written, in seconds of the epoch by the
    ensemble's clock, or 0 if unknown.  `zxid` is that of the wanted version.
    """

    phase: str
    running: str = ""
    wanted: str = ""
    health: str = "unknown"
    reason: str = ""
    zxid: int = 0
    running_at: float = 0.0
    wanted_at: float = 0.0


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
    def in_group(self) -> bool:
        """Whether this member is in a group, and so reports which versions are known good."""

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
    def deadline(self) -> float | None:
        """When `advance` has something to do."""

    def basis(self, wanted: Snapshot, on_disk: Snapshot | None) -> StartBasis:
        """Return what a first start may run, if it `is_ready`; `on_disk` is in the files now."""

    def request(self, wanted: Snapshot) -> None:
        """Queue for a turn for this snapshot; if requested again, the newest counts."""

    def refresh(self, wanted: Snapshot | None, known: InputState, now: float) -> None:
        """Take in the wanted snapshot, also during the settle time, and what is known of it."""

    def withdraw(self) -> None:
        """Leave the queue, or release the turn: nothing is to be restarted any more."""

    def may_stop(self, now: float) -> bool:
        """Whether the turn was confirmed so recently that no member can have reclaimed it."""

    def confirm(self) -> None:
        """Confirm the turn, because `may_stop` was false."""

    def succeed(self, snapshot: Snapshot) -> None:
        """End the turn: the command is healthy on this snapshot."""

    def report_known_good(self, snapshot: Snapshot) -> None:
        """Report a snapshot as known good without ending any turn."""

    def fail(self, snapshot: Snapshot, reason: str) -> None:
        """Keep the turn, and record in the group that this snapshot failed."""

    def stop_taking_turns(self, *, keeps_entry: bool) -> None:
        """Take no further turn: the end of zkexec has begun, its command may still run.

        The entry is kept if the command was stopped for the turn and its end was not requested.
        """

    def close(self, now: float) -> bool:
        """Release the turn, as the command is gone; return whether nothing is left to record.

        Call it again until it returns true.  It also does if there is no time or no connection.
        """

    def publish(
        self, status: MemberStatus, running: Snapshot | None, wanted: Snapshot | None
    ) -> None:
        """Publish the status of this member, at each change of its phase or health."""

    def handle(self, event: Event, now: float) -> list[Action]:
        """Take in an event of the group; other events have no effect."""

    def advance(self, now: float) -> list[Action]:
        """Send the next request; called after each event and each change of what is wanted."""


class FreeTurn:
    """The turn of a member without `--lock`: it waits for no other member, and reports to none."""

    in_group = False
    in_flight = inherited = False
    is_ready = True
    error = ""
    deadline: float | None = None

    def __init__(self) -> None:
        self.granted: Snapshot | None = None

    def basis(self, wanted: Snapshot, on_disk: Snapshot | None) -> StartBasis:  # noqa: ARG002 -- protocol
        """Start on the wanted snapshot."""
        return StartBasis.WANTED

    def request(self, wanted: Snapshot) -> None:
        """Grant the turn at once."""
        self.granted = wanted

    def refresh(self, wanted: Snapshot | None, known: InputState, now: float) -> None:
        """Do nothing: no znode version is checked."""

    def withdraw(self) -> None:
        """Release the turn."""
        self.granted = None

    def may_stop(self, now: float) -> bool:  # noqa: ARG002 -- protocol
        """Allow it always: no other member can have the turn."""
        return True

    def succeed(self, snapshot: Snapshot) -> None:  # noqa: ARG002 -- protocol
        """Release the turn."""
        self.granted = None

    def stop_taking_turns(self, *, keeps_entry: bool) -> None:  # noqa: ARG002 -- protocol
        """Release the turn."""
        self.granted = None

    def confirm(self) -> None:
        """Do nothing: this turn needs no confirmation."""

    def report_known_good(self, snapshot: Snapshot) -> None:
        """Do nothing: there is no group."""

    def fail(self, snapshot: Snapshot, reason: str) -> None:
        """Do nothing: there is no group."""

    def close(self, now: float) -> bool:  # noqa: ARG002 -- protocol
        """Return true: nothing is left to record."""
        return True

    def publish(
        self, status: MemberStatus, running: Snapshot | None, wanted: Snapshot | None
    ) -> None:
        """Do nothing: there is no node for a status."""

    def handle(self, event: Event, now: float) -> list[Action]:  # noqa: ARG002 -- protocol
        """Do nothing: no event is about this turn."""
        return []

    def advance(self, now: float) -> list[Action]:  # noqa: ARG002 -- protocol
        """Do nothing: there is no request to send."""
        return []
