"""The requests on a group's znodes, played without a server."""

from collections.abc import Sequence
from typing import Any

import pytest

from support.dialogue_player import Turn, at, play
from zkexec.core.rollout.group_actions import CommitRecord, Enrol, JoinQueue, ReadRecord
from zkexec.core.rollout.group_events import (
    CommitRefused,
    Conflict,
    Enrolled,
    EnrolmentOccupied,
    GroupPart,
    QueueJoined,
    RecordCommitted,
    RecordRead,
)
from zkexec.core.rollout.record import InFlightEntry, RolloutRecord
from zkexec.core.turn import MemberStatus
from zkexec.group import record_codec
from zkexec.group.member_codec import StatusFacts, encode_status
from zkexec.group.member_node import MemberNode
from zkexec.group.member_profile import MemberProfile, PhaseTime, Writer
from zkexec.group.store import GroupStore, Paths
from zkexec.zookeeper.errors import (
    BadVersionError,
    NoAuthError,
    NodeExistsError,
    NoNodeError,
    NotTriedError,
    RefusedError,
    RolledBackError,
)
from zkexec.zookeeper.requests import (
    Check,
    Children,
    Create,
    Delete,
    Dialogue,
    Exists,
    Get,
    Operation,
    SetContent,
    Transaction,
)
from zkexec.zookeeper.values import OPEN_ACL

NOW, SESSION = 1000.0, 77
STATUS = MemberStatus("running", "d", "d", "healthy")
BASE = "/root/g"
STATE, OWN = f"{BASE}/state", f"{BASE}/members/m1"


def store() -> GroupStore:
    """The znodes of the group /g below the chroot /root, on a new connection."""
    writer = Writer("this-host", 1, lambda: NOW)
    profile = MemberProfile("/g", "m1", "lock file of m1", "1", PhaseTime(), writer=writer)
    return GroupStore(profile, Paths("/root", "/g"))


class Node:
    """A member's node, what runs beside it, and how often it was reported as touched."""

    def __init__(self) -> None:
        self.aside: list[Dialogue] = []
        self.touched = 0
        self.node = MemberNode(store(), SESSION, self.aside.append, self._touch, lambda _: False)

    def _touch(self) -> None:
        self.touched += 1

    def enrol(self) -> None:
        """Make the node, which is not there."""
        create = Create(OWN, status_content(), OPEN_ACL, ephemeral=True)
        watched = ((), at(5, version=0, ephemeral_owner=SESSION))
        enrolled = play(
            self.node.enrol(Enrol(1, STATUS)),
            (
                [Exists(STATE), Exists(f"{BASE}/queue"), create],
                [at(1), at(1), OWN],
            ),
            ([Children(OWN, GroupPart.OWN_NODE)], [watched]),
        )
        assert enrolled == Enrolled(1)


def status_content() -> bytes:
    """What the own node contains at first."""
    node = MemberNode(store(), SESSION, lambda _: None, lambda: None, lambda _: False)
    (_, _, create) = next(node.enrol(Enrol(1, STATUS)))
    assert isinstance(create, Create)
    return create.content


def write(operations: Sequence[Any], _: MemberStatus | None) -> Dialogue:
    """Do these operations at once, without a status."""
    (results,) = yield [Transaction(operations)]
    return results


def test_a_record_that_is_missing_is_watched() -> None:
    """If there is no record yet, a second request watches for its making."""
    event = play(
        store().read(ReadRecord(4, watch=True)),
        ([Get(STATE, GroupPart.RECORD)], [NoNodeError(STATE)]),
        ([Exists(STATE, GroupPart.RECORD), Get(STATE)], [None, NoNodeError(STATE)]),
        ([Exists(f"{BASE}/members")], [None]),
    )
    assert event == RecordRead(4, RolloutRecord(), -1, frozenset(), 0)


def test_members_in_flight_are_watched_until_they_end() -> None:
    """A member in flight is asked for once on a connection, and again after its watch fired."""
    one = store()
    record = RolloutRecord(in_flight={"m2": InFlightEntry("t", "d", 1, since=NOW)})
    content = record_codec.encode(record, NOW), at(8, version=3)
    path = f"{BASE}/members/m2"
    reading = ([Get(STATE, GroupPart.RECORD)], [content])
    asking = ([Children(path, GroupPart.IN_FLIGHT)], [((), at(2, ephemeral_owner=9))])
    counting = ([Exists(f"{BASE}/members")], [at(1, num_children=2)])
    event = RecordRead(4, record, 3, frozenset({"m2"}), 2)
    request = ReadRecord(4, watch=True)
    assert play(one.read(request), reading, asking, counting) == event
    assert play(one.read(request), reading, counting) == event
    one.fired(GroupPart.IN_FLIGHT, path)
    assert play(one.read(request), reading, asking, counting) == event


def test_a_member_that_may_not_be_seen_counts_as_alive() -> None:
    """A node without a permission to read it is there, but no watch on it is relied on."""
    one = store()
    record = RolloutRecord(in_flight={"m2": InFlightEntry("t", "d", 1, since=NOW)})
    path = f"{BASE}/members/m2"
    turns: list[Turn] = [
        ([Get(STATE, GroupPart.RECORD)], [(record_codec.encode(record, NOW), at(8))]),
        ([Children(path, GroupPart.IN_FLIGHT)], [NoAuthError(path)]),
        ([Exists(f"{BASE}/members")], [at(1)]),
    ]
    for _ in range(2):
        assert play(one.read(ReadRecord(4, watch=True)), *turns).alive == {"m2"}


