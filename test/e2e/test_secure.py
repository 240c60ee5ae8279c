"""A whole zkexec that has to prove who it is, over TLS; and where its secrets may be seen.

The rules of this file: the znodes may be read by the identity of the tests alone, so whatever
works here proves that it was shown; the secret is looked for in all that anybody else could see.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import NoAuthError
from kazoo.security import CREATOR_ALL_ACL

from support.mirrored_host import MirroredHost, quoted
from support.posted_events import connected_client
from support.processes import is_alive, proc
from support.sandbox import LIBEXEC, ZKEXEC, Sandbox
from support.tls_server import Authority, TlsServer, known
from support.waiting import until
from support.zookeeper import Server
from zkexec.cli.security import Access, Credential

SECRET = "the-password-of-ours"  # noqa: S105 - It is none.
US = Access(credentials=(Credential("digest", "us", SECRET),))
CANNOT_WORK, WRONG_USAGE = 125, 2


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Whom the good ones of this file trust."""
    return Authority(tmp_path_factory.mktemp("authority"), "ours")


@pytest.fixture(scope="module")
def server(authority: Authority) -> Iterator[TlsServer]:
    """A server with TLS."""
    server = TlsServer(authority.ca, authority.issue("server"))
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture
def us(server: TlsServer) -> Iterator[KazooClient]:
    """A client that may read and write what this file is about."""
    with known(server.plain.hosts, US) as client:
        yield client


@pytest.fixture
def secure_host(
    tmp_path: Path, server: TlsServer, us: KazooClient, request: pytest.FixtureRequest
) -> Iterator[MirroredHost]:
    """A host behind TLS, below a root that only we may read."""
    sandbox = Sandbox(tmp_path, "nowhere.invalid")
    root = f"/{request.node.name}"
    us.create(root, acl=CREATOR_ALL_ACL)
    us.create(f"{root}/a", b"one", acl=CREATOR_ALL_ACL)
    yield MirroredHost(sandbox, us, root, f"localhost:{server.port}")
    sandbox.close()


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    """The file that holds our identity."""
    path = tmp_path / "secret"
    path.touch(mode=0o600)
    path.write_text(f"us:{SECRET}\n")
    return path


def test_a_protected_config(
    secure_host: MirroredHost, authority: Authority, secret_file: Path
) -> None:
    """A config that only we may read is read over TLS, and read again when it changes."""
    run = secure_host.wrap(f"--tls-ca={authority.ca}", f"--auth=digest:@{secret_file}")
    first = secure_host.born_with(a="one")
    secure_host.set(a=b"two")
    second = secure_host.born_with(a="two")

    assert not is_alive(first.pid)
    assert run.end() == 0
    assert not is_alive(second.pid)


def test_a_group_of_our_own(
    secure_host: MirroredHost,
    authority: Authority,
    secret_file: Path,
    us: KazooClient,
    server: TlsServer,
) -> None:
    """A group whose znodes belong to us takes its turns, and nobody else even reads them."""
    lock = f"{secure_host.root}/lock"
    run = secure_host.wrap(
        f"--tls-ca={authority.ca}",
        f"--auth=digest:@{secret_file}",
        f"--lock={lock}",
        "--acl=creator",
        "--min-healthy=0.1",
    )
    secure_host.born_with(a="one")
    until(lambda: us.exists(f"{lock}/members") and us.get_children(f"{lock}/members"), "a member")
    secure_host.set(a=b"two")
    secure_host.born_with(a="two")

    names = ("state", "members", "queue", "in_flight", "unavailable", "versions")
    for path in (lock, *(f"{lock}/{name}" for name in names)):
        acls, _ = us.get_acls(path)
        assert [(acl.id.scheme, acl.perms) for acl in acls] == [("digest", 31)]
        with connected_client(server.plain.hosts) as other, pytest.raises(NoAuthError):
            other.get(path)
    assert run.end() == 0


def test_the_variable_is_for_nobody_else(
    secure_host: MirroredHost, authority: Authority, tmp_path: Path
) -> None:
    """A password in the environment reaches neither command, check nor alert, nor the log."""
    told = [tmp_path / name for name in ("command", "check", "alert")]
    command, check, alert = (f"env >{path}.new; mv {path}.new {path}" for path in told)
    recorder = quoted(LIBEXEC / "recorder", secure_host.record)
    environment = secure_host.sandbox.environment(
        ZKEXEC_AUTH=f"digest:us:{SECRET}", ZKEXEC_TLS_CA=str(authority.ca), ZKEXEC_AUTHOR="stays"
    )
    run = secure_host.start(
        *secure_host.mirrors("a"),
        "--verbose",
        "--health-delay=0",
        f"--health={check}; false",
        f"--alert={alert}",
        f"--exec={command}; exec {recorder}",
        env=environment,
    )
    for path in told:
        until(path.exists, path.name)
        lines = path.read_text().splitlines()
        assert "ZKEXEC_AUTHOR=stays" in lines
        assert not [line for line in lines if line.startswith("ZKEXEC_AUTH=") or SECRET in line]
    birth = secure_host.born()
    assert SECRET.encode() not in proc(run.pid, "cmdline") + proc(birth.pid, "environ")
    assert run.end() == 0
    assert SECRET not in run.stderr.text


def test_a_server_that_is_not_trusted(
    secure_host: MirroredHost, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Without a server that can be trusted nothing is started, and one line says why."""
    stranger = Authority(tmp_path_factory.mktemp("stranger"), "stranger")
    run = secure_host.wrap(f"--tls-ca={stranger.ca}", "--connect-timeout=1", "--silent")

    assert run.wait() == CANNOT_WORK
    assert len(run.stderr.lines) == 1
    assert f"{secure_host.hosts} (127.0.0.1): its certificate is refused" in run.stderr.text
    assert not secure_host.births()


def test_a_server_without_tls(host: MirroredHost, authority: Authority, zookeeper: Server) -> None:
    """With TLS asked for, a server without it is none, and nothing is read from it."""
    host.create(a=b"one")
    run = host.wrap(f"--tls-ca={authority.ca}", "--connect-timeout=1")

    assert run.wait() == CANNOT_WORK
    assert (
        f"{zookeeper.hosts}: the server closed the connection instead of speaking TLS"
        in run.stderr.text
    )
    assert not host.births()


def test_a_secret_on_the_command_line(sandbox: Sandbox) -> None:
    """A password that was typed is a mistake, and is not written to where it would be kept."""
    status, out, err = sandbox.run(*ZKEXEC, f"--auth=digest:us:{SECRET}", "--", "true")

    assert (status, out) == (WRONG_USAGE, b"")
    assert err.startswith(b"zkexec: --auth: 'digest:...' can be seen by everybody ")
    assert SECRET.encode() not in err
