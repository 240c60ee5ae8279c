"""A member's own node: who may make it, what stands in it, and who is told when it goes."""

import json
import os
import sys
import time

import pytest
from kazoo.client import KazooClient
from kazoo.security import ACL, Id, make_digest_acl, make_digest_acl_credential

from support.posted_events import (
    RUNNING,
    ConnectedMember,
    connected_member,
    drive_until,
    group_place,
)
from support.program import Program
from support.proxy import CLOSE, Proxy, Treatment, pass_all
from support.zookeeper import Server
from zkexec.cli.security import Access, Credential
from zkexec.core.events import SessionConnected, SessionLost, SessionSuspended
from zkexec.core.rollout.group_actions import Enrol, JoinQueue, ReadRecord
from zkexec.core.rollout.group_events import (
    Enrolled,
    EnrolmentOccupied,
    GroupPart,
    GroupRequestForbidden,
    GroupTouched,
    QueueJoined,
    RecordCommitted,
)
from zkexec.core.rollout.queued_member import QueuedMember
from zkexec.core.rollout.record import InFlightEntry, RolloutRecord
from zkexec.core.rollout.record_basis import RecordBasis
from zkexec.core.rollout.version_state import VersionState
from zkexec.core.turn import MemberStatus
from zkexec.frozen import replace
from zkexec.group.member_codec import StatusFacts, decode_status, encode_status
from zkexec.group.member_profile import MemberProfile, PhaseTime
from zkexec.group.record_codec import decode
from zkexec.znode_paths import group_path
from zkexec.zookeeper.values import Acl


def client_hosts(client: KazooClient) -> tuple[str, ...]:
    """The servers of a plain client."""
    return tuple(f"{host}:{port}" for host, port in client.hosts)


def card_in(client: KazooClient, path: str) -> MemberStatus:
    """The card that stands in a member's node."""
    content, _ = client.get(path)
    return decode_status(content)[0]


def touched(member: ConnectedMember) -> list[GroupPart]:
    """The parts of the group whose watches have fired and were not looked at yet."""
    return [event.part for event in member.posted.since_mark(GroupTouched)]


def settle(member: ConnectedMember) -> None:
    """Let all that was sent before be answered: the server keeps the order."""
    member.read()
    member.read()


def test_where_a_group_lives() -> None:
    """A name stands below /zkexec, and a path is used as it is."""
    assert group_path("web") == "/zkexec/web"
    assert group_path("/our/own/path") == "/our/own/path"


def test_the_first_member_makes_everything(client: KazooClient, root: str) -> None:
    """Enrolling makes all that is missing, the record empty, and the own node for this session."""
    base = f"{root}/not/there/yet"
    with connected_member(*client_hosts(client), group=group_place(base)) as member:
        before = time.time()
        member.enrol(MemberStatus("verifying", "d1", "d2", "unknown", "reasons"))
        assert decode(client.get(f"{base}/state")[0]) == RolloutRecord()
        assert client.get_children(base + "/queue") == []
        content, stat = client.get(f"{base}/members/m1")
        status, facts = decode_status(content)
        assert status == MemberStatus("verifying", "d1", "d2", "unknown", "reasons")
        assert (facts.lock_file_id, facts.max_unavailable) == ("lock file of m1", "1")
        assert before - 1 <= facts.since <= time.time() + 1
        assert facts.pid
        assert stat.ephemeralOwner != 0
        assert client.get(f"{base}/state")[1].ephemeralOwner == 0
    drive_until(lambda: not client.exists(f"{base}/members/m1"), "the node went with the session")


def test_since_when_it_is_so() -> None:
    """The time is that of the phase, of what runs, and in a failure that of the newest cause."""
    time_of = PhaseTime()
    seen = [
        time_of.entered(status, now)
        for now, status in enumerate(
            [
                MemberStatus("running", "d1", reason="one"),
                MemberStatus("running", "d1", reason="two"),
                MemberStatus("running", "d2"),
                MemberStatus("failed", "d2", reason="one"),
                MemberStatus("failed", "d2", "d3", reason="one"),
                MemberStatus("failed", "d2", reason="two"),
            ]
        )
    ]
    assert seen == [0, 0, 2, 3, 3, 5]


