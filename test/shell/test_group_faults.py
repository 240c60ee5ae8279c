"""Lost requests, lost replies and lost connections: each request has one answer, and no echo."""

import os
import random
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import pytest
from kazoo.client import KazooClient

from support.posted_events import (
    ANYONE,
    RUNNING,
    ConnectedMember,
    Request,
    connected_client,
    connected_member,
    drive_until,
    group_place,
)
from support.proxy import (
    CHILDREN2,
    CREATE,
    DELETE,
    GET,
    GET_EPHEMERALS,
    MULTI_READ,
    SET,
    TRANSACTION,
    Proxy,
    Treatment,
    Way,
    like_an_old_server,
    pass_all,
)
from support.proxy import Request as Frame
from support.waiting import DEADLINE_S, until
from support.zookeeper import Ensemble as Servers
from support.zookeeper import Server, can_read_at_once, demand_reading_at_once
from zkexec.cli.cluster_access import client_settings
from zkexec.core.events import (
    ReadFailed,
    SessionConnected,
    SessionSuspended,
    ZnodesRead,
)
from zkexec.core.rollout.group_actions import (
    CommitRecord,
    Enrol,
    FindQueueNode,
    JoinQueue,
    LeaveQueue,
    ListQueue,
    ReadQueue,
    ReadRecord,
    RenewQueueNode,
    Watch,
    WatchQueueNodes,
)
from zkexec.core.rollout.group_events import (
    GroupPart,
    GroupRequestFailed,
    GroupTouched,
    QueueJoined,
    QueueNodeFound,
    QueueRead,
)
from zkexec.core.rollout.queued_member import QueuedMember, QueueNode
from zkexec.core.rollout.record import InFlightEntry, Refusal, RolloutRecord
from zkexec.core.rollout.record_basis import RecordBasis, VersionBasis
from zkexec.core.rollout.version import ConfigVersion
from zkexec.core.rollout.version_state import VersionState
from zkexec.frozen import replace
from zkexec.runtime.inbox import now
from zkexec.zookeeper.client import Client
from zkexec.zookeeper.client_events import ClientEvent, Connected, Failed, Lost
from zkexec.zookeeper.errors import ConnectionEndError
from zkexec.zookeeper.requests import Create, Dialogue
from zkexec.zookeeper.snapshot_reader import FEW
from zkexec.zookeeper.values import OPEN_ACL

Truth = Callable[[KazooClient, str], object]


def _member(client: KazooClient, base: str) -> object:
    return client.exists(f"{base}/members/m1") is not None


def _queue(client: KazooClient, base: str) -> object:
    return [int(name[-10:]) for name in sorted(client.get_children(f"{base}/queue"))]


def _queued(client: KazooClient, base: str) -> object:
    return b"second" in client.get(f"{base}/queue/q-0000000000")[0]


def _in_flight(client: KazooClient, base: str) -> object:
    return sorted(client.get_children(f"{base}/in_flight"))


def _own_entry(client: KazooClient, base: str) -> object:
    return client.exists(f"{base}/in_flight/m1").version


def _failures(client: KazooClient, base: str) -> object:
    return sorted(client.get_children(f"{base}/versions/d"))


def _successes(client: KazooClient, base: str) -> object:
    return client.exists(f"{base}/versions/d/succeeded").version


def _version(client: KazooClient, base: str) -> object:
    return client.exists(f"{base}/state").version


VERSION = ConfigVersion("d", 1, "s")
QUEUED = QueuedMember("m1", "second", "d")
OWN = InFlightEntry("t", "d", 1, since=1.0)
GOOD = {"d": VersionState(1, "s", known_good=True)}
RECORD = RolloutRecord(in_flight={"m1": OWN}, versions=GOOD)
"""The record of a prepared group; m1 is in flight."""
BASIS = RecordBasis(1, {"m1": 0}, {"d": VersionBasis(0, ("succeeded",))})


def commit(after: RolloutRecord | Refusal, **more: Any) -> CommitRecord:
    """A commit in a prepared group."""
    assert isinstance(after, RolloutRecord)
    return CommitRecord(0, RECORD, after, BASIS, **more)


FIRST = QueueNode(0, 0, QueuedMember("m2", "t2", "d"))
ADMITTED = replace(RECORD, in_flight={"m1": OWN, "m2": InFlightEntry("t2", "d", 1, since=1.0)})

