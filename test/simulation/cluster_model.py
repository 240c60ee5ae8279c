"""What a single member's cluster is in the model world: states of znodes, and a session with them.

One kind makes the events of the session itself (`ensemble_model`), the other has the product's
session and servers that read its bytes (`wire.wire_cluster`).  All else is the same for both.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

from simulation.clock import Clock
from simulation.forest import Forest, missing
from zkexec.core.events import Event
from zkexec.core.snapshot import Problem, Znode

State = dict[str, Znode]


class ClusterModel(ABC):
    """Servers that hold a few znodes, and at most one session that is listened to."""

    def __init__(
        self,
        clock: Clock,
        paths: tuple[str, ...],
        deliver: Callable[[Event], None],
        roots: tuple[str, ...] = (),
    ) -> None:
        """Begin with servers on which none of the paths and no tree exists."""
        self._clock = clock
        self._paths = paths
        self._deliver = deliver
        self.history: list[State] = [{path: missing(path) for path in paths}]
        """All states there were, also those of earlier histories of the servers."""
        self.forests = [Forest(roots, {}, {})]
        """The trees of all states, as far as there are any."""
        self.present = 0
        """Where the present history of the servers begins in that."""
        self.reads: dict[int, int] = {}
        """Where the history begins that a read has shown, by its number."""
        self.reachable = True
        self.loses_replies = False
        self.loses_watches = False

    @property
    def state(self) -> State:
        """What the znodes hold now."""
        return self.history[-1]

    # What befalls the cluster.

    @abstractmethod
    def write(self, changes: Mapping[str, bytes | Problem]) -> None:
        """Change some znodes in one transaction; a Problem takes their content away."""

    @abstractmethod
    def begin_anew(self) -> None:
        """Forget everything, or go back; a session that has seen more is refused."""

    @abstractmethod
    def suspend(self, outage_s: float, *, expires: bool) -> None:
        """Break the connection for a while; the session may expire meanwhile."""

    @abstractmethod
    def refuse_client(self) -> None:
        """Refuse the present session for ever, as an ensemble that was wiped would do."""

    # What the core has done.

    @abstractmethod
    def open_session(self) -> None:
        """Connect with a new session; nothing of the old one is heard any more."""

    @abstractmethod
    def drop_session(self) -> None:
        """Report nothing more of this session; its core is no more, and the next counts anew."""

    @abstractmethod
    def read(self, number: int) -> None:
        """Set all watches and read all znodes, at one moment that is still to come."""

    @abstractmethod
    def rearm(self) -> None:
        """Set all watches again; report what was missed."""
