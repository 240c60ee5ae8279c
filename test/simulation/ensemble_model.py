"""The ensemble of the model world, and the client's session with it.

The znodes have a history of states, each made by one atomic change.  A read is made at one
moment on the server and answered later; a watch that fires is heard of later too, or it is lost
without a word.  A connection that is lost takes all watches with it.  Answers may get lost, and
answers to requests that do not matter any more may still arrive.
"""

from collections.abc import Callable, Mapping
from functools import partial
from random import Random

from simulation.clock import Clock
from simulation.cluster_model import ClusterModel
from simulation.forest import Forest, missing
from zkexec.core.events import (
    ConnectFailed,
    Event,
    ReadFailed,
    SessionConnected,
    SessionLost,
    SessionSuspended,
    ZnodesRead,
    ZnodeTouched,
)
from zkexec.core.snapshot import Problem, Znode

SESSION_TIMEOUT_S = 10.0
"""What these servers grant, whatever was requested."""

UNANSWERED_S = 2 * SESSION_TIMEOUT_S
"""How long the client waits for an answer on a connection that answers pings."""


class EnsembleModel(ClusterModel):
    """Servers with a client of the model world, of whose events nothing is the product's."""

    def __init__(
        self,
        clock: Clock,
        random: Random,
        paths: tuple[str, ...],
        deliver: Callable[[Event], None],
        roots: tuple[str, ...] = (),
    ) -> None:
        """Begin with an ensemble in which none of the paths and no tree exists."""
        super().__init__(clock, paths, deliver, roots)
        self._random = random
        self._luck = Random(random.getstate()[1][0])
        """Draws what was added later, so that a known seed has the same transcript as before."""
        self._changes: list[frozenset[str]] = []
        """The paths that each write has changed."""
        self._zxid = self._heard = 0
        self._client = 0
        self._dropped = 0
        """How many sessions were dropped with their cores."""
        self._refused_client = 0
        self._met = 0
        """The client that was connected last."""
        self._connections = 0
        self._session = 1
        self._connection: int | None = None
        self._watched: set[str] = set()
        self._armed: dict[str, int] = {}
        """What the client takes for watched, each with the state as of which it was read."""
        self._arming: list[dict[str, int]] = []
        """The same, of reads that are not answered yet."""

    def write(self, changes: Mapping[str, bytes | Problem]) -> None:
        """Change some znodes in one transaction; a Problem takes their content away."""
        self._zxid += 1
        mzxid = self._zxid
        state, forest, fired = dict(self.state), self.forest.copy(), list[str]()
        for path, content in changes.items():
            fired.append(path)
            if forest.contains(path):
                fired += forest.write(path, content, mzxid)
            elif isinstance(content, Problem):
                state[path] = Znode(path, problem=content)
            else:
                # Deleted and made again begins at version 0, also where the content is the same.
                state[path] = Znode(path, content, mzxid, version=state[path].version + 1)
        self.history.append(state)
        self.forests.append(forest)
        self._changes.append(frozenset(fired))
        for path in dict.fromkeys(fired):
            if path in self._watched:
                self._watched.remove(path)
                if not (self.loses_watches and self._luck.random() < 0.3):
                    self._fire(path)

    def _fire(self, path: str) -> None:
        for armed in (self._armed, *self._arming):
            armed.pop(path, None)
        self._later(partial(self._deliver, ZnodeTouched(path.rstrip("/"))))

    @property
    def forest(self) -> Forest:
        """The trees as they are now."""
        return self.forests[-1]

    def begin_anew(self) -> None:
        """Forget everything, or go back to an earlier state; who has seen more is refused."""
        random = self._random
        chosen = random.choice([None, *range(self.present, len(self.history))])
        state = {path: missing(path) for path in self._paths}
        forest = Forest(self.forest.roots, {}, {})
        if chosen is not None:
            state, forest = self.history[chosen], self.forests[chosen].copy()
        self._heard = before = self._zxid
        self._zxid = max((forest.zxid, *(znode.mzxid for znode in state.values())))
        # What is committed otherwise is not modelled, but has numbers too.
        self._zxid += random.choice((0, 1, 3, 30))
        self.history.append(dict(state))
        self.forests.append(forest)
        self.present = len(self.history) - 1
        is_refused = self._zxid < before and self._met == self._client
        if is_refused:
            self._refused_client = self._client
        # Who is refused does not even get to know that its session is gone.
        self.suspend(random.choice((0.1, 3.0)), expires=not is_refused)

    def open_session(self) -> None:
        """Connect with a new client; nothing of the old one is heard any more."""
        self._client += 1
        self._session += 1
        self._disconnect()
        client = self._client
        self._later(lambda: self._try_to_connect(client))

    def drop_session(self) -> None:
        """Tell nothing more of this session; its core is no more, and the next counts anew."""
        self._client += 1
        self._dropped += 1
        self._disconnect()

    def read(self, number: int) -> None:
        """Set all watches and read all znodes, at one moment that is still to come."""
        connection = self._connection
        if connection is None:
            self._later(lambda: self._deliver(ReadFailed(number, "there is no connection")))
        else:
            self._later(lambda: self._read_now(number, connection))

    def rearm(self) -> None:
        """Set all watches again, now or later; report what was missed."""
        connection, armed = self._connection, dict(self._armed)

        def arm() -> None:
            if connection is None or connection != self._connection:
                return
            for path, as_of in armed.items():
                if any(path in changed for changed in self._changes[as_of:]):
                    self._fire(path)
                else:
                    self._watched.add(path)

        if self.loses_watches:
            self._clock.after(self._luck.uniform(0, 0.03), arm)
        else:
            arm()

    def suspend(self, outage_s: float, *, expires: bool) -> None:
        """Break the connection for a while; the session may expire meanwhile."""
        if self._connection is None:
            return
        client = self._client
        self._disconnect()
        self._deliver(SessionSuspended("the connection was lost", self._heard))
        if expires:
            self._clock.after(outage_s, lambda: self._expire(client))
        self._clock.after(outage_s, lambda: self._try_to_connect(client))

    def refuse_client(self) -> None:
        """Refuse the present client for ever, as an ensemble that was wiped would do.

        One that has never been connected knows nothing for which it could be refused.
        """
        if self._connection is not None:
            self._refused_client = self._client

    def _expire(self, client: int) -> None:
        if client == self._client:
            self._session += 1
            self._deliver(SessionLost("the session has expired"))

    def _disconnect(self) -> None:
        self._connection = None
        self._watched.clear()
        self._armed = {}
        self._arming.clear()

    def _try_to_connect(self, client: int) -> None:
        if client != self._client or self._connection is not None:
            return
        if self.reachable and client != self._refused_client:
            self._connections += 1
            self._connection = self._connections
            self._met = client
            self._heard = 0
            self._deliver(SessionConnected(self._session, SESSION_TIMEOUT_S))
        else:
            self._deliver(ConnectFailed("refused", is_last=self._luck.random() < 0.5))
            self._clock.after(1.0, lambda: self._try_to_connect(client))

    def _read_now(self, number: int, connection: int) -> None:
        if connection != self._connection:
            self._deliver(ReadFailed(number, "the connection was lost"))
            return
        watched = [*self._paths, *self.forest.watches()]
        self._watched.update(watched)
        armed = dict.fromkeys(watched, len(self._changes))
        self._arming.append(armed)

        def answer() -> None:
            if connection == self._connection:
                self._armed = armed
            self._deliver(reply)

        reply = ZnodesRead(number, dict(self.state), self._zxid, self.forest.trees)
        self.reads[number] = self.present
        if self.loses_replies and self._random.random() < 0.3:
            # Lost, or late.  A connection without an answer for long is given up by the client.
            late_s = self._random.uniform(1, 40) if self._random.random() < 0.5 else UNANSWERED_S
            if late_s < UNANSWERED_S:
                self._after(late_s, answer)
            else:
                self._after(UNANSWERED_S, lambda: self._give_up(number, connection))
        elif self.loses_replies and self._random.random() < 0.1:
            self._later(lambda: self._deliver(ReadFailed(number, "no answer")))
        else:
            self._later(answer)

    def _give_up(self, number: int, connection: int) -> None:
        if connection == self._connection:
            self._deliver(ReadFailed(number, "no answer"))
            self.suspend(0.1, expires=False)

    def _later(self, do: Callable[[], None]) -> None:
        slow = self._random.random() < 0.05
        self._after(self._random.uniform(0, 3.0 if slow else 0.03), do)

    def _after(self, delay_s: float, do: Callable[[], None]) -> None:
        dropped = self._dropped

        def unless_dropped() -> None:
            if dropped == self._dropped:
                do()

        self._clock.after(delay_s, unless_dropped)
