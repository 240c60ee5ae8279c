"""Sessions and failed logins, on a clock of the test."""

from zkexec.ctl.web.login_sessions import (
    FAILURES_S,
    MOST_FAILURES,
    MOST_SESSIONS,
    SESSION_S,
    FailedLogins,
    LoginSessions,
    is_same_secret,
)


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """The time."""
        return self.now


def test_a_session_ends_by_itself() -> None:
    """A session is found by its cookie until its time is over."""
    clock = Clock()
    sessions = LoginSessions(clock)
    cookie = sessions.begin()

    clock.now += SESSION_S - 1
    assert sessions.find(cookie) is not None
    assert sessions.find(cookie + "x") is None
    assert sessions.find("") is None
    clock.now += 1
    assert sessions.find(cookie) is None


def test_sessions_differ() -> None:
    """No two sessions have the same cookie or the same token for forms, and none is in a repr."""
    sessions = LoginSessions()
    cookies = [sessions.begin() for _ in range(20)]
    found = [session for cookie in cookies if (session := sessions.find(cookie))]

    assert len(set(cookies)) == len({session.csrf for session in found}) == 20
    assert found[0].csrf not in repr(found[0])


def test_sessions_are_bounded() -> None:
    """If there are too many, the oldest one ends."""
    sessions = LoginSessions()
    first = sessions.begin()
    second = sessions.begin()
    for _ in range(MOST_SESSIONS - 1):
        sessions.begin()

    assert sessions.find(first) is None
    assert sessions.find(second) is not None


def test_a_notice_is_shown_once() -> None:
    """A notice belongs to one session, and ends with it."""
    sessions = LoginSessions()
    cookie, other = sessions.begin(), sessions.begin()
    session, stranger = sessions.find(cookie), sessions.find(other)
    assert session is not None
    sessions.leave_notice(session, "paused")

    assert sessions.take_notice(stranger) == sessions.take_notice(None) == ""
    assert sessions.take_notice(session) == "paused"
    assert sessions.take_notice(session) == ""
    sessions.leave_notice(session, "resumed")
    sessions.end(cookie)
    assert sessions.take_notice(session) == ""


def test_failures_are_counted_by_address_for_a_minute() -> None:
    """One address that guesses does not keep others out, and may try again after a minute."""
    clock = Clock()
    failures = FailedLogins(clock)
    for _ in range(MOST_FAILURES - 1):
        failures.add("a")
    assert failures.wait_s("a") == 0.0
    clock.now += 10
    failures.add("a")

    assert failures.wait_s("a") == FAILURES_S - 10
    assert failures.wait_s("b") == 0.0
    clock.now += FAILURES_S - 10
    assert failures.wait_s("a") == 0.0
    failures.add("a")
    assert failures.wait_s("a") == 0.0


def test_addresses_are_bounded() -> None:
    """However many addresses guess, the memory is bounded, and the last one is refused."""
    failures = FailedLogins()
    for number in range(3000):
        failures.add(str(number))
    for _ in range(MOST_FAILURES):
        failures.add("a")

    assert failures.wait_s("a") > 0


def test_secrets_are_compared_as_they_are() -> None:
    """Only the very same text is the same, whatever a browser has sent."""
    assert is_same_secret("token", "token")
    for other in ("", "Token", "token ", "tokeñ", "\udcff"):
        assert not is_same_secret(other, "token")
