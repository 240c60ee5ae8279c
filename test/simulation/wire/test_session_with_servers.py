"""Sessions against the model of the servers, byte for byte, in virtual time.

`ZKEXEC_SEEDS=50000` plays more of them than usual; the seed is in the message of a failure.
"""

import os
from random import Random
from typing import Any

import pytest

from simulation.clock import Clock
from simulation.servers.znodes import Transaction
from simulation.wire.session_driver import DrawnFaults, SessionDriver
from simulation.wire.wire_ensemble import WireEnsemble
from zkexec.zookeeper.client_events import ClientEvent, Connected, Expired, Fired, Lost
from zkexec.zookeeper.errors import ConnectionLostError
from zkexec.zookeeper.requests import Create, Exists, Get, MultiRead, SetContent, Sync
from zkexec.zookeeper.requests import Transaction as TransactionRequest
from zkexec.zookeeper.session_requests import AnyRequest
from zkexec.zookeeper.session_state import OutcomeReceived
from zkexec.zookeeper.values import OPEN_ACL

SEEDS = int(os.environ.get("ZKEXEC_SEEDS", "4000")) // 80
TIMEOUT_S = 4.0
PATHS = ("/a", "/b", "/c")
FAULTS_S = 60.0


class Caller:
    """A process that sends drawn requests, and judges what it gets."""

    def __init__(self, world: "World", name: str) -> None:
        """Begin to connect."""
        self.world = world
        self.name = name
        self.random = world.random
        self.sent: list[AnyRequest] = []
        """All requests that were sent; the key of each is its place here."""
        self.answered = 0
        """How many of them have an outcome."""
        self.kinds: dict[type, int] = {}
        self.connected = False
        self.written: dict[bytes, bool] = {}
        """What was written, and whether the server has confirmed it."""
        self._newest = 0
        self._known: dict[str, int] = {}
        """The transaction as of which a znode was read with a watch that has not fired since."""
        self.driver = SessionDriver(world.ensemble, world.faults, TIMEOUT_S, self._take)

    def act(self) -> None:
        """Send something."""
        if self.driver.state.is_ready:
            for _ in range(self.random.choice((1, 1, 3))):
                key = len(self.sent)
                request = self._draw(key)
                self.sent.append(request)
                self.driver.send(request, key)

    def _draw(self, key: int) -> AnyRequest:
        path = self.random.choice(PATHS)
        content = f"{self.name} {key}".encode()
        match self.random.randrange(6):
            case 0:
                self.written[content] = False
                return SetContent(path, content)
            case 1:
                self.written[content] = False
                other = self.random.choice(PATHS)
                return TransactionRequest([SetContent(path, content), SetContent(other, content)])
            case 2:
                return MultiRead(PATHS)
            case 3:
                return Sync("/")
            case 4:
                return Exists(path, path)
        return Get(path, path)

    def _take(self, event: ClientEvent) -> None:
        self.kinds[type(event)] = self.kinds.get(type(event), 0) + 1
        match event:
            case Connected():
                self.connected = True
            case Lost() | Expired():
                assert self.answered == len(self.sent), "a loss before its requests have failed"
                self.connected = False
                self._known.clear()
            case Fired(_, path):
                self._known.pop(path, None)
            case OutcomeReceived(key, outcome):
                assert key == self.answered, "an outcome out of order"
                self.answered += 1
                self._judge(self.sent[self.answered - 1], outcome)
            case _:
                pytest.fail(f"unexpected: {event}")

    def _judge(self, request: AnyRequest, outcome: Any) -> None:
        if isinstance(outcome, ConnectionLostError):
            return
        assert not isinstance(outcome, Exception), outcome
        match request:
            case SetContent(_, content):
                self._confirm(content)
            case TransactionRequest((SetContent(_, content), *_)):
                self._confirm(content)
            case MultiRead(paths):
                for path, (_, stat) in zip(paths, outcome, strict=True):
                    self._compare(path, stat.mzxid)
            case Get(path, watch) | Exists(path, watch):
                stat = outcome[1] if isinstance(request, Get) else outcome
                self._compare(path, stat.mzxid)
                if watch is not None:
                    self._known.setdefault(path, stat.mzxid)

    def _confirm(self, content: bytes) -> None:
        assert content in self.world.counts, f"{content!r} was confirmed and is not there"
        self.written[content] = True

    def _compare(self, path: str, mzxid: int) -> None:
        known = self._known.get(path, mzxid)
        assert mzxid <= known, f"{path} is newer than its watch knows"


