"""Check whom the head of the queue admits at once, and how often it does."""

import pytest

from core.records import known_good, limit, not_good, population, version
from zkexec.core.policy import MaxUnavailable
from zkexec.core.rollout.admissions import (
    LONGEST_PAUSE_S,
    MOST_AT_ONCE,
    SHORTEST_PAUSE_S,
    Admissions,
    Batch,
    batch_of,
)
from zkexec.core.rollout.group_events import QueueRead
from zkexec.core.rollout.queued_member import QueuedMember, QueueNode
from zkexec.core.rollout.record import ActingHead, Hold, Refusal, RolloutRecord
from zkexec.frozen import replace

B = version("b@2")
WIDE = RolloutRecord(
    versions={"b": known_good(2, succeeded=1000)},
    max_unavailable=limit(20),
    population=population(100),
)


def node(number: int, digest: str = "b", *, zone: str = "") -> QueueNode:
    """Return the queue node of the member with this number."""
    queued = QueuedMember(f"m{number}", f"t{number}", digest, zone)
    return QueueNode(number, 0, queued)


OWN = node(1)


def batch(record: RolloutRecord, *others: QueueNode, own: QueueNode = OWN) -> Batch | Refusal:
    """Let the member with the first queue node admit."""
    return batch_of(record, others, own, B)


def numbers(found: Batch | Refusal) -> list[int]:
    """Return the numbers of the nodes that are admitted, in their order."""
    assert isinstance(found, Batch)
    return [each.number for each in found.nodes]


def test_the_head_admits_itself_last() -> None:
    """The others are admitted in the order of the queue; then no head acts any more."""
    found = batch(WIDE, node(3), node(2), node(1), node(7))
    assert numbers(found) == [2, 3, 7, 1]
    assert isinstance(found, Batch)
    assert found.record.in_flight.keys() == {"m1", "m2", "m3", "m7"}
    assert (found.record.head, found.record.last_admitted) == (None, -1)
    assert found.record.in_flight["m3"].token == "t3"  # noqa: S105 -- no password
    assert found.record.in_flight["m3"].zxid == 2


def test_the_head_stays_while_others_take_the_room() -> None:
    """It is named in the record, with its number, until it is admitted itself."""
    found = batch(replace(WIDE, in_flight_count=18), node(2), node(3), node(4))
    assert numbers(found) == [2, 3]
    assert isinstance(found, Batch)
    assert found.record.head == ActingHead("m1", 1)


def test_the_head_acts_since_its_first_batch() -> None:
    """A later batch of the same head leaves the time as it is; another head has its own."""
    acting = ActingHead("m1", 1, since=50.0)
    full = replace(WIDE, in_flight_count=19, head=acting)
    found = batch(full, node(2), node(3))
    assert isinstance(found, Batch)
    assert found.record.head == acting
    other = batch(replace(full, head=ActingHead("m0", 0, since=50.0)), node(2), node(3))
    assert isinstance(other, Batch)
    assert other.record.head == ActingHead("m1", 1)


def test_only_members_that_want_the_version_are_admitted() -> None:
    """The head does not know whether another version may be tried."""
    assert numbers(batch(WIDE, node(2, "c"), node(3), node(4, "?"))) == [3, 1]


def test_one_transaction_admits_a_limited_number() -> None:
    """The others follow in the next batch."""
    wide = replace(WIDE, max_unavailable=limit(2000))
    found = batch(wide, *(node(number) for number in range(2, 700)))
    assert numbers(found) == list(range(2, 2 + MOST_AT_ONCE))


@pytest.mark.parametrize(
    ("record", "refusal"),
    [
        (replace(WIDE, in_flight_count=20), Refusal.FULL),
        (replace(WIDE, in_flight_count=1, zone="east"), Refusal.ZONE),
        (replace(WIDE, versions={"b": not_good(2, "m9")}), Refusal.FAILED),
        (replace(WIDE, hold=Hold(MaxUnavailable(0), "operator", "")), Refusal.HELD),
    ],
)
def test_a_batch_is_refused_with_its_reason(record: RolloutRecord, refusal: Refusal) -> None:
    """If no member can be admitted, the head gets the reason."""
    assert batch(record, node(2), node(3)) is refusal


def test_a_hold_limits_a_batch() -> None:
    """No more members are admitted than may get the version, the head itself included."""
    held = replace(
        WIDE,
        versions={"b": known_good(2, succeeded=10)},
        hold=Hold(MaxUnavailable(12), "operator", "twelve first"),
    )
    assert numbers(batch(held, node(2), node(3), node(4))) == [2, 3]


def test_the_ramp_limits_a_batch() -> None:
    """Twice as many as have succeeded are in flight after it."""
    ramp = replace(WIDE, versions={"b": known_good(2, succeeded=1)})
    assert numbers(batch(ramp, node(2), node(3), node(4))) == [2, 3]


EAST, WEST = {"zone": "east"}, {"zone": "west"}


def test_the_open_zone_is_finished_first() -> None:
    """Members of it that wait are admitted before those of another zone, also before the head."""
    opened = replace(WIDE, zone="east", in_flight_count=1)
    waiting = [node(2, zone="west"), node(3, zone="east"), node(4, zone="east")]
    found = batch(opened, *waiting, own=node(1, zone="west"))
    assert numbers(found) == [3, 4]
    free = replace(opened, in_flight_count=0)
    assert numbers(batch(free, *waiting, own=node(1, zone="west"))) == [3, 4]