READS: list[tuple[Request, int]] = [
    (ListQueue(0), CHILDREN2),
    (ReadQueue(0), CHILDREN2),
    (ReadQueue(0), MULTI_READ),
    (FindQueueNode(0, "t"), GET_EPHEMERALS),
    (WatchQueueNodes(0, 0, 0), CHILDREN2),
    (ReadRecord(0, Watch.BOTH), GET),
    (ReadRecord(0, Watch.BOTH), MULTI_READ),
    (ReadRecord(0, survey=True), CHILDREN2),
]
INSTEAD = {MULTI_READ: GET, GET_EPHEMERALS: CHILDREN2}
"""What is requested of a server before 3.6 in the place of what it does not know."""
WRITES: list[tuple[Request, int, Truth, object, object]] = [
    (Enrol(0, RUNNING), CREATE, _member, False, True),
    (JoinQueue(0, QUEUED), TRANSACTION, _queue, [0], [0, 1]),
    (RenewQueueNode(0, 0, QUEUED), SET, _queued, False, True),
    (LeaveQueue(0, 0), DELETE, _queue, [0], []),
    (commit(ADMITTED, admitted=(FIRST,)), TRANSACTION, _queue, [0], []),
    (commit(ADMITTED, tried="d"), TRANSACTION, _in_flight, ["m1"], ["m1", "m2"]),
    (commit(RECORD, confirms="m1"), TRANSACTION, _own_entry, 0, 1),
    (commit(RECORD.release("m1", VERSION)), TRANSACTION, _successes, 0, 1),
    (commit(RECORD.release("m1", VERSION)), TRANSACTION, _in_flight, ["m1"], []),
    (
        commit(RECORD.fail("m1", "t", VERSION, "why")),
        TRANSACTION,
        _failures,
        ["succeeded"],
        ["failed.m1", "succeeded"],
    ),
    (
        commit(RECORD.reclaim("m1", "t")),
        TRANSACTION,
        _failures,
        ["succeeded"],
        ["lost.t", "succeeded"],
    ),
    (commit(RECORD, is_exclusive=True), TRANSACTION, _version, 1, 2),
]


def names(requests: Sequence[tuple[object, ...]]) -> list[str]:
    """What the requests are called in the names of tests."""
    return [type(request[0]).__name__ for request in requests]


def prepared(client: KazooClient, member: ConnectedMember, base: str, request: Request) -> None:
    """A group with one node in its queue and m1 in flight, and enrolled unless it is to enrol."""
    member.enrol()
    client.create(f"{base}/queue/q-", b"{}", sequence=True, ephemeral=True)
    member.commit(RECORD)
    if isinstance(request, Enrol):
        client.delete(f"{base}/members/m1")
        member.posted.next(GroupTouched)


def ask(member: ConnectedMember, request: Request) -> int:
    """Ask, and return the number under which the answer will come."""
    number = member.posted.fresh_number()
    member.ensemble.request(replace(request, number=number))
    return number


def answers(member: ConnectedMember, number: int) -> list[object]:
    """All answers to a request."""
    return [e for e in member.posted.events if getattr(e, "number", None) == number]


def lose_reply(member: ConnectedMember, proxy: Proxy, opcode: int, request: Request) -> int:
    """Ask, let the request be done, and let no reply to it or to what follows come back."""

    def swallow(frame: Frame) -> Treatment:
        if frame.opcode == opcode:
            proxy.black_hole(Way.TO_CLIENT)
        return Treatment.PASS_ON

    proxy.on_request = swallow
    number = ask(member, request)
    # The proxy notes the request before it is asked what becomes of it.
    drive_until(lambda: proxy.swallowing, "the request is on its way")
    return number


@pytest.mark.parametrize("write", WRITES, ids=names(WRITES))
def test_reply_lost(
    proxy: Proxy, client: KazooClient, root: str, write: tuple[Request, int, Truth, object, object]
) -> None:
    """A write whose reply is lost fails once, and what is read back is that it was done."""
    request, opcode, truth, before, after = write
    with connected_member(proxy.hosts, group=group_place(root), session_timeout_s=60.0) as member:
        prepared(client, member, root, request)
        assert truth(client, root) == before
        number = lose_reply(member, proxy, opcode, request)
        drive_until(lambda: truth(client, root) == after, "the write was done")
        proxy.on_request = pass_all
        proxy.heal()
        failed = member.posted.answer_to(number)
        assert isinstance(failed, GroupRequestFailed)
        assert "instead of answering " in failed.reason
        member.posted.next(SessionConnected)
        member.read()
        assert truth(client, root) == after
        assert len(answers(member, number)) == 1


