"""Transactions on the record of real servers: all of one is done, or nothing of it."""

import pytest
from kazoo.client import KazooClient
from kazoo.security import ACL, Id

from support.posted_events import ConnectedMember, connected_member, drive_until, group_place
from support.proxy import TRANSACTION, Proxy
from support.zookeeper import Server, demand_reading_at_once
from zkexec.core.policy import MaxUnavailable
from zkexec.core.rollout.group_actions import CommitRecord, ReadQueue, ReadRecord
from zkexec.core.rollout.group_events import (
    CommitRefused,
    Conflict,
    GroupRequestFailed,
    QueueRead,
    RecordCommitted,
    RecordRead,
)
from zkexec.core.rollout.limits import AgreedMaxUnavailable
from zkexec.core.rollout.queued_member import QueueNode
from zkexec.core.rollout.record import EntryPhase, InFlightEntry, RolloutRecord
from zkexec.core.rollout.record_basis import RecordBasis
from zkexec.core.rollout.version import ConfigVersion
from zkexec.core.rollout.version_state import VersionState
from zkexec.frozen import replace
from zkexec.group.record_codec import decode

D = "d" * 64
VERSION = ConfigVersion(D, 5, "scope")
GOOD = {D: VersionState(5, "scope", known_good=True)}
NEW = RolloutRecord(
    in_flight={"m1": InFlightEntry("token", D, 5, since=3.0)}, versions=GOOD, last_admitted=4
)
READ_ONLY = [ACL(1, Id("world", "anyone"))]


def node_of(member: ConnectedMember, number: int) -> QueueNode:
    """The queue node of this number."""
    (node,) = [n for n in member.get(QueueRead, ReadQueue(0)).nodes if n.number == number]
    return node


def test_all_is_done_together(zookeeper: Server, client: KazooClient, root: str) -> None:
    """Decisions and entry are written and the queue node goes, if all that is checked is so."""
    for name in ("a", "b"):
        client.create(f"{root}/{name}", b"", acl=READ_ONLY)
    with connected_member(zookeeper.hosts, group=group_place(f"{root}/g")) as member:
        member.enrol()
        node = node_of(member, member.join("token", D))
        checks = {f"{root}/a": 0, f"{root}/b": 0}
        member.commit(NEW, checks=checks, admitted=(node,), tried=D)
        content, stat = client.get(f"{root}/g/state")
        assert (decode(content).last_admitted, stat.version) == (4, 1)
        assert client.get_children(f"{root}/g/queue") == []
        # The three are one transaction, and not three at nearly the same time.
        assert client.exists(f"{root}/g/queue").pzxid == stat.mzxid
        assert client.exists(f"{root}/g/in_flight/m1").czxid == stat.mzxid
        assert member.read(survey=True).record == NEW


def test_below_a_chroot(zookeeper: Server, client: KazooClient, root: str) -> None:
    """What is checked is named without the chroot, the root of the chroot too."""
    client.create(f"{root}/a")
    with connected_member(zookeeper.hosts, group=group_place("/g"), chroot=root) as member:
        member.enrol()
        member.commit(NEW, checks={"/a": 0, "/": 0})
        client.set(root, b"new")
        again = member.commit_request(NEW, checks={"/a": 0, "/": 0})
        assert member.get(CommitRefused, again).conflict is Conflict.CONFIGURATION


def truth(client: KazooClient, base: str) -> list[object]:
    """All that a commit could have changed."""
    content, stat = client.get(f"{base}/state")
    children = [sorted(client.get_children(f"{base}/{name}")) for name in ("queue", "in_flight")]
    return [content, stat.version, *children]


CASES = ["stale record", "changed", "deleted", "made anew", "place gone", "in flight already"]


@pytest.mark.parametrize("case", CASES)
def test_refused(zookeeper: Server, client: KazooClient, root: str, case: str) -> None:
    """Whatever is not as it was read is reported as that conflict, and nothing is written."""
    base = f"{root}/g"
    client.create(f"{root}/a")
    client.create(f"{root}/b")
    client.set(f"{root}/b", b"1")
    expected, number = Conflict.CONFIGURATION, None
    with connected_member(zookeeper.hosts, group=group_place(base)) as member:
        member.enrol()
        node = node_of(member, member.join("token", D))
        checks = {f"{root}/a": 0, f"{root}/b": 1}
        commit = member.commit_request(NEW, checks=checks, admitted=(node,))
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
            case "place gone":
                client.delete(f"{base}/queue/q-0000000000")
                expected, number = Conflict.QUEUE_NODE, 0
            case _:
                client.create(f"{base}/in_flight/m1")
                expected, number = Conflict.QUEUE_NODE, 0
        before = truth(client, base)
        refused = member.get(CommitRefused, commit)
        assert (refused.conflict, refused.queue_number) == (expected, number)
        assert truth(client, base) == before


