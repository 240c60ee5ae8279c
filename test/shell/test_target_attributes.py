"""Modes and owners that options give to targets: set before the first byte, and corrected."""

import os
import re
import stat
import subprocess
import sys
from errno import ELOOP
from pathlib import Path
from shutil import which

import pytest

from shell.tree_host import TreeHost
from zkexec.core.snapshot import Snapshot
from zkexec.core.target_attributes import AttributeRule, TargetAttributes
from zkexec.files.cached_files import correct_attributes
from zkexec.files.file_change import InstallError
from zkexec.files.installer import Installer
from zkexec.files.target_layout import TargetLayout

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
USER, GROUP = 12345, 23456


def write(path: Path, content: bytes, *rules: AttributeRule) -> tuple[str, ...]:
    """Stage and install one file."""
    layout = TargetLayout(local_paths=(str(path),), attributes=TargetAttributes(rules))
    installer = Installer(lambda *_: None, layout)
    installer.stage(Snapshot({str(path): content}))
    return installer.install()


def described(path: Path) -> tuple[int, int, int]:
    """Return the mode and the owner of a file or folder."""
    status = path.lstat()
    return stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid


def test_the_longest_path_matches() -> None:
    """A path covers what is below it, and beats the folder above it; this beats no path at all."""
    rules = [
        AttributeRule("/etc/app/", 0o640),
        AttributeRule("", 0o600, (1, -1)),
        AttributeRule("/etc/app/x/", 0o660),
        AttributeRule("/etc/app/x/y", 0o444),
        AttributeRule("/etc/app/", owner=(2, 3)),
    ]
    attributes = TargetAttributes(tuple(rules))
    paths = ["/etc/app/x/y", "/etc/app/x/z", "/etc/app/x/y/z", "/etc/app/z", "/etc/app", "/b"]
    modes = [0o444, 0o660, 0o444, 0o640, 0o600, 0o600]
    assert [attributes.mode_of(path) for path in paths] == modes
    assert [attributes.owner_of(path) for path in paths] == [(2, 3)] * 4 + [(1, -1)] * 2


def test_of_two_equal_paths_the_last_counts() -> None:
    """An option that is given again replaces the earlier one, and no rule means no attributes."""
    rules = (AttributeRule("/a", 0o600), AttributeRule("/a", 0o640), AttributeRule("/b", 0o644))
    assert TargetAttributes(rules).mode_of("/a") == 0o640
    assert TargetAttributes(rules).mode_of("/c") is None
    assert TargetAttributes().mode_of("/a") is None
    assert TargetAttributes(rules).owner_of("/a") is None


@pytest.mark.parametrize("umask", [0, 0o077])
def test_a_new_file_has_exactly_the_mode(tmp_path: Path, umask: int) -> None:
    """The umask takes nothing from a mode that an option names."""
    before = os.umask(umask)
    try:
        write(tmp_path / "new", b"x", AttributeRule("", 0o664))
    finally:
        os.umask(before)
    assert described(tmp_path / "new")[0] == 0o664


def test_a_changed_file_gets_the_mode(tmp_path: Path) -> None:
    """A file that exists with another mode has the one of the option with its new content."""
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(0o644)
    write(path, b"new", AttributeRule(str(path), 0o600))
    assert (path.read_bytes(), described(path)[0]) == (b"new", 0o600)


def test_an_equal_file_is_corrected_and_not_written(tmp_path: Path) -> None:
    """Another mode alone is no change: the file keeps its inode and is not listed."""
    path = tmp_path / "file"
    path.write_bytes(b"x")
    path.chmod(0o644)
    inode = path.stat().st_ino
    assert write(path, b"x", AttributeRule("", 0o600)) == ()
    assert (path.stat().st_ino, described(path)[0]) == (inode, 0o600)


def test_nothing_is_corrected_before_the_install(tmp_path: Path) -> None:
    """Staging leaves the mode as it is, because a check can still refuse the change."""
    path = tmp_path / "file"
    path.write_bytes(b"x")
    path.chmod(0o644)
    layout = TargetLayout(attributes=TargetAttributes((AttributeRule("", 0o600),)))
    installer = Installer(lambda *_: None, layout)
    installer.stage(Snapshot({str(path): b"x"}))
    assert described(path)[0] == 0o644
    installer.install()
    assert described(path)[0] == 0o600


def test_a_failed_install_puts_modes_back(tmp_path: Path) -> None:
    """A corrected mode, and that of a changed file, are what they were."""
    equal, changed, last = tmp_path / "a", tmp_path / "b", tmp_path / "c"
    for path in (equal, changed):
        path.write_bytes(b"old")
        path.chmod(0o640)
    layout = TargetLayout(attributes=TargetAttributes((AttributeRule("", 0o600),)))
    installer = Installer(lambda *_: None, layout)
    installer.stage(Snapshot({str(equal): b"old", str(changed): b"new", str(last): b"new"}))
    last.mkdir()
    with pytest.raises(InstallError, match=f"^{last}: Is a directory$"):
        installer.install()
    assert (described(equal)[0], described(changed)[0]) == (0o640, 0o640)
    assert changed.read_bytes() == b"old"


