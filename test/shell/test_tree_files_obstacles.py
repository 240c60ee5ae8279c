"""Trees with something in the way: full disks, mounts, missing rights, many files."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from shell.ground import Ground, fill, needs_chattr, needs_root
from shell.tree_host import TreeHost
from zkexec.files.file_change import InstallError


@pytest.fixture
def ground() -> Iterator[Ground]:
    """A folder of this test alone."""
    own = Ground()
    yield own
    own.close()


@needs_root
def test_a_full_disk_fails_staging(ground: Ground) -> None:
    """The message names the file, and old files and folders stay; with room it is installed."""
    host = TreeHost(ground.path)
    host.root = ground.mount("tree", "-o", "size=64k")
    host.install({"a": b"1", "b/c": b"2"})
    filler = fill(host.root)
    with pytest.raises(InstallError, match=f"^{host.root}/d/e: No space left on device$"):
        host.stage({"d/e": b"x" * 10_000})
    filler.unlink()
    assert host.files == {"a": b"1", "b/c": b"2"}
    assert host.folders == ["b"]
    host.install({"d/e": b"x" * 10_000})
    assert [*host.files] == ["d/e"]


@needs_root
def test_too_few_inodes_fail_staging(ground: Ground) -> None:
    """Without an inode for a folder or a file nothing is installed, and no folder stays."""
    host = TreeHost(ground.path)
    host.root = ground.mount("tree", "-o", "nr_inodes=6")
    host.install({"a": b"1"})
    for files in ({f"b/{number}": b"2" for number in range(6)}, {"b/c/d/e/f/g": b"3"}):
        with pytest.raises(InstallError, match=r"No space left on device$"):
            host.stage({"a": b"2", **files})
    assert (host.files, host.folders) == ({"a": b"1"}, [])


@needs_root
def test_a_full_disk_of_the_state_fails_staging(ground: Ground) -> None:
    """The state of afterwards is on disk before anything is installed."""
    state = ground.mount("state", "-o", "size=16k")
    host = TreeHost(ground.path)
    host.install({"a": b"1"})
    fill(state)
    with pytest.raises(InstallError, match=f"^{state}/z.state: No space left on device$"):
        host.stage({f"{number}": b"2" for number in range(100)})
    assert host.files == {"a": b"1"}
    assert host.listed == ["a"]


@needs_root
def test_a_mounted_file_is_written_in_place_and_never_removed(ground: Ground) -> None:
    """A file of the tree that is a mount point is written through, with one warning."""
    host = TreeHost(ground.path)
    host.install({"a/b": b"1", "c": b"1"})
    source = ground.path / "source"
    source.write_bytes(b"1")
    ground.bind(source, host.root / "a" / "b")
    host.install({"a/b": b"longer", "c": b"1"})
    host.install({"a/b": b"2", "c": b"1"})
    assert source.read_bytes() == b"2"
    assert host.written_in_place == [(f"{host.root}/a/b", "it is a mount point")]
    host.install({"c": b"1"})
    assert host.files == {"a/b": b"2", "c": b"1"}
    assert host.kept == [f"{host.root}/a/b"]


@needs_root
def test_another_filesystem_below_the_folder(ground: Ground) -> None:
    """A folder of the tree can be a mount point: its files are written and removed in it."""
    host = TreeHost(ground.path)
    host.root.mkdir()
    ground.mount("tree/sub")
    host.install({"sub/a/b": b"1", "c": b"1"})
    assert host.files == {"sub/a/b": b"1", "c": b"1"}
    host.install({})
    assert (host.files, host.folders) == ({}, ["sub"])


@needs_root
def test_a_read_only_folder_fails_staging(ground: Ground) -> None:
    """What is to be written or removed below it is an error before anything is touched."""
    host = TreeHost(ground.path)
    host.install({"a/b": b"1", "c": b"1"})
    ground.bind(host.root / "a", host.root / "a", read_only=True)
    for files, named in (
        ({"a/b": b"2", "c": b"1"}, "a/b: Read-only file system"),
        ({"a/new": b"2", "a/b": b"1"}, "a/new: Read-only file system"),
        ({"a/d/e": b"2", "a/b": b"1"}, "a/d: Read-only file system"),
        ({"c": b"2"}, "a/b: Its folder cannot be written"),
    ):
        with pytest.raises(InstallError, match=f"^{host.root}/{named}$"):
            host.stage(files)
    assert host.files == {"a/b": b"1", "c": b"1"}


@needs_root
@needs_chattr
@pytest.mark.parametrize("flag", ["i", "a"])
def test_an_immutable_file_fails_staging(ground: Ground, flag: str) -> None:
    """It can neither be replaced nor removed, nor make room for a folder."""
    host = TreeHost(ground.path)
    host.install({"a": b"1", "c": b"1"})
    if subprocess.run(["chattr", f"+{flag}", host.root / "a"], check=False).returncode:
        pytest.skip("this filesystem knows no such files")
    try:
        for files in ({"a": b"2"}, {"c": b"2"}, {"a/b": b"2"}):
            with pytest.raises(InstallError, match=f"^{host.root}/a: Operation not permitted$"):
                host.stage(files)
    finally:
        subprocess.run(["chattr", f"-{flag}", host.root / "a"], check=True)
    assert host.files == {"a": b"1", "c": b"1"}


@needs_root
def test_without_proc_named_files_are_staged(ground: Ground) -> None:
    """If /proc is missing, trees are installed all the same, also of other shapes."""
    hidden = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs tmpfs /proc && exec "$@"', "sh")
    if subprocess.run([*hidden, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine allows no mounts")
    host = TreeHost(ground.path)
    host.install({"a": b"1", "b/c": b"1", "d": b"1"})
    code = (
        "import sys; from pathlib import Path; from shell.tree_host import TreeHost\n"
        "host = TreeHost(Path(sys.argv[1]))\n"
        "host.install({'a/b/c': b'2', 'a/zknode.data': b'2', 'b': b'2'})\n"
    )
    subprocess.run(
        [*hidden, sys.executable, "-c", code, ground.path],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=True,
    )
    assert host.files == {"a/b/c": b"2", "a/zknode.data": b"2", "b": b"2"}
    assert host.folders == ["a", "a/b"]


def test_few_descriptors_are_enough(tmp_path: Path) -> None:
    """If a process may open few files, many are installed and removed all the same."""
    code = (
        "import resource, sys; from pathlib import Path\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))\n"
        "from shell.tree_host import TreeHost\n"
        "host = TreeHost(Path(sys.argv[1]))\n"
        "for content in (b'old', b'new'):\n"
        "    files = {f'{n % 20}/{n % 7}/x/y/{n}': content for n in range(300)}\n"
        "    assert len(host.install(files)) == 300\n"
        "assert host.files == files\n"
        "host.install({f'{n}/a': b'other' for n in range(300)})\n"
        "assert len(host.files) == 300\n"
        "host.install({})\n"
        "assert host.files == {}\n"
        "assert host.folders == []\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=environment, check=True)


def test_the_largest_tree(tmp_path: Path) -> None:
    """5,000 files in 500 folders are installed, changed and removed, each exactly."""
    host = TreeHost(tmp_path)
    files = {f"{n % 50}/{n % 500}/{n}": b"%d" % n for n in range(5000)}
    assert len(host.install(files)) == 5000
    assert host.files == files
    host.start()
    changed = {**files, "0/0/0": b"changed", "0/0/new": b"new"}
    del changed["1/1/1"]
    assert sorted(host.install(changed)) == ["0/0/0", "0/0/new"]
    assert host.installer.removed == (f"{host.root}/1/1/1",)
    assert host.files == changed


class TestWithoutRights:
    """What a process of an ordinary user meets."""

    CODE = """
