"""Copies for a check: at their places, for nobody else, and gone afterwards."""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from zkexec.files.check_copies import CheckCopies, CopyError, remove_left_copies, write_copies

FILES = {"/etc/app/app.conf": b"one", "/srv/app.conf": b"two", "/etc/app/d/x": b""}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def copies(folder: Path) -> Iterator[CheckCopies]:
    """Copies of three files."""
    assert folder.is_dir()
    one = write_copies(FILES, FILES)
    yield one
    one.remove()


def test_each_copy_is_at_the_path_of_its_target(copies: CheckCopies) -> None:
    """The copies come in the order given, each at its full path below one folder, and alone."""
    folder = Path(copies.folder)
    found = [path for path in folder.rglob("*") if path.is_file()]

    assert copies.paths == [f"{folder}{target}" for target in FILES]
    assert [Path(path).read_bytes() for path in copies.paths] == [*FILES.values()]
    assert sorted(map(str, found)) == sorted(copies.paths)


def test_the_copy_of_a_tree_is_its_folder(folder: Path) -> None:
    """All files of the tree are in it, for this user alone; an empty tree has one, too."""
    files = {"/etc/app/x": b"1", "/etc/app/d/e": b"2", "/etc/app-old": b"3", "/b": b"4"}
    copies = write_copies(["/b", "/etc/app/", "/srv/empty/"], files)
    top = Path(copies.folder)
    found = [path for path in top.rglob("*") if path.is_file()]

    assert copies.paths == [f"{top}/b", f"{top}/etc/app", f"{top}/srv/empty"]
    assert {f"/{path.relative_to(top)}": path.read_bytes() for path in found} == {
        path: content for path, content in files.items() if path != "/etc/app-old"
    }
    assert {stat.S_IMODE(path.stat().st_mode) for path in found} == {0o600}
    assert list((top / "srv" / "empty").iterdir()) == []
    assert copies.remove()
    assert list(folder.iterdir()) == []


def test_copies_are_for_this_user_only(folder: Path, copies: CheckCopies) -> None:
    """Nobody else can enter the folder, and each copy is private by itself, whatever the umask."""
    [top] = folder.iterdir()
    modes = {stat.S_IMODE(os.stat(path).st_mode) for path in copies.paths}

    assert stat.S_IMODE(top.stat().st_mode) == 0o700
    assert modes == {0o600}


def test_nothing_is_left_after_the_removal(folder: Path, copies: CheckCopies) -> None:
    """All is removed, with what the check wrote there, and no link is followed."""
    outside = folder / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    top = Path(copies.folder)
    (top / "made" / "by").mkdir(parents=True)
    (top / "made" / "by" / "check").touch()
    (top / "link").symlink_to(outside)
    copies.remove()
    copies.remove()

    assert [path.name for path in folder.iterdir()] == ["outside"]
    assert (outside / "kept").exists()


def test_a_tree_of_any_depth_is_removed(folder: Path, copies: CheckCopies) -> None:
    """What a check has nested is removed, however deep, also if it took the rights from it."""
    make = "import os\nfor _ in range(1500): os.mkdir('d'); os.chdir('d')\nopen('f', 'w').close()"
    subprocess.run([sys.executable, "-c", make], cwd=copies.folder, check=True)
    for target in ("etc/app/d", "etc/app", "etc"):
        Path(copies.folder, target).chmod(0o500)

    assert copies.remove()
    assert list(folder.iterdir()) == []


def test_a_tree_can_be_deep(folder: Path) -> None:
    """A copy is written deeper than calls can be nested, and removed again."""
    target = "/" + "d/" * 1500
    copies = write_copies([target], {f"{target}f": b"1"})
    try:
        assert Path(f"{copies.folder}{target}f").read_bytes() == b"1"
    finally:
        assert copies.remove()
    assert list(folder.iterdir()) == []


def test_a_path_that_is_too_long_is_an_error(folder: Path) -> None:
    """A tree deeper than a path can be long cannot be copied, and nothing is left."""
    for names in ("d/" * 3000, "n" * 100 + "/" + "d/" * 1990):
        with pytest.raises(CopyError, match=f"^cannot write copies in {folder}: File name too"):
            write_copies([f"/{names}"], {f"/{names}f": b"1"})
    assert list(folder.iterdir()) == []