def test_of_two_only_one_wins(zookeeper: Server, root: str) -> None:
    """Of two members that write over the same decisions, one is refused."""
    with (
        connected_member(zookeeper.hosts, group=group_place(root, "m1")) as first,
        connected_member(zookeeper.hosts, group=group_place(root, "m2")) as second,
    ):
        first.enrol()
        for round_number in range(10):
            commit = first.commit_request(RolloutRecord(last_admitted=round_number))
            answers = [one.ask(commit) for one in (first, second)]
            assert [type(answer) for answer in answers] == [RecordCommitted, CommitRefused]


def entries(count: int) -> dict[str, InFlightEntry]:
    """The entries of this many members."""
    return {f"m{n:04}": InFlightEntry(f"token-of-m{n:04}", D, 5, since=1.0) for n in range(count)}


def test_five_hundred_are_admitted_at_once(zookeeper: Server, root: str) -> None:
    """A head admits 500 members in one transaction, and each queue node goes with it."""
    with connected_member(zookeeper.hosts, group=group_place(root, "m1")) as member:
        member.enrol()
        member.commit(RolloutRecord(versions=GOOD))
        admitted = entries(500)
        for name, entry in admitted.items():
            member.join(entry.token, D, member=name)
        nodes = member.get(QueueRead, ReadQueue(0)).nodes
        assert len(nodes) == 500
        after = RolloutRecord(in_flight=admitted, versions=GOOD, admissions=1)
        member.commit(after, admitted=nodes, tried=D, is_exclusive=True)
        found = member.read(survey=True)
        assert (found.record, found.record.in_flight_count) == (after, 500)
        assert member.get(QueueRead, ReadQueue(0)).numbers == frozenset()


def test_five_hundred_fail_at_once(zookeeper: Server, root: str) -> None:
    """Members that fail at the same time do not disturb each other, whatever they have read."""
    with connected_member(zookeeper.hosts, group=group_place(root, "m1")) as member:
        member.enrol()
        member.commit(RolloutRecord(in_flight=entries(500), versions=GOOD))
        read = member.read(survey=True)
        numbers = []
        for name, entry in entries(500).items():
            alone = replace(read.record, in_flight={name: entry})
            failed = alone.fail(name, entry.token, VERSION, f"why on {name}", "check")
            number = member.posted.fresh_number()
            member.ensemble.request(CommitRecord(number, alone, failed, read.basis))
            numbers.append(number)
        answers = [member.posted.answer_to(number) for number in numbers]
        assert {type(answer) for answer in answers} == {RecordCommitted}
        found = member.read(survey=True)
        assert len(found.record.versions[D].failed_by) == 500
        assert {e.phase for e in found.record.in_flight.values()} == {EntryPhase.FAILED}
        assert found.basis.state == read.basis.state


def test_a_member_that_may_only_read_the_record(
    zookeeper: Server, client: KazooClient, root: str
) -> None:
    """Missing permissions are no conflict: the reason names what was not permitted."""
    client.create(f"{root}/secret", acl=[ACL(2, Id("world", "anyone"))])
    with connected_member(zookeeper.hosts, group=group_place(f"{root}/g")) as member:
        member.enrol()
        reason = member.failure(member.commit_request(NEW, checks={f"{root}/secret": 0}))
        assert reason == f"{root}/secret: the cluster gives no permission for this"
        commit = member.commit_request(NEW)
        client.set_acls(f"{root}/g/state", READ_ONLY)
        reason = member.failure(commit)
        assert reason == f"{root}/g/state: the cluster gives no permission for this"
        client.delete(f"{root}/g/state")
        reason = member.failure(commit)
        assert reason == f"{root}/g/state: does not exist"


@pytest.mark.parametrize("what", ["record", "checks"])
def test_a_commit_too_large(proxy: Proxy, root: str, what: str) -> None:
    """What no server would take is refused in words, before it costs the connection."""
    checks = {f"/{'x' * 1000}/{number}": 0 for number in range(1000)}
    record = replace(NEW, in_flight=entries(6000)) if what == "record" else NEW
    with connected_member(proxy.hosts, group=group_place(root)) as member:
        member.enrol()
        commit = member.commit_request(record, checks=checks if what == "checks" else {})
        proxy.opcodes.clear()
        reason = member.failure(commit)
        assert "more than the 1000000 that a server takes for sure" in reason
        assert TRANSACTION not in proxy.opcodes
        member.commit(NEW)


