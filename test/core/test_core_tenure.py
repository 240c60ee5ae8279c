"""What a member holds: its entry, the lease on it, the request on its way, and its own node."""

from collections.abc import Iterator
from string import ascii_lowercase
from typing import Any

import pytest

from core.records import FAILED, entry, known_good, target, unproven
from zkexec.core import events
from zkexec.core.actions import Action
from zkexec.core.events import SessionConnected
from zkexec.core.rollout.group_actions import ListQueue, PublishStatus
from zkexec.core.rollout.group_events import GroupRequestFailed, QueueListed
from zkexec.core.rollout.group_requests import GroupRequests
from zkexec.core.rollout.lease import Lease, Proposal
from zkexec.core.rollout.membership import BRIEF_S, Membership
from zkexec.core.rollout.record import RolloutRecord
from zkexec.core.snapshot import Snapshot
from zkexec.core.turn import MemberStatus
from zkexec.frozen import replace

B = Snapshot({"/f": b"b"}, 2)
TIMEOUT_S = 12.0
"""Its sixth, two seconds, is the lease."""


def lease() -> Lease:
    """The tenure of m1, whose tokens are the letters."""
    letters: Iterator[str] = iter(ascii_lowercase)
    return Lease("m1", lambda: next(letters))


def record_with(under: str = "a") -> RolloutRecord:
    """A record with an entry of m1 for b@2."""
    return RolloutRecord(in_flight={"m1": entry("b@2", under)}, versions={"b": unproven(2)})


def propose(of: Lease, at: float = 0) -> Proposal:
    """Send an admission to b@2 on its way."""
    record = RolloutRecord(
        in_flight={"m1": of.entry_for(target("b@2"))}, versions={"b": unproven(2)}
    )
    of.proposal = Proposal(record, at, B, target("b@2"))
    return of.proposal


def holding(at: float = 0) -> Lease:
    """A tenure with a turn that was committed."""
    own = lease()
    propose(own, at)
    own.committed()
    return own


def test_a_turn_is_held_once_it_is_committed() -> None:
    """A proposal alone is nothing; its commit is the turn, with the lease from its sending on."""
    own = lease()
    proposal = propose(own, at=10)
    assert own.held is None
    assert not own.may_stop(10, TIMEOUT_S)
    assert own.committed() is proposal
    assert own.held is B
    assert own.proposal is None
    assert own.may_stop(11.9, TIMEOUT_S)
    assert not own.may_stop(12, TIMEOUT_S)


def test_a_commit_that_nobody_asked_for_is_a_mistake() -> None:
    """The core does not go on after an answer without a request."""
    with pytest.raises(RuntimeError, match="nobody asked for"):
        lease().committed()


def test_a_refused_commit_gives_nothing() -> None:
    """The proposal is forgotten, and the token stays for the next attempt."""
    own = lease()
    proposal = propose(own)
    word = own.token
    assert own.refused() is proposal
    assert own.refused() is None
    assert own.held is None
    assert own.token == word


def test_a_commit_whose_answer_was_lost_is_read_back() -> None:
    """The token in the record says that it was made; the lease runs from its sending."""
    own = lease()
    proposal = propose(own, at=10)
    assert not own.read(proposal.record)
    assert own.held is B
    assert own.may_stop(11, TIMEOUT_S)
    assert not own.may_stop(12, TIMEOUT_S)


def test_a_commit_that_was_never_made_is_read_back() -> None:
    """Without the token in the record there is no turn, and none was lost."""
    own = lease()
    propose(own)
    assert not own.read(RolloutRecord())
    assert own.held is None


def test_what_was_read_back_has_to_be_what_was_proposed() -> None:
    """A change of the target in the same turn that was not made is not believed."""
    own = holding()
    own.proposal = Proposal(record_with(), 5, Snapshot({"/f": b"c"}, 3), target("c@3"))
    assert not own.read(record_with())
    assert own.held is B
    assert not own.may_stop(5, TIMEOUT_S)


def test_a_read_alone_renews_no_lease() -> None:
    """Only what was written vouches for the session."""
    own = holding()
    assert not own.read(record_with())
    assert own.held is B
    assert not own.may_stop(2, TIMEOUT_S)


def test_a_confirmation_renews_the_lease() -> None:
    """A committed write with the entry in it counts from its sending on."""
    own = holding()
    own.proposal = Proposal(record_with(), 30)
    own.committed()
    assert own.held is B
    assert own.may_stop(31, TIMEOUT_S)


def test_a_lost_confirmation_renews_nothing() -> None:
    """Its answer was lost: whether it was made cannot be read back."""
    own = holding()
    own.proposal = Proposal(record_with(), 30)
    assert not own.read(record_with())
    assert not own.may_stop(31, TIMEOUT_S)


@pytest.mark.parametrize("found", [RolloutRecord(), record_with("another")])
def test_a_turn_that_was_taken_back_is_lost(found: RolloutRecord) -> None:
    """Without the own token in the record the turn is over, and the next has another token."""
    own = holding()
    assert own.read(found)
    assert own.held is None
    assert own.entry_for(target("b@2")) == entry("b@2", "b")
    assert not own.read(found)


def test_a_release_ends_the_tenure() -> None:
    """A committed record without the entry is the end of the turn."""
    own = holding()
    own.proposal = Proposal(RolloutRecord(versions={"b": known_good(2)}), 5)
    own.committed()
    assert own.held is None
    assert not own.may_stop(5, TIMEOUT_S)


