"""A connection with TLS: opened only with the right certificate, and never waiting."""

import os
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.tls_server import Authority
from zkexec.zookeeper.server_rotation import ServerAddress
from zkexec.zookeeper.tls_connection import TlsConnection, in_words
from zookeeper.sockets import DEADLINE_S, opened, received, wait, written

FOREVER = float("inf")
LARGE = bytes(range(256)) * 80_000


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The authority that issues the server's certificate."""
    return Authority(tmp_path_factory.mktemp("authority"), "ours")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority that issues nothing of ours."""
    return Authority(tmp_path_factory.mktemp("stranger"), "stranger")


@pytest.fixture
def port(authority: Authority, tmp_path: Path) -> Iterator[int]:
    """A server with TLS that sends back what it receives, or breaks TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate = authority.issue(f"server-{tmp_path.name}", "DNS:localhost")
    context.load_cert_chain(certificate.cert, certificate.key)
    with socket.create_server(("127.0.0.1", 0)) as server:
        threads = threading.Thread(target=_accept, args=(server, context), daemon=True)
        threads.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        threads.join(DEADLINE_S)


def _accept(server: socket.socket, context: ssl.SSLContext) -> None:
    while True:
        try:
            accepted, _ = server.accept()
        except OSError:
            return
        accepted.settimeout(DEADLINE_S)
        try:
            with context.wrap_socket(accepted, server_side=True) as secured:
                _serve(secured)
        except OSError:
            accepted.close()


def _serve(secured: ssl.SSLSocket) -> None:
    while (piece := secured.recv(1 << 16)) not in (b"", b"x"):
        if piece == b"reset":
            secured.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return
        if piece == b"garbage":
            os.write(secured.fileno(), b"these bytes are no TLS")
        else:
            secured.sendall(piece)


def connection_to(
    port: int, ca: Path, *, host: str = "localhost", deadline: float = FOREVER
) -> TlsConnection:
    """Begin a connection that trusts an authority."""

    def new_context() -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(ca)
        return context

    return TlsConnection(ServerAddress(host, "127.0.0.1", port), deadline, new_context)


def test_bytes_go_both_ways(port: int, authority: Authority) -> None:
    """What is written comes back, and the end of the connection is an empty piece."""
    connection = connection_to(port, authority.ca)
    assert not connection.has_unread
    opened(connection)
    assert (connection.awaits_reading, connection.awaits_writing) == (True, False)
    assert connection.read() is None

    assert connection.write(b"request") == 7
    assert received(connection, 7) == b"request"
    assert connection.write(b"x") == 1
    assert received(connection, 1) == b""
    connection.close()


def test_large_contents_never_wait(port: int, authority: Authority) -> None:
    """A large content is written in pieces, while what comes back is read."""
    connection = connection_to(port, authority.ca)
    opened(connection)
    arrived = bytearray()

    def drain() -> None:
        if piece := connection.read():
            arrived.extend(piece)
        else:
            wait(connection)

    written(connection, LARGE, drain)
    arrived.extend(received(connection, len(LARGE) - len(arrived)))
    assert arrived == LARGE
    connection.close()


def test_a_strange_certificate_is_refused(port: int, stranger: Authority) -> None:
    """A server whose certificate another authority has issued is never connected."""
    connection = connection_to(port, stranger.ca)

    with pytest.raises(OSError, match="its certificate is refused"):
        opened(connection)
    assert not connection.is_open
    connection.close()


def test_the_name_has_to_be_that_of_the_certificate(port: int, authority: Authority) -> None:
    """A server that shows a certificate for another name is never connected."""
    connection = connection_to(port, authority.ca, host="other")

    with pytest.raises(OSError, match=r"its certificate is refused: .*not valid for 'other'"):
        opened(connection)
    connection.close()


@pytest.mark.parametrize("error", [FileNotFoundError(2, "no such file"), ValueError("bad")])
def test_unusable_files_are_reported(port: int, error: Exception) -> None:
    """Files that cannot be used for TLS fail the attempt with a reason."""

    def fail() -> ssl.SSLContext:
        raise error

    address = ServerAddress("localhost", "127.0.0.1", port)
    connection = TlsConnection(address, FOREVER, fail)

    with pytest.raises(OSError, match=r"files for TLS cannot be used: (no such file|bad)"):
        opened(connection)
    connection.close()


