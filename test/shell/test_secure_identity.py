"""Identities and ACLs against a real server: what may be done with them, and not without."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from kazoo.exceptions import NoAuthError
from kazoo.security import make_acl, make_digest_acl_credential

from support.posted_events import ConnectedMember, PostedEvents, connected_client, ensemble_of
from support.proxy import Proxy
from support.tls_server import identified, known
from support.zookeeper import Server
from zkexec.cli import security
from zkexec.cli.cluster_access import client_settings
from zkexec.cli.security import Access, Credential, acl
from zkexec.core.events import (
    ConnectFailed,
    ReadFailed,
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
    """A server that refuses the identity is reported as that, and what to check; again and again.

    It may close the connection before its answer has arrived.
    """
    wrong = Credential("sasl", "alice", "nonsense-7")
    refusal = "the server refuses the identity: AuthFailed (-115); check --auth"
    hung_up = "instead of answering to the identity; it may refuse that"
    with identified(server.hosts, Access(credentials=(wrong,))) as (_, posted):
        for _ in range(3):
            reason = posted.next(ConnectFailed).reason.removeprefix(f"{server.hosts}: ")
            assert reason == refusal or reason.endswith(hung_up)
        assert not [event for event in posted.events if isinstance(event, SessionConnected)]


def write(file: Path, secret: str) -> None:
    """Write a secret that only its owner may read."""
    file.write_text(f"{secret}\n")
    file.chmod(0o600)


def test_a_secret_that_is_renewed(server: Server, protected: str, tmp_path: Path) -> None:
    """If something is forbidden and the file has changed, zkexec connects again and may read it."""
    file = tmp_path / "secret"
    write(file, "us:a-wrong-one")
    access = Access(credentials=(security.credential(in_clear=False)(f"digest:@{file}"),))
    with identified(server.hosts, access, protected) as (ensemble, posted):
        posted.next(SessionConnected)
        assert posted.read(ensemble)[protected].problem is Problem.FORBIDDEN
        assert not posted.since_mark(SessionSuspended)
        write(file, "us:secret-of-ours")
        # It needs more than one request, and the first already ends the connection.
        assert isinstance(posted.answer(ensemble), ReadFailed)
        assert posted.next(SessionSuspended).reason == "the identity has changed"
        posted.next(SessionConnected)
        assert posted.contents(ensemble) == {protected: b"content"}


def test_a_secret_that_cannot_be_read_now(server: Server, protected: str, tmp_path: Path) -> None:
    """While the file is being replaced, the secret that was read before is used."""
    proxy = Proxy(server.port)
    file = tmp_path / "secret"
    write(file, "us:secret-of-ours")
    try:
        access = Access(credentials=(security.credential(in_clear=False)(f"digest:@{file}"),))
        with identified(proxy.hosts, access, protected) as (ensemble, posted):
            posted.next(SessionConnected)
            for content in (None, "", "no colon"):
                file.unlink(missing_ok=True)
                if content is not None:
                    write(file, content)
                proxy.cut()
                posted.next(SessionConnected)
                assert posted.contents(ensemble) == {protected: b"content"}
    finally:
        proxy.close()


@pytest.mark.parametrize("credential", [DIGEST, SASL, Credential("sasl", "alice", "nonsense-7")])
def test_no_secret_in_what_is_reported(server: Server, credential: Credential) -> None:
    """No event and no repr of what knows the secret contains it."""
    access = Access(credentials=(credential,))
    settings = client_settings([("127.0.0.1", server.port)], access, 10.0)
    with identified(server.hosts, access, "/") as (_, posted):
        posted.next(ConnectFailed if "nonsense" in credential.password else SessionConnected)
    assert credential.password in str((settings.proof().digests, settings.proof().sasl)), (
        "the secret is used"
    )

    assert posted.events
    shown = [*map(repr, posted.events), repr(access), repr(settings), repr(settings.proof())]
    assert not [text for text in shown if credential.password in text]
