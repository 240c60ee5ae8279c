"""Reading groups from a real server: what is asked for, how often, and what becomes of junk."""

from collections import Counter
from collections.abc import Iterator

import pytest
from kazoo.client import KazooClient
from kazoo.security import make_acl, make_digest_acl

from support.group_samples import NEW, OLD, GroupZnodes, call, entry, failed_on
from support.proxy import CHILDREN2, EXISTS, GET, PING, SYNC, Proxy
from support.waiting import until
from support.zookeeper import Server
from zkexec.core.rollout.record import RolloutRecord
from zkexec.operator.aims import UNREADABLE, StrayKind
from zkexec.operator.cluster import LOST, STALE, Cluster
from zkexec.operator.looking import Lookout, UnreachableError
from zkexec.operator.sight import Sight, State

OPEN_SESSION = 0


@pytest.fixture
def cluster(proxy: Proxy) -> Iterator[Cluster]:
    """A connection through a proxy that counts."""
    with Cluster(call(proxy.hosts).connection, lambda _: None) as one:
        yield one


def seen(lookout: Lookout) -> Sight:
    """The one group."""
    (sight,) = lookout.look()
    return sight


def asked(proxy: Proxy) -> Counter[int]:
    """The requests since the last time, without those that only keep the session."""
    opcodes, proxy.opcodes = proxy.opcodes, []
    return Counter(code for code in opcodes if code not in (PING, OPEN_SESSION))


def test_a_member_costs_one_request(group: GroupZnodes, cluster: Cluster, proxy: Proxy) -> None:
    """Two hundred members are read with one request each, and a few for the whole group."""
    for number in range(200):
        group.show(f"m{number}")
    for number in range(50):
        group.queue(f"m{number}")

    sight = seen(Lookout(cluster, group.lock, live=False))

    assert len(sight.members) == 200
    assert asked(proxy) == {SYNC: 1, GET: 2 + 200 + 50, CHILDREN2: 2, EXISTS: 1}
    assert [row.name for row in sight.waiting] == [f"m{number}" for number in range(50)]


def test_a_change_that_is_not_told_is_seen_all_the_same(
    group: GroupZnodes, cluster: Cluster, proxy: Proxy
) -> None:
    """What a server has told nobody of is read after a while, and watched again."""
    group.show("m0")
    lookout = Lookout(cluster, group.lock, live=True)
    assert sorted(seen(lookout).members) == ["m0"]
    proxy.loses_events = True
    group.show("m1")
    until(lambda: proxy.lost_events, "a lost event")
    proxy.loses_events = False

    cluster.stale_s = 0.1
    touched = cluster.touched(30.0)
    cluster.stale_s = 1000.0
    lookout.touch(touched)

    assert touched == {STALE}
    assert sorted(seen(lookout).members) == ["m0", "m1"]
    group.show("m2")
    lookout.touch(cluster.touched(30.0))
    assert sorted(seen(lookout).members) == ["m0", "m1", "m2"]


def test_a_change_costs_what_has_changed(
    group: GroupZnodes, cluster: Cluster, proxy: Proxy
) -> None:
    """After the first look only what was touched is read again."""
    for number in range(20):
        group.show(f"m{number}")
    lookout = Lookout(cluster, group.lock, live=True)
    seen(lookout)
    asked(proxy)

    assert seen(lookout).done == 20
    assert asked(proxy) == {}

    group.show("m7", phase="waiting", wanted=NEW)
    lookout.touch(cluster.touched(30))
    assert seen(lookout).done == 19
    assert asked(proxy) == {GET: 1}

    group.push(b"newer")
    lookout.touch(cluster.touched(30))
    assert seen(lookout).done == 0
    assert asked(proxy) == {EXISTS: 1}

    group.queue("m7")
    lookout.touch(cluster.touched(30))
    assert [row.name for row in seen(lookout).waiting] == ["m7"]
    assert asked(proxy) == {CHILDREN2: 1, GET: 1}


def test_members_come_and_go(group: GroupZnodes, cluster: Cluster) -> None:
    """Who comes is read, who goes is gone, and an entry without a node is missing."""
    group.show("m1")
    lookout = Lookout(cluster, group.lock, live=True)
    assert [row.name for row in seen(lookout).rows] == ["m1"]

    group.show("m2")
    lookout.touch(cluster.touched(30))
    assert [row.name for row in seen(lookout).rows] == ["m1", "m2"]

    group.client.delete(f"{group.base}/members/m1")
    group.decide(RolloutRecord(in_flight={"m3": entry()}))

    def follows() -> bool:
        lookout.touch(cluster.touched(0.1))
        return [(r.name, r.is_alive) for r in seen(lookout).rows] == [("m2", True), ("m3", False)]

    until(follows, "m1 is gone and m3 is missing")