def test_below_a_chroot(client: KazooClient, root: str) -> None:
    """The group's znodes stand below the chroot, and errors name them without it."""
    with connected_member(
        *client_hosts(client), group=group_place("/zkexec/web"), chroot=root
    ) as member:
        member.enrol()
        assert sorted(client.get_children(f"{root}/zkexec/web")) == [
            "in_flight",
            "members",
            "queue",
            "restart",
            "state",
            "unavailable",
            "versions",
            "zones",
        ]
        client.set(f"{root}/zkexec/web/state", b"no record")
        assert member.failure(ReadRecord(0)) == ("/zkexec/web/state: the record is no valid JSON")


def test_the_second_member(client: KazooClient, root: str) -> None:
    """Another member makes its own node and leaves all else as it is."""
    hosts = client_hosts(client)
    with connected_member(*hosts, group=group_place(root, "m1")) as first:
        first.enrol()
        first.commit(RolloutRecord(last_admitted=7))
        with connected_member(*hosts, group=group_place(root, "m2")) as second:
            second.enrol()
            assert sorted(client.get_children(f"{root}/members")) == ["m1", "m2"]
            assert second.read().record.last_admitted == 7
            assert second.read().record.population.members == 2
            assert second.get(Enrolled, Enrol(0, RUNNING)).population == 2


def test_enrolled_twice(client: KazooClient, root: str) -> None:
    """Enrolling again in the same session shows the new card in the same node."""
    with connected_member(*client_hosts(client), group=group_place(root)) as member:
        member.enrol()
        made = client.get(f"{root}/members/m1")[1].czxid
        member.enrol(MemberStatus("failed"))
        member.enrol(MemberStatus("waiting"))
        content, stat = client.get(f"{root}/members/m1")
        assert decode_status(content)[0] == MemberStatus("waiting")
        assert stat.czxid == made
        settle(member)
        assert touched(member) == []


def test_own_dead_predecessor(client: KazooClient, root: str) -> None:
    """The node of an earlier process at the same place is replaced, however long it would live."""
    hosts = client_hosts(client)
    with (
        connected_member(*hosts, group=group_place(root), session_timeout_s=60.0) as dead,
        connected_member(*hosts, group=group_place(root)) as restarted,
    ):
        dead.enrol()
        old = client.get(f"{root}/members/m1")[1]
        restarted.enrol(MemberStatus("waiting"))
        content, new = client.get(f"{root}/members/m1")
        assert decode_status(content)[0] == MemberStatus("waiting")
        assert new.ephemeralOwner != old.ephemeralOwner
        # What is left of the dead one hears of it, and nobody else.
        dead.posted.next(GroupTouched, part=GroupPart.OWN_NODE)
        settle(restarted)
        assert touched(restarted) == []


def test_occupied_by_another(client: KazooClient, root: str) -> None:
    """A node of a process at another place is left alone, and its holder is told."""
    hosts = client_hosts(client)
    elsewhere = MemberProfile(root, "m1", "another place", "1", PhaseTime())
    with (
        connected_member(*hosts, group=group_place(root)) as first,
        connected_member(*hosts, group=elsewhere) as second,
    ):
        first.enrol()
        content, stat = client.get(f"{root}/members/m1")
        facts = decode_status(content)[1]
        occupied = second.get(EnrolmentOccupied, Enrol(0, RUNNING))
        assert occupied.holder == f"{facts.host}, pid {facts.pid}"
        assert client.get(f"{root}/members/m1") == (content, stat)
        settle(first)
        assert touched(first) == []


def test_a_living_process_at_the_same_place(client: KazooClient, root: str) -> None:
    """A node at the own place is left alone while the process that made it is still there."""
    asleep = "import time; time.sleep(1000)"
    other = Program(sys.executable, "-c", asleep, "zkexec")
    facts = StatusFacts("h", other.pid, "0", "lock file of m1", "1", 0.0)
    client.create(
        f"{root}/members/m1", encode_status(RUNNING, facts), ephemeral=True, makepath=True
    )
    group = group_place(root)
    with other, connected_member(*client_hosts(client), group=group) as member:
        occupied = member.get(EnrolmentOccupied, Enrol(0, RUNNING))
        assert occupied.holder == f"h, pid {other.pid}"
        other.close()
        member.enrol()


