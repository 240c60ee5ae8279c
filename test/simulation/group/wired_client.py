"""The client of one process, byte for byte: the product's session in a network of the model world.

It has what the client has that makes events itself, so that the same processes, faults and checkers
do for both.
"""

from typing import TYPE_CHECKING, Any

from simulation.group.connection import Loss
from simulation.group.tree import QUEUE, RESTART, STATE
from simulation.servers.ensemble import Session
from simulation.wire.network import ModelNetwork
from simulation.wire.session_contract import GROUP, INPUTS, ContractViolation, SessionContract
from simulation.wire.wire import Wire
from simulation.wire.wire_ensemble import WireEnsemble
from zkexec.core import actions, events
from zkexec.core.actions import Action
from zkexec.core.events import Event
from zkexec.core.rollout.group_actions import (
    CommitRecord,
    Enrol,
    JoinQueue,
    LeaveQueue,
    ListQueue,
    PublishStatus,
    ReadRecord,
    WatchQueueNode,
)
from zkexec.core.rollout.record import RolloutRecord
from zkexec.group import record_codec
from zkexec.group.member_profile import MemberProfile, PhaseTime, Writer
from zkexec.runtime.cluster_session import ClusterSession
from zkexec.zookeeper.client_settings import ClientSettings
from zkexec.zookeeper.requests import Delete, SetContent, Transaction
from zkexec.zookeeper.session_requests import AnyRequest

if TYPE_CHECKING:
    from simulation.group.process import Process

BASE = "/g"
PID = 1
CUT, SLOW = 0.05, 0.02
"""How often bytes arrive in two pieces, or take long."""

GROUP_REQUESTS = (
    CommitRecord, Enrol, JoinQueue, LeaveQueue, ListQueue, ReadRecord, WatchQueueNode,
)  # fmt: skip


class GroupContents:
    """The contents of the znodes of a group: observers know the record, and the queue."""

    def encode(self, path: str, content: Any, now: float) -> bytes:
        """Make the bytes of what an observer writes."""
        del path
        if isinstance(content, RolloutRecord):
            return record_codec.encode(content, now)
        assert isinstance(content, bytes)
        return content

    def decode(self, path: str, encoded: bytes) -> Any:
        """Make of bytes what they mean."""
        if path == STATE:
            return record_codec.decode(encoded)
        return encoded.decode() if path.startswith(QUEUE) else encoded

    def may_lose_watches(self, path: str) -> bool:
        """Whether servers that lose watches may lose that of this znode: if it is no input."""
        return path.startswith(f"{BASE}/") and path != RESTART


class ProcessFaults:
    """What goes wrong with the connections of one process, as chaos has it."""

    def __init__(self, process: "Process") -> None:
        """Draw from the chaos of the world."""
        self._chaos = process.chaos
        self._random = process.world.random

    def loss(self) -> Loss:
        """What becomes of the request that has just arrived at its server."""
        return self._chaos.loss()

    def is_cut(self) -> bool:
        """Whether the bytes that are sent now arrive in two pieces."""
        return not self._chaos.calm and self._random.random() < CUT

    def takes_little(self) -> bool:
        """Whether the socket takes only some of the bytes that are written now."""
        return self._chaos.dawdles()

    def is_slow(self) -> bool:
        """Whether the bytes that are sent now take long."""
        return self._random.random() < SLOW