def test_a_mirrored_znode_that_goes_and_comes(group: GroupZnodes, cluster: Cluster) -> None:
    """What is deleted is missing for who mirrors it, until somebody makes it again."""
    group.show("m1")
    lookout = Lookout(cluster, group.lock, live=True)
    assert seen(lookout).state is State.DONE

    group.client.delete(group.path)
    lookout.touch(cluster.touched(30))
    gone = seen(lookout)
    assert (gone.absent, gone.state) == ((group.path,), State.ROLLING)

    group.client.create(group.path, b"anew")
    lookout.touch(cluster.touched(30))
    assert (seen(lookout).absent, seen(lookout).rows[0].untaken) == ((), (group.path,))


def test_what_is_from_another_history(group: GroupZnodes, cluster: Cluster) -> None:
    """A card or a record with a number above that of its own node says nothing of what is there."""
    later = 2**62
    group.show("m1", zxid=later)
    group.decide(RolloutRecord(versions=failed_on("m2", zxid=later)))

    sight = seen(Lookout(cluster, group.lock, live=False))

    assert sight.rows[0].untaken == (group.path,)
    assert sight.done == 0
    assert all(version_state.zxid < later for version_state in sight.record.versions.values())


def test_a_lost_connection_reads_all_anew(
    group: GroupZnodes, cluster: Cluster, proxy: Proxy
) -> None:
    """Watches are gone with the connection, so nothing is believed that was read on it."""
    group.show("m1")
    lookout = Lookout(cluster, group.lock, live=True)
    seen(lookout)

    proxy.refuse()
    assert LOST in cluster.touched(30)
    group.show("m1", phase="waiting", wanted=NEW)
    with pytest.raises(UnreachableError):
        lookout.look(0.5)
    proxy.heal()
    lookout.touch({LOST})

    assert seen(lookout).rows[0].phase == "waiting"


@pytest.mark.parametrize(
    "junk",
    [b"", b"junk", b'{"format": 2}', b'{"format": 1}', b"\xff\xfe", b"[" * 100_000],
)
def test_a_card_that_is_no_card_is_shown(group: GroupZnodes, cluster: Cluster, junk: bytes) -> None:
    """Junk, an older card, and one of a newer format are rows with what is wrong with them."""
    group.show("m1")
    group.write("m2", junk)

    sight = seen(Lookout(cluster, group.lock, live=False))

    assert [(row.name, row.phase) for row in sight.rows] == [("m1", "running"), ("m2", UNREADABLE)]
    assert "status" in sight.rows[1].reason
    assert sight.state is State.ROLLING


@pytest.mark.parametrize("path", ["", "no/slash", "/a/../b", "/a\ud800"])
def test_a_path_that_is_none_is_never_asked_for(
    group: GroupZnodes, cluster: Cluster, path: str
) -> None:
    """What a card names as mirrored is checked before a server is asked for it."""
    group.show("m1", paths=(path,))

    assert seen(Lookout(cluster, group.lock, live=False)).rows[0].phase == UNREADABLE


@pytest.mark.parametrize("junk", [b"junk", b'{"format": 2}', b"null"])
def test_a_record_that_is_no_record_is_told(
    group: GroupZnodes, cluster: Cluster, junk: bytes
) -> None:
    """Where the record cannot be read the members are shown, and the path of the trouble."""
    group.show("m1")
    group.client.set(f"{group.base}/state", junk)

    sight = seen(Lookout(cluster, group.lock, live=False))

    assert sight.state is State.UNREADABLE
    assert sight.trouble.startswith(f"{group.base}/state: ")
    assert [row.name for row in sight.rows] == ["m1"]


def test_queue_nodes_of_others_do_no_harm(group: GroupZnodes, cluster: Cluster) -> None:
    """What stands in the queue and is no queue node is passed over."""
    group.show("m1", wanted=NEW, phase="waiting")
    group.client.create(f"{group.base}/queue/by-hand", b"m1")
    group.queue("m1")

    assert [row.place for row in seen(Lookout(cluster, group.lock, live=False)).rows] == [1]


@pytest.mark.parametrize("name", ["m9", ""])
def test_who_waits_and_is_no_member_is_told(
    group: GroupZnodes, cluster: Cluster, name: str
) -> None:
    """An ephemeral node of the queue with the name of nobody has its place, and is told."""
    group.show("m1", wanted=NEW, phase="waiting")
    path = f"{group.base}/queue/abcdefabcdefabcd-"
    made = group.client.create(path, name.encode(), ephemeral=True, sequence=True)
    group.queue("m1")
    found = seen(Lookout(cluster, group.lock, live=False))

    assert [(row.name, row.place) for row in found.rows] == [("m1", 2)]
    assert [(one.place, one.name, one.path) for one in found.intruders] == [(1, name, made)]