def test_a_dead_process_at_the_same_place(client: KazooClient, root: str) -> None:
    """A process that was killed and is not reaped yet, or whose pid is a stranger's, is gone."""
    dead = Program(sys.executable, "-c", "", "zkexec")
    stranger = Program("sleep", "1000")
    with dead, stranger:
        os.waitid(os.P_PID, dead.pid, os.WEXITED | os.WNOWAIT)
        for pid in (dead.pid, stranger.pid):
            facts = StatusFacts("h", pid, "0", "lock file of m1", "1", 0.0)
            content = encode_status(RUNNING, facts)
            client.create(f"{root}/members/m1", content, ephemeral=True, makepath=True)
            with connected_member(*client_hosts(client), group=group_place(root)) as member:
                member.enrol()
            drive_until(lambda: not client.exists(f"{root}/members/m1"), "its own node has gone")


def names(client: KazooClient, root: str) -> list[str]:
    """The names of the members' nodes."""
    return sorted(client.get_children(f"{root}/members"))


def test_a_duplicate_is_seen(client: KazooClient, root: str) -> None:
    """Where another process has the ID, a marked node of another name tells of this one."""
    hosts, elsewhere = client_hosts(client), replace(group_place(root), lock_file_id="another")
    other = elsewhere.duplicate_id
    with connected_member(*hosts, group=group_place(root)) as first:
        first.enrol()
        with connected_member(*hosts, group=elsewhere) as second:
            for phase in ("running", "waiting", "waiting"):
                second.get(EnrolmentOccupied, Enrol(0, MemberStatus(phase), may_be_duplicate=True))
                content, stat = client.get(f"{root}/members/{other}")
                status, facts = decode_status(content)
                assert (status.phase, facts.duplicate_of) == (phase, "m1")
                assert stat.ephemeralOwner != 0
            assert stat.version == 1, "what is shown already is not written again"
            assert names(client, root) == ["m1", other]
        drive_until(lambda: names(client, root) == ["m1"], "the node went with the session")


def test_a_duplicate_gets_the_id(client: KazooClient, root: str) -> None:
    """Its other node goes as soon as it has the ID, also if it was not told that it had one."""
    hosts, elsewhere = client_hosts(client), replace(group_place(root), lock_file_id="another")
    with connected_member(*hosts, group=elsewhere) as second:
        with connected_member(*hosts, group=group_place(root)) as first:
            first.enrol()
            second.get(EnrolmentOccupied, Enrol(0, RUNNING))
        drive_until(lambda: names(client, root) == [elsewhere.duplicate_id], "the first is gone")
        second.get(Enrolled, Enrol(0, RUNNING, may_be_duplicate=True))
        assert names(client, root) == ["m1"]
        assert decode_status(client.get(f"{root}/members/m1")[0])[1].duplicate_of == ""
        second.get(Enrolled, Enrol(0, RUNNING, may_be_duplicate=True))
        assert names(client, root) == ["m1"]


def test_a_duplicate_in_a_new_session(client: KazooClient, root: str) -> None:
    """The node that an earlier session of a duplicate left behind is replaced, not doubled."""
    hosts, elsewhere = client_hosts(client), replace(group_place(root), lock_file_id="another")
    with connected_member(*hosts, group=group_place(root)) as first:
        first.enrol()
        with (
            connected_member(*hosts, group=elsewhere, session_timeout_s=60.0) as dead,
            connected_member(*hosts, group=elsewhere) as restarted,
        ):
            dead.get(EnrolmentOccupied, Enrol(0, RUNNING))
            old = client.exists(f"{root}/members/{elsewhere.duplicate_id}").ephemeralOwner
            restarted.get(EnrolmentOccupied, Enrol(0, RUNNING))
            assert names(client, root) == ["m1", elsewhere.duplicate_id]
            new = client.exists(f"{root}/members/{elsewhere.duplicate_id}").ephemeralOwner
            assert new != old


