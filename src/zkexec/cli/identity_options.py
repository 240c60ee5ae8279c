"""What the options of one identity mean together: `--auth`, `--acl` and those of TLS.

Both commands know these options, and read them here.
"""

from zkexec.cli import converters, security
from zkexec.cli.option_values import OptionReader
from zkexec.cli.security import Access, Credential, Tls


def read_access(reading: OptionReader) -> Access:
    """Read the identity, the ACL and TLS; note what does not go together."""
    credentials, tls = _read_credentials(reading), _read_tls(reading)
    entries = reading.value("acl", security.acl, security.concealed_acl)
    needs_identity = any(entry.scheme == "auth" for entry in entries)
    if needs_identity and not reading.label("auth") and not reading.label("tls-cert"):
        reading.mistakes.append(
            f"{reading.label('acl')}: expected --auth or --tls-cert with it, got no identity"
        )
    return Access(credentials=credentials, acl=entries, tls=tls)


def _read_credentials(reading: OptionReader) -> tuple[Credential, ...]:
    texts, is_typed = reading.texts("auth"), reading.is_typed("auth")
    if not is_typed:
        # Without a meaning for quotes, which are as good in a password as other characters.
        texts = tuple(word for text in texts for word in text.split())
    parse = security.credential(in_clear=not is_typed)
    found = [reading.attempt("auth", parse, text, security.concealed) for text in texts]
    credentials = tuple(credential for credential in found if credential is not None)
    if [credential.scheme for credential in credentials].count("sasl") > 1:
        reading.mistakes.append(f"{reading.label('auth')}: expected sasl only once, got it again")
    return credentials


def _read_tls(reading: OptionReader) -> Tls | None:
    ca = reading.optional("tls-ca", security.authorities)
    cert = reading.optional("tls-cert", security.readable_file)
    key = reading.optional("tls-key", security.private_file)
    for name, others in (("tls-cert", ("tls-ca", "tls-key")), ("tls-key", ("tls-ca", "tls-cert"))):
        missing = " and ".join(f"--{other}" for other in others if not reading.label(other))
        if missing and reading.label(name):
            reading.mistakes.append(f"{reading.label(name)}: expected {missing} with it, got none")
    if ca is None:
        return None
    tls = Tls(ca, cert or "", key or "") if cert and key else Tls(ca)
    if not tls.is_coherent():
        reading.mistakes.append(
            f"{reading.label('tls-cert')}: expected a certificate and its key (PEM), without a "
            f"passphrase, got {converters.shown(tls.cert)} and {converters.shown(tls.key)}"
        )
    return tls