class WiredClient:
    """The session of one core, and the network of its host."""

    def __init__(self, process: "Process", ensemble: WireEnsemble) -> None:
        """Connect to nothing yet."""
        self.process = process
        self.connected = False
        self._ensemble = ensemble
        self._is_closed = False
        self._network = ModelNetwork(ensemble, self, ProcessFaults(process))
        self._contract = SessionContract()
        self._contract.loses_watches = ensemble.loses_watches
        self._decided: dict[tuple[Wire | None, int], float] = {}
        """When a commit was decided on, by the connection and the version of the record."""
        policy, host = process.policy, process.host
        settings = ClientSettings(
            servers=self._network.servers, session_timeout_s=policy.session_timeout_s
        )
        profile = MemberProfile(
            BASE, host.name, host.label, str(policy.max_unavailable), PhaseTime(),
            inputs=policy.inputs.paths, writer=Writer(host.label, PID, lambda: ensemble.wall_clock),
        )  # fmt: skip
        self._session = ClusterSession(
            settings, process.paths, "", self._post, profile, self._network
        )

    # What the process and the faults use.

    @property
    def connection(self) -> Wire | None:
        """The connection at present."""
        return self._network.wire

    @property
    def session(self) -> Session | None:
        """The session at the servers."""
        wire = self._network.wire
        return None if wire is None else wire.session

    @property
    def deadline(self) -> float | None:
        """When `advance` has to be called at the latest."""
        return None if self._is_closed else self._session.deadline

    @property
    def is_due(self) -> bool:
        """Whether the poll of the main loop would return now."""
        if self._is_closed:
            return False
        deadline = self._session.deadline
        is_over = deadline is not None and deadline <= self.now
        return is_over or self._network.is_ready(self._session.descriptor)

    def advance(self) -> None:
        """Do all that is ready or due."""
        self._session.advance()

    def open(self) -> None:
        """Begin with a new session."""
        self.connected = False
        self._contract.opened()
        self._session.open()

    def perform(self, action: Action) -> None:
        """Send what the action requests."""
        match action:
            case actions.ReadZnodes(number):
                self._contract.requested(INPUTS, number)
                self._session.read(number)
            case actions.RearmWatches():
                self._session.rearm()
            case PublishStatus():
                self._session.request(action)
            case _ if isinstance(action, GROUP_REQUESTS):
                if isinstance(action, CommitRecord):
                    key = self._network.wire, action.znode_version
                    self._decided[key] = self.process.handled_at
                self._contract.requested(GROUP, action.number)
                self._session.request(action)

    def close(self, clean: bool) -> None:
        """Stop; a clean end closes the session, if the network lets it."""
        if not self._is_closed:
            self._is_closed = True
            self.connected = False
            self._contract.closed()
            if clean:
                self._session.close(0.0)
            self._network.hang_up()

    def vanish(self) -> None:
        """Disappear silently: the server is not informed."""
        self._is_closed = True
        self._network.vanish()

    def _post(self, event: Event) -> None:
        self._contract.posted(event, self._network.wire)
        match event:
            case events.SessionConnected():
                self.connected = True
            case events.SessionSuspended() | events.SessionLost():
                self.connected = False
            case events.ZnodesRead(number):
                wire = self._network.wire
                assert wire is not None
                self.process.world.reads[self.process, number] = wire.history
        self.process.post(event)

    # What the network knows of the process.

    @property
    def now(self) -> float:
        """The time on its clock."""
        return self.process.now

    @property
    def is_reachable(self) -> bool:
        """Whether there is a way to the servers."""
        return self.process.host.reachable

    def ready(self) -> None:
        """Note that a socket has become ready."""
        self.process.run()

    def watch_arrived(self, path: str, zxid: int) -> None:
        """Report which transaction has woken the process."""
        log = self._ensemble.log
        if path.startswith((STATE, "/g/members", QUEUE)) and zxid <= len(log):
            self.process.world.wake(log[zxid - 1], self.process)

    def deciding(self, request: AnyRequest, wire: Wire) -> None:
        """Report which commit the leader is about to make."""
        if not isinstance(request, Transaction):
            return
        version = [one.version for one in request.operations
                   if isinstance(one, SetContent) and one.path == STATE]  # fmt: skip
        if version:
            places = [one.path.removeprefix(QUEUE) for one in request.operations
                      if isinstance(one, Delete) and one.path.startswith(QUEUE)]  # fmt: skip
            decided_at = self._decided.get((wire, version[0]))
            if decided_at is None:
                raise ContractViolation("connections: a commit that was meant for another one")
            self.process.world.begin_commit(self.process, decided_at, "".join(places))