def test_what_an_earlier_process_left_in_the_queue_goes(client: KazooClient, root: str) -> None:
    """Its session may live on: the head must not admit a process that is gone."""
    hosts = client_hosts(client)
    with connected_member(*hosts, group=group_place(root), session_timeout_s=60.0) as earlier:
        earlier.enrol()
        own, other = (QueuedMember(name, "token", "digest") for name in ("m1", "m2"))
        for queued in (own, other):
            earlier.get(QueueJoined, JoinQueue(0, queued))
        with connected_member(*hosts, group=group_place(root)) as member:
            assert member.get(Enrolled, Enrol(0, RUNNING)).has_replaced
            (left,) = client.get_children(f"{root}/queue")
            assert json.loads(client.get(f"{root}/queue/{left}")[0])["member"] == "m2"
            assert not member.get(Enrolled, Enrol(0, RUNNING)).has_replaced


def test_occupied_by_something_else(client: KazooClient, root: str) -> None:
    """A node that holds no card is left alone as well."""
    client.create(f"{root}/members/m1", b"by hand", makepath=True, ephemeral=True)
    session = client.client_id[0]
    with connected_member(*client_hosts(client), group=group_place(root)) as member:
        occupied = member.get(EnrolmentOccupied, Enrol(0, RUNNING))
        assert occupied.holder == f"session {session:#x}, without a readable status"
        assert client.get(f"{root}/members/m1")[0] == b"by hand"
        # What the group needs is there all the same.
        assert member.read().basis.state == 0


def test_a_node_that_lasts_is_nobodys(client: KazooClient, root: str) -> None:
    """A node of one's name that belongs to no session, as after a restore, is replaced."""
    node = f"{root}/members/m1"
    with connected_member(*client_hosts(client), group=group_place(root)) as other:
        other.enrol()
        dumped = client.get(node)[0]
    drive_until(lambda: not client.exists(node), "the node went with the session")
    for content in (dumped, b"by hand"):
        client.create(node, content)
        with connected_member(*client_hosts(client), group=group_place(root)) as member:
            member.enrol()
            assert client.exists(node).ephemeralOwner
            assert card_in(client, node) == RUNNING
            settle(member)
            assert touched(member) == []
        drive_until(lambda: not client.exists(node), "the node went with the session")


def test_a_node_that_cannot_be_replaced(client: KazooClient, root: str) -> None:
    """What an operator has to do is told where there is something below a node that lasts."""
    node = f"{root}/members/m1"
    client.create(f"{node}/more", makepath=True)
    with connected_member(*client_hosts(client), group=group_place(root)) as member:
        assert member.failure(Enrol(0, RUNNING)) == (
            f"{node}: cannot be replaced, as there are znodes below it; delete it with these"
        )
        client.delete(node, recursive=True)
        member.enrol()


def test_own_node_deleted(client: KazooClient, root: str) -> None:
    """A member whose node an operator deletes is told, once, and can make it again."""
    with connected_member(*client_hosts(client), group=group_place(root)) as member:
        member.enrol()
        for _ in range(3):
            client.delete(f"{root}/members/m1")
            member.posted.next(GroupTouched, part=GroupPart.OWN_NODE)
            member.enrol()
            settle(member)
            assert touched(member) == []


def test_own_node_changed(client: KazooClient, root: str) -> None:
    """A member whose node somebody else has written to is told, and puts its card back."""
    with connected_member(*client_hosts(client), group=group_place(root)) as member:
        member.enrol()
        client.set(f"{root}/members/m1", b"mine")
        member.show(MemberStatus("not shown"))
        member.posted.next(GroupTouched, part=GroupPart.OWN_NODE)
        member.show(MemberStatus("not shown either"))
        settle(member)
        assert client.get(f"{root}/members/m1")[0] == b"mine"
        member.enrol(MemberStatus("waiting"))
        assert card_in(client, f"{root}/members/m1") == MemberStatus("waiting")


