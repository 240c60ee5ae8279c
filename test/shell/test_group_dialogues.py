"""The requests on a member's own node and its marks, played without a server."""

import pytest

from support.dialogue_player import Turn, at, play
from zkexec.core.rollout.group_actions import Enrol
from zkexec.core.rollout.group_events import (
    Enrolled,
    EnrolmentOccupied,
    GroupPart,
)
from zkexec.core.turn import MemberStatus
from zkexec.frozen import replace
from zkexec.group.member_codec import StatusFacts, encode_status
from zkexec.group.member_node import MemberNode
from zkexec.group.member_profile import MemberProfile, PhaseTime, Writer
from zkexec.group.paths import Paths
from zkexec.group.store import GroupStore
from zkexec.zookeeper.errors import (
    BadVersionError,
    NoAuthError,
    NodeExistsError,
    NoNodeError,
    RolledBackError,
)
from zkexec.zookeeper.requests import (
    Check,
    Children,
    Create,
    Delete,
    Dialogue,
    Exists,
    Get,
    Operation,
    Request,
    SetContent,
    Transaction,
)
from zkexec.zookeeper.values import OPEN_ACL

NOW, SESSION = 1000.0, 77
STATUS = MemberStatus("running", "d", "d", "healthy")
BASE = "/root/g"
STATE, MEMBERS = f"{BASE}/state", f"{BASE}/members"
OWN = f"{MEMBERS}/m1"
ILL, IN_ZONE = f"{BASE}/unavailable/m1", f"{BASE}/zones/east/m1"
WATCH_OWN = Children(OWN, GroupPart.OWN_NODE)
WATCHED = ((), at(5, version=0, ephemeral_owner=SESSION))


def store(zone: str = "") -> GroupStore:
    """The znodes of the group /g below the chroot /root, on a new connection."""
    writer = Writer("this-host", 1, lambda: NOW)
    profile = MemberProfile(
        "/g", "m1", "lock file of m1", "1", PhaseTime(), writer=writer, zone=zone
    )
    return GroupStore(profile, Paths("/root", "/g"), lambda: False)


class Node:
    """A member's node, what runs beside it, and how often it was reported as touched."""

    def __init__(self, zone: str = "") -> None:
        self.zone = zone
        self.aside: list[Dialogue] = []
        self.touched = 0
        self.node = MemberNode(
            store(zone), SESSION, self.aside.append, self._touch, lambda _: False
        )

    def _touch(self) -> None:
        self.touched += 1

    def enrol(self, *more: Turn, status: MemberStatus = STATUS) -> None:
        """Make the node, which is not there; `more` is what follows for the marks."""
        create = Create(OWN, status_content(status, self.zone), OPEN_ACL, ephemeral=True)
        ill = mark(ILL) if status.unavailable else Exists(ILL)
        marks = [ill, *([mark(IN_ZONE)] if self.zone else [])]
        marked = [ILL if status.unavailable else None, *([IN_ZONE] if self.zone else [])]
        turns: list[Turn] = [
            ([Exists(STATE), create, Exists(MEMBERS)], [at(1), OWN, at(5, num_children=3)]),
            *(more or [([WATCH_OWN, *marks], [WATCHED, *marked])]),
        ]
        assert play(self.node.enrol(Enrol(1, status)), *turns) == Enrolled(1, 3)


def mark(path: str) -> Create:
    """The request that makes a mark."""
    return Create(path, b"", OPEN_ACL, ephemeral=True)


def status_content(status: MemberStatus = STATUS, zone: str = "") -> bytes:
    """What the own node contains at first."""
    node = MemberNode(store(zone), SESSION, lambda _: None, lambda: None, lambda _: False)
    (_, create, _) = next(node.enrol(Enrol(1, status)))
    assert isinstance(create, Create)
    return create.content


