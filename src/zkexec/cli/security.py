"""How zkexec proves who it is to the cluster, and who may use what it creates there.

Every function takes what an operator wrote and returns the value, or raises a ValueError that
says what was expected.  The files that are named are read here, as a mistake in them is one of
the operator's.  A secret is in no repr, and what may be shown of a wrong text is told here too.
"""

import os
import re
import stat
from collections.abc import Callable

from zkexec.cli.converters import shown
from zkexec.frozen import frozen

TYPE_CHECKING = False  # as in cli.py: `ssl` is slow to import, and few clusters speak TLS
if TYPE_CHECKING:
    import ssl

SYSTEM = "system"
"""The word that stands for the authorities which the system trusts."""

_PERMISSIONS = "cdrwa"
_MOST_BYTES = 65536


@frozen(hidden=("password",))
class Credential:
    """An identity and its proof; `scheme` is digest or sasl."""

    scheme: str
    user: str
    password: str


@frozen()
class AclEntry:
    """What one identity may do, in letters of cdrwa; the scheme auth stands for our own ones."""

    scheme: str
    identity: str
    permissions: str


@frozen()
class Tls:
    """Absolute paths of PEM files; `ca` may be SYSTEM, the others are "" without a certificate."""

    ca: str
    cert: str = ""
    key: str = ""

    def context(self) -> "ssl.SSLContext":
        """What a handshake needs, read anew, as certificates are renewed; OSError, ValueError."""
        import ssl  # noqa: PLC0415 - see above

        # It demands a certificate for the name of the host.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if self.ca == SYSTEM:
            context.load_default_certs()
        else:
            context.load_verify_locations(self.ca)
        if self.cert:
            # Without this, OpenSSL would ask the terminal for the passphrase of a key.
            context.load_cert_chain(self.cert, self.key, password=lambda: "")
        return context

    def is_coherent(self) -> bool:
        """Tell whether the files hold what they should: the key is that of the certificate."""
        try:
            self.context()
        except (OSError, ValueError):
            return False
        return True


_OWN = AclEntry("auth", "", _PERMISSIONS)
_OPEN = (AclEntry("world", "anyone", _PERMISSIONS),)
_ACLS = {
    "open": _OPEN,
    "creator": (_OWN,),
    "creator+read": (_OWN, AclEntry("world", "anyone", "r")),
}


@frozen(kw_only=True)
class Access:
    """What zkexec shows to the cluster, and the ACL of its znodes; no `tls` is plain text."""

    credentials: tuple[Credential, ...] = ()
    acl: tuple[AclEntry, ...] = _OPEN
    tls: Tls | None = None


def credential(in_clear: bool) -> Callable[[str], Credential]:
    """Return a parser of SCHEME:@FILE, and where it may be in clear, of SCHEME:USER:PASSWORD."""
    expected = "expected digest:@FILE or sasl:@FILE"

    def parse(text: str) -> Credential:
        scheme, _, rest = text.partition(":")
        if scheme not in ("digest", "sasl") or not rest.removeprefix("@"):
            raise ValueError(expected)
        if scheme == "sasl":
            _check_sasl()
        if rest.startswith("@"):
            return _credential(scheme, _read_secret(rest[1:]), "in the file")
        if in_clear:
            return _credential(scheme, rest, "behind the scheme")
        raise ValueError(f"{expected}, as everybody sees a command line")

    return parse


def _check_sasl() -> None:
    from importlib.util import find_spec  # noqa: PLC0415 - only SASL needs it

    if find_spec("puresasl") is None:
        raise ValueError("expected the package pure-sasl for this scheme (zkexec[sasl])")


def concealed(text: str) -> str:
    """Show of a wrong credential only what is none: the scheme, and the name of a file."""
    scheme, colon, rest = text.partition(":")
    if scheme in ("digest", "sasl") and rest.startswith("@") and ":" not in rest:
        return shown(text)
    return shown(f"{scheme}:...") if colon and scheme in ("digest", "sasl") else "another text"


def _credential(scheme: str, secret: str, place: str) -> Credential:
    user, _, password = secret.partition(":")
    if not user or not password or not secret.isprintable():
        raise ValueError(f"expected USER:PASSWORD on one line {place}")
    return Credential(scheme, user, password)


def acl(text: str) -> tuple[AclEntry, ...]:
    """Read one of the names of ACLs, or SCHEME:ID:PERMS,... as zkCli's setAcl takes it."""
    if text in _ACLS:
        return _ACLS[text]
    # Only what looks like a scheme begins an entry: there are commas in the ids of x509.
    return tuple(_acl_entry(entry) for entry in re.split(r",(?=[a-z0-9]+:)", text))


def concealed_acl(text: str) -> str:
    """Show a wrong ACL without what may be a password: the end of the id of a digest."""
    return shown(re.sub(r"(digest:[^:,]*):.*", r"\1:...", text, flags=re.DOTALL))


def _acl_entry(text: str) -> AclEntry:
    scheme, first, rest = text.partition(":")
    identity, second, permissions = rest.rpartition(":")
    if not (scheme and first and second):
        raise ValueError("expected open, creator, creator+read or SCHEME:ID:PERMS,...")
    if not permissions or set(permissions) - set(_PERMISSIONS):
        raise ValueError(f"expected permissions out of {_PERMISSIONS}")
    if not text.isprintable():
        raise ValueError("expected an ACL of printable characters")
    if scheme == "world" and identity != "anyone":
        raise ValueError("expected world:anyone")
    if scheme == "auth" and identity:
        raise ValueError("expected auth::PERMS, without an id")
    if scheme == "digest" and not re.fullmatch(r"[^:]+:[A-Za-z0-9+/]{27}=", identity):
        raise ValueError("expected digest:USER:HASH:PERMS, and no password for the hash")
    if scheme != "auth" and not identity:
        raise ValueError("expected an id behind the scheme")
    return AclEntry(scheme, identity, permissions)


def readable_file(text: str) -> str:
    """Return the absolute path of a file that can be read."""
    path = os.path.abspath(text)
    _read(path)
    return path


def authorities(text: str) -> str:
    """Read what `--tls-ca` names: a file of certificates, or the system's own."""
    path = text if text == SYSTEM else readable_file(text)
    if not Tls(path).is_coherent():
        raise ValueError("expected a file of CA certificates (PEM)")
    return path


def private_file(text: str) -> str:
    """Return the absolute path of a file that can be read, but not by everybody."""
    path = os.path.abspath(text)
    _read(path, secret=True)
    return path


def _read_secret(name: str) -> str:
    try:
        text = _read(name, secret=True).decode()
    except UnicodeDecodeError:
        raise ValueError("expected USER:PASSWORD in UTF-8 in the file") from None
    return text.removesuffix("\n").removesuffix("\r")


def _read(name: str, *, secret: bool = False) -> bytes:
    def at_once(name: str, flags: int) -> int:
        # A pipe that nobody writes to would hold zkexec up for ever.
        return os.open(name, flags | os.O_NONBLOCK)

    try:
        with open(name, "rb", opener=at_once) as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise ValueError("expected a regular file")
            if secret and mode & stat.S_IROTH:
                raise ValueError("expected a file that not everybody may read (chmod o-r)")
            return file.read(_MOST_BYTES)
    except OSError as error:
        raise ValueError(f"expected a file that can be read ({error.strerror})") from None
    except ValueError as error:
        # Python's own word for a name that no file can have.
        if "null byte" in str(error):
            raise ValueError("expected the name of a file") from None
        raise
