"""Trees after a sudden death at each step of an install, and while others change the folders.

Each writer here is a process of its own that stages and installs for real.
"""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from shutil import copytree, rmtree, which

import pytest

from shell.tree_host import TreeHost
from support.program import Program

INSTALLS = 500

# Two trees with all kinds of differences: content, more and fewer files, and other shapes.
ONE = {"same": b"s", "a": b"1", "b/c/d": b"2", "b/zknode.data": b"3", "old/x/y": b"4", "e": b"5"}
TWO = {"same": b"s", "a/b": b"6", "a/c/d": b"7", "b": b"8", "new/x/y": b"9", "e": b"10"}
FOREIGN = {"foreign": b"theirs", "old/foreign": b"theirs"}

# Reads {path below: content} from stdin, and installs it in the folder of a host.
WRITER = """
import json, sys
from pathlib import Path
from shell.tree_host import TreeHost
from zkexec.files.file_change import InstallError

files = {path: content.encode() for path, content in json.loads(sys.argv[2]).items()}
host = TreeHost(Path(sys.argv[1]))
"""


def environment() -> dict[str, str]:
    """Return the environment in which a writer finds what this process has found."""
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def writer(folder: Path, files: Mapping[str, bytes], code: str) -> list[str]:
    """Return the command line of a process that runs this code with these files."""
    text = json.dumps({path: content.decode() for path, content in files.items()})
    return [sys.executable, "-c", WRITER + code, str(folder), text]


def prepared(folder: Path) -> TreeHost:
    """Make a host on which the first tree is installed, beside files of others."""
    host = TreeHost(folder)
    host.install(ONE)
    for path, content in FOREIGN.items():
        (host.root / path).write_bytes(content)
    return host


def present(host: TreeHost) -> dict[str, bytes]:
    """Return all files of the tree but those with the name of a staged file."""
    is_staged = re.compile(r"\.zkexec-[0-9a-f]{16}$").search
    return {path: content for path, content in host.files.items() if not is_staged(path)}


def folders_of(files: Mapping[str, bytes]) -> set[str]:
    """Return all folders that these files are in."""
    return {str(folder) for path in files for folder in Path(path).parents} - {"."}


@pytest.mark.skipif(which("strace") is None, reason="strace is not installed")
@pytest.mark.parametrize(
    "call",
    ["pwrite64", "fsync", "linkat", "rename", "renameat", "mkdirat", "unlinkat", "fchmod"],
)
def test_sudden_death_at_each_step(tmp_path: Path, call: str) -> None:
    """Each file is old or new, no foreign file is touched, and the next start forgets none."""
    folder, backup = tmp_path / "host", tmp_path / "backup"
    for occasion in range(1, 100):
        folder.mkdir()
        prepared(folder)
        inject = f"inject={call}:signal=KILL:when={occasion}"
        strace = ["strace", "-qq", "-o", os.devnull, "-e", f"trace={call}", "-e", inject]
        command = writer(folder, TWO, "host.install(files)")
        status = subprocess.run([*strace, *command], env=environment(), check=False).returncode
        folder.rename(backup)
        for after in (ONE, TWO, {}):
            copytree(backup, folder, symlinks=True)
            check_next_start(folder, after, f"{call} {occasion}")
            rmtree(folder)
        rmtree(backup)
        if status == 0:
            break
        assert status in (-signal.SIGKILL, 128 + signal.SIGKILL)
    assert 1 < occasion < 99


def check_next_start(folder: Path, after: Mapping[str, bytes], step: str) -> None:
    """Check what a killed zkexec has left, and that the next one has these files in the end."""
    host = TreeHost(folder)
    found = present(host)
    for path, content in found.items():
        assert content in (ONE.get(path), TWO.get(path), FOREIGN.get(path)), f"{step}: {path}"
    assert found.items() >= FOREIGN.items(), step
    host.install(after)
    assert host.files == {**after, **FOREIGN}, step
    assert host.kept == [], step
    assert host.folders == sorted({"old", *folders_of(after)}), step
    assert os.listdir(folder / "state") == ["z.state"], step


@pytest.mark.skipif(which("strace") is None, reason="strace is not installed")
def test_all_is_durable_before_the_state_says_so(tmp_path: Path) -> None:
    """Each changed folder is synced, those of new folders too, and then the state is moved."""
    host = prepared(tmp_path)
    trace = tmp_path / "trace"
    strace = ["strace", "-y", "-o", str(trace), "-e", "trace=fsync,rename,linkat,renameat,unlinkat"]
    subprocess.run(
        [*strace, *writer(tmp_path, TWO, "host.install(files)")], env=environment(), check=True
    )
    lines = trace.read_text().splitlines()
    is_move = re.compile(rf'^rename\(.*, "{host.state_file.path}"\) = 0').match
    before, after, *_ = (number for number, line in enumerate(lines) if is_move(line))
    synced = {
        found[1] or "."
        for line in lines[before:after]
        if (found := re.search(rf"^fsync\(\d+<{host.root}/?([^>#]*)>", line))
    }
    assert synced == {".", "a", "a/c", "new", "new/x", "old/x"}


# Makes the folder "sub" a link that leads outside, and a folder again, all the time.
FLIPPER = """
import os, shutil, sys
root, outside = sys.argv[1:]
os.chdir(root)
print("ready", flush=True)
while True:
    try:
        os.rename("sub", "aside")
        os.symlink(outside, "sub")
        os.unlink("sub")
        os.rename("aside", "sub")
    except OSError:
        if os.path.isdir("sub"):
            shutil.rmtree("aside", ignore_errors=True)
        elif os.path.isdir("aside"):
            os.rename("aside", "sub")
"""


def test_no_link_leads_out_of_the_tree(tmp_path: Path) -> None:
    """A folder that becomes a link and back all the time: nothing outside ever changes."""
    outside = tmp_path / "outside"
    (outside / "deep").mkdir(parents=True)
    for name in ("a", "b", "deep/c"):
        (outside / name).write_bytes(b"theirs")
    before = outside.stat(), (outside / "deep").stat()
    host = TreeHost(tmp_path)
    host.install({"sub/a": b"0", "sub/deep/c": b"0"})
    code = (
        "done = failed = 0\n"
        f"for turn in range({INSTALLS}):\n"
        "    names = ['a', 'deep/c'] if turn % 2 else ['a', 'b', 'deep/d']\n"
        "    try:\n"
        "        host.install({f'sub/{name}': b'%d' % turn for name in names})\n"
        "        done += 1\n"
        "    except InstallError:\n"
        "        failed += 1\n"
        "print(done, failed, flush=True)\n"
    )
    flipper = [sys.executable, "-c", FLIPPER, str(host.root), str(outside)]
    with Program(*flipper) as flipping:
        flipping.until("ready", on=flipping.stdout)
        result = subprocess.run(
            writer(tmp_path, {}, code),
            env=environment(),
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
    done, failed = map(int, result.stdout.split())
    assert done + failed == INSTALLS
    assert done
    assert failed
    assert {
        path.name: path.read_bytes() for path in outside.rglob("*") if path.is_file()
    } == dict.fromkeys("abc", b"theirs")
    after = outside.stat(), (outside / "deep").stat()
    assert [one.st_mtime_ns for one in before] == [one.st_mtime_ns for one in after]
