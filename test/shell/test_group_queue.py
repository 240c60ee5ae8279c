"""The queue and the record as they are read from real servers, and whom a change of them wakes."""

import pytest
from kazoo.client import KazooClient
from kazoo.security import ACL, Id

from support.posted_events import (
    ConnectedMember,
    connected_member,
    ensemble_of,
    group_place,
)
from support.proxy import (
    CHILDREN2,
    GET,
    GET_EPHEMERALS,
    MULTI_READ,
    SYNC,
    Proxy,
)
from support.zookeeper import Server, can_read_at_once, demand_reading_at_once
from zkexec.core.events import SessionConnected, SessionSuspended
from zkexec.core.rollout.group_actions import (
    FindQueueNode,
    LeaveQueue,
    ListQueue,
    ReadQueue,
    ReadRecord,
    RenewQueueNode,
    Watch,
    WatchQueueNodes,
)
from zkexec.core.rollout.group_events import (
    GroupPart,
    GroupTouched,
    QueueLeft,
    QueueListed,
    QueueNodeFound,
    QueueNodeRenewed,
    QueueNodesRead,
    QueueRead,
)
from zkexec.core.rollout.queued_member import QueuedMember
from zkexec.core.rollout.record import InFlightEntry, RolloutRecord
from zkexec.core.rollout.record_basis import RecordBasis
from zkexec.core.rollout.version import ConfigVersion
from zkexec.core.turn import MemberStatus
from zkexec.frozen import replace

VERSION = ConfigVersion("d", 1, "s")


def touched(member: ConnectedMember) -> list[GroupPart]:
    """The parts of the group whose watches have fired and were not read since."""
    return [event.part for event in member.posted.since_mark(GroupTouched)]


def numbers(member: ConnectedMember) -> list[int]:
    """The numbers of all queue nodes, sorted."""
    return sorted(member.get(QueueListed, ListQueue(0)).numbers)


def watched(member: ConnectedMember, own: int, before: int) -> tuple[bool, bool]:
    """Whether the own queue node and the one before it exist; both are watched."""
    found = member.get(QueueNodesRead, WatchQueueNodes(0, own, before))
    return found.is_own_there, found.is_before_there


def admitted(record: RolloutRecord, *members: str) -> RolloutRecord:
    """The record with these members in flight."""
    entries = {name: InFlightEntry("t", "d", 1, since=1.0) for name in members}
    return replace(record, in_flight=entries)


def test_a_place_in_the_queue(zookeeper: Server, client: KazooClient, root: str) -> None:
    """A queue node has a growing number, belongs to its session, and is found by its token."""
    with connected_member(zookeeper.hosts, group=group_place(root)) as member:
        member.enrol()
        assert numbers(member) == []
        assert [member.join("first"), member.join("second", "e", "east")] == [0, 1]
        assert numbers(member) == [0, 1]
        stat = client.exists(f"{root}/queue/q-0000000000")
        assert stat.ephemeralOwner == client.exists(f"{root}/members/m1").ephemeralOwner
        assert member.get(QueueNodeFound, FindQueueNode(0, "second")).queue_number == 1
        assert member.get(QueueNodeFound, FindQueueNode(0, "third")).queue_number is None
        _, second = member.get(QueueRead, ReadQueue(0)).nodes
        assert second.queued == QueuedMember("m1", "second", "e", "east")
        assert member.get(QueueLeft, LeaveQueue(0, 0)).was_there
        assert numbers(member) == [1]
        assert not member.get(QueueLeft, LeaveQueue(0, 0)).was_there


def test_the_queue_node_of_another_session_is_not_the_own_one(zookeeper: Server, root: str) -> None:
    """A node with the same token that another session has made is not found."""
    with (
        connected_member(zookeeper.hosts, group=group_place(root, "m1")) as first,
        connected_member(zookeeper.hosts, group=group_place(root, "m2")) as second,
    ):
        first.enrol()
        first.join("token")
        assert first.get(QueueNodeFound, FindQueueNode(0, "token")).queue_number == 0
        # Servers before 3.6 cannot name the nodes of a session; no two tokens are equal.
        other = None if can_read_at_once() else 0
        assert second.get(QueueNodeFound, FindQueueNode(0, "token")).queue_number == other


def test_a_name_of_many_letters(zookeeper: Server, root: str) -> None:
    """A member may have a name in any letters."""
    name = "hôte-界-1"
    with connected_member(zookeeper.hosts, group=group_place(root, name)) as member:
        member.enrol()
        member.join("t", member=name)
        (node,) = member.get(QueueRead, ReadQueue(0)).nodes
        assert node.queued.member == name
        member.commit(admitted(RolloutRecord(), name))
        assert [*member.read().record.in_flight] == [name]


