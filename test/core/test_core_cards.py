"""What a member shows of itself, and when that is worth a request."""

import pytest

from core.turn_harness import PLACE, TurnHarness, named, snapshot
from zkexec.core.rollout.group_actions import CommitRecord, JoinQueue, PublishStatus
from zkexec.core.rollout.group_events import CommitRefused, Conflict
from zkexec.core.rollout.membership import BRIEF_S
from zkexec.core.turn import MemberStatus


def test_a_card_names_contents_as_the_group_knows_them() -> None:
    """Others see the phase, and the digests that the record speaks of."""
    harness = TurnHarness()
    harness.begin()
    harness.turn.show(MemberStatus("failed"), snapshot("a@1"), snapshot("b@2"))
    running, wanted = (named(word).digest for word in ("a@1", "b@2"))
    assert harness.turn.advance(0) == [
        PublishStatus(MemberStatus("failed", running, wanted, zxid=2))
    ]
    harness.turn.show(MemberStatus("running"), None, None)
    assert harness.turn.advance(0) == [PublishStatus(MemberStatus("running"))]


def test_a_card_goes_along_with_what_is_written_anyway() -> None:
    """The node in the queue, and the record, take it with them; it needs no request of its own."""
    harness = TurnHarness()
    harness.begin()
    harness.turn.show(MemberStatus("waiting"), None, None)
    assert harness.ask("b@2") == JoinQueue(3, "a", MemberStatus("waiting"))
    assert harness.turn.deadline == harness.turn._at.requests.deadline  # noqa: SLF001 -- nothing is due
    harness.queue_joined()
    harness.listed(PLACE)
    harness.turn.show(MemberStatus("stopping"), None, None)
    request = harness.read()
    assert isinstance(request, CommitRecord)
    assert request.status == MemberStatus("stopping")


@pytest.mark.parametrize("is_carried", [True, False])
def test_a_card_that_went_along_with_a_refused_commit(is_carried: bool) -> None:
    """It was not written, and is shown after all; one that was shown before is not shown again."""
    harness = TurnHarness()
    harness.begin()
    harness.be_head()
    if is_carried:
        harness.turn.show(MemberStatus("stopping"), None, None)
    harness.read()
    harness.turn.handle(CommitRefused(harness.number, Conflict.RECORD), 0)
    found = [*harness.turn.advance(0), *harness.turn.advance(BRIEF_S)]
    assert (PublishStatus(MemberStatus("stopping")) in found) is is_carried
