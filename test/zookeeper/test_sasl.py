"""SASL on a real server, with the mechanisms of pure-sasl."""

from collections.abc import Iterator

import pytest
from puresasl.client import SASLClient

from support.zookeeper import Server
from zkexec.zookeeper.client_events import Connected, Lost
from zkexec.zookeeper.requests import Create, GetAcl
from zkexec.zookeeper.session_state import CloseConfirmed, IdentityRefused, SessionState
from zkexec.zookeeper.values import ALL, Acl
from zookeeper.blocking_client import BlockingClient

JAAS = """
Server {
    org.apache.zookeeper.server.auth.DigestLoginModule required
    user_alice="wonder:land";
};
"""
PROVIDER = "org.apache.zookeeper.server.auth.SASLAuthenticationProvider"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that knows alice by SASL, and accepts every other client."""
    jaas = tmp_path_factory.mktemp("jaas") / "jaas.conf"
    jaas.write_text(JAAS)
    login = f"-Djava.security.auth.login.config={jaas}"
    server = Server(options=(login, f"-Dzookeeper.authProvider.1={PROVIDER}"))
    try:
        server.start()
        yield server
    finally:
        server.close()


def mechanism_of(password: str) -> SASLClient:
    """Prove to be alice."""
    return SASLClient("zk-sasl-md5", "zookeeper", "DIGEST-MD5", username="alice", password=password)


def test_a_password_proves_an_identity(server: Server) -> None:
    """After the rounds of DIGEST-MD5, what the session creates is alice's."""
    client = BlockingClient(server.port, SessionState(30.0), mechanism=mechanism_of("wonder:land"))
    assert [type(event) for event in client.connect()] == [Connected]

    created, found = client.call(Create("/a", b"", [Acl(ALL, "auth", "")]), GetAcl("/a"))
    assert created == "/a"
    assert isinstance(found, tuple)
    assert found[0] == (Acl(ALL, "sasl", "alice"),)
    assert client.finish() == [CloseConfirmed()]


def test_a_wrong_password_is_refused(server: Server) -> None:
    """A server that does not accept the password is reported, whether it answers or hangs up."""
    (event,) = BlockingClient(
        server.port, SessionState(30.0), mechanism=mechanism_of("nonsense")
    ).connect()

    assert isinstance(event, IdentityRefused | Lost)
    assert "identity" in event.reason
