"""When pings leave, and when a server has been silent for too long."""

from zkexec.zookeeper.pace import Pace

TIMEOUT_S = 9.0


def test_a_ping_leaves_a_third_after_the_last_request() -> None:
    """Each request counts as a ping."""
    pace = Pace(TIMEOUT_S, 100.0)
    assert pace.ping_at == 103.0
    pace.sent(102.0)
    assert pace.ping_at == 105.0


def test_a_server_that_owes_nothing_is_never_lost() -> None:
    """Silence counts only while an answer is due."""
    pace = Pace(TIMEOUT_S, 100.0)
    assert pace.lost_at is None
    pace.sent(101.0)
    assert pace.lost_at == 106.0
    pace.settled()
    assert pace.lost_at is None


def test_silence_is_two_thirds_without_a_byte() -> None:
    """Each byte that arrives begins the silence anew."""
    pace = Pace(TIMEOUT_S, 100.0)
    pace.sent(100.0)
    pace.progressed(104.0)

    assert pace.lost_at == 104.0 + pace.silence_s
    assert pace.silence_s == 6.0


def test_a_process_that_was_stopped_leaves_a_third_for_the_answer() -> None:
    """The first request after a long stop has a third of the timeout, however old the last byte."""
    pace = Pace(TIMEOUT_S, 100.0)
    pace.sent(500.0)
    pace.sent(501.0)

    assert pace.lost_at == 503.0


def test_an_answer_has_two_session_timeouts() -> None:
    """Answers to pings do not count: only an answer begins that time anew."""
    pace = Pace(TIMEOUT_S, 100.0)
    pace.answering(101.0)
    assert pace.answer_due_at == 119.0
    pace.progressed(110.0)
    assert pace.answer_due_at == 119.0
    pace.answering(111.0)

    assert pace.answer_due_at == 129.0
    assert pace.answer_limit_s == 18.0


def test_each_byte_of_a_large_frame_gives_it_a_little_time() -> None:
    """A kilobyte gives a second, and a rest of two session timeouts is the most."""
    pace = Pace(TIMEOUT_S, 100.0)
    pace.moved(500, 110.0)
    assert pace.answer_due_at == 118.5
    pace.moved(20_000, 110.0)

    assert pace.answer_due_at == 128.0
