"""Folders and filesystems with obstacles, as the tests of files need them; every one is real."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree, which
from tempfile import mkdtemp

import pytest

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount and give away")
needs_chattr = pytest.mark.skipif(which("chattr") is None, reason="chattr is not installed")


class Ground:
    """A folder that everybody may enter, and the mounts that a test makes in it."""

    def __init__(self) -> None:
        self.path = Path(mkdtemp(prefix="zkexec-test-"))
        self.path.chmod(0o755)
        self._mounted: list[Path] = []

    def mount(self, name: str, *options: str) -> Path:
        """Mount something onto a new folder of this name, a tmpfs unless told otherwise."""
        folder = self.path / name
        folder.mkdir()
        self._mount("-t", "tmpfs", *options, "tmpfs", at=folder)
        return folder

    def bind(self, source: Path, at: Path, *, read_only: bool = False) -> None:
        """Let a file or folder appear at a second place that exists."""
        self._mount("--bind", str(source), at=at)
        if read_only:
            subprocess.run(["mount", "-o", "remount,ro,bind", at], check=True)

    def _mount(self, *arguments: str, at: Path) -> None:
        result = subprocess.run(
            ["mount", *arguments, at], check=False, capture_output=True, text=True
        )
        if result.returncode:
            pytest.skip(f"mounting is not possible here: {result.stderr.strip()}")
        self._mounted.append(at)

    def close(self) -> None:
        """Unmount everything, newest first, and remove the folder."""
        for at in reversed(self._mounted):
            subprocess.run(["umount", "--lazy", at], check=True)
        subprocess.run(["chmod", "-R", "u+rwx", self.path], check=True)
        rmtree(self.path)


@contextmanager
def append_only(folder: Path) -> Iterator[None]:
    """Let names be added to a folder, but not be removed or replaced."""
    if subprocess.run(["chattr", "+a", folder], check=False).returncode:
        pytest.skip("this filesystem knows no such folders")
    try:
        yield
    finally:
        subprocess.run(["chattr", "-a", folder], check=True)


def fill(folder: Path) -> Path:
    """Take all the room that is left on the filesystem of this folder."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (4096, 1):
            try:
                while True:
                    file.write(b"f" * size)
            except OSError:
                continue
    return filler
