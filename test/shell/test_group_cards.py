"""What a member shows in its own node while it lives, and what that wakes."""

import threading

from kazoo.client import KazooClient

from support.posted_events import ConnectedMember, connected_member, drive_until, group_place
from support.proxy import EXISTS, SET, TRANSACTION, Proxy, Request, Treatment, Way
from support.zookeeper import Server
from zkexec.core.events import Event, SessionConnected, SessionSuspended
from zkexec.core.rollout.group_actions import CommitRecord, Enrol, JoinQueue
from zkexec.core.rollout.group_events import (
    CommitRefused,
    Enrolled,
    GroupPart,
    GroupTouched,
    QueueJoined,
    RecordCommitted,
)
from zkexec.core.rollout.limits import Population
from zkexec.core.rollout.queued_member import QueuedMember
from zkexec.core.rollout.record import RolloutRecord
from zkexec.core.rollout.record_basis import RecordBasis
from zkexec.core.turn import MemberStatus
from zkexec.frozen import replace
from zkexec.group.member_codec import decode_status
from zkexec.group.paths import LARGEST_COMMIT


def shown(client: KazooClient, path: str) -> MemberStatus:
    """The card that stands in a member's node."""
    return decode_status(client.get(path)[0])[0]


def wait_for_card(client: KazooClient, path: str, status: MemberStatus) -> None:
    """Wait until this card stands in a member's node."""
    drive_until(lambda: shown(client, path) == status, "the card is shown")


def touched(member: ConnectedMember) -> list[GroupPart]:
    """The parts of the group whose watches have fired so far."""
    return [event.part for event in member.posted.events if isinstance(event, GroupTouched)]


def test_cards_are_shown(zookeeper: Server, client: KazooClient, root: str) -> None:
    """Each card that is shown stands in the node in the end, and wakes nobody."""
    node = f"{root}/members/m1"
    with connected_member(zookeeper.hosts, group=group_place(root)) as member:
        member.enrol()
        for number in range(20):
            status = MemberStatus("verifying", str(number))
            member.show(status)
            wait_for_card(client, node, status)
        member.read()
        assert touched(member) == []
        # The watch is still there after all of these.
        client.delete(node)
        member.posted.next(GroupTouched, part=GroupPart.OWN_NODE)


def test_only_the_newest_waits(proxy: Proxy, client: KazooClient, root: str) -> None:
    """Of the cards that come while one is on its way, only the last is written."""
    node = f"{root}/members/m1"
    let_go = threading.Event()

    def hold_writes(request: Request) -> Treatment:
        if request.opcode == SET:
            let_go.wait(30.0)
        return Treatment.PASS_ON

    with connected_member(proxy.hosts, group=group_place(root)) as member:
        member.enrol()
        proxy.on_request = hold_writes
        for number in range(50):
            member.show(MemberStatus("verifying", str(number)))
        drive_until(lambda: SET in proxy.opcodes, "the first card is on its way")
        let_go.set()
        drive_until(lambda: shown(client, node).running == "49", "the last card is shown")
        assert client.exists(node).version <= 3
        assert touched(member) == []


def test_a_card_before_enrolment(zookeeper: Server, client: KazooClient, root: str) -> None:
    """A card that is shown before there is a node is dropped: enrolling brings its own."""
    with connected_member(zookeeper.hosts, group=group_place(root)) as member:
        member.show(MemberStatus("too early"))
        member.enrol(MemberStatus("waiting"))
        member.read()
        assert shown(client, f"{root}/members/m1") == MemberStatus("waiting")
        assert client.exists(f"{root}/members/m1").version == 0


def test_a_card_during_enrolment(proxy: Proxy, client: KazooClient, root: str) -> None:
    """A card that is shown while the node is being made is newer, and is shown after it."""
    with connected_member(proxy.hosts, group=group_place(root)) as member:
        member.enrol()
        let_go = threading.Event()

        def hold_everything(_: Request) -> Treatment:
            let_go.wait(30.0)
            return Treatment.PASS_ON

        proxy.on_request = hold_everything
        number = member.posted.fresh_number()
        member.ensemble.request(Enrol(number, MemberStatus("older")))
        drive_until(lambda: proxy.opcodes[-1] == EXISTS, "enrolling has begun")
        member.show(MemberStatus("newer"))
        let_go.set()
        assert isinstance(member.posted.answer_to(number), Enrolled)
        member.read()
        assert shown(client, f"{root}/members/m1") == MemberStatus("newer")
        assert touched(member) == []


