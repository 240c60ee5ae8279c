"""Reading groups from a real server: which requests, how often, and what becomes of junk."""

from collections import Counter
from pathlib import Path

import pytest
from kazoo.client import KazooClient
from kazoo.security import make_acl, make_digest_acl

from support.group_samples import NEW, OLD, GroupZnodes, call, entry, failed_on
from support.proxy import CHILDREN2, EXISTS, GET, MULTI_READ, PING, SYNC, Proxy
from support.waiting import until
from support.zkexecctl import Zkexecctl
from support.zookeeper import Server, can_read_at_once, demand_reading_at_once
from zkexec.core.rollout.queued_member import QueuedMember
from zkexec.core.rollout.record import RolloutRecord
from zkexec.ctl.cluster_connection import LOST, STALE, ClusterConnection
from zkexec.ctl.status.group_reader import GroupReader, UnreachableError
from zkexec.ctl.status.group_status import GroupState, GroupStatus
from zkexec.ctl.status.member_row import UNREADABLE, IgnoreReason
from zkexec.ctl.status.read_key import WRITTEN, ReadKey, ZnodeKind
from zkexec.frozen import replace
from zkexec.group.entry_codec import encode_queued

OPEN_SESSION = 0


def seen(reader: GroupReader) -> GroupStatus:
    """The one group."""
    (status,) = reader.read()
    return status


def asked(proxy: Proxy) -> Counter[int]:
    """The requests since the last time, without those that only keep the session."""
    opcodes, proxy.opcodes = proxy.opcodes, []
    return Counter(code for code in opcodes if code not in (PING, OPEN_SESSION))


def test_many_members_cost_a_few_requests(
    group: GroupZnodes, cluster: ClusterConnection, proxy: Proxy
) -> None:
    """Two hundred members and their queue nodes are read at once, in a few requests."""
    demand_reading_at_once()
    for number in range(200):
        group.show(f"m{number}")
    for number in range(50):
        group.queue(f"m{number}")

    status = seen(GroupReader(cluster, group.lock, live=False))

    assert len(status.members) == 200
    # One for the record, two for members and queue nodes, and one for the histories of the input.
    assert asked(proxy) == {SYNC: 1, MULTI_READ: 1 + 2 + 1, CHILDREN2: 4, EXISTS: 1}
    assert [row.name for row in status.waiting] == [f"m{number}" for number in range(50)]


def test_a_change_without_a_notification_is_read(
    group: GroupZnodes, cluster: ClusterConnection, proxy: Proxy
) -> None:
    """A change without a notification is read after a while, and watched again."""
    group.show("m0")
    reader = GroupReader(cluster, group.lock, live=True)
    assert sorted(seen(reader).members) == ["m0"]
    proxy.loses_events = True
    group.show("m1")
    until(lambda: proxy.lost_events, "a lost event")
    proxy.loses_events = False

    cluster.stale_s = 0.1
    touched = cluster.changed(30.0)
    cluster.stale_s = 1000.0
    reader.forget(touched)

    assert touched == {STALE}
    assert sorted(seen(reader).members) == ["m0", "m1"]
    group.show("m2")
    reader.forget(cluster.changed(30.0))
    assert sorted(seen(reader).members) == ["m0", "m1", "m2"]


def test_a_change_costs_what_has_changed(
    group: GroupZnodes, cluster: ClusterConnection, proxy: Proxy
) -> None:
    """After the first reading only what has changed is read again."""
    for number in range(20):
        group.show(f"m{number}")
    reader = GroupReader(cluster, group.lock, live=True)
    seen(reader)
    asked(proxy)

    assert seen(reader).up_to_date_count == 20
    assert asked(proxy) == {}

    group.show("m7", phase="waiting", wanted=NEW)
    reader.forget(cluster.changed(30))
    assert seen(reader).up_to_date_count == 19
    assert asked(proxy) == {GET: 1}

    group.push(b"newer")
    reader.forget(cluster.changed(30))
    assert seen(reader).up_to_date_count == 0
    # The two places whose history could have it are read again as well.
    assert asked(proxy) == {EXISTS: 1 + 2, GET: 2}

    group.queue("m7")
    reader.forget(cluster.changed(30))
    assert [row.name for row in seen(reader).waiting] == ["m7"]
    assert asked(proxy) == {CHILDREN2: 1, MULTI_READ if can_read_at_once() else GET: 1}


