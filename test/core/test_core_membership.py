"""Check what a member publishes about itself, and when that is worth a request."""

import pytest

from core.turn_harness import TurnHarness, named, queued, snapshot
from zkexec.core.rollout.group_actions import CommitRecord, JoinQueue, PublishStatus
from zkexec.core.rollout.group_events import CommitRefused, Conflict
from zkexec.core.rollout.membership import BRIEF_S
from zkexec.core.turn import MemberStatus


def test_a_status_has_the_digests_of_the_record() -> None:
    """A status has the phase, and the digests that the record uses, with their zxids."""
    harness = TurnHarness()
    harness.begin()
    harness.publish(MemberStatus("failed"), snapshot("a@1"), snapshot("b@2"))
    running, wanted = (named(word).digest for word in ("a@1", "b@2"))
    assert harness.turn.advance(0) == [
        PublishStatus(MemberStatus("failed", running, wanted, zxid=2, running_zxid=1))
    ]
    harness.publish(MemberStatus("running"), None, None)
    assert harness.turn.advance(0) == [PublishStatus(MemberStatus("running"))]


def test_a_status_follows_the_step_within_a_phase() -> None:
    """A step in the same phase is published once it has lasted for a moment."""
    harness = TurnHarness()
    harness.begin()
    for step in ("start", "health"):
        harness.publish(MemberStatus("verifying", step=step), None, None)
        assert harness.turn.advance(0) == []
        assert harness.turn.advance(BRIEF_S) == [
            PublishStatus(MemberStatus("verifying", step=step))
        ]


@pytest.mark.parametrize(("phase", "times"), [("failed", 2), ("blocked", 2), ("running", 1)])
def test_the_reason_of_a_failure_is_the_newest(phase: str, times: int) -> None:
    """One failure can follow another in the same phase; in others no reason is worth a write."""
    harness = TurnHarness()
    harness.begin()
    published = []
    for reason in ("one", "one", "two"):
        harness.publish(MemberStatus(phase, reason=reason), None, None)
        published += harness.turn.advance(0)
    assert published == [
        PublishStatus(MemberStatus(phase, reason=reason)) for reason in ("one", "two")[:times]
    ]


def test_a_status_goes_along_with_other_writes() -> None:
    """A queue node and the record take the status along, without a request of its own."""
    harness = TurnHarness()
    harness.begin()
    harness.publish(MemberStatus("waiting"), None, None)
    assert harness.request("b@2") == JoinQueue(3, queued("b@2", "a"), MemberStatus("waiting"))
    assert harness.turn.deadline == harness.turn._at.requests.deadline  # noqa: SLF001 -- nothing is due
    harness.queue_joined()
    harness.nodes_read(before=False)
    harness.publish(MemberStatus("stopping"), None, None)
    request = harness.read()
    assert isinstance(request, CommitRecord)
    assert request.status == MemberStatus("stopping")


def test_an_unhealthy_member_without_a_turn_is_unavailable() -> None:
    """In its turn it counts as in flight, and not once more as unavailable."""
    harness = TurnHarness()
    harness.begin()
    harness.publish(MemberStatus("running", health="unhealthy"), None, None)
    unavailable = MemberStatus("running", health="unhealthy", unavailable=True)
    assert harness.turn.advance(0) == [PublishStatus(unavailable)]
    harness.take()
    harness.publish(MemberStatus("verifying", health="unhealthy"), None, None)
    assert harness.turn.advance(BRIEF_S) == []
    published = harness.turn.advance(2 * BRIEF_S)
    assert published == [PublishStatus(MemberStatus("verifying", health="unhealthy"))]


@pytest.mark.parametrize("is_carried", [True, False])
def test_a_status_that_went_along_with_a_refused_commit(is_carried: bool) -> None:
    """It is written after all; a status that was published before is not written again."""
    harness = TurnHarness()
    harness.begin()
    harness.be_head()
    if is_carried:
        harness.publish(MemberStatus("stopping"), None, None)
    harness.read()
    harness.turn.handle(CommitRefused(harness.number, Conflict.RECORD), 0)
    found = [*harness.turn.advance(0), *harness.turn.advance(BRIEF_S)]
    assert (PublishStatus(MemberStatus("stopping")) in found) is is_carried
