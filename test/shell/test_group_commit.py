"""Transactions on the record: all of one is done, or nothing of it and the conflict is told."""

from collections.abc import Mapping

import pytest
from kazoo.client import KazooClient
from kazoo.security import ACL, Id

from support.posted_events import ConnectedMember, connected_member, group_place
from support.proxy import TRANSACTION, Proxy
from support.zookeeper import Server
from zkexec.core.rollout.group_actions import CommitRecord, JoinQueue
from zkexec.core.rollout.group_events import (
    CommitRefused,
    Conflict,
    GroupRequestFailed,
    QueueJoined,
    RecordCommitted,
)
from zkexec.core.rollout.record import InFlightEntry, RolloutRecord, VersionState
from zkexec.group.record_codec import decode

NEW = RolloutRecord(
    in_flight={"m1": InFlightEntry("token", "digest", 5, since=3.0)}, last_admitted=4
)
READ_ONLY = [ACL(1, Id("world", "anyone"))]


def test_all_is_done_together(zookeeper: Server, client: KazooClient, root: str) -> None:
    """The record is written and the queue node goes, where all that is checked holds."""
    for name in ("a", "b"):
        client.create(f"{root}/{name}", b"", acl=READ_ONLY)
    with connected_member(zookeeper.hosts, group=group_place(f"{root}/g")) as member:
        member.enrol()
        queued = member.get(QueueJoined, JoinQueue(0, "t")).name
        checks = {f"{root}/a": 0, f"{root}/b": 0}
        member.get(RecordCommitted, CommitRecord(0, NEW, 0, checks, queued))
        content, stat = client.get(f"{root}/g/state")
        assert (decode(content), stat.version) == (NEW, 1)
        assert client.get_children(f"{root}/g/queue") == []
        # The two are one transaction, and not two at nearly the same time.
        assert client.exists(f"{root}/g/queue").pzxid == stat.mzxid


def test_below_a_chroot(zookeeper: Server, client: KazooClient, root: str) -> None:
    """What is checked is named without the chroot, the root of the chroot too."""
    client.create(f"{root}/a")
    with connected_member(zookeeper.hosts, group=group_place("/g"), chroot=root) as member:
        member.enrol()
        member.get(RecordCommitted, CommitRecord(0, NEW, 0, {"/a": 0, "/": 0}))
        client.set(root, b"new")
        refused = member.get(CommitRefused, CommitRecord(0, NEW, 1, {"/a": 0, "/": 0}))
        assert refused.conflict is Conflict.CONFIGURATION


def truth(client: KazooClient, base: str) -> tuple[bytes, int, list[str]]:
    """All that a commit could have changed."""
    content, stat = client.get(f"{base}/state")
    return content, stat.version, client.get_children(f"{base}/queue")


@pytest.mark.parametrize("case", ["stale record", "changed", "deleted", "made anew", "place gone"])
def test_refused(zookeeper: Server, client: KazooClient, root: str, case: str) -> None:
    """Whatever is not as it was read is told as that conflict, and nothing at all is written."""
    base = f"{root}/g"
    client.create(f"{root}/a")
    client.create(f"{root}/b")
    client.set(f"{root}/b", b"1")
    version, expected = 0, Conflict.CONFIGURATION
    with connected_member(zookeeper.hosts, group=group_place(base)) as member:
        member.enrol()
        queued = member.get(QueueJoined, JoinQueue(0, "t")).name
        match case:
            case "stale record":
                member.commit(RolloutRecord(last_admitted=1))
                expected = Conflict.RECORD
            case "changed":
                client.set(f"{root}/b", b"2")
            case "deleted":
                client.delete(f"{root}/a")
            case "made anew":
                client.delete(f"{root}/b")
                client.create(f"{root}/b", b"1")
            case _:
                # Whose place is gone has to queue again, whatever else has changed.
                member.commit(RolloutRecord(last_admitted=1))
                client.set(f"{root}/b", b"2")
                queued = "t-0000000009"
                expected = Conflict.QUEUE_NODE
        before = truth(client, base)
        commit = CommitRecord(0, NEW, version, {f"{root}/a": 0, f"{root}/b": 1}, queued)
        assert member.get(CommitRefused, commit).conflict is expected
        assert truth(client, base) == before


