"""Check a member's entry and lease, its request on the way, and its own node."""

from collections.abc import Iterator
from string import ascii_lowercase
from typing import Any

import pytest

from core.records import FAILED, entry, known_good, not_good, version
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
    """Return the lease of m1, whose tokens are the letters."""
    letters: Iterator[str] = iter(ascii_lowercase)
    return Lease("m1", lambda: next(letters))


EMPTY = RolloutRecord()


def record_with(under: str = "a") -> RolloutRecord:
    """Return a record with an entry of m1 for b@2."""
    return RolloutRecord(in_flight={"m1": entry("b@2", under)}, versions={"b": not_good(2)})


def propose(of: Lease, at: float = 0) -> Proposal:
    """Send an admission for b@2."""
    record = RolloutRecord(
        in_flight={"m1": of.entry_for(version("b@2"))}, versions={"b": not_good(2)}
    )
    of.proposal = Proposal(EMPTY, record, at, B, version("b@2"))
    return of.proposal


def admitted(at: float = 0) -> Lease:
    """Return a lease with an admission that was committed."""
    own = lease()
    propose(own, at)
    own.committed()
    return own


def snapshot_of(of: Lease) -> Snapshot | None:
    """Return the snapshot that the turn is for."""
    return of.admitted


def test_a_turn_begins_with_its_commit() -> None:
    """A proposal alone is no turn; its commit is, with the lease from its sending on."""
    own = lease()
    proposal = propose(own, at=10)
    assert snapshot_of(own) is None
    assert not own.may_stop(10, TIMEOUT_S)
    assert own.committed() is proposal
    assert snapshot_of(own) is B
    assert own.proposal is None
    assert own.may_stop(11.9, TIMEOUT_S)
    assert not own.may_stop(12, TIMEOUT_S)


def test_an_answer_without_a_request_is_a_mistake() -> None:
    """The core does not continue after an answer without a request."""
    with pytest.raises(RuntimeError, match="was not sent"):
        lease().committed()


def test_a_refused_commit_gives_nothing() -> None:
    """The proposal is dropped, and the token stays for the next attempt."""
    own = lease()
    proposal = propose(own)
    word = own.token
    assert own.refused() is proposal
    assert own.refused() is None
    assert snapshot_of(own) is None
    assert own.token == word


def test_a_commit_whose_answer_was_lost_is_read_back() -> None:
    """The token in the record shows the commit; the lease runs from its sending."""
    own = lease()
    proposal = propose(own, at=10)
    assert not own.read(proposal.after)
    assert snapshot_of(own) is B
    assert own.may_stop(11, TIMEOUT_S)
    assert not own.may_stop(12, TIMEOUT_S)


def test_a_commit_that_was_never_made_is_read_back() -> None:
    """Without the token in the record there is no turn, and none was lost."""
    own = lease()
    propose(own)
    assert not own.read(RolloutRecord())
    assert snapshot_of(own) is None


def test_what_was_read_back_has_to_be_what_was_proposed() -> None:
    """A readmission in the same turn that was not carried out is not assumed."""
    own = admitted()
    own.proposal = Proposal(
        record_with(), record_with(), 5, Snapshot({"/f": b"c"}, 3), version("c@3")
    )
    assert not own.read(record_with())
    assert snapshot_of(own) is B
    assert not own.may_stop(5, TIMEOUT_S)


def test_a_read_alone_renews_no_lease() -> None:
    """Only a write renews the lease."""
    own = admitted()
    assert not own.read(record_with())
    assert snapshot_of(own) is B
    assert not own.may_stop(2, TIMEOUT_S)


def test_a_confirmation_renews_the_lease() -> None:
    """A committed write with the entry in it counts from its sending on."""
    own = admitted()
    own.proposal = Proposal(record_with(), record_with(), 30)
    own.committed()
    assert snapshot_of(own) is B
    assert own.may_stop(31, TIMEOUT_S)


