"""A server that turns malicious costs a running command nothing, and zkexec little.

All that is attacked here is attacked at once; each test looks at what was observed.
"""

import re
import ssl
from collections.abc import Iterator
from pathlib import Path
from signal import SIGHUP

import pytest
from kazoo.client import KazooClient

from e2e.victims import CONNECTED, NEW, OLD, Victim, attack
from support.malicious_server import MaliciousServer, relay, secured
from support.malicious_tricks import MALICE, Malice, flipping, greet_in_plain_text, silence
from support.mirrored_host import MirroredHost, quoted
from support.posted_events import connected_client
from support.sandbox import REPORTER, Sandbox, born
from support.tls_server import Authority, TlsServer
from support.waiting import lines, until, until_line
from support.zookeeper import Server

CANNOT_WORK = 125
MOST_CONNECTIONS = 15
"""A client that pauses for two seconds connects less often within the window."""

MOST_GROWTH_KB = 8 * 1024
"""How much more memory zkexec may ever have had in use because of an attack."""

MOST_LINES = 3 * MOST_CONNECTIONS
"""A connection that is made and lost again has three lines."""

IN_GROUP = ("endless list", "right answers, wrong numbers")
SEEDS = (1, 2, 3)
INPUTS = "abcdefghi"
PATIENT = ("--session-timeout=4",)
"""For what only shows when a client has waited for twice its session timeout."""

BESIDE_TLS = {
    "plain text instead of TLS": Malice(greet_in_plain_text, "does not speak TLS"),
    "silence instead of TLS": Malice(silence, "the server does not answer"),
}

WAITING = {
    *("answers to pings alone", "nothing after the first answer", "large answer, trickled"),
}
MANY = {"endless list", "endless results", "large answer, trickled", "flipped bits 2"}
"""The victims with so many inputs that all are read by one request."""

FLIPPING = {f"flipped bits {seed}": Malice(flipping(seed, OLD, NEW)) for seed in SEEDS}
TLS = "TLS instead of plain text"
NAMES = [
    *MALICE,
    *FLIPPING,
    *(f"{name} in a group" for name in IN_GROUP),
    *BESIDE_TLS,
    TLS,
]


class Siege:
    """Makes victims, each in a folder of its own, on the same znodes."""

    def __init__(self, folder: Path, client: KazooClient, good: TlsServer, ca: Path) -> None:
        self._folder = folder
        self._client = client
        self._good = good
        self._ca = ca
        self.victims: dict[str, Victim] = {}

    def add(self, name: str, malice: Malice, *options: str, beside_tls: bool = False) -> None:
        """Start one more."""
        folder = self._folder / str(len(self.victims))
        folder.mkdir()
        if beside_tls:
            server = MaliciousServer(self._good.port, relay)
            options = (f"--tls-ca={self._ca}", *options)
        else:
            server = MaliciousServer(self._good.plain.port)
        sandbox = Sandbox(folder, server.hosts)
        host = MirroredHost(sandbox, self._client, "", server.hosts)
        names = INPUTS if name in MANY else INPUTS[:2]
        self.victims[name] = Victim(malice, server, host, options, names)

    def close(self) -> None:
        """End what is left."""
        for victim in self.victims.values():
            victim.host.sandbox.close()
            victim.server.close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Whom the clients of this file trust."""
    return Authority(tmp_path_factory.mktemp("authority"), "ours")


@pytest.fixture(scope="module")
def good(authority: Authority) -> Iterator[TlsServer]:
    """A good server with both kinds of ports."""
    server = TlsServer(authority.ca, authority.issue("server"))
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture(scope="module")
def victims(
    good: TlsServer, authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Victim]]:
    """All victims, after the attack and the change that followed it."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(authority.issue("malicious").both)
    with connected_client(good.plain.hosts) as client:
        for name in INPUTS:
            client.create(f"/{name}", OLD)
        siege = Siege(tmp_path_factory.mktemp("siege"), client, good, authority.ca)
        try:
            for name, malice in {**MALICE, **FLIPPING}.items():
                siege.add(name, malice, *(PATIENT if name in WAITING else ()))
            for name in IN_GROUP:
                siege.add(f"{name} in a group", MALICE[name], f"--lock={name.replace(' ', '-')}")
            for name, malice in BESIDE_TLS.items():
                siege.add(name, malice, beside_tls=True)
            siege.add(TLS, Malice(secured(context, silence), "instead of answering the handshake"))
            attack(list(siege.victims.values()), lambda: client.set("/a", NEW))
            yield siege.victims
        finally:
            siege.close()


