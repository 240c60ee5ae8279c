"""Mirrored files on an ordinary filesystem, with every right: what is written, and what is kept."""

import os
import re
import stat
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from shutil import which

import pytest

from zkexec.core.snapshot import Snapshot
from zkexec.files.cached_files import load_cached
from zkexec.files.file_change import InstallError
from zkexec.files.installer import Installer
from zkexec.files.staged_file import name_beside


def no_warning(path: str, reason: str) -> None:
    """Fail where a file was written in place although nothing demanded it."""
    raise AssertionError(f"{path} was written in place: {reason}")


def mirror(*pairs: tuple[Path, bytes]) -> tuple[str, ...]:
    """Stage and install these contents as one snapshot."""
    files = Installer(no_warning)
    files.stage(Snapshot({str(path): content for path, content in pairs}))
    return files.install()


def names(folder: Path) -> list[str]:
    """List everything in the folder, hidden names included."""
    return sorted(os.listdir(folder))


def leave_draft(path: Path) -> str:
    """Put beside this target what a sudden death leaves there, and return its name."""
    name = name_beside(str(path))
    Path(name).write_bytes(b"left behind")
    return os.path.basename(name)


def test_nothing_is_seen_until_installed(tmp_path: Path) -> None:
    """Staging changes no name and no content in the folder."""
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_bytes(b"before")
    files = Installer(no_warning)
    files.stage(Snapshot({str(old): b"after", str(new): b"fresh"}))
    assert names(tmp_path) == ["old"]
    assert old.read_bytes() == b"before"
    assert files.install() == (str(new), str(old))
    assert (old.read_bytes(), new.read_bytes()) == (b"after", b"fresh")
    assert names(tmp_path) == ["new", "old"]


def test_discard_leaves_nothing(tmp_path: Path) -> None:
    """What is discarded is neither installed later nor left on disk or in descriptors."""
    before = os.listdir("/proc/self/fd")
    files = Installer(no_warning)
    files.stage(Snapshot({str(tmp_path / "file"): b"content"}))
    files.discard()
    files.discard()
    assert files.install() == ()
    assert names(tmp_path) == []
    assert os.listdir("/proc/self/fd") == before


def test_staging_again_replaces(tmp_path: Path) -> None:
    """Only the snapshot that was staged last is installed."""
    first, second = tmp_path / "first", tmp_path / "second"
    files = Installer(no_warning)
    files.stage(Snapshot({str(first): b"1"}))
    files.stage(Snapshot({str(second): b"2"}))
    assert files.install() == (str(second),)
    assert names(tmp_path) == ["second"]


def test_failed_staging_leaves_nothing_staged(tmp_path: Path) -> None:
    """One target that cannot be written keeps the whole snapshot, and the one before, out."""
    good, folder = tmp_path / "a", tmp_path / "b"
    folder.mkdir()
    files = Installer(no_warning)
    files.stage(Snapshot({str(good): b"1"}))
    with pytest.raises(InstallError, match=f"^{folder}: Is a directory$"):
        files.stage(Snapshot({str(good): b"2", str(folder): b"2"}))
    assert files.install() == ()
    assert names(tmp_path) == ["b"]


def test_equal_content_is_not_touched(tmp_path: Path) -> None:
    """A file that holds the wanted bytes keeps its inode and its times."""
    same, other = tmp_path / "same", tmp_path / "other"
    same.write_bytes(b"content")
    before = same.stat()
    assert mirror((same, b"content"), (other, b"x")) == (str(other),)
    after = same.stat()
    assert (before.st_ino, before.st_mtime_ns, before.st_ctime_ns) == (
        after.st_ino,
        after.st_mtime_ns,
        after.st_ctime_ns,
    )


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0, 0o644)])
def test_new_file_has_0644_less_umask(tmp_path: Path, umask: int, mode: int) -> None:
    """A file that was not there before is born with 0644 less the umask."""
    before = os.umask(umask)
    try:
        mirror((tmp_path / "new", b"x"))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == mode


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755, 0o444, 0o666])
def test_mode_is_kept(tmp_path: Path, mode: int) -> None:
    """A file that was there before keeps its mode, whatever the umask is."""
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(mode)
    mirror((path, b"new"))
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert path.read_bytes() == b"new"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_owner_is_kept(tmp_path: Path) -> None:
    """A file of another user stays that user's file, and its mode with it."""
    path = tmp_path / "file"
    path.write_bytes(b"old")
    os.chown(path, 12345, 23456)
    path.chmod(0o4640)
    mirror((path, b"new"))
    status = path.stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (12345, 23456, 0o4640)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_setgid_folder_gives_its_group(tmp_path: Path) -> None:
    """A new file in a setgid folder has the folder's group, as any new file there."""
    os.chown(tmp_path, -1, 23456)
    tmp_path.chmod(0o2755)
    mirror((tmp_path / "new", b"x"))
    assert (tmp_path / "new").stat().st_gid == 23456


