"""The queue and the record as they are read, and whom a change of them wakes."""

import pytest
from kazoo.client import KazooClient
from kazoo.security import ACL, Id

from support.posted_events import ConnectedMember, connected_member, ensemble_of, group_place
from support.proxy import CHILDREN2, EXISTS, GET, SYNC, Proxy
from support.zookeeper import Server
from zkexec.core.events import SessionConnected, SessionSuspended
from zkexec.core.policy import MaxUnavailable
from zkexec.core.rollout.group_actions import (
    JoinQueue,
    LeaveQueue,
    ListQueue,
    ReadRecord,
    WatchQueueNode,
)
from zkexec.core.rollout.group_events import (
    GroupPart,
    GroupTouched,
    QueueJoined,
    QueueLeft,
    QueueListed,
    QueueNodeRead,
    RecordRead,
)
from zkexec.core.rollout.record import AgreedMaxUnavailable, InFlightEntry, RolloutRecord
from zkexec.core.turn import MemberStatus
from zkexec.group.record_codec import encode


def touched(member: ConnectedMember) -> list[GroupPart]:
    """The parts of the group whose watches have fired and were not looked at yet."""
    return [event.part for event in member.posted.since_mark(GroupTouched)]


def join(member: ConnectedMember, ticket: str) -> str:
    """The name of a new queue node."""
    return member.get(QueueJoined, JoinQueue(0, ticket)).name


def names(member: ConnectedMember) -> list[str]:
    """The names of all queue nodes, sorted."""
    return sorted(member.get(QueueListed, ListQueue(0)).names)


def seen(member: ConnectedMember, name: str) -> str | None:
    """Whose queue node that is."""
    return member.get(QueueNodeRead, WatchQueueNode(0, name)).member


def test_a_place_in_the_queue(zookeeper: Server, client: KazooClient, root: str) -> None:
    """A queue node bears the ticket and a growing number, belongs to its session, and goes."""
    with connected_member(zookeeper.hosts, group=group_place(root)) as member:
        member.enrol()
        assert names(member) == []
        first, second = join(member, "b-ticket"), join(member, "a-ticket")
        assert (first, second) == ("b-ticket-0000000000", "a-ticket-0000000001")
        assert names(member) == [second, first]
        content, stat = client.get(f"{root}/queue/{first}")
        assert content == b"m1"
        assert stat.ephemeralOwner == client.exists(f"{root}/members/m1").ephemeralOwner
        member.get(QueueLeft, LeaveQueue(0, first))
        assert names(member) == [second]
        # It is gone, and that is all that was wanted.
        member.get(QueueLeft, LeaveQueue(0, first))


def test_a_name_of_many_letters(zookeeper: Server, root: str) -> None:
    """A member may have a name in any letters."""
    with connected_member(zookeeper.hosts, group=group_place(root, "hôte-界-1")) as member:
        member.enrol()
        assert seen(member, join(member, "t")) == "hôte-界-1"


def test_the_predecessor_goes(zookeeper: Server, root: str) -> None:
    """Who looks at a queue node is woken when it goes, once, and nobody else is."""
    with (
        connected_member(zookeeper.hosts, group=group_place(root, "m1")) as first,
        connected_member(zookeeper.hosts, group=group_place(root, "m2")) as second,
        connected_member(zookeeper.hosts, group=group_place(root, "m3")) as third,
    ):
        first.enrol()
        ahead, behind = join(first, "t1"), join(second, "t2")
        assert seen(second, ahead) == "m1"
        assert seen(second, ahead) == "m1"
        assert seen(third, behind) == "m2"
        first.get(QueueLeft, LeaveQueue(0, ahead))
        second.posted.next(GroupTouched, part=GroupPart.PREDECESSOR)
        assert seen(second, ahead) is None
        assert (touched(second), touched(third), touched(first)) == ([], [], [])