@pytest.mark.parametrize("rubbish", [b"\0\0", b"\xff\xfe", b"x" * 990_000])
def test_a_restart_that_nobody_asked_for_is_ignored_and_told(
    group: GroupZnodes, cluster: Cluster, rubbish: bytes
) -> None:
    """Rubbish in that znode is no write that members have to know; a request is one, at once."""
    group.show("m1")
    path = f"{group.base}/restart"
    group.client.set(path, rubbish)
    lookout = Lookout(cluster, group.lock, live=True)

    sight = seen(lookout)
    assert sight.restart is None
    assert [(stray.path, stray.kind) for stray in sight.strays] == [(path, StrayKind.NO_REQUEST)]

    group.client.set(path, b"a1b2c3d4 token")

    def follows() -> bool:
        lookout.touch(cluster.touched(0.1))
        return seen(lookout).restart is not None

    until(follows, "the request is seen")
    assert seen(lookout).strays == ()


def test_what_belongs_to_nobody_is_ignored_and_told(group: GroupZnodes, cluster: Cluster) -> None:
    """Lasting nodes of members and of the queue count as nobody, and strange names as nothing."""
    group.show("m1", wanted=NEW, phase="waiting")
    dumped = group.client.get(f"{group.base}/members/m1")[0]
    group.client.create(f"{group.base}/members/m0", dumped)
    left_over = group.client.create(f"{group.base}/queue/dead-", b"m0", sequence=True)
    group.queue("m1")
    for name in ("notes", "ünï\u202ecode", "x" * 5000):
        group.client.create(f"{group.base}/queue/{name}", b"m7")

    lookout = Lookout(cluster, group.lock, live=True)
    sight = seen(lookout)

    assert [(row.name, row.place) for row in sight.rows] == [("m1", 1)]
    assert [(stray.path.removeprefix(group.base), stray.kind) for stray in sight.strays] == [
        ("/members/m0", StrayKind.LEFT_OVER),
        (left_over.removeprefix(group.base), StrayKind.LEFT_OVER),
        ("/queue/notes", StrayKind.STRANGER),
        ("/queue/" + "x" * 5000, StrayKind.STRANGER),
        ("/queue/ünï\u202ecode", StrayKind.STRANGER),
    ]

    transaction = group.client.transaction()
    transaction.delete(f"{group.base}/members/m0")
    transaction.create(f"{group.base}/members/m0", dumped, ephemeral=True)
    transaction.commit()

    def follows() -> bool:
        lookout.touch(cluster.touched(0.1))
        return [row.name for row in seen(lookout).rows] == ["m0", "m1"]

    until(follows, "m0 is there")
    assert len(seen(lookout).strays) == 4


def test_what_may_not_be_read_is_told(group: GroupZnodes, cluster: Cluster) -> None:
    """Without the permission to read the record, the sight says which znode it is about."""
    group.client.set_acls(f"{group.base}/state", [make_digest_acl("anna", "secret", all=True)])

    sight = seen(Lookout(cluster, group.lock, live=False))

    assert sight.forbidden
    assert sight.trouble == f"{group.base}/state: the cluster gives no permission for this"


def test_reading_is_all_that_is_needed(group: GroupZnodes, cluster: Cluster) -> None:
    """Who may only read the group, and not even read what is mirrored, sees everything."""
    group.show("m1")
    anna = make_digest_acl("anna", "secret", all=True)
    readers = [anna, make_acl("world", "anyone", read=True)]
    for name in ("", "/state", "/members", "/members/m1", "/queue", "/restart"):
        group.client.set_acls(f"{group.base}{name}", readers)
    group.client.set_acls(group.path, [anna])

    assert seen(Lookout(cluster, group.lock, live=True)).state is State.DONE


def test_all_groups_are_found(own_zookeeper: Server) -> None:
    """Groups are found however deep they are; their own znodes and the history are none."""
    client = KazooClient(hosts=own_zookeeper.hosts, timeout=30.0)
    client.start(timeout=30.0)
    for number, lock in enumerate(["web10", "web2", "team/a", "team/a/canary", ".history/x"]):
        GroupZnodes(client, lock, f"/mirrored{number}").show("m1", OLD)
    client.ensure_path("/zkexec/nothing/here")

    with Cluster(call(own_zookeeper.hosts).connection, lambda _: None) as cluster:
        sights = Lookout(cluster, live=False).look()
    client.stop()
    client.close()

    assert [sight.name for sight in sights] == ["team/a", "team/a/canary", "web2", "web10"]
    assert all(sight.state is State.DONE for sight in sights)


def test_a_chroot_is_not_part_of_what_is_shown(group: GroupZnodes, zookeeper: Server) -> None:
    """Below a chroot, paths are shown and asked for as the operator and the members know them."""
    root, _, name = group.path.rpartition("/")
    inner = GroupZnodes(group.client, f"{root}/below/zkexec/web", f"{root}/below/{name}")
    client = group.client
    assert client.exists(inner.base)
    inner.show("m1", paths=(f"/{name}",))

    words = call(zookeeper.hosts)
    connection = type(words.connection)(
        hosts_text=zookeeper.hosts, servers=words.connection.servers, chroot=f"{root}/below"
    )
    with Cluster(connection, lambda _: None) as cluster:
        (sight,) = Lookout(cluster, live=False).look()

    assert (sight.name, sight.base, sight.state) == ("web", "/zkexec/web", State.DONE)
