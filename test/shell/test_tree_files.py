"""Files of a tree: each below its folder, removed again, and nothing else is touched."""

import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from shell.tree_host import TreeHost, descriptors
from zkexec.files.file_change import InstallError
from zkexec.files.installer import Installer
from zkexec.files.target_layout import TargetLayout
from zkexec.files.tree_folder import TreeFolder
from zkexec.frozen import replace


@pytest.fixture
def host(tmp_path: Path) -> TreeHost:
    """A host on which nothing is installed yet."""
    return TreeHost(tmp_path)


def test_each_file_is_below_the_folder(host: TreeHost) -> None:
    """Files and their folders are made, a second install of the same writes nothing."""
    files = {"a": b"1", "b/c": b"2", "b/zknode.data": b"3", "b/d/e": b"4"}
    assert sorted(host.install(files)) == sorted(files)
    assert host.files == files
    assert host.listed == sorted(files)
    assert host.install(files) == []


def test_nothing_is_seen_until_installed(host: TreeHost) -> None:
    """Staging shows no file; discarding removes the folders that were made for it."""
    host.root.mkdir()
    host.stage({"a": b"1", "b/c": b"2"})
    assert host.files == {}
    host.installer.discard()
    assert list(host.root.iterdir()) == []


def test_no_descriptor_stays_open(host: TreeHost) -> None:
    """After an install, and after staging that failed, no folder is open any more."""
    before = descriptors()
    host.install({"a/b/c": b"1", "d": b"2"})
    (host.root / "e").mkdir()
    with pytest.raises(InstallError):
        host.stage({"e": b"3", "f/g": b"4"})
    assert descriptors() == before


def test_what_is_not_wanted_any_more_is_removed(host: TreeHost) -> None:
    """A removed file takes the folders along that zkexec has made and that are empty now."""
    host.install({"a": b"1", "b/c/d": b"2", "e/f": b"3"})
    (host.root / "e" / "foreign").write_bytes(b"!")
    assert host.install({"a": b"1"}) == []
    assert host.installer.removed == (f"{host.root}/b/c/d", f"{host.root}/e/f")
    assert host.files == {"a": b"1", "e/foreign": b"!"}
    assert host.folders == ["e"]
    assert host.listed == ["a"]


def test_the_next_start_removes_as_well(host: TreeHost) -> None:
    """The state file lists what another zkexec process has installed before."""
    host.install({"a": b"1", "b/c": b"2"})
    host.start()
    host.install({"a": b"1"})
    assert host.files == {"a": b"1"}
    assert host.folders == []


def test_a_folder_that_was_there_before_stays(host: TreeHost) -> None:
    """Only folders that zkexec has made are removed, and never that of the tree."""
    (host.root / "theirs").mkdir(parents=True)
    host.install({"theirs/a": b"1", "ours/a": b"1"})
    assert host.folders == ["ours", "theirs"]
    host.install({})
    assert host.files == {}
    assert host.folders == ["theirs"]


def test_a_folder_of_zkexec_with_a_foreign_file_is_removed_later(host: TreeHost) -> None:
    """It stays while the file is in it, and goes with the first install after that."""
    host.install({"a/b": b"1"})
    (host.root / "a" / "foreign").touch()
    host.install({"c": b"1"})
    assert host.folders == ["a"]
    (host.root / "a" / "foreign").unlink()
    host.install({"c": b"2"})
    assert host.folders == []


def test_a_changed_file_stays_with_one_warning(host: TreeHost) -> None:
    """A listed file with another content is not what zkexec has installed any more."""
    host.install({"a": b"1", "b": b"2"})
    (host.root / "a").write_bytes(b"edited")
    host.install({"c": b"3"})
    host.install({"c": b"4"})
    assert host.files == {"a": b"edited", "c": b"4"}
    assert host.kept == [f"{host.root}/a"]


def test_a_file_that_changes_after_staging_stays(host: TreeHost) -> None:
    """What another process writes between staging and installing is not removed."""
    host.install({"a": b"1", "b": b"2"})
    host.stage({"b": b"3"})
    (host.root / "a").write_bytes(b"edited")
    host.installer.install()
    assert host.files == {"a": b"edited", "b": b"3"}
    assert host.kept == [f"{host.root}/a"]