@pytest.mark.parametrize("write", WRITES, ids=names(WRITES))
def test_request_lost(
    proxy: Proxy, client: KazooClient, root: str, write: tuple[Request, int, Truth, object, object]
) -> None:
    """A write that never arrives fails once, and is not sent again when the connection is back."""
    request, opcode, truth, before, _ = write

    def cut(frame: Frame) -> Treatment:
        if frame.opcode == opcode:
            proxy.cut()
        return Treatment.PASS_ON

    with connected_member(proxy.hosts, group=group_place(root), session_timeout_s=60.0) as member:
        prepared(client, member, root, request)
        proxy.on_request = cut
        number = ask(member, request)
        assert isinstance(member.posted.answer_to(number), GroupRequestFailed)
        proxy.on_request = pass_all
        proxy.opcodes.clear()
        member.posted.next(SessionConnected)
        member.read()
        assert opcode not in proxy.opcodes
        assert truth(client, root) == before
        assert len(answers(member, number)) == 1


@pytest.mark.parametrize("read", READS, ids=names(READS))
def test_reply_of_a_read_lost(
    proxy: Proxy, client: KazooClient, root: str, read: tuple[Request, int]
) -> None:
    """A read whose reply is lost fails once, and can be asked for again."""
    request, opcode = read
    if not can_read_at_once():
        opcode = INSTEAD.get(opcode, opcode)
    with connected_member(proxy.hosts, group=group_place(root), session_timeout_s=60.0) as member:
        prepared(client, member, root, request)
        number = lose_reply(member, proxy, opcode, request)
        proxy.on_request = pass_all
        proxy.heal()
        assert isinstance(member.posted.answer_to(number), GroupRequestFailed)
        member.posted.next(SessionConnected)
        assert not isinstance(member.ask(request), GroupRequestFailed)
        assert len(answers(member, number)) == 1


def test_the_answers_come_before_the_loss(proxy: Proxy, root: str) -> None:
    """Each request is answered before the loss of the connection is reported."""
    with connected_member(proxy.hosts, group=group_place(root), session_timeout_s=2.0) as member:
        member.enrol()
        proxy.black_hole(Way.TO_SERVER)
        number = ask(member, ListQueue(0))
        failed = member.posted.next(GroupRequestFailed)
        assert failed == GroupRequestFailed(number, "no answer from the server for 1.33 s")
        assert member.posted.next(SessionSuspended).reason == failed.reason
        assert member.failure(ListQueue(0)) == "there is no connection"


def test_nothing_is_kept_for_the_next_connection(
    proxy: Proxy, client: KazooClient, root: str
) -> None:
    """What is requested in the moment of the loss fails, and is sent on no later connection."""
    settings = client_settings([proxy.address], ANYONE, 60.0)
    events: list[ClientEvent] = []

    def create(name: str) -> Dialogue:
        (outcome,) = yield [Create(f"{root}/{name}", b"", OPEN_ACL)]
        return outcome

    def cut(frame: Frame) -> Treatment:
        if frame.opcode == CREATE:
            proxy.on_request = pass_all
            proxy.cut()
        return Treatment.PASS_ON

    def take(event: ClientEvent) -> None:
        events.append(event)
        if isinstance(event, Lost) or (isinstance(event, Failed) and event.key == "early"):
            ours.start(create(f"late-{len(events)}"), "late")

    ours = Client(settings, take)
    ours.open()
    try:
        wait_for(ours, lambda: bool(events))
        proxy.on_request = cut
        ours.start(create("early"), "early")
        wait_for(ours, lambda: isinstance(events[-1], Connected) and len(events) > 1)
        ours.run(create("now"), DEADLINE_S)
    finally:
        ours.close(5.0)
    kinds = [type(event) for event in events]
    assert kinds == [Connected, Failed, Failed, Lost, Failed, Connected]
    errors = [event.error for event in events if isinstance(event, Failed)]
    assert all(isinstance(error, ConnectionEndError) for error in errors)
    assert client.get_children(root) == ["now"]


