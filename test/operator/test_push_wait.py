"""Pushes for a group: how it stands is told before, and the rollout is followed to its end."""

from pathlib import Path

import pytest
from kazoo.client import KazooClient

from boards import Board, failed_on, paused
from e2e.fleet import Fleet
from pushing import Hand, entries
from zkexec.core.rollout.record import RolloutRecord
from zookeeper import Server


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


def line_of(answer: str, lock: str) -> str:
    """The line about the group."""
    (line,) = (line for line in answer.splitlines() if line.startswith(f"{lock}: "))
    return line


def test_how_the_group_stands(hand: Hand, board: Board) -> None:
    """Before the question it is told how many are alive, who has paused the group, and why."""
    board.show("m2")
    board.decide(RolloutRecord(paused=paused()))

    told = line_of(hand.push(board.path, b"new", "--lock", board.lock).out, board.lock)

    assert "2 of 2 on " in told
    assert "; 2 alive; paused by anna since " in told
    assert told.endswith(": the night is for sleeping")


def test_what_has_failed(hand: Hand, board: Board) -> None:
    """Before the question it is told what has failed in the group."""
    board.show("m1", wanted="b" * 64, phase="waiting")
    board.decide(RolloutRecord(versions=failed_on("m1", zxid=board.zxid)))

    told = line_of(hand.push(board.path, b"new", "--lock", board.lock).out, board.lock)

    assert "failed on m1 since" in told
    assert told.endswith("the command ended (exit status 3)")


def test_no_such_group(hand: Hand, client: KazooClient, root: str) -> None:
    """A push for a group that is not there says so, and is no failure as long as nobody waits."""
    answer = hand.push(f"{root}/conf", b"new", "--lock", root.strip("/"))

    assert f"{root.strip('/')}: no such group" in answer.out
    assert client.get(f"{root}/conf")[0] == b"new"


@pytest.mark.parametrize("has_members", [True, False])
def test_nobody_mirrors_it(
    hand: Hand, board: Board, client: KazooClient, root: str, has_members: bool
) -> None:
    """Whoever would wait for ever, as nobody mirrors the path, is told so before the push."""
    if not has_members:
        client.delete(f"{board.base}/members/m1")

    answer = hand.refused(f"{root}/other", b"new", "--lock", board.lock, "--wait")

    assert answer.status == 1
    found = f"its members mirror {board.path}" if has_members else "no member tells what it mirrors"
    assert answer.err == (
        f"zkexecctl: --wait: no living member of {board.lock} mirrors {root}/other ({found}); "
        "nothing was pushed\n"
    )
    assert client.exists(f"{root}/other") is None


def test_empty_content(hand: Hand, board: Board) -> None:
    """Whoever pushes emptiness is told what members make of it."""
    answer = hand.push(board.path, b"")

    told = f"{board.path}: empty content, which members take only with --allow-empty"
    assert answer.err == f"zkexecctl: {told}\n"


def test_followed_to_the_end(fleet: Fleet, hand: Hand) -> None:
    """A push with --wait ends when all members run the new content, not before."""
    fleet.launch(2)
    (conf,) = fleet.znodes

    answer = hand.push(conf, b"good 1", "--lock", fleet.lock, "--wait")

    assert f"{conf}: pushed as @2 " in answer.out
    assert "2 of 2 on " in answer.out.splitlines()[-1]
    fleet.at_rest("good 1")
    for member in fleet.members:
        newest = member.newest()
        assert newest is not None
        assert newest.content == "good 1"


def test_bad_content_and_the_way_back(fleet: Fleet, hand: Hand) -> None:
    """A push with --wait fails where the rollout does, and an undo brings all members back."""
    fleet.launch(2)
    (conf,) = fleet.znodes
    hand.push(conf, b"good 1", "--lock", fleet.lock, "--wait")

    failed = hand.refused(conf, b"exit 1", "--lock", fleet.lock, "--wait")
    undone = hand.does("undo", conf, "--yes", "--lock", fleet.lock, "--wait")

    assert failed.status == 1
    assert "failed on" in failed.err
    assert "failed on" in line_of(undone.out[: undone.out.index("pushed as")], fleet.lock)
    fleet.all_run("good 1", fleet.living())
    assert [entry["message"] for entry in entries(fleet.client, conf)][-1] == "undo to @2"


def test_nothing_to_push_and_wait(fleet: Fleet, hand: Hand) -> None:
    """Where nothing changes, --wait still waits for what is there to be everywhere."""
    fleet.launch(2)
    (conf,) = fleet.znodes
    fleet.push("good 1")

    answer = hand.push(conf, b"good 1", "--lock", fleet.lock, "--wait")

    assert "nothing to push" in answer.out
    fleet.at_rest("good 1")


def test_time_is_over(fleet: Fleet, hand: Hand) -> None:
    """What is pushed stays pushed where waiting for it takes too long, and the status says so."""
    fleet.launch(1)
    (conf,) = fleet.znodes
    fleet[0].freeze()

    answer = hand.refused(conf, b"good 1", "--lock", fleet.lock, "--wait", "--timeout", "1")

    assert answer.status == 3
    assert fleet.client.get(conf)[0] == b"good 1"
    fleet[0].thaw()