def test_enrolling_over_another_process() -> None:
    """A node of another living process is left alone, and the own status is shown beside it."""
    one = Node()
    create = Create(OWN, status_content(), OPEN_ACL, ephemeral=True)
    facts = StatusFacts("other-host", 12, "0.1.0", "another lock file", "1", NOW)
    found = encode_status(STATUS, facts), at(3, ephemeral_owner=55)
    dialogue = one.node.enrol(Enrol(6, STATUS))
    assert next(dialogue) == [Exists(STATE), create, Exists(MEMBERS)]
    assert dialogue.send([at(1), NodeExistsError(OWN), at(1)]) == [Get(OWN)]
    (beside,) = dialogue.send([found])
    assert isinstance(beside, Get)
    assert beside.path.startswith(f"{OWN}~")
    (made,) = dialogue.send([NoNodeError(beside.path)])
    assert isinstance(made, Create)
    assert made.ephemeral
    with pytest.raises(StopIteration) as end:
        dialogue.send([beside.path])
    assert end.value.value == EnrolmentOccupied(6, "other-host, pid 12")


def test_only_the_newest_status_waits() -> None:
    """While a status is being written only the newest of those that come meanwhile is kept."""
    one = Node()
    one.enrol()
    writing_first = one.node.publish(STATUS)
    (first,) = next(writing_first)
    assert isinstance(first, SetContent)
    assert first.version == 0
    for health in ("unhealthy", "unknown"):
        assert play(one.node.publish(MemberStatus("running", "d", "d", health))) is None
    (second,) = writing_first.send([at(6, version=1)])
    assert isinstance(second, SetContent)
    assert second.version == 1
    assert b"unknown" in second.content
    with pytest.raises(StopIteration):
        writing_first.send([at(7, version=2)])
    assert one.touched == 0


def test_a_status_that_another_has_overwritten() -> None:
    """If the node has another version than was written last, it is reported, once."""
    one = Node()
    one.enrol()
    writing_it = one.node.publish(STATUS)
    next(writing_it)
    with pytest.raises(StopIteration):
        writing_it.send([BadVersionError(OWN)])
    assert one.touched == 1
    assert play(one.node.publish(STATUS)) is None
    play(one.node.fired())
    assert one.touched == 1


def test_the_end_of_the_own_node() -> None:
    """If the watch of the own node fires, that is reported."""
    one = Node()
    play(one.node.fired())
    assert one.touched == 0
    one.enrol()
    play(one.node.fired())
    assert one.touched == 1


def test_a_status_never_makes_a_commit_fail() -> None:
    """If the own node makes a transaction fail, the same operations are done without it."""
    one = Node()
    one.enrol()
    operations = [Check(STATE, 3)]
    dialogue = one.node.write(operations, STATUS)
    (batch,) = next(dialogue)
    assert isinstance(batch, Transaction)
    assert [type(each) for each in batch.operations] == [Check, SetContent]
    assert dialogue.send([[RolledBackError(), BadVersionError(OWN)]]) == [Transaction(operations)]
    with pytest.raises(StopIteration) as end:
        dialogue.send([[None]])
    assert end.value.value == [None]
    assert one.touched == 1


UNAVAILABLE = replace(STATUS, unavailable=True)


def test_an_unavailable_member_is_marked_with_its_status() -> None:
    """The mark is made and deleted in the transaction that writes the status."""
    one = Node()
    one.enrol()
    changes: list[tuple[MemberStatus, Operation]] = [
        (UNAVAILABLE, mark(ILL)),
        (STATUS, Delete(ILL)),
        (UNAVAILABLE, mark(ILL)),
    ]
    for version, (status, change) in enumerate(changes):
        write = SetContent(OWN, status_content(status), version)
        done = [at(6, version=version + 1), None]
        play(one.node.publish(status), ([Transaction([write, change])], [done]))
    again = SetContent(OWN, status_content(UNAVAILABLE), 3)
    play(one.node.publish(UNAVAILABLE), ([again], [at(9, version=4)]))


def test_a_mark_goes_along_with_a_commit() -> None:
    """What the status goes along with is done together with both."""
    one = Node()
    one.enrol()
    operations = [Check(STATE, 3)]
    write = SetContent(OWN, status_content(UNAVAILABLE), 0)
    batch = [Transaction([*operations, write, mark(ILL)])]
    results = play(
        one.node.write(operations, UNAVAILABLE), (batch, [(None, at(6, version=1), ILL)])
    )
    assert list(results) == [None]
    again = SetContent(OWN, status_content(UNAVAILABLE), 1)
    play(one.node.publish(UNAVAILABLE), ([again], [at(9, version=2)]))