def test_a_lost_confirmation_renews_nothing() -> None:
    """Without an answer it cannot be read back whether it was written."""
    own = admitted()
    own.proposal = Proposal(record_with(), record_with(), 30)
    assert not own.read(record_with())
    assert not own.may_stop(31, TIMEOUT_S)


@pytest.mark.parametrize("found", [RolloutRecord(), record_with("another")])
def test_a_reclaimed_turn_is_lost(found: RolloutRecord) -> None:
    """Without the own token in the record the turn ends, and the next has another token."""
    own = admitted()
    assert own.read(found)
    assert snapshot_of(own) is None
    assert own.entry_for(version("b@2")) == entry("b@2", "b")
    assert not own.read(found)


def test_a_release_ends_the_lease() -> None:
    """A committed record without the entry is the end of the turn."""
    own = admitted()
    own.proposal = Proposal(record_with(), RolloutRecord(versions={"b": known_good(2)}), 5)
    own.committed()
    assert snapshot_of(own) is None
    assert not own.may_stop(5, TIMEOUT_S)


def test_an_admission_by_another_member_begins_no_lease() -> None:
    """It proves nothing about the own session; a write of the own entry does."""
    own = lease()
    record = RolloutRecord(in_flight={"m1": entry("b@2", own.token)})
    assert not own.read(record)
    own.take(B)
    assert snapshot_of(own) is B
    assert not own.may_stop(0, TIMEOUT_S)
    own.proposal = Proposal(record, record, 30)
    own.committed()
    assert own.may_stop(31, TIMEOUT_S)


def test_a_turn_that_was_not_taken_up_is_released() -> None:
    """The next turn has another token, so that this admission is not mistaken for it."""
    own = lease()
    record = RolloutRecord(in_flight={"m1": entry("b@2", own.token)})
    own.proposal = Proposal(record, EMPTY, 5)
    own.committed()
    assert own.token == "b"  # noqa: S105 -- no password


def test_a_commit_for_others_leaves_the_lease_as_it_is() -> None:
    """The head admits others, or reclaims turns: its own token stays."""
    own = lease()
    word = own.token
    own.proposal = Proposal(EMPTY, RolloutRecord(in_flight={"m2": entry("b@2", "x")}), 5)
    own.committed()
    assert own.token == word
    assert snapshot_of(own) is None
    assert not own.may_stop(5, TIMEOUT_S)


def test_an_entry_has_the_zone_of_its_member() -> None:
    """The zone is that of the member's options."""
    assert lease().entry_for(version("b@2"), "east") == entry("b@2", "a", zone="east")


def test_a_failed_entry_is_recognized() -> None:
    """Only an own entry that is kept for a failure counts as failed."""
    own = admitted()
    assert not own.has_failed(record_with())
    assert not own.has_failed(RolloutRecord())
    failed = RolloutRecord(in_flight={"m1": entry("b@2", "a", FAILED)})
    assert own.has_failed(failed)
    assert not own.has_failed(replace(failed, in_flight={"m1": entry("b@2", "x", FAILED)}))


def requests() -> GroupRequests:
    """Return requests under a session timeout of ten seconds."""
    return GroupRequests()


def is_free(of: GroupRequests, now: float) -> bool:
    """Whether the next request may be sent."""
    return of.is_free(now)


def due(of: GroupRequests) -> float | None:
    """Return the deadline."""
    return of.deadline


def test_one_request_at_a_time() -> None:
    """The next request is sent after the answer to the last, with the next number."""
    own = requests()
    assert own.deadline is None
    assert own.send(ListQueue) == [ListQueue(1)]
    assert not is_free(own, 5)
    assert own.answered(QueueListed(1, ())) == ListQueue(1)
    assert is_free(own, 5)
    assert own.send(ListQueue) == [ListQueue(2)]


def test_only_the_answer_to_the_last_request_counts() -> None:
    """An old answer, a second one, and another event are no answers."""
    own = requests()
    own.send(ListQueue)
    own.forget()
    assert own.answered(QueueListed(1, ())) is None
    own.send(ListQueue)
    assert own.answered(QueueListed(1, ())) is None
    assert own.answered(events.ZnodesRead(2, {})) is None
    assert own.answered(events.Tick()) is None
    assert own.answered(GroupRequestFailed(2, "late")) == ListQueue(2)
    assert own.answered(QueueListed(2, ())) is None