def test_a_card_over_somebody_elses_write(proxy: Proxy, client: KazooClient, root: str) -> None:
    """A write of another that comes just before the own one is not overwritten, and is told."""
    node = f"{root}/members/m1"

    def interfere(request: Request) -> Treatment:
        if request.opcode == SET:
            client.set(node, b"by hand")
        return Treatment.PASS_ON

    with connected_member(proxy.hosts, group=group_place(root)) as member:
        member.enrol()
        proxy.on_request = interfere
        member.show(MemberStatus("failed"))
        member.posted.next(GroupTouched, part=GroupPart.OWN_NODE)
        assert client.get(node)[0] == b"by hand"


def along(
    member: ConnectedMember, status: MemberStatus, version: int, last_admitted: int = 1
) -> Event:
    """Write the record, the status with it, over this version of the decisions."""
    after = RolloutRecord(last_admitted=last_admitted)
    basis = RecordBasis(version)
    return member.ask(CommitRecord(0, RolloutRecord(), after, basis, status=status))


def test_a_card_goes_along(proxy: Proxy, client: KazooClient, root: str) -> None:
    """With the record, and with the node in the queue; that needs no request more, nor a watch."""
    node = f"{root}/members/m1"
    with connected_member(proxy.hosts, group=group_place(root)) as member:
        member.enrol()
        proxy.opcodes.clear()
        queued = QueuedMember("m1", "t", "d")
        member.get(QueueJoined, JoinQueue(0, queued, MemberStatus("waiting")))
        assert shown(client, node) == MemberStatus("waiting")
        assert isinstance(along(member, MemberStatus("running"), 0), RecordCommitted)
        assert shown(client, node) == MemberStatus("running")
        assert proxy.opcodes == [TRANSACTION, TRANSACTION]
        member.show(MemberStatus("failed"))
        wait_for_card(client, node, MemberStatus("failed"))
        assert touched(member) == []


def test_a_card_does_not_stand_in_the_way(
    zookeeper: Server, client: KazooClient, root: str
) -> None:
    """Where somebody else has written to the own node, what the card went along with is done."""
    with connected_member(zookeeper.hosts, group=group_place(root)) as member:
        member.enrol()
        client.set(f"{root}/members/m1", b"by hand")
        assert isinstance(along(member, MemberStatus("running"), 0), RecordCommitted)
        member.posted.next(GroupTouched, part=GroupPart.OWN_NODE)
        # Nothing is known of the own node now, so the next card has nothing to go along to.
        assert isinstance(along(member, MemberStatus("running"), 1), RecordCommitted)
        assert client.get(f"{root}/members/m1")[0] == b"by hand"


def test_a_card_goes_along_with_nothing_that_is_refused(
    zookeeper: Server, client: KazooClient, root: str
) -> None:
    """It is not shown then, and the next one is."""
    node = f"{root}/members/m1"
    with connected_member(zookeeper.hosts, group=group_place(root)) as member:
        member.enrol(MemberStatus("waiting"))
        assert isinstance(along(member, MemberStatus("running"), 5), CommitRefused)
        assert shown(client, node) == MemberStatus("waiting")
        member.show(MemberStatus("failed"))
        wait_for_card(client, node, MemberStatus("failed"))


