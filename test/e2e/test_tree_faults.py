"""Trees when zkexec is killed, when the disk is full, and at the limits of their size."""

import os
import random
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from support.inputs_host import InputsHost
from support.program import Program
from support.waiting import POLL_S, until

CANNOT_WORK = 125
ROUNDS = 20
NAMES = [f"dir{number % 5}/sub{number % 3}/f{number}" for number in range(60)]
MOST_ZNODES = 5_000

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")


@pytest.fixture
def small_disk(inputs: InputsHost, mounted: list[Path]) -> Path:
    """A disk of 400 KiB for the folder of the tree."""
    return mount_small(inputs.folder, mounted)


def mount_small(folder: Path, mounted: list[Path]) -> Path:
    """Mount a disk of 400 KiB."""
    folder.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(folder)]
    if subprocess.run(mount, check=False).returncode:
        pytest.skip("mounting is not permitted here")
    mounted.append(folder)
    return folder


def enlarge(disk: Path) -> None:
    """Give a small disk more room."""
    subprocess.run(["mount", "-o", "remount,size=20m", disk], check=True)


class Changes:
    """Random changes of a tree, each in one transaction, with what the tree is then."""

    def __init__(self, inputs: InputsHost) -> None:
        self.files = dict.fromkeys(NAMES[::2], "0")
        self._tree = inputs.tree
        self._dice = random.Random(15)
        self._tree.write(self.files)

    def write(self, number: int) -> None:
        """Add, change and remove some files."""
        chosen = self._dice.sample(NAMES, 20)
        wanted = {name: self._dice.choice([f"{number}", f"{number}", None]) for name in chosen}
        self._tree.write({n: t for n, t in wanted.items() if t is not None or n in self.files})
        self.files |= {name: text for name, text in wanted.items() if text is not None}
        for name, text in wanted.items():
            if text is None:
                self.files.pop(name, None)


def state_of(inputs: InputsHost) -> tuple[int, ...]:
    """What changes whenever the state file is written."""
    with suppress(OSError, ValueError):
        (path,) = inputs.state.glob("*.state")
        found = path.stat()
        return found.st_ino, found.st_mtime_ns
    return ()


def until_state_changes(inputs: InputsHost, before: tuple[int, ...], run: Program) -> None:
    """Wait until the state file is another one: an install begins, or has ended."""
    until(lambda: state_of(inputs) != before, run.story)


def kill_one(inputs: InputsHost, changes: Changes, number: int, dice: random.Random) -> Program:
    """Kill a zkexec in the install of its first start or of a restart, or soon after it."""
    before, births = state_of(inputs), len(inputs.births())
    run = inputs.follow("--settle=0")
    until_state_changes(inputs, before, run)
    if number % 2:
        inputs.born(births + 1)
        before = state_of(inputs)
        changes.write(number)
        until_state_changes(inputs, before, run)
    time.sleep(dice.uniform(0, 0.02))  # one moment after the other
    run.kill()
    run.wait()
    return run


def test_sudden_death_in_a_stream_of_changes(inputs: InputsHost) -> None:
    """Whenever zkexec is killed, the folder is the tree and the foreign files in the end."""
    changes = Changes(inputs)
    foreign = ["own", "dir0/own", "dir1/sub1/own", "elsewhere/own"]
    for name in foreign:
        path = inputs.target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("foreign")
    dice = random.Random(17)

    for number in range(1, ROUNDS + 1):
        run = kill_one(inputs, changes, number, dice)
        changes.write(1000 + number)
        inputs.sandbox.wait_until_empty()
        assert run.status == -signal.SIGKILL

    run = inputs.follow("--settle=0")
    wanted = {**changes.files, **dict.fromkeys(foreign, "foreign")}
    inputs.until_newest(wanted)
    assert run.end() == 0
    assert inputs.files() == wanted
    folders = {str(p.relative_to(inputs.target)) for p in inputs.target.rglob("*") if p.is_dir()}
    above = {str(way) for name in wanted for way in Path(name).parents} - {"."}
    assert folders == above


