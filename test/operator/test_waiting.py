"""`zkexecctl wait` beside real fleets: its exit status, and what stands in a build log."""

import re
import signal
import sys
from collections.abc import Iterator

import pytest
from kazoo.client import KazooClient

from boards import NEW, Board, entry, paused
from e2e.fleet import PATIENCE_S, Fleet, fleet_on
from e2e.stage import Stage, lines, until
from glass import Watched
from zkexec.core.rollout.record import RolloutRecord
from zookeeper import Server

ZKEXECCTL = (sys.executable, "-m", "zkexec.operator")
CLOCK = r"\d\d:\d\d:\d\d"


class Waiting:
    """A `zkexecctl wait` on its way."""

    def __init__(self, stage: Stage, lock: str, *words: str) -> None:
        self._log = stage.folder / "waiting"
        with self._log.open("wb") as log:
            options = {"stdout": log, "stderr": log}
            self.process = stage.start(*ZKEXECCTL, "wait", lock, *words, **options)

    @property
    def lines(self) -> list[str]:
        """What it has written so far."""
        return lines(self._log)

    def says(self, pattern: str) -> str:
        """Wait for a line that has this in it."""

        def found() -> str:
            assert self.process.poll() is None or self._found(pattern), self.lines
            return self._found(pattern)

        return until(found, pattern)

    def _found(self, pattern: str) -> str:
        return next((line for line in self.lines if re.search(pattern, line)), "")

    def ends(self) -> int:
        """Wait for its end; the exit status."""
        return self.process.wait(timeout=PATIENCE_S)


def waited(stage: Stage, lock: str, *words: str) -> tuple[int, str, str]:
    """A `zkexecctl wait` to its end: status, output, and what it said on stderr."""
    status, out, err = stage.run(*ZKEXECCTL, "wait", lock, *words)
    return status, out.decode(), err.decode()


def test_a_rollout_is_followed_to_its_end(fleet: Fleet, stage: Stage) -> None:
    """One line for each change, and 0 as soon as all run what was pushed."""
    fleet.launch(3)

    fleet.push("slow 1")
    waiting = Waiting(stage, fleet.lock)

    assert waiting.ends() == 0
    assert fleet.ran("slow 1") == {member.name for member in fleet.members}
    said = waiting.lines
    assert all(re.match(rf"{CLOCK} {fleet.lock}: \d of 3 on ", line) for line in said)
    assert re.search(r"of 3 on [0-9a-f]{12}, m\d restarting$", "\n".join(said), re.MULTILINE)
    assert re.search(r": 3 of 3 on [0-9a-f]{12}, took \d+ s$", said[-1])
    assert len(said) == len(set(said))


def test_what_is_through_is_not_waited_for(fleet: Fleet, stage: Stage) -> None:
    """Where nothing is to be done the answer comes at once."""
    fleet.launch(1)

    status, out, err = waited(stage, fleet.lock)

    assert (status, err) == (0, "")
    assert ": 1 of 1 on " in out


def test_the_same_bytes_once_more_are_a_rollout_too(fleet: Fleet, stage: Stage) -> None:
    """Nobody is restarted for what runs already, and that everybody knows it is the end."""
    fleet.launch(2)

    fleet.push("good 0")
    status, out, err = waited(stage, fleet.lock, "--timeout", "30")

    assert (status, err) == (0, "")
    assert ": 2 of 2 on " in out
    assert [len(member.entries("born")) for member in fleet.members] == [1, 1]


def test_a_terminal_has_one_line(board: Board, stage: Stage) -> None:
    """On a terminal the line changes in its place, down to the end."""
    board.show("m1", phase="waiting", wanted=NEW)
    words = [*ZKEXECCTL, "wait", board.lock]
    watched = Watched(words, stage.environment(), stage.folder)
    watched.shows(r"0 of 1 on b{12}, m1 waiting  \[\.{10}\]  \d+ s so far")

    board.show("m1", NEW)

    assert watched.ends() == 0
    (line,) = watched.lines
    assert line.startswith(f"{board.lock}: 1 of 1 on {'b' * 12}  [##########]")
    watched.close()


def test_a_failure_ends_the_wait(fleet: Fleet, stage: Stage) -> None:
    """1, with one line that has the member and the reason, and what to do is up to the reader."""
    fleet.launch(3)

    fleet.push("exit 1")
    status, out, err = waited(stage, fleet.lock)

    (failed,) = fleet.ran("exit 1")
    assert status == 1
    assert re.fullmatch(
        rf"zkexecctl: {fleet.lock}: [0-9a-f]{{12}} failed on {failed} since {CLOCK}: .*exit.*3.*\n",
        err,
    )
    assert out


def test_a_push_that_supersedes_a_failure_is_followed(fleet: Fleet, stage: Stage) -> None:
    """A failure of what was wanted before says nothing about what is wanted now."""
    fleet.launch(2)
    fleet.push("exit 1")
    fleet.failing("exit 1")

    fleet.push("good 2")
    status, _, err = waited(stage, fleet.lock)

    assert (status, err) == (0, "")
    assert fleet.ran("good 2") == {member.name for member in fleet.members}


def test_the_wait_has_its_time(board: Board, stage: Stage) -> None:
    """3 where it is not decided in time, with how far it is and whom it waits for."""
    board.show("m1", NEW)
    board.show("m2", phase="verifying", wanted=NEW)
    board.decide(RolloutRecord(in_flight={"m2": entry()}))

    status, out, err = waited(stage, board.lock, "--timeout", "1")

    assert status == 3
    assert re.fullmatch(rf"{CLOCK} {board.lock}: 1 of 2 on b{{12}}, m2 restarting\n", out)
    where = f"{board.lock}: 1 of 2 on {'b' * 12}, m2 restarting"
    assert err == f"zkexecctl: {where}; timed out after 1 s\n"