def test_members_come_and_go(group: GroupZnodes, cluster: ClusterConnection) -> None:
    """A new member is read, one that leaves is gone, and a turn without a znode is missing."""
    group.show("m1")
    reader = GroupReader(cluster, group.lock, live=True)
    assert [row.name for row in seen(reader).rows] == ["m1"]

    group.show("m2")
    reader.forget(cluster.changed(30))
    assert [row.name for row in seen(reader).rows] == ["m1", "m2"]

    group.client.delete(f"{group.base}/members/m1")
    group.decide(RolloutRecord(in_flight={"m3": entry()}))

    def follows() -> bool:
        reader.forget(cluster.changed(0.1))
        return [(r.name, r.is_alive) for r in seen(reader).rows] == [("m2", True), ("m3", False)]

    until(follows, "m1 is gone and m3 is missing")


def test_a_retry_is_no_failure_while_events_are_missing(
    group: GroupZnodes, cluster: ClusterConnection
) -> None:
    """With the decisions, the versions are read anew: their own events may not be there yet."""
    group.decide(RolloutRecord(versions=failed_on("m0", zxid=group.zxid)))
    group.show("m0", phase="failed", wanted=NEW)
    reader = GroupReader(cluster, group.lock, live=True)
    assert seen(reader).state is GroupState.FAILED

    group.push(b"the same again")
    group.show("m0", phase="failed", wanted=NEW)
    retried = replace(failed_on(zxid=group.zxid)[NEW], reason="", at=0.0)
    group.decide(RolloutRecord(versions={NEW: retried}))
    touched: set[object] = set()
    decisions = ReadKey(ZnodeKind.RECORD, f"{group.base}/state")
    while decisions not in touched:
        touched |= cluster.changed(30)
    beside = {key for key in touched if isinstance(key, ReadKey) and "/versions/" in key.path}
    reader.forget(touched - beside)

    assert beside
    assert seen(reader).state is GroupState.ROLLING


def test_a_push_has_its_author_while_events_are_missing(
    group: GroupZnodes, cluster: ClusterConnection, zookeeper: Server, tmp_path: Path
) -> None:
    """With an input, its history is read anew: its own event may not be there yet."""
    group.show("m1")
    zkexecctl = Zkexecctl(zookeeper.hosts, tmp_path)
    zkexecctl.push(group.path, b"one", "--by=ann")
    reader = GroupReader(cluster, group.lock, live=True)
    assert seen(reader).last_push
    zkexecctl.push(group.path, b"two", "--by=bob")
    touched: set[object] = set()
    while not any(isinstance(k, ReadKey) and k.kind is ZnodeKind.HISTORY for k in touched):
        touched |= cluster.changed(30)
    written = {key for key in touched if isinstance(key, ReadKey) and key.kind in WRITTEN}
    reader.forget(written)

    assert written
    push = seen(reader).last_push
    assert push is not None
    assert (push.by, push.set_by_other_tool) == ("bob", False)


def test_an_input_that_is_deleted_and_created(
    group: GroupZnodes, cluster: ClusterConnection
) -> None:
    """A deleted input is missing for its members, until it is created again."""
    group.show("m1")
    reader = GroupReader(cluster, group.lock, live=True)
    assert seen(reader).state is GroupState.COMPLETE

    group.client.delete(group.path)
    reader.forget(cluster.changed(30))
    gone = seen(reader)
    assert (gone.absent, gone.state) == ((group.path,), GroupState.ROLLING)

    group.client.create(group.path, b"anew")
    reader.forget(cluster.changed(30))
    assert (seen(reader).absent, seen(reader).rows[0].inputs_behind) == ((), (group.path,))


def test_what_is_from_another_history(group: GroupZnodes, cluster: ClusterConnection) -> None:
    """A status or record with a zxid above that of its own znode does not describe the present."""
    later = 2**62
    group.show("m1", zxid=later)
    group.decide(RolloutRecord(versions=failed_on("m2", zxid=later)))

    status = seen(GroupReader(cluster, group.lock, live=False))

    assert status.rows[0].inputs_behind == (group.path,)
    assert status.up_to_date_count == 0
    assert all(version_state.zxid < later for version_state in status.record.versions.values())