@as_root
def test_a_full_disk_while_a_tree_grows(inputs: InputsHost, small_disk: Path) -> None:
    """The command is untouched, the old files stay, and the next attempt works."""
    inputs.tree.write({"a": "1", "sub/b": "2"})
    run = inputs.follow(inputs.alert_option)
    first = inputs.born()

    big = {f"big{number}": "x" * 100_000 for number in range(6)}
    inputs.tree.write({"a": "changed", "sub/b": None, **big})
    run.until("cannot write .*: No space left on device; the old files stay, next attempt in 10 s")
    until(inputs.alerts.exists, "an alert")
    inputs.only(first)
    assert inputs.files() == {"a": "1", "sub/b": "2"}
    assert inputs.alerts.read_text().startswith("restart-failed|stage|"), inputs.alerts.read_text()
    enlarge(small_disk)

    assert inputs.born(2).files == {"tree": {"a": "changed", **big}}
    assert run.end() == 0


@as_root
def test_a_full_disk_at_the_first_start(inputs: InputsHost, small_disk: Path) -> None:
    """A tree that does not fit at the first start is one line, and leaves nothing behind."""
    inputs.tree.write({f"sub/big{number}": "x" * 100_000 for number in range(6)})

    run = inputs.follow("--silent")

    assert run.wait() == CANNOT_WORK
    (line,) = run.stderr.lines
    assert "No space left on device" in line
    assert inputs.files() == {}
    assert not inputs.births()
    enlarge(small_disk)
    again = inputs.follow()
    assert len(inputs.born().files["tree"]) == 6
    assert again.end() == 0


@as_root
def test_no_room_for_the_state_file(inputs: InputsHost, mounted: list[Path]) -> None:
    """If the state file cannot be written nothing is installed, until there is room."""
    disk = mount_small(inputs.state, mounted)
    inputs.tree.write({"a": "1"})
    run = inputs.follow(inputs.alert_option)
    first = inputs.born()
    with suppress(OSError), (disk / "junk").open("wb", buffering=0) as junk:
        while junk.write(b"x" * 4096):
            pass

    inputs.tree.write({"a": "changed", "b": "2"})
    run.until("cannot write .*No space left on device; the old files stay")
    inputs.only(first)
    assert inputs.files() == {"a": "1"}
    (disk / "junk").unlink()

    assert inputs.born(2).files == {"tree": {"a": "changed", "b": "2"}}
    assert run.end() == 0


def big_tree(count: int) -> dict[str, str]:
    """The files of a tree of this many znodes, with its root and its folders."""
    folders = 100
    return {f"dir{n % folders:02}/{n}": f"{n}" for n in range(count - folders - 1)}


def test_the_largest_tree(inputs: InputsHost) -> None:
    """5,000 znodes are installed and followed; one more is a warning, until one is deleted."""
    files = big_tree(MOST_ZNODES)
    inputs.tree.fill(files)
    run = inputs.follow()
    assert inputs.born().files == {"tree": files}

    inputs.tree.write({"dir07/7": "changed", "dir08/8": None, "dir08/new": "new"})
    changed = {**files, "dir07/7": "changed", "dir08/new": "new"}
    changed.pop("dir08/8")
    second = inputs.born(2)
    assert second.files == {"tree": changed}
    inputs.tree.write({"dir09/more": "more"})
    run.until(f"{inputs.tree.root} makes more than 5,000 znodes in all; the files and the command")
    assert inputs.births()[-1] == second
    inputs.tree.write({"dir09/9": None})
    changed["dir09/more"] = "more"
    changed.pop("dir09/9")

    assert inputs.born(3).files == {"tree": changed}
    assert run.end() == 0


def test_one_znode_too_many_at_the_first_start(inputs: InputsHost) -> None:
    """A tree of 5,001 znodes ends the first start with one line that names it."""
    inputs.tree.fill(big_tree(MOST_ZNODES + 1))

    run = inputs.follow("--silent")

    assert run.wait() == CANNOT_WORK
    (line,) = run.stderr.lines
    assert f"{inputs.tree.root} makes more than 5,000 znodes in all" in line
    assert not inputs.target.exists()


def test_a_lost_connection_loses_no_removal(inputs: InputsHost) -> None:
    """What is added and removed while zkexec is frozen for longer than its session is followed."""
    inputs.tree.write({"a": "1", "b": "2", "sub/c": "3"})
    run = inputs.follow("--session-timeout=1")
    inputs.born()
    run.signal(signal.SIGSTOP)
    time.sleep(POLL_S)
    inputs.tree.write({"b": None, "sub/c": None, "d": "4"})
    run.signal(signal.SIGCONT)

    assert inputs.born(2).files == {"tree": {"a": "1", "d": "4"}}
    assert run.end() == 0
