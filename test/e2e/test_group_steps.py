"""Two members whose changes are checked, reloaded and surrounded by hooks, when these fail."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from kazoo.client import KazooClient

from support.mirrored_host import quoted
from support.sandbox import LIBEXEC, ZKEXEC, Sandbox
from support.service_group import ServiceGroup, service_group
from support.waiting import lines

PACE = ("--health=true", "--health-interval=0.1", "--health-delay=20", "--kill-timeout=20")


class SteppedGroup:
    """Members with a recorder each, and one znode, which each of them mirrors."""

    def __init__(self, group: ServiceGroup) -> None:
        self.group = group
        self.znode = f"{group.root}/a"
        self.names = ("m0", "m1")

    def folder(self, name: str) -> Path:
        """The folder of a member, in which its zkexec runs."""
        return self.group.sandbox.folder / name

    def start(self, *options: str) -> None:
        """Start both members on the content `good 0`."""
        self.group.zkexecctl.push(self.znode, b"good 0")
        for name in self.names:
            self.group.folder(name)
            self.start_member(name, *options)
        self.group.complete()
        self.until_started(1, 1)

    def start_member(self, name: str, *options: str) -> None:
        """Start one member; it may have run before."""
        self.group.start(
            name,
            *ZKEXEC,
            f"--lock={self.group.lock}",
            f"--member-id={name}",
            f"--mirror=a={self.znode}",
            *PACE,
            *options,
            f"--exec={quoted(LIBEXEC / 'recorder', 'record', 'a')}",
        )

    def births(self, name: str) -> list[str]:
        """The starts of the recorder of a member."""
        return [line for line in lines(self.folder(name) / "record") if '"born"' in line]

    def contents(self) -> list[str]:
        """What each member has on the disk."""
        return [(self.folder(name) / "a").read_text() for name in self.names]

    def seen(self, file: str) -> list[int]:
        """How many lines the members have written into their files of this name."""
        return [len(lines(self.folder(name) / file)) for name in self.names]

    def push(self, content: str, *, status: int = 0) -> str:
        """Push content, and wait for the end of its rollout; return how a failure is reported."""
        file = self.group.zkexecctl.file(content.encode())
        return self._wait(("push", f"{self.znode}={file}"), status)

    def undo(self) -> None:
        """Undo the push, and wait until both members are up to date."""
        self._wait(("undo", self.znode), 0)

    def _wait(self, words: tuple[str, ...], status: int) -> str:
        options = ("--yes", f"--lock={self.group.lock}", "--wait", "--timeout=60")
        done = self.group.zkexecctl(*words, *options)
        assert done.status == status, f"{done}\n{self.group.story()}"
        return done.err

    def begin(self, content: str) -> None:
        """Push content, and do not wait for its rollout."""
        self.group.zkexecctl.push(self.znode, content.encode())

    def until_started(self, *counts: int) -> None:
        """Wait until the recorders were started this often, in any order of the members."""
        self.group.until(
            lambda: sorted(len(self.births(name)) for name in self.names) == sorted(counts),
            f"{counts} starts",
        )

    def until_seen(self, file: str, *counts: int) -> None:
        """Wait until the files of this name have this many lines, in any order of the members."""
        self.group.until(lambda: sorted(self.seen(file)) == sorted(counts), f"{counts} in {file}")

    def member_with(self, file: str) -> tuple[str, str]:
        """The member that alone has a file of this name, and the other."""
        self.until_seen(file, 0, 1)
        first, second = self.names
        return (first, second) if self.seen(file) == [1, 0] else (second, first)


@pytest.fixture
def stepped(sandbox: Sandbox, client: KazooClient, root: str) -> Iterator[SteppedGroup]:
    """A group without members."""
    with service_group(sandbox, client, root) as group:
        yield SteppedGroup(group)


def test_a_reload_that_one_member_refuses(stepped: SteppedGroup) -> None:
    """The old file is put back, no other member tries the content, and an undo ends the pause."""
    stepped.start("--on-change=reload", "--reload=echo x >>reloads; ! grep -H bad a")

    reason = stepped.push("bad 1", status=1)
    assert "the reload failed: exit status 1: a:bad 1" in reason
    stepped.group.until(lambda: stepped.contents() == ["good 0"] * 2, "the old file is put back")
    stepped.until_seen("reloads", 0, 1)

    stepped.undo()
    stepped.push("good 2")
    assert stepped.contents() == ["good 2"] * 2
    stepped.until_seen("reloads", 1, 2)
    stepped.until_started(1, 1)


def test_a_restart_of_the_group_restarts(stepped: SteppedGroup) -> None:
    """`zkexecctl restart` restarts commands whose changes are reloaded, with both hooks."""
    stepped.start(
        "--on-change=reload",
        "--reload=echo x >>reloads",
        "--pre-stop=echo x >>drained",
        "--post-healthy=echo x >>warm",
    )
    stepped.until_seen("warm", 1, 1)

    stepped.group.zkexecctl.does("restart", stepped.group.lock)
    stepped.until_started(2, 2)
    stepped.until_seen("warm", 2, 2)
    stepped.group.complete()
    assert stepped.seen("drained") == [1, 1]
    assert stepped.seen("reloads") == [0, 0]


def test_a_warm_up_that_fails(stepped: SteppedGroup) -> None:
    """A started command that cannot be put in traffic is a config failure at the deadline."""
    stepped.start("--health-delay=3", "--post-healthy=echo x >>warm; ! grep -H bad a")
    stepped.until_seen("warm", 1, 1)

    reason = stepped.push("bad 1", status=1)
    assert "post-healthy" in reason
    assert "a:bad 1" in reason
    stepped.until_started(1, 2)
    stepped.push("good 2")
    stepped.until_started(2, 3)


def test_a_reload_that_is_reverted(stepped: SteppedGroup) -> None:
    """If a reload made the command unhealthy, revert restarts it on the old file."""
    stepped.start(
        "--on-change=reload",
        "--reload=echo x >>reloads",
        "--health=! grep -q bad a && echo x >>healthy",
        "--health-delay=2",
        "--on-failure=revert",
    )
    stepped.group.until(lambda: all(stepped.seen("healthy")), "both were healthy")

    reason = stepped.push("bad 1", status=1)
    assert "not healthy within 2 s" in reason
    stepped.group.until(lambda: stepped.contents() == ["good 0"] * 2, "the old file is put back")
    stepped.until_started(1, 2)
    stepped.until_seen("reloads", 0, 1)
    stepped.push("good 2")
    assert stepped.contents() == ["good 2"] * 2


def test_zkexec_is_killed_while_it_checks(stepped: SteppedGroup) -> None:
    """The next start adopts the turn and checks again; the other member goes on after it."""
    check = '--check=if grep -q slow "$1" && [ ! -e ../go ]; then echo x >>hangs; sleep 1000; fi'
    stepped.start(check)
    stepped.begin("slow 1")
    name, _ = stepped.member_with("hangs")
    stepped.until_started(1, 1)

    stepped.group.members[name].kill()
    stepped.group.members[name].wait()
    (stepped.group.sandbox.folder / "go").touch()
    stepped.start_member(name, check)
    stepped.group.complete()
    assert stepped.contents() == ["slow 1"] * 2
    stepped.until_started(2, 2)


def test_new_content_ends_a_check(stepped: SteppedGroup) -> None:
    """A check that hangs is ended by newer content, which is checked and applied."""
    stepped.start('--check=if grep -q hang "$1"; then echo x >>hangs; sleep 1000; fi')
    stepped.begin("hang 1")
    stepped.until_seen("hangs", 0, 1)

    stepped.push("good 2")
    stepped.until_started(2, 2)
    stepped.until_seen("hangs", 0, 1)
    assert not stepped.group.sandbox.sleepers()


def test_term_while_it_drains(stepped: SteppedGroup) -> None:
    """A member that is ended in its turn, while it drains, drains once, and releases the turn."""
    drain = "echo $ZKEXEC_EVENT >>drained; while [ ! -e ../go ]; do sleep 0.05; done"
    stepped.start(f"--pre-stop={drain}", "--pre-stop-timeout=60")
    stepped.begin("good 1")
    name, other = stepped.member_with("drained")

    ending = stepped.group.members.pop(name)
    ending.terminate()
    ending.until("received SIGTERM; ending")
    (stepped.group.sandbox.folder / "go").touch()
    assert ending.wait() == 0
    assert lines(stepped.folder(name) / "drained") == ["restart"]
    stepped.group.complete()
    assert len(stepped.births(name)) == 1
    assert (stepped.folder(other) / "a").read_text() == "good 1"


def test_a_check_that_cannot_run_here(stepped: SteppedGroup) -> None:
    """A member whose check exits with 127 releases its turn, and shows why; the other goes on."""
    broken = '[ "$ZKEXEC_MEMBER" = m0 ] && [ -e ../broken ] && exit 127; echo x >>checks'
    stepped.start(f"--check={broken}")
    (stepped.group.sandbox.folder / "broken").touch()
    stepped.begin("good 1")
    stepped.group.until(lambda: len(stepped.births("m1")) == 2, "m1 goes on")

    shown = "m0 is blocked by its host, failed in its check"
    stepped.group.until(lambda: shown in stepped.group.status().out, "the status shows why")
    assert stepped.contents() == ["good 0", "good 1"]
    assert len(stepped.births("m0")) == 1
    (stepped.group.sandbox.folder / "broken").unlink()
    stepped.push("good 2")
    assert stepped.contents() == ["good 2"] * 2
