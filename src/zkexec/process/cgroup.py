"""A cgroup for the command, where the operator has delegated one: nothing escapes from it.

systemd marks what it gives away (`Delegate=yes`) by an attribute of the cgroup, and only such a
one is touched: below it zkexec makes a cgroup for the command, and starts the command in it.  What
leaves the command's session and loses its parent is still in there.  zkexec itself, its checks
and its alerts stay outside.
"""

import os
from collections.abc import Iterator
from contextlib import suppress

_MARKS = ("user.delegate", "trusted.delegate")


class CommandGroup:
    """One cgroup below zkexec's own; one without a path is none, and does nothing."""

    def __init__(self, path: str = "") -> None:
        self.path = path

    @property
    def pids(self) -> list[int]:
        """All processes in it and below it; they need not be alive."""
        return [pid for folder in self._folders() for pid in _pids_in(folder)]

    def make(self) -> None:
        """Make it if it is not there; afterwards it has no path if that was not possible."""
        if self.path:
            try:
                os.makedirs(self.path, exist_ok=True)
            except OSError:
                self.path = ""

    def kill(self) -> None:
        """Kill all in it at once, also those that are forked meanwhile; Linux 5.14 can do that."""
        if self.path:
            with suppress(OSError):
                _write(f"{self.path}/cgroup.kill", b"1")

    def remove(self) -> None:
        """Remove it, if it is empty."""
        for folder in reversed(list(self._folders())):
            with suppress(OSError):
                os.rmdir(folder)

    def _folders(self) -> Iterator[str]:
        if self.path:
            for folder, _, _ in os.walk(self.path):
                yield folder


def enter(path: str) -> None:
    """Move this process into a cgroup; without it, it still does its work."""
    with suppress(OSError):
        _write(f"{path}/cgroup.procs", b"0")


def delegated_to_us() -> str:
    """The folder of zkexec's own cgroup, if the operator has delegated it; else ""."""
    try:
        folder = _own_folder()
    except (OSError, ValueError):
        return ""
    return folder if folder and _is_marked(folder) and os.access(folder, os.W_OK) else ""


def _own_folder() -> str:
    """The folder of the cgroup (version 2) in which zkexec runs; "" if there is none."""
    with open("/proc/self/cgroup", encoding="utf-8") as file:
        paths = [line[3:].rstrip("\n") for line in file if line.startswith("0::/")]
    if not paths or paths[0] == "/":
        return ""
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        mounts = [line.split() for line in file if " - cgroup2 " in line]
    for mount in mounts:
        root, point = mount[3].rstrip("/"), mount[4]
        if f"{paths[0]}/".startswith(f"{root}/"):
            return point + paths[0].removeprefix(root)
    return ""


def _is_marked(folder: str) -> bool:
    for mark in _MARKS:
        with suppress(OSError):
            if os.getxattr(folder, mark) == b"1":
                return True
    return False


def _pids_in(folder: str) -> list[int]:
    try:
        with open(f"{folder}/cgroup.procs", "rb") as file:
            return [int(pid) for pid in file.read().split()]
    except OSError:
        return []


def _write(path: str, text: bytes) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(file, text)
    finally:
        os.close(file)
