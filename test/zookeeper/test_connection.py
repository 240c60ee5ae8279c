"""One non-blocking connection: opened, refused, slow, and hung up."""

import os
import socket
from collections.abc import Iterator

import pytest

from zkexec.zookeeper.connection import ServerConnection
from zkexec.zookeeper.server_rotation import ServerAddress
from zookeeper.sockets import opened, received, wait, written

FOREVER = float("inf")


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A server that accepts only what the test accepts."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def address_of(server: socket.socket) -> ServerAddress:
    """The address of a listening socket."""
    host, port = server.getsockname()[:2]
    return ServerAddress(host, host, port)


@pytest.fixture
def pair(listener: socket.socket) -> Iterator[tuple[ServerConnection, socket.socket]]:
    """A connection that is open, and the other end of it."""
    connection = ServerConnection(address_of(listener), FOREVER)
    opened(connection)
    with listener.accept()[0] as other:
        yield connection, other
    connection.close()


def test_bytes_go_both_ways(pair: tuple[ServerConnection, socket.socket]) -> None:
    """What is written arrives at the server, and what the server writes is read."""
    connection, other = pair
    assert connection.read() is None

    assert connection.write(b"request") == 7
    assert other.recv(100) == b"request"
    other.sendall(b"answer")
    assert received(connection, 6) == b"answer"
    assert connection.read() is None
    assert not connection.has_unread


def test_a_server_that_hangs_up_is_read_as_nothing(
    pair: tuple[ServerConnection, socket.socket],
) -> None:
    """The end of the connection is read as an empty piece."""
    connection, other = pair
    other.close()
    wait(connection)

    assert connection.read() == b""


def test_writing_never_waits(pair: tuple[ServerConnection, socket.socket]) -> None:
    """A server that does not read makes `write` take nothing, until it reads again."""
    connection, other = pair
    content = bytes(range(256)) * 40_000
    arrived = bytearray()
    stalls = []

    def drain() -> None:
        stalls.append(len(arrived))
        arrived.extend(other.recv(1 << 20))

    written(connection, content, drain)
    connection.close()
    while piece := other.recv(1 << 20):
        arrived.extend(piece)
    assert stalls
    assert arrived == content


def test_a_refused_connection_fails_with_a_reason() -> None:
    """An address on which nothing listens is reported as refused."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = address_of(server)
    with pytest.raises(OSError, match="refused"):
        opened(ServerConnection(address, FOREVER))


def test_an_address_that_cannot_be_reached_fails_at_once() -> None:
    """What the kernel refuses at once is raised by the attempt itself."""
    with pytest.raises(OSError, match=r"denied|unreachable"):
        opened(ServerConnection(ServerAddress("x", "255.255.255.255", 2181), FOREVER))


def test_a_mute_server_costs_no_more_than_the_deadline() -> None:
    """An attempt that gets no answer ends when its deadline has come, and not before."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        # The queue of those that wait to be accepted is full with these.
        waiting = [ServerConnection(address_of(server), FOREVER) for _ in range(4)]
        mute = [one for one in waiting if not one.advance(0.0)]
        assert mute, "an attempt gets no answer"
        connection = ServerConnection(address_of(server), 10.0)
        assert not connection.advance(9.9)
        assert (connection.awaits_writing, connection.awaits_reading) == (True, False)

        with pytest.raises(TimeoutError, match="does not answer"):
            connection.advance(10.0)
        for one in (*waiting, connection):
            one.close()


def test_addresses_of_the_sixth_version_work() -> None:
    """A server is connected at an IPv6 address."""
    try:
        server = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("this host has no IPv6")
    with server:
        connection = ServerConnection(address_of(server), FOREVER)
        opened(connection)
        assert connection.is_open
        assert connection.advance(0.0)
        connection.close()


def test_a_descriptor_is_not_handed_down(pair: tuple[ServerConnection, socket.socket]) -> None:
    """The socket is closed in every program that is started."""
    connection, _ = pair

    assert not os.get_inheritable(connection.fileno())


def test_a_reset_is_a_server_that_has_hung_up(listener: socket.socket) -> None:
    """A server that resets the connection has hung up, and takes nothing any more."""
    connection = ServerConnection(address_of(listener), FOREVER)
    opened(connection)
    other = listener.accept()[0]
    # With bytes that were not read, closing is a reset.
    connection.write(b"unread")
    assert other.recv(1, socket.MSG_PEEK)
    other.close()
    wait(connection)

    assert connection.read() == b""
    assert connection.write(b"late") == 0
    connection.close()