def test_the_next_zone_is_that_of_the_first_in_the_queue() -> None:
    """If no member of the open zone waits or is in flight, another one is opened."""
    closed = replace(WIDE, zone="north")
    waiting = [node(2, zone="west"), node(3, zone="east"), node(4, zone="west")]
    found = batch(closed, *waiting, own=node(1, zone="east"))
    assert numbers(found) == [2, 4]
    assert isinstance(found, Batch)
    assert found.record.zone == "west"
    assert found.record.head == ActingHead("m1", 1)


def test_a_head_of_the_next_zone_opens_it() -> None:
    """It admits the members of its own zone, and itself."""
    closed = replace(WIDE, zone="north")
    waiting = [node(2, zone="west"), node(3, zone="east")]
    assert numbers(batch(closed, waiting[1], own=node(1, zone="east"))) == [3, 1]


def test_an_unavailable_member_may_always_take_its_turn() -> None:
    """Unavailable members take all room: the first of them is admitted, and no healthy one."""
    ill = replace(WIDE, max_unavailable=limit(2), unavailable=frozenset({"m3", "m4"}))
    assert batch(ill) is Refusal.FULL
    assert numbers(batch(ill, node(2), node(3), node(5))) == [3]


def test_every_unavailable_member_may_take_its_turn() -> None:
    """More members are unavailable than may be, and a fix reaches them all the same."""
    ill = replace(WIDE, max_unavailable=limit(1), unavailable=frozenset({"m3", "m4", "m5"}))
    assert numbers(batch(ill, node(2), node(3), node(4))) == [3]
    assert batch(replace(ill, in_flight_count=1), node(2), node(4)) is Refusal.FULL


def admissions(*nodes: QueueNode) -> Admissions:
    """Return what a head knows that has read these nodes."""
    own = Admissions()
    own.read(QueueRead(1, frozenset(each.number for each in nodes), nodes))
    return own


def known_to(of: Admissions) -> set[int]:
    """Return the numbers of the nodes that need not be read again."""
    return set(of.known(B))


def is_known(of: Admissions) -> bool:
    """Whether the queue was read since the member became the head."""
    return of.is_known


def test_the_queue_is_read_once() -> None:
    """Later reads give only what is new, and show which nodes are gone."""
    own = admissions(node(2), node(3))
    assert (own.is_read, is_known(own)) == (True, True)
    assert own.nodes == (node(2), node(3))
    own.read(QueueRead(2, frozenset({3, 4}), (node(4),)))
    assert own.nodes == (node(3), node(4))
    own.drop([3, None])
    assert known_to(own) == {4}
    own.forget()
    assert known_to(own) == set()
    assert not is_known(own)


def test_a_node_that_wanted_another_version_is_read_again() -> None:
    """Its member may have renewed it since; the node keeps its number."""
    own = admissions(node(2), node(3, "a"))
    assert known_to(own) == {2}
    own.read(QueueRead(2, frozenset({2, 3}), (node(3),)))
    assert known_to(own) == {2, 3}
    assert own.nodes == (node(2), node(3))


def due(of: Admissions) -> float | None:
    """Return when the next batch may be admitted."""
    return of.next_at


def pauses(allowed: int, *counts: int) -> list[float]:
    """Admit batches of these sizes; return the pauses after them."""
    own, found = Admissions(), []
    for count in counts:
        own.admitted(count, allowed, 100.0)
        found.append(round((due(own) or 0) - 100.0, 3))
    return found


def test_the_pause_adapts_to_the_size_of_the_batches() -> None:
    """A batch should have a fiftieth of those in flight: smaller ones make the pause longer."""
    assert pauses(500, 10, 10) == [SHORTEST_PAUSE_S, SHORTEST_PAUSE_S]
    assert pauses(500, 5, 5, 5, 5, 5) == [0.2, 0.4, 0.8, LONGEST_PAUSE_S, LONGEST_PAUSE_S]
    assert pauses(500, 5, 20, 100) == [0.2, SHORTEST_PAUSE_S, SHORTEST_PAUSE_S]


def test_in_a_narrow_rollout_a_batch_has_four_members() -> None:
    """A smaller batch would cost more requests for each member than it saves time."""
    assert pauses(20, 4, 2) == [SHORTEST_PAUSE_S, 0.2]


def test_with_few_in_flight_no_pause_is_made() -> None:
    """Each turn that ends is followed by the next one at once."""
    own = Admissions()
    own.admitted(1, 16, 100.0)
    assert due(own) is None
    own.collect(100.0)
    assert due(own) is None


def test_turns_that_end_are_collected() -> None:
    """If many are in flight, a head that has waited for room waits for a few more."""
    own = Admissions()
    own.admitted(10, 500, 100.0)
    own.go_on(101.0)
    own.collect(103.0)
    own.collect(103.05)
    assert due(own) == 103.1


def test_a_pause_ends() -> None:
    """The next batch is admitted once its time has come."""
    own = Admissions()
    own.go_on(0)
    assert own.next_at is None
    own.admitted(10, 500, 100.0)
    own.go_on(100.05)
    assert due(own) == 100.1
    own.go_on(100.1)
    assert due(own) is None


def test_another_head_begins_with_the_shortest_pause() -> None:
    """What a head has found out about the queue ends with its being the head."""
    own = Admissions()
    own.admitted(1, 500, 100.0)
    own.forget()
    assert due(own) is None
    own.admitted(10, 500, 100.0)
    assert due(own) == 100.0 + SHORTEST_PAUSE_S
