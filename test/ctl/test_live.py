"""`zkexecctl status --watch`: in place on a terminal, block by block elsewhere."""

import re
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kazoo.client import KazooClient

from support.fleet import Fleet, fleet_on
from support.group_samples import NEW, GroupZnodes, entry, failed_on, parsed, paused
from support.posted_events import connected_client
from support.proxy import Proxy
from support.sandbox import Sandbox
from support.screen import Screen
from support.terminal import Terminal
from support.waiting import lines, until
from support.zookeeper import Server
from zkexec.core.rollout.record import EntryPhase, RolloutRecord

STATUS = (sys.executable, "-m", "zkexec.ctl", "status")
Watch = Callable[..., Screen]


@pytest.fixture
def watch(sandbox: Sandbox) -> Watch:
    """Starts `zkexecctl status --watch` on a terminal."""

    def start(*words: str, **environment: str) -> Screen:
        terminal = Terminal(24, 100, "xterm-256color")
        env = sandbox.environment(**environment)
        return Screen(sandbox.start(*STATUS, "--watch", *words, terminal=terminal, env=env))

    return start


def piped(sandbox: Sandbox, *words: str) -> tuple[Path, Callable[[int], int]]:
    """The same with its output in a file, and how to end it by a signal."""
    out = sandbox.folder / "piped"
    with out.open("wb") as file:
        process = sandbox.start(*STATUS, "--watch", *words, stdout=file, stderr=file)

    def stop(number: int) -> int:
        process.signal(number)
        return process.wait()

    return out, stop


def test_a_rollout_is_seen_from_push_to_done(fleet: Fleet, watch: Watch) -> None:
    """The view changes in its place while members are restarted, and ends with the rollout."""
    fleet.launch(3)
    watched = watch(fleet.lock)
    before = watched.shows(r"3 of 3 updated to ([0-9a-f]{12})")[-12:]

    fleet.push("slow 1")
    watched.shows(r"m\d .* turn")
    watched.shows(r"[12] of 3 updated to (?!" + before + r")[0-9a-f]{12}  \[#+\.+\]  \d+ s so far")
    watched.shows(r"3 of 3 updated to (?!" + before + ")")

    shown = watched.lines
    assert sum(" of 3 updated to " in line for line in shown) == 1
    assert [line.split()[0] for line in shown if re.match(r"m\d ", line)] == ["m0", "m1", "m2"]


def test_it_ends_with_the_rollout_when_asked_to(fleet: Fleet, watch: Watch) -> None:
    """With --until-done the exit status is that of the rollout: 0, and 1 for a failure."""
    fleet.launch(2)

    fleet.push("good 1")
    good = watch(fleet.lock, "--until-done")
    assert good.program.wait() == 0
    assert good.shows("2 of 2 updated to")

    fleet.push("exit 2")
    bad = watch(fleet.lock, "--until-done")
    assert bad.program.wait() == 1
    assert bad.shows(r"failed on m\d \(")


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_the_reason_of_an_end_is_on_stderr(
    group: GroupZnodes, sandbox: Sandbox, words: tuple[str, ...]
) -> None:
    """If the rollout is not complete, stderr names why as `wait` does, also without a terminal."""
    group.show("m1", wanted=NEW, phase="failed", reason="no licence")
    group.decide(
        RolloutRecord(
            versions=failed_on("m1", zxid=group.zxid, reason="no licence"),
            in_flight={"m1": entry(EntryPhase.FAILED)},
        )
    )

    status, out, err = sandbox.run(*STATUS, group.lock, "--until-done", *words)
    _, _, waited = sandbox.run(*STATUS[:-1], "wait", group.lock)

    assert (status, bool(out)) == (1, True)
    assert re.fullmatch(rf"zkexecctl: .*{group.lock}.* failed on m1 .*no licence\n", err.decode())
    assert waited.startswith(err)


def test_ctrl_c_leaves_the_view(group: GroupZnodes, watch: Watch) -> None:
    """Ctrl-C ends it at once: the last view stays, the cursor is visible, there is no message."""
    group.show("m1")
    watched = watch(group.lock)
    watched.shows("1 of 1")

    watched.program.send("\x03")
    assert watched.program.wait() == -signal.SIGINT
    assert watched.cursor_is_shown
    assert watched.shows("m1 .*running")
    assert "Traceback" not in watched.program.stdout.text


