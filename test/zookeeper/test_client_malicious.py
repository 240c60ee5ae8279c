"""A client whose server is malicious: it reports why, keeps little in memory, and recovers."""

import re
import struct
import threading
import tracemalloc
from collections.abc import Iterator

import pytest
from kazoo.client import KazooClient

from support.malicious_server import MaliciousServer
from support.malicious_tricks import HUGE, MALICE
from support.posted_events import address
from support.zookeeper import Server
from zkexec.zookeeper.client import Client
from zkexec.zookeeper.client_events import (
    Answered,
    AttemptFailed,
    ClientEvent,
    Connected,
    Failed,
)
from zkexec.zookeeper.client_settings import ClientSettings
from zkexec.zookeeper.errors import ConnectionEndError, ConnectionLostError
from zkexec.zookeeper.jute import FrameWriter, ReplyHeader
from zkexec.zookeeper.network import Network
from zkexec.zookeeper.requests import (
    Check,
    Children,
    Dialogue,
    Get,
    GetAcl,
    MultiRead,
    Request,
    Sync,
    Transaction,
)
from zkexec.zookeeper.session_requests import AnyRequest, Ping
from zkexec.zookeeper.values import Stat
from zookeeper import wire_server
from zookeeper.scripted_network import SERVER, ScriptedNetwork

DEADLINE_S = 60.0
SESSION_TIMEOUT_S = 3.0
SHORT_S = 1.0
"""The session timeout for what shows only after two of them."""

WAITING = ("answers to pings alone", "large answer, trickled")
MOST_MEMORY = 8_000_000
CONTENT = b"the content of a znode"
STAT = Stat(data_length=len(CONTENT))
PATH = "/a"
CHECK = Transaction([Check(PATH)])
GOOD = f"Answered.*{CONTENT!r}"


def asking(*requests: Request) -> Dialogue:
    """Send requests at once and return their outcomes; an error is raised."""
    outcomes = yield requests
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome
    return outcomes


class Owner:
    """The owner of a client, which reads on each connection, and again if that is refused."""

    def __init__(
        self, settings: ClientSettings, network: Network | None = None, *requests: Request
    ) -> None:
        self.events: list[ClientEvent] = []
        self._requests = requests or (Get(PATH),)
        self._network = network or Network()
        self.client = Client(settings, self._take, self._network)
        self.client.open()

    def _take(self, event: ClientEvent) -> None:
        self.events.append(event)
        is_refused = isinstance(event, Failed) and not isinstance(event.error, ConnectionEndError)
        if isinstance(event, Connected) or is_refused:
            self.client.start(asking(*self._requests), "read")

    def wait(self, mark: int, pattern: str) -> None:
        """Drive the client until there is such an event behind the first ones."""
        end = self._network.now() + DEADLINE_S
        while not any(re.search(pattern, repr(event)) for event in self.events[mark:]):
            assert self._network.now() < end, (pattern, self.events[mark:][-20:])
            self.client.wait(end)


# A server with sockets.


@pytest.fixture
def malicious(zookeeper: Server) -> Iterator[MaliciousServer]:
    """A server that is good until the test makes it malicious."""
    server = MaliciousServer(zookeeper.port)
    yield server
    server.close()


@pytest.fixture
def owner(malicious: MaliciousServer, client: KazooClient, root: str, name: str) -> Iterator[Owner]:
    """The owner of a client that has read a znode of the good server."""
    path = f"{root}/a"
    client.create(path, CONTENT)
    timeout_s = SHORT_S if name in WAITING else SESSION_TIMEOUT_S
    settings = ClientSettings(servers=(address(malicious.hosts),), session_timeout_s=timeout_s)
    one = Owner(settings, None, MultiRead((path, path)), Get(path))
    one.wait(0, GOOD)
    yield one
    one.client.close(1.0)


@pytest.mark.parametrize("name", MALICE)
def test_a_server_turns_malicious(owner: Owner, malicious: MaliciousServer, name: str) -> None:
    """The client says what is wrong, keeps little of it in memory, and recovers."""
    malice = MALICE[name]
    mark = len(owner.events)
    tracemalloc.start()
    try:
        malicious.turn(malice.trick)
        owner.wait(mark, malice.reason or "Connected")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MOST_MEMORY

    malicious.heal()
    mark = len(owner.events)
    if name == "a far transaction":
        # The good server refuses a session that knows of the future.
        owner.client.open()
    owner.wait(mark, GOOD)


@pytest.mark.parametrize("name", ["drop", "huge handshake", "session timeout 0", "pings only"])
def test_a_client_is_closed_at_once(owner: Owner, malicious: MaliciousServer, name: str) -> None:
    """A client is closed within the time given, and nothing is reported any more."""
    mark = len(owner.events)
    malicious.turn(MALICE[name].trick)
    owner.wait(mark, MALICE[name].reason)
    mark = len(owner.events)
    threads = threading.active_count()
    owner.client.close(0.1)

    assert owner.client.descriptor is None
    assert owner.client.deadline is None
    owner.client.advance()
    assert owner.events[mark:] == []
    assert threading.active_count() <= threads


