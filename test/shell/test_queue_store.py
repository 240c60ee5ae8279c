"""A group's queue: how a member makes, finds, renews, watches and deletes queue nodes."""

from typing import Any

import pytest

from support.group_model import BASE, GroupModel
from support.model_server import CHILDREN, converse
from zkexec.core.rollout.group_actions import (
    FindQueueNode,
    JoinQueue,
    LeaveQueue,
    ListQueue,
    ReadQueue,
    RenewQueueNode,
    WatchQueueNodes,
)
from zkexec.core.rollout.group_events import (
    GroupPart,
    QueueJoined,
    QueueLeft,
    QueueListed,
    QueueNodeFound,
    QueueNodeRenewed,
    QueueNodesRead,
)
from zkexec.core.rollout.queued_member import QueuedMember, QueueNode
from zkexec.frozen import replace
from zkexec.group.bulk_read import MOST_AT_ONCE
from zkexec.zookeeper.requests import Children, Delete, GetEphemerals, MultiRead

OLD_AND_NEW = pytest.mark.parametrize("is_old", [False, True], ids=["new server", "old server"])
D = "d" * 64


def _no_write(*_: object) -> Any:
    raise AssertionError("nothing is to be written")


def queued(member: str) -> QueuedMember:
    """What a member shows in its queue node."""
    return QueuedMember(member, f"token-of-{member}", D, "east")


@OLD_AND_NEW
def test_a_way_through_the_queue(is_old: bool) -> None:
    """A queue node is made, found, renewed, read, and deleted."""
    group = GroupModel(is_old=is_old)
    assert group.queue(ListQueue(1)) == QueueListed(1, ())
    assert group.queue(JoinQueue(2, queued("m1"))) == QueueJoined(2, 0)
    assert group.queue(JoinQueue(3, queued("m2"))) == QueueJoined(3, 1)
    assert group.queue(FindQueueNode(4, "token-of-m2")) == QueueNodeFound(4, 1)
    assert group.queue(FindQueueNode(5, "unknown")) == QueueNodeFound(5, None)
    renewed = replace(queued("m1"), digest="e" * 64)
    assert group.queue(RenewQueueNode(6, 0, renewed)) == QueueNodeRenewed(6)
    read = group.queue(ReadQueue(7))
    assert read.numbers == {0, 1}
    assert read.nodes == (QueueNode(0, 1, renewed), QueueNode(1, 0, queued("m2")))
    assert group.queue(ReadQueue(8, frozenset({0, 5}))).nodes == read.nodes[1:]
    assert group.queue(LeaveQueue(9, 0)) == QueueLeft(9, was_there=True)
    assert group.queue(LeaveQueue(10, 0)) == QueueLeft(10, was_there=False)
    assert group.queue(RenewQueueNode(11, 0, renewed)) == QueueNodeRenewed(11)
    assert group.queue(ListQueue(12)) == QueueListed(12, (1,))


def test_the_own_queue_node_is_found_without_a_list() -> None:
    """From 3.6 on the server knows which nodes are of this session, so others are not read."""
    group = GroupModel()
    group.queue(JoinQueue(0, queued("m1")))
    group.make("queue/q-0000000077", b"", ephemeral=True)
    dialogue = group.connection("m1").queue(FindQueueNode(1, "token-of-m1"), _no_write)
    batches = [*converse(dialogue, group.server, lambda: None)]
    prefix = f"{BASE}/queue/q-"
    assert batches[0] == [GetEphemerals(prefix)]
    assert not any(isinstance(each, Children) for batch in batches for each in batch)


@OLD_AND_NEW
def test_what_no_member_has_left_in_the_queue(is_old: bool) -> None:
    """Nodes of other names are reported; those without a session or a content are left out."""
    group = GroupModel(is_old=is_old)
    group.queue(JoinQueue(0, queued("m1")))
    strangers = ("ticket-0000000003", "q-3", "q-00000000٣3", "q-x000000003")
    for name in strangers:
        group.make(f"queue/{name}", ephemeral=True)
    group.make("queue/q-0000000004", b"", ephemeral=True)
    group.make("queue/q-0000000005", group.server.nodes[f"{BASE}/queue/q-0000000000"].content)
    listed = group.queue(ListQueue(0))
    assert sorted(listed.numbers) == [0, 4, 5]
    assert sorted(listed.unknown) == sorted(strangers)
    read = group.queue(ReadQueue(0))
    assert read.numbers == {0, 4, 5}
    assert [node.number for node in read.nodes] == [0]


def test_a_long_queue_is_read_in_parts() -> None:
    """No request of a read of the queue is for more than 500 nodes."""
    group = GroupModel()
    count = MOST_AT_ONCE * 2 + 1
    for number in range(count):
        group.queue(JoinQueue(0, queued(f"m{number}")))
    conversation = converse(
        group.connection("m1").queue(ReadQueue(0), _no_write), group.server, lambda: None
    )
    requests = [each for batch in conversation for each in batch]
    sizes = [len(each.paths) for each in requests if isinstance(each, MultiRead)]
    assert sizes == [MOST_AT_ONCE, MOST_AT_ONCE, 1]
    assert len(group.queue(ReadQueue(0)).nodes) == count


def test_watching_queue_nodes() -> None:
    """The own node and the one before it are watched for their end, and not for a renewal."""
    group = GroupModel()
    for member in ("m1", "m2"):
        group.queue(JoinQueue(0, queued(member)))
    both = group.queue(WatchQueueNodes(1, 1, 0))
    assert both == QueueNodesRead(1, is_own_there=True, is_before_there=True)
    paths = [group.paths.queue_node(number) for number in (0, 1)]
    assert group.server.watches == {(CHILDREN, path) for path in paths}
    group.queue(RenewQueueNode(2, 0, queued("m1")))
    assert group.fired == []
    group.queue(LeaveQueue(3, 0))
    assert group.fired == [paths[0]]
    again = group.queue(WatchQueueNodes(4, 1, 0, is_own_watched=True))
    assert again == QueueNodesRead(4, is_own_there=True, is_before_there=False)
    group.queue(LeaveQueue(5, 1))
    gone = group.queue(WatchQueueNodes(6, 1, 0))
    assert gone == QueueNodesRead(6, is_own_there=False, is_before_there=False)


def test_the_first_of_the_queue_watches_only_its_own_node() -> None:
    """Without a node before it, one watch is set."""
    group = GroupModel()
    group.queue(JoinQueue(0, queued("m1")))
    dialogue = group.connection("m1").queue(WatchQueueNodes(1, 0, 0), _no_write)
    (batch,) = converse(dialogue, group.server, lambda: None)
    assert batch == [Children(group.paths.queue_node(0), GroupPart.QUEUE_NODE)]
    assert group.queue(WatchQueueNodes(2, 0, 0)) == QueueNodesRead(
        2, is_own_there=True, is_before_there=True
    )


def test_a_queue_node_without_a_session_is_left_over() -> None:
    """A node that is not ephemeral is reported as left over."""
    group = GroupModel()
    group.make("queue/q-0000000003", b"")
    group.make("queue/q-0000000004", b"", ephemeral=True)
    found = group.queue(WatchQueueNodes(1, 4, 3))
    assert found == QueueNodesRead(1, is_own_there=True, is_before_there=True, is_left_over=True)


def test_a_queue_that_an_operator_deleted_is_made_again() -> None:
    """A member that queues makes what is missing."""
    group = GroupModel()
    group.server.transact([Delete(f"{BASE}/queue")])
    assert isinstance(group.queue(JoinQueue(0, queued("m1"))), QueueJoined)
