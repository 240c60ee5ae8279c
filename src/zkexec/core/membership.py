"""Whether this member is one of its group now: its session, its own node, and its card in it."""

from zkexec.core.actions import Action, Card, ShowCard
from zkexec.core.events import SessionConnected


class Membership:
    """The session, and the node that lives as long as it does."""

    def __init__(self, session_timeout_s: float) -> None:
        self.connected = False
        self.enrolled = False
        self.session_timeout_s = session_timeout_s
        self.card = Card("")
        self._shown = Card("")
        self._session = 0
        self._in_doubt = False

    def connect(self, event: SessionConnected) -> bool:
        """Take in a connection; return whether the session is a new one.

        The node is looked after at each connection, also where it should still be there: its
        watch is gone, and the card may have changed meanwhile.
        """
        is_new = event.session != self._session
        self.connected = True
        self.enrolled = False
        self._session, self.session_timeout_s = event.session, event.session_timeout_s
        return is_new

    def disconnect(self) -> None:
        """Lose the connection, for now or for good."""
        self.connected = self.enrolled = False

    def doubt(self) -> None:
        """Have the node looked after again: something went wrong that may be its absence."""
        self.enrolled = False
        self._in_doubt = True

    def begin(self) -> None:
        """The node is being looked after; a doubt that comes before the answer remains."""
        self._in_doubt = False

    def enrolled_with(self, card: Card) -> None:
        """The node stands, and shows this card."""
        self.enrolled = not self._in_doubt
        self._shown = card

    def show(self) -> list[Action]:
        """Write the card anew where it is another one than is shown."""
        if not self.enrolled or self.card == self._shown:
            return []
        self._shown = self.card
        return [ShowCard(self.card)]
