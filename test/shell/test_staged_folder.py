"""New files below a folder: all of them at their full paths, or nothing at all."""

import os
from pathlib import Path

import pytest

from zkexec.files.staged_folder import path_below, write_staged_folder

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


def test_a_path_with_dots_stays_below(tmp_path: Path) -> None:
    """A path that goes up is resolved as the kernel would, so a link before it counts."""
    (tmp_path / "real" / "inner").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real" / "inner")

    assert path_below("/new", "/../../x") == "/new/x"
    assert path_below("/new", f"{tmp_path}/link/../x") == f"/new{os.path.realpath(tmp_path)}/real/x"
    assert path_below("/new", "/a/b..c") == "/new/a/b..c"