def test_a_frozen_member_is_not_through(fleet: Fleet, stage: Stage) -> None:
    """A member that is stopped shows an old card; the rollout waits for it to see the change."""
    fleet.options = ("--session-timeout=30",)
    fleet.launch(2)
    frozen = fleet[1]
    frozen.freeze()

    fleet.push("good 1")
    waiting = Waiting(stage, fleet.lock)
    waiting.says(f": 1 of 2 on [0-9a-f]{{12}}, {frozen.name} without the newest {fleet.znodes[0]}")
    frozen.thaw()

    assert waiting.ends() == 0
    assert fleet.ran("good 1") == {"m0", "m1"}


def test_a_deleted_znode_in_the_middle_is_no_end(fleet: Fleet, stage: Stage) -> None:
    """Members that may run two configurations are not all through before the znode is back."""
    fleet.launch(3)
    (path,) = fleet.znodes
    fleet.push("good 1")
    fleet.until(lambda: fleet.ran("good 1"), "the first has restarted")
    fleet.client.delete(path)

    status, out, err = waited(stage, fleet.lock, "--timeout=3")
    assert (status, " of 3 on what is wanted" in out) == (3, True)
    assert f"{path}, which does not exist" in err

    fleet.push("good 2")
    assert Waiting(stage, fleet.lock).ends() == 0
    fleet.at_rest("good 2")


def test_a_pause_ends_the_wait(board: Board, stage: Stage) -> None:
    """1 where an operator holds the group, with who and why."""
    board.show("m1", phase="waiting", wanted=NEW)
    board.decide(RolloutRecord(paused=paused()))

    status, _, err = waited(stage, board.lock)

    assert status == 1
    assert re.search(r"paused by anna since .*: the night is for sleeping\n", err)


def test_a_member_that_is_away_in_its_turn_is_told(board: Board, stage: Stage) -> None:
    """The wait goes on for a member that was lost in its turn, and tells how to give it up."""
    board.show("m2")
    board.decide(RolloutRecord(in_flight={"m1": entry()}))

    status, out, _ = waited(stage, board.lock, "--timeout", "1")

    assert status == 3
    assert "1 of 2" in out
    assert f"zkexecctl forget {board.lock} m1" in out


@pytest.mark.parametrize("lock", ["no-such-group", "/no/such/group"])
def test_there_has_to_be_a_group(stage: Stage, lock: str) -> None:
    """1 where nobody has ever been a member."""
    status, out, err = waited(stage, lock)

    assert (status, out) == (1, "")
    assert re.fullmatch(r"zkexecctl: .*: no such group \(expected at /.*\)\n", err)


def test_there_has_to_be_a_member(board: Board, stage: Stage) -> None:
    """1 where nobody is alive who could run anything."""
    status, _, err = waited(stage, board.lock)

    assert status == 1
    assert err == f"zkexecctl: {board.lock}: no member is alive\n"


def test_a_group_that_is_removed_ends_the_wait(board: Board, stage: Stage) -> None:
    """1 where the znodes of the group are taken away meanwhile."""
    board.show("m1", phase="waiting", wanted=NEW)
    waiting = Waiting(stage, board.lock)
    waiting.says("0 of 1")

    board.remove()

    assert waiting.ends() == 1
    assert waiting.says("no such group")


def test_there_has_to_be_a_cluster(stage: Stage) -> None:
    """125 where nothing answers within the time for connecting."""
    words = ("--cluster=127.0.0.1:1", "--connect-timeout=1")
    status, _, err = waited(stage, "web", *words)

    assert status == 125
    assert "127.0.0.1:1" in err


@pytest.fixture
def own_fleet(own_zookeeper: Server, stage: Stage) -> Iterator[Fleet]:
    """A fleet on a server of this test alone."""
    client = KazooClient(hosts=own_zookeeper.hosts, timeout=30.0)
    client.start(timeout=30.0)
    with fleet_on(stage, client, own_zookeeper.port) as one:
        yield one
    client.stop()
    client.close()


def test_an_outage_is_survived(own_fleet: Fleet, own_zookeeper: Server, stage: Stage) -> None:
    """A server that restarts in the middle is told once, and the wait goes on to the end."""
    # The frozen member is to be counted until it thaws.
    own_fleet.options = ("--session-timeout=60",)
    own_fleet.launch(2)
    own_fleet[0].freeze()
    own_fleet.push("good 1")
    waiting = Waiting(stage, own_fleet.lock, f"--cluster={own_zookeeper.hosts}")
    waiting.says(" of 2 on ")
    own_zookeeper.stop()
    waiting.says("cannot connect")
    own_zookeeper.start()
    waiting.says("connected again")
    own_fleet[0].thaw()

    assert waiting.ends() == 0
    assert own_fleet.ran("good 1") == {"m0", "m1"}
    assert sum("cannot connect" in line for line in waiting.lines) == 1


def test_ctrl_c_is_quiet(board: Board, stage: Stage) -> None:
    """Ctrl-C ends it as it ends any program, without a word."""
    board.show("m1", phase="waiting", wanted=NEW)
    waiting = Waiting(stage, board.lock)
    waiting.says("0 of 1")

    waiting.process.send_signal(signal.SIGINT)

    assert waiting.ends() == -signal.SIGINT
    assert len(waiting.lines) == 1
