"""A session that reads trees, against the model of the servers, byte for byte, in virtual time.

Servers lag behind, connections break, and znodes come and go all the time.  `ZKEXEC_SEEDS=50000`
plays more of them than usual; the seed is in the message of a failure.
"""

import os
from random import Random

import pytest

from simulation.clock import Clock
from simulation.servers.znodes import Change, Transaction
from simulation.wire.network import ModelNetwork
from simulation.wire.polling import Polling
from simulation.wire.session_contract import INPUTS, SessionContract
from simulation.wire.session_driver import DrawnFaults
from simulation.wire.wire import Wire
from simulation.wire.wire_ensemble import WireEnsemble
from zkexec.core.events import Event, ReadFailed, SessionConnected, ZnodesRead, ZnodeTouched
from zkexec.core.snapshot import Problem, Tree, Znode
from zkexec.runtime.cluster_session import ClusterSession
from zkexec.zookeeper.client_settings import ClientSettings

SEEDS = int(os.environ.get("ZKEXEC_SEEDS", "4000")) // 100
TIMEOUT_S = 4.0
FAULTS_S = 60.0
WRITES = 80
ROOT, SINGLE = "/t", "/t/a"
PATHS = ("/t", "/t/a", "/t/b", "/t/a/x", "/t/a/y", "/t/b/x", "/t/b/x/deep")

State = dict[str, bytes]


class Reader:
    """A process whose session reads a tree and a znode in it, and what befalls it."""

    def __init__(self, seed: int, chance: float) -> None:
        """Open the session."""
        self.random = Random(seed)
        self.clock = Clock()
        self.states: list[State] = [{}]
        """All states, by zxid."""
        self.servers = WireEnsemble(self.clock, self.random, 3, TIMEOUT_S / 10)
        self.servers.observer = self
        self.servers.lacks_multi_read = self.random.random() < 0.4
        self.faults = DrawnFaults(self.random, chance)
        self.network = ModelNetwork(self.servers, self, self.faults)
        self.is_reachable = True
        self.reads = self.failures = 0
        self.found: tuple[Znode, Tree] | None = None
        self._number = 0
        self._is_stale = self._is_reading = False
        self._contract = SessionContract()
        self._polling = Polling(self.clock, self.network)
        settings = ClientSettings(
            servers=self.network.servers, session_timeout_s=TIMEOUT_S, longest_pause_s=0.5
        )
        self._session = self._polling.session = ClusterSession(
            settings, (SINGLE, f"{ROOT}/"), "", self._take, network=self.network
        )
        for path in PATHS[:3]:
            self.servers.commit(0, [self.servers.written(path, b"first")])
        self._contract.opened()
        self._session.open()
        self._polling.settle()

    # What befalls it.

    def run(self) -> None:
        """Let everything happen, then let it become calm."""
        for _ in range(WRITES):
            self.clock.after(self.random.uniform(0, FAULTS_S), self._write)
        if self.faults.chance:
            for _ in range(6):
                self.clock.after(self.random.uniform(0, FAULTS_S), self._strike)
        self._run_until(self.clock.now + FAULTS_S)
        self.faults.chance = 0.0
        self._run_until(self.clock.now + 15 * TIMEOUT_S)

    def _run_until(self, until: float) -> None:
        while (entry := self.clock.next_entry) is not None and entry <= until:
            self.clock.run_entry()
        self.clock.advance(until)

    def _write(self) -> None:
        """Write one znode or several in one transaction, or delete all below one."""
        state = dict(self.states[-1])
        changes: list[Change] = []
        for _ in range(self.random.choice((1, 1, 1, 3))):
            path = self.random.choice(PATHS)
            if any(path == other for other, _ in changes):
                continue
            below = [one for one in state if one == path or one.startswith(f"{path}/")]
            if self.random.random() < 0.4 and not changes:
                changes += [(one, None) for one in sorted(below, reverse=True)]
                break
            if path == ROOT or path.rpartition("/")[0] in state:
                changes.append(self.servers.written(path, self.random.randbytes(2)))
                state[path] = b""
        if changes:
            self.servers.commit(0, changes)
        for server in self.servers.servers:
            server.lag_s = self.random.choice((0.01, 0.01, 0.3))

    def _strike(self) -> None:
        wire = self.network.wire
        if wire is None:
            return
        server = self.random.choice(self.servers.servers)
        if self.random.random() < 0.5:
            server.drop_all()
        else:
            wire.block(True, self.random.random() < 0.5)
            self.clock.after(self.random.uniform(0, 6.0), wire.unblock)

    def committed(self, transaction: Transaction) -> None:
        """Keep the state that follows."""
        state = dict(self.states[-1])
        for path, _ in transaction.changes:
            node = self.servers.tree.nodes.get(path)
            if node is None:
                state.pop(path, None)
            else:
                state[path] = node.content
        self.states.append(state)

    # What it does.

    def _take(self, event: Event) -> None:
        self._contract.posted(event, self.network.wire)
        match event:
            case SessionConnected():
                self._is_reading = False
                self._read()
            case ZnodeTouched():
                self._is_stale = True
                self._read()
            case ZnodesRead(number) if number == self._number:
                self._judge(event)
            case ReadFailed(number) if number == self._number:
                self.failures += 1
                self._is_reading = False
                self.clock.after(0.5, self._read)

    def _read(self) -> None:
        if not self._is_reading:
            self._number += 1
            self._is_reading, self._is_stale = True, False
            self._contract.requested(INPUTS, self._number)
            self._session.read(self._number)

    def _judge(self, event: ZnodesRead) -> None:
        self.reads += 1
        self._is_reading = False
        wire = self.network.wire
        assert wire is not None
        self.found = event.znodes[SINGLE], event.trees[ROOT]
        possible = [shown_of(state) for state in self.states[wire.began_at : event.zxid + 1]]
        assert shown(*self.found) in possible, "what was read has never been so"
        if self._is_stale:
            self._read()

    # What the network knows of the process.

    @property
    def now(self) -> float:
        """The time on its clock."""
        return self.clock.now

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


def shown(single: Znode, tree: Tree) -> object:
    """What a read shows."""
    contents = {path: znode.content for path, znode in tree.znodes.items()}
    return single.problem, single.content, tree.problem, contents


def shown_of(state: State) -> object:
    """What a read of this state has to show."""
    tree = {path.removeprefix(ROOT).lstrip("/"): content for path, content in state.items()}
    single = None if SINGLE in state else Problem.MISSING
    root = None if ROOT in state else Problem.MISSING
    return single, state.get(SINGLE, b""), root, tree


@pytest.mark.parametrize("chance", [0.0, 0.02])
def test_trees_are_read_as_they_were_and_no_change_is_missed(chance: float) -> None:
    """Each read shows one state of the ensemble, and the last one shows the present."""
    reads = 0
    for seed in range(SEEDS):
        reader = Reader(seed, chance)
        try:
            reader.run()
            assert reader.found is not None
            assert shown(*reader.found) == shown_of(reader.states[-1]), "a change was missed"
        except Exception as error:
            raise AssertionError(f"seed {seed}, chance {chance}: {error}") from error
        reads += reader.reads
    assert reads > 10 * SEEDS