@pytest.mark.parametrize("state", [None, b"", b"{", b"[]", b'{"format": 1}'])
def test_without_a_state_nothing_is_removed(host: TreeHost, state: bytes | None) -> None:
    """If the state file is missing or unreadable, the files count as unknown."""
    host.install({"a": b"1", "b": b"2"})
    path = Path(host.state_file.path)
    path.unlink() if state is None else path.write_bytes(state)
    host.start()
    host.install({"b": b"3"})
    assert host.files == {"a": b"1", "b": b"3"}
    assert host.listed == ["b"]
    assert host.kept == []


@pytest.mark.parametrize("way", ["../victim", "b/../../victim", "./../victim", "b//../../victim"])
def test_a_state_leads_nowhere_else(host: TreeHost, way: str) -> None:
    """Paths in the state file that leave the folder of the tree remove nothing there."""
    host.install({"a": b"1", "b/c": b"1"})
    victim = host.root.parent / "victim"
    names = ["a", ".a.zkexec-0123456789abcdef", "empty"]
    for folder in (victim, host.root):
        (folder / "empty").mkdir(parents=True)
        (folder / names[1]).touch()
    (victim / "a").write_bytes(b"1")
    path = f"{host.root}/{way}"
    state = host.state
    host.state_file.write(
        replace(
            state,
            files={**state.files, f"{path}/a": state.files[f"{host.root}/a"]},
            folders=(*state.folders, f"{path}/empty"),
            pending=((f"{path}/a", state.files[f"{host.root}/a"]),),
            removed=(f"{path}/a",),
        )
    )
    host.start()
    host.install({"b/c": b"2"})
    assert sorted(one.name for one in victim.iterdir()) == sorted(names)
    assert sorted(one.name for one in host.root.iterdir()) == ["b", "empty"]


@pytest.mark.parametrize("folder", ["..", "a/..", "a/../..", ".", "a/.", "a//b", "/", "a/"])
def test_no_folder_outside_is_opened(host: TreeHost, folder: str) -> None:
    """Whatever asks for a folder of a tree gets none that is not below it."""
    host.install({"a/b/c": b"1"})
    tree = TreeFolder(str(host.root))
    try:
        assert tree.names("a/b") == ["c"]
        with pytest.raises(OSError, match="Leads out of the tree"):
            tree.open(folder)
    finally:
        tree.close()


def test_a_file_at_a_wanted_path_becomes_one_of_the_tree(host: TreeHost) -> None:
    """It keeps its mode, and is removed with the tree's other files."""
    host.root.mkdir()
    for name, content in (("same", b"1"), ("other", b"?")):
        (host.root / name).write_bytes(content)
        (host.root / name).chmod(0o640)
    assert host.install({"same": b"1", "other": b"1"}) == ["other"]
    assert host.mode("other") == 0o640
    host.install({})
    assert host.files == {}


def test_an_empty_tree(host: TreeHost) -> None:
    """A tree without files has its folder, and nothing in it."""
    host.install({})
    assert host.root.is_dir()
    assert host.files == {}


def test_the_folder_can_be_a_link(host: TreeHost, tmp_path: Path) -> None:
    """The folder of the tree itself is followed, and stays a link."""
    (tmp_path / "real").mkdir()
    host.root.symlink_to("real")
    host.install({"a/b": b"1"})
    assert (tmp_path / "real" / "a" / "b").read_bytes() == b"1"
    assert host.root.is_symlink()


def test_a_link_at_the_path_of_a_file_is_replaced(host: TreeHost, tmp_path: Path) -> None:
    """What it leads to is not touched; if the install fails, the link is put back."""
    outside = tmp_path / "outside"
    outside.write_bytes(b"theirs")
    host.root.mkdir()
    (host.root / "a").symlink_to(outside)
    host.stage({"a": b"1", "b": b"1"})
    (host.root / "b").mkdir()
    with pytest.raises(InstallError, match=f"^{host.root}/b: Is a directory$"):
        host.installer.install()
    assert os.readlink(host.root / "a") == str(outside)
    (host.root / "b").rmdir()
    host.install({"a": b"1", "b": b"1"})
    assert host.files == {"a": b"1", "b": b"1"}
    assert outside.read_bytes() == b"theirs"


