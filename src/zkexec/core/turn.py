"""A member's turn to restart: who may take its child down, and when.

A turn is asked for when the wanted configuration differs from the applied one, and is held from
the grant until the new child has proven itself.  Without `--lock` nobody else is in the queue: the
turn is granted at once, and a child that has come to life has proven all that it is asked to
prove.  With it, `Participant` goes through the queue of the group.
"""

from enum import Enum

from zkexec.core.actions import Action
from zkexec.core.events import Event
from zkexec.core.snapshot import InputState, Snapshot
from zkexec.frozen import frozen


@frozen()
class MemberStatus:
    """What a member's node tells a status view, beside host, pid, version and time.

    `running` and `wanted` are digests as the group's record knows them, or "" for none; with them
    stand the times at which their newest znode was written, in seconds of the epoch as the
    ensemble tells it, 0 where it is not known.  `zxid` is that of what is wanted.
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
    """What a member needs to know of its turn."""

    @property
    def in_group(self) -> bool:
        """Whether there are others to take turns with, and so something to prove to them."""

    @property
    def granted(self) -> Snapshot | None:
        """The snapshot that may be tried now; None while no turn is held."""

    @property
    def has_entry(self) -> bool:
        """Whether the group counts this member as being in the middle of a restart."""

    @property
    def inherited(self) -> bool:
        """Whether it was an earlier run of this member that began that restart."""

    @property
    def known(self) -> bool:
        """Whether it is known what the group has to say about a first start."""

    @property
    def trouble(self) -> str:
        """Why the last request to the group failed, "" where none has since the connection."""

    @property
    def deadline(self) -> float | None:
        """When something is due that `advance` takes care of."""

    def basis(self, wanted: Snapshot, on_disk: Snapshot | None) -> StartBasis:
        """What a first start may run, as far as is `known`; `on_disk` is what the files hold."""

    def ask(self, wanted: Snapshot) -> None:
        """Queue for a restart to this snapshot; asked again, the newest counts."""

    def refresh(self, wanted: Snapshot | None, known: InputState, now: float) -> None:
        """Learn what is wanted now, also before it has settled, and how surely that is known."""

    def withdraw(self) -> None:
        """Leave the queue, or give the turn back: nothing is to be restarted any more."""

    def may_stop(self, now: float) -> bool:
        """Whether the turn was confirmed so lately that nobody else can have been given it."""

    def confirm(self) -> None:
        """Have the turn confirmed, because `may_stop` said no."""

    def prove(self, snapshot: Snapshot) -> None:
        """End the turn: the child is healthy on this snapshot."""

    def report_known_good(self, snapshot: Snapshot) -> None:
        """Count a snapshot as proven without ending any turn."""

    def fail(self, snapshot: Snapshot, reason: str) -> None:
        """Keep the turn, and have the group know that this snapshot failed."""

    def stand_down(self, *, keeps_entry: bool) -> None:
        """Take no further turn: the end of zkexec has begun, its child may still run.

        The entry is kept where a child is down for the turn and nobody asked for that end.
        """

    def close(self, now: float) -> bool:
        """Give back what is held, the child is gone; tell whether nothing is left to be told.

        Asked again until it says so.  It also does where there is no time or no way to tell.
        """

    def is_mute(self, now: float) -> bool:
        """Whether a request has gone unanswered so long that the connection is worthless."""

    def disconnect(self) -> None:
        """Expect nothing of this connection any more."""

    def show(self, status: MemberStatus, running: Snapshot | None, wanted: Snapshot | None) -> None:
        """Let others see where this member stands, at each change of phase or of health."""

    def handle(self, event: Event, now: float) -> list[Action]:
        """Take in news of the group; other events mean nothing here."""

    def advance(self, now: float) -> list[Action]:
        """Ask for what is to be asked next; called after each event and each change of mind."""


class FreeTurn:
    """The turn of a member without `--lock`: nobody to wait for, nobody to tell."""

    in_group = False
    has_entry = inherited = False
    known = True
    trouble = ""
    deadline: float | None = None

    def __init__(self) -> None:
        self.granted: Snapshot | None = None

    def basis(self, wanted: Snapshot, on_disk: Snapshot | None) -> StartBasis:  # noqa: ARG002 -- protocol
        """Start on what is wanted."""
        return StartBasis.WANTED

    def ask(self, wanted: Snapshot) -> None:
        """Take the turn at once."""
        self.granted = wanted

    def refresh(self, wanted: Snapshot | None, known: InputState, now: float) -> None:
        """Versions are nothing that anybody checks."""

    def withdraw(self) -> None:
        """Give the turn back."""
        self.granted = None

    def may_stop(self, now: float) -> bool:  # noqa: ARG002 -- protocol
        """Ask nobody."""
        return True

    def prove(self, snapshot: Snapshot) -> None:  # noqa: ARG002 -- protocol
        """Give the turn back."""
        self.granted = None

    def stand_down(self, *, keeps_entry: bool) -> None:  # noqa: ARG002 -- protocol
        """Give the turn back."""
        self.granted = None

    def confirm(self) -> None:
        """Nobody confirms."""

    def report_known_good(self, snapshot: Snapshot) -> None:
        """Nobody wants to know."""

    def fail(self, snapshot: Snapshot, reason: str) -> None:
        """Nobody wants to know."""

    def close(self, now: float) -> bool:  # noqa: ARG002 -- protocol
        """Nothing is to be told."""
        return True

    def is_mute(self, now: float) -> bool:  # noqa: ARG002 -- protocol
        """Nothing is asked."""
        return False

    def disconnect(self) -> None:
        """Nothing is expected."""

    def show(self, status: MemberStatus, running: Snapshot | None, wanted: Snapshot | None) -> None:
        """Nobody looks."""

    def handle(self, event: Event, now: float) -> list[Action]:  # noqa: ARG002 -- protocol
        """No news are of interest."""
        return []

    def advance(self, now: float) -> list[Action]:  # noqa: ARG002 -- protocol
        """There is nothing to ask."""
        return []
