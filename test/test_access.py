"""How zkexec proves who it is, as the operator wrote it; and that no secret is ever repeated."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.tls_server import Authority
from zkexec.cli import parser
from zkexec.cli.cluster_access import client_settings
from zkexec.cli.security import SYSTEM, Access, AclEntry, Credential, Tls
from zkexec.cli.settings import Settings, UsageError, resolve_settings
from zkexec.extras import installing
from zkexec.zookeeper.client_settings import Proof

SECRET = "pass:word-7"  # noqa: S105 - It is none.

FORMS = "digest:@FILE or sasl:@FILE"
NO_FORM = f"is not of the form {FORMS}"
NO_ACL = "is not open, creator, creator+read or SCHEME:ID:PERMS,..."


def settings(*words: str, **environment: str) -> Settings:
    """What zkexec would do for a command line, to which a command is added, and variables."""
    return resolve_settings(parser.read([*words, "--exec", "run me"]), environment)


def access(*words: str, **environment: str) -> Access:
    """What zkexec would show to the cluster."""
    return settings(*words, **environment).access


def mistakes(*words: str, **environment: str) -> str:
    """The line that a wrong command line, to which a command is added, gets."""
    with pytest.raises(UsageError) as caught:
        settings(*words, **environment)
    return str(caught.value)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file of a credential that only its owner may read."""
    path = tmp_path / "secret"
    path.write_text(f"user:{SECRET}\n")
    path.chmod(0o640)
    return path


def test_a_credential_in_a_file(secret: Path) -> None:
    """The file contains user and password, and the newline at its end is no part of it."""
    given = access("--auth", f"digest:@{secret}", "--auth", f"sasl:@{secret}").credentials

    assert given == (
        Credential("digest", "user", SECRET, str(secret)),
        Credential("sasl", "user", SECRET, str(secret)),
    )


def proof_of(given: Access) -> Proof:
    """What the client proves now."""
    return client_settings([("127.0.0.1", 2181)], given, 10.0).proof()


def test_a_secret_is_read_anew_for_each_proof(secret: Path) -> None:
    """A file that was replaced is proven as it is now; what was given in clear stays."""
    digest, sasl = f"digest:@{secret}", f"sasl:@{secret}"
    given = access(ZKEXEC_AUTH=f"{digest} {sasl} digest:a:b")
    assert proof_of(given) == Proof((f"user:{SECRET}", "a:b"), ("user", SECRET))
    secret.write_text("other:new\n")

    assert proof_of(given) == Proof(("other:new", "a:b"), ("other", "new"))


