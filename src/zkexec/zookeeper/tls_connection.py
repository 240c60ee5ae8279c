"""One non-blocking connection with TLS: it is open only once the server has proven its name."""

from __future__ import annotations

import re
import ssl
from errno import ECONNRESET, EPIPE, EPROTO

from zkexec.zookeeper.connection import PIECE, ServerConnection

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from zkexec.zookeeper.server_rotation import ServerAddress

_CLOSED_ERRORS = (EPIPE, ECONNRESET)
_CLOSED = "TLS/SSL connection has been closed (EOF)"
"""Python's own words, which have no code."""
_REASON = re.compile(r"^\[SSL(?:: (\w+))?\] (.*?)(?: \(_ssl\.c:\d+\))?$", re.DOTALL)


class TlsConnection(ServerConnection):
    """A connection that never sends or accepts a byte outside of TLS.

    `new_context` is called for each handshake, as certificates are renewed.
    """

    def __init__(
        self, server: ServerAddress, deadline: float, new_context: Callable[[], ssl.SSLContext]
    ) -> None:
        super().__init__(server, deadline)
        self._new_context = new_context
        self._secured: ssl.SSLSocket | None = None
        self._awaits_writing = True

    @property
    def awaits_writing(self) -> bool:
        """Whether the attempt goes on when the socket can be written to."""
        return not self.is_open and self._awaits_writing

    @property
    def awaits_reading(self) -> bool:
        """Whether the socket is to be polled for reading."""
        return not self.awaits_writing

    @property
    def has_unread(self) -> bool:
        """Whether bytes can be read that the socket does not report any more."""
        return self._secured is not None and self._secured.pending() > 0

    def read(self) -> bytes | None:
        """Read what has arrived; None if nothing has, b"" if the server has hung up."""
        try:
            return self._socket.recv(PIECE)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return None
        except OSError as error:
            raise self._failure(error) from error

    def write(self, content: bytes | bytearray) -> int:
        """Write what fits → the number of bytes.

        If that is 0, the next call has to begin with the same bytes.  A failure is left to `read`:
        a server that refuses this client says why before it hangs up, which is still unread.
        """
        try:
            return self._socket.send(content)
        except OSError:
            return 0

    def _check(self, error: int) -> None:
        try:
            super()._check(error)
        except OSError as failed:
            if self._secured is None:
                raise
            # Within the handshake, the socket can report the end of the connection before OpenSSL.
            raise self._failure(failed) from failed

    def _secure(self) -> bool:
        if self._secured is None:
            self._secured = self._socket = self._wrapped()
        try:
            self._secured.do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as wanted:
            self._awaits_writing = isinstance(wanted, ssl.SSLWantWriteError)
            return False
        except OSError as error:
            raise self._failure(error) from error
        return True

    def _wrapped(self) -> ssl.SSLSocket:
        # A link-local address has its zone at the end, which no certificate names.
        name = self.server.host.partition("%")[0]
        try:
            context = self._new_context()
        except (OSError, ValueError) as error:
            reason = in_words(getattr(error, "strerror", None) or str(error))
            raise OSError(EPROTO, f"the files for TLS cannot be used: {reason}") from error
        try:
            return context.wrap_socket(
                self._socket, server_hostname=name, do_handshake_on_connect=False
            )
        except ValueError as error:
            reason = f"no certificate can be for the name of this server: {error}"
            raise OSError(EPROTO, reason) from error

    def _failure(self, error: OSError) -> OSError:
        return OSError(error.errno or EPROTO, self._why(error))

    def _why(self, error: OSError) -> str:
        if isinstance(error, ssl.SSLCertVerificationError):
            return f"its certificate is refused: {error.verify_message.removesuffix('.')}"
        # Which of these it is depends on the version of Python, and on what comes first.
        is_closed = isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError | ConnectionError)
        if is_closed or error.errno in _CLOSED_ERRORS:
            too_early = "" if self.is_open else " instead of speaking TLS"
            return f"the server closed the connection{too_early}"
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
