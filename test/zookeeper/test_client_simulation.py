"""A client whose servers, names and host fail at random, in virtual time.

`ZKEXEC_SEEDS=20000` plays more of them than usual; the seed is in the message of a failure.
"""

import os
import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from zkexec.zookeeper.client_events import Answered, ClientEvent, Connected, Failed, Fired, Lost
from zkexec.zookeeper.client_settings import ClientSettings, Proof
from zkexec.zookeeper.errors import ZooKeeperError
from zkexec.zookeeper.jute import ConnectResponse
from zkexec.zookeeper.requests import Children, Dialogue, Get, MultiRead, Request, Sync
from zkexec.zookeeper.session_requests import AnyRequest
from zookeeper.client_player import ClientPlayer
from zookeeper.simulated_network import HANG_UP, SILENCE, Raw, SimulatedNetwork, SimulatedServer
from zookeeper.wire_server import event

SEEDS = int(os.environ.get("ZKEXEC_SEEDS", "100"))
STEPS = 60
HOSTS = ("10.0.0.1", "10.0.0.2", "10.0.0.3")
REQUESTS: tuple[Request, ...] = (Get("/a", "w"), Get("/b"), MultiRead(["/a", "/b"]), Sync("/"))
RUBBISH = (Raw(b"\xff\xff\xff\xff"), Raw(b"\0\0\0\2hi"), Raw(bytes(16)), Raw(b"\0\0\0\x40" + b"x"))


