"""`make demo`: what it shows, and that nothing of it is left, however it ends."""

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.stage import PATIENCE_S, Stage
from e2e.terminal import Terminal
from kazoo.client import KazooClient

from e2e.remains import Remains

ROOT = Path(__file__).resolve().parents[2]
DEMO = (sys.executable, str(ROOT / "tools" / "demo.py"))
KEY = "press a key"
COMMANDS = 6

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


class Theatre:
    """Starts the demo, with a terminal or without."""

    def __init__(self, stage: Stage) -> None:
        self.remains = Remains(stage.folder / "temporary")
        self.environment = stage.environment(
            TMPDIR=str(self.remains.temporary), ZKEXEC_CLUSTER="", ZKEXEC_SILENT="yes"
        )
        self._stage = stage
        self._terminals: list[Terminal] = []

    def start(self) -> "subprocess.Popen[bytes]":
        """Start the demo without a terminal; its output and its errors are to be read."""
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return self._stage.start(*DEMO, env=self.environment, bufsize=0, **pipes)

    def start_on_terminal(self, kind: str = "xterm") -> Terminal:
        """Start the demo on a terminal of 80 columns and 24 rows."""
        words = ("env", f"TERM={kind}", *DEMO)
        terminal = Terminal(*words, environment=self.environment, folder=self._stage.folder)
        self._terminals.append(terminal)
        return terminal

    def close(self) -> None:
        """Close the terminals, and kill what a failed test has left."""
        for terminal in self._terminals:
            terminal.close()
        self.remains.kill()


@pytest.fixture
def theatre(stage: Stage) -> Iterator[Theatre]:
    """A demo of this test alone."""
    one = Theatre(stage)
    yield one
    one.close()


def read_until(demo: "subprocess.Popen[bytes]", text: str) -> str:
    """Read what the demo shows, up to the line with this text, and return it."""
    shown = ""
    assert demo.stdout is not None
    for line in demo.stdout:
        shown += line.decode()
        if text in shown:
            return shown
    raise AssertionError(f"no {text!r} in {shown!r}")


def end(demo: "subprocess.Popen[bytes]") -> tuple[str, str]:
    """Wait for the end; what was shown since it was read last, and what was complained about."""
    shown, complaints = demo.communicate(timeout=PATIENCE_S)
    return shown.decode(), complaints.decode()


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


def test_the_demo_without_a_terminal(theatre: Theatre) -> None:
    """Without a terminal the demo runs through, in plain text, and leaves nothing."""
    demo = theatre.start()
    before = read_until(demo, "1. A push")
    theatre.remains.demand_fleet()
    after, complaints = end(demo)
    shown = before + after

    assert demo.returncode == 0
    assert re.fullmatch(r"zkexecctl: web: .* failed on web-\d.*\n", complaints)
    demand_story(shown)
    assert "\033" not in shown
    assert KEY not in shown
    theatre.remains.demand_nothing()


def test_the_demo_with_a_person(theatre: Theatre) -> None:
    """On a terminal the demo runs each command at a key, and leaves nothing."""
    terminal = theatre.start_on_terminal()
    for number in range(COMMANDS):
        terminal.expect(KEY)
        if number == 0:
            theatre.remains.demand_fleet()
        terminal.type(" ")
    terminal.expect("README.md")

    assert terminal.process.wait(PATIENCE_S) == 0
    assert terminal.text.count(KEY) == COMMANDS
    theatre.remains.demand_nothing()


def test_nothing_runs_before_a_key(theatre: Theatre) -> None:
    """The demo runs no command before a key, and q ends it and leaves the terminal as it was."""
    terminal = theatre.start_on_terminal()
    before = terminal.modes
    terminal.expect(KEY)
    theatre.remains.demand_fleet()
    during = terminal.modes
    terminal.type("q")
    terminal.expect("The demo is over")

    assert terminal.process.wait(PATIENCE_S) == 0
    assert "pushed as" not in terminal.text
    assert during != before
    assert terminal.modes == before
    theatre.remains.demand_nothing()