def test_the_whole_group_deleted(client: KazooClient, root: str) -> None:
    """After an operator has deleted everything, requests fail in words until one enrols again."""
    base = f"{root}/g"
    with connected_member(*client_hosts(client), group=group_place(base)) as member:
        member.enrol()
        client.delete(base, recursive=True)
        member.posted.next(GroupTouched, part=GroupPart.OWN_NODE)
        found = member.read()
        assert (found.record, found.basis) == (RolloutRecord(), RecordBasis())
        assert "enrol" in member.failure(member.commit_request(RolloutRecord(last_admitted=1)))
        member.enrol()
        assert member.read().basis.state == 0
        member.join("t")


PARTS = ["state", "queue", "in_flight", "unavailable", "versions", "zones"]


@pytest.mark.parametrize("gone", PARTS)
def test_a_part_deleted(client: KazooClient, root: str, gone: str) -> None:
    """A group in which only one part is missing is mended by the members that need it."""
    entry = InFlightEntry("t", "d", 1)
    after = RolloutRecord(in_flight={"m1": entry}, versions={"d": VersionState(1, "s")})
    group = replace(group_place(root), zone="z")
    with connected_member(*client_hosts(client), group=group) as member:
        member.enrol()
        client.delete(f"{root}/{gone}", recursive=True)
        member.enrol(replace(RUNNING, unavailable=True))
        assert member.read().basis.state == 0
        member.join("t")
        drive_until(
            lambda: isinstance(member.ask(member.commit_request(after)), RecordCommitted),
            "the record is written",
        )
        assert member.read().record.in_flight_count == 1
        assert client.get_children(f"{root}/zones/z") == ["m1"]


def test_a_member_that_may_not_make_parents(client: KazooClient, root: str) -> None:
    """Where all that lasts is there, no permission to make such znodes is needed."""
    base = f"{root}/g"
    client.ensure_path(f"{base}/members")
    client.create(f"{base}/queue")
    client.create(f"{base}/state")
    client.set_acls(base, [ACL(1, Id("world", "anyone"))])
    with connected_member(*client_hosts(client), group=group_place(base)) as member:
        member.enrol()
        assert member.read().record == RolloutRecord()


def test_no_permission(client: KazooClient, root: str) -> None:
    """A znode that may not be made is named in the reason."""
    client.set_acls(root, [ACL(1, Id("world", "anyone"))])
    with connected_member(*client_hosts(client), group=group_place(f"{root}/g")) as member:
        reason = member.failure(Enrol(0, RUNNING))
        assert reason == f"{root}/g: the cluster gives no permission for this"


def test_acl_of_what_is_made(client: KazooClient, root: str) -> None:
    """Every znode that is made, the ephemeral ones too, gets the ACL that was asked for."""
    acl = [make_digest_acl("some", "one", all=True), ACL(1, Id("world", "anyone"))]
    base = f"{root}/g"
    client.add_auth("digest", "some:one")
    access = Access(credentials=(Credential("digest", "some", "one"),))
    ours = [Acl(one.perms, one.id.scheme, one.id.id) for one in acl]
    with connected_member(
        *client_hosts(client), group=group_place(base, acl=ours), access=access
    ) as member:
        member.enrol()
        number = member.join("t")
        member.commit(
            RolloutRecord(
                in_flight={"m1": InFlightEntry("t", "d", 1)},
                versions={"d": VersionState(1, "s", failed_by=("m1",))},
            )
        )
        for path in (
            "",
            *("/members", "/queue", "/state", "/members/m1", f"/queue/q-{number:010}"),
            *("/in_flight", "/in_flight/m1", "/versions", "/versions/d", "/versions/d/succeeded"),
            *("/versions/d/failed.m1", "/unavailable", "/zones"),
        ):
            found, _ = client.get_acls(base + path)
            assert found == acl, path
        assert found[0].id.id == make_digest_acl_credential("some", "one")
        member.commit(RolloutRecord(last_admitted=3))


def test_expired_session(own_zookeeper: Server) -> None:
    """After an expiry the new session makes a node of its own."""
    proxy = Proxy(own_zookeeper.port)
    with connected_member(proxy.hosts, group=group_place("/g"), session_timeout_s=1.2) as member:
        member.enrol()
        proxy.refuse()
        drive_until(lambda: not own_zookeeper.sessions(), "the session has expired")
        proxy.heal()
        member.posted.next(SessionLost)
        session = member.posted.next(SessionConnected).session
        assert member.read().record.population.members == 0
        member.enrol()
        assert member.read().record.population.members == 1
        assert hex(session) in own_zookeeper.sessions()
    proxy.close()


