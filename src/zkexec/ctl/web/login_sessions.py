"""Who has logged in, and how often a login has failed; all of it in memory.

A session is named by a random cookie, of which only the digest is kept.  It ends after twelve
hours, with a logout, or with the server.
"""

import hmac
import secrets
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from hashlib import sha256

from zkexec.frozen import frozen

SESSION_S = 12 * 3600.0
MOST_SESSIONS = 1000
"""If there are more, the oldest one ends."""
MOST_FAILURES = 10
"""After this many failed logins from one address within `FAILURES_S`, all are refused."""
FAILURES_S = 60.0

_MOST_ADDRESSES = 1000
_COOKIE_BYTES = 32


@frozen(hidden=("csrf",))
class LoginSession:
    """A browser that has logged in; `csrf` is in each of its forms.  `ends_at` is monotonic."""

    csrf: str
    ends_at: float


class LoginSessions:
    """The sessions, and the notice that the next page of one shows."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._sessions: OrderedDict[str, LoginSession] = OrderedDict()
        self._notices: dict[str, str] = {}

    def begin(self) -> str:
        """Begin a session, and return its cookie."""
        cookie = secrets.token_urlsafe(_COOKIE_BYTES)
        ends_at = self._monotonic() + SESSION_S
        self._sessions[_key(cookie)] = LoginSession(secrets.token_urlsafe(_COOKIE_BYTES), ends_at)
        while len(self._sessions) > MOST_SESSIONS:
            self._remove(next(iter(self._sessions)))
        return cookie

    def find(self, cookie: str) -> LoginSession | None:
        """Return the session of a cookie, if it has not ended."""
        session = self._sessions.get(_key(cookie))
        if session is not None and session.ends_at <= self._monotonic():
            self._remove(_key(cookie))
            return None
        return session

    def end(self, cookie: str) -> None:
        """End a session."""
        self._remove(_key(cookie))

    def leave_notice(self, session: LoginSession, text: str) -> None:
        """Keep a line for the next page of a session."""
        self._notices[session.csrf] = text

    def take_notice(self, session: LoginSession | None) -> str:
        """Return this line once; "" if there is none."""
        return "" if session is None else self._notices.pop(session.csrf, "")

    def _remove(self, key: str) -> None:
        session = self._sessions.pop(key, None)
        if session is not None:
            self._notices.pop(session.csrf, None)


class FailedLogins:
    """The failed logins of the last minute, by the address that they came from."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._times: OrderedDict[str, deque[float]] = OrderedDict()

    def add(self, address: str) -> None:
        """Count one more."""
        times = self._times.setdefault(address, deque(maxlen=MOST_FAILURES))
        times.append(self._monotonic())
        self._times.move_to_end(address)
        while len(self._times) > _MOST_ADDRESSES:
            self._times.popitem(last=False)

    def wait_s(self, address: str) -> float:
        """Return how long logins from an address are refused; 0 if they are not."""
        times = self._times.get(address)
        if times is None or len(times) < MOST_FAILURES:
            return 0.0
        return max(0.0, times[0] + FAILURES_S - self._monotonic())


def is_same_secret(one: str, other: str) -> bool:
    """Compare in a time that shows nothing of the secrets."""
    return hmac.compare_digest(one.encode(errors="surrogatepass"), other.encode())


def _key(cookie: str) -> str:
    return sha256(cookie.encode(errors="surrogatepass")).hexdigest()