def test_a_failed_entry_is_told_from_others() -> None:
    """Only an own entry that is kept for a failure counts as one."""
    own = holding()
    assert not own.has_failed(record_with())
    assert not own.has_failed(RolloutRecord())
    failed = RolloutRecord(in_flight={"m1": entry("b@2", "a", FAILED)})
    assert own.has_failed(failed)
    assert not own.has_failed(replace(failed, in_flight={"m1": entry("b@2", "x", FAILED)}))


def requests() -> GroupRequests:
    """Requests under a session timeout of ten seconds."""
    return GroupRequests(10.0)


def is_free(of: GroupRequests, now: float) -> bool:
    """Whether the next request may be sent."""
    return of.is_free(now)


def test_one_request_at_a_time() -> None:
    """The next is sent after the answer to the last, under the next number."""
    own = requests()
    assert own.deadline is None
    assert own.send(ListQueue, 0) == [ListQueue(1)]
    assert not is_free(own, 5)
    assert own.answered(QueueListed(1, ())) == ListQueue(1)
    assert is_free(own, 5)
    assert own.send(ListQueue, 5) == [ListQueue(2)]


def test_only_the_answer_to_the_last_request_counts() -> None:
    """An old answer, a second one, and what only looks like one are no answers."""
    own = requests()
    own.send(ListQueue, 0)
    own.forget()
    assert own.answered(QueueListed(1, ())) is None
    own.send(ListQueue, 1)
    assert own.answered(QueueListed(1, ())) is None
    assert own.answered(events.ZnodesRead(2, {})) is None
    assert own.answered(events.Tick()) is None
    assert own.answered(GroupRequestFailed(2, "late")) == ListQueue(2)
    assert own.answered(QueueListed(2, ())) is None


def test_a_request_that_stays_unanswered() -> None:
    """After two session timeouts the connection is worth nothing."""
    own = requests()
    own.send(ListQueue, 5)
    assert own.deadline == 25
    assert not own.is_mute(24)
    assert own.is_mute(25)
    own.forget()
    assert not own.is_mute(25)
    assert own.deadline is None


def test_a_pause_after_a_failure() -> None:
    """The next request waits for a second, unless something new comes up."""
    own = requests()
    own.send(ListQueue, 0)
    own.answered(GroupRequestFailed(1, "error"))
    own.pause(3)
    assert own.deadline == 4
    assert not is_free(own, 3.9)
    assert is_free(own, 4)
    own.hurry()
    assert is_free(own, 3.5)
    assert own.deadline is None


def show(of: Membership, now: float = 0.0, *, along: bool = False, **changes: Any) -> list[Action]:
    """Change the card, and see whether it is written."""
    of.status = replace(of.status, **changes)
    return of.show(now, may_go_along=along)


def enrolled() -> Membership:
    """A member whose node shows its card."""
    own = Membership(10.0)
    own.connect(SessionConnected(1, 8.0))
    own.enrolled_with(own.status)
    return own


def test_a_card_is_written_by_members_only() -> None:
    """Before the own node stands nothing is shown; then each change is, once."""
    own = Membership(10.0)
    assert show(own, phase="loading") == []
    assert own.connect(SessionConnected(1, 8.0))
    own.enrolled_with(own.status)
    assert show(own) == []
    assert show(own, phase="running") == [PublishStatus(MemberStatus("running"))]
    assert show(own) == []
    assert own.session_timeout_s == 8


def test_a_step_of_a_restart_is_shown_once_it_has_lasted() -> None:
    """The newest of them, a moment after the first that was not shown; what rests, at once."""
    own = enrolled()
    assert show(own, 5, phase="waiting") == []
    assert own.deadline == 5 + BRIEF_S
    assert show(own, 5.1, phase="stopping") == []
    assert show(own, 5 + BRIEF_S) == [PublishStatus(MemberStatus("stopping"))]
    assert own.deadline is None
    assert show(own, 6, phase="verifying") == []
    assert show(own, 6, along=True, phase="running") == []
    assert show(own, 6) == [PublishStatus(MemberStatus("running"))]
    assert own.deadline is None


def test_a_step_that_was_over_at_once_is_not_shown() -> None:
    """Where all is as it was, nothing is written."""
    own = enrolled()
    show(own, 0, phase="running")
    assert show(own, 1, phase="waiting") == []
    assert show(own, 1.1, phase="running") == []
    assert own.deadline is None


def test_a_card_is_taken_along_once() -> None:
    """What goes along is not written again, unless that was refused; without news nothing goes."""
    own = enrolled()
    assert own.news() is None
    own.status = MemberStatus("running")
    assert own.news() == MemberStatus("running")
    assert own.news() is None
    assert show(own) == []
    own.not_shown(None)
    assert show(own) == []
    own.not_shown(MemberStatus("running"))
    assert show(own) == [PublishStatus(MemberStatus("running"))]
    own.doubt()
    own.status = MemberStatus("failed")
    assert own.news() is None


def test_the_own_node_is_looked_after_at_each_connection() -> None:
    """Also where the session lives on: its watch is gone."""
    own = Membership(10.0)
    assert own.connect(SessionConnected(1, 10.0))
    own.enrolled_with(own.status)
    own.disconnect()
    assert not own.enrolled
    assert not own.connect(SessionConnected(1, 10.0))
    assert not own.enrolled
    assert own.connect(SessionConnected(2, 10.0))


def test_a_doubt_about_the_own_node() -> None:
    """It is looked after again, on the same connection."""
    own = Membership(10.0)
    own.connect(SessionConnected(1, 10.0))
    own.enrolled_with(own.status)
    own.doubt()
    assert own.connected
    assert show(own, phase="running") == []
