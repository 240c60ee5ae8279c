"""What a member shows in its own node while it lives, and what that wakes."""

import threading

from kazoo.client import KazooClient

from news import Asking, member_of, place
from proxy import EXISTS, SET, TRANSACTION, Fate, Proxy, Request, Way
from zkexec.core.events import Event, SessionConnected, SessionSuspended
from zkexec.core.rollout.group_actions import CommitRecord, JoinQueue
from zkexec.core.rollout.group_events import (
    CommitRefused,
    GroupPart,
    GroupTouched,
    QueueJoined,
    RecordCommitted,
)
from zkexec.core.rollout.record import RolloutRecord
from zkexec.core.turn import MemberStatus
from zkexec.group.member_codec import decode_status
from zkexec.group.store import LARGEST_COMMIT
from zookeeper import Server, wait_until


def shown(client: KazooClient, path: str) -> MemberStatus:
    """The card that stands in a member's node."""
    return decode_status(client.get(path)[0])[0]


def wait_for_card(client: KazooClient, path: str, status: MemberStatus) -> None:
    """Wait until this card stands in a member's node."""
    wait_until(lambda: shown(client, path) == status, "the card is shown")


def touched(asking: Asking) -> list[GroupPart]:
    """The parts of the group whose watches have fired so far."""
    return [event.part for event in asking.news.events if isinstance(event, GroupTouched)]


def test_cards_are_shown(zookeeper: Server, client: KazooClient, root: str) -> None:
    """Each card that is shown stands in the node in the end, and wakes nobody."""
    node = f"{root}/members/m1"
    with member_of(zookeeper.hosts, group=place(root)) as asking:
        asking.enrol()
        for number in range(20):
            status = MemberStatus("verifying", str(number))
            asking.show(status)
            wait_for_card(client, node, status)
        asking.read()
        assert touched(asking) == []
        # The watch is still there after all of these.
        client.delete(node)
        asking.news.next(GroupTouched, part=GroupPart.OWN_NODE)


def test_only_the_newest_waits(proxy: Proxy, client: KazooClient, root: str) -> None:
    """Of the cards that come while one is on its way, only the last is written."""
    node = f"{root}/members/m1"
    let_go = threading.Event()

    def hold_writes(request: Request) -> Fate:
        if request.opcode == SET:
            let_go.wait(30.0)
        return Fate.PASS_ON

    with member_of(proxy.hosts, group=place(root)) as asking:
        asking.enrol()
        proxy.on_request = hold_writes
        for number in range(50):
            asking.show(MemberStatus("verifying", str(number)))
        wait_until(lambda: SET in proxy.opcodes, "the first card is on its way")
        let_go.set()
        wait_until(lambda: shown(client, node).running == "49", "the last card is shown")
        assert client.exists(node).version <= 3
        assert touched(asking) == []


def test_a_card_before_enrolment(zookeeper: Server, client: KazooClient, root: str) -> None:
    """A card that is shown before there is a node is dropped: enrolling brings its own."""
    with member_of(zookeeper.hosts, group=place(root)) as asking:
        asking.show(MemberStatus("too early"))
        asking.enrol(MemberStatus("waiting"))
        asking.read()
        assert shown(client, f"{root}/members/m1") == MemberStatus("waiting")
        assert client.exists(f"{root}/members/m1").version == 0


def test_a_card_during_enrolment(proxy: Proxy, client: KazooClient, root: str) -> None:
    """A card that is shown while the node is being made is newer, and is shown after it."""
    with member_of(proxy.hosts, group=place(root)) as asking:
        asking.enrol()
        let_go = threading.Event()

        def hold_everything(_: Request) -> Fate:
            let_go.wait(30.0)
            return Fate.PASS_ON

        proxy.on_request = hold_everything
        enrolling = threading.Thread(target=asking.enrol, args=(MemberStatus("older"),))
        enrolling.start()
        wait_until(lambda: proxy.opcodes[-1] == EXISTS, "enrolling has begun")
        asking.show(MemberStatus("newer"))
        let_go.set()
        enrolling.join()
        asking.read()
        assert shown(client, f"{root}/members/m1") == MemberStatus("newer")
        assert touched(asking) == []


def test_a_card_over_somebody_elses_write(proxy: Proxy, client: KazooClient, root: str) -> None:
    """A write of another that comes just before the own one is not overwritten, and is told."""
    node = f"{root}/members/m1"

    def interfere(request: Request) -> Fate:
        if request.opcode == SET:
            client.set(node, b"by hand")
        return Fate.PASS_ON

    with member_of(proxy.hosts, group=place(root)) as asking:
        asking.enrol()
        proxy.on_request = interfere
        asking.show(MemberStatus("failed"))
        asking.news.next(GroupTouched, part=GroupPart.OWN_NODE)
        assert client.get(node)[0] == b"by hand"


