"""Watches that a server has dropped without a word: all are armed again, and nothing is missed."""

from collections.abc import Callable, Iterator

import pytest
from kazoo.client import KazooClient
from kazoo.security import OPEN_ACL_UNSAFE, make_acl

from support.posted_events import (
    ConnectedMember,
    Opener,
    connected_member,
    drive_until,
    group_place,
)
from support.proxy import SET_WATCHES, Proxy, Treatment
from zkexec.core.events import SessionConnected, SessionSuspended, ZnodeTouched
from zkexec.core.rollout.group_actions import Watch, WatchQueueNodes
from zkexec.core.rollout.group_events import GroupPart, GroupTouched, QueueNodesRead
from zkexec.core.rollout.record import InFlightEntry, RolloutRecord
from zkexec.core.turn import MemberStatus


@pytest.fixture
def owner(client: KazooClient) -> KazooClient:
    """A client that may do anything with the znodes of this test."""
    client.add_auth("digest", "owner:secret")
    return client


def write_unseen(owner: KazooClient, path: str, content: bytes) -> None:
    """Write a znode while nobody else may read it."""
    owner.set_acls(path, [make_acl("auth", "", all=True)])
    owner.set(path, content)
    owner.set_acls(path, OPEN_ACL_UNSAFE)


def lose(proxy: Proxy, count: int, *writes: Callable[[], object]) -> None:
    """Do what makes so many watches fire, and lose what they tell."""
    proxy.loses_events = True
    before = proxy.lost_events
    for write in writes:
        write()
    drive_until(lambda: proxy.lost_events == before + count, f"{count} lost events")
    proxy.loses_events = False


@pytest.mark.parametrize("count", [1, 3, 12])
def test_a_change_behind_a_withdrawn_permission_is_told(
    opened: Opener, owner: KazooClient, root: str, count: int
) -> None:
    """What was written while the znode could not be read is told once the watches are rearmed.

    From then on every change is told as usual.
    """
    paths = [f"{root}/{number}" for number in range(count)]
    for path in paths:
        owner.create(path, b"one")
    with opened(*paths) as (ensemble, posted):
        posted.read(ensemble)
        write_unseen(owner, paths[0], b"two")
        owner.set(paths[0], b"three")

        ensemble.rearm()

        assert posted.next(ZnodeTouched).path == paths[0]
        assert posted.contents(ensemble)[paths[0]] == b"three"
        owner.set(paths[0], b"four")
        posted.next(ZnodeTouched)
        assert posted.contents(ensemble)[paths[0]] == b"four"


@pytest.mark.parametrize("count", [2, 12])
def test_each_kind_of_change_is_told(
    opened: Opener, proxy: Proxy, client: KazooClient, root: str, count: int
) -> None:
    """A change, a deletion and a creation whose events are lost are told by rearming, and once."""
    changed, deleted, created = (f"{root}/{name}" for name in ("changed", "deleted", "created"))
    quiet = [f"{root}/{number}" for number in range(count)]
    for path in (changed, deleted, *quiet):
        client.create(path, b"one")
    with opened(changed, deleted, created, *quiet) as (ensemble, posted):
        posted.read(ensemble)
        client.set(quiet[0], b"two")
        posted.next(ZnodeTouched)
        posted.read(ensemble)
        # The second answer comes after the look at all others that follows the first.
        posted.read(ensemble)
        lose(
            proxy,
            3,
            lambda: client.set(changed, b"two"),
            lambda: client.delete(deleted),
            lambda: client.create(created, b"one"),
        )
        assert not posted.since_mark(ZnodeTouched)

        ensemble.rearm()

        told = {posted.next(ZnodeTouched).path for _ in range(3)}
        assert told == {changed, deleted, created}
        found = posted.contents(ensemble)
        assert (found[changed], found[deleted], found[created]) == (b"two", b"", b"one")
        assert not posted.since_mark(ZnodeTouched)


@pytest.mark.parametrize("count", [1, 3, 12])
def test_rearming_at_rest_tells_nothing(
    opened: Opener, client: KazooClient, root: str, count: int
) -> None:
    """If nothing was missed nothing is touched, from whatever times that is which is known."""
    paths = [f"{root}/{number}" for number in range(count)]
    missing = [f"{root}/missing"] if count > 1 else []
    for path in paths:
        client.create(path, b"one")
    with opened(*paths, *missing) as (ensemble, posted):
        posted.read(ensemble)
        for path in paths:
            client.set(path, b"two")
            posted.next(ZnodeTouched)
            posted.read(ensemble)
            ensemble.rearm()
            posted.read(ensemble)
            assert not posted.since_mark(ZnodeTouched)
        client.set(paths[0], b"three")
        assert posted.next(ZnodeTouched).path == paths[0]


def test_a_refusal_has_everything_read_again(proxy: Proxy, root: str) -> None:
    """If the server answers with an error, all that is watched counts as touched."""
    proxy.on_request = lambda request: (
        Treatment.FORBID if request.opcode == SET_WATCHES else Treatment.PASS_ON
    )
    with connected_member(proxy.hosts, group=group_place(f"{root}/group"), paths=(root,)) as member:
        member.enrol()
        member.read(Watch.BOTH)
        first, own = member.join("t1"), member.join("t2")
        watched = member.get(QueueNodesRead, WatchQueueNodes(0, own, first))
        assert (watched.is_own_there, watched.is_before_there) == (True, True)
        member.posted.read(member.ensemble)
        assert not member.posted.since_mark(GroupTouched)

        member.ensemble.rearm()

        assert {member.posted.next(GroupTouched).part for _ in GroupPart} == set(GroupPart)
        assert ZnodeTouched(root) in member.posted.events


