"""What a client gets from its host: the time, chance, names and connections."""

import socket
import ssl
import time

from zkexec.zookeeper.connection import ServerConnection
from zkexec.zookeeper.network import Network
from zkexec.zookeeper.server_rotation import ServerAddress
from zkexec.zookeeper.tls_connection import TlsConnection
from zookeeper.sockets import DEADLINE_S, opened

FOREVER = float("inf")


def test_the_time_goes_on() -> None:
    """The time is that of the clock which runs on while the machine is suspended."""
    network = Network()
    before = time.clock_gettime(time.CLOCK_BOOTTIME)

    assert before <= network.now() <= time.clock_gettime(time.CLOCK_BOOTTIME)


def test_chance_is_spread() -> None:
    """Random numbers are at least 0, below 1, and differ."""
    network = Network()
    numbers = [network.chance() for _ in range(200)]

    assert all(0 <= number < 1 for number in numbers)
    assert len(set(numbers)) > 190
    assert {int(number * 4) for number in numbers} == {0, 1, 2, 3}


def test_hosts_are_looked_up() -> None:
    """A lookup gives the addresses of hosts."""
    lookup = Network().look_up(["127.0.0.1"])
    assert lookup.addresses == {"127.0.0.1": ("127.0.0.1",)}
    lookup.close()


def test_connections_are_plain_without_a_context() -> None:
    """A connection speaks TLS only if there is a context for it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = ServerAddress("127.0.0.1", "127.0.0.1", server.getsockname()[1])
        plain = Network().connect(address, FOREVER)
        assert type(plain) is ServerConnection
        opened(plain)
        plain.close()

        secured = Network(ssl.create_default_context).connect(address, FOREVER)
        assert isinstance(secured, TlsConnection)
        accepted = [server.accept()[0] for _ in range(2)]
        assert not secured.advance(0.0)
        # The type and the version of a record of a handshake.
        accepted[1].settimeout(DEADLINE_S)
        assert accepted[1].recv(2) == b"\x16\x03"
        secured.close()
        for one in accepted:
            one.close()