def along(asking: Asking, status: MemberStatus, version: int) -> Event:
    """Write the record, the card with it, over this version of the record."""
    return asking.ask(CommitRecord(0, RolloutRecord(last_admitted=1), version, status=status))


def test_a_card_goes_along(proxy: Proxy, client: KazooClient, root: str) -> None:
    """With the record, and with the node in the queue; that needs no request more, nor a watch."""
    node = f"{root}/members/m1"
    with member_of(proxy.hosts, group=place(root)) as asking:
        asking.enrol()
        proxy.opcodes.clear()
        asking.get(QueueJoined, JoinQueue(0, "t", MemberStatus("waiting")))
        assert shown(client, node) == MemberStatus("waiting")
        assert isinstance(along(asking, MemberStatus("running"), 0), RecordCommitted)
        assert shown(client, node) == MemberStatus("running")
        assert proxy.opcodes == [TRANSACTION, TRANSACTION]
        asking.show(MemberStatus("failed"))
        wait_for_card(client, node, MemberStatus("failed"))
        assert touched(asking) == []


def test_a_card_does_not_stand_in_the_way(
    zookeeper: Server, client: KazooClient, root: str
) -> None:
    """Where somebody else has written to the own node, what the card went along with is done."""
    with member_of(zookeeper.hosts, group=place(root)) as asking:
        asking.enrol()
        client.set(f"{root}/members/m1", b"by hand")
        assert isinstance(along(asking, MemberStatus("running"), 0), RecordCommitted)
        asking.news.next(GroupTouched, part=GroupPart.OWN_NODE)
        # Nothing is known of the own node now, so the next card has nothing to go along to.
        assert isinstance(along(asking, MemberStatus("running"), 1), RecordCommitted)
        assert client.get(f"{root}/members/m1")[0] == b"by hand"


def test_a_card_goes_along_with_nothing_that_is_refused(
    zookeeper: Server, client: KazooClient, root: str
) -> None:
    """It is not shown then, and the next one is."""
    node = f"{root}/members/m1"
    with member_of(zookeeper.hosts, group=place(root)) as asking:
        asking.enrol(MemberStatus("waiting"))
        assert isinstance(along(asking, MemberStatus("running"), 5), CommitRefused)
        assert shown(client, node) == MemberStatus("waiting")
        asking.show(MemberStatus("failed"))
        wait_for_card(client, node, MemberStatus("failed"))


def test_a_card_that_has_to_wait(proxy: Proxy, client: KazooClient, root: str) -> None:
    """Where one is being written, or the record is as large as can be, it is written after that."""
    node = f"{root}/members/m1"
    let_go = threading.Event()

    def hold_writes(request: Request) -> Fate:
        if request.opcode == SET:
            let_go.wait(30.0)
        return Fate.PASS_ON

    with member_of(proxy.hosts, group=place(root)) as asking:
        asking.enrol()
        proxy.on_request = hold_writes
        asking.show(MemberStatus("waiting"))
        number = asking.news.fresh_number()
        asking.ensemble.request(
            CommitRecord(number, RolloutRecord(), 0, status=MemberStatus("running"))
        )
        wait_until(lambda: SET in proxy.opcodes, "the first card is on its way")
        let_go.set()
        assert isinstance(asking.news.answer_to(number), RecordCommitted)
        wait_for_card(client, node, MemberStatus("running"))
        large = MemberStatus("failed", wanted="x" * LARGEST_COMMIT)
        assert isinstance(along(asking, large, 1), RecordCommitted)
        wait_for_card(client, node, large)
        assert touched(asking) == []


def test_a_card_is_never_sent_late(proxy: Proxy, client: KazooClient, root: str) -> None:
    """A card that waits when the connection is lost is dropped: the next enrolment has a newer."""
    node = f"{root}/members/m1"
    with member_of(proxy.hosts, group=place(root), session_timeout_s=2.0) as asking:
        asking.enrol()
        proxy.black_hole(Way.TO_SERVER)
        asking.show(MemberStatus("old"))
        asking.show(MemberStatus("older than the next"))
        asking.news.next(SessionSuspended)
        asking.show(MemberStatus("without a connection"))
        proxy.heal()
        asking.news.next(SessionConnected)
        asking.read()
        asking.enrol(MemberStatus("next"))
        asking.read()
        assert shown(client, node) == MemberStatus("next")