def forget_touches(member: ConnectedMember) -> None:
    """Pass over all that was touched so far; whatever was sent before is answered by then."""
    member.read()
    while member.posted.since_mark(GroupTouched):
        member.posted.next(GroupTouched)


@pytest.fixture
def watcher(proxy: Proxy, root: str) -> Iterator[ConnectedMember]:
    """A member behind the proxy that has enrolled."""
    with connected_member(proxy.hosts, group=group_place(root)) as member:
        member.enrol()
        yield member


def rearmed(member: ConnectedMember) -> list[GroupPart]:
    """What rearming tells."""
    member.ensemble.rearm()
    member.read()
    return [event.part for event in member.posted.since_mark(GroupTouched)]


def test_a_record_written_unseen(
    watcher: ConnectedMember, proxy: Proxy, client: KazooClient, root: str
) -> None:
    """A change of the record that was not told is told by rearming, once, and not if it was."""
    watcher.read(Watch.DECISIONS)
    assert rearmed(watcher) == []
    lose(proxy, 1, lambda: client.set(f"{root}/state", client.get(f"{root}/state")[0]))
    assert rearmed(watcher) == [GroupPart.RECORD]
    watcher.read(Watch.DECISIONS)
    forget_touches(watcher)
    assert rearmed(watcher) == []


def test_a_record_made_unseen(proxy: Proxy, client: KazooClient, root: str) -> None:
    """The making of a record that was missing is told by rearming."""
    with connected_member(proxy.hosts, group=group_place(root)) as watcher:
        assert not watcher.read(Watch.DECISIONS).basis.exists
        assert rearmed(watcher) == []
        lose(proxy, 1, lambda: client.create(f"{root}/state", b""))
        assert rearmed(watcher) == [GroupPart.RECORD]


def test_queue_nodes_that_go_unseen(
    watcher: ConnectedMember, proxy: Proxy, client: KazooClient, root: str
) -> None:
    """The end of the own queue node, and of the one before it, is reported by rearming."""
    first, own = watcher.join("t1"), watcher.join("t2")
    assert watcher.get(QueueNodesRead, WatchQueueNodes(0, own, first)).is_before_there
    assert rearmed(watcher) == []
    lose(proxy, 1, lambda: client.delete(f"{root}/queue/q-{first:010}"))
    assert rearmed(watcher) == [GroupPart.PREDECESSOR]
    forget_touches(watcher)
    lose(proxy, 1, lambda: client.delete(f"{root}/queue/q-{own:010}"))
    assert rearmed(watcher) == [GroupPart.QUEUE_NODE]


def test_an_own_node_that_is_replaced_unseen(
    watcher: ConnectedMember, proxy: Proxy, client: KazooClient, root: str
) -> None:
    """That another took the own node away is told by rearming, also if there is one again."""
    node = f"{root}/members/m1"
    assert rearmed(watcher) == []
    lose(proxy, 1, lambda: client.delete(node), lambda: client.create(node, b""))
    assert rearmed(watcher) == [GroupPart.OWN_NODE]


@pytest.mark.parametrize("content", [b"rubbish", b""])
def test_an_own_node_that_another_has_written(
    watcher: ConnectedMember, client: KazooClient, root: str, content: bytes
) -> None:
    """No watch tells of that; it is looked for with each rearming, and the card written again."""
    path = f"{root}/members/m1"
    own, _ = client.get(path)
    assert GroupPart.OWN_NODE not in rearmed(watcher)
    client.set(path, content)
    watcher.ensemble.rearm()
    watcher.posted.next(GroupTouched, part=GroupPart.OWN_NODE)
    watcher.enrol()
    assert client.get(path)[0] == own
    assert GroupPart.OWN_NODE not in rearmed(watcher)


def test_room_that_comes_unseen(
    watcher: ConnectedMember, proxy: Proxy, client: KazooClient, root: str
) -> None:
    """The end of a turn, and of an unavailable member's mark, is reported by rearming."""
    watcher.commit(RolloutRecord(in_flight={"m2": InFlightEntry("t", "d", 1)}))
    watcher.enrol(MemberStatus("running", unavailable=True))
    watcher.read(Watch.ROOM)
    assert rearmed(watcher) == []
    lose(proxy, 1, lambda: client.delete(f"{root}/in_flight/m2"))
    assert rearmed(watcher) == [GroupPart.IN_FLIGHT]
    watcher.read(Watch.ROOM)
    forget_touches(watcher)
    lose(proxy, 1, lambda: client.delete(f"{root}/unavailable/m1"))
    assert rearmed(watcher) == [GroupPart.IN_FLIGHT]


def test_rearming_without_a_connection_does_nothing(proxy: Proxy, root: str) -> None:
    """While the connection is lost there is nothing to arm, and afterwards all was read anew."""
    with connected_member(proxy.hosts, group=group_place(f"{root}/group"), paths=(root,)) as member:
        member.posted.read(member.ensemble)
        proxy.refuse()
        member.posted.next(SessionSuspended)
        member.ensemble.rearm()
        proxy.heal()
        member.posted.next(SessionConnected)
        member.posted.read(member.ensemble)
        assert SET_WATCHES not in proxy.opcodes
        member.ensemble.close(10.0)
        member.ensemble.rearm()