def test_an_unreadable_record_is_refused_by_its_path() -> None:
    """The reason names the path as the operator knows it, without the chroot."""
    with pytest.raises(RefusedError, match=r"^/g/state: the record is no valid JSON$"):
        play(store().read(ReadRecord(4, watch=False)), ([Get(STATE)], [(b"rubbish", at(1))]))
    with pytest.raises(RefusedError, match=r"^/g/state: the cluster gives no permission"):
        play(store().read(ReadRecord(4, watch=False)), ([Get(STATE)], [NoAuthError(STATE)]))


def test_a_commit_checks_what_it_rests_on() -> None:
    """Queue node, inputs and record are checked in the one transaction that writes the record."""
    queue_node = f"{BASE}/queue/t-0000000001"
    request = CommitRecord(5, RolloutRecord(), 3, {"/in": 7}, "t-0000000001")
    operations: list[Operation] = [
        Check(queue_node),
        Check("/root/in", 7),
        SetContent(STATE, record_codec.encode(RolloutRecord(), NOW), 3),
        Delete(queue_node),
    ]
    batch = [Transaction(operations)]
    done = play(store().commit(request, write), (batch, [(None, None, at(9), None)]))
    assert done == RecordCommitted(5)
    for index, error, conflict in (
        (0, NoNodeError(queue_node), Conflict.QUEUE_NODE),
        (1, BadVersionError("/root/in"), Conflict.CONFIGURATION),
        (2, BadVersionError(STATE), Conflict.RECORD),
    ):
        outcomes = [
            error if each == index else RolledBackError() if each < index else NotTriedError()
            for each in range(len(operations))
        ]
        refused = play(store().commit(request, write), (batch, [outcomes]))
        assert refused == CommitRefused(5, conflict)
    refusal = [RolledBackError(), RolledBackError(), NoAuthError(STATE), NotTriedError()]
    with pytest.raises(RefusedError, match=r"^/g/state: the cluster gives no permission"):
        play(store().commit(request, write), (batch, [refusal]))


def test_joining_the_queue() -> None:
    """The queue node is ephemeral and sequential, and its name is what the server made of it."""
    create = Create(f"{BASE}/queue/t-", b"m1", OPEN_ACL, ephemeral=True, sequential=True)
    made = [f"{BASE}/queue/t-0000000003"]
    joined = play(store().queue(JoinQueue(2, "t"), write), ([Transaction([create])], [made]))
    assert joined == QueueJoined(2, "t-0000000003")


def test_enrolling_over_another_process() -> None:
    """A node of another living process is left alone, and the own status is shown beside it."""
    one = Node()
    create = Create(OWN, status_content(), OPEN_ACL, ephemeral=True)
    facts = StatusFacts("other-host", 12, "0.1.0", "another lock file", "1", NOW)
    found = encode_status(STATUS, facts), at(3, ephemeral_owner=55)
    dialogue = one.node.enrol(Enrol(6, STATUS))
    assert next(dialogue) == [Exists(STATE), Exists(f"{BASE}/queue"), create]
    assert dialogue.send([at(1), at(1), NodeExistsError(OWN)]) == [Get(OWN)]
    (beside,) = dialogue.send([found])
    assert isinstance(beside, Get)
    assert beside.path.startswith(f"{OWN}~")
    (made,) = dialogue.send([NoNodeError(beside.path)])
    assert isinstance(made, Create)
    assert made.ephemeral
    with pytest.raises(StopIteration) as end:
        dialogue.send([beside.path])
    assert end.value.value == EnrolmentOccupied(6, "other-host, pid 12")


def test_only_the_newest_status_waits() -> None:
    """While a status is being written only the newest of those that come meanwhile is kept."""
    one = Node()
    one.enrol()
    writing_first = one.node.publish(STATUS)
    (first,) = next(writing_first)
    assert isinstance(first, SetContent)
    assert first.version == 0
    for health in ("unhealthy", "unknown"):
        assert play(one.node.publish(MemberStatus("running", "d", "d", health))) is None
    (second,) = writing_first.send([at(6, version=1)])
    assert isinstance(second, SetContent)
    assert second.version == 1
    assert b"unknown" in second.content
    with pytest.raises(StopIteration):
        writing_first.send([at(7, version=2)])
    assert one.touched == 0


def test_a_status_that_another_has_overwritten() -> None:
    """If the node has another version than was written last, it is reported, once."""
    one = Node()
    one.enrol()
    writing_it = one.node.publish(STATUS)
    next(writing_it)
    with pytest.raises(StopIteration):
        writing_it.send([BadVersionError(OWN)])
    assert one.touched == 1
    assert play(one.node.publish(STATUS)) is None
    play(one.node.fired())
    assert one.touched == 1


def test_the_end_of_the_own_node() -> None:
    """If the watch of the own node fires, that is reported."""
    one = Node()
    play(one.node.fired())
    assert one.touched == 0
    one.enrol()
    play(one.node.fired())
    assert one.touched == 1


def test_a_status_never_makes_a_commit_fail() -> None:
    """If the own node makes a transaction fail, the same operations are done without it."""
    one = Node()
    one.enrol()
    operations = [Check(STATE, 3)]
    dialogue = one.node.write(operations, STATUS)
    (batch,) = next(dialogue)
    assert isinstance(batch, Transaction)
    assert [type(each) for each in batch.operations] == [Check, SetContent]
    assert dialogue.send([[RolledBackError(), BadVersionError(OWN)]]) == [Transaction(operations)]
    with pytest.raises(StopIteration) as end:
        dialogue.send([[None]])
    assert end.value.value == [None]
    assert one.touched == 1