@pytest.mark.parametrize("kind", ["xterm", "dumb"])
def test_ctrl_c_at_the_terminal(theatre: Theatre, kind: str) -> None:
    """Ctrl-C at a terminal with or without colours ends the demo once, and nothing is left."""
    terminal = theatre.start_on_terminal(kind)
    terminal.expect(KEY)
    terminal.type(" ")
    terminal.expect("pushed as")
    theatre.remains.demand_fleet()
    terminal.type("\x03")
    terminal.expect("demo: interrupted; nothing of it is left")

    assert terminal.process.wait(PATIENCE_S) == -signal.SIGINT
    assert ("\033[1m" in terminal.text) == (kind == "xterm")
    assert "Traceback" not in terminal.text
    theatre.remains.demand_nothing()


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("Starting", signal.SIGINT),
        ("1. ", signal.SIGTERM),
        ("pushed as", signal.SIGHUP),
        ("failed", signal.SIGTERM),
    ],
)
def test_a_signal_ends_the_demo(theatre: Theatre, moment: str, number: signal.Signals) -> None:
    """A signal ends the demo at any moment, by that signal, and nothing is left."""
    demo = theatre.start()
    read_until(demo, moment)
    assert theatre.remains.processes()
    demo.send_signal(number)
    complaints = end(demo)[1]

    assert demo.returncode == -number, complaints
    assert complaints.endswith("\ndemo: interrupted; nothing of it is left\n")
    theatre.remains.demand_nothing()


def test_a_killed_demo_leaves_nothing(theatre: Theatre) -> None:
    """If the demo is killed, its fleet stops by itself."""
    demo = theatre.start()
    read_until(demo, "1. A push")
    theatre.remains.demand_fleet()
    demo.kill()

    end(demo)
    theatre.remains.demand_nothing()


def test_a_cluster_of_the_user(theatre: Theatre, client: KazooClient, root: str) -> None:
    """ZKEXEC_CLUSTER, with its chroot, is used, and its znodes are afterwards as they were."""
    theatre.environment["ZKEXEC_CLUSTER"] = "{}:{}".format(*client.hosts[0]) + root
    demo = theatre.start()
    read_until(demo, "1. A push")
    during = znodes(client, root)
    complaints = end(demo)[1]

    assert demo.returncode == 0, complaints
    assert any(path.endswith("/web/app.conf") for path in during)
    assert znodes(client, root) == [root]
    theatre.remains.demand_nothing()


def test_an_interrupted_demo_leaves_no_znode(
    theatre: Theatre, client: KazooClient, root: str
) -> None:
    """Ctrl-C leaves no znode behind in a cluster of the user."""
    theatre.environment["ZKEXEC_CLUSTER"] = "{}:{}".format(*client.hosts[0]) + root
    demo = theatre.start()
    read_until(demo, "pushed as")
    during = znodes(client, root)
    demo.send_signal(signal.SIGINT)
    end(demo)

    assert any(path.endswith("/web/app.conf") for path in during)
    assert znodes(client, root) == [root]
    theatre.remains.demand_nothing()


def test_no_reader(theatre: Theatre) -> None:
    """If the reader of its output goes away, as `head` does, the demo ends without a traceback."""
    demo = theatre.start()
    read_until(demo, "1. A push")
    assert demo.stdout is not None
    demo.stdout.close()
    assert demo.stderr is not None
    complaints = demo.stderr.read()

    assert (demo.wait(PATIENCE_S), b"Traceback" in complaints) == (1, False)
    theatre.remains.demand_nothing()


@pytest.mark.parametrize(
    ("cluster", "complaint"),
    [
        ("zk:port", "demo: "),
        ("{hosts}/nowhere", "demo: the chroot of ZKEXEC_CLUSTER does not exist: "),
        ("", "start: Java not found; on Debian and Ubuntu: sudo apt-get install"),
    ],
    ids=["wrong cluster", "wrong chroot", "no java"],
)
def test_the_demo_reports_why_it_fails(
    theatre: Theatre, client: KazooClient, cluster: str, complaint: str
) -> None:
    """What goes wrong is one line for the user, with status 1."""
    hosts = "{}:{}".format(*client.hosts[0])
    programs = theatre.remains.temporary.parent / "programs"
    programs.mkdir()
    # Everything but Java.
    for name in ("sh", "env", "rm", "sleep", "python3"):
        (programs / name).symlink_to(str(shutil.which(name)))
    theatre.environment.update(ZKEXEC_CLUSTER=cluster.format(hosts=hosts), PATH=str(programs))
    demo = theatre.start()
    complaints = end(demo)[1]

    assert demo.returncode == 1
    assert complaint in complaints
    assert "Traceback" not in complaints
    theatre.remains.demand_nothing()