def test_new_session_over_the_old_one(proxy: Proxy, client: KazooClient, root: str) -> None:
    """A client opened anew takes the node over from its own old session, which still lives."""
    proxy.on_request = lambda request: (
        # The server never hears that the old session is to end.
        Treatment.CONFUSE if request.opcode == CLOSE else Treatment.PASS_ON
    )
    with connected_member(proxy.hosts, group=group_place(root), session_timeout_s=60.0) as member:
        member.enrol()
        old = client.get(f"{root}/members/m1")[1].ephemeralOwner
        member.ensemble.open()
        session = member.posted.next(SessionConnected).session
        drive_until(lambda: CLOSE in proxy.opcodes, "the old client has ended")
        assert client.exists(f"{root}/members/m1").ephemeralOwner == old
        member.enrol()
        assert client.exists(f"{root}/members/m1").ephemeralOwner == session
        proxy.on_request = pass_all


def test_reconnected_in_the_same_session(proxy: Proxy, client: KazooClient, root: str) -> None:
    """After a cut the same session goes on, and enrolling shows the card in the same node."""
    with connected_member(proxy.hosts, group=group_place(root), session_timeout_s=60.0) as member:
        member.enrol()
        made = client.exists(f"{root}/members/m1").czxid
        proxy.cut()
        member.posted.next(SessionSuspended)
        member.posted.next(SessionConnected)
        member.enrol(MemberStatus("waiting"))
        assert card_in(client, f"{root}/members/m1") == MemberStatus("waiting")
        assert client.exists(f"{root}/members/m1").czxid == made
        client.delete(f"{root}/members/m1")
        member.posted.next(GroupTouched, part=GroupPart.OWN_NODE)
        member.get(Enrolled, Enrol(0, RUNNING))


def test_granted_timeout(zookeeper: Server, root: str) -> None:
    """The session timeout that is told is what the server grants, not what was asked for."""
    with connected_member(
        zookeeper.hosts, group=group_place(root), session_timeout_s=600.0
    ) as member:
        (connected,) = [e for e in member.posted.events if isinstance(e, SessionConnected)]
        assert connected.session_timeout_s == 60.0
        assert connected.session


def test_content_is_json(client: KazooClient, root: str) -> None:
    """A person who looks at a node with a plain client can read it."""
    with connected_member(*client_hosts(client), group=group_place(root)) as member:
        member.enrol()
        assert json.loads(client.get(f"{root}/members/m1")[0])["phase"] == "running"
        assert json.loads(client.get(f"{root}/state")[0])["format"] == 2


def test_a_chroot_that_is_missing_is_named_and_not_made(client: KazooClient, root: str) -> None:
    """Made again by the members it would be an empty world that tells nobody what is wrong."""
    chroot = f"{root}/a/b"
    with connected_member(
        *client_hosts(client), group=group_place("/g/web"), chroot=chroot
    ) as member:
        reason = member.failure(Enrol(0, RUNNING))
        assert reason.startswith(f"the chroot {chroot} does not exist: create it")
        assert client.get_children(root) == []

        client.ensure_path(chroot)
        member.enrol()
        client.delete(chroot, recursive=True)
        member.failure(Enrol(0, RUNNING))
        assert client.exists(chroot) is None


def test_a_refusal_is_told_as_one(client: KazooClient, root: str) -> None:
    """A card that may not be written is another matter than an answer that was lost."""
    with connected_member(*client_hosts(client), group=group_place(root)) as member:
        member.enrol()
        client.set_acls(f"{root}/members/m1", [ACL(1, Id("world", "anyone"))])
        failed = member.get(GroupRequestForbidden, Enrol(0, replace(RUNNING, health="failing")))
        assert failed.is_refused
        assert failed.reason == f"{root}/members/m1: the cluster gives no permission for this"
