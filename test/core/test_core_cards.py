"""What a member shows of itself, and when that is worth a request."""

import pytest

from core.talk import PLACE, Talk, named, snapshot
from zkexec.core.rollout.group_actions import CommitRecord, JoinQueue, PublishStatus
from zkexec.core.rollout.group_events import CommitRefused, Conflict
from zkexec.core.rollout.membership import BRIEF_S
from zkexec.core.turn import MemberStatus


def test_a_card_names_contents_as_the_group_knows_them() -> None:
    """Others see the phase, and the digests that the record speaks of."""
    talk = Talk()
    talk.begin()
    talk.turn.show(MemberStatus("failed"), snapshot("a@1"), snapshot("b@2"))
    running, wanted = (named(word).digest for word in ("a@1", "b@2"))
    assert talk.turn.advance(0) == [PublishStatus(MemberStatus("failed", running, wanted, zxid=2))]
    talk.turn.show(MemberStatus("running"), None, None)
    assert talk.turn.advance(0) == [PublishStatus(MemberStatus("running"))]


def test_a_card_goes_along_with_what_is_written_anyway() -> None:
    """The node in the queue, and the record, take it with them; it needs no request of its own."""
    talk = Talk()
    talk.begin()
    talk.turn.show(MemberStatus("waiting"), None, None)
    assert talk.ask("b@2") == JoinQueue(3, "a", MemberStatus("waiting"))
    assert talk.turn.deadline == talk.turn._at.requests.deadline  # noqa: SLF001 -- nothing is due
    talk.queue_joined()
    talk.listed(PLACE)
    talk.turn.show(MemberStatus("stopping"), None, None)
    request = talk.read()
    assert isinstance(request, CommitRecord)
    assert request.status == MemberStatus("stopping")


@pytest.mark.parametrize("is_carried", [True, False])
def test_a_card_that_went_along_with_a_refused_commit(is_carried: bool) -> None:
    """It was not written, and is shown after all; one that was shown before is not shown again."""
    talk = Talk()
    talk.begin()
    talk.be_head()
    if is_carried:
        talk.turn.show(MemberStatus("stopping"), None, None)
    talk.read()
    talk.turn.handle(CommitRefused(talk.number, Conflict.RECORD), 0)
    found = [*talk.turn.advance(0), *talk.turn.advance(BRIEF_S)]
    assert (PublishStatus(MemberStatus("stopping")) in found) is is_carried
