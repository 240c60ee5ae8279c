"""`make demo`: what it shows, and that nothing of it is left, however it ends.

The rules of this file: each run has an empty folder for its temporary files, and its processes
carry the stage's mark.  What a run may leave behind is looked for in both, and in ZooKeeper.
"""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from kazoo.client import KazooClient

from demo_belongings import Belongings, Interrupted
from e2e.stage import PATIENCE_S, Stage
from e2e.terminal import Terminal

DEMO = (sys.executable, str(Path(__file__).resolve().parents[2] / "tools" / "demo.py"))

# What a user sees, in this order, whatever else is shown in between.
STORY = (
    "1. The configuration comes from ZooKeeper",
    '$ zkexec --mirror prefix={znode} --exec "prefixed-cat prefix"',
    "] connecting to ",
    "] connected",
    "] registering callback on {znode}",
    "] forking prefixed-cat prefix",
    "] forked ",
    "world  ",
    "hello world  ",
    "2. A change restarts the command",
    "] restarting for the new configuration",
    "] forked ",
    "world  ",
    "goodbye world  ",
    "$ echo $?\n  0\n",
    "3. Health checks",
    "--health ",
    "] forked ",
    "] health checking via: slowcheck ",
    "] successful health check",
    "4. Alerts",
    "] failed health check: exit status 1",
    "] alerting via: ",
    "ALERT: health-failed",
    "5. The end",
    "$ kill ",
    "$ echo $?\n  143\n",
    "6. Rolling restarts",
    "$ zkexec --lock ",
    " running   on 1h\n",
    "7. A bad configuration",
    " has failed, and keeps the turn\n",
    "] restart failed: the command ended (exit status 1)",
    "8. A good one",
    " on 1h     next in the queue\n",
    " running   on 2h\n",
    "TERM to all of them",
    "README.md",
)
MEMBERS = {f"member-{number}" for number in range(1, 6)}

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def remains(stage: Stage) -> Path:
    """The folder in which the demo makes its temporary folders."""
    folder = stage.folder / "remains"
    folder.mkdir()
    return folder