class World:
    """A client, its network, and what has to be true of what it reports."""

    def __init__(self, seed: int, network: SimulatedNetwork) -> None:
        self.chance = random.Random(seed)
        self.network = network
        self.secret = 0
        settings = ClientSettings(
            servers=(*((host, 2181) for host in HOSTS[:2]), ("zk", 2181)),
            session_timeout_s=6.0,
            proof=lambda: Proof((f"us:{self.secret}",)),
        )
        self.player = ClientPlayer(network, settings=settings)
        self.player.then = self.check
        self.started = 0
        self.dropped: set[object] = set()
        self.ends: Counter[object] = Counter()
        self.connection = 0
        network.names["zk"] = [HOSTS[2]]
        self.heal()
        self.player.client.open()

    def check(self, happened: ClientEvent) -> None:
        """Check that what is reported can follow what was reported before."""
        match happened:
            case Connected(connection):
                assert connection > self.connection
                self.connection = connection
            case Answered(key) | Failed(key):
                error = getattr(happened, "error", None)
                assert error is None or isinstance(error, ZooKeeperError), error
                self.ends[key] += 1
                assert key not in self.dropped, "a dialogue of an earlier session"
            case Lost():
                unended = set(range(self.started)) - set(self.ends) - self.dropped
                assert not unended, "dialogues fail before the loss is reported"
            case Fired(watch):
                assert watch == "w"

    def step(self) -> None:
        """Do one thing, let time pass, and check that nothing keeps the client busy."""
        self.chance.choice(
            [self.start, self.start, self.start, self.fail, self.fail, self.heal, self.disturb]
        )()
        if not self.chance.randrange(12):
            self.chance.choice([self.reopen, self.player.client.rearm, self.renew])()
        self.player.pass_time(self.chance.choice([0.0, 0.01, 0.5, 3.0, 10.0, 40.0]))
        due = self.player.client.deadline
        assert due is not None
        assert due > self.network.time, "the client is due again at once"
        open_ones = [one for one in self.network.attempts if not one.is_closed]
        assert len(open_ones) <= 1

    def start(self) -> None:
        """Start a dialogue of random requests."""
        self.run(*self.chance.choices(REQUESTS, k=self.chance.randrange(4)))

    def run(self, *requests: Request) -> None:
        """Start a dialogue that sends these requests one after the other."""
        key, self.started = self.started, self.started + 1
        self.player.client.start(_dialogue(requests), key)

    def reopen(self) -> None:
        """Begin with a new session: what is not answered is dropped."""
        self.dropped |= set(range(self.started)) - set(self.ends)
        if self.chance.random() < 0.5:
            self.network.step_s = 0.01
            self.player.client.close(self.chance.choice([0.0, 1.0]))
            self.network.step_s = 0.0
        self.player.client.open()

    def renew(self) -> None:
        """Renew the secret."""
        self.secret += 1

    def fail(self) -> None:
        """Let something fail from now on."""
        server = self.chance.choice(list(self.network.servers.values()))
        fault: Callable[[], Any] = self.chance.choice(
            [
                lambda: setattr(server, "is_refusing", True),
                lambda: setattr(server, "is_mute", True),
                lambda: setattr(server, "is_old", True),
                lambda: setattr(server, "welcome", lambda _: self.chance.choice(RUBBISH)),
                lambda: setattr(server, "welcome", lambda _: HANG_UP),
                lambda: setattr(server, "welcome", lambda _: SILENCE),
                lambda: setattr(server, "welcome", lambda _: ConnectResponse(0, 0, b"")),
                lambda: setattr(server, "outcome", self.unreliable(server)),
                lambda: setattr(server, "spoil", self.spoil),
                lambda: self.network.names.update(zk="not known"),
                lambda: self.network.lookup_s.update(zk=self.chance.choice([0.5, 2.5, 1e9])),
                lambda: setattr(self.network, "shortage", OSError(24, "Too many open files")),
            ]
        )
        fault()

    def unreliable(self, server: SimulatedServer) -> Callable[[AnyRequest], Any]:
        """Make a server do anything at random with each request."""

        def outcome(request: AnyRequest) -> Any:
            faults = [HANG_UP, SILENCE, *RUBBISH, -102, -112, -115, -124, -6, -5]
            return self.chance.choice([server.serve(request)] * 12 + faults)

        return outcome

    def spoil(self, frame: bytes) -> bytes:
        """Let an answer end too early, or something else follow it in the same piece."""
        return self.chance.choice([frame] * 4 + [frame[:-1], frame + self.chance.choice(RUBBISH)])

    def disturb(self) -> None:
        """Let something happen to the newest connection."""
        if not self.network.attempts:
            return
        connection = self.network.attempts[-1]
        connection.send(self.chance.choice([event(3, "/a"), event(1, "/x"), *RUBBISH, b""]))
        if self.chance.random() < 0.2:
            reset = ConnectionResetError(104, "Connection reset by peer")
            connection.failure = reset if self.chance.random() < 0.5 else MemoryError()
        if self.chance.random() < 0.2:
            connection.write_failure = BrokenPipeError(32, "Broken pipe")
        connection.most_written = self.chance.choice([1, 7, 1 << 30])

    def heal(self) -> None:
        """End all faults."""
        self.network.shortage = None
        self.network.names["zk"] = [HOSTS[2]]
        self.network.lookup_s.clear()
        for server in self.network.servers.values():
            server.is_refusing = server.is_mute = server.is_old = False
            server.welcome, server.outcome, server.spoil = server.greet, server.serve, bytes


def _dialogue(requests: Sequence[Request]) -> Dialogue:
    for request in requests:
        yield [request, Children("/a")] if isinstance(request, Sync) else [request]
    return len(requests)


@pytest.mark.parametrize("first", range(0, SEEDS, 50))
def test_a_client_recovers_from_everything(
    simulated: Callable[..., SimulatedNetwork], first: int
) -> None:
    """Each dialogue has one end, nothing keeps the client busy, and it works after the faults."""
    for seed in range(first, first + 50):
        world = World(seed, simulated(*HOSTS, seed=seed))
        try:
            for _ in range(STEPS):
                world.step()
            world.heal()
            # What an answer has to go through may be spoilt already: a request shows that.
            world.player.pass_time(60.0)
            world.run(Sync("/"))
            world.player.pass_time(60.0)
            answer = world.player.answer(Sync("/"))
            assert answer == [None], answer
            left = set(range(world.started)) - set(world.ends) - world.dropped
            assert not left, "dialogues without an end"
            assert set(world.ends.values()) <= {1}
        except Exception as error:
            raise AssertionError(f"seed {seed}") from error