def test_a_link_at_the_path_of_a_folder_is_an_error(host: TreeHost, tmp_path: Path) -> None:
    """Nothing is written through it, and the message names it."""
    (tmp_path / "outside").mkdir()
    host.root.mkdir()
    (host.root / "a").symlink_to(tmp_path / "outside")
    with pytest.raises(InstallError, match=f"^{host.root}/a: Is a symbolic link$"):
        host.stage({"a/b": b"1"})
    with pytest.raises(InstallError, match=f"^{host.root}/a: Is a symbolic link$"):
        host.stage({"a/b/c": b"1"})
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_folder_that_became_a_link_hides_its_files(host: TreeHost, tmp_path: Path) -> None:
    """Files of zkexec are not removed through a link that came later."""
    host.install({"a/b": b"1", "c": b"1"})
    (host.root / "a").rename(tmp_path / "outside")
    (host.root / "a").symlink_to(tmp_path / "outside")
    host.install({"c": b"2"})
    assert (tmp_path / "outside" / "b").read_bytes() == b"1"
    assert (host.root / "a").is_symlink()


@pytest.mark.parametrize("again", [False, True])
def test_the_shape_changes(host: TreeHost, again: bool) -> None:
    """A file becomes a folder and a folder a file in one install, and back."""
    one = {"a": b"1", "b/c/d": b"2", "b/zknode.data": b"3", "z": b"4"}
    two = {"a/b": b"1", "a/zknode.data": b"1", "a/c/d": b"5", "b": b"2", "z": b"4"}
    for files in (one, two, one):
        if again:
            host.start()
        host.install(files)
        assert host.files == files
        assert host.listed == sorted(files)
    host.install({})
    assert (host.files, host.folders) == ({}, [])


@pytest.mark.parametrize("blocked", ["z", "b", "a/c/d"])
def test_a_change_of_shape_is_put_back(host: TreeHost, blocked: str) -> None:
    """If one file cannot be installed, files and folders are what they were, with their modes."""
    one = {"a": b"1", "b/c/d": b"2", "b/zknode.data": b"3", "gone": b"!"}
    host.install(one)
    (host.root / "b" / "c").chmod(0o711)
    (host.root / "a").chmod(0o640)
    inode = (host.root / "a").stat().st_ino
    host.stage({"a/b": b"1", "a/c/d": b"5", "b": b"2", "z": b"4"})
    obstacle = {"z": host.root / "z", "b": host.root / "b/c/foreign", "a/c/d": host.root / "a"}
    if blocked == "a/c/d":
        obstacle[blocked].write_bytes(b"edited")
    else:
        obstacle[blocked].mkdir()
    with pytest.raises(InstallError):
        host.installer.install()
    if blocked == "a/c/d":
        obstacle[blocked].write_bytes(b"1")
    else:
        obstacle[blocked].rmdir()
    assert host.files == one
    assert host.folders == ["b", "b/c"]
    assert (host.mode("b/c"), host.mode("a")) == (0o711, 0o640)
    assert (host.root / "a").stat().st_ino == inode
    host.start()
    host.install({"z": b"1"})
    assert (host.files, host.folders) == ({"z": b"1"}, [])


def test_a_foreign_file_at_the_path_of_a_folder_is_named(host: TreeHost) -> None:
    """It is an error of writing, also if zkexec has installed the file and others changed it."""
    host.install({"a": b"1"})
    (host.root / "b").write_bytes(b"theirs")
    with pytest.raises(InstallError, match=f"^{host.root}/b: Not a directory$"):
        host.stage({"b/c": b"1"})
    (host.root / "a").write_bytes(b"edited")
    with pytest.raises(InstallError, match=f"^{host.root}/a: Not a directory$"):
        host.stage({"a/c": b"1"})
    assert host.files == {"a": b"edited", "b": b"theirs"}


def test_a_foreign_folder_at_the_path_of_a_file_is_named(host: TreeHost) -> None:
    """A folder that zkexec has not made, or with a file of others in it, is not removed."""
    host.install({"a/b": b"1"})
    (host.root / "c").mkdir()
    with pytest.raises(InstallError, match=f"^{host.root}/c: Is a directory$"):
        host.stage({"c": b"1"})
    (host.root / "a" / "foreign").touch()
    with pytest.raises(InstallError, match="Is a directory, and a/foreign in it is not of zkexec"):
        host.stage({"a": b"1"})
    assert host.files == {"a/b": b"1", "a/foreign": b""}


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["fifo", "directory"])
def test_what_is_no_file_is_an_error(host: TreeHost, make: Callable[[Path], None]) -> None:
    """A fifo or a folder at the path of a file blocks nothing, and stays."""
    host.root.mkdir()
    make(host.root / "a")
    with pytest.raises(InstallError, match=f"^{host.root}/a: Is (a directory|not a regular file)$"):
        host.stage({"a": b"1"})
    assert [path.name for path in host.root.iterdir()] == ["a"]