def access_list(named_user: int, *, mask: int) -> bytes:
    """Encode a POSIX access list: owner rw, one named user rw, group none, mask, others none."""
    nobody = 0xFFFFFFFF
    entries = [(1, 6, nobody), (2, 6, named_user), (4, 0, nobody), (16, mask, nobody)]
    packed = [struct.pack("<HHI", *entry) for entry in [*entries, (32, 0, nobody)]]
    return struct.pack("<I", 2) + b"".join(packed)


def set_attribute(path: Path, name: str, content: bytes) -> None:
    """Set an extended attribute, or skip the test where the filesystem has none."""
    try:
        os.setxattr(path, name, content)
    except OSError as failure:
        pytest.skip(f"{name} cannot be set here: {failure.strerror}")


def test_extended_attributes_and_access_list_are_kept(tmp_path: Path) -> None:
    """What else describes the file and its readers goes over to the new content."""
    path = tmp_path / "file"
    path.write_bytes(b"old")
    granted = access_list(12345, mask=4)
    set_attribute(path, "user.origin", b"here")
    set_attribute(path, "system.posix_acl_access", granted)
    mirror((path, b"new"))
    assert os.getxattr(path, "user.origin") == b"here"
    assert os.getxattr(path, "system.posix_acl_access") == granted
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_folder_default_list_opens_no_secret(tmp_path: Path) -> None:
    """A file without an access list does not get one from its folder by being written anew."""
    path = tmp_path / "secret"
    path.write_bytes(b"old")
    path.chmod(0o640)
    set_attribute(tmp_path, "system.posix_acl_default", access_list(12345, mask=6))
    mirror((path, b"new"))
    assert "system.posix_acl_access" not in os.listxattr(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_missing_folders_are_made(tmp_path: Path) -> None:
    """A target in folders that do not exist gets them."""
    path = tmp_path / "a" / "b" / "file"
    mirror((path, b"x"))
    assert path.read_bytes() == b"x"


@pytest.mark.parametrize("pointing", ["absolute", "relative", "chain", "dangling", "folder"])
def test_symlink_is_followed(tmp_path: Path, pointing: str) -> None:
    """The file behind a symbolic link is written, and the link stays what it is."""
    real = tmp_path / "real"
    real.mkdir()
    link = tmp_path / "link"
    shown = {"absolute": str(real / "file"), "folder": "real"}.get(pointing, "real/file")
    link.symlink_to(shown)
    if pointing not in ("dangling", "folder"):
        (real / "file").write_bytes(b"old")
    target = link / "file" if pointing == "folder" else link
    if pointing == "chain":
        target = tmp_path / "second"
        target.symlink_to("link")
    mirror((target, b"new"))
    assert (real / "file").read_bytes() == b"new"
    assert os.readlink(link) == shown
    assert names(real) == ["file"]


def test_symlink_loop_is_told(tmp_path: Path) -> None:
    """Links that lead nowhere but to each other are an error that names the target."""
    path = tmp_path / "one"
    path.symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    with pytest.raises(InstallError, match=f"^{path}: Too many levels of symbolic links$"):
        mirror((path, b"x"))
    with pytest.raises(InstallError, match=f"^{path}: Too many levels of symbolic links$"):
        load_cached([str(path)])


def test_two_paths_to_one_file_are_told(tmp_path: Path) -> None:
    """Two mirrors that end at the same file are an error, for each would undo the other."""
    (tmp_path / "link").symlink_to("file")
    with pytest.raises(InstallError, match="is the same file as"):
        mirror((tmp_path / "file", b"1"), (tmp_path / "link", b"2"))
    assert names(tmp_path) == ["link"]


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["fifo", "directory"])
def test_what_is_no_file_is_told(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """A directory or a fifo as a target is an error at once, and blocks nothing."""
    path = tmp_path / "target"
    make(path)
    with pytest.raises(InstallError, match=f"^{path}: Is (a directory|not a regular file)$"):
        mirror((path, b"x"))
    with pytest.raises(InstallError, match=f"^{path}: Is (a directory|not a regular file)$"):
        load_cached([str(path)])
    assert names(tmp_path) == ["target"]


def test_device_is_told() -> None:
    """A device as a target is an error, and is not replaced by a file."""
    with pytest.raises(InstallError, match=r"^/dev/null: Is not a regular file$"):
        mirror((Path("/dev/null"), b"x"))
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_file_as_folder_is_told(tmp_path: Path) -> None:
    """A target below something that is no folder is an error that names the target."""
    (tmp_path / "file").write_bytes(b"")
    path = tmp_path / "file" / "below"
    with pytest.raises(InstallError, match=f"^{path}: Not a directory$"):
        mirror((path, b"x"))


@pytest.mark.parametrize("name", ["n" * 255, os.fsdecode(b"\xff\xfe not utf-8"), "new\nline *[a]"])
def test_odd_names(tmp_path: Path, name: str) -> None:
    """Every name that the filesystem can hold is a good target, and is swept around."""
    path = tmp_path / name
    mirror((path, b"old"))
    leave_draft(path)
    mirror((path, b"new"))
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == [name]


def test_only_the_own_leftovers_are_swept(tmp_path: Path) -> None:
    """Staging removes what a sudden death left of this target, also where nothing changed."""
    mine, other = tmp_path / "file", tmp_path / "file2"
    mirror((mine, b"x"), (other, b"x"))
    leave_draft(mine)
    kept = leave_draft(other)
    (tmp_path / ".file.zkexec-notes").write_bytes(b"a user's own")
    mirror((mine, b"x"))
    assert names(tmp_path) == sorted([".file.zkexec-notes", kept, "file", "file2"])


def test_hard_links_keep_the_old_content(tmp_path: Path) -> None:
    """A rename gives the target a new inode; other names of the old one keep its bytes."""
    path, twin = tmp_path / "file", tmp_path / "twin"
    path.write_bytes(b"old")
    os.link(path, twin)
    mirror((path, b"new"))
    assert (path.read_bytes(), twin.read_bytes()) == (b"new", b"old")


def test_file_that_appears_meanwhile_is_replaced(tmp_path: Path) -> None:
    """A file that somebody makes between staging and installing does not stop the install."""
    path = tmp_path / "file"
    files = Installer(no_warning)
    files.stage(Snapshot({str(path): b"new"}))
    path.write_bytes(b"surprise")
    files.install()
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["file"]


def test_failed_install_puts_everything_back(tmp_path: Path) -> None:
    """Where one file cannot be installed, those before it hold and are what they were."""
    changed, fresh, last = tmp_path / "a", tmp_path / "b", tmp_path / "c"
    changed.write_bytes(b"old secret")
    changed.chmod(0o600)
    last.write_bytes(b"old")
    files = Installer(no_warning)
    files.stage(Snapshot({str(changed): b"new", str(fresh): b"new", str(last): b"new secret"}))
    last.unlink()
    last.mkdir()
    with pytest.raises(InstallError, match=f"^{last}: Is a directory$"):
        files.install()
    assert changed.read_bytes() == b"old secret"
    assert stat.S_IMODE(changed.stat().st_mode) == 0o600
    assert names(tmp_path) == ["a", "c"]
    assert files.install() == ()


def test_cached_files_are_read(tmp_path: Path) -> None:
    """The files that stand at the targets are read through their links, byte for byte."""
    path, link = tmp_path / "file", tmp_path / "link"
    path.write_bytes(bytes(range(256)))
    link.symlink_to("file")
    content = bytes(range(256))
    assert load_cached([str(link), str(path)]) == {str(link): content, str(path): content}
    assert load_cached([]) == {}


def test_missing_cached_file_is_named(tmp_path: Path) -> None:
    """The target that has no file is named."""
    (tmp_path / "there").write_bytes(b"x")
    missing = tmp_path / "missing"
    with pytest.raises(InstallError, match=f"^{missing}: No such file or directory$"):
        load_cached([str(tmp_path / "there"), str(missing)])


@pytest.mark.skipif(which("strace") is None, reason="strace is not installed")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_secret_is_protected_before_its_first_byte(tmp_path: Path) -> None:
    """Owner and mode come before content, the sync before the name, the folder's sync last."""
    path, trace = tmp_path / "secret", tmp_path / "trace"
    path.write_bytes(b"old")
    os.chown(path, 12345, 23456)
    path.chmod(0o440)
    driver = (
        "import sys; from zkexec.core.snapshot import Snapshot\n"
        "import zkexec.files.installer as f\n"
        "files = f.Installer(print)\n"
        "files.stage(Snapshot({sys.argv[1]: b'new'})); files.install()\n"
    )
    calls = "fchown,fchmod,write,pwrite64,fsync,linkat,rename,renameat,renameat2"
    command = ["strace", "-o", str(trace), "-e", f"trace={calls}", sys.executable, "-c", driver]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([*command, str(path)], env=environment, check=True)
    steps = r"^(fchown|fchmod|p?write|fsync|link|rename)"
    seen = re.findall(steps, trace.read_text(), re.MULTILINE)
    assert seen == ["fchown", "fchmod", "pwrite", "fsync", "link", "rename", "fsync"]
