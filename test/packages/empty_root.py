"""The root of another Debian, in which programs are run as on a host of their own.

A program there has processes and mounts of its own, and the network of this machine, on which the
throwaway ZooKeeper of the tests is.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from support.waiting import DEADLINE_S

ROLLOUT = Path(__file__).with_name("rollout")
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# The kernel's, and what a running system always writes to.
_NOT_FILES = ("dev", "proc", "sys", "run", "tmp", "var/cache", "var/log", "var/lib/dpkg")


@contextmanager
def fresh_root(base: Path, place: Path) -> Iterator["EmptyRoot"]:
    """Lay an overlay over the base, which stays as it is, in this empty place."""
    root, upper, work = (place / name for name in ("root", "upper", "work"))
    for folder in (root, upper, work):
        folder.mkdir()
    layers = f"lowerdir={base},upperdir={upper},workdir={work}"
    mount = ("mount", "-t", "overlay", "-o", layers, "zkexec-test", root)
    subprocess.run(mount, check=True, timeout=DEADLINE_S)
    try:
        yield EmptyRoot(root)
    finally:
        subprocess.run(("umount", "--lazy", root), check=True, timeout=DEADLINE_S)
        shutil.rmtree(upper)


class EmptyRoot:
    """A folder that is the root of the programs that are run in it."""

    def __init__(self, folder: Path) -> None:
        """Take this folder, which contains a whole Debian."""
        self.folder = folder

    def path(self, inside: str) -> Path:
        """Return where a file of the root is for programs outside of it."""
        return self.folder / inside.lstrip("/")

    def copy(self, file: Path, inside: str) -> None:
        """Copy a file into the root, with its mode."""
        self.path(inside).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, self.path(inside))

    def words(self, words: Sequence[str], **variables: str) -> list[str]:
        """Return the command that runs this one in the root, as process 1 of its own namespace."""
        settings = {"PATH": _SYSTEM_PATH, "LC_ALL": "C.UTF-8", "HOME": "/root", **variables}
        return [
            *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
            f"--root={self.folder}",
            *("env", "-i", *(f"{name}={value}" for name, value in settings.items())),
            *words,
        ]

    def run(self, *words: str, **variables: str) -> str:
        """Run a program in the root, and return what it printed; it has to succeed."""
        done = subprocess.run(
            self.words(words, **variables),
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=DEADLINE_S,
        )
        assert done.returncode == 0, f"{words} ended with {done.returncode}:\n{done.stdout}"
        return done.stdout

    def files(self) -> set[str]:
        """Return all files and folders that a package could have left, by their paths inside."""
        found: set[str] = set()
        for place, folders, names in os.walk(self.folder):
            inside = Path(place).relative_to(self.folder)
            folders[:] = [name for name in folders if str(inside / name) not in _NOT_FILES]
            found.update(str(inside / name) for name in (*folders, *names))
        return found


def rollout_in(root: EmptyRoot, cluster: str) -> str:
    """Run the rollout in the root, with the commands on its PATH; return what was printed."""
    root.copy(ROLLOUT, "/srv/rollout")
    script = "mkdir /srv/empty && cd /srv/empty && /srv/rollout"
    return root.run("sh", "-c", script, ZKEXEC_CLUSTER=cluster)
