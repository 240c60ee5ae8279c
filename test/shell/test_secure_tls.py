"""TLS: with whom zkexec speaks, with whom it does not, and that no try takes long or hangs."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from kazoo.exceptions import NoAuthError

from support.posted_events import ConnectedMember, accepted, connected_client, drive_until
from support.tls_server import Authority, Certificate, TlsServer, identified, known
from support.zookeeper import Server
from zkexec.cli.security import SYSTEM, Access, Tls, acl
from zkexec.core.events import ConnectFailed, SessionConnected, SessionSuspended, ZnodeTouched

NAME = "127.0.0.1"
MUTE = "the server does not answer"
OTHER = "(::1)"
"""On this address of a name nothing listens."""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Whom the good ones of this file trust."""
    return Authority(tmp_path_factory.mktemp("authority"), "ours")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Whom nobody trusts."""
    return Authority(tmp_path_factory.mktemp("stranger"), "stranger")


@pytest.fixture(scope="module")
def mine(authority: Authority) -> Certificate:
    """A certificate of a client."""
    return authority.issue("mine")


@pytest.fixture(scope="module")
def server(authority: Authority) -> Iterator[TlsServer]:
    """A server with TLS that lets everybody in."""
    server = TlsServer(authority.ca, authority.issue("server"), demand="want")
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture(scope="module", params=["TLSv1.2", "TLSv1.3"])
def strict_server(request: pytest.FixtureRequest, authority: Authority) -> Iterator[TlsServer]:
    """A server that wants a certificate from everybody; in 1.3 it refuses after the handshake."""
    protocol = request.param
    certificate = authority.issue(f"strict-{protocol}")
    server = TlsServer(authority.ca, certificate, demand="need", protocol=protocol)
    try:
        server.start()
        yield server
    finally:
        server.close()


def trusting(ca: Path | str) -> Access:
    """To trust those certificates, and show none."""
    return Access(tls=Tls(str(ca)))


def showing(ca: Path, certificate: Certificate) -> Access:
    """To trust those certificates, and show this one."""
    return Access(tls=Tls(str(ca), str(certificate.cert), str(certificate.key)))


@pytest.mark.parametrize("name", ["localhost", NAME])
def test_reads_and_watches(server: TlsServer, authority: Authority, name: str) -> None:
    """A server whose certificate is good for its name or address is read from and watched."""
    path = f"/read-{name}"
    with connected_client(server.plain.hosts) as other:
        other.create(path, b"one" * 20000)
        with identified(f"{name}:{server.port}", trusting(authority.ca), path) as (one, posted):
            posted.next(SessionConnected)
            assert posted.contents(one) == {path: b"one" * 20000}
            other.set(path, b"two")
            posted.next(ZnodeTouched)
            assert posted.contents(one) == {path: b"two"}
            failures = [event for event in posted.events if isinstance(event, ConnectFailed)]
            assert not [failure for failure in failures if OTHER not in failure.reason]


def test_a_certificate_is_an_identity(
    server: TlsServer, authority: Authority, mine: Certificate
) -> None:
    """What is created for its creator belongs to the subject of the certificate."""
    access = Access(tls=showing(authority.ca, mine).tls, acl=acl("creator"))
    with identified(f"localhost:{server.port}", access) as (ensemble, posted):
        posted.next(SessionConnected)
        ConnectedMember(ensemble, posted).enrol()
        with known(f"localhost:{server.port}", access) as again:
            acls, _ = again.get_acls("/group/members/me")
        with connected_client(server.plain.hosts) as other, pytest.raises(NoAuthError):
            other.get("/group/members/me")
    assert [(acl.id.scheme, acl.id.id, acl.perms) for acl in acls] == [("x509", "CN=mine", 31)]


def refusal(hosts: str, access: Access) -> str:
    """Why there is no connection, twice in a row, without the hosts."""
    with identified(hosts, access) as (_, posted):
        reasons: list[str] = []
        while len(reasons) < 2:
            server, _, reason = posted.next(ConnectFailed).reason.partition(": ")
            assert server.startswith(hosts)
            # On a busy machine, a server may open this port later than the other, and need longer
            # for a handshake than it is given.
            if not reason.startswith((MUTE, "Connection refused")):
                reasons.append(reason)
        assert not [event for event in posted.events if isinstance(event, SessionConnected)]
    assert reasons[0] == reasons[1]
    return reasons[0]


@pytest.mark.parametrize("ca", ["theirs", SYSTEM])
def test_an_authority_that_is_not_trusted(server: TlsServer, stranger: Authority, ca: str) -> None:
    """A certificate from somebody else than was named is refused, and the reason is told."""
    trusted = ca if ca == SYSTEM else stranger.ca

    assert refusal(f"{NAME}:{server.port}", trusting(trusted)) == (
        "its certificate is refused: unable to get local issuer certificate"
    )


def test_the_authorities_of_the_system_are_not_trusted_besides(
    server: TlsServer, authority: Authority, stranger: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of authorities means these alone; the word system means those of the system."""
    # This is how OpenSSL is told where the system's are.
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))

    assert "refused" in refusal(f"{NAME}:{server.port}", trusting(stranger.ca))
    with identified(f"{NAME}:{server.port}", trusting(SYSTEM)) as (_, posted):
        posted.next(SessionConnected)


