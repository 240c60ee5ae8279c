"""The session of one process with the cluster: the product's, over bytes or over values.

Both kinds run the product's dialogues, and the same processes, faults and checkers do for both.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from simulation.group.direct_client import DirectClient
from simulation.group.group_znodes import BASE, RESTART
from simulation.group.wired_transport import DatedClient, WireTransport
from simulation.servers.ensemble import Ensemble, Session
from simulation.servers.link import Link
from simulation.wire.network import PORT
from simulation.wire.session_contract import GROUP, INPUTS, ContractViolation, SessionContract
from simulation.wire.wire import Wire
from simulation.wire.wire_ensemble import WireEnsemble
from zkexec.core import actions, events
from zkexec.core.actions import Action
from zkexec.core.events import Event
from zkexec.core.rollout.group_actions import GroupRequest, PublishStatus
from zkexec.core.rollout.group_events import GroupRequestFailed
from zkexec.group.member_profile import MemberProfile, PhaseTime, Writer
from zkexec.runtime.cluster_session import ClusterSession
from zkexec.zookeeper.client_settings import ClientSettings

if TYPE_CHECKING:
    from simulation.group.process import Process

PID = 1


class Transport(Protocol):
    """What carries the requests of one process."""

    @property
    def connection(self) -> Link | None:
        """The connection at present."""

    @property
    def session(self) -> Session | None:
        """The session at the servers."""

    @property
    def is_due(self) -> bool:
        """Whether the poll of the main loop would return now."""

    def hang_up(self) -> None:
        """Close the connection as the kernel does if the process is killed."""

    def vanish(self) -> None:
        """Disappear silently: the server is not informed."""


class OwnClientSession(ClusterSession):
    """The product's session with a client that the model world has made."""

    def __init__(
        self,
        settings: ClientSettings,
        process: "Process",
        post: Callable[[Event], None],
        profile: MemberProfile,
        make_client: Callable[[Callable[[Any], None]], Any],
    ) -> None:
        """Connect to nothing yet; `make_client` gets the listener of the client."""
        trees = [f"{root}/" for root in process.policy.inputs.trees]
        super().__init__(settings, (*process.paths, *trees), "", post, profile)
        self._client = make_client(self._take)


class MemberSession:
    """The session of one core, and what carries its requests."""

    def __init__(self, process: "Process", ensemble: Ensemble) -> None:
        """Connect to nothing yet."""
        self.process = process
        self.connected = False
        self._ensemble = ensemble
        self._is_closed = False
        self._contract = SessionContract()
        self._contract.loses_watches = ensemble.loses_watches
        policy, host = process.policy, process.host
        writer = Writer(host.label, PID, lambda: ensemble.wall_clock)
        profile = MemberProfile(
            BASE, host.name, host.label, str(policy.max_unavailable), PhaseTime(),
            inputs=policy.inputs.paths, writer=writer,
            zone=policy.zone, max_failed=str(policy.max_failed),
        )  # fmt: skip
        addresses = tuple((f"server-{one.number}", PORT) for one in ensemble.servers)
        settings = ClientSettings(servers=addresses, session_timeout_s=policy.session_timeout_s)
        self._transport: Transport

        def make_client(listener: Callable[[Any], None]) -> Any:
            if isinstance(ensemble, WireEnsemble):
                wired = self._transport = WireTransport(self, ensemble)
                return DatedClient(settings, listener, process, wired.network)
            direct = DirectClient(process, ensemble, listener, self.watch_arrived)
            self._transport = direct
            return direct

        self._session = OwnClientSession(settings, process, self._post, profile, make_client)

    # What the process and the faults use.

    @property
    def connection(self) -> Link | None:
        """The connection at present."""
        return self._transport.connection

    @property
    def session(self) -> Session | None:
        """The session at the servers."""
        return self._transport.session

    @property
    def deadline(self) -> float | None:
        """When `advance` has to be called at the latest."""
        return None if self._is_closed else self._session.deadline

    @property
    def descriptor(self) -> tuple[int, int] | None:
        """What to poll."""
        return self._session.descriptor

    @property
    def is_due(self) -> bool:
        """Whether the poll of the main loop would return now."""
        return not self._is_closed and self._transport.is_due

    def advance(self) -> None:
        """Do all that is ready or due."""
        self._session.advance()

    def open(self) -> None:
        """Begin with a new session."""
        self.connected = False
        self._contract.opened()
        self._session.open()

    def perform(self, action: Action) -> list[Event]:
        """Send what the action requests → the answers that are there at once.

        What the core requests is meant for the connection that it knows of, and for no later one:
        the znodes may be those of another history by then.
        """
        if not self.process.knows_connection:
            return list(self._refuse(action))
        match action:
            case actions.ReadZnodes(number):
                self._contract.requested(INPUTS, number)
                self._session.read(number)
            case actions.RearmWatches():
                self._session.rearm()
            case _ if isinstance(action, GroupRequest):
                if not isinstance(action, PublishStatus):
                    self._contract.requested(GROUP, action.number)
                self._session.request(action)
        return []

    @staticmethod
    def _refuse(action: Action) -> Iterator[Event]:
        reason = "the connection was lost"
        if isinstance(action, actions.ReadZnodes):
            yield events.ReadFailed(action.number, reason)
        elif isinstance(action, GroupRequest) and not isinstance(action, PublishStatus):
            yield GroupRequestFailed(action.number, reason)

    def close(self, clean: bool) -> None:
        """Stop; a clean end closes the session, if the network lets it."""
        if not self._is_closed:
            self._is_closed = True
            self.connected = False
            self._contract.closed()
            if clean:
                self._session.close(0.0)
            self._transport.hang_up()

    def vanish(self) -> None:
        """Disappear silently: the server is not informed."""
        self._is_closed = True
        self._transport.vanish()

    def _post(self, event: Event) -> None:
        self._contract.posted(event, self._transport.connection)
        match event:
            case events.SessionConnected():
                self.connected = True
            case events.SessionSuspended() | events.SessionLost():
                self.connected = False
            case events.ZnodesRead(number):
                connection = self._transport.connection
                assert connection is not None
                self.process.world.reads[self.process, number] = connection.history
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

    def decided_at(self, wire: Wire) -> float:
        """Return when the process has decided on the next write that arrives by a connection."""
        if not wire.decided:
            raise ContractViolation("connections: a write that was meant for another one")
        return wire.decided.popleft()

    def watch_arrived(self, path: str, zxid: int) -> None:
        """Report which transaction has woken the process."""
        log = self._ensemble.log
        if path.startswith(BASE) and path != RESTART and zxid <= len(log):
            self.process.world.wake(log[zxid - 1], self.process)