def test_the_predecessor_dies(zookeeper: Server, root: str) -> None:
    """A queue node goes with its session, and who looks at it hears of that."""
    with connected_member(zookeeper.hosts, group=group_place(root, "m2")) as second:
        with connected_member(zookeeper.hosts, group=group_place(root, "m1")) as first:
            first.enrol()
            assert seen(second, join(first, "t1")) == "m1"
        second.posted.next(GroupTouched, part=GroupPart.PREDECESSOR)
        assert names(second) == []


def test_a_queue_node_that_lasts(zookeeper: Server, client: KazooClient, root: str) -> None:
    """A node that belongs to no session is told as one, whatever is in it, and no more of that."""
    with connected_member(zookeeper.hosts, group=group_place(root, "m2")) as member:
        member.enrol()
        lasting = client.create(f"{root}/queue/t-", b"m9", sequence=True).rpartition("/")[2]
        alive = client.create(f"{root}/queue/u-", b"\xff" * 900_000, ephemeral=True, sequence=True)
        found = member.get(QueueNodeRead, WatchQueueNode(0, lasting))
        assert (found.member, found.is_left_over) == ("m9", True)
        found = member.get(QueueNodeRead, WatchQueueNode(0, alive.rpartition("/")[2]))
        assert not found.is_left_over
        assert found.member is not None
        assert len(found.member) == 1000


def test_nothing_is_there_yet(zookeeper: Server, client: KazooClient, root: str) -> None:
    """Before anyone has enrolled, the record is an empty one without a version."""
    with connected_member(zookeeper.hosts, group=group_place(root)) as member:
        found = member.read(watch=True)
        assert (found.record, found.znode_version) == (RolloutRecord(), -1)
        assert (found.alive, found.population) == (frozenset(), 0)
        assert member.failure(ListQueue(0)) == f"{root}/queue: does not exist"
        client.create(f"{root}/state", b"")
        member.posted.next(GroupTouched, part=GroupPart.RECORD)
        assert member.read().znode_version == 0


def test_who_is_alive(zookeeper: Server, client: KazooClient, root: str) -> None:
    """Of those whom the record names, the living are told, and how many members there are."""
    record = RolloutRecord(
        in_flight={"m1": InFlightEntry("t", "d", 1), "gone": InFlightEntry("t", "d", 1)},
        max_unavailable=AgreedMaxUnavailable(MaxUnavailable(2), "m2"),
    )
    with connected_member(zookeeper.hosts, group=group_place(root, "m1")) as member:
        member.enrol()
        for name in ("m2", "m3"):
            client.create(f"{root}/members/{name}", ephemeral=True)
        client.set(f"{root}/state", encode(record, 7.0))
        found = member.read(watch=True)
        assert found.alive == {"m1", "m2"}
        assert (found.population, found.znode_version) == (3, 1)
        assert found.record.in_flight["m1"] == InFlightEntry("t", "d", 1, since=7.0)
        client.delete(f"{root}/members/m2")
        assert member.read(watch=True).alive == {"m1"}
        assert member.read().alive == set()
        assert member.read().population == 2


@pytest.mark.parametrize(
    ("known", "asks", "seen"),
    [
        (MaxUnavailable(2), MaxUnavailable(2), ([], 0)),
        (MaxUnavailable(2), MaxUnavailable(3), (["m2"], 0)),
        (MaxUnavailable(20, percent=True), MaxUnavailable(20, percent=True), ([], 2)),
        (MaxUnavailable(20, percent=True), MaxUnavailable(3), (["m2"], 2)),
        (MaxUnavailable(2), MaxUnavailable(20, percent=True), (["m2"], 2)),
    ],
)
def test_only_what_matters_is_counted(
    zookeeper: Server,
    root: str,
    known: MaxUnavailable,
    asks: MaxUnavailable,
    seen: tuple[list[str], int],
) -> None:
    """Who asked for another width, and of percentages how many there are; nothing else."""
    with (
        connected_member(zookeeper.hosts, group=group_place(root, "m1")) as member,
        connected_member(zookeeper.hosts, group=group_place(root, "m2")) as other,
    ):
        member.enrol()
        other.enrol()
        member.commit(RolloutRecord(max_unavailable=AgreedMaxUnavailable(known, "m2")))
        found = member.get(RecordRead, ReadRecord(0, watch=True, requested=asks))
        assert (sorted(found.alive), found.population) == seen


