"""The handshake of TLS, and its failures in words for a person.

A connection that should speak TLS never speaks anything else: there is no socket to be used
before the handshake is over, and none after it has failed.
"""

from __future__ import annotations

import re
import ssl
import time
from errno import EPROTO

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

_CLOSED = "TLS/SSL connection has been closed (EOF)"  # Python's own words, without a code.
_REASON = re.compile(r"^\[SSL(?:: (\w+))?\] (.*?)(?: \(_ssl\.c:\d+\))?$", re.DOTALL)


def wrap(
    connection: socket.socket,
    new_context: Callable[[], ssl.SSLContext],
    host: str,
    deadline: float,
    seen: Callable[..., None],
) -> ssl.SSLSocket:
    """Shake hands with the server, whose certificate has to be one for `host`, until `deadline`.

    `new_context` reads the files anew: certificates are renewed.  `seen` gets the socket before it
    is waited for, to be able to break it off.  Raises OSError, with its words for a person in
    `strerror`; then the connection is closed.
    """
    try:
        context = new_context()
    except (OSError, ValueError) as error:
        connection.close()
        reason = in_words(getattr(error, "strerror", None) or str(error))
        raise OSError(EPROTO, f"the files for TLS cannot be used: {reason}") from error
    # A link-local address has its zone at the end, which no certificate names.
    name = host.partition("%")[0]
    secure = context.wrap_socket(connection, server_hostname=name, do_handshake_on_connect=False)
    seen(secure)
    try:
        secure.settimeout(max(0.001, deadline - time.monotonic()))
        secure.do_handshake()
    except OSError as error:
        secure.close()
        if isinstance(error, TimeoutError):
            raise
        raise OSError(EPROTO, _why(error)) from error
    return secure


def _why(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is refused: {error.verify_message.removesuffix('.')}"
    # Which of the first two it is depends on the version of Python.
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError | ConnectionError):
        return "the server closed the connection instead of speaking TLS"
    return in_words(error.strerror or str(error))


def in_words(reason: str) -> str:
    """Say what OpenSSL means; what is not from there stays as it is."""
    if reason.startswith(_CLOSED):
        return "the server closed the connection"
    found = _REASON.match(reason)
    if not found:
        return reason
    code, text = found[1] or "", found[2]
    if "_ALERT_" in code:
        alert = code.rpartition("_ALERT_")[2].lower().replace("_", " ")
        return f"the server refuses the TLS handshake ({alert})"
    if code == "WRONG_VERSION_NUMBER":
        return "the server does not speak TLS"
    return "the server closed the connection" if "EOF" in code else f"TLS: {text}"