def test_a_failed_removal_puts_all_back(host: TreeHost) -> None:
    """If the state cannot be written in the end, added, changed and removed files are undone."""
    host.install({"a": b"1", "b/c": b"2"})
    (host.root / "b" / "c").chmod(0o604)
    inode = (host.root / "b" / "c").stat().st_ino
    host.stage({"a": b"3", "d/e": b"4"})
    state = Path(host.state_file.path)
    content = state.read_bytes()
    state.unlink()
    state.mkdir()
    with pytest.raises(InstallError, match=f"^{state}: "):
        host.installer.install()
    assert host.files == {"a": b"1", "b/c": b"2"}
    assert host.folders == ["b"]
    assert (host.root / "b" / "c").stat().st_ino == inode
    assert host.mode("b/c") == 0o604
    state.rmdir()
    state.write_bytes(content)
    host.install({"a": b"3", "d/e": b"4"})
    assert host.files == {"a": b"3", "d/e": b"4"}


def test_a_state_that_cannot_be_written_is_an_error_of_staging(host: TreeHost) -> None:
    """Before anything is installed, the state file has to take what is to be there."""
    folder = Path(host.state_file.path).parent
    folder.write_bytes(b"no folder")
    with pytest.raises(InstallError, match=f"^{folder}/z.state: "):
        host.stage({"a/b": b"1"})
    assert (host.files, host.folders) == ({}, [])


def test_two_trees_are_apart(tmp_path: Path) -> None:
    """Two folders that are the same one by a link are an error: each would remove the other's."""
    (tmp_path / "one").mkdir()
    (tmp_path / "two").symlink_to("one")
    layout = TargetLayout(folders=(f"{tmp_path}/one/", f"{tmp_path}/two/"))
    host = TreeHost(tmp_path)
    installer = Installer(lambda *_: None, layout)
    with pytest.raises(InstallError, match="is the same folder as"):
        installer.stage(host.snapshot({}))


@pytest.mark.parametrize("name", ["n" * 255, os.fsdecode(b"\xff\xfe"), "new\nline *[a]", " ", "-x"])
def test_odd_names(host: TreeHost, name: str) -> None:
    """Each name that a filesystem can have is that of a file and of a folder."""
    files = {name: b"1", f"d/{name}": b"2", f"e{name[:254]}/{name}": b"3"}
    host.install(files)
    assert host.files == files
    host.start()
    host.install({"d": b"4"})
    assert host.files == {"d": b"4"}


@pytest.mark.parametrize("path", ["../x", "a/../../x", "a/./x", "/x", "a//x", "a\0b", "..", "a/"])
def test_a_path_that_leads_elsewhere_is_refused(host: TreeHost, path: str) -> None:
    """Whatever a server sends, nothing is written outside the folder of the tree."""
    with pytest.raises(InstallError, match=r"cannot be the path of a file$"):
        host.stage({"ok": b"1", path: b"1"})
    assert sorted(one.name for one in host.root.parent.iterdir()) == ["tree"]
    assert host.files == {}


def test_a_name_that_is_too_long_is_an_error_of_staging(host: TreeHost) -> None:
    """Nothing is installed, and no folder stays."""
    for path in ("n" * 256, "d/" + "n" * 256, "n" * 256 + "/d"):
        with pytest.raises(InstallError, match="File name too long"):
            host.stage({"a/b": b"1", path: b"1"})
    assert (host.files, host.folders) == ({}, [])


def test_contents_of_removed_files_are_not_kept_in_memory(host: TreeHost) -> None:
    """A tree whose names change takes as much memory as what is in it now."""
    size = 1_000_000
    tracemalloc.start()
    try:
        for number in range(10):
            host.install({f"job-{number}": bytes(size)})
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert list(host.files) == ["job-9"]
    assert peak > size
    assert kept < 3 * size


@pytest.mark.parametrize(("name", "depth"), [("folder-in-a-folder", 400), ("d", 2000)])
def test_a_deep_tree(host: TreeHost, name: str, depth: int) -> None:
    """Folders can be nested deeper than a path can be long, and few of them are open at once."""
    path = "/".join([name] * depth)
    before = len(descriptors())
    host.stage({f"{path}/a": b"1", f"{path}/b": b"2"})
    assert len(descriptors()) < before + 20
    host.installer.install()
    host.start()
    assert host.install({f"{path}/a": b"1", f"{path}/b": b"3"}) == [f"{path}/b"]
    host.install({})
    assert list(host.root.iterdir()) == []