def test_the_predecessor_goes(zookeeper: Server, root: str) -> None:
    """A member that watches a queue node is woken when it goes, once, and no other one is."""
    with (
        connected_member(zookeeper.hosts, group=group_place(root, "m1")) as first,
        connected_member(zookeeper.hosts, group=group_place(root, "m2")) as second,
        connected_member(zookeeper.hosts, group=group_place(root, "m3")) as third,
    ):
        first.enrol()
        ahead, middle, last = first.join("t1"), second.join("t2"), third.join("t3")
        for _ in range(2):
            assert watched(second, middle, ahead) == (True, True)
        assert watched(third, last, middle) == (True, True)
        renewed = RenewQueueNode(0, ahead, QueuedMember("m1", "t1", "another"))
        first.get(QueueNodeRenewed, renewed)
        second.read()
        assert touched(second) == []
        first.get(QueueLeft, LeaveQueue(0, ahead))
        second.posted.next(GroupTouched, part=GroupPart.PREDECESSOR)
        assert watched(second, middle, ahead) == (True, False)
        assert (touched(second), touched(third), touched(first)) == ([], [], [])


def test_the_own_queue_node_goes(zookeeper: Server, client: KazooClient, root: str) -> None:
    """A member whose queue node another one deletes is woken: it was admitted."""
    with connected_member(zookeeper.hosts, group=group_place(root)) as member:
        member.enrol()
        own = member.join("t")
        assert watched(member, own, own) == (True, True)
        client.delete(f"{root}/queue/q-{own:010}")
        member.posted.next(GroupTouched, part=GroupPart.QUEUE_NODE)
        assert watched(member, own, own) == (False, False)
        assert touched(member) == []


def test_the_session_of_the_predecessor_ends(zookeeper: Server, root: str) -> None:
    """A queue node goes with its session, and the member that watches it is woken."""
    with connected_member(zookeeper.hosts, group=group_place(root, "m2")) as second:
        with connected_member(zookeeper.hosts, group=group_place(root, "m1")) as first:
            first.enrol()
            ahead, own = first.join("t1"), second.join("t2")
            assert watched(second, own, ahead) == (True, True)
        second.posted.next(GroupTouched, part=GroupPart.PREDECESSOR)
        assert numbers(second) == [own]


def test_a_queue_node_that_lasts(zookeeper: Server, client: KazooClient, root: str) -> None:
    """A node that belongs to no session is reported as left over, and is not among the read."""
    with connected_member(zookeeper.hosts, group=group_place(root, "m2")) as member:
        member.enrol()
        client.create(f"{root}/queue/q-", b"m9", sequence=True)
        client.create(f"{root}/queue/q-", b"\xff" * 900_000, ephemeral=True, sequence=True)
        own = member.join("t")
        found = member.get(QueueNodesRead, WatchQueueNodes(0, own, 0))
        assert found.is_left_over
        assert not member.get(QueueNodesRead, WatchQueueNodes(0, own, 1)).is_left_over
        read = member.get(QueueRead, ReadQueue(0))
        assert read.numbers == {0, 1, own}
        assert [node.number for node in read.nodes] == [own]


def test_nothing_is_there_yet(zookeeper: Server, client: KazooClient, root: str) -> None:
    """Before any member has enrolled, the record is an empty one without a version."""
    with connected_member(zookeeper.hosts, group=group_place(root)) as member:
        found = member.read(Watch.BOTH)
        assert (found.record, found.basis) == (RolloutRecord(), RecordBasis())
        assert (found.alive, found.record.population.members) == (frozenset(), 0)
        assert member.failure(ListQueue(0)) == f"{root}/queue: does not exist"
        client.create(f"{root}/state", b"")
        member.posted.next(GroupTouched, part=GroupPart.RECORD)
        assert member.read().basis == RecordBasis(0)
        client.create(f"{root}/in_flight", b"")
        member.posted.next(GroupTouched, part=GroupPart.IN_FLIGHT)


def test_a_change_of_the_decisions(zookeeper: Server, root: str) -> None:
    """A member that has read with a watch is woken by the next change, once; no other one is."""
    with (
        connected_member(zookeeper.hosts, group=group_place(root, "m1")) as writer,
        connected_member(zookeeper.hosts, group=group_place(root, "m2")) as watcher,
        connected_member(zookeeper.hosts, group=group_place(root, "m3")) as reader,
    ):
        writer.enrol()
        for _ in range(3):
            watcher.read(Watch.DECISIONS)
        reader.read(Watch.ROOM)
        for number in (1, 2):
            writer.commit(RolloutRecord(last_admitted=number))
        watcher.posted.next(GroupTouched, part=GroupPart.RECORD)
        assert watcher.read().record.last_admitted == 2
        assert reader.read().record.last_admitted == 2
        assert (touched(watcher), touched(reader), touched(writer)) == ([], [], [])


def test_room(zookeeper: Server, root: str) -> None:
    """A member that waits for room is woken by a turn that ends and by a failure, each once."""
    with (
        connected_member(zookeeper.hosts, group=group_place(root, "m1")) as member,
        connected_member(zookeeper.hosts, group=group_place(root, "m2")) as head,
    ):
        member.enrol()
        member.commit(admitted(RolloutRecord(), "m1", "m3"))
        assert head.read(Watch.ROOM).record.in_flight_count == 2
        record = member.read(survey=True).record
        member.commit(record, confirms="m1")
        head.read(Watch.ROOM)
        assert touched(head) == []
        member.commit(record.fail("m1", "t", VERSION, "why"))
        head.posted.next(GroupTouched, part=GroupPart.IN_FLIGHT)
        assert head.read(Watch.ROOM).record.in_flight_count == 2
        member.commit(member.read(survey=True).record.release("m3", None))
        head.posted.next(GroupTouched, part=GroupPart.IN_FLIGHT)
        assert head.read(Watch.ROOM).record.in_flight_count == 1
        assert touched(head) == []


