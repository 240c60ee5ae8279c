"""What `zkexecctl web` and `exporter` are given: where to listen, to whom to answer, and for what.

Only the text of the options is read here, and the file of the token.  The packages of the server
are not imported: a mistake is reported without them.
"""

import os
import re
import stat
from ipaddress import ip_address

from zkexec.cli.converters import shown
from zkexec.cli.option_values import OptionReader
from zkexec.frozen import frozen

SHORTEST_TOKEN = 32
"""A token has at least this many characters; it cannot be guessed then."""

_LARGEST_TOKEN_FILE = 4096
_LAST_PORT = 65535
_LOOPBACK_NAME = "localhost"
_OF_ANY_REQUEST = re.compile(
    r"(?i:host|cookie|origin|referer|user-agent|connection|authorization|date|dnt|te|upgrade.*"
    r"|accept.*|access-control.*|cache-control|content-.*|if-.*|keep-alive|last-event-id|pragma"
    r"|priority|range|sec-.*|transfer-encoding|via|x-forwarded-.*|forwarded|x-real-ip)"
)
"""Headers that browsers set, or that a proxy sets in each request: they name no user."""


@frozen()
class ListenAddress:
    """The address and the port of the server; the address is a number, or localhost."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect to it."""
        return self.host == _LOOPBACK_NAME or ip_address(self.host).is_loopback

    @property
    def is_any(self) -> bool:
        """Whether it means all addresses of the machine."""
        return self.host != _LOOPBACK_NAME and ip_address(self.host).is_unspecified

    @property
    def netloc(self) -> str:
        """The address as it is written in a URL."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@frozen(kw_only=True, hidden=("token",))
class ServingOptions:
    """The options of a server; `token` is "" without one.

    `hosts` are the names, beside those of loopback, under which browsers may reach it.
    `user_header` is the header in which one of the `trusted_proxies` names the user, in lower case;
    they also name the address that a request comes from.
    """

    listen: ListenAddress
    has_actions: bool = False
    token: str = ""
    hosts: tuple[str, ...] = ()
    is_behind_tls: bool = False
    user_header: str = ""
    trusted_proxies: tuple[str, ...] = ()
    has_members: bool = True

    @property
    def is_reading_guarded(self) -> bool:
        """Whether reading needs the token, too.

        It does if more than this machine can reach the server, and if there is nothing else for
        which a token could be.
        """
        is_reachable = not self.listen.is_loopback or self.is_behind_tls
        return bool(self.token) and (is_reachable or not self.has_actions)


def read_serving_options(reader: OptionReader, default_listen: str) -> ServingOptions:
    """Read the options, and collect what is wrong or does not fit together."""
    options = ServingOptions(
        listen=reader.optional("listen", listen_address) or listen_address(default_listen),
        has_actions=reader.flag("actions"),
        token=reader.optional("token", _token, _concealed) or "",
        hosts=reader.converted("host", _host_name),
        is_behind_tls=reader.flag("behind-tls"),
        user_header=reader.optional("user-header", _header_name) or "",
        trusted_proxies=reader.converted("trusted-proxy", _address),
        has_members=not reader.flag("no-members"),
    )
    reader.mistakes.extend(_contradictions(options, reader))
    return options


def _contradictions(options: ServingOptions, reader: OptionReader) -> list[str]:
    has_token = bool(reader.texts("token"))
    has_proxy = bool(reader.texts("trusted-proxy"))
    listen = options.listen.netloc
    needs = (
        (
            not options.listen.is_loopback,
            has_token,
            f"--listen: others can reach {listen}: add --token @FILE, or listen on 127.0.0.1",
        ),
        (options.has_actions, has_token, "--actions needs --token @FILE"),
        (
            reader.texts("user-header"),
            has_proxy,
            "--user-header needs --trusted-proxy ADDRESS, the proxy that sets it",
        ),
    )
    return [line for is_given, is_met, line in needs if is_given and not is_met]


def listen_address(text: str) -> ListenAddress:
    """Read ADDRESS:PORT; an IPv6 address is in brackets."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port[:9]) > _LAST_PORT:
        raise ValueError("is not of the form ADDRESS:PORT such as 127.0.0.1:8907")
    is_bracketed = host.startswith("[") and host.endswith("]")
    bare = host[1:-1] if is_bracketed else host
    if bare == _LOOPBACK_NAME and not is_bracketed:
        return ListenAddress(bare, int(port))
    found = _address(bare)
    if (":" in found) != is_bracketed:
        raise ValueError("is not of the form ADDRESS:PORT: an IPv6 address is written in brackets")
    return ListenAddress(found, int(port))


def _address(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        raise ValueError("is not an IP address: write one such as 127.0.0.1") from None


def _host_name(text: str) -> str:
    """Read a name as a browser sends it, without the port."""
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", text):
        raise ValueError("is not the name of a host, such as zkexec.example.org, without a port")
    return text.lower()


def _header_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9-]{1,100}", text):
        raise ValueError("is not the name of a header, such as X-Remote-User")
    if _OF_ANY_REQUEST.fullmatch(text):
        raise ValueError("is set by every browser: name one of the proxy, such as X-Remote-User")
    return text.lower()


def _concealed(text: str) -> str:
    """Quote a wrong value without what can be the token itself."""
    return shown(text) if text.startswith("@") else "the text"


def _token(text: str) -> str:
    if text == "@":
        raise ValueError("names no file: write @FILE")
    if not text.startswith("@"):
        raise ValueError("can be seen by everybody on a command line: write @FILE")
    token = _text_in(os.path.abspath(text[1:])).removesuffix("\n").removesuffix("\r")
    if not token.isascii() or not token.isprintable() or " " in token:
        raise ValueError("needs one line of printable ASCII characters without blanks in the file")
    if len(token) < SHORTEST_TOKEN:
        raise ValueError(
            f"needs at least {SHORTEST_TOKEN} characters in the file: run openssl rand -hex 32"
        )
    return token


def _text_in(name: str) -> str:
    try:
        with open(name, "rb", opener=_opened_at_once) as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise ValueError("does not name a regular file")
            if mode & (stat.S_IRWXG | stat.S_IRWXO) and not _is_credential(name):
                raise ValueError("names a file that others may use: run chmod 600 on it")
            return file.read(_LARGEST_TOKEN_FILE).decode("ascii")
    except OSError as error:
        raise ValueError(f"names a file that cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise ValueError("needs printable ASCII characters in the file") from None


def _is_credential(name: str) -> bool:
    """Return whether systemd gave the file to this service alone.

    The user has permission by an ACL then, which is shown as if it were that of the file's group.
    """
    return os.path.dirname(name) == os.environ.get("CREDENTIALS_DIRECTORY")


def _opened_at_once(name: str, flags: int) -> int:
    # A pipe without a writer would block for ever.
    return os.open(name, flags | os.O_NONBLOCK)
