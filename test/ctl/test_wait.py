"""`zkexecctl wait` beside real fleets: its exit status, and the lines in a build log."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from kazoo.client import KazooClient

from support.fleet import Fleet, fleet_on
from support.group_samples import NEW, GroupZnodes, entry, paused
from support.program import Program
from support.sandbox import Sandbox
from support.screen import Screen
from support.terminal import Terminal
from support.zookeeper import Server
from zkexec.core.policy import MaxFailed
from zkexec.core.rollout.limits import AgreedMaxFailed
from zkexec.core.rollout.record import EntryPhase, RolloutRecord
from zkexec.core.rollout.version_state import VersionState

ZKEXECCTL = (sys.executable, "-m", "zkexec.ctl")
CLOCK = r"\d\d:\d\d:\d\d"
SINCE = r"\+(\d+ min )?\d+ s"


def start_waiting(sandbox: Sandbox, lock: str, *words: str) -> Program:
    """Start a `zkexecctl wait` whose stderr goes where its stdout goes."""
    return sandbox.start(*ZKEXECCTL, "wait", lock, *words, stderr=subprocess.STDOUT)


def waited(sandbox: Sandbox, lock: str, *words: str) -> tuple[int, str, str]:
    """A `zkexecctl wait` to its end: status, output, and what it said on stderr."""
    status, out, err = sandbox.run(*ZKEXECCTL, "wait", lock, *words)
    return status, out.decode(), err.decode()


def test_a_rollout_is_followed_to_its_end(fleet: Fleet, sandbox: Sandbox) -> None:
    """One line for each change, and 0 as soon as all run what was pushed."""
    fleet.launch(3)

    fleet.push("slow 1")
    waiting = start_waiting(sandbox, fleet.lock)

    assert waiting.wait() == 0
    assert fleet.ran("slow 1") == {member.name for member in fleet.members}
    said = waiting.stdout.lines
    assert all(re.match(rf"{SINCE} ", line) for line in said)
    assert re.match(rf"{SINCE} {fleet.lock}: \d of 3 updated to ", said[0])
    updated = re.findall(
        r" (m\d(?:, m\d)*) restarted, healthy: (\d) of 3$", "\n".join(said), re.MULTILINE
    )
    assert updated[-1][1] == "3"
    assert re.search(r"^\+\d+ s m\d admitted$", "\n".join(said), re.MULTILINE)
    assert re.search(r": 3 of 3 updated to [0-9a-f]{12}.*, took \d+ s$", said[-1])


def test_a_complete_rollout_is_not_waited_for(fleet: Fleet, sandbox: Sandbox) -> None:
    """If all members are up to date, the answer comes at once."""
    fleet.launch(1)

    status, out, err = waited(sandbox, fleet.lock)

    assert (status, err) == (0, "")
    assert ": 1 of 1 updated to " in out


def test_the_same_bytes_once_more_are_a_rollout_too(fleet: Fleet, sandbox: Sandbox) -> None:
    """No member is restarted for what it already runs, and the rollout is complete all the same."""
    fleet.launch(2)

    fleet.push("good 0")
    status, out, err = waited(sandbox, fleet.lock, "--timeout", "30")

    assert (status, err) == (0, "")
    assert ": 2 of 2 updated to " in out
    assert [len(member.entries("born")) for member in fleet.members] == [1, 1]


def test_a_terminal_has_a_line_below_the_changes(group: GroupZnodes, sandbox: Sandbox) -> None:
    """On a terminal the progress changes in its place, below one line for each change."""
    group.show("m1", phase="waiting", wanted=NEW)
    words = [*ZKEXECCTL, "wait", group.lock]
    process = sandbox.start(*words, terminal=Terminal(24, 100, "xterm-256color"))
    watched = Screen(process)
    watched.shows(r"0 of 1 updated to b{12}, m1 waiting  \[\.{10}\]  \d+ s so far")

    group.show("m1", NEW)

    assert process.wait() == 0
    first, changed, last = watched.lines
    assert re.match(rf"{SINCE} {group.lock}: 0 of 1 updated to b{{12}}, m1 waiting", first)
    assert re.match(rf"{SINCE} m1 updated, healthy: 1 of 1", changed)
    assert re.match(rf"{SINCE} {group.lock}: 1 of 1 updated to b{{12}}", last)


def test_only_a_terminal_shows_the_step(group: GroupZnodes, sandbox: Sandbox) -> None:
    """The line on a terminal has the step of the member in flight; a build log has no such line."""
    group.show("m1", phase="checking", wanted=NEW, step="check")
    group.decide(RolloutRecord(in_flight={"m1": entry()}))
    words = [*ZKEXECCTL, "wait", group.lock]
    watched = Screen(sandbox.start(*words, terminal=Terminal(24, 100, "xterm-256color")))
    logged = start_waiting(sandbox, group.lock)

    watched.shows(r"0 of 1 updated to b{12}, m1 \(check\) in flight")
    logged.until(lambda: "m1 in flight" in logged.stdout.text, "the line of the log")
    group.show("m1", phase="draining", wanted=NEW, step="pre-stop")
    watched.shows(r"m1 \(pre-stop\) in flight")
    group.decide(RolloutRecord())
    group.show("m1", NEW)

    assert (watched.program.wait(), logged.wait()) == (0, 0)
    assert [line for line in logged.stdout.lines if "in flight" in line] == logged.stdout.lines[:1]


def test_a_failure_ends_the_wait(fleet: Fleet, sandbox: Sandbox) -> None:
    """1, with one line that has the member and the reason, and the commands for what is next."""
    fleet.launch(3)

    fleet.push("exit 1")
    status, out, err = waited(sandbox, fleet.lock)

    (failed,) = fleet.ran("exit 1")
    assert status == 1
    reason, *advice = err.splitlines()
    what = rf"[0-9a-f]{{12}} failed on {failed} \(.*\) at {CLOCK}, .*exit.*3.*"
    assert re.fullmatch(rf"zkexecctl: {fleet.lock}: {what}", reason)
    push = f"zkexecctl push {fleet.znodes[0]}=FILE --lock {fleet.lock} --wait"
    assert advice == [
        f"zkexecctl: no earlier content is kept; to push other content: {push}",
        f"zkexecctl: to try it again: zkexecctl retry {fleet.lock}",
    ]
    assert out


def test_a_push_that_supersedes_a_failure_is_followed(fleet: Fleet, sandbox: Sandbox) -> None:
    """A failure of an older version does not count for the newer one."""
    fleet.launch(2)
    fleet.push("exit 1")
    fleet.failing("exit 1")

    fleet.push("good 2")
    status, _, err = waited(sandbox, fleet.lock)

    assert (status, err) == (0, "")
    assert fleet.ran("good 2") == {member.name for member in fleet.members}


def test_the_wait_has_its_time(group: GroupZnodes, sandbox: Sandbox) -> None:
    """3 if it is not decided in time, with how far it is and what it waits for."""
    group.show("m1", NEW)
    group.show("m2", phase="verifying", wanted=NEW)
    group.decide(RolloutRecord(in_flight={"m2": entry()}))

    status, out, err = waited(sandbox, group.lock, "--timeout", "1.5")

    assert status == 3
    assert re.fullmatch(rf"{SINCE} {group.lock}: 1 of 2 updated to b{{12}}, m2 in flight\n", out)
    where = f"{group.lock}: 1 of 2 updated to {'b' * 12}, m2 in flight"
    assert err == f"zkexecctl: {where}; timed out after 1.5 s\n"


def test_a_wait_that_ends_beside_a_tolerated_failure(group: GroupZnodes, sandbox: Sandbox) -> None:
    """If the time is over, the failed member is named, and both ways out."""
    group.show("m1", NEW)
    group.show("m2", phase="failed", wanted=NEW, reason="no licence")
    state = VersionState(group.zxid, "", known_good=True, succeeded=10, failed_by=("m2",))
    limit = AgreedMaxFailed(MaxFailed(1), "m1")
    failed = {"m2": entry(EntryPhase.FAILED)}
    group.decide(RolloutRecord(in_flight=failed, versions={NEW: state}, max_failed=limit))

    status, _, err = waited(sandbox, group.lock, "--timeout", "1")

    assert status == 3
    end, tolerated, warning, *advice = err.splitlines()
    assert end.endswith("m2 failed; timed out after 1 s")
    assert tolerated.startswith(
        f"zkexecctl: {NEW[:12]} failed on m2 (host-of-m2), which is tolerated: max failed is 1"
    )
    assert "max failed (1) is not less than max unavailable (1)" in warning
    push = f"zkexecctl push {group.path}=FILE --lock {group.lock} --wait"
    assert advice == [
        f"zkexecctl: no earlier content is kept; to push other content: {push}",
        f"zkexecctl: to try it again: zkexecctl retry {group.lock}",
    ]


def test_a_frozen_member_is_not_up_to_date(fleet: Fleet, sandbox: Sandbox) -> None:
    """A frozen member shows an old status; the rollout waits until it has read the change."""
    fleet.options = ("--session-timeout=30",)
    fleet.launch(2)
    frozen = fleet[1]
    frozen.freeze()

    fleet.push("good 1")
    waiting = start_waiting(sandbox, fleet.lock)
    waiting.until(
        f": 1 of 2 updated to [0-9a-f]{{12}}, {frozen.name} without the newest {fleet.znodes[0]}"
    )
    frozen.thaw()

    assert waiting.wait() == 0
    assert fleet.ran("good 1") == {"m0", "m1"}


def test_a_deleted_znode_in_the_middle_is_no_end(fleet: Fleet, sandbox: Sandbox) -> None:
    """Members that may run two versions are not all up to date before the znode is back."""
    fleet.launch(3)
    (path,) = fleet.znodes
    fleet.push("good 1")
    fleet.until(lambda: fleet.ran("good 1"), "the first has restarted")
    fleet.client.delete(path)

    status, out, err = waited(sandbox, fleet.lock, "--timeout=3")
    assert (status, " of 3 up to date" in out) == (3, True)
    assert f"{path}, which does not exist" in err

    fleet.push("good 2")
    assert start_waiting(sandbox, fleet.lock).wait() == 0
    fleet.at_rest("good 2")


def test_a_pause_ends_the_wait(group: GroupZnodes, sandbox: Sandbox) -> None:
    """1 if an operator has paused the group, with who and why."""
    group.show("m1", phase="waiting", wanted=NEW)
    group.decide(RolloutRecord(paused=paused()))

    status, _, err = waited(sandbox, group.lock)

    assert status == 1
    assert re.search(
        r"paused by anna since .*: the night is for sleeping; no member is admitted\n", err
    )


def test_a_member_that_is_missing_in_its_turn_is_shown(
    group: GroupZnodes, sandbox: Sandbox
) -> None:
    """The wait goes on for a member that is missing in its turn, and shows how to reclaim it."""
    group.show("m2")
    group.decide(RolloutRecord(in_flight={"m1": entry()}))

    status, out, _ = waited(sandbox, group.lock, "--timeout", "1")

    assert status == 3
    assert "1 of 2" in out
    assert f"zkexecctl forget {group.lock} m1" in out


@pytest.mark.parametrize("lock", ["no-such-group", "/no/such/group"])
def test_there_has_to_be_a_group(sandbox: Sandbox, lock: str) -> None:
    """1 if the group has never existed."""
    status, out, err = waited(sandbox, lock)

    assert (status, out) == (1, "")
    assert re.fullmatch(r"zkexecctl: .*: no such group \(/.* does not exist\)\n", err)


def test_there_has_to_be_a_member(group: GroupZnodes, sandbox: Sandbox) -> None:
    """1 if no member is alive that could run anything."""
    status, _, err = waited(sandbox, group.lock)

    assert status == 1
    assert err == f"zkexecctl: {group.lock}: no member is alive\n"


def test_a_group_that_is_removed_ends_the_wait(group: GroupZnodes, sandbox: Sandbox) -> None:
    """1 if the znodes of the group are removed meanwhile."""
    group.show("m1", phase="waiting", wanted=NEW)
    waiting = start_waiting(sandbox, group.lock)
    waiting.until("0 of 1")

    group.remove()

    assert waiting.wait() == 1
    assert waiting.until("no such group")


def test_there_has_to_be_a_cluster(sandbox: Sandbox) -> None:
    """125 if there is no answer within the time for connecting."""
    words = ("--cluster=127.0.0.1:1", "--connect-timeout=1")
    status, _, err = waited(sandbox, "web", *words)

    assert status == 125
    assert "127.0.0.1:1" in err


@pytest.fixture
def own_fleet(own_zookeeper: Server, sandbox: Sandbox) -> Iterator[Fleet]:
    """A fleet on a server of this test alone."""
    client = KazooClient(hosts=own_zookeeper.hosts, timeout=30.0)
    client.start(timeout=30.0)
    with fleet_on(sandbox, client, own_zookeeper.port) as one:
        yield one
    client.stop()
    client.close()


def test_an_outage_is_survived(own_fleet: Fleet, own_zookeeper: Server, sandbox: Sandbox) -> None:
    """A server that restarts in the middle is reported once, and the wait goes on to the end."""
    # The frozen member is to be counted until it thaws.
    own_fleet.options = ("--session-timeout=60",)
    own_fleet.launch(2)
    own_fleet[0].freeze()
    own_fleet.push("good 1")
    waiting = start_waiting(sandbox, own_fleet.lock, f"--cluster={own_zookeeper.hosts}")
    waiting.until(" of 2 updated to ")
    own_zookeeper.stop()
    waiting.until("cannot connect")
    own_zookeeper.start()
    waiting.until("connected again")
    own_fleet[0].thaw()

    assert waiting.wait() == 0
    assert own_fleet.ran("good 1") == {"m0", "m1"}
    assert sum("cannot connect" in line for line in waiting.stdout.lines) == 1


def test_ctrl_c_is_quiet(group: GroupZnodes, sandbox: Sandbox) -> None:
    """Ctrl-C ends it as it ends any program, without a message."""
    group.show("m1", phase="waiting", wanted=NEW)
    waiting = start_waiting(sandbox, group.lock)
    waiting.until("0 of 1")

    waiting.signal(signal.SIGINT)

    assert waiting.wait() == -signal.SIGINT
    assert len(waiting.stdout.lines) == 1
