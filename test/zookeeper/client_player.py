"""A client on a network in memory, and the events that it reports."""

from collections.abc import Callable
from typing import Any, TypeVar

from zkexec.zookeeper.client import Client
from zkexec.zookeeper.client_events import Answered, AttemptFailed, ClientEvent, Connected, Failed
from zkexec.zookeeper.client_settings import ClientSettings
from zkexec.zookeeper.requests import Dialogue, Get, Request
from zookeeper.simulated_network import SimulatedConnection, SimulatedNetwork, SimulatedServer

_E = TypeVar("_E", bound=ClientEvent)

TIMEOUT_S = 9.0


class ClientPlayer:
    """A client that the test advances, on one network."""

    def __init__(
        self,
        network: SimulatedNetwork,
        *hosts: str,
        settings: ClientSettings | None = None,
        tries_multi_read: bool = False,
    ) -> None:
        """`hosts` are those of the settings, at port 2181, unless there are `settings`."""
        self.network = network
        self.events: list[ClientEvent] = []
        self.then: Callable[[ClientEvent], None] = lambda _: None
        """What the listener does with an event, besides keeping it."""
        self._taken = 0
        servers = tuple((host, 2181) for host in hosts or ("10.0.0.1",))
        settings = settings or ClientSettings(servers=servers, session_timeout_s=TIMEOUT_S)
        self.client = Client(settings, self.take, network, tries_multi_read=tries_multi_read)

    def take(self, event: ClientEvent) -> None:
        """Receive an event."""
        self.events.append(event)
        self.then(event)

    @property
    def server(self) -> SimulatedServer:
        """The first server of the network."""
        return next(iter(self.network.servers.values()))

    @property
    def connection(self) -> SimulatedConnection:
        """The newest connection to any server."""
        return self.network.attempts[-1]

    def settle(self) -> None:
        """Advance until all that is on its way has arrived; no time passes."""
        quiet = 0
        for _ in range(50):
            self.client.advance()
            due = self.client.deadline
            is_read = not self.network.attempts or not self.connection.pieces
            quiet = quiet + 1 if is_read and (due is None or due > self.network.time) else 0
            # One call more may open a connection, and another one use it.
            if quiet == 3:
                return

    def pass_time(self, seconds: float) -> None:
        """Let time pass: the client is advanced whenever its deadline has come."""
        end = self.network.time + seconds
        self.settle()
        while self.client.deadline is not None and self.client.deadline < end:
            self.network.time = max(self.network.time, self.client.deadline)
            self.settle()
        self.network.time = end
        self.settle()

    def connect(self) -> Connected:
        """Open the client and wait until it is connected."""
        self.client.open()
        self.settle()
        (event,) = self.new()
        assert isinstance(event, Connected)
        return event

    def new(self) -> list[ClientEvent]:
        """The events since the last time."""
        new, self._taken = self.events[self._taken :], len(self.events)
        return new

    def of(self, kind: type[_E]) -> list[_E]:
        """All events of a kind so far."""
        return [event for event in self.events if isinstance(event, kind)]

    def failures(self) -> list[str]:
        """The reasons of all attempts that have failed."""
        return [event.reason for event in self.of(AttemptFailed)]

    def start(self, *requests: Request, key: str = "key", connection: int = 0) -> None:
        """Start a dialogue of one batch, whose result are its outcomes."""
        self.client.start(batch(*requests), key, connection)

    def answer(self, *requests: Request) -> Any:
        """Run a dialogue of one batch → its outcomes, or the error that it failed with."""
        self.new()
        self.start(*requests)
        self.settle()
        for event in self.new():
            if isinstance(event, Answered):
                return event.answer
            if isinstance(event, Failed):
                return event.error
        raise AssertionError("there is no answer")


def batch(*requests: Request) -> Dialogue:
    """A dialogue of one batch; its result are the outcomes."""
    return (yield list(requests or [Get("/a")]))