import json, os, re, sys
from pathlib import Path
from shell.tree_host import TreeHost
from zkexec.files.file_change import InstallError
os.setgroups([]); os.setgid(65534); os.setuid(65534)
host = TreeHost(Path(sys.argv[1]))
for text in sys.argv[2:]:
    try:
        files = {path: content.encode() for path, content in json.loads(text).items()}
        print(sorted(host.install(files)))
    except InstallError as error:
        print(error)
print(host.written_in_place)
"""

    @needs_root
    def test_a_folder_of_others_is_written_in_place(self, ground: Ground) -> None:
        """A file that may be written is, in a folder that may not; a new one is an error."""
        ground.path.chmod(0o777)
        folder = ground.path / "tree" / "theirs"
        folder.mkdir(parents=True)
        (folder / "a").write_bytes(b"old")
        (folder / "a").chmod(0o666)
        result = subprocess.run(
            [
                sys.executable,
                "-c",
                self.CODE,
                ground.path,
                '{"theirs/a": "1"}',
                '{"theirs/b": "1"}',
            ],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        reason = "its folder cannot be written (Permission denied)"
        assert result.stdout.splitlines() == [
            "['theirs/a']",
            f"{folder}/a: Its folder cannot be written",
            f"[('{folder}/a', '{reason}')]",
        ]
        assert (folder / "a").read_bytes() == b"1"
