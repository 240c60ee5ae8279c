"""`make demo`: what it shows, and that nothing of it is left, however it ends."""

import re
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from kazoo.client import KazooClient

from support.leftovers import Leftovers
from support.program import Program
from support.sandbox import Sandbox
from support.terminal import Terminal

ROOT = Path(__file__).resolve().parents[2]
DEMO = (sys.executable, str(ROOT / "tools" / "demo.py"))
KEY = "press a key"
FIRST_SCENE = r"^1\. A push"
COMMANDS = 6
# A demo without a terminal, from its start to its end.
DEMO_DEADLINE_S = 300.0

# What a user sees, in this order, whatever else is shown in between.
STORY = (
    "zkexec wraps a command",
    "$ zkexec --lock web --member-id web-1",
    "1. A push reaches all members",
    "$ zkexecctl push /web/app.conf=app-v2.conf",
    "+cache_mb = 512",
    "web: 3 of 3 ",
    "$ zkexecctl status web",
    "web: 3 of 3 ",
    "2. A bad push stops at the first member",
    "$ zkexecctl push /web/app.conf=app-bad.conf",
    "+workers = four",
    "failed",
    "$ zkexecctl status web",
    "not healthy within 5 s",
    "3. Undo",
    "$ zkexecctl undo /web/app.conf",
    "+workers = 4",
    "web: 3 of 3 ",
    "$ zkexecctl history /web/app.conf",
    "more cache",
    "first version",
    "Nothing of it is left",
)