def test_nothing_is_removed_through_a_mount(folder: Path) -> None:
    """What a check has mounted in its folder, even of the same filesystem, is left alone."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount something")
    kept = folder / "kept"
    kept.mkdir()
    (kept / "precious").touch()
    code = (
        "import subprocess, sys\n"
        "from zkexec.files.check_copies import write_copies\n"
        "copies = write_copies(['/etc/a/b'], {'/etc/a/b': b'one'})\n"
        "subprocess.run(['mount', '--bind', sys.argv[1], copies.folder + '/etc/a'], check=True)\n"
        "print(copies.remove(), copies.folder)\n"
    )
    words = ["unshare", "-m", "--propagation", "private", sys.executable, "-c", code, str(kept)]
    said = subprocess.run(words, check=True, capture_output=True, text=True).stdout.split()

    assert said[0] == "False"
    assert (kept / "precious").exists()
    remove_left_copies()
    assert [path.name for path in folder.iterdir()] == ["kept"]


def test_copies_wait_for_a_free_descriptor(folder: Path) -> None:
    """If there is no descriptor left to read the folder, the copies are removed later."""
    code = (
        "import os, resource\n"
        "from zkexec.files.check_copies import write_copies\n"
        "copies = write_copies(['/etc/a/b'], {'/etc/a/b': b'one'})\n"
        "limit = resource.getrlimit(resource.RLIMIT_NOFILE)\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (os.open('/', 0) + 1, limit[1]))\n"
        "print(copies.remove())\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, limit)\n"
        "print(copies.remove())\n"
    )
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert said.stdout.split() == ["False", "True"]
    assert list(folder.iterdir()) == []


def test_a_folder_with_another_name_is_kept(folder: Path) -> None:
    """Only what can be a folder of copies is removed at a start."""
    (folder / "zkexec-check-notes").mkdir()
    remove_left_copies()
    assert (folder / "zkexec-check-notes").is_dir()


def test_a_target_with_dots_stays_inside(folder: Path) -> None:
    """The copy of a target whose path goes up is where the target is, below the folder."""
    inner = folder / "inner"
    inner.mkdir()
    target = f"{inner}/../../../../../../../../etc/x"
    copies = write_copies([target], {target: b"!"})
    top = Path(copies.folder)
    files = [path.relative_to(top) for path in top.rglob("*") if path.is_file()]
    copies.remove()

    assert files == [Path("etc/x")]


def test_a_text_names_the_targets(copies: CheckCopies) -> None:
    """In what a check printed, the paths of copies become those of their targets."""
    text = f"error in {copies.paths[1]}:3, see {copies.folder}/made"

    assert copies.with_target_paths(text) == "error in /srv/app.conf:3, see /made"
    assert copies.with_target_paths("no path") == "no path"


def test_a_folder_that_cannot_be_written_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the folder for temporary files the message names it."""
    monkeypatch.setenv("TMPDIR", f"{folder}/missing")
    with pytest.raises(CopyError) as caught:
        write_copies(FILES, FILES)

    assert str(caught.value) == (
        f"cannot write copies in {folder}/missing: No such file or directory"
    )


FULL = """
import os, resource, sys
from zkexec.files.check_copies import CopyError, write_copies
write_copies("/a /b".split(), {"/a": b"x" * 1000, "/b": b"x" * 1000}).remove()
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_copies("/a /b".split(), {"/a": b"x" * 1000, "/b": b"x" * 1001})
except CopyError as error:
    print(error, os.listdir(sys.argv[1]), len(os.listdir("/proc/self/fd")))
write_copies(["/a"], {"/a": b"x" * 1000}).remove()
print(len(os.listdir("/proc/self/fd")))
"""


def test_nothing_is_left_if_the_disk_takes_no_more(folder: Path) -> None:
    """If the second copy cannot be written, the first is removed, and no descriptor is left."""
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(folder)], check=True, capture_output=True, text=True
    )
    first, second = done.stdout.splitlines()

    assert first == f"cannot write copies in {folder}: File too large [] {second}"


LEAVING = """
import os, signal, sys
from zkexec.files.check_copies import write_copies
copies = write_copies(["/etc/x"], {"/etc/x": b"secret"})
print(copies.paths[0], flush=True)
if sys.argv[1] == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
sys.stdin.read()
"""


def test_what_a_killed_zkexec_left_is_removed(folder: Path) -> None:
    """Copies of a process that was killed are removed, those of a living one and others stay."""
    (folder / "zkexec-check-file").touch()
    (folder / "other").mkdir()
    words = [sys.executable, "-c", LEAVING]
    killed = subprocess.run([*words, "killed"], check=False, stdout=subprocess.PIPE, text=True)
    left = Path(killed.stdout.strip())
    assert left.read_bytes() == b"secret"
    own = write_copies(FILES, FILES)
    remove_left_copies()

    assert not left.exists()
    assert Path(own.paths[0]).exists()
    own.remove()
    assert sorted(path.name for path in folder.iterdir()) == ["other", "zkexec-check-file"]