def test_members_that_matter_are_shown_if_there_is_little_room(
    group: GroupZnodes, watch: Watch
) -> None:
    """Of two hundred members those in flight, failed and waiting are seen, and the rest counted."""
    for number in range(200):
        group.show(f"m{number}")
    group.show("m150", phase="waiting", wanted=NEW)
    group.queue("m150")
    group.show("m170", phase="verifying", wanted=NEW)
    group.decide(RolloutRecord(in_flight={"m170": entry()}))
    watched = watch(group.lock)

    watched.shows(r"\.\.\. and 1\d\d more")
    members = [line.split()[0] for line in watched.lines if re.match(r"m\d", line)]

    assert members[:2] == ["m170", "m150"]
    assert len(watched.lines) <= 23
    assert watched.shows(r"198 of 200")


def test_another_size_is_another_view(group: GroupZnodes, watch: Watch) -> None:
    """When the size of the window changes, the view is drawn again for the new size."""
    for number in range(30):
        group.show(f"m{number}")
    watched = watch(group.lock)
    watched.shows(r"\.\.\. and \d+ more")

    watched.resize(50, 70)
    watched.shows(r"^m29 ")
    assert max(map(len, watched.lines)) < 70
    assert sum("30 of 30" in line for line in watched.lines) == 1

    watched.resize(10, 40)
    watched.shows(r"\.\.\. and 2\d more")
    assert len(watched.lines) <= 9
    assert max(map(len, watched.lines)) < 40


def test_texts_of_znodes_do_not_move_the_cursor(group: GroupZnodes, watch: Watch) -> None:
    """Control characters in member statuses and reasons are shown as escapes."""
    group.show("m1", phase="failed", reason="\x1b[2J\x07 gone\r\n")
    group.decide(RolloutRecord(paused=paused()))
    watched = watch(group.lock)

    watched.shows(r"\\x1b\[2J\\x07 gone")
    assert "\x1b[2J" not in watched.program.stdout.text
    assert "\x07" not in watched.program.stdout.text


def test_without_colours(group: GroupZnodes, watch: Watch) -> None:
    """NO_COLOR is heeded; without it the failed are red."""
    group.show("m1", phase="failed", wanted=NEW)
    versions = failed_on("m1", zxid=group.zxid)
    group.decide(RolloutRecord(in_flight={"m1": entry(EntryPhase.FAILED)}, versions=versions))

    plain, painted = watch(group.lock, NO_COLOR="1"), watch(group.lock)
    plain.shows("failed on m1")
    painted.shows("failed on m1")

    assert not re.search(r"\x1b\[[0-9;]*m", plain.program.stdout.text)
    assert "\x1b[1;31m" in painted.program.stdout.text


def test_no_request_without_a_change(
    group: GroupZnodes, sandbox: Sandbox, proxy: Proxy, watch: Watch
) -> None:
    """The view ticks on, and no request but pings goes to the server."""
    group.show("m1", phase="waiting", wanted=NEW)
    watched = watch(group.lock, f"--cluster={proxy.hosts}")
    watched.shows("1 s so far")
    before = len([code for code in proxy.opcodes if code != 11])

    watched.shows("3 s so far")
    assert len([code for code in proxy.opcodes if code != 11]) == before

    group.show("m1", NEW)
    watched.shows("1 of 1")
    assert len([code for code in proxy.opcodes if code != 11]) == before + 1
    assert sandbox.folder.exists()


def test_a_group_may_go_and_come(group: GroupZnodes, watch: Watch) -> None:
    """A group that is removed is shown as such, and shown again when it is back."""
    group.show("m1")
    watched = watch(group.lock)
    watched.shows("1 of 1")

    group.remove()
    watched.shows("no such group")
    group.client.ensure_path(f"{group.base}/members")
    group.client.create(f"{group.base}/state", b"")
    group.show("m2")
    watched.shows("^m2 .*running")