@pytest.mark.parametrize("error", [NodeExistsError(ILL), NoNodeError(ILL), NoAuthError(ILL)])
def test_a_mark_never_makes_the_rest_fail(error: Exception) -> None:
    """If the mark cannot be made, all else is done without it, and it is not tried again."""
    operations = [Check(STATE, 3)]
    write = SetContent(OWN, status_content(UNAVAILABLE), 0)
    one = Node()
    one.enrol()
    refused = (RolledBackError(), RolledBackError(), error)
    results = play(
        one.node.write(operations, UNAVAILABLE),
        ([Transaction([*operations, write, mark(ILL)])], [refused]),
        ([Transaction([*operations, write])], [(None, at(6, version=1))]),
    )
    assert list(results) == [None]
    other = Node()
    other.enrol()
    play(
        other.node.publish(UNAVAILABLE),
        ([Transaction([write, mark(ILL)])], [(RolledBackError(), error)]),
        ([write], [at(6, version=1)]),
    )
    for node in (one, other):
        again = SetContent(OWN, status_content(UNAVAILABLE), 1)
        play(node.node.publish(UNAVAILABLE), ([again], [at(9, version=2)]))
        assert node.touched == 0


def test_a_status_whose_mark_fails_gives_way_to_a_newer_one() -> None:
    """If a newer status comes while the first attempt is on its way, that one is written."""
    one = Node()
    one.enrol()
    dialogue = one.node.write([Check(STATE, 3)], UNAVAILABLE)
    next(dialogue)
    newer = MemberStatus("failed", unavailable=True)
    play(one.node.publish(newer))
    (batch,) = dialogue.send([(RolledBackError(), RolledBackError(), NodeExistsError(ILL))])
    assert isinstance(batch, Transaction)
    content = batch.operations[1]
    assert isinstance(content, SetContent)
    assert b"failed" in content.content


def test_marks_are_made_at_enrolment() -> None:
    """A member of a zone is counted there, and an unavailable one is marked from the beginning."""
    one = Node("east")
    one.enrol(status=UNAVAILABLE)
    again = SetContent(OWN, status_content(UNAVAILABLE, "east"), 0)
    play(one.node.publish(UNAVAILABLE), ([again], [at(9, version=1)]))


def test_a_mark_of_an_earlier_process_is_replaced() -> None:
    """One of another session is made anew, one of the own session stays."""
    batch: list[Request] = [WATCH_OWN, mark(ILL), mark(IN_ZONE)]
    exists = [WATCHED, NodeExistsError(ILL), NodeExistsError(IN_ZONE)]
    Node("east").enrol(
        (batch, exists),
        ([Exists(ILL)], [at(3, ephemeral_owner=9)]),
        ([Transaction([Delete(ILL), mark(ILL)])], [(None, ILL)]),
        ([Exists(IN_ZONE)], [at(3, ephemeral_owner=SESSION)]),
        status=UNAVAILABLE,
    )


def test_a_mark_that_is_not_needed_any_more_is_deleted() -> None:
    """A member that is available again when it enrols deletes its mark."""
    Node().enrol(
        ([WATCH_OWN, Exists(ILL)], [WATCHED, at(3, ephemeral_owner=SESSION)]),
        ([Delete(ILL)], [None]),
    )


def test_the_first_member_of_a_zone_makes_its_znode() -> None:
    """If the znode of the zone is missing, it is made, and then the mark."""
    zone = f"{BASE}/zones/east"
    Node("east").enrol(
        ([WATCH_OWN, mark(IN_ZONE), Exists(ILL)], [WATCHED, NoNodeError(IN_ZONE), None]),
        ([Create(zone, b"", OPEN_ACL)], [zone]),
        ([mark(IN_ZONE)], [IN_ZONE]),
    )