@pytest.fixture
def start(stage: Stage, remains: Path) -> Start:
    """Start the demo, with an environment that may be added to; its output is to be read."""

    def demo(**additions: str) -> subprocess.Popen[bytes]:
        return stage.start(
            *DEMO,
            env=stage.environment(TMPDIR=str(remains), **additions),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    return demo


def read_until(demo: subprocess.Popen[bytes], text: str) -> None:
    """Read what the demo shows, up to the line with this text."""
    assert demo.stdout is not None
    for line in demo.stdout:
        if text.encode() in line:
            return
    raise AssertionError(f"the demo ended without {text!r}")


def end(demo: subprocess.Popen[bytes]) -> tuple[str, str]:
    """Wait for the end; what was shown since it was read last, and what was complained about."""
    shown, complaints = demo.communicate(timeout=PATIENCE_S)
    return shown.decode(), complaints.decode()


def assert_story(shown: str, znode: str, remains: Path) -> None:
    """Find the story's lines, one after the other, on a screen of 80 columns."""
    # Only paths are not wrapped; those of a test are longer than those of a user.
    assert all(len(line) <= 80 or str(remains) in line for line in shown.splitlines())
    assert "\033" not in shown
    at = 0
    for piece in STORY:
        wanted = piece.format(znode=znode) if "{znode}" in piece else piece
        found = shown.find(wanted, at)
        assert found >= 0, f"no {wanted!r} in:\n{shown[at:]}"
        at = found + len(wanted)
    assert shown.count("ALERT: health-failed") == 1
    assert_rollout(shown)


def assert_rollout(shown: str) -> None:
    """Find one member alone on what is bad, and all of them on what is good in the end."""
    pause = shown[shown.index("7. A bad") : shown.index("8. A good")]
    # The rows of one picture stand in the order of the members: what is seen in the same
    # moment may be shown in either order.
    assert " next in the queue\n" in pause
    failed = set(re.findall(r"(member-\d) .*has failed", shown))
    known_good = re.findall(r"(member-\d)  running   on 2h\n", shown)
    assert len(failed) == 1
    assert known_good[0] in failed
    assert set(known_good) == MEMBERS


def assert_nothing_left(stage: Stage, remains: Path) -> None:
    """Look for processes and files.

    Whatever the demo has not ended itself goes on for longer than this takes, except for a
    command whose zkexec is gone a moment before.
    """
    stage.wait_until_empty()
    assert list(remains.iterdir()) == []


def znodes(client: KazooClient) -> list[str]:
    """The znodes of any demo in the shared server."""
    client.sync("/")
    return [name for name in client.get_children("/") if "demo" in name]


def test_demo_with_a_server_of_its_own(start: Start, stage: Stage, remains: Path) -> None:
    """Without a cluster the demo brings its own, tells the whole story and leaves nothing."""
    demo = start(ZKEXEC_CLUSTER="", ZKEXEC_SILENT="yes")
    shown, complaints = end(demo)

    assert (demo.returncode, complaints) == (0, "")
    assert_story(shown, "/prefix", remains)
    assert_nothing_left(stage, remains)


def test_demo_with_a_cluster_of_the_user(
    start: Start, stage: Stage, remains: Path, client: KazooClient, root: str
) -> None:
    """ZKEXEC_CLUSTER, with its chroot, is used, and its znodes are afterwards as they were."""
    demo = start(ZKEXEC_CLUSTER=stage.environment()["ZKEXEC_CLUSTER"] + root)
    shown, complaints = end(demo)

    assert (demo.returncode, complaints) == (0, "")
    znode = re.search(r"/zkexec-demo-\w+", shown)
    assert znode is not None
    assert_story(shown, znode[0], remains)
    assert_nothing_left(stage, remains)
    assert client.get_children(root) == []


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("Starting", signal.SIGINT),
        ("1. ", signal.SIGTERM),
        ("] connecting", signal.SIGINT),
        ("goodbye world", signal.SIGHUP),
        ("] health", signal.SIGINT),
        ("kill ", signal.SIGTERM),
        ("member-1 ", signal.SIGINT),
        ("has failed", signal.SIGTERM),
    ],
)
def test_demo_is_interrupted(
    start: Start, stage: Stage, remains: Path, moment: str, number: signal.Signals
) -> None:
    """A signal ends the demo at any moment, by that signal, and nothing is left."""
    demo = start(ZKEXEC_CLUSTER="")
    read_until(demo, moment)
    demo.send_signal(number)
    complaints = end(demo)[1]

    assert demo.returncode == -number, complaints
    assert complaints == "\ndemo: interrupted; nothing is left behind\n"
    assert_nothing_left(stage, remains)


def test_interrupted_demo_leaves_no_znode(start: Start, client: KazooClient) -> None:
    """Ctrl-C leaves no znode behind in a cluster of the user's own."""
    demo = start()
    read_until(demo, "hello world")
    during = znodes(client)
    demo.send_signal(signal.SIGINT)
    end(demo)

    assert len(during) == 1
    assert during[0] not in znodes(client)


def test_interrupted_rollout_leaves_no_znode(
    start: Start, stage: Stage, client: KazooClient, root: str
) -> None:
    """Ctrl-C in the rollout takes the members' group with it, though its record is lasting."""
    demo = start(ZKEXEC_CLUSTER=stage.environment()["ZKEXEC_CLUSTER"] + root)
    read_until(demo, "has failed")
    during = client.get_children(root)
    demo.send_signal(signal.SIGINT)
    end(demo)

    assert len(during) == 3
    assert client.get_children(root) == []


def test_picture_on_a_terminal(stage: Stage, remains: Path) -> None:
    """On a terminal the members' lines are redrawn in place, and each shows its last state."""
    environment = stage.environment(TMPDIR=str(remains))
    words = ("env", "TERM=xterm", *DEMO)
    terminal = Terminal(*words, environment=environment, folder=stage.folder)
    terminal.expect(r"8\. A good one")
    terminal.expect(r"TERM to all of them")
    pictures = terminal.text.partition("8. A good one")[2].split("\033[5A")
    last = re.findall(r"(member-\d)  running   on 2h\033\[K\r\n", pictures[-1])

    assert terminal.process.wait(PATIENCE_S) == 0
    assert len(pictures) > len(MEMBERS)
    assert set(last) == MEMBERS
    terminal.close()


