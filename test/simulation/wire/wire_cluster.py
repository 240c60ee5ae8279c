"""The cluster of a single member, byte for byte: the product's session and the servers' model.

It has what the model of a cluster has that makes events itself, so that the same runs, checkers and
mutants do for both.  What that model assumes of the client, this one shows in the product.
"""

from collections.abc import Callable, Mapping
from random import Random

from simulation.clock import Clock
from simulation.cluster_model import ClusterModel
from simulation.forest import Forest, missing
from simulation.servers.ensemble import Session
from simulation.servers.forests import changes_of, forbidden, forest_on, nodes_of
from simulation.servers.link import Loss
from simulation.servers.znodes import Change, Node, Transaction
from simulation.wire.network import ModelNetwork
from simulation.wire.polling import Polling
from simulation.wire.session_contract import INPUTS, ContractViolation, SessionContract
from simulation.wire.session_driver import DrawnFaults
from simulation.wire.wire import Wire
from simulation.wire.wire_ensemble import WireEnsemble
from zkexec.core.events import Event, ZnodesRead
from zkexec.core.policy import Policy
from zkexec.core.snapshot import Problem, Znode
from zkexec.runtime.cluster_session import ClusterSession
from zkexec.zookeeper.client_settings import ClientSettings

LONGEST_LAG_S = 1.0
TOOL_S = 1e9
"""The session timeout of the tool that makes ephemeral znodes."""
LEAST_PULSE_S = 4.0
"""A process may be late by two seconds, so its pings are in time from this session timeout on."""


class InputFaults(DrawnFaults):
    """Faults of connections; requests get lost as long as the cluster loses replies."""

    def __init__(self, cluster: ClusterModel, random: Random, chance: float) -> None:
        """Have each fault with this chance."""
        super().__init__(random, chance)
        self._cluster = cluster

    def loss(self) -> Loss:
        """What becomes of the request that has just arrived at its server."""
        return super().loss() if self._cluster.loses_replies else Loss.NOTHING