@pytest.fixture(params=NAMES)
def victim(victims: dict[str, Victim], request: pytest.FixtureRequest) -> Victim:
    """One victim."""
    return victims[request.param]


def test_the_command_is_untouched(victim: Victim) -> None:
    """Whatever the server does, the command runs on, and no signal is sent to it."""
    assert victim.is_seen, victim.run.story()
    assert len(victim.births_under_attack) == 1
    assert not victim.terms_under_attack
    assert victim.is_untouched


def test_memory_is_bounded(victim: Victim) -> None:
    """What a server announces or sends is not kept in memory."""
    assert victim.is_seen, victim.run.story()
    assert victim.growth_kb < MOST_GROWTH_KB


def test_connections_are_few(victim: Victim) -> None:
    """After failures zkexec connects every few seconds at most, and does not stop trying."""
    assert victim.tries_again, victim.run.story()
    assert victim.connections < MOST_CONNECTIONS


def test_the_log_is_short(victim: Victim) -> None:
    """The log has the reason in words, once for each time that the connection was lost."""
    reasons = [line for line in victim.log if re.search(victim.malice.reason, line)]
    connected = [line for line in victim.log if re.search(CONNECTED, line)]

    assert reasons
    if victim.malice.reason:
        assert len(reasons) <= 1 + len(connected), victim.log
    assert len(victim.log) <= MOST_LINES, victim.log


def test_the_next_change_is_applied(victim: Victim) -> None:
    """When the server is good again, zkexec follows it, and the first change is applied."""
    assert victim.has_recovered, victim.run.story()
    assert [birth.files["a"] for birth in victim.host.births()] == [OLD.decode(), NEW.decode()]
    assert victim.run.wait() == 0
    assert "Traceback" not in victim.run.stderr.text


@pytest.fixture
def server(zookeeper: Server) -> Iterator[MaliciousServer]:
    """A server before the shared one, good until the test makes it malicious."""
    one = MaliciousServer(zookeeper.port)
    yield one
    one.close()


@pytest.mark.parametrize("name", ["drop", "pings only", "huge answer", "endless list"])
def test_a_first_start_from_files(host: MirroredHost, server: MaliciousServer, name: str) -> None:
    """With `--start cached` a malicious server does not prevent the start; later it is followed."""
    host.create(a=NEW)
    host.hosts = server.hosts
    host.file("a").write_bytes(OLD)
    server.turn(MALICE[name].trick)
    run = host.wrap("--start=cached", "--connect-timeout=1", "--settle=0")
    first = host.born()
    assert first.files == {"a": OLD.decode()}
    accepted = server.accepted
    until(lambda: server.accepted > accepted, "another attempt")
    host.only(first)
    server.heal()

    assert host.born(2).files == {"a": NEW.decode()}
    assert run.end() == 0


@pytest.mark.parametrize("name", ["garbage", "huge answer", "read-only"])
def test_a_first_start_fails(host: MirroredHost, server: MaliciousServer, name: str) -> None:
    """Without files a first start fails in time, and one line gives the reason."""
    host.create(a=OLD)
    host.hosts = server.hosts
    server.turn(MALICE[name].trick)
    run = host.wrap("--connect-timeout=2", "--silent")

    assert run.wait() == CANNOT_WORK
    (line,) = run.stderr.lines
    assert re.search(MALICE[name].reason, line)
    assert not host.births()


FLOODS = [
    *("events between the answers", "ping answers between the answers"),
    *("flood of events", "huge answer"),
]


@pytest.mark.parametrize("name", FLOODS)
def test_signals_are_passed_on_in_a_flood(
    host: MirroredHost, server: MaliciousServer, name: str
) -> None:
    """However much a server sends, signals reach the command, and TERM ends both."""
    host.create(a=OLD)
    host.hosts = server.hosts
    report = host.sandbox.report
    command = quoted(REPORTER, report)
    run = host.start(*host.mirrors("a"), f"--exec={command}")
    born(report)
    accepted = server.accepted
    server.turn(MALICE[name].trick)
    until(lambda: server.accepted > accepted, "the first connection of the flood")
    for count in (1, 2, 3):
        run.signal(SIGHUP)
        until_line(report, "got HUP", count)

    assert run.end() == 0
    assert lines(report)[1:] == [*["got HUP"] * 3, "got TERM"]
