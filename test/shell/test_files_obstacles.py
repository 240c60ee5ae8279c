"""Mirrored files where something stands in the way: full disks, mounts, missing rights.

Every obstacle is real.  Those that only root can build are skipped for others; what a person
without rights meets is played by a process that has given up its own.
"""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from shell.ground import Ground, append_only, fill, needs_chattr, needs_root
from zkexec.core.snapshot import Snapshot
from zkexec.core.target_attributes import AttributeRule, TargetAttributes
from zkexec.files.file_change import InstallError
from zkexec.files.installer import Installer
from zkexec.files.target_layout import TargetLayout

NOBODY = 65534

# Reads [uid, {path: content}] and prints what one stage and one install led to.
DRIVER = """
import json, os, sys
from zkexec.core.snapshot import Snapshot
from zkexec.files.file_change import InstallError
from zkexec.files.installer import Installer

uid, files = json.load(sys.stdin)
if os.getuid() == 0 and uid:
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)
told = {"warnings": [], "written": [], "error": ""}
mirror = Installer(lambda path, reason: told["warnings"].append([path, reason]))
try:
    mirror.stage(Snapshot({path: text.encode() for path, text in files.items()}))
    told["written"] = list(mirror.install())
except InstallError as failure:
    told["error"] = str(failure)
print(json.dumps(told))
"""


@pytest.fixture
def ground() -> Iterator[Ground]:
    """A folder of this test alone."""
    own = Ground()
    yield own
    own.close()


class Warnings(list[tuple[str, str]]):
    """The warnings that were given, as pairs of path and reason."""

    def __call__(self, path: str, reason: str) -> None:
        """Take one warning down."""
        self.append((path, reason))