def test_another_file_is_not_corrected(tmp_path: Path) -> None:
    """A file that comes to the path after staging, such as a hard link, keeps its mode."""
    path, other = tmp_path / "file", tmp_path / "other"
    for one in (path, other):
        one.write_bytes(b"x")
        one.chmod(0o640)
    layout = TargetLayout(attributes=TargetAttributes((AttributeRule("", 0o644),)))
    installer = Installer(lambda *_: None, layout)
    installer.stage(Snapshot({str(path): b"x"}))
    path.unlink()
    os.link(other, path)
    with pytest.raises(InstallError, match=f"^{path}: Was replaced by another process meanwhile$"):
        installer.install()
    assert described(other)[0] == 0o640


def test_files_on_disk_are_corrected_without_an_install(tmp_path: Path) -> None:
    """A start on the files on disk gives them their modes, and names what it cannot correct."""
    path, gone = tmp_path / "file", tmp_path / "gone" / "file"
    path.write_bytes(b"x")
    path.chmod(0o644)
    rules = TargetAttributes((AttributeRule("", 0o600),))
    layout = TargetLayout(local_paths=(str(path), str(gone)), attributes=rules)
    assert list(correct_attributes(layout, None)) == []
    assert described(path)[0] == 0o600
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    looped = TargetLayout(local_paths=(str(loop),), attributes=rules)
    assert list(correct_attributes(looped, None)) == [(str(loop), os.strerror(ELOOP))]


def test_files_of_a_tree_on_disk_are_corrected_without_an_install(tmp_path: Path) -> None:
    """Of a tree these are the files of the state file, and no link below it is followed."""
    host = TreeHost(tmp_path, AttributeRule(f"{tmp_path}/tree/b/", 0o600))
    host.install({"a": b"1", "b/c": b"2", "b/d": b"3"})
    other = tmp_path / "other"
    other.write_bytes(b"x")
    for each in (host.root / "a", host.root / "b/c", other):
        each.chmod(0o644)
    (host.root / "b/d").unlink()
    (host.root / "b/d").symlink_to(other)
    failed = list(correct_attributes(host.layout, host.start().state))
    assert failed == [(f"{host.root}/b/d", os.strerror(ELOOP))]
    assert [host.mode(path) for path in ("a", "b/c")] == [0o644, 0o600]
    assert described(other)[0] == 0o644


@needs_root
def test_the_owner_is_set_and_corrected(tmp_path: Path) -> None:
    """A user alone leaves the group, and the other way round."""
    new, equal, changed = tmp_path / "new", tmp_path / "equal", tmp_path / "changed"
    for path in (equal, changed):
        path.write_bytes(b"old")
        os.chown(path, 1, 2)
        path.chmod(0o640)
    write(new, b"x", AttributeRule("", owner=(USER, GROUP)))
    assert write(equal, b"old", AttributeRule("", owner=(USER, -1))) == ()
    write(changed, b"new", AttributeRule("", owner=(-1, GROUP)))
    assert described(new) == (0o644, USER, GROUP)
    assert described(equal) == (0o640, USER, 2)
    assert described(changed) == (0o640, 1, GROUP)


def test_folders_of_a_tree_can_be_entered_by_their_readers(tmp_path: Path) -> None:
    """A folder that zkexec makes has the mode, and execute for each who may read."""
    host = TreeHost(tmp_path)
    rules = (AttributeRule(f"{host.root}/", 0o640), AttributeRule(f"{host.root}/b/c/", 0o600))
    host = TreeHost(tmp_path, *rules)
    host.install({"a": b"1", "b/c/d": b"2"})
    assert [host.mode(path) for path in ("", "a", "b", "b/c", "b/c/d")] == [
        *(0o750, 0o640, 0o750),
        *(0o700, 0o600),
    ]
    host.install({"a/b": b"1"})
    assert (host.mode("a"), host.mode("a/b")) == (0o750, 0o640)


def test_folders_without_a_mode_have_0755_less_the_umask(tmp_path: Path) -> None:
    """A folder that was there before keeps its mode."""
    host = TreeHost(tmp_path)
    (host.root / "theirs").mkdir(parents=True)
    (host.root / "theirs").chmod(0o711)
    before = os.umask(0o027)
    try:
        host.install({"a/b": b"1", "theirs/b": b"1"})
    finally:
        os.umask(before)
    assert (host.mode("a"), host.mode("a/b"), host.mode("theirs")) == (0o750, 0o640, 0o711)