# A server without sockets.


def good(xid: int, request: AnyRequest) -> bytes:
    """Answer as a good server does."""
    outcome = (CONTENT, STAT) if isinstance(request, Get) else None
    return wire_server.answer(xid, request, outcome, zxid=5)


def scripted(network: ScriptedNetwork, *requests: Request) -> Owner:
    """Make the owner of a client on a network without sockets."""
    return Owner(ClientSettings(servers=(SERVER,), session_timeout_s=9.0), network, *requests)


def run(owner: Owner, network: ScriptedNetwork, pattern: str) -> None:
    """Let time pass until there is such an event."""
    for _ in range(1000):
        if any(re.search(pattern, repr(event)) for event in owner.events):
            return
        due = owner.client.deadline
        assert due is not None
        network.time = max(network.time, due)
        owner.client.advance()
    raise AssertionError(f"no {pattern} at {network.time} in {owner.events[-20:]}")


class OneFlip:
    """Flips one bit of all that a server sends."""

    def __init__(self, number: int) -> None:
        self._left = number
        self.is_done = False
        self.is_in_content = False
        """Whether the bit is one of a content or of its length."""

    def __call__(self, frame: bytes) -> bytes:
        """Spoil a frame if the bit is in it."""
        at, bit = divmod(self._left, 8)
        self._left -= 8 * len(frame)
        if self.is_done or at >= len(frame):
            return frame
        self.is_done = True
        begin = frame.find(CONTENT)
        self.is_in_content = 0 <= begin - 4 <= at < begin + len(CONTENT)
        changed = bytearray(frame)
        changed[at] ^= 1 << bit
        return bytes(changed)


def test_any_bit_of_a_conversation_can_flip() -> None:
    """Whichever bit is wrong, the client reads what is right, at the latest on a later connection.

    What is wrong in a content or its length cannot be noticed: the protocol has no checksum.
    """
    number, connections = 0, 0
    while True:
        flip = OneFlip(number)
        network = ScriptedNetwork(good, flip)
        owner = scripted(network)
        run(owner, network, "Answered|Failed" if flip.is_in_content else "Answered")
        owner.client.close(0.0)
        if not flip.is_done:
            break
        answer = next(event for event in owner.events if isinstance(event, Answered)).answer
        if not flip.is_in_content:
            assert [content for content, _ in answer] == [CONTENT], number
        connections += len(network.connections)
        number += 1
    assert number > 1000
    assert connections > number + 200


HUGE_LIST = struct.pack("!i", HUGE) + bytes(1000)
RESULT = struct.pack("!i?i", 4, False, 0)
CHECKED = struct.pack("!i?i", 13, False, 0)
NO_END = struct.pack("!i?ii", -1, False, -101, -101) * 1000


LISTS = [(request, HUGE_LIST) for request in (Get(PATH), Children(PATH), GetAcl(PATH))]
RESULTS = [
    (request, body)
    for request in (MultiRead([PATH]), CHECK)
    for body in (RESULT + HUGE_LIST, CHECKED * 1000, NO_END)
]


@pytest.mark.parametrize(("request_", "body"), [*LISTS, *RESULTS])
def test_no_answer_is_longer_than_its_frame(request_: Request, body: bytes) -> None:
    """A count or a length that is larger than its frame ends the connection, not the memory."""

    def script(xid: int, request: AnyRequest) -> bytes:
        if isinstance(request, Sync | Ping):
            return wire_server.answer(xid, request, None)
        frame = FrameWriter()
        ReplyHeader(xid, 5, 0).write_to(frame)
        frame.content += body
        return frame.framed()

    network = ScriptedNetwork(script)
    owner = scripted(network, request_)
    tracemalloc.start()
    try:
        run(owner, network, "Lost")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < MOST_MEMORY
    (failed,) = [event for event in owner.events if isinstance(event, Failed)]
    assert isinstance(failed.error, ConnectionLostError)
    assert "does not speak ZooKeeper's protocol" in str(failed.error)
    assert network.connections[0].is_closed


def test_attempts_become_rare() -> None:
    """Servers that accept and drop are tried each few seconds, however long that lasts."""
    network = ScriptedNetwork(good, lambda _: struct.pack("!i", HUGE))
    owner = scripted(network)
    network_time = network.time
    while network.time < network_time + 3600.0:
        due = owner.client.deadline
        assert due is not None
        network.time = max(network.time, due)
        owner.client.advance()

    failures = [event for event in owner.events if isinstance(event, AttemptFailed)]
    assert len(network.connections) - 1 <= len(failures) <= len(network.connections)
    assert 3600 / 5 < len(failures) < 3600 / 2
    assert len({event.reason for event in failures}) == 1
