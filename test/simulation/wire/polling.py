"""The part of the main loop that polls: a session is advanced when a poll would return for it."""

from simulation.clock import Clock
from simulation.wire.network import ModelNetwork
from zkexec.runtime.cluster_session import ClusterSession

MOST_AT_ONCE = 1000


class BusyLoopError(Exception):
    """A session is always ready or due, and never done."""


class Polling:
    """Polls one session at a time."""

    def __init__(self, clock: Clock, network: ModelNetwork) -> None:
        """Begin without a session."""
        self.session: ClusterSession | None = None
        self._clock = clock
        self._network = network
        self._appointed: float | None = None

    @property
    def is_due(self) -> bool:
        """Whether the poll of the main loop would return now."""
        session = self.session
        if session is None:
            return False
        deadline = session.deadline
        is_over = deadline is not None and deadline <= self._network.now()
        return is_over or self._network.is_ready(session.descriptor)

    def settle(self) -> None:
        """Do all that is ready or due, and be there again when more is due."""
        for _ in range(MOST_AT_ONCE):
            if not self.is_due:
                break
            assert self.session is not None
            self.session.advance()
        else:
            raise BusyLoopError("the session keeps the loop busy")
        self._appoint()

    def _appoint(self) -> None:
        deadline = None if self.session is None else self.session.deadline
        if deadline is not None and (self._appointed is None or deadline < self._appointed):
            self._appointed = deadline
            self._clock.after(max(0.0, deadline - self._network.now()) + 1e-6, self._wake)

    def _wake(self) -> None:
        self._appointed = None
        self.settle()