def wait_for(ours: Client, is_true: Callable[[], bool]) -> None:
    """Drive a client until something is true."""
    until(is_true, "an event", pause=lambda pause_s: ours.wait(now() + pause_s))


def test_old_server(proxy: Proxy, client: KazooClient, root: str) -> None:
    """If a server has become one before 3.6, reads and the group go on, after one refusal."""
    demand_reading_at_once()
    client.create(f"{root}/a", b"1")
    missing = tuple(f"{root}/missing-{number}" for number in range(FEW))
    with connected_member(
        proxy.hosts, group=group_place(f"{root}/g"), paths=(f"{root}/a", *missing)
    ) as member:
        proxy.opcodes.clear()
        proxy.on_request = like_an_old_server
        numbers = [member.posted.fresh_number() for _ in range(6)]
        # All at once: the refusal of the last takes the connection from the others.
        for number in numbers[:5]:
            member.ensemble.request(Enrol(number, RUNNING))
        member.ensemble.read(numbers[5])
        for number in numbers:
            member.posted.answer_to(number)
        assert isinstance(member.posted.answer_to(numbers[5]), ReadFailed)
        member.posted.next(SessionSuspended)
        member.posted.next(SessionConnected)
        # A reset that follows the refusal can overtake it, and then there is another one.
        drive_until(lambda: isinstance(member.posted.answer(member.ensemble), ZnodesRead), "a read")
        refusals = proxy.opcodes.count(MULTI_READ)
        member.posted.read(member.ensemble)
        member.enrol()
        assert member.join("t") == 0
        assert member.get(QueueNodeFound, FindQueueNode(0, "t")).queue_number == 0
        (node,) = member.get(QueueRead, ReadQueue(0)).nodes
        after = replace(RECORD, last_admitted=0)
        member.commit(after, checks={f"{root}/a": 0}, admitted=(node,))
        assert member.read(Watch.BOTH).record == after
        assert member.read(survey=True, limits=True).record.in_flight_count == 1
        assert all(len(answers(member, number)) == 1 for number in numbers)
    assert proxy.opcodes.count(MULTI_READ) == refusals


def test_old_server_from_the_start(proxy: Proxy, root: str) -> None:
    """A member knows a server before 3.6 before it sends a request, and none of them fails."""
    proxy.on_request = like_an_old_server
    with connected_member(proxy.hosts, group=group_place(f"{root}/g")) as member:
        member.enrol()
        assert member.join("t") == 0
        (node,) = member.get(QueueRead, ReadQueue(0)).nodes
        member.commit(replace(RECORD, last_admitted=0), admitted=(node,))
        assert not any(isinstance(event, SessionSuspended) for event in member.posted.events)
    assert proxy.opcodes.count(MULTI_READ) == 1
    assert proxy.accepted == 2


def sockets() -> int:
    """How many sockets this process has open."""
    found = 0
    for number in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            found += os.readlink(f"/proc/self/fd/{number}").startswith("socket:")
    return found


def test_many_flaps(proxy: Proxy, client: KazooClient, root: str) -> None:
    """However often the connection breaks, watches tell once, and nothing piles up."""
    client.create(f"{root}/a")
    group = group_place(f"{root}/g")
    # The pauses between the connections grow up to a third of the session timeout.
    with connected_member(
        proxy.hosts, group=group, paths=(f"{root}/a",), session_timeout_s=3.0
    ) as member:

        def take_part() -> None:
            member.enrol()
            member.posted.read(member.ensemble)
            member.read(Watch.BOTH)

        take_part()
        threads, open_sockets = threading.active_count(), sockets()
        for _ in range(30):
            proxy.cut()
            member.posted.next(SessionSuspended)
            member.posted.next(SessionConnected)
            take_part()
        drive_until(lambda: threading.active_count() <= threads, "no more threads than before")
        drive_until(lambda: sockets() <= open_sockets, "no more sockets than before")
        assert not [e for e in member.posted.events if isinstance(e, GroupTouched)]
        member.commit(RolloutRecord(last_admitted=1))
        client.delete(f"{root}/g/members/m1")
        member.posted.next(GroupTouched, part=GroupPart.OWN_NODE)
        member.read()
        touched = [e.part for e in member.posted.events if isinstance(e, GroupTouched)]
        assert touched == [GroupPart.RECORD, GroupPart.OWN_NODE]


