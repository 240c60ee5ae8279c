"""When a connection has to send a ping, and when its server has been silent for too long.

Pings leave at a third of the session timeout, and a server that owes an answer has two thirds to
send anything.  A server may answer pings and nothing else, so an answer itself has two session
timeouts; each of its bytes gives it a little more, but those of an answer to a ping too little.
"""

from __future__ import annotations

SLOWEST = 1000
"""A connection that moves fewer bytes of a large frame in a second is of no use.

With the shortest session timeout of zkexec, the answers to its pings are 60 bytes a second.
"""


class Pace:
    """The times of one connection; all of them are monotonic seconds."""

    def __init__(self, timeout_s: float, now: float) -> None:
        self._timeout_s = timeout_s
        self._sent_at = now
        self._received_at = now
        self._owed_since: float | None = None
        self.answer_due_at = 0.0
        """When a connection is of no use whose server answers only pings."""
        self.answering(now)

    def sent(self, now: float) -> None:
        """Note that a request was sent, which keeps the session alive and demands an answer."""
        self._sent_at = now
        if self._owed_since is None:
            self._owed_since = now

    def progressed(self, now: float) -> None:
        """Note that bytes have arrived, or that a part of a large request has left."""
        self._received_at = now

    def answering(self, now: float) -> None:
        """Note that an answer is due from now on."""
        self.answer_due_at = now + self.answer_limit_s

    def moved(self, size: int, now: float) -> None:
        """Note that this many bytes of a frame have arrived, or have left."""
        later = self.answer_due_at + size / SLOWEST
        self.answer_due_at = min(later, now + self.answer_limit_s)

    def settled(self) -> None:
        """Note that all requests are answered."""
        self._owed_since = None

    @property
    def ping_at(self) -> float:
        """When a ping has to leave."""
        return self._sent_at + self._timeout_s / 3

    @property
    def lost_at(self) -> float | None:
        """When the connection counts as lost; None if the server owes no answer.

        A process that was stopped for a while first sends its ping: then at least a third of the
        timeout is left to answer that.
        """
        if self._owed_since is None:
            return None
        third_s = self._timeout_s / 3
        return max(self._received_at + 2 * third_s, self._owed_since + third_s)

    @property
    def silence_s(self) -> float:
        """How long a server may be silent."""
        return self._timeout_s * 2 / 3

    @property
    def answer_limit_s(self) -> float:
        """How long an answer may make no progress."""
        return 2 * self._timeout_s