def test_room_that_an_unavailable_member_takes(zookeeper: Server, root: str) -> None:
    """A member that waits for room is woken when an unavailable one is available again."""
    ill = MemberStatus("running", unavailable=True)
    with (
        connected_member(zookeeper.hosts, group=group_place(root, "m1")) as member,
        connected_member(zookeeper.hosts, group=group_place(root, "m2")) as head,
    ):
        member.enrol(ill)
        for _ in range(2):
            assert head.read(Watch.ROOM).record.unavailable == {"m1"}
        member.show(MemberStatus("running"))
        head.posted.next(GroupTouched, part=GroupPart.IN_FLIGHT)
        assert head.read(Watch.ROOM).record.unavailable == frozenset()
        assert touched(head) == []


def test_the_own_commit(zookeeper: Server, root: str) -> None:
    """The watch of the writer fires as well: a hint that costs one read."""
    with connected_member(zookeeper.hosts, group=group_place(root)) as member:
        member.enrol()
        member.read(Watch.DECISIONS)
        member.commit(RolloutRecord(last_admitted=1))
        member.posted.next(GroupTouched, part=GroupPart.RECORD)
        member.read()
        assert touched(member) == []


def test_who_is_alive(zookeeper: Server, client: KazooClient, root: str) -> None:
    """A survey finds out which members in flight are alive; a node that lasts is no member's."""
    with connected_member(zookeeper.hosts, group=group_place(root, "m1")) as member:
        member.enrol()
        client.create(f"{root}/members/m2", ephemeral=True)
        client.create(f"{root}/members/m3")
        member.commit(admitted(RolloutRecord(), "m1", "m2", "m3", "gone"))
        assert member.read(survey=True).alive == {"m1", "m2"}
        assert member.read().alive == frozenset()
        client.delete(f"{root}/members/m2")
        assert member.read(survey=True).alive == {"m1"}
        assert member.read().record.population.members == 2


def test_a_record_that_is_none(zookeeper: Server, client: KazooClient, root: str) -> None:
    """What is no record makes the read fail, with the path and the reason."""
    with connected_member(zookeeper.hosts, group=group_place(root)) as member:
        client.create(f"{root}/state", b'{"format":3}')
        assert member.failure(ReadRecord(0)) == (
            f"{root}/state: the record was written by a newer zkexec (format 3)"
        )


@pytest.mark.parametrize("watch", list(Watch))
def test_a_record_that_may_not_be_read(
    zookeeper: Server, client: KazooClient, root: str, watch: Watch
) -> None:
    """Without the permission to read it, the record is named in the reason."""
    with connected_member(zookeeper.hosts, group=group_place(root)) as member:
        client.create(f"{root}/state", b"", acl=[ACL(2, Id("world", "anyone"))])
        assert member.failure(ReadRecord(0, watch)) == (
            f"{root}/state: the cluster gives no permission for this"
        )


def test_what_travels(proxy: Proxy, root: str) -> None:
    """The first read on a connection syncs and sets the watches; each one after it is one request.

    The own queue node is found without a list of the queue.
    """
    demand_reading_at_once()
    with connected_member(proxy.hosts, group=group_place(root)) as member:
        member.enrol()
        member.commit(admitted(RolloutRecord(), "m1", "m2"))
        proxy.cut()
        proxy.opcodes.clear()
        member.posted.next(SessionSuspended)
        member.posted.next(SessionConnected)
        member.read(Watch.BOTH)
        # The first multi-read is that of the connection itself: an old server refuses it.
        assert proxy.opcodes == [SYNC, MULTI_READ, CHILDREN2, GET, MULTI_READ]
        proxy.opcodes.clear()
        member.read(Watch.BOTH)
        assert proxy.opcodes == [MULTI_READ]
        proxy.opcodes.clear()
        member.read(survey=True)
        assert proxy.opcodes == [MULTI_READ], "the names are known by the watch on them"
        member.join("t")
        proxy.opcodes.clear()
        member.get(QueueNodeFound, FindQueueNode(0, "t"))
        assert proxy.opcodes == [GET_EPHEMERALS, MULTI_READ]


def test_without_a_connection(zookeeper: Server, root: str) -> None:
    """A request without a session is refused at once, and a status is just not published."""
    with connected_member(zookeeper.hosts, group=group_place(root)) as member:
        member.ensemble.close(10.0)
        assert member.failure(ListQueue(0)) == "there is no connection"
        member.show(MemberStatus("running"))
    with (
        ensemble_of(zookeeper.hosts) as (alone, _),
        pytest.raises(ValueError, match="there is no group"),
    ):
        alone.request(ListQueue(1))