def test_ctrl_c_at_the_terminal(stage: Stage, remains: Path) -> None:
    """Ctrl-C at a terminal, where there are colours, ends the demo once and in order."""
    environment = stage.environment(TMPDIR=str(remains))
    words = ("env", "TERM=xterm", *DEMO)
    terminal = Terminal(*words, environment=environment, folder=stage.folder)
    terminal.expect(r"\033\[2m  \[.*\] forked")
    terminal.expect(r"hello world")
    terminal.type("\x03")
    terminal.expect(r"interrupted; nothing is left behind")

    assert terminal.process.wait(PATIENCE_S) == -signal.SIGINT
    assert "Traceback" not in terminal.text
    assert_nothing_left(stage, remains)
    terminal.close()


def test_nobody_watches(start: Start, stage: Stage, remains: Path) -> None:
    """Where the reader goes away, as `head` does, the demo ends without a word."""
    demo = start()
    read_until(demo, "hello world")
    assert demo.stdout is not None
    demo.stdout.close()
    assert demo.stderr is not None
    complaints = demo.stderr.read()

    assert (demo.wait(PATIENCE_S), complaints) == (1, b"")
    assert_nothing_left(stage, remains)


@pytest.mark.parametrize(
    ("environment", "complaint"),
    [
        ({"ZKEXEC_CLUSTER": "zk:port"}, "ZKEXEC_CLUSTER: expected HOST:PORT,... with ports"),
        ({"ZKEXEC_CLUSTER": "{hosts}/nowhere"}, "the chroot of ZKEXEC_CLUSTER does not exist"),
        (
            {"ZKEXEC_CLUSTER": "", "PATH": "/nowhere"},
            "Java not found; on Debian and Ubuntu: sudo apt-get install -y default-jre-headless",
        ),
    ],
    ids=["wrong cluster", "wrong chroot", "no java"],
)
def test_demo_says_why_it_fails(
    start: Start, stage: Stage, remains: Path, environment: dict[str, str], complaint: str
) -> None:
    """What goes wrong is one line for the user, with status 1."""
    hosts = stage.environment()["ZKEXEC_CLUSTER"]
    demo = start(**{name: text.format(hosts=hosts) for name, text in environment.items()})
    complaints = end(demo)[1]

    assert demo.returncode == 1
    assert complaints.startswith(f"\ndemo: {complaint}")
    assert complaints.count("\n") == 2
    assert_nothing_left(stage, remains)


def test_demo_survives_zkexec_that_fails(start: Start, stage: Stage, remains: Path) -> None:
    """Where zkexec dies of a blow, the demo tells so, with status 1, and leaves nothing."""
    demo = start()
    read_until(demo, "successful health check")
    for pid in stage.present():
        # A health check may have ended since.
        with suppress(FileNotFoundError, ProcessLookupError):
            if b"slowcheck" in Path(f"/proc/{pid}/cmdline").read_bytes() and pid != demo.pid:
                os.kill(pid, signal.SIGKILL)
    complaints = end(demo)[1]

    assert demo.returncode == 1
    assert complaints.startswith("\ndemo: failed: EOFError: 'ALERT: health-failed' was not said")
    assert_nothing_left(stage, remains)


def test_an_interruption_that_is_swallowed_still_ends_the_demo() -> None:
    """What a library makes of the exception, by catching everything, is an interruption."""

    def play() -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
        except BaseException:  # noqa: BLE001 -- this is what kazoo does while it sends
            raise RuntimeError("the connection has been closed") from None

    before = {number: signal.getsignal(number) for number in (1, 2, 15)}
    try:
        with pytest.raises(Interrupted):
            Belongings().use(play)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
