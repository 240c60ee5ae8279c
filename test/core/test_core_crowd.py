"""Check that many members that want the same at once do not do it at the same moment."""

from core.records import limit
from core.turn_harness import (
    AGREED,
    POLICY,
    TurnHarness,
    entry_of,
    named,
    queued,
    snapshot,
    watch_of,
)
from zkexec.core.policy import MaxUnavailable
from zkexec.core.rollout.group_actions import CommitRecord, JoinQueue, ReadRecord, Watch
from zkexec.core.rollout.group_events import GroupPart
from zkexec.core.rollout.membership import BRIEF_S
from zkexec.core.rollout.record import RolloutRecord
from zkexec.core.rollout.spread import LONGEST_JOIN_S, LONGEST_RETRY_S
from zkexec.core.rollout.version_state import VersionState
from zkexec.core.turn import MemberStatus
from zkexec.frozen import replace

B, C = named("b@2"), named("c@3")
GOOD = VersionState(2, B.scope, known_good=True, succeeded=200)
FLYING = replace(
    AGREED,
    max_unavailable=limit(200, "m2"),
    versions={B.digest: GOOD},
    in_flight={"m1": entry_of("b@2", "a")},
    in_flight_count=100,
)
TRIED = replace(FLYING, versions={B.digest: GOOD, C.digest: VersionState(3, C.scope)})


def in_a_large_group() -> TurnHarness:
    """Return a member of a group with thousands of others."""
    harness = TurnHarness()
    harness.connect()
    harness.read()
    harness.enrolled(10_000)
    return harness


def among_many(record: RolloutRecord = FLYING) -> TurnHarness:
    """Return a member in flight, as one of a hundred, whose record was read last."""
    harness = TurnHarness(replace(POLICY, max_unavailable=MaxUnavailable(200)))
    harness.begin(replace(FLYING, in_flight={}))
    harness.be_head()
    harness.read(replace(FLYING, max_unavailable=limit(1, "m2"), in_flight={}, in_flight_count=0))
    harness.committed()
    harness.touched(GroupPart.RECORD)
    harness.read(record)
    return harness


def pause_of(harness: TurnHarness) -> float:
    """Return how long a member waits before it does what it has put off."""
    assert harness.turn.deadline is not None
    return harness.turn.deadline - harness.now


def test_members_of_a_large_group_queue_one_after_the_other() -> None:
    """After a push each waits for its own moment, and publishes nothing before it."""
    harness = in_a_large_group()
    harness.publish(MemberStatus("waiting"), None, None)
    assert harness.request("b@2") is None
    wait_s = pause_of(harness)
    assert BRIEF_S < wait_s <= LONGEST_JOIN_S
    assert harness.turn.advance(BRIEF_S) == []
    assert harness.tick(wait_s) == JoinQueue(3, queued("b@2", "a"), MemberStatus("waiting"))


def test_members_of_a_large_group_queue_again_one_after_the_other() -> None:
    """All lose their queue nodes if the ensemble is restarted, and come back at once."""
    harness = in_a_large_group()
    harness.request("b@2")
    harness.tick(pause_of(harness))
    harness.queue_joined()
    harness.connect(session=2)
    assert isinstance(harness.enrolled(10_000), ReadRecord)
    assert harness.read() is None
    assert isinstance(harness.tick(pause_of(harness)), JoinQueue)


def test_a_change_that_is_undone_before_its_member_queues() -> None:
    """It never queues, and no deadline stays overdue."""
    harness = in_a_large_group()
    harness.request("b@2")
    wait_s = pause_of(harness)
    harness.withdraw()
    assert harness.advance() is None
    assert harness.tick(wait_s) is None
    assert harness.turn.deadline is None


def test_many_in_flight_want_newer_content() -> None:
    """One of them tries it: each begins at its own moment, and reads what has been decided."""
    harness = among_many()
    assert harness.request("c@3") is None
    wait_s = pause_of(harness)
    assert 0 < wait_s <= LONGEST_RETRY_S
    assert watch_of(harness.tick(wait_s)) is Watch.NOTHING
    request = harness.read(FLYING)
    assert isinstance(request, ReadRecord)
    assert request.survey
    request = harness.read(FLYING)
    assert isinstance(request, CommitRecord)
    assert request.after.in_flight["m1"] == entry_of("c@3", "a")


def test_the_others_wait_for_the_one_that_tries_it() -> None:
    """If it becomes known good, they are readmitted to it without a survey."""
    harness = among_many(TRIED)
    harness.request("c@3")
    harness.tick(pause_of(harness))
    request = harness.read(TRIED)
    assert watch_of(request) is Watch.DECISIONS
    trying = {**TRIED.in_flight, "m2": entry_of("c@3", "x")}
    assert harness.read(replace(TRIED, in_flight=trying)) is None
    assert harness.turn.granted == snapshot("b@2")
    assert isinstance(harness.touched(GroupPart.RECORD), ReadRecord)
    good = replace(TRIED, versions={C.digest: VersionState(3, C.scope, known_good=True)})
    request = harness.read(good)
    assert isinstance(request, CommitRecord)
    assert not request.is_exclusive
    assert request.after.in_flight["m1"] == entry_of("c@3", "a")


def test_living_members_of_the_own_zone_are_counted() -> None:
    """If a limit is a share of a zone, the own and the open zone matter; otherwise none does."""
    share = MaxUnavailable(50, percent=True, per_zone=True)
    harness = TurnHarness(replace(POLICY, max_unavailable=share, zone="east"))
    request = harness.connect()
    assert isinstance(request, ReadRecord)
    assert request.zones == {"east"}
    harness.read(replace(AGREED, zone="west"))
    harness.enrolled()
    harness.committed()
    request = harness.be_head()
    assert isinstance(request, ReadRecord)
    assert request.zones == {"east", "west"}
    other = TurnHarness(replace(POLICY, zone="east"))
    request = other.connect()
    assert isinstance(request, ReadRecord)
    assert request.zones == frozenset()