def test_a_change_of_the_record(zookeeper: Server, root: str) -> None:
    """Who has read with a watch is told of the next change, once; who did without is not."""
    with (
        connected_member(zookeeper.hosts, group=group_place(root, "m1")) as writer,
        connected_member(zookeeper.hosts, group=group_place(root, "m2")) as watcher,
        connected_member(zookeeper.hosts, group=group_place(root, "m3")) as reader,
    ):
        writer.enrol()
        for _ in range(3):
            watcher.read(watch=True)
        reader.read()
        writer.commit(RolloutRecord(last_admitted=1))
        writer.commit(RolloutRecord(last_admitted=2))
        watcher.posted.next(GroupTouched, part=GroupPart.RECORD)
        assert watcher.read().record.last_admitted == 2
        assert reader.read().record.last_admitted == 2
        assert (touched(watcher), touched(reader), touched(writer)) == ([], [], [])


def test_the_own_commit(zookeeper: Server, root: str) -> None:
    """The watch of the writer fires as well: a hint that costs one read."""
    with connected_member(zookeeper.hosts, group=group_place(root)) as member:
        member.enrol()
        member.read(watch=True)
        member.commit(RolloutRecord(last_admitted=1))
        member.posted.next(GroupTouched, part=GroupPart.RECORD)
        member.read()
        assert touched(member) == []


def test_a_member_in_flight_goes(zookeeper: Server, client: KazooClient, root: str) -> None:
    """The end of a member in flight is told, once; neither its cards nor others' ends are."""
    record = RolloutRecord(
        in_flight={"m1": InFlightEntry("t", "d", 1)},
        max_unavailable=AgreedMaxUnavailable(MaxUnavailable(2), "not in flight"),
    )
    with (
        connected_member(zookeeper.hosts, group=group_place(root, "m1")) as member,
        connected_member(zookeeper.hosts, group=group_place(root, "m2")) as head,
    ):
        member.enrol()
        member.commit(record)
        client.create(f"{root}/members/not in flight", ephemeral=True)
        assert head.read(watch=True).alive == {"m1", "not in flight"}
        client.delete(f"{root}/members/not in flight")
        for number in range(5):
            member.show(MemberStatus("verifying", str(number)))
            member.read()
        head.read(watch=True)
        assert touched(head) == []
        member.ensemble.close(10.0)
        head.posted.next(GroupTouched, part=GroupPart.IN_FLIGHT)
        assert head.read().alive == frozenset()
        assert touched(head) == []


def test_a_member_in_flight_comes_back(zookeeper: Server, client: KazooClient, root: str) -> None:
    """Who was missing when the record was read with a watch is told when it comes, once."""
    node = f"{root}/members/m1"
    with connected_member(zookeeper.hosts, group=group_place(root, "m2")) as head:
        head.enrol()
        head.commit(
            RolloutRecord(
                in_flight={"m1": InFlightEntry("t", "d", 1), "m3": InFlightEntry("t", "d", 1)}
            )
        )
        for _ in range(3):
            assert head.read(watch=True).alive == frozenset()
        client.create(node, ephemeral=True)
        head.posted.next(GroupTouched, part=GroupPart.IN_FLIGHT)
        assert head.read(watch=True).alive == {"m1"}
        assert touched(head) == []
        client.delete(node)
        head.posted.next(GroupTouched, part=GroupPart.IN_FLIGHT)
        assert head.read().alive == frozenset()
        assert touched(head) == []


