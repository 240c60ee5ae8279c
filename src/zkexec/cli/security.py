"""Read the options of identity: `--auth`, `--acl` and those of TLS.

zkexec and zkexecctl have these options.  Errors are as in `converters.py`.  The named files are
read here, so that a mistake in them is a usage error.  No secret is in a repr, and the functions
`concealed...` hide it in messages.
"""

from __future__ import annotations

import os
import stat

from zkexec.cli.converters import shown
from zkexec.cli.option_values import OptionReader
from zkexec.frozen import frozen

TYPE_CHECKING = False  # `ssl` is slow to import, and few clusters use TLS
if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

SYSTEM = "system"
"""This value of `--tls-ca` means the authorities that the system trusts."""

_PERMISSIONS = "cdrwa"
_MOST_BYTES = 65536


@frozen(hidden=("password",))
class Credential:
    """An identity and its proof; `scheme` is digest or sasl, `file` where it was read, if so."""

    scheme: str
    user: str
    password: str
    file: str = ""

    def renewed(self) -> Credential:
        """Read the file again; if it cannot be used now, what was read before is kept."""
        if not self.file:
            return self
        try:
            return _credential(self.scheme, _read_secret(self.file), "", self.file)
        except ValueError:
            return self


@frozen()
class AclEntry:
    """What one identity may do, in letters of cdrwa; the scheme auth means our own identities."""

    scheme: str
    identity: str
    permissions: str


@frozen()
class Tls:
    """Absolute paths of PEM files; `ca` may be SYSTEM, the others are "" without a certificate."""

    ca: str
    cert: str = ""
    key: str = ""

    def context(self) -> ssl.SSLContext:
        """Read what a handshake needs, each time anew: certificates are renewed."""
        import ssl  # noqa: PLC0415 - see above

        # It requires a certificate for the name of the host.
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
        """Return whether the files contain certificates, and the key of the certificate."""
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
    """The identities that zkexec proves to the cluster, the ACL of its znodes, and TLS if used."""

    credentials: tuple[Credential, ...] = ()
    acl: tuple[AclEntry, ...] = _OPEN
    tls: Tls | None = None


def credential(in_clear: bool) -> Callable[[str], Credential]:
    """Return a parser of SCHEME:@FILE, and if `in_clear` also of SCHEME:USER:PASSWORD."""
    forms = "digest:@FILE or sasl:@FILE"

    def parse(text: str) -> Credential:
        scheme, _, rest = text.partition(":")
        if scheme not in ("digest", "sasl") or not rest.removeprefix("@"):
            raise ValueError(f"is not of the form {forms}")
        if scheme == "sasl":
            _check_sasl()
        if rest.startswith("@"):
            file = os.path.abspath(rest[1:])
            return _credential(scheme, _read_secret(file), "in the file", file)
        if in_clear:
            return _credential(scheme, rest, "after the scheme")
        raise ValueError(f"can be seen by everybody on a command line: write {forms}")

    return parse


def _check_sasl() -> None:
    from zkexec.extras import lacking  # noqa: PLC0415 - only SASL needs it

    if missing := lacking("sasl"):
        raise ValueError(missing)


def concealed(text: str) -> str:
    """Quote a wrong credential without its secret: only its scheme and the name of a file."""
    scheme, colon, rest = text.partition(":")
    if scheme in ("digest", "sasl") and rest.startswith("@") and ":" not in rest:
        return shown(text)
    return shown(f"{scheme}:...") if colon and scheme in ("digest", "sasl") else "the text"


def _credential(scheme: str, secret: str, place: str, file: str = "") -> Credential:
    user, _, password = secret.partition(":")
    if not user or not password or not secret.isprintable():
        raise ValueError(f"needs USER:PASSWORD on one line {place}")
    return Credential(scheme, user, password, file)


def acl(text: str) -> tuple[AclEntry, ...]:
    """Read the name of an ACL, or SCHEME:ID:PERMS,... as setAcl of zkCli takes it."""
    if text in _ACLS:
        return _ACLS[text]
    import re  # noqa: PLC0415 - only an ACL that is a list needs it

    # An entry begins with a scheme, because the IDs of x509 contain commas.
    return tuple(_acl_entry(entry) for entry in re.split(r",(?=[a-z0-9]+:)", text))


def concealed_acl(text: str) -> str:
    """Quote a wrong ACL without what can be a password: the end of a digest."""
    import re  # noqa: PLC0415 - only a wrong ACL needs it

    return shown(re.sub(r"(digest:[^:,]*):.*", r"\1:...", text, flags=re.DOTALL))


