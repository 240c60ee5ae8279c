"""Many mirrored files: few descriptors are enough, and what did not change costs little."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from zkexec.core.snapshot import Snapshot
from zkexec.files.installer import Installer
from zkexec.files.target_file import PresentContents, TargetResolver


def no_warning(path: str, reason: str) -> None:
    """Fail where a file was written in place although nothing demanded it."""
    raise AssertionError(f"{path} was written in place: {reason}")


def names(folder: Path) -> list[str]:
    """List everything in the folder, hidden names included."""
    return sorted(os.listdir(folder))


def test_more_files_than_descriptors(tmp_path: Path) -> None:
    """A snapshot of many more files than a process may open is installed, and nothing is left."""
    paths = [tmp_path / f"file-{number}" for number in range(1500)]
    for path in paths[::2]:
        path.write_bytes(b"old")
    files = Installer(no_warning)
    files.stage(Snapshot({str(path): f"content of {path.name}".encode() for path in paths}))
    assert len(files.install()) == len(paths)
    assert all(path.read_text() == f"content of {path.name}" for path in paths)
    assert names(tmp_path) == sorted(path.name for path in paths)


def test_few_descriptors_are_enough(tmp_path: Path) -> None:
    """Where a process may open few files, many are installed all the same."""
    driver = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))\n"
        "from zkexec.core.snapshot import Snapshot; import zkexec.files.installer as f\n"
        "for content in (b'old', b'new'):\n"
        "    files = f.Installer(print, f.TargetLayout(local_paths=('',) * 200))\n"
        "    files.stage(Snapshot({f'{sys.argv[1]}/{n}': content for n in range(200)}))\n"
        "    assert len(files.install()) == 200\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", driver, str(tmp_path)], env=environment, check=True)
    assert names(tmp_path) == sorted(str(number) for number in range(200))
    assert all(path.read_bytes() == b"new" for path in tmp_path.iterdir())


def test_room_for_descriptors_is_made_at_once(tmp_path: Path) -> None:
    """The kernel's table of descriptors has its size before the first file is staged."""
    driver = (
        "import os, resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (1000, 1000))\n"
        "from zkexec.core.snapshot import Snapshot; import zkexec.files.installer as f\n"
        "status = lambda: open('/proc/self/status').read()\n"
        "size = lambda: status().split('FDSize:')[1].split()[0]\n"
        "before, layout = os.listdir('/proc/self/fd'), f.TargetLayout(local_paths=('',) * 400)\n"
        "files = f.Installer(print, layout)\n"
        "assert os.listdir('/proc/self/fd') == before\n"
        "made = size(); files.stage(Snapshot({f'{sys.argv[1]}/{n}': b'' for n in range(400)}))\n"
        "assert len(os.listdir('/proc/self/fd')) > 400; print(made, size())\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run(
        [sys.executable, "-c", driver, str(tmp_path)],
        env=environment,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    made, needed = result.stdout.split()
    assert made == needed


def test_what_somebody_else_has_written_is_replaced(tmp_path: Path) -> None:
    """A file that was edited since is put back, also where its size and time are the old ones."""
    path = tmp_path / "file"
    files = Installer(no_warning)
    for _ in range(3):
        files.stage(Snapshot({str(path): b"wanted"}))
        files.install()
        before = path.stat()
        path.write_bytes(b"edited")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    files.stage(Snapshot({str(path): b"wanted"}))
    assert files.install() == (str(path),)
    assert path.read_bytes() == b"wanted"


@pytest.mark.parametrize("age_s", [0, 3600])
def test_what_stayed_as_it_was_is_not_read_again(tmp_path: Path, age_s: int) -> None:
    """A file is read anew only once it has changed, or where its times are too young to tell."""
    path = tmp_path / "file"
    path.write_bytes(b"content")
    present = PresentContents(lambda: time.time_ns() + age_s * 1_000_000_000)
    place = TargetResolver().resolve(str(path))
    wanted = bytes(bytearray(b"content"))
    assert present.read(place, wanted) == wanted
    assert (present.read(place, b"other") is wanted) == bool(age_s)
    assert present.read(place, wanted) == wanted
    path.write_bytes(b"changed")
    assert present.read(TargetResolver().resolve(str(path)), wanted) == b"changed"
    path.unlink()
    assert present.read(place, wanted) is None
    assert present.read(TargetResolver().resolve(str(path)), wanted) is None


def test_what_is_no_target_any_more_is_forgotten(tmp_path: Path) -> None:
    """The content of a file is in memory only as long as it is one of the targets."""
    path = tmp_path / "file"
    path.write_bytes(b"content")
    present = PresentContents(lambda: time.time_ns() + 3_600_000_000_000)
    place = TargetResolver().resolve(str(path))
    wanted = bytes(bytearray(b"content"))
    present.read(place, wanted)
    present.forget_others([place])
    assert present.read(place, b"content") is wanted
    wanted = bytes(bytearray(b"content"))
    present.read(place, wanted)
    present.forget_others([])
    assert present.read(place, b"other") is not wanted
