"""A push that is waited for and superseded meanwhile: its pipeline hears so, and never 0."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from kazoo.client import KazooClient

from boards import Board
from e2e.fleet import Fleet
from pushing import Answer, Hand
from zookeeper import Server, wait_until

PATIENCE_S = 60.0


@pytest.fixture
def hand(zookeeper: Server, tmp_path: Path) -> Hand:
    """An operator at the shared server."""
    return Hand(zookeeper.hosts, tmp_path)


@pytest.fixture
def board(client: KazooClient, root: str) -> Board:
    """A group with a member that is through."""
    board = Board(client, root.strip("/"), f"{root}/conf")
    board.show("m1")
    return board


def waiting_for(
    hand: Hand, client: KazooClient, path: str, lock: str, audit_entry: Callable[[], object]
) -> Answer:
    """Push and wait, and do something once the push is written."""
    words = ["push", f"{path}={hand.file(b'ours', 'ours')}", "--yes", "--lock", lock, "--wait"]
    with ThreadPoolExecutor(1) as pool:
        push = pool.submit(hand, *words, "--timeout", "40")
        wait_until(lambda: client.get(path)[0] == b"ours" or push.done(), "it is pushed")
        audit_entry()
        return push.result(PATIENCE_S)


def test_a_later_push_ends_the_wait(hand: Hand, board: Board, client: KazooClient) -> None:
    """1, with the number and the author of what is wanted instead."""

    def push() -> None:
        hand.push(board.path, b"theirs", "--by", "bob@desk")

    answer = waiting_for(hand, client, board.path, board.lock, push)

    assert answer.status == 1
    told = f"{board.lock}: superseded by {board.path}@3 (bob@desk)"
    assert answer.err == f"zkexecctl: {told}\n"


def test_what_is_through_may_be_the_later_push(
    hand: Hand, board: Board, client: KazooClient
) -> None:
    """1 also where all members run the later push already."""

    def push() -> None:
        client.delete(f"{board.base}/members/m1")
        hand.push(board.path, b"theirs", "--by", "bob@desk")
        stat = client.exists(board.path)
        board.zxid = stat.mzxid
        board.show("m1")

    answer = waiting_for(hand, client, board.path, board.lock, push)

    assert answer.status == 1
    assert "superseded by" in answer.err


def test_another_tool_ends_the_wait(hand: Hand, board: Board, client: KazooClient) -> None:
    """1 where something without a history has written other content, which is told."""
    answer = waiting_for(
        hand, client, board.path, board.lock, lambda: client.set(board.path, b"theirs")
    )

    assert answer.status == 1
    assert f"superseded: {board.path} was written by another tool (6 bytes, sha256 " in answer.err


def test_a_deletion_ends_the_wait(hand: Hand, board: Board, client: KazooClient) -> None:
    """1 where what was pushed is in no znode any more."""
    answer = waiting_for(hand, client, board.path, board.lock, lambda: client.delete(board.path))

    assert answer.status == 1
    assert answer.err == f"zkexecctl: {board.lock}: superseded: {board.path} was deleted\n"


def test_the_same_bytes_supersede_nothing(hand: Hand, board: Board, client: KazooClient) -> None:
    """The wait goes on where the same content is written once more, for its newest write."""

    def write() -> None:
        board.zxid = client.set(board.path, b"ours").mzxid
        board.show("m1")

    answer = waiting_for(hand, client, board.path, board.lock, write)

    assert answer.status == 0, answer


def test_a_rollout_that_is_overtaken(fleet: Fleet, hand: Hand) -> None:
    """Of two pushes in a row the first gets 1, the second 0 and the members."""
    fleet.launch(3)
    (conf,) = fleet.znodes
    first = ["push", f"{conf}={hand.file(b'slow 1', 'first')}", "--yes", "--lock", fleet.lock]

    with ThreadPoolExecutor(1) as pool:
        overtaken = pool.submit(hand, *first, "--wait")
        fleet.until(fleet.in_flight, "somebody restarts")
        second = hand.push(
            conf, b"good 2", "--lock", fleet.lock, "--wait", "--by", "bob", "--timeout", "60"
        )
        answer = overtaken.result(PATIENCE_S)

    assert (answer.status, second.status) == (1, 0)
    assert f"superseded by {conf}@3 (bob)" in answer.err
    fleet.at_rest("good 2")
