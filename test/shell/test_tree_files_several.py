"""Several trees of one zkexec: each changes its shape as if it were the only one."""

from pathlib import Path

import pytest

from shell.tree_host import TreeHost
from zkexec.files.file_change import InstallError

TREES = ("one", "two", "three")


def in_each(trees: tuple[str, ...], files: dict[str, bytes]) -> dict[str, bytes]:
    """Return these files in each of the trees."""
    return {f"{tree}/{path}": content for tree in trees for path, content in files.items()}


@pytest.mark.parametrize("number", [2, 3])
@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("changing", [1, 3])
def test_the_shape_of_trees_changes(
    tmp_path: Path, number: int, again: bool, changing: int
) -> None:
    """A file becomes a folder in one tree or in all; no file is lost, and no old content stays."""
    trees = TREES[:number]
    host = TreeHost(tmp_path, trees=trees)
    one = {"a": b"old", "b/c": b"2", "kept": b"3"}
    two = {"a/in": b"new", "a/zknode.data": b"4", "b": b"5", "kept": b"3"}
    for files in (one, two, one, two):
        wanted = {**in_each(trees[:changing], files), **in_each(trees[changing:], one)}
        if again:
            host.start()
        host.install(wanted)
        assert host.files == wanted
        assert host.listed == sorted(wanted)
    host.install({})
    assert (host.files, host.folders) == ({}, sorted(trees))


@pytest.mark.parametrize("number", [2, 3])
@pytest.mark.parametrize("again", [False, True])
def test_the_shape_of_trees_is_put_back(tmp_path: Path, number: int, again: bool) -> None:
    """If the last file of the last tree cannot be installed, all trees are what they were."""
    trees = TREES[:number]
    host = TreeHost(tmp_path, trees=trees)
    one = in_each(trees, {"a": b"old", "b/c": b"2"})
    two = in_each(trees, {"a/in": b"new", "b": b"5", "z": b"6"})
    host.install(one)
    if again:
        host.start()
    inodes = {path: (host.root / path).stat().st_ino for path in one}
    for _ in range(2):
        host.stage(two)
        obstacle = host.root / max(trees) / "z"
        obstacle.mkdir()
        with pytest.raises(InstallError, match=r"/z: Is a directory$"):
            host.installer.install()
        obstacle.rmdir()
        assert host.files == one
        assert {path: (host.root / path).stat().st_ino for path in one} == inodes
    host.install(two)
    assert host.files == two
