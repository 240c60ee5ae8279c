"""`zkexecctl delete NAME`: nothing is left of a group, and no living member is touched."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from kazoo.client import KazooClient
from kazoo.security import make_acl

from support.fleet import Fleet
from support.group_samples import GroupZnodes, call, entry, failed_on
from support.proxy import TRANSACTION, Proxy, Request, Treatment, Way, pass_all
from support.waiting import DEADLINE_S, until
from support.zkexecctl import Zkexecctl
from support.zookeeper import Server
from zkexec.core.rollout.record import AuditEntry, RolloutRecord
from zkexec.ctl.cluster_connection import ClusterConnection
from zkexec.ctl.group_deletion import GroupDeletion, GroupZnodesFound, removals
from zkexec.group.paths import Paths


@pytest.fixture
def zkexecctl(zookeeper: Server, tmp_path: Path) -> Zkexecctl:
    """An operator at the shared server."""
    return Zkexecctl(zookeeper.hosts, tmp_path)


def test_nothing_is_left(zkexecctl: Zkexecctl, group: GroupZnodes, client: KazooClient) -> None:
    """The record is shown with its audit entries, all znodes go, and the inputs stay."""
    audit = (AuditEntry("pause", "anna", "the night", "t1"), AuditEntry("resume", "bob", "", "t2"))
    group.decide(RolloutRecord(versions=failed_on("m1", zxid=group.zxid), audit=audit))
    client.create(f"{group.base}/members/restored", b"from a dump")
    client.create(f"{group.base}/zones/east", makepath=True)

    shown = zkexecctl.does("delete", group.lock, "--dry-run")
    assert client.exists(f"{group.base}/state")
    done = zkexecctl.does("delete", group.lock, "--yes", "--by=ann", "-m", "not used any more")

    for answer in (shown, done):
        assert f"no member is alive; 13 znodes below {group.base}\n" in answer.out
        assert "versions in the record: 1\n" in answer.out
        assert "audit entry: pause by anna (" in answer.out
        assert answer.out.count("audit entry: ") == 2
    assert shown.out.endswith("dry run: nothing was deleted\n")
    assert f"{group.lock}: deleted by ann: not used any more (" in done.out
    assert client.exists(group.base) is None
    assert client.exists(group.path)
    again = zkexecctl("delete", group.lock, "--yes")
    assert again.status == 1
    assert again.err == (
        f"zkexecctl: {group.lock}: there is no such group ({group.base} does not exist)\n"
    )


def test_a_living_member_keeps_its_group(
    zkexecctl: Zkexecctl, group: GroupZnodes, client: KazooClient
) -> None:
    """A group with living members is refused, and names them; so is one with a member in flight."""
    group.show("m1")
    group.show("m2")
    alive = zkexecctl("delete", group.lock, "--yes")
    for name in ("m1", "m2"):
        client.delete(f"{group.base}/members/{name}")
    group.decide(RolloutRecord(in_flight={"m3": entry()}))
    in_flight = zkexecctl("delete", group.lock, "--yes")
    forced = zkexecctl("delete", group.lock, "--yes", "--force")

    assert (alive.status, in_flight.status, forced.status) == (1, 1, 2)
    assert ": 2 alive: m1, m2; stop them before" in alive.err
    assert f"in flight: m3; if they do not come back: zkexecctl forget {group.lock} m3" in (
        in_flight.err
    )
    assert "is deleted only if it has no members" in forced.err
    assert client.exists(f"{group.base}/state")


def test_a_large_group(zkexecctl: Zkexecctl, group: GroupZnodes, client: KazooClient) -> None:
    """Thousands of versions and queue nodes go, in as many transactions as it takes."""
    made = [
        client.create_async(f"{group.base}/{part}/{number:064d}", b"")
        for number in range(1500)
        for part in ("versions", "queue")
    ]
    for one in made:
        one.get()

    done = zkexecctl.does("delete", group.lock, "--yes")

    assert "3007 znodes" in done.out
    assert client.exists(group.base) is None


@pytest.fixture
def cluster(zookeeper: Server) -> Iterator[ClusterConnection]:
    """A session for the steps of a deletion."""
    with ClusterConnection(call(zookeeper.hosts).connection, lambda _: None) as one:
        yield one


def survey(
    cluster: ClusterConnection, group: GroupZnodes
) -> tuple[GroupDeletion, GroupZnodesFound]:
    """The deletion of a group, and what it has found."""
    deletion = GroupDeletion(Paths("", group.base))
    found: GroupZnodesFound = cluster.run(deletion.survey)
    return deletion, found


def test_a_member_that_appears_is_not_harmed(
    cluster: ClusterConnection, group: GroupZnodes, client: KazooClient
) -> None:
    """A member that comes before the end keeps everything, one that comes later keeps its own."""
    client.create(f"{group.base}/versions/old")
    deletion, found = survey(cluster, group)
    group.show("early")
    assert cluster.run(partial(deletion.end, found)) is False
    assert client.exists(f"{group.base}/state")

    client.delete(f"{group.base}/members/early")
    deletion, found = survey(cluster, group)
    assert cluster.run(partial(deletion.end, found)) is True
    client.create(f"{group.base}/members/late", makepath=True)
    batches = list(removals(found))

    assert [cluster.run(partial(deletion.remove, batch)) for batch in batches] == [False] * 2
    assert client.exists(f"{group.base}/versions/old")
    assert client.exists(f"{group.base}/members/late")


def test_a_lost_reply_is_no_other_operator(
    proxy: Proxy, group: GroupZnodes, client: KazooClient, tmp_path: Path
) -> None:
    """If the reply to the end of a group is lost, the deletion goes on, and is reported as done."""
    group.decide(RolloutRecord(audit=(AuditEntry("pause", "anna", "", "t1"),)))
    client.create(f"{group.base}/versions/old")
    behind = Zkexecctl(proxy.hosts, tmp_path)

    def lose_reply(request: Request) -> Treatment:
        if request.opcode == TRANSACTION:
            proxy.black_hole(Way.TO_CLIENT)
        return Treatment.PASS_ON

    proxy.on_request = lose_reply
    with ThreadPoolExecutor(1) as pool:
        deletion = pool.submit(behind, "delete", group.lock, "--yes")
        until(lambda: not client.exists(f"{group.base}/state") or deletion.done(), "it was done")
        assert client.exists(f"{group.base}/versions/old")
        proxy.on_request = pass_all
        proxy.heal()
        answer = deletion.result(DEADLINE_S)

    assert (answer.status, answer.err) == (0, "")
    assert f"{group.lock}: deleted by " in answer.out
    assert client.exists(group.base) is None


@pytest.mark.parametrize("is_begun", [False, True])
def test_a_deletion_that_is_cut_off_can_be_finished(
    cluster: ClusterConnection, zkexecctl: Zkexecctl, client: KazooClient, root: str, is_begun: bool
) -> None:
    """What is left of a deletion is recognised, also if the NAME begins with a slash."""
    group = GroupZnodes(client, f"{root}/own", f"{root}/input")
    client.create(f"{group.base}/versions/old")
    deletion, found = survey(cluster, group)
    assert cluster.run(partial(deletion.end, found)) is True
    if is_begun:
        assert cluster.run(partial(deletion.remove, next(removals(found)))) is True
    assert client.exists(group.base)

    zkexecctl.does("delete", group.lock, "--yes")

    assert client.exists(group.base) is None


def without_delete(client: KazooClient, path: str) -> None:
    """Let everybody read a znode and create znodes below it, but not delete one."""
    client.set_acls(path, [make_acl("world", "anyone", read=True, create=True, admin=True)])


def test_the_znode_of_the_group_that_may_not_be_deleted(
    zookeeper: Server, client: KazooClient, root: str, tmp_path: Path
) -> None:
    """If another identity has made the znode above, the group goes, and what is left is named."""
    zkexecctl = Zkexecctl(f"{zookeeper.hosts}{root}", tmp_path)
    group = GroupZnodes(client, f"{root}/zkexec/web", f"{root}/input")
    without_delete(client, f"{root}/zkexec")

    done = zkexecctl.does("delete", "web", "--yes", "--by=ann")
    again = zkexecctl.does("delete", "web", "--yes", "--by=ann")

    left = "; left, as there is no permission to delete it (d): /zkexec/web\n"
    assert done.out.endswith(f"web: deleted by ann (7 znodes){left}")
    assert again.out.endswith(left)
    assert client.get_children(group.base) == []
    client.set_acls(f"{root}/zkexec", [make_acl("world", "anyone", all=True)])
    zkexecctl.does("delete", "web", "--yes", "--by=ann")
    assert client.exists(group.base) is None


def test_znodes_of_a_group_that_may_not_be_deleted(
    zkexecctl: Zkexecctl, group: GroupZnodes, client: KazooClient
) -> None:
    """The error begins with what was done, and ends with what to type; another attempt finishes."""
    client.create(f"{group.base}/versions/old")
    without_delete(client, f"{group.base}/versions")

    refused = zkexecctl("delete", group.lock, "--yes", "--by=ann")
    again = zkexecctl("delete", group.lock, "--yes", "--by=ann")
    client.set_acls(f"{group.base}/versions", [make_acl("world", "anyone", all=True)])
    zkexecctl.does("delete", group.lock, "--yes")

    versions = f"{group.base}/versions"
    left = (
        f"znodes of it are left: {versions}: no permission to delete {versions}/old (d); once this "
        f"is mended: zkexecctl delete {group.lock}\n"
    )
    assert (refused.status, again.status) == (125, 125)
    assert refused.err == f"zkexecctl: {group.lock}: deleted by ann, but {left}"
    assert again.err == f"zkexecctl: {group.lock}: {left}"
    assert client.exists(group.base) is None


def test_a_name_that_is_a_path(zkexecctl: Zkexecctl, client: KazooClient, root: str) -> None:
    """A group at the path of a znode with a content needs --group, and the znode stays."""
    lock = f"{root}/both"
    client.create(lock, b"a content", makepath=True)
    GroupZnodes(client, lock, f"{root}/input")

    both = zkexecctl("delete", lock, "--yes")
    zkexecctl.does("delete", lock, "--yes", "--group")
    left = client.get_children(lock)
    zkexecctl.does("delete", lock, "--yes")

    assert both.status == 1
    assert "is a group, and also a znode with a content: add --group" in both.err
    assert left == []
    assert client.exists(lock) is None


def test_a_group_around_another_one(zkexecctl: Zkexecctl, client: KazooClient, root: str) -> None:
    """A group that is below another one stays; a path that only has groups below it is none."""
    inner = GroupZnodes(client, f"{root[1:]}/outer/inner", f"{root}/one")
    none = zkexecctl("delete", f"{root[1:]}/outer", "--yes")
    outer = GroupZnodes(client, f"{root[1:]}/outer", f"{root}/two")

    done = zkexecctl.does("delete", outer.lock, "--yes")

    assert (none.status, "only what is below its path" in none.err) == (1, True)
    assert done.out.endswith(f"; not of the group, and left: {outer.base}/inner\n")
    assert client.get_children(outer.base) == ["inner"]
    assert client.exists(f"{inner.base}/state")


def test_members_that_start_again(fleet: Fleet, zkexecctl: Zkexecctl) -> None:
    """The group of a fleet that has ended is deleted; members that start make a new one."""
    fleet.launch(2)
    assert zkexecctl("delete", fleet.lock, "--yes").status == 1
    for member in fleet.members:
        member.end()
    fleet.until(lambda: not fleet.children("members"), "no member is left")

    zkexecctl.does("delete", fleet.lock, "--yes")
    assert fleet.client.exists(fleet.stored.base) is None
    fleet[0].start()

    fleet.until(lambda: fleet.children("members") == ["m0"], "the member is back")
    assert "1 of 1" in zkexecctl.does("wait", fleet.lock, "--timeout=60").out
