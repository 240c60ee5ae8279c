"""The arithmetic of the benchmark of wide rollouts, and a small swarm on a real server."""

import pytest

from benchmarks.swarm.light_member import LightGroup
from benchmarks.swarm.member_process import Behave, Report, turn_of
from benchmarks.swarm.rollout_arithmetic import allowed, beyond_ramp, ideal_s, most_at_once
from benchmarks.swarm.swarm import swarm
from benchmarks.swarm.wire_counts import Frames, WireCounts
from support.zookeeper import Server
from zkexec.devserver.server import LOOPBACK


def frame(first: int, second: int, rest: bytes = b"") -> bytes:
    """A frame with two numbers and what follows them."""
    body = b"".join(number.to_bytes(4, "big", signed=True) for number in (first, second)) + rest
    return len(body).to_bytes(4, "big") + body


@pytest.mark.parametrize(
    ("turns", "width", "expected"),
    [
        ([], 5, 0.0),
        ([2.0], 5, 2.0),
        ([2.0] * 4, 1, 8.0),
        # One alone, then two, then six.
        ([2.0] * 9, 100, 6.0),
        ([2.0] * 10, 100, 8.0),
        # One alone, then two at a time.
        ([1.0] * 5, 2, 3.0),
        # The place of the shorter turn is taken before the longer one has ended.
        ([1.0, 1.0, 3.0, 1.0], 2, 4.0),
    ],
)
def test_the_ideal_time_of_a_rollout(turns: list[float], width: int, expected: float) -> None:
    """The first turn is one alone, then twice as many are in flight as have succeeded."""
    assert ideal_s(turns, width) == expected


def test_the_ideal_time_of_a_large_rollout() -> None:
    """With equal turns it is members by width, and the turns in which the ramp has less."""
    assert ideal_s([1.0] * 4_000, 200) == 5 + -(-(4_000 - 1 - 2 - 6 - 18 - 54) // 200) + 0
    assert [allowed(200, succeeded) for succeeded in (0, 1, 3, 81, 100)] == [1, 2, 6, 162, 200]


def test_commands_that_are_down_at_once_are_counted() -> None:
    """Overlapping times count together; one that ends as the next begins does not overlap it."""
    assert most_at_once([]) == 0
    assert most_at_once([(0.0, 2.0), (1.0, 3.0), (2.0, 4.0)]) == 2
    assert most_at_once([(0.0, 9.0), (1.0, 3.0), (2.0, 4.0)]) == 3


def test_stops_beyond_the_ramp_are_counted() -> None:
    """Before the first success one command may be down, after it two, and never more than width."""
    assert beyond_ramp([(0.0, 2.0), (1.0, 3.0)], 10) == 1
    assert beyond_ramp([(0.0, 2.0), (2.0, 3.0), (2.5, 4.0)], 10) == 0
    assert beyond_ramp([(0.0, 2.0), (2.0, 3.0), (2.5, 4.0)], 1) == 1


def test_turns_differ_from_member_to_member() -> None:
    """Each member's turn is up to 20 % longer or shorter, and the same if computed again."""
    behave = Behave(10.0, seed=1)
    turns = [turn_of(f"m{number}", behave) for number in range(100)]

    assert all(8.0 <= turn_s <= 12.0 for turn_s in turns)
    assert len(set(turns)) == 100
    assert turns[7] == turn_of("m7", behave)


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_frames_are_found_in_pieces_of_any_size(size: int) -> None:
    """Each frame is found once, wherever the stream is cut."""
    stream = frame(1, 14, b"a" * 20) + frame(-1, 0) + frame(2, 22, b"b")
    frames, found = Frames(), []

    for start in range(0, len(stream), size):
        found += frames.take(stream[start : start + size])

    assert found == [(1, 14), (-1, 0), (2, 22)]


def test_what_keeps_a_session_is_no_request_of_a_rollout() -> None:
    """Pings and connections are counted, and are not part of the total."""
    before, counts = WireCounts(), WireCounts()
    before.requests.update(get=1, ping=4)
    counts.requests.update(get=3, transaction=2, ping=9, connect=1)

    assert counts.total == 5
    assert counts.since(before).total == 4
    assert counts.since(before).requests == {"get": 2, "transaction": 2, "ping": 5, "connect": 1}


def test_a_small_swarm_rolls_out() -> None:
    """Light members bring a new content into effect one after the other, as real ones do."""
    server = Server()
    try:
        server.start()
        group = LightGroup("small", ((LOOPBACK, server.port),), "/small", width=1)
        with swarm(group, processes=2) as members:
            members.start(6, "first")
            members.behave(Behave(0.1))
            before = members.report(forget=True)
            members.push("second")
            report: Report = members.wait(lambda report: report.runs["second"] == 6, 60.0)
    finally:
        server.close()

    assert len(report.downs) == 6
    assert most_at_once(report.downs) == 1
    assert report.counts.since(before.counts).total >= 6 * 5
    assert report.answers["commit"] >= 12