def test_all_groups_are_watched(own_zookeeper: Server, watch: Watch) -> None:
    """Without a name the list is live: groups that come, change and go."""
    client = KazooClient(hosts=own_zookeeper.hosts, timeout=30.0)
    client.start(timeout=30.0)
    watched = watch(f"--cluster={own_zookeeper.hosts}")
    try:
        watched.shows("There is no group below /zkexec")
        group = GroupZnodes(client, "web", "/mirrored")
        watched.shows("^web +empty")
        group.show("m1")
        watched.shows("^web +complete +1 ")
        inner = GroupZnodes(client, "web/inner", "/other")
        inner.show("m1", phase="waiting", wanted=NEW)
        inner.queue("m1")
        watched.shows("^web/inner +rolling +1 +- +1 ")
        inner.remove()
        until(lambda: "inner" not in "".join(watched.lines), "it is gone")
    finally:
        client.stop()
        client.close()


@pytest.fixture
def own_fleet(own_zookeeper: Server, sandbox: Sandbox) -> Iterator[Fleet]:
    """A fleet on a server of this test alone."""
    client = KazooClient(hosts=own_zookeeper.hosts, timeout=30.0)
    client.start(timeout=30.0)
    with fleet_on(sandbox, client, own_zookeeper.port) as one:
        yield one
    client.stop()
    client.close()


def test_an_outage_is_seen_and_survived(
    own_fleet: Fleet, own_zookeeper: Server, watch: Watch
) -> None:
    """While the server is away the last view stays, with a notice; then it goes on."""
    own_fleet.launch(2)
    watched = watch(own_fleet.lock, f"--cluster={own_zookeeper.hosts}")
    watched.shows("2 of 2 updated to")

    own_zookeeper.stop()
    watched.shows(r"Disconnected from the cluster since \d\d:\d\d:\d\d")
    watched.shows("2 of 2 updated to")
    own_zookeeper.start()
    until(lambda: "Disconnected" not in "".join(watched.lines), "it is back")
    own_fleet.push("good 1")
    own_fleet.at_rest("good 1")
    watched.shows("2 of 2 updated to")


def test_each_change_is_a_line_in_a_pipe(group: GroupZnodes, sandbox: Sandbox) -> None:
    """Piped, the table is written once, and then one line with its time for each change."""
    group.show("m1")
    group.show("m2")
    out, stop = piped(sandbox, group.lock)
    until(lambda: any("2 of 2" in line for line in lines(out)), "the table")

    group.show("m1", phase="waiting", wanted=NEW)
    until(lambda: any("m1: waiting" in line for line in lines(out)), "the change")

    assert stop(signal.SIGINT) == -signal.SIGINT
    written = lines(out)
    assert sum(line.startswith("MEMBER") for line in written) == 1
    after = written[next(i for i, line in enumerate(written) if line.startswith("m2")) + 1 :]
    assert all(re.match(r"\d\d:\d\d:\d\d ", line) for line in after)
    assert [line[9:].split()[0] for line in after] == [f"{group.lock}:", "m1:"]
    assert "\x1b" not in "".join(written)


def test_each_change_of_a_group_is_a_line_in_a_pipe(
    own_zookeeper: Server, sandbox: Sandbox
) -> None:
    """Without a NAME a group that changes has one line, and the others have none."""
    with connected_client(own_zookeeper.hosts) as client:
        first = GroupZnodes(client, "web", "/first")
        GroupZnodes(client, "db", "/second").show("m1")
        out, stop = piped(sandbox, f"--cluster={own_zookeeper.hosts}")
        until(lambda: any(line.startswith("web ") for line in lines(out)), "the table")
        first.show("m1")
        until(lambda: any("web: complete, 1 alive" in line for line in lines(out)), "the change")

        assert stop(signal.SIGINT) == -signal.SIGINT
        assert sum("db" in line for line in lines(out)) == 1


def test_each_change_is_an_object_for_programs(group: GroupZnodes, sandbox: Sandbox) -> None:
    """With --json each change is one object on one line."""
    group.show("m1")
    out, stop = piped(sandbox, group.lock, "--json")
    until(lambda: len(lines(out)) == 1, "the first object")

    group.show("m1", phase="waiting", wanted=NEW)
    until(lambda: len(lines(out)) == 2, "the second object")

    stop(signal.SIGTERM)
    groups = [parsed(line)["groups"][0] for line in lines(out)]
    assert [group["state"] for group in groups] == ["complete", "rolling"]