def test_a_large_commit(zookeeper: Server, root: str) -> None:
    """A commit with the entries of two thousand members is written, and read by a survey."""
    record = replace(NEW, in_flight=entries(2000))
    with connected_member(zookeeper.hosts, group=group_place(root)) as member:
        member.enrol()
        member.commit(record)
        found = member.read(survey=True)
        assert (found.record, found.alive) == (record, frozenset())


def test_a_record_from_a_dump(zookeeper: Server, root: str) -> None:
    """A record is never newer than the transaction that has written it, whatever is in it."""
    older = RolloutRecord(
        versions={D: VersionState(2**62, "scope", failed_by=("m2",), reason="why", at=1.0)}
    )
    with connected_member(zookeeper.hosts, group=group_place(root)) as member:
        member.enrol()
        member.commit(older)
        (version_state,) = member.read().record.versions.values()
        assert 0 < version_state.zxid < 2**62
        assert (version_state.scope, version_state.failed_by) == ("", ("m2",))


def test_without_a_record(zookeeper: Server, root: str) -> None:
    """Over a record that does not exist yet nothing is written."""
    with connected_member(zookeeper.hosts, group=group_place(root)) as member:
        commit = CommitRecord(0, RolloutRecord(), NEW, RecordBasis())
        failed = member.get(GroupRequestFailed, commit)
        assert failed.reason == "there is no record yet: the member has to enrol first"


def test_times_of_the_commit(zookeeper: Server, root: str) -> None:
    """Times that mean that of the commit are filled in when it is sent."""

    def since(member: ConnectedMember) -> float:
        entry = InFlightEntry("t", D, 1)
        member.commit(RolloutRecord(in_flight={"m1": entry}))
        found = member.read().record.in_flight["m1"].since
        member.commit(RolloutRecord())
        return found

    with connected_member(zookeeper.hosts, group=group_place(root)) as member:
        member.enrol()
        assert 1_600_000_000 < since(member) <= since(member)


def test_a_read_under_a_fast_writer(zookeeper: Server, root: str) -> None:
    """Decisions and the number of members in flight are of one moment, however fast both change."""
    demand_reading_at_once()
    with (
        connected_member(zookeeper.hosts, group=group_place(root, "m1")) as writer,
        connected_member(zookeeper.hosts, group=group_place(root, "m2")) as reader,
    ):
        writer.enrol()
        # The number of the last admission is that of the members in flight.
        states = [
            RolloutRecord(in_flight=entries(count), versions=GOOD, last_admitted=count)
            for count in (0, 3, 7)
        ]
        basis, before = writer.read().basis, RolloutRecord()
        seen: set[int] = set()
        round_number = 0

        def write_and_read() -> bool:
            nonlocal basis, before, round_number
            asked = []
            for after in states:
                number = writer.posted.fresh_number()
                request = CommitRecord(number, before, after, basis)
                writer.ensemble.request(request)
                read = reader.posted.fresh_number()
                reader.ensemble.request(ReadRecord(read))
                asked.append(read)
                committed = writer.posted.answer_to(number)
                assert isinstance(committed, RecordCommitted)
                basis, before = committed.basis, after
            for number in asked:
                found = reader.posted.answer_to(number)
                assert isinstance(found, RecordRead)
                assert found.record.in_flight_count == max(0, found.record.last_admitted)
                seen.add(found.record.in_flight_count)
            round_number += 1
            return round_number >= 30 and len(seen) == len(states)

        drive_until(write_and_read, "all states were read")


def test_a_turn_from_admission_to_release(zookeeper: Server, root: str) -> None:
    """An admission, a failure, a release and other limits are read as they were written."""
    with connected_member(zookeeper.hosts, group=group_place(root)) as member:
        member.enrol()
        entry = InFlightEntry("token", D, 5, since=7.0)
        admitted = member.read().record.admit("m1", entry, "scope", 3)
        assert isinstance(admitted, RolloutRecord)
        member.commit(admitted)
        assert member.read().record == admitted
        member.commit(admitted.fail("m1", "token", VERSION, "exit status 3", "check"))
        failed = member.read().record
        state = failed.versions[D]
        assert (state.failed_by, state.reason, state.step) == (("m1",), "exit status 3", "check")
        assert failed.in_flight["m1"].phase is EntryPhase.FAILED
        member.commit(failed.release("m1", VERSION))
        released = member.read().record
        assert (released.in_flight, released.in_flight_count) == ({}, 0)
        assert released.versions == {D: VersionState(5, "scope", known_good=True, succeeded=1)}
        wide = AgreedMaxUnavailable(MaxUnavailable(50, percent=True, per_zone=True), "m1")
        member.commit(replace(released, max_unavailable=wide))
        found = member.read(limits=True)
        assert (found.record.max_unavailable, sorted(found.alive)) == (wide, ["m1"])