def test_of_two_only_one_wins(zookeeper: Server, root: str) -> None:
    """Of two members that write over the same version, one is refused."""
    with (
        connected_member(zookeeper.hosts, group=group_place(root, "m1")) as first,
        connected_member(zookeeper.hosts, group=group_place(root, "m2")) as second,
    ):
        first.enrol()
        for round_number in range(10):
            version = first.read().znode_version
            record = RolloutRecord(last_admitted=round_number)
            answers = [one.ask(CommitRecord(0, record, version)) for one in (first, second)]
            assert [type(answer) for answer in answers] == [RecordCommitted, CommitRefused]


def test_a_member_that_may_only_read_the_record(
    zookeeper: Server, client: KazooClient, root: str
) -> None:
    """Missing permissions are no conflict: the reason names what was not permitted."""
    client.create(f"{root}/secret", acl=[ACL(2, Id("world", "anyone"))])
    with connected_member(zookeeper.hosts, group=group_place(f"{root}/g")) as member:
        member.enrol()
        reason = member.failure(CommitRecord(0, NEW, 0, {f"{root}/secret": 0}))
        assert reason == f"{root}/secret: the cluster gives no permission for this"
        client.set_acls(f"{root}/g/state", READ_ONLY)
        reason = member.failure(CommitRecord(0, NEW, 0))
        assert reason == f"{root}/g/state: the cluster gives no permission for this"
        client.delete(f"{root}/g/state")
        reason = member.failure(CommitRecord(0, NEW, 0))
        assert reason == f"{root}/g/state: does not exist"


@pytest.mark.parametrize("what", ["record", "checks"])
def test_a_commit_too_large(proxy: Proxy, root: str, what: str) -> None:
    """What no server would take is refused in words, before it costs the connection."""
    record = RolloutRecord(
        in_flight={f"member-{n}": InFlightEntry("t" * 80, "d" * 64, n) for n in range(5000)}
    )
    checks: Mapping[str, int] = {f"/{'x' * 1000}/{number}": 0 for number in range(1000)}
    with connected_member(proxy.hosts, group=group_place(root)) as member:
        member.enrol()
        commit = CommitRecord(0, record, 0) if what == "record" else CommitRecord(0, NEW, 0, checks)
        reason = member.failure(commit)
        assert "more than the 1000000 that a server takes for sure" in reason
        assert TRANSACTION not in proxy.opcodes
        member.commit(NEW)


def test_a_large_commit(zookeeper: Server, root: str) -> None:
    """A record of thousands of members, with a thousand znodes checked, is written."""
    record = RolloutRecord(
        in_flight={
            f"member-{n:04}": InFlightEntry(f"t{n}", f"d{n}", 1, since=1.0) for n in range(3000)
        }
    )
    with connected_member(zookeeper.hosts, group=group_place(root)) as member:
        member.enrol()
        checks = {f"{root}/none/{number}": 0 for number in range(1000)}
        refused = member.get(CommitRefused, CommitRecord(0, record, 0, checks))
        assert refused.conflict is Conflict.CONFIGURATION
        member.commit(record)
        found = member.read(watch=True)
        assert (found.record, found.alive) == (record, frozenset())


def test_a_record_from_a_dump(zookeeper: Server, root: str) -> None:
    """A record is never newer than the transaction that has written it, whatever stands in it."""
    older = RolloutRecord(versions={"d1": VersionState(2**62, "scope", failed_by=("m2",), at=1.0)})
    with connected_member(zookeeper.hosts, group=group_place(root)) as member:
        member.enrol()
        member.commit(older)
        (version_state,) = member.read().record.versions.values()
        assert 0 < version_state.zxid < 2**62
        assert (version_state.scope, version_state.failed_by) == ("", ("m2",))


def test_without_a_record(zookeeper: Server, root: str) -> None:
    """Over a record that is not there yet nothing is written."""
    with connected_member(zookeeper.hosts, group=group_place(root)) as member:
        failed = member.get(GroupRequestFailed, CommitRecord(0, NEW, -1))
        assert failed.reason == "there is no record yet: the member has to enrol first"


def test_times_of_the_commit(zookeeper: Server, root: str) -> None:
    """Times that stand for that of the commit are filled in when it is sent."""

    def since(member: ConnectedMember) -> float:
        member.commit(RolloutRecord(in_flight={"m1": InFlightEntry("t", "d", 1)}))
        return member.read().record.in_flight["m1"].since

    with connected_member(zookeeper.hosts, group=group_place(root)) as member:
        member.enrol()
        assert 1_600_000_000 < since(member) <= since(member)
