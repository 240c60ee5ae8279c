"""What /proc shows of processes."""

import os
import signal
from contextlib import suppress
from pathlib import Path


def proc(pid: int, name: str) -> bytes:
    """A file of /proc/PID; empty if the process is gone or may not be read."""
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def fields(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on; empty if there is no such process."""
    return proc(pid, "stat").decode("utf-8", "replace").rpartition(")")[2].split()


def state(pid: int) -> str:
    """The letter by which /proc shows the state of a process; empty if there is none."""
    return (fields(pid) or [""])[0]


def is_alive(pid: int) -> bool:
    """Whether there is such a process, other than a zombie."""
    return state(pid) not in ("", "Z", "X")


def is_gone(pid: int) -> bool:
    """Whether there is no such process, or only its zombie."""
    return not is_alive(pid)


def pids() -> list[int]:
    """All processes."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def children(parent: int) -> list[int]:
    """The children of a process, zombies as well."""
    return [pid for pid in pids() if fields(pid)[1:2] == [str(parent)]]


def zombies(parent: int) -> list[int]:
    """The children that a process has not reaped."""
    return [pid for pid in children(parent) if state(pid) == "Z"]


def with_variable(name: str, content: str) -> list[int]:
    """The living processes that have this in their environment."""
    entry = f"{name}={content}".encode()
    return [pid for pid in pids() if entry in proc(pid, "environ").split(b"\0")]


def kill_all(doomed: list[int]) -> None:
    """Kill these processes, if they still live."""
    for pid in doomed:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
