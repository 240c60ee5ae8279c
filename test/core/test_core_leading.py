"""Check what the head of the queue requests: one by one in a chain, or for many others."""

import pytest

from core.records import limit
from core.turn_harness import (
    AGREED,
    GRACE_S,
    POLICY,
    QUEUE_NUMBER,
    TurnHarness,
    entry_of,
    named,
    numbers_of,
    queue_node,
    snapshot,
)
from zkexec.core.actions import Action
from zkexec.core.policy import MaxFailed, MaxUnavailable
from zkexec.core.rollout.admissions import SHORTEST_PAUSE_S, STAY_FROM
from zkexec.core.rollout.group_actions import (
    CommitRecord,
    Enrol,
    FindQueueNode,
    JoinQueue,
    LeaveQueue,
    ListQueue,
    ReadQueue,
    ReadRecord,
    RenewQueueNode,
    WatchQueueNodes,
)
from zkexec.core.rollout.group_events import Conflict, GroupPart, QueueNodeRenewed
from zkexec.core.rollout.limits import AgreedMaxFailed
from zkexec.core.rollout.record import ActingHead, Pause, RolloutRecord
from zkexec.core.rollout.version_state import VersionState
from zkexec.frozen import replace

GOOD = VersionState(2, named("b@2").scope, known_good=True, succeeded=100)
CHAIN = replace(AGREED, versions={named("b@2").digest: GOOD})
WIDE = replace(CHAIN, max_unavailable=limit(20, "m2"))
ZONED = replace(CHAIN, max_unavailable=limit(9, "m2"), zone="east", in_flight_count=1)
ALIVE = frozenset({"m2"})


def head(zone: str = "") -> TurnHarness:
    """Return a member that is about to read that it is the head."""
    harness = TurnHarness(replace(POLICY, max_unavailable=MaxUnavailable(20), zone=zone))
    harness.begin(WIDE)
    harness.be_head()
    return harness


def read(harness: TurnHarness, record: RolloutRecord) -> Action | None:
    """Read a record, as the head."""
    return harness.read(record, alive=ALIVE)


def commit_of(request: Action | None) -> CommitRecord:
    """Return a request that has to be a commit."""
    assert isinstance(request, CommitRecord)
    return request


def leading(*nodes: int) -> TurnHarness:
    """Return a head that has read the queue, with other members behind it, and commits a batch."""
    harness = head()
    read(harness, WIDE)
    harness.queue_read(*(queue_node(number, "b@2", f"m{number}") for number in nodes))
    return harness


@pytest.mark.parametrize("allowed", [1, STAY_FROM])
def test_in_a_chain_each_head_admits_itself(allowed: int) -> None:
    """With few in flight the head does not read the queue, and the next one follows it."""
    harness = head()
    record = replace(WIDE, max_unavailable=limit(allowed, "m2"))
    request = commit_of(read(harness, record))
    assert numbers_of(request) == [QUEUE_NUMBER]
    assert request.after.last_admitted == QUEUE_NUMBER


def test_the_head_of_a_wide_rollout_reads_the_queue_once() -> None:
    """One commit deletes the queue nodes of all that it admits, and checks what they try."""
    harness = head()
    request = read(harness, WIDE)
    assert isinstance(request, ReadQueue)
    assert request.known == frozenset()
    waiting = [queue_node(7, "b@2", "m7"), queue_node(8, "c@3", "m8"), queue_node(9, "b@2", "m9")]
    commit = commit_of(harness.queue_read(*waiting))
    assert numbers_of(commit) == [9, 7, QUEUE_NUMBER]
    assert (commit.checks, commit.tried) == ({"/z": 2}, named("b@2").digest)
    assert commit.after.in_flight.keys() == {"m1", "m7", "m9"}
    assert harness.committed() is None
    assert harness.notes == ["members-admitted", "admitted"]
    assert harness.turn.granted == snapshot("b@2")
    assert harness.turn.may_stop(0)