def test_a_certificate_for_another_host(authority: Authority) -> None:
    """A server that shows the certificate of another host is refused."""
    server = TlsServer(authority.ca, authority.issue("elsewhere", "DNS:elsewhere.example"))
    try:
        server.start()
        reason = refusal(f"localhost:{server.port}", trusting(authority.ca))
    finally:
        server.close()
    assert reason.startswith("its certificate is refused: Hostname mismatch")


def test_a_client_that_is_let_in(
    strict_server: TlsServer, authority: Authority, mine: Certificate
) -> None:
    """A server that wants to see a certificate sees ours."""
    hosts = f"{NAME}:{strict_server.port}"
    with identified(hosts, showing(authority.ca, mine), "/") as (ensemble, posted):
        posted.next(SessionConnected)
        assert posted.contents(ensemble) == {"/": b""}


def test_a_client_that_is_refused(
    strict_server: TlsServer, authority: Authority, stranger: Authority
) -> None:
    """A server that refuses our certificate, or wants one where we have none, is told as that."""
    hosts = f"{NAME}:{strict_server.port}"
    for access in (trusting(authority.ca), showing(authority.ca, stranger.issue("theirs"))):
        assert refusal(hosts, access).startswith("the server refuses the TLS handshake (")


def test_a_server_without_tls(zookeeper: Server, authority: Authority) -> None:
    """A server that speaks no TLS is told as that, and nothing is said to it in the clear."""
    assert refusal(f"{NAME}:{zookeeper.port}", trusting(authority.ca)) == (
        "the server closed the connection instead of speaking TLS"
    )


def test_a_client_without_tls(server: TlsServer) -> None:
    """Without TLS there is no connection, and the reason names what the server has done."""
    assert refusal(f"{NAME}:{server.port}", Access()) == (
        "the server closed the connection instead of answering the handshake; "
        "it may not serve now, or demand TLS"
    )


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A port on which a test itself answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def hosts_of(listener: socket.socket) -> str:
    """How it is called."""
    return f"{NAME}:{listener.getsockname()[1]}"


def test_nothing_is_ever_said_in_the_clear(listener: socket.socket, authority: Authority) -> None:
    """However often a server hangs up, each new try begins with TLS."""
    with identified(hosts_of(listener), trusting(authority.ca)) as (_, posted):
        for _ in range(5):
            connection = accepted(listener)
            # The type and the version of a record of a handshake.
            assert connection.recv(4096)[:2] == b"\x16\x03"
            connection.close()
            posted.next(ConnectFailed)


def test_a_server_that_says_nothing(listener: socket.socket, authority: Authority) -> None:
    """A handshake gets no more time than a connection, also where the server is silent."""
    hosts = hosts_of(listener)
    with identified(hosts, trusting(authority.ca), session_timeout_s=1.5) as (_, posted):
        assert posted.next(ConnectFailed).reason == f"{hosts}: {MUTE}"


def test_a_server_that_dawdles(listener: socket.socket, authority: Authority) -> None:
    """The time for a handshake is one for all of it, and not for each of its bytes."""
    over = threading.Event()

    def dawdle() -> None:
        connection, _ = listener.accept()
        connection.sendall(b"\x16\x03\x03\x40\x00")
        while not over.wait(0.05):
            try:
                connection.sendall(b"\2")
            except OSError:
                return

    thread = threading.Thread(target=dawdle, daemon=True)
    thread.start()
    hosts = hosts_of(listener)
    with identified(hosts, trusting(authority.ca), session_timeout_s=1.5) as (_, posted):
        assert posted.next(ConnectFailed).reason == f"{hosts}: {MUTE}"
    over.set()
    thread.join()


def test_the_end_does_not_wait_for_a_handshake(
    listener: socket.socket, authority: Authority
) -> None:
    """Whoever ends zkexec during a handshake does not wait for the server."""
    with identified(hosts_of(listener), trusting(authority.ca), session_timeout_s=600):
        connection = accepted(listener)
        connection.recv(4096)
    # The hello is all that has come, and the connection is at its end.
    assert connection.recv(4096) == b""
    connection.close()


def test_a_server_that_goes_away(authority: Authority) -> None:
    """A connection that is lost is told in plain words, and is made again, with TLS as before."""
    server = TlsServer(authority.ca, authority.issue("leaving"))
    try:
        server.start()
        with identified(f"{NAME}:{server.port}", trusting(authority.ca), "/") as (ensemble, posted):
            posted.next(SessionConnected)
            server.plain.stop(suddenly=True)
            reason = posted.next(SessionSuspended).reason
            assert reason in ("the server closed the connection", "Connection reset by peer")
            server.plain.start()
            posted.next(SessionConnected)
            assert posted.contents(ensemble) == {"/": b""}
    finally:
        server.close()


def test_files_that_vanish(listener: socket.socket, authority: Authority, tmp_path: Path) -> None:
    """Files that are being replaced are read anew at each try, and told where they are missing."""
    ca = tmp_path / "ca"
    hosts = hosts_of(listener)
    with identified(hosts, trusting(ca)) as (_, posted):
        assert posted.next(ConnectFailed).reason == (
            f"{hosts}: the files for TLS cannot be used: No such file or directory"
        )
        ca.write_bytes(authority.ca.read_bytes())
        drive_until(lambda: first_byte(listener) == b"\x16", "a handshake")


def first_byte(listener: socket.socket) -> bytes:
    """What the next one who connects says first."""
    with accepted(listener) as connection:
        return connection.recv(1)
