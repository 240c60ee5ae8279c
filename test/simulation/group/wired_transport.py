"""The bytes of one process: the product's client in a network of the model world.

Beside what the client does, it notes when the process has decided on each write, for observers.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING

from simulation.servers.ensemble import Session
from simulation.servers.link import Link, Loss
from simulation.wire.network import ModelNetwork
from simulation.wire.wire_ensemble import WireEnsemble
from zkexec.zookeeper.client import Client
from zkexec.zookeeper.client_events import ClientEvent
from zkexec.zookeeper.client_settings import ClientSettings
from zkexec.zookeeper.requests import (
    Create,
    Delete,
    Dialogue,
    SetAcl,
    SetContent,
    Transaction,
)

if TYPE_CHECKING:
    from simulation.group.member_session import MemberSession
    from simulation.group.process import Process

CUT, SLOW = 0.05, 0.02
"""How often bytes arrive in two pieces, or take long."""

WRITES = (Create, Delete, SetAcl, SetContent, Transaction)


class ProcessFaults:
    """What goes wrong with the bytes of one process, as chaos has it."""

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


class DatedClient(Client):
    """The product's client, which notes when the process has decided on each write."""

    def __init__(
        self,
        settings: ClientSettings,
        listener: Callable[[ClientEvent], None],
        process: "Process",
        network: ModelNetwork,
    ) -> None:
        """Connect to nothing yet."""
        super().__init__(settings, listener, network, tries_multi_read=True)
        self._process = process
        self._model_network = network

    def start(self, dialogue: Dialogue, key: Hashable, connection: int = 0) -> None:
        """Run a dialogue, which the process has decided on just now."""
        super().start(self._dated(dialogue, self._process.handled_at), key, connection)

    def _note(self, times: Sequence[float]) -> None:
        wire = self._model_network.wire
        if wire is not None:
            wire.decided.extend(times)

    def _dated(self, dialogue: Dialogue, decided_at: float) -> Dialogue:
        try:
            requests = next(dialogue)
            while True:
                self._note([decided_at for one in requests if isinstance(one, WRITES)])
                requests = dialogue.send((yield requests))
        except StopIteration as end:
            return end.value
        finally:
            dialogue.close()


class WireTransport:
    """The product's client in a network of the model world, byte for byte."""

    def __init__(self, session: "MemberSession", ensemble: WireEnsemble) -> None:
        """Connect to nothing yet."""
        self._owner = session
        self.network = ModelNetwork(ensemble, session, ProcessFaults(session.process))

    @property
    def connection(self) -> Link | None:
        """The connection at present."""
        return self.network.wire

    @property
    def session(self) -> Session | None:
        """The session at the servers."""
        return None if self.network.wire is None else self.network.wire.session

    @property
    def is_due(self) -> bool:
        """Whether the poll of the main loop would return now."""
        deadline = self._owner.deadline
        is_over = deadline is not None and deadline <= self._owner.now
        return is_over or self.network.is_ready(self._owner.descriptor)

    def hang_up(self) -> None:
        """Close the connection as the kernel does if the process is killed."""
        self.network.hang_up()

    def vanish(self) -> None:
        """Disappear silently: the server is not informed."""
        self.network.vanish()