def run_driver(uid: int, files: dict[Path, str], *prefix: str) -> dict[str, object]:
    """Stage and install in a process of this user."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    wanted = json.dumps([uid, {str(path): text for path, text in files.items()}])
    command = [*prefix, sys.executable, "-c", DRIVER]
    result = subprocess.run(
        command, env=environment, input=wanted, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    told: dict[str, object] = json.loads(result.stdout)
    return told


@needs_root
def test_full_disk_fails_staging(ground: Ground) -> None:
    """On a full disk staging fails, names the file, and leaves old files and room as they were."""
    folder = ground.mount("small", "-o", "size=64k")
    first, path = folder / "a", folder / "b"
    path.write_bytes(b"old" * 10000)
    free_before = os.statvfs(folder).f_bfree
    files = Installer(Warnings())
    with pytest.raises(InstallError, match=f"^{path}: No space left on device$"):
        files.stage(Snapshot({str(first): b"fits", str(path): b"secret" * 10000}))
    assert path.read_bytes() == b"old" * 10000
    assert os.listdir(folder) == ["b"]
    assert os.statvfs(folder).f_bfree == free_before


@needs_root
def test_what_cannot_be_put_back_is_told(ground: Ground) -> None:
    """A failed install whose way back fails too says which file is not what it was."""
    folder = ground.mount("small", "-o", "size=64k")
    path, last = folder / "a", folder / "b"
    path.write_bytes(b"secret" * 5000)
    files = Installer(Warnings())
    files.stage(Snapshot({str(path): b"new", str(last): b"new"}))
    fill(folder)
    # Held open, the old file gives no room free.
    with path.open("rb"):
        last.mkdir()
        with pytest.raises(InstallError) as caught:
            files.install()
    put_back = f"{path} could not be put back: No space left on device"
    assert str(caught.value) == f"{last}: Is a directory; {put_back}"
    assert path.read_bytes() == b"new"
    assert sorted(os.listdir(folder)) == ["a", "b", "filler"]


@needs_root
def test_single_file_mount_is_written_in_place(ground: Ground) -> None:
    """A bind-mounted file is written through, longer and shorter, with one warning in all."""
    source, path = ground.path / "source", ground.path / "odd name\\#\n"
    source.write_bytes(b"old")
    path.touch()
    ground.bind(source, path)
    inode = path.stat().st_ino
    warnings = Warnings()
    files = Installer(warnings)
    for content in (b"a longer one" * 1000, b"", b"short"):
        files.stage(Snapshot({str(path): content}))
        assert files.install() == (str(path),)
        assert source.read_bytes() == content
    assert path.stat().st_ino == inode
    assert warnings == [(str(path), "it is a mount point")]
    assert sorted(os.listdir(ground.path)) == sorted([path.name, "source"])


@needs_root
def test_mount_that_appears_after_staging(ground: Ground) -> None:
    """A target that becomes a mount point between staging and installing is written in place."""
    source, path = ground.path / "source", ground.path / "file"
    source.write_bytes(b"old")
    path.write_bytes(b"old")
    warnings = Warnings()
    files = Installer(warnings)
    files.stage(Snapshot({str(path): b"new"}))
    ground.bind(source, path)
    files.install()
    assert source.read_bytes() == b"new"
    assert warnings == [(str(path), "it cannot be renamed over (Device or resource busy)")]
    assert sorted(os.listdir(ground.path)) == ["file", "source"]


@needs_root
def test_in_place_without_room_fails_staging(ground: Ground) -> None:
    """A mounted file that would outgrow its full disk is an error before anything is written."""
    folder = ground.mount("small", "-o", "size=64k")
    source, path = folder / "source", ground.path / "file"
    source.write_bytes(b"old")
    path.touch()
    ground.bind(source, path)
    filler = fill(folder)
    files = Installer(Warnings())
    with pytest.raises(InstallError, match=f"^{path}: No space left on device$"):
        files.stage(Snapshot({str(path): b"n" * 5000}))
    assert source.read_bytes() == b"old"
    filler.unlink()
    other = ground.path / "a"
    other.write_bytes(b"old")
    before = other.stat()
    files.stage(Snapshot({str(path): b"n" * 5000, str(other): b"new"}))
    fill(folder)
    with pytest.raises(InstallError, match=f"^{path}: No space left on device$"):
        files.install()
    assert source.read_bytes() == b"old"
    # What may fail comes first, so that this file never had to be put back.
    assert other.stat().st_ctime_ns == before.st_ctime_ns


@needs_root
def test_in_place_is_put_back(ground: Ground) -> None:
    """A mounted file gets its old content back where a later file cannot be installed."""
    source, path, last = (ground.path / name for name in ("source", "z", "a"))
    source.write_bytes(b"old and long")
    path.touch()
    ground.bind(source, path)
    files = Installer(Warnings())
    files.stage(Snapshot({str(path): b"new", str(last): b"new"}))
    last.mkdir()
    with pytest.raises(InstallError, match=f"^{last}: Is a directory$"):
        files.install()
    assert source.read_bytes() == b"old and long"


@needs_root
@pytest.mark.parametrize("single_file", [True, False])
def test_read_only_mount_fails_staging(ground: Ground, single_file: bool) -> None:
    """On a read-only filesystem staging says so."""
    folder, source = ground.path / "folder", ground.path / "source"
    folder.mkdir()
    path = folder / "file"
    path.write_bytes(b"old")
    source.write_bytes(b"old")
    if single_file:
        ground.bind(source, path, read_only=True)
    else:
        ground.bind(folder, folder, read_only=True)
    for target in [path] if single_file else [path, folder / "new", folder / "deep" / "new"]:
        with pytest.raises(InstallError, match=f"^{target}: Read-only file system$"):
            Installer(Warnings()).stage(Snapshot({str(target): b"new"}))
    assert path.read_bytes() == b"old"


@needs_root
@needs_chattr
def test_immutable_file_and_folder(ground: Ground) -> None:
    """An immutable file fails staging; in an immutable folder a file is written in place."""
    path = ground.path / "file"
    path.write_bytes(b"old")
    warnings = Warnings()
    files = Installer(warnings)
    for immutable in (path, ground.path):
        if subprocess.run(["chattr", "+i", immutable], check=False).returncode:
            pytest.skip("this filesystem knows no immutable files")
        try:
            if immutable == path:
                with pytest.raises(InstallError, match=f"^{path}: Operation not permitted$"):
                    files.stage(Snapshot({str(path): b"new"}))
                assert path.read_bytes() == b"old"
            else:
                files.stage(Snapshot({str(path): b"new"}))
                files.install()
        finally:
            subprocess.run(["chattr", "-i", immutable], check=True)
    assert path.read_bytes() == b"new"
    assert warnings == [(str(path), "its folder cannot be written (Operation not permitted)")]


@needs_root
@needs_chattr
def test_file_that_can_only_be_appended_to(ground: Ground) -> None:
    """It fails staging, as an immutable one does, and not once the command was stopped."""
    path = ground.path / "file"
    path.write_bytes(b"old")
    if subprocess.run(["chattr", "+a", path], check=False).returncode:
        pytest.skip("this filesystem knows no such files")
    try:
        with pytest.raises(InstallError, match=f"^{path}: Operation not permitted$"):
            Installer(Warnings()).stage(Snapshot({str(path): b"new"}))
    finally:
        subprocess.run(["chattr", "-a", path], check=True)
    assert path.read_bytes() == b"old"


def with_mode(warnings: Warnings, path: Path) -> Installer:
    """Return an installer of one file that gets the mode 0600."""
    attributes = TargetAttributes((AttributeRule("", 0o600),))
    return Installer(warnings, TargetLayout(local_paths=(str(path),), attributes=attributes))


@needs_root
@needs_chattr
def test_a_file_in_an_append_only_folder_is_written_in_place(ground: Ground) -> None:
    """It has the mode that an option names before it has the content, and nothing is left."""
    path = ground.path / "file"
    path.write_bytes(b"old")
    path.chmod(0o644)
    warnings = Warnings()
    with append_only(ground.path):
        files = with_mode(warnings, path)
        files.stage(Snapshot({str(path): b"secret"}))
        files.install()
        assert path.read_bytes() == b"secret"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert os.listdir(ground.path) == ["file"]
    assert warnings == [(str(path), "names in its folder can only be added")]


@needs_root
@needs_chattr
def test_a_staged_file_that_cannot_be_removed_is_removed_later(ground: Ground) -> None:
    """If only the install finds out, the mode is set as well; the next staging removes the rest."""
    path = ground.path / "file"
    path.write_bytes(b"old")
    path.chmod(0o644)
    warnings = Warnings()
    files = with_mode(warnings, path)
    files.stage(Snapshot({str(path): b"secret"}))
    with append_only(ground.path):
        files.install()
        assert path.read_bytes() == b"secret"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert len(os.listdir(ground.path)) == 2
        files.stage(Snapshot({str(path): b"secret"}))
        assert len(os.listdir(ground.path)) == 2
    files.stage(Snapshot({str(path): b"secret"}))
    assert os.listdir(ground.path) == ["file"]
    assert warnings == [(str(path), "it cannot be renamed over (Operation not permitted)")]


@needs_root
@pytest.mark.parametrize("same", [True, False])
def test_a_mount_after_staging_gets_the_mode_or_no_content(ground: Ground, same: bool) -> None:
    """The file itself gets the mode and the old one back; another file is not written at all."""
    source, path, last = (ground.path / name for name in ("source", "file", "last"))
    for one in (source, path):
        one.write_bytes(b"old")
        one.chmod(0o644)
    files = with_mode(Warnings(), path)
    files.stage(Snapshot({str(path): b"secret", str(last): b"new"}))
    ground.bind(path if same else source, path)
    last.mkdir()
    wanted = f"{last}: Is a directory" if same else f"{path}: Was replaced by another process"
    with pytest.raises(InstallError, match=f"^{wanted}"):
        files.install()
    assert path.read_bytes() == source.read_bytes() == b"old"
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(source.stat().st_mode) == 0o644
    if same:
        last.rmdir()
        files.stage(Snapshot({str(path): b"secret", str(last): b"new"}))
        files.install()
        assert path.read_bytes() == b"secret"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@needs_root
def test_without_proc_a_named_draft_is_used(ground: Ground) -> None:
    """Where /proc is missing, files are replaced all the same, and nothing is left over."""
    hidden = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs tmpfs /proc && exec "$@"', "sh")
    if subprocess.run([*hidden, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine allows no mounts")
    old, new = ground.path / "old", ground.path / "new"
    old.write_bytes(b"old")
    old.chmod(0o640)
    os.chown(old, NOBODY, NOBODY)
    inode = old.stat().st_ino
    told = run_driver(0, {old: "1", new: "2"}, *hidden)
    assert told == {"warnings": [], "written": [str(new), str(old)], "error": ""}
    assert (old.read_bytes(), new.read_bytes()) == (b"1", b"2")
    status = old.stat()
    assert status.st_ino != inode
    assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (NOBODY, 0o640)
    assert stat.S_IMODE(new.stat().st_mode) == 0o644
    assert sorted(os.listdir(ground.path)) == ["new", "old"]
    small = ground.mount("small", "-o", "size=64k")
    told = run_driver(0, {small / "a": "x", small / "b": "secret" * 20000}, *hidden)
    assert told["error"] == f"{small / 'b'}: No space left on device"
    assert os.listdir(small) == []


class TestWithoutRights:
    """What a process of an ordinary user meets."""

    @staticmethod
    def own(path: Path, content: bytes, mode: int, *, uid: int = NOBODY) -> None:
        """Make a file of this mode that belongs to the user, or to somebody else."""
        path.write_bytes(content)
        path.chmod(mode)
        if os.geteuid() == 0:
            os.chown(path, uid, uid)

    @staticmethod
    def folder(ground: Ground, mode: int) -> Path:
        """Make a folder of the user with this mode."""
        folder = ground.path / "folder"
        folder.mkdir()
        folder.chmod(mode)
        if os.geteuid() == 0:
            os.chown(folder, NOBODY, NOBODY)
        return folder

    @pytest.mark.parametrize("mode", [0o600, 0o444])
    def test_own_files_are_replaced(self, ground: Ground, mode: int) -> None:
        """A user's own file in an own folder is replaced, also where it may only be read."""
        path = self.folder(ground, 0o755) / "file"
        self.own(path, b"old", mode)
        inode = path.stat().st_ino
        told = run_driver(NOBODY, {path: "new"})
        assert told == {"warnings": [], "written": [str(path)], "error": ""}
        assert path.read_bytes() == b"new"
        assert path.stat().st_ino != inode
        assert stat.S_IMODE(path.stat().st_mode) == mode

    def test_folder_without_right_to_write(self, ground: Ground) -> None:
        """A writable file in a folder that is not is written in place, with a warning."""
        path = self.folder(ground, 0o755) / "file"
        self.own(path, b"old", 0o644)
        path.parent.chmod(0o555)
        told = run_driver(NOBODY, {path: "new"})
        reason = "its folder cannot be written (Permission denied)"
        assert told == {"warnings": [[str(path), reason]], "written": [str(path)], "error": ""}
        assert path.read_bytes() == b"new"

    def test_neither_folder_nor_file(self, ground: Ground) -> None:
        """Where neither the folder nor the file may be written, staging fails."""
        path = self.folder(ground, 0o755) / "file"
        self.own(path, b"old", 0o444)
        path.parent.chmod(0o555)
        new = path.parent / "new"
        for target in (path, new, path.parent / "deep" / "new"):
            told = run_driver(NOBODY, {target: "new"})
            assert told["error"] == f"{target}: Permission denied"
            assert told["written"] == []
        assert path.read_bytes() == b"old"

    def test_unreadable_file(self, ground: Ground) -> None:
        """A file that cannot be read cannot be compared or put back, so staging fails."""
        path = self.folder(ground, 0o755) / "file"
        self.own(path, b"old", 0o200)
        told = run_driver(NOBODY, {path: "new"})
        assert told["error"] == f"{path}: Permission denied"
        path.chmod(0o600)
        assert path.read_bytes() == b"old"

    @needs_root
    def test_foreign_file_keeps_its_owner(self, ground: Ground) -> None:
        """A stranger's file that may be written is written in place and stays the stranger's."""
        path = self.folder(ground, 0o755) / "file"
        self.own(path, b"old", 0o666, uid=12345)
        told = run_driver(NOBODY, {path: "new"})
        reason = "its owner or access list cannot be kept (Operation not permitted)"
        assert told == {"warnings": [[str(path), reason]], "written": [str(path)], "error": ""}
        assert (path.read_bytes(), path.stat().st_uid) == (b"new", 12345)

    @needs_root
    def test_foreign_file_that_may_only_be_read(self, ground: Ground) -> None:
        """A stranger's file that may only be read is not taken over: staging fails."""
        path = self.folder(ground, 0o755) / "file"
        self.own(path, b"old", 0o644, uid=12345)
        told = run_driver(NOBODY, {path: "new"})
        assert "its owner or access list cannot be kept" in str(told["error"])
        assert "(Permission denied)" in str(told["error"])
        assert (path.read_bytes(), path.stat().st_uid) == (b"old", 12345)
