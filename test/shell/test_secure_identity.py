"""Identities and ACLs against a real server: what may be done with them, and not without."""

from collections.abc import Iterator

import pytest
from kazoo.exceptions import NoAuthError
from kazoo.security import make_acl, make_digest_acl_credential

from support.posted_events import ConnectedMember, PostedEvents, connected_client, ensemble_of
from support.proxy import Proxy
from support.tls_server import identified, known
from support.zookeeper import Server
from zkexec.cli.cluster_access import client_settings
from zkexec.cli.security import Access, Credential, acl
from zkexec.core.events import (
    ConnectFailed,
    SessionClosed,
    SessionConnected,
    SessionSuspended,
)
from zkexec.core.rollout.record import RolloutRecord
from zkexec.core.snapshot import Problem
from zkexec.runtime.cluster_session import ClusterSession

JAAS = """
Server {
    org.apache.zookeeper.server.auth.DigestLoginModule required
    user_alice="wonder:land";
};
"""
SASL_PROVIDER = "org.apache.zookeeper.server.auth.SASLAuthenticationProvider"

DIGEST = Credential("digest", "us", "secret-of-ours")
SASL = Credential("sasl", "alice", "wonder:land")
OURS = f"us:{make_digest_acl_credential('us', 'secret-of-ours').partition(':')[2]}"
ALL = 31


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that knows alice by SASL, and lets everybody in."""
    jaas = tmp_path_factory.mktemp("jaas") / "jaas.conf"
    jaas.write_text(JAAS)
    options = (
        f"-Djava.security.auth.login.config={jaas}",
        f"-Dzookeeper.authProvider.1={SASL_PROVIDER}",
    )
    server = Server(options=options)
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture
def base(request: pytest.FixtureRequest) -> str:
    """The path of a group of this test alone."""
    # At the top, as whatever stands above it belongs to whoever came first.
    return f"/{request.node.name}"


def enrolled(ensemble: ClusterSession, posted: PostedEvents) -> None:
    """Let a member create all that it has to."""
    posted.next(SessionConnected)
    member = ConnectedMember(ensemble, posted)
    member.enrol()
    member.commit(RolloutRecord())


def told(acls: tuple[list[object], object]) -> set[tuple[str, str, int]]:
    """An ACL as a server tells it."""
    return {(one.id.scheme, one.id.id, one.perms) for one in acls[0]}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("credential", "identity"), [(DIGEST, ("digest", OURS)), (SASL, ("sasl", "alice"))]
)
def test_for_the_creator_alone(
    server: Server, base: str, credential: Credential, identity: tuple[str, str]
) -> None:
    """What is created for its creator belongs to who we are, and nobody else even reads it."""
    access = Access(credentials=(credential,), acl=acl("creator"))
    with identified(server.hosts, access, base=base) as (ensemble, posted):
        enrolled(ensemble, posted)
        for path in (base, f"{base}/state", f"{base}/members", f"{base}/members/me"):
            with known(server.hosts, access) as again:
                assert told(again.get_acls(path)) == {(*identity, ALL)}
            with connected_client(server.hosts) as other, pytest.raises(NoAuthError):
                other.get(path)


def test_for_the_creator_and_readers(server: Server, base: str) -> None:
    """With creator+read, others read what the group does, and change nothing."""
    access = Access(credentials=(DIGEST,), acl=acl("creator+read"))
    with identified(server.hosts, access, base=base) as (ensemble, posted):
        enrolled(ensemble, posted)
        with connected_client(server.hosts) as other:
            assert told(other.get_acls(f"{base}/state")) == {
                # The server shows the hash only to those who may change the ACL.
                ("digest", "us:x", ALL),
                ("world", "anyone", 1),
            }
            assert other.get(f"{base}/state")[0]
            with pytest.raises(NoAuthError):
                other.set(f"{base}/state", b"")
            with pytest.raises(NoAuthError):
                other.delete(f"{base}/members/me")
            with pytest.raises(NoAuthError):
                other.create(f"{base}/queue/x")


def test_an_acl_of_its_own(server: Server, base: str) -> None:
    """An ACL that was written out stands at the znodes as it was written."""
    access = Access(
        credentials=(DIGEST,), acl=acl(f"digest:{OURS}:cdrwa,ip:127.0.0.1:r,sasl:alice:rw")
    )
    with identified(server.hosts, access, base=base) as (ensemble, posted):
        enrolled(ensemble, posted)
        with known(server.hosts, access) as again:
            assert told(again.get_acls(f"{base}/state")) == {
                ("digest", OURS, ALL),
                ("ip", "127.0.0.1", 1),
                ("sasl", "alice", 3),
            }


def test_open_by_default(server: Server, base: str) -> None:
    """Where nothing is said, everybody may use the znodes of a group, as zkCli would have it."""
    with identified(server.hosts, Access(), base=base) as (ensemble, posted):
        enrolled(ensemble, posted)
        with connected_client(server.hosts) as other:
            assert told(other.get_acls(f"{base}/state")) == {("world", "anyone", ALL)}


@pytest.fixture
def protected(server: Server, base: str) -> str:
    """A znode that only we and alice may read."""
    path = f"/config-of-{base[1:]}"
    entries = [make_acl("digest", OURS, read=True), make_acl("sasl", "alice", read=True)]
    with connected_client(server.hosts) as other:
        other.create(path, b"content", acl=entries)
    return path


@pytest.mark.parametrize("credential", [DIGEST, SASL])
def test_a_protected_config(server: Server, protected: str, credential: Credential) -> None:
    """A znode that not everybody may read is read by whoever may, and refused to others."""
    access = Access(credentials=(credential,))
    with identified(server.hosts, access, protected) as (ensemble, posted):
        posted.next(SessionConnected)
        assert posted.contents(ensemble) == {protected: b"content"}
    with ensemble_of(server.hosts, paths=(protected,)) as (ensemble, posted):
        posted.next(SessionConnected)
        assert posted.read(ensemble)[protected].problem is Problem.FORBIDDEN


def test_several_identities(server: Server, protected: str, base: str) -> None:
    """Whoever has several identities may do what any of them may."""
    strange = Credential("digest", "them", "else")
    access = Access(credentials=(strange, DIGEST, SASL), acl=acl("creator"))
    with identified(server.hosts, access, protected, base=base) as (ensemble, posted):
        enrolled(ensemble, posted)
        assert posted.contents(ensemble) == {protected: b"content"}
        with known(server.hosts, Access(credentials=(SASL,))) as again:
            schemes = {scheme for scheme, _, _ in told(again.get_acls(base))}
            assert schemes == {"digest", "sasl"}


@pytest.mark.parametrize("credential", [DIGEST, SASL])
def test_the_identity_after_a_lost_connection(
    server: Server, protected: str, credential: Credential
) -> None:
    """On each connection it is proven again, before anything is asked for."""
    proxy = Proxy(server.port)
    try:
        access = Access(credentials=(credential,))
        with identified(proxy.hosts, access, protected) as (ensemble, posted):
            for _ in range(3):
                posted.next(SessionConnected)
                assert posted.contents(ensemble) == {protected: b"content"}
                proxy.cut()
                posted.next(SessionSuspended)
    finally:
        proxy.close()


def test_a_wrong_password(server: Server) -> None:
    """A server that refuses our identity is told as that; nobody is connected, nobody waits."""
    wrong = Credential("sasl", "alice", "nonsense-7")
    with identified(server.hosts, Access(credentials=(wrong,))) as (ensemble, posted):
        for _ in range(2):
            reason = posted.next(ConnectFailed).reason
            assert reason == f"{server.hosts}: the server refuses the identity given by --auth"
            assert posted.next(SessionClosed).reason == reason
            ensemble.open()
        assert not [event for event in posted.events if isinstance(event, SessionConnected)]


@pytest.mark.parametrize("credential", [DIGEST, SASL, Credential("sasl", "alice", "nonsense-7")])
def test_no_secret_in_the_log(server: Server, credential: Credential) -> None:
    """What kazoo has to say, which --verbose shows, holds no password."""
    lines: list[str] = []
    posted = PostedEvents()
    access = Access(credentials=(credential,))
    settings = client_settings([("127.0.0.1", server.port)], access, 10.0)
    ensemble = ClusterSession(settings, ["/"], "", posted.post, log=lines.append)
    ensemble.open()
    posted.next(ConnectFailed if "nonsense" in credential.password else SessionConnected)
    ensemble.close(5.0)

    assert lines
    assert not [line for line in [*lines, *map(repr, posted.events)] if credential.password in line]