def test_a_lost_connection_reads_everything_again(
    group: GroupZnodes, cluster: ClusterConnection, proxy: Proxy
) -> None:
    """Watches are gone with the connection, so everything is read again."""
    group.show("m1")
    reader = GroupReader(cluster, group.lock, live=True)
    seen(reader)

    proxy.refuse()
    assert LOST in cluster.changed(30)
    group.show("m1", phase="waiting", wanted=NEW)
    with pytest.raises(UnreachableError):
        reader.read(0.5)
    proxy.heal()
    reader.forget({LOST})

    assert seen(reader).rows[0].phase == "waiting"


@pytest.mark.parametrize(
    "junk",
    [
        b"",
        b"junk",
        b'{"format": 3}',
        b'{"format": 2}',
        b'{"format": 1}',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_a_status_that_is_not_understood_is_shown(
    group: GroupZnodes, cluster: ClusterConnection, junk: bytes
) -> None:
    """Junk, an older status, and one of a newer format are rows with the reason."""
    group.show("m1")
    group.write("m2", junk)

    status = seen(GroupReader(cluster, group.lock, live=False))

    assert [(row.name, row.phase) for row in status.rows] == [("m1", "running"), ("m2", UNREADABLE)]
    assert "status" in status.rows[1].reason
    assert status.state is GroupState.ROLLING


@pytest.mark.parametrize("path", ["", "no/slash", "/a/../b", "/a\ud800"])
def test_a_path_that_is_none_is_never_asked_for(
    group: GroupZnodes, cluster: ClusterConnection, path: str
) -> None:
    """The inputs that a status names are checked before a server gets a request for them."""
    group.show("m1", paths=(path,))

    assert seen(GroupReader(cluster, group.lock, live=False)).rows[0].phase == UNREADABLE


@pytest.mark.parametrize("junk", [b"junk", b'{"format": 1}', b'{"format": 3}', b"null"])
def test_a_record_that_is_not_understood_is_shown(
    group: GroupZnodes, cluster: ClusterConnection, junk: bytes
) -> None:
    """If the record cannot be read, the members are shown, and the path of the error."""
    group.show("m1")
    group.client.set(f"{group.base}/state", junk)

    status = seen(GroupReader(cluster, group.lock, live=False))

    assert status.state is GroupState.UNREADABLE
    assert status.error.startswith(f"{group.base}/state: ")
    assert [row.name for row in status.rows] == ["m1"]


def test_queue_nodes_of_others_do_no_harm(group: GroupZnodes, cluster: ClusterConnection) -> None:
    """What is in the queue and is no queue node is ignored."""
    group.show("m1", wanted=NEW, phase="waiting")
    group.client.create(f"{group.base}/queue/by-hand", b"m1")
    group.queue("m1")

    assert [
        row.queue_position for row in seen(GroupReader(cluster, group.lock, live=False)).rows
    ] == [1]


@pytest.mark.parametrize("name", ["m9", ""])
def test_a_queue_node_of_no_member_is_shown(
    group: GroupZnodes, cluster: ClusterConnection, name: str
) -> None:
    """An ephemeral queue node with the name of no member keeps its position, and is shown."""
    group.show("m1", wanted=NEW, phase="waiting")
    content = encode_queued(QueuedMember(name, "token", NEW)) if name else b"no member"
    made = group.queue_node(content)
    group.queue("m1")
    found = seen(GroupReader(cluster, group.lock, live=False))

    assert [(row.name, row.queue_position) for row in found.rows] == [("m1", 2)]
    assert [(one.queue_position, one.name, one.path) for one in found.intruders] == [
        (1, name, made)
    ]


@pytest.mark.parametrize("rubbish", [b"\0\0", b"\xff\xfe", b"x" * 990_000])
def test_a_restart_without_a_request_is_ignored_and_shown(
    group: GroupZnodes, cluster: ClusterConnection, rubbish: bytes
) -> None:
    """Rubbish in that znode is no write that members have to know; a request is one, at once."""
    group.show("m1")
    path = f"{group.base}/restart"
    group.client.set(path, rubbish)
    reader = GroupReader(cluster, group.lock, live=True)

    status = seen(reader)
    assert status.restart is None
    assert [(stray.path, stray.reason) for stray in status.ignored] == [
        (path, IgnoreReason.NO_REQUEST)
    ]

    group.client.set(path, b"a1b2c3d4 token")

    def follows() -> bool:
        reader.forget(cluster.changed(0.1))
        return seen(reader).restart is not None

    until(follows, "the request is seen")
    assert seen(reader).ignored == ()


def test_what_belongs_to_no_member_is_ignored_and_shown(
    group: GroupZnodes, cluster: ClusterConnection
) -> None:
    """Persistent nodes of members and of the queue are ignored, and strange names as well."""
    group.show("m1", wanted=NEW, phase="waiting")
    dumped = group.client.get(f"{group.base}/members/m1")[0]
    group.client.create(f"{group.base}/members/m0", dumped)
    left_over = group.queue_node(b"m0", ephemeral=False)
    group.queue("m1")
    for name in ("notes", "ünï\u202ecode", "x" * 5000):
        group.client.create(f"{group.base}/queue/{name}", b"m7")

    reader = GroupReader(cluster, group.lock, live=True)
    status = seen(reader)

    assert [(row.name, row.queue_position) for row in status.rows] == [("m1", 1)]
    assert [(stray.path.removeprefix(group.base), stray.reason) for stray in status.ignored] == [
        ("/members/m0", IgnoreReason.LEFT_OVER),
        ("/queue/notes", IgnoreReason.STRANGER),
        (left_over.removeprefix(group.base), IgnoreReason.LEFT_OVER),
        ("/queue/" + "x" * 5000, IgnoreReason.STRANGER),
        ("/queue/ünï\u202ecode", IgnoreReason.STRANGER),
    ]

    transaction = group.client.transaction()
    transaction.delete(f"{group.base}/members/m0")
    transaction.create(f"{group.base}/members/m0", dumped, ephemeral=True)
    transaction.commit()

    def follows() -> bool:
        reader.forget(cluster.changed(0.1))
        return [row.name for row in seen(reader).rows] == ["m0", "m1"]

    until(follows, "m0 is there")
    assert len(seen(reader).ignored) == 4


def test_what_may_not_be_read_is_named(group: GroupZnodes, cluster: ClusterConnection) -> None:
    """Without the permission to read the record, the group has the path of the znode."""
    group.client.set_acls(f"{group.base}/state", [make_digest_acl("anna", "secret", all=True)])

    status = seen(GroupReader(cluster, group.lock, live=False))

    assert status.is_forbidden
    assert status.error == f"{group.base}/state: the cluster gives no permission for this"


def test_reading_is_all_that_is_needed(group: GroupZnodes, cluster: ClusterConnection) -> None:
    """The permission to read the group is enough, even if the inputs may not be read."""
    group.show("m1")
    anna = make_digest_acl("anna", "secret", all=True)
    readers = [anna, make_acl("world", "anyone", read=True)]
    for name in ("", "/state", "/members", "/members/m1", "/queue", "/restart"):
        group.client.set_acls(f"{group.base}{name}", readers)
    group.client.set_acls(group.path, [anna])

    assert seen(GroupReader(cluster, group.lock, live=True)).state is GroupState.COMPLETE


def test_all_groups_are_found(own_zookeeper: Server) -> None:
    """Groups are found however deep they are; their own znodes and the history are none."""
    client = KazooClient(hosts=own_zookeeper.hosts, timeout=30.0)
    client.start(timeout=30.0)
    for number, lock in enumerate(["web10", "web2", "team/a", "team/a/canary", ".history/x"]):
        GroupZnodes(client, lock, f"/mirrored{number}").show("m1", OLD)
    client.ensure_path("/zkexec/nothing/here")

    with ClusterConnection(call(own_zookeeper.hosts).connection, lambda _: None) as cluster:
        groups = GroupReader(cluster, live=False).read()
    client.stop()
    client.close()

    assert [status.name for status in groups] == ["team/a", "team/a/canary", "web2", "web10"]
    assert all(status.state is GroupState.COMPLETE for status in groups)


def test_a_chroot_is_not_part_of_what_is_shown(group: GroupZnodes, zookeeper: Server) -> None:
    """Below a chroot, paths are shown as the operator and the members know them."""
    root, _, name = group.path.rpartition("/")
    inner = GroupZnodes(group.client, f"{root}/below/zkexec/web", f"{root}/below/{name}")
    client = group.client
    assert client.exists(inner.base)
    inner.show("m1", paths=(f"/{name}",))

    words = call(zookeeper.hosts)
    connection = type(words.connection)(
        hosts_text=zookeeper.hosts, servers=words.connection.servers, chroot=f"{root}/below"
    )
    with ClusterConnection(connection, lambda _: None) as cluster:
        (status,) = GroupReader(cluster, live=False).read()

    assert (status.name, status.base, status.state) == ("web", "/zkexec/web", GroupState.COMPLETE)