def _acl_entry(text: str) -> AclEntry:
    scheme, first, rest = text.partition(":")
    identity, second, permissions = rest.rpartition(":")
    if not (scheme and first and second):
        raise ValueError("is not open, creator, creator+read or SCHEME:ID:PERMS,...")
    if not permissions or set(permissions) - set(_PERMISSIONS):
        raise ValueError(f"has permissions other than {_PERMISSIONS}")
    if not text.isprintable():
        raise ValueError("has characters that do not print")
    if scheme == "world" and identity != "anyone":
        raise ValueError("has another world than world:anyone")
    if scheme == "auth" and identity:
        raise ValueError("has an ID after auth: write auth::PERMS")
    if scheme == "digest" and not _is_hashed(identity):
        raise ValueError("has no hash: write digest:USER:HASH:PERMS, and not a password")
    if scheme != "auth" and not identity:
        raise ValueError("has no ID after the scheme")
    return AclEntry(scheme, identity, permissions)


def _is_hashed(identity: str) -> bool:
    import re  # noqa: PLC0415 - only a digest needs it

    return re.fullmatch(r"[^:]+:[A-Za-z0-9+/]{27}=", identity) is not None


def readable_file(text: str) -> str:
    """Return the absolute path of a file that can be read."""
    path = os.path.abspath(text)
    _read(path)
    return path


def authorities(text: str) -> str:
    """Read what `--tls-ca` names: a file of certificates, or the system's own."""
    path = text if text == SYSTEM else readable_file(text)
    if not Tls(path).is_coherent():
        raise ValueError("is not a file of CA certificates (PEM)")
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
        raise ValueError("needs USER:PASSWORD in UTF-8 in the file") from None
    return text.removesuffix("\n").removesuffix("\r")


def _read(name: str, *, secret: bool = False) -> bytes:
    def at_once(name: str, flags: int) -> int:
        # A pipe without a writer would block zkexec for ever.
        return os.open(name, flags | os.O_NONBLOCK)

    try:
        with open(name, "rb", opener=at_once) as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise ValueError("does not name a regular file")
            if secret and mode & stat.S_IROTH:
                raise ValueError("names a file that everybody may read: run chmod o-r on it")
            return file.read(_MOST_BYTES)
    except OSError as error:
        raise ValueError(f"names a file that cannot be read ({error.strerror})") from None
    except ValueError as error:
        # So Python calls a name that no file can have.
        if "null byte" in str(error):
            raise ValueError("is not the name of a file") from None
        raise


def read_access(reading: OptionReader) -> Access:
    """Read the identity, the ACL and TLS; collect what does not fit together."""
    credentials, tls = _read_credentials(reading), _read_tls(reading)
    entries = reading.value("acl", acl, concealed_acl)
    needs_identity = any(entry.scheme == "auth" for entry in entries)
    if needs_identity and not reading.label("auth") and not reading.label("tls-cert"):
        reading.mistakes.append(
            f"{reading.label('acl')}: the creator has no identity: add --auth or --tls-cert"
        )
    return Access(credentials=credentials, acl=entries, tls=tls)


def _read_credentials(reading: OptionReader) -> tuple[Credential, ...]:
    texts, is_typed = reading.texts("auth"), reading.is_typed("auth")
    if not is_typed:
        # A quote has no meaning here: it can be a character of a password.
        texts = tuple(word for text in texts for word in text.split())
    parse = credential(in_clear=not is_typed)
    found = [reading.attempt("auth", parse, text, concealed) for text in texts]
    credentials = tuple(credential for credential in found if credential is not None)
    if [credential.scheme for credential in credentials].count("sasl") > 1:
        reading.mistakes.append(f"{reading.label('auth')}: sasl is given twice: write it once")
    return credentials


def _read_tls(reading: OptionReader) -> Tls | None:
    ca = reading.optional("tls-ca", authorities)
    cert = reading.optional("tls-cert", readable_file)
    key = reading.optional("tls-key", private_file)
    for name, others in (("tls-cert", ("tls-ca", "tls-key")), ("tls-key", ("tls-ca", "tls-cert"))):
        missing = [f"--{other}" for other in others if not reading.label(other)]
        if missing and reading.label(name):
            verb = "is" if len(missing) == 1 else "are"
            reading.mistakes.append(
                f"{reading.label(name)}: {' and '.join(missing)} {verb} missing"
            )
    if ca is None:
        return None
    tls = Tls(ca, cert or "", key or "") if cert and key else Tls(ca)
    if not tls.is_coherent():
        reading.mistakes.append(
            f"{reading.label('tls-cert')}: {shown(tls.cert)} and "
            f"{shown(tls.key)} are not a certificate and its key "
            "(PEM, without a passphrase)"
        )
    return tls
