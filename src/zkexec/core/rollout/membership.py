"""Whether this member is in its group now: its session, its own node, and its status in the node.

A status is for people, so a short step is not worth a write of its own.  It goes along if
something else is written anyway.  Otherwise only a lasting phase is published at once, and a step
of a restart once it has lasted for a moment.
"""

from zkexec.core.actions import Action
from zkexec.core.events import SessionConnected
from zkexec.core.phases import Phase
from zkexec.core.rollout.group_actions import PublishStatus
from zkexec.core.rollout.turn_times import TurnTimes
from zkexec.core.turn import MemberStatus
from zkexec.frozen import replace

BRIEF_S = 1.0
"""A status that lasts no longer than this is not published by itself."""

_STUCK = frozenset({Phase.FAILED.value, Phase.BLOCKED.value})
_LASTING = _STUCK | {Phase.RUNNING.value}


def cause_of(status: MemberStatus) -> str:
    """Return the reason if the phase is about it: why a change failed, or cannot be applied."""
    return status.reason if status.phase in _STUCK else ""


class Membership:
    """The session, and the ephemeral node of this member."""

    def __init__(self, session_timeout_s: float) -> None:
        self.connected = False
        self.enrolled = False
        self.is_kept_out = False
        """Whether its node is refused to it again and again, so that it takes no turn."""

        self.session_timeout_s = session_timeout_s
        self.status = MemberStatus("")
        self._turn_times = TurnTimes()
        self._now = 0.0
        self._published = MemberStatus("")
        self._publish_at: float | None = None
        self._session = 0
        self._in_doubt = False
        self._may_be_duplicate = False

    @property
    def shown(self) -> MemberStatus:
        """The status as it is published now, with the times of the last turn."""
        return replace(self.status, turn=self._turn_times.ages(self._now))

    def passed(self, now: float) -> None:
        """Note the time; what is published shows how long ago the last turn was."""
        self._now = now

    def change(self, status: MemberStatus) -> None:
        """Replace the status; it is published later, or goes along with something else."""
        self.status = status
        self._turn_times.note(status, self._now)

    @property
    def deadline(self) -> float | None:
        """When a status is to be published that is not published yet."""
        return self._publish_at if self.enrolled else None

    def connect(self, event: SessionConnected) -> bool:
        """Take in a connection; return whether the session is a new one.

        The node is checked at each connection, even if it should still exist: its watch is gone,
        and the status may have changed meanwhile.
        """
        is_new = event.session != self._session
        self.connected = True
        self._session, self.session_timeout_s = event.session, event.session_timeout_s
        return is_new

    def disconnect(self) -> None:
        """Note that the connection is lost, for now or for good."""
        self.connected = self.enrolled = self.is_kept_out = False

    def doubt(self) -> None:
        """Require another check of the node: something failed, perhaps because it is gone."""
        self.enrolled = False
        self._in_doubt = True

    def begin(self) -> bool:
        """Note that the node is being checked; a doubt that comes before the answer remains.

        Return whether this process may have a duplicate's node: it has made one, or an answer
        was lost.
        """
        self._in_doubt = False
        may_be, self._may_be_duplicate = self._may_be_duplicate, True
        return may_be

    def enrolled_with(self, status: MemberStatus) -> None:
        """Note that the node exists and contains this status."""
        self.enrolled = not self._in_doubt
        self.is_kept_out = False
        self._may_be_duplicate = False
        self._published = status

    def take_unpublished(self) -> MemberStatus | None:
        """Return the status for a request that writes anyway; None if it is published already."""
        if not self.enrolled or self.status == self._published:
            return None
        self._published = self.status
        return self.shown

    def not_published(self, status: MemberStatus | None) -> None:
        """Note that the request with this status was not carried out; None if it had none."""
        if status is not None:
            self._published = MemberStatus("")

    def publish(self, now: float, *, may_go_along: bool, joins: bool = False) -> list[Action]:
        """Write the status if it has differed from the published one for long enough.

        A lasting phase is written at once, unless a request that can take it along follows.  A
        member that `joins` the queue later publishes its status then.
        """
        if not self.enrolled or self.status == self._published or joins:
            self._publish_at = None
            return []
        if self._publish_at is None:
            self._publish_at = now + BRIEF_S
        if now < self._publish_at and (may_go_along or self.status.phase not in _LASTING):
            return []
        self._published, self._publish_at = self.status, None
        return [PublishStatus(self.shown)]
