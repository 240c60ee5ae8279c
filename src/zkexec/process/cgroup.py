"""Run the command in a cgroup of its own, if the operator has delegated one.

systemd marks a delegated cgroup (`Delegate=yes`) by an attribute, and zkexec changes no other.  A
process that leaves the command's session and is orphaned is still in the cgroup.  zkexec itself,
its health checks and its alerts stay outside.
"""

from __future__ import annotations

import os

from zkexec.lean import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


_MARKS = ("user.delegate", "trusted.delegate")


class CommandGroup:
    """A cgroup below that of zkexec; without a path there is none, and nothing is done."""

    def __init__(self, path: str = "") -> None:
        self.path = path

    @property
    def pids(self) -> list[int]:
        """All processes in it and below it; some can have ended."""
        return [pid for folder in self._folders() for pid in _pids_in(folder)]

    def make(self) -> None:
        """Create it if it does not exist; if that fails, it has no path afterwards."""
        if self.path:
            try:
                os.makedirs(self.path, exist_ok=True)
            except OSError:
                self.path = ""

    def kill(self) -> None:
        """Kill all processes in it at once, also those that are forked meanwhile (Linux 5.14)."""
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
    """Move this process into a cgroup; if that fails, the process runs outside."""
    with suppress(OSError):
        _write(f"{path}/cgroup.procs", b"0")


def delegated_to_us() -> str:
    """Return the folder of zkexec's own cgroup if the operator has delegated it, else ""."""
    try:
        folder = _own_folder()
    except (OSError, ValueError):
        return ""
    return folder if folder and _is_marked(folder) and os.access(folder, os.W_OK) else ""


def _own_folder() -> str:
    """Return the folder of the cgroup (version 2) in which zkexec runs; "" if there is none."""
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
