"""New files below a folder: all of them at their full paths, or nothing at all."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from zkexec.core.target_attributes import AttributeRule, TargetAttributes
from zkexec.files.staged_folder import path_below, write_staged_folder
from zkexec.files.target_layout import TargetLayout

FILES = {"/etc/app/a": b"one", "/b": b"two"}


def below(folder: Path) -> dict[str, bytes]:
    """All files below a folder, by their paths in it."""
    return {
        "/" + str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_each_file_is_at_its_full_path(tmp_path: Path) -> None:
    """Folders are made as they are needed, also those above the folder."""
    folder = tmp_path / "x" / "new"
    write_staged_folder(str(folder), FILES, FILES)

    assert below(folder) == FILES
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_tree_is_at_the_path_of_its_folder(tmp_path: Path) -> None:
    """All files of a tree are written, and an empty tree has its folder all the same."""
    files = {"/etc/app/x": b"1", "/etc/app/d/zknode.data": b"2", "/etc/app-old": b"3", "/b": b"4"}
    write_staged_folder(str(tmp_path), files, ["/etc/app/", "/b", "/srv/empty/"])

    assert below(tmp_path) == {path: files[path] for path in files if path != "/etc/app-old"}
    assert list((tmp_path / "srv" / "empty").iterdir()) == []


def test_a_folder_that_is_not_empty_is_left_alone(tmp_path: Path) -> None:
    """Nothing is written beside what is there."""
    (tmp_path / "mine").write_bytes(b"!")
    with pytest.raises(OSError, match="Directory not empty"):
        write_staged_folder(str(tmp_path), FILES, FILES)

    assert below(tmp_path) == {"/mine": b"!"}


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """The error has the path of the target; what was written is removed, a given folder stays."""
    wrong = {**FILES, "/b/c": b"a file cannot be in a file"}
    for folder in (tmp_path / "given", tmp_path / "new"):
        if folder.name == "given":
            folder.mkdir()
        with pytest.raises(OSError, match=r"File exists|Not a directory") as caught:
            write_staged_folder(str(folder), wrong, wrong)
        assert caught.value.filename == "/b/c"

    assert [path.name for path in tmp_path.iterdir()] == ["given"]
    assert list((tmp_path / "given").iterdir()) == []


def test_a_tree_can_be_deep(tmp_path: Path) -> None:
    """It is written deeper than calls can be nested, and not at all if a path is too long."""
    target = "/" + "d/" * 1500
    write_staged_folder(f"{tmp_path}/new", {f"{target}f": b"1"}, [target])
    try:
        assert Path(f"{tmp_path}/new{target}f").read_bytes() == b"1"
    finally:
        # What pytest removes in the end must not be as deep.
        subprocess.run(["rm", "-r", tmp_path / "new"], check=True)
    target = "/" + "d/" * 3000
    with pytest.raises(OSError, match="File name too long"):
        write_staged_folder(f"{tmp_path}/new", {f"{target}f": b"1"}, [target])
    assert list(tmp_path.iterdir()) == []


def test_variables_are_what_a_shell_reads(tmp_path: Path) -> None:
    """A shell that reads the file gets each value byte for byte; only this user can read it."""
    values = {"A": b"plain-1.5/x", "B": b"", "C": b"it's $HOME `x` \\ \"\n end", "D": b"\xff\xfe a"}
    folder = tmp_path / "new"
    write_staged_folder(str(folder), FILES, FILES, values)
    read = "set -a; . ./.env; env -0"
    run = subprocess.run(["sh", "-c", read], cwd=folder, env={}, capture_output=True, check=True)

    assert (folder / ".env").read_bytes().startswith(b"A=plain-1.5/x\nB=\n")
    assert stat.S_IMODE((folder / ".env").stat().st_mode) == 0o600
    found = dict(line.split(b"=", 1) for line in run.stdout.split(b"\0") if line)
    assert {name: found[name.encode()] for name in values} == values


@pytest.mark.parametrize("given", [False, True])
def test_a_file_is_as_accessible_as_its_target(tmp_path: Path, given: bool) -> None:
    """It gets the mode that an option gives to the target, also in a folder that all can enter."""
    rules = (AttributeRule("/etc/app/", mode=0o600), AttributeRule("/b", mode=0o664))
    layout = TargetLayout(attributes=TargetAttributes(rules if given else ()))
    umask = os.umask(0o022)
    try:
        write_staged_folder(str(tmp_path), FILES, FILES, None, layout.attributes_of)
    finally:
        os.umask(umask)

    assert below(tmp_path) == FILES
    modes = [stat.S_IMODE((tmp_path / path[1:]).stat().st_mode) for path in FILES]
    assert modes == ([0o600, 0o664] if given else [0o644, 0o644])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_a_file_gets_its_owner_if_it_can(tmp_path: Path) -> None:
    """A file whose owner cannot be given is written all the same, for this user alone."""
    script = (
        "from zkexec.files.staged_folder import write_staged_folder\n"
        "from zkexec.files.staged_file import Attributes\n"
        "import os\n"
        "os.chown('.', 12345, 12345)\n"
        "given = lambda path: Attributes(0o640 if path == '/a' else None, (os.getuid(), 1))\n"
        "for user in (0, 12345):\n"
        "    os.setresuid(user, user, user)\n"
        "    files = {'/a': b'1', '/b': b'2'}\n"
        "    write_staged_folder(f'./{user}', files, files, None, given)\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, umask=0o022, check=True)

    found = {}
    for path in tmp_path.glob("*/*"):
        status = path.stat()
        mode = stat.S_IMODE(status.st_mode)
        found[str(path.relative_to(tmp_path))] = (mode, status.st_gid == 1)
    assert found == {
        "0/a": (0o640, True),
        "0/b": (0o644, True),
        "12345/a": (0o600, False),
        "12345/b": (0o644, False),
    }


def test_without_variables_there_is_no_file_of_them(tmp_path: Path) -> None:
    """A folder for files alone has nothing else in it."""
    write_staged_folder(str(tmp_path / "one"), FILES, FILES, {})
    write_staged_folder(str(tmp_path / "two"), {}, (), {"A": b"x"})

    assert below(tmp_path / "one") == FILES
    assert below(tmp_path / "two") == {"/.env": b"A=x\n"}


def test_a_path_with_dots_stays_below(tmp_path: Path) -> None:
    """A path that goes up is resolved as the kernel would, so a link before it counts."""
    (tmp_path / "real" / "inner").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real" / "inner")

    assert path_below("/new", "/../../x") == "/new/x"
    assert path_below("/new", f"{tmp_path}/link/../x") == f"/new{os.path.realpath(tmp_path)}/real/x"
    assert path_below("/new", "/a/b..c") == "/new/a/b..c"