def test_a_card_that_has_to_wait(proxy: Proxy, client: KazooClient, root: str) -> None:
    """Where one is being written, or the record is as large as can be, it is written after that."""
    node = f"{root}/members/m1"
    let_go = threading.Event()

    def hold_writes(request: Request) -> Treatment:
        if request.opcode == SET:
            let_go.wait(30.0)
        return Treatment.PASS_ON

    with connected_member(proxy.hosts, group=group_place(root)) as member:
        member.enrol()
        proxy.on_request = hold_writes
        member.show(MemberStatus("waiting"))
        number = member.posted.fresh_number()
        member.ensemble.request(
            CommitRecord(
                number,
                RolloutRecord(),
                RolloutRecord(last_admitted=1),
                RecordBasis(0),
                status=MemberStatus("running"),
            )
        )
        drive_until(lambda: SET in proxy.opcodes, "the first card is on its way")
        let_go.set()
        assert isinstance(member.posted.answer_to(number), RecordCommitted)
        wait_for_card(client, node, MemberStatus("running"))
        large = MemberStatus("failed", wanted="x" * LARGEST_COMMIT)
        assert isinstance(along(member, large, 1), RecordCommitted)
        wait_for_card(client, node, large)
        assert touched(member) == []


def test_a_card_is_never_sent_late(proxy: Proxy, client: KazooClient, root: str) -> None:
    """A card that waits when the connection is lost is dropped: the next enrolment has a newer."""
    node = f"{root}/members/m1"
    with connected_member(proxy.hosts, group=group_place(root), session_timeout_s=2.0) as member:
        member.enrol()
        proxy.black_hole(Way.TO_SERVER)
        member.show(MemberStatus("old"))
        member.show(MemberStatus("older than the next"))
        member.posted.next(SessionSuspended)
        member.show(MemberStatus("without a connection"))
        proxy.heal()
        member.posted.next(SessionConnected)
        member.read()
        member.enrol(MemberStatus("next"))
        member.read()
        assert shown(client, node) == MemberStatus("next")


def test_an_unavailable_member_is_counted(
    zookeeper: Server, client: KazooClient, root: str
) -> None:
    """A member that reports itself as unavailable is among them, until it does not or is gone."""

    def names() -> list[str]:
        return sorted(client.get_children(f"{root}/unavailable"))

    ill, well = (MemberStatus("running", unavailable=one) for one in (True, False))
    with connected_member(zookeeper.hosts, group=group_place(root)) as member:
        member.enrol(ill)
        assert names() == ["m1"]
        member.show(well)
        drive_until(lambda: names() == [], "the member is available")
        assert isinstance(along(member, ill, 0), RecordCommitted)
        assert names() == ["m1"]
        # The mark stays if the member enrols again in the same session.
        member.enrol(ill)
        assert names() == ["m1"]
        assert member.read().record.unavailable == {"m1"}
        member.enrol(well)
        assert names() == []
        member.enrol(ill)
        assert names() == ["m1"]
        assert touched(member) == []
    drive_until(lambda: names() == [], "the mark went with the session")


def test_a_status_without_a_commit_goes_alone(
    zookeeper: Server, client: KazooClient, root: str
) -> None:
    """If nothing of the record differs, the status is published all the same."""
    with connected_member(zookeeper.hosts, group=group_place(root)) as member:
        member.enrol()
        answer = along(member, MemberStatus("waiting"), 0, last_admitted=-1)
        assert isinstance(answer, RecordCommitted)
        assert shown(client, f"{root}/members/m1") == MemberStatus("waiting")
        assert client.exists(f"{root}/state").version == 0


def test_members_of_a_zone_are_counted(zookeeper: Server, client: KazooClient, root: str) -> None:
    """The living members with `--zone` are counted in their zone."""
    east = replace(group_place(root, "m1"), zone="east")
    with connected_member(zookeeper.hosts, group=east) as member:
        with connected_member(
            zookeeper.hosts, group=replace(group_place(root, "m2"), zone="east")
        ) as other:
            member.enrol()
            other.enrol()
            found = member.read(zones=frozenset({"east", "west"}))
            assert found.record.population == Population(2, {"east": 2, "west": 0})
            member.enrol()
            content = client.get(f"{root}/members/m1")[0]
            assert decode_status(content)[1].zone == "east"
        drive_until(
            lambda: client.get_children(f"{root}/zones/east") == ["m1"], "the other one is gone"
        )