def test_the_ramp_of_a_version_is_a_chain_at_first() -> None:
    """As long as few have succeeded, few may be in flight, whatever max unavailable is."""
    few = replace(GOOD, succeeded=STAY_FROM // 2)
    harness = head()
    commit_of(read(harness, replace(WIDE, versions={named("b@2").digest: few})))


def test_the_head_stays_while_others_take_all_room() -> None:
    """It pauses after a batch, reads, and waits for room; its own turn is not granted."""
    harness = head()
    full = replace(WIDE, in_flight_count=19)
    read(harness, full)
    commit = commit_of(harness.queue_read(queue_node(7, "b@2", "m7"), queue_node(8, "b@2", "m8")))
    assert numbers_of(commit) == [7]
    assert commit.after.head == ActingHead("m1", QUEUE_NUMBER)
    assert harness.committed() is None
    assert harness.notes == ["members-admitted"]
    assert harness.turn.granted is None
    pause_s = 4 * SHORTEST_PAUSE_S
    assert harness.turn.deadline == pause_s
    assert isinstance(harness.tick(pause_s), ReadRecord)
    assert read(harness, replace(full, in_flight_count=20, head=commit.after.head)) is None
    assert harness.notes == ["turn-next"]
    assert harness.turn.deadline == GRACE_S / 3, "a survey"


def test_the_head_collects_before_its_next_batch() -> None:
    """A change during the pause leads to no request before its end."""
    harness = head()
    read(harness, replace(WIDE, in_flight_count=19))
    harness.queue_read(queue_node(7, "b@2", "m7"), queue_node(8, "b@2", "m8"))
    harness.committed()
    assert harness.touched(GroupPart.IN_FLIGHT) is None
    assert isinstance(harness.tick(4 * SHORTEST_PAUSE_S), ReadRecord)


def test_the_queue_is_read_again_before_the_head_admits_itself() -> None:
    """Others may have queued meanwhile, and only their nodes are read."""
    harness = head()
    read(harness, replace(WIDE, in_flight_count=19))
    harness.queue_read(queue_node(6, "b@2", "m6"), queue_node(7, "b@2", "m7"))
    harness.committed()
    harness.touched(GroupPart.IN_FLIGHT)
    assert isinstance(harness.tick(1), ReadRecord)
    again = read(harness, replace(WIDE, in_flight_count=10))
    assert isinstance(again, ReadQueue)
    assert again.known == {7}
    commit = commit_of(harness.queue_read(queue_node(8, "b@2", "m8"), known=(7,)))
    assert numbers_of(commit) == [8, 7, QUEUE_NUMBER]


def test_a_batch_without_the_head_needs_no_second_read() -> None:
    """What the head knows of the queue is enough, as a wrong node costs no more than a conflict."""
    harness = head()
    read(harness, replace(WIDE, in_flight_count=19))
    harness.queue_read(*(queue_node(number, "b@2", f"m{number}") for number in range(7, 12)))
    harness.committed()
    harness.touched(GroupPart.IN_FLIGHT)
    harness.tick(1)
    commit = commit_of(read(harness, replace(WIDE, in_flight_count=18)))
    assert numbers_of(commit) == [9, 8]


def test_a_head_that_finds_no_room_does_not_read_the_queue() -> None:
    """It waits, and surveys those in flight; the queue is read once there is room."""
    harness = head()
    assert read(harness, replace(WIDE, in_flight_count=20)) is None
    assert harness.notes == ["turn-next"]
    harness.touched(GroupPart.IN_FLIGHT)
    assert isinstance(read(harness, replace(WIDE, in_flight_count=19)), ReadQueue)


def test_a_head_that_finds_no_room_surveys_less_and_less_often() -> None:
    """While no member is missing, the time between two surveys grows up to the grace period."""
    harness = head()
    full = replace(WIDE, in_flight={"m2": entry_of("b@2", "m2-turn")}, in_flight_count=20)
    read(harness, full)
    for growth in (1, 2, 3, 3):
        due = harness.turn.deadline or 0
        assert due == pytest.approx(harness.now + GRACE_S * growth / 3)
        request = harness.tick(due - harness.now)
        assert isinstance(request, ReadRecord)
        assert request.survey
        assert read(harness, full) is None


def test_a_queue_node_that_is_gone_is_left_out() -> None:
    """The commit is refused because of it, and the others are admitted without it."""
    harness = leading(7, 8)
    again = harness.refused(Conflict.QUEUE_NODE, 7)
    assert isinstance(again, ReadQueue)
    assert 7 not in again.known
    commit = commit_of(harness.queue_read(known=(8,)))
    assert numbers_of(commit) == [8, QUEUE_NUMBER]


def test_the_own_queue_node_is_searched_for_if_it_is_gone() -> None:
    """Another member may have admitted this one, so the record decides."""
    harness = leading(7)
    assert isinstance(harness.refused(Conflict.QUEUE_NODE, QUEUE_NUMBER), FindQueueNode)
    assert isinstance(harness.found(None), ReadRecord)
    own = replace(WIDE, in_flight={"m1": entry_of("b@2", "a")}, in_flight_count=1)
    assert read(harness, own) is None
    assert harness.turn.granted == snapshot("b@2")
    assert not harness.turn.may_stop(0)


def test_a_batch_on_another_record_is_decided_anew() -> None:
    """The record is read again; what is known of the queue is kept."""
    harness = leading(7)
    assert isinstance(harness.refused(Conflict.RECORD), ReadRecord)
    commit = commit_of(read(harness, replace(WIDE, in_flight_count=5)))
    assert numbers_of(commit) == [7, QUEUE_NUMBER]


def test_many_heads_do_not_retry_at_once() -> None:
    """With many members in flight the next attempt follows after a moment of its own."""
    harness = leading(7)
    harness.refused(Conflict.RECORD)
    read(harness, replace(WIDE, in_flight_count=19))
    assert isinstance(harness.last, CommitRecord)
    assert harness.refused(Conflict.RECORD) is None
    assert harness.turn.deadline is not None
    assert 0 < harness.turn.deadline < 1
    assert isinstance(harness.tick(1), ReadRecord)


def test_a_batch_whose_answer_was_lost() -> None:
    """The queue is read anew: those that were admitted are not in it any more."""
    harness = head()
    read(harness, replace(WIDE, in_flight_count=19))
    harness.queue_read(queue_node(7, "b@2", "m7"), queue_node(8, "b@2", "m8"))
    assert harness.failed() is None
    assert isinstance(harness.tick(1), Enrol)
    assert isinstance(harness.enrolled(), ReadRecord)
    acting = ActingHead("m1", QUEUE_NUMBER)
    done = replace(WIDE, in_flight_count=19, head=acting, last_admitted=-1)
    request = read(harness, done)
    assert isinstance(request, FindQueueNode)
    request = harness.found(QUEUE_NUMBER)
    assert isinstance(request, ReadQueue)
    assert request.known == frozenset()


def test_newer_content_renews_the_node_of_the_head() -> None:
    """The head admits members to the newest version that it has read, and to no other."""
    harness = head()
    read(harness, replace(WIDE, in_flight_count=20))
    request = harness.request("c@3")
    assert isinstance(request, RenewQueueNode)
    assert request.queued.digest == named("c@3").digest
    assert harness.happen(QueueNodeRenewed(harness.number)) is None
    harness.touched(GroupPart.IN_FLIGHT)
    commit = commit_of(read(harness, replace(WIDE, in_flight_count=0)))
    assert commit.tried == named("c@3").digest
    assert numbers_of(commit) == [QUEUE_NUMBER], "it is untried, and tried by one member alone"


def test_the_head_admits_members_of_the_open_zone_first() -> None:
    """A head of another zone reads the queue, also in a narrow rollout."""
    harness = head("west")
    assert isinstance(read(harness, ZONED), ReadQueue)
    waiting = [queue_node(7, "b@2", "m7", "west"), queue_node(8, "b@2", "m8", "east")]
    commit = commit_of(harness.queue_read(*waiting))
    assert numbers_of(commit) == [8]
    assert commit.after.zone == "east"
    assert commit.after.head == ActingHead("m1", QUEUE_NUMBER)


def test_the_head_waits_for_another_zone() -> None:
    """If no member of the open zone waits, the head waits until none is in flight."""
    harness = head("west")
    read(harness, ZONED)
    assert harness.queue_read() is None
    assert harness.notes == ["turn-next"]
    harness.touched(GroupPart.IN_FLIGHT)
    read(harness, replace(ZONED, in_flight_count=0))
    commit = commit_of(harness.queue_read())
    assert commit.after.zone == "west"
    assert commit.after.in_flight["m1"].zone == "west"


def test_an_unavailable_member_goes_before_the_head() -> None:
    """Unavailable members take all room, so the head finds out whether one of them waits."""
    harness = head()
    ill = replace(CHAIN, max_unavailable=limit(1, "m2"), unavailable=frozenset({"m7"}))
    assert isinstance(read(harness, ill), ReadQueue)
    commit = commit_of(harness.queue_read(queue_node(6, "b@2", "m6"), queue_node(7, "b@2", "m7")))
    assert numbers_of(commit) == [7]


def test_the_limit_of_a_member_that_is_gone_does_not_last() -> None:
    """The head finds out whether the member that requested a smaller limit is alive."""
    harness = TurnHarness(replace(POLICY, max_unavailable=MaxUnavailable(5)))
    small = replace(CHAIN, max_unavailable=limit(1, "m2"))
    harness.begin(small)
    harness.request("b@2")
    harness.queue_joined()
    harness.nodes_read(before=False)
    request = harness.last
    assert isinstance(request, ReadRecord)
    harness.read(replace(small, last_admitted=QUEUE_NUMBER - 1, in_flight_count=1))
    request = harness.touched(GroupPart.IN_FLIGHT)
    assert isinstance(request, ReadRecord)
    assert request.limits
    commit = commit_of(harness.read(small, alive=frozenset()))
    assert commit.after.max_unavailable == limit(5, "m1")


def test_a_smaller_max_failed_is_requested_again() -> None:
    """Another member has replaced it meanwhile, although this one is alive."""
    harness = TurnHarness(replace(POLICY, max_failed=MaxFailed(1)))
    harness.begin(CHAIN)
    larger = replace(CHAIN, max_failed=AgreedMaxFailed(MaxFailed(5), "m2"))
    harness.request("b@2")
    harness.queue_joined()
    harness.nodes_read(before=False)
    commit = commit_of(harness.read(replace(larger, last_admitted=QUEUE_NUMBER - 1)))
    assert commit.after.max_failed == AgreedMaxFailed(MaxFailed(1), "m1")


def test_the_limits_of_a_new_record_are_read_with_their_requesters() -> None:
    """The record was deleted, and the new one has a member in flight but no limits yet."""
    harness = TurnHarness()
    harness.begin(CHAIN)
    harness.request("b@2")
    harness.queue_joined()
    harness.nodes_read(before=False)
    new = replace(CHAIN, max_unavailable=None, max_failed=None, in_flight_count=1)
    harness.read(replace(new, last_admitted=QUEUE_NUMBER - 1))
    request = harness.touched(GroupPart.IN_FLIGHT)
    assert isinstance(request, ReadRecord)
    assert request.limits


def test_an_unavailable_member_does_not_wait_for_another_zone() -> None:
    """It takes the room of all zones, so its own zone is opened for it."""
    harness = head("west")
    ill = replace(CHAIN, max_unavailable=limit(1, "m2"), zone="west", unavailable=frozenset({"m7"}))
    assert isinstance(read(harness, ill), ReadQueue)
    waiting = (queue_node(6, "b@2", "m6", zone="west"), queue_node(7, "b@2", "m7", zone="east"))
    commit = commit_of(harness.queue_read(*waiting))
    assert numbers_of(commit) == [7]
    assert commit.after.zone == "east"


def test_an_unavailable_member_that_wants_something_else_is_let_past() -> None:
    """The head cannot admit it, and has no room because of it: it queues again at the end."""
    harness = head()
    ill = replace(CHAIN, max_unavailable=limit(1, "m2"), unavailable=frozenset({"m7"}))
    read(harness, ill)
    request = harness.queue_read(queue_node(6, "b@2", "m6"), queue_node(7, "c@3", "m7"))
    assert isinstance(request, LeaveQueue)
    assert isinstance(harness.queue_left(), JoinQueue)


def test_a_member_in_front_waits_for_an_acting_head_behind_it() -> None:
    """A head that was admitted late in the queue goes on, unless its node is gone."""
    harness = head()
    acting = replace(WIDE, in_flight_count=20, head=ActingHead("m9", 8))
    assert read(harness, acting) == WatchQueueNodes(6, QUEUE_NUMBER, 8, is_own_watched=True)
    assert harness.nodes_read() is None
    assert isinstance(harness.touched(GroupPart.PREDECESSOR), ReadRecord)
    assert isinstance(read(harness, WIDE), ListQueue)
    assert isinstance(harness.listed(QUEUE_NUMBER), ReadQueue)


def test_an_acting_head_that_is_gone_already_is_not_waited_for() -> None:
    """Then this member acts in its place."""
    harness = head()
    acting = replace(WIDE, in_flight_count=5, head=ActingHead("m9", 8))
    assert isinstance(read(harness, acting), WatchQueueNodes)
    assert isinstance(harness.nodes_read(before=False), ReadRecord)
    assert isinstance(read(harness, acting), ListQueue)
    assert isinstance(harness.listed(QUEUE_NUMBER), ReadQueue)


def test_a_member_acts_for_a_head_that_hangs() -> None:
    """The same decisions and room at two reads, two session timeouts apart, show that it hangs."""
    harness = TurnHarness(replace(POLICY, max_unavailable=MaxUnavailable(20)))
    harness.begin(WIDE)
    harness.request("b@2")
    harness.queue_joined()
    harness.nodes_read(before=False)
    hanging = replace(WIDE, head=ActingHead("m2", 2), last_admitted=-1, in_flight_count=3)
    assert isinstance(read(harness, hanging), WatchQueueNodes)
    harness.nodes_read()
    assert harness.turn.deadline == 24
    assert harness.tick(23) is None
    assert isinstance(harness.tick(1), ReadRecord)
    assert isinstance(read(harness, hanging), ReadQueue)
    commit = commit_of(harness.queue_read(queue_node(7, "b@2", "m7")))
    assert numbers_of(commit) == [7, QUEUE_NUMBER]


@pytest.mark.parametrize(
    "second",
    [
        {"in_flight_count": 20},
        {"paused": Pause("operator", "maintenance")},
    ],
)
def test_a_head_without_anything_to_do_does_not_hang(second: dict[str, object]) -> None:
    """Without room, or in a pause, no member acts in its place."""
    harness = TurnHarness(replace(POLICY, max_unavailable=MaxUnavailable(20)))
    harness.begin(WIDE)
    harness.request("b@2")
    harness.queue_joined()
    harness.nodes_read(before=False)
    hanging = replace(WIDE, head=ActingHead("m2", 2), last_admitted=-1, in_flight_count=3)
    read(harness, hanging)
    harness.nodes_read()
    assert isinstance(harness.tick(24), ReadRecord)
    assert read(harness, replace(hanging, **second)) is None
    assert harness.turn.deadline == 48
