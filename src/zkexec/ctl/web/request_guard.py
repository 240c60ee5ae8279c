"""Who sends a request, and whether it is answered: host, origin, token, session, proxy.

The rules of this file:

- A request under a name that is not ours is refused: a page of another site may have given our
  address to its own name.
- A request that changes something comes from a page of ours: its origin is our scheme and host.
- A browser reads with its session, a program with `Authorization: Bearer TOKEN`.  To change
  something needs a session.
- What a proxy adds is believed only if the request comes from its address.
"""

import re
from collections.abc import Mapping
from ipaddress import IPv6Address, ip_address

from starlette.requests import Request

from zkexec.ctl.arguments import LONGEST_TEXT
from zkexec.ctl.serving_options import ServingOptions
from zkexec.ctl.web.login_sessions import (
    FailedLogins,
    LoginSession,
    LoginSessions,
    is_same_secret,
)
from zkexec.frozen import frozen

_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_BEARER = "bearer "
_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::([0-9]{1,5}))?")
"""A Host header: a name, or an IPv6 address in brackets, and a port."""
_LAST_PORT = 65535
_FORWARDED_FOR = "x-forwarded-for"


@frozen(hidden=("session",))
class PageReader:
    """Who sends a request: the session, None without one, and the user that a proxy names, or "".

    `has_login` if there is a token that one can log in with.
    """

    can_read: bool
    has_login: bool = False
    session: LoginSession | None = None
    user: str = ""


class RequestGuard:
    """Decides about requests, with the sessions of this server."""

    def __init__(self, options: ServingOptions) -> None:
        self.options = options
        self.sessions = LoginSessions()
        self.failures = FailedLogins()
        self.cookie_name = (
            # Cookies do not know ports, so two servers on one host need two names.
            "__Host-zkexec" if options.is_behind_tls else f"zkexec_{options.listen.port}"
        )

    def knows_host(self, request: Request) -> bool:
        """Return whether a request is for us, by its Host header."""
        found = request.headers.getlist("host")
        if len(found) != 1:
            return False
        name = _host_name(found[0])
        listen = self.options.listen
        if name in _LOOPBACK_NAMES or name in self.options.hosts:
            return True
        # No other site can have an address as its name.
        return name == listen.host or (listen.is_any and _is_address(name))

    def is_own_origin(self, request: Request) -> bool:
        """Return whether a request comes from a page of this server."""
        origins = request.headers.getlist("origin")
        if not origins:
            return request.headers.get("sec-fetch-site") == "same-origin"
        scheme = "https" if self.options.is_behind_tls else "http"
        return origins == [f"{scheme}://{request.headers.get('host', '').lower()}"]

    def address(self, request: Request) -> str:
        """Return the address that a request comes from: that before a trusted proxy.

        Each proxy adds the address that it has received a request from at the end.
        """
        sender = _sender(request)
        if sender not in self.options.trusted_proxies:
            return sender
        named = ",".join(request.headers.getlist(_FORWARDED_FOR)).rpartition(",")[2].strip()
        return _plain_address(named) if _is_address(named) else sender

    def reader(self, request: Request) -> PageReader:
        """Find out who sends a request."""
        user = self._user(request)
        session = self.sessions.find(request.cookies.get(self.cookie_name, ""))
        is_known = session is not None or bool(user) or self._has_token(request)
        return PageReader(
            can_read=is_known or not self.options.is_reading_guarded,
            has_login=bool(self.options.token),
            session=session,
            user=user,
        )

    def is_token(self, request: Request, text: str) -> bool:
        """Return whether a text is the token; a wrong one counts as a failed login."""
        address = self.address(request)
        if not self.options.token or self.failures.wait_s(address):
            return False
        is_right = is_same_secret(text, self.options.token)
        if not is_right:
            self.failures.add(address)
        return is_right

    def is_own_form(self, reader: PageReader, fields: Mapping[str, str]) -> bool:
        """Return whether a form was made for this session."""
        return reader.session is not None and is_same_secret(
            fields.get("csrf", ""), reader.session.csrf
        )

    def _has_token(self, request: Request) -> bool:
        found = request.headers.get("authorization", "")
        if not found.lower().startswith(_BEARER):
            return False
        return self.is_token(request, found[len(_BEARER) :].strip())

    def _user(self, request: Request) -> str:
        """Return the user that a trusted proxy names; "" if there is none."""
        header = self.options.user_header
        if not header or _sender(request) not in self.options.trusted_proxies:
            return ""
        names = request.headers.getlist(header)
        name = _header_text(names[0]).strip() if len(names) == 1 else ""
        return name if name.isprintable() and len(name) <= LONGEST_TEXT else ""


def _header_text(value: str) -> str:
    """Return a header's value that was read as Latin-1 as the text that most proxies mean: UTF-8.

    Bytes that are no UTF-8 are Latin-1.
    """
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        return value


def _sender(request: Request) -> str:
    """Return the address at the other end of the connection."""
    return _plain_address(request.client.host if request.client else "")


def _plain_address(text: str) -> str:
    """Return an address in its usual form; an IPv4 address also if IPv6 carries it."""
    try:
        found = ip_address(text)
    except ValueError:
        return text
    if isinstance(found, IPv6Address) and found.ipv4_mapped:
        return str(found.ipv4_mapped)
    return str(found)


def _host_name(host: str) -> str:
    """Return the name in a Host header, without the port; "" if it is not valid."""
    found = _HOST.fullmatch(host)
    if found is None or int(found[3] or 0) > _LAST_PORT:
        return ""
    return (found[1] or found[2]).lower()


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