class World:
    """Two callers, their servers, and what befalls them."""

    def __init__(self, seed: int, chance: float) -> None:
        """Begin with all znodes there."""
        self.random = Random(seed)
        self.clock = Clock()
        self.ensemble = WireEnsemble(self.clock, self.random, 3, TIMEOUT_S / 10)
        self.ensemble.commit(0, [self.ensemble.written(path, b"first") for path in PATHS])
        self.faults = DrawnFaults(self.random, chance)
        self.counts: dict[bytes, int] = {}
        """Each content that was ever written, and in how many transactions."""
        self.ensemble.observer = self
        self.callers = [Caller(self, name) for name in ("one", "two")]

    def run(self) -> None:
        """Let everything happen, then let it become calm."""
        for _ in range(300):
            caller = self.random.choice(self.callers)
            self.clock.after(self.random.uniform(0, FAULTS_S), caller.act)
        if self.faults.chance:
            for _ in range(8):
                self.clock.after(self.random.uniform(0, FAULTS_S), self._strike)
        self.run_until(self.clock.now + FAULTS_S)
        self.faults.chance = 0.0
        self.run_until(self.clock.now + 10 * TIMEOUT_S)

    def run_until(self, time: float) -> None:
        """Let everything happen that happens before this time."""
        while (entry := self.clock.next_entry) is not None and entry <= time:
            self.clock.run_entry()
        self.clock.advance(time)

    def committed(self, transaction: Transaction) -> None:
        """Note what was just committed."""
        for content in {node.content for _, node in transaction.changes if node is not None}:
            self.counts[content] = self.counts.get(content, 0) + 1

    def _strike(self) -> None:
        random, ensemble = self.random, self.ensemble
        wire = random.choice(self.callers).driver.network.wire
        server = random.choice(ensemble.servers)
        later = self.clock.after
        match random.randrange(5):
            case 0 if wire is not None:
                wire.close_at_server()
            case 1 if wire is not None:
                wire.block(*random.choice(((True, True), (True, False), (False, True))))
                later(random.uniform(0, 3 * TIMEOUT_S), wire.unblock)
            case 2 if server.in_contact:
                server.cut_off()
                later(random.uniform(0, TIMEOUT_S), server.give_up)
                later(random.uniform(0, 2 * TIMEOUT_S), server.rejoin)
            case 3:
                server.lag_s = 1.0
            case 4 if ensemble.has_quorum:
                ensemble.lose_quorum()
                later(random.uniform(0, TIMEOUT_S), ensemble.elect)


@pytest.mark.parametrize("part", range(4))
def test_sessions_and_servers_agree_whatever_happens(part: int) -> None:
    """Outcomes come in order, confirmed writes are done once, no watch misses a change."""
    for seed in range(part, SEEDS, 4):
        world = World(seed, chance=0.03)
        try:
            world.run()
            committed = world.counts
            for caller in world.callers:
                assert caller.connected, "no connection in calm"
                assert caller.answered == len(caller.sent)
                for content in caller.written:
                    assert committed.get(content, 0) <= 1, "a write was done twice"
        except Exception as error:
            raise AssertionError(f"seed {seed}: {type(error).__name__}: {error}") from error


def test_without_faults_nothing_fails() -> None:
    """On a calm network a session has one connection, and every request is answered."""
    for seed in range(8):
        world = World(seed, chance=0.0)
        world.run()
        for caller in world.callers:
            assert caller.sent
            assert all(caller.written.values()), f"seed {seed}"
            assert caller.kinds[Connected] == 1
            assert Lost not in caller.kinds


def test_everything_happens_in_these_simulations() -> None:
    """Connections are lost, sessions expire, watches fire, and lost writes are done or not."""
    kinds: dict[type, int] = {}
    fates = set()
    for seed in range(25):
        world = World(seed, chance=0.03)
        world.run()
        for caller in world.callers:
            for kind, number in caller.kinds.items():
                kinds[kind] = kinds.get(kind, 0) + number
            committed = world.counts
            fates |= {(sure, content in committed) for content, sure in caller.written.items()}

    assert {Connected, Lost, Expired, Fired, OutcomeReceived} <= kinds.keys()
    assert fates == {(True, True), (False, True), (False, False)}


def test_a_session_that_is_cut_off_expires_with_its_ephemeral_znodes() -> None:
    """The servers end a session once its timeout is over, and not before."""
    world = World(1, chance=0.0)
    driver = world.callers[0].driver
    world.clock.after(1.0, lambda: driver.send(Create("/mine", b"", OPEN_ACL, ephemeral=True), 0))
    world.callers[0].sent.append(Create("/mine", b"", OPEN_ACL, ephemeral=True))
    began = world.clock.now
    world.run_until(began + 3.0)
    assert "/mine" in world.ensemble.tree.nodes
    wire = driver.network.wire
    assert wire is not None
    wire.block(up=True, down=True)
    driver.is_reachable = False
    world.run_until(began + 3.0 + 0.6 * TIMEOUT_S)
    assert "/mine" in world.ensemble.tree.nodes
    world.run_until(began + 3.0 + 2 * TIMEOUT_S)
    assert "/mine" not in world.ensemble.tree.nodes