def test_cuts_at_any_moment(proxy: Proxy, client: KazooClient, root: str) -> None:
    """Wherever a cut falls, each request has one answer, and what is said to be done is done."""
    rng = random.Random(3)
    with connected_member(proxy.hosts, group=group_place(root), session_timeout_s=3.0) as member:
        member.enrol()
        joined, asked = [], []
        for round_number in range(30):
            cutter = threading.Timer(rng.random() * 0.01, proxy.cut)
            cutter.start()
            for turn in range(10):
                queued = replace(QUEUED, token=f"{round_number}x{turn}")
                number = ask(member, JoinQueue(0, queued))
                asked.append(number)
                answer = member.posted.answer_to(number)
                if isinstance(answer, QueueJoined):
                    joined.append(f"q-{answer.queue_number:010}")
            cutter.join()
            drive_until(
                lambda: not isinstance(member.ask(ListQueue(0)), GroupRequestFailed), "back"
            )
            # Whatever was not done by now is never done.
            there = set(client.get_children(f"{root}/queue"))
            assert set(joined) <= there
            member.ask(ListQueue(0))
            assert set(client.get_children(f"{root}/queue")) == there
        assert [len(answers(member, number)) for number in asked] == [1] * len(asked)
        assert joined


def test_another_server_of_the_ensemble(own_ensemble: Servers) -> None:
    """What a member commits at one server, one that connects to another reads at once.

    One that is connected already reads it when its watch has fired.
    """
    with connected_client(own_ensemble.hosts) as client:
        client.ensure_path("/g")
        for number in range(9):
            here, there = (own_ensemble.servers[(number + step) % 3] for step in (0, 1))
            with connected_member(here.hosts, group=group_place("/g", "m1")) as writer:
                writer.enrol()
                writer.commit(RolloutRecord(last_admitted=number))
                with connected_member(there.hosts, group=group_place("/g", "m2")) as reader:
                    assert reader.read(Watch.DECISIONS).record.last_admitted == number
                    writer.commit(RolloutRecord(last_admitted=number + 100))
                    reader.posted.next(GroupTouched, part=GroupPart.RECORD)
                    assert reader.read().record.last_admitted == number + 100


def test_the_leader_dies(own_ensemble: Servers) -> None:
    """After the leader's death the same session goes on elsewhere, its nodes still standing."""
    hosts = own_ensemble.hosts.split(",")
    with connected_member(*hosts, group=group_place("/g"), session_timeout_s=30.0) as member:
        member.enrol()
        own = member.join("t")
        own_ensemble.leader().stop(suddenly=True)

        def goes_on() -> bool:
            return not isinstance(member.ask(Enrol(0, RUNNING)), GroupRequestFailed)

        drive_until(goes_on, "the member is enrolled again")
        (node,) = member.get(QueueRead, ReadQueue(0)).nodes
        assert node.number == own
        member.commit(RolloutRecord(last_admitted=own), admitted=(node,))
        found = member.read().record
        assert (found.last_admitted, found.population.members) == (own, 1)


def test_a_frozen_server(own_zookeeper: Server) -> None:
    """A request to a frozen server fails once, and what became of it is read back."""
    with connected_member(
        own_zookeeper.hosts, group=group_place("/g"), session_timeout_s=4.0
    ) as member:
        member.enrol()
        own_zookeeper.pause()
        # The signal to freeze takes a moment to reach every thread.
        drive_until(lambda: not own_zookeeper.ask("ruok", timeout_s=0.2), "the server is frozen")
        after = RolloutRecord(last_admitted=5)
        number = ask(member, CommitRecord(0, RolloutRecord(), after, RecordBasis(0)))
        assert isinstance(member.posted.answer_to(number), GroupRequestFailed)
        own_zookeeper.resume()
        member.posted.next(SessionConnected)
        found = member.read()
        assert (found.record.last_admitted, found.basis.state) in {(5, 1), (-1, 0)}
        assert len(answers(member, number)) == 1