def test_a_secret_is_read_anew_wherever_zkexec_is(
    secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that was named below the working folder is found when that is another one."""
    monkeypatch.chdir(secret.parent)
    given = access("--auth", "digest:@secret")
    monkeypatch.chdir("/")
    secret.write_text("other:new\n")

    assert proof_of(given) == Proof(("other:new",))


@pytest.mark.parametrize("fault", ["missing", "empty", "no colon", "public", "folder"])
def test_a_secret_that_cannot_be_read_now_stays_as_it_was(secret: Path, fault: str) -> None:
    """While a file is being replaced, what was read before is proven."""
    given = access("--auth", f"digest:@{secret}")
    if fault in ("missing", "folder"):
        secret.unlink()
    if fault == "folder":
        secret.mkdir()
    if fault in ("empty", "no colon"):
        secret.write_text("" if fault == "empty" else "user")
    if fault == "public":
        secret.write_text("other:new\n")
        secret.chmod(0o644)

    assert proof_of(given) == Proof((f"user:{SECRET}",))


def test_credentials_in_the_environment(secret: Path) -> None:
    """The variable takes several, in files or in clear, and no character of them is special."""
    text = f"digest:@{secret}  digest:a:\"b'c\\\n"

    assert access(ZKEXEC_AUTH=text).credentials == (
        Credential("digest", "user", SECRET, str(secret)),
        Credential("digest", "a", "\"b'c\\"),
    )


def test_a_secret_is_not_in_a_repr(secret: Path) -> None:
    """A repr of the settings does not contain the password."""
    assert SECRET not in repr(settings("--auth", f"digest:@{secret}"))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            f"digest:user:{SECRET}",
            f"'digest:...' can be seen by everybody on a command line: write {FORMS}",
        ),
        (
            f"digest:@user:{SECRET}",
            "'digest:...' names a file that cannot be read (No such file or directory)",
        ),
        (f"user:{SECRET}", f"the text {NO_FORM}"),
        (SECRET, f"the text {NO_FORM}"),
        ("digest", f"the text {NO_FORM}"),
        ("digest:", f"'digest:...' {NO_FORM}"),
        ("sasl:@", f"'sasl:@' {NO_FORM}"),
        ("", f"the text {NO_FORM}"),
    ],
)
def test_a_secret_on_the_command_line_is_not_repeated(text: str, line: str) -> None:
    """A credential that was typed is a mistake, and is not printed again."""
    told = mistakes("--auth", text)

    assert told == f"--auth: {line}"
    assert "word" not in told


@pytest.mark.parametrize(
    "text", [f"digest:{SECRET[:4]}", "digest::word", f"user:{SECRET}", "x509:word"]
)
def test_a_secret_in_the_environment_is_not_repeated(text: str) -> None:
    """A wrong credential in the variable is told without what may be the password."""
    told = mistakes(ZKEXEC_AUTH=text)

    assert told.startswith("ZKEXEC_AUTH: ")
    assert "word" not in told
    assert "pass" not in told


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b"user", b"user:", b":word", b"a:word\nb:word\n", b"a:\xffword", b"a:\0"],
)
def test_a_file_without_a_credential(secret: Path, content: bytes) -> None:
    """A file that holds something else is told by its name, and not by what it holds."""
    secret.write_bytes(content)
    told = mistakes("--auth", f"digest:@{secret}")

    assert told.startswith(f"--auth: 'digest:@{secret}' needs USER:PASSWORD ")
    assert told.endswith(" in the file")


@pytest.mark.parametrize("option", ["auth", "tls-ca", "tls-cert", "tls-key"])
def test_a_file_that_cannot_be_read(option: str, tmp_path: Path) -> None:
    """A file that is not there, or is none, is a mistake, and a pipe is not waited for."""
    os.mkfifo(tmp_path / "pipe", 0o600)
    prefix = "digest:@" if option == "auth" else ""

    def told(name: str) -> str:
        return mistakes(f"--{option}", prefix + name)

    assert "names a file that cannot be read (No such file or directory)" in told(
        f"{tmp_path}/none"
    )
    assert "names a file that cannot be read (Is a directory)" in told(str(tmp_path))
    assert "does not name a regular file" in told(f"{tmp_path}/pipe")
    assert "is not the name of a file" in told("a\0b")


def test_a_secret_that_everybody_may_read(secret: Path) -> None:
    """A password or a key that is open to the whole host is refused."""
    secret.chmod(0o644)

    for words in (["--auth", f"digest:@{secret}"], ["--tls-key", str(secret)]):
        assert "names a file that everybody may read: run chmod o-r on it" in mistakes(*words)


def test_one_identity_for_sasl(secret: Path) -> None:
    """A connection can prove only one identity by SASL."""
    word = f"sasl:@{secret}"

    assert mistakes("--auth", word, "--auth", word) == (
        "--auth: sasl is given twice: write it once"
    )


def test_sasl_needs_its_package(secret: Path) -> None:
    """Where the package for SASL is not installed, one line says so before anything is done."""
    program = (
        "import sys; sys.path[:] = [each for each in sys.path if '-packages' not in each];"
        "from zkexec.main import main; main()"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, "--auth", f"sasl:@{secret}", "--", "true"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr == (
        f"zkexec: --auth: 'sasl:@{secret}' needs pure-sasl: {installing('sasl')}\n"
    )


OWN = AclEntry("auth", "", "cdrwa")
HASH = "A" * 27 + "="


@pytest.mark.parametrize(
    ("text", "entries"),
    [
        ("open", [AclEntry("world", "anyone", "cdrwa")]),
        ("creator", [OWN]),
        ("creator+read", [OWN, AclEntry("world", "anyone", "r")]),
        ("world:anyone:r", [AclEntry("world", "anyone", "r")]),
        ("auth::wr", [AclEntry("auth", "", "wr")]),
        (f"digest:a:{HASH}:rw", [AclEntry("digest", f"a:{HASH}", "rw")]),
        (
            "ip:10.0.0.0/8:r,ip:::1:cdrwa",
            [AclEntry("ip", "10.0.0.0/8", "r"), AclEntry("ip", "::1", "cdrwa")],
        ),
        (
            "x509:CN=a,O=b:cdrwa,sasl:c:r",
            [AclEntry("x509", "CN=a,O=b", "cdrwa"), AclEntry("sasl", "c", "r")],
        ),
    ],
)
def test_acls(text: str, entries: list[AclEntry], secret: Path) -> None:
    """An ACL has a name, or is written as zkCli takes it, with the commas of x509 in it."""
    assert access("--auth", f"digest:@{secret}", "--acl", text).acl == tuple(entries)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", f"'' {NO_ACL}"),
        ("closed", f"'closed' {NO_ACL}"),
        ("world:anyone", f"'world:anyone' {NO_ACL}"),
        ("world:anyone:", "'world:anyone:' has permissions other than cdrwa"),
        ("world:anyone:rx", "'world:anyone:rx' has permissions other than cdrwa"),
        ("world:me:r", "'world:me:r' has another world than world:anyone"),
        ("auth:me:r", "'auth:me:r' has an ID after auth: write auth::PERMS"),
        ("ip::r", "'ip::r' has no ID after the scheme"),
        ("sasl:a\n:r", r"'sasl:a\n:r' has characters that do not print"),
        ("ip:1.2.3.4:r,", "'ip:1.2.3.4:r,' has permissions other than cdrwa"),
        (
            f"digest:me:{SECRET}:r",
            "'digest:me:...' has no hash: write digest:USER:HASH:PERMS, and not a password",
        ),
    ],
)
def test_wrong_acls(text: str, line: str) -> None:
    """An ACL of no sense is told, without what may be a password in it."""
    told = mistakes("--acl", text)

    assert told == f"--acl: {line}"
    assert "word-7" not in told


@pytest.mark.parametrize("text", ["creator", "creator+read", "auth::r"])
def test_a_creator_needs_an_identity(text: str) -> None:
    """Without an identity nobody could use what was created for its creator."""
    assert mistakes(ZKEXEC_ACL=text) == (
        "ZKEXEC_ACL: the creator has no identity: add --auth or --tls-cert"
    )


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Whom the tests of this file trust."""
    return Authority(tmp_path_factory.mktemp("authority"), "ours")


def test_tls(authority: Authority) -> None:
    """A file of authorities turns TLS on; a certificate and its key are our identity in it."""
    mine = authority.issue("mine")
    ca, cert, key = str(authority.ca), str(mine.cert), str(mine.key)

    assert access("--tls-ca", ca).tls == Tls(ca)
    assert access("--tls-ca", "system").tls == Tls(SYSTEM)
    whole = access("--tls-ca", ca, "--tls-cert", cert, "--tls-key", key, "--acl", "creator")
    assert whole.tls == Tls(ca, cert, key)
    assert access(ZKEXEC_TLS_CA=os.path.relpath(ca)).tls == Tls(ca)


def test_tls_in_parts(authority: Authority) -> None:
    """A certificate is nothing without its key, and both are nothing without an authority."""
    mine = authority.issue("part")
    ca, cert, key = (
        [f"--tls-{name}", str(path)]
        for name, path in (("ca", authority.ca), ("cert", mine.cert), ("key", mine.key))
    )

    assert mistakes(*ca, *cert) == "--tls-cert: --tls-key is missing"
    assert mistakes(*ca, *key) == "--tls-key: --tls-cert is missing"
    assert mistakes(*cert) == "--tls-cert: --tls-ca and --tls-key are missing"


def test_files_that_are_no_certificates(authority: Authority, tmp_path: Path) -> None:
    """A file without a certificate, or with another one's key, is told before anything is done."""
    mine, other = authority.issue("one"), authority.issue("two")
    ca = ["--tls-ca", str(authority.ca)]
    locked = tmp_path / "locked"
    command = ["openssl", "ec", "-aes256", "-passout", "pass:x"]
    command += ["-in", str(mine.key), "-out", str(locked)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)

    assert mistakes("--tls-ca", str(mine.key)).endswith("is not a file of CA certificates (PEM)")
    for key in (other.key, locked, authority.ca):
        key.chmod(0o600)
        told = mistakes(*ca, "--tls-cert", str(mine.cert), "--tls-key", str(key))
        assert told.startswith("--tls-cert: ")
        assert "are not a certificate and its key (PEM, without a passphrase)" in told