@needs_root
def test_owners_in_a_tree(tmp_path: Path) -> None:
    """Files and new folders of a tree get the owner, also if they exist with another one."""
    host = TreeHost(tmp_path)
    host.install({"a/b": b"1", "a/c": b"2"})
    host = TreeHost(tmp_path, AttributeRule("", 0o640, (USER, GROUP)))
    assert sorted(host.install({"a/b": b"1", "a/c": b"3", "d/e": b"4"})) == ["a/c", "d/e"]
    for path in ("a/b", "a/c", "d/e"):
        assert described(host.root / path) == (0o640, USER, GROUP)
    assert described(host.root / "d") == (0o750, USER, GROUP)
    assert described(host.root / "a")[1] == 0


WITHOUT_RIGHTS = """
import os, re, sys
from zkexec.core.snapshot import Snapshot
from zkexec.core.target_attributes import AttributeRule, TargetAttributes
from zkexec.files.file_change import InstallError
from zkexec.files.installer import Installer
from zkexec.files.target_layout import TargetLayout

folder = sys.argv[1]
os.setgroups([]); os.setgid(65534); os.setuid(65534)
for path, owner in (("new", (1, -1)), ("equal", (1, -1)), ("changed", (-1, 1)), ("theirs", None)):
    rules = TargetAttributes((AttributeRule("", 0o600, owner),))
    installer = Installer(print, TargetLayout(attributes=rules))
    try:
        content = b"new" if path == "changed" else b"old"
        installer.stage(Snapshot({f"{folder}/{path}": content}))
        print("staged", path)
    except InstallError as error:
        print(error)
"""


@needs_root
def test_an_owner_that_may_not_be_given_fails_staging(tmp_path: Path) -> None:
    """Without the right, staging names the file, and old files stay as they are."""
    tmp_path.chmod(0o777)
    for folder in tmp_path.parents[:3]:
        folder.chmod(folder.stat().st_mode | 0o055)
    for name in ("equal", "changed", "theirs"):
        (tmp_path / name).write_bytes(b"old")
        if name != "theirs":
            os.chown(tmp_path / name, 65534, 65534)
    result = subprocess.run(
        [sys.executable, "-c", WITHOUT_RIGHTS, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    reason = "its owner or mode cannot be set (Operation not permitted)"
    names = ["new", "equal", "changed", "theirs"]
    assert result.stdout.splitlines() == [f"{tmp_path}/{name}: {reason}" for name in names]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["changed", "equal", "theirs"]


@pytest.mark.skipif(which("strace") is None, reason="strace is not installed")
@pytest.mark.parametrize("name", ["new", "old"])
def test_the_mode_comes_before_the_first_byte(tmp_path: Path, name: str) -> None:
    """A file is opened for its owner alone, then gets its mode, then its content."""
    host = TreeHost(tmp_path, AttributeRule("", 0o600))
    TreeHost(tmp_path).install({"old": b"before"})
    assert host.mode("old") == 0o644
    driver = (
        "import sys; from pathlib import Path; from shell.tree_host import TreeHost\n"
        "from zkexec.core.target_attributes import AttributeRule\n"
        "host = TreeHost(Path(sys.argv[1]), AttributeRule('', 0o600))\n"
        f"host.install({{'old': b'before', {name!r}: b'secret'}})\n"
    )
    trace = tmp_path / "trace"
    calls = "openat,fchmod,write,pwrite64,linkat"
    command = ["strace", "-y", "-o", str(trace), "-e", f"trace={calls}", sys.executable, "-c"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([*command, driver, str(tmp_path)], env=environment, check=True)
    lines = trace.read_text().splitlines()
    secret = next(index for index, line in enumerate(lines) if '"secret"' in line)
    number = re.search(r"pwrite64\((\d+)", lines[secret])
    assert number
    of_file = [line for line in lines[:secret] if re.search(rf"\b{number[1]}<[^>]*tree/#", line)]
    assert re.search(r"O_TMPFILE.*0600", of_file[-2])
    assert re.search(r"^fchmod.*0600", of_file[-1])
    assert host.mode(name) == 0o600


@needs_root
@pytest.mark.skipif(which("strace") is None, reason="strace is not installed")
def test_a_correction_never_gives_more_rights(tmp_path: Path) -> None:
    """What the new mode does not allow is taken away before the file has another owner."""
    path, trace = tmp_path / "file", tmp_path / "trace"
    path.write_bytes(b"x")
    path.chmod(0o660)
    driver = (
        "import sys; from shell.test_target_attributes import AttributeRule, Path, write\n"
        f"write(Path(sys.argv[1]), b'x', AttributeRule('', 0o604, ({USER}, {GROUP})))\n"
    )
    command = ["strace", "-o", str(trace), "-e", "trace=fchmod,fchown", sys.executable, "-c"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([*command, driver, str(path)], env=environment, check=True)
    seen = re.findall(r"^(fch\w+)\(\d+, (.*?)\) += 0$", trace.read_text(), re.MULTILINE)
    assert seen == [("fchmod", "0600"), ("fchown", f"{USER}, {GROUP}"), ("fchmod", "0604")]
    assert described(path) == (0o604, USER, GROUP)