def test_a_member_that_lasts_is_not_alive(
    zookeeper: Server, client: KazooClient, root: str
) -> None:
    """A node that belongs to no session is nobody's; that a member replaces it is told, once."""
    node = f"{root}/members/m1"
    record = RolloutRecord(
        in_flight={"m1": InFlightEntry("t", "d", 1)},
        max_unavailable=AgreedMaxUnavailable(MaxUnavailable(2), "m3"),
    )
    with connected_member(zookeeper.hosts, group=group_place(root, "m2")) as head:
        head.enrol()
        head.commit(record)
        for name in ("m1", "m3"):
            client.create(f"{root}/members/{name}")
        for _ in range(2):
            assert head.read(watch=True).alive == frozenset()
        assert touched(head) == []
        with connected_member(zookeeper.hosts, group=group_place(root, "m1")) as member:
            member.enrol()
            head.posted.next(GroupTouched, part=GroupPart.IN_FLIGHT)
            assert head.read(watch=True).alive == {"m1"}
            assert touched(head) == []
            assert client.exists(node).ephemeralOwner
        head.posted.next(GroupTouched, part=GroupPart.IN_FLIGHT)
        client.create(node)
        assert head.read(watch=True).alive == frozenset()


def test_a_record_that_is_none(zookeeper: Server, client: KazooClient, root: str) -> None:
    """What is no record makes the read fail, with the path and the reason."""
    with connected_member(zookeeper.hosts, group=group_place(root)) as member:
        client.create(f"{root}/state", b'{"format":2}')
        assert member.failure(ReadRecord(0, watch=False)) == (
            f"{root}/state: the record was written by a newer zkexec (format 2)"
        )


def test_a_record_that_may_not_be_read(zookeeper: Server, client: KazooClient, root: str) -> None:
    """Without the permission to read it, the record is named in the reason."""
    with connected_member(zookeeper.hosts, group=group_place(root)) as member:
        client.create(f"{root}/state", b"", acl=[ACL(2, Id("world", "anyone"))])
        assert member.failure(ReadRecord(0, watch=True)) == (
            f"{root}/state: the cluster gives no permission for this"
        )


def test_what_travels(proxy: Proxy, root: str) -> None:
    """The first read on a connection syncs; a missing member costs one more request if watched."""
    with connected_member(proxy.hosts, group=group_place(root)) as member:
        member.enrol()
        member.commit(
            RolloutRecord(
                in_flight={"m1": InFlightEntry("t", "d", 1), "m2": InFlightEntry("t", "d", 1)}
            )
        )
        proxy.cut()
        proxy.opcodes.clear()
        member.posted.next(SessionSuspended)
        member.posted.next(SessionConnected)
        member.read(watch=True)
        assert proxy.opcodes == [SYNC, GET, CHILDREN2, CHILDREN2, EXISTS, EXISTS]
        proxy.opcodes.clear()
        member.get(RecordRead, ReadRecord(0, watch=True, requested=MaxUnavailable()))
        # That the one of them lives is known, as the watch on it would have told its end.
        assert proxy.opcodes == [GET, CHILDREN2, EXISTS]
        proxy.opcodes.clear()
        member.read()
        assert names(member) == []
        assert proxy.opcodes == [GET, EXISTS, CHILDREN2]


def test_without_a_connection(zookeeper: Server, root: str) -> None:
    """A request without a session is refused at once, and a card is just not shown."""
    with connected_member(zookeeper.hosts, group=group_place(root)) as member:
        member.ensemble.close(10.0)
        assert member.failure(ListQueue(0)) == "there is no connection"
        member.show(MemberStatus("running"))
    with (
        ensemble_of(zookeeper.hosts) as (alone, _),
        pytest.raises(ValueError, match="there is no group"),
    ):
        alone.request(ListQueue(1))