class DemoStarter:
    """Starts the demo with a TMPDIR of its own, and finds what it leaves there."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.leftovers = Leftovers(sandbox.folder / "temporary")
        self.environment = sandbox.environment(
            TMPDIR=str(self.leftovers.temporary), ZKEXEC_CLUSTER="", ZKEXEC_SILENT="yes"
        )
        self._sandbox = sandbox

    def start(self, terminal: Terminal | None = None) -> Program:
        """Start the demo, on a terminal or without one."""
        return self._sandbox.start(*DEMO, env=self.environment, terminal=terminal)


@pytest.fixture
def starter(sandbox: Sandbox) -> Iterator[DemoStarter]:
    """Starts the demo of this test alone."""
    one = DemoStarter(sandbox)
    yield one
    one.leftovers.kill()


def demand_story(shown: str) -> None:
    """Fail if the parts of the story are not shown, one after the other."""
    at = 0
    for piece in STORY:
        found = shown.find(piece, at)
        assert found >= 0, f"no {piece!r} in:\n{shown[at:]}"
        at = found + len(piece)


def znodes(client: KazooClient, root: str) -> list[str]:
    """All znodes below a root, which is one of them."""
    client.sync(root)
    below = [znodes(client, f"{root}/{name}") for name in client.get_children(root)]
    return [root, *(path for paths in below for path in paths)]


def test_the_demo_without_a_terminal(starter: DemoStarter) -> None:
    """Without a terminal the demo runs through, in plain text, and leaves nothing."""
    demo = starter.start()
    demo.until(FIRST_SCENE, on=demo.stdout)
    starter.leftovers.demand_fleet()

    assert demo.wait(DEMO_DEADLINE_S) == 0
    reason, undo, retry = demo.stderr.text.splitlines()
    assert re.fullmatch(r"zkexecctl: web: .* failed on web-\d.*", reason)
    assert undo == "zkexecctl: to undo the push: zkexecctl undo /web/app.conf --lock web --wait"
    assert retry == "zkexecctl: to try it again: zkexecctl retry web"
    demand_story(demo.stdout.text)
    assert "\033" not in demo.stdout.text
    assert KEY not in demo.stdout.text
    starter.leftovers.demand_nothing()


def test_the_demo_with_a_person(starter: DemoStarter) -> None:
    """On a terminal the demo runs each command at a key, and leaves nothing."""
    demo = starter.start(Terminal(kind="xterm"))
    for number in range(COMMANDS):
        demo.expect(KEY)
        if number == 0:
            starter.leftovers.demand_fleet()
        demo.send(" ")
    demo.expect("README.md")

    assert demo.wait() == 0
    assert demo.stdout.text.count(KEY) == COMMANDS
    starter.leftovers.demand_nothing()


def test_nothing_runs_before_a_key(starter: DemoStarter) -> None:
    """The demo runs no command before a key, and q ends it and leaves the terminal as it was."""
    demo = starter.start(Terminal(kind="xterm"))
    before = demo.terminal.modes
    demo.expect(KEY)
    starter.leftovers.demand_fleet()
    demo.until(lambda: demo.terminal.modes != before, "a key is read without Return")
    demo.send("q")
    demo.expect("The demo is over")

    assert demo.wait() == 0
    assert "pushed as" not in demo.stdout.text
    assert demo.terminal.modes == before
    starter.leftovers.demand_nothing()


@pytest.mark.parametrize("kind", ["xterm", "dumb"])
def test_ctrl_c_at_the_terminal(starter: DemoStarter, kind: str) -> None:
    """Ctrl-C at a terminal with or without colours ends the demo once, and nothing is left."""
    demo = starter.start(Terminal(kind=kind))
    demo.expect(KEY)
    demo.send(" ")
    demo.expect("pushed as")
    starter.leftovers.demand_fleet()
    demo.send("\x03")
    demo.expect("demo: interrupted; nothing of it is left")

    assert demo.wait() == -signal.SIGINT
    assert ("\033[1m" in demo.stdout.text) == (kind == "xterm")
    assert "Traceback" not in demo.stdout.text
    starter.leftovers.demand_nothing()


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("Starting", signal.SIGINT),
        (FIRST_SCENE, signal.SIGTERM),
        ("pushed as", signal.SIGHUP),
        ("failed", signal.SIGTERM),
    ],
)
def test_a_signal_ends_the_demo(starter: DemoStarter, moment: str, number: signal.Signals) -> None:
    """A signal ends the demo at any moment, by that signal, and nothing is left."""
    demo = starter.start()
    demo.until(moment, on=demo.stdout)
    assert starter.leftovers.processes()

    assert demo.end(number) == -number, demo.story()
    assert demo.stderr.text.endswith("\ndemo: interrupted; nothing of it is left\n")
    starter.leftovers.demand_nothing()


def test_a_killed_demo_leaves_nothing(starter: DemoStarter) -> None:
    """If the demo is killed, its fleet stops by itself."""
    demo = starter.start()
    demo.until(FIRST_SCENE, on=demo.stdout)
    starter.leftovers.demand_fleet()

    assert demo.end(signal.SIGKILL) == -signal.SIGKILL
    starter.leftovers.demand_nothing()


def test_a_cluster_of_the_user(starter: DemoStarter, client: KazooClient, root: str) -> None:
    """ZKEXEC_CLUSTER, with its chroot, is used, and its znodes are afterwards as they were."""
    starter.environment["ZKEXEC_CLUSTER"] = "{}:{}".format(*client.hosts[0]) + root
    demo = starter.start()
    demo.until(FIRST_SCENE, on=demo.stdout)
    during = znodes(client, root)

    assert demo.wait(DEMO_DEADLINE_S) == 0, demo.story()
    assert any(path.endswith("/web/app.conf") for path in during)
    assert znodes(client, root) == [root]
    starter.leftovers.demand_nothing()


def test_an_interrupted_demo_leaves_no_znode(
    starter: DemoStarter, client: KazooClient, root: str
) -> None:
    """Ctrl-C leaves no znode behind in a cluster of the user."""
    starter.environment["ZKEXEC_CLUSTER"] = "{}:{}".format(*client.hosts[0]) + root
    demo = starter.start()
    demo.until("pushed as", on=demo.stdout)
    during = znodes(client, root)
    demo.end(signal.SIGINT)

    assert any(path.endswith("/web/app.conf") for path in during)
    assert znodes(client, root) == [root]
    starter.leftovers.demand_nothing()


def test_no_reader(starter: DemoStarter) -> None:
    """If the reader of its output goes away, as `head` does, the demo ends without a traceback."""
    demo = starter.start()
    demo.until(FIRST_SCENE, on=demo.stdout)
    demo.stdout.close()

    assert (demo.wait(), "Traceback" in demo.stderr.text) == (1, False)
    starter.leftovers.demand_nothing()


@pytest.mark.parametrize(
    ("cluster", "complaint"),
    [
        ("zk:port", "demo: "),
        ("{hosts}/nowhere", "demo: --cluster: the chroot /nowhere does not exist: "),
        ("", "start: Java not found; on Debian and Ubuntu: sudo apt-get install"),
    ],
    ids=["wrong cluster", "wrong chroot", "no java"],
)
def test_the_demo_reports_why_it_fails(
    starter: DemoStarter, client: KazooClient, cluster: str, complaint: str
) -> None:
    """What goes wrong is one line for the user, with status 1."""
    hosts = "{}:{}".format(*client.hosts[0])
    programs = starter.leftovers.temporary.parent / "programs"
    programs.mkdir()
    # Everything but Java.
    for name in ("sh", "env", "rm", "sleep", "python3"):
        (programs / name).symlink_to(str(shutil.which(name)))
    starter.environment.update(ZKEXEC_CLUSTER=cluster.format(hosts=hosts), PATH=str(programs))
    demo = starter.start()

    assert demo.wait() == 1
    assert complaint in demo.stderr.text
    assert "Traceback" not in demo.stderr.text
    starter.leftovers.demand_nothing()
