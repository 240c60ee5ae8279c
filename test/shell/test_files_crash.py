"""Mirrored files as others see them while they are written, and after a sudden death.

Each writer here is a process of its own that stages and installs for real.
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from shutil import which

import pytest

from support.program import Program
from zkexec.core.snapshot import Snapshot
from zkexec.files.installer import Installer
from zkexec.files.staged_file import name_beside

CONTENTS = (b"a" * 100_001, b"b" * 300_007)
INSTALLS = 1000
SUDDEN_DEATHS = 300
SEED = 20140428

# Installs the two contents by turns into all targets, as often as it is told.
WRITER = """
import os, sys
from zkexec.core.snapshot import Snapshot
from zkexec.files.installer import Installer

def write(turns, targets, after_first=lambda: None):
    contents = (b"a" * 100_001, b"b" * 300_007)
    files = Installer(print)
    for turn in range(int(turns)):
        files.stage(Snapshot({target: contents[turn % 2] for target in targets}))
        files.install()
        if turn == 0:
            after_first()
"""

# Forks a writer per line that it reads; tells its pid when it is at work, and how it ended.
FORKER = """
for _ in sys.stdin:
    pid = os.fork()
    if pid == 0:
        write(5000, sys.argv[1:], lambda: print(os.getpid(), flush=True))
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


def writer_command(turns: int, *targets: Path) -> list[str]:
    """Return the command line of a writer."""
    code = WRITER + "write(sys.argv[1], sys.argv[2:])"
    return [sys.executable, "-c", code, str(turns), *map(str, targets)]


def environment() -> dict[str, str]:
    """Return the environment in which a writer finds what this process has found."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


def no_warning(path: str, reason: str) -> None:
    """Fail where a file was written in place although nothing demanded it."""
    raise AssertionError(f"{path} was written in place: {reason}")


def settle(*targets: Path) -> None:
    """Stage and install once more, as the next start does."""
    files = Installer(no_warning)
    files.stage(Snapshot({str(target): CONTENTS[0] for target in targets}))
    files.install()


def test_readers_see_whole_files_only(tmp_path: Path) -> None:
    """A reader who never rests sees one of the two contents each time, through 1000 installs."""
    path = tmp_path / "file"
    settle(path)
    seen: dict[bytes, int] = {}
    with Program(*writer_command(INSTALLS + 1, path), env=environment()) as writer:
        while writer.is_running():
            content = path.read_bytes()
            seen[content] = seen.get(content, 0) + 1
    assert writer.status == 0
    assert set(seen) == set(CONTENTS)
    assert os.listdir(tmp_path) == ["file"]


def test_sudden_death_at_any_moment(tmp_path: Path) -> None:
    """After a SIGKILL each target is whole, and after the next staging nothing else is there."""
    targets = [tmp_path / "one", tmp_path / "two"]
    command = [sys.executable, "-c", WRITER + FORKER, *map(str, targets)]
    moments = random.Random(SEED)
    with Program(*command, env=environment(), stdin=subprocess.PIPE) as forker:
        for _ in range(SUDDEN_DEATHS):
            forker.enter("next")
            pid = int(forker.expect(r"(-?\d+)\n", forker.stdout)[1])
            # No moment is better than another; that is why there are hundreds of them.
            time.sleep(moments.random() * 0.01)
            os.kill(pid, signal.SIGKILL)
            assert int(forker.expect(r"(-?\d+)\n", forker.stdout)[1]) == -signal.SIGKILL
            assert all(target.read_bytes() in CONTENTS for target in targets), f"seed {SEED}"
            settle(*targets)
            assert sorted(os.listdir(tmp_path)) == ["one", "two"], f"seed {SEED}"


@pytest.mark.skipif(which("strace") is None, reason="strace is not installed")
@pytest.mark.parametrize("call", ["pwrite64", "fsync", "linkat", "rename,renameat,renameat2"])
@pytest.mark.parametrize("occasion", [1, 2, 3])
def test_sudden_death_at_each_step(tmp_path: Path, call: str, occasion: int) -> None:
    """Whichever step it dies at, the targets are whole, and at most one name is left to sweep."""
    targets = [tmp_path / "one", tmp_path / "two"]
    settle(*targets)
    inject = f"inject={call}:signal=KILL:when={occasion}"
    strace = ["strace", "-qq", "-o", os.devnull, "-e", f"trace={call}", "-e", inject]
    result = subprocess.run([*strace, *writer_command(3, *targets)], env=environment(), check=False)
    assert result.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL)
    left = set(os.listdir(tmp_path)) - {"one", "two"}
    assert len(left) == (1 if call.startswith("rename") else 0)
    assert all(target.read_bytes() in CONTENTS for target in targets)
    settle(*targets)
    assert sorted(os.listdir(tmp_path)) == ["one", "two"]


def test_living_draft_is_not_swept(tmp_path: Path) -> None:
    """A draft that a living process holds stays; once that process is gone, it is swept."""
    path = tmp_path / "file"
    settle(path)
    name = name_beside(str(path))
    holder_code = (
        "import fcntl, sys; file = open(sys.argv[1], 'xb'); fcntl.flock(file, fcntl.LOCK_EX)\n"
        "print('held', flush=True); sys.stdin.read()"
    )
    with Program(sys.executable, "-c", holder_code, name, stdin=subprocess.PIPE) as holder:
        holder.until("held", on=holder.stdout)
        settle(path)
        assert sorted(os.listdir(tmp_path)) == sorted([os.path.basename(name), "file"])
        holder.kill()
    settle(path)
    assert os.listdir(tmp_path) == ["file"]


def test_two_writers_of_one_target(tmp_path: Path) -> None:
    """Two processes with the very same target disturb each other's content, but nothing breaks."""
    path = tmp_path / "file"
    settle(path)
    command = writer_command(300, path)
    with (
        Program(*command, env=environment()) as one,
        Program(*command, env=environment()) as two,
    ):
        while one.is_running() or two.is_running():
            assert path.read_bytes() in CONTENTS
    assert (one.status, two.status) == (0, 0)
    assert os.listdir(tmp_path) == ["file"]
