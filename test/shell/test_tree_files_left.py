"""What zkexec could not remove from a tree: it stays its own, and goes as soon as it can."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from shell.ground import Ground, append_only, needs_chattr, needs_root
from shell.tree_host import TreeHost
from zkexec.files.file_change import InstallError


@pytest.fixture
def ground() -> Iterator[Ground]:
    """A folder of this test alone."""
    own = Ground()
    yield own
    own.close()


@pytest.mark.parametrize("later", [{"n": b"a file"}, {"other": b"1"}])
@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("again", [False, True])
def test_a_folder_that_was_made_while_staging_stays_known(
    tmp_path: Path, later: Mapping[str, bytes], first: bool, again: bool
) -> None:
    """If it cannot be removed, it can become a file later, or is removed with the next install."""
    host = TreeHost(tmp_path)
    if not first:
        host.install({"a": b"1"})
    host.stage({"n/m/o": b"2"})
    foreign = host.root / "n" / "m" / "foreign"
    foreign.touch()
    host.installer.discard()
    assert host.folders == ["n", "n/m"]
    if again:
        host.start()
    with pytest.raises(InstallError, match="foreign in it is not of zkexec"):
        host.stage({"n": b"a file"})
    foreign.unlink()
    host.install(later)
    assert (host.files, host.folders) == (later, [])


def test_a_folder_that_could_not_be_removed_is_in_the_state(tmp_path: Path) -> None:
    """A state that is written later still lists it, so that the next zkexec knows it as well."""
    host = TreeHost(tmp_path)
    host.install({"a": b"1"})
    host.stage({"n/m": b"2"})
    (host.root / "n" / "foreign").touch()
    host.installer.discard()
    host.installer.remember(host.snapshot({"a": b"1"}), was_healthy=True)
    host.start()
    host.install({"a": b"1", "n/m": b"2"})
    assert host.state.folders == (f"{host.root}/n",)


@needs_root
@needs_chattr
def test_a_folder_stays_known_after_a_failed_install(ground: Ground) -> None:
    """If its folder became append-only, what was made in it is removed or replaced afterwards."""
    host = TreeHost(ground.path)
    host.install({"a": b"1"})
    host.stage({"n/m": b"2", "n/o/p": b"2"})
    with append_only(host.root), pytest.raises(InstallError, match="Operation not permitted"):
        host.installer.install()
    assert (host.files, host.folders) == ({"a": b"1"}, ["n"])
    host.install({"n": b"a file"})
    assert (host.files, host.folders) == ({"n": b"a file"}, [])


@needs_root
@needs_chattr
def test_a_staged_file_that_is_left_blocks_no_change_of_shape(ground: Ground) -> None:
    """What could not be removed while a folder was append-only is gone before it becomes a file."""
    host = TreeHost(ground.path)
    host.install({"x/y": b"1"})
    host.stage({"x/y": b"2"})
    with append_only(host.root / "x"):
        host.installer.install()
        assert len(host.files) == 2
        host.install({"x/y": b"3"})
        assert len(host.files) == 2
    host.install({"x": b"4"})
    assert (host.files, host.folders) == ({"x": b"4"}, [])
    assert [reason for _, reason in host.written_in_place] == [
        "it cannot be renamed over (Operation not permitted)"
    ]