def test_a_pause_after_a_failure() -> None:
    """The next request waits for a second, unless there is something new to try."""
    own = requests()
    own.send(ListQueue)
    own.answered(GroupRequestFailed(1, "error"))
    own.pause(3)
    assert own.deadline == 4
    assert not is_free(own, 3.9)
    assert is_free(own, 4)
    own.end_pause()
    assert is_free(own, 3.5)
    assert own.deadline is None


def publish(
    of: Membership, now: float = 0.0, *, along: bool = False, **changes: Any
) -> list[Action]:
    """Change the status, and return what is written."""
    of.status = replace(of.status, **changes)
    return of.publish(now, may_go_along=along)


def enrolled() -> Membership:
    """Return a member whose node contains its status."""
    own = Membership(10.0)
    own.connect(SessionConnected(1, 8.0))
    own.enrolled_with(own.status)
    return own


def test_a_status_is_written_by_members_only() -> None:
    """Before the own node exists no status is written; then each change is, once."""
    own = Membership(10.0)
    assert publish(own, phase="loading") == []
    assert own.connect(SessionConnected(1, 8.0))
    own.enrolled_with(own.status)
    assert publish(own) == []
    assert publish(own, phase="running") == [PublishStatus(MemberStatus("running"))]
    assert publish(own) == []
    assert own.session_timeout_s == 8


def status_due(of: Membership) -> float | None:
    """Return when the status is to be written."""
    return of.deadline


def test_a_step_of_a_restart_is_published_once_it_has_lasted() -> None:
    """The newest short step is written after a moment, a lasting phase at once."""
    own = enrolled()
    assert publish(own, 5, phase="waiting") == []
    assert status_due(own) == 5 + BRIEF_S
    assert publish(own, 5.1, phase="stopping") == []
    assert publish(own, 5 + BRIEF_S) == [PublishStatus(MemberStatus("stopping"))]
    assert status_due(own) is None
    assert publish(own, 6, phase="verifying") == []
    assert publish(own, 6, along=True, phase="running") == []
    assert publish(own, 6) == [PublishStatus(MemberStatus("running"))]
    assert status_due(own) is None


def test_a_short_step_is_not_published() -> None:
    """If the status is the published one again, nothing is written."""
    own = enrolled()
    publish(own, 0, phase="running")
    assert publish(own, 1, phase="waiting") == []
    assert publish(own, 1.1, phase="running") == []
    assert status_due(own) is None


def test_a_status_goes_along_once() -> None:
    """A status that went along is not written again, unless its request was refused."""
    own = enrolled()
    assert own.take_unpublished() is None
    own.status = MemberStatus("running")
    assert own.take_unpublished() == MemberStatus("running")
    assert own.take_unpublished() is None
    assert publish(own) == []
    own.not_published(None)
    assert publish(own) == []
    own.not_published(MemberStatus("running"))
    assert publish(own) == [PublishStatus(MemberStatus("running"))]
    own.doubt()
    own.status = MemberStatus("failed")
    assert own.take_unpublished() is None


def test_the_own_node_is_checked_at_each_connection() -> None:
    """The node is checked even in the same session, as its watch is gone."""
    own = Membership(10.0)
    assert own.connect(SessionConnected(1, 10.0))
    own.enrolled_with(own.status)
    own.disconnect()
    assert not own.enrolled
    assert not own.connect(SessionConnected(1, 10.0))
    assert not own.enrolled
    assert own.connect(SessionConnected(2, 10.0))


def test_a_doubt_about_the_own_node() -> None:
    """It is checked again, on the same connection."""
    own = Membership(10.0)
    own.connect(SessionConnected(1, 10.0))
    own.enrolled_with(own.status)
    own.doubt()
    assert own.connected
    assert publish(own, phase="running") == []