class WireCluster(ClusterModel):
    """Servers with a wire protocol, and the session that the product has with them."""

    def __init__(
        self,
        policy: Policy,
        clock: Clock,
        random: Random,
        paths: tuple[str, ...],
        deliver: Callable[[Event], None],
    ) -> None:
        """Begin with servers on which none of the paths exists."""
        super().__init__(clock, paths, deliver, policy.inputs.trees)
        # Drawn apart, so that what befalls the member is the same with either kind of cluster.
        drawn = self._drawn = Random(random.getstate()[1][2])
        tick_s = policy.session_timeout_s / 10
        is_alone = len(paths) == 1 and not policy.inputs.trees
        self.servers = WireEnsemble(clock, drawn, drawn.choice((1, 3)), tick_s)
        self.servers.may_lose_watch = lambda _: is_alone and self.loses_watches
        self.servers.expiring = self._expiring
        self.servers.loses_watches = True
        # Without watches that are set again, what such servers keep quiet is never found.
        self.servers.hides_unreadable = policy.rearm_s is not None and drawn.random() < 0.3
        self.servers.lacks_multi_read = drawn.random() < 0.1
        self._contract = SessionContract()
        self._contract.loses_watches = self.servers.hides_unreadable
        self.black_holes = 0.5
        """How often a connection that breaks swallows bytes, and is not closed."""
        self._policy = policy
        self._tool = 0
        self._outages = 0
        self._histories = [0]
        """Where each history of the servers begins in that of the states."""
        faults = InputFaults(self, drawn, drawn.choice((0.0, 0.02, 0.1)))
        self.network = ModelNetwork(self.servers, self, faults)
        self._polling = Polling(clock, self.network)

    # What befalls the cluster.

    def write(self, changes: Mapping[str, bytes | Problem]) -> None:
        """Change some znodes in one transaction; a Problem takes their content away."""
        todo: list[Change] = []
        state, forest, zxid = dict(self.state), self.forests[-1].copy(), self.servers.next_zxid
        for path, content in changes.items():
            before = self.servers.tree.nodes.get(path)
            if forest.contains(path):
                for _ in forest.write(path, content, zxid):
                    pass
            elif content is Problem.FORBIDDEN:
                todo.append((path, self._forbidden(path, before)))
                state[path] = Znode(path, problem=Problem.FORBIDDEN)
            elif isinstance(content, Problem):
                todo += [(path, None)] if before is not None else []
                state[path] = Znode(path, problem=content)
            else:
                written = self.servers.written(path, content)
                todo.append(written)
                version = written[1].version
                state[path] = Znode(path, content, self.servers.next_zxid, version=version)
        todo += changes_of(self.forests[-1], forest, self.servers, self._tool_session)
        self.history.append(state)
        if todo:
            self.servers.commit(0, todo)
        self.forests.append(forest_on(self.servers, forest.roots))
        for server in self.servers.servers:
            server.lag_s = 0.02 if self._drawn.random() < 0.9 else LONGEST_LAG_S

    def _forbidden(self, path: str, before: Node | None) -> Node:
        """Make a znode of the same content that may not be read; that alone is no event."""
        return forbidden(before or self.servers.written(path, b"")[1])

    def _tool_session(self) -> int:
        """The session of a tool that makes ephemeral znodes; it lives as long as the history."""
        known = self.servers.sessions.get(self._tool)
        if known is None or not known.alive:
            self._tool = self.servers.open(TOOL_S).number
        return self._tool

    def begin_anew(self) -> None:
        """Forget everything, or go back; a session that has seen more is refused."""
        random = self._drawn
        roots = self.forests[-1].roots
        chosen = random.choice([None, *range(self.present, len(self.history))])
        state, forest = {path: missing(path) for path in self._paths}, Forest(roots, {}, {})
        if chosen is not None:
            state, forest = self.history[chosen], self.forests[chosen]
        zxid = max((forest.zxid, *(znode.mzxid for znode in state.values())))
        # What is committed otherwise is not modelled, but has numbers too.
        zxid += random.choice((0, 1, 3, 30))
        nodes: dict[str, Node] = {
            path: Node(znode.content, znode.mzxid, max(0, znode.version), czxid=znode.mzxid)
            for path, znode in state.items()
            if znode.problem is None
        }
        for path, znode in state.items():
            if znode.problem is Problem.FORBIDDEN:
                state = {**state, path: missing(path)}
        nodes |= nodes_of(forest)
        self.history.append(dict(state))
        self.present = len(self.history) - 1
        self._histories.append(self.present)
        self.servers.begin_anew(nodes, [Transaction(n + 1, 0, ()) for n in range(zxid)], 0)
        self.forests.append(forest_on(self.servers, roots))
        self._go_down(random.choice((0.1, 3.0)))

    def suspend(self, outage_s: float, *, expires: bool) -> None:
        """Break the connection for a while; the session may expire meanwhile."""
        wire = self.network.wire
        if wire is None:
            return
        if self._drawn.random() >= self.black_holes:
            self._go_down(outage_s)
        else:
            way = self._drawn.choice(((True, True), (True, False), (False, True)))
            wire.block(*way)
            if self._drawn.random() < 0.5:
                self._clock.after(outage_s, wire.unblock)
        if expires and wire.session is not None:
            session = wire.session
            self._clock.after(outage_s, lambda: self.servers.end(session))

    def refuse_client(self) -> None:
        """Refuse the present session for ever, as servers that were wiped would do.

        One of which the core knows nothing has seen nothing for which it could be refused.
        """
        if self._contract.session:
            self.servers.refused_sessions.add(self._contract.session)

    def _expiring(self, session: Session) -> None:
        """Demand that pings leave, unless the process may be late for them."""
        wire, is_in_time = session.connection, session.timeout_s >= LEAST_PULSE_S
        works = isinstance(wire, Wire) and wire.open and wire.heard and not wire.was_blocked
        if works and is_in_time:
            raise ContractViolation("pulse: a session expires on a connection that works")

    def _go_down(self, outage_s: float) -> None:
        """Let no server serve for a while."""
        self._outages += 1
        for server in self.servers.servers:
            server.serving = False
            server.drop_all()
        self._clock.after(outage_s, self._come_back)

    def _come_back(self) -> None:
        self._outages -= 1
        for server in self.servers.servers:
            server.serving = not self._outages

    # What the core has done.

    def open_session(self) -> None:
        """Connect with a new session; nothing of the old one is heard any more."""
        if self._polling.session is None:
            settings = ClientSettings(
                servers=self.network.servers, session_timeout_s=self._policy.session_timeout_s
            )
            paths = (*self._paths, *(f"{root}/" for root in self.forests[-1].roots))
            self._polling.session = ClusterSession(
                settings, paths, "", self._post, network=self.network
            )
        self._contract.opened()
        self._polling.session.open()
        self._polling.settle()

    def drop_session(self) -> None:
        """Report nothing more of this session; its core is no more, and the next counts anew."""
        if self._polling.session is not None:
            self._contract.closed()
            self._polling.session.close(0.0)
            self._polling.session = None

    def read(self, number: int) -> None:
        """Read all znodes, with watches."""
        assert self._polling.session is not None
        self._contract.requested(INPUTS, number)
        self._polling.session.read(number)
        self._polling.settle()

    def rearm(self) -> None:
        """Set all watches again; report what was missed."""
        assert self._polling.session is not None
        self._polling.session.rearm()
        self._polling.settle()

    def _post(self, event: Event) -> None:
        self._contract.loses_watches |= self.loses_watches
        self._contract.posted(event, self.network.wire)
        if isinstance(event, ZnodesRead):
            wire = self.network.wire
            assert wire is not None
            self.reads[event.number] = self._histories[wire.history]
        self._deliver(event)

    # What the network knows of the process.

    @property
    def now(self) -> float:
        """The time on its clock."""
        return self._clock.now

    @property
    def is_reachable(self) -> bool:
        """Whether there is a way to the servers."""
        return self.reachable

    def ready(self) -> None:
        """Note that a socket has become ready."""
        self._polling.settle()

    @property
    def process(self) -> object:
        """What observers know the process as."""
        return self

    def decided_at(self, wire: Wire) -> float:
        """Return when it decided on the next write of a connection, which does not matter here."""
        del wire
        return self.now

    def watch_arrived(self, path: str, zxid: int) -> None:
        """Do nothing: the session reports it."""
