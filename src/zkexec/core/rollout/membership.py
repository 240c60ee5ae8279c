"""Whether this member is one of its group now: its session, its own node, and its card in it.

A card is for people, so what is over in a moment is not worth a write of its own.  It goes along
where something else is written anyway; else only what rests is shown at once, and the steps of a
restart once they have lasted for a moment.
"""

from zkexec.core.actions import Action
from zkexec.core.events import SessionConnected
from zkexec.core.phases import Phase
from zkexec.core.rollout.group_actions import PublishStatus
from zkexec.core.turn import MemberStatus

BRIEF_S = 0.2
"""What is over by then is not shown for itself."""

_AT_REST = frozenset({Phase.RUNNING.value, Phase.FAILED.value})


class Membership:
    """The session, and the node that lives as long as it does."""

    def __init__(self, session_timeout_s: float) -> None:
        self.connected = False
        self.enrolled = False
        self.is_kept_out = False
        """Whether its node is refused to it again and again, so that it takes no turn."""

        self.session_timeout_s = session_timeout_s
        self.status = MemberStatus("")
        self._shown = MemberStatus("")
        self._show_at: float | None = None
        self._session = 0
        self._in_doubt = False
        self._may_be_duplicate = False

    @property
    def deadline(self) -> float | None:
        """When the card is to be shown that is not shown yet."""
        return self._show_at if self.enrolled else None

    def connect(self, event: SessionConnected) -> bool:
        """Take in a connection; return whether the session is a new one.

        The node is looked after at each connection, also where it should still be there: its
        watch is gone, and the card may have changed meanwhile.
        """
        is_new = event.session != self._session
        self.connected = True
        self._session, self.session_timeout_s = event.session, event.session_timeout_s
        return is_new

    def disconnect(self) -> None:
        """Lose the connection, for now or for good."""
        self.connected = self.enrolled = self.is_kept_out = False

    def doubt(self) -> None:
        """Have the node looked after again: something went wrong that may be its absence."""
        self.enrolled = False
        self._in_doubt = True

    def begin(self) -> bool:
        """The node is being looked after; a doubt that comes before the answer remains.

        Return whether this process may have a duplicate's node: it got one, or an answer was lost.
        """
        self._in_doubt = False
        may_be, self._may_be_duplicate = self._may_be_duplicate, True
        return may_be

    def enrolled_with(self, status: MemberStatus) -> None:
        """The node stands, and shows this card."""
        self.enrolled = not self._in_doubt
        self.is_kept_out = False
        self._may_be_duplicate = False
        self._shown = status

    def news(self) -> MemberStatus | None:
        """Take the card along in a request that writes, if it is another one than is shown."""
        if not self.enrolled or self.status == self._shown:
            return None
        self._shown = self.status
        return self.status

    def not_shown(self, status: MemberStatus | None) -> None:
        """What this card was to go along with was not written; None where none was to."""
        if status is not None:
            self._shown = MemberStatus("")

    def show(self, now: float, *, may_go_along: bool) -> list[Action]:
        """Write the card anew where it has been another one than is shown for long enough.

        That is at once for what rests, unless something is about to be written that takes it along.
        """
        if not self.enrolled or self.status == self._shown:
            self._show_at = None
            return []
        if self._show_at is None:
            self._show_at = now + BRIEF_S
        if now < self._show_at and (may_go_along or self.status.phase not in _AT_REST):
            return []
        self._shown, self._show_at = self.status, None
        return [PublishStatus(self.status)]