def test_a_server_that_is_mute_costs_no_more_than_the_deadline(authority: Authority) -> None:
    """A server that accepts, but does not begin with TLS, is lost at the deadline."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        connection = connection_to(server.getsockname()[1], authority.ca, deadline=10.0)
        wait(connection)
        assert not connection.advance(9.0)
        assert connection.awaits_reading

        with pytest.raises(TimeoutError, match="does not answer"):
            connection.advance(10.0)
        connection.close()


def test_failures_are_described(port: int, authority: Authority) -> None:
    """What fails on an open connection is raised with the text for a person."""
    connection = connection_to(port, authority.ca)
    opened(connection)
    connection.write(b"garbage")

    with pytest.raises(OSError, match="the server does not speak TLS"):
        received(connection, 1)
    connection.close()


def test_a_reset_is_a_server_that_has_hung_up(port: int, authority: Authority) -> None:
    """A server that resets the connection has hung up, and takes nothing any more."""
    connection = connection_to(port, authority.ca)
    opened(connection)
    connection.write(b"reset")
    while connection.read() != b"":
        wait(connection)

    assert connection.write(b"late") == 0
    connection.close()


def test_a_refused_connection_is_none_that_was_closed() -> None:
    """Before the handshake the reason is that of the system."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    connection = TlsConnection(
        ServerAddress("127.0.0.1", "127.0.0.1", port), FOREVER, ssl.create_default_context
    )

    with pytest.raises(OSError, match="Connection refused"):
        opened(connection)
    connection.close()


def test_a_reset_within_the_handshake_is_described() -> None:
    """Also if the socket reports the end of the connection before it can be read."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = ServerAddress("127.0.0.1", "127.0.0.1", server.getsockname()[1])
        connection = TlsConnection(address, FOREVER, ssl.create_default_context)
        accepted, _ = server.accept()
        assert not connection.advance(0.0)
        # With bytes that were not read, closing is a reset.
        assert accepted.recv(1, socket.MSG_PEEK)
        accepted.close()
        wait(connection)
        with pytest.raises(OSError, match="closed the connection instead of speaking TLS"):
            connection.advance(0.0)
        connection.close()


def test_a_server_without_tls_is_described() -> None:
    """A server that hangs up on the first record, or answers it in the clear, is named as such."""
    for content, reason in (
        (b"", "the server closed the connection instead of speaking TLS"),
        (b"HTTP/1.1 400 Bad Request\r\n", "the server does not speak TLS"),
    ):
        with socket.create_server(("127.0.0.1", 0)) as server:
            address = ServerAddress("127.0.0.1", "127.0.0.1", server.getsockname()[1])
            connection = TlsConnection(address, FOREVER, ssl.create_default_context)
            accepted, _ = server.accept()
            assert not connection.advance(0.0)
            assert accepted.recv(1 << 16)
            accepted.sendall(content)
            accepted.close()
            with pytest.raises(OSError, match=reason):
                opened(connection)
            connection.close()


@pytest.mark.parametrize("host", [".localhost", f"{'x' * 70}.example"])
def test_a_name_that_no_certificate_can_have_fails_the_attempt(
    port: int, authority: Authority, host: str
) -> None:
    """A name that TLS does not take is an attempt that failed, and no error of the program."""
    connection = connection_to(port, authority.ca, host=host)

    with pytest.raises(OSError, match="no certificate can be for the name of this server"):
        opened(connection)
    connection.close()


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (
            "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert certificate required (_ssl.c:1)",
            "the server refuses the TLS handshake (certificate required)",
        ),
        ("[SSL: WRONG_VERSION_NUMBER] wrong version (_ssl.c:9)", "the server does not speak TLS"),
        ("[SSL: UNEXPECTED_EOF] EOF occurred (_ssl.c:99)", "the server closed the connection"),
        (
            "TLS/SSL connection has been closed (EOF) (_ssl.c:992)",
            "the server closed the connection",
        ),
        ("[SSL] unknown error (_ssl.c:99)", "TLS: unknown error"),
        ("[SSL: BAD_LENGTH] bad length", "TLS: bad length"),
        ("Connection refused", "Connection refused"),
    ],
)
def test_words(reason: str, words: str) -> None:
    """What OpenSSL says is in words for a person, and without its line numbers."""
    assert in_words(reason) == words
